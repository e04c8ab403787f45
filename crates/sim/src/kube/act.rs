//! What happens in a world over a cluster, as data.

use crate::act::{self, Act, Slot, Timed, USERS};
use crate::weather::Trouble;
use clock::SeededEntropy;
use std::time::Duration;

/// Something that somebody does to the cluster, past us. Machines are counted round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// No sign of life any more, until it is woken.
    Silence {
        machine: u64,
    },
    Wake {
        machine: u64,
    },
    /// Its kubelet says that it is not ready.
    Break {
        machine: u64,
    },
    /// Accelerators are gone.
    LoseAccelerators {
        machine: u64,
    },
    /// A fault of the table is reported.
    Report {
        machine: u64,
    },
    Mend {
        machine: u64,
    },
    /// The Node object goes, and comes back a while later as that of another machine.
    Vanish {
        machine: u64,
        pause: Duration,
    },
    Restart {
        machine: u64,
    },
    /// `None`: the label goes.
    Label {
        machine: u64,
        key: &'static str,
        value: Option<u64>,
    },
    Annotate {
        machine: u64,
        value: u64,
    },
    Taint {
        machine: u64,
        key: &'static str,
        effect: &'static str,
    },
    Untaint {
        machine: u64,
    },
    Cordon {
        machine: u64,
        is_on: bool,
    },
    /// A driver does not install any more, or does again.
    BadDriver {
        version: &'static str,
        is_bad: bool,
    },
    /// The server forgets the past.
    Compact,
    /// What notebooks need.
    StorageClass {
        is_there: bool,
    },
}

/// Something that those do who use pools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    /// Pods of a job in a pool's name space. Without seconds they run until they are deleted.
    Run {
        slot: Slot,
        is_child: bool,
        pods: u64,
        seconds: Option<u64>,
        /// How long a pod takes to stop.
        stop: u64,
        /// A budget that allows no eviction.
        has_budget: bool,
    },
    /// The pod at this place in the list, counted round.
    End {
        at: u64,
    },
    Budgets,
    /// A node of a pool, counted round, and something for it.
    Node {
        slot: Slot,
        at: u64,
        what: NodeAct,
    },
    /// To the user's next pool.
    Migrate {
        slot: Slot,
        at: u64,
    },
    /// Binds nodes to the slot's logical pool.
    Bind {
        slot: Slot,
        at: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeAct {
    Reboot,
    Reset,
    Drain,
    Lock,
    Unlock,
    Delete,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Act(Act),
    Deed(Deed),
    Use(Use),
    Kill {
        controller: usize,
        pause: Duration,
    },
    /// About the lines to the database.
    Database {
        host: Option<usize>,
        trouble: Trouble,
        lasting: Duration,
    },
    /// About the lines to the API server.
    Server {
        host: Option<usize>,
        trouble: Trouble,
        lasting: Duration,
    },
}

/// What each actor does, in order: the users, then fate, then strangers, then those who use pools.
pub fn schedule(seed: u64, hours: u64) -> Vec<Vec<Timed<Event>>> {
    act::draw(seed ^ 0x6b75_6265, hours, USERS + 3, |actor, random| match actor {
        user if user < USERS => Event::Act(act::act(user, random)),
        user if user == USERS => fate(random),
        user if user == USERS + 1 => Event::Deed(deed(random)),
        _ => Event::Use(use_of(random)),
    })
}

fn fate(random: &SeededEntropy) -> Event {
    let below = |bound: u64| act::below(random, bound);
    let host = match below(3) {
        0 => None,
        _ => Some(below(2) as usize),
    };
    let lasting = Duration::from_millis(1_000 + below(89_000));
    let trouble = match below(3) {
        0 => Trouble::Cut,
        1 => Trouble::Slow,
        _ => Trouble::NoNews,
    };
    match below(8) {
        0..3 => Event::Kill {
            controller: below(2) as usize,
            pause: Duration::from_millis(below(90_000)),
        },
        3..5 => Event::Database { host, trouble, lasting },
        5..7 => Event::Server { host, trouble, lasting },
        _ => Event::Deed(Deed::Compact),
    }
}

fn deed(random: &SeededEntropy) -> Deed {
    let below = |bound: u64| act::below(random, bound);
    let machine = below(1 << 32);
    let is_even = below(2) == 0;
    match below(24) {
        0 | 1 => Deed::Silence { machine },
        2 | 3 => Deed::Wake { machine },
        4 => Deed::Break { machine },
        5 => Deed::LoseAccelerators { machine },
        6 => Deed::Report { machine },
        7..10 => Deed::Mend { machine },
        10 | 11 => Deed::Vanish {
            machine,
            pause: Duration::from_secs(below(3_600)),
        },
        12 => Deed::Restart { machine },
        13..16 => Deed::Label {
            machine,
            key: ["site.example/a", "site.example/b", "team"][below(3) as usize],
            value: (below(3) != 0).then(|| below(100)),
        },
        16 => Deed::Annotate {
            machine,
            value: below(100),
        },
        17 | 18 => Deed::Taint {
            machine,
            key: ["site.example/repair", "nvidia.com/gpu"][below(2) as usize],
            effect: if is_even { "NoSchedule" } else { "NoExecute" },
        },
        19 => Deed::Untaint { machine },
        20 | 21 => Deed::Cordon { machine, is_on: is_even },
        22 => Deed::BadDriver {
            version: if below(2) == 0 { "1" } else { "2" },
            is_bad: is_even,
        },
        _ => Deed::StorageClass { is_there: is_even },
    }
}

fn use_of(random: &SeededEntropy) -> Use {
    let below = |bound: u64| act::below(random, bound);
    let slot = Slot {
        user: below(USERS as u64) as usize,
        number: below(act::POOLS),
    };
    let at = below(1 << 32);
    match below(16) {
        0..6 => Use::Run {
            slot,
            is_child: below(3) == 0,
            pods: 1 + below(4),
            seconds: (below(4) != 0).then(|| 10 + below(7_200)),
            stop: [1, 20, 600][below(3) as usize],
            has_budget: below(4) == 0,
        },
        6 | 7 => Use::End { at },
        8 => Use::Budgets,
        9..14 => Use::Node {
            slot,
            at,
            what: [
                NodeAct::Reboot,
                NodeAct::Reset,
                NodeAct::Drain,
                NodeAct::Lock,
                NodeAct::Unlock,
                NodeAct::Delete,
            ][below(6) as usize],
        },
        14 => Use::Migrate { slot, at },
        _ => Use::Bind { slot, at },
    }
}
