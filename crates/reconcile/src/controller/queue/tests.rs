use super::*;
use domain::name::{PoolName, ProjectId};

fn root() -> PoolRef {
    PoolRef {
        project: ProjectId::parse(&"0".repeat(32)).unwrap(),
        name: PoolName::parse("pool-a").unwrap(),
    }
}

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + milliseconds).unwrap()
}

/// Takes the tree through one step that takes no time, and wakes it again at once. When is the next one?
fn step(queue: &mut Queue, now: Timestamp, nodes: usize) -> Timestamp {
    assert_eq!(queue.pop(), Some(root()), "no step is due");
    queue.rest(now, &root(), (nodes, None));
    queue.follow_up(now, &root(), None);
    queue.push(now, root(), Haste::Patient);
    let next = queue.next_timer().unwrap_or(now);
    queue.pass_due(next);
    next
}

#[test]
fn a_small_tree_is_looked_at_whenever_it_is_touched() {
    let mut queue = Queue::default();
    queue.push(at(0), root(), Haste::Patient);
    for _ in 0..50 {
        assert_eq!(step(&mut queue, at(0), SMALL - 1), at(0));
    }
}

#[test]
fn a_large_tree_that_is_touched_all_the_time_is_looked_at_ever_more_rarely_but_once_in_five_seconds() {
    let mut queue = Queue::default();
    queue.push(at(0), root(), Haste::Patient);
    let mut now = at(0);
    let mut steps = 0;
    while now < at(60_000) {
        let next = step(&mut queue, now, 10_000);
        assert!(next > now && next.duration_since(now) <= LONGEST);
        (now, steps) = (next, steps + 1);
    }
    assert!((12..=24).contains(&steps), "{steps}");
}

#[test]
fn a_tree_that_rested_for_long_is_looked_at_at_once() {
    let mut queue = Queue::default();
    queue.push(at(0), root(), Haste::Patient);
    assert_eq!(queue.pop(), Some(root()));
    queue.rest(at(0), &root(), (5_000, None));
    queue.follow_up(at(0), &root(), None);
    queue.push(at(6_000), root(), Haste::Patient);
    assert_eq!(queue.pop(), Some(root()));
}

#[test]
fn the_wake_of_a_step_comes_after_the_rest_and_is_not_put_off_by_others() {
    let mut queue = Queue::default();
    queue.push(at(0), root(), Haste::Patient);
    queue.pop();
    queue.rest(at(0), &root(), (1_000, None));
    assert!(!queue.follow_up(at(0), &root(), Some(at(0))));
    assert_eq!(queue.next_timer(), Some(at(8)));
    queue.push(at(1), root(), Haste::Patient);
    assert_eq!(queue.next_timer(), Some(at(8)));
    queue.pass_due(at(8));
    assert_eq!(queue.pop(), Some(root()));
}

#[test]
fn what_is_touched_during_its_step_gets_another_one() {
    let mut queue = Queue::default();
    queue.push(at(0), root(), Haste::Patient);
    queue.pop();
    queue.push(at(0), root(), Haste::Patient);
    assert_eq!(queue.pop(), None, "two steps at once");
    queue.rest(at(1), &root(), (1, None));
    assert!(queue.follow_up(at(1), &root(), Some(at(10_000))));
    assert_eq!(queue.pop(), Some(root()));
}

fn written(is_quiet: bool) -> Written {
    Written {
        revision: Revision(7),
        is_quiet,
    }
}

#[test]
fn a_large_tree_is_not_looked_at_again_for_its_own_write_from_which_nothing_follows() {
    let mut queue = Queue::default();
    for is_late in [false, true] {
        queue.push(at(0), root(), Haste::Patient);
        queue.pass_due(at(60_000));
        assert_eq!(queue.pop(), Some(root()));
        if !is_late {
            queue.push(at(0), root(), Haste::Of(Revision(7)));
        }
        queue.rest(at(0), &root(), (1_000, Some(written(true))));
        assert!(!queue.follow_up(at(0), &root(), Some(at(50_000))));
        queue.push(at(0), root(), Haste::Of(Revision(7)));
        assert_eq!(queue.next_timer(), Some(at(50_000)), "it was looked at again");
    }
}

#[test]
fn what_somebody_else_wrote_before_a_quiet_write_is_looked_at() {
    let mut queue = Queue::default();
    queue.push(at(0), root(), Haste::Patient);
    queue.pop();
    for revision in [6, 7] {
        queue.push(at(0), root(), Haste::Of(Revision(revision)));
    }
    queue.rest(at(0), &root(), (1_000, Some(written(true))));
    assert!(queue.follow_up(at(0), &root(), None));
    assert_eq!(queue.next_timer(), Some(at(8)));
}

#[test]
fn what_somebody_else_writes_is_looked_at_soon_though_the_tree_has_much_to_do() {
    let mut queue = Queue::default();
    queue.push(at(0), root(), Haste::Patient);
    let mut now = at(0);
    for _ in 0..20 {
        now = step(&mut queue, now, 10_000);
    }
    queue.pop();
    queue.rest(now, &root(), (10_000, Some(written(false))));
    queue.follow_up(now, &root(), None);
    let after = |queue: &Queue| queue.next_timer().map(|at| at.duration_since(now));
    queue.push(now, root(), Haste::Of(Revision(7)));
    assert_eq!(after(&queue), Some(LONGEST), "its own write");
    queue.push(now, root(), Haste::Of(Revision(8)));
    assert_eq!(after(&queue), Some(PROMPT));
}
