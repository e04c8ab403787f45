//! More and fewer nodes (semantics §5).

use super::World;
use crate::plan::fixtures::{self, available, flavor, node, offers, zone};
use domain::meta::Uid;
use domain::node::NodeBatch;
use domain::pool::{AzCount, CreatingStep, PoolResource, StepKind};
use insta::assert_snapshot;

#[test]
fn a_scale_out_ends_its_order_when_the_nodes_are_there() {
    let mut world = World::running(&[("cpu", 1)]);
    world.scale_to(&[("cpu", 3)]);
    assert_snapshot!(world.step(), @r"
    ! event: counters from 1/0/0/0 to 1/0/2/0
    + node new-hjm4v: at cpu az-1, phase Creating until +30m
    + node new-xxsjw: at cpu az-1, phase Creating until +30m
    pool root: shows 1/0/0/0 -> 1/0/2/0
    order.5: +item 0 createNode new-hjm4v processing
    order.5: +item 1 createNode new-xxsjw processing
    > create-node new-hjm4v cpu az-1
    > create-node new-xxsjw cpu az-1
    > set-quotas root: 3-3 cpu
    wake +30m
    ");
    world.pass(60);
    world.boot();
    assert_snapshot!(world.settle(), @r"
    ! event: counters from 1/0/2/0 to 3/0/0/0
    node new-hjm4v: phase Creating until +29m -> Available
    node new-xxsjw: phase Creating until +29m -> Available
    pool root: attempt open -> finished
    pool root: shows 1/0/2/0 -> 3/0/0/0
    order.5: item 0 createNode new-hjm4v processing -> succeed
    order.5: item 1 createNode new-xxsjw processing -> succeed
    order.5: phase processing -> successed
    ---
    nothing
    ");
}

#[test]
fn nodes_go_where_the_pool_is_and_then_where_most_machines_are_free() {
    let mut world = World::running(&[("cpu", 1)]);
    world.offers = offers(&[("az-1", 1), ("az-2", 2), ("az-3", 5)]);
    world.scale_to(&[("cpu", 4)]);
    assert_snapshot!(world.step(), @r"
    ! event: counters from 1/0/0/0 to 1/0/3/0
    + node new-5brqp: at cpu az-3, phase Creating until +30m
    + node new-hjm4v: at cpu az-1, phase Creating until +30m
    + node new-xxsjw: at cpu az-3, phase Creating until +30m
    pool root: shows 1/0/0/0 -> 1/0/3/0
    order.5: +item 0 createNode new-hjm4v processing
    order.5: +item 1 createNode new-xxsjw processing
    order.5: +item 2 createNode new-5brqp processing
    > create-node new-hjm4v cpu az-1
    > create-node new-xxsjw cpu az-3
    > create-node new-5brqp cpu az-3
    > set-quotas root: 4-4 cpu
    wake +30m
    ");
}

#[test]
fn a_scale_out_without_machines_moves_on_where_it_may_and_fails_in_time() {
    let mut world = World::running(&[("cpu", 1)]);
    world.offers = offers(&[("az-1", 0)]);
    world.scale_to(&[("cpu", 2)]);
    // The fleet has no machine: the command is refused, and nothing appears.
    let plan = world.plan();
    world.commit(&plan);
    let name = plan.commands[0].node().unwrap().clone();
    world.no_capacity.insert(name);
    world.pass(60);
    assert_snapshot!(world.step_refused(), @r"
    > create-node new-hjm4v cpu az-1
    > set-quotas root: 2-2 cpu
    wake +29m
    ");
    // Elsewhere there is one.
    world.offers = offers(&[("az-1", 0), ("az-2", 1)]);
    assert_snapshot!(world.step_refused(), @r"
    node new-hjm4v: at cpu az-1 -> cpu az-2
    pool root: written
    > create-node new-hjm4v cpu az-2
    > set-quotas root: 2-2 cpu
    wake +29m
    ");
    world.offers = offers(&[("az-1", 0), ("az-2", 0)]);
    world.pass(29 * 60);
    assert_snapshot!(world.step_refused(), @r"
    ! warning: Pool status changed, from Running to ScalingFailed, details: cpu is short of 1 of 2 nodes.
    ! event: counters from 1/0/1/0 to 1/0/0/0
    pool root: attempt open -> finished
    pool root: phase Running -> ScalingFailed (cpu is short of 1 of 2 nodes)
    pool root: shows 1/0/1/0 -> 1/0/0/0
    pool root: +given up cpu/cpu-default 1
    order.5: item 0 createNode new-hjm4v processing -> failed
    order.5: phase processing -> failed (cpu is short of 1 of 2 nodes)
    - node new-hjm4v
    > set-quotas root: 2-2 cpu
    ");
}

#[test]
fn a_partial_scale_out_ends_in_scaling_failed_and_stays_there() {
    let mut world = World::running(&[("cpu", 1)]);
    world.scale_to(&[("cpu", 3)]);
    world.step();
    let late = world.nodes().into_iter().find(|node| !node.was_available).unwrap().name;
    world.boot();
    world.fact(late.as_str()).state = fleet::MachineState::Booting;
    world.settle();
    world.pass(30 * 60);
    assert_snapshot!(world.step(), @r"
    ! warning: Pool status changed, from Running to ScalingFailed, details: cpu is short of 1 of 3 nodes.
    ! event: counters from 1/0/2/0 to 2/0/0/1
    node new-hjm4v: phase Creating until now -> Deleting (GivenUp)
    pool root: phase Running -> ScalingFailed (cpu is short of 1 of 3 nodes)
    pool root: shows 2/0/1/0 -> 2/0/0/1
    pool root: +given up cpu/cpu-default 1
    order.5: item 0 createNode new-hjm4v processing -> failed
    > delete-node new-hjm4v
    ");
    world.release();
    assert_snapshot!(world.settle(), @r"
    pool root: attempt open -> finished
    pool root: shows 2/0/0/1 -> 2/0/0/0
    order.5: item 1 createNode new-xxsjw processing -> succeed
    order.5: phase processing -> partialSuccessed (cpu is short of 1 of 3 nodes)
    - node new-hjm4v
    wake +1s
    ---
    wake +1s
    ");
    world.pass(24 * 3600);
    assert_snapshot!(world.step(), @r"
    ! event: counters from 2/0/0/1 to 2/0/0/0
    pool root: written
    ");
}

#[test]
fn a_new_attempt_after_scaling_failed_makes_the_missing_node_and_runs() {
    let mut world = World::running(&[("cpu", 1)]);
    world.scale_to(&[("cpu", 2)]);
    world.step();
    world.pass(30 * 60);
    world.step();
    world.release();
    world.settle();
    world.scale_to(&[("cpu", 2)]);
    assert_snapshot!(world.step(), @r"
    + node new-xxsjw: at cpu az-1, phase Creating until +30m
    pool root: shows 1/0/0/0 -> 1/0/1/0
    order.11: +item 0 createNode new-xxsjw processing
    > create-node new-xxsjw cpu az-1
    wake +1s
    ");
    world.boot();
    assert_snapshot!(world.settle(), @r"
    ! event: Pool status changed, from ScalingFailed to Running.
    node new-xxsjw: phase Creating until +30m -> Available
    pool root: attempt open -> finished
    pool root: phase ScalingFailed (cpu is short of 1 of 2 nodes) -> Running
    pool root: shows 1/0/1/0 -> 2/0/0/0
    order.11: item 0 createNode new-xxsjw processing -> succeed
    order.11: phase processing -> successed
    wake +1s
    ---
    wake +1s
    ");
}

#[test]
fn reducing_the_target_to_what_exists_ends_scaling_failed() {
    let mut world = World::running(&[("cpu", 1)]);
    world.scale_to(&[("cpu", 2)]);
    world.step();
    world.pass(30 * 60);
    world.step();
    world.release();
    world.settle();
    world.scale_to(&[("cpu", 1)]);
    assert_snapshot!(world.settle(), @r"
    ! event: Pool status changed, from ScalingFailed to Running.
    pool root: attempt open -> finished
    pool root: phase ScalingFailed (cpu is short of 1 of 2 nodes) -> Running
    order.11: phase processing -> successed
    > set-quotas root: 1-1 cpu
    wake +1s
    ---
    wake +1s
    ");
}

/// Six nodes in every state, with one that must not go.
fn mixed() -> World {
    let mut world = World::running(&[("cpu", 6)]);
    world.fact("n1").is_busy = true;
    world.fact("n2").state = fleet::MachineState::Faulty("no gpu".to_owned());
    world.edit_node("n4", |node| node.is_ha_spare = true);
    world.edit_node("n5", |node| node.is_locked = true);
    world.edit_node("n6", |node| node.created_at = fixtures::start() + std::time::Duration::from_secs(9));
    world.settle();
    world
}

#[test]
fn the_nodes_that_go_are_the_abnormal_then_the_idle_young_then_the_busy_then_the_spares() {
    let order: Vec<String> = (1..6)
        .map(|wanted| {
            let mut world = mixed();
            world.scale_to(&[("cpu", wanted)]);
            world.step();
            let going: Vec<String> = world
                .nodes()
                .iter()
                .filter(|node| node.phase.is_deleting())
                .map(|node| node.name.to_string())
                .collect();
            format!("to {wanted}: {}", going.join(" "))
        })
        .collect();
    assert_snapshot!(order.join("\n"), @r"
    to 1: n6 n1 n2 n3 n4
    to 2: n6 n1 n2 n3
    to 3: n6 n2 n3
    to 4: n6 n2
    to 5: n2
    ");
}

#[test]
fn a_scale_in_ends_its_order_when_the_machines_are_back() {
    let mut world = World::running(&[("cpu", 2)]);
    world.scale_to(&[("cpu", 1)]);
    assert_snapshot!(world.step(), @r"
    ! event: counters from 2/0/0/0 to 1/0/0/1
    node n1: phase Available -> Deleting (ScaleIn)
    pool root: shows 2/0/0/0 -> 1/0/0/1
    order.6: +item 0 deleteNode n1 processing
    > delete-node n1
    > set-quotas root: 1-1 cpu
    ");
    assert_snapshot!(world.settle(), @r"
    > delete-node n1
    ");
    world.release();
    assert_snapshot!(world.settle(), @r"
    pool root: attempt open -> finished
    pool root: shows 1/0/0/1 -> 1/0/0/0
    order.6: item 0 deleteNode n1 processing -> succeed
    order.6: phase processing -> successed
    - node n1
    wake +1s
    ---
    wake +1s
    ");
}

#[test]
fn a_scale_in_takes_nodes_that_are_not_up_yet_first() {
    let mut world = World::running(&[("cpu", 1)]);
    world.scale_to(&[("cpu", 3)]);
    world.step();
    world.scale_to(&[("cpu", 2)]);
    assert_snapshot!(world.step(), @r"
    node new-hjm4v: phase Creating until +30m -> Deleting (ScaleIn)
    node new-xxsjw: written
    pool root: shows 1/0/2/0 -> 1/0/1/1
    order.9: +item 0 deleteNode new-hjm4v processing
    > delete-node new-hjm4v
    > set-quotas root: 2-2 cpu
    wake +1s
    ");
}

#[test]
fn an_element_that_is_no_longer_asked_for_goes_with_all_its_nodes() {
    let mut world = World::running(&[("cpu", 1), ("gpu", 1)]);
    world.scale_to(&[("cpu", 1)]);
    assert_snapshot!(world.step(), @r"
    ! event: counters from 2/0/0/0 to 1/0/0/1
    node n2: phase Available -> Deleting (ScaleIn)
    pool root: shows 2/0/0/0 -> 1/0/0/1
    order.6: +item 0 deleteNode n2 processing
    > delete-node n2
    > set-quotas root: 1-1 cpu
    ");
    world.release();
    assert_snapshot!(world.settle(), @r"
    pool root: attempt open -> finished
    pool root: shows 1/0/0/1 -> 1/0/0/0
    order.6: item 0 deleteNode n2 processing -> succeed
    order.6: phase processing -> successed
    - node n2
    wake +1s
    ---
    pool root: -driver gpu Running 1.0 of 1.0
    wake +1s
    ---
    wake +1s
    ");
}

#[test]
fn nodes_move_between_zones_that_were_asked_for() {
    let mut world = World::running(&[("cpu", 2)]);
    let mut element = PoolResource::plain(flavor("cpu"), 2);
    element.azs = Some(["az-1", "az-2"].map(|az| AzCount { az: zone(az), count: 1 }).to_vec());
    world.scale_to_elements(vec![element]);
    assert_snapshot!(world.step(), @r"
    ! event: counters from 2/0/0/0 to 1/0/1/1
    node n1: phase Available -> Deleting (ScaleIn)
    + node new-hjm4v: at cpu az-2, phase Creating until +30m
    pool root: shows 2/0/0/0 -> 1/0/1/1
    order.6: +item 0 deleteNode n1 processing
    order.6: +item 1 createNode new-hjm4v processing
    > delete-node n1
    > create-node new-hjm4v cpu az-2
    wake +30m
    ");
    world.boot();
    world.release();
    assert_snapshot!(world.settle(), @r"
    node new-hjm4v: phase Creating until +30m -> Available
    pool root: attempt open -> finished
    pool root: shows 1/0/1/1 -> 2/0/0/0
    order.6: item 0 deleteNode n1 processing -> succeed
    order.6: item 1 createNode new-hjm4v processing -> succeed
    order.6: phase processing -> successed
    - node n1
    wake +1s
    ---
    wake +1s
    ");
}

fn racks(count: u32) -> PoolResource {
    let mut element = PoolResource::plain(flavor("cpu"), count);
    element.creating_step = Some(CreatingStep {
        step: 2,
        kind: StepKind::Rack,
    });
    element
}

#[test]
fn nodes_come_in_whole_batches() {
    let mut world = World::of({
        let mut pool = fixtures::pool(&[]);
        pool.spec.resources = vec![racks(4)];
        pool
    });
    world.step();
    let nodes = world.nodes();
    let mut batches: Vec<Uid> = nodes.iter().map(|node| node.batch.as_ref().unwrap().uid.clone()).collect();
    batches.sort();
    assert_eq!(batches.len(), 4);
    assert!(batches[0] == batches[1] && batches[1] != batches[2] && batches[2] == batches[3]);
}

#[test]
fn nodes_go_in_whole_batches() {
    let mut world = World::running(&[("cpu", 6)]);
    // Batches whose nodes alternate by name: 1 and 4, 2 and 5, 3 and 6.
    for at in 0..6_u8 {
        world.edit_node(&format!("n{}", at + 1), |node| {
            node.batch = Some(Box::new(NodeBatch {
                uid: Uid::from_text(&format!("batch-{}", at % 3)),
                step: CreatingStep {
                    step: 2,
                    kind: StepKind::Rack,
                },
            }));
        });
    }
    // The first batch cannot go whole, the third one has a node that is not well.
    world.edit_node("n4", |node| node.is_locked = true);
    world.fact("n6").state = fleet::MachineState::Faulty("hot".to_owned());
    world.settle();
    let going = |wanted: u32| {
        world.scale_to_elements(vec![racks(wanted)]);
        world.step();
        let going: Vec<String> = world
            .nodes()
            .iter()
            .filter(|node| node.phase.is_deleting())
            .map(|node| node.name.to_string())
            .collect();
        going.join(" ")
    };
    let mut going = going;
    assert_eq!(going(4), "n3 n6");
    assert_eq!(going(2), "n2 n3 n5 n6");
}

#[test]
fn a_flavor_with_accelerators_that_is_added_gets_the_newest_driver() {
    let mut world = World::running(&[("cpu", 1)]);
    world.scale_to(&[("cpu", 1), ("gpu", 1)]);
    assert_snapshot!(world.step(), @r"
    ! event: counters from 1/0/0/0 to 1/0/1/0
    + node new-hjm4v: at gpu az-1, driver none, settled, phase Creating until +30m
    pool root: shows 1/0/0/0 -> 1/0/1/0
    pool root: +driver gpu Creating 1.0 of 1.0
    order.5: +item 0 createNode new-hjm4v processing
    > create-node new-hjm4v gpu az-1 driver 1.0
    > set-quotas root: 1-1 cpu, 1-1 gpu
    wake +30m
    ");
    world.boot();
    assert_snapshot!(world.settle(), @r"
    node new-hjm4v: driver none, settled -> 1.0, settled
    node new-hjm4v: phase Creating until +30m -> Available
    pool root: attempt open -> finished
    pool root: driver gpu Creating 1.0 of 1.0 -> Running 1.0 of 1.0
    pool root: shows 1/0/1/0 -> 2/0/0/0
    order.5: item 0 createNode new-hjm4v processing -> succeed
    order.5: phase processing -> successed
    wake +1s
    ---
    wake +1s
    ");
}

#[test]
fn a_second_change_replaces_the_target_of_the_first() {
    let mut world = World::running(&[("cpu", 1)]);
    world.scale_to(&[("cpu", 2)]);
    world.step();
    world.scale_to(&[("cpu", 4)]);
    assert_snapshot!(world.step(), @r"
    node new-hjm4v: written
    + node new-5brqp: at cpu az-1, phase Creating until +30m
    + node new-xxsjw: at cpu az-1, phase Creating until +30m
    pool root: shows 1/0/1/0 -> 1/0/3/0
    order.9: +item 0 createNode new-xxsjw processing
    order.9: +item 1 createNode new-5brqp processing
    > create-node new-xxsjw cpu az-1
    > create-node new-5brqp cpu az-1
    > set-quotas root: 4-4 cpu
    wake +1s
    ");
}

#[test]
fn a_node_name_in_use_elsewhere_is_not_taken() {
    let mut world = World::running(&[("cpu", 1)]);
    world.scale_to(&[("cpu", 2)]);
    let first = world.plan().commands[0].node().unwrap().clone();
    let mut foreign = available(first.as_str(), "cpu", "az-1");
    foreign.pool_uid = fixtures::uid(9);
    world.put(foreign);
    let second = world.plan().commands[0].node().unwrap().clone();
    assert_ne!(first, second);
    assert_ne!(second, node("n1"));
}

#[test]
fn a_node_that_was_asked_for_in_a_zone_waits_there() {
    let mut world = World::running(&[("cpu", 1)]);
    let mut element = PoolResource::plain(flavor("cpu"), 2);
    element.azs = Some(vec![AzCount {
        az: zone("az-1"),
        count: 2,
    }]);
    world.scale_to_elements(vec![element]);
    let plan = world.plan();
    world.commit(&plan);
    world.no_capacity.insert(plan.commands[0].node().unwrap().clone());
    world.offers = offers(&[("az-1", 0), ("az-2", 9)]);
    assert_snapshot!(world.step_refused(), @r"
    > create-node new-hjm4v cpu az-1
    > set-quotas root: 2-2 cpu
    wake +30m
    ");
}
