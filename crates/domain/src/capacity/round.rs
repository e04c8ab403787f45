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
type Turn = (usize, Order);
type Queues = BTreeMap<usize, VecDeque<Request>>;

impl Request {
    fn order(&self) -> Order {
        (Reverse(self.priority), self.submitted, self.id)
    }
}

/// Decides on everything that waits, and books it. Each request gets a start or a wait.
pub fn round(ledger: &mut Ledger, waiting: &[Request], now: i64) -> Vec<Step> {
    let mut ordered = waiting.to_vec();
    ordered.sort_by_key(Request::order);
    let (promised, others): (Vec<Request>, Vec<Request>) = ordered.into_iter().partition(|request| request.is_promised);
    let mut queues = Queues::new();
    for request in others {
        queues.entry(request.pool).or_default().push_back(request);
    }
    let mut promised = VecDeque::from(promised);
    let mut steps = Vec::new();
    while let Some(request) = promised.pop_front().or_else(|| next(ledger, &mut queues)) {
        let is_open = settle(ledger, &request, now, &mut steps);
        if !is_open && let Some(queue) = queues.get_mut(&request.pool) {
            let ahead = queue.partition_point(|other| other.order() < request.order());
            steps.extend(queue.drain(ahead..).map(|other| Step::Wait(other.id, Wait::Behind)));
        }
    }
    steps
}

/// Takes the next request out of the queues. One that could not start even if everything ended that ends by itself steps
/// aside at once: who stands behind it takes part in its place, and not only when others have started.
fn next(ledger: &mut Ledger, queues: &mut Queues) -> Option<Request> {
    let mut first: Option<(Turn, usize)> = None;
    for request in queues.values().filter_map(VecDeque::front) {
        let (pool, size) = (request.pool, request.size);
        if !ledger.can_ever_fit(pool, size) && matches!(ledger.decide(pool, size), Decision::Wait(_)) {
            return queues.get_mut(&pool)?.pop_front();
        }
        let turn = (ledger.height(pool, size).unwrap_or(usize::MAX), request.order());
        if first.is_none_or(|(earliest, _)| turn < earliest) {
            first = Some((turn, pool));
        }
    }
    let (_, pool) = first?;
    queues.get_mut(&pool)?.pop_front()
}

/// `false`: those behind it have to wait.
fn settle(ledger: &mut Ledger, request: &Request, now: i64, steps: &mut Vec<Step>) -> bool {
    let (pool, size) = (request.pool, request.size);
    let is_guaranteed = request.is_promised || ledger.height(pool, size).is_some();
    let (wait, is_open) = match ledger.decide(pool, size) {
        Decision::Start => {
            ledger.start(Run {
                id: request.id,
                pool,
                size,
                priority: request.priority,
                since: now,
                is_lasting: request.is_lasting,
            });
            steps.push(Step::Start(request.id));
            return true;
        }
        Decision::Soon if is_guaranteed => (Wait::Returning, false),
        Decision::Soon => (Wait::Nodes, false),
        Decision::Reclaim(victims) => {
            for victim in victims {
                ledger.give_back(victim);
                steps.push(Step::GiveBack(victim));
            }
            (Wait::Returning, false)
        }
        Decision::Wait(wait) => (wait, !ledger.can_ever_fit(pool, size)),
    };
    if !is_open {
        ledger.reserve(pool, size);
    }
    steps.push(Step::Wait(request.id, wait));
    is_open
}
