//! What all parts of the fleet work with: the client, the configuration, the fence, and the list of pools that have changed.

use crate::config::KubeConfig;
use crate::failure::Failure;
use crate::mark;
use crate::report::Reporter;
use crate::webhook::Caller;
use clock::Clock;
use domain::meta::{Fence, Uid};
use fleet::FleetError;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// A request that is not a watch is given up after so long.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a race is run again.
pub(crate) const ATTEMPTS: usize = 5;

/// The right to write, in the name of a holder. It is given by [`Context::enter`] and by [`Context::holder`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(u64);

impl Epoch {
    pub fn number(self) -> u64 {
        self.0
    }

    #[cfg(test)]
    pub(crate) fn for_tests(number: u64) -> Self {
        Self(number)
    }
}

/// What all parts work with.
pub struct Context {
    pub client: Client,
    pub config: KubeConfig,
    pub clock: Arc<dyn Clock>,
    known: Mutex<KnownFence>,
    /// One at a time raises the fence.
    turn: tokio::sync::Mutex<()>,
    /// Told when this process begins or ceases to be the holder.
    pub(crate) holder_changed: Notify,
    changes: Mutex<Changes>,
    changed: Notify,
    /// Tells the cluster what happens, once it has begun to.
    pub reporter: OnceLock<Reporter>,
    /// Asks services of the site, where the configuration names some.
    pub caller: OnceLock<Arc<dyn Caller>>,
}

#[derive(Default)]
struct KnownFence {
    /// The newest epoch that was seen.
    newest: u64,
    /// The epoch in whose name this process works.
    held: Option<u64>,
}

#[derive(Default)]
struct Changes {
    pools: BTreeSet<Uid>,
    timers: BTreeMap<Uid, Timestamp>,
}

impl Context {
    pub fn new(client: Client, config: KubeConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            client,
            config,
            clock,
            known: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            holder_changed: Notify::new(),
            changes: Mutex::default(),
            changed: Notify::new(),
            reporter: OnceLock::new(),
            caller: OnceLock::new(),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time in so long.
    pub fn after(&self, wait: Duration) -> Timestamp {
        self.now().saturating_add(wait).unwrap_or(Timestamp::MAX)
    }

    /// Waits for an answer of the server, though not for ever.
    pub async fn call<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
        let late = self.clock.sleep_until(self.after(PATIENCE));
        tokio::select! {
            biased;
            answer = request => answer.map_err(Failure::from),
            () = late => Err(Failure::Unknown(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    /// Makes an object that is wholly ours, or brings it to this form. It is marked with the epoch.
    pub async fn apply<K>(&self, epoch: Epoch, api: &Api<K>, mut object: K) -> Result<K, Failure>
    where
        K: Resource + Clone + Serialize + DeserializeOwned + Debug,
    {
        self.check(epoch)?;
        let name = object.meta().name.clone().unwrap_or_default();
        let annotations = object.meta_mut().annotations.get_or_insert_default();
        annotations.insert(mark::EPOCH.to_owned(), epoch.0.to_string());
        let params = PatchParams::apply(mark::MANAGER).force();
        let result = self.call(api.patch(&name, &params, &Patch::Apply(&object))).await;
        self.heed(result)
    }

    /// Sends a merge patch. It must carry the epoch where it is about a Node, and the version of the object where it relies on one.
    pub async fn merge<K>(&self, epoch: Epoch, api: &Api<K>, name: &str, patch: &serde_json::Value) -> Result<K, Failure>
    where
        K: Resource + Clone + DeserializeOwned + Debug,
    {
        self.check(epoch)?;
        let params = PatchParams {
            field_manager: Some(mark::MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let result = self.call(api.patch(name, &params, &Patch::Merge(patch))).await;
        self.heed(result)
    }

    /// Whether the epoch is still that of this process.
    pub fn check(&self, epoch: Epoch) -> Result<(), Failure> {
        (self.known().held == Some(epoch.0)).then_some(()).ok_or(Failure::Fenced)
    }

    /// Stops working where the server says that this holder's time is over.
    pub fn heed<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        if matches!(result, Err(Failure::Fenced)) {
            self.known().held = None;
            self.holder_changed.notify_one();
        }
        result
    }

    fn known(&self) -> MutexGuard<'_, KnownFence> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The epoch in whose name this process may go on with what was begun.
    pub fn holder(&self) -> Option<Epoch> {
        self.known().held.map(Epoch)
    }

    /// Notes an epoch that stands in the cluster.
    pub fn saw(&self, epoch: u64) {
        let mut known = self.known();
        if epoch > known.newest {
            known.newest = epoch;
            if known.held.is_some_and(|held| held < epoch) {
                known.held = None;
                self.holder_changed.notify_one();
            }
        }
    }

    /// Begins to work in the name of a holder: raises the fence to its epoch, unless a newer one stands there.
    pub async fn enter(&self, fence: &Fence) -> Result<Epoch, FleetError> {
        if fence.epoch < self.known().newest {
            return Err(FleetError::Fenced);
        }
        let _turn = self.turn.lock().await;
        for _ in 0..ATTEMPTS {
            match self.raise(fence.epoch).await {
                Ok(standing) => {
                    self.saw(standing);
                    let mut known = self.known();
                    if fence.epoch < known.newest {
                        return Err(FleetError::Fenced);
                    }
                    if known.held.replace(fence.epoch) != Some(fence.epoch) {
                        self.holder_changed.notify_one();
                    }
                    return Ok(Epoch(fence.epoch));
                }
                Err(Failure::Conflict | Failure::Exists) => {}
                Err(failure @ Failure::Refused(_)) => return Err(failure.on_write()),
                // Nothing was commanded yet, so that nothing is ambiguous.
                Err(failure) => return Err(failure.on_read()),
            }
        }
        Err(FleetError::Throttled {
            retry_after: Duration::from_secs(1),
        })
    }

    /// The epoch that stands in the cluster afterwards.
    async fn raise(&self, epoch: u64) -> Result<u64, Failure> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.config.namespace);
        let Some(found) = self.call(api.get_opt(mark::FENCE)).await? else {
            let created = self.create_fence(&api, epoch).await;
            if let Err(Failure::Missing(_)) = created {
                self.create_namespace().await?;
                return self.create_fence(&api, epoch).await;
            }
            return created;
        };
        let standing = fence_epoch(&found);
        if standing >= epoch {
            return Ok(standing);
        }
        let patch = json!({"metadata": {"resourceVersion": found.metadata.resource_version}, "data": {"epoch": epoch.to_string()}});
        let params = PatchParams::default();
        self.call(api.patch(mark::FENCE, &params, &Patch::Merge(&patch))).await?;
        Ok(epoch)
    }

    async fn create_fence(&self, api: &Api<ConfigMap>, epoch: u64) -> Result<u64, Failure> {
        let object = ConfigMap {
            metadata: ObjectMeta {
                name: Some(mark::FENCE.to_owned()),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([("epoch".to_owned(), epoch.to_string())])),
            ..ConfigMap::default()
        };
        self.call(api.create(&PostParams::default(), &object)).await?;
        Ok(epoch)
    }

    async fn create_namespace(&self) -> Result<(), Failure> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let object = Namespace {
            metadata: ObjectMeta {
                name: Some(self.config.namespace.clone()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        match self.call(api.create(&PostParams::default(), &object)).await {
            Ok(_) | Err(Failure::Exists) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is observed of a pool may have changed.
    pub fn touch(&self, pool: &Uid) {
        if self.changes().pools.insert(pool.clone()) {
            self.changed.notify_one();
        }
    }

    /// What is observed of a pool changes by itself then. Of several times of a pool the earliest counts.
    pub fn touch_at(&self, pool: &Uid, at: Timestamp) {
        let mut changes = self.changes();
        let earliest = changes.timers.get(pool).is_none_or(|known| at < *known);
        if earliest {
            changes.timers.insert(pool.clone(), at);
            self.changed.notify_one();
        }
    }

    /// Waits until what is observed of some pools may have changed, and names them.
    pub async fn changed(&self) -> Vec<Uid> {
        loop {
            let told = self.changed.notified();
            let next = {
                let now = self.now();
                let mut changes = self.changes();
                let due: Vec<Uid> = changes
                    .timers
                    .iter()
                    .filter(|(_, at)| **at <= now)
                    .map(|(pool, _)| pool.clone())
                    .collect();
                for pool in due {
                    changes.timers.remove(&pool);
                    changes.pools.insert(pool);
                }
                if !changes.pools.is_empty() {
                    return std::mem::take(&mut changes.pools).into_iter().collect();
                }
                changes.timers.values().min().copied()
            };
            match next {
                Some(at) => tokio::select! {
                    biased;
                    () = told => {}
                    () = self.clock.sleep_until(at) => {}
                },
                None => told.await,
            }
        }
    }
}

/// The epoch that a fence holds.
pub(crate) fn fence_epoch(fence: &ConfigMap) -> u64 {
    let text = fence.data.as_ref().and_then(|data| data.get("epoch"));
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}
