//! Whether a wanted pool fits into the installation as it is: references, machines, addresses, quotas, sums.

use crate::context::{CallContext, Service};
use crate::error::ServiceError;
use domain::catalogue::{Flavor, Offers, OsConfig, Quota};
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::iam::Project;
use domain::name::{FlavorName, NetworkName, PoolName, ProjectId, TemplateName};
use domain::network::Network;
use domain::plugin::PluginTemplate;
use domain::pool::validate::References;
use domain::pool::{Accelerator, ControlMode, Pool, PoolRef, PoolResource, Sharing, tree};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::index::{Facet, Snapshot, Versioned};
use store::{Count, counters};

/// The installation's configuration, or a plain one where the operator has set none.
pub fn config(snapshot: &Snapshot<'_>) -> Arc<OsConfig> {
    snapshot
        .get::<OsConfig>("", "os-config")
        .map_or_else(|| Arc::new(OsConfig::plain()), |found| found.object)
}

/// The catalogue of flavors.
pub fn flavors(snapshot: &Snapshot<'_>) -> BTreeMap<FlavorName, Arc<Flavor>> {
    snapshot
        .all::<Flavor>()
        .into_iter()
        .map(|flavor| (flavor.name.clone(), flavor.object))
        .collect()
}

/// The templates whose versions are driver versions.
pub fn driver_templates(snapshot: &Snapshot<'_>) -> BTreeMap<Accelerator, Arc<PluginTemplate>> {
    Accelerator::ALL
        .into_iter()
        .filter_map(|kind| {
            let name = TemplateName::parse(kind.driver_template()).ok()?;
            Some((kind, snapshot.get::<PluginTemplate>("", &name)?.object))
        })
        .collect()
}

/// Limits of a project: its own, else the installation's.
pub fn quota(snapshot: &Snapshot<'_>, project: &ProjectId) -> (u32, u32) {
    let config = config(snapshot);
    let own = snapshot
        .get::<Project>("", project)
        .map_or_else(Quota::default, |project| project.quota.clone());
    (own.pools.unwrap_or(config.pool_quota), own.networks.unwrap_or(config.network_quota))
}

/// What a pool's spec may refer to.
pub fn references(
    snapshot: &Snapshot<'_>,
    project: &ProjectId,
    network: Option<&NetworkName>,
    parent: Option<Arc<Pool>>,
    offers: Offers,
) -> References {
    References {
        flavors: flavors(snapshot),
        offers,
        drivers: driver_templates(snapshot),
        config: config(snapshot),
        network: network
            .and_then(|name| snapshot.get::<Network>(project, name))
            .map(|found| found.object),
        parent,
    }
}

/// The pool named as a parent: of the same project, or a shared one of another project of the domain.
pub fn find_parent(snapshot: &Snapshot<'_>, ctx: &CallContext, name: &PoolName) -> Option<Versioned<Pool>> {
    if let Some(own) = snapshot.get::<Pool>(&ctx.project, name) {
        return Some(own);
    }
    let domain = snapshot.get::<Project>("", &ctx.project)?.domain.clone();
    snapshot
        .under::<Project>(Facet::ProjectsOfDomain, &domain)
        .into_iter()
        .filter_map(|project| snapshot.get::<Pool>(&project.id, name))
        .find(|pool| pool.sharing == Sharing::Shared)
}

pub fn pool_at(snapshot: &Snapshot<'_>, at: &PoolRef) -> Option<Versioned<Pool>> {
    snapshot.get::<Pool>(&at.project, &at.name)
}

/// The pool and its ancestors, from itself to the root.
pub fn lineage(snapshot: &Snapshot<'_>, pool: &Arc<Pool>) -> Vec<Arc<Pool>> {
    let mut line = vec![Arc::clone(pool)];
    while let Some(parent) = line.last().and_then(|last| last.logical()).and_then(|logical| logical.parent.clone())
        && let Some(found) = pool_at(snapshot, &parent)
        // A circle cannot be made through the API; this keeps a damaged store from hanging a request.
        && line.len() <= 64
    {
        line.push(found.object);
    }
    line
}

/// The restriction in force: the pool's own and those of all its ancestors.
pub fn effective_mask(snapshot: &Snapshot<'_>, pool: &Arc<Pool>) -> ControlMode {
    lineage(snapshot, pool)
        .iter()
        .fold(ControlMode::default(), |mask, pool| mask.union(pool.spec.control))
}

/// Direct sub-pools.
pub fn children(snapshot: &Snapshot<'_>, pool: &Pool) -> Vec<Versioned<Pool>> {
    snapshot.under::<Pool>(Facet::PoolsOfParent, format!("{}/{}", pool.owner.project, pool.name))
}

/// How many machines of each flavor a list of elements asks for.
pub fn machines(resources: &[PoolResource]) -> BTreeMap<FlavorName, i64> {
    tree::amounts(resources)
        .into_iter()
        .map(|(flavor, amount)| (flavor.clone(), i64::try_from(amount.count).unwrap_or(i64::MAX)))
        .collect()
}

/// The changes of the counters of promised machines between two specs, bounded by the machines that exist.
pub fn promise(before: &[PoolResource], after: &[PoolResource], offers: &Offers) -> Vec<Count> {
    let (old, new) = (machines(before), machines(after));
    let flavors = old.keys().chain(new.keys()).collect::<std::collections::BTreeSet<_>>();
    flavors
        .into_iter()
        .filter_map(|flavor| {
            let add = new.get(flavor).unwrap_or(&0) - old.get(flavor).unwrap_or(&0);
            let total = offers.get(flavor).map_or(0, domain::catalogue::Offer::total);
            (add != 0).then(|| Count {
                key: counters::promised(flavor),
                add,
                at_most: (add > 0).then_some(total),
            })
        })
        .collect()
}

/// Whether there are machines for what a spec asks in addition.
pub fn check_machines(snapshot: &Snapshot<'_>, before: &[PoolResource], after: &[PoolResource], offers: &Offers) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let (old, new) = (machines(before), machines(after));
    for (flavor, count) in &new {
        let add = count - old.get(flavor).unwrap_or(&0);
        let Ok(add) = u64::try_from(add) else { continue };
        if add == 0 {
            continue;
        }
        let offer = offers.get(flavor);
        let total = offer.map_or(0, domain::catalogue::Offer::total);
        let unpromised = total.saturating_sub(snapshot.counter(&counters::promised(flavor)));
        let free = unpromised.min(offer.map_or(0, domain::catalogue::Offer::free));
        if add > unpromised || (add > free && !old.contains_key(flavor)) {
            let at = after.iter().position(|element| element.flavor == *flavor).unwrap_or(0);
            let path = FieldPath::of("spec").field("resources").index(at).field("count");
            errors.push(
                path,
                Reason::Capacity,
                format!("{add} more machines of flavor {flavor} are wanted, {free} are free"),
            );
        }
    }
    errors
}

/// The change of a network's counter of addresses, bounded by its subnet.
pub fn addresses(network: &Network, add: i64) -> Count {
    Count {
        key: counters::addresses_of(&network.project, &network.name),
        add,
        at_most: (add > 0).then(|| network.address_count()),
    }
}

/// Whether the network has addresses for so many more nodes.
pub fn check_addresses(snapshot: &Snapshot<'_>, network: &Network, add: i64) -> Result<(), ServiceError> {
    let used = snapshot.counter(&counters::addresses_of(&network.project, &network.name));
    let free = network.address_count().saturating_sub(used);
    match u64::try_from(add) {
        Ok(add) if add > free => Err(ServiceError::Refused(format!(
            "network {} has {free} free addresses, {add} more are needed",
            network.name
        ))),
        Ok(_) | Err(_) => Ok(()),
    }
}

impl Service {
    /// Free and existing machines.
    pub(crate) async fn offers(&self) -> Result<Offers, ServiceError> {
        self.parts
            .fleet
            .offers()
            .await
            .map_err(|error| ServiceError::Unavailable(error.to_string()))
    }
}
