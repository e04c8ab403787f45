//! Trees that wait for a step, and those that rest after one.

use domain::meta::Revision;
use domain::name::NodeName;
use domain::pool::PoolRef;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Trees of fewer nodes never rest: a step for one costs next to nothing.
const SMALL: usize = 100;
/// The first rest, which doubles with every step that comes soon after another one.
const SHORTEST: SignedDuration = SignedDuration::from_millis(8);
/// For each node of the tree, at most so long, and in all no longer than `LONGEST`.
const PER_NODE: SignedDuration = SignedDuration::from_micros(2_500);
const LONGEST: SignedDuration = SignedDuration::from_secs(5);
/// Somebody else's writes are looked at after so long at most: users wait for that.
const PROMPT: SignedDuration = SignedDuration::from_millis(500);

/// How soon a step is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Haste {
    /// Something happened in the fleet, which takes its time anyway.
    Patient,
    /// Something of the tree was written. What the tree's own last step wrote has no haste.
    Of(Revision),
}

/// What is known of a tree between its steps.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub failures: u32,
    pub no_capacity: BTreeSet<NodeName>,
}

/// When a tree may be looked at again, and how many steps came one soon after the other.
#[derive(Debug, Clone, Copy)]
struct Rest {
    until: Timestamp,
    /// For what has haste.
    prompt: Timestamp,
    steps: u32,
    written: Option<Written>,
}

/// What the last step wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub revision: Revision,
    /// Nothing follows from it.
    pub is_quiet: bool,
}

impl Rest {
    fn ends(&self, haste: Haste) -> Timestamp {
        match haste {
            Haste::Of(revision) if self.written.is_none_or(|written| revision != written.revision) => self.prompt,
            Haste::Of(_) | Haste::Patient => self.until,
        }
    }
}

#[derive(Default)]
pub(super) struct Queue {
    ready: VecDeque<PoolRef>,
    waiting: BTreeSet<PoolRef>,
    running: BTreeSet<PoolRef>,
    /// Touched while a step was running: one more is due.
    again: BTreeMap<PoolRef, BTreeSet<Haste>>,
    timers: BTreeSet<(Timestamp, PoolRef)>,
    due: BTreeMap<PoolRef, Timestamp>,
    /// Large trees whose nodes change one after the other are looked at once for many changes.
    rests: BTreeMap<PoolRef, Rest>,
    pub known: BTreeMap<PoolRef, Known>,
}

impl Queue {
    /// A step is due as soon as the tree has rested.
    pub fn push(&mut self, now: Timestamp, root: PoolRef, haste: Haste) {
        let rest = self.rests.get(&root).map(|rest| rest.ends(haste)).filter(|until| *until > now);
        if self.is_echo(&root, haste) {
            return;
        }
        if self.running.contains(&root) {
            self.again.entry(root).or_default().insert(haste);
        } else if let Some(until) = rest {
            let at = self.due.get(&root).map_or(until, |due| until.min(*due));
            self.set_timer(&root, Some(at));
        } else if self.waiting.insert(root.clone()) {
            self.ready.push_back(root);
        }
    }

    pub fn pop(&mut self) -> Option<PoolRef> {
        let root = self.ready.pop_front()?;
        self.waiting.remove(&root);
        self.running.insert(root.clone());
        self.set_timer(&root, None);
        Some(root)
    }

    /// A step has ended. The tree has so many nodes now, and this was written.
    pub fn rest(&mut self, now: Timestamp, root: &PoolRef, (nodes, written): (usize, Option<Written>)) {
        self.running.remove(root);
        if nodes < SMALL {
            self.rests.remove(root);
            return;
        }
        let before = self.rests.get(root);
        let is_soon = |rest: &&Rest| now.duration_since(rest.until) < LONGEST;
        let steps = before.filter(is_soon).map_or(0, |rest| rest.steps.saturating_add(1));
        let most = (PER_NODE * i32::try_from(nodes).unwrap_or(i32::MAX)).min(LONGEST);
        let length = (SHORTEST * (1 << steps.min(10))).min(most);
        let after = |length| now.saturating_add(length).unwrap_or(Timestamp::MAX);
        let rest = Rest {
            until: after(length),
            prompt: after(length.min(PROMPT)),
            steps,
            written: written.or(before.and_then(|rest| rest.written)),
        };
        self.rests.insert(root.clone(), rest);
    }

    /// The step after one that has ended: at once where something changed meanwhile, else at `wake`. `true`: the former.
    pub fn follow_up(&mut self, now: Timestamp, root: &PoolRef, wake: Option<Timestamp>) -> bool {
        let mut touched = self.again.remove(root).unwrap_or_default();
        touched.retain(|haste| !self.is_echo(root, *haste));
        for haste in &touched {
            self.push(now, root.clone(), *haste);
        }
        if touched.is_empty() {
            let rested = self.rests.get(root).map_or(now, |rest| rest.prompt);
            self.set_timer(root, wake.map(|at| at.max(rested)));
        }
        !touched.is_empty()
    }

    /// What the last step wrote, coming back, though nothing follows from it.
    fn is_echo(&self, root: &PoolRef, haste: Haste) -> bool {
        let written = self.rests.get(root).and_then(|rest| rest.written);
        written.is_some_and(|written| written.is_quiet && haste == Haste::Of(written.revision))
    }

    fn set_timer(&mut self, root: &PoolRef, at: Option<Timestamp>) {
        if let Some(old) = self.due.remove(root) {
            self.timers.remove(&(old, root.clone()));
        }
        if let Some(at) = at {
            self.due.insert(root.clone(), at);
            self.timers.insert((at, root.clone()));
        }
    }

    pub fn pass_due(&mut self, now: Timestamp) {
        while let Some((at, root)) = self.timers.first().cloned()
            && at <= now
        {
            self.set_timer(&root, None);
            if self.waiting.insert(root.clone()) {
                self.ready.push_back(root);
            }
        }
    }

    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Trees that wait for a worker.
    pub fn len(&self) -> usize {
        self.ready.len()
    }
}

#[cfg(test)]
mod tests;
