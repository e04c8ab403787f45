//! One world out of one seed.

use crate::act::{self, Blow, Event, Timed, USERS};
use crate::auditor::Auditor;
use crate::crowd::Crowd;
use crate::fleet_faults::{FaultyFleet, FleetRates};
use crate::place;
use crate::replica::{Replica, ReplicaParts, Skewed, Stall};
use crate::store_faults::{FaultRates, FaultyStore};
use crate::users::{Ledger, User};
use crate::weather::Weather;
use auth::{KeyRing, Passwords, RolePolicy, Sealer, SealingKey};
use clock::{Clock, Entropy, RuntimeClock, SeededEntropy};
use domain::name::NodeName;
use domain::node::Node;
use domain::order::{Order, OrderPhase};
use domain::pool::{JobType, Pool, PoolPhase, ScopeState, ScopeStatus};
use fleet::sim::{MemoryJournal, SimConfig, SimFleet};
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use reconcile::{NoProbe, Probe};
use service::{Limits, Service, ServiceParts};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{MemStore, State};

/// Replicas that reconcile, and as many that serve.
pub(crate) const REPLICAS: usize = 2;
/// How far the clocks of the replicas are ahead of the fleet's.
const SKEWS: [SignedDuration; REPLICAS] = [SignedDuration::from_secs(-4), SignedDuration::from_secs(7)];
pub(crate) const START: i64 = 1_800_000_000;
/// Every state is one that the next attempt can leave within this time once nothing fails any more: a boot is given up
/// after half an hour, a job is drained for up to an hour, and back-off ends at some minutes.
const REST: Duration = Duration::from_hours(8);

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    pub store: FaultRates,
    pub fleet: FleetRates,
    /// Controllers stall at named points for longer than their lease lasts.
    pub has_stalls: bool,
    /// Clocks differ.
    pub has_skew: bool,
    /// The lines to the database are cut, slow or without news for a while.
    pub has_weather: bool,
}

impl Faults {
    pub const NONE: Self = Self {
        store: FaultRates {
            unavailable: 0,
            lost_reply: 0,
            conflict: 0,
            slow: 0,
        },
        fleet: FleetRates {
            unreachable: 0,
            throttled: 0,
            lost_request: 0,
            lost_reply: 0,
            stale: 0,
            no_capacity: 0,
            ghost: 0,
        },
        has_stalls: false,
        has_skew: false,
        has_weather: false,
    };

    pub const USUAL: Self = Self {
        store: FaultRates {
            unavailable: 10,
            lost_reply: 10,
            conflict: 20,
            slow: 30,
        },
        fleet: FleetRates {
            unreachable: 10,
            throttled: 10,
            lost_request: 20,
            lost_reply: 20,
            stale: 30,
            no_capacity: 20,
            ghost: 10,
        },
        has_stalls: true,
        has_skew: true,
        has_weather: true,
    };
}

/// What a run is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub seed: u64,
    /// Virtual hours in which users act and faults happen.
    pub hours: u64,
    pub faults: Faults,
    /// The events of the schedule that take place. `None`: all of them.
    pub keep: Option<BTreeSet<usize>>,
}

/// What a run found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Every event with its virtual time and answer, and the state of all pools at the end.
    pub trace: Vec<String>,
    /// Broken invariants. Empty: all is well.
    pub violations: Vec<String>,
    pub commits: u64,
    /// The ids of the events that took place.
    pub events: BTreeSet<usize>,
}

/// Runs a world in a runtime of its own whose time is virtual.
pub fn run(settings: &Settings) -> Outcome {
    in_virtual_time(async {
        let world = World::new(settings.clone(), MemStore::default()).await;
        world.furnish().await;
        world.live().await
    })
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

pub(crate) struct World {
    pub clock: Arc<dyn Clock>,
    pub mem: MemStore,
    pub fleet: SimFleet,
    pub auditor: Arc<Auditor>,
    settings: Settings,
    services: Vec<Service>,
    controllers: Mutex<Vec<Option<Replica>>>,
    faults_on: Arc<AtomicBool>,
    weather: Arc<Weather>,
    ledger: Ledger,
    pub crowd: Crowd,
}

impl World {
    #[expect(clippy::expect_used, reason = "a world that cannot be made is no simulation")]
    pub async fn new(settings: Settings, mem: MemStore) -> Self {
        let start = Timestamp::from_second(START).expect("a time");
        let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at(start));
        let sim = SimConfig {
            seed: settings.seed,
            speed: 1.0,
            failures: 0.0,
        };
        let fleet = SimFleet::open(sim, Arc::new(MemoryJournal::default()), Arc::clone(&clock))
            .await
            .expect("a fleet");
        let auditor = Auditor::new(mem.clone(), Arc::clone(&clock)).await.expect("an empty store");
        let mut world = Self {
            clock,
            mem,
            fleet,
            auditor: Arc::new(auditor),
            settings,
            services: Vec::new(),
            controllers: Mutex::new(Vec::new()),
            faults_on: Arc::default(),
            weather: Arc::new(Weather::fair(REPLICAS)),
            ledger: Ledger::default(),
            crowd: Crowd::default(),
        };
        for number in 0..REPLICAS {
            let service = world.service(number).await;
            world.services.push(service);
        }
        world
    }

    fn seed(&self, purpose: u64) -> u64 {
        self.settings.seed.wrapping_mul(1_000_003) ^ purpose
    }

    fn clock_of(&self, number: usize) -> Arc<dyn Clock> {
        let ahead = if self.settings.faults.has_skew {
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
            self.settings.faults.store,
            self.seed(purpose),
            Arc::clone(&self.clock),
            Arc::clone(&self.faults_on),
            Arc::clone(&self.auditor),
            (host, Arc::clone(&self.weather)),
        ))
    }

    fn fleet(&self, purpose: u64, probe: Arc<dyn Probe>) -> Arc<FaultyFleet> {
        Arc::new(FaultyFleet::new(
            self.fleet.clone(),
            self.settings.faults.fleet,
            self.seed(purpose),
            Arc::clone(&self.faults_on),
            probe,
        ))
    }

    #[expect(clippy::expect_used, reason = "nothing fails yet")]
    async fn service(&self, number: usize) -> Service {
        let purpose = 100 + 10 * number as u64;
        let state = State::load(self.store(number % REPLICAS, purpose)).await.expect("a store");
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(self.seed(purpose + 1)));
        let key = SealingKey::generate(entropy.as_ref());
        Service::new(ServiceParts {
            state,
            fleet: self.fleet(purpose + 2, Arc::new(NoProbe)),
            machines: Some(self.fleet.clone()),
            clock: self.clock_of(number),
            authorizer: Arc::new(RolePolicy),
            passwords: Passwords::new(Arc::clone(&entropy)),
            sealer: Arc::new(Sealer::new(KeyRing::new(vec![key]).expect("a key"), Arc::clone(&entropy))),
            entropy,
            limits: Limits::default(),
        })
    }

    pub fn user(&self, number: usize) -> User<'_> {
        User {
            service: &self.services[number % REPLICAS],
            ledger: &self.ledger,
            auditor: &self.auditor,
        }
    }

    #[expect(clippy::expect_used, reason = "a world that cannot be furnished is no simulation")]
    pub async fn furnish(&self) {
        let service = &self.services[0];
        service
            .state()
            .commit(place::furniture(self.clock.now()))
            .await
            .expect("a first commit");
        self.fleet.register(place::machines()).await.expect("a journal in memory");
        let created = service.create_network(&place::context(), || Ok(place::network())).await;
        created.expect("a network");
        for service in &self.services {
            service.state().refresh().await.expect("a store");
        }
    }

    /// Starts a controller, or the next one in the place of one that was killed.
    pub fn start_controller(&self, number: usize, incarnation: u64, probe: Arc<dyn Probe>) {
        let purpose = 1_000 * (number as u64 + 1) + 4 * incarnation;
        let replica = Replica::start(ReplicaParts {
            name: format!("controller-{number}-{incarnation}"),
            store: self.store(number % REPLICAS, purpose),
            fleet: self.fleet(purpose + 1, Arc::clone(&probe)),
            clock: self.clock_of(number),
            probe,
        });
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

    fn probe(&self, number: usize, incarnation: u64) -> Arc<dyn Probe> {
        if !self.settings.faults.has_stalls {
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

    async fn live(&self) -> Outcome {
        let followers = self.follow();
        for number in 0..REPLICAS {
            self.start_controller(number, 0, self.probe(number, 0));
        }
        self.faults_on.store(true, Ordering::Relaxed);
        let schedule = act::schedule(self.settings.seed, self.settings.hours);
        let actors = schedule.iter().enumerate().map(|(actor, events)| self.play(actor, events));
        let mut events = BTreeSet::new();
        let mut trace = Vec::new();
        for (ids, lines) in join_all(actors).await {
            events.extend(ids);
            trace.extend(lines);
        }
        self.faults_on.store(false, Ordering::Relaxed);
        self.weather.clear();
        self.mend_everything().await;
        self.come_to_rest(&mut trace).await;
        drop(followers);
        Outcome {
            trace,
            violations: self.auditor.take(),
            commits: self.revision().await,
            events,
        }
    }

    /// One actor's events, one after the other. Events that are left out take their time all the same.
    async fn play(&self, actor: usize, events: &[Timed]) -> (BTreeSet<usize>, Vec<String>) {
        let mut ids = BTreeSet::new();
        let mut trace = Vec::new();
        let mut incarnation = 0;
        for timed in events {
            self.pause(timed.after).await;
            if self.settings.keep.as_ref().is_some_and(|keep| !keep.contains(&timed.id)) {
                continue;
            }
            ids.insert(timed.id);
            let (what, answer) = match &timed.event {
                Event::Act(act) => (format!("{act:?}"), self.user(actor % USERS).act(act, timed.id).await),
                Event::Blow(blow) => {
                    incarnation += 1;
                    let answer = self.strike(blow, incarnation).await;
                    self.look_at_workloads();
                    (format!("{blow:?}"), answer)
                }
                Event::Crowd(act) => (format!("{act:?}"), self.crowd(act, timed.id).await),
            };
            trace.push(format!("{} #{} {what}: {answer}", self.clock.now(), timed.id));
        }
        (ids, trace)
    }

    async fn strike(&self, blow: &Blow, incarnation: u64) -> String {
        let machine = |at: &u64| {
            let machines = self.fleet.machines();
            machines[(*at % machines.len() as u64) as usize].registration.id.clone()
        };
        let outcome = match blow {
            Blow::Machine(at, fault) => self.fleet.break_machine(&machine(at), fault.clone()).await,
            Blow::MendMachine(at) => self.fleet.mend_machine(&machine(at)).await,
            Blow::Pool(slot, fault) => self.fleet.break_pool(&place::pool_name(*slot), fault.clone()).await,
            Blow::MendPool(slot) => self.fleet.mend_pool(&place::pool_name(*slot)).await,
            Blow::Kill { controller, pause } => {
                self.kill_controller(*controller);
                self.pause(*pause).await;
                self.start_controller(*controller, incarnation, self.probe(*controller, incarnation));
                Ok(Ok(()))
            }
            Blow::Weather { host, trouble, lasting } => {
                if self.settings.faults.has_weather {
                    self.weather.strike(*host, *trouble, self.clock.now(), *lasting);
                }
                Ok(Ok(()))
            }
        };
        match outcome {
            Ok(Ok(())) => "ok".to_owned(),
            Ok(Err(unknown)) => unknown.to_string(),
            Err(error) => error.to_string(),
        }
    }

    pub async fn mend_everything(&self) {
        for machine in self.fleet.machines() {
            let _mended = self.fleet.mend_machine(&machine.registration.id).await;
        }
        for (mark, _) in self.fleet.pool_faults() {
            let _mended = self.fleet.mend_pool(&mark.pool.name).await;
        }
    }

    pub async fn pause(&self, wait: Duration) {
        let until = self.clock.now().saturating_add(wait).unwrap_or(Timestamp::MAX);
        self.clock.sleep_until(until).await;
    }

    async fn revision(&self) -> u64 {
        use store::Store;
        self.mem.revision().await.map_or(0, |revision| revision.0)
    }

    /// Waits, and then wants every pool to be as it should be or to say why not, every machine in use to belong to a node,
    /// and nothing to be written any more.
    pub async fn come_to_rest(&self, trace: &mut Vec<String>) {
        self.pause(REST).await;
        self.let_workloads_end().await;
        self.pause(REST).await;
        self.check_rest_of_workloads();
        self.auditor.check().await;
        self.ledger.check(&self.auditor).await;
        let state = self.auditor.committed().await.clone();
        for pool in state.index().read().all::<Pool>() {
            let shown = describe(&pool);
            let order = state.index().read().get::<Order>(&pool.owner.project, &pool.status.attempt.order);
            let is_pending = order.is_some_and(|order| matches!(order.phase, OrderPhase::Pending(_)));
            if !is_pending && !is_at_rest(&pool, &self.job_types_in_use(&pool)) {
                self.auditor.report(format!("has not come to rest: {shown}"));
            }
            trace.push(shown);
        }
        for machine in self.fleet.machines() {
            let node = machine.bound.map(|(_, node)| node);
            let known = |node: &NodeName| state.index().read().get::<Node>(&place::project(), node).is_some();
            if let Some(node) = node.filter(|node| !known(node)) {
                let id = machine.registration.id;
                self.auditor.report(format!("machine {id} is bound to {node}, which nobody knows"));
            }
        }
        self.check_controllers();
        let before = self.revision().await;
        self.pause(Duration::from_hours(1)).await;
        let after = self.revision().await;
        if before != after {
            self.auditor.report(format!("{} commits in an idle hour", after - before));
        }
    }

    fn check_controllers(&self) {
        let controllers = self.controllers.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, controller) in controllers.iter().enumerate() {
            if controller.as_ref().is_some_and(Replica::has_ended) {
                self.auditor.report(format!("controller {number} has ended by itself"));
            }
        }
    }
}

fn describe(pool: &Pool) -> String {
    let scopes: Vec<_> = pool.status.scopes.iter().map(|scope| (scope.job_type, scope.state)).collect();
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
