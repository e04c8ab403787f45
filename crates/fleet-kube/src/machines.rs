//! The Machines of Cluster API that were made for nodes, as the server shows them, and what they are to pools.

use crate::cache::{Cache, Selection, Task};
use crate::config::ClusterApi;
use crate::context::Context;
use crate::machine;
use crate::mark::{self, Progress, Request};
use crate::view::Place;
use domain::meta::Uid;
use domain::name::NodeName;
use domain::quantities::Quantities;
use fleet::{MachineState, NodeFact, RequestFact, RequestProgress};
use jiff::Timestamp;
use kube::Api;
use kube::api::DynamicObject;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A machine that was made anew and has not come up after so long is given up.
pub const PATIENCE: Duration = Duration::from_mins(30);

/// Everything that is known of Machines.
pub struct Machines {
    pub cache: Arc<Cache<DynamicObject>>,
    shared: Arc<Shared>,
    _task: Task,
}

#[derive(Default)]
struct Shared {
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    filed: BTreeMap<String, Filed>,
    of_pool: BTreeMap<Uid, BTreeSet<String>>,
    of_node: BTreeMap<(Uid, String), BTreeSet<String>>,
    of_host: BTreeMap<String, BTreeSet<String>>,
    counts: BTreeMap<Place, Count>,
    /// Machines that something may have to be done about.
    open: BTreeSet<String>,
    /// Uids of Machines that have all that they refer to.
    complete: BTreeSet<String>,
}

/// How many Machines of a flavor there are in a zone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub all: u32,
    /// Those of them that have a Node.
    pub hosted: u32,
}

/// Where a Machine is in the index.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Filed {
    owner: Option<(Uid, String)>,
    host: Option<String>,
    place: Option<Place>,
}

/// Of several Machines of a node the one with the smallest value is the node: the newest reset.
fn precedence(object: &DynamicObject) -> (Reverse<u64>, Option<String>) {
    let number = machine::request(object).map_or(0, |request| request.number);
    (Reverse(number), object.metadata.uid.clone())
}

impl Machines {
    /// Begins to watch; must be called inside a runtime. `wake` is called when something may have to be done.
    pub fn start(context: &Arc<Context>, settings: &ClusterApi, wake: impl Fn() + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let (teller, index) = (Arc::clone(context), Arc::clone(&shared));
        let selection: Selection<DynamicObject> = Selection {
            labels: Some(mark::POOL.to_owned()),
            trim: |object: &mut DynamicObject| object.metadata.managed_fields = None,
            listener: Box::new(move |before, after| {
                let Some(key) = after.or(before).map(|object| crate::cache::key(object.as_ref())) else {
                    return;
                };
                let pools = [before, after].map(|object| object.and_then(|object| machine::pool(object)));
                index.index().file(&key, before.map(AsRef::as_ref), after.map(AsRef::as_ref));
                pools.iter().flatten().for_each(|pool| teller.touch(pool));
                wake();
            }),
            // Without Cluster API there are none.
            is_optional: true,
            ..Selection::all(Api::namespaced_with(
                context.client.clone(),
                &settings.namespace,
                &machine::resource(),
            ))
        };
        let (cache, task) = Cache::start(context, selection);
        Self {
            cache,
            shared,
            _task: task,
        }
    }

    fn all(&self, keys: Option<BTreeSet<String>>) -> Vec<Arc<DynamicObject>> {
        let keys = keys.unwrap_or_default();
        keys.iter().filter_map(|key| self.cache.get(key)).collect()
    }

    /// The Machines with the mark of a pool.
    pub fn of_pool(&self, pool: &Uid) -> Vec<Arc<DynamicObject>> {
        let keys = self.shared.index().of_pool.get(pool).cloned();
        self.all(keys)
    }

    /// The Machines that were made for a node, the newest first. A surplus one has a name of its own, see [`Self::pending`].
    pub fn of_node(&self, pool: &Uid, node: &NodeName) -> Vec<Arc<DynamicObject>> {
        if let Some((_, digest)) = node.as_str().rsplit_once(SURPLUS) {
            let all = self.of_pool(pool).into_iter();
            return all.filter(|object| surplus_digest(object) == digest).collect();
        }
        let keys = self
            .shared
            .index()
            .of_node
            .get(&(pool.clone(), mark::own_slug(node.as_str())))
            .cloned();
        let mut all = self.all(keys);
        all.sort_by_cached_key(|object| precedence(object));
        all
    }

    /// The Machine of a node that is to stay: the newest, unless it is given back.
    pub fn kept(&self, pool: &Uid, node: &NodeName) -> Option<Arc<DynamicObject>> {
        self.of_node(pool, node).into_iter().find(|object| !machine::is_released(object))
    }

    /// The Machine that has become a Node.
    pub fn of_host(&self, host: &str) -> Option<Arc<DynamicObject>> {
        let keys = self.shared.index().of_host.get(host).cloned();
        self.all(keys).into_iter().min_by_key(|object| precedence(object))
    }

    pub fn count(&self, place: &Place) -> Count {
        self.shared.index().counts.get(place).copied().unwrap_or_default()
    }

    /// Machines that something may have to be done about. Each is told once.
    pub fn take_open(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.shared.index().open)
    }

    /// The Machine is to be looked at again.
    pub fn open(&self, key: &str) {
        self.shared.index().open.insert(key.to_owned());
    }

    /// A Node has changed, or has become or ceased to be a node: its Machines are to be looked at again.
    pub fn open_all_of(&self, host: &str, owners: &[(Uid, String)]) {
        let mut index = self.shared.index();
        let of_host = index.of_host.get(host).into_iter().flatten();
        let of_owners = owners.iter().filter_map(|owner| index.of_node.get(owner)).flatten();
        let keys: Vec<String> = of_host.chain(of_owners).cloned().collect();
        index.open.extend(keys);
    }

    /// Whether the Machine has all that it refers to, as far as this process knows.
    pub fn is_complete(&self, object: &DynamicObject) -> bool {
        let uid = object.metadata.uid.as_deref().unwrap_or_default();
        self.shared.index().complete.contains(uid)
    }

    pub fn set_complete(&self, object: &DynamicObject) {
        let uid = object.metadata.uid.clone().unwrap_or_default();
        self.shared.index().complete.insert(uid);
    }

    /// What is to be reported of Machines of a pool: under the name of the node where `is_named` does not say that it has a Node, else,
    /// and where a newer Machine has the name, under one that no record has, so that it is given back. `is_left_out` tells Machines
    /// whose Node is reported.
    pub fn pending(
        &self,
        pool: &Uid,
        is_named: impl Fn(&NodeName) -> bool,
        is_left_out: impl Fn(&DynamicObject, &mark::Order) -> bool,
    ) -> Vec<(NodeName, Arc<DynamicObject>)> {
        let mut all = self.of_pool(pool);
        all.sort_by_cached_key(|object| precedence(object));
        let mut named = BTreeSet::new();
        let mut pending = Vec::new();
        for object in all {
            let Some(order) = machine::order(&object).filter(|order| !is_left_out(&object, order)) else {
                continue;
            };
            let name = order.node;
            if !is_named(&name) && named.insert(name.clone()) {
                pending.push((name, object));
            } else if let Ok(other) = NodeName::parse(&format!("{name}{SURPLUS}{}", surplus_digest(&object))) {
                pending.push((other, object));
            }
        }
        pending
    }
}

/// As for Nodes.
const SURPLUS: char = crate::nodes::SURPLUS;

fn surplus_digest(object: &DynamicObject) -> String {
    mark::digest(&[object.metadata.uid.as_deref().unwrap_or_default()], 8)
}

impl Shared {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filed {
    fn of(object: &DynamicObject) -> Self {
        let node = machine::label(object, mark::NODE).unwrap_or_default();
        Self {
            owner: machine::pool(object).map(|pool| (pool, node.to_owned())),
            host: machine::host(object).map(str::to_owned),
            place: machine::order(object).map(|order| (order.flavor, order.az)),
        }
    }
}

impl Index {
    fn file(&mut self, key: &str, before: Option<&DynamicObject>, after: Option<&DynamicObject>) {
        self.open.insert(key.to_owned());
        let is = after.map(Filed::of);
        let was = self.filed.get(key).cloned();
        if was != is {
            if let Some(was) = was {
                self.take_out(key, &was);
            }
            if let Some(is) = &is {
                self.put_in(key, is);
            }
        }
        if let Some(gone) = before.filter(|_| after.is_none()) {
            self.complete.remove(gone.metadata.uid.as_deref().unwrap_or_default());
        }
    }

    fn put_in(&mut self, key: &str, filed: &Filed) {
        if let Some(owner) = &filed.owner {
            self.of_pool.entry(owner.0.clone()).or_default().insert(key.to_owned());
            self.of_node.entry(owner.clone()).or_default().insert(key.to_owned());
        }
        if let Some(host) = &filed.host {
            self.of_host.entry(host.clone()).or_default().insert(key.to_owned());
        }
        if let Some(place) = &filed.place {
            let count = self.counts.entry(place.clone()).or_default();
            count.all += 1;
            count.hosted += u32::from(filed.host.is_some());
        }
        self.filed.insert(key.to_owned(), filed.clone());
    }

    fn take_out(&mut self, key: &str, filed: &Filed) {
        self.filed.remove(key);
        if let Some(owner) = &filed.owner {
            crate::nodes::remove_from(&mut self.of_pool, &owner.0, key);
            crate::nodes::remove_from(&mut self.of_node, owner, key);
        }
        if let Some(host) = &filed.host {
            crate::nodes::remove_from(&mut self.of_host, host.as_str(), key);
        }
        if let Some(place) = &filed.place {
            let count = self.counts.entry(place.clone()).or_default();
            count.all = count.all.saturating_sub(1);
            count.hosted = count.hosted.saturating_sub(u32::from(filed.host.is_some()));
            if *count == Count::default() {
                self.counts.remove(place);
            }
        }
    }
}

/// What is reported of a Machine whose Node is not a node yet, or not any more, and until when that holds. `None`: what it was made
/// for cannot be read. `has_node`: the Node that it has become is in the cluster.
pub fn fact(object: &DynamicObject, has_node: bool, now: Timestamp) -> Option<(NodeFact, Option<Timestamp>)> {
    let order = machine::order(object)?;
    let failure = machine::failure(object);
    let state = if machine::is_going(object) || machine::is_released(object) {
        MachineState::Releasing
    } else if let Some(reason) = &failure {
        MachineState::Failed(reason.clone())
    } else if machine::host(object).is_some() && !has_node {
        MachineState::Faulty("node object missing".to_owned())
    } else {
        MachineState::Booting
    };
    let over = machine::made_at(object).map(|at| at.saturating_add(PATIENCE).unwrap_or(Timestamp::MAX));
    let request = machine::request(object);
    let until = over.filter(|over| request.is_some() && *over > now);
    let fact = NodeFact {
        state,
        az: order.az,
        silent_since: None,
        private_ip: machine::address(object),
        instance: None,
        resources: Quantities::default(),
        available: Quantities::default(),
        os: None,
        driver: None,
        is_busy: false,
        is_held: false,
        is_locked: Some(machine::is_locked(object)),
        dedicated_to: None,
        request: request.map(|request| progress(&request, failure, over.is_some_and(|over| over <= now))),
    };
    Some((fact, until))
}

fn progress(request: &Request, failure: Option<String>, is_late: bool) -> RequestFact {
    let progress = match (&request.progress, failure) {
        (Progress::Failed(reason), _) => RequestProgress::Failed { reason: reason.clone() },
        (Progress::Running | Progress::Done, Some(reason)) => RequestProgress::Failed { reason },
        (Progress::Running | Progress::Done, None) if is_late => RequestProgress::Failed {
            reason: "the machine did not come up again".to_owned(),
        },
        // It is done once there is a Node.
        (Progress::Running | Progress::Done, None) => RequestProgress::Running,
    };
    RequestFact {
        number: request.number,
        progress,
    }
}
