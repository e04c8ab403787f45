//! Every oracle sees what it is there for.

use super::OWN_USER;
use crate::house::in_virtual_time;
use crate::kube::{KubeFaults, KubeSettings, KubeWorld};
use fleet_kube::config::Scheduler;
use fleet_kube::mark;
use serde_json::{Value, json};
use std::time::Duration;

const NODE: &str = "gpu-az-1-00";

/// A cluster that lets everything through.
async fn lawless() -> KubeWorld {
    let settings = KubeSettings {
        seed: 1,
        hours: 0,
        faults: KubeFaults::NONE,
        keep: None,
    };
    let world = KubeWorld::new(settings, Some(Scheduler::Volcano)).await;
    world.cluster.set_fence_rules(false);
    world.cluster.set_queue_rules(false);
    world.cluster.set_pod_rules(false);
    world
}

fn node_path() -> String {
    format!("/api/v1/nodes/{NODE}")
}

async fn own(world: &KubeWorld, patch: Value) {
    let answer = world.ask(OWN_USER, "PATCH", &node_path(), &patch).await;
    assert_eq!(answer, "ok");
}

fn claimed(pool: &str, epoch: u64) -> Value {
    json!({"metadata": {"labels": {mark::POOL: pool, mark::NODE: "n"}, "annotations": {mark::EPOCH: epoch.to_string()}}})
}

/// Does it, and gives what is found then.
fn found(act: impl AsyncFnOnce(&KubeWorld)) -> Vec<String> {
    in_virtual_time(async {
        let world = lawless().await;
        act(&world).await;
        world.look();
        world.house.auditor.take()
    })
}

fn has(found: &[String], what: &str) -> bool {
    found.iter().any(|line| line.contains(what))
}

async fn raise_fence(world: &KubeWorld, epoch: u64) {
    let space = json!({"metadata": {"name": "poolkeeper-system"}});
    world.ask("admin", "POST", "/api/v1/namespaces", &space).await;
    let fence = json!({"metadata": {"name": mark::FENCE}, "data": {"epoch": epoch.to_string()}});
    let path = "/api/v1/namespaces/poolkeeper-system/configmaps";
    assert_eq!(world.ask(OWN_USER, "POST", path, &fence).await, "ok");
}

#[test]
fn what_is_right_is_let_pass() {
    let found = found(async |world| {
        raise_fence(world, 3).await;
        own(world, claimed("a", 3)).await;
        own(world, json!({"metadata": {"labels": {mark::POOL: null, mark::NODE: null}}})).await;
        own(world, claimed("b", 3)).await;
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_node_that_changes_pools_at_once_is_seen() {
    let found = found(async |world| {
        own(world, claimed("a", 1)).await;
        own(world, claimed("b", 1)).await;
    });
    assert!(has(&found, "went from pool a to pool b at once"), "{found:?}");
}

#[test]
fn a_write_in_the_name_of_an_old_epoch_is_seen() {
    let after_fence = found(async |world| {
        raise_fence(world, 3).await;
        own(world, claimed("a", 2)).await;
    });
    assert!(has(&after_fence, "in the name of epoch 2, after one of 3"), "{after_fence:?}");
    let after_node = found(async |world| {
        own(world, claimed("a", 5)).await;
        own(world, claimed("a", 4)).await;
    });
    assert!(has(&after_node, "in the name of epoch 4, after one of 5"), "{after_node:?}");
}

#[test]
fn a_fence_that_is_lowered_is_seen() {
    let found = found(async |world| {
        raise_fence(world, 3).await;
        let path = "/api/v1/namespaces/poolkeeper-system/configmaps/fence";
        world.ask(OWN_USER, "PATCH", path, &json!({"data": {"epoch": "2"}})).await;
    });
    assert!(has(&found, "the fence was lowered from 3 to 2"), "{found:?}");
}

#[test]
fn a_foreign_label_taint_or_cordon_that_is_lost_is_seen() {
    let patches = [
        (json!({"metadata": {"labels": {"site.example/a": null}}}), "the labels of"),
        (
            json!({"metadata": {"annotations": {"site.example/note": null}}}),
            "the annotations of",
        ),
        (json!({"spec": {"taints": []}}), "the taints of"),
        (json!({"spec": {"unschedulable": null}}), "the stop of"),
    ];
    for (patch, what) in patches {
        let found = found(async |world| {
            let foreign = json!({
                "metadata": {"annotations": {"site.example/note": "1"}},
                "spec": {"taints": [{"key": "site.example/repair", "effect": "NoSchedule"}], "unschedulable": true},
            });
            assert_eq!(world.ask("admin", "PATCH", &node_path(), &foreign).await, "ok");
            own(world, patch.clone()).await;
        });
        assert!(has(&found, what), "{what}: {found:?}");
    }
}

#[test]
fn a_label_that_is_not_put_back_is_seen() {
    let found = found(async |world| {
        let theirs = json!({"metadata": {"labels": {"team": "vision"}}});
        assert_eq!(world.ask("admin", "PATCH", &node_path(), &theirs).await, "ok");
        let mut claim = claimed("a", 1);
        claim["metadata"]["labels"]["team"] = json!("pool");
        own(world, claim).await;
        own(
            world,
            json!({"metadata": {"labels": {mark::POOL: null, mark::NODE: null, "team": null}}}),
        )
        .await;
    });
    assert!(has(&found, "strangers had it at Some(\"vision\")"), "{found:?}");
}

#[test]
fn a_pod_that_is_left_on_a_released_node_is_seen() {
    let found = found(async |world| {
        let space = json!({"metadata": {"name": "pk-a-train", "labels": {mark::ROOT: "a"}}});
        assert_eq!(world.ask("admin", "POST", "/api/v1/namespaces", &space).await, "ok");
        own(world, claimed("a", 1)).await;
        let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": NODE, "containers": [{"name": "c", "image": "i"}]}});
        let path = "/api/v1/namespaces/pk-a-train/pods";
        assert_eq!(world.ask("admin", "POST", path, &pod).await, "ok");
        own(world, json!({"metadata": {"labels": {mark::POOL: null, mark::NODE: null}}})).await;
    });
    assert!(has(&found, "pod p of pool a runs on gpu-az-1-00, which is released"), "{found:?}");
}

#[test]
fn a_tree_of_queues_that_is_not_legal_is_seen() {
    let found = found(async |world| {
        for (name, parent, deserved) in [("top", "root", "1"), ("low", "top", "2")] {
            let queue = json!({
                "apiVersion": "scheduling.volcano.sh/v1beta1", "kind": "Queue", "metadata": {"name": name},
                "spec": {"parent": parent, "deserved": {"cpu": deserved}},
            });
            let path = "/apis/scheduling.volcano.sh/v1beta1/queues";
            assert_eq!(world.ask(OWN_USER, "POST", path, &queue).await, "ok");
        }
    });
    assert!(has(&found, "the tree of queues is not legal after a write to low"), "{found:?}");
}

#[test]
fn what_is_left_at_rest_is_seen() {
    let found = found(async |world| {
        own(world, claimed("a", 1)).await;
        let other = "/api/v1/nodes/gpu-az-1-01";
        let action = json!({"metadata": {"annotations": {mark::ACTION: "{}"}, "labels": {mark::NODE_GROUP: "g"}}});
        assert_eq!(world.ask(OWN_USER, "PATCH", other, &action).await, "ok");
        let space = json!({"metadata": {"name": "pk-a-train", "labels": {mark::POOL: "a", mark::ROOT: "a"}}});
        assert_eq!(world.ask("admin", "POST", "/api/v1/namespaces", &space).await, "ok");
        let mut trace = Vec::new();
        let rest = world.come_to_rest(&mut trace);
        let late = async {
            world.house.pause(Duration::from_mins(5 * 60 + 30)).await;
            own(world, json!({"metadata": {"annotations": {mark::EPOCH: "2"}}})).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = rest => {}
            () = late => {}
        }
    });
    for what in [
        "gpu-az-1-00 is n of a, which nobody knows",
        "gpu-az-1-01 is at rest in the middle of",
        "gpu-az-1-01 is free and has volcano.sh/nodegroup-name",
        "namespaces pk-a-train is left of pool a",
        "nodes gpu-az-1-00 was written in a quiet hour",
    ] {
        assert!(has(&found, what), "{what}: {found:?}");
    }
}
