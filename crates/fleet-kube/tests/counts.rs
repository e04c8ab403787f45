//! What a node counts in queues where the configuration does not say it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod world;

use domain::name::FlavorName;
use domain::pool::JobType;
use domain::pool::tree::Amount;
use fleet::{Command, Fleet, FleetError, Quota};
use kube_fake::{NodeSpec, ResourceType};
use poolkeeper_fleet_kube::config::Scheduler;
use poolkeeper_fleet_kube::{KubeFleet, mark};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use world::{World, fence, pool, run};

const QUEUES: &str = "queues.scheduling.volcano.sh";
const COUNTS: &str = "poolkeeper.io/counts";

/// A cluster with Volcano whose flavors are read off its Nodes.
async fn world() -> World {
    let mut world = World::new().await;
    for (group, version, kind, plural, is_namespaced) in [
        ("scheduling.volcano.sh", "v1beta1", "Queue", "queues", false),
        ("bus.volcano.sh", "v1alpha1", "Command", "commands", true),
    ] {
        let kind = ResourceType::custom(group, version, kind, plural, is_namespaced);
        world.cluster.register(kind);
    }
    world.cluster.set_queue_rules(true);
    world.config.flavor.clear();
    world.config.scheduler = Scheduler::Volcano;
    world
}

fn add(world: &World, name: &str, cpu: &str) {
    let spec = NodeSpec::new(name, "a100-8x80", "a").with_accelerators("nvidia.com/gpu", 8);
    world.cluster.add_node(&spec);
    world.cluster.set_allocatable(name, "cpu", cpu);
    world.cluster.set_allocatable(name, "memory", "1000000Mi");
}

fn quotas() -> Vec<Quota> {
    let flavor = FlavorName::parse("a100-8x80.8xgpu").unwrap();
    vec![Quota {
        pool: pool(1),
        parent: None,
        amounts: BTreeMap::from([(flavor, Amount { count: 2, max_count: 2 })]),
        open: JobType::ALL.into(),
        is_shut: false,
    }]
}

fn set() -> Command {
    let (pool, quotas) = (pool(1), quotas());
    Command::SetQuotas { pool, quotas }
}

async fn reach(world: &World, fleet: &KubeFleet) {
    for _ in 0..30 {
        if fleet.observe(&pool(1).uid).await.unwrap().quotas == quotas() {
            return;
        }
        run(fleet, 1, &[set()]).await;
        world.pass(5).await;
    }
    panic!("the quotas are not reached");
}

fn capability(world: &World) -> Value {
    let queue = world.cluster.object(QUEUES, "", &mark::pool_slug(&pool(1))).unwrap();
    queue["spec"]["capability"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_node_counts_what_the_smallest_of_its_flavor_has_and_goes_on_to_do_so() {
    let world = world().await;
    add(&world, "a-0", "96");
    add(&world, "a-1", "94500m");
    add(&world, "broken", "1");
    world.cluster.set_allocatable("broken", "nvidia.com/gpu", "0");
    world.pass(60).await;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[Command::EnsurePool { pool: pool(1) }]).await;
    reach(&world, &fleet).await;
    let two = json!({"cpu": "188", "memory": "1952Gi", "nvidia.com/gpu": "16"});
    assert_eq!(capability(&world), two, "twice what the smaller of those that are well has");
    // Neither a smaller Node nor another process changes what was promised.
    add(&world, "a-2", "10");
    world.cluster.set_allocatable("a-0", "cpu", "20");
    world.pass(60).await;
    drop(fleet);
    let fleet = world.fleet().await;
    assert_eq!(fleet.observe(&pool(1).uid).await.unwrap().quotas, quotas());
    run(&fleet, 2, &[set()]).await;
    assert_eq!(capability(&world), two);
    let space = mark::object_name(&pool(1).uid, "-train");
    let space = world.cluster.object("namespaces", "", &space).unwrap();
    assert!(
        space["metadata"]["annotations"][COUNTS]
            .as_str()
            .unwrap()
            .contains("\"cpu\":\"94\"")
    );
    // What the configuration says goes before it.
    let mut told = world.clone();
    let counts = json!({"cpu": "50", "memory": "500Gi", "nvidia.com/gpu": "8"});
    let rule = json!({"name": "a100-8x80.8xgpu", "match": {"node.kubernetes.io/instance-type": ["a100-8x80"]}, "quota": counts});
    told.config.flavor = vec![serde_json::from_value(rule).unwrap()];
    let fleet = told.fleet().await;
    assert_eq!(fleet.observe(&pool(1).uid).await.unwrap().quotas, []);
    run(&fleet, 3, &[set()]).await;
    assert_eq!(capability(&world)["cpu"], "100");
}

#[tokio::test(start_paused = true)]
async fn a_flavor_without_a_node_that_is_well_cannot_be_counted() {
    let world = world().await;
    add(&world, "a-0", "96");
    world.pass(60).await;
    world.cluster.set_allocatable("a-0", "nvidia.com/gpu", "7");
    let fleet = world.fleet().await;
    run(&fleet, 1, &[Command::EnsurePool { pool: pool(1) }]).await;
    let refused = fleet.execute(&[set()], &fence(1)).await;
    assert!(
        matches!(&refused[0], Err(FleetError::Refused { reason }) if reason.contains("a100-8x80.8xgpu")),
        "{refused:?}"
    );
    world.cluster.set_allocatable("a-0", "nvidia.com/gpu", "8");
    world.pass(1).await;
    reach(&world, &fleet).await;
}
