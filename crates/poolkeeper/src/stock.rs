//! Keeps in the catalogue what a cluster has: flavors that are missing, and zones of those that came from here.

use crate::cluster::ClusterFleet;
use clock::Clock;
use domain::catalogue::Flavor;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::{Expect, State, TypedBatch};

/// How often the cluster is compared with the catalogue.
const EVERY: Duration = Duration::from_secs(5);
/// Annotation of flavors that were made here. An operator who takes it away, or makes the flavor, has it as they want it.
const ORIGIN: &str = "poolkeeper.io/origin";
const CLUSTER: &str = "cluster";

/// Compares for ever, while `leads` says that this replica is the one to do so.
pub async fn keep(state: State, fleet: Arc<ClusterFleet>, leads: Arc<AtomicBool>, clock: Arc<dyn Clock>) {
    loop {
        if leads.load(Ordering::Acquire)
            && let Ok(here) = fleet.here()
        {
            for flavor in here.flavors().into_values() {
                if let Err(error) = put(&state, flavor).await {
                    tracing::warn!(%error, "a flavor of the cluster could not be put into the catalogue");
                }
            }
        }
        let next = clock.now().saturating_add(EVERY).unwrap_or(jiff::Timestamp::MAX);
        clock.sleep_until(next).await;
    }
}

/// Puts a flavor where there is none, or adds its zones to one that came from a cluster.
async fn put(state: &State, found: Flavor) -> Result<(), store::CommitError> {
    let known = state.index().read().get::<Flavor>("", &found.name);
    let mut batch = TypedBatch::default();
    match known {
        None => {
            let mut flavor = found;
            flavor.annotations.insert(ORIGIN.to_owned(), CLUSTER.to_owned());
            tracing::info!(flavor = %flavor.name, "a flavor of the cluster is put into the catalogue");
            batch.put(flavor, Expect::Absent);
        }
        Some(known) => {
            let zones: BTreeSet<_> = known.zones.iter().chain(&found.zones).cloned().collect();
            let is_ours = known.annotations.get(ORIGIN).is_some_and(|origin| origin == CLUSTER);
            if !is_ours || zones.len() == known.zones.len() {
                return Ok(());
            }
            let mut flavor = Flavor::clone(&known);
            flavor.zones = zones.into_iter().collect();
            tracing::info!(flavor = %flavor.name, "zones of the cluster are put into the catalogue");
            batch.put(flavor, Expect::At(known.revision()));
        }
    }
    match state.commit(batch).await {
        // Somebody has written it meanwhile: the next time will show.
        Err(store::CommitError::Conflict { .. }) => Ok(()),
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::catalogue::CpuArch;
    use domain::name::{FlavorName, ZoneName};
    use store::MemStore;

    fn flavor(zones: &[&str]) -> Flavor {
        let mut flavor = Flavor::plain(FlavorName::parse("modelarts.vm.gpu").unwrap(), CpuArch::X86, 8, 32);
        flavor.zones = zones.iter().map(|zone| ZoneName::parse(zone).unwrap()).collect();
        flavor
    }

    fn zones(state: &State) -> Vec<String> {
        let known = state.index().read().get::<Flavor>("", &flavor(&[]).name).unwrap();
        known.zones.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn what_the_cluster_has_is_added_and_nothing_is_taken_away() {
        let state = State::load(Arc::new(MemStore::default())).await.unwrap();
        put(&state, flavor(&["az-1"])).await.unwrap();
        put(&state, flavor(&["az-2"])).await.unwrap();
        assert_eq!(zones(&state), ["az-1", "az-2"]);
        let revision = state.store().revision().await.unwrap();
        put(&state, flavor(&["az-1"])).await.unwrap();
        assert_eq!(
            state.store().revision().await.unwrap(),
            revision,
            "nothing is written where nothing is new"
        );
    }

    #[tokio::test]
    async fn what_an_operator_has_made_stays_as_it_is() {
        let state = State::load(Arc::new(MemStore::default())).await.unwrap();
        let mut batch = TypedBatch::default();
        batch.put(flavor(&["az-1"]), Expect::Absent);
        state.commit(batch).await.unwrap();
        put(&state, flavor(&["az-2"])).await.unwrap();
        assert_eq!(zones(&state), ["az-1"]);
    }
}
