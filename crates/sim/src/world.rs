//! One world out of one seed.

use crate::act::{self, Blow, Event, Timed, USERS};
use crate::crowd::Crowd;
use crate::fleet_faults::{FaultyFleet, FleetRates};
use crate::house::{House, Perils, REPLICAS, in_virtual_time, ready};
use crate::place;
use crate::store_faults::FaultRates;
use domain::name::NodeName;
use domain::node::Node;
use fleet::sim::{MemoryJournal, SimConfig, SimFleet};
use futures::future::join_all;
use reconcile::{NoProbe, Probe};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use store::MemStore;

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

pub(crate) struct World {
    pub house: House,
    pub fleet: SimFleet,
    settings: Settings,
    pub crowd: Crowd,
}

impl World {
    #[expect(clippy::expect_used, reason = "a world that cannot be made is no simulation")]
    pub async fn new(settings: Settings, mem: MemStore) -> Self {
        let faults = settings.faults;
        let perils = Perils {
            store: faults.store,
            has_stalls: faults.has_stalls,
            has_skew: faults.has_skew,
            has_weather: faults.has_weather,
        };
        let house = House::new(settings.seed, perils, mem).await;
        let sim = SimConfig {
            seed: settings.seed,
            speed: 1.0,
            failures: 0.0,
        };
        let fleet = SimFleet::open(sim, Arc::new(MemoryJournal::default()), Arc::clone(&house.clock))
            .await
            .expect("a fleet");
        let mut world = Self {
            house,
            fleet,
            settings,
            crowd: Crowd::default(),
        };
        for number in 0..REPLICAS {
            let purpose = 100 + 10 * number as u64;
            let fleet = world.fleet(purpose + 2, Arc::new(NoProbe));
            world.house.add_service(purpose, fleet, Some(world.fleet.clone())).await;
        }
        world
    }

    fn fleet(&self, purpose: u64, probe: Arc<dyn Probe>) -> Arc<FaultyFleet> {
        Arc::new(FaultyFleet::new(
            self.fleet.clone(),
            self.settings.faults.fleet,
            self.house.seed(purpose),
            Arc::clone(&self.house.faults_on),
            probe,
        ))
    }

    #[expect(clippy::expect_used, reason = "a world that cannot be furnished is no simulation")]
    pub async fn furnish(&self) {
        self.fleet.register(place::machines()).await.expect("a journal in memory");
        self.house.furnish().await;
    }

    /// Starts a controller, or the next one in the place of one that was killed.
    pub fn start_controller(&self, number: usize, incarnation: u64, probe: Arc<dyn Probe>) {
        let fleet = |purpose| ready(self.fleet(purpose, Arc::clone(&probe)));
        self.house.start_controller(number, incarnation, fleet, Arc::clone(&probe));
    }

    async fn live(&self) -> Outcome {
        let followers = self.house.follow();
        for number in 0..REPLICAS {
            self.start_controller(number, 0, self.house.probe(number, 0));
        }
        self.house.faults_on.store(true, Ordering::Relaxed);
        let schedule = act::schedule(self.settings.seed, self.settings.hours);
        let actors = schedule.iter().enumerate().map(|(actor, events)| self.play(actor, events));
        let mut events = BTreeSet::new();
        let mut trace = Vec::new();
        for (ids, lines) in join_all(actors).await {
            events.extend(ids);
            trace.extend(lines);
        }
        self.house.faults_on.store(false, Ordering::Relaxed);
        self.house.weather.clear();
        self.mend_everything().await;
        self.come_to_rest(&mut trace).await;
        drop(followers);
        Outcome {
            trace,
            violations: self.house.auditor.take(),
            commits: self.house.revision().await,
            events,
        }
    }

    /// One actor's events, one after the other. Events that are left out take their time all the same.
    async fn play(&self, actor: usize, events: &[Timed]) -> (BTreeSet<usize>, Vec<String>) {
        let mut ids = BTreeSet::new();
        let mut trace = Vec::new();
        let mut incarnation = 0;
        for timed in events {
            self.house.pause(timed.after).await;
            if self.settings.keep.as_ref().is_some_and(|keep| !keep.contains(&timed.id)) {
                continue;
            }
            ids.insert(timed.id);
            let (what, answer) = match &timed.event {
                Event::Act(act) => (format!("{act:?}"), self.house.user(actor % USERS).act(act, timed.id).await),
                Event::Blow(blow) => {
                    incarnation += 1;
                    let answer = self.strike(blow, incarnation).await;
                    self.look_at_workloads();
                    (format!("{blow:?}"), answer)
                }
                Event::Crowd(act) => (format!("{act:?}"), self.crowd(act, timed.id).await),
            };
            trace.push(format!("{} #{} {what}: {answer}", self.house.clock.now(), timed.id));
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
                self.house.kill_controller(*controller);
                self.house.pause(*pause).await;
                self.start_controller(*controller, incarnation, self.house.probe(*controller, incarnation));
                Ok(Ok(()))
            }
            Blow::Weather { host, trouble, lasting } => {
                self.house.strike_lines(*host, *trouble, *lasting);
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

    /// Waits, and then wants every pool to be as it should be or to say why not, every machine in use to belong to a node,
    /// and nothing to be written any more.
    pub async fn come_to_rest(&self, trace: &mut Vec<String>) {
        self.house.pause(REST).await;
        self.let_workloads_end().await;
        self.house.pause(REST).await;
        self.check_rest_of_workloads();
        trace.extend(self.house.check_pools(|pool| self.job_types_in_use(pool)).await);
        let state = self.house.auditor.committed().await.clone();
        for machine in self.fleet.machines() {
            let node = machine.bound.map(|(_, node)| node);
            let known = |node: &NodeName| state.index().read().get::<Node>(&place::project(), node).is_some();
            if let Some(node) = node.filter(|node| !known(node)) {
                let id = machine.registration.id;
                self.house
                    .auditor
                    .report(format!("machine {id} is bound to {node}, which nobody knows"));
            }
        }
        self.house.check_controllers();
        self.house.check_idle_hour().await;
    }
}
