//! What is known of a kind of objects: a list, kept up to date by a watch, with our own writes on top.
//!
//! A watch ends by itself after half of the time of silence that is allowed, and goes on from the version it had come to. So a
//! server that answers is heard in time even where nothing happens, without counting on bookmarks, which it sends when it likes. That a
//! watch begins says nothing yet: the server may answer next that it has forgotten the version. After an interruption the first watch
//! is a short one, so that it is known soon whether anything was missed.

use crate::context::Context;
use crate::failure::{Failure, of_status};
use fleet::FleetError;
use futures::{StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Objects of one answer to a list.
const PAGE: u32 = 500;
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A watch that ends sooner is not begun anew at once.
const SHORT: SignedDuration = SignedDuration::from_secs(1);

/// What can be cached.
pub trait Cached: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static {}
impl<K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static> Cached for K {}

/// Told of every change: what an object was and what it is now. Called in the order of changes; it must not call the cache.
pub type Listener<K> = Box<dyn Fn(Option<&Arc<K>>, Option<&Arc<K>>) + Send + Sync>;

/// Which objects are cached, and what of them.
pub struct Selection<K> {
    pub api: Api<K>,
    pub labels: Option<String>,
    pub fields: Option<String>,
    /// Removes what is not needed.
    pub trim: fn(&mut K),
    pub listener: Listener<K>,
    /// The kind may be unknown to the server: it has no objects then.
    pub is_optional: bool,
}

impl<K> Selection<K> {
    pub fn all(api: Api<K>) -> Self {
        Self {
            api,
            labels: None,
            fields: None,
            trim: |_| {},
            listener: Box::new(|_, _| {}),
            is_optional: false,
        }
    }
}

/// The objects, by name or by `namespace/name`.
pub struct Cache<K> {
    context: Arc<Context>,
    what: Selection<K>,
    state: Mutex<Known<K>>,
    synced: watch::Sender<bool>,
}

struct Known<K> {
    objects: BTreeMap<String, Arc<K>>,
    /// Versions that we have written and the watch has not come to.
    ahead: BTreeMap<String, u64>,
    /// The version that the list or the watch has come to.
    reached: u64,
    /// The last sign of life of the server.
    heard_at: Option<Timestamp>,
}

/// Ends a task when it is dropped.
#[derive(Debug)]
pub struct Task(pub JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<K: Cached> Cache<K> {
    /// Begins to list and to watch. The task ends with what is returned.
    pub fn start(context: &Arc<Context>, what: Selection<K>) -> (Arc<Self>, Task) {
        let cache = Arc::new(Self {
            context: Arc::clone(context),
            what,
            state: Mutex::new(Known {
                objects: BTreeMap::new(),
                ahead: BTreeMap::new(),
                reached: 0,
                heard_at: None,
            }),
            synced: watch::Sender::new(false),
        });
        let task = Task(tokio::spawn(Arc::clone(&cache).follow()));
        (cache, task)
    }

    fn state(&self) -> MutexGuard<'_, Known<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, key: &str) -> Option<Arc<K>> {
        self.state().objects.get(key).cloned()
    }

    pub fn all(&self) -> Vec<Arc<K>> {
        self.state().objects.values().cloned().collect()
    }

    /// Waits until everything has been listed once.
    pub async fn synced(&self) {
        // The sender is ours, so that it does not go away.
        let mut synced = self.synced.subscribe();
        let _known = synced.wait_for(|synced| *synced).await;
    }

    /// Whether conclusions may be drawn from what is known.
    pub fn fresh(&self) -> Result<(), FleetError> {
        let heard_at = self.state().heard_at;
        let kind = std::any::type_name::<K>().rsplit("::").next().unwrap_or_default();
        match heard_at.map(|at| self.context.now().duration_since(at)) {
            None => Err(FleetError::Unreachable(format!(
                "the objects of kind {kind} have not been listed yet"
            ))),
            Some(silent) if silent.unsigned_abs() > self.context.config.silence() && silent.is_positive() => {
                let reason = format!("nothing was heard of objects of kind {kind} for {} s", silent.as_secs());
                Err(FleetError::Unreachable(reason))
            }
            Some(_) => Ok(()),
        }
    }

    /// Takes an object that the server has answered with, unless a newer one is known. An answer may come after the watch has told
    /// what became of the object, even that it is gone: of what the watch has come past, nothing is news.
    pub fn note(&self, mut object: K) {
        (self.what.trim)(&mut object);
        let Some(written) = version(&object) else { return };
        let key = key(&object);
        let mut state = self.state();
        let known = state.objects.get(&key).and_then(|known| version(known.as_ref())).unwrap_or(0);
        if written > known.max(state.reached) {
            state.ahead.insert(key.clone(), written);
            self.put(&mut state, key, object);
        }
    }

    /// Notes that an object is gone, which the server has answered with.
    pub fn forget(&self, key: &str) {
        let mut state = self.state();
        state.ahead.remove(key);
        self.remove(&mut state, key);
    }

    fn put(&self, state: &mut Known<K>, key: String, object: K) {
        let object = Arc::new(object);
        let before = state.objects.insert(key, Arc::clone(&object));
        (self.what.listener)(before.as_ref(), Some(&object));
    }

    fn remove(&self, state: &mut Known<K>, key: &str) {
        if let Some(before) = state.objects.remove(key) {
            (self.what.listener)(Some(&before), None);
        }
    }

    fn heard(&self) {
        let now = self.context.now();
        self.state().heard_at = Some(now);
    }

    async fn follow(self: Arc<Self>) {
        let (mut at, mut wait, mut was_interrupted) = (None, FIRST_WAIT, false);
        loop {
            let begun = self.context.now();
            let was_watch = at.is_some();
            let result = match at.take() {
                None => self.list().await,
                Some(version) => self.watch(version, was_interrupted).await,
            };
            was_interrupted = result.is_err();
            match result {
                Ok(version) => {
                    at = Some(version);
                    wait = FIRST_WAIT;
                    let is_short = self.context.now().duration_since(begun) < SHORT;
                    if !(was_watch && is_short) {
                        continue;
                    }
                }
                Err((_, Failure::Gone)) => {}
                Err((_, Failure::Missing(_))) if self.what.is_optional => {
                    self.take_list(Vec::new(), 0);
                    wait = self.context.config.silence() / 2;
                }
                Err((version, failure)) => {
                    tracing::warn!(%failure, kind = std::any::type_name::<K>(), "the watch was interrupted");
                    at = version;
                }
            }
            self.context.clock.sleep_until(self.context.after(wait)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn list(&self) -> Result<String, (Option<String>, Failure)> {
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector.clone_from(&self.what.labels);
        params.field_selector.clone_from(&self.what.fields);
        let mut all = Vec::new();
        loop {
            let page = self
                .context
                .call(self.what.api.list(&params))
                .await
                .map_err(|failure| (None, failure))?;
            all.extend(page.items);
            let Some(token) = page.metadata.continue_.filter(|token| !token.is_empty()) else {
                let at = page.metadata.resource_version.unwrap_or_default();
                self.take_list(all, at.parse().unwrap_or(0));
                return Ok(at);
            };
            params.continue_token = Some(token);
        }
    }

    /// Makes known what a list of a version holds. What we wrote later stays.
    fn take_list(&self, all: Vec<K>, listed_at: u64) {
        {
            let mut state = self.state();
            let ahead = std::mem::take(&mut state.ahead);
            let ahead: BTreeMap<String, u64> = ahead.into_iter().filter(|(_, written)| *written > listed_at).collect();
            let mut gone: BTreeSet<String> = state.objects.keys().filter(|key| !ahead.contains_key(*key)).cloned().collect();
            for mut object in all {
                let key = key(&object);
                gone.remove(&key);
                let is_news = state
                    .objects
                    .get(&key)
                    .is_none_or(|known| known.meta().resource_version != object.meta().resource_version);
                if is_news && !ahead.contains_key(&key) {
                    (self.what.trim)(&mut object);
                    self.put(&mut state, key, object);
                }
            }
            for key in gone {
                self.remove(&mut state, &key);
            }
            state.ahead = ahead;
            state.reached = listed_at;
        }
        self.heard();
        self.synced.send_replace(true);
    }

    /// Follows changes from a version on, until the server ends it.
    async fn watch(&self, version: String, is_short: bool) -> Result<String, (Option<String>, Failure)> {
        let silence = self.context.config.silence();
        let usual = u32::try_from(silence.as_secs() / 2).unwrap_or(290).clamp(1, 290);
        let timeout = if is_short { 1 } else { usual };
        let mut params = WatchParams::default().timeout(timeout);
        params.label_selector.clone_from(&self.what.labels);
        params.field_selector.clone_from(&self.what.fields);
        let begun = self.context.call(self.what.api.watch(&params, &version)).await;
        let stream = begun.map_err(|failure| (Some(version.clone()), failure))?;
        let mut stream = stream.map_err(Failure::from).boxed();
        let mut at = version;
        loop {
            let deadline = self.context.clock.sleep_until(self.context.after(silence));
            let next = tokio::select! {
                biased;
                next = stream.next() => next,
                () = deadline => return Err((Some(at), Failure::Unknown("nothing was heard".to_owned()))),
            };
            let event = match next {
                None => {
                    self.heard();
                    return Ok(at);
                }
                Some(Ok(event)) => event,
                // What cannot be read may have been a change.
                Some(Err(Failure::Unknown(reason))) if reason.starts_with("Error deserializing") => return Err((None, Failure::Gone)),
                Some(Err(failure)) => return Err((Some(at), failure)),
            };
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    at = object.meta().resource_version.clone().unwrap_or(at);
                    self.take(object, false);
                }
                WatchEvent::Deleted(object) => {
                    at = object.meta().resource_version.clone().unwrap_or(at);
                    self.take(object, true);
                }
                WatchEvent::Bookmark(bookmark) => at = bookmark.metadata.resource_version,
                WatchEvent::Error(status) => return Err((Some(at), of_status(&status))),
            }
            self.heard();
        }
    }

    fn take(&self, mut object: K, is_gone: bool) {
        let (key, seen) = (key(&object), version(&object));
        let mut state = self.state();
        state.reached = state.reached.max(seen.unwrap_or(0));
        if let Some(written) = state.ahead.get(&key).copied() {
            if seen.is_some_and(|seen| seen < written) {
                return;
            }
            state.ahead.remove(&key);
        }
        if is_gone {
            self.remove(&mut state, &key);
            return;
        }
        let is_known = state
            .objects
            .get(&key)
            .is_some_and(|known| known.meta().resource_version == object.meta().resource_version);
        if !is_known {
            (self.what.trim)(&mut object);
            self.put(&mut state, key, object);
        }
    }
}

/// `name`, or `namespace/name`.
pub fn key<K: Resource>(object: &K) -> String {
    let meta = object.meta();
    let name = meta.name.as_deref().unwrap_or_default();
    match &meta.namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

/// The version of an object as a number. Servers promise no order of versions, though every one of them has it.
fn version<K: Resource>(object: &K) -> Option<u64> {
    object.meta().resource_version.as_ref()?.parse().ok()
}
