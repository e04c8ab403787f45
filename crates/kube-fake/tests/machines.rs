//! The controller of Cluster API that stands in for the real one, step by step under a clock that stands still, and the fence of Machines.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests end where something is missing")]

use clock::ManualClock;
use jiff::Timestamp;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use poolkeeper_kube_fake::{FAILS, FakeCluster, NodeSpec, TwinOptions};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const HOOK: &str = "pre-drain.delete.hook.machine.cluster.x-k8s.io/site";
const TYPES: [&str; 3] = [
    "machines.cluster.x-k8s.io",
    "fakeconfigs.bootstrap.cluster.x-k8s.io",
    "fakemachines.infrastructure.cluster.x-k8s.io",
];

struct World {
    cluster: FakeCluster,
    clock: ManualClock,
}

fn world() -> World {
    let clock = ManualClock::starting_at("2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
    let cluster = FakeCluster::new(Arc::new(clock.clone()), 1);
    cluster.set_twins(TwinOptions::all());
    cluster.add_cluster_api();
    World { cluster, clock }
}

fn api(cluster: &FakeCluster, user: Option<&str>, kind: &GroupVersionKind) -> Api<DynamicObject> {
    let client = user.map_or_else(|| cluster.client(), |user| cluster.client_as(user));
    Api::namespaced_with(client, "default", &ApiResource::from_gvk(kind))
}

fn machines(cluster: &FakeCluster, user: Option<&str>) -> Api<DynamicObject> {
    api(cluster, user, &GroupVersionKind::gvk("cluster.x-k8s.io", "v1beta2", "Machine"))
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

    async fn make(&self, api: &Api<DynamicObject>, object: Value) {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    async fn make_machine(&self, annotations: Value) {
        let machine = json!({
            "metadata": {"name": "m", "labels": {"node.cluster.x-k8s.io/for": "x", "other": "y"}, "annotations": annotations},
            "spec": {
                "clusterName": "site",
                "failureDomain": "az1",
                "bootstrap": {"configRef": {"apiGroup": "bootstrap.cluster.x-k8s.io", "kind": "FakeConfig", "name": "m"}},
                "infrastructureRef": {"apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "FakeMachine", "name": "m"},
            },
        });
        self.make(&machines(&self.cluster, None), machine).await;
    }

    async fn make_parts(&self, annotations: Value) {
        let spec = NodeSpec::new("", "a100", "").with_accelerators("nvidia.com/gpu", 8);
        let spec = json!({"labels": spec.labels, "resources": spec.resources});
        for (group, version, kind) in [
            ("bootstrap.cluster.x-k8s.io", "v1beta2", "FakeConfig"),
            ("infrastructure.cluster.x-k8s.io", "v1beta1", "FakeMachine"),
        ] {
            let object = json!({"metadata": {"name": "m", "annotations": annotations}, "spec": spec});
            self.make(&api(&self.cluster, None, &GroupVersionKind::gvk(group, version, kind)), object)
                .await;
        }
    }

    fn machine(&self, pointer: &str) -> Value {
        let machine = self.cluster.object(TYPES[0], "default", "m");
        machine.and_then(|machine| machine.pointer(pointer).cloned()).unwrap_or_default()
    }

    fn node(&self, pointer: &str) -> Value {
        let node = self.cluster.object("nodes", "", "m");
        node.and_then(|node| node.pointer(pointer).cloned()).unwrap_or_default()
    }

    async fn delete(&self) {
        machines(&self.cluster, None).delete("m", &DeleteParams::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_machine_becomes_a_node_and_goes_with_all_that_it_refers_to() {
    let world = world();
    world.make_parts(json!({})).await;
    world.make_machine(json!({})).await;
    world.pass(179);
    assert_eq!(
        (world.machine("/status/phase"), world.node("/metadata/name")),
        (json!("Provisioning"), Value::Null)
    );
    world.pass(1);
    assert_eq!(
        (world.machine("/status/nodeRef/name"), world.machine("/status/phase")),
        (json!("m"), json!("Running"))
    );
    assert_eq!(world.machine("/spec/providerID"), world.node("/spec/providerID"));
    let labels = world.node("/metadata/labels");
    assert_eq!(
        (&labels["node.cluster.x-k8s.io/for"], &labels["other"]),
        (&json!("x"), &Value::Null)
    );
    assert_eq!(labels["topology.kubernetes.io/zone"], "az1");
    assert_eq!(world.node("/metadata/annotations/cluster.x-k8s.io~1machine"), "m");
    world.delete().await;
    world.pass(19);
    assert_eq!(world.machine("/status/phase"), "Deleting");
    world.pass(1);
    for ty in TYPES.iter().chain(&["nodes"]) {
        assert!(world.cluster.objects(ty).is_empty(), "{ty}");
    }
}

#[tokio::test]
async fn what_a_machine_refers_to_is_waited_for() {
    let world = world();
    world.make_machine(json!({})).await;
    world.pass(10);
    world.make_parts(json!({})).await;
    world.pass(19);
    assert_eq!(world.machine("/status/phase"), "Pending");
    world.pass(1);
    assert_eq!(world.machine("/status/phase"), "Provisioning");
    world.delete().await;
    world.pass(20);
    assert!(world.cluster.objects(TYPES[2]).is_empty(), "also before there is a node");
}

#[tokio::test]
async fn a_machine_fails_on_request() {
    let world = world();
    world.make_parts(json!({FAILS: "no quota"})).await;
    world.make_machine(json!({})).await;
    world.pass(180);
    assert_eq!(world.machine("/status/phase"), "Failed");
    assert_eq!(world.machine("/status/deprecated/v1beta1/failureMessage"), "no quota");
    assert_eq!(world.node("/metadata/name"), Value::Null);
}

#[tokio::test]
async fn a_node_is_emptied_before_it_goes_unless_somebody_holds_that_up() {
    let world = world();
    world.make_parts(json!({})).await;
    world.make_machine(json!({HOOK: ""})).await;
    world.pass(210);
    let pod = json!({
        "metadata": {"name": "p", "annotations": {"fake.io/stop-seconds": "12"}},
        "spec": {"nodeName": "m", "containers": [{"name": "a", "image": "b"}]},
    });
    let pods = Api::namespaced_with(
        world.cluster.client(),
        "default",
        &ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod")),
    );
    world.make(&pods, pod).await;
    world.pass(5);
    world.delete().await;
    world.pass(600);
    let is_left = world.cluster.object("pods", "default", "p").unwrap();
    assert!(is_left["metadata"].get("deletionTimestamp").is_none(), "the hook is heeded");
    let patch = json!({"metadata": {"annotations": {HOOK: null}}});
    machines(&world.cluster, None)
        .patch("m", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    world.pass(11);
    assert_eq!(world.node("/spec/unschedulable"), true);
    assert!(world.cluster.object("pods", "default", "p").is_some());
    world.pass(30);
    assert!(world.cluster.objects("nodes").is_empty() && world.cluster.objects(TYPES[0]).is_empty());
}

/// What the server says to a change of a Machine.
async fn change(world: &World, user: Option<&str>, annotations: Value, labels: Value) -> Result<(), String> {
    let patch = json!({"metadata": {"annotations": annotations, "labels": labels}});
    let params = PatchParams::default();
    match machines(&world.cluster, user).patch("m", &params, &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) => Err(status.message.rsplit(": ").next().unwrap().to_owned()),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn machines_are_fenced_like_nodes() {
    let world = world();
    world.make_machine(json!({})).await;
    world.cluster.set_fence_rules(true);
    let maps = |kind: &str, namespace: Option<&str>| {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind));
        match namespace {
            Some(namespace) => Api::<DynamicObject>::namespaced_with(world.cluster.client(), namespace, &kind),
            None => Api::all_with(world.cluster.client(), &kind),
        }
    };
    world
        .make(&maps("Namespace", None), json!({"metadata": {"name": "poolkeeper-system"}}))
        .await;
    let fence = json!({"metadata": {"name": "fence"}, "data": {"epoch": "7"}});
    world.make(&maps("ConfigMap", Some("poolkeeper-system")), fence).await;
    let epoch = |number: &str| json!({"poolkeeper.io/epoch": number});
    let of_pool = |pool: &str| json!({"poolkeeper.io/pool": pool});
    let refused = |why: &str| Err(why.to_owned());
    let strangers = refused("only poolkeeper may change the marks of a pool's machine");
    assert_eq!(change(&world, Some("jane"), json!({"site": "x"}), json!({})).await, Ok(()));
    assert_eq!(change(&world, Some("jane"), json!({}), of_pool("a")).await, strangers);
    assert_eq!(change(&world, None, epoch("6"), of_pool("a")).await, refused("stale epoch (fence)"));
    assert_eq!(change(&world, None, epoch("9"), of_pool("a")).await, Ok(()));
    assert_eq!(change(&world, None, epoch("8"), json!({})).await, refused("stale epoch (object)"));
    assert_eq!(change(&world, Some("jane"), epoch("10"), json!({})).await, strangers);
    assert_eq!(change(&world, Some("jane"), json!({"site": "y"}), json!({})).await, Ok(()));
    assert_eq!(change(&world, None, epoch("9"), of_pool("b")).await, Ok(()));
}
