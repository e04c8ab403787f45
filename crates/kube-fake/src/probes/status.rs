//! The status beside the rest, and Nodes.

use super::Bench;
use super::objects::{define, thing};
use serde_json::{Value, json};

pub(super) async fn split_of_node(b: &mut Bench) {
    b.show(&["/spec/unschedulable", "/status/phase", "/metadata/labels/l"]);
    b.make_node("n").await;
    let path = b.node("n");
    b.merge(&path, json!({"spec": {"unschedulable": true}, "status": {"phase": "Running"}}))
        .await;
    let patch = json!({"spec": {"unschedulable": null}, "status": {"phase": "Running"}, "metadata": {"labels": {"l": "1"}}});
    b.merge(&format!("{path}/status"), patch).await;
    b.get(&format!("{path}/status")).await;
}

pub(super) async fn node_keeps_first_status(b: &mut Bench) {
    b.show(&["/status/capacity", "/spec/providerID"]);
    let node = json!({"metadata": {"name": format!("{}-n", b.id)}, "spec": {"providerID": "x"}, "status": {"capacity": {"cpu": "4"}}});
    b.post("/api/v1/nodes", node).await;
}

pub(super) async fn pod_loses_first_status(b: &mut Bench) {
    b.show(&[
        "/status/phase",
        "/status/qosClass",
        "/spec/tolerations",
        "/spec/restartPolicy",
        "/spec/terminationGracePeriodSeconds",
        "/spec/schedulerName",
        "/spec/priority",
    ]);
    let path = b.core("pods");
    let pod = json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "b"}]}, "status": {"phase": "Running"}});
    b.post(&path, pod).await;
    let own = json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}]);
    b.pod("b", json!({"tolerations": own})).await;
}

pub(super) async fn pod_phase(b: &mut Bench) {
    b.show(&["/status/phase", "/spec/nodeName"]);
    b.pod("a", json!({"nodeName": "n"})).await;
    let path = b.at("pods", "a");
    b.merge(&path, json!({"status": {"phase": "Running"}})).await;
    b.merge(&format!("{path}/status"), json!({"status": {"phase": "Running"}})).await;
}

pub(super) async fn custom_status(b: &mut Bench) {
    let path = define(b).await;
    b.show(&["/spec", "/status", "/metadata/generation", "/metadata/labels"]);
    let a = thing(b, "a", json!({"spec": {"x": 1}, "status": {"lost": true}}));
    b.post(&path, a).await;
    let both = json!({"spec": {"x": 2}, "status": {"ok": true}, "metadata": {"labels": {"l": "1"}}});
    b.merge(&format!("{path}/a/status"), both.clone()).await;
    b.merge(&format!("{path}/a"), both).await;
    b.merge(&format!("{path}/a"), json!({"status": null})).await;
}

pub(super) async fn new_node_is_tainted(b: &mut Bench) {
    b.show(&["/spec/taints"]);
    b.make_node("n").await;
    let own = json!({"metadata": {"name": format!("{}-m", b.id)}, "spec": {"taints": [{"key": "a", "value": "b", "effect": "NoExecute"}]}});
    b.post("/api/v1/nodes", own).await;
    let path = b.node("m");
    b.merge(&path, json!({"spec": {"taints": [{"key": "c", "effect": "NoSchedule"}]}}))
        .await;
    b.merge(&path, json!({"spec": {"taints": null}})).await;
}

pub(super) async fn bad_taints(b: &mut Bench) {
    b.make_node("n").await;
    let path = b.node("n");
    for taints in [
        json!([{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoSchedule", "value": "b"}]),
        json!([{"key": "a", "effect": "Never"}]),
        json!([{"key": "a"}]),
        json!([{"key": "a b", "effect": "NoSchedule"}]),
        json!([{"key": "a", "value": "x".repeat(64), "effect": "NoSchedule"}]),
    ] {
        b.merge(&path, json!({"spec": {"taints": taints}})).await;
    }
}

pub(super) async fn heartbeat_moves_version(b: &mut Bench) {
    let made = b.make_node("n").await;
    let path = b.node("n");
    b.merge(&format!("{path}/status"), json!({"status": {"phase": "Running"}})).await;
    let version: &Value = &made["metadata"]["resourceVersion"];
    b.merge(&path, json!({"metadata": {"resourceVersion": version, "labels": {"l": "1"}}}))
        .await;
}
