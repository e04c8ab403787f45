//! Drivers that others install: Jobs of a site's own template, and the GPU operator's own roll-out.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod world;

use fleet::observation::DriverProgress;
use fleet::{Command, DriverFact, Fleet, FleetError, MachineState, NodeFact, NodeRequest};
use kube_fake::{NodeSpec, ResourceType};
use poolkeeper_fleet_kube::KubeFleet;
use poolkeeper_fleet_kube::config::{DriverMode, Installer};
use poolkeeper_fleet_kube::mark;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use world::{World, create, delete, fence, flavor, insist, node, pool, run, zone};

const JOBS: &str = "jobs.batch";
const DRIVERS: &str = "nvidiadrivers.nvidia.com";
const SPACE: &str = "poolkeeper-system";
const UPGRADE_STATE: &str = "nvidia.com/gpu-driver-upgrade-state";

fn create_with(number: usize, driver: &str) -> Command {
    Command::CreateNode(NodeRequest {
        pool: pool(1),
        node: node(number),
        flavor: flavor(),
        az: zone("a"),
        driver: Some(driver.to_owned()),
        image: None,
        labels: BTreeMap::new(),
    })
}

fn set(number: usize, version: &str, is_own: bool) -> Command {
    Command::SetDriver {
        pool: pool(1),
        node: node(number),
        version: version.to_owned(),
        is_own,
    }
}

fn driver(fact: &NodeFact) -> DriverFact {
    fact.driver.clone().unwrap()
}

fn is_installing(fact: &NodeFact, wanted: &str) -> bool {
    matches!(&driver(fact).progress, DriverProgress::Installing { version } if version == wanted)
}

fn has(fact: &NodeFact, version: &str) -> bool {
    driver(fact).installed.as_deref() == Some(version) && driver(fact).progress == DriverProgress::Done && fact.state == MachineState::Ready
}

fn host(world: &World, number: usize) -> String {
    world.machines_of(number).pop().unwrap()
}

fn set_label(world: &World, host: &str, key: &str, value: &str) {
    world
        .cluster
        .edit("nodes", "", host, |node| node["metadata"]["labels"][key] = json!(value));
}

/// NPU Nodes, and Jobs that install their drivers.
async fn with_installer() -> World {
    let mut world = World::new().await;
    let accelerator = world.config.flavor[0].accelerator.as_mut().unwrap();
    "huawei.com/Ascend910".clone_into(&mut accelerator.resource);
    world.config.driver.installer = Some(Installer {
        template: json!({"containers": [{"name": "driver", "image": "npu:{{version}}", "args": ["{{node}}"]}]}),
    });
    let spec = NodeSpec::new("a", "a100-8x80", "a").with_accelerators("huawei.com/Ascend910", 8);
    world.cluster.add_nodes(&spec, 2);
    world
}

fn jobs(world: &World) -> Vec<(String, Value)> {
    let jobs = world.cluster.objects(JOBS).into_iter().filter(|(key, _)| key.namespace == SPACE);
    jobs.map(|(key, job)| (key.name, Value::clone(&job))).collect()
}

/// Waits until there is one Job that says so of itself.
async fn until_job(world: &World, condition: &str) -> (String, Value) {
    for _ in 0..60 {
        if let [job] = jobs(world).as_slice()
            && job.1["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|one| one["type"] == condition && one["status"] == "True")
        {
            return job.clone();
        }
        world.pass(1).await;
    }
    panic!("there is no such Job: {:#?}", jobs(world));
}

#[tokio::test(start_paused = true)]
async fn an_installer_has_done_its_work_when_its_job_is_over_and_the_node_says_so() {
    let world = with_installer().await;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[create_with(1, "24.1.0")]).await;
    let host = host(&world, 1);
    let (name, job) = until_job(&world, "Complete").await;
    assert!(name.starts_with("pk-drv-os-node-created-00001-"), "{name}");
    let spec = &job["spec"]["template"]["spec"];
    assert_eq!(
        (&spec["nodeName"], &spec["containers"][0]["image"]),
        (&json!(host), &json!("npu:24.1.0"))
    );
    let seen = world
        .until(&fleet, &pool(1), |seen| is_installing(&seen.nodes[&node(1)], "24.1.0"))
        .await;
    assert_eq!(
        seen.nodes[&node(1)].driver.as_ref().unwrap().installed,
        None,
        "the Node has not said so"
    );
    set_label(&world, &host, mark::NPU_DRIVER_INSTALLED, "24.1.0");
    world.until(&fleet, &pool(1), |seen| has(&seen.nodes[&node(1)], "24.1.0")).await;
    // A label without the end of the Job is not enough.
    run(&fleet, 1, &[set(1, "24.2.0", false)]).await;
    world.pass(1).await;
    set_label(&world, &host, mark::NPU_DRIVER_INSTALLED, "24.2.0");
    world.pass(1).await;
    let again = fleet.observe(&pool(1).uid).await.unwrap();
    assert!(is_installing(&again.nodes[&node(1)], "24.2.0"), "{again:?}");
    world.until(&fleet, &pool(1), |seen| has(&seen.nodes[&node(1)], "24.2.0")).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_failed_is_tried_again_when_it_is_asked_for_again() {
    let world = with_installer().await;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[create_with(1, "24.1.0")]).await;
    world.pass(2).await;
    let (name, first) = jobs(&world).pop().unwrap();
    world.cluster.edit(JOBS, SPACE, &name, |job| {
        job["status"]["conditions"] = json!([{"type": "Failed", "status": "True", "message": "no such firmware"}]);
    });
    let failed = |fact: &NodeFact| matches!(&driver(fact).progress, DriverProgress::Failed { reason, .. } if reason == "no such firmware");
    world.until(&fleet, &pool(1), |seen| failed(&seen.nodes[&node(1)])).await;
    // Another process knows it too, and makes no Job of its own.
    drop(fleet);
    let fleet = world.fleet().await;
    run(&fleet, 2, &[]).await;
    world.pass(30).await;
    assert_eq!(jobs(&world).len(), 1);
    assert!(failed(&fleet.observe(&pool(1).uid).await.unwrap().nodes[&node(1)]));
    run(&fleet, 2, &[set(1, "24.1.0", false)]).await;
    assert!(is_installing(&fleet.observe(&pool(1).uid).await.unwrap().nodes[&node(1)], "24.1.0"));
    let (_, second) = until_job(&world, "Complete").await;
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    run(&fleet, 2, &[set(1, "24.1.0", false)]).await;
    assert_eq!(
        jobs(&world)[0].1["metadata"]["uid"],
        second["metadata"]["uid"],
        "what did not fail stays"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_given_back_gets_no_installer() {
    let world = with_installer().await;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[create(1, 1)]).await;
    world.until(&fleet, &pool(1), |seen| seen.nodes.len() == 1).await;
    let host = host(&world, 1);
    world
        .put_pod("work", &host, json!({"metadata": {"finalizers": ["example.org/stays"]}}))
        .await;
    run(&fleet, 1, &[delete(1, 1), set(1, "24.1.0", false)]).await;
    world.pass(30).await;
    assert_eq!(jobs(&world), []);
}

/// A pool of two GPU nodes whose drivers the operator rolls out.
async fn with_operator() -> (World, KubeFleet) {
    let mut world = World::new().await;
    world.cluster.register(ResourceType::custom(
        "nvidia.com",
        "v1alpha1",
        "NVIDIADriver",
        "nvidiadrivers",
        false,
    ));
    world.config.driver.mode = DriverMode::Operator;
    world.add_nodes("a", 2);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[Command::EnsurePool { pool: pool(1) }]).await;
    insist(&world, &fleet, 1, &[create_with(1, "550.90.07"), create_with(2, "550.90.07")]).await;
    (world, fleet)
}

fn drivers(world: &World) -> Vec<(String, Value)> {
    let all = world.cluster.objects(DRIVERS).into_iter();
    all.map(|(key, driver)| (key.name, Value::clone(&driver))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_pool_has_one_object_that_the_operator_follows() {
    let (world, fleet) = with_operator().await;
    world
        .until(&fleet, &pool(1), |seen| {
            seen.nodes.len() == 2 && seen.nodes.values().all(|fact| has(fact, "550.90.07"))
        })
        .await;
    let [(name, object)] = <[_; 1]>::try_from(drivers(&world)).unwrap();
    assert_eq!(name, mark::object_name(&pool(1).uid, "-gpu"));
    assert_eq!(object["spec"]["nodeSelector"], json!({mark::POOL: pool(1).uid.as_str()}));
    assert_eq!(object["spec"]["upgradePolicy"]["autoUpgrade"], true);
    run(&fleet, 1, &[set(1, "570.1", false)]).await;
    assert_eq!(drivers(&world)[0].1["spec"]["version"], "570.1");
    for number in [1, 2] {
        let label = world.node(&host(&world, number))["metadata"]["labels"][mark::GPU_DRIVER].clone();
        assert_eq!(label, "570.1", "the operator does not ask which node is meant");
    }
    let refused = fleet.execute(&[set(2, "999.9", true)], &fence(1)).await;
    assert!(matches!(&refused[0], Err(FleetError::Refused { .. })), "{refused:?}");
    assert_eq!(drivers(&world)[0].1["spec"]["version"], "570.1");
    run(&fleet, 1, &[set(1, "570.1", true)]).await;
}

#[tokio::test(start_paused = true)]
async fn how_far_the_operator_is_stands_on_the_node() {
    let (world, fleet) = with_operator().await;
    let seen_with = async |state: &str| {
        set_label(&world, &host(&world, 1), UPGRADE_STATE, state);
        world.pass(1).await;
        driver(&fleet.observe(&pool(1).uid).await.unwrap().nodes[&node(1)]).progress
    };
    world
        .until(&fleet, &pool(1), |seen| seen.nodes.values().all(|fact| has(fact, "550.90.07")))
        .await;
    for state in [
        "upgrade-required",
        "wait-for-jobs-required",
        "validation-required",
        "uncordon-required",
    ] {
        assert!(matches!(seen_with(state).await, DriverProgress::Installing { .. }), "{state}");
    }
    assert!(matches!(seen_with("upgrade-failed").await, DriverProgress::Failed { .. }));
    assert_eq!(seen_with("upgrade-done").await, DriverProgress::Done);
}

#[tokio::test(start_paused = true)]
async fn the_object_of_a_pool_goes_after_its_last_node() {
    let (world, fleet) = with_operator().await;
    let host = host(&world, 1);
    world
        .put_pod("work", &host, json!({"metadata": {"finalizers": ["example.org/stays"]}}))
        .await;
    run(&fleet, 1, &[Command::RemovePool { pool: pool(1) }]).await;
    world.pass(60).await;
    assert_eq!(drivers(&world).len(), 1, "what ends may need it");
    world.cluster.remove("pods", "default", "work");
    for _ in 0..120 {
        if drivers(&world).is_empty() {
            break;
        }
        world.pass(1).await;
    }
    assert_eq!(drivers(&world), []);
    world.until(&fleet, &pool(1), |seen| *seen == fleet::Observation::default()).await;
}
