//! How a change is carried out: decided on a fresh view, committed, and decided again if something came in between.

use crate::Outcome;
use crate::context::{CallContext, Idempotency, Service};
use crate::error::{QuotaKind, ServiceError};
use domain::catalogue::Offers;
use domain::meta::Revision;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::index::Versioned;
use store::object::Replay;
use store::{CommitError, Expect, Key, Kind, Resource, TypedBatch};

/// What a use case has decided to do.
#[derive(Debug)]
pub struct Decided<T> {
    pub batch: TypedBatch,
    pub object: Arc<T>,
    /// The revision to answer with where the batch writes nothing.
    pub unchanged: Option<Revision>,
}

impl<T: Resource> Decided<T> {
    /// Just to delete something.
    pub fn deletion(found: &Versioned<T>) -> Self {
        let mut batch = TypedBatch::default();
        batch.delete(found.entry.key.clone(), Expect::At(found.revision()));
        Self {
            batch,
            object: Arc::clone(&found.object),
            unchanged: None,
        }
    }
}

/// Changes to one pool tree wait for each other, so that they seldom have to be replayed.
#[derive(Debug, Default)]
pub struct Locks(Mutex<BTreeMap<Key, Arc<tokio::sync::Mutex<()>>>>);

impl Locks {
    /// Waits for one's turn at a tree.
    pub async fn lock(&self, tree: Key) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if locks.len() > 1_000 {
                locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            }
            Arc::clone(locks.entry(tree).or_default())
        };
        lock.lock_owned().await
    }
}

/// The answer of a change, in the form in which it is kept for repetitions.
#[derive(Serialize, serde::Deserialize)]
enum Answer<T> {
    Done(T),
    Failed(ServiceError),
}

impl Service {
    /// Decides and commits until the commit finds the world as the decision did, for at most the replay limit. With an
    /// `Idempotency-Key`, a repetition gets the first answer.
    pub(crate) async fn change<T>(
        &self,
        ctx: &CallContext,
        mut decide: impl FnMut() -> Result<Decided<T>, ServiceError>,
    ) -> Result<Outcome<T>, ServiceError>
    where
        T: Serialize + DeserializeOwned,
    {
        self.replaying(ctx, false, |_| decide()).await
    }

    /// As [`Service::change`], for decisions that depend on the machines that are free.
    pub(crate) async fn change_with_offers<T>(
        &self,
        ctx: &CallContext,
        decide: impl FnMut(&Offers) -> Result<Decided<T>, ServiceError>,
    ) -> Result<Outcome<T>, ServiceError>
    where
        T: Serialize + DeserializeOwned,
    {
        self.replaying(ctx, true, decide).await
    }

    async fn replaying<T>(
        &self,
        ctx: &CallContext,
        needs_offers: bool,
        mut decide: impl FnMut(&Offers) -> Result<Decided<T>, ServiceError>,
    ) -> Result<Outcome<T>, ServiceError>
    where
        T: Serialize + DeserializeOwned,
    {
        let deadline = self.deadline();
        let mut attempt = 0;
        loop {
            if let Some(key) = &ctx.idempotency
                && let Some(answer) = self.replayed(ctx, key)?
            {
                return answer;
            }
            let offers = if needs_offers { self.offers().await? } else { Offers::new() };
            let mut decided = match decide(&offers) {
                Ok(decided) => decided,
                Err(error) => return Err(self.remember_failure(ctx, error).await),
            };
            if ctx.is_dry_run {
                return Ok(Outcome {
                    object: decided.object,
                    revision: None,
                });
            }
            if decided.batch.is_empty() && ctx.idempotency.is_none() {
                return Ok(Outcome {
                    object: decided.object,
                    revision: decided.unchanged,
                });
            }
            if let Some(key) = &ctx.idempotency {
                let replay = self.replay(ctx, key, &Answer::Done(decided.object.as_ref()))?;
                decided.batch.put(replay, self.expect_replay(ctx, key));
            }
            let is_unchanged = decided.unchanged.is_some();
            match self.parts.state.commit(decided.batch).await {
                Ok(applied) => {
                    let revision = if is_unchanged { decided.unchanged } else { Some(applied.revision) };
                    return Ok(Outcome {
                        object: decided.object,
                        revision,
                    });
                }
                Err(CommitError::Conflict(key)) => {
                    tracing::debug!(request_id = %ctx.request_id, %key, attempt, "replaying a change");
                }
                // Somebody else took the last one since the decision was made: the next decision says so properly.
                Err(CommitError::Limit(counter)) if attempt < 2 => {
                    tracing::debug!(request_id = %ctx.request_id, %counter, attempt, "a bound was reached meanwhile");
                }
                Err(CommitError::Limit(counter)) => return Err(limit(&counter)),
                Err(CommitError::Fenced) => return Err(ServiceError::Internal("a request was fenced".to_owned())),
                Err(CommitError::Store(error)) => return Err(ServiceError::Unavailable(error.to_string())),
            }
            attempt += 1;
            if self.now() >= deadline {
                return Err(ServiceError::Conflict);
            }
            self.back_off(attempt).await;
        }
    }

    fn deadline(&self) -> Timestamp {
        self.now().saturating_add(self.parts.limits.replay).unwrap_or(Timestamp::MAX)
    }

    /// The first replays come at once; later ones a little later, each at another moment.
    async fn back_off(&self, attempt: u32) {
        if attempt <= 2 {
            return;
        }
        let most = 1_u64 << attempt.min(7);
        let wait = Duration::from_millis(self.entropy().next_u64() % most + 1);
        let until = self.now().saturating_add(wait).unwrap_or(Timestamp::MAX);
        self.parts.clock.sleep_until(until).await;
    }

    fn replay_key(ctx: &CallContext, key: &Idempotency) -> Key {
        Key::new(Kind::Replay, &ctx.project, &key.key)
    }

    fn stored_replay(&self, ctx: &CallContext, key: &Idempotency) -> Option<store::index::Versioned<Replay>> {
        self.parts.state.index().read().at::<Replay>(&Self::replay_key(ctx, key))
    }

    fn replayed<T: DeserializeOwned>(
        &self,
        ctx: &CallContext,
        key: &Idempotency,
    ) -> Result<Option<Result<Outcome<T>, ServiceError>>, ServiceError> {
        let Some(stored) = self.stored_replay(ctx, key).filter(|stored| stored.expires_at > self.now()) else {
            return Ok(None);
        };
        if stored.request != key.request {
            return Err(ServiceError::KeyReused);
        }
        let answer: Answer<T> = serde_json::from_value(stored.answer.clone()).map_err(|error| ServiceError::Internal(error.to_string()))?;
        Ok(Some(match answer {
            Answer::Done(object) => Ok(Outcome {
                object: Arc::new(object),
                revision: Some(stored.revision()),
            }),
            Answer::Failed(error) => Err(error),
        }))
    }

    fn expect_replay(&self, ctx: &CallContext, key: &Idempotency) -> Expect {
        self.stored_replay(ctx, key)
            .map_or(Expect::Absent, |stored| Expect::At(stored.revision()))
    }

    fn replay<T: Serialize>(&self, ctx: &CallContext, key: &Idempotency, answer: &Answer<T>) -> Result<Replay, ServiceError> {
        Ok(Replay {
            project: ctx.project.to_string(),
            name: key.key.clone(),
            request: key.request.clone(),
            answer: serde_json::to_value(answer).map_err(|error| ServiceError::Internal(error.to_string()))?,
            expires_at: self.now().saturating_add(self.parts.limits.idempotency).unwrap_or(Timestamp::MAX),
        })
    }

    /// Keeps a refusal for repetitions of the request. Answers of 500 and above are not kept.
    async fn remember_failure(&self, ctx: &CallContext, error: ServiceError) -> ServiceError {
        let Some(key) = ctx
            .idempotency
            .as_ref()
            .filter(|_| error.had_no_effect() && !error.retryable() && !ctx.is_dry_run)
        else {
            return error;
        };
        let replay = match self.replay(ctx, key, &Answer::<()>::Failed(error.clone())) {
            Ok(replay) => replay,
            Err(broken) => return broken,
        };
        let mut batch = TypedBatch::default();
        batch.put(replay, self.expect_replay(ctx, key));
        match self.parts.state.commit(batch).await {
            // After a conflict, the other request's answer is the one that is kept.
            Ok(_) | Err(CommitError::Conflict(_) | CommitError::Limit(_) | CommitError::Fenced) => error,
            Err(CommitError::Store(broken)) => ServiceError::Unavailable(broken.to_string()),
        }
    }
}

/// What a used-up bound means to the caller.
pub(crate) fn limit(counter: &store::CounterKey) -> ServiceError {
    let text = counter.0.as_str();
    if text.starts_with("pools/") {
        ServiceError::QuotaExceeded(QuotaKind::Pool)
    } else if text.starts_with("networks/") {
        ServiceError::QuotaExceeded(QuotaKind::Network)
    } else if text.starts_with("network-users/") {
        ServiceError::NetworkInUse
    } else if let Some(flavor) = text.strip_prefix("promised/") {
        ServiceError::Refused(format!("not enough free machines of flavor {flavor}"))
    } else {
        ServiceError::Refused("the network has not enough free addresses".to_owned())
    }
}
