//! What happens in a world, as data: drawn from the seed before it begins, so that a part of it can be left out.

use crate::weather::Trouble;
use clock::{Entropy, SeededEntropy};
use domain::pool::{JobType, UpdateStrategy};
use fleet::sim::{MachineFault, PoolFault};
use jiff::SignedDuration;
use std::cmp::Ordering;
use std::time::Duration;

/// Users, each with pools of their own.
pub const USERS: usize = 3;
/// Pools of each user.
pub const POOLS: u64 = 3;

/// One of a user's pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    pub user: usize,
    pub number: u64,
}

/// Which machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machines {
    Cpu,
    Gpu,
}

/// Something that a user or an operator does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Create {
        slot: Slot,
        machines: Machines,
        count: u32,
        is_prepaid: bool,
    },
    Scale {
        slot: Slot,
        count: u32,
        is_console: bool,
    },
    SetScope {
        slot: Slot,
        scope: Vec<JobType>,
    },
    SetDriver {
        slot: Slot,
        version: &'static str,
        strategy: UpdateStrategy,
    },
    RetryScope {
        slot: Slot,
        job_type: JobType,
    },
    CreateChild {
        slot: Slot,
        count: u32,
    },
    ScaleChild {
        slot: Slot,
        count: u32,
    },
    DeleteChild {
        slot: Slot,
    },
    /// A logical pool without a parent, which waits for approval.
    CreateOrphan {
        slot: Slot,
    },
    Delete {
        slot: Slot,
    },
    Restrict {
        slot: Slot,
        bits: u32,
    },
    /// Of the oldest order that waits; with a host for those that need one.
    Decide {
        is_confirmed: bool,
        host: Slot,
    },
}

/// Something that breaks, or is mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blow {
    /// The machine at this place in the list, counted round.
    Machine(u64, MachineFault),
    MendMachine(u64),
    Pool(Slot, PoolFault),
    MendPool(Slot),
    /// The controller ends where it is; another one begins a while later.
    Kill {
        controller: usize,
        pause: Duration,
    },
    /// Something about the lines to the database. `None`: all of them.
    Weather {
        host: Option<usize>,
        trouble: Trouble,
        lasting: Duration,
    },
}

/// Something that the crowd does who submit workloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CrowdAct {
    Submit {
        slot: Slot,
        /// To the slot's logical pool.
        is_child: bool,
        nodes: u32,
        /// `None`: until it is cancelled.
        minutes: Option<i64>,
        priority: u32,
        job_type: JobType,
    },
    /// The workload at this place in the list, counted round.
    Cancel { at: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Act(Act),
    Blow(Blow),
    Crowd(CrowdAct),
}

/// An event, and how long its actor waits before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed<E = Event> {
    /// Its place among all events of the world.
    pub id: usize,
    pub after: Duration,
    pub event: E,
}

/// What each actor does, in order: the users, then fate, then the crowd, then the weather.
pub fn schedule(seed: u64, hours: u64) -> Vec<Vec<Timed>> {
    draw(seed, hours, USERS + 3, |actor, random| match actor.cmp(&USERS) {
        Ordering::Less => Event::Act(act(actor, random)),
        Ordering::Equal => Event::Blow(blow(random)),
        Ordering::Greater if actor == USERS + 1 => Event::Crowd(crowd(random)),
        Ordering::Greater => Event::Blow(weather(random)),
    })
}

/// Draws what actors do, each from a stream of its own.
pub fn draw<E>(seed: u64, hours: u64, actors: usize, event: impl Fn(usize, &SeededEntropy) -> E) -> Vec<Vec<Timed<E>>> {
    let mut ids = 0..;
    let of_actor = |actor: usize| {
        let random = SeededEntropy::new(seed.wrapping_mul(31) ^ (0x5eed + actor as u64));
        let mut left = Duration::from_hours(hours);
        let mut events = Vec::new();
        loop {
            let after = Duration::from_millis(random.next_u64() % 2_400_000);
            let event = event(actor, &random);
            match left.checked_sub(after) {
                Some(rest) => left = rest,
                None => break,
            }
            let id = ids.next().unwrap_or(usize::MAX);
            events.push(Timed { id, after, event });
        }
        events
    };
    (0..actors).map(of_actor).collect()
}

/// A number below a bound.
pub fn below(random: &SeededEntropy, bound: u64) -> u64 {
    random.next_u64() % bound
}

fn slot(user: usize, random: &SeededEntropy) -> Slot {
    Slot {
        user,
        number: random.next_u64() % POOLS,
    }
}

pub fn act(user: usize, random: &SeededEntropy) -> Act {
    let below = |bound: u64| random.next_u64() % bound;
    let slot = slot(user, random);
    let count = 1 + below(6) as u32;
    let is_even = below(2) == 0;
    match below(24) {
        0..6 => Act::Create {
            slot,
            machines: if below(3) == 0 { Machines::Gpu } else { Machines::Cpu },
            count,
            is_prepaid: below(4) == 0,
        },
        6..11 => Act::Scale {
            slot,
            count,
            is_console: below(3) == 0,
        },
        11..13 => Act::SetScope {
            slot,
            scope: if is_even {
                vec![JobType::Train]
            } else {
                vec![JobType::Train, JobType::Notebook]
            },
        },
        13 | 14 => Act::SetDriver {
            slot,
            version: if is_even { "1" } else { "2" },
            strategy: if below(2) == 0 {
                UpdateStrategy::Force
            } else {
                UpdateStrategy::Idle
            },
        },
        15 => Act::RetryScope {
            slot,
            job_type: if is_even { JobType::Train } else { JobType::Notebook },
        },
        16 => Act::CreateChild { slot, count: count / 2 },
        17 => Act::ScaleChild { slot, count: count / 2 },
        18 => Act::DeleteChild { slot },
        19 => Act::CreateOrphan { slot },
        20 => Act::Restrict {
            slot,
            bits: if is_even { 0 } else { 1 << below(5) },
        },
        21 | 22 => Act::Decide {
            is_confirmed: below(3) != 0,
            host: slot,
        },
        _ => Act::Delete { slot },
    }
}

fn crowd(random: &SeededEntropy) -> CrowdAct {
    let below = |bound: u64| random.next_u64() % bound;
    let slot = slot(below(USERS as u64) as usize, random);
    if below(8) == 0 {
        return CrowdAct::Cancel { at: below(1 << 32) };
    }
    CrowdAct::Submit {
        slot,
        is_child: below(3) == 0,
        nodes: 1 + below(3) as u32,
        minutes: (below(6) != 0).then(|| 1 + below(180) as i64),
        priority: 1 + below(3) as u32,
        job_type: if below(4) == 0 { JobType::Notebook } else { JobType::Train },
    }
}

fn blow(random: &SeededEntropy) -> Blow {
    let below = |bound: u64| random.next_u64() % bound;
    let machine = below(1 << 32);
    let slot = slot((random.next_u64() % USERS as u64) as usize, random);
    let reason = || "simulated".to_owned();
    match below(16) {
        0..3 => Blow::Machine(
            machine,
            MachineFault::Silent {
                lasting: Some(SignedDuration::from_mins(below(90) as i64)),
            },
        ),
        3 => Blow::Machine(machine, MachineFault::Faulty { reason: reason() }),
        4 => Blow::Machine(machine, MachineFault::NeverBoots),
        5 => Blow::Machine(machine, MachineFault::DriverFails { times: 1 }),
        6 => Blow::Machine(machine, MachineFault::NeverReleases),
        7..9 => Blow::MendMachine(machine),
        9 => Blow::Pool(slot, PoolFault::ClusterDown { reason: reason() }),
        10 => Blow::Pool(
            slot,
            PoolFault::PluginFails {
                template: crate::place::plugin(),
                times: 1,
            },
        ),
        11 => Blow::Pool(
            slot,
            PoolFault::DependencyDown {
                job_type: JobType::Notebook,
                reason: reason(),
            },
        ),
        12 | 13 => Blow::MendPool(slot),
        _ => Blow::Kill {
            controller: below(2) as usize,
            pause: Duration::from_millis(below(90_000)),
        },
    }
}

/// Now and then for longer than a lease lasts.
fn weather(random: &SeededEntropy) -> Blow {
    let below = |bound: u64| random.next_u64() % bound;
    let host = match below(3) {
        0 => None,
        _ => Some(below(2) as usize),
    };
    let trouble = match below(3) {
        0 => Trouble::Cut,
        1 => Trouble::Slow,
        _ => Trouble::NoNews,
    };
    let lasting = Duration::from_millis(1_000 + below(59_000));
    Blow::Weather { host, trouble, lasting }
}
