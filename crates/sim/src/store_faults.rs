//! A store that fails at random, and says so in every way a real one can.

use crate::auditor::Auditor;
use crate::weather::{Trouble, Weather};
use async_trait::async_trait;
use clock::{Clock, Entropy, SeededEntropy};
use domain::meta::Revision;
use jiff::Timestamp;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::{Batch, Changes, CommitError, Committed, CounterKey, HolderId, Key, Kind, Lease, MemStore, Page, Record, Store, StoreError};

/// How often, in one of a thousand calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FaultRates {
    /// Nothing is done.
    pub unavailable: u64,
    /// It is done, and the answer is lost.
    pub lost_reply: u64,
    /// Nothing is done, as if somebody had been faster.
    pub conflict: u64,
    /// It takes up to two seconds.
    pub slow: u64,
}

/// The store as one process sees it. What it commits is audited.
pub(crate) struct FaultyStore {
    inner: MemStore,
    rates: FaultRates,
    seed: u64,
    entropy: SeededEntropy,
    /// Leases are renewed beside everything else.
    lease_entropy: SeededEntropy,
    clock: Arc<dyn Clock>,
    is_on: Arc<AtomicBool>,
    auditor: Arc<Auditor>,
    host: usize,
    weather: Arc<Weather>,
}

impl FaultyStore {
    /// Faults happen while `is_on`.
    pub fn new(
        inner: MemStore,
        rates: FaultRates,
        seed: u64,
        clock: Arc<dyn Clock>,
        is_on: Arc<AtomicBool>,
        auditor: Arc<Auditor>,
        (host, weather): (usize, Arc<Weather>),
    ) -> Self {
        Self {
            inner,
            rates,
            seed,
            entropy: SeededEntropy::new(seed),
            lease_entropy: SeededEntropy::new(!seed),
            clock,
            is_on,
            auditor,
            host,
            weather,
        }
    }

    /// Until when there is trouble on the line.
    fn trouble(&self, trouble: Trouble) -> Option<Timestamp> {
        let is_on = self.is_on.load(Ordering::Relaxed);
        let until = self.weather.until(self.host, trouble, self.clock.now());
        until.filter(|_| is_on)
    }

    /// Waits and fails, now and then.
    async fn check(&self, fate: &SeededEntropy) -> Result<(), StoreError> {
        let wait = Duration::from_millis(fate.next_u64() % 2_000);
        let is_slow = self.happens(fate, self.rates.slow) || self.trouble(Trouble::Slow).is_some();
        if is_slow {
            let until = self.clock.now().saturating_add(wait).unwrap_or(Timestamp::MAX);
            self.clock.sleep_until(until).await;
        }
        if self.happens(fate, self.rates.unavailable) || self.trouble(Trouble::Cut).is_some() {
            Err(StoreError::Unavailable("simulated".to_owned()))
        } else {
            Ok(())
        }
    }

    fn happens(&self, fate: &SeededEntropy, rate: u64) -> bool {
        let drawn = fate.next_u64() % 1000;
        self.is_on.load(Ordering::Relaxed) && drawn < rate
    }

    /// What a read of the history meets. The same for all who read at the same instant, since the runtime wakes them in no
    /// particular order.
    fn fate_of_reader(&self) -> SeededEntropy {
        let instant = self.clock.now().as_nanosecond() as u64;
        SeededEntropy::new(self.seed ^ instant)
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.check(&self.entropy).await?;
        self.inner.get(key).await
    }

    async fn list(&self, kind: Kind, after: Option<&Key>, limit: NonZeroU32) -> Result<Page, StoreError> {
        self.check(&self.entropy).await?;
        self.inner.list(kind, after, limit).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        self.check(&self.entropy).await?;
        if self.happens(&self.entropy, self.rates.conflict)
            && let Some(write) = batch.writes.first()
        {
            return Err(CommitError::Conflict(write.key().clone()));
        }
        let committed = self.inner.commit(batch).await?;
        self.auditor.check().await;
        if self.happens(&self.entropy, self.rates.lost_reply) {
            return Err(StoreError::Ambiguous("simulated".to_owned()).into());
        }
        Ok(committed)
    }

    async fn changes(&self, after: Revision, limit: NonZeroU32) -> Result<Changes, StoreError> {
        self.check(&self.fate_of_reader()).await?;
        self.inner.changes(after, limit).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.inner.revision().await
    }

    async fn changed(&self, after: Revision) -> Result<Revision, StoreError> {
        while let Some(until) = self.trouble(Trouble::NoNews).or(self.trouble(Trouble::Cut)) {
            self.clock.sleep_until(until).await;
        }
        self.inner.changed(after).await
    }

    async fn counters(&self) -> Result<Vec<(CounterKey, u64)>, StoreError> {
        self.inner.counters().await
    }

    async fn acquire(&self, lease: &str, holder: &HolderId, ttl: Duration, now: Timestamp) -> Result<Option<Lease>, StoreError> {
        self.check(&self.lease_entropy).await?;
        self.inner.acquire(lease, holder, ttl, now).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.inner.release(lease).await
    }
}
