//! Nodes that fall ill, vanish, or that nobody asked for (README §8.5, semantics §13).

use super::World;
use crate::plan::fixtures::{available, node, ready};
use fleet::MachineState;
use fleet::observation::ClusterFact;
use insta::assert_snapshot;

#[test]
fn a_node_without_a_sign_of_life_is_abnormal_and_comes_back() {
    let mut world = World::running(&[("cpu", 2)]);
    let last = world.now;
    world.pass(60);
    world.fact("n1").silent_since = Some(last);
    assert_snapshot!(world.settle(), @r"
    ! warning: counters from 2/0/0/0 to 1/1/0/0
    node n1: phase Available -> Abnormal since now (no sign of life from the machine)
    pool root: shows 2/0/0/0 -> 1/1/0/0
    ---
    nothing
    ");
    world.pass(10);
    assert_snapshot!(world.settle(), @r"
    ! event: counters from 1/1/0/0 to 2/0/0/0
    node n1: phase Abnormal since -10s (no sign of life from the machine) -> Available
    pool root: shows 1/1/0/0 -> 2/0/0/0
    ---
    nothing
    ");
}

#[test]
fn a_node_is_looked_at_again_when_its_next_sign_of_life_is_overdue() {
    let mut world = World::running(&[("cpu", 1)]);
    let last = world.now;
    world.pass(20);
    world.fact("n1").silent_since = Some(last);
    assert_snapshot!(world.step(), @r"
    wake +40s
    ");
}

#[test]
fn a_pool_without_a_working_node_is_abnormal_after_two_minutes_and_comes_back() {
    let mut world = World::running(&[("cpu", 1)]);
    world.fact("n1").state = MachineState::Faulty("it burns".to_owned());
    assert_snapshot!(world.step(), @r"
    ! warning: counters from 1/0/0/0 to 0/1/0/0
    node n1: phase Available -> Abnormal since now (it burns)
    pool root: shows 1/0/0/0 -> 0/1/0/0
    pool root: +unwell now
    wake +120.001s
    ");
    world.pass(120);
    assert_snapshot!(world.step(), @r"
    wake +0.001s
    ");
    world.pass(1);
    assert_snapshot!(world.settle(), @r"
    ! warning: Pool status changed, from Running to Abnormal, details: no node is available, 1 are abnormal.
    pool root: phase Running -> Abnormal (no node is available, 1 are abnormal)
    ---
    nothing
    ");
    world.fact("n1").state = MachineState::Ready;
    assert_snapshot!(world.settle(), @r"
    ! event: Pool status changed, from Abnormal to Running.
    ! event: counters from 0/1/0/0 to 1/0/0/0
    node n1: phase Abnormal since -121s (it burns) -> Available
    pool root: phase Abnormal (no node is available, 1 are abnormal) -> Running
    pool root: shows 0/1/0/0 -> 1/0/0/0
    pool root: -unwell -121s
    ---
    nothing
    ");
}

#[test]
fn a_pool_whose_control_plane_is_not_reachable_is_abnormal_after_two_minutes() {
    let mut world = World::running(&[("cpu", 1)]);
    world.fleet().cluster = ClusterFact::Unreachable;
    world.step();
    world.pass(121);
    assert_snapshot!(world.step(), @r"
    ! warning: Pool status changed, from Running to Abnormal, details: the control plane is not reachable.
    pool root: phase Running -> Abnormal (the control plane is not reachable)
    ");
    world.fleet().cluster = ClusterFact::Ready;
    assert_snapshot!(world.step(), @r"
    ! event: Pool status changed, from Abnormal to Running.
    pool root: phase Abnormal (the control plane is not reachable) -> Running
    pool root: -unwell -121s
    ");
}

#[test]
fn a_cluster_that_has_vanished_is_set_up_again() {
    let mut world = World::running(&[("cpu", 1)]);
    world.fleet().cluster = ClusterFact::Absent;
    assert_snapshot!(world.step(), @r"
    > ensure-pool
    ");
}

#[test]
fn a_new_node_that_does_not_boot_is_given_up_and_its_machine_given_back() {
    let mut world = World::running(&[("cpu", 1)]);
    world.scale_to(&[("cpu", 2)]);
    world.step();
    world.pass(30 * 60 - 1);
    assert_snapshot!(world.step(), @r"
    node new-hjm4v: written
    pool root: written
    wake +1s
    ");
    world.pass(1);
    assert_snapshot!(world.step(), @r"
    ! warning: Pool status changed, from Running to ScalingFailed, details: cpu is short of 1 of 2 nodes.
    ! event: counters from 1/0/1/0 to 1/0/0/1
    node new-hjm4v: phase Creating until now -> Deleting (GivenUp)
    pool root: phase Running -> ScalingFailed (cpu is short of 1 of 2 nodes)
    pool root: shows 1/0/1/0 -> 1/0/0/1
    pool root: +given up cpu/cpu-default 1
    order.5: item 0 createNode new-hjm4v processing -> failed
    > delete-node new-hjm4v
    ");
}

#[test]
fn a_new_node_in_its_self_test_is_not_available_yet() {
    let mut world = World::running(&[("cpu", 1)]);
    world.scale_to(&[("cpu", 2)]);
    world.step();
    let new = world.nodes().into_iter().find(|node| !node.was_available).unwrap().name;
    world.fact(new.as_str()).state = MachineState::Checking;
    assert_snapshot!(world.step(), @r"
    node new-hjm4v: phase Creating until +30m -> Checking until +30m
    pool root: written
    wake +30m
    ");
}

#[test]
fn a_vanished_node_is_abnormal_then_replaced_after_ten_minutes() {
    let mut world = World::running(&[("cpu", 2)]);
    world.fleet().nodes.remove(&node("n1"));
    assert_snapshot!(world.step(), @r"
    ! warning: counters from 2/0/0/0 to 1/1/0/0
    node n1: phase Available -> Abnormal since now (node object missing)
    pool root: shows 2/0/0/0 -> 1/1/0/0
    wake +10m
    ");
    world.pass(599);
    assert_snapshot!(world.step(), @r"
    wake +1s
    ");
    world.pass(1);
    assert_snapshot!(world.step(), @r"
    ! event: counters from 1/1/0/0 to 1/0/1/0
    + node new-hjm4v: at cpu az-1, phase Creating until +30m
    pool root: shows 1/1/0/0 -> 1/0/1/0
    - node n1
    > create-node new-hjm4v cpu az-1
    wake +30m
    ");
}

#[test]
fn a_vanished_node_that_appears_again_in_time_is_kept() {
    let mut world = World::running(&[("cpu", 2)]);
    let fact = world.fleet().nodes.remove(&node("n1")).unwrap();
    world.step();
    world.pass(300);
    world.fleet().nodes.insert(node("n1"), fact);
    world.pass(0);
    assert_snapshot!(world.settle(), @r"
    ! event: counters from 1/1/0/0 to 2/0/0/0
    node n1: phase Abnormal since -5m (node object missing) -> Available
    pool root: shows 1/1/0/0 -> 2/0/0/0
    ---
    nothing
    ");
}

#[test]
fn the_time_of_grace_begins_when_the_machine_vanishes_not_when_the_node_fell_ill() {
    let mut world = World::running(&[("cpu", 2)]);
    world.fact("n1").state = MachineState::Faulty("hot".to_owned());
    world.step();
    world.pass(3600);
    world.fleet().nodes.remove(&node("n1"));
    assert_snapshot!(world.step(), @r"
    node n1: phase Abnormal since -1h (hot) -> Abnormal since now (node object missing)
    pool root: written
    wake +10m
    ");
    world.pass(600);
    assert_snapshot!(world.step(), @r"
    ! event: counters from 1/1/0/0 to 1/0/1/0
    + node new-hjm4v: at cpu az-1, phase Creating until +30m
    pool root: shows 1/1/0/0 -> 1/0/1/0
    - node n1
    > create-node new-hjm4v cpu az-1
    wake +30m
    ");
}

#[test]
fn a_machine_that_carries_the_mark_of_the_pool_and_that_nobody_knows_is_given_back() {
    let mut world = World::running(&[("cpu", 1)]);
    let ghost = ready(&available("ghost", "cpu", "az-1"));
    world.fleet().nodes.insert(node("ghost"), ghost.into());
    assert_snapshot!(world.step(), @r"
    > delete-node ghost
    ");
    world.release();
    assert_snapshot!(world.step(), @r"
    nothing
    ");
}

#[test]
fn a_node_is_abnormal_while_its_machine_is_taken_back_by_somebody_else() {
    let mut world = World::running(&[("cpu", 2)]);
    world.fact("n1").state = MachineState::Releasing;
    assert_snapshot!(world.step(), @r"
    ! warning: counters from 2/0/0/0 to 1/1/0/0
    node n1: phase Available -> Abnormal since now (the machine is being taken back)
    pool root: shows 2/0/0/0 -> 1/1/0/0
    ");
}

#[test]
fn changes_of_the_counters_within_a_second_are_told_by_one_event() {
    let mut world = World::running(&[("cpu", 3)]);
    world.fact("n1").state = MachineState::Faulty("hot".to_owned());
    world.step();
    world.fact("n2").state = MachineState::Faulty("hot".to_owned());
    assert_snapshot!(world.step(), @r"
    node n2: phase Available -> Abnormal since now (hot)
    pool root: shows 2/1/0/0 -> 1/2/0/0
    wake +1s
    ");
    world.pass(1);
    assert_snapshot!(world.step(), @r"
    ! warning: counters from 2/1/0/0 to 1/2/0/0
    pool root: written
    ");
}
