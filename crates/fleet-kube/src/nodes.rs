//! The Nodes and Pods of the cluster, as the server shows them, and which of them are whose.

use crate::cache::{Cache, Selection, Task};
use crate::context::Context;
use crate::mark;
use domain::meta::Uid;
use fleet::FleetError;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, ResourceExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Everything that is known of Nodes and Pods.
pub struct Nodes {
    pub nodes: Arc<Cache<Node>>,
    /// Pods that have a Node, without what is not needed of them.
    pub pods: Arc<Cache<Pod>>,
    shared: Arc<Shared>,
    _tasks: [Task; 2],
}

#[derive(Default)]
struct Shared {
    index: Mutex<Index>,
    /// Told when something may have to be done.
    woken: Notify,
}

#[derive(Default)]
struct Index {
    /// Names of the Nodes of a pool.
    of_pool: BTreeMap<Uid, BTreeSet<String>>,
    /// The pool of a Node.
    pools: BTreeMap<String, Uid>,
    /// Keys of the pods of a Node.
    pods: BTreeMap<String, BTreeSet<String>>,
}

impl Nodes {
    /// Begins to watch; must be called inside a runtime.
    pub fn start(context: &Arc<Context>) -> Self {
        let shared = Arc::new(Shared::default());
        let (nodes, first) = Cache::start(context, select_nodes(context, &shared));
        let (pods, second) = Cache::start(context, select_pods(context, &shared));
        Self {
            nodes,
            pods,
            shared,
            _tasks: [first, second],
        }
    }

    /// Waits until everything has been listed once.
    pub async fn synced(&self) {
        self.nodes.synced().await;
        self.pods.synced().await;
    }

    /// Whether conclusions may be drawn.
    pub fn fresh(&self) -> Result<(), FleetError> {
        self.nodes.fresh()?;
        self.pods.fresh()
    }

    /// The Nodes with the mark of a pool, by name.
    pub fn of_pool(&self, pool: &Uid) -> Vec<Arc<Node>> {
        let names = self.shared.index().of_pool.get(pool).cloned().unwrap_or_default();
        names.iter().filter_map(|name| self.nodes.get(name)).collect()
    }

    /// The pods of a Node.
    pub fn pods_on(&self, node: &str) -> Vec<Arc<Pod>> {
        let keys = self.shared.index().pods.get(node).cloned().unwrap_or_default();
        keys.iter().filter_map(|key| self.pods.get(key)).collect()
    }

    /// Waits until a Node or a Pod has changed.
    pub async fn woken(&self) {
        self.shared.woken.notified().await;
    }
}

impl Shared {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pool whose mark a Node has.
pub fn pool_of(node: &Node) -> Option<Uid> {
    node.metadata.labels.as_ref()?.get(mark::POOL).map(|uid| Uid::from_text(uid))
}

fn select_nodes(context: &Arc<Context>, shared: &Arc<Shared>) -> Selection<Node> {
    let (context, shared) = (Arc::clone(context), Arc::clone(shared));
    Selection {
        trim: trim_node,
        listener: Box::new({
            let context = Arc::clone(&context);
            move |before, after| {
                let (was, is) = (before.and_then(|node| pool_of(node)), after.and_then(|node| pool_of(node)));
                if let Some(name) = before.or(after).map(|node| node.name_any())
                    && (was != is || before.is_none())
                {
                    shared.index().file(&name, is.clone());
                }
                for pool in [was, is].into_iter().flatten() {
                    context.touch(&pool);
                }
                shared.woken.notify_one();
            }
        }),
        ..Selection::all(Api::all(context.client.clone()))
    }
}

fn select_pods(context: &Arc<Context>, shared: &Arc<Shared>) -> Selection<Pod> {
    let (context, shared) = (Arc::clone(context), Arc::clone(shared));
    Selection {
        fields: Some("spec.nodeName!=".to_owned()),
        trim: trim_pod,
        listener: Box::new({
            let context = Arc::clone(&context);
            move |before, after| {
                let mut index = shared.index();
                for (pod, is_there) in [(before, false), (after, true)] {
                    let Some(pod) = pod else { continue };
                    let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) else {
                        continue;
                    };
                    let key = crate::cache::key(pod.as_ref());
                    index.place(&node, key, is_there);
                    if let Some(pool) = index.pools.get(&node) {
                        context.touch(pool);
                    }
                }
                shared.woken.notify_one();
            }
        }),
        ..Selection::all(Api::all(context.client.clone()))
    }
}

impl Index {
    fn file(&mut self, node: &str, pool: Option<Uid>) {
        if let Some(was) = self.pools.remove(node)
            && let Some(names) = self.of_pool.get_mut(&was)
        {
            names.remove(node);
            if names.is_empty() {
                self.of_pool.remove(&was);
            }
        }
        if let Some(pool) = pool {
            self.of_pool.entry(pool.clone()).or_default().insert(node.to_owned());
            self.pools.insert(node.to_owned(), pool);
        }
    }

    fn place(&mut self, node: &str, pod: String, is_there: bool) {
        let pods = self.pods.entry(node.to_owned()).or_default();
        if is_there {
            pods.insert(pod);
        } else {
            pods.remove(&pod);
        }
        if pods.is_empty() {
            self.pods.remove(node);
        }
    }
}

fn trim_node(node: &mut Node) {
    node.metadata.managed_fields = None;
    if let Some(status) = &mut node.status {
        status.images = None;
        status.volumes_attached = None;
        status.volumes_in_use = None;
    }
}

/// Leaves owner, labels, requests, phase and times.
fn trim_pod(pod: &mut Pod) {
    pod.metadata.managed_fields = None;
    if let Some(spec) = &mut pod.spec {
        spec.volumes = None;
        spec.affinity = None;
        spec.tolerations = None;
        for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
            container.env = None;
            container.env_from = None;
            container.args = None;
            container.command = None;
            container.volume_mounts = None;
            container.liveness_probe = None;
            container.readiness_probe = None;
            container.startup_probe = None;
            container.lifecycle = None;
            container.security_context = None;
        }
    }
}
