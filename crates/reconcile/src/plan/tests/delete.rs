//! Pools that go (semantics §10, README §8.1).

use super::World;
use crate::plan::fixtures::{available, node, ready};
use fleet::MachineState;
use fleet::observation::ClusterFact;
use insta::assert_snapshot;

#[test]
fn a_deletion_takes_nodes_then_the_cluster_then_the_records() {
    let mut world = World::running(&[("cpu", 2)]);
    world.edit_node("n2", |node| node.is_locked = true);
    world.delete_pool();
    assert_snapshot!(world.step(), @r"
    ! event: counters from 2/0/0/0 to 0/0/0/2
    node n1: phase Available -> Deleting (PoolDeleted)
    node n2: phase Available -> Deleting (PoolDeleted)
    pool root: shows 2/0/0/0 -> 0/0/0/2
    > set-quotas
    > delete-node n1
    > delete-node n2
    wake +30m
    ");
    world.release();
    assert_snapshot!(world.step(), @r"
    pool root: shows 0/0/0/2 -> 0/0/0/0
    - node n1
    - node n2
    > remove-pool
    wake +0.100s
    ");
    assert_snapshot!(world.step(), @r"
    order.7: phase processing -> successed
    - pool root
    - event 0000000001
    - event 0000000002
    # pools/P -1
    # network-users/P/network -1
    # promised/cpu -2
    # addresses/P/network -2
    ");
    assert!(world.tree().is_none());
}

#[test]
fn a_deletion_during_the_creation_gives_up_what_was_begun() {
    let mut world = World::created(&[("cpu", 1)]);
    world.step();
    world.delete_pool();
    assert_snapshot!(world.step(), @r"
    node new-hjm4v: phase Creating until +30m -> Deleting (PoolDeleted)
    pool root: shows 0/0/1/0 -> 0/0/0/1
    > delete-node new-hjm4v
    wake +1s
    ");
    world.release();
    world.settle();
    assert!(world.tree().is_none());
}

#[test]
fn a_node_that_does_not_go_holds_the_deletion_up() {
    let mut world = World::running(&[("cpu", 1)]);
    world.delete_pool();
    world.step();
    world.pass(5);
    assert_snapshot!(world.step(), @r"
    > delete-node n1
    wake +1795s
    ");
    world.fact("n1").state = MachineState::Faulty("it does not answer".to_owned());
    assert_snapshot!(world.step(), @r"
    > delete-node n1
    wake +1795s
    ");
}

#[test]
fn a_machine_that_nobody_knows_goes_before_the_pool_does() {
    let mut world = World::running(&[("cpu", 1)]);
    world.delete_pool();
    world.step();
    world.release();
    let ghost = ready(&available("ghost", "cpu", "az-1"));
    world.fleet().nodes.insert(node("ghost"), ghost.into());
    assert_snapshot!(world.step(), @r"
    pool root: shows 0/0/0/1 -> 0/0/0/0
    - node n1
    > delete-node ghost
    wake +1s
    ");
}

#[test]
fn a_deletion_waits_for_a_fleet_that_does_not_answer() {
    let mut world = World::running(&[("cpu", 1)]);
    world.delete_pool();
    world.observed = None;
    assert_snapshot!(world.step(), @r"
    wake +5s
    ");
}

#[test]
fn a_pool_without_anything_in_the_fleet_is_gone_at_once() {
    let mut world = World::created(&[("cpu", 1)]);
    world.delete_pool();
    world.fleet().cluster = ClusterFact::Absent;
    assert_snapshot!(world.step(), @r"
    order.2: phase processing -> successed
    - pool root
    # pools/P -1
    # network-users/P/network -1
    # promised/cpu -1
    # addresses/P/network -1
    ");
}

#[test]
fn a_teardown_that_does_not_get_on_for_half_an_hour_has_failed_and_goes_on() {
    let mut world = World::running(&[("cpu", 2)]);
    world.delete_pool();
    world.step();
    world.pass(29 * 60);
    // One node goes, so the time begins anew.
    world.fleet().nodes.remove(&node("n2"));
    assert_snapshot!(world.settle(), @r"
    ! event: counters from 0/0/0/2 to 0/0/0/1
    pool root: shows 0/0/0/2 -> 0/0/0/1
    - node n2
    > delete-node n1
    ---
    > delete-node n1
    wake +30m
    ");
    world.pass(30 * 60 - 1);
    assert_snapshot!(world.step(), @r"
    > delete-node n1
    wake +1s
    ");
    world.pass(1);
    assert_snapshot!(world.step(), @r"
    ! warning: Pool status changed, from Deleting to Error, details: the pool could not be taken down: node n1 and the cluster still there.
    pool root: phase Deleting -> Error (the pool could not be taken down: node n1 and the cluster still there)
    > delete-node n1
    ");
    // What is left is told; it goes on being asked for, and in the end the pool goes as if nothing had been.
    world.release();
    assert_snapshot!(world.step(), @r"
    ! event: counters from 0/0/0/1 to 0/0/0/0
    pool root: shows 0/0/0/1 -> 0/0/0/0
    - node n1
    > remove-pool
    wake +1m
    ");
    assert_snapshot!(world.step(), @r"
    order.6: phase processing -> successed
    - pool root
    - event 0000000001
    - event 0000000002
    - event 0000000003
    - event 0000000004
    - event 0000000005
    # pools/P -1
    # network-users/P/network -1
    # promised/cpu -2
    # addresses/P/network -2
    ");
    assert!(world.tree().is_none());
}

#[test]
fn a_cluster_that_does_not_go_is_asked_for_less_and_less_and_fails_the_teardown() {
    let mut world = World::running(&[("cpu", 1)]);
    world.delete_pool();
    world.step();
    world.release();
    world.pass(60);
    assert_snapshot!(world.step_refused(), @r"
    ! event: counters from 0/0/0/1 to 0/0/0/0
    pool root: shows 0/0/0/1 -> 0/0/0/0
    - node n1
    > remove-pool
    wake +6s
    ");
    world.pass(10 * 60);
    assert_snapshot!(world.step_refused(), @r"
    > remove-pool
    wake +1m
    ");
    world.pass(20 * 60);
    assert_snapshot!(world.step_refused(), @r"
    ! warning: Pool status changed, from Deleting to Error, details: the pool could not be taken down: the cluster still there.
    pool root: phase Deleting -> Error (the pool could not be taken down: the cluster still there)
    > remove-pool
    wake +1m
    ");
    // Deleted once more: a new order, and time to try.
    world.delete_pool();
    assert_snapshot!(world.step_refused(), @r"
    > remove-pool
    wake +0.100s
    ");
}

#[test]
fn a_node_that_goes_after_all_is_no_failure() {
    let mut world = World::running(&[("cpu", 2)]);
    world.delete_pool();
    world.step();
    world.pass(40 * 60);
    world.fleet().nodes.remove(&node("n2"));
    assert_snapshot!(world.settle(), @r"
    ! event: counters from 0/0/0/2 to 0/0/0/1
    pool root: shows 0/0/0/2 -> 0/0/0/1
    - node n2
    > delete-node n1
    ---
    > delete-node n1
    wake +30m
    ");
}
