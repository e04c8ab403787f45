//! Making, reading and replacing objects.

use super::Bench;
use serde_json::{Value, json};

pub(super) async fn created_and_read(b: &mut Bench) {
    b.show(&[
        "/apiVersion",
        "/metadata/name",
        "/metadata/namespace",
        "/metadata/labels",
        "/metadata/generation",
        "/data",
    ]);
    b.map("a", json!({"x": "1"})).await;
    let path = b.at("configmaps", "a");
    b.get(&path).await;
}

pub(super) async fn created_twice(b: &mut Bench) {
    b.map("a", json!({})).await;
    b.map("a", json!({})).await;
}

pub(super) async fn missing(b: &mut Bench) {
    let path = b.at("configmaps", "none");
    b.get(&path).await;
    b.get("/apis/apps/v1/namespaces/default/deployments/none").await;
    b.delete(&path, Value::Null).await;
    b.put(&path, json!({"metadata": {"name": "none"}})).await;
}

pub(super) async fn missing_namespace(b: &mut Bench) {
    let path = format!("/api/v1/namespaces/{}-none/configmaps", b.id);
    b.post(&path, json!({"metadata": {"name": "a"}})).await;
    b.get(&path).await;
}

pub(super) async fn foreign_namespace(b: &mut Bench) {
    let path = b.core("configmaps");
    b.post(&path, json!({"metadata": {"name": "a", "namespace": "default"}})).await;
}

pub(super) async fn version_at_creation(b: &mut Bench) {
    let path = b.core("configmaps");
    b.post(&path, json!({"metadata": {"name": "a", "resourceVersion": "5"}})).await;
}

pub(super) async fn without_name(b: &mut Bench) {
    let path = b.core("configmaps");
    b.post(&path, json!({"metadata": {"labels": {"a": "b"}}})).await;
}

pub(super) async fn generated_name(b: &mut Bench) {
    b.show(&["/metadata/generateName"]);
    let path = b.core("configmaps");
    let made = b.post(&path, json!({"metadata": {"generateName": "a-"}})).await;
    let name = made["metadata"]["name"].as_str().unwrap_or_default();
    b.note("length", json!(name.len()));
}

pub(super) async fn bad_name(b: &mut Bench) {
    for name in ["Upper", "under_score", "-start", "dot..dot"] {
        b.map(name, json!({})).await;
    }
    b.post(
        "/api/v1/namespaces",
        json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "with.dot"}}),
    )
    .await;
}

pub(super) async fn long_name(b: &mut Bench) {
    b.map(&"a".repeat(253), json!({})).await;
    b.map(&"a".repeat(254), json!({})).await;
}

pub(super) async fn wrong_kind(b: &mut Bench) {
    let path = b.core("configmaps");
    b.post(&path, json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}}))
        .await;
    b.post(&path, json!({"kind": "ConfigMap", "apiVersion": "v2", "metadata": {"name": "a"}}))
        .await;
}

pub(super) async fn not_json(b: &mut Bench) {
    let path = b.core("configmaps");
    b.raw("POST", &path, "application/json", b"{".to_vec()).await;
}

pub(super) async fn unknown_types(b: &mut Bench) {
    let path = b.core("nothings");
    b.get(&path).await;
    b.get("/apis/nothing.example.com/v1/things").await;
    b.get("/apis/apps/v9/deployments").await;
    b.get("/nowhere").await;
}

pub(super) async fn wrong_scope(b: &mut Bench) {
    let path = b.core("nodes");
    b.get(&path).await;
    b.post("/api/v1/configmaps", json!({"metadata": {"name": "a"}})).await;
    b.call("PUT", "/api/v1/nodes", "application/json", Some(json!({"metadata": {}})))
        .await;
}

pub(super) async fn updates(b: &mut Bench) {
    b.show(&["/data"]);
    let made = b.map("a", json!({"x": "1"})).await;
    let path = b.at("configmaps", "a");
    b.put(&path, json!({"metadata": {"name": "a"}, "data": {"x": "2"}})).await;
    let stale = &made["metadata"]["resourceVersion"];
    b.put(
        &path,
        json!({"metadata": {"name": "a", "resourceVersion": stale}, "data": {"x": "3"}}),
    )
    .await;
    b.put(&path, json!({"metadata": {"name": "b"}, "data": {"x": "4"}})).await;
    b.get(&path).await;
}

pub(super) async fn update_by_uid(b: &mut Bench) {
    b.map("a", json!({})).await;
    let path = b.at("configmaps", "a");
    let uid = "00000000-0000-4000-8000-000000000000";
    b.put(&path, json!({"metadata": {"name": "a", "uid": uid}})).await;
}

pub(super) async fn update_creates_lease(b: &mut Bench) {
    b.show(&["/spec"]);
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/a", b.id);
    let lease =
        json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {"name": "a"}, "spec": {"holderIdentity": "x"}});
    b.put(&path, lease).await;
    b.get(&path).await;
}

pub(super) async fn dry_run(b: &mut Bench) {
    b.show(&["/data"]);
    let path = b.core("configmaps");
    b.post(
        &format!("{path}?dryRun=All"),
        json!({"metadata": {"name": "a"}, "data": {"x": "1"}}),
    )
    .await;
    b.get(&format!("{path}/a")).await;
    b.map("a", json!({"x": "1"})).await;
    b.merge(&format!("{path}/a?dryRun=All"), json!({"data": {"x": "2"}})).await;
    b.delete(&format!("{path}/a?dryRun=All"), Value::Null).await;
    b.get(&format!("{path}/a")).await;
}

pub(super) async fn label_limits(b: &mut Bench) {
    let path = b.core("configmaps");
    let labels = [
        ("good.example.com/a", "x".repeat(63)),
        ("long", "x".repeat(64)),
        ("a/b/c", String::new()),
        ("/a", String::new()),
        ("UPPER.example.com/a", String::new()),
        ("value", "-x".to_owned()),
        ("value", "a b".to_owned()),
    ];
    for (index, (key, value)) in labels.into_iter().enumerate() {
        b.post(&path, json!({"metadata": {"name": format!("m{index}"), "labels": {key: value}}}))
            .await;
    }
    let long = "k".repeat(64);
    b.post(&path, json!({"metadata": {"name": "long", "labels": {long: ""}}})).await;
}

pub(super) async fn annotation_keys(b: &mut Bench) {
    let path = b.core("configmaps");
    for (index, key) in ["a/b", "Upper/B", "a b", "a/b/c"].into_iter().enumerate() {
        b.post(
            &path,
            json!({"metadata": {"name": format!("m{index}"), "annotations": {key: "any value at all"}}}),
        )
        .await;
    }
    let large = "x".repeat(263_000);
    b.post(&path, json!({"metadata": {"name": "large", "annotations": {"a": large}}}))
        .await;
}

/// Makes a type with a status, and gives the path of its objects.
pub(super) async fn define(b: &mut Bench) -> String {
    let group = format!("{}.example.com", b.id);
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1",
        "metadata": {"name": format!("things.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": anything}}],
        },
    });
    b.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await;
    let path = format!("/apis/{group}/v1/namespaces/{}/things", b.id);
    b.wait_for(&path).await;
    path
}

/// An object of that type.
pub(super) fn thing(b: &Bench, name: &str, more: Value) -> Value {
    let mut thing = json!({"kind": "Thing", "apiVersion": format!("{}.example.com/v1", b.id), "metadata": {"name": name}});
    json_patch::merge(&mut thing, &more);
    thing
}

pub(super) async fn custom_type(b: &mut Bench) {
    b.show(&["/spec", "/metadata/generation"]);
    let path = define(b).await;
    let a = thing(b, "a", json!({"spec": {"x": 1}}));
    b.post(&path, a).await;
    b.merge(&format!("{path}/a"), json!({"spec": {"x": 2}})).await;
    b.merge(&format!("{path}/a"), json!({"metadata": {"labels": {"l": "1"}}})).await;
    b.get(&path).await;
    b.delete(&format!("{path}/a"), Value::Null).await;
}

pub(super) async fn custom_update_needs_version(b: &mut Bench) {
    let path = define(b).await;
    let a = thing(b, "a", json!({"spec": {"x": 1}}));
    b.post(&path, a.clone()).await;
    b.put(&format!("{path}/a"), a).await;
}

pub(super) async fn pod_without_containers(b: &mut Bench) {
    let path = b.core("pods");
    b.post(&path, json!({"metadata": {"name": "a"}, "spec": {"containers": []}})).await;
    b.post(&path, json!({"metadata": {"name": "b"}, "spec": {"containers": [{"name": "a"}]}}))
        .await;
}

pub(super) async fn pod_is_fixed(b: &mut Bench) {
    b.show(&["/spec/tolerations"]);
    b.pod("a", json!({})).await;
    let path = b.at("pods", "a");
    b.merge(&path, json!({"spec": {"nodeSelector": {"a": "b"}}})).await;
    b.merge(&path, json!({"spec": {"nodeName": "b"}})).await;
    b.merge(&path, json!({"metadata": {"labels": {"l": "1"}}})).await;
}

pub(super) async fn access_review(b: &mut Bench) {
    b.show(&["/status/allowed"]);
    let review = json!({
        "kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"resourceAttributes": {"verb": "patch", "resource": "nodes"}},
    });
    b.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).await;
}

pub(super) async fn discovery(b: &mut Bench) {
    for path in ["/api/v1", "/apis/apps/v1", "/apis/batch/v1"] {
        let list = b.get(path).await;
        let wanted = [
            "nodes",
            "nodes/status",
            "pods",
            "pods/eviction",
            "pods/binding",
            "configmaps",
            "deployments",
            "jobs",
        ];
        let resources = list["resources"].as_array().cloned().unwrap_or_default();
        let found = wanted.iter().filter_map(|name| resources.iter().find(|one| one["name"] == *name));
        let rows = found.map(|one| json!([one["name"], one["kind"], one["namespaced"]])).collect();
        b.note(path, rows);
    }
    let groups = b.get("/apis").await;
    let names = groups["groups"].as_array().cloned().unwrap_or_default();
    let apps = names.iter().find(|group| group["name"] == "apps").cloned().unwrap_or_default();
    b.note("apps", apps["preferredVersion"].clone());
    b.get("/apis/none.example.com").await;
}
