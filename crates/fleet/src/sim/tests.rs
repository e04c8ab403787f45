use super::*;
use crate::command::NodeRequest;
use crate::conformance::{CHECKS, Subject};
use crate::observation::{ClusterFact, MachineState, PluginState};
use crate::workload::WorkloadFact;
use crate::{NodeFact, PluginRequest};
use clock::RuntimeClock;
use domain::name::{FlavorName, PoolName, ProjectId, TemplateName, ZoneName};
use domain::pool::{JobType, PoolRef};
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

mod kept;
mod replicas;
mod workloads;

const START: i64 = 1_800_000_000;

fn clock() -> Arc<dyn Clock> {
    Arc::new(RuntimeClock::starting_at(Timestamp::from_second(START).unwrap()))
}

fn registration(id: &str, zone: &str) -> Registration {
    Registration {
        id: id.to_owned(),
        flavor: FlavorName::parse("gpu").unwrap(),
        az: ZoneName::parse(zone).unwrap(),
        resources: [("cpu", "8")].into_iter().collect(),
        accelerators: 8,
    }
}

struct Fixture {
    fleet: SimFleet,
    journal: MemoryJournal,
    clock: Arc<dyn Clock>,
    config: SimConfig,
}

impl Fixture {
    async fn new(speed: f64, failures: f64) -> Self {
        let (journal, clock) = (MemoryJournal::default(), clock());
        let config = SimConfig { seed: 5, speed, failures };
        let fleet = SimFleet::open(config, Arc::new(journal.clone()), Arc::clone(&clock)).await.unwrap();
        let machines = ["a", "b"]
            .into_iter()
            .flat_map(|zone| (1..4).map(move |at| registration(&format!("{zone}-{at}"), zone)));
        fleet.register(machines.collect()).await.unwrap();
        Self {
            fleet,
            journal,
            clock,
            config,
        }
    }

    async fn reopened(&self) -> SimFleet {
        SimFleet::open(self.config, Arc::new(self.journal.clone()), Arc::clone(&self.clock))
            .await
            .unwrap()
    }

    async fn command(&self, command: Command) -> Result<(), FleetError> {
        self.fleet.execute(&[command], &fence()).await.remove(0)
    }

    /// A pool whose only node is on machine `a-1`.
    async fn node(&self) {
        self.command(Command::EnsurePool { pool: mark() }).await.unwrap();
        self.command(create("node-1")).await.unwrap();
    }

    async fn seen(&self) -> Observation {
        self.fleet.observe(&mark().uid).await.unwrap()
    }

    async fn fact(&self) -> NodeFact {
        NodeFact::clone(self.seen().await.nodes.values().next().unwrap())
    }

    async fn pause(&self, seconds: u64) {
        let at = self.clock.now().saturating_add(Duration::from_secs(seconds)).unwrap();
        self.clock.sleep_until(at).await;
    }

    async fn break_machine(&self, fault: MachineFault) {
        self.fleet.break_machine("a-1", fault).await.unwrap().unwrap();
    }
}

fn fence() -> Fence {
    Fence {
        lease: "fleet".to_owned(),
        epoch: 1,
    }
}

fn mark() -> PoolMark {
    PoolMark {
        uid: Uid::from_text("0190"),
        pool: PoolRef {
            project: ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").unwrap(),
            name: PoolName::parse("pool-1").unwrap(),
        },
    }
}

fn create(node: &str) -> Command {
    Command::CreateNode(NodeRequest {
        pool: mark(),
        node: NodeName::parse(node).unwrap(),
        flavor: FlavorName::parse("gpu").unwrap(),
        az: ZoneName::parse("a").unwrap(),
        driver: Some("1".to_owned()),
        image: None,
        labels: BTreeMap::new(),
    })
}

fn plugin(version: &str, attempt: u32) -> Command {
    Command::EnsurePlugin {
        pool: mark(),
        plugin: PluginRequest {
            template: TemplateName::parse("volcano").unwrap(),
            version: version.to_owned(),
            values: BTreeMap::new(),
            attempt,
        },
    }
}

async fn conforms(speed: f64) {
    for (name, check) in CHECKS {
        let fixture = Fixture::new(speed, 0.0).await;
        let (journal, clock, config) = (fixture.journal.clone(), Arc::clone(&fixture.clock), fixture.config);
        let subject = Subject {
            fleet: Arc::new(fixture.fleet),
            flavor: FlavorName::parse("gpu").unwrap(),
            zones: [ZoneName::parse("a").unwrap(), ZoneName::parse("b").unwrap()],
            drivers: ["1", "2"],
            plugin: (TemplateName::parse("volcano").unwrap(), ["1", "2"]),
            reopen: Box::new(move || {
                let (journal, clock) = (journal.clone(), Arc::clone(&clock));
                async move {
                    let fleet = SimFleet::open(config, Arc::new(journal), clock).await.unwrap();
                    Arc::new(fleet) as Arc<dyn Fleet>
                }
                .boxed()
            }),
        };
        tokio::time::timeout(Duration::from_hours(10), check(&subject))
            .await
            .unwrap_or_else(|_| panic!("{name}: never came to an end"));
    }
}

#[tokio::test(start_paused = true)]
async fn it_conforms_as_in_life() {
    conforms(1.0).await;
}

#[tokio::test(start_paused = true)]
async fn it_conforms_at_once() {
    conforms(0.0).await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_machine_is_not_offered_and_not_bound() {
    let fixture = Fixture::new(0.0, 0.0).await;
    let free = async || {
        let offers = fixture.fleet.offers().await.unwrap();
        offers[&FlavorName::parse("gpu").unwrap()].zones[&ZoneName::parse("a").unwrap()].free
    };
    assert_eq!(free().await, 3);
    fixture.break_machine(MachineFault::Faulty { reason: "x".to_owned() }).await;
    assert_eq!(free().await, 2);
    fixture.command(create("node-1")).await.unwrap();
    assert!(fixture.fleet.machine("a-1").unwrap().bound.is_none());
    fixture.fleet.mend_machine("a-1").await.unwrap().unwrap();
    assert_eq!(free().await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_silence_ends_by_itself() {
    let fixture = Fixture::new(0.0, 0.0).await;
    fixture.node().await;
    let since = fixture.clock.now();
    let lasting = Some(SignedDuration::from_mins(5));
    fixture.break_machine(MachineFault::Silent { lasting }).await;
    fixture.pause(120).await;
    assert_eq!(fixture.fact().await.silent_since, Some(since));
    assert_eq!(fixture.fleet.machine("a-1").unwrap().faults, [MachineFault::Silent { lasting }]);
    fixture.pause(181).await;
    assert_eq!(fixture.fact().await.silent_since, None);
    assert!(fixture.fleet.machine("a-1").unwrap().faults.is_empty());
}

#[tokio::test(start_paused = true)]
async fn faults_survive_a_restart() {
    let fixture = Fixture::new(1.0, 0.0).await;
    fixture.node().await;
    fixture.break_machine(MachineFault::NeverBoots).await;
    let pool = mark().pool.name;
    let down = PoolFault::ClusterDown { reason: "x".to_owned() };
    fixture.fleet.break_pool(&pool, down.clone()).await.unwrap().unwrap();
    let reopened = fixture.reopened().await;
    assert_eq!(reopened.machines(), fixture.fleet.machines());
    assert_eq!(reopened.pool_faults(), [(mark(), vec![down])]);
    fixture.pause(1_000).await;
    let seen = reopened.observe(&mark().uid).await.unwrap();
    assert!(matches!(seen.nodes.into_values().next().unwrap().state, MachineState::Failed(_)));
}

#[tokio::test(start_paused = true)]
async fn a_machine_in_use_cannot_be_taken_away() {
    let fixture = Fixture::new(0.0, 0.0).await;
    fixture.node().await;
    let bound = Removal::InUse(mark(), NodeName::parse("node-1").unwrap());
    assert_eq!(fixture.fleet.unregister("a-1").await.unwrap(), bound);
    assert_eq!(fixture.fleet.unregister("a-2").await.unwrap(), Removal::Removed);
    assert_eq!(fixture.fleet.unregister("a-2").await.unwrap(), Removal::Unknown);
    assert_eq!(fixture.reopened().await.machines().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_not_given_back_stays_a_node_until_it_is_mended() {
    let fixture = Fixture::new(0.0, 0.0).await;
    fixture.node().await;
    fixture.break_machine(MachineFault::NeverReleases).await;
    let (pool, node) = (mark(), NodeName::parse("node-1").unwrap());
    fixture.command(Command::DeleteNode { pool, node }).await.unwrap();
    fixture.pause(100_000).await;
    assert_eq!(fixture.fact().await.state, MachineState::Releasing);
    fixture.fleet.mend_machine("a-1").await.unwrap().unwrap();
    assert!(fixture.seen().await.nodes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failed_plugin_is_installed_when_it_is_asked_for_again() {
    let fixture = Fixture::new(1.0, 0.0).await;
    fixture.node().await;
    let template = TemplateName::parse("volcano").unwrap();
    let fault = PoolFault::PluginFails {
        template: template.clone(),
        times: 1,
    };
    fixture.fleet.break_pool(&mark().pool.name, fault).await.unwrap().unwrap();
    let state = async || fixture.seen().await.plugins[&template].state.clone();
    fixture.command(plugin("1", 1)).await.unwrap();
    assert_eq!(state().await, PluginState::Installing);
    fixture.pause(60).await;
    assert!(matches!(state().await, PluginState::Failed(_)));
    fixture.command(plugin("1", 1)).await.unwrap();
    assert!(matches!(state().await, PluginState::Failed(_)), "the same attempt is not repeated");
    fixture.command(plugin("1", 2)).await.unwrap();
    assert_eq!(state().await, PluginState::Installing);
    fixture.pause(60).await;
    assert_eq!(state().await, PluginState::Running);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_was_up_is_unreachable_and_one_that_was_not_fails() {
    let fixture = Fixture::new(1.0, 0.0).await;
    fixture.node().await;
    let pool = mark().pool.name;
    let down = || PoolFault::ClusterDown { reason: "x".to_owned() };
    fixture.fleet.break_pool(&pool, down()).await.unwrap().unwrap();
    fixture.pause(600).await;
    assert_eq!(fixture.seen().await.cluster, ClusterFact::Failed("x".to_owned()));
    fixture.fleet.mend_pool(&pool).await.unwrap().unwrap();
    assert_eq!(fixture.seen().await.cluster, ClusterFact::Starting);
    fixture.pause(600).await;
    fixture.fleet.break_pool(&pool, down()).await.unwrap().unwrap();
    assert_eq!(fixture.seen().await.cluster, ClusterFact::Unreachable);
    fixture.fleet.mend_pool(&pool).await.unwrap().unwrap();
    let job_type = JobType::Train;
    let dependency = PoolFault::DependencyDown {
        job_type,
        reason: "y".to_owned(),
    };
    fixture.fleet.break_pool(&pool, dependency).await.unwrap().unwrap();
    let seen = fixture.seen().await;
    assert_eq!(
        (seen.cluster, &seen.dependencies[&job_type]),
        (ClusterFact::Ready, &Err("y".to_owned()))
    );
}

#[tokio::test(start_paused = true)]
async fn machines_fail_by_themselves_and_are_repaired() {
    // A thousand times as often as in life: about four times a day for each machine.
    let fixture = Fixture::new(1.0, 1_000.0).await;
    let mut broken = 0;
    for _ in 0..2_000 {
        fixture.pause(600).await;
        broken += fixture.fleet.machines().iter().filter(|machine| machine.failure.is_some()).count();
    }
    let share = f64::from(u32::try_from(broken).unwrap()) / 12_000.0;
    // 3.8 failures a day and a repair of 3 hours on average.
    assert!((0.2..0.5).contains(&share), "{share}");
    let failing = fixture.fleet.machines();
    assert_eq!(fixture.reopened().await.machines(), failing);
    let id = failing
        .iter()
        .find(|machine| machine.failure.is_some())
        .map(|machine| machine.registration.id.clone());
    if let Some(id) = id {
        fixture.fleet.mend_machine(&id).await.unwrap().unwrap();
        assert!(fixture.fleet.machine(&id).unwrap().failure.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_cannot_be_broken() {
    let fixture = Fixture::new(0.0, 0.0).await;
    let unknown = fixture.fleet.break_machine("x", MachineFault::NeverBoots).await.unwrap();
    assert_eq!(unknown, Err(Unknown::Machine("x".to_owned())));
    let pool = PoolName::parse("pool-9").unwrap();
    assert_eq!(fixture.fleet.mend_pool(&pool).await.unwrap(), Err(Unknown::Pool(pool)));
}
