//! A cluster with its actors, and an agent of the site that starts and installs machines anew.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "each test uses its part")]

use clock::{Clock, RuntimeClock};
use domain::meta::{Fence, Uid};
use domain::name::{FlavorName, NodeName, PoolName, ProjectId, TemplateName, ZoneName};
use domain::pool::PoolRef;
use fleet::conformance::{Check, Subject};
use fleet::{Command, Fleet, FleetError, NodeRequest, Observation, PoolMark};
use futures::FutureExt;
use jiff::Timestamp;
use kube::api::PostParams;
use kube_fake::{FakeCluster, NodeSpec, TwinOptions};
use poolkeeper_fleet_kube::config::{AcceleratorRule, FlavorRule, Provider};
use poolkeeper_fleet_kube::mark::{self, Ask};
use poolkeeper_fleet_kube::{KubeConfig, KubeFleet};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

#[derive(Clone)]
pub struct World {
    pub cluster: FakeCluster,
    pub clock: Arc<dyn Clock>,
    pub config: KubeConfig,
    _actors: Arc<Actors>,
}

struct Actors(Vec<AbortHandle>);

impl Drop for Actors {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

pub fn flavor() -> FlavorName {
    FlavorName::parse("gpu").unwrap()
}

pub fn zone(name: &str) -> ZoneName {
    ZoneName::parse(name).unwrap()
}

pub fn node(number: usize) -> NodeName {
    NodeName::parse(&format!("os-node-created-{number:05}")).unwrap()
}

pub fn pool(number: usize) -> PoolMark {
    let project = ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").unwrap();
    PoolMark {
        uid: Uid::from_text(&format!("{number:012x}00000000000000000000")),
        pool: PoolRef {
            name: PoolName::parse(&format!("pool-{number}-{project}")).unwrap(),
            project,
        },
    }
}

pub fn fence(epoch: u64) -> Fence {
    Fence {
        lease: "fleet".to_owned(),
        epoch,
    }
}

pub fn create(pool_number: usize, number: usize) -> Command {
    Command::CreateNode(NodeRequest {
        pool: pool(pool_number),
        node: node(number),
        flavor: flavor(),
        az: zone("a"),
        driver: None,
        image: None,
        labels: BTreeMap::from([("team".to_owned(), "vision".to_owned())]),
    })
}

pub fn delete(pool_number: usize, number: usize) -> Command {
    Command::DeleteNode {
        pool: pool(pool_number),
        node: node(number),
    }
}

impl World {
    /// A cluster with all its actors, with the fence's rules in force, and with Flux.
    pub async fn new() -> Self {
        Self::with_seed(1).await
    }

    pub async fn with_seed(seed: u64) -> Self {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at(start));
        let cluster = FakeCluster::new(Arc::clone(&clock), seed);
        cluster.set_twins(TwinOptions::all());
        cluster.set_fence_rules(true);
        cluster
            .define("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases")
            .await
            .unwrap();
        let actors = [
            tokio::spawn(cluster.clone().run()).abort_handle(),
            tokio::spawn(serve_machines(cluster.clone(), Arc::clone(&clock))).abort_handle(),
        ];
        let mut config = KubeConfig {
            flavor: vec![FlavorRule {
                name: flavor(),
                labels: BTreeMap::from([("node.kubernetes.io/instance-type".to_owned(), vec!["a100-8x80".to_owned()])]),
                accelerator: Some(AcceleratorRule {
                    resource: "nvidia.com/gpu".to_owned(),
                    count: 8,
                }),
                least: BTreeMap::new(),
                quota: BTreeMap::new(),
                provision: None,
            }],
            reboot: Provider::Annotation,
            reset: Provider::Annotation,
            ..KubeConfig::default()
        };
        config.pool.requires = Some(Vec::new());
        Self {
            cluster,
            clock,
            config,
            _actors: Arc::new(Actors(actors.into())),
        }
    }

    /// Machines of the flavor in a zone, named `<zone>-0`, `<zone>-1`, …
    pub fn add_nodes(&self, zone: &str, count: usize) {
        let spec = NodeSpec::new(zone, "a100-8x80", zone).with_accelerators("nvidia.com/gpu", 8);
        self.cluster.add_nodes(&spec, count);
    }

    pub async fn fleet(&self) -> KubeFleet {
        KubeFleet::start(self.cluster.client(), self.config.clone(), Arc::clone(&self.clock))
            .await
            .unwrap()
    }

    /// A fleet whose process loses its connection after so many writes.
    pub async fn dying(&self, writes: u32) -> KubeFleet {
        let client = self.cluster.dying_client(writes);
        KubeFleet::start(client, self.config.clone(), Arc::clone(&self.clock))
            .await
            .unwrap()
    }

    /// Lets time go by.
    pub async fn pass(&self, seconds: u64) {
        self.clock.sleep_until(self.clock.now() + Duration::from_secs(seconds)).await;
    }

    /// Waits until it holds of what is observed.
    pub async fn until(&self, fleet: &KubeFleet, pool: &PoolMark, holds: impl Fn(&Observation) -> bool) -> Observation {
        for _ in 0..3_000 {
            if let Ok(seen) = fleet.observe(&pool.uid).await
                && holds(&seen)
            {
                return seen;
            }
            self.pass(1).await;
        }
        panic!("it does not come true: {:#?}", fleet.observe(&pool.uid).await);
    }

    /// The one pod of ours, once it is there.
    pub async fn own_pod(&self) -> (String, Value) {
        for _ in 0..600 {
            let pods = self.cluster.objects("pods");
            if let Some((key, pod)) = pods.into_iter().find(|(key, _)| key.namespace == "poolkeeper-system") {
                return (key.name, Value::clone(&pod));
            }
            self.pass(1).await;
        }
        panic!("there is no pod");
    }

    pub fn node(&self, name: &str) -> Value {
        Value::clone(&self.cluster.object("nodes", "", name).unwrap_or_else(|| panic!("no Node {name}")))
    }

    /// Names of the Nodes that are a node.
    pub fn machines_of(&self, number: usize) -> Vec<String> {
        let is_it = |object: &Value| {
            object.pointer("/metadata/labels").and_then(|labels| labels.get(mark::NODE)) == Some(&json!(node(number).as_str()))
        };
        let nodes = self.cluster.objects("nodes");
        nodes
            .iter()
            .filter(|(_, object)| is_it(object))
            .map(|(key, _)| key.name.clone())
            .collect()
    }

    /// The Nodes without anything that we write, but for the epoch, in a form that can be compared.
    pub fn foreign(&self, name: &str) -> Value {
        let mut object = self.node(name);
        let none = json!([]);
        let taints = object.pointer("/spec/taints").unwrap_or(&none).clone();
        if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
            annotations.remove(mark::EPOCH);
        }
        json!({"labels": object["metadata"]["labels"], "annotations": object["metadata"]["annotations"], "taints": taints})
    }

    /// A pod of somebody on a Node.
    pub async fn put_pod(&self, name: &str, host: &str, more: Value) {
        let mut pod = json!({
            "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
            "spec": {
                "nodeName": host,
                "containers": [{"name": "a", "image": "b", "resources": {"requests": {"nvidia.com/gpu": "1"}}}],
                "terminationGracePeriodSeconds": 30,
            },
        });
        merge(&mut pod, &more);
        let pod: k8s_openapi::api::core::v1::Pod = serde_json::from_value(pod).unwrap();
        let api = kube::Api::namespaced(self.cluster.client_as("somebody"), "default");
        api.create(&PostParams::default(), &pod).await.unwrap();
    }
}

/// Holds a fleet over the cluster to a rule of all fleets.
pub async fn conform(world: &World, name: &str, check: Check) {
    let again = world.clone();
    let subject = Subject {
        fleet: Arc::new(world.fleet().await),
        flavor: flavor(),
        zones: [zone("a"), zone("b")],
        drivers: ["550.90.07", "570.10.01"],
        plugin: (TemplateName::parse("metrics").unwrap(), ["1.0.0", "1.1.0"]),
        reopen: Box::new(move || {
            let world = again.clone();
            async move { Arc::new(world.fleet().await) as Arc<dyn Fleet> }.boxed()
        }),
    };
    eprintln!("{name}");
    tokio::time::timeout(Duration::from_hours(3), check(&subject))
        .await
        .unwrap_or_else(|_| panic!("{name}: never came to an end"));
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

/// All commands are carried out.
pub async fn run(fleet: &KubeFleet, epoch: u64, commands: &[Command]) {
    for (result, command) in fleet.execute(commands, &fence(epoch)).await.into_iter().zip(commands) {
        assert_eq!(result, Ok(()), "{}", command.name());
    }
}

/// Repeats commands as a controller does, until they are carried out.
pub async fn insist(world: &World, fleet: &KubeFleet, epoch: u64, commands: &[Command]) {
    for _ in 0..200 {
        let results = fleet.execute(commands, &fence(epoch)).await;
        if results.iter().all(Result::is_ok) {
            return;
        }
        assert!(!results.contains(&Err(FleetError::Fenced)), "{results:?}");
        world.pass(1).await;
    }
    panic!(
        "the commands are not carried out: {:?}",
        fleet.execute(commands, &fence(epoch)).await
    );
}

/// The agent of the site: does to machines what their Nodes are annotated with.
async fn serve_machines(cluster: FakeCluster, clock: Arc<dyn Clock>) {
    let mut done: BTreeMap<String, String> = BTreeMap::new();
    loop {
        for (key, object) in cluster.objects("nodes") {
            let Some(text) = object.pointer("/metadata/annotations").and_then(|all| all.get(mark::ASK)?.as_str()) else {
                done.remove(&key.name);
                continue;
            };
            if done.get(&key.name).is_some_and(|known| known == text) {
                continue;
            }
            let ask: Ask = serde_json::from_str(text).unwrap();
            done.insert(key.name.clone(), text.to_owned());
            cluster.reboot_node(&key.name);
            if let Some(image) = ask.image {
                cluster.edit("nodes", "", &key.name, |node| node["status"]["nodeInfo"]["osImage"] = json!(image));
            }
        }
        handle_releases(&cluster);
        clock.sleep_until(clock.now() + Duration::from_secs(5)).await;
    }
}

/// What Flux says once it has looked at a release.
fn handle_releases(cluster: &FakeCluster) {
    const RELEASES: &str = "helmreleases.helm.toolkit.fluxcd.io";
    for (key, release) in cluster.objects(RELEASES) {
        let asked = release["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"].clone();
        let is_installed = release["status"]["observedGeneration"] == release["metadata"]["generation"];
        if is_installed && release["status"]["lastHandledReconcileAt"] != asked {
            let version = release["spec"]["chart"]["spec"]["version"].clone();
            cluster.edit(RELEASES, &key.namespace, &key.name, |release| {
                release["status"]["lastHandledReconcileAt"] = asked;
                release["status"]["history"] = json!([{"chartVersion": version, "status": "deployed"}]);
            });
        }
    }
}
