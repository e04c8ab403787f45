//! Changes as they happen, for clients that would otherwise poll.

use crate::context::{CallContext, Service};
use crate::error::ServiceError;
use crate::events::EventFilter;
use crate::nodes::nodes_in;
use crate::pools::PoolFilter;
use auth::Action;
use domain::event::Event;
use domain::field::FieldErrors;
use domain::label::Selector;
use domain::meta::Revision;
use domain::name::PoolName;
use domain::node::Node;
use domain::pool::Pool;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use store::index::{Change, Entry, Facet, Snapshot};
use store::{Key, Kind, State};

/// Changes that are told in one go.
const BATCH: usize = 256;
/// How long a revision is waited for that has not been reached yet.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a watcher is told of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It is new, or is among those that are watched from now on.
    Added,
    Modified,
    /// It is gone, or is not among those that are watched any more.
    Deleted,
}

/// One change, with the object after it or, where it is gone, the last there was of it.
#[derive(Debug, Clone)]
pub struct Notice {
    pub what: What,
    pub entry: Arc<Entry>,
    /// A watch that begins after this one misses nothing of what comes after this notice.
    pub resume: Option<Revision>,
}

/// Why a watch cannot go on: it is asked for changes that are not remembered any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOld;

type Matches = Box<dyn Fn(&Entry) -> bool + Send + Sync>;

/// Everything that happens to some objects, from a revision on. Every change is told once, in the order of commits.
pub struct Watch {
    state: State,
    kind: Kind,
    matches: Matches,
    /// Everything up to here has been told.
    after: Revision,
    /// The objects as they were when the watch began, as long as they have not been told.
    first: Option<VecDeque<Notice>>,
    /// Of those, the ones that were newer than `after`.
    known: BTreeMap<Key, Revision>,
}

impl Watch {
    /// Begins with what there is, or after a revision.
    fn begin(
        state: &State,
        kind: Kind,
        after: Option<Revision>,
        matches: Matches,
        list: impl FnOnce(&Snapshot<'_>) -> Vec<Arc<Entry>>,
    ) -> Self {
        let index = state.index().read();
        let mut watch = Self {
            state: state.clone(),
            kind,
            matches,
            after: after.unwrap_or_else(|| index.complete()),
            first: None,
            known: BTreeMap::new(),
        };
        if after.is_none() {
            let mut first = VecDeque::new();
            for entry in list(&index) {
                if entry.revision > watch.after {
                    watch.known.insert(entry.key.clone(), entry.revision);
                }
                if (watch.matches)(&entry) {
                    first.push_back(Notice {
                        what: What::Added,
                        entry,
                        resume: None,
                    });
                }
            }
            watch.first = Some(first);
        }
        watch
    }

    /// Whether the objects that were there at the beginning have not all been told yet.
    pub fn is_beginning(&self) -> bool {
        self.first.is_some()
    }

    /// Everything up to here has been told, unless [`Watch::is_beginning`].
    pub fn revision(&self) -> Revision {
        self.after
    }

    /// Whether what is asked for is still remembered.
    pub fn check(&self) -> Result<(), TooOld> {
        self.state.index().read().changes_after(self.after).map(drop).ok_or(TooOld)
    }

    /// What happened since, as soon as something has. In the beginning, the objects that there are: maybe none.
    pub async fn next(&mut self) -> Result<Vec<Notice>, TooOld> {
        if let Some(first) = &mut self.first {
            let told = first.drain(..first.len().min(BATCH)).collect();
            if first.is_empty() {
                self.first = None;
            }
            return Ok(told);
        }
        loop {
            let told = self.collect()?;
            if !told.is_empty() {
                return Ok(told);
            }
            self.state.index().completed(self.after).await;
        }
    }

    fn collect(&mut self) -> Result<Vec<Notice>, TooOld> {
        let state = self.state.clone();
        let index = state.index().read();
        let mut told: Vec<Notice> = Vec::new();
        for change in index.changes_after(self.after).ok_or(TooOld)? {
            // A revision is told as a whole, so that one can go on after it.
            if told.len() >= BATCH && change.revision > self.after {
                return Ok(told);
            }
            self.after = change.revision;
            let Some(notice) = self.notice(change) else { continue };
            if let Some(last) = told.last_mut()
                && last.resume == notice.resume
            {
                last.resume = None;
            }
            told.push(notice);
        }
        self.after = self.after.max(index.complete());
        let after = self.after;
        self.known.retain(|_, revision| *revision > after);
        Ok(told)
    }

    fn notice(&self, change: &Change) -> Option<Notice> {
        let admit = |entry: &Arc<Entry>| entry.key.kind == self.kind && (self.matches)(entry);
        let (before, after) = (change.before.as_ref(), change.after.as_ref());
        let key = &after.or(before)?.key;
        if self.known.get(key).is_some_and(|known| *known >= change.revision) {
            return None;
        }
        let was_shown = before.is_some_and(admit);
        let is_shown = after.is_some_and(admit);
        let what = match (was_shown, is_shown) {
            (false, false) => return None,
            (false, true) => What::Added,
            (true, true) => What::Modified,
            (true, false) => What::Deleted,
        };
        Some(Notice {
            what,
            entry: Arc::clone(after.or(before)?),
            resume: Some(change.revision),
        })
    }
}

impl Service {
    /// Waits until everything up to a revision can be read here: another replica may have shown it already.
    pub async fn reach(&self, revision: Revision) -> Result<(), ServiceError> {
        let index = self.parts.state.index();
        if index.complete() >= revision {
            return Ok(());
        }
        let deadline = self.now().saturating_add(PATIENCE).unwrap_or(jiff::Timestamp::MAX);
        let over = self.parts.clock.sleep_until(deadline);
        let before = Revision(revision.0.saturating_sub(1));
        tokio::select! {
            biased;
            _ = index.completed(before) => Ok(()),
            () = over => Err(ServiceError::Unavailable(format!("revision {revision} has not been reached"))),
        }
    }

    /// Watches what [`Service::list_pools`] lists.
    pub fn watch_pools(
        &self,
        ctx: &CallContext,
        filter: impl FnOnce() -> Result<(PoolFilter, Option<Revision>), FieldErrors>,
        matches: impl Fn(&Selector, &Pool) -> bool + Send + Sync + 'static,
    ) -> Result<Watch, ServiceError> {
        let (filter, after) = self.pool_filter(ctx, filter)?;
        let drawer = format!("{}/{}", ctx.project, filter.workspace);
        let project = ctx.project.clone();
        let admits: Matches = Box::new(move |entry| {
            entry
                .get::<Pool>()
                .is_some_and(|pool| pool.owner.project == project && pool.workspace == filter.workspace && filter.admits(pool, &matches))
        });
        let state = &self.parts.state;
        let list = |index: &Snapshot<'_>| {
            let all = index.entries(Facet::PoolsOfWorkspace, &drawer);
            all.cloned().collect()
        };
        Ok(Watch::begin(state, Kind::Pool, after, admits, list))
    }

    /// Watches what [`Service::list_nodes`] lists.
    pub fn watch_nodes(&self, ctx: &CallContext, pool: &PoolName, after: Option<Revision>) -> Result<Watch, ServiceError> {
        let pool = self.find_pool(ctx, Action::NodeList, pool)?;
        let object = Arc::clone(&pool.object);
        let admits: Matches = Box::new(move |entry| {
            entry.get::<Node>().is_some_and(|node| match object.logical() {
                None => node.pool_uid == object.uid,
                Some(_) => node.quota.as_ref() == Some(&object.name),
            })
        });
        let list = |index: &Snapshot<'_>| nodes_in(index, &pool);
        Ok(Watch::begin(&self.parts.state, Kind::Node, after, admits, list))
    }

    /// Watches what [`Service::list_events`] lists, without folding what is alike.
    pub fn watch_events(
        &self,
        ctx: &CallContext,
        read: impl FnOnce() -> Result<(EventFilter, Option<Revision>), FieldErrors>,
    ) -> Result<Watch, ServiceError> {
        self.authorize(ctx, Action::EventList)?;
        let (filter, after) = read()?;
        let pool = self.named_pool(ctx, Action::EventList, &filter.pool)?;
        let uid = pool.uid.clone();
        let list = |index: &Snapshot<'_>| {
            let mut all: Vec<_> = index.entries(Facet::EventsOfPool, pool.uid.as_str()).cloned().collect();
            all.sort_by_key(|entry| entry.get::<Event>().map(|event| event.sequence));
            all
        };
        let admits: Matches = Box::new(move |entry| {
            entry
                .get::<Event>()
                .is_some_and(|event| event.pool == uid && filter.admits(event.is_warning, event.last_at))
        });
        Ok(Watch::begin(&self.parts.state, Kind::Event, after, admits, list))
    }
}
