//! How objects go.

use super::Bench;
use serde_json::{Value, json};

pub(super) async fn plain(b: &mut Bench) {
    b.map("a", json!({})).await;
    let path = b.at("configmaps", "a");
    b.delete(&path, Value::Null).await;
    b.get(&path).await;
}

async fn held(b: &mut Bench) -> String {
    let path = b.core("configmaps");
    b.post(&path, json!({"metadata": {"name": "a", "finalizers": ["example.com/a"]}}))
        .await;
    b.at("configmaps", "a")
}

pub(super) async fn finalizer(b: &mut Bench) {
    b.show(&[
        "/metadata/finalizers",
        "/metadata/deletionTimestamp",
        "/metadata/deletionGracePeriodSeconds",
        "/data",
    ]);
    let path = held(b).await;
    b.delete(&path, Value::Null).await;
    b.delete(&path, Value::Null).await;
    b.merge(&path, json!({"data": {"x": "1"}})).await;
    b.merge(&path, json!({"metadata": {"finalizers": null}})).await;
    b.get(&path).await;
}

pub(super) async fn bad_finalizer(b: &mut Bench) {
    let path = b.core("configmaps");
    b.post(&path, json!({"metadata": {"name": "a", "finalizers": ["plain"]}})).await;
}

pub(super) async fn late_finalizer(b: &mut Bench) {
    let path = held(b).await;
    b.delete(&path, Value::Null).await;
    b.merge(&path, json!({"metadata": {"finalizers": ["example.com/a", "example.com/b"]}}))
        .await;
}

pub(super) async fn preconditions(b: &mut Bench) {
    b.map("a", json!({})).await;
    let path = b.at("configmaps", "a");
    let options = |conditions: Value| json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": conditions});
    b.delete(&path, options(json!({"uid": "00000000-0000-4000-8000-000000000000"})))
        .await;
    b.delete(&path, options(json!({"resourceVersion": "1"}))).await;
    let now = b.get(&path).await;
    b.delete(
        &path,
        options(json!({"uid": now["metadata"]["uid"], "resourceVersion": now["metadata"]["resourceVersion"]})),
    )
    .await;
}

const MARKS: &[&str] = &[
    "/metadata/deletionTimestamp",
    "/metadata/deletionGracePeriodSeconds",
    "/status/phase",
];

pub(super) async fn bound_pod(b: &mut Bench) {
    b.show(MARKS);
    b.pod("a", json!({"nodeName": "n"})).await;
    let path = b.at("pods", "a");
    b.delete(&path, Value::Null).await;
    let grace = |seconds: u64| json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": seconds});
    b.delete(&path, grace(5)).await;
    b.delete(&path, grace(60)).await;
    b.delete(&path, grace(0)).await;
    b.get(&path).await;
}

pub(super) async fn free_pod(b: &mut Bench) {
    b.pod("a", json!({})).await;
    let path = b.at("pods", "a");
    b.delete(&path, Value::Null).await;
    b.get(&path).await;
}

pub(super) async fn finished_pod(b: &mut Bench) {
    b.pod("a", json!({"nodeName": "n"})).await;
    let path = b.at("pods", "a");
    b.merge(&format!("{path}/status"), json!({"status": {"phase": "Succeeded"}})).await;
    b.delete(&path, Value::Null).await;
    b.get(&path).await;
}

pub(super) async fn collection(b: &mut Bench) {
    let path = b.core("configmaps");
    for (name, label) in [("a", "1"), ("b", "1"), ("c", "2")] {
        b.post(&path, json!({"metadata": {"name": name, "labels": {"l": label}}})).await;
    }
    b.delete(&format!("{path}?labelSelector=l%3D1"), Value::Null).await;
    b.get(&format!("{path}?labelSelector=l")).await;
}

pub(super) async fn foreground(b: &mut Bench) {
    b.show(&["/metadata/finalizers"]);
    b.map("a", json!({})).await;
    let path = b.at("configmaps", "a");
    b.delete(
        &path,
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}),
    )
    .await;
    b.get(&path).await;
}

pub(super) async fn namespace(b: &mut Bench) {
    b.show(&["/status/phase", "/spec/finalizers"]);
    let name = format!("{}-x", b.id);
    let path = format!("/api/v1/namespaces/{name}");
    b.post(
        "/api/v1/namespaces",
        json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}}),
    )
    .await;
    b.delete(&path, Value::Null).await;
    b.post(&format!("{path}/configmaps"), json!({"metadata": {"name": "a"}})).await;
    b.delete(&path, Value::Null).await;
    b.put(
        &format!("{path}/finalize"),
        json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}, "spec": {"finalizers": []}}),
    )
    .await;
    b.get(&path).await;
}

pub(super) async fn node_with_finalizer(b: &mut Bench) {
    b.show(&["/metadata/finalizers", "/metadata/deletionTimestamp"]);
    let node = json!({"metadata": {"name": format!("{}-n", b.id), "finalizers": ["example.com/a"]}});
    b.post("/api/v1/nodes", node).await;
    let path = b.node("n");
    b.delete(&path, Value::Null).await;
    b.get(&path).await;
    b.merge(&path, json!({"metadata": {"finalizers": []}})).await;
    b.get(&path).await;
}

/// As kube asks for it: without a version in the body.
async fn evict(b: &mut Bench, name: &str) {
    let path = format!("{}/eviction", b.at("pods", name));
    b.raw(
        "POST",
        &path,
        "application/json",
        json!({"metadata": {"name": name}}).to_string().into_bytes(),
    )
    .await;
}

async fn running(b: &mut Bench, name: &str) {
    b.pod(name, json!({"nodeName": "n"})).await;
    let path = b.at("pods", name);
    b.merge(&format!("{path}/status"), json!({"status": {"phase": "Running"}})).await;
}

pub(super) async fn eviction(b: &mut Bench) {
    b.show(MARKS);
    running(b, "a").await;
    evict(b, "a").await;
    let path = b.at("pods", "a");
    b.get(&path).await;
}

pub(super) async fn eviction_missing(b: &mut Bench) {
    evict(b, "none").await;
}

pub(super) async fn eviction_with_budget(b: &mut Bench) {
    b.show(MARKS);
    let groups = b.get("/apis/policy").await;
    let version = groups["preferredVersion"]["groupVersion"]
        .as_str()
        .unwrap_or("policy/v1")
        .to_owned();
    running(b, "a").await;
    let path = format!("/apis/{version}/namespaces/{}/poddisruptionbudgets", b.id);
    let budget = json!({
        "kind": "PodDisruptionBudget", "apiVersion": version, "metadata": {"name": "a"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}},
    });
    b.post(&path, budget).await;
    evict(b, "a").await;
    let counted = |allowed: u64| json!({"status": {"observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}});
    b.merge(&format!("{path}/a/status"), counted(0)).await;
    evict(b, "a").await;
    b.merge(&format!("{path}/a/status"), counted(1)).await;
    evict(b, "a").await;
    let pod = b.at("pods", "a");
    b.get(&pod).await;
    b.show(&["/status/disruptionsAllowed"]);
    b.get(&format!("{path}/a")).await;
}

pub(super) async fn binding(b: &mut Bench) {
    b.show(&["/spec/nodeName", "/status/phase"]);
    b.pod("a", json!({})).await;
    let path = b.at("pods", "a");
    let binding = json!({"kind": "Binding", "apiVersion": "v1", "metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"}});
    b.post(&format!("{path}/binding"), binding.clone()).await;
    b.get(&path).await;
    b.post(&format!("{path}/binding"), binding).await;
}
