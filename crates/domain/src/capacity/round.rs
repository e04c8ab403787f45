//! All requests that wait, in their order.

use super::ledger::{Decision, Ledger, Run, Wait, WorkId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A workload that waits for nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    pub id: WorkId,
    /// Position of its pool in the tree.
    pub pool: usize,
    /// Nodes.
    pub size: u64,
    /// The higher, the earlier.
    pub priority: u32,
    /// When it was submitted; the unit is the caller's.
    pub submitted: i64,
    /// It does not end by itself.
    pub is_lasting: bool,
    /// The last round said [`Wait::Returning`] of it.
    pub is_promised: bool,
}

/// What a round decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Start(WorkId),
    /// This workload is asked to give its nodes back.
    GiveBack(WorkId),
    Wait(WorkId, Wait),
}

/// The order within a pool, and among requests that are as well guaranteed.
pub(super) type Order = (Reverse<u32>, i64, WorkId);
/// The lower the pool stands in the tree that guarantees a request, the earlier: only such a one can have the other asked to
/// give back. Then what was promised.
pub(super) type Turn = (Reverse<usize>, bool, Order);

/// The requests of each pool in order. Those that were promised stand in no queue: nobody is ahead of them, and those that
/// were behind them still are.
struct Queues {
    of_pools: BTreeMap<usize, VecDeque<Request>>,
    /// By pool.
    promised: BTreeMap<usize, BTreeSet<Order>>,
    /// Who may be next: those that were promised, and the first of each queue that is behind none of them. Under each stands its
    /// turn as it was when last looked at, which is not later than it is: turns get later as nodes are booked.
    candidates: BTreeMap<Turn, Request>,
    /// Pools whose first is among them.
    offered: BTreeSet<usize>,
    /// How often nodes had been given up when turns were last looked at. That makes turns earlier.
    given_up: u64,
}

impl Request {
    pub(super) fn run(&self, since: i64) -> Run {
        Run {
            id: self.id,
            pool: self.pool,
            size: self.size,
            priority: self.priority,
            since,
            is_lasting: self.is_lasting,
        }
    }

    pub(super) fn order(&self) -> Order {
        (Reverse(self.priority), self.submitted, self.id)
    }
}

/// Decides on everything that waits, and books it. Each request gets a start or a wait. What starts may clear the way for
/// others: there is no more to decide when a round starts nothing.
pub fn round(ledger: &mut Ledger, waiting: &[Request], now: i64) -> Vec<Step> {
    without_lost(ledger, waiting, |ledger, waiting| attempt(ledger, waiting, now))
}

/// A promise that can no more be kept would hold others back until the next round, which need not come: where there is one,
/// the round is done again without it. Each time there are fewer.
pub(super) fn without_lost(ledger: &mut Ledger, waiting: &[Request], attempt: impl Fn(&mut Ledger, &[Request]) -> Vec<Step>) -> Vec<Step> {
    let mut promised: BTreeSet<WorkId> = waiting
        .iter()
        .filter(|request| request.is_promised)
        .map(|request| request.id)
        .collect();
    let mut waiting = waiting.to_vec();
    while !promised.is_empty() {
        let mut books = ledger.clone();
        let steps = attempt(&mut books, &waiting);
        let before = promised.len();
        for step in &steps {
            match step {
                Step::Start(_) | Step::GiveBack(_) | Step::Wait(_, Wait::Returning) => {}
                Step::Wait(id, Wait::TooLarge(_) | Wait::Ceiling(_) | Wait::Nodes | Wait::Behind) => drop(promised.remove(id)),
            }
        }
        if promised.len() == before {
            *ledger = books;
            return steps;
        }
        for request in &mut waiting {
            request.is_promised = promised.contains(&request.id);
        }
    }
    attempt(ledger, &waiting)
}

fn attempt(ledger: &mut Ledger, waiting: &[Request], now: i64) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut ordered = Vec::new();
    for request in waiting.iter().filter(|request| request.is_promised) {
        ledger.claim(Run {
            is_lasting: false,
            ..request.run(i64::MAX)
        });
    }
    for request in waiting {
        match hopeless(ledger, request) {
            Some(wait) => steps.push(Step::Wait(request.id, wait)),
            None => ordered.push(*request),
        }
    }
    steps.sort();
    let mut queues = Queues::new(ordered, ledger);
    while let Some(request) = queues.next(ledger) {
        if !settle(ledger, &request, now, &mut steps) {
            let behind = queues.close(&request);
            steps.extend(behind.into_iter().map(|other| Step::Wait(other.id, Wait::Behind)));
        }
        queues.offer(request.pool, ledger);
    }
    steps
}

/// When a request has its turn.
pub(super) fn turn(ledger: &Ledger, request: &Request) -> Turn {
    (
        Reverse(ledger.guaranteed_depth(request.id, request.pool, request.size)),
        !request.is_promised,
        request.order(),
    )
}

/// What could not start even if everything ended that ends by itself steps aside, and that before anything starts: who stands
/// behind it takes part in its place.
pub(super) fn hopeless(ledger: &mut Ledger, request: &Request) -> Option<Wait> {
    if request.is_promised {
        return None;
    }
    match ledger.decide(request.pool, request.size) {
        Decision::Wait(wait) if !ledger.can_ever_fit(request.pool, request.size) => Some(wait),
        Decision::Wait(_) | Decision::Start | Decision::Soon | Decision::Reclaim(_) => None,
    }
}

impl Queues {
    fn new(mut ordered: Vec<Request>, ledger: &Ledger) -> Self {
        ordered.sort_by_key(Request::order);
        let mut queues = Self {
            of_pools: BTreeMap::new(),
            promised: BTreeMap::new(),
            candidates: BTreeMap::new(),
            offered: BTreeSet::new(),
            given_up: ledger.given_up(),
        };
        for request in ordered {
            if request.is_promised {
                queues.promised.entry(request.pool).or_default().insert(request.order());
                queues.candidates.insert(turn(ledger, &request), request);
            } else {
                queues.of_pools.entry(request.pool).or_default().push_back(request);
            }
        }
        let pools: Vec<usize> = queues.of_pools.keys().copied().collect();
        for pool in pools {
            queues.offer(pool, ledger);
        }
        queues
    }

    /// Takes the next request. What comes next in its pool takes part when it is offered.
    fn next(&mut self, ledger: &Ledger) -> Option<Request> {
        if self.given_up != ledger.given_up() {
            self.given_up = ledger.given_up();
            let all = std::mem::take(&mut self.candidates).into_values();
            self.candidates = all.map(|request| (turn(ledger, &request), request)).collect();
        }
        loop {
            let (known, request) = self.candidates.pop_first()?;
            let turn = turn(ledger, &request);
            if turn != known {
                self.candidates.insert(turn, request);
                continue;
            }
            if let Some(promised) = self.promised.get_mut(&request.pool).filter(|_| request.is_promised) {
                promised.remove(&request.order());
            } else if let Some(queue) = self.of_pools.get_mut(&request.pool) {
                queue.pop_front();
                self.offered.remove(&request.pool);
            }
            return Some(request);
        }
    }

    /// Lets the first of a pool's queue take part, unless it is behind a promise.
    fn offer(&mut self, pool: usize, ledger: &Ledger) {
        let Some(first) = self.of_pools.get(&pool).and_then(VecDeque::front) else {
            return;
        };
        let promised = self.promised.get(&pool).and_then(BTreeSet::first);
        if promised.is_none_or(|promised| *promised > first.order()) && self.offered.insert(pool) {
            self.candidates.insert(turn(ledger, first), *first);
        }
    }

    /// Takes those that come after a request of their pool.
    fn close(&mut self, request: &Request) -> Vec<Request> {
        let Some(queue) = self.of_pools.get_mut(&request.pool) else {
            return Vec::new();
        };
        let ahead = queue.partition_point(|other| other.order() < request.order());
        queue.drain(ahead..).collect()
    }
}

/// `false`: it does not start, and those behind it have to wait, too.
pub(super) fn settle(ledger: &mut Ledger, request: &Request, now: i64, steps: &mut Vec<Step>) -> bool {
    let (pool, size) = (request.pool, request.size);
    let is_guaranteed = ledger.guaranteed_depth(request.id, pool, size) > 0;
    let has_claim = ledger.drop_claim(request.id);
    let wait = loop {
        let decision = if has_claim {
            ledger.decide_claim(pool, size)
        } else {
            ledger.decide(pool, size)
        };
        match decision {
            Decision::Start => {
                ledger.start(request.run(now));
                steps.push(Step::Start(request.id));
                return true;
            }
            Decision::Soon if is_guaranteed => break Wait::Returning,
            Decision::Soon => break Wait::Nodes,
            Decision::Reclaim(mut victims) => {
                victims.retain(|victim| !ledger.drop_claim(*victim));
                if victims.is_empty() {
                    continue;
                }
                for victim in victims {
                    ledger.give_back(victim);
                    steps.push(Step::GiveBack(victim));
                }
                break Wait::Returning;
            }
            Decision::Wait(wait) => break wait,
        }
    };
    ledger.reserve(pool, size, wait == Wait::Returning);
    steps.push(Step::Wait(request.id, wait));
    false
}
