//! Patches and apply.

use super::Bench;
use super::objects::{define, thing};
use serde_json::{Value, json};

const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON: &str = "application/json-patch+json";

pub(super) async fn merge(b: &mut Bench) {
    b.show(&["/data", "/metadata/labels", "/metadata/annotations"]);
    b.map("a", json!({"x": "1", "y": "1"})).await;
    let path = b.at("configmaps", "a");
    b.merge(&path, json!({"data": {"x": null, "z": "1"}, "metadata": {"labels": {"l": "1"}}}))
        .await;
    b.merge(
        &path,
        json!({"metadata": {"labels": {"l": null, "none": null}, "annotations": {"a": null}}}),
    )
    .await;
    b.merge(&path, json!({"data": null})).await;
}

pub(super) async fn merge_stale(b: &mut Bench) {
    b.show(&["/data"]);
    let made = b.map("a", json!({"x": "1"})).await;
    let path = b.at("configmaps", "a");
    let version = &made["metadata"]["resourceVersion"];
    b.merge(&path, json!({"metadata": {"resourceVersion": version}, "data": {"x": "2"}}))
        .await;
    b.merge(&path, json!({"metadata": {"resourceVersion": version}, "data": {"x": "3"}}))
        .await;
    b.merge(&path, json!({"metadata": {"resourceVersion": "nonsense"}, "data": {"x": "3"}}))
        .await;
}

pub(super) async fn merge_without_change(b: &mut Bench) {
    let made = b.map("a", json!({"x": "1"})).await;
    let path = b.at("configmaps", "a");
    let same = b.merge(&path, json!({"data": {"x": "1"}})).await;
    b.note(
        "same version",
        json!(made["metadata"]["resourceVersion"] == same["metadata"]["resourceVersion"]),
    );
}

pub(super) async fn merge_uid(b: &mut Bench) {
    b.map("a", json!({})).await;
    let path = b.at("configmaps", "a");
    b.merge(&path, json!({"metadata": {"uid": "00000000-0000-4000-8000-000000000000"}}))
        .await;
}

pub(super) async fn merge_name(b: &mut Bench) {
    b.map("a", json!({})).await;
    let path = b.at("configmaps", "a");
    b.merge(&path, json!({"metadata": {"name": "b"}})).await;
    b.merge(&path, json!({"kind": "Pod"})).await;
}

pub(super) async fn merge_missing(b: &mut Bench) {
    let path = b.at("configmaps", "none");
    b.merge(&path, json!({"data": {"x": "1"}})).await;
}

pub(super) async fn bad_label(b: &mut Bench) {
    b.make_node("n").await;
    let path = b.node("n");
    b.merge(&path, json!({"metadata": {"labels": {"l": "x".repeat(97)}}})).await;
}

pub(super) async fn json(b: &mut Bench) {
    b.show(&["/data"]);
    b.map("a", json!({"x": "1", "y": "1"})).await;
    let path = b.at("configmaps", "a");
    let patch = json!([{"op": "test", "path": "/data/x", "value": "1"}, {"op": "replace", "path": "/data/x", "value": "2"}, {"op": "remove", "path": "/data/y"}]);
    b.call("PATCH", &path, JSON, Some(patch)).await;
}

pub(super) async fn json_fails(b: &mut Bench) {
    b.map("a", json!({"x": "1"})).await;
    let path = b.at("configmaps", "a");
    for patch in [
        json!([{"op": "test", "path": "/data/x", "value": "2"}]),
        json!([{"op": "remove", "path": "/data/none"}]),
        json!([{"op": "replace", "path": "/none/none", "value": 1}]),
        json!({"op": "test"}),
    ] {
        b.call("PATCH", &path, JSON, Some(patch)).await;
    }
}

pub(super) async fn unknown_form(b: &mut Bench) {
    b.map("a", json!({})).await;
    let path = b.at("configmaps", "a");
    b.call("PATCH", &path, "application/json", Some(json!({"data": {"x": "1"}}))).await;
}

pub(super) async fn strategic_taints(b: &mut Bench) {
    b.show(&["/spec/taints"]);
    b.make_node("n").await;
    let path = b.node("n");
    let patch = json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}});
    b.call("PATCH", &path, STRATEGIC, Some(patch)).await;
    b.show(&["/status/conditions"]);
    let condition = |kind: &str, status: &str| json!({"status": {"conditions": [{"type": kind, "status": status, "reason": "r"}]}});
    for (kind, status) in [("Ready", "True"), ("Other", "True"), ("Ready", "False")] {
        b.call("PATCH", &format!("{path}/status"), STRATEGIC, Some(condition(kind, status)))
            .await;
    }
}

pub(super) async fn strategic_custom(b: &mut Bench) {
    let path = define(b).await;
    let a = thing(b, "a", json!({}));
    b.post(&path, a).await;
    b.call("PATCH", &format!("{path}/a"), STRATEGIC, Some(json!({"spec": {"x": 1}})))
        .await;
}

fn map(data: Value) -> Value {
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": data})
}

pub(super) async fn apply(b: &mut Bench) {
    b.show(&["/data"]);
    let path = format!("{}?fieldManager=one", b.at("configmaps", "a"));
    b.apply(&path, map(json!({"x": "1", "y": "1"}))).await;
    b.apply(&path, map(json!({"x": "2"}))).await;
    let before = b.apply(&path, map(json!({"x": "3"}))).await;
    let same = b.apply(&path, map(json!({"x": "3"}))).await;
    b.note(
        "same version",
        json!(before["metadata"]["resourceVersion"] == same["metadata"]["resourceVersion"]),
    );
}

pub(super) async fn apply_conflict(b: &mut Bench) {
    b.show(&["/data"]);
    let path = b.at("configmaps", "a");
    b.apply(&format!("{path}?fieldManager=one"), map(json!({"x": "1"}))).await;
    b.apply(&format!("{path}?fieldManager=two"), map(json!({"x": "2"}))).await;
    b.apply(&format!("{path}?fieldManager=two"), map(json!({"x": "1"}))).await;
    b.apply(&format!("{path}?fieldManager=two&force=true"), map(json!({"x": "2"})))
        .await;
    b.apply(&format!("{path}?fieldManager=one"), map(json!({}))).await;
}

pub(super) async fn apply_without_manager(b: &mut Bench) {
    let path = b.at("configmaps", "a");
    b.apply(&path, map(json!({"x": "1"}))).await;
}

pub(super) async fn apply_leaves_foreign(b: &mut Bench) {
    b.show(&["/data"]);
    let path = b.at("configmaps", "a");
    b.apply(&format!("{path}?fieldManager=one"), map(json!({"x": "1"}))).await;
    b.merge(&path, json!({"data": {"y": "1"}})).await;
    b.apply(&format!("{path}?fieldManager=one"), map(json!({"z": "1"}))).await;
    b.merge(&path, json!({"data": {"z": "2"}})).await;
    b.apply(&format!("{path}?fieldManager=one"), map(json!({"z": "1"}))).await;
}

pub(super) async fn apply_taints(b: &mut Bench) {
    b.show(&["/spec/taints"]);
    b.make_node("n").await;
    let node = |taint: &str| json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": format!("{}-n", b.id)}, "spec": {"taints": [{"key": taint, "effect": "NoSchedule"}]}});
    let (mine, path) = (node("mine"), b.node("n"));
    b.apply(&format!("{path}?fieldManager=one"), mine.clone()).await;
    b.apply(&format!("{path}?fieldManager=one&force=true"), mine).await;
}
