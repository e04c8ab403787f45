//! Requests that many tests send, and ways to wait for what follows.

use serde_json::{Value, json};
use testkit::{Client, TestServer};

pub const CPU: &str = "modelarts.vm.cpu.8ud";
pub const CPU_SMALL: &str = "modelarts.vm.cpu.4ud";
pub const GPU: &str = "modelarts.vm.gpu.t4u8";

/// The published create request, byte for byte, with its stray comma (contract pools §6).
pub const PUBLISHED_CREATE: &str = r#"{
  "kind": "Pool", "apiVersion": "v2",
  "metadata": {
    "annotations": {"os.modelarts/description": ""},
    "labels": {"os.modelarts/name": "pool-ae01", "os.modelarts/workspace.id": "0"}
  },
  "spec": {
    "type": "Dedicate", "scope": ["Train"],
    "network": {"name": "network-21e1-6f5da086876d4cd084d36f8bd3346036"},
    "resources": [{"count": 1, "flavor": "modelarts.vm.cpu.8ud",}]
  }
}"#;

/// The published request for a logical pool (contract pools §6).
pub const PUBLISHED_LOGICAL: &str = r#"{
  "kind": "Pool", "apiVersion": "v1",
  "metadata": {
    "labels": {"os.modelarts/name": "pool-logic-01"},
    "annotations": {"os.modelarts/description": "", "os.modelarts/billing.mode": 0, "os.modelarts/product.id": "xxx"}
  },
  "spec": {"type": "Logical", "scope": ["Train"], "resources": [{"flavor": "modelarts.vm.gpu.tnt004", "count": 2}]}
}"#;

pub fn pool(server: &TestServer, name: &str, resources: Value) -> Value {
    json!({
        "kind": "Pool", "apiVersion": "v2",
        "metadata": {"labels": {"os.modelarts/name": name}},
        "spec": {"type": "Dedicate", "scope": ["Train"], "network": {"name": server.network()}, "resources": resources}
    })
}

pub fn sub_pool(name: &str, parent: &str, resources: Value) -> Value {
    json!({
        "kind": "Pool", "apiVersion": "v2",
        "metadata": {"labels": {"os.modelarts/name": name}},
        "spec": {"type": "Logical", "parent": parent, "resources": resources}
    })
}

pub fn resources(flavor: &str, count: u32) -> Value {
    json!([{"flavor": flavor, "count": count}])
}

/// Creates a physical pool and waits until it is ready; gives its path.
pub async fn ready_pool(server: &TestServer, name: &str, resources: Value) -> String {
    let created = server.user.post(&server.pools(), &pool(server, name, resources)).await.ok();
    let path = format!("{}/{}", server.pools(), created["metadata"]["name"].as_str().unwrap());
    await_condition(&server.user, &path, "Ready").await;
    path
}

/// Waits until a condition holds of a pool and gives the pool.
pub async fn await_condition<'a>(client: &'a Client, path: &'a str, condition: &'a str) -> Value {
    let pool = client.get(&format!("{path}?wait={condition}&timeout=30")).await.ok();
    let holds = match condition.split_once('=') {
        Some((job_type, state)) => pool["status"]["scope"]
            .as_array()
            .unwrap()
            .iter()
            .any(|scope| scope["scopeType"] == job_type && scope["state"] == state),
        None => condition == "Ready" || pool["status"]["phase"] == condition,
    };
    assert!(holds, "never {condition}: {pool:#}");
    pool
}

/// Waits until the pool is gone.
pub async fn await_gone(client: &Client, path: &str) {
    let answer = client.get(&format!("{path}?wait=Gone&timeout=30")).await;
    assert_eq!(answer.status, 404, "{}", answer.text);
}

/// The number of nodes in one of the four lists of `status.resources`.
pub fn count(pool: &Value, list: &str) -> u64 {
    pool["status"]["resources"][list]
        .as_array()
        .map_or(0, |entries| entries.iter().map(|entry| entry["count"].as_u64().unwrap()).sum())
}

pub fn name(pool: &Value) -> String {
    pool["metadata"]["name"].as_str().unwrap().to_owned()
}

pub fn label<'a>(pool: &'a Value, key: &str) -> &'a str {
    pool["metadata"]["labels"][key].as_str().unwrap_or_default()
}
