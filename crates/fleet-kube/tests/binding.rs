//! Nodes that are kept for a logical pool, and pools whose queues are closed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod world;

use domain::pool::JobType;
use domain::pool::tree::Amount;
use fleet::{Command, Fleet, PoolMark, Quota};
use kube::api::PostParams;
use poolkeeper_fleet_kube::KubeFleet;
use poolkeeper_fleet_kube::config::Scheduler;
use poolkeeper_fleet_kube::mark;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use world::{World, create, flavor, insist, node, pool, run};

const QUEUES: &str = "queues.scheduling.volcano.sh";
const CLUSTER_QUEUES: &str = "clusterqueues.kueue.x-k8s.io";

fn quota(number: usize, parent: Option<usize>, count: u64, max_count: u64) -> Quota {
    Quota {
        pool: pool(number),
        parent: parent.map(|number| pool(number).uid),
        amounts: BTreeMap::from([(flavor(), Amount { count, max_count })]),
        open: JobType::ALL.into(),
        is_shut: false,
    }
}

/// Two nodes, of which a logical pool, and one inside it, may use both.
fn quotas() -> Vec<Quota> {
    vec![quota(1, None, 2, 2), quota(2, Some(1), 1, 2), quota(3, Some(2), 1, 2)]
}

fn set(quotas: &[Quota]) -> Command {
    Command::SetQuotas {
        pool: pool(1),
        quotas: quotas.to_vec(),
    }
}

fn keep(number: usize, to: Option<&PoolMark>) -> Command {
    Command::DedicateNode {
        pool: pool(1),
        node: node(number),
        to: to.map(|pool| pool.uid.clone()),
    }
}

/// A pool of two nodes that are up, with its quotas.
async fn start(scheduler: Scheduler) -> (World, KubeFleet) {
    let mut world = World::new().await;
    world.cluster.serve_schedulers();
    world.cluster.set_queue_rules(true);
    world.config.scheduler = scheduler;
    world.add_nodes("a", 2);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[Command::EnsurePool { pool: pool(1) }]).await;
    insist(&world, &fleet, 1, &[create(1, 1), create(1, 2)]).await;
    reach(&world, &fleet, &quotas()).await;
    (world, fleet)
}

async fn reach(world: &World, fleet: &KubeFleet, quotas: &[Quota]) {
    for _ in 0..30 {
        let seen = fleet.observe(&pool(1).uid).await.unwrap();
        if seen.quotas == quotas {
            return;
        }
        insist(world, fleet, 1, &[set(quotas)]).await;
        world.pass(5).await;
    }
    panic!("the quotas are not reached");
}

fn host(world: &World, number: usize) -> String {
    world.machines_of(number).pop().unwrap()
}

fn space(number: usize, kind: &str) -> String {
    mark::object_name(&pool(number).uid, kind)
}

/// A pod that needs a whole node, submitted to the queue of a pool.
async fn submit(world: &World, number: usize, name: &str) {
    let pod = json!({
        "metadata": {"name": name, "annotations": {"scheduling.volcano.sh/queue-name": mark::pool_slug(&pool(number))}},
        "spec": {
            "containers": [{"name": "a", "image": "b", "resources": {"requests": {"nvidia.com/gpu": "8"}}}],
            "nodeSelector": {mark::POOL_NAME: mark::pool_slug(&pool(1))},
            "tolerations": [{"key": mark::TAINT_POOL, "operator": "Exists"}],
        },
    });
    let pod: k8s_openapi::api::core::v1::Pod = serde_json::from_value(pod).unwrap();
    let api = kube::Api::namespaced(world.cluster.client_as("user"), &space(number, "-train"));
    api.create(&PostParams::default(), &pod).await.unwrap();
    world.pass(2).await;
}

/// Where a pod is.
fn place(world: &World, number: usize, name: &str) -> Option<String> {
    let pod = world.cluster.object("pods", &space(number, "-train"), name).unwrap();
    pod.pointer("/spec/nodeName").and_then(Value::as_str).map(str::to_owned)
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_kept_for_a_pool_is_used_by_it_and_those_inside_it() {
    let (world, fleet) = start(Scheduler::Volcano).await;
    run(&fleet, 1, &[keep(1, Some(&pool(2)))]).await;
    let seen = world
        .until(&fleet, &pool(1), |seen| {
            seen.nodes.values().any(|fact| fact.dedicated_to == Some(pool(2).uid))
        })
        .await;
    assert_eq!(seen.nodes[&node(2)].dedicated_to, None);
    let (own, common) = (host(&world, 1), host(&world, 2));
    let labels = |name: &str| world.node(name)["metadata"]["labels"].clone();
    assert_eq!(labels(&own)[mark::QUOTA], pool(2).uid.as_str());
    assert_ne!(labels(&own)[mark::NODE_GROUP], labels(&common)[mark::NODE_GROUP]);
    // The physical pool has one node left, however free the other is.
    submit(&world, 1, "one").await;
    submit(&world, 1, "two").await;
    assert_eq!(place(&world, 1, "one"), Some(common));
    assert_eq!(place(&world, 1, "two"), None);
    submit(&world, 3, "inside").await;
    assert_eq!(place(&world, 3, "inside"), Some(own.clone()));
    world.cluster.remove("pods", &space(3, "-train"), "inside");
    run(&fleet, 1, &[keep(1, None), keep(1, None)]).await;
    world.pass(5).await;
    assert_eq!(place(&world, 1, "two"), Some(own.clone()));
    assert_eq!(labels(&own).get(mark::QUOTA), None);
    assert_eq!(fleet.observe(&pool(1).uid).await.unwrap().quotas, quotas());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_given_back_is_kept_for_nobody() {
    let (world, fleet) = start(Scheduler::Volcano).await;
    let own = host(&world, 1);
    run(&fleet, 1, &[keep(1, Some(&pool(2))), world::delete(1, 1)]).await;
    world.until(&fleet, &pool(1), |seen| seen.nodes.len() == 1).await;
    let labels = world.node(&own)["metadata"]["labels"].clone();
    assert_eq!((labels.get(mark::QUOTA), labels.get(mark::NODE_GROUP)), (None, None));
}

#[tokio::test(start_paused = true)]
async fn the_queue_of_a_pool_that_is_shut_is_closed_and_takes_no_pods() {
    let (world, fleet) = start(Scheduler::Volcano).await;
    submit(&world, 2, "runs").await;
    let mut shut = quotas();
    for quota in &mut shut[1..] {
        quota.is_shut = true;
    }
    reach(&world, &fleet, &shut).await;
    let state = |number: usize| {
        let name = mark::pool_slug(&pool(number));
        world.cluster.object(QUEUES, "", &name).unwrap()["status"]["state"].clone()
    };
    let closing = |space: &str| world.cluster.object("namespaces", "", space).unwrap()["metadata"]["labels"][mark::CLOSING].clone();
    assert_eq!((state(1), state(3)), (json!("Open"), json!("Closed")));
    assert_eq!(
        (closing(&space(1, "-infer")), closing(&space(2, "-train"))),
        (json!("false"), json!("true"))
    );
    assert!(place(&world, 2, "runs").is_some(), "what runs goes on");
    submit(&world, 3, "late").await;
    assert_eq!(place(&world, 3, "late"), None);
    reach(&world, &fleet, &quotas()).await;
    world.pass(5).await;
    assert_eq!((state(2), state(3)), (json!("Open"), json!("Open")));
    assert!(place(&world, 3, "late").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_shut_can_go() {
    let (world, fleet) = start(Scheduler::Volcano).await;
    let mut shut = quotas();
    shut[2].is_shut = true;
    reach(&world, &fleet, &shut).await;
    submit(&world, 3, "late").await;
    reach(&world, &fleet, &quotas()[..2]).await;
    assert!(world.cluster.object("namespaces", "", &space(3, "-train")).is_none());
    assert!(world.cluster.object(QUEUES, "", &mark::pool_slug(&pool(3))).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_queue_of_a_pool_that_is_shut_admits_nothing() {
    let (world, fleet) = start(Scheduler::Kueue).await;
    let mut shut = quotas();
    shut[1].is_shut = true;
    reach(&world, &fleet, &shut).await;
    let policy = |number: usize| {
        let name = mark::object_name(&pool(number).uid, "");
        world.cluster.object(CLUSTER_QUEUES, "", &name).unwrap()["spec"]["stopPolicy"].clone()
    };
    assert_eq!((policy(1), policy(2)), (json!("None"), json!("Hold")));
    reach(&world, &fleet, &quotas()).await;
    assert_eq!(policy(2), json!("None"));
}
