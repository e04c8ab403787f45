//! A pool comes into being (README §8.1, semantics §2).

use super::World;
use crate::plan::fixtures::{self, flavor};
use domain::order::{Operation, OrderPhase};
use domain::pool::{BillingMode, PoolPhase, Waiting};
use fleet::MachineState;
use fleet::observation::ClusterFact;
use insta::assert_snapshot;

#[test]
fn a_creation_goes_from_the_cluster_over_its_nodes_to_running() {
    let mut world = World::created(&[("cpu", 2)]);
    assert_snapshot!(world.step(), @r"
    ! event: counters from 0/0/0/0 to 0/0/2/0
    + node new-hjm4v: at cpu az-1, phase Creating until +30m
    + node new-xxsjw: at cpu az-1, phase Creating until +30m
    pool root: shows 0/0/0/0 -> 0/0/2/0
    order.root: +item 0 createNode new-hjm4v processing
    order.root: +item 1 createNode new-xxsjw processing
    > ensure-pool
    > create-node new-hjm4v cpu az-1
    > create-node new-xxsjw cpu az-1
    wake +30m
    ");
    world.fleet().cluster = ClusterFact::Ready;
    assert_snapshot!(world.step(), @r"
    node new-hjm4v: written
    node new-xxsjw: written
    pool root: +cluster ready
    wake +30m
    ");
    world.pass(60);
    world.boot();
    assert_snapshot!(world.settle(), @r"
    ! event: Pool status changed, from Creating to Running.
    ! event: counters from 0/0/2/0 to 2/0/0/0
    node new-hjm4v: phase Creating until +29m -> Available
    node new-xxsjw: phase Creating until +29m -> Available
    pool root: attempt open -> finished
    pool root: phase Creating -> Running
    pool root: shows 0/0/2/0 -> 2/0/0/0
    order.root: item 0 createNode new-hjm4v processing -> succeed
    order.root: item 1 createNode new-xxsjw processing -> succeed
    order.root: phase processing -> successed
    > set-quotas root: 2-2 cpu
    wake now
    ---
    nothing
    ");
}

#[test]
fn nothing_is_concluded_while_the_fleet_does_not_answer() {
    let mut world = World::created(&[("cpu", 2)]);
    world.observed = None;
    assert_snapshot!(world.step(), @r"
    ! event: counters from 0/0/0/0 to 0/0/2/0
    pool root: shows 0/0/0/0 -> 0/0/2/0
    wake +5s
    ");
}

#[test]
fn a_cluster_that_cannot_be_set_up_fails_the_creation_and_everything_is_given_back() {
    let mut world = World::created(&[("cpu", 1)]);
    world.step();
    world.fleet().cluster = ClusterFact::Failed("no addresses".to_owned());
    assert_snapshot!(world.step(), @r"
    ! warning: Pool status changed, from Creating to CreationFailed, details: the cluster could not be set up: no addresses.
    node new-hjm4v: phase Creating until +30m -> Deleting (GivenUp)
    pool root: attempt open -> finished
    pool root: phase Creating -> CreationFailed (the cluster could not be set up: no addresses)
    pool root: shows 0/0/1/0 -> 0/0/0/1
    order.root: item 0 createNode new-hjm4v processing -> failed
    order.root: phase processing -> failed (the cluster could not be set up: no addresses)
    # pools/P -1
    # network-users/P/network -1
    # promised/cpu -1
    # addresses/P/network -1
    > delete-node new-hjm4v
    wake now
    ");
    world.release();
    assert_snapshot!(world.settle(), @r"
    pool root: shows 0/0/0/1 -> 0/0/0/0
    - node new-hjm4v
    > remove-pool
    wake +0.100s
    ---
    wake +1s
    ");
    world.pass(3 * 24 * 3600);
    assert_snapshot!(world.settle(), @r"
    - pool root
    - event 0000000001
    - event 0000000002
    ");
}

#[test]
fn a_creation_without_a_single_node_in_time_has_failed() {
    let mut world = World::created(&[("cpu", 1)]);
    world.step();
    world.fleet().cluster = ClusterFact::Ready;
    world.step();
    world.pass(30 * 60);
    assert_snapshot!(world.step(), @r"
    ! warning: Pool status changed, from Creating to CreationFailed, details: no node became available: cpu is short of 1 of 1 nodes.
    ! event: counters from 0/0/1/0 to 0/0/0/1
    node new-hjm4v: phase Creating until now -> Deleting (GivenUp)
    pool root: attempt open -> finished
    pool root: phase Creating -> CreationFailed (no node became available: cpu is short of 1 of 1 nodes)
    pool root: shows 0/0/1/0 -> 0/0/0/1
    pool root: +given up cpu/cpu-default 1
    order.root: item 0 createNode new-hjm4v processing -> failed
    order.root: phase processing -> failed (no node became available: cpu is short of 1 of 1 nodes)
    # pools/P -1
    # network-users/P/network -1
    # promised/cpu -1
    # addresses/P/network -1
    > delete-node new-hjm4v
    wake now
    ");
}

#[test]
fn a_creation_whose_cluster_and_nodes_never_come_up_has_failed_in_time() {
    let mut world = World::created(&[("cpu", 1)]);
    world.step();
    world.pass(30 * 60);
    assert_snapshot!(world.step(), @r"
    ! warning: Pool status changed, from Creating to CreationFailed, details: no node became available: cpu is short of 1 of 1 nodes.
    ! event: counters from 0/0/1/0 to 0/0/0/1
    node new-hjm4v: phase Creating until now -> Deleting (GivenUp)
    pool root: attempt open -> finished
    pool root: phase Creating -> CreationFailed (no node became available: cpu is short of 1 of 1 nodes)
    pool root: shows 0/0/1/0 -> 0/0/0/1
    pool root: +given up cpu/cpu-default 1
    order.root: item 0 createNode new-hjm4v processing -> failed
    order.root: phase processing -> failed (no node became available: cpu is short of 1 of 1 nodes)
    # pools/P -1
    # network-users/P/network -1
    # promised/cpu -1
    # addresses/P/network -1
    > delete-node new-hjm4v
    wake now
    ");
}

#[test]
fn a_creation_that_falls_short_runs_and_tries_the_missing_nodes_again() {
    let mut world = World::created(&[("cpu", 2)]);
    world.step();
    world.fleet().cluster = ClusterFact::Ready;
    let name = world.nodes()[0].name.to_string();
    world.fact(&name).state = MachineState::Failed("the disk is broken".to_owned());
    assert_snapshot!(world.step(), @r"
    node new-hjm4v: phase Creating until +30m -> Deleting (GivenUp)
    node new-xxsjw: written
    pool root: shows 0/0/2/0 -> 0/0/1/1
    pool root: +cluster ready
    pool root: +given up cpu/cpu-default 1
    order.root: item 0 createNode new-hjm4v processing -> failed
    > delete-node new-hjm4v
    wake +1s
    ");
    world.boot();
    assert_snapshot!(world.step(), @r"
    ! event: Pool status changed, from Creating to Running.
    node new-xxsjw: phase Creating until +30m -> Available
    pool root: phase Creating -> Running
    pool root: shows 0/0/1/1 -> 1/0/0/1
    pool root: +retry +5m
    > delete-node new-hjm4v
    > set-quotas root: 2-2 cpu
    wake now
    ");
    world.release();
    assert_snapshot!(world.settle(), @r"
    pool root: attempt open -> finished
    pool root: shows 1/0/0/1 -> 1/0/0/0
    order.root: item 1 createNode new-xxsjw processing -> succeed
    order.root: phase processing -> partialSuccessed (cpu is short of 1 of 2 nodes)
    - node new-hjm4v
    wake +1s
    ---
    wake +1s
    ");
    world.pass(5 * 60);
    assert_snapshot!(world.step(), @r"
    ! event: counters from 0/0/2/0 to 1/0/1/0
    + node new-5brqp: at cpu az-1, phase Creating until +30m
    pool root: -given up cpu/cpu-default 1
    pool root: -retry now
    pool root: shows 1/0/0/0 -> 1/0/1/0
    > create-node new-5brqp cpu az-1
    wake +30m
    ");
    world.boot();
    assert_snapshot!(world.settle(), @r"
    node new-5brqp: phase Creating until +30m -> Available
    pool root: shows 1/0/1/0 -> 2/0/0/0
    wake +1s
    ---
    wake +1s
    ");
}

#[test]
fn a_new_accelerator_node_is_asked_for_with_the_driver_of_the_pool() {
    let mut world = World::created(&[("gpu", 1)]);
    assert_snapshot!(world.step(), @r"
    ! event: counters from 0/0/0/0 to 0/0/1/0
    + node new-hjm4v: at gpu az-1, driver none, settled, phase Creating until +30m
    pool root: shows 0/0/0/0 -> 0/0/1/0
    pool root: +driver gpu Creating 1.0 of 1.0
    order.root: +item 0 createNode new-hjm4v processing
    > ensure-pool
    > create-node new-hjm4v gpu az-1 driver 1.0
    wake +30m
    ");
    world.fleet().cluster = ClusterFact::Ready;
    world.boot();
    assert_snapshot!(world.settle(), @r"
    ! event: Pool status changed, from Creating to Running.
    node new-hjm4v: driver none, settled -> 1.0, settled
    node new-hjm4v: phase Creating until +30m -> Available
    pool root: attempt open -> finished
    pool root: driver gpu Creating 1.0 of 1.0 -> Running 1.0 of 1.0
    pool root: phase Creating -> Running
    pool root: shows 0/0/1/0 -> 1/0/0/0
    pool root: +cluster ready
    order.root: item 0 createNode new-hjm4v processing -> succeed
    order.root: phase processing -> successed
    > set-quotas root: 1-1 gpu
    wake now
    ---
    wake +1s
    ");
}

fn unpaid() -> World {
    let mut pool = fixtures::pool(&[("cpu", 1)]);
    pool.status.phase = PoolPhase::Waiting(Waiting::Payment);
    pool.billing.mode = BillingMode::Prepaid;
    let mut world = World::of(pool);
    world.edit_order(|order| order.phase = OrderPhase::Pending(Waiting::Payment));
    world
}

#[test]
fn an_unpaid_pool_waits_and_fails_after_seven_days() {
    let mut world = unpaid();
    assert_snapshot!(world.step(), @r"
    wake +168h
    ");
    world.pass(7 * 24 * 3600);
    assert_snapshot!(world.settle(), @r"
    ! warning: Pool status changed, from Waiting to CreationFailed, details: not confirmed in time.
    pool root: attempt open -> finished
    pool root: phase Waiting (waiting for the order to be paid) -> CreationFailed (not confirmed in time)
    order.root: phase pending -> failed (not confirmed in time)
    # pools/P -1
    # network-users/P/network -1
    # promised/cpu -1
    # addresses/P/network -1
    ---
    wake +72h
    ");
}

#[test]
fn a_paid_pool_is_built() {
    let mut world = unpaid();
    world.edit_order(|order| order.begin(fixtures::start()));
    world.edit(|pool| pool.status.phase = PoolPhase::Creating);
    assert_snapshot!(world.step(), @r"
    ! event: counters from 0/0/0/0 to 0/0/1/0
    + node new-hjm4v: at cpu az-1, phase Creating until +30m
    pool root: shows 0/0/0/0 -> 0/0/1/0
    order.root: +item 0 createNode new-hjm4v processing
    > ensure-pool
    > create-node new-hjm4v cpu az-1
    wake +30m
    ");
}

#[test]
fn an_unpaid_scale_out_makes_nothing_and_goes_back_after_seven_days() {
    let mut world = World::running(&[("cpu", 1)]);
    world.scale_to(&[("cpu", 3)]);
    world.edit(|pool| pool.status.attempt.previous = Some(vec![domain::pool::PoolResource::plain(flavor("cpu"), 1)]));
    world.edit_order(|order| {
        assert_eq!(order.operation, Operation::Modify);
        order.phase = OrderPhase::Pending(Waiting::Payment);
    });
    assert_snapshot!(world.step(), @r"
    > set-quotas root: 3-3 cpu
    wake +168h
    ");
    world.pass(7 * 24 * 3600);
    assert_snapshot!(world.settle(), @r"
    pool root: attempt open -> finished
    pool root: generation 2 -> 3
    pool root: spec 3 x cpu -> 1 x cpu
    order.5: phase pending -> failed (not confirmed in time)
    # promised/cpu -2
    # addresses/P/network -2
    > set-quotas root: 1-1 cpu
    ---
    nothing
    ");
}

#[test]
fn a_paid_scale_out_makes_its_nodes() {
    let mut world = World::running(&[("cpu", 1)]);
    world.scale_to(&[("cpu", 2)]);
    assert_snapshot!(world.step(), @r"
    ! event: counters from 1/0/0/0 to 1/0/1/0
    + node new-hjm4v: at cpu az-1, phase Creating until +30m
    pool root: shows 1/0/0/0 -> 1/0/1/0
    order.5: +item 0 createNode new-hjm4v processing
    > create-node new-hjm4v cpu az-1
    > set-quotas root: 2-2 cpu
    wake +30m
    ");
}

#[test]
fn a_pool_whose_nodes_are_up_before_its_cluster_is_still_being_created() {
    let mut world = World::created(&[("cpu", 1)]);
    world.step();
    world.boot();
    assert_snapshot!(world.settle(), @r"
    node new-hjm4v: phase Creating until +30m -> Available
    pool root: shows 0/0/1/0 -> 1/0/0/0
    wake +1s
    ---
    wake +1s
    ");
    world.fleet().cluster = ClusterFact::Ready;
    assert_snapshot!(world.settle(), @r"
    ! event: Pool status changed, from Creating to Running.
    pool root: attempt open -> finished
    pool root: phase Creating -> Running
    pool root: +cluster ready
    order.root: item 0 createNode new-hjm4v processing -> succeed
    order.root: phase processing -> successed
    > set-quotas root: 1-1 cpu
    wake now
    ---
    wake +1s
    ");
}
