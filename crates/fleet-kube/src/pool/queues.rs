//! The queues of a pool's tree, in whatever scheduler there is.

use crate::config::{KubeConfig, Scheduler};
use crate::kueue::{self, SeenObjects};
use crate::mark;
use crate::object::{Change, Key, Kind, Object};
use crate::pool::spaces;
use crate::quota::QuotaTree;
use crate::volcano::{self, QueueState, SeenQueue, SeenQueues, Step, WantedQueue};
use domain::meta::Uid;
use kube::api::DynamicObject;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What queues there should be.
pub enum Queues {
    Volcano(Vec<WantedQueue>),
    Kueue(Vec<Object>),
    None,
}

impl Queues {
    /// Of the pools of a tree; of none, where it is empty. What is in name spaces is wanted in those that are there.
    /// `Err` says why there cannot be any.
    pub fn of(config: &KubeConfig, tree: &QuotaTree, seen: &SeenObjects) -> Result<Self, String> {
        if let Some(flavor) = tree.unknown_flavors().first().filter(|_| config.scheduler != Scheduler::None) {
            return Err(format!(
                "the configuration does not say what a node of flavor {flavor} counts, and no node of it is well"
            ));
        }
        match config.scheduler {
            Scheduler::Volcano => {
                let mut wanted = volcano::wanted(tree);
                if config.volcano_group_limits {
                    volcano::limit(&mut wanted, tree);
                }
                Ok(Self::Volcano(wanted))
            }
            Scheduler::Kueue => kueue::wanted(tree, &spaces::names(seen))
                .map(Self::Kueue)
                .map_err(|error| error.to_string()),
            Scheduler::None => Ok(Self::None),
        }
    }

    /// The writes that lead there.
    pub fn plan(&self, config: &KubeConfig, root: &Uid, seen: &SeenObjects, idle: &BTreeSet<Uid>) -> Vec<Change> {
        match self {
            Self::Volcano(wanted) => {
                let steps = volcano::plan(wanted, &volcano_queues(seen), idle);
                steps.into_iter().filter_map(|step| change(config, root, seen, step)).collect()
            }
            Self::Kueue(wanted) => kueue::plan(wanted, seen, idle),
            Self::None => Vec::new(),
        }
    }

    /// Whether a pool's part of them is there as it should be.
    pub fn is_conform(&self, pool: &Uid, seen: &SeenObjects, queues: &SeenQueues) -> bool {
        match self {
            Self::Volcano(wanted) => {
                let own: Vec<WantedQueue> = wanted.iter().filter(|queue| queue.pool == *pool).cloned().collect();
                volcano::is_conform(&own, queues)
            }
            Self::Kueue(wanted) => {
                let is_own = |object: &&Object| object.labels.get(mark::POOL).is_some_and(|uid| uid == pool.as_str());
                kueue::is_conform(wanted.iter().filter(is_own), seen)
            }
            Self::None => true,
        }
    }
}

/// Whether an object is a queue, or part of one.
pub fn is_part(key: &Key) -> bool {
    match key.kind {
        Kind::Queue | Kind::Cohort | Kind::ClusterQueue | Kind::LocalQueue | Kind::ResourceFlavor => true,
        Kind::Namespace | Kind::QueueCommand | Kind::HelmRelease | Kind::Application | Kind::NvidiaDriver => false,
    }
}

/// The queues of Volcano among a pool's objects.
pub fn volcano_queues(seen: &SeenObjects) -> SeenQueues {
    let queues = seen.iter().filter(|(key, _)| key.kind == Kind::Queue);
    queues
        .filter_map(|(key, queue)| Some((key.name.clone(), volcano_queue(queue)?)))
        .collect()
}

fn volcano_queue(queue: &Arc<DynamicObject>) -> Option<SeenQueue> {
    Some(SeenQueue {
        pool: spaces::pool_of(queue)?,
        spec: serde_json::from_value(queue.data["spec"].clone()).unwrap_or_default(),
        limits: queue
            .metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(volcano::LIMITS).cloned()),
        state: serde_json::from_value(queue.data["status"]["state"].clone()).unwrap_or_default(),
        is_deleting: queue.metadata.deletion_timestamp.is_some(),
    })
}

fn change(config: &KubeConfig, root: &Uid, seen: &SeenObjects, step: Step) -> Option<Change> {
    let key = |name: &str| Key::cluster(Kind::Queue, name);
    match step {
        Step::Put { name, pool, spec, limits } => {
            let object = Object::of_pool(key(&name), root, &pool).with("spec", json!(spec));
            Some(Change::Put(match limits {
                Some(limits) => object.annotation(volcano::LIMITS, limits),
                None => object,
            }))
        }
        Step::Delete { name } => Some(Change::Delete(key(&name))),
        Step::Close { name } => command(config, root, seen.get(&key(&name))?, "CloseQueue"),
        Step::Open { name } => command(config, root, seen.get(&key(&name))?, "OpenQueue"),
    }
}

/// The state of a queue is Volcano's: it is asked to change it. The command goes when it has been heard.
fn command(config: &KubeConfig, root: &Uid, queue: &DynamicObject, action: &str) -> Option<Change> {
    let pool = spaces::pool_of(queue)?;
    let name = mark::object_name(&pool, &format!("-{}", action.to_lowercase()));
    let resource = Kind::Queue.resource();
    let target = json!({
        "apiVersion": format!("{}/{}", resource.0, resource.1), "kind": resource.2,
        "name": queue.metadata.name, "uid": queue.metadata.uid,
    });
    let object = Object::of_pool(Key::inside(Kind::QueueCommand, &config.namespace, &name), root, &pool);
    Some(Change::Create(object.with("action", json!(action)).with("target", target)))
}

/// Whether the queue to which users of a pool submit lets nothing in.
pub fn is_shut(mark: &fleet::PoolMark, queues: &SeenQueues) -> bool {
    let leaf = queues.get(&mark::pool_slug(mark));
    leaf.is_some_and(|queue| matches!(queue.state, QueueState::Closed | QueueState::Closing))
}
