//! The bounded counters, by name. What raises one must lower it again; `reconcile::audit` holds each against the objects.

use crate::batch::CounterKey;
use domain::name::{FlavorName, NetworkName, ProjectId};
use domain::pool::{Pool, PoolKind};
use std::collections::BTreeMap;

/// Pools of a project that count against its quota: all but `CreationFailed` ones.
pub fn pools_of(project: &ProjectId) -> CounterKey {
    CounterKey::new(format!("pools/{project}"))
}

/// Networks of a project.
pub fn networks_of(project: &ProjectId) -> CounterKey {
    CounterKey::new(format!("networks/{project}"))
}

/// Machines of a flavor that the specs of physical pools ask for, `CreationFailed` ones left out.
pub fn promised(flavor: &FlavorName) -> CounterKey {
    CounterKey::new(format!("promised/{flavor}"))
}

/// Pools that refer to a network, `CreationFailed` ones left out.
pub fn users_of_network(project: &ProjectId, network: &NetworkName) -> CounterKey {
    CounterKey::new(format!("network-users/{project}/{network}"))
}

/// Addresses of a network that the specs of its pools ask for.
pub fn addresses_of(project: &ProjectId, network: &NetworkName) -> CounterKey {
    CounterKey::new(format!("addresses/{project}/{network}"))
}

/// What a pool counts against, and by how much: nothing once its creation has failed.
pub fn holdings(pool: &Pool) -> BTreeMap<CounterKey, i64> {
    let mut holdings = BTreeMap::new();
    if !pool.counts() {
        return holdings;
    }
    let project = &pool.owner.project;
    holdings.insert(pools_of(project), 1);
    if let PoolKind::Physical(spec) = &pool.spec.kind {
        holdings.insert(users_of_network(project, &spec.network), 1);
        holdings.insert(addresses_of(project, &spec.network), i64::from(pool.wanted()));
        for element in &pool.spec.resources {
            *holdings.entry(promised(&element.flavor)).or_insert(0) += i64::from(element.count);
        }
    }
    holdings
}
