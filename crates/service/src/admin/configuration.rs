//! The installation's configuration for pools (contract tags… §7).

use super::{decided, installation};
use crate::Outcome;
use crate::admission;
use crate::context::{CallContext, Service, check_match};
use crate::error::ServiceError;
use domain::catalogue::{CLUSTER_FLAVORS, OsConfig};
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::network::parse_network_cidr;
use domain::plugin::PluginTemplate;
use domain::principal::Principal;
use store::index::Snapshot;
use store::{Expect, TypedBatch};

impl Service {
    /// The configuration as it is stored, or the plain one with no revision.
    pub fn installation_config(&self, who: &Principal) -> Result<Outcome<OsConfig>, ServiceError> {
        self.authorize_operator(who)?;
        let index = self.parts.state.index().read();
        Ok(Outcome {
            object: admission::config(&index),
            revision: index.at::<OsConfig>(&installation()).map(|found| found.revision()),
        })
    }

    /// `edit` gets the configuration in force and gives the one that is to be.
    pub async fn update_installation_config(
        &self,
        ctx: &CallContext,
        edit: impl Fn(&OsConfig) -> Result<OsConfig, FieldErrors>,
    ) -> Result<Outcome<OsConfig>, ServiceError> {
        self.administer(ctx, || {
            let index = self.parts.state.index().read();
            let found = index.at::<OsConfig>(&installation());
            match &found {
                Some(found) => check_match(ctx, found.revision())?,
                // Nobody can have seen an entity tag of what is not stored.
                None if ctx.if_match.is_some() => return Err(ServiceError::Stale),
                None => {}
            }
            let next = edit(&admission::config(&index))?;
            let mut batch = TypedBatch::default();
            check(&index, &next, &mut batch).into_result()?;
            batch.put(next.clone(), found.map_or(Expect::Absent, |found| Expect::At(found.revision())));
            Ok(decided(batch, next))
        })
        .await
    }
}

/// References hold, and still do when the batch is committed.
fn check(index: &Snapshot<'_>, config: &OsConfig, batch: &mut TypedBatch) -> FieldErrors {
    let mut errors = FieldErrors::new();
    for (at, cidr) in config.network_cidrs.iter().enumerate() {
        if let Err(message) = parse_network_cidr(cidr) {
            errors.invalid(FieldPath::of("networkCidrs").index(at), message);
        }
    }
    if !(1..=10).contains(&config.max_pool_flavors) {
        errors.invalid(FieldPath::of("maxPoolFlavors"), "must be 1 to 10");
    }
    for (at, size) in config.cluster_flavors.iter().enumerate() {
        if !CLUSTER_FLAVORS.contains(&size.as_str()) {
            errors.invalid(
                FieldPath::of("clusterFlavorSpecs").index(at),
                format!("must be one of {}", CLUSTER_FLAVORS.join(", ")),
            );
        }
    }
    for (job_type, needs) in &config.scopes {
        let path = FieldPath::of("scopes").field(job_type.as_str()).field("plugins");
        for (at, name) in needs.plugins.iter().enumerate() {
            match index.get::<PluginTemplate>("", name) {
                Some(found) => batch.check(found.entry.key.clone(), Expect::At(found.revision())),
                None => errors.push(path.index(at), Reason::NotFound, format!("plug-in template {name} not found")),
            }
        }
    }
    errors
}
