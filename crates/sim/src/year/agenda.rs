//! What happens when: each stream of events draws its own next one.

use super::dice::Dice;
use super::site::{PoolPlan, Site};
use super::{DAY, HOUR, YearSettings, later};
use domain::name::{NodeName, PoolName};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Share of the nodes that workloads would use if they never waited.
const LOAD: f64 = 0.5;
/// Shortest and longest run of a workload that ends by itself, in hours, and what this makes on average.
const RUN: (f64, f64) = (0.2, 24.0);
const MEAN_RUN: f64 = 4.97;
/// Pools with roll-outs on the same day of the week.
const WEEKDAYS: u64 = 5;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    Create {
        pool: usize,
    },
    /// The sub-pools of a pool that is up by then.
    Divide {
        pool: usize,
    },
    Submit {
        pool: usize,
    },
    /// Of the workload of this id.
    Cancel {
        id: String,
    },
    RollOut {
        pool: usize,
        week: u32,
    },
    Resize {
        pool: usize,
    },
    /// A sub-pool is guaranteed more, or less.
    ResizeChild,
    /// Somebody asks for something for a node.
    Request,
    /// A node may be replaced again.
    Unlock {
        pool: PoolName,
        node: NodeName,
    },
    /// A node that was drained for its upkeep is installed anew, and open again.
    Renew {
        pool: PoolName,
        node: NodeName,
    },
    /// Machines of one pool fall silent together.
    Outage,
    LookHourly,
    LookDaily,
}

pub(super) struct Agenda {
    /// In the order of time, then of entry.
    events: BTreeMap<(Timestamp, u64), Event>,
    entered: u64,
    handled: u64,
    end: Timestamp,
    pub dice: Dice,
}

impl Agenda {
    pub fn new(settings: &YearSettings, site: &Site, now: Timestamp) -> Self {
        let mut agenda = Self {
            events: BTreeMap::new(),
            entered: 0,
            handled: 0,
            end: later(now, DAY * settings.days),
            dice: Dice::new(settings.seed, 2),
        };
        let minutes = |minutes: u64| later(now, Duration::from_mins(minutes));
        for pool in &site.pools {
            let number = pool.number;
            agenda.enter(minutes(number as u64), Event::Create { pool: number });
            if !pool.children.is_empty() {
                agenda.enter(minutes(number as u64 + 180), Event::Divide { pool: number });
            }
            agenda.enter_after(later(now, HOUR * 8), gap(pool), Event::Submit { pool: number });
            agenda.enter_after(later(now, DAY), DAY * 20, Event::Resize { pool: number });
            if pool.kind.accelerator().is_some() {
                for week in 1..=settings.days / 7 {
                    let day = u64::from(week) * 7 - 6 + number as u64 % WEEKDAYS;
                    let at = minutes((day * 24 + 2) * 60 + number as u64);
                    agenda.enter(at, Event::RollOut { pool: number, week });
                }
            }
        }
        for (mean, event) in means(site) {
            agenda.enter_after(later(now, HOUR * 6), mean, event);
        }
        agenda.enter(later(now, HOUR), Event::LookHourly);
        agenda.enter(later(now, DAY), Event::LookDaily);
        agenda
    }

    /// Does nothing if the year is over by then.
    pub fn enter(&mut self, at: Timestamp, event: Event) {
        if at < self.end {
            self.entered += 1;
            self.events.insert((at, self.entered), event);
        }
    }

    fn enter_after(&mut self, from: Timestamp, mean: Duration, event: Event) {
        let at = later(from, self.dice.wait(mean));
        self.enter(at, event);
    }

    /// The next event.
    pub fn take_next(&mut self) -> Option<(Timestamp, Event)> {
        let ((at, _), event) = self.events.pop_first()?;
        self.handled += 1;
        Some((at, event))
    }

    /// Enters the next event of a stream.
    pub fn go_on(&mut self, site: &Site, at: Timestamp, event: &Event) {
        match event {
            Event::Submit { pool } => self.enter_after(at, gap(&site.pools[*pool]), event.clone()),
            Event::Resize { .. } => self.enter_after(at, DAY * 20, event.clone()),
            Event::LookHourly => self.enter(later(at, HOUR), event.clone()),
            Event::LookDaily => self.enter(later(at, DAY), event.clone()),
            Event::ResizeChild | Event::Request | Event::Outage => {
                if let Some((mean, _)) = means(site).into_iter().find(|(_, other)| other == event) {
                    self.enter_after(at, mean, event.clone());
                }
            }
            Event::Create { .. }
            | Event::Divide { .. }
            | Event::Cancel { .. }
            | Event::RollOut { .. }
            | Event::Unlock { .. }
            | Event::Renew { .. } => {}
        }
    }

    pub fn handled(&self) -> u64 {
        self.handled
    }
}

/// Streams of events of the whole installation, and how long apart these are on average.
fn means(site: &Site) -> [(Duration, Event); 3] {
    let nodes: u32 = site.pools.iter().map(|pool| pool.nodes).sum();
    let thousands = (nodes / 1000).max(1);
    [
        (DAY * 5 / thousands, Event::ResizeChild),
        (HOUR * 24 / thousands, Event::Request),
        (DAY * 60 / thousands, Event::Outage),
    ]
}

/// Nodes of the largest workload of a pool.
pub(super) fn largest(pool: &PoolPlan) -> f64 {
    f64::from((pool.nodes / 4).max(1))
}

/// How long a workload runs.
pub(super) fn run(dice: &Dice) -> Duration {
    Duration::from_secs_f64(dice.magnitude(RUN.0, RUN.1) * 3600.0)
}

/// Between two workloads of a pool, so that its load is as wanted.
fn gap(pool: &PoolPlan) -> Duration {
    let most = largest(pool);
    let mean_size = if most > 1.0 { (most - 1.0) / most.ln() } else { 1.0 };
    let hours = mean_size * MEAN_RUN / (LOAD * f64::from(pool.nodes));
    Duration::from_secs_f64(hours * 3600.0)
}
