//! Driver upgrades (semantics §11, README §8.3).

use super::World;
use crate::plan::fixtures::node;
use domain::pool::UpdateStrategy;
use fleet::observation::DriverProgress;
use insta::assert_snapshot;

fn fail(world: &mut World, name: &str, version: &str) {
    world.fact(name).driver.as_mut().unwrap().progress = DriverProgress::Failed {
        version: version.to_owned(),
        reason: "checksum".to_owned(),
    };
}

#[test]
fn a_forced_upgrade_takes_all_nodes_at_once_busy_or_not() {
    let mut world = World::running(&[("gpu", 2)]);
    world.fact("n1").is_busy = true;
    world.upgrade("2.0", UpdateStrategy::Force);
    assert_snapshot!(world.step(), @r"
    node n1: driver 1.0, settled -> 1.0, updating to 2.0, attempt 1
    node n2: driver 1.0, settled -> 1.0, updating to 2.0, attempt 1
    pool root: driver gpu Running 1.0 of 1.0 -> Upgrading 1.0 of 2.0
    > hold-node n2
    > set-driver n2 2.0
    > hold-node n1
    > set-driver n1 2.0
    wake +30m
    ");
    assert_snapshot!(world.step(), @r"
    wake +30m
    ");
    world.install();
    assert_snapshot!(world.settle(), @r"
    node n1: driver 1.0, updating to 2.0, attempt 1 -> 2.0, settled
    node n2: driver 1.0, updating to 2.0, attempt 1 -> 2.0, settled
    pool root: driver gpu Upgrading 1.0 of 2.0 -> Running 2.0 of 2.0
    > open-node n2
    > open-node n1
    ---
    nothing
    ");
}

#[test]
fn an_idle_upgrade_takes_one_node_after_the_other_and_waits_for_its_jobs() {
    let mut world = World::running(&[("gpu", 2)]);
    world.fact("n1").is_busy = true;
    world.upgrade("2.0", UpdateStrategy::Idle);
    assert_snapshot!(world.step(), @r"
    node n1: driver 1.0, settled -> 1.0, pending for 2.0
    node n2: driver 1.0, settled -> 1.0, draining for 2.0
    pool root: driver gpu Running 1.0 of 1.0 -> Upgrading 1.0 of 2.0
    > hold-node n2
    wake +24h
    ");
    assert_snapshot!(world.step(), @r"
    node n2: driver 1.0, draining for 2.0 -> 1.0, updating to 2.0, attempt 1
    pool root: written
    > set-driver n2 2.0
    wake +30m
    ");
    world.install();
    assert_snapshot!(world.settle(), @r"
    node n1: driver 1.0, pending for 2.0 -> 1.0, draining for 2.0
    node n2: driver 1.0, updating to 2.0, attempt 1 -> 2.0, settled
    pool root: written
    > open-node n2
    > hold-node n1
    wake +24h
    ---
    wake +24h
    ");
    // The job on the other node ends.
    world.fact("n1").is_busy = false;
    assert_snapshot!(world.step(), @r"
    node n1: driver 1.0, draining for 2.0 -> 1.0, updating to 2.0, attempt 1
    pool root: written
    > set-driver n1 2.0
    wake +30m
    ");
    world.install();
    assert_snapshot!(world.settle(), @r"
    node n1: driver 1.0, updating to 2.0, attempt 1 -> 2.0, settled
    pool root: driver gpu Upgrading 1.0 of 2.0 -> Running 2.0 of 2.0
    > open-node n1
    ---
    nothing
    ");
}

#[test]
fn a_node_that_fails_twice_is_named_and_the_others_go_on() {
    let mut world = World::running(&[("gpu", 2)]);
    world.upgrade("2.0", UpdateStrategy::Force);
    world.step();
    world.install();
    fail(&mut world, "n1", "2.0");
    world.fact("n1").driver.as_mut().unwrap().installed = Some("1.0".to_owned());
    assert_snapshot!(world.step(), @r"
    node n1: driver 1.0, updating to 2.0, attempt 1 -> 1.0, updating to 2.0, attempt 2
    node n2: driver 1.0, updating to 2.0, attempt 1 -> 2.0, settled
    pool root: written
    > set-driver n1 2.0
    > open-node n2
    wake +30m
    ");
    world.pass(1);
    fail(&mut world, "n1", "2.0");
    assert_snapshot!(world.settle(), @r"
    node n1: driver 1.0, updating to 2.0, attempt 2 -> 1.0, failed for 2.0
    pool root: driver gpu Upgrading 1.0 of 2.0 -> Abnormal 1.0 of 2.0 (the driver of node n1 could not be installed)
    ---
    nothing
    ");
}

#[test]
fn an_installation_that_does_not_end_counts_as_failed_after_half_an_hour() {
    let mut world = World::running(&[("gpu", 1)]);
    world.upgrade("2.0", UpdateStrategy::Force);
    world.settle();
    world.pass(30 * 60);
    assert_snapshot!(world.step(), @r"
    node n1: driver 1.0, updating to 2.0, attempt 1 -> 1.0, updating to 2.0, attempt 2
    pool root: written
    > set-driver n1 2.0
    wake +30m
    ");
    world.pass(30 * 60);
    assert_snapshot!(world.step(), @r"
    node n1: driver 1.0, updating to 2.0, attempt 2 -> 1.0, failed for 2.0
    pool root: driver gpu Upgrading 1.0 of 2.0 -> Abnormal 1.0 of 2.0 (the driver of node n1 could not be installed)
    ");
}

#[test]
fn a_new_version_after_a_failure_tries_again() {
    let mut world = World::running(&[("gpu", 1)]);
    world.upgrade("2.0", UpdateStrategy::Force);
    world.step();
    for _ in 0..2 {
        world.pass(30 * 60);
        world.settle();
    }
    world.upgrade("3.0", UpdateStrategy::Force);
    assert_snapshot!(world.step(), @r"
    node n1: driver 1.0, failed for 2.0 -> 1.0, updating to 3.0, attempt 1
    pool root: driver gpu Abnormal 1.0 of 2.0 (the driver of node n1 could not be installed) -> Upgrading 1.0 of 3.0
    > set-driver n1 3.0
    wake +30m
    ");
    world.install();
    assert_snapshot!(world.settle(), @r"
    node n1: driver 1.0, updating to 3.0, attempt 1 -> 3.0, settled
    pool root: driver gpu Upgrading 1.0 of 3.0 -> Running 3.0 of 3.0
    > open-node n1
    ---
    nothing
    ");
}

#[test]
fn a_driver_that_turns_up_after_its_failure_is_accepted() {
    let mut world = World::running(&[("gpu", 1)]);
    world.upgrade("2.0", UpdateStrategy::Force);
    world.step();
    for _ in 0..2 {
        world.pass(30 * 60);
        world.settle();
    }
    world.install();
    assert_snapshot!(world.settle(), @r"
    node n1: driver 1.0, failed for 2.0 -> 2.0, settled
    pool root: driver gpu Abnormal 1.0 of 2.0 (the driver of node n1 could not be installed) -> Running 2.0 of 2.0
    > open-node n1
    ---
    nothing
    ");
}

#[test]
fn a_change_of_mind_during_an_upgrade_goes_straight_to_the_new_target() {
    let mut world = World::running(&[("gpu", 2)]);
    world.upgrade("2.0", UpdateStrategy::Idle);
    world.step();
    world.upgrade("3.0", UpdateStrategy::Idle);
    assert_snapshot!(world.step(), @r"
    node n1: driver 1.0, draining for 2.0 -> 1.0, updating to 3.0, attempt 1
    node n2: driver 1.0, pending for 2.0 -> 1.0, pending for 3.0
    pool root: driver gpu Upgrading 1.0 of 2.0 -> Upgrading 1.0 of 3.0
    > set-driver n1 3.0
    wake +30m
    ");
}

#[test]
fn going_back_to_the_installed_version_opens_the_nodes_again() {
    let mut world = World::running(&[("gpu", 2)]);
    world.fact("n1").is_busy = true;
    world.fact("n2").is_busy = true;
    world.upgrade("2.0", UpdateStrategy::Idle);
    world.settle();
    world.upgrade("1.0", UpdateStrategy::Idle);
    assert_snapshot!(world.settle(), @r"
    node n1: driver 1.0, draining for 2.0 -> 1.0, settled
    node n2: driver 1.0, pending for 2.0 -> 1.0, settled
    pool root: driver gpu Upgrading 1.0 of 2.0 -> Running 1.0 of 1.0
    > open-node n1
    ---
    nothing
    ");
}

#[test]
fn changing_to_force_speeds_up_what_is_left() {
    let mut world = World::running(&[("gpu", 2)]);
    world.fact("n1").is_busy = true;
    world.fact("n2").is_busy = true;
    world.upgrade("2.0", UpdateStrategy::Idle);
    world.settle();
    world.upgrade("2.0", UpdateStrategy::Force);
    assert_snapshot!(world.step(), @r"
    node n1: driver 1.0, draining for 2.0 -> 1.0, updating to 2.0, attempt 1
    node n2: driver 1.0, pending for 2.0 -> 1.0, updating to 2.0, attempt 1
    pool root: written
    > set-driver n1 2.0
    > hold-node n2
    > set-driver n2 2.0
    wake +30m
    ");
}

#[test]
fn an_upgrade_is_not_over_while_a_node_that_has_vanished_is_missing() {
    let mut world = World::running(&[("gpu", 1)]);
    world.fleet().nodes.remove(&node("n1"));
    world.step();
    world.upgrade("2.0", UpdateStrategy::Force);
    assert_snapshot!(world.step(), @r"
    pool root: driver gpu Running 1.0 of 1.0 -> Upgrading 1.0 of 2.0
    wake +120.001s
    ");
}
