//! What pools have and what of it is in use right now (contract tags… §9).

use crate::admission;
use crate::context::{CallContext, Service};
use crate::error::ServiceError;
use auth::Action;
use domain::catalogue::Flavor;
use domain::name::FlavorName;
use domain::node::Node;
use domain::pool::Pool;
use domain::quantities::Quantities;
use domain::workload::WorkloadKind;
use fleet::WorkloadFact;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::index::{Facet, Versioned};

/// Amounts by resource: thousandths of cores and of accelerators, mebibytes of memory.
pub type Amounts = BTreeMap<String, u64>;

/// One pool.
#[derive(Debug, Clone)]
pub struct PoolMetrics {
    pub pool: Versioned<Pool>,
    pub allocated: Amounts,
    /// Of what is guaranteed.
    pub capacity: Amounts,
    /// With what may be borrowed.
    pub max_capacity: Amounts,
    /// Workloads that are on nodes, by type.
    pub placed: BTreeMap<WorkloadKind, u32>,
    /// Workloads that wait for nodes, by type.
    pub waiting: BTreeMap<WorkloadKind, u32>,
}

/// Key of memory.
pub const MEMORY: &str = "memory";
/// Key of cores.
pub const CPU: &str = "cpu";

impl Service {
    /// Pools that work, newest first, in workspaces that the caller may use.
    pub async fn runtime_metrics(&self, ctx: &CallContext) -> Result<Vec<PoolMetrics>, ServiceError> {
        self.authorize(ctx, Action::PoolList)?;
        let user = self.effective_user(ctx, Action::PoolList)?;
        let pools = self.visible_pools(ctx, &user);
        let flavors = admission::flavors(&self.parts.state.index().read());
        let working = pools.into_iter().filter(|pool| pool.status.phase.takes_workloads());
        let mut all = Vec::new();
        for pool in working {
            let (workloads, inside) = self.workloads_of(&pool).await?;
            let is_inside = |fact: &&WorkloadFact| inside.as_ref().is_none_or(|pools| pools.contains(&fact.pool.uid));
            let own: Vec<&WorkloadFact> = workloads.facts().filter(is_inside).collect();
            all.push(self.metrics_of(pool, &own, &flavors));
        }
        Ok(all)
    }

    fn metrics_of(&self, pool: Versioned<Pool>, workloads: &[&WorkloadFact], flavors: &BTreeMap<FlavorName, Arc<Flavor>>) -> PoolMetrics {
        let (mut capacity, mut max_capacity) = (Amounts::new(), Amounts::new());
        let mut allocated = Amounts::new();
        for element in &pool.spec.resources {
            if let Some(flavor) = flavors.get(&element.flavor) {
                add_flavor(&mut capacity, flavor, element.count);
                add_flavor(&mut max_capacity, flavor, element.max_count);
                // What is there is shown even where none of it is in use.
                add_flavor(&mut allocated, flavor, 0);
            }
        }
        if pool.is_physical() {
            let index = self.parts.state.index().read();
            for node in index.under::<Node>(Facet::NodesOfPool, pool.uid.as_str()) {
                if let (Some(machine), Some(flavor)) = (node.machine.as_deref(), flavors.get(&node.flavor)) {
                    add_used(&mut allocated, &machine.resources, &machine.available, flavor);
                }
            }
        }
        let (mut placed, mut waiting) = (BTreeMap::new(), BTreeMap::new());
        for fact in workloads.iter().filter(|fact| !fact.status.is_over()) {
            let counts = if fact.hosts.is_empty() { &mut waiting } else { &mut placed };
            *counts.entry(fact.kind).or_default() += 1;
            if let Some(flavor) = flavors.get(&fact.flavor).filter(|_| !pool.is_physical()) {
                for _ in &fact.hosts {
                    add_used(&mut allocated, &fact.resources, &fact.resources.emptied(), flavor);
                }
            }
        }
        PoolMetrics {
            pool,
            allocated,
            capacity,
            max_capacity,
            placed,
            waiting,
        }
    }
}

fn model(flavor: &Flavor) -> Option<(String, u32)> {
    let spec = flavor.gpu.as_ref().or(flavor.npu.as_ref())?;
    Some((spec.model.to_lowercase(), spec.size))
}

fn add(amounts: &mut Amounts, name: &str, amount: u64) {
    *amounts.entry(name.to_owned()).or_default() += amount;
}

fn add_flavor(amounts: &mut Amounts, flavor: &Flavor, count: u32) {
    let count = u64::from(count);
    add(amounts, CPU, u64::from(flavor.cpu) * 1_000 * count);
    add(amounts, MEMORY, u64::from(flavor.memory_gib) * 1_024 * count);
    if let Some((model, size)) = model(flavor) {
        add(amounts, &model, u64::from(size) * 1_000 * count);
    }
}

/// What of a total is not free.
fn add_used(amounts: &mut Amounts, total: &Quantities, free: &Quantities, flavor: &Flavor) {
    for (name, total) in total.iter() {
        let mut free = free.iter().filter(|(known, _)| *known == name);
        let free = free.next().map_or(total, |(_, free)| free);
        if name == MEMORY {
            add(amounts, MEMORY, mebibytes(total).saturating_sub(mebibytes(free)));
        } else {
            let used = thousandths(total).saturating_sub(thousandths(free));
            match model(flavor) {
                _ if name == CPU => add(amounts, CPU, used),
                Some((model, _)) => add(amounts, &model, used),
                None => {}
            }
        }
    }
}

/// `3920m` or `4`
fn thousandths(text: &str) -> u64 {
    match text.strip_suffix('m') {
        Some(number) => number.parse().unwrap_or(0),
        None => text.parse::<u64>().unwrap_or(0) * 1_000,
    }
}

/// `6270Mi`, `64Gi` or `1024Ki`
fn mebibytes(text: &str) -> u64 {
    let scaled = |suffix: &str| text.strip_suffix(suffix).and_then(|number| number.parse::<u64>().ok());
    scaled("Mi")
        .or_else(|| scaled("Gi").map(|number| number * 1_024))
        .or_else(|| scaled("Ti").map(|number| number * 1_024 * 1_024))
        .or_else(|| scaled("Ki").map(|number| number / 1_024))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read() {
        assert_eq!([thousandths("3920m"), thousandths("4"), thousandths("x")], [3_920, 4_000, 0]);
        assert_eq!(
            [mebibytes("6270Mi"), mebibytes("64Gi"), mebibytes("2048Ki"), mebibytes("")],
            [6_270, 65_536, 2, 0]
        );
    }
}
