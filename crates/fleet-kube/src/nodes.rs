//! The Nodes and Pods of the cluster, as the server shows them, and which of them are whose.

mod made;

use crate::cache::{Cache, Selection, Task};
use crate::config::DeviceInfo;
use crate::context::Context;
use crate::device_info;
use crate::driver::installer;
use crate::edit;
use crate::machines::Machines;
use crate::mark;
use crate::pods::Pod;
use crate::view::{Now, View};
use domain::meta::Uid;
use domain::name::NodeName;
use fleet::FleetError;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::core::Selector;
use kube::{Api, ResourceExt};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::Notify;

/// Everything that is known of Nodes and Pods.
pub struct Nodes {
    context: Arc<Context>,
    pub nodes: Arc<Cache<Node>>,
    /// All pods: one that gets a Node is never in neither of two lists.
    pub pods: Arc<Cache<Pod>>,
    /// Where machines are made.
    pub machines: Option<Machines>,
    shared: Arc<Shared>,
    /// What follows from it. Locks are taken in this order: view, caches, index.
    view: Mutex<View>,
    /// Jobs that install drivers, where there is a template of such.
    pub jobs: Option<Arc<Cache<Job>>>,
    /// What the device plug-in says of NPUs, where it is looked at.
    infos: Option<Arc<Cache<ConfigMap>>>,
    _tasks: Vec<Task>,
}

#[derive(Default)]
struct Shared {
    index: Mutex<Index>,
    /// Told when something may have to be done.
    woken: Notify,
    waiting: OnceLock<Waiting>,
}

/// Told of the name space in which a pod waits for a Node, or no longer does.
type Waiting = Box<dyn Fn(&str) + Send + Sync>;

#[derive(Default)]
struct Index {
    /// Names of the Nodes of a pool.
    of_pool: BTreeMap<Uid, BTreeSet<String>>,
    /// Pool and node (the slug) that a Node is.
    owners: BTreeMap<String, (Uid, String)>,
    /// Names of the Nodes that are a node: more than one after a race that nothing prevented.
    by_node: BTreeMap<(Uid, String), BTreeSet<String>>,
    /// Keys of the pods of a Node.
    pods: BTreeMap<String, BTreeSet<String>>,
    /// Keys of the pods in a name space of a pool that have no Node yet.
    waiting: BTreeMap<String, BTreeSet<String>>,
    /// Nodes that have changed, or the pods on them.
    dirty: BTreeSet<String>,
    /// Nodes on which an action runs.
    acting: BTreeSet<String>,
    /// Nodes that lack the NPU driver that they are to have.
    lacking: BTreeSet<String>,
    /// Nodes that have changed, and what nodes they were and are, for those that look after their Machines. Kept only where there are any.
    touched: Option<BTreeMap<String, BTreeSet<(Uid, String)>>>,
}

impl Nodes {
    /// Begins to watch; must be called inside a runtime. `selector` is that of the configuration.
    pub fn start(context: &Arc<Context>, selector: Selector) -> Self {
        let shared = Arc::new(Shared::default());
        let waker = Arc::clone(&shared);
        let settings = context.config.provisioning();
        let machines = settings.map(|settings| Machines::start(context, settings, move || waker.woken.notify_one()));
        shared.index().touched = machines.as_ref().map(|_| BTreeMap::new());
        let (nodes, first) = Cache::start(context, select_nodes(context, &shared));
        let (pods, second) = Cache::start(context, select_pods(context, &shared));
        let mut tasks = vec![first, second];
        let jobs = context.config.driver.installer.as_ref().map(|_| {
            let (jobs, third) = Cache::start(context, select_jobs(context, &shared));
            tasks.push(third);
            jobs
        });
        let infos = context.config.device_info.as_ref().map(|rule| {
            let (infos, fourth) = Cache::start(context, select_infos(context, rule, &shared));
            tasks.push(fourth);
            infos
        });
        Self {
            context: Arc::clone(context),
            nodes,
            pods,
            machines,
            shared,
            view: Mutex::new(View::new(selector)),
            jobs,
            infos,
            _tasks: tasks,
        }
    }

    /// Waits until everything has been listed once.
    pub async fn synced(&self) {
        self.nodes.synced().await;
        self.pods.synced().await;
        if let Some(jobs) = &self.jobs {
            jobs.synced().await;
        }
        if let Some(machines) = &self.machines {
            machines.cache.synced().await;
        }
    }

    /// Whether conclusions may be drawn.
    pub fn fresh(&self) -> Result<(), FleetError> {
        self.nodes.fresh()?;
        self.pods.fresh()?;
        self.jobs.as_ref().map_or(Ok(()), |jobs| jobs.fresh())?;
        self.machines.as_ref().map_or(Ok(()), |machines| machines.cache.fresh())
    }

    /// The Nodes with the mark of a pool, by name.
    pub fn of_pool(&self, pool: &Uid) -> Vec<Arc<Node>> {
        let names = self.shared.index().of_pool.get(pool).cloned().unwrap_or_default();
        names.iter().filter_map(|name| self.nodes.get(name)).collect()
    }

    /// The Node that is a node of a pool. Of several the one that is to stay; the others have names of their own, see [`Self::named`].
    pub fn find(&self, pool: &Uid, node: &NodeName) -> Option<Arc<Node>> {
        if let Some((_, digest)) = node.as_str().rsplit_once(SURPLUS) {
            let of_pool = self.of_pool(pool);
            return of_pool.into_iter().find(|node| surplus_digest(node) == digest);
        }
        let key = (pool.clone(), mark::own_slug(node.as_str()));
        let names = self.shared.index().by_node.get(&key).cloned().unwrap_or_default();
        let all = names.iter().filter_map(|name| self.nodes.get(name));
        all.min_by_key(|node| precedence(node))
    }

    /// The Nodes of a pool by the names of the nodes that they are. Where two are one node, by a race that neither the fence nor
    /// versions could prevent, the later one has a name that no record has, so that it is released.
    pub fn named(&self, pool: &Uid) -> BTreeMap<NodeName, Arc<Node>> {
        let mut all = self.of_pool(pool);
        all.sort_by_cached_key(|node| precedence(node));
        let mut named = BTreeMap::new();
        for node in all {
            let Some(name) = edit::node_name(&node) else { continue };
            let name = if named.contains_key(&name) {
                let other = NodeName::parse(&format!("{name}{SURPLUS}{}", surplus_digest(&node)));
                other.unwrap_or(name)
            } else {
                name
            };
            named.insert(name, node);
        }
        named
    }

    /// The pods of a Node.
    pub fn pods_on(&self, node: &str) -> Vec<Arc<Pod>> {
        let keys = self.shared.index().pods.get(node).cloned().unwrap_or_default();
        keys.iter().filter_map(|key| self.pods.get(key)).collect()
    }

    /// The pods of some name spaces that wait for a Node, and all on Nodes of a pool, as they are at one moment.
    pub fn pods_of<'a>(&self, pool: &Uid, spaces: impl Iterator<Item = &'a String>) -> Vec<Arc<Pod>> {
        let keys: Vec<String> = {
            let index = self.shared.index();
            let on = index
                .of_pool
                .get(pool)
                .into_iter()
                .flatten()
                .filter_map(|node| index.pods.get(node));
            let waiting = spaces.filter_map(|space| index.waiting.get(space));
            on.chain(waiting).flatten().cloned().collect()
        };
        keys.iter().filter_map(|key| self.pods.get(key)).collect()
    }

    /// Sets who is told of pods that wait for a Node. There is one.
    pub fn tell_of_waiting(&self, told: impl Fn(&str) + Send + Sync + 'static) {
        let _first = self.shared.waiting.set(Box::new(told));
    }

    /// Which devices of a Node are sick. It is not waited for: a site may not have what tells.
    fn complaint(&self, node: &str) -> Option<String> {
        let rule = self.context.config.device_info.as_ref()?;
        let info = self.infos.as_ref()?.get(&format!("{}/{}{node}", rule.namespace, rule.prefix))?;
        device_info::complaint(&info)
    }

    /// The Job that brings a Node the driver that it is to have.
    pub fn installation(&self, node: &Node) -> Option<Arc<Job>> {
        let name = installer::job_name(node, edit::label(node, mark::NPU_DRIVER)?);
        self.jobs.as_ref()?.get(&format!("{}/{name}", self.context.config.namespace))
    }

    /// Names of the Nodes that lack the NPU driver that they are to have.
    pub fn lacking(&self) -> Vec<String> {
        self.shared.index().lacking.iter().cloned().collect()
    }

    /// Names of the Nodes on which an action runs.
    pub fn acting(&self) -> Vec<String> {
        self.shared.index().acting.iter().cloned().collect()
    }

    /// Waits until a Node or a Pod has changed.
    pub async fn woken(&self) {
        self.shared.woken.notified().await;
    }

    /// Runs on what follows from all Nodes, brought up to date.
    pub fn view<T>(&self, run: impl FnOnce(&mut View) -> T) -> T {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let dirty = std::mem::take(&mut self.shared.index().dirty);
        for name in dirty {
            let node = self.nodes.get(&name);
            let now = Now {
                install: node.as_ref().and_then(|node| installer::state(&*self.installation(node)?)),
                node,
                pods: self.pods_on(&name),
                sick: self.complaint(&name),
            };
            view.refresh(&name, now, &self.context);
        }
        run(&mut view)
    }
}

/// Between the name of a node and what tells a second Node of that name apart.
pub(crate) const SURPLUS: char = '~';

fn surplus_digest(node: &Node) -> String {
    mark::digest(&[node.metadata.uid.as_deref().unwrap_or_default()], 8)
}

/// Of two Nodes that are one node, the one with the smaller value stays: of the higher epoch, claimed earlier, of the smaller uid.
fn precedence(node: &Node) -> (Reverse<u64>, Option<Timestamp>, Option<String>) {
    let epoch = mark::epoch(node.metadata.annotations.as_ref());
    let at = edit::note(node).map(|note| note.at);
    (Reverse(epoch), at, node.metadata.uid.clone())
}

impl Shared {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pool whose mark a Node has.
pub fn pool_of(node: &Node) -> Option<Uid> {
    edit::label(node, mark::POOL).map(Uid::from_text)
}

fn owner_of(node: &Node) -> Option<(Uid, String)> {
    Some((pool_of(node)?, edit::label(node, mark::NODE).unwrap_or_default().to_owned()))
}

/// Leaves out what is not needed, above all the times of signs of life.
fn trim_node(node: &mut Node) {
    node.metadata.managed_fields = None;
    if let Some(status) = &mut node.status {
        status.images = None;
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        status.volumes_attached = None;
        status.volumes_in_use = None;
    }
}

fn select_nodes(context: &Arc<Context>, shared: &Arc<Shared>) -> Selection<Node> {
    let (teller, shared) = (Arc::clone(context), Arc::clone(shared));
    Selection {
        trim: trim_node,
        listener: Box::new(move |before, after| {
            if let (Some(before), Some(after)) = (before, after)
                && is_alike(before, after)
            {
                return;
            }
            let Some(name) = after.or(before).map(|node| node.name_any()) else {
                return;
            };
            let (was, is) = (before.and_then(|node| owner_of(node)), after.and_then(|node| owner_of(node)));
            let is_acting = after.is_some_and(|node| edit::has_action(node));
            let lacks = after.is_some_and(|node| installer::missing(node).is_some());
            let mut index = shared.index();
            index.touch(&name, [was.as_ref(), is.as_ref()]);
            index.file(&name, is.clone(), (is_acting, lacks));
            drop(index);
            for (pool, _) in [was, is].into_iter().flatten() {
                teller.touch(&pool);
            }
            shared.woken.notify_one();
        }),
        ..Selection::all(Api::all(context.client.clone()))
    }
}

fn select_pods(context: &Arc<Context>, shared: &Arc<Shared>) -> Selection<Pod> {
    let (teller, shared) = (Arc::clone(context), Arc::clone(shared));
    Selection {
        listener: Box::new(move |before, after| {
            let mut index = shared.index();
            let mut waiting = None;
            for (pod, is_there) in [(before, false), (after, true)] {
                let Some(pod) = pod else { continue };
                let key = crate::cache::key(pod.as_ref());
                if let Some(node) = &pod.node {
                    index.place(node, key, is_there);
                    if let Some((pool, _)) = index.owners.get(node) {
                        teller.touch(pool);
                    }
                } else if let Some(space) = pod.metadata.namespace.as_ref().filter(|space| mark::is_space(space)) {
                    set(&mut index.waiting, space, key, is_there);
                    waiting = Some(space);
                }
            }
            drop(index);
            if let (Some(space), Some(told)) = (waiting, shared.waiting.get()) {
                told(space);
            }
            shared.woken.notify_one();
        }),
        ..Selection::all(Api::all(context.client.clone()))
    }
}

fn select_jobs(context: &Arc<Context>, shared: &Arc<Shared>) -> Selection<Job> {
    let (teller, shared) = (Arc::clone(context), Arc::clone(shared));
    Selection {
        labels: Some(format!("{}=true", mark::MANAGED)),
        trim: |job| job.metadata.managed_fields = None,
        listener: Box::new(move |before, after| {
            let Some(job) = after.or(before) else { return };
            let Some(host) = job.metadata.annotations.as_ref().and_then(|all| all.get(installer::HOST)) else {
                return;
            };
            let mut index = shared.index();
            index.dirty.insert(host.clone());
            if let Some((pool, _)) = index.owners.get(host) {
                teller.touch(pool);
            }
            drop(index);
            shared.woken.notify_one();
        }),
        ..Selection::all(Api::namespaced(context.client.clone(), &context.config.namespace))
    }
}

fn select_infos(context: &Arc<Context>, rule: &DeviceInfo, shared: &Arc<Shared>) -> Selection<ConfigMap> {
    let (teller, shared, prefix) = (Arc::clone(context), Arc::clone(shared), rule.prefix.clone());
    Selection {
        labels: rule.labels.clone(),
        trim: |info| {
            info.metadata.managed_fields = None;
            info.binary_data = None;
        },
        listener: Box::new(move |before, after| {
            let Some(name) = after.or(before).and_then(|info| info.metadata.name.as_deref()) else {
                return;
            };
            let Some(host) = name.strip_prefix(&prefix) else { return };
            // The plug-in writes often; what is told changes seldom.
            if before.map(|info| device_info::complaint(info)) == after.map(|info| device_info::complaint(info)) {
                return;
            }
            let mut index = shared.index();
            index.dirty.insert(host.to_owned());
            if let Some((pool, _)) = index.owners.get(host) {
                teller.touch(pool);
            }
        }),
        ..Selection::all(Api::namespaced(context.client.clone(), &rule.namespace))
    }
}

impl Index {
    fn file(&mut self, name: &str, owner: Option<(Uid, String)>, (is_acting, lacks): (bool, bool)) {
        self.dirty.insert(name.to_owned());
        for (set, is_in) in [(&mut self.acting, is_acting), (&mut self.lacking, lacks)] {
            if is_in {
                set.insert(name.to_owned());
            } else {
                set.remove(name);
            }
        }
        if self.owners.get(name) == owner.as_ref() {
            return;
        }
        if let Some(was) = self.owners.remove(name) {
            remove_from(&mut self.of_pool, &was.0, name);
            remove_from(&mut self.by_node, &was, name);
        }
        if let Some(owner) = owner {
            self.of_pool.entry(owner.0.clone()).or_default().insert(name.to_owned());
            self.by_node.entry(owner.clone()).or_default().insert(name.to_owned());
            self.owners.insert(name.to_owned(), owner);
        }
    }

    fn touch(&mut self, name: &str, owners: [Option<&(Uid, String)>; 2]) {
        if let Some(touched) = &mut self.touched {
            let known = touched.entry(name.to_owned()).or_default();
            known.extend(owners.into_iter().flatten().cloned());
        }
    }

    fn place(&mut self, node: &str, pod: String, is_there: bool) {
        self.dirty.insert(node.to_owned());
        set(&mut self.pods, node, pod, is_there);
    }
}

/// Puts a name into the set of a key, or takes it out.
fn set(sets: &mut BTreeMap<String, BTreeSet<String>>, key: &str, name: String, is_there: bool) {
    if is_there {
        sets.entry(key.to_owned()).or_default().insert(name);
    } else {
        remove_from(sets, key, &name);
    }
}

pub(crate) fn remove_from<K, Q>(sets: &mut BTreeMap<K, BTreeSet<String>>, key: &Q, name: &str)
where
    K: Ord + std::borrow::Borrow<Q>,
    Q: Ord + ?Sized,
{
    if let Some(set) = sets.get_mut(key) {
        set.remove(name);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}

/// Whether nothing has changed but the version: signs of life come from every kubelet all the time.
fn is_alike(one: &Node, other: &Node) -> bool {
    let (before, after) = (&one.metadata, &other.metadata);
    one.spec == other.spec
        && one.status == other.status
        && before.labels == after.labels
        && before.annotations == after.annotations
        && before.uid == after.uid
        && before.deletion_timestamp == after.deletion_timestamp
}
