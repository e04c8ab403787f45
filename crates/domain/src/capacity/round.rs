//! All requests that wait, in their order.

use super::ledger::{Decision, Ledger, Run, Wait, WorkId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

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
type Order = (Reverse<u32>, i64, WorkId);
/// The lower the pool stands in the tree that guarantees a request, the earlier: only such a one can have the other asked to
/// give back. Then what was promised.
type Turn = (Reverse<usize>, bool, Order);

/// The requests of each pool in order. Those that were promised stand in no queue: nobody is ahead of them, and those that
/// were behind them still are.
struct Queues {
    of_pools: BTreeMap<usize, VecDeque<Request>>,
    promised: Vec<Request>,
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

    fn order(&self) -> Order {
        (Reverse(self.priority), self.submitted, self.id)
    }
}

/// Decides on everything that waits, and books it. Each request gets a start or a wait. What starts may clear the way for
/// others: there is no more to decide when a round starts nothing.
pub fn round(ledger: &mut Ledger, waiting: &[Request], now: i64) -> Vec<Step> {
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
    let mut queues = Queues::new(ordered);
    while let Some(request) = queues.next(ledger) {
        if !settle(ledger, &request, now, &mut steps) {
            let behind = queues.close(&request);
            steps.extend(behind.into_iter().map(|other| Step::Wait(other.id, Wait::Behind)));
        }
    }
    steps
}

/// What could not start even if everything ended that ends by itself steps aside, and that before anything starts: who stands
/// behind it takes part in its place.
fn hopeless(ledger: &mut Ledger, request: &Request) -> Option<Wait> {
    if request.is_promised {
        return None;
    }
    match ledger.decide(request.pool, request.size) {
        Decision::Wait(wait) if !ledger.can_ever_fit(request.pool, request.size) => Some(wait),
        Decision::Wait(_) | Decision::Start | Decision::Soon | Decision::Reclaim(_) => None,
    }
}

impl Queues {
    fn new(mut ordered: Vec<Request>) -> Self {
        ordered.sort_by_key(Request::order);
        let (promised, others): (Vec<Request>, Vec<Request>) = ordered.into_iter().partition(|request| request.is_promised);
        let mut of_pools: BTreeMap<usize, VecDeque<Request>> = BTreeMap::new();
        for request in others {
            of_pools.entry(request.pool).or_default().push_back(request);
        }
        Self { of_pools, promised }
    }

    /// Takes the next request.
    fn next(&mut self, ledger: &Ledger) -> Option<Request> {
        let fronts = self.of_pools.values().filter_map(VecDeque::front);
        let fronts = fronts.filter(|request| !self.is_behind_a_promise(request));
        let turn = |request: &&Request| -> Turn {
            (
                Reverse(ledger.guaranteed_depth(request.id, request.pool, request.size)),
                !request.is_promised,
                request.order(),
            )
        };
        let request = fronts.chain(&self.promised).min_by_key(turn).copied()?;
        if request.is_promised {
            self.promised.retain(|other| other.id != request.id);
        } else if let Some(queue) = self.of_pools.get_mut(&request.pool) {
            queue.pop_front();
        }
        Some(request)
    }

    fn is_behind_a_promise(&self, request: &Request) -> bool {
        let mut own = self.promised.iter().filter(|promised| promised.pool == request.pool);
        own.any(|promised| promised.order() < request.order())
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
fn settle(ledger: &mut Ledger, request: &Request, now: i64, steps: &mut Vec<Step>) -> bool {
    let (pool, size) = (request.pool, request.size);
    ledger.drop_claim(request.id);
    let is_guaranteed = ledger.guaranteed_depth(request.id, pool, size) > 0;
    let wait = loop {
        match ledger.decide(pool, size) {
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
    ledger.reserve(pool, size);
    steps.push(Step::Wait(request.id, wait));
    false
}
