//! The handle on a cluster: clients of it, and what tests do to it and ask it.

use crate::admission::OWN_USER;
use crate::faults::{Fault, FaultRates, FaultTarget};
use crate::kinds::ResourceType;
use crate::objects::{Change, Key, State, set};
use crate::server::FakeServer;
use clock::Clock;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// An API server and what is in it. Copies are handles on the same one.
#[derive(Clone)]
pub struct FakeCluster {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Told of each new version.
    told: Notify,
}

/// A machine to be put into the cluster.
#[derive(Debug, Clone, Default)]
pub struct NodeSpec {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// Capacity and allocatable.
    pub resources: BTreeMap<String, String>,
    /// As in `spec.taints`.
    pub taints: Vec<Value>,
    /// It has joined, and is ready; else it begins as its kubelet registers it.
    pub is_ready: bool,
}

impl NodeSpec {
    /// A ready machine of an instance type in a zone.
    pub fn new(name: &str, instance_type: &str, zone: &str) -> Self {
        let labels = [
            ("kubernetes.io/hostname", name),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", "amd64"),
            ("node.kubernetes.io/instance-type", instance_type),
            ("topology.kubernetes.io/zone", zone),
            ("poolkeeper.io/inventory", "true"),
        ];
        let resources = [
            ("cpu", "192"),
            ("memory", "2000Gi"),
            ("pods", "110"),
            ("ephemeral-storage", "1000Gi"),
        ];
        Self {
            name: name.to_owned(),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            resources: resources.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            taints: Vec::new(),
            is_ready: true,
        }
    }

    /// With so many of an accelerator.
    pub fn with_accelerators(mut self, resource: &str, count: u32) -> Self {
        self.resources.insert(resource.to_owned(), count.to_string());
        self
    }

    pub fn with_label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    pub fn with_taint(mut self, key: &str, value: &str, effect: &str) -> Self {
        self.taints.push(json!({"key": key, "value": value, "effect": effect}));
        self
    }
}

impl FakeCluster {
    /// An empty cluster. The same seed and the same calls at the same times give the same answers.
    pub fn new(clock: Arc<dyn Clock>, seed: u64) -> Self {
        let state = State::new(clock.now(), seed);
        Self {
            shared: Arc::new(Shared {
                clock,
                state: Mutex::new(state),
                told: Notify::new(),
            }),
        }
    }

    /// A client as the controller's own service account. To be called inside a runtime.
    pub fn client(&self) -> kube::Client {
        self.client_as(OWN_USER)
    }

    /// A client as a user. To be called inside a runtime.
    pub fn client_as(&self, user: &str) -> kube::Client {
        kube::Client::new(self.server_as(user), "default")
    }

    /// The server itself, to put layers around.
    pub fn server_as(&self, user: &str) -> FakeServer {
        FakeServer::new(self.clone(), user)
    }

    /// Serves one more type.
    pub fn register(&self, ty: ResourceType) {
        self.with_state(|state| state.types.push(Arc::new(ty)));
    }

    /// Switches the four rules of the fence on or off, as if the policy were installed. The ConfigMap `fence` in
    /// `poolkeeper-system` has to exist then, or every write to a claimed node is refused.
    pub fn set_fence_rules(&self, on: bool) {
        self.with_state(|state| state.rules.fence = on);
    }

    /// How long the policy goes on comparing with the fence's ConfigMap as it was.
    pub fn set_fence_lag(&self, lag: Duration) {
        self.with_state(|state| state.rules.fence_lag = lag);
    }

    /// Switches the rules about pods on or off: those of a pool's namespaces get its selector and toleration, others may not.
    pub fn set_pod_rules(&self, on: bool) {
        self.with_state(|state| state.rules.pods = on);
    }

    /// Switches the rules of Volcano's and Kueue's webhooks on (as at the start) or off.
    pub fn set_queue_rules(&self, on: bool) {
        self.with_state(|state| state.rules.queues = on);
    }

    /// What is wrong with the tree of Volcano queues as it stands; nothing, if every write to it was lawful.
    pub fn queue_faults(&self) -> Vec<String> {
        self.with_state(|state| crate::queue_rules::faults(state))
    }

    /// RBAC refuses the verb (`*`: all) on the resource (`nodes`, `pods/eviction`) to the user from now on.
    pub fn deny(&self, user: &str, verb: &str, resource: &str) {
        self.with_state(|state| state.denied.insert((user.to_owned(), verb.to_owned(), resource.to_owned())));
    }

    pub fn allow(&self, user: &str, verb: &str, resource: &str) {
        self.with_state(|state| state.denied.remove(&(user.to_owned(), verb.to_owned(), resource.to_owned())));
    }

    /// Faults strike at these rates from now on.
    pub fn set_fault_rates(&self, rates: FaultRates) {
        self.with_state(|state| state.faults.set_rates(rates));
    }

    /// The next `times` calls that fit get this fault, before any that are drawn. Earlier scripts come first.
    pub fn fail_next(&self, target: FaultTarget, fault: Fault, times: usize) {
        self.with_state(|state| state.faults.add(target, fault, times));
    }

    /// No more faults, scripted ones neither.
    pub fn clear_faults(&self) {
        self.with_state(|state| state.faults.clear());
    }

    /// How many calls have had a fault.
    pub fn faults_struck(&self) -> u64 {
        self.with_state(|state| state.faults.struck)
    }

    /// Puts a machine in.
    pub fn add_node(&self, spec: &NodeSpec) {
        self.with_state(|state| {
            let node = node_object(state, spec);
            let node = state.stamped(node, 0);
            let key = Key::new("nodes", "", &spec.name);
            state.commit("system:node", key, Some(node));
        });
    }

    /// `count` machines like this one, named `<name>-0`, `<name>-1`, …
    pub fn add_nodes(&self, spec: &NodeSpec, count: usize) {
        for index in 0..count {
            let mut one = spec.clone();
            one.name = format!("{}-{index}", spec.name);
            one.labels.insert("kubernetes.io/hostname".to_owned(), one.name.clone());
            self.add_node(&one);
        }
    }

    /// Takes an object away at once, whatever it waits for. `ty`: `nodes`, `jobs.batch`.
    pub fn remove(&self, ty: &str, namespace: &str, name: &str) {
        self.with_state(|state| {
            let key = Key::new(ty, namespace, name);
            if state.objects.contains_key(&key) {
                state.commit("system:cloud", key, None);
            }
        });
    }

    /// Changes an object as an actor of the cluster would: no validation, no admission. `false`: there is none.
    pub fn edit(&self, ty: &str, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) -> bool {
        self.with_state(|state| {
            let key = Key::new(ty, namespace, name);
            state.edit("system:hand", &key, change)
        })
    }

    /// An object as it is now, without `apiVersion` and `kind`.
    pub fn object(&self, ty: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.with_state(|state| state.get(ty, namespace, name).cloned())
    }

    /// All objects of a type, in all namespaces.
    pub fn objects(&self, ty: &str) -> BTreeMap<Key, Arc<Value>> {
        self.with_state(|state| state.range(ty, "").map(|(key, object)| (key.clone(), Arc::clone(object))).collect())
    }

    /// The newest version.
    pub fn version(&self) -> u64 {
        self.with_state(|state| state.version)
    }

    /// Every accepted write after a version, oldest first.
    pub fn changes_since(&self, version: u64) -> Vec<Change> {
        self.with_state(|state| {
            let start = state.log.partition_point(|change| change.version <= version);
            state.log.range(start..).cloned().collect()
        })
    }

    /// How many writes users made after a version; actors of the cluster itself (`system:…` without a service account) do not count.
    pub fn writes_since(&self, version: u64) -> usize {
        let is_user = |by: &str| !by.starts_with("system:") || by.starts_with("system:serviceaccount:");
        self.changes_since(version).iter().filter(|change| is_user(&change.by)).count()
    }

    /// All that ever happened to an object of this name, oldest first.
    pub fn history(&self, ty: &str, namespace: &str, name: &str) -> Vec<Change> {
        self.with_state(|state| {
            let key = Key::new(ty, namespace, name);
            state.log.iter().filter(|change| change.key == key).cloned().collect()
        })
    }

    /// Forgets the past: watches and pages from before a version get 410 Gone. What tests ask is not forgotten.
    pub fn compact(&self, version: u64) {
        self.with_state(|state| state.compact(version));
    }

    /// Forgets all of the past.
    pub fn compact_all(&self) {
        self.with_state(|state| state.compact(state.version));
    }

    pub(crate) fn with_state<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = self.shared.clock.now();
        let before = state.version;
        let result = act(&mut state);
        let is_new = state.version != before;
        drop(state);
        if is_new {
            self.shared.told.notify_waiters();
        }
        result
    }

    /// Waits for a version after one. Who waits first is woken first, in every run: tokio's `watch` wakes in an order of chance.
    pub(crate) async fn newer_than(&self, version: u64) {
        loop {
            let told = self.shared.told.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            if self.version() > version {
                return;
            }
            told.await;
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    pub(crate) fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        self.shared.clock.sleep_until(deadline)
    }
}

/// A machine as its kubelet registers it, and as it is later.
pub(crate) fn node_object(state: &mut State, spec: &NodeSpec) -> Value {
    let mut taints = spec.taints.clone();
    if !spec.is_ready {
        taints.push(json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}));
    }
    let ready = json!({
        "type": "Ready", "status": if spec.is_ready { "True" } else { "False" }, "reason": if spec.is_ready { "KubeletReady" } else { "KubeletNotReady" },
        "lastHeartbeatTime": state.time(), "lastTransitionTime": state.time(),
    });
    let number = state.version % 65_000;
    let mut node = json!({
        "metadata": {"name": spec.name, "labels": spec.labels, "annotations": {}},
        "spec": {"providerID": format!("fake://{}", spec.name)},
        "status": {
            "capacity": spec.resources, "allocatable": spec.resources, "conditions": [ready],
            "addresses": [
                {"type": "InternalIP", "address": format!("10.0.{}.{}", number / 250, number % 250 + 1)},
                {"type": "Hostname", "address": spec.name},
            ],
            "nodeInfo": {
                "machineID": state.new_uid(), "systemUUID": state.new_uid(), "bootID": state.new_uid(), "kernelVersion": "6.1.0",
                "osImage": "Fake Linux 1", "containerRuntimeVersion": "containerd://1.7.0", "kubeletVersion": "v1.33.0",
                "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64",
            },
        },
    });
    if !taints.is_empty() {
        set(&mut node, &["spec", "taints"], Value::Array(taints));
    }
    node
}
