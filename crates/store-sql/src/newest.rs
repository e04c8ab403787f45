//! Who waits for news, and where news come from.

use crate::engine::{Hints, Target};
use crate::error::{CLOSED, Fault};
use clock::Clock;
use domain::meta::Revision;
use jiff::Timestamp;
use sqlx::AnyPool;
use std::sync::Arc;
use std::time::Duration;
use store::StoreError;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// How long the question for the newest revision may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The newest revision that this process knows of.
#[derive(Debug)]
pub(crate) struct Newest(watch::Sender<Seen>);

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    revision: Revision,
    /// When that was asked for, and the answer was still the newest one.
    at: Option<Timestamp>,
    is_closed: bool,
}

impl Newest {
    pub(crate) fn new(revision: Revision) -> Self {
        Self(watch::Sender::new(Seen {
            revision,
            at: None,
            is_closed: false,
        }))
    }

    /// A write that began at that time has led to a revision.
    pub(crate) fn publish(&self, revision: Revision, began_at: Timestamp) {
        self.0.send_if_modified(|seen| {
            let is_newer = revision > seen.revision;
            seen.revision = revision.max(seen.revision);
            // Where nobody asks, nothing is to be known of when that was.
            seen.at = seen.at.map(|at| at.max(began_at));
            is_newer
        });
    }

    /// The database had this revision at that time, at the least.
    pub(crate) fn confirm(&self, revision: Revision, at: Timestamp) {
        self.0.send_if_modified(|seen| {
            let is_newer = revision > seen.revision;
            seen.revision = revision.max(seen.revision);
            seen.at = Some(at);
            is_newer
        });
    }

    pub(crate) fn confirmed(&self) -> Option<(Revision, Timestamp)> {
        let seen = *self.0.borrow();
        Some((seen.revision, seen.at?))
    }

    /// Nobody waits for ever after this.
    pub(crate) fn close(&self) {
        self.0.send_modify(|seen| seen.is_closed = true);
    }

    pub(crate) fn is_behind(&self, revision: Revision) -> bool {
        self.0.borrow().revision < revision
    }

    pub(crate) async fn after(&self, revision: Revision) -> Result<Revision, StoreError> {
        let mut seen = self.0.subscribe();
        let found = seen
            .wait_for(|seen| seen.is_closed || seen.revision > revision)
            .await
            .map(|seen| seen.revision);
        found
            .ok()
            .filter(|found| *found > revision)
            .ok_or_else(|| StoreError::Unavailable(CLOSED.to_owned()))
    }
}

/// Watches for the commits of other replicas until the set is dropped. Notifications are hints, which may get lost;
/// asking again and again is what makes sure.
pub(crate) fn watch_others(target: &Target, pool: &AnyPool, newest: &Arc<Newest>, every: Duration) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let Some(hints) = target.hints() else {
        // No other process can write.
        return tasks;
    };
    let news = Arc::new(Notify::new());
    tasks.spawn(listen(
        hints,
        Arc::clone(&target.clock),
        Arc::clone(newest),
        Arc::clone(&news),
        every,
    ));
    tasks.spawn(poll(pool.clone(), Arc::clone(&target.clock), Arc::clone(newest), news, every));
    tasks
}

async fn listen(hints: Hints, clock: Arc<dyn Clock>, newest: Arc<Newest>, news: Arc<Notify>, every: Duration) {
    loop {
        let error = hints
            .listen(|revision| {
                if newest.is_behind(revision) {
                    news.notify_one();
                }
            })
            .await;
        tracing::debug!(
            error = crate::error::told(&error),
            "no notifications from the database; polling only"
        );
        wait(clock.as_ref(), every).await;
    }
}

async fn poll(pool: AnyPool, clock: Arc<dyn Clock>, newest: Arc<Newest>, news: Arc<Notify>, every: Duration) {
    loop {
        tokio::select! {
            () = news.notified() => {}
            () = wait(clock.as_ref(), every) => {}
        }
        let asked_at = clock.now();
        let answer = within(clock.as_ref(), Some(PATIENCE), crate::read::revision(&pool)).await;
        let silent = || Err(Fault::Sql(sqlx::Error::PoolTimedOut));
        match answer.unwrap_or_else(silent) {
            Ok(revision) => newest.confirm(revision, asked_at),
            Err(error) => tracing::debug!(error = %StoreError::from(error), "could not ask for the newest revision"),
        }
    }
}

async fn wait(clock: &dyn Clock, how_long: Duration) {
    clock
        .sleep_until(clock.now().saturating_add(how_long).unwrap_or(jiff::Timestamp::MAX))
        .await;
}

/// The outcome of `work`, or `None` after `limit`.
pub(crate) async fn within<T>(clock: &dyn Clock, limit: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    let Some(limit) = limit else {
        return Some(work.await);
    };
    tokio::select! {
        biased;
        outcome = work => Some(outcome),
        () = wait(clock, limit) => None,
    }
}
