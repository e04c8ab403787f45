//! Watches.

use super::Bench;
use serde_json::{Value, json};

const JSON: &str = "application/json";
const SHOWN: &[&str] = &["/apiVersion", "/metadata/name", "/metadata/labels", "/data"];

/// The version of an object.
fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned()
}

pub(super) async fn events(b: &mut Bench) {
    b.show(SHOWN);
    let path = b.core("configmaps");
    let first = b.map("a", json!({"x": "1"})).await;
    b.map("b", json!({"x": "1"})).await;
    b.merge(&format!("{path}/a"), json!({"data": {"x": "2"}})).await;
    b.delete(&format!("{path}/b"), Value::Null).await;
    b.watch(&format!("{path}?resourceVersion={}", version(&first)), JSON).await;
}

pub(super) async fn view(b: &mut Bench) {
    b.show(SHOWN);
    let path = b.core("configmaps");
    let first = b.map("a", json!({})).await;
    for label in [json!("in"), json!("in"), json!("out"), json!("in"), Value::Null] {
        b.merge(&format!("{path}/a"), json!({"metadata": {"labels": {"l": label}}})).await;
    }
    b.merge(&format!("{path}/a"), json!({"data": {"x": "1"}})).await;
    b.watch(&format!("{path}?labelSelector=l%3Din&resourceVersion={}", version(&first)), JSON)
        .await;
}

pub(super) async fn from_now(b: &mut Bench) {
    b.show(SHOWN);
    b.map("a", json!({})).await;
    let path = b.core("configmaps");
    b.watch(
        &format!("{path}?resourceVersion=0&fieldSelector=metadata.name%21%3Dkube-root-ca.crt"),
        JSON,
    )
    .await;
    let list = b.get(&path).await;
    b.watch(&format!("{path}?resourceVersion={}", version(&list)), JSON).await;
}

pub(super) async fn one_name(b: &mut Bench) {
    b.show(SHOWN);
    let path = b.core("configmaps");
    let first = b.map("a", json!({})).await;
    b.map("b", json!({})).await;
    b.merge(&format!("{path}/a"), json!({"data": {"x": "1"}})).await;
    b.watch(
        &format!("{path}?fieldSelector=metadata.name%3Db&resourceVersion={}", version(&first)),
        JSON,
    )
    .await;
    // A type whose objects a field says more of.
    let pods = b.core("pods");
    let pod = b.pod("p", json!({})).await;
    let binding = json!({"kind": "Binding", "apiVersion": "v1", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    b.post(&format!("{pods}/p/binding"), binding).await;
    b.watch(
        &format!("{pods}?fieldSelector=spec.nodeName%3Dn&resourceVersion={}", version(&pod)),
        JSON,
    )
    .await;
}

pub(super) async fn metadata_only(b: &mut Bench) {
    b.show(SHOWN);
    b.map("a", json!({"x": "1"})).await;
    let path = b.core("configmaps");
    b.watch(
        &format!("{path}?resourceVersion=0&fieldSelector=metadata.name%3Da"),
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    )
    .await;
}

pub(super) async fn initial_events(b: &mut Bench) {
    b.show(&["/metadata/name"]);
    b.map("a", json!({})).await;
    let path = b.core("configmaps");
    let options = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&fieldSelector=metadata.name%3Da";
    b.watch(&format!("{path}?{options}"), JSON).await;
    b.watch(&format!("{path}?sendInitialEvents=true"), JSON).await;
}
