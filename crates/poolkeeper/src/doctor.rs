//! `poolkeeper doctor`: what stands in the way of the store and of the cluster, and what to do about it.

use crate::config::{Config, FleetKind};
use crate::keeping;
use anyhow::Result;
use clap::ValueEnum;
use clock::{Clock, SystemClock};
use domain::catalogue::Flavor;
use domain::pool::Pool;
use fleet_kube::doctor::{Finding, Known, Severity, examine, load};
use reconcile::controller::LEASE;
use std::fmt::Write;
use std::sync::Arc;
use store::{Lease, State, Store};
use store_sql::{Look, Schema};

/// So many faults of the stored world are told.
const TOLD: usize = 20;

/// The form in which findings are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    #[default]
    Text,
    Json,
}

/// Makes all checks.
pub async fn diagnose(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    let known = store(config, &mut found).await;
    match config.fleet {
        FleetKind::Simulated => {}
        FleetKind::Kubernetes => examine_cluster(config, &known, &mut found).await,
    }
    found
}

/// The findings as text: one line each, and one more with what to do.
pub fn tell(found: &[Finding], output: Output) -> Result<String> {
    match output {
        Output::Json => Ok(serde_json::to_string_pretty(found)? + "\n"),
        Output::Text => {
            let mut text = String::new();
            for finding in found {
                writeln!(text, "{:<8} {}: {}", finding.severity.as_str(), finding.check, finding.message)?;
                if !finding.advice.is_empty() {
                    writeln!(text, "         -> {}", finding.advice)?;
                }
            }
            Ok(text)
        }
    }
}

async fn examine_cluster(config: &Config, known: &Known, found: &mut Vec<Finding>) {
    let settings = &config.cluster.settings;
    match fleet_kube::connect(config.cluster.kubeconfig.as_deref()).await {
        Ok(client) => {
            let cluster = load(&client, settings, &SystemClock).await;
            found.extend(examine(settings, &cluster, known));
        }
        Err(error) => found.push(Finding::error(
            "Kubernetes",
            fleet_kube::explained(&error),
            "give --kubeconfig, or run this in a pod of the cluster",
        )),
    }
}

async fn store(config: &Config, found: &mut Vec<Finding>) -> Known {
    const STORE: &str = "store";
    let look = match Look::open(&keeping::options(config)).await {
        Ok(look) => Arc::new(look),
        Err(error) => {
            let advice = "see that the database runs, and that --database or --data name the right one; the first start makes it";
            found.push(Finding::error(STORE, error.to_string(), advice));
            return Known::default();
        }
    };
    found.push(match look.schema().await {
        Ok(schema) => told_schema(schema),
        Err(error) => Finding::error(STORE, error.to_string(), "is this the database of Poolkeeper?"),
    });
    let mut known = Known::default();
    match look.leases().await {
        Ok(leases) => {
            let lease = leases.into_iter().find(|lease| lease.name == LEASE);
            known.lease_epoch = Some(lease.as_ref().map_or(0, |lease| lease.epoch));
            found.push(told_lease(lease.as_ref(), SystemClock.now()));
        }
        Err(error) => found.push(Finding::error(STORE, error.to_string(), "see what the database's log says")),
    }
    match State::load(look as Arc<dyn Store>).await {
        Ok(state) => world(&state, &mut known, found),
        Err(error) => found.push(Finding::error(STORE, error.to_string(), "restore the newest copy that can be read")),
    }
    known
}

fn told_schema(schema: Schema) -> Finding {
    let Schema { version, known } = schema;
    match version.cmp(&known) {
        std::cmp::Ordering::Equal => Finding::ok("store", format!("its tables are of version {version}")),
        std::cmp::Ordering::Less => Finding::warning(
            "store",
            format!("its tables are of version {version}, those of this program of version {known}"),
            "the next start of a server brings them up to date; back up first",
        ),
        std::cmp::Ordering::Greater => Finding::error(
            "store",
            format!("its tables are of version {version}, and this program knows {known}"),
            "use the newer program that wrote them",
        ),
    }
}

fn told_lease(lease: Option<&Lease>, now: jiff::Timestamp) -> Finding {
    const CHECK: &str = "lease";
    let advice = "start a server, or look for `reconciling` in the logs of those that run";
    match lease {
        None => Finding::warning(CHECK, "nobody has ever had it", advice),
        Some(lease) if lease.expires_at > now => Finding::ok(CHECK, format!("{} has it, epoch {}", lease.holder.0, lease.epoch)),
        Some(lease) => Finding::warning(CHECK, format!("nobody has it, its epoch is {}", lease.epoch), advice),
    }
}

fn world(state: &State, known: &mut Known, found: &mut Vec<Finding>) {
    let index = state.index().read();
    let flavors = index.all::<Flavor>().into_iter().filter(|flavor| flavor.is_physical());
    known.flavors = Some(
        flavors
            .map(|flavor| (flavor.name.clone(), flavor.zones.iter().cloned().collect()))
            .collect(),
    );
    let pools = index.all::<Pool>();
    known.pools = Some(pools.iter().map(|pool| pool.uid.clone()).collect());
    let violations = reconcile::audit::audit(&index);
    for violation in violations.iter().take(TOLD) {
        let message = format!("{}: {}: {}", violation.object, violation.rule, violation.detail);
        found.push(Finding::error("world", message, "report this with the log of the time"));
    }
    if violations.is_empty() {
        found.push(Finding::ok(
            "world",
            format!("{} pools and their nodes agree with each other", pools.len()),
        ));
    }
}

/// How many checks failed.
pub fn failures(found: &[Finding]) -> usize {
    found.iter().filter(|finding| finding.severity == Severity::Error).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use store_sql::SqlStore;

    fn shown(found: &[Finding]) -> String {
        tell(found, Output::Text).unwrap()
    }

    #[tokio::test]
    async fn a_store_in_use_is_examined_and_one_that_is_missing_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            data: folder.path().to_owned(),
            ..Config::default()
        };
        let found = diagnose(&config).await;
        assert!(failures(&found) == 1 && shown(&found).contains("is not there"), "{found:?}");
        let store = SqlStore::open(keeping::options(&config)).await.unwrap();
        let found = diagnose(&config).await;
        assert_eq!(failures(&found), 0, "{found:?}");
        assert_eq!(
            shown(&found),
            "ok       store: its tables are of version 1\n\
             warning  lease: nobody has ever had it\n         \
             -> start a server, or look for `reconciling` in the logs of those that run\n\
             ok       world: 0 pools and their nodes agree with each other\n"
        );
        drop(store);
    }

    #[test]
    fn tables_of_another_version_are_told() {
        for (version, severity) in [(1, Severity::Warning), (2, Severity::Ok), (3, Severity::Error)] {
            assert_eq!(told_schema(Schema { version, known: 2 }).severity, severity, "{version}");
        }
    }

    #[test]
    fn findings_are_told_as_json() {
        let found = [Finding::ok("a", "b"), Finding::warning("c", "d", "e")];
        let told: serde_json::Value = serde_json::from_str(&tell(&found, Output::Json).unwrap()).unwrap();
        assert_eq!(
            told,
            serde_json::json!([
                {"severity": "ok", "check": "a", "message": "b"},
                {"severity": "warning", "check": "c", "message": "d", "advice": "e"}
            ])
        );
    }
}
