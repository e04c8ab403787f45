//! The rules around a pool's nodes, as the policy on a real server has them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests end where something is missing")]

use clock::ManualClock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node};
use kube::api::{Api, Patch, PatchParams, PostParams};
use poolkeeper_kube_fake::{FakeCluster, NodeSpec};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

struct World {
    cluster: FakeCluster,
    clock: ManualClock,
}

async fn world() -> World {
    let clock = ManualClock::starting_at("2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
    let cluster = FakeCluster::new(Arc::new(clock.clone()), 1);
    cluster.add_node(&NodeSpec::new("n", "a100", "az1"));
    cluster.set_fence_rules(true);
    let client = cluster.client();
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "poolkeeper-system"}})).unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    let world = World { cluster, clock };
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "fence"}, "data": {"epoch": "7"}})).unwrap();
    Api::namespaced(client, "poolkeeper-system")
        .create(&PostParams::default(), &map)
        .await
        .unwrap();
    world
}

impl World {
    async fn patch(&self, user: Option<&str>, patch: Value) -> Result<Node, String> {
        let client = user.map_or_else(|| self.cluster.client(), |user| self.cluster.client_as(user));
        let nodes: Api<Node> = Api::all(client);
        match nodes.patch("n", &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(node) => Ok(node),
            Err(kube::Error::Api(status)) => Err(format!("{} {}", status.code, status.message.rsplit(": ").next().unwrap())),
            Err(other) => panic!("{other:?}"),
        }
    }

    async fn raise(&self, epoch: &str) {
        let maps: Api<ConfigMap> = Api::namespaced(self.cluster.client(), "poolkeeper-system");
        let patch = Patch::Merge(json!({"data": {"epoch": epoch}}));
        maps.patch("fence", &PatchParams::default(), &patch).await.unwrap();
    }
}

fn claim(pool: &str, epoch: &str) -> Value {
    json!({
        "metadata": {"labels": {"poolkeeper.io/pool": pool}, "annotations": {"poolkeeper.io/epoch": epoch}},
        "spec": {"taints": [{"key": "poolkeeper.io/pool", "value": pool, "effect": "NoSchedule"}]},
    })
}

#[tokio::test]
async fn a_claim_needs_the_epoch_of_the_fence() {
    let world = world().await;
    let without = json!({"metadata": {"labels": {"poolkeeper.io/pool": "a"}}});
    assert_eq!(world.patch(None, without).await.unwrap_err(), "422 stale epoch (fence)");
    assert_eq!(world.patch(None, claim("a", "6")).await.unwrap_err(), "422 stale epoch (fence)");
    world.patch(None, claim("a", "7")).await.unwrap();
    world.patch(None, claim("a", "8")).await.unwrap();
    assert_eq!(world.patch(None, claim("a", "7")).await.unwrap_err(), "422 stale epoch (object)");
}

#[tokio::test]
async fn a_node_changes_pools_only_through_release() {
    let world = world().await;
    world.patch(None, claim("a", "7")).await.unwrap();
    assert_eq!(
        world.patch(None, claim("b", "7")).await.unwrap_err(),
        "422 a node changes pools only through release"
    );
    let mut release = claim("a", "7");
    release["metadata"]["labels"]["poolkeeper.io/pool"] = Value::Null;
    release["spec"]["taints"] = Value::Null;
    let no_epoch = json!({"metadata": {"labels": {"poolkeeper.io/pool": null}, "annotations": {"poolkeeper.io/epoch": null}}});
    assert_eq!(world.patch(None, no_epoch).await.unwrap_err(), "422 stale epoch (object)");
    world.patch(None, release).await.unwrap();
    world.patch(None, claim("b", "7")).await.unwrap();
}

#[tokio::test]
async fn others_may_not_touch_the_marks_and_may_touch_the_rest() {
    let world = world().await;
    world.patch(None, claim("a", "7")).await.unwrap();
    let refused = "403 only poolkeeper may change the marks of a pool's node";
    let taint = json!({"spec": {"taints": null}});
    let epoch = json!({"metadata": {"annotations": {"poolkeeper.io/epoch": "9"}}});
    let label = json!({"metadata": {"labels": {"poolkeeper.io/pool": null}}});
    for patch in [taint, epoch, label] {
        assert_eq!(world.patch(Some("eve"), patch).await.unwrap_err(), refused);
    }
    world.patch(Some("eve"), json!({"spec": {"unschedulable": true}})).await.unwrap();
    world
        .patch(Some("eve"), json!({"metadata": {"labels": {"mine": "x"}}}))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_that_lags_lets_the_old_epoch_through_for_a_while() {
    let world = world().await;
    world.cluster.set_fence_lag(Duration::from_secs(5));
    world.clock.advance(Duration::from_mins(1));
    world.raise("8").await;
    world.patch(None, claim("a", "7")).await.unwrap();
    world.clock.advance(Duration::from_secs(6));
    assert_eq!(
        world.patch(None, claim("a", "7")).await.map(|_| ()),
        Err("422 stale epoch (fence)".to_owned())
    );
}

#[tokio::test]
async fn without_the_config_map_nothing_is_claimed() {
    let world = world().await;
    world.cluster.remove("configmaps", "poolkeeper-system", "fence");
    assert!(world.patch(None, claim("a", "7")).await.unwrap_err().starts_with("403"));
}
