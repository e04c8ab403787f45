//! Objects through a real client: what kube sees of the fake server.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests end where something is missing")]

use clock::ManualClock;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod};
use kube::api::{
    Api, DeleteParams, DynamicObject, EvictParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent, WatchParams,
};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Error};
use poolkeeper_kube_fake::{FakeCluster, NodeSpec, ResourceType};
use serde_json::{Value, json};
use std::sync::Arc;

fn cluster() -> FakeCluster {
    let clock = ManualClock::starting_at("2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
    FakeCluster::new(Arc::new(clock), 1)
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn pod(name: &str) -> Pod {
    from(json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": {"containers": [{"name": "a", "image": "b"}]}}))
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: kube::Result<T>) -> (u16, String, String) {
    match result.unwrap_err() {
        Error::Api(status) => (status.code, status.reason, status.message),
        other => panic!("{other:?}"),
    }
}

fn config(client: &Client) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), "default")
}

#[tokio::test]
async fn an_object_is_created_read_and_found_once() {
    let client = cluster().client();
    let map: ConfigMap = from(json!({"metadata": {"name": "a"}, "data": {"x": "1"}}));
    let created = config(&client).create(&PostParams::default(), &map).await.unwrap();
    assert!(created.metadata.uid.is_some() && created.metadata.creation_timestamp.is_some());
    assert_eq!(config(&client).get("a").await.unwrap(), created);
    assert_eq!(config(&client).list(&ListParams::default()).await.unwrap().items.len(), 1);
    let again = refused(config(&client).create(&PostParams::default(), &map).await);
    assert_eq!((again.0, again.1.as_str()), (409, "AlreadyExists"));
    let missing = refused(config(&client).get("b").await);
    assert_eq!(missing, (404, "NotFound".to_owned(), "configmaps \"b\" not found".to_owned()));
}

#[tokio::test]
async fn a_patch_with_an_old_version_is_a_conflict() {
    let cluster = cluster();
    cluster.add_node(&NodeSpec::new("n", "a100", "az1"));
    let nodes: Api<Node> = Api::all(cluster.client());
    let seen = nodes.get("n").await.unwrap().metadata.resource_version.unwrap();
    let patch = |label: &str| Patch::Merge(json!({"metadata": {"resourceVersion": seen, "labels": {"l": label}}}));
    let first = nodes.patch("n", &PatchParams::default(), &patch("1")).await.unwrap();
    assert_eq!(first.metadata.labels.unwrap().get("l").map(String::as_str), Some("1"));
    let second = refused(nodes.patch("n", &PatchParams::default(), &patch("2")).await);
    assert_eq!((second.0, second.1.as_str()), (409, "Conflict"));
}

#[tokio::test]
async fn a_patch_that_changes_nothing_makes_no_version() {
    let cluster = cluster();
    cluster.add_node(&NodeSpec::new("n", "a100", "az1"));
    let nodes: Api<Node> = Api::all(cluster.client());
    let patch = Patch::Merge(json!({"metadata": {"labels": {"l": "1"}}}));
    nodes.patch("n", &PatchParams::default(), &patch).await.unwrap();
    let version = cluster.version();
    nodes.patch("n", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!((cluster.version(), cluster.writes_since(version)), (version, 0));
}

#[tokio::test]
async fn the_status_is_written_only_through_its_subresource() {
    let cluster = cluster();
    cluster.add_node(&NodeSpec::new("n", "a100", "az1"));
    let nodes: Api<Node> = Api::all(cluster.client());
    let phase = |node: Node| node.status.and_then(|status| status.phase);
    let patch = Patch::Merge(json!({"status": {"phase": "x"}, "spec": {"unschedulable": true}}));
    let main = nodes.patch("n", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!((main.spec.clone().unwrap().unschedulable, phase(main)), (Some(true), None));
    let patch = Patch::Merge(json!({"status": {"phase": "x"}, "spec": {"unschedulable": false}}));
    let status = nodes.patch_status("n", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(
        (status.spec.clone().unwrap().unschedulable, phase(status)),
        (Some(true), Some("x".to_owned()))
    );
}

#[tokio::test]
async fn a_new_node_is_tainted_until_it_is_ready() {
    let nodes: Api<Node> = Api::all(cluster().client());
    let node: Node = from(json!({"metadata": {"name": "n"}}));
    let made = nodes.create(&PostParams::default(), &node).await.unwrap();
    assert_eq!(made.spec.unwrap().taints.unwrap()[0].key, "node.kubernetes.io/not-ready");
}

#[tokio::test]
async fn a_finalizer_keeps_an_object_until_it_is_removed() {
    let client = cluster().client();
    let map: ConfigMap = from(json!({"metadata": {"name": "a", "finalizers": ["x.y/z"]}}));
    config(&client).create(&PostParams::default(), &map).await.unwrap();
    let deleted = config(&client).delete("a", &DeleteParams::default()).await.unwrap();
    assert!(deleted.left().unwrap().metadata.deletion_timestamp.is_some());
    config(&client).get("a").await.unwrap();
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    config(&client).patch("a", &PatchParams::default(), &free).await.unwrap();
    assert_eq!(refused(config(&client).get("a").await).0, 404);
}

#[tokio::test]
async fn a_bound_pod_waits_for_its_kubelet_and_a_free_one_goes_at_once() {
    let cluster = cluster();
    let pods: Api<Pod> = Api::namespaced(cluster.client(), "default");
    let mut bound = pod("bound");
    bound.spec.as_mut().unwrap().node_name = Some("n".to_owned());
    pods.create(&PostParams::default(), &bound).await.unwrap();
    pods.create(&PostParams::default(), &pod("free")).await.unwrap();
    for name in ["bound", "free"] {
        pods.delete(name, &DeleteParams::default()).await.unwrap();
    }
    assert!(pods.get("bound").await.unwrap().metadata.deletion_timestamp.is_some());
    assert_eq!(refused(pods.get("free").await).0, 404);
    pods.delete("bound", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert_eq!(refused(pods.get("bound").await).0, 404);
}

#[tokio::test]
async fn a_deletion_names_whom_it_means() {
    let client = cluster().client();
    let map: ConfigMap = from(json!({"metadata": {"name": "a"}}));
    config(&client).create(&PostParams::default(), &map).await.unwrap();
    let other = Preconditions {
        uid: Some("other".to_owned()),
        resource_version: None,
    };
    let wrong = DeleteParams::default().preconditions(other);
    assert_eq!(refused(config(&client).delete("a", &wrong).await).0, 409);
    config(&client).delete("a", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_list_in_pages_is_the_list_of_its_first_page() {
    let client = cluster().client();
    let make = |name: String| -> ConfigMap { from(json!({"metadata": {"name": name}})) };
    for index in 0..5 {
        config(&client)
            .create(&PostParams::default(), &make(format!("m{index}")))
            .await
            .unwrap();
    }
    let first = config(&client).list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!((first.items.len(), first.metadata.remaining_item_count), (2, Some(3)));
    config(&client).delete("m3", &DeleteParams::default()).await.unwrap();
    let rest = ListParams::default().continue_token(&first.metadata.continue_.unwrap());
    let rest = config(&client).list(&rest).await.unwrap();
    let names: Vec<String> = rest.items.into_iter().filter_map(|map| map.metadata.name).collect();
    assert_eq!(names, ["m2", "m3", "m4"]);
}

#[tokio::test]
async fn a_watch_tells_of_what_enters_and_leaves_its_view() {
    let cluster = cluster();
    cluster.add_node(&NodeSpec::new("n", "a100", "az1"));
    let nodes: Api<Node> = Api::all(cluster.client());
    let version = cluster.version().to_string();
    let watch = nodes.watch(&WatchParams::default().labels("pool=a"), &version).await.unwrap();
    let mut watch = watch.boxed();
    for pool in [json!("a"), json!("b")] {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"pool": pool}}}));
        nodes.patch("n", &PatchParams::default(), &patch).await.unwrap();
    }
    let pool = |node: &Node| node.metadata.labels.as_ref().and_then(|labels| labels.get("pool").cloned());
    let Some(WatchEvent::Added(node)) = watch.try_next().await.unwrap() else {
        panic!()
    };
    assert_eq!(pool(&node).as_deref(), Some("a"));
    let Some(WatchEvent::Deleted(node)) = watch.try_next().await.unwrap() else {
        panic!()
    };
    assert_eq!(pool(&node).as_deref(), Some("a"));
}

#[tokio::test]
async fn a_watch_from_a_forgotten_version_is_gone() {
    let cluster = cluster();
    cluster.add_nodes(&NodeSpec::new("n", "a100", "az1"), 3);
    cluster.compact_all();
    let nodes: Api<Node> = Api::all(cluster.client());
    let mut watch = nodes.watch(&WatchParams::default(), "2").await.unwrap().boxed();
    let Some(WatchEvent::Error(status)) = watch.try_next().await.unwrap() else {
        panic!()
    };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    assert!(watch.try_next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_watch_with_initial_events_says_when_they_end() {
    let cluster = cluster();
    cluster.add_nodes(&NodeSpec::new("n", "a100", "az1"), 2);
    let nodes: Api<Node> = Api::all(cluster.client());
    let params = WatchParams::default().initial_events();
    let mut watch = nodes.watch(&params, "0").await.unwrap().boxed();
    for _ in 0..2 {
        assert!(matches!(watch.try_next().await.unwrap(), Some(WatchEvent::Added(_))));
    }
    let Some(WatchEvent::Bookmark(bookmark)) = watch.try_next().await.unwrap() else {
        panic!()
    };
    assert_eq!(bookmark.metadata.annotations["k8s.io/initial-events-end"], "true");
}

#[tokio::test]
async fn an_eviction_keeps_to_the_budget() {
    let cluster = cluster();
    let client = cluster.client();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    pods.create(&PostParams::default(), &pod("a")).await.unwrap();
    cluster.edit("pods", "default", "a", |pod| pod["status"]["phase"] = json!("Running"));
    let budgets: Api<k8s_openapi::api::policy::v1::PodDisruptionBudget> = Api::namespaced(client, "default");
    let budget = from(json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}}));
    budgets.create(&PostParams::default(), &budget).await.unwrap();
    let refusal = refused(pods.evict("a", &EvictParams::default()).await);
    assert_eq!((refusal.0, refusal.1.as_str()), (429, "TooManyRequests"));
    budgets.delete("b", &DeleteParams::default()).await.unwrap();
    pods.evict("a", &EvictParams::default()).await.unwrap();
    assert_eq!(refused(pods.get("a").await).0, 404);
}

#[tokio::test]
async fn an_applied_object_has_the_fields_of_its_last_apply() {
    let client = cluster().client();
    let params = PatchParams::apply("me");
    let apply = |data: Value| Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}));
    config(&client)
        .patch("a", &params, &apply(json!({"x": "1", "y": "1"})))
        .await
        .unwrap();
    let other = Patch::Merge(json!({"data": {"z": "1", "x": "2"}}));
    config(&client).patch("a", &PatchParams::default(), &other).await.unwrap();
    let conflict = refused(config(&client).patch("a", &params, &apply(json!({"x": "1"}))).await);
    assert_eq!((conflict.0, conflict.1.as_str()), (409, "Conflict"));
    let forced = config(&client)
        .patch("a", &params.clone().force(), &apply(json!({"x": "1"})))
        .await
        .unwrap();
    let data: Vec<(String, String)> = forced.data.unwrap().into_iter().collect();
    assert_eq!(data, [("x".to_owned(), "1".to_owned()), ("z".to_owned(), "1".to_owned())]);
}

#[tokio::test]
async fn a_type_is_served_once_it_is_known() {
    let cluster = cluster();
    let gvk = GroupVersionKind::gvk("scheduling.volcano.sh", "v1beta1", "Queue");
    let queues: Api<DynamicObject> = Api::all_with(cluster.client(), &ApiResource::from_gvk_with_plural(&gvk, "queues"));
    assert_eq!(refused(queues.list(&ListParams::default()).await).0, 404);
    cluster.register(ResourceType::custom("scheduling.volcano.sh", "v1beta1", "Queue", "queues", false));
    assert_eq!(queues.list(&ListParams::default()).await.unwrap().items.len(), 0);
}

#[tokio::test]
async fn a_definition_makes_a_type_with_generations() {
    let cluster = cluster();
    let client = cluster.client();
    let definition = json!({
        "metadata": {"name": "things.x.y"},
        "spec": {
            "group": "x.y", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    let definitions: Api<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition> =
        Api::all(client.clone());
    definitions.create(&PostParams::default(), &from(definition)).await.unwrap();
    let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("x.y", "v1", "Thing"), "things");
    let things: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &kind);
    let thing = DynamicObject::new("a", &kind).data(json!({"spec": {"x": 1}, "status": {"lost": true}}));
    let made = things.create(&PostParams::default(), &thing).await.unwrap();
    assert_eq!((made.metadata.generation, made.data.get("status")), (Some(1), None));
    let patch = Patch::Merge(json!({"spec": {"x": 2}}));
    assert_eq!(
        things
            .patch("a", &PatchParams::default(), &patch)
            .await
            .unwrap()
            .metadata
            .generation,
        Some(2)
    );
    let patch = Patch::Merge(json!({"status": {"ok": true}}));
    let status = things.patch_status("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(
        (status.metadata.generation, &status.data["status"]),
        (Some(2), &json!({"ok": true}))
    );
    let found = kube::discovery::group(&client, "x.y").await.unwrap();
    assert_eq!(found.recommended_kind("Thing").unwrap().0.plural, "things");
    definitions.delete("things.x.y", &DeleteParams::default()).await.unwrap();
    assert_eq!(refused(things.get("a").await).0, 404);
}

#[tokio::test]
async fn a_namespace_that_is_not_there_takes_nothing() {
    let client = cluster().client();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "none");
    let refusal = refused(pods.create(&PostParams::default(), &pod("a")).await);
    assert_eq!(refusal.2, "namespaces \"none\" not found");
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let own: Namespace = from(json!({"metadata": {"name": "mine"}}));
    namespaces.create(&PostParams::default(), &own).await.unwrap();
    namespaces.delete("mine", &DeleteParams::default()).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(client, "mine");
    assert_eq!(refused(pods.create(&PostParams::default(), &pod("a")).await).0, 403);
}

#[tokio::test]
async fn a_dry_run_leaves_nothing_behind() {
    let cluster = cluster();
    let client = cluster.client();
    let map: ConfigMap = from(json!({"metadata": {"name": "a"}}));
    let dry = PostParams {
        dry_run: true,
        field_manager: None,
    };
    let version = cluster.version();
    config(&client).create(&dry, &map).await.unwrap();
    assert_eq!(refused(config(&client).get("a").await).0, 404);
    assert_eq!(cluster.version(), version);
}

#[tokio::test]
async fn what_rbac_denies_is_forbidden() {
    let cluster = cluster();
    cluster.deny("eve", "*", "nodes");
    let nodes: Api<Node> = Api::all(cluster.client_as("eve"));
    assert_eq!(refused(nodes.list(&ListParams::default()).await).0, 403);
    Api::<Node>::all(cluster.client()).list(&ListParams::default()).await.unwrap();
}
