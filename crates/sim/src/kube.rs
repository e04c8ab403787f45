//! The whole control plane over a Kubernetes cluster: services, controllers and store as in the other worlds, machines from the API
//! server inside the process with the actors of its cluster, and everything that goes wrong between them.

mod act;
mod door;
mod kill;
mod line;
mod oracle;
mod rest;
mod site;
mod stranger;

pub use kill::{KUBE_OPERATIONS, kube_kill, kube_writes};

use crate::act::{Timed, USERS};
use crate::house::{House, Perils, REPLICAS, in_virtual_time};
use crate::store_faults::FaultRates;
use crate::weather::Weather;
use crate::world::{Faults, Outcome};
use act::Event;
use clock::{Entropy, SeededEntropy};
use door::Door;
use fleet::Fleet;
use fleet_kube::config::Scheduler;
use fleet_kube::{KubeConfig, KubeFleet, mark};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use jiff::Timestamp;
use kube_fake::{FakeCluster, NodeSpec};
use line::{Country, Line};
use oracle::{Oracle, label};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::MemStore;
use tokio::task::AbortHandle;

/// A process that cannot list the cluster tries again after so long.
const AGAIN: Duration = Duration::from_secs(5);
/// The oracles look this often, besides after every event.
const LOOK: Duration = Duration::from_mins(1);

/// What may go wrong in a world over a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
pub struct KubeFaults {
    pub store: FaultRates,
    /// Of the API server.
    pub server: kube_fake::FaultRates,
    /// Writes of 10,000 that arrive up to a minute late.
    pub late: u64,
    /// Controllers stall at named points for longer than their lease lasts.
    pub has_stalls: bool,
    pub has_skew: bool,
    /// Lines are cut or slow for a while, to the database and to the API server.
    pub has_weather: bool,
    /// The policy may be behind the fence.
    pub has_lag: bool,
}

impl KubeFaults {
    pub const NONE: Self = Self {
        store: Faults::NONE.store,
        server: kube_fake::FaultRates {
            lose_request: 0,
            lose_reply: 0,
            conflict: 0,
            too_many_requests: 0,
            unavailable: 0,
            slow: 0,
            cut_watch: 0,
            silence_watch: 0,
            stale_list: 0,
            repeat_events: 0,
        },
        late: 0,
        has_stalls: false,
        has_skew: false,
        has_weather: false,
        has_lag: false,
    };

    pub const USUAL: Self = Self {
        store: Faults::USUAL.store,
        server: kube_fake::FaultRates {
            lose_request: 100,
            lose_reply: 100,
            conflict: 150,
            too_many_requests: 100,
            unavailable: 100,
            slow: 300,
            cut_watch: 1_000,
            silence_watch: 300,
            stale_list: 1_000,
            repeat_events: 1_000,
        },
        late: 50,
        has_stalls: true,
        has_skew: true,
        has_weather: true,
        has_lag: true,
    };
}

/// What a run is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeSettings {
    pub seed: u64,
    /// Virtual hours in which users act and faults happen.
    pub hours: u64,
    pub faults: KubeFaults,
    /// The events of the schedule that take place. `None`: all of them.
    pub keep: Option<BTreeSet<usize>>,
}

/// Runs a world over a cluster in a runtime of its own whose time is virtual.
pub fn run_kube(settings: &KubeSettings) -> Outcome {
    in_virtual_time(async {
        let world = KubeWorld::new(settings.clone(), None).await;
        world.live().await
    })
}

struct KubeWorld {
    house: House,
    cluster: FakeCluster,
    machines: Vec<NodeSpec>,
    config: KubeConfig,
    settings: KubeSettings,
    country: Country,
    doors: Vec<Arc<Door>>,
    oracle: Mutex<Oracle>,
    actors: Vec<AbortHandle>,
}

impl Drop for KubeWorld {
    fn drop(&mut self) {
        self.actors.iter().for_each(AbortHandle::abort);
    }
}

impl KubeWorld {
    /// `scheduler`: that of the cluster, if not one by the seed.
    async fn new(settings: KubeSettings, scheduler: Option<Scheduler>) -> Self {
        let faults = settings.faults;
        let perils = Perils {
            store: faults.store,
            has_stalls: faults.has_stalls,
            has_skew: faults.has_skew,
            has_weather: faults.has_weather,
        };
        let mut house = House::new(settings.seed, perils, MemStore::default()).await;
        let dice = SeededEntropy::new(house.seed(7));
        let below = |bound: u64| dice.next_u64() % bound;
        let drawn = [Scheduler::Volcano, Scheduler::Volcano, Scheduler::Kueue, Scheduler::None][below(4) as usize];
        let silence = [120, 600, 600, 600][below(4) as usize];
        let lag = if faults.has_lag && below(3) == 0 {
            Duration::from_millis(below(3_000))
        } else {
            Duration::ZERO
        };
        let cluster = site::cluster(&house.clock, house.seed(8), lag);
        let country = Country {
            clock: Arc::clone(&house.clock),
            is_on: Arc::clone(&house.faults_on),
            weather: Arc::new(Weather::fair(REPLICAS)),
            late: faults.late,
        };
        let doors: Vec<Arc<Door>> = (0..REPLICAS).map(|_| Arc::default()).collect();
        for (number, door) in doors.iter().enumerate() {
            house
                .add_service(100 + 10 * number as u64, Arc::clone(door) as Arc<dyn Fleet>, None)
                .await;
        }
        let actors = vec![
            tokio::spawn(cluster.clone().run()).abort_handle(),
            tokio::spawn(site::agents(cluster.clone(), Arc::clone(&house.clock))).abort_handle(),
        ];
        let machines = site::machines();
        for spec in &machines {
            cluster.add_node(spec);
        }
        let world = Self {
            house,
            cluster,
            machines,
            config: site::config(scheduler.unwrap_or(drawn), silence),
            settings,
            country,
            doors,
            oracle: Mutex::new(Oracle::with_lag(lag)),
            actors,
        };
        for definition in site::definitions() {
            let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
            let answer = world.ask("admin", "POST", path, &definition).await;
            debug_assert_eq!(answer, "ok");
        }
        let _made = world.make_storage_class().await;
        world.house.furnish().await;
        world
    }

    /// The fleet of a process, once it has listed the cluster.
    fn fleet(&self, number: usize, line: Line) -> BoxFuture<'static, Arc<dyn Fleet>> {
        let (cluster, config, clock) = (self.cluster.clone(), self.config.clone(), self.house.clock_of(number));
        let (door, line) = (Arc::clone(&self.doors[number % REPLICAS]), Arc::new(line));
        async move {
            let client = cluster.client_over(line);
            loop {
                match KubeFleet::start(client.clone(), config.clone(), Arc::clone(&clock)).await {
                    Ok(fleet) => {
                        let fleet = Arc::new(fleet);
                        door.open(&fleet);
                        return fleet as Arc<dyn Fleet>;
                    }
                    Err(_) => clock.sleep_until(clock.now().saturating_add(AGAIN).unwrap_or(Timestamp::MAX)).await,
                }
            }
        }
        .boxed()
    }

    fn start_controller(&self, number: usize, incarnation: u64) {
        let purpose = 70_000 + 100 * incarnation + number as u64;
        let line = Line::new(self.country.clone(), number % REPLICAS, self.house.seed(purpose));
        self.start_controller_over(number, incarnation, line);
    }

    fn start_controller_over(&self, number: usize, incarnation: u64, line: Line) {
        let probe = self.house.probe(number, incarnation);
        self.house
            .start_controller(number, incarnation, |_| self.fleet(number, line), probe);
    }

    async fn live(&self) -> Outcome {
        let followers = self.house.follow();
        for number in 0..REPLICAS {
            self.start_controller(number, 0);
        }
        self.house.faults_on.store(true, Ordering::Relaxed);
        self.cluster.set_fault_rates(self.settings.faults.server);
        let schedule = act::schedule(self.settings.seed, self.settings.hours);
        let actors = join_all(schedule.iter().enumerate().map(|(actor, events)| self.play(actor, events)));
        let mut events = BTreeSet::new();
        let mut trace = Vec::new();
        for (ids, lines) in self.watched(actors).await {
            events.extend(ids);
            trace.extend(lines);
        }
        self.house.faults_on.store(false, Ordering::Relaxed);
        self.house.weather.clear();
        self.country.weather.clear();
        self.cluster.clear_faults();
        self.mend_everything().await;
        self.watched(self.come_to_rest(&mut trace)).await;
        drop(followers);
        trace.extend(self.cluster.objects("nodes").iter().map(|(key, node)| described(&key.name, node)));
        trace.extend(self.objects_of_pools());
        let tally = self.oracle.lock().unwrap_or_else(PoisonError::into_inner).tally;
        trace.push(format!(
            "{:?} {tally:?} {} faults",
            self.config.scheduler,
            self.cluster.faults_struck()
        ));
        Outcome {
            trace,
            violations: self.house.auditor.take(),
            commits: self.house.revision().await,
            events,
        }
    }

    /// Looks at the cluster all the while.
    async fn watched<T>(&self, what: impl Future<Output = T>) -> T {
        let looking = async {
            loop {
                self.look();
                self.house.pause(LOOK).await;
            }
        };
        tokio::select! {
            biased;
            result = what => result,
            () = looking => unreachable!("it looks for ever"),
        }
    }

    fn look(&self) {
        let mut oracle = self.oracle.lock().unwrap_or_else(PoisonError::into_inner);
        for wrong in oracle.look(&self.cluster) {
            self.house.auditor.report(wrong);
        }
    }

    /// One actor's events, one after the other. Events that are left out take their time all the same.
    async fn play(&self, actor: usize, events: &[Timed<Event>]) -> (BTreeSet<usize>, Vec<String>) {
        let mut ids = BTreeSet::new();
        let mut trace = Vec::new();
        let mut incarnation = 0;
        for timed in events {
            self.house.pause(timed.after).await;
            if self.settings.keep.as_ref().is_some_and(|keep| !keep.contains(&timed.id)) {
                continue;
            }
            ids.insert(timed.id);
            incarnation += 1;
            let (what, answer) = match &timed.event {
                Event::Act(act) => (format!("{act:?}"), self.house.user(actor % USERS).act(act, timed.id).await),
                Event::Deed(deed) => (format!("{deed:?}"), self.do_deed(deed).await),
                Event::Use(what) => (format!("{what:?}"), self.do_use(what, timed.id).await),
                Event::Kill { .. } | Event::Database { .. } | Event::Server { .. } => {
                    self.strike(&timed.event, incarnation).await;
                    (format!("{:?}", timed.event), "ok".to_owned())
                }
            };
            self.look();
            tracing::info!("{} #{} {what}: {answer}", self.house.clock.now(), timed.id);
            trace.push(format!("{} #{} {what}: {answer}", self.house.clock.now(), timed.id));
        }
        (ids, trace)
    }

    async fn strike(&self, event: &Event, incarnation: u64) {
        match event {
            Event::Kill { controller, pause } => {
                self.house.kill_controller(*controller);
                self.house.pause(*pause).await;
                self.start_controller(*controller, incarnation);
            }
            Event::Database { host, trouble, lasting } => self.house.strike_lines(*host, *trouble, *lasting),
            Event::Server { host, trouble, lasting } => {
                if self.settings.faults.has_weather {
                    self.country.weather.strike(*host, *trouble, self.house.clock.now(), *lasting);
                }
            }
            Event::Act(_) | Event::Deed(_) | Event::Use(_) => {}
        }
    }
}

/// What a Node is to us.
fn described(name: &str, node: &Value) -> String {
    let is_ready = |conditions: &Value| {
        let all = conditions.as_array().into_iter().flatten();
        all.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
    };
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    let taints: Vec<String> = taints
        .map(|taint| {
            taint["key"]
                .as_str()
                .unwrap_or_default()
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    let ours = [mark::POOL_NAME, mark::NODE].map(|key| label(node, key).unwrap_or("-"));
    format!(
        "{name} {} ready={} {taints:?}",
        ours.join(" "),
        is_ready(&node["status"]["conditions"])
    )
}
