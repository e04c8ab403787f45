//! The loop: which tree needs a step, who may make it, and when.

mod queue;

use crate::backoff;
use crate::plan::Policy;
use crate::step::{Probe, StepContext, StepOutcome, root_of, step};
use clock::Clock;
use domain::meta::Fence;
use domain::pool::{Pool, PoolRef};
use fleet::Fleet;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use queue::{Haste, Queue, Written};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use store::index::{Facet, Touched};
use store::{HolderId, Lease, Object, State, StoreError};

/// The one lease of a fleet: its holder reconciles.
pub const LEASE: &str = "fleet";
/// Trees that are worked on at the same time.
const WORKERS: usize = 8;

/// How the lease is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTimes {
    /// So long after its holder's last sign of life somebody else gets it.
    pub ttl: Duration,
    /// Who waits for it asks so often: no more than that is lost when it is given back.
    pub retry: Duration,
}

impl LeaseTimes {
    pub fn of(ttl: Duration) -> Self {
        Self { ttl, retry: ttl / 15 }
    }

    /// Its holder renews it so often.
    fn renewal(self) -> Duration {
        self.ttl / 3
    }
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self::of(Duration::from_secs(15))
    }
}

/// Told what the controller does, for metrics.
pub trait Observer: Send + Sync + 'static {
    fn step(&self, outcome: &'static str);
    fn queued(&self, length: usize);
    /// This holder has the lease with an epoch, or has it no more.
    fn leads(&self, _epoch: Option<u64>) {}
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn step(&self, _outcome: &'static str) {}
    fn queued(&self, _length: usize) {}
}

/// What a controller is built from.
pub struct Parts {
    pub state: State,
    pub fleet: Arc<dyn Fleet>,
    pub clock: Arc<dyn Clock>,
    pub holder: HolderId,
    pub lease: LeaseTimes,
    pub policy: Policy,
    pub probe: Arc<dyn Probe>,
    pub observer: Arc<dyn Observer>,
}

pub struct Controller {
    context: StepContext,
    holder: HolderId,
    lease: LeaseTimes,
    observer: Arc<dyn Observer>,
}

impl Controller {
    pub fn new(parts: Parts) -> Self {
        let context = StepContext {
            state: parts.state,
            fleet: parts.fleet,
            clock: parts.clock,
            policy: parts.policy,
            probe: parts.probe,
        };
        Self {
            context,
            holder: parts.holder,
            lease: parts.lease,
            observer: parts.observer,
        }
    }

    /// Reconciles whenever this holder has the lease, until told to stop; then the lease is given back.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        loop {
            let lease = tokio::select! {
                biased;
                () = &mut shutdown => return,
                lease = self.take_lease() => lease,
            };
            tracing::info!(epoch = lease.epoch, "reconciling");
            self.observer.leads(Some(lease.epoch));
            let is_told_to_stop = tokio::select! {
                biased;
                () = &mut shutdown => true,
                () = self.hold(lease.clone()) => false,
            };
            self.observer.leads(None);
            if is_told_to_stop {
                if let Err(error) = self.context.state.store().release(&lease).await {
                    tracing::warn!(%error, "the lease could not be given back");
                }
                return;
            }
        }
    }

    async fn pause(&self, wait: Duration) {
        self.context
            .clock
            .sleep_until(self.context.clock.now().saturating_add(wait).unwrap_or(Timestamp::MAX))
            .await;
    }

    /// Asks the store for the lease, whoever has it now.
    async fn acquire(&self) -> Result<Option<Lease>, StoreError> {
        let now = self.context.clock.now();
        let store = self.context.state.store();
        store.acquire(LEASE, &self.holder, self.lease.ttl, now).await
    }

    async fn take_lease(&self) -> Lease {
        loop {
            match self.acquire().await {
                // An answer that took longer than the lease lasts gives nothing.
                Ok(Some(lease)) if self.context.clock.now() < lease.expires_at => return lease,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the lease could not be asked for"),
            }
            self.pause(self.lease.retry).await;
        }
    }

    /// Works until the lease is lost. While that is not certain, nothing is done.
    async fn hold(&self, mut lease: Lease) {
        let (epoch, fence) = (lease.epoch, lease.fence());
        let work = self.reconcile(&fence);
        tokio::pin!(work);
        loop {
            // The order matters: who wakes up after its time is over does nothing more.
            let is_lost = tokio::select! {
                biased;
                is_lost = self.keep_lease(lease) => is_lost,
                () = &mut work => {
                    tracing::warn!(epoch, "another holder has the lease");
                    return;
                }
            };
            let renewed = if is_lost { None } else { self.ask_once_more(epoch).await };
            let Some(renewed) = renewed else {
                tracing::warn!(epoch, "the lease is lost");
                return;
            };
            lease = renewed;
        }
    }

    /// The lease is over by this clock. It is still ours if nobody has asked for it, and the store says so soon.
    async fn ask_once_more(&self, epoch: u64) -> Option<Lease> {
        let renewed = tokio::select! {
            biased;
            renewed = self.acquire() => renewed.ok().flatten(),
            () = self.pause(self.lease.retry) => None,
        };
        renewed.filter(|renewed| renewed.epoch == epoch && self.context.clock.now() < renewed.expires_at)
    }

    /// Returns when the lease is over, or lost: `true`.
    async fn keep_lease(&self, lease: Lease) -> bool {
        let mut expires_at = lease.expires_at;
        loop {
            let renew = async {
                self.pause(self.lease.renewal()).await;
                loop {
                    match self.acquire().await {
                        Ok(renewed) => return renewed,
                        Err(error) => tracing::warn!(%error, "the lease could not be renewed"),
                    }
                    self.pause(self.lease.retry).await;
                }
            };
            let renewed = tokio::select! {
                biased;
                () = self.context.clock.sleep_until(expires_at) => return false,
                renewed = renew => renewed,
            };
            match renewed.filter(|renewed| renewed.epoch == lease.epoch) {
                Some(renewed) => expires_at = renewed.expires_at,
                None => return true,
            }
        }
    }

    /// Works until another holder's epoch is seen.
    async fn reconcile(&self, fence: &Fence) {
        let mut touched = self.context.state.index().subscribe();
        self.context.fleet.lead(fence).await;
        let mut queue = Queue::default();
        self.push_all(&mut queue);
        let mut resync = Box::pin(self.resync(fence));
        let mut fleet_change = Box::pin(self.context.fleet.changed());
        let mut steps = FuturesUnordered::new();
        loop {
            queue.pass_due(self.context.clock.now());
            while steps.len() < WORKERS
                && let Some(root) = queue.pop()
            {
                let no_capacity = queue.known.get(&root).map(|known| known.no_capacity.clone()).unwrap_or_default();
                steps.push(async move {
                    let outcome = step(&self.context, &root, fence, &no_capacity).await;
                    (root, outcome)
                });
            }
            self.observer.queued(queue.len());
            let next = queue.next_timer();
            let timer = async {
                match next {
                    Some(at) => self.context.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some((root, outcome)) = steps.next(), if !steps.is_empty() => {
                    if self.settle(&mut queue, root, outcome) {
                        return;
                    }
                }
                Some(change) = touched.recv() => {
                    let now = self.context.clock.now();
                    push_touched(&mut queue, now, &change);
                    while let Ok(more) = touched.try_recv() {
                        push_touched(&mut queue, now, &more);
                    }
                }
                uids = &mut fleet_change => {
                    fleet_change = Box::pin(self.context.fleet.changed());
                    let now = self.context.clock.now();
                    let index = self.context.state.index().read();
                    for pool in uids.iter().filter_map(|uid| index.pool(uid)) {
                        queue.push(now, root_of(&pool), Haste::Patient);
                    }
                }
                () = timer => {}
                () = &mut resync => {
                    resync = Box::pin(self.resync(fence));
                    self.push_all(&mut queue);
                }
            }
        }
    }

    /// Waits until all trees are to be looked at again. It runs beside the steps: a fleet may let who leads wait for a command
    /// that is being carried out, and nothing is carried out while nobody asks how far it is.
    async fn resync(&self, fence: &Fence) {
        self.pause(self.context.policy.resync).await;
        self.context.fleet.lead(fence).await;
    }

    fn push_all(&self, queue: &mut Queue) {
        let now = self.context.clock.now();
        let pools = self.context.state.index().read().all::<Pool>();
        for pool in pools {
            queue.push(now, root_of(&pool), Haste::Patient);
        }
    }

    /// `true`: this holder's time is over.
    fn settle(&self, queue: &mut Queue, root: PoolRef, outcome: StepOutcome) -> bool {
        let now = self.context.clock.now();
        let written = match &outcome {
            StepOutcome::Done { written, .. } => written.map(|(revision, is_quiet)| Written { revision, is_quiet }),
            StepOutcome::Again | StepOutcome::Failed(_) | StepOutcome::Fenced => None,
        };
        queue.rest(now, &root, (self.nodes_of(&root), written));
        let known = queue.known.entry(root.clone()).or_default();
        let seed = root.name.as_str().bytes().map(u64::from).sum::<u64>().wrapping_mul(31) + u64::from(known.failures);
        let wake = match outcome {
            StepOutcome::Done { wake, no_capacity, .. } => {
                self.observer.step("done");
                let is_short = !no_capacity.is_empty();
                known.failures = if is_short { known.failures + 1 } else { 0 };
                known.no_capacity = no_capacity;
                let retry = is_short.then(|| now.saturating_add(backoff::delay(known.failures, seed)).unwrap_or(Timestamp::MAX));
                [wake, retry].into_iter().flatten().min()
            }
            StepOutcome::Again => {
                self.observer.step("conflict");
                Some(now)
            }
            StepOutcome::Failed(reason) => {
                self.observer.step("failed");
                known.failures += 1;
                tracing::warn!(pool = %root.name, reason, failures = known.failures, "a step failed");
                Some(now.saturating_add(backoff::delay(known.failures, seed)).unwrap_or(Timestamp::MAX))
            }
            StepOutcome::Fenced => {
                self.observer.step("fenced");
                return true;
            }
        };
        let is_idle = wake.is_none() && known.failures == 0 && known.no_capacity.is_empty();
        if !queue.follow_up(now, &root, wake) && is_idle {
            queue.known.remove(&root);
        }
        false
    }

    fn nodes_of(&self, root: &PoolRef) -> usize {
        let index = self.context.state.index().read();
        let root = index.get::<Pool>(&root.project, &root.name);
        root.map_or(0, |root| index.filed(Facet::NodesOfPool, root.uid.as_str()))
    }
}

/// Objects that belong to a tree wake it: pools, and nodes, which are asked for things without a change of their pool.
fn push_touched(queue: &mut Queue, now: Timestamp, touched: &Touched) {
    let haste = Haste::Of(touched.entry.revision);
    if let Object::Node(node) = &touched.entry.object {
        let root = PoolRef {
            project: node.project.clone(),
            name: node.pool.clone(),
        };
        queue.push(now, root, haste);
    }
    if let Object::Pool(pool) = &touched.entry.object {
        queue.push(now, root_of(pool), haste);
        if let Some(parent) = pool.logical().and_then(|spec| spec.parent.clone()) {
            queue.push(now, parent, haste);
        }
    }
}
