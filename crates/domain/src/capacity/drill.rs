//! Decisions in a row on a large tree, to measure how long one takes.

use super::{Decision, Ledger, Level, Request, Run, Tree, TreeError, Wait, WorkId};
use std::collections::VecDeque;

/// Nodes guaranteed to each pool that has no children.
const GUARANTEED: u64 = 4;
/// How many decisions long borrowers have to give back.
const GRACE: u64 = 64;

/// A full tree under load: workloads come and end, borrow up to the ceilings, are asked to give back, do so after a while, and
/// those for whom they were asked come again.
#[derive(Debug, Clone)]
pub struct Drill {
    ledger: Ledger,
    pools: usize,
    /// Pools without children.
    leaves: Vec<usize>,
    /// What runs and was not asked to give back, the oldest first; some of it may have ended.
    running: VecDeque<WorkId>,
    /// What gives back, and when.
    returning: VecDeque<(u64, WorkId)>,
    /// Requests for which others were asked to give back, and when they have.
    promised: VecDeque<(u64, Request)>,
    seed: u64,
    now: u64,
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
            pools,
            leaves: (0..pools).filter(|at| !has_children(*at)).collect(),
            running: VecDeque::new(),
            returning: VecDeque::new(),
            promised: VecDeque::new(),
            seed,
            now: 0,
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

    /// One decision, and what follows from it. Before it, those have given back whose time is over, and at times a workload ends.
    pub fn step(&mut self) -> Decision {
        self.now += 1;
        while let Some((_, id)) = self.returning.pop_front_if(|(due, _)| *due <= self.now) {
            self.ledger.end(id);
        }
        let drawn = self.draw();
        if self.is_full && drawn.is_multiple_of(4) {
            self.end_oldest();
        }
        let request = match self.promised.pop_front_if(|(due, _)| *due <= self.now) {
            Some((_, request)) => request,
            None => self.request(drawn),
        };
        self.ledger.drop_claim(request.id);
        let decision = self.ledger.decide(request.pool, request.size);
        self.carry_out(&request, &decision);
        decision
    }

    /// New requests as they come, to be decided on in one round.
    pub fn crowd(&mut self, count: usize) -> Vec<Request> {
        (0..count)
            .map(|_| {
                let drawn = self.draw();
                self.request(drawn)
            })
            .collect()
    }

    /// The books as they are.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Nodes in use.
    pub fn used(&self) -> u64 {
        self.ledger.used(0)
    }

    /// One in eight is of any pool, the others of one without children.
    fn request(&mut self, drawn: u64) -> Request {
        self.next += 1;
        let place = |count: usize| ((drawn >> 8) % count as u64) as usize;
        Request {
            id: self.next,
            pool: if (drawn >> 2).is_multiple_of(8) {
                place(self.pools)
            } else {
                self.leaves[place(self.leaves.len())]
            },
            size: 1 + (drawn >> 40) % 4,
            priority: (drawn >> 50) as u32 % 3,
            submitted: i64::try_from(self.next).unwrap_or(i64::MAX),
            is_lasting: false,
            is_promised: false,
        }
    }

    fn carry_out(&mut self, request: &Request, decision: &Decision) {
        match decision {
            Decision::Start => {
                self.ledger.start(request.run(i64::try_from(self.now).unwrap_or(i64::MAX)));
                self.running.push_back(request.id);
            }
            Decision::Reclaim(victims) => {
                self.is_full = true;
                for victim in victims {
                    // Who only has a claim has nothing to give back: it loses the claim, and comes again in its time.
                    if !self.ledger.drop_claim(*victim) {
                        self.ledger.give_back(*victim);
                        self.returning.push_back((self.now + GRACE, *victim));
                    }
                }
                self.promise(request);
            }
            Decision::Soon => {
                self.is_full = true;
                self.promise(request);
            }
            Decision::Wait(Wait::Nodes) => {
                self.is_full = true;
                self.end_oldest();
            }
            Decision::Wait(Wait::Ceiling(_) | Wait::TooLarge(_) | Wait::Returning | Wait::Behind) => {}
        }
    }

    fn promise(&mut self, request: &Request) {
        self.ledger.claim(Run {
            is_lasting: false,
            ..request.run(i64::MAX)
        });
        self.promised.push_back((self.now + GRACE, *request));
    }

    fn end_oldest(&mut self) {
        while let Some(oldest) = self.running.pop_front() {
            if self.ledger.run(oldest).is_some() {
                self.ledger.end(oldest);
                return;
            }
        }
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
