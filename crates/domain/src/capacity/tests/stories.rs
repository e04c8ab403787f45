//! The rules by example.

use super::*;

const fn level(parent: Option<usize>, guaranteed: u64, ceiling: u64) -> Level {
    Level {
        parent,
        guaranteed,
        ceiling,
    }
}

/// A pool of 8 nodes with two sub-pools: 4 guaranteed and up to 8, 2 guaranteed and up to 6.
fn two() -> Ledger {
    let levels = [level(None, 8, 8), level(Some(0), 4, 8), level(Some(0), 2, 6)];
    Ledger::new(Tree::new(&levels).unwrap(), 8)
}

fn run(id: WorkId, pool: usize, size: u64) -> Run {
    Run {
        id,
        pool,
        size,
        priority: 1,
        since: i64::try_from(id).unwrap(),
        is_lasting: false,
    }
}

fn request(id: WorkId, pool: usize, size: u64) -> Request {
    Request {
        id,
        pool,
        size,
        priority: 1,
        submitted: i64::try_from(id).unwrap(),
        is_lasting: false,
        is_promised: false,
    }
}

#[test]
fn a_pool_borrows_what_others_leave_up_to_its_ceiling() {
    let mut ledger = two();
    assert_eq!(ledger.decide(2, 6), Decision::Start);
    assert_eq!(ledger.decide(2, 7), Decision::Wait(Wait::TooLarge(2)));
    ledger.start(run(1, 2, 6));
    assert_eq!(ledger.decide(2, 1), Decision::Wait(Wait::Ceiling(2)));
    assert_eq!(ledger.decide(1, 2), Decision::Start);
}

#[test]
fn who_is_guaranteed_more_than_is_free_has_borrowers_asked() {
    let mut ledger = two();
    ledger.start(run(1, 2, 2));
    ledger.start(run(2, 2, 2));
    ledger.start(run(3, 2, 2));
    // Two nodes are free, two have to come back: from the last that started.
    assert_eq!(ledger.decide(1, 4), Decision::Reclaim(vec![3]));
    ledger.give_back(3);
    assert_eq!(ledger.decide(1, 4), Decision::Soon);
    ledger.end(3);
    assert_eq!(ledger.decide(1, 4), Decision::Start);
}

#[test]
fn who_borrows_has_nobody_asked() {
    let mut ledger = two();
    ledger.start(run(1, 1, 8));
    assert_eq!(ledger.decide(2, 3), Decision::Wait(Wait::Nodes));
    assert_eq!(ledger.decide(2, 2), Decision::Reclaim(vec![1]));
}

#[test]
fn the_less_important_workload_goes_first_and_none_that_is_not_needed() {
    let mut ledger = two();
    ledger.start(Run {
        priority: 0,
        ..run(1, 2, 1)
    });
    ledger.start(run(2, 2, 5));
    // The small one would go first, but the large one has to go anyway, and suffices.
    assert_eq!(ledger.decide(1, 4), Decision::Reclaim(vec![2]));
}

#[test]
fn a_pools_own_workloads_have_what_its_children_are_not_guaranteed() {
    let mut ledger = two();
    ledger.start(run(1, 1, 6));
    // Two of eight are the parent's own.
    assert_eq!(ledger.decide(0, 2), Decision::Start);
    ledger.start(run(2, 2, 2));
    assert_eq!(ledger.decide(0, 2), Decision::Reclaim(vec![1]));
    assert_eq!(ledger.decide(0, 3), Decision::Wait(Wait::Nodes));
}

#[test]
fn guaranteed_requests_come_before_borrowing_ones_of_any_priority() {
    let mut ledger = two();
    ledger.start(run(1, 1, 4));
    let borrows = Request {
        priority: 3,
        ..request(2, 2, 4)
    };
    let steps = round(&mut ledger, &[borrows, request(3, 0, 2)], 10);
    assert_eq!(steps, [Step::Start(3), Step::Wait(2, Wait::Nodes)]);
}

#[test]
fn a_large_request_is_not_overtaken_for_ever() {
    let mut ledger = two();
    ledger.start(run(1, 1, 4));
    ledger.start(run(2, 2, 2));
    // Four would be borrowed, two are free: the later request does not get them.
    let steps = round(&mut ledger, &[request(3, 1, 4), request(4, 2, 1)], 10);
    assert_eq!(steps, [Step::Wait(3, Wait::Nodes), Step::Wait(4, Wait::Nodes)]);
}

#[test]
fn what_can_never_fit_holds_nobody_back() {
    let mut ledger = two();
    ledger.start(Run {
        is_lasting: true,
        ..run(1, 1, 4)
    });
    let steps = round(&mut ledger, &[request(2, 1, 5), request(3, 1, 1), request(4, 2, 7)], 10);
    assert_eq!(
        steps,
        [Step::Wait(2, Wait::Ceiling(1)), Step::Wait(4, Wait::TooLarge(2)), Step::Start(3)]
    );
}

#[test]
fn a_request_behind_its_own_ceiling_keeps_nothing_from_others() {
    let mut ledger = two();
    ledger.start(run(1, 2, 4));
    let steps = round(&mut ledger, &[request(2, 2, 3), request(3, 1, 4)], 10);
    assert_eq!(steps, [Step::Start(3), Step::Wait(2, Wait::Ceiling(2))]);
}

/// Of 8 nodes, 3 are gone. The root's own workloads are guaranteed 3 of 8, and those of pool 2, which is lower, 3.
fn short() -> Ledger {
    let levels = [level(None, 8, 8), level(Some(0), 2, 2), level(Some(0), 3, 4), level(Some(2), 0, 0)];
    Ledger::new(Tree::new(&levels).unwrap(), 5)
}

fn promised(request: Request) -> Request {
    Request {
        is_promised: true,
        ..request
    }
}

#[test]
fn with_too_few_nodes_a_promise_and_a_guarantee_do_not_hold_each_other_up() {
    // Somebody has given back for the first; the second is guaranteed as much, and looked at before it.
    let steps = round(&mut short(), &[promised(request(5, 0, 3)), request(9, 2, 3)], 10);
    assert_eq!(steps, [Step::Wait(9, Wait::Nodes), Step::Start(5)]);
}

#[test]
fn a_promise_that_no_machine_is_left_for_holds_nobody_back() {
    let levels = [level(None, 8, 8), level(Some(0), 4, 8), level(Some(0), 2, 6)];
    let mut ledger = Ledger::new(Tree::new(&levels).unwrap(), 3);
    let steps = round(&mut ledger, &[promised(request(1, 1, 4)), request(2, 1, 2), request(3, 2, 1)], 10);
    assert_eq!(steps, [Step::Wait(1, Wait::Nodes), Step::Start(2), Step::Start(3)]);
}

#[test]
fn two_promises_for_which_there_are_too_few_nodes_do_not_hold_each_other_up() {
    let steps = round(&mut short(), &[promised(request(5, 0, 3)), promised(request(9, 2, 3))], 10);
    assert_eq!(steps.iter().filter(|step| matches!(step, Step::Start(_))).count(), 1);
}

#[test]
fn who_only_waits_for_nodes_loses_them_before_anybody_who_has_some() {
    // Pool 1 has 4 for itself and its child; its own workloads are guaranteed 2, the child's 2.
    let levels = [level(None, 4, 4), level(Some(0), 4, 4), level(Some(1), 2, 4)];
    let mut ledger = Ledger::new(Tree::new(&levels).unwrap(), 4);
    ledger.start(run(1, 1, 2));
    let important = Request {
        priority: 2,
        ..promised(request(2, 1, 2))
    };
    let steps = round(&mut ledger, &[important, request(3, 2, 2)], 10);
    assert_eq!(steps, [Step::Start(3), Step::Wait(2, Wait::Ceiling(1))]);
}

#[test]
fn levels_that_are_no_tree_are_refused() {
    assert_eq!(Tree::new(&[]).unwrap_err(), TreeError::Empty);
    assert_eq!(
        Tree::new(&[level(None, 1, 1), level(None, 1, 1)]).unwrap_err(),
        TreeError::SecondRoot(1)
    );
    assert_eq!(Tree::new(&[level(Some(0), 1, 1)]).unwrap_err(), TreeError::Order(0));
}

#[test]
fn a_drill_goes_on_for_ever_under_load() {
    let mut drill = drill::Drill::new(1_000, 5, 7).unwrap();
    drill.fill();
    let decisions: Vec<Decision> = (0..2_000).map(|_| drill.step()).collect();
    let count = |which: fn(&Decision) -> bool| decisions.iter().filter(|decision| which(decision)).count();
    assert!(count(|decision| matches!(decision, Decision::Start)) > 500);
    assert!(count(|decision| matches!(decision, Decision::Reclaim(_))) > 100);
    assert!(count(|decision| matches!(decision, Decision::Soon)) > 10);
    assert!(count(|decision| matches!(decision, Decision::Wait(_))) > 100);
    assert!(drill.used() > 2_000);
}
