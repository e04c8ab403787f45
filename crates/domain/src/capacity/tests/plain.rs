//! A round in which everybody is looked at for each decision.

use crate::capacity::round::{hopeless, settle, turn, without_lost};
use crate::capacity::{Ledger, Request, Run, Step, Wait};

pub(super) fn round(ledger: &mut Ledger, waiting: &[Request], now: i64) -> Vec<Step> {
    without_lost(ledger, waiting, |ledger, waiting| attempt(ledger, waiting, now))
}

fn attempt(ledger: &mut Ledger, waiting: &[Request], now: i64) -> Vec<Step> {
    for request in waiting.iter().filter(|request| request.is_promised) {
        ledger.claim(Run {
            is_lasting: false,
            ..request.run(i64::MAX)
        });
    }
    let (mut steps, mut left) = (Vec::new(), Vec::new());
    for request in waiting {
        match hopeless(ledger, request) {
            Some(wait) => steps.push(Step::Wait(request.id, wait)),
            None => left.push(*request),
        }
    }
    steps.sort();
    while let Some(request) = next(ledger, &left) {
        left.retain(|other| other.id != request.id);
        if settle(ledger, &request, now, &mut steps) {
            continue;
        }
        let is_behind = |other: &&Request| other.pool == request.pool && !other.is_promised && other.order() > request.order();
        let mut behind: Vec<Request> = left.iter().filter(is_behind).copied().collect();
        behind.sort_by_key(Request::order);
        left.retain(|other| !behind.contains(other));
        steps.extend(behind.iter().map(|other| Step::Wait(other.id, Wait::Behind)));
    }
    steps
}

fn next(ledger: &Ledger, left: &[Request]) -> Option<Request> {
    let free = left.iter().filter(|request| !is_held(left, request));
    free.min_by_key(|request| turn(ledger, request)).copied()
}

/// Whether it is behind another one of its pool.
fn is_held(left: &[Request], request: &Request) -> bool {
    let mut own = left.iter().filter(|other| other.pool == request.pool);
    !request.is_promised && own.any(|other| other.order() < request.order())
}
