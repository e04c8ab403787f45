//! The rules of Volcano's and Kueue's webhooks.

#![expect(clippy::unwrap_used, reason = "tests end where something is missing")]

use clock::ManualClock;
use jiff::Timestamp;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use poolkeeper_kube_fake::FakeCluster;
use serde_json::{Value, json};
use std::sync::Arc;

fn cluster() -> FakeCluster {
    let clock = ManualClock::starting_at(Timestamp::UNIX_EPOCH);
    let cluster = FakeCluster::new(Arc::new(clock), 1);
    cluster.serve_schedulers();
    cluster
}

fn api(cluster: &FakeCluster, group: &str, version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    Api::all_with(cluster.client(), &kind)
}

fn queues(cluster: &FakeCluster) -> Api<DynamicObject> {
    api(cluster, "scheduling.volcano.sh", "v1beta1", "Queue", "queues")
}

async fn make(api: &Api<DynamicObject>, name: &str, spec: Value) -> Result<(), String> {
    let object: DynamicObject = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
    let made = api.create(&PostParams::default(), &object).await;
    made.map(|_| ()).map_err(|error| error.to_string())
}

async fn change(api: &Api<DynamicObject>, name: &str, spec: Value) -> Result<(), String> {
    let patch = Patch::Merge(json!({"spec": spec}));
    let changed = api.patch(name, &PatchParams::default(), &patch).await;
    changed.map(|_| ()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn children_deserve_no_more_than_their_parent() {
    let cluster = cluster();
    let queues = queues(&cluster);
    make(&queues, "p", json!({"deserved": {"cpu": "10"}, "capability": {"cpu": "20"}}))
        .await
        .unwrap();
    make(&queues, "a", json!({"parent": "p", "deserved": {"cpu": "6"}})).await.unwrap();
    assert!(
        make(&queues, "b", json!({"parent": "p", "deserved": {"cpu": "5"}}))
            .await
            .unwrap_err()
            .contains("sum of deserved")
    );
    make(&queues, "b", json!({"parent": "p", "deserved": {"cpu": "4"}})).await.unwrap();
    // Shrinking goes from the bottom up.
    assert!(change(&queues, "p", json!({"deserved": {"cpu": "8"}})).await.is_err());
    change(&queues, "a", json!({"deserved": {"cpu": "4"}})).await.unwrap();
    change(&queues, "p", json!({"deserved": {"cpu": "8"}})).await.unwrap();
    // What the parent does not name, there is none of.
    assert!(change(&queues, "a", json!({"deserved": {"memory": "1Gi"}})).await.is_err());
    assert_eq!(cluster.queue_faults(), Vec::<String>::new());
}

#[tokio::test]
async fn a_queue_can_use_no_more_than_its_nearest_limit() {
    let cluster = cluster();
    let queues = queues(&cluster);
    make(&queues, "p", json!({"capability": {"cpu": "20"}})).await.unwrap();
    make(&queues, "c", json!({"parent": "p"})).await.unwrap();
    assert!(
        make(&queues, "g", json!({"parent": "c", "capability": {"cpu": "21"}}))
            .await
            .is_err()
    );
    make(&queues, "g", json!({"parent": "c", "capability": {"cpu": "20"}}))
        .await
        .unwrap();
    assert!(change(&queues, "p", json!({"capability": {"cpu": "19"}})).await.is_err());
    assert!(
        make(&queues, "x", json!({"deserved": {"cpu": "2"}, "capability": {"cpu": "1"}}))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_tree_is_no_deeper_than_five_and_is_taken_down_from_below() {
    let cluster = cluster();
    let queues = queues(&cluster);
    assert!(make(&queues, "orphan", json!({"parent": "none"})).await.is_err());
    make(&queues, "q1", json!({"parent": "root"})).await.unwrap();
    for level in 2..=5 {
        make(&queues, &format!("q{level}"), json!({"parent": format!("q{}", level - 1)}))
            .await
            .unwrap();
    }
    assert!(make(&queues, "q6", json!({"parent": "q5"})).await.is_err());
    assert!(queues.delete("q1", &DeleteParams::default()).await.is_err());
    for level in (1..=5).rev() {
        queues.delete(&format!("q{level}"), &DeleteParams::default()).await.unwrap();
    }
}

#[tokio::test]
async fn kueue_borrows_only_in_a_cohort_and_lists_all_resources() {
    let cluster = cluster();
    let queues = api(&cluster, "kueue.x-k8s.io", "v1beta2", "ClusterQueue", "clusterqueues");
    let spec = |cohort: Value, covered: Value| {
        json!({
            "cohortName": cohort,
            "resourceGroups": [{
                "coveredResources": covered,
                "flavors": [{"name": "f", "resources": [{"name": "cpu", "nominalQuota": "1", "borrowingLimit": "1"}]}],
            }],
        })
    };
    assert!(
        make(&queues, "a", spec(Value::Null, json!(["cpu"])))
            .await
            .unwrap_err()
            .contains("must be nil when cohort is empty")
    );
    assert!(make(&queues, "a", spec(json!("c"), json!(["cpu", "memory"]))).await.is_err());
    make(&queues, "a", spec(json!("c"), json!(["cpu"]))).await.unwrap();
}

#[tokio::test]
async fn a_local_queue_stays_with_its_cluster_queue() {
    let cluster = cluster();
    let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("kueue.x-k8s.io", "v1beta2", "LocalQueue"), "localqueues");
    let queues: Api<DynamicObject> = Api::namespaced_with(cluster.client(), "default", &kind);
    make(&queues, "default", json!({"clusterQueue": "a"})).await.unwrap();
    assert!(change(&queues, "default", json!({"clusterQueue": "b"})).await.is_err());
}
