//! The actors of the cluster, step by step under a clock that stands still.

#![expect(clippy::unwrap_used, reason = "tests end where something is missing")]

use clock::ManualClock;
use jiff::Timestamp;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use poolkeeper_kube_fake::{FakeCluster, NodeSpec, ResourceType, TwinOptions};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

struct World {
    cluster: FakeCluster,
    clock: ManualClock,
}

fn world() -> World {
    let clock = ManualClock::starting_at("2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
    let cluster = FakeCluster::new(Arc::new(clock.clone()), 1);
    cluster.set_twins(TwinOptions::all());
    World { cluster, clock }
}

impl World {
    /// Lets so many seconds pass, one by one.
    fn pass(&self, seconds: u64) {
        self.cluster.step();
        for _ in 0..seconds {
            self.clock.advance(Duration::from_secs(1));
            self.cluster.step();
        }
    }

    fn api(&self, group: &str, version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
        let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let namespaced = matches!(
            plural,
            "pods" | "jobs" | "deployments" | "helmreleases" | "poddisruptionbudgets" | "commands"
        );
        if namespaced {
            Api::namespaced_with(self.cluster.client(), "default", &kind)
        } else {
            Api::all_with(self.cluster.client(), &kind)
        }
    }

    async fn make(&self, api: &Api<DynamicObject>, object: Value) {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    fn pods(&self) -> Api<DynamicObject> {
        self.api("", "v1", "Pod", "pods")
    }

    async fn make_pod(&self, name: &str, more: Value) {
        let mut pod = json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": {"containers": [{"name": "a", "image": "b"}]}});
        json_patch::merge(&mut pod, &more);
        self.make(&self.pods(), pod).await;
    }

    fn field(&self, ty: &str, name: &str, pointer: &str) -> Value {
        let namespace = if matches!(ty, "nodes" | "namespaces") || ty.contains("volcano") {
            ""
        } else {
            "default"
        };
        let object = self.cluster.object(ty, namespace, name);
        object.and_then(|object| object.pointer(pointer).cloned()).unwrap_or_default()
    }

    fn ready(&self, node: &str) -> Value {
        let conditions = self.field("nodes", node, "/status/conditions");
        let ready = conditions.as_array().into_iter().flatten().find(|one| one["type"] == "Ready");
        ready.map(|one| one["status"].clone()).unwrap_or_default()
    }
}

#[tokio::test]
async fn a_registered_node_gets_ready_and_loses_its_taint() {
    let world = world();
    let mut spec = NodeSpec::new("n", "a100", "az1");
    spec.is_ready = false;
    world.cluster.add_node(&spec);
    world.pass(19);
    assert_eq!(world.ready("n"), "False");
    world.pass(1);
    assert_eq!(world.ready("n"), "True");
    assert_eq!(world.field("nodes", "n", "/spec/taints"), Value::Null);
}

#[tokio::test]
async fn a_pod_waits_for_a_node_that_it_fits_then_runs_and_ends() {
    let world = world();
    world
        .make_pod(
            "p",
            json!({"metadata": {"annotations": {"fake.io/run-seconds": "30"}}, "spec": {"nodeSelector": {"pool": "a"}}}),
        )
        .await;
    world.cluster.add_node(&NodeSpec::new("a", "a100", "az1"));
    world.pass(5);
    assert_eq!(world.field("pods", "p", "/spec/nodeName"), Value::Null);
    world.cluster.add_node(&NodeSpec::new("b", "a100", "az1").with_label("pool", "a"));
    world.pass(2);
    assert_eq!(world.field("pods", "p", "/spec/nodeName"), "b");
    assert_eq!(world.field("pods", "p", "/status/phase"), "Running");
    world.pass(30);
    assert_eq!(world.field("pods", "p", "/status/phase"), "Succeeded");
}

#[tokio::test]
async fn taints_and_requests_keep_pods_away() {
    let world = world();
    let spec = NodeSpec::new("n", "a100", "az1")
        .with_accelerators("nvidia.com/gpu", 8)
        .with_taint("t", "v", "NoSchedule");
    world.cluster.add_node(&spec);
    let container = |count: &str| json!([{"name": "a", "image": "b", "resources": {"requests": {"nvidia.com/gpu": count}}}]);
    let bears = json!([{"key": "t", "value": "v", "effect": "NoSchedule"}]);
    world.make_pod("no", json!({})).await;
    world
        .make_pod("first", json!({"spec": {"containers": container("6"), "tolerations": bears}}))
        .await;
    world
        .make_pod("second", json!({"spec": {"containers": container("6"), "tolerations": bears}}))
        .await;
    world.pass(5);
    let bound = |name: &str| world.field("pods", name, "/spec/nodeName") == "n";
    assert_eq!((bound("no"), bound("first"), bound("second")), (false, true, false));
    world.pods().delete("first", &DeleteParams::default()).await.unwrap();
    world.pass(5);
    assert!(bound("second"));
}

#[tokio::test]
async fn a_deleted_pod_takes_its_grace() {
    let world = world();
    world.cluster.add_node(&NodeSpec::new("n", "a100", "az1"));
    let more = json!({"metadata": {"annotations": {"fake.io/stop-seconds": "20"}}, "spec": {"terminationGracePeriodSeconds": 10}});
    world.make_pod("p", more).await;
    world.pass(5);
    world.pods().delete("p", &DeleteParams::default()).await.unwrap();
    world.pass(9);
    assert!(world.cluster.object("pods", "default", "p").is_some());
    world.pass(1);
    assert!(world.cluster.object("pods", "default", "p").is_none());
}

#[tokio::test]
async fn a_privileged_pod_reboots_its_node() {
    let world = world();
    world.cluster.add_node(&NodeSpec::new("n", "a100", "az1"));
    let boot = world.field("nodes", "n", "/status/nodeInfo/bootID");
    let container =
        json!([{"name": "a", "image": "b", "command": ["sh", "-c", "systemctl reboot"], "securityContext": {"privileged": true}}]);
    world
        .make_pod("p", json!({"spec": {"containers": container, "nodeName": "n"}}))
        .await;
    world.pass(3);
    assert_eq!(world.ready("n"), "False");
    world.pass(120);
    assert_eq!(world.ready("n"), "True");
    assert_ne!(world.field("nodes", "n", "/status/nodeInfo/bootID"), boot);
}

#[tokio::test]
async fn a_silent_node_becomes_unknown_and_its_pods_are_expelled_after_five_minutes() {
    let world = world();
    world.cluster.add_node(&NodeSpec::new("n", "a100", "az1"));
    world.make_pod("p", json!({})).await;
    world.pass(5);
    world.cluster.silence_node("n");
    world.pass(39);
    assert_eq!(world.ready("n"), "True");
    world.pass(2);
    assert_eq!(world.ready("n"), "Unknown");
    assert_eq!(world.field("nodes", "n", "/spec/taints/0/key"), "node.kubernetes.io/unreachable");
    world.pass(310);
    // Nobody is there to end it.
    assert_ne!(world.field("pods", "p", "/metadata/deletionTimestamp"), Value::Null);
    world.cluster.wake_node("n");
    world.pass(5);
    assert_eq!(world.ready("n"), "True");
    assert!(world.cluster.object("pods", "default", "p").is_none());
    assert_eq!(world.field("nodes", "n", "/spec/taints"), Value::Null);
}

#[tokio::test]
async fn a_job_runs_its_pod_and_is_complete() {
    let world = world();
    world.cluster.add_node(&NodeSpec::new("n", "a100", "az1"));
    let jobs = world.api("batch", "v1", "Job", "jobs");
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]}});
    world
        .make(&jobs, json!({"metadata": {"name": "j"}, "spec": {"template": template}}))
        .await;
    world.pass(5);
    assert_eq!(world.field("jobs.batch", "j", "/status/active"), 1);
    world.pass(15);
    assert_eq!(world.field("jobs.batch", "j", "/status/conditions/0/type"), "Complete");
    jobs.delete("j", &DeleteParams::foreground()).await.unwrap();
    world.pass(5);
    assert!(world.cluster.object("jobs.batch", "default", "j").is_none());
    assert!(world.cluster.objects("pods").is_empty());
}

#[tokio::test]
async fn a_driver_is_installed_where_the_label_says_so_and_not_if_it_fails() {
    let world = world();
    world
        .cluster
        .add_node(&NodeSpec::new("n", "a100", "az1").with_accelerators("nvidia.com/gpu", 8));
    let nodes = world.api("", "v1", "Node", "nodes");
    let flip = |version: &str| Patch::Merge(json!({"metadata": {"labels": {"poolkeeper.io/gpu-driver": version}}}));
    let installed = || world.field("nodes", "n", "/metadata/labels/nvidia.com~1cuda.driver-version.full");
    let gpus = || world.field("nodes", "n", "/status/allocatable/nvidia.com~1gpu");
    nodes.patch("n", &PatchParams::default(), &flip("550")).await.unwrap();
    world.pass(1);
    assert_eq!((installed(), gpus()), (Value::Null, json!("0")));
    world.pass(180);
    assert_eq!((installed(), gpus()), (json!("550"), json!("8")));
    world.cluster.set_driver_fails("570", true);
    nodes.patch("n", &PatchParams::default(), &flip("570")).await.unwrap();
    world.pass(400);
    assert_eq!(installed(), Value::Null);
}

#[tokio::test]
async fn a_release_gets_ready_or_fails() {
    let world = world();
    let ty = ResourceType::custom("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases", true);
    world.cluster.register(ty);
    let releases = world.api("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases");
    world.make(&releases, json!({"metadata": {"name": "good"}, "spec": {}})).await;
    world
        .make(
            &releases,
            json!({"metadata": {"name": "bad", "annotations": {"fake.io/fails": "1"}}, "spec": {}}),
        )
        .await;
    world.pass(21);
    let ready = |name: &str| world.field("helmreleases.helm.toolkit.fluxcd.io", name, "/status/conditions/0/status");
    assert_eq!((ready("good"), ready("bad")), (json!("True"), json!("False")));
}

#[tokio::test]
async fn a_deleted_namespace_is_emptied_and_goes() {
    let world = world();
    let namespaces = world.api("", "v1", "Namespace", "namespaces");
    world.make(&namespaces, json!({"metadata": {"name": "x"}})).await;
    let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "ConfigMap"), "configmaps");
    let maps: Api<DynamicObject> = Api::namespaced_with(world.cluster.client(), "x", &kind);
    world.make(&maps, json!({"metadata": {"name": "m"}})).await;
    namespaces.delete("x", &DeleteParams::default()).await.unwrap();
    world.pass(1);
    assert!(world.cluster.object("namespaces", "", "x").is_none());
    assert!(world.cluster.object("configmaps", "x", "m").is_none());
}

#[tokio::test]
async fn a_budget_is_counted_and_spent() {
    let world = world();
    world.cluster.add_node(&NodeSpec::new("n", "a100", "az1"));
    for name in ["p1", "p2"] {
        world.make_pod(name, json!({"metadata": {"labels": {"app": "x"}}})).await;
    }
    let budgets = world.api("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets");
    world
        .make(
            &budgets,
            json!({"metadata": {"name": "b"}, "spec": {"minAvailable": "50%", "selector": {"matchLabels": {"app": "x"}}}}),
        )
        .await;
    world.pass(5);
    assert_eq!(world.field("poddisruptionbudgets.policy", "b", "/status/disruptionsAllowed"), 1);
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(world.cluster.client(), "default");
    pods.evict("p1", &kube::api::EvictParams::default()).await.unwrap();
    let refused = pods.evict("p2", &kube::api::EvictParams::default()).await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 429));
}

#[tokio::test]
async fn queues_open_close_by_command_and_gate_their_pods() {
    let world = world();
    for (group, kind, plural, namespaced) in [
        ("scheduling.volcano.sh/v1beta1", "Queue", "queues", false),
        ("bus.volcano.sh/v1alpha1", "Command", "commands", true),
    ] {
        let (group, version) = group.split_once('/').unwrap();
        world
            .cluster
            .register(ResourceType::custom(group, version, kind, plural, namespaced));
    }
    world.cluster.add_node(&NodeSpec::new("n", "a100", "az1"));
    let queues = world.api("scheduling.volcano.sh", "v1beta1", "Queue", "queues");
    world
        .make(&queues, json!({"metadata": {"name": "q"}, "spec": {"capability": {"cpu": "4"}}}))
        .await;
    world.pass(1);
    let state = || world.field("queues.scheduling.volcano.sh", "q", "/status/state");
    assert_eq!(state(), "Open");
    let commands = world.api("bus.volcano.sh", "v1alpha1", "Command", "commands");
    let command = |action: &str| json!({"metadata": {"generateName": "c-"}, "action": action, "target": {"kind": "Queue", "name": "q"}});
    world.make(&commands, command("CloseQueue")).await;
    world.pass(1);
    assert_eq!(state(), "Closed");
    let pod = json!({
        "metadata": {"annotations": {"scheduling.volcano.sh/queue-name": "q"}},
        "spec": {"containers": [{"name": "a", "image": "b", "resources": {"requests": {"cpu": "3"}}}]},
    });
    world.make_pod("p1", pod.clone()).await;
    world.make_pod("p2", pod).await;
    world.pass(3);
    let bound = |name: &str| world.field("pods", name, "/spec/nodeName") == "n";
    assert_eq!((bound("p1"), bound("p2")), (false, false));
    world.make(&commands, command("OpenQueue")).await;
    world.pass(3);
    assert_eq!((bound("p1"), bound("p2")), (true, false));
}

#[tokio::test]
async fn a_quiet_cluster_gets_no_writes() {
    let world = world();
    world.cluster.add_nodes(&NodeSpec::new("n", "a100", "az1"), 3);
    world.make_pod("p", json!({})).await;
    world.pass(10);
    let version = world.cluster.version();
    world.pass(200);
    assert_eq!(world.cluster.version(), version);
    // Signs of life are the machines' own.
    world.pass(120);
    assert!(world.cluster.version() > version);
    assert_eq!(world.cluster.writes_since(version), 0);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_history() {
    let mut histories = Vec::new();
    for _ in 0..2 {
        let world = world();
        world.cluster.add_nodes(&NodeSpec::new("n", "a100", "az1"), 3);
        world
            .make_pod("p", json!({"metadata": {"annotations": {"fake.io/run-seconds": "5"}}}))
            .await;
        world.cluster.silence_node("n-1");
        world.pass(60);
        let changes = world.cluster.changes_since(0);
        histories.push(changes.iter().map(|change| format!("{change:?}")).collect::<Vec<_>>());
    }
    assert_eq!(histories[0], histories[1]);
}
