//! Faults that are told beside the Node: sick NPUs.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod world;

use fleet::{Fleet, MachineState, Observation};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use poolkeeper_fleet_kube::config::DeviceInfo;
use serde_json::{Value, json};
use world::{World, create, flavor, node, pool, run, zone};

fn info(sick: &str) -> Value {
    let list = json!({"huawei.com/Ascend910": "Ascend910-0", "huawei.com/Ascend910-NetworkUnhealthy": sick});
    json!({"DeviceInfoCfg": json!({"DeviceInfo": {"DeviceList": list}}).to_string()})
}

async fn tell(world: &World, host: &str, sick: &str) {
    let name = format!("mindx-dl-deviceinfo-{host}");
    let is_there = world
        .cluster
        .edit("configmaps", "kube-system", &name, |map| map["data"] = info(sick));
    if !is_there {
        let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": name}, "data": info(sick)})).unwrap();
        let api = kube::Api::namespaced(world.cluster.client_as("system:device-plugin"), "kube-system");
        api.create(&PostParams::default(), &map).await.unwrap();
    }
}

fn state(seen: &Observation) -> MachineState {
    seen.nodes[&node(1)].state.clone()
}

#[tokio::test(start_paused = true)]
async fn a_node_with_sick_devices_is_faulty_after_a_while_and_not_offered() {
    let mut world = World::new().await;
    world.config.device_info = Some(DeviceInfo::default());
    world.add_nodes("a", 2);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[create(1, 1)]).await;
    world.until(&fleet, &pool(1), |seen| state(seen) == MachineState::Ready).await;
    let host = world.machines_of(1).pop().unwrap();
    let other = if host == "a-0" { "a-1" } else { "a-0" };
    tell(&world, &host, "Ascend910-0").await;
    tell(&world, other, "Ascend910-3").await;
    world.pass(10).await;
    assert_eq!(
        state(&fleet.observe(&pool(1).uid).await.unwrap()),
        MachineState::Ready,
        "it has not lasted"
    );
    assert_eq!(fleet.offers().await.unwrap()[&flavor()].zones[&zone("a")].free, 0);
    world.pass(31).await;
    let told = "huawei.com/Ascend910-NetworkUnhealthy: Ascend910-0".to_owned();
    assert_eq!(state(&fleet.observe(&pool(1).uid).await.unwrap()), MachineState::Faulty(told));
    tell(&world, &host, "").await;
    tell(&world, other, "").await;
    world.until(&fleet, &pool(1), |seen| state(seen) == MachineState::Ready).await;
    assert_eq!(fleet.offers().await.unwrap()[&flavor()].zones[&zone("a")].free, 1);
}

#[tokio::test(start_paused = true)]
async fn it_is_not_looked_at_unless_it_is_configured() {
    let world = World::new().await;
    world.add_nodes("a", 1);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[create(1, 1)]).await;
    tell(&world, "a-0", "Ascend910-0").await;
    world.until(&fleet, &pool(1), |seen| state(seen) == MachineState::Ready).await;
    world.pass(120).await;
    assert_eq!(state(&fleet.observe(&pool(1).uid).await.unwrap()), MachineState::Ready);
}
