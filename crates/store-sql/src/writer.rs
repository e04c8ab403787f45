//! The one task of a store that writes.

use crate::engine::{Lock, Target};
use crate::error::{CLOSED, Fault, told};
use crate::group::{Needs, Request};
use crate::newest::{Newest, within};
use crate::options::Observer;
use crate::tables;
use domain::meta::Revision;
use sqlx::{AnyConnection, AnyPool, Connection};
use std::sync::Arc;
use store::StoreError;
use tokio::sync::{mpsc, oneshot};

/// No group gets larger than this, so that nobody waits for long.
const MOST_REQUESTS: usize = 512;
const MOST_WRITES: usize = 20_000;

pub(crate) enum Order {
    Write(Request),
    /// Take no more orders, finish, close everything, then say so.
    Close(oneshot::Sender<()>),
}

pub(crate) struct Writer {
    pub(crate) transactions: Transactions,
    pub(crate) orders: mpsc::Receiver<Order>,
    /// Absent after a failure, whose state is not known.
    pub(crate) connection: Option<AnyConnection>,
    pub(crate) newest: Arc<Newest>,
    pub(crate) observer: Option<Observer>,
    pub(crate) readers: AnyPool,
    /// Others may use the database only when nothing is written any more.
    pub(crate) lock: Option<Lock>,
}

/// How a group is written.
pub(crate) struct Transactions {
    pub(crate) target: Target,
    pub(crate) kept_deletions: u64,
}

/// How a transaction failed.
#[derive(Debug)]
enum Failure {
    /// Nothing was written.
    Before(StoreError),
    /// Nobody knows.
    AtCommit(String),
}

impl<E: Into<Fault>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Before(StoreError::from(error.into()))
    }
}

impl Writer {
    /// Runs until the store is closed or dropped.
    pub(crate) async fn run(mut self) {
        let mut closing = Vec::new();
        while let Some(first) = self.orders.recv().await {
            let group = self.gather(first, &mut closing);
            if !group.is_empty() {
                self.write(group).await;
            }
        }
        self.finish().await;
        for done in closing {
            // Whoever asked may be gone.
            let _gone = done.send(());
        }
    }

    fn gather(&mut self, first: Order, closing: &mut Vec<oneshot::Sender<()>>) -> Vec<Request> {
        let (mut group, mut size, mut next) = (Vec::new(), 0, Some(first));
        while let Some(order) = next {
            match order {
                Order::Write(request) => {
                    size += request.size();
                    group.push(request);
                }
                Order::Close(done) => {
                    self.orders.close();
                    closing.push(done);
                }
            }
            let is_full = group.len() >= MOST_REQUESTS || size >= MOST_WRITES;
            next = if is_full { None } else { self.orders.try_recv().ok() };
        }
        group
    }

    async fn write(&mut self, mut group: Vec<Request>) {
        let had_connection = self.connection.is_some();
        let began_at = self.transactions.target.clock.now();
        let mut outcome = self.attempt(&mut group).await;
        // A connection may have died while nothing was written. Nothing is lost by trying once more on a new one.
        if had_connection && let Err(Failure::Before(error)) = &outcome {
            tracing::debug!(%error, "writing once more on a new connection");
            outcome = self.attempt(&mut group).await;
        }
        let (newest, failure) = match outcome {
            Ok(newest) => (Some(newest), None),
            Err(Failure::Before(error)) => (None, Some(error)),
            Err(Failure::AtCommit(why)) => (self.look_again().await, Some(StoreError::Ambiguous(why))),
        };
        if let (Some(observer), None) = (&self.observer, &failure) {
            observer(group.len());
        }
        // Those who wrote come first: what they do with the answer may spare the others a look.
        for request in group {
            request.answer(failure.as_ref());
        }
        if let Some(newest) = newest {
            self.newest.publish(newest, began_at);
        }
    }

    /// What the newest revision is after all.
    async fn look_again(&mut self) -> Option<Revision> {
        let target = &self.transactions.target;
        let looked = within(target.clock.as_ref(), target.patience(), crate::read::revision(&self.readers)).await;
        looked.and_then(Result::ok)
    }

    async fn attempt(&mut self, group: &mut [Request]) -> Result<Revision, Failure> {
        let target = &self.transactions.target;
        let (clock, patience) = (target.clock.as_ref(), target.patience());
        let silent = || Failure::Before(StoreError::Unavailable("the database does not answer".to_owned()));
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => within(clock, patience, target.writer()).await.ok_or_else(silent)??,
        };
        let mut is_at_commit = false;
        let transaction = self.transactions.run(&mut connection, group, &mut is_at_commit);
        let outcome = match within(clock, patience, transaction).await {
            Some(outcome) => outcome,
            None if is_at_commit => Err(Failure::AtCommit("the database does not answer".to_owned())),
            None => Err(silent()),
        };
        if outcome.is_ok() {
            self.connection = Some(connection);
        }
        outcome
    }

    async fn finish(&mut self) {
        self.newest.close();
        self.readers.close().await;
        if let Some(mut connection) = self.connection.take() {
            let settled = match self.transactions.target.settle(&mut connection).await {
                Ok(()) => connection.close().await,
                Err(error) => Err(error),
            };
            if let Err(error) = settled {
                tracing::warn!(error = told(&error), "the database was not closed cleanly; nothing is lost");
            }
        }
        drop(self.lock.take());
    }
}

impl Transactions {
    async fn run(&self, connection: &mut AnyConnection, group: &mut [Request], is_at_commit: &mut bool) -> Result<Revision, Failure> {
        let mut transaction = connection.begin_with(self.target.begin()).await?;
        let revisions = group.iter().filter(|request| request.is_writing()).count() as u64;
        let turn = tables::take_turn(&mut transaction, revisions).await?;
        let mut picture = tables::load(&mut transaction, &Needs::of(group), turn.before).await?;
        for request in group {
            request.decide(&mut picture);
        }
        if picture.revision == turn.before && !picture.is_changed() {
            transaction.rollback().await?;
            return Ok(turn.before);
        }
        tables::save(&mut transaction, &picture).await?;
        if picture.revision.0 < turn.before.0 + revisions {
            tables::end_turn(&mut transaction, picture.revision).await?;
        }
        if let Some(up_to) = self.to_forget(picture.revision, turn.compacted) {
            tables::compact(&mut transaction, up_to).await?;
        }
        if picture.revision > turn.before {
            self.target.announce(&mut transaction, picture.revision).await?;
        }
        *is_at_commit = true;
        transaction.commit().await.map_err(|error| Failure::AtCommit(told(&error)))?;
        Ok(picture.revision)
    }

    /// Deletions are forgotten in steps, a hundredth of what is kept at a time.
    fn to_forget(&self, newest: Revision, compacted: Revision) -> Option<Revision> {
        let up_to = Revision(newest.0.saturating_sub(self.kept_deletions));
        let step = (self.kept_deletions / 100).max(1);
        (up_to.0 >= compacted.0 + step).then_some(up_to)
    }
}

/// For who comes after the end.
pub(crate) fn closed() -> StoreError {
    StoreError::Unavailable(CLOSED.to_owned())
}
