//! The workloads of one physical pool: who runs where. A function of what was submitted, of machines, and of time.

use super::machine::{Fitness, Machine};
use super::rules::Rules;
use super::work::{Ending, Spell, Work, WorkState};
use crate::workload::Quota;
use domain::capacity::{Ledger, Level, Request, Run, Step, Tree, Wait, round};
use domain::meta::Uid;
use domain::name::{FlavorName, NodeName};
use domain::pool::JobType;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Workloads that are over and still shown, for each physical pool.
const KEPT: usize = 500;

#[derive(Debug, Default)]
pub(super) struct Shift {
    work: BTreeMap<Uid, Work>,
    /// Why those that wait do.
    pub(super) waits: BTreeMap<Uid, Wait>,
    busy: BTreeSet<NodeName>,
    /// What has changed since it was last written down.
    pub unsaved: BTreeSet<Uid>,
}

/// What workloads run on and by: a physical pool at a time.
pub(super) struct Floor<'a> {
    pub nodes: BTreeMap<&'a NodeName, &'a Machine>,
    pub quotas: &'a [Quota],
    pub now: Timestamp,
    pub rules: &'a Rules,
    /// Where the quota of each pool stands among all.
    places: BTreeMap<&'a Uid, usize>,
}

impl<'a> Floor<'a> {
    pub fn new(nodes: BTreeMap<&'a NodeName, &'a Machine>, quotas: &'a [Quota], now: Timestamp, rules: &'a Rules) -> Self {
        // Of two quotas of one pool, the first counts.
        let places = quotas.iter().enumerate().rev().map(|(at, quota)| (&quota.pool.uid, at));
        Self {
            nodes,
            quotas,
            now,
            rules,
            places: places.collect(),
        }
    }

    fn fitness(&self, node: &NodeName, since: Timestamp) -> Fitness {
        self.nodes
            .get(node)
            .map_or(Fitness::Taken, |machine| machine.fitness(since, self.now, self.rules))
    }

    /// Whether a workload may be put on a node now.
    fn is_open(&self, machine: &Machine) -> bool {
        let is_held = machine.bound.as_ref().is_none_or(|bound| bound.held_at.is_some());
        !is_held && machine.fitness(self.now, self.now, self.rules) == Fitness::Fit
    }

    fn quota(&self, pool: &Uid) -> Option<usize> {
        self.places.get(pool).copied()
    }
}

impl Shift {
    pub fn work(&self) -> impl Iterator<Item = &Work> {
        self.work.values()
    }

    pub fn get(&self, uid: &Uid) -> Option<&Work> {
        self.work.get(uid)
    }

    pub fn put(&mut self, work: Work) {
        self.work.insert(work.submission.uid.clone(), work);
    }

    pub fn is_empty(&self) -> bool {
        self.work.is_empty()
    }

    pub fn is_busy(&self, node: &NodeName) -> bool {
        self.busy.contains(node)
    }

    /// When workloads were on each node.
    pub fn spells(&self) -> BTreeMap<NodeName, Vec<Spell>> {
        let mut spells: BTreeMap<NodeName, Vec<Spell>> = BTreeMap::new();
        for (spell, nodes) in self.work().filter_map(Work::spell) {
            for node in nodes {
                spells.entry(node.clone()).or_default().push(spell);
            }
        }
        spells
    }

    /// Workloads that run or wait, by job type.
    pub fn counts(&self) -> BTreeMap<JobType, u32> {
        let mut counts = BTreeMap::new();
        for work in self.work().filter(|work| !work.is_over()) {
            *counts.entry(work.submission.kind.job_type()).or_default() += 1;
        }
        counts
    }

    /// Lets happen what is due. `true`: something did.
    pub fn advance(&mut self, floor: &Floor<'_>) -> bool {
        let mut has_changed = self.close(floor);
        // Whoever has no time to give back goes at once, and others start: until nothing changes any more.
        for _ in 0..=self.work.len() * (floor.quotas.len() + 1) {
            let has_left = self.leave(floor);
            let has_started = self.assign(floor);
            has_changed |= has_left || has_started;
            if !has_left && !has_started {
                break;
            }
        }
        self.forget();
        self.busy = self.work.values().flat_map(Work::nodes).cloned().collect();
        has_changed
    }

    /// The first instant after `now` at which something happens by itself.
    pub fn next_turn(&self, now: Timestamp, rules: &Rules) -> Option<Timestamp> {
        let turns = self.work().flat_map(|work| [work.done_at(rules), work.evicted_at(rules)]);
        turns.flatten().filter(|at| *at > now).min()
    }

    /// The first instant after `now` at which a workload that has nodes is up on them.
    pub fn next_launch(&self, now: Timestamp, rules: &Rules) -> Option<Timestamp> {
        self.work().filter_map(|work| work.up(rules)).filter(|at| *at > now).min()
    }

    /// Drops the workloads of pools that are gone.
    fn close(&mut self, floor: &Floor<'_>) -> bool {
        let gone: Vec<Uid> = self
            .work
            .values()
            .filter(|work| floor.quota(&work.pool.uid).is_none())
            .map(|work| work.submission.uid.clone())
            .collect();
        for uid in &gone {
            self.drop_work(uid);
        }
        !gone.is_empty()
    }

    fn drop_work(&mut self, uid: &Uid) {
        self.work.remove(uid);
        self.waits.remove(uid);
        self.unsaved.insert(uid.clone());
    }

    /// Those that are done, that have lost a node, or whose time to give back is over.
    fn leave(&mut self, floor: &Floor<'_>) -> bool {
        let mut has_changed = false;
        for work in self.work.values_mut() {
            let WorkState::Placed { at, nodes, .. } = &work.state else {
                continue;
            };
            let worst = nodes.iter().map(|node| floor.fitness(node, *at)).max();
            let (done_at, evicted_at) = (work.done_at(floor.rules), work.evicted_at(floor.rules));
            if let Some(done_at) = done_at.filter(|at| *at <= floor.now) {
                work.end(Ending::Completed, done_at);
            } else if worst == Some(Fitness::Broken) {
                work.lose_machine(floor.now);
            } else if worst == Some(Fitness::Taken) || evicted_at.is_some_and(|at| at <= floor.now) {
                work.requeue();
            } else {
                continue;
            }
            has_changed = true;
            self.unsaved.insert(work.submission.uid.clone());
        }
        has_changed
    }

    /// Lets in who may, and asks borrowers to give back.
    fn assign(&mut self, floor: &Floor<'_>) -> bool {
        let flavors: BTreeSet<FlavorName> = self
            .work
            .values()
            .filter(|work| work.is_waiting())
            .map(|work| work.submission.flavor.clone())
            .collect();
        let mut waits = BTreeMap::new();
        let mut has_changed = false;
        for flavor in flavors {
            let steps = self.decide(&flavor, floor);
            let mut open = self.open_nodes(&flavor, floor);
            for (uid, step) in steps {
                let nodes = match step {
                    Step::Start(_) => self.get(&uid).and_then(|work| take_nodes(&mut open, work.submission.nodes)),
                    Step::GiveBack(_) | Step::Wait(..) => None,
                };
                has_changed |= self.take_step(&uid, step, nodes, floor.now, &mut waits);
            }
        }
        self.waits = waits;
        has_changed
    }

    /// `nodes`: those that are there for a start.
    fn take_step(
        &mut self,
        uid: &Uid,
        step: Step,
        nodes: Option<BTreeSet<NodeName>>,
        now: Timestamp,
        waits: &mut BTreeMap<Uid, Wait>,
    ) -> bool {
        let Some(work) = self.work.get_mut(uid) else { return false };
        let before = work.clone();
        match step {
            Step::Start(_) => match nodes {
                Some(nodes) => {
                    work.is_promised = false;
                    work.state = WorkState::Placed {
                        at: now,
                        nodes,
                        asked_at: None,
                    };
                }
                None => drop(waits.insert(uid.clone(), Wait::Nodes)),
            },
            Step::GiveBack(_) => {
                if let WorkState::Placed { asked_at, .. } = &mut work.state {
                    *asked_at = Some(now);
                }
            }
            Step::Wait(_, wait) => {
                work.is_promised = wait == Wait::Returning;
                waits.insert(uid.clone(), wait);
            }
        }
        let has_changed = *work != before;
        if has_changed {
            self.unsaved.insert(uid.clone());
        }
        has_changed && !matches!(step, Step::Wait(..))
    }

    /// Nodes of a flavor on which there is nothing and may be something.
    fn open_nodes<'a>(&self, flavor: &FlavorName, floor: &Floor<'a>) -> BTreeSet<&'a NodeName> {
        let used: BTreeSet<&NodeName> = self.work.values().flat_map(Work::nodes).collect();
        let is_open = |(node, machine): &(&&NodeName, &&Machine)| {
            machine.registration.flavor == *flavor && !used.contains(**node) && floor.is_open(machine)
        };
        floor.nodes.iter().filter(is_open).map(|(node, _)| *node).collect()
    }

    /// One round over the workloads of a flavor.
    fn decide(&self, flavor: &FlavorName, floor: &Floor<'_>) -> Vec<(Uid, Step)> {
        let Some(mut ledger) = self.ledger(flavor, floor) else {
            return Vec::new();
        };
        let mut own: Vec<&Work> = self.work.values().filter(|work| work.submission.flavor == *flavor).collect();
        own.sort_by_key(|work| work.number);
        let mut waiting = Vec::new();
        for work in &own {
            let Some(pool) = floor.quota(&work.pool.uid) else { continue };
            let (id, size) = (work.number, u64::from(work.submission.nodes));
            let (priority, is_lasting) = (work.submission.priority, work.submission.lasting.is_none());
            match &work.state {
                WorkState::Waiting => waiting.push(Request {
                    id,
                    pool,
                    size,
                    priority,
                    submitted: i64::try_from(id).unwrap_or(i64::MAX),
                    is_lasting,
                    is_promised: work.is_promised,
                }),
                WorkState::Placed { at, asked_at, .. } => {
                    ledger.start(Run {
                        id,
                        pool,
                        size,
                        priority,
                        since: at.as_millisecond(),
                        is_lasting,
                    });
                    if asked_at.is_some() {
                        ledger.give_back(id);
                    }
                }
                WorkState::Over { .. } => {}
            }
        }
        let uids: BTreeMap<u64, &Uid> = own.iter().map(|work| (work.number, &work.submission.uid)).collect();
        let steps = round(&mut ledger, &waiting, floor.now.as_millisecond());
        let named = |step: Step| {
            let (Step::Start(id) | Step::GiveBack(id) | Step::Wait(id, _)) = step;
            Some(((*uids.get(&id)?).clone(), step))
        };
        steps.into_iter().filter_map(named).collect()
    }

    /// Empty books for a flavor. Nodes count that are in use, and those that are free for use.
    fn ledger(&self, flavor: &FlavorName, floor: &Floor<'_>) -> Option<Ledger> {
        let level = |quota: &Quota| {
            let amount = quota.amounts.get(flavor).copied().unwrap_or_default();
            Level {
                parent: quota.parent.as_ref().and_then(|parent| floor.quota(parent)),
                guaranteed: amount.count,
                ceiling: amount.max_count,
            }
        };
        let levels: Vec<Level> = floor.quotas.iter().map(level).collect();
        let used: BTreeSet<&NodeName> = self.work.values().flat_map(Work::nodes).collect();
        let counts = |(node, machine): &(&&NodeName, &&Machine)| {
            machine.registration.flavor == *flavor && (used.contains(**node) || floor.is_open(machine))
        };
        let capacity = floor.nodes.iter().filter(counts).count() as u64;
        Some(Ledger::new(Tree::new(&levels).ok()?, capacity))
    }

    /// Forgets what has been over for long.
    fn forget(&mut self) {
        let mut over: Vec<(Timestamp, Uid)> = Vec::new();
        for (uid, work) in &self.work {
            if let WorkState::Over { at, .. } = &work.state {
                over.push((*at, uid.clone()));
            }
        }
        if over.len() > KEPT {
            over.sort();
            for (_, uid) in &over[..over.len() - KEPT] {
                self.drop_work(uid);
            }
        }
    }
}

/// So many of the nodes, the first by name. `None`: there are not enough, and none is taken.
fn take_nodes(open: &mut BTreeSet<&NodeName>, count: u32) -> Option<BTreeSet<NodeName>> {
    if open.len() < count as usize {
        return None;
    }
    Some((0..count).filter_map(|_| open.pop_first()).cloned().collect())
}
