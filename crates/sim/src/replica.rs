//! Processes of the world, and what may happen to each.

use crate::store_faults::FaultyStore;
use async_trait::async_trait;
use clock::{Clock, Entropy, SeededEntropy};
use fleet::Fleet;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use reconcile::{Controller, LeaseTimes, Policy, Probe, Silent};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::{HolderId, State};
use tokio::task::JoinHandle;

/// Something that runs until it is dropped, which stops it where it is.
pub(crate) struct Replica(JoinHandle<()>);

impl Drop for Replica {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Who waits for the lease asks more seldom than in production, where what that costs is not the simulation's time.
const LEASE: LeaseTimes = LeaseTimes {
    ttl: Duration::from_secs(15),
    retry: Duration::from_secs(5),
};

/// What a controller's process is made of.
pub(crate) struct ReplicaParts {
    pub name: String,
    pub store: Arc<FaultyStore>,
    pub clock: Arc<dyn Clock>,
    pub probe: Arc<dyn Probe>,
}

impl Replica {
    /// A controller with an index of its own, as another process has it. The fleet comes when it comes.
    pub fn start(parts: ReplicaParts, fleet: BoxFuture<'static, Arc<dyn Fleet>>) -> Self {
        Self(tokio::spawn(async move {
            let fleet = fleet.await;
            let state = loop {
                match State::load(Arc::clone(&parts.store) as Arc<dyn store::Store>).await {
                    Ok(state) => break state,
                    Err(_) => pause(parts.clock.as_ref(), Duration::from_secs(1)).await,
                }
            };
            let controller = Controller::new(reconcile::Parts {
                state: state.clone(),
                fleet,
                clock: Arc::clone(&parts.clock),
                holder: HolderId(parts.name),
                lease: LEASE,
                policy: Policy::default(),
                probe: parts.probe,
                observer: Arc::new(Silent),
            });
            tokio::join!(follow(state, parts.clock), controller.run(std::future::pending()));
        }))
    }

    /// A controller that shares its index with others of its process.
    pub fn run(controller: Controller) -> Self {
        Self(tokio::spawn(async move { controller.run(std::future::pending()).await }))
    }

    pub fn follow(state: State, clock: Arc<dyn Clock>) -> Self {
        Self(tokio::spawn(follow(state, clock)))
    }

    /// It panicked: nothing here ends by itself.
    pub fn has_ended(&self) -> bool {
        self.0.is_finished()
    }
}

async fn follow(state: State, clock: Arc<dyn Clock>) {
    loop {
        let _error = state.follow().await;
        pause(clock.as_ref(), Duration::from_secs(1)).await;
    }
}

async fn pause(clock: &dyn Clock, wait: Duration) {
    clock.sleep_until(clock.now().saturating_add(wait).unwrap_or(Timestamp::MAX)).await;
}

/// A clock that is ahead of another one.
pub(crate) struct Skewed {
    inner: Arc<dyn Clock>,
    ahead: SignedDuration,
}

impl Skewed {
    pub fn new(inner: Arc<dyn Clock>, ahead: SignedDuration) -> Self {
        Self { inner, ahead }
    }
}

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        self.inner.now().saturating_add(self.ahead).unwrap_or(Timestamp::MAX)
    }

    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        self.inner
            .sleep_until(deadline.saturating_sub(self.ahead).unwrap_or(Timestamp::MAX))
    }
}

/// Stops now and then at the named points for longer than a lease lasts.
pub(crate) struct Stall {
    entropy: SeededEntropy,
    clock: Arc<dyn Clock>,
    is_on: Arc<AtomicBool>,
}

impl Stall {
    pub fn new(seed: u64, clock: Arc<dyn Clock>, is_on: Arc<AtomicBool>) -> Self {
        Self {
            entropy: SeededEntropy::new(seed),
            clock,
            is_on,
        }
    }
}

#[async_trait]
impl Probe for Stall {
    async fn at(&self, _point: &'static str) {
        let is_stalled = self.entropy.next_u64().is_multiple_of(400);
        if is_stalled && self.is_on.load(Ordering::Relaxed) {
            pause(self.clock.as_ref(), Duration::from_secs(40)).await;
        }
    }
}
