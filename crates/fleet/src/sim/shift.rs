//! The workloads of one physical pool: who runs where. A function of what was submitted, of machines, and of time.

use super::filed::Filed;
use super::machine::Fitness;
use super::rules::Rules;
use super::work::{Ending, Spell, Work, WorkState};
use crate::workload::Quota;
use domain::capacity::{Ledger, Level, Request, Run, Step, Tree, Wait, round};
use domain::meta::Uid;
use domain::name::{FlavorName, NodeName};
use domain::pool::JobType;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Workloads that are over and still shown, for each physical pool.
const KEPT: usize = 500;

#[derive(Debug, Default)]
pub(super) struct Shift {
    work: BTreeMap<Uid, Work>,
    /// Those of them that wait or run.
    active: BTreeSet<Uid>,
    /// Those that are over, the first to end first.
    over: BTreeSet<(Timestamp, Uid)>,
    /// Who runs on which node.
    hosts: BTreeMap<NodeName, Uid>,
    /// Pools that workloads were last let into. `None`: not known, or there is a new workload.
    pools: Option<Vec<Uid>>,
    /// Why those that wait do.
    pub(super) waits: BTreeMap<Uid, Wait>,
    /// What has changed since it was last written down, as it was then.
    unsaved: BTreeMap<Uid, Option<Work>>,
}

/// What workloads run on and by: a physical pool at a time.
pub(super) struct Floor<'a> {
    pub pool: Uid,
    pub nodes: Option<&'a BTreeMap<NodeName, Arc<Filed>>>,
    /// Of all pools, by flavor: nodes that may be given a workload, whether they have one or not.
    pub open: &'a BTreeMap<(Uid, FlavorName), BTreeSet<NodeName>>,
    pub quotas: &'a [Quota],
    pub now: Timestamp,
    pub rules: &'a Rules,
}

/// Why a workload leaves its nodes.
#[derive(Debug, Clone, Copy)]
enum Leave {
    Done(Timestamp),
    Broken,
    Taken,
}

impl Floor<'_> {
    pub fn node(&self, node: &NodeName) -> Option<&Filed> {
        self.nodes?.get(node).map(AsRef::as_ref)
    }

    fn fitness(&self, node: &NodeName, since: Timestamp) -> Fitness {
        self.node(node).map_or(Fitness::Taken, |filed| filed.standing.fitness(since))
    }

    /// Nodes of a flavor that may be given a workload.
    fn open(&self, flavor: &FlavorName) -> impl Iterator<Item = &NodeName> {
        self.open.get(&(self.pool.clone(), flavor.clone())).into_iter().flatten()
    }

    fn quota(&self, pool: &Uid) -> Option<usize> {
        self.quotas.iter().position(|quota| quota.pool.uid == *pool)
    }

    /// Whether workloads of a pool may not start.
    pub fn is_shut(&self, pool: &Uid) -> bool {
        self.quota(pool).is_some_and(|at| self.quotas[at].is_shut)
    }

    /// Whom a node is kept for.
    fn keeper(&self, node: &NodeName) -> Option<&Uid> {
        self.node(node)?.machine.bound.as_ref()?.dedicated_to.as_ref()
    }

    /// A pool and those that it is inside of.
    fn line(&self, pool: &Uid) -> BTreeSet<Uid> {
        let mut line = BTreeSet::new();
        let mut at = Some(pool);
        while let Some(uid) = at.filter(|uid| line.insert((*uid).clone())) {
            at = self.quota(uid).and_then(|at| self.quotas[at].parent.as_ref());
        }
        line
    }
}

impl Shift {
    pub fn work(&self) -> impl Iterator<Item = &Work> {
        self.work.values()
    }

    pub fn get(&self, uid: &Uid) -> Option<&Work> {
        self.work.get(uid)
    }

    /// Takes over what is written down of a workload.
    pub fn put(&mut self, work: Work) {
        self.unsaved.remove(&work.submission.uid);
        self.delist(&work.submission.uid);
        self.enlist(work);
        self.pools = None;
    }

    /// What is written down of a workload is gone. `false`: there was nothing.
    pub fn remove(&mut self, uid: &Uid) -> bool {
        let was_unsaved = self.unsaved.remove(uid).is_some();
        self.waits.remove(uid);
        self.delist(uid).is_some() || was_unsaved
    }

    /// What the workloads have got on since that was written down.
    pub fn progress(&self) -> impl Iterator<Item = (Uid, Option<Work>)> {
        self.unsaved.keys().map(|uid| (uid.clone(), self.work.get(uid).cloned()))
    }

    pub fn has_progress(&self) -> bool {
        !self.unsaved.is_empty()
    }

    /// This is written down now of a workload. `false`: nobody waited for that.
    pub fn saved(&mut self, uid: &Uid, as_it_was: Option<&Work>) -> bool {
        let Some(before) = self.unsaved.get_mut(uid) else {
            return false;
        };
        if self.work.get(uid) == as_it_was {
            self.unsaved.remove(uid);
        } else {
            *before = as_it_was.cloned();
        }
        true
    }

    /// Makes everything as it is written down. `false`: it is.
    pub fn undo(&mut self) -> bool {
        let unsaved = std::mem::take(&mut self.unsaved);
        let is_undone = !unsaved.is_empty();
        for (uid, before) in unsaved {
            self.delist(&uid);
            if let Some(work) = before {
                self.enlist(work);
            }
        }
        if is_undone {
            self.waits.clear();
            self.pools = None;
        }
        is_undone
    }

    fn enlist(&mut self, work: Work) {
        let uid = work.submission.uid.clone();
        match &work.state {
            WorkState::Waiting => {
                self.active.insert(uid.clone());
            }
            WorkState::Placed { nodes, .. } => {
                self.active.insert(uid.clone());
                self.hosts.extend(nodes.iter().map(|node| (node.clone(), uid.clone())));
            }
            WorkState::Over { at, .. } => {
                self.over.insert((*at, uid.clone()));
            }
        }
        self.work.insert(uid, work);
    }

    fn delist(&mut self, uid: &Uid) -> Option<Work> {
        let work = self.work.remove(uid)?;
        self.active.remove(uid);
        if let WorkState::Over { at, .. } = &work.state {
            self.over.remove(&(*at, uid.clone()));
        }
        for node in work.nodes() {
            if self.hosts.get(node) == Some(uid) {
                self.hosts.remove(node);
            }
        }
        Some(work)
    }

    /// Changes a workload, and all lists with it.
    fn edit(&mut self, uid: &Uid, edit: impl FnOnce(&mut Work)) {
        if let Some(mut work) = self.delist(uid) {
            self.unsaved.entry(uid.clone()).or_insert_with(|| Some(work.clone()));
            edit(&mut work);
            self.enlist(work);
        }
    }

    /// Those that wait or run.
    fn active(&self) -> impl Iterator<Item = &Work> {
        self.active.iter().filter_map(|uid| self.work.get(uid))
    }

    pub fn is_empty(&self) -> bool {
        self.work.is_empty()
    }

    /// Nodes with workloads on them.
    pub fn hosts(&self) -> impl Iterator<Item = &NodeName> {
        self.hosts.keys()
    }

    /// The workload on a node.
    pub fn on(&self, node: &NodeName) -> Option<&Work> {
        self.work.get(self.hosts.get(node)?)
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
        for work in self.active() {
            *counts.entry(work.submission.kind.job_type()).or_default() += 1;
        }
        counts
    }

    /// Lets happen what is due, and what follows from the machines of these nodes, which have changed. `true`: something did.
    pub fn advance(&mut self, floor: &Floor<'_>, touched: &BTreeSet<NodeName>) -> bool {
        let mut has_changed = self.close(floor);
        // Whoever has no time to give back goes at once, and others start: until nothing changes any more.
        for _ in 0..=self.active.len() * (floor.quotas.len() + 1) {
            let has_left = self.leave(floor, touched);
            let has_started = self.assign(floor);
            has_changed |= has_left || has_started;
            if !has_left && !has_started {
                break;
            }
        }
        self.forget();
        has_changed
    }

    /// The first instant after `now` at which something happens by itself.
    pub fn next_turn(&self, now: Timestamp, rules: &Rules) -> Option<Timestamp> {
        let turns = self.active().flat_map(|work| [work.done_at(rules), work.evicted_at(rules)]);
        turns.flatten().filter(|at| *at > now).min()
    }

    /// The first instant after `now` at which a workload that has nodes is up on them.
    pub fn next_launch(&self, now: Timestamp, rules: &Rules) -> Option<Timestamp> {
        self.active().filter_map(|work| work.up(rules)).filter(|at| *at > now).min()
    }

    /// Drops the workloads of pools that are gone.
    fn close(&mut self, floor: &Floor<'_>) -> bool {
        let is_same = |pools: &Vec<Uid>| pools.iter().eq(floor.quotas.iter().map(|quota| &quota.pool.uid));
        if self.pools.as_ref().is_some_and(is_same) {
            return false;
        }
        self.pools = Some(floor.quotas.iter().map(|quota| quota.pool.uid.clone()).collect());
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
        let work = self.delist(uid);
        self.waits.remove(uid);
        self.unsaved.entry(uid.clone()).or_insert(work);
    }

    /// Those that are done, that have lost a node, or whose time to give back is over.
    fn leave(&mut self, floor: &Floor<'_>, touched: &BTreeSet<NodeName>) -> bool {
        let shaken: BTreeSet<&Uid> = touched.iter().filter_map(|node| self.hosts.get(node)).collect();
        let mut leaving = Vec::new();
        for work in self.active() {
            let WorkState::Placed { at, nodes, .. } = &work.state else {
                continue;
            };
            let uid = &work.submission.uid;
            // Only where a machine has changed can there be one that has lost it.
            let nodes = shaken.contains(uid).then_some(nodes).into_iter().flatten();
            let worst = nodes.map(|node| floor.fitness(node, *at)).max();
            let (done_at, evicted_at) = (work.done_at(floor.rules), work.evicted_at(floor.rules));
            let why = if let Some(done_at) = done_at.filter(|at| *at <= floor.now) {
                Leave::Done(done_at)
            } else if worst == Some(Fitness::Broken) {
                Leave::Broken
            } else if worst == Some(Fitness::Taken) || evicted_at.is_some_and(|at| at <= floor.now) {
                Leave::Taken
            } else {
                continue;
            };
            leaving.push((uid.clone(), why));
        }
        for (uid, why) in &leaving {
            self.edit(uid, |work| match why {
                Leave::Done(at) => work.end(Ending::Completed, *at),
                Leave::Broken => work.lose_machine(floor.now),
                Leave::Taken => work.requeue(),
            });
        }
        !leaving.is_empty()
    }

    /// Lets in who may, and asks borrowers to give back.
    fn assign(&mut self, floor: &Floor<'_>) -> bool {
        let flavors: BTreeSet<FlavorName> = self
            .active()
            .filter(|work| work.is_waiting())
            .map(|work| work.submission.flavor.clone())
            .collect();
        let mut waits = BTreeMap::new();
        let mut has_changed = false;
        for flavor in flavors {
            // Whoever has no nodes, because they are kept for others, does not stand in the way of those.
            let mut nodeless = BTreeSet::new();
            loop {
                let known = nodeless.len();
                for (uid, step) in self.decide(&flavor, floor, &nodeless) {
                    has_changed |= self.take_step(&uid, step, floor, (&mut waits, &mut nodeless));
                }
                if nodeless.len() == known {
                    break;
                }
            }
        }
        self.waits = waits;
        has_changed
    }

    fn take_step(
        &mut self,
        uid: &Uid,
        step: Step,
        floor: &Floor<'_>,
        (waits, nodeless): (&mut BTreeMap<Uid, Wait>, &mut BTreeSet<Uid>),
    ) -> bool {
        let free = match step {
            Step::Start(_) => self.free_nodes(uid, floor),
            Step::GiveBack(_) | Step::Wait(..) => None,
        };
        let Some(work) = self.work.get(uid) else { return false };
        let mut next = work.clone();
        match step {
            Step::Start(_) => {
                if let Some(nodes) = free {
                    next.is_promised = false;
                    next.state = WorkState::Placed {
                        at: floor.now,
                        nodes,
                        asked_at: None,
                    };
                } else {
                    nodeless.insert(uid.clone());
                    waits.insert(uid.clone(), Wait::Nodes);
                }
            }
            Step::GiveBack(_) => {
                if let WorkState::Placed { asked_at, .. } = &mut next.state {
                    *asked_at = Some(floor.now);
                }
            }
            Step::Wait(_, wait) => {
                next.is_promised = wait == Wait::Returning;
                waits.insert(uid.clone(), wait);
            }
        }
        let has_changed = *work != next;
        if has_changed {
            self.edit(uid, |work| *work = next);
        }
        has_changed && !matches!(step, Step::Wait(..))
    }

    /// Nodes for a workload, where there are enough.
    fn free_nodes(&self, uid: &Uid, floor: &Floor<'_>) -> Option<BTreeSet<NodeName>> {
        let work = self.work.get(uid)?;
        let wanted = work.submission.nodes as usize;
        let free = floor.open(&work.submission.flavor).filter(|node| !self.hosts.contains_key(*node));
        let line = floor.line(&work.pool.uid);
        let (mut kept, mut common) = (Vec::new(), Vec::new());
        for node in free {
            match floor.keeper(node) {
                None if common.len() < wanted => common.push(node),
                Some(keeper) if line.contains(keeper) => kept.push(node),
                None | Some(_) => {}
            }
        }
        // Those that are kept for it first: the others are of use to everybody.
        let found: BTreeSet<NodeName> = kept.into_iter().chain(common).take(wanted).cloned().collect();
        (found.len() == wanted).then_some(found)
    }

    /// One round over the workloads of a flavor, without some of those that wait.
    fn decide(&self, flavor: &FlavorName, floor: &Floor<'_>, without: &BTreeSet<Uid>) -> Vec<(Uid, Step)> {
        let Some(mut ledger) = self.ledger(flavor, floor) else {
            return Vec::new();
        };
        let mut own: Vec<&Work> = self.active().filter(|work| work.submission.flavor == *flavor).collect();
        own.sort_by_key(|work| work.number);
        let mut waiting = Vec::new();
        for work in &own {
            let Some(pool) = floor.quota(&work.pool.uid) else { continue };
            let (id, size) = (work.number, u64::from(work.submission.nodes));
            let (priority, is_lasting) = (work.submission.priority, work.submission.lasting.is_none());
            match &work.state {
                WorkState::Waiting if without.contains(&work.submission.uid) || floor.quotas[pool].is_shut => {}
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
        // Of those in use, the ones that are not open: both are in the order of names.
        let mut open = floor.open(flavor).peekable();
        let is_closed = |host: &&NodeName| {
            while open.next_if(|node| node < host).is_some() {}
            open.next_if(|node| node == host).is_none()
        };
        let is_its = |host: &&NodeName| floor.node(host).is_some_and(|filed| filed.machine.registration.flavor == *flavor);
        let closed = self.hosts.keys().filter(is_closed).filter(is_its).count();
        let capacity = (floor.open(flavor).count() + closed) as u64;
        Some(Ledger::new(Tree::new(&levels).ok()?, capacity))
    }

    /// Forgets what has been over for long.
    fn forget(&mut self) {
        while self.over.len() > KEPT
            && let Some((_, uid)) = self.over.first().cloned()
        {
            self.drop_work(&uid);
        }
    }
}
