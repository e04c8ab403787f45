//! A world in which machines are made.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "each test uses its part")]

use super::world::{World, node, pool};
use fleet::{Command, MachineState, Observation, RequestProgress, ResetRequest};
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, PostParams};
use kube_fake::NodeSpec;
use poolkeeper_fleet_kube::config::Provisioner;
use poolkeeper_fleet_kube::{KubeConfig, mark};
use serde_json::{Value, json};

pub const MACHINES: &str = "machines.cluster.x-k8s.io";
pub const HOSTS: &str = "fakemachines.infrastructure.cluster.x-k8s.io";
pub const CONFIGS: &str = "fakeconfigs.bootstrap.cluster.x-k8s.io";

/// What machines that are made are like.
pub fn spec() -> NodeSpec {
    NodeSpec::new("", "a100-8x80", "")
        .with_accelerators("nvidia.com/gpu", 8)
        .with_taint(mark::TAINT_UNCLAIMED, "", "NoSchedule")
}

/// Nothing is free, and in zone `a` so many machines can be made.
pub async fn making(limit: u32) -> World {
    let mut world = World::new().await;
    world.cluster.add_cluster_api();
    world.cluster.add_machine_template("clusters", "a100", &spec(), &json!({}));
    let namespace: k8s_openapi::api::core::v1::Namespace = serde_json::from_value(json!({"metadata": {"name": "clusters"}})).unwrap();
    let api = kube::Api::all(world.cluster.client_as("admin"));
    api.create(&PostParams::default(), &namespace).await.unwrap();
    configure(&mut world.config, &[("a", limit)]);
    world
}

/// Has the flavor's machines made in these zones.
pub fn configure(config: &mut KubeConfig, zones: &[(&str, u32)]) {
    let zones: serde_json::Map<String, Value> = zones
        .iter()
        .map(|(zone, limit)| ((*zone).to_owned(), json!({"limit": limit})))
        .collect();
    let template = json!({
        "version": "v1.33.4",
        "bootstrap": {"api_version": "bootstrap.cluster.x-k8s.io/v1beta2", "kind": "FakeConfigTemplate", "name": "a100"},
        "infrastructure": {"api_version": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "FakeMachineTemplate", "name": "a100"},
        "zones": zones,
    });
    config.provisioner = Provisioner::ClusterApi;
    config.cluster_api =
        serde_json::from_value(json!({"namespace": "clusters", "cluster": "site", "template": {"a100": template}})).unwrap();
    config.flavor[0].provision = Some("a100".to_owned());
}

pub fn names(world: &World, kind: &str) -> Vec<String> {
    world.cluster.objects(kind).into_keys().map(|key| key.name).collect()
}

pub fn machine(world: &World, name: &str) -> Value {
    Value::clone(
        &world
            .cluster
            .object(MACHINES, "clusters", name)
            .unwrap_or_else(|| panic!("no Machine {name}")),
    )
}

/// Everything that is left of machines that were made.
pub fn settled(world: &World) -> Vec<String> {
    [MACHINES, HOSTS, CONFIGS, "nodes"]
        .iter()
        .flat_map(|kind| names(world, kind))
        .collect()
}

fn api(world: &World) -> kube::Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("cluster.x-k8s.io", "v1beta2", "Machine"));
    kube::Api::namespaced_with(world.cluster.client_as("somebody"), "clusters", &kind)
}

/// Somebody deletes a Machine.
pub async fn take_away(world: &World, name: &str) {
    api(world).delete(name, &DeleteParams::default()).await.unwrap();
}

/// Somebody has a Machine of this name.
pub async fn put_machine(world: &World, name: &str) {
    let machine = json!({"metadata": {"name": name}, "spec": {"clusterName": "site"}});
    let machine = serde_json::from_value(machine).unwrap();
    api(world).create(&PostParams::default(), &machine).await.unwrap();
}

pub fn ensure(number: usize) -> Command {
    Command::EnsurePool { pool: pool(number) }
}

pub fn remove(number: usize) -> Command {
    Command::RemovePool { pool: pool(number) }
}

pub fn reset(pool_number: usize, number: usize, request: u64) -> Command {
    Command::ResetNode(ResetRequest {
        pool: pool(pool_number),
        node: node(number),
        number: request,
        image: None,
        runtime: None,
        driver: None,
    })
}

pub fn state(seen: &Observation, number: usize) -> Option<&MachineState> {
    seen.node(&node(number)).map(|fact| &fact.state)
}

pub fn is_ready(seen: &Observation, number: usize) -> bool {
    state(seen, number) == Some(&MachineState::Ready)
}

pub fn has_done(seen: &Observation, number: usize, request: u64) -> bool {
    let fact = seen.node(&node(number)).and_then(|fact| fact.request.as_ref());
    fact.is_some_and(|fact| fact.number == request && fact.progress == RequestProgress::Done)
}
