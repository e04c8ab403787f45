//! Decisions in a row on a large tree, to measure how long one takes.

use super::{Decision, Ledger, Level, Run, Tree, TreeError, Wait, WorkId};
use std::collections::VecDeque;

/// Nodes guaranteed to each pool that has no children.
const GUARANTEED: u64 = 4;

/// A full tree under load: most of its nodes are in use, every third workload borrows.
#[derive(Debug, Clone)]
pub struct Drill {
    ledger: Ledger,
    /// Pools without children.
    leaves: Vec<usize>,
    /// What runs, the oldest first.
    running: VecDeque<WorkId>,
    seed: u64,
    next: WorkId,
    is_full: bool,
}

impl Drill {
    /// So many pools in a tree of so many levels, each pool with about as many children as its siblings.
    pub fn new(pools: usize, levels: u32, seed: u64) -> Result<Self, TreeError> {
        let width = (1..=pools).find(|width| reach(*width, levels) >= pools).unwrap_or(1);
        let parent = |at: usize| (at > 0).then(|| (at - 1) / width);
        let mut guaranteed = vec![0; pools];
        for at in (0..pools).rev() {
            if guaranteed[at] == 0 {
                guaranteed[at] = GUARANTEED;
            }
            if let Some(parent) = parent(at) {
                guaranteed[parent] += guaranteed[at];
            }
        }
        let level = |at: usize| Level {
            parent: parent(at),
            guaranteed: guaranteed[at],
            ceiling: guaranteed[at].saturating_mul(2),
        };
        let built: Vec<Level> = (0..pools).map(level).collect();
        let has_children = |at: usize| at * width + 1 < pools;
        let capacity = guaranteed.first().copied().unwrap_or(0);
        Ok(Self {
            ledger: Ledger::new(Tree::new(&built)?, capacity),
            leaves: (0..pools).filter(|at| !has_children(*at)).collect(),
            running: VecDeque::new(),
            seed,
            next: 0,
            is_full: false,
        })
    }

    /// Fills the tree: up to the point at which requests are turned away.
    pub fn fill(&mut self) {
        while !self.is_full {
            self.step();
        }
    }

    /// One decision and what follows from it. Borrowers give back at once; when a request has to wait, the oldest workloads
    /// end instead.
    pub fn step(&mut self) -> Decision {
        let drawn = self.draw();
        let pool = self.leaves[(drawn % self.leaves.len() as u64) as usize];
        let size = 1 + (drawn >> 40) % 4;
        let decision = self.ledger.decide(pool, size);
        match &decision {
            Decision::Start => self.start(pool, size),
            Decision::Reclaim(victims) => {
                self.is_full = true;
                for victim in victims {
                    self.ledger.end(*victim);
                }
                self.start(pool, size);
            }
            Decision::Wait(Wait::Ceiling(_) | Wait::TooLarge(_) | Wait::Returning | Wait::Behind) => {}
            Decision::Soon | Decision::Wait(Wait::Nodes) => {
                self.is_full = true;
                for _ in 0..2 {
                    if let Some(oldest) = self.running.pop_front() {
                        self.ledger.end(oldest);
                    }
                }
            }
        }
        decision
    }

    /// Nodes in use.
    pub fn used(&self) -> u64 {
        self.ledger.used(0)
    }

    fn start(&mut self, pool: usize, size: u64) {
        self.next += 1;
        self.ledger.start(Run {
            id: self.next,
            pool,
            size,
            priority: (self.next % 3) as u32,
            since: i64::try_from(self.next).unwrap_or(i64::MAX),
            is_lasting: false,
        });
        self.running.push_back(self.next);
    }

    /// `SplitMix64`.
    fn draw(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Pools in a full tree of this width and so many levels.
fn reach(width: usize, levels: u32) -> usize {
    (0..levels).fold(0_usize, |sum, level| sum.saturating_add(width.saturating_pow(level)))
}
