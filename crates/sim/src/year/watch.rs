//! What must hold: every step of every record, every hour what may not last, every day the whole of it.

use super::Year;
use super::site::version;
use super::tally::Tally;
use domain::job::Job;
use domain::meta::Uid;
use domain::name::{NodeName, PoolName};
use domain::node::{DeleteCause, Node, NodeDriverState, NodePhase, TaskKind};
use domain::pool::{DriverState, Pool, PoolPhase, UpdateStrategy};
use domain::workload::WorkloadStatus;
use fleet::WorkloadFact;
use jiff::Timestamp;
use reconcile::audit::{self, Trail};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use store::index::Touched;
use store::{Object, State};
use tokio::sync::mpsc::UnboundedReceiver;

/// A node is repaired, or replaced, within this time, unless repairs are held back.
const REPAIRED: Duration = Duration::from_hours(4);
/// A node that is sent away is gone within this time, and a job has ended.
const GONE: Duration = Duration::from_hours(2);
/// A new pool, or one that changes its size, has what it wants within this time.
const BUILT: Duration = Duration::from_hours(6);
/// A node that has been well for so long had the time for a roll-out.
const STEADY: Duration = Duration::from_hours(30);
/// An upgrade waits for the end of workloads for a day at most.
const DRAINED: Duration = Duration::from_hours(25);
/// Nobody waits for longer.
const PATIENCE: Duration = Duration::from_hours(7 * 24);

pub(super) struct Watch {
    trail: Trail,
    touched: UnboundedReceiver<Touched>,
    /// Nodes as they were last.
    nodes: BTreeMap<NodeName, Arc<Node>>,
    /// Since when nodes are not as they should be and nobody holds their repair back.
    ailing: BTreeMap<NodeName, Timestamp>,
    building: BTreeMap<PoolName, Timestamp>,
    roll_outs: BTreeMap<usize, RollOut>,
    /// Since when workloads wait, those of before the last look.
    waiting: BTreeMap<Uid, Timestamp>,
    ended: BTreeSet<Uid>,
    found: BTreeSet<String>,
    pub tally: Tally,
}

#[derive(Debug, Clone, Copy)]
struct RollOut {
    week: u32,
    strategy: UpdateStrategy,
}

impl Watch {
    pub fn new(state: &State) -> Self {
        Self {
            trail: Trail::default(),
            touched: state.index().subscribe(),
            nodes: BTreeMap::new(),
            ailing: BTreeMap::new(),
            building: BTreeMap::new(),
            roll_outs: BTreeMap::new(),
            waiting: BTreeMap::new(),
            ended: BTreeSet::new(),
            found: BTreeSet::new(),
            tally: Tally::default(),
        }
    }

    pub fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.found).into_iter().collect()
    }

    fn report(&mut self, at: Timestamp, what: impl std::fmt::Display) {
        if self.found.len() < 100 {
            self.found.insert(format!("{at} {what}"));
        }
    }

    pub fn begin_roll_out(&mut self, pool: usize, week: u32, strategy: UpdateStrategy) {
        self.tally.roll_outs += 1;
        self.roll_outs.insert(pool, RollOut { week, strategy });
    }

    /// Follows every record through every step since the last time.
    fn follow(&mut self, now: Timestamp) {
        while let Ok(change) = self.touched.try_recv() {
            for violation in self.trail.follow(&change) {
                self.report(now, format!("{violation:?}"));
            }
            if let Object::Node(node) = &change.entry.object {
                if change.is_deleted {
                    self.nodes.remove(&node.name);
                } else if let Some(before) = self.nodes.insert(node.name.clone(), Arc::clone(node)) {
                    self.tally.count(&before, node);
                }
            }
        }
    }
}

impl Tally {
    /// Counts what happened to a node from one commit to another.
    fn count(&mut self, before: &Node, after: &Node) {
        let is_abnormal = |node: &Node| matches!(node.phase, NodePhase::Abnormal { .. });
        self.failures += u64::from(matches!(before.phase, NodePhase::Available { .. }) && is_abnormal(after));
        self.recovered +=
            u64::from(before.care.repair.is_some() && is_ailing(before) && matches!(after.phase, NodePhase::Available { .. }));
        let attempts = |node: &Node| node.care.repair.map_or(0, |repair| repair.attempts);
        if attempts(after) > attempts(before) {
            match after.care.task.as_ref().map(|task| &task.kind) {
                Some(TaskKind::Reboot) => self.reboots += 1,
                Some(TaskKind::Reset { .. }) => self.resets += 1,
                None => {}
            }
        }
        let is_replaced = |node: &Node| {
            matches!(
                node.phase,
                NodePhase::Deleting {
                    cause: DeleteCause::Replaced,
                    ..
                }
            )
        };
        self.replaced += u64::from(!is_replaced(before) && is_replaced(after));
        let installed = |node: &Node| node.driver.as_ref().and_then(|driver| driver.installed.clone());
        self.upgraded += u64::from(installed(before).is_some() && installed(after).is_some() && installed(before) != installed(after));
    }
}

/// A node that was up, and is not.
fn is_ailing(node: &Node) -> bool {
    node.was_available && matches!(node.phase, NodePhase::Abnormal { .. } | NodePhase::Checking { .. })
}

impl Year {
    /// What may not last: nodes that nobody repairs, nodes that do not go, pools that do not become what they should be.
    pub fn look_hourly(&mut self) {
        let now = self.clock.now();
        self.watch.follow(now);
        let mut crowds: BTreeMap<PoolName, (usize, usize)> = BTreeMap::new();
        for node in self.watch.nodes.values() {
            let (ailing, all) = crowds.entry(node.pool.clone()).or_default();
            *ailing += usize::from(is_ailing(node));
            *all += usize::from(!node.phase.is_deleting());
        }
        let policy = super::policy().repair;
        let is_held_back = |pool: &PoolName| crowds.get(pool).is_some_and(|(ailing, all)| *ailing > policy.bound(*all));
        let mut ailing = BTreeMap::new();
        let mut late = Vec::new();
        for node in self.watch.nodes.values() {
            let since = self.watch.ailing.get(&node.name).copied().unwrap_or(now);
            let over = now.duration_since(since);
            let (is_off, most) = match &node.phase {
                NodePhase::Deleting { .. } => (true, GONE),
                NodePhase::Abnormal { .. } | NodePhase::Checking { .. } | NodePhase::Creating { .. } | NodePhase::Available { .. } => {
                    (is_ailing(node) && !node.is_locked && !is_held_back(&node.pool), REPAIRED)
                }
            };
            if is_off {
                ailing.insert(node.name.clone(), since);
                if over.unsigned_abs() > most {
                    late.push(format!("{} of {} is {:?}, {:?}", node.name, node.pool, node.phase, node.care));
                }
            }
        }
        self.watch.ailing = ailing;
        for line in late {
            self.watch.report(now, line);
        }
        self.look_at_pools(now);
    }

    fn look_at_pools(&mut self, now: Timestamp) {
        let pools = self.state.index().read().all::<Pool>();
        let mut building = BTreeMap::new();
        for pool in pools.iter().filter(|pool| pool.is_physical()) {
            let counters = pool.status.resources.counters();
            let is_there = pool.status.phase == PoolPhase::Running && counters.available + counters.abnormal == pool.wanted();
            if is_there {
                continue;
            }
            let since = self.watch.building.get(&pool.name).copied().unwrap_or(now);
            building.insert(pool.name.clone(), since);
            if now.duration_since(since).unsigned_abs() > BUILT {
                let (phase, wanted) = (&pool.status.phase, pool.wanted());
                self.watch
                    .report(now, format!("{} is {phase:?} with {counters} of {wanted}", pool.name));
            }
        }
        self.watch.building = building;
    }

    /// Looks at everything.
    pub fn look_daily(&mut self) {
        let now = self.clock.now();
        self.watch.follow(now);
        for violation in audit::audit(&self.state.index().read()) {
            self.watch.report(now, format!("{violation:?}"));
        }
        self.look_at_machines(now);
        self.look_at_workloads(now);
        let jobs = self.state.index().read().all::<Job>();
        for job in jobs.iter().filter(|job| job.ended.is_none()) {
            if now.duration_since(job.created_at).unsigned_abs() > GONE {
                self.watch
                    .report(now, format!("job {} of {:?} has not ended", job.id, job.created_at));
            }
        }
    }

    /// No machine is two nodes, none belongs to a node that nobody knows.
    fn look_at_machines(&mut self, now: Timestamp) {
        let mut seen = BTreeSet::new();
        let mut wrong = Vec::new();
        for machine in self.fleet.machines() {
            let Some((mark, name)) = machine.bound else { continue };
            if !seen.insert(name.clone()) {
                wrong.push(format!("{name} has two machines"));
            }
            match self.watch.nodes.get(&name) {
                Some(node) if node.pool_uid == mark.uid || node.care.coming_from.is_some() => {}
                Some(node) => wrong.push(format!("the machine of {name} is one of {}, not of {}", mark.pool.name, node.pool)),
                None if machine.is_releasing => {}
                None => wrong.push(format!(
                    "machine {} is bound to {name}, which nobody knows",
                    machine.registration.id
                )),
            }
        }
        let instances = self.watch.nodes.values().filter(|node| !node.phase.is_deleting());
        let mut owners: BTreeMap<&String, &NodeName> = BTreeMap::new();
        for node in instances {
            let instance = node.machine.as_ref().and_then(|facts| facts.instance.as_ref());
            if let Some(other) = instance.and_then(|instance| owners.insert(instance, &node.name)) {
                wrong.push(format!("{} and {other} are one machine", node.name));
            }
        }
        for line in wrong {
            self.watch.report(now, line);
        }
    }

    /// Each node has one workload at most, no pool uses more than it may, and nobody waits forever.
    fn look_at_workloads(&mut self, now: Timestamp) {
        let all = self.fleet.all_workloads();
        let mut taken = BTreeSet::new();
        let mut used: BTreeMap<&PoolName, u32> = BTreeMap::new();
        let mut wrong = Vec::new();
        for (root, fact) in &all {
            for host in &fact.hosts {
                if !taken.insert((root, &host.node)) {
                    wrong.push(format!("{} has two workloads", host.node));
                }
            }
            *used.entry(&fact.pool.pool.name).or_default() += fact.hosts.len() as u32;
        }
        for pool in self.state.index().read().all::<Pool>() {
            let most: u32 = pool.spec.resources.iter().map(|element| element.max_count).sum();
            let used = used.get(&pool.name).copied().unwrap_or(0);
            // What ran before a sub-pool was made smaller runs on to its end.
            if pool.is_physical() && used > most.max(pool.status.resources.counters().available + 1) {
                wrong.push(format!("{} uses {used} of {most}", pool.name));
            }
        }
        let facts: Vec<&WorkloadFact> = all.iter().map(|(_, fact)| fact).collect();
        wrong.extend(self.watch.look_at_waits(&facts, now));
        for line in wrong {
            self.watch.report(now, line);
        }
    }

    /// Before the next roll-out begins: whoever had the time for the last one has its driver.
    pub fn check_last_roll_out(&mut self, pool: usize) {
        let now = self.clock.now();
        self.watch.follow(now);
        let Some(last) = self.watch.roll_outs.remove(&pool) else { return };
        let plan = &self.site.pools[pool];
        let target = version(last.week);
        let found = self.state.index().read().get::<Pool>(crate::place::project(), plan.name());
        let status = found.as_ref().and_then(|found| found.status.drivers.get(&plan.kind.accelerator()?));
        let has_converged = status.is_some_and(|status| status.version == target && status.state == DriverState::Running);
        if has_converged {
            self.watch.tally.rolled_out += 1;
            return;
        }
        let name = plan.name();
        let own = self.watch.nodes.values().filter(|node| node.pool == name);
        let behind: Vec<&Arc<Node>> = own.filter(|node| is_behind(node, &target, now)).collect();
        let is_left_out = |node: &&Arc<Node>| {
            let state = node.driver.as_ref().map(|driver| &driver.state);
            last.strategy == UpdateStrategy::Idle && state.is_some_and(|state| is_patient(state, now))
        };
        let late: Vec<String> = behind
            .iter()
            .filter(|node| !is_left_out(node))
            .map(|node| {
                format!(
                    "{} has not got driver {target} by {:?}: {:?}",
                    node.name, last.strategy, node.driver
                )
            })
            .collect();
        if behind.iter().any(is_left_out) {
            self.watch.tally.left_out += 1;
        } else {
            self.watch.tally.rolled_out += 1;
        }
        for line in late {
            self.watch.report(now, line);
        }
    }
}

/// Whether an upgrade that minds workloads may be there after a week: it is given up, or has only just come to this node.
fn is_patient(state: &NodeDriverState, now: Timestamp) -> bool {
    match state {
        NodeDriverState::Failed { is_open, .. } => *is_open,
        NodeDriverState::Pending { .. } => true,
        NodeDriverState::Draining { since, .. } => since.is_some_and(|since| now.duration_since(since).unsigned_abs() < DRAINED),
        NodeDriverState::Updating { since, .. } => now.duration_since(*since).unsigned_abs() < GONE,
        NodeDriverState::Settled => false,
    }
}

fn is_behind(node: &Node, target: &str, now: Timestamp) -> bool {
    let NodePhase::Available { since } = node.phase else { return false };
    let is_steady = now.duration_since(since).unsigned_abs() > STEADY;
    let installed = node.driver.as_ref().map(|driver| driver.installed.as_deref());
    is_steady && installed.is_some_and(|installed| installed != Some(target))
}

impl Watch {
    fn look_at_waits(&mut self, all: &[&WorkloadFact], now: Timestamp) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut waiting = BTreeMap::new();
        let mut ended = BTreeSet::new();
        for fact in all {
            if fact.status.is_over() {
                if !self.ended.contains(&fact.uid) {
                    self.tally.count_end(fact.status);
                }
                ended.insert(fact.uid.clone());
            } else if fact.hosts.is_empty() {
                let since = self.waiting.get(&fact.uid).copied().unwrap_or(now);
                let is_too_large = fact.reason.as_ref().is_some_and(|reason| reason.contains("needs more nodes"));
                if now.duration_since(since).unsigned_abs() > PATIENCE && !is_too_large {
                    let (pool, nodes) = (&fact.pool.pool.name, fact.nodes);
                    wrong.push(format!(
                        "{} of {nodes} nodes in {pool} waits since {since}: {:?}",
                        fact.name, fact.reason
                    ));
                }
                waiting.insert(fact.uid.clone(), since);
            }
        }
        self.waiting = waiting;
        self.ended = ended;
        wrong
    }
}

impl Tally {
    fn count_end(&mut self, status: WorkloadStatus) {
        match status {
            WorkloadStatus::Completed => self.completed += 1,
            WorkloadStatus::Terminated => self.cancelled += 1,
            WorkloadStatus::Failed => self.failed += 1,
            WorkloadStatus::Queue
            | WorkloadStatus::Pending
            | WorkloadStatus::Abnormal
            | WorkloadStatus::Terminating
            | WorkloadStatus::Creating
            | WorkloadStatus::Running => {}
        }
    }
}
