//! Keeps the record of who did what, beside the path of requests (`docs/adr/0009-audit-beside-the-write-path.md`).

use clock::Clock;
use domain::audit::AuditEntry;
use http_api::audit::AuditSink;
use http_api::metrics::Metrics;
use jiff::Timestamp;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::State;
use tokio::sync::{mpsc, watch};

/// Entries that wait to be kept. More are in the log alone.
const QUEUE: usize = 8_192;
/// Entries of one commit.
const TOGETHER: usize = 500;
/// How long an entry waits for others at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often old entries are looked for.
const SWEEP: Duration = Duration::from_hours(1);
/// Entries without a caller that are kept of one minute: whoever only guesses must not fill the disk.
const STRANGERS: u32 = 600;
/// Requests in flight get so long to end after the order to stop, and a little more.
const LAST_WORDS: Duration = Duration::from_secs(25);

/// Takes entries from requests.
pub struct Recorder {
    entries: mpsc::Sender<AuditEntry>,
    metrics: Arc<Metrics>,
    minute: AtomicI64,
    strangers: AtomicU32,
}

/// Writes them.
pub struct Keeper {
    entries: mpsc::Receiver<AuditEntry>,
    state: State,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    retention: Duration,
    next_sweep: Mutex<Timestamp>,
}

pub fn channel(state: State, clock: Arc<dyn Clock>, metrics: Arc<Metrics>, retention: Duration) -> (Recorder, Keeper) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let recorder = Recorder {
        entries: sender,
        metrics: Arc::clone(&metrics),
        minute: AtomicI64::new(0),
        strangers: AtomicU32::new(0),
    };
    let keeper = Keeper {
        entries: receiver,
        state,
        next_sweep: Mutex::new(Timestamp::MIN),
        clock,
        metrics,
        retention,
    };
    (recorder, keeper)
}

impl Recorder {
    /// Two at the turn of a minute may both begin it; then it has a few more.
    fn is_one_stranger_too_many(&self, at: Timestamp) -> bool {
        let minute = at.as_second().div_euclid(60);
        if self.minute.swap(minute, Ordering::Relaxed) != minute {
            self.strangers.store(0, Ordering::Relaxed);
        }
        self.strangers.fetch_add(1, Ordering::Relaxed) >= STRANGERS
    }
}

impl AuditSink for Recorder {
    fn record(&self, entry: AuditEntry) {
        let is_too_many = entry.caller.is_none() && self.is_one_stranger_too_many(entry.at);
        if is_too_many || self.entries.try_send(entry).is_err() {
            self.metrics.audit_lost(1);
        }
    }
}

impl Keeper {
    /// Keeps what comes until nobody is left to send it, or for a while after the order to stop.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let clock = Arc::clone(&self.clock);
        let end = async move {
            // An error means that the server is gone, which is a stop too.
            drop(stopped.wait_for(|is_stopped| *is_stopped).await);
            clock.sleep_until(after(clock.as_ref(), LAST_WORDS)).await;
        };
        tokio::pin!(end);
        loop {
            let batch = tokio::select! {
                biased;
                batch = self.next() => batch,
                () = &mut end => return,
            };
            if batch.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                () = self.keep(&batch) => {}
                () = &mut end => {
                    self.metrics.audit_lost(batch.len());
                    return;
                }
            }
            self.sweep().await;
        }
    }

    /// The entries of one commit; none: there will be no more.
    async fn next(&mut self) -> Vec<AuditEntry> {
        let mut batch = Vec::new();
        if self.entries.recv_many(&mut batch, TOGETHER).await == 0 {
            return batch;
        }
        let over = self.clock.sleep_until(after(self.clock.as_ref(), PATIENCE));
        tokio::pin!(over);
        while batch.len() < TOGETHER {
            let room = TOGETHER - batch.len();
            tokio::select! {
                biased;
                () = &mut over => break,
                more = self.entries.recv_many(&mut batch, room) => if more == 0 { break },
            }
        }
        batch
    }

    /// Tries until it works; meanwhile the queue fills.
    async fn keep(&self, batch: &[AuditEntry]) {
        while let Err(error) = service::audit::keep(&self.state, batch).await {
            tracing::warn!(error, entries = batch.len(), "the audit record cannot be kept, trying again");
            self.clock.sleep_until(after(self.clock.as_ref(), PATIENCE)).await;
        }
    }

    async fn sweep(&self) {
        let now = self.clock.now();
        {
            let mut next = self.next_sweep.lock().unwrap_or_else(PoisonError::into_inner);
            if now < *next {
                return;
            }
            *next = after(self.clock.as_ref(), SWEEP);
        }
        match service::audit::forget(&self.state, now, self.retention).await {
            Ok(0) => {}
            Ok(entries) => tracing::info!(entries, "old entries of the audit record were deleted"),
            Err(error) => tracing::warn!(error, "old entries of the audit record could not be deleted"),
        }
    }
}

fn after(clock: &dyn Clock, duration: Duration) -> Timestamp {
    clock.now().saturating_add(duration).unwrap_or(Timestamp::MAX)
}
