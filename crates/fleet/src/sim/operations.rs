//! What only an operator can do to a simulated fleet: machines and workloads come and go, things break and are mended.

use super::faults::Unknown;
use super::journal::JournalError;
use super::machine::{Machine, MachineInfo, Registration};
use super::pool::PoolState;
use super::rules::Rules;
use super::work::Submission;
use super::{Refusal, Removal, SimFleet};
use crate::command::PoolMark;
use crate::workload::WorkloadFact;
use domain::fault::{MachineFault, PoolFault};
use domain::meta::Uid;
use domain::name::PoolName;
use std::collections::BTreeSet;

impl SimFleet {
    /// Puts a workload into the queue of a pool of the tree of a physical one.
    pub async fn submit(&self, root: &Uid, pool: &Uid, submission: Submission) -> Result<Result<(), Refusal>, JournalError> {
        self.change(|change| change.submit(root, pool, submission.clone())).await
    }

    /// Ends a workload. `None`: there is none. `false`: it was over.
    pub async fn cancel(&self, uid: &Uid) -> Result<Option<bool>, JournalError> {
        self.change(|change| change.cancel(uid)).await
    }

    /// Every workload of every pool, the first submitted first.
    pub fn all_workloads(&self) -> Vec<(Uid, WorkloadFact)> {
        let now = self.shared.clock.now();
        let state = self.state();
        let roots: BTreeSet<Uid> = state.all_work().map(|work| work.root.clone()).collect();
        let mut all = Vec::new();
        for root in roots {
            let floor = state.floor(&root, now, &self.shared.rules);
            let facts = state.shift(&root).map(|shift| shift.facts(&floor)).unwrap_or_default();
            all.extend(facts.into_iter().map(|fact| (root.clone(), fact)));
        }
        all
    }

    /// One workload, wherever it is.
    pub fn workload(&self, uid: &Uid) -> Option<WorkloadFact> {
        let state = self.state();
        state.workload(uid, self.shared.clock.now(), &self.shared.rules)
    }

    /// Adds machines; those whose id is known stay as they are.
    pub async fn register(&self, machines: Vec<Registration>) -> Result<(), JournalError> {
        let now = self.shared.clock.now();
        self.change(|change| {
            let first = change.next_number();
            for (registration, number) in machines.iter().zip(first..) {
                change.add(Machine::new(registration.clone(), number, now));
            }
        })
        .await
    }

    /// Takes a free machine away.
    pub async fn unregister(&self, id: &str) -> Result<Removal, JournalError> {
        self.change(|change| match change.machine(id).map(|machine| machine.bound.as_ref()) {
            None => Removal::Unknown,
            Some(Some(bound)) => Removal::InUse(bound.pool.clone(), bound.node.clone()),
            Some(None) => {
                change.remove(id);
                Removal::Removed
            }
        })
        .await
    }

    /// Every machine, by id.
    pub fn machines(&self) -> Vec<MachineInfo> {
        let now = self.shared.clock.now();
        self.state()
            .machines()
            .map(|machine| machine.info(now, &self.shared.rules))
            .collect()
    }

    pub fn machine(&self, id: &str) -> Option<MachineInfo> {
        let now = self.shared.clock.now();
        self.state().machine(id).map(|machine| machine.info(now, &self.shared.rules))
    }

    /// Faults of pools that were asked for.
    pub fn pool_faults(&self) -> Vec<(PoolMark, Vec<PoolFault>)> {
        let state = self.state();
        let faults = state.pools().map(|pool| (pool.mark.clone(), pool.faults()));
        faults.filter(|(_, faults)| !faults.is_empty()).collect()
    }

    /// Breaks something about a machine.
    pub async fn break_machine(&self, id: &str, fault: MachineFault) -> Result<Result<(), Unknown>, JournalError> {
        self.edit_machine(id, |machine, now, _| machine.suffer(fault.clone(), now)).await
    }

    /// Mends a machine: the faults that were asked for, and the failure that it has by itself.
    pub async fn mend_machine(&self, id: &str) -> Result<Result<(), Unknown>, JournalError> {
        self.edit_machine(id, Machine::mend).await
    }

    /// Breaks something about what a pool has besides nodes.
    pub async fn break_pool(&self, pool: &PoolName, fault: PoolFault) -> Result<Result<(), Unknown>, JournalError> {
        self.edit_pool(pool, |state, now, _| state.suffer(&fault, now)).await
    }

    /// Mends what a pool has besides nodes.
    pub async fn mend_pool(&self, pool: &PoolName) -> Result<Result<(), Unknown>, JournalError> {
        self.edit_pool(pool, |state, now, rules| state.mend(now, &rules.timing)).await
    }

    async fn edit_machine(
        &self,
        id: &str,
        edit: impl Fn(&mut Machine, jiff::Timestamp, &Rules),
    ) -> Result<Result<(), Unknown>, JournalError> {
        let is_known = self.change(|change| change.edit_machine(id, &edit)).await?;
        Ok(is_known.then_some(()).ok_or_else(|| Unknown::Machine(id.to_owned())))
    }

    async fn edit_pool(
        &self,
        name: &PoolName,
        edit: impl Fn(&mut PoolState, jiff::Timestamp, &Rules),
    ) -> Result<Result<(), Unknown>, JournalError> {
        let is_known = self.change(|change| {
            let uid = change.pool_named(name);
            uid.is_some_and(|uid| change.edit_pool(&uid, &edit))
        });
        let is_known = is_known.await?;
        Ok(is_known.then_some(()).ok_or_else(|| Unknown::Pool(name.clone())))
    }
}
