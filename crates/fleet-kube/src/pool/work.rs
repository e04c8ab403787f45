//! What is known of the objects that workloads consist of.

use super::index::Index;
use crate::amount::Amounts;
use crate::cache::{Cache, Selection, Task};
use crate::context::Context;
use crate::mark;
use crate::nodes::Nodes;
use crate::pods::Pod;
use crate::workloads::{self, Host, Input, Space, WorkKind, WorkObject};
use domain::meta::Uid;
use domain::name::FlavorName;
use fleet::{FleetError, Workloads};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// What is inside of pools' name spaces, by name space, kind and name.
type BySpace = Arc<Mutex<BTreeMap<String, BTreeMap<(WorkKind, String), WorkObject>>>>;

pub struct Work {
    context: Arc<Context>,
    nodes: Arc<Nodes>,
    objects: Vec<Arc<Cache<DynamicObject>>>,
    by_space: BySpace,
    lists: Mutex<BTreeMap<Uid, List>>,
}

/// A list, and what it was made from.
struct List {
    from: Sources,
    workloads: Arc<Workloads>,
}

#[derive(Default)]
struct Sources {
    spaces: BTreeMap<String, Space>,
    objects: Vec<WorkObject>,
    pods: Vec<Arc<Pod>>,
    nodes: Vec<Arc<Node>>,
}

/// What has to be deleted for a workload to end.
pub struct Target {
    pub resource: ApiResource,
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

impl Work {
    pub fn start(context: &Arc<Context>, nodes: &Arc<Nodes>, index: &Arc<Index>, woken: &Arc<Notify>) -> (Self, Vec<Task>) {
        let by_space = BySpace::default();
        let (mut objects, mut tasks) = (Vec::new(), Vec::new());
        for kind in WorkKind::ALL {
            let filing = Filing::new(context, index, &by_space, woken);
            let (cache, task) = Cache::start(context, select(kind, filing));
            objects.push(cache);
            tasks.push(task);
        }
        let filing = Filing::new(context, index, &by_space, woken);
        nodes.tell_of_waiting(move |space| filing.tell(space));
        let work = Self {
            context: Arc::clone(context),
            nodes: Arc::clone(nodes),
            objects,
            by_space,
            lists: Mutex::default(),
        };
        (work, tasks)
    }

    /// What one Node of a flavor counts in queues, as Nodes show it.
    pub fn least(&self, flavor: &FlavorName) -> Amounts {
        self.nodes.view(|view| view.least(flavor, &self.context.config))
    }

    /// Whether a Node has the mark of a pool.
    pub fn has_nodes(&self, root: &Uid) -> bool {
        !self.nodes.of_pool(root).is_empty()
    }

    pub async fn synced(&self) {
        for cache in &self.objects {
            cache.synced().await;
        }
    }

    pub fn fresh(&self) -> Result<(), FleetError> {
        self.objects.iter().try_for_each(|cache| cache.fresh())?;
        self.nodes.fresh()
    }

    fn sources(&self, root: &Uid, spaces: &BTreeMap<String, Space>) -> Sources {
        let is_inside = |pod: &Arc<Pod>| pod.metadata.namespace.as_ref().is_some_and(|name| spaces.contains_key(name));
        let pods = self.nodes.pods_of(root, spaces.keys());
        let by_space = self.by_space.lock().unwrap_or_else(PoisonError::into_inner);
        let objects = spaces.keys().filter_map(|name| by_space.get(name)).flat_map(BTreeMap::values);
        Sources {
            spaces: spaces.clone(),
            objects: objects.cloned().collect(),
            pods: pods.into_iter().filter(is_inside).collect(),
            nodes: self.nodes.of_pool(root),
        }
    }

    /// The workloads of name spaces; the same list for as long as nothing has changed.
    pub fn workloads(&self, root: &Uid, spaces: &BTreeMap<String, Space>) -> Arc<Workloads> {
        let from = self.sources(root, spaces);
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = lists.get(root).filter(|list| list.from.is_same(&from)) {
            return Arc::clone(&list.workloads);
        }
        if from.spaces.is_empty() {
            lists.remove(root);
            return Arc::default();
        }
        let hosts = from.hosts();
        let mut facts = workloads::facts(&from.input(&hosts));
        workloads::renamed(&mut facts, |name| self.context.config.api_key(name).to_owned());
        let workloads = Arc::new(Workloads::new(facts));
        lists.insert(
            root.clone(),
            List {
                from,
                workloads: Arc::clone(&workloads),
            },
        );
        workloads
    }

    /// Everything that has to be ended in name spaces.
    pub fn targets(&self, root: &Uid, spaces: &BTreeMap<String, Space>) -> Vec<Target> {
        let from = self.sources(root, spaces);
        let hosts = BTreeMap::new();
        let tops = workloads::tops(&from.input(&hosts));
        let target = |(kind, meta): &(Option<WorkKind>, &ObjectMeta)| {
            let resource = kind.map_or_else(|| ApiResource::erase::<Pod>(&()), |kind| kind.resource().into());
            Some(Target {
                resource,
                namespace: meta.namespace.clone()?,
                name: meta.name.clone()?,
                uid: meta.uid.clone()?,
            })
        };
        tops.iter().filter_map(target).collect()
    }

    /// Whether nothing is left in the name spaces of a pool.
    pub fn is_idle(&self, pool: &Uid, root: &Uid, spaces: &BTreeMap<String, Space>) -> bool {
        let own = spaces.iter().filter(|(_, space)| space.pool.uid == *pool);
        let from = self.sources(root, &own.map(|(name, space)| (name.clone(), space.clone())).collect());
        from.pods.is_empty() && !from.objects.iter().any(|(kind, _)| kind.is_owner())
    }
}

impl Sources {
    fn is_same(&self, other: &Self) -> bool {
        let objects = self.objects.iter().zip(&other.objects);
        self.spaces == other.spaces
            && self.objects.len() == other.objects.len()
            && objects.into_iter().all(|((_, one), (_, other))| Arc::ptr_eq(one, other))
            && is_same(&self.pods, &other.pods)
            && is_same(&self.nodes, &other.nodes)
    }

    fn hosts(&self) -> BTreeMap<String, Host> {
        let hosts = self
            .nodes
            .iter()
            .filter_map(|node| Some((node.metadata.name.clone()?, workloads::host(node)?)));
        hosts.collect()
    }

    fn input<'a>(&'a self, hosts: &'a BTreeMap<String, Host>) -> Input<'a> {
        Input {
            spaces: &self.spaces,
            objects: &self.objects,
            pods: &self.pods,
            hosts,
        }
    }
}

fn is_same<T>(one: &[Arc<T>], other: &[Arc<T>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other))
}

/// Files what is inside of pools' name spaces by name space and key, and tells who reads it.
struct Filing {
    context: Arc<Context>,
    index: Arc<Index>,
    by_space: BySpace,
    woken: Arc<Notify>,
}

impl Filing {
    fn new(context: &Arc<Context>, index: &Arc<Index>, by_space: &BySpace, woken: &Arc<Notify>) -> Self {
        Self {
            context: Arc::clone(context),
            index: Arc::clone(index),
            by_space: Arc::clone(by_space),
            woken: Arc::clone(woken),
        }
    }

    fn file(&self, meta: &ObjectMeta, kind: WorkKind, value: Option<WorkObject>) {
        let Some(space) = meta.namespace.as_ref().filter(|space| mark::is_space(space)) else {
            return;
        };
        let key = (kind, meta.name.clone().unwrap_or_default());
        let mut known = self.by_space.lock().unwrap_or_else(PoisonError::into_inner);
        let inside = known.entry(space.clone()).or_default();
        match value {
            Some(value) => drop(inside.insert(key, value)),
            None => drop(inside.remove(&key)),
        }
        if inside.is_empty() {
            known.remove(space);
        }
        drop(known);
        self.tell(space);
    }

    fn tell(&self, space: &str) {
        if let Some(root) = self.index.root_of_space(space) {
            self.context.touch(&root);
        }
        self.woken.notify_one();
    }
}

fn select(kind: WorkKind, filing: Filing) -> Selection<DynamicObject> {
    let api = Api::all_with(filing.context.client.clone(), &kind.resource().into());
    Selection {
        trim: trim_object,
        listener: Box::new(move |before, after| {
            let Some(object) = after.or(before) else { return };
            let value = after.map(|object| (kind, Arc::clone(object)));
            filing.file(&object.metadata, kind, value);
        }),
        is_optional: true,
        ..Selection::all(api)
    }
}

fn trim_object(object: &mut DynamicObject) {
    object.metadata.managed_fields = None;
    if !object.metadata.namespace.as_deref().is_some_and(mark::is_space) {
        object.data = serde_json::Value::Null;
    }
}
