//! A test's own part of the server: names, labels, Nodes, a site, and controllers.

use crate::scope::Scope;
use crate::server::Server;
use crate::site::{GPU, RUN, Site, pause, time};
use clock::{Entropy, SystemClock, SystemEntropy};
use domain::meta::{Fence, Uid};
use domain::name::{FlavorName, NodeName, PoolName, ProjectId, ZoneName};
use domain::pool::PoolRef;
use fleet::{Command, Fleet, FleetError, MachineState, NodeRequest, Observation, PoolMark};
use futures::FutureExt;
use futures::stream::{self, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Node, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use kube_fake::Life;
use poolkeeper_fleet_kube::config::{AcceleratorRule, FlavorRule, Provider};
use poolkeeper_fleet_kube::{KubeConfig, KubeFleet, mark};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

/// Calls that a test makes at the same time.
pub const AT_ONCE: usize = 16;
/// Pools that a test may have.
const POOLS: usize = 16;

/// A test's own part of the server.
pub struct Lab {
    pub server: Server,
    /// Of the people and programs around.
    pub client: Client,
    /// What all names begin with.
    pub prefix: String,
    pub config: KubeConfig,
    /// What its controllers see.
    pub scope: Scope,
    pub site: Site,
}

/// Runs a test on the server, if there is one.
pub fn live(test: impl AsyncFnOnce(Server)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        if let Some(server) = Server::given().await {
            test(server).await;
        }
    });
}

/// Runs a test in a part of the server that is its own, and tidies up.
pub fn in_lab(test: impl AsyncFnOnce(&Lab)) {
    live(async |server| with_lab(&server, BTreeSet::new(), test).await);
}

/// `pools`: those of the test that are not made by [`Lab::pool`].
pub async fn with_lab(server: &Server, pools: BTreeSet<Uid>, test: impl AsyncFnOnce(&Lab)) {
    let lab = Lab::open(server, &pools).await;
    let result = AssertUnwindSafe(test(&lab)).catch_unwind().await;
    lab.close(pools).await;
    if let Err(panic) = result {
        resume_unwind(panic);
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

pub fn fence(epoch: u64) -> Fence {
    Fence {
        lease: "fleet".to_owned(),
        epoch,
    }
}

pub fn is_ready(seen: &Observation, number: usize) -> bool {
    seen.node(&node(number)).is_some_and(|fact| fact.state == MachineState::Ready)
}

/// What a controller of a test is told of its part of the server.
pub fn config(prefix: &str) -> KubeConfig {
    let mut config = KubeConfig {
        namespace: format!("{prefix}-sys"),
        inventory: format!("{RUN}={prefix}"),
        flavor: vec![FlavorRule {
            name: flavor(),
            labels: BTreeMap::from([("node.kubernetes.io/instance-type".to_owned(), vec![format!("{prefix}.gpu")])]),
            accelerator: Some(AcceleratorRule {
                resource: GPU.to_owned(),
                count: 8,
            }),
            least: BTreeMap::new(),
            quota: BTreeMap::new(),
            provision: None,
        }],
        reboot: Provider::Annotation,
        reset: Provider::Annotation,
        unready_seconds: 1,
        ..KubeConfig::default()
    };
    config.drain.retry_seconds = 1;
    config.pool.requires = Some(Vec::new());
    config
}

impl Lab {
    async fn open(server: &Server, pools: &BTreeSet<Uid>) -> Self {
        let prefix = format!("pk-live-{:08x}", SystemEntropy.next_u64() >> 32);
        let client = server.client().await;
        let own = (0..POOLS).map(|number| pool(&prefix, number).uid);
        let all: Vec<String> = own.chain(pools.iter().cloned()).map(|uid| uid.to_string()).collect();
        let lab = Self {
            server: server.clone(),
            scope: Scope::new(RUN, &prefix, &all),
            site: Site::open(&client, &prefix, all.into_iter().collect()),
            config: config(&prefix),
            client,
            prefix,
        };
        lab.add_space(&lab.work()).await;
        lab
    }

    async fn add_space(&self, name: &str) {
        let space = json!({"metadata": {"name": name, "labels": {RUN: self.prefix}}});
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.create(&PostParams::default(), &serde_json::from_value(space).unwrap())
            .await
            .unwrap();
        // Where no controller makes it, pods may be refused without it.
        let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": "default"}})).unwrap();
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), name);
        let _made_already = api.create(&PostParams::default(), &account).await;
    }

    /// Name space of the pods of people.
    pub fn work(&self) -> String {
        format!("{}-work", self.prefix)
    }

    pub fn pool(&self, number: usize) -> PoolMark {
        assert!(number < POOLS);
        pool(&self.prefix, number)
    }

    /// Names of machines: `host("a", 0)`, `host("a", 1)`, …
    pub fn host(&self, zone: &str, number: usize) -> String {
        format!("{}-{zone}-{number}", self.prefix)
    }

    /// Machines of the flavor in a zone, ready.
    pub async fn add_nodes(&self, zone: &str, count: usize) {
        let all = stream::iter(0..count).map(|number| self.add_node(zone, number));
        all.buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    async fn add_node(&self, zone: &str, number: usize) {
        let name = self.host(zone, number);
        let labels = json!({
            RUN: self.prefix, "node.kubernetes.io/instance-type": format!("{}.gpu", self.prefix), "topology.kubernetes.io/zone": zone,
            "kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64", "team": "ops",
        });
        let amounts = json!({GPU: "8", "cpu": "96", "memory": "768Gi", "pods": "110"});
        let info = json!({
            "bootID": "first", "osImage": "Debian", "architecture": "amd64", "containerRuntimeVersion": "", "kernelVersion": "",
            "kubeProxyVersion": "", "kubeletVersion": "", "machineID": name, "operatingSystem": "linux", "systemUUID": "",
        });
        let node = json!({
            "metadata": {"name": name, "labels": labels},
            "status": {
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": time(), "lastHeartbeatTime": time()}],
                "capacity": amounts, "allocatable": amounts, "nodeInfo": info,
                "addresses": [{"type": "InternalIP", "address": format!("10.{}.{}.{}", number >> 16, (number >> 8) & 255, number & 255)}],
            },
        });
        let api: Api<Node> = Api::all(self.client.clone());
        let node = serde_json::from_value(node).unwrap();
        api.create(&PostParams::default(), &node).await.unwrap();
        // What the node controller does once the kubelet is ready.
        let untainted = Patch::Merge(json!({"spec": {"taints": null}}));
        api.patch(&name, &PatchParams::default(), &untainted).await.unwrap();
    }

    /// A pod of somebody on a Node.
    pub async fn add_pod(&self, name: &str, host: &str) {
        let pod = json!({
            "metadata": {"name": name, "labels": {RUN: self.prefix, "app": name}},
            "spec": {
                "nodeName": host, "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 30,
                "containers": [{"name": "a", "image": "b", "resources": {"limits": {GPU: "1"}}}],
            },
        });
        let pod = serde_json::from_value(pod).unwrap();
        self.pods().create(&PostParams::default(), &pod).await.unwrap();
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.work())
    }

    pub fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// All Nodes of the test.
    pub async fn all_nodes(&self) -> Vec<Node> {
        let selector = ListParams::default().labels(&self.config.inventory);
        self.nodes().list(&selector).await.unwrap().items
    }

    /// Names of the Nodes that are a node of a pool.
    pub async fn machines_of(&self, pool: &PoolMark, number: usize) -> Vec<String> {
        let selector = format!("{}={},{}={}", mark::POOL, pool.uid, mark::NODE, node(number));
        let found = self.nodes().list(&ListParams::default().labels(&selector)).await.unwrap();
        found.items.iter().map(ResourceExt::name_any).collect()
    }

    /// The Nodes without what changes by itself, and without the epoch, which stays.
    pub async fn foreign(&self) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        for mut node in self.all_nodes().await {
            let labels = node.metadata.labels.get_or_insert_default();
            labels.retain(|key, _| !key.starts_with("nvidia.com/"));
            let annotations = node.metadata.annotations.get_or_insert_default();
            annotations.remove(mark::EPOCH);
            let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone());
            let left = json!({"labels": labels, "annotations": annotations, "taints": taints});
            all.insert(node.name_any(), left);
        }
        all
    }

    /// A controller that has just started.
    pub async fn fleet(&self) -> KubeFleet {
        self.dying(&Life::endless()).await
    }

    /// A controller whose process ends at one of its writes.
    pub async fn dying(&self, life: &Life) -> KubeFleet {
        start(&self.server, self.config.clone(), life, &self.scope).await
    }

    pub fn ensure(&self, pool: usize) -> Command {
        Command::EnsurePool { pool: self.pool(pool) }
    }

    pub fn create(&self, pool: usize, number: usize) -> Command {
        Command::CreateNode(NodeRequest {
            pool: self.pool(pool),
            node: node(number),
            flavor: flavor(),
            az: zone("a"),
            driver: None,
            image: None,
            labels: BTreeMap::from([("team".to_owned(), "vision".to_owned())]),
        })
    }

    pub fn delete(&self, pool: usize, number: usize) -> Command {
        Command::DeleteNode {
            pool: self.pool(pool),
            node: node(number),
        }
    }

    /// What may never have happened: a Node goes from one pool to another without being free between, or is written under an epoch
    /// below that of its last writer.
    pub fn judge(&self) {
        let history = self.site.history();
        assert!(!history.is_empty());
        for (name, seen) in history {
            for pair in seen.windows(2) {
                let [before, after] = pair else { continue };
                assert!(after.epoch >= before.epoch, "{name} is written by a holder of the past: {seen:?}");
                let changes_hands = before.pool != after.pool && before.pool.is_some() && after.pool.is_some();
                assert!(!changes_hands, "{name} changes hands: {seen:?}");
            }
        }
    }

    /// Every Node that is a node, and which: no node is two.
    pub async fn owners(&self) -> BTreeMap<(String, String), String> {
        let mut owners = BTreeMap::new();
        for node in self.all_nodes().await {
            let name = node.name_any();
            let label = |key: &str| node.labels().get(key).cloned();
            if let (Some(pool), Some(id)) = (label(mark::POOL), label(mark::NODE)) {
                let other = owners.insert((pool, id), name.clone());
                assert_eq!(other, None, "two Nodes are one node, one of them {name}");
            }
        }
        owners
    }

    /// Takes away what the test made.
    async fn close(self, pools: BTreeSet<Uid>) {
        clear(&self.pods(), &ListParams::default()).await;
        clear(&self.nodes(), &ListParams::default().labels(&format!("{RUN}={}", self.prefix))).await;
        let fence: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.config.namespace);
        clear(&fence, &ListParams::default()).await;
        let spaces: Api<Namespace> = Api::all(self.client.clone());
        let own = (0..POOLS).map(|number| self.pool(number).uid);
        let own: BTreeSet<String> = own.chain(pools).map(|uid| uid.to_string()).collect();
        for space in spaces.list(&ListParams::default()).await.unwrap() {
            let is_pools = [mark::POOL, mark::ROOT]
                .iter()
                .any(|key| space.labels().get(*key).is_some_and(|uid| own.contains(uid)));
            if is_pools || space.name_any().starts_with(&self.prefix) {
                let _gone = spaces.delete(&space.name_any(), &DeleteParams::default()).await;
            }
        }
        if !self.server.is_ours() {
            self.forget_events().await;
        }
        // The site lets them go.
        for _ in 0..200 {
            let left = spaces.list(&ListParams::default()).await.unwrap();
            if !left.iter().any(|space| space.name_any().starts_with(&self.prefix)) {
                return;
            }
            pause(20).await;
        }
    }

    /// Events about Nodes are kept in a name space that is not ours.
    async fn forget_events(&self) {
        let events: Api<Event> = Api::namespaced(self.client.clone(), "default");
        let about = |event: &Event| {
            event
                .involved_object
                .name
                .as_ref()
                .is_some_and(|name| name.starts_with(&self.prefix))
        };
        let all = events.list(&ListParams::default()).await.unwrap();
        let own = all.iter().filter(|event| about(event)).map(ResourceExt::name_any);
        let gone = own.map(|name| {
            let events = events.clone();
            async move { drop(events.delete(&name, &DeleteParams::default()).await) }
        });
        stream::iter(gone).buffer_unordered(AT_ONCE).collect::<()>().await;
    }
}

pub fn pool(prefix: &str, number: usize) -> PoolMark {
    let project = ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").unwrap();
    PoolMark {
        uid: Uid::from_text(&mark::digest(&[prefix, &number.to_string()], 32)),
        pool: PoolRef {
            name: PoolName::parse(&format!("pool-{number}-{project}")).unwrap(),
            project,
        },
    }
}

/// Deletes what is listed, at once. A server gives up what takes longer than half a minute, having done a part of it.
async fn clear<K>(api: &Api<K>, which: &ListParams)
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let now = DeleteParams::default().grace_period(0);
    let some = which.clone().limit(1_000);
    while !api.list(&which.clone().limit(1)).await.unwrap().items.is_empty() {
        let _a_part = api.delete_collection(&now, &some).await;
    }
}

/// Starts a controller.
pub async fn start(server: &Server, config: KubeConfig, life: &Life, scope: &Scope) -> KubeFleet {
    let client = server.client_of(life, scope).await;
    KubeFleet::start(client, config, Arc::new(SystemClock)).await.unwrap()
}

/// All commands are carried out.
pub async fn run(fleet: &KubeFleet, epoch: u64, commands: &[Command]) {
    for (result, command) in fleet.execute(commands, &fence(epoch)).await.into_iter().zip(commands) {
        assert_eq!(result, Ok(()), "{}", command.name());
    }
}

/// Repeats commands as a controller does, until they are carried out.
pub async fn insist(fleet: &KubeFleet, epoch: u64, commands: &[Command]) {
    let mut results = Vec::new();
    for _ in 0..600 {
        results = fleet.execute(commands, &fence(epoch)).await;
        if results.iter().all(Result::is_ok) {
            return;
        }
        assert!(!results.contains(&Err(FleetError::Fenced)), "{results:?}");
        pause(100).await;
    }
    panic!("the commands are not carried out: {results:?}");
}

/// Waits until it holds of what is observed.
pub async fn until(fleet: &KubeFleet, pool: &PoolMark, holds: impl Fn(&Observation) -> bool) -> Observation {
    for _ in 0..3_000 {
        if let Ok(seen) = fleet.observe(&pool.uid).await
            && holds(&seen)
        {
            return seen;
        }
        pause(20).await;
    }
    panic!("it does not come true: {:#?}", fleet.observe(&pool.uid).await);
}
