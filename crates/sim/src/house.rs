//! What every world consists of, whatever its machines are: the store, the services, the controllers, the lines between them,
//! and those who look at what is committed.

use crate::auditor::Auditor;
use crate::replica::{Replica, ReplicaParts, Skewed, Stall};
use crate::store_faults::{FaultRates, FaultyStore};
use crate::users::{Ledger, User};
use crate::weather::{Trouble, Weather};
use auth::{KeyRing, Passwords, RolePolicy, Sealer, SealingKey};
use clock::{Clock, Entropy, RuntimeClock, SeededEntropy};
use domain::order::{Order, OrderPhase};
use domain::pool::{JobType, Pool, PoolPhase, ScopeState, ScopeStatus};
use fleet::Fleet;
use fleet::sim::SimFleet;
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use reconcile::{NoProbe, Probe};
use service::{Limits, Service, ServiceParts};
use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{MemStore, State};

/// Replicas that reconcile, and as many that serve.
pub(crate) const REPLICAS: usize = 2;
/// How far the clocks of the replicas are ahead of the machines'.
const SKEWS: [SignedDuration; REPLICAS] = [SignedDuration::from_secs(-4), SignedDuration::from_secs(7)];
pub(crate) const START: i64 = 1_800_000_000;

/// What may go wrong in every world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Perils {
    pub store: FaultRates,
    pub has_stalls: bool,
    pub has_skew: bool,
    pub has_weather: bool,
}

pub(crate) struct House {
    pub clock: Arc<dyn Clock>,
    pub mem: MemStore,
    pub auditor: Arc<Auditor>,
    pub faults_on: Arc<AtomicBool>,
    pub weather: Arc<Weather>,
    pub ledger: Ledger,
    seed: u64,
    perils: Perils,
    services: Vec<Service>,
    controllers: Mutex<Vec<Option<Replica>>>,
}

impl House {
    #[expect(clippy::expect_used, reason = "a world that cannot be made is no simulation")]
    pub async fn new(seed: u64, perils: Perils, mem: MemStore) -> Self {
        let start = Timestamp::from_second(START).expect("a time");
        let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at(start));
        let auditor = Auditor::new(mem.clone(), Arc::clone(&clock)).await.expect("an empty store");
        Self {
            clock,
            mem,
            auditor: Arc::new(auditor),
            faults_on: Arc::default(),
            weather: Arc::new(Weather::fair(REPLICAS)),
            ledger: Ledger::default(),
            seed,
            perils,
            services: Vec::new(),
            controllers: Mutex::new(Vec::new()),
        }
    }

    /// A stream of random numbers for each purpose.
    pub fn seed(&self, purpose: u64) -> u64 {
        self.seed.wrapping_mul(1_000_003) ^ purpose
    }

    pub fn clock_of(&self, number: usize) -> Arc<dyn Clock> {
        let ahead = if self.perils.has_skew {
            SKEWS[number % REPLICAS]
        } else {
            SignedDuration::ZERO
        };
        Arc::new(Skewed::new(Arc::clone(&self.clock), ahead))
    }

    /// A store as one process sees it. Each draws its faults from a stream of its own, so that none depends on the order in
    /// which they run.
    fn store(&self, host: usize, purpose: u64) -> Arc<FaultyStore> {
        Arc::new(FaultyStore::new(
            self.mem.clone(),
            self.perils.store,
            self.seed(purpose),
            Arc::clone(&self.clock),
            Arc::clone(&self.faults_on),
            Arc::clone(&self.auditor),
            (host, Arc::clone(&self.weather)),
        ))
    }

    /// Adds the next service, which sees that fleet; `purpose` is its own.
    #[expect(clippy::expect_used, reason = "nothing fails yet")]
    pub async fn add_service(&mut self, purpose: u64, fleet: Arc<dyn Fleet>, machines: Option<SimFleet>) {
        let number = self.services.len();
        let state = State::load(self.store(number % REPLICAS, purpose)).await.expect("a store");
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(self.seed(purpose + 1)));
        let key = SealingKey::generate(entropy.as_ref());
        self.services.push(Service::new(ServiceParts {
            state,
            fleet,
            machines,
            clock: self.clock_of(number),
            authorizer: Arc::new(RolePolicy),
            passwords: Passwords::new(Arc::clone(&entropy)),
            sealer: Arc::new(Sealer::new(KeyRing::new(vec![key]).expect("a key"), Arc::clone(&entropy))),
            entropy,
            limits: Limits::default(),
        }));
    }

    pub fn service(&self, number: usize) -> &Service {
        &self.services[number % REPLICAS]
    }

    pub fn user(&self, number: usize) -> User<'_> {
        User {
            service: self.service(number),
            ledger: &self.ledger,
            auditor: &self.auditor,
        }
    }

    /// Puts in what an operator has put in before anybody comes.
    #[expect(clippy::expect_used, reason = "a world that cannot be furnished is no simulation")]
    pub async fn furnish(&self) {
        use crate::place;
        let service = self.service(0);
        service
            .state()
            .commit(place::furniture(self.clock.now()))
            .await
            .expect("a first commit");
        let created = service.create_network(&place::context(), || Ok(place::network())).await;
        created.expect("a network");
        for service in &self.services {
            service.state().refresh().await.expect("a store");
        }
    }

    /// Starts a controller, or the next one in the place of one that was killed. Its fleet comes with its process.
    pub fn start_controller(
        &self,
        number: usize,
        incarnation: u64,
        fleet: impl FnOnce(u64) -> BoxFuture<'static, Arc<dyn Fleet>>,
        probe: Arc<dyn Probe>,
    ) {
        let purpose = 1_000 * (number as u64 + 1) + 4 * incarnation;
        let replica = Replica::start(
            ReplicaParts {
                name: format!("controller-{number}-{incarnation}"),
                store: self.store(number % REPLICAS, purpose),
                clock: self.clock_of(number),
                probe,
            },
            fleet(purpose + 1),
        );
        let mut controllers = self.controllers.lock().unwrap_or_else(PoisonError::into_inner);
        if controllers.len() <= number {
            controllers.resize_with(number + 1, || None);
        }
        controllers[number] = Some(replica);
    }

    pub fn kill_controller(&self, number: usize) {
        let mut controllers = self.controllers.lock().unwrap_or_else(PoisonError::into_inner);
        drop(controllers.get_mut(number).and_then(Option::take));
    }

    pub fn probe(&self, number: usize, incarnation: u64) -> Arc<dyn Probe> {
        if !self.perils.has_stalls {
            return Arc::new(NoProbe);
        }
        let seed = self.seed(50_000 + 100 * incarnation + number as u64);
        Arc::new(Stall::new(seed, Arc::clone(&self.clock), Arc::clone(&self.faults_on)))
    }

    /// Follows the store, as a serving replica does.
    pub fn follow(&self) -> Vec<Replica> {
        let clock = || Arc::clone(&self.clock);
        self.services
            .iter()
            .map(|service| Replica::follow(service.state().clone(), clock()))
            .collect()
    }

    /// Something happens to the lines to the database.
    pub fn strike_lines(&self, host: Option<usize>, trouble: Trouble, lasting: Duration) {
        if self.perils.has_weather {
            self.weather.strike(host, trouble, self.clock.now(), lasting);
        }
    }

    pub async fn pause(&self, wait: Duration) {
        let until = self.clock.now().saturating_add(wait).unwrap_or(Timestamp::MAX);
        self.clock.sleep_until(until).await;
    }

    pub async fn revision(&self) -> u64 {
        use store::Store;
        self.mem.revision().await.map_or(0, |revision| revision.0)
    }

    /// Wants every pool to be as it should be or to say why not. Gives what each is.
    pub async fn check_pools(&self, job_types_in_use: impl Fn(&Pool) -> BTreeSet<JobType>) -> Vec<String> {
        self.auditor.check().await;
        self.ledger.check(&self.auditor).await;
        let state = self.auditor.committed().await.clone();
        let mut all = Vec::new();
        for pool in state.index().read().all::<Pool>() {
            let shown = describe(&pool);
            let order = state.index().read().get::<Order>(&pool.owner.project, &pool.status.attempt.order);
            let is_pending = order.is_some_and(|order| matches!(order.phase, OrderPhase::Pending(_)));
            if !is_pending && !is_at_rest(&pool, &job_types_in_use(&pool)) {
                self.auditor.report(format!("has not come to rest: {shown}"));
            }
            all.push(shown);
        }
        all
    }

    pub fn check_controllers(&self) {
        let controllers = self.controllers.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, controller) in controllers.iter().enumerate() {
            if controller.as_ref().is_some_and(Replica::has_ended) {
                self.auditor.report(format!("controller {number} has ended by itself"));
            }
        }
    }

    /// Wants nothing to be committed for an hour.
    pub async fn check_idle_hour(&self) {
        let before = self.revision().await;
        self.pause(Duration::from_hours(1)).await;
        let after = self.revision().await;
        if before != after {
            self.auditor.report(format!("{} commits in an idle hour", after - before));
        }
    }
}

/// A fleet that is there already.
pub(crate) fn ready(fleet: Arc<dyn Fleet>) -> BoxFuture<'static, Arc<dyn Fleet>> {
    std::future::ready(fleet).boxed()
}

#[expect(clippy::expect_used, reason = "without a runtime there is no simulation")]
pub(crate) fn in_virtual_time<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(what)
}

fn describe(pool: &Pool) -> String {
    let scopes: Vec<_> = pool
        .status
        .scopes
        .iter()
        .map(|scope| (scope.job_type, scope.state, scope.message.clone()))
        .collect();
    format!(
        "{} {} {} of {} {scopes:?}",
        pool.name,
        pool.status.phase.as_str(),
        pool.status.resources.counters(),
        pool.wanted()
    )
}

/// As it should be, or with a reason why not.
fn is_at_rest(pool: &Pool, in_use: &BTreeSet<JobType>) -> bool {
    let counters = pool.status.resources.counters();
    match pool.status.phase {
        PoolPhase::Running if pool.is_physical() => {
            let is_moving = |scope: &ScopeStatus| match scope.state {
                ScopeState::Enabling => true,
                ScopeState::Disabling => !in_use.contains(&scope.job_type),
                ScopeState::Enabled | ScopeState::Disabled | ScopeState::EnableFailed => false,
            };
            let is_there = counters.available == pool.wanted() && counters.creating + counters.deleting + counters.abnormal == 0;
            is_there && !pool.status.scopes.iter().any(is_moving)
        }
        PoolPhase::ScalingFailed { .. } | PoolPhase::CreationFailed { .. } | PoolPhase::Waiting(_) | PoolPhase::Running => true,
        PoolPhase::Creating | PoolPhase::Error { .. } | PoolPhase::Abnormal { .. } | PoolPhase::Deleting => false,
    }
}

#[cfg(test)]
mod tests;
