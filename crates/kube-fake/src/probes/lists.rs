//! Lists: selectors, pages, versions.

use super::Bench;
use serde_json::{Value, json};

async fn maps(b: &mut Bench) -> String {
    let path = b.core("configmaps");
    for (name, labels) in [
        ("a", json!({"x": "1"})),
        ("b", json!({"x": "2", "y": "1"})),
        ("c", json!({"y": "2"})),
        ("d", json!({"x": "3"})),
    ] {
        b.post(&path, json!({"metadata": {"name": name, "labels": labels}})).await;
    }
    path
}

pub(super) async fn label_selectors(b: &mut Bench) {
    let path = maps(b).await;
    for selector in [
        "x=1",
        "x==1",
        "x%21=1,x",
        "x+in+%281,2%29",
        "x+notin+%281,2%29,x",
        "x,y",
        "%21x,y",
        "x%3E1",
        "x%3C2",
        "x=",
        "x=1,y=1",
    ] {
        b.get(&format!("{path}?labelSelector={selector}")).await;
    }
}

pub(super) async fn bad_selectors(b: &mut Bench) {
    let path = b.core("configmaps");
    for selector in [
        "labelSelector=x+y",
        "labelSelector=x+in+1",
        "labelSelector=a/b/c",
        "fieldSelector=x",
        "fieldSelector=metadata.labels%3Da",
    ] {
        b.get(&format!("{path}?{selector}")).await;
    }
}

pub(super) async fn field_selectors(b: &mut Bench) {
    b.pod("a", json!({"nodeName": "n1"})).await;
    b.pod("b", json!({"nodeName": "n2"})).await;
    b.pod("c", json!({})).await;
    let path = b.core("pods");
    let status = b.at("pods", "a");
    b.merge(&format!("{status}/status"), json!({"status": {"phase": "Running"}})).await;
    for selector in [
        "metadata.name=a",
        "metadata.name%21=a",
        "spec.nodeName=n1",
        "spec.nodeName=",
        "status.phase=Running",
        "status.phase%21=Running,spec.nodeName=n2",
        "spec.hostname=x",
    ] {
        b.get(&format!("{path}?fieldSelector={selector}")).await;
    }
}

pub(super) async fn node_fields(b: &mut Bench) {
    b.make_node("a").await;
    b.make_node("b").await;
    let path = b.node("b");
    b.merge(&path, json!({"spec": {"unschedulable": true}})).await;
    let own = format!("labelSelector=probe%3D{}", b.id);
    for selector in ["spec.unschedulable=true", "spec.unschedulable=false", "spec.podCIDR=x"] {
        b.get(&format!("/api/v1/nodes?{own}&fieldSelector={selector}")).await;
    }
}

pub(super) async fn pages(b: &mut Bench) {
    let path = maps(b).await;
    let own = "fieldSelector=metadata.name%21%3Dkube-root-ca.crt";
    let first = b.get(&format!("{path}?limit=2")).await;
    b.delete(&format!("{path}/c"), Value::Null).await;
    b.map("e", json!({})).await;
    let token = first["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
    b.get(&format!("{path}?limit=2&continue={token}")).await;
    let first = b.get(&format!("{path}?limit=2&{own}")).await;
    let token = first["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
    b.get(&format!("{path}?limit=1&{own}&continue={token}")).await;
    b.get(&format!("{path}?limit=10&{own}")).await;
}

pub(super) async fn bad_token(b: &mut Bench) {
    let path = b.core("configmaps");
    b.get(&format!("{path}?limit=2&continue=nonsense")).await;
}

pub(super) async fn versions(b: &mut Bench) {
    let path = maps(b).await;
    let list = b.get(&path).await;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
    b.map("e", json!({})).await;
    b.get(&format!("{path}?resourceVersion={version}&resourceVersionMatch=Exact")).await;
    let now = b.get(&path).await;
    let now = now["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
    b.get(&format!("{path}?resourceVersion={now}&resourceVersionMatch=NotOlderThan"))
        .await;
    b.get(&format!("{path}?resourceVersion=x")).await;
    b.get(&format!("{path}?resourceVersion=999999999")).await;
}

pub(super) async fn metadata_only(b: &mut Bench) {
    b.show(&["/apiVersion", "/metadata/name", "/data"]);
    let path = maps(b).await;
    b.get_as(&format!("{path}/a"), "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
        .await;
    b.get_as(&path, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
        .await;
}
