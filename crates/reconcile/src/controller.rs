//! The loop: which tree needs a step, who may make it, and when.

use crate::backoff;
use crate::plan::Policy;
use crate::step::{Probe, StepContext, StepOutcome, root_of, step};
use clock::Clock;
use domain::meta::Fence;
use domain::name::NodeName;
use domain::pool::{Pool, PoolRef};
use fleet::Fleet;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use store::index::Touched;
use store::{HolderId, Lease, Object, State};

/// The one lease of a fleet: its holder reconciles.
pub const LEASE: &str = "fleet";
const LEASE_TTL: Duration = Duration::from_secs(15);
const LEASE_RENEWAL: Duration = Duration::from_secs(5);
const RESYNC: Duration = Duration::from_mins(10);
/// Trees that are worked on at the same time.
const WORKERS: usize = 8;

/// Told what the controller does, for metrics.
pub trait Observer: Send + Sync + 'static {
    fn step(&self, outcome: &'static str);
    fn queued(&self, length: usize);
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
    pub policy: Policy,
    pub probe: Arc<dyn Probe>,
    pub observer: Arc<dyn Observer>,
}

pub struct Controller {
    context: StepContext,
    holder: HolderId,
    observer: Arc<dyn Observer>,
}

/// What is known of a tree between its steps.
#[derive(Debug, Default)]
struct Known {
    failures: u32,
    no_capacity: BTreeSet<NodeName>,
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<PoolRef>,
    waiting: BTreeSet<PoolRef>,
    running: BTreeSet<PoolRef>,
    /// Touched while a step was running: one more is due.
    again: BTreeSet<PoolRef>,
    timers: BTreeSet<(Timestamp, PoolRef)>,
    due: BTreeMap<PoolRef, Timestamp>,
    known: BTreeMap<PoolRef, Known>,
}

impl Queue {
    fn push(&mut self, root: PoolRef) {
        if self.running.contains(&root) {
            self.again.insert(root);
        } else if self.waiting.insert(root.clone()) {
            self.ready.push_back(root);
        }
    }

    fn pop(&mut self) -> Option<PoolRef> {
        let root = self.ready.pop_front()?;
        self.waiting.remove(&root);
        self.running.insert(root.clone());
        self.set_timer(&root, None);
        Some(root)
    }

    fn set_timer(&mut self, root: &PoolRef, at: Option<Timestamp>) {
        if let Some(old) = self.due.remove(root) {
            self.timers.remove(&(old, root.clone()));
        }
        if let Some(at) = at {
            self.due.insert(root.clone(), at);
            self.timers.insert((at, root.clone()));
        }
    }

    fn pass_due(&mut self, now: Timestamp) {
        while let Some((at, root)) = self.timers.first().cloned()
            && at <= now
        {
            self.set_timer(&root, None);
            self.push(root);
        }
    }
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
            let fence = lease.fence();
            tokio::select! {
                biased;
                () = &mut shutdown => {
                    if let Err(error) = self.context.state.store().release(&lease).await {
                        tracing::warn!(%error, "the lease could not be given back");
                    }
                    return;
                }
                () = self.keep_lease(&lease) => tracing::warn!(epoch = lease.epoch, "the lease is lost"),
                () = self.reconcile(&fence) => tracing::warn!(epoch = lease.epoch, "another holder has the lease"),
            }
        }
    }

    async fn pause(&self, wait: Duration) {
        self.context
            .clock
            .sleep_until(self.context.clock.now().saturating_add(wait).unwrap_or(Timestamp::MAX))
            .await;
    }

    async fn take_lease(&self) -> Lease {
        loop {
            match self
                .context
                .state
                .store()
                .acquire(LEASE, &self.holder, LEASE_TTL, self.context.clock.now())
                .await
            {
                Ok(Some(lease)) => return lease,
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the lease could not be asked for"),
            }
            self.pause(LEASE_RENEWAL).await;
        }
    }

    /// Returns when the lease is lost, or may be.
    async fn keep_lease(&self, lease: &Lease) {
        let mut expires_at = lease.expires_at;
        loop {
            self.pause(LEASE_RENEWAL).await;
            let now = self.context.clock.now();
            match self.context.state.store().acquire(LEASE, &self.holder, LEASE_TTL, now).await {
                Ok(Some(renewed)) if renewed.epoch == lease.epoch => expires_at = renewed.expires_at,
                Ok(Some(_) | None) => return,
                Err(error) => {
                    tracing::warn!(%error, "the lease could not be renewed");
                    if now >= expires_at {
                        return;
                    }
                }
            }
        }
    }

    /// Works until another holder's epoch is seen.
    async fn reconcile(&self, fence: &Fence) {
        let mut touched = self.context.state.index().subscribe();
        self.context.fleet.lead(fence).await;
        let mut queue = Queue::default();
        self.push_all(&mut queue);
        let mut resync = Box::pin(self.pause(RESYNC));
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
            self.observer.queued(queue.ready.len());
            let next = queue.timers.first().map(|(at, _)| *at);
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
                    push_touched(&mut queue, &change);
                    while let Ok(more) = touched.try_recv() {
                        push_touched(&mut queue, &more);
                    }
                }
                uids = &mut fleet_change => {
                    fleet_change = Box::pin(self.context.fleet.changed());
                    let index = self.context.state.index().read();
                    for pool in uids.iter().filter_map(|uid| index.pool(uid)) {
                        queue.push(root_of(&pool));
                    }
                }
                () = timer => {}
                () = &mut resync => {
                    self.context.fleet.lead(fence).await;
                    resync = Box::pin(self.pause(RESYNC));
                    self.push_all(&mut queue);
                }
            }
        }
    }

    fn push_all(&self, queue: &mut Queue) {
        let pools = self.context.state.index().read().all::<Pool>();
        for pool in pools {
            queue.push(root_of(&pool));
        }
    }

    /// `true`: this holder's time is over.
    fn settle(&self, queue: &mut Queue, root: PoolRef, outcome: StepOutcome) -> bool {
        queue.running.remove(&root);
        let now = self.context.clock.now();
        let known = queue.known.entry(root.clone()).or_default();
        let seed = root.name.as_str().bytes().map(u64::from).sum::<u64>().wrapping_mul(31) + u64::from(known.failures);
        let wake = match outcome {
            StepOutcome::Done { wake, no_capacity } => {
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
        if queue.again.remove(&root) {
            queue.push(root);
        } else {
            if wake.is_none() && known.failures == 0 && known.no_capacity.is_empty() {
                queue.known.remove(&root);
            }
            queue.set_timer(&root, wake);
        }
        false
    }
}

/// Objects that belong to a tree wake it: pools, and nodes, which are asked for things without a change of their pool.
fn push_touched(queue: &mut Queue, touched: &Touched) {
    if let Object::Node(node) = &touched.entry.object {
        queue.push(PoolRef {
            project: node.project.clone(),
            name: node.pool.clone(),
        });
    }
    if let Object::Pool(pool) = &touched.entry.object {
        queue.push(root_of(pool));
        if let Some(parent) = pool.logical().and_then(|spec| spec.parent.clone()) {
            queue.push(parent);
        }
    }
}
