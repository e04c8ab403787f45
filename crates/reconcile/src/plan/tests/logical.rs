//! Logical pools: what they take over from their root, and what ends them.

use super::World;
use crate::plan::fixtures::{self, logical, order, pool_ref};
use domain::order::{Operation, Order, OrderPhase, Outcome};
use domain::pool::{JobType, Pool, PoolPhase, ScopeState, ScopeStatus, Waiting};
use fleet::MachineState;
use insta::assert_snapshot;

fn ended(pool: &Pool) -> Order {
    let mut order = order(pool, Operation::Apply, &[]);
    order.end(fixtures::start(), Outcome::Successed, Vec::new());
    order
}

/// A running root with a child and a grandchild.
fn family() -> World {
    let mut world = World::running(&[("cpu", 4)]);
    world.edit(|pool| pool.status.children = 1);
    let mut child = logical("child", Some(("root", "root")), &[("cpu", 2)]);
    child.status.children = 1;
    let grandchild = logical("grandchild", Some(("child", "root")), &[("cpu", 1)]);
    for pool in [child, grandchild] {
        world.put(ended(&pool));
        world.put(pool);
    }
    world
}

fn waiting(name: &str, parent: Option<(&str, &str)>) -> (Pool, Order) {
    let mut pool = logical(name, parent, &[("cpu", 1)]);
    pool.status.phase = PoolPhase::Waiting(Waiting::Approval);
    pool.status.attempt.is_finished = false;
    let mut order = order(&pool, Operation::Apply, &[]);
    order.phase = OrderPhase::Pending(Waiting::Approval);
    (pool, order)
}

#[test]
fn a_family_at_rest_is_left_alone() {
    assert_snapshot!(family().step(), @r"
    > set-quotas root: 4-4 cpu child: 2-2 cpu grandchild: 1-1 cpu
    ");
}

#[test]
fn sub_pools_at_any_depth_are_abnormal_while_their_root_is() {
    let mut world = family();
    for name in ["n1", "n2", "n3", "n4"] {
        world.fact(name).state = MachineState::Faulty("flood".to_owned());
    }
    world.step();
    world.pass(121);
    assert_snapshot!(world.settle(), @r"
    ! warning: Pool status changed, from Running to Abnormal, details: no node is available, 4 are abnormal.
    pool root: phase Running -> Abnormal (no node is available, 4 are abnormal)
    pool child: phase Running -> Abnormal (pool root is abnormal)
    pool grandchild: phase Running -> Abnormal (pool root is abnormal)
    ! warning: Pool status changed, from Running to Abnormal, details: pool root is abnormal.
    ! warning: Pool status changed, from Running to Abnormal, details: pool root is abnormal.
    ---
    nothing
    ");
    for name in ["n1", "n2", "n3", "n4"] {
        world.fact(name).state = MachineState::Ready;
    }
    assert_snapshot!(world.settle(), @r"
    ! event: Pool status changed, from Abnormal to Running.
    ! event: counters from 0/4/0/0 to 4/0/0/0
    node n1: phase Abnormal since -121s (flood) -> Available
    node n2: phase Abnormal since -121s (flood) -> Available
    node n3: phase Abnormal since -121s (flood) -> Available
    node n4: phase Abnormal since -121s (flood) -> Available
    pool root: phase Abnormal (no node is available, 4 are abnormal) -> Running
    pool root: shows 0/4/0/0 -> 4/0/0/0
    pool root: -unwell -121s
    pool child: phase Abnormal (pool root is abnormal) -> Running
    pool grandchild: phase Abnormal (pool root is abnormal) -> Running
    ! event: Pool status changed, from Abnormal to Running.
    ! event: Pool status changed, from Abnormal to Running.
    ---
    nothing
    ");
}

#[test]
fn sub_pools_show_what_the_root_has_of_training() {
    let mut world = family();
    world.edit(|pool| {
        pool.status.scopes = [JobType::Train, JobType::Notebook]
            .map(|job_type| ScopeStatus {
                job_type,
                state: ScopeState::Disabled,
                plugins: Vec::new(),
                message: None,
            })
            .to_vec();
    });
    assert_snapshot!(world.settle(), @r"
    pool child: +scope Train Disabled[]
    pool grandchild: +scope Train Disabled[]
    > set-quotas root: 4-4 cpu child: 2-2 cpu grandchild: 1-1 cpu
    ---
    nothing
    ");
}

#[test]
fn a_sub_pool_that_nobody_approves_fails_after_seven_days_and_frees_what_it_reserved() {
    let mut world = family();
    let (pool, order) = waiting("late", Some(("child", "root")));
    world.put(pool);
    world.put(order);
    assert_snapshot!(world.step(), @r"
    > set-quotas root: 4-4 cpu child: 2-2 cpu grandchild: 1-1 cpu
    wake +10079m
    ");
    world.pass(7 * 24 * 3600);
    assert_snapshot!(world.settle(), @r"
    pool child: -children 1
    pool late: attempt open -> finished
    pool late: phase Waiting (waiting for administrator approval) -> CreationFailed (not confirmed in time)
    ! warning: Pool status changed, from Waiting to CreationFailed, details: not confirmed in time.
    order.late: phase pending -> failed (not confirmed in time)
    # pools/P -1
    wake +72h
    ---
    wake +72h
    ");
    // Its record goes three days after.
    world.pass(3 * 24 * 3600);
    assert_snapshot!(world.settle(), @r"
    - pool late
    - event 0000000001
    ---
    nothing
    ");
}

#[test]
fn a_request_without_a_parent_waits_fails_and_is_forgotten() {
    let (pool, order) = waiting("alone", None);
    let mut world = World::of(pool);
    world.root = pool_ref("alone");
    world.put(order);
    assert_snapshot!(world.step(), @r"
    wake +168h
    ");
    world.pass(7 * 24 * 3600);
    assert_snapshot!(world.settle(), @r"
    ! warning: Pool status changed, from Waiting to CreationFailed, details: not confirmed in time.
    pool alone: attempt open -> finished
    pool alone: phase Waiting (waiting for administrator approval) -> CreationFailed (not confirmed in time)
    order.alone: phase pending -> failed (not confirmed in time)
    # pools/P -1
    ---
    wake +72h
    ");
    world.pass(3 * 24 * 3600);
    assert_snapshot!(world.step(), @r"
    - pool alone
    - event 0000000001
    ");
    assert!(world.tree().is_none());
}

#[test]
fn a_sub_pool_whose_root_is_gone_has_no_tree_and_is_left_alone() {
    let mut world = family();
    let root = world.tree().unwrap().root.entry.key.clone();
    world.remove(root);
    assert!(world.tree().is_none());
}
