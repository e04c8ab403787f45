//! All interleavings of up to four nodes with everything that can come in between, within a budget of each.

use super::*;
use std::collections::{BTreeSet, VecDeque};

const LIMITS: Limits = Limits {
    install: Duration::from_mins(30),
    drain: Duration::from_hours(24),
};

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

/// Time stands still: a time-out is told by a beginning that lies far enough in the past.
fn long_ago() -> Timestamp {
    now() - LIMITS.drain
}

fn version(number: u8) -> String {
    number.to_string()
}

/// The record's state, in a form that can be put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Settled,
    Pending(u8),
    Draining { target: u8, attempt: u32, is_over: bool },
    Updating { target: u8, attempt: u32, is_over: bool },
    Failed { target: u8, is_open: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Done,
    Installing(u8),
    Failed(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own; every combination is possible"
)]
struct Node {
    state: State,
    installed: u8,
    progress: Progress,
    is_busy: bool,
    is_held: bool,
    /// Its job never ends.
    is_stuck: bool,
    /// No version but the first can be installed on it.
    is_bad: bool,
    /// It has been through something that lets an attempt fail though nothing is wrong with the driver.
    was_disturbed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct World {
    /// In order: which node is which does not matter.
    nodes: Vec<Node>,
    target: u8,
    is_forced: bool,
    crashes: u8,
    timeouts: u8,
    targets: u8,
    arrivals: u8,
    forces: u8,
}

impl State {
    fn read(state: &NodeDriverState) -> Self {
        let number = |text: &str| text.parse().unwrap();
        match state {
            NodeDriverState::Settled => Self::Settled,
            NodeDriverState::Pending { target } => Self::Pending(number(target)),
            NodeDriverState::Draining { target, since, attempt } => Self::Draining {
                target: number(target),
                attempt: *attempt,
                is_over: *since == Some(long_ago()),
            },
            NodeDriverState::Updating { target, attempt, since } => Self::Updating {
                target: number(target),
                attempt: *attempt,
                is_over: *since == long_ago(),
            },
            NodeDriverState::Failed { target, is_open, .. } => Self::Failed {
                target: number(target),
                is_open: *is_open,
            },
        }
    }

    fn write(self) -> NodeDriverState {
        let since = |is_over| if is_over { long_ago() } else { now() };
        match self {
            Self::Settled => NodeDriverState::Settled,
            Self::Pending(target) => NodeDriverState::Pending { target: version(target) },
            Self::Draining { target, attempt, is_over } => NodeDriverState::Draining {
                target: version(target),
                since: Some(since(is_over)),
                attempt,
            },
            Self::Updating { target, attempt, is_over } => NodeDriverState::Updating {
                target: version(target),
                attempt,
                since: since(is_over),
            },
            Self::Failed { target, is_open } => NodeDriverState::Failed {
                target: version(target),
                message: String::new(),
                is_open,
            },
        }
    }

    fn expire(&mut self) -> bool {
        match self {
            Self::Draining { is_over, .. } | Self::Updating { is_over, .. } => !std::mem::replace(is_over, true),
            Self::Settled | Self::Pending(_) | Self::Failed { .. } => false,
        }
    }
}

impl Node {
    fn fresh() -> Self {
        Self {
            state: State::Settled,
            installed: 1,
            progress: Progress::Done,
            is_busy: true,
            is_held: false,
            is_stuck: false,
            is_bad: false,
            was_disturbed: false,
        }
    }

    fn advance(&self, target: u8, is_forced: bool, has_place: bool) -> Next {
        let progress = match self.progress {
            Progress::Done => DriverProgress::Done,
            Progress::Installing(number) => DriverProgress::Installing { version: version(number) },
            Progress::Failed(number) => DriverProgress::Failed {
                version: version(number),
                reason: String::new(),
            },
        };
        let seen = Seen {
            now: now(),
            target: &version(target),
            strategy: if is_forced { UpdateStrategy::Force } else { UpdateStrategy::Idle },
            installed: Some(&version(self.installed)),
            progress: Some(&progress),
            is_busy: self.is_busy,
            is_held: self.is_held,
            is_well: true,
            has_place,
            limits: LIMITS,
        };
        advance(&self.state.write(), &seen)
    }

    fn obey(&mut self, act: Act, target: u8) {
        match act {
            Act::Hold => self.is_held = true,
            Act::Open => self.is_held = false,
            Act::Install => {
                let is_running = self.progress == Progress::Installing(target);
                if !is_running && self.installed != target {
                    self.progress = Progress::Installing(target);
                }
            }
        }
    }

    fn finish(&mut self) -> bool {
        let Progress::Installing(number) = self.progress else {
            return false;
        };
        self.progress = if self.is_bad && number > 1 {
            Progress::Failed(number)
        } else {
            self.installed = number;
            Progress::Done
        };
        true
    }

    fn is_final(&self, target: u8) -> bool {
        match self.state {
            State::Settled => self.installed == target && !self.is_held,
            State::Failed { target: failed, .. } => failed == target && self.installed != target,
            State::Pending(_) | State::Draining { .. } | State::Updating { .. } => false,
        }
    }
}

impl World {
    fn most(&self) -> usize {
        if self.is_forced { usize::MAX } else { 1 }
    }

    /// A step of the planner. Its commands are lost where it crashes.
    fn step(&mut self, is_crash: bool) {
        let (target, is_forced, most) = (self.target, self.is_forced, self.most());
        let mut places = Places {
            taken: self.nodes.iter().filter(|node| in_work(&node.state.write())).count(),
        };
        // Idle nodes first, as the planner goes through them.
        self.nodes.sort_by_key(|node| (node.is_busy, *node));
        for node in &mut self.nodes {
            let was = in_work(&node.state.write());
            let next = node.advance(target, is_forced, places.admits(was, most));
            places.note(was, in_work(&next.state));
            node.state = State::read(&next.state);
            node.was_disturbed |= is_crash;
            for act in next.acts.into_iter().filter(|_| !is_crash) {
                let touches = act == Act::Install && !is_forced;
                assert!(!(touches && node.is_busy), "an idle upgrade touches a node with a job: {node:?}");
                node.obey(act, target);
            }
        }
        self.check();
    }

    /// What must be true after every step.
    fn check(&self) {
        let in_work = self.nodes.iter().filter(|node| in_work(&node.state.write())).count();
        // Nodes that were begun by force keep going when the way is changed back; here it never is.
        assert!(in_work <= self.most(), "{in_work} nodes at once: {self:?}");
        for node in &self.nodes {
            match node.state {
                State::Settled => assert_eq!(node.installed, self.target, "done without the driver: {node:?}"),
                State::Failed { target, .. } if target == self.target => {
                    assert_ne!(node.installed, self.target, "failed with the driver: {node:?}");
                    let has_cause = node.is_bad || node.is_stuck || node.was_disturbed;
                    assert!(has_cause, "failed without a cause: {node:?}");
                }
                State::Pending(_) | State::Draining { .. } | State::Updating { .. } | State::Failed { .. } => {}
            }
        }
    }

    fn sorted(mut self) -> Self {
        self.nodes.sort();
        self
    }

    /// Every world that one event leads to.
    fn next(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut add = |change: &dyn Fn(&mut Self) -> bool| {
            let mut next = self.clone();
            if change(&mut next) {
                all.push(next.sorted());
            }
        };
        add(&|world| {
            world.step(false);
            true
        });
        add(&|world| {
            world.crashes > 0 && {
                world.crashes -= 1;
                world.step(true);
                true
            }
        });
        add(&|world| {
            world.targets > 0 && {
                world.targets -= 1;
                world.target += 1;
                true
            }
        });
        add(&|world| {
            world.forces > 0 && {
                world.forces -= 1;
                world.is_forced = true;
                true
            }
        });
        for at in 0..self.nodes.len() {
            add(&|world| world.nodes[at].finish());
            add(&|world| {
                let node = &mut world.nodes[at];
                !node.is_stuck && std::mem::replace(&mut node.is_busy, false)
            });
            add(&|world| {
                let node = &mut world.nodes[at];
                world.arrivals > 0 && !node.is_held && !node.is_busy && {
                    world.arrivals -= 1;
                    node.is_busy = true;
                    true
                }
            });
            add(&|world| {
                let node = &mut world.nodes[at];
                world.timeouts > 0 && node.state.expire() && {
                    world.timeouts -= 1;
                    node.was_disturbed = true;
                    true
                }
            });
        }
        all
    }

    /// Lets everything go its way, with what must time out doing so: a final state is reached within a bound.
    fn must_end(&self) {
        let mut world = self.clone();
        for _ in 0..60 {
            let before = world.clone();
            world.step(false);
            for node in &mut world.nodes {
                node.finish();
                node.is_busy &= node.is_stuck;
            }
            if world.nodes.iter().all(|node| node.is_final(world.target)) {
                return;
            }
            if world.clone().sorted() == before.clone().sorted() {
                assert!(
                    world.nodes.iter_mut().any(|node| node.state.expire()),
                    "nothing happens any more and it is not over: {before:#?}"
                );
            }
        }
        panic!("no end in sight: {self:#?}");
    }
}

/// Looks at every world that can be reached.
fn explore(nodes: Vec<Node>, budget: impl Fn(&mut World)) -> usize {
    let mut first = World {
        nodes,
        target: 2,
        is_forced: false,
        crashes: 0,
        timeouts: 0,
        targets: 0,
        arrivals: 0,
        forces: 0,
    };
    budget(&mut first);
    let first = first.sorted();
    let mut seen = BTreeSet::from([first.clone()]);
    let mut queue = VecDeque::from([first]);
    while let Some(world) = queue.pop_front() {
        world.must_end();
        for next in world.next() {
            if seen.insert(next.clone()) {
                queue.push_back(next);
            }
        }
    }
    seen.len()
}

fn stuck() -> Node {
    Node {
        is_stuck: true,
        ..Node::fresh()
    }
}

fn bad() -> Node {
    Node {
        is_bad: true,
        ..Node::fresh()
    }
}

#[test]
fn two_nodes_end_through_everything_at_once() {
    let worlds = explore(vec![bad(), stuck()], |world| {
        (world.crashes, world.timeouts, world.targets, world.arrivals, world.forces) = (1, 2, 1, 1, 1);
    });
    assert!(worlds > 1_000, "{worlds}");
}

#[test]
fn four_nodes_end_with_a_bad_driver_and_a_stuck_job() {
    let worlds = explore(vec![Node::fresh(), Node::fresh(), bad(), stuck()], |world| {
        (world.crashes, world.timeouts) = (1, 1);
    });
    assert!(worlds > 1_000, "{worlds}");
}

#[test]
fn four_nodes_end_when_the_target_changes() {
    let worlds = explore(vec![Node::fresh(), Node::fresh(), Node::fresh(), bad()], |world| {
        (world.targets, world.crashes) = (1, 1);
    });
    assert!(worlds > 1_000, "{worlds}");
}

#[test]
fn four_nodes_end_when_the_way_is_changed_to_force() {
    let worlds = explore(vec![Node::fresh(), Node::fresh(), Node::fresh(), stuck()], |world| {
        (world.forces, world.timeouts) = (1, 1);
    });
    assert!(worlds > 1_000, "{worlds}");
}
