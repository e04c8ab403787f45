use super::*;
use clock::{Clock, ManualClock};
use domain::meta::Uid;
use domain::name::{FlavorName, NodeName, PoolName, ProjectId, ZoneName};
use domain::pool::PoolRef;
use fleet::sim::{Registration, SimConfig};
use fleet::{Command, Fleet, FleetError, NodeRequest, PoolMark};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{HolderId, MemStore};

/// One process: an index and a fleet on a store.
struct Replica {
    state: State,
    fleet: SimFleet,
}

fn clock() -> ManualClock {
    ManualClock::starting_at(Timestamp::from_second(1_800_000_000).unwrap())
}

async fn replica(store: &Arc<dyn Store>, clock: &ManualClock) -> Replica {
    let config = SimConfig {
        seed: 1,
        speed: 0.0,
        failures: 0.0,
    };
    let journal = Arc::new(StoreJournal::new(Arc::clone(store)));
    let opened = SimFleet::open(config, Arc::clone(&journal) as Arc<dyn Journal>, Arc::new(clock.clone()));
    let fleet = opened.await.unwrap();
    let state = State::load(Arc::clone(store)).await.unwrap();
    journal.attach(&state, &fleet).await.unwrap();
    Replica { state, fleet }
}

async fn lease(store: &Arc<dyn Store>, holder: &str, clock: &ManualClock) -> Fence {
    let holder = HolderId(holder.to_owned());
    let lease = store.acquire("fleet", &holder, Duration::from_secs(15), clock.now()).await.unwrap();
    lease.expect("the lease is free").fence()
}

fn machines() -> Vec<Registration> {
    let machine = |id: &str| Registration {
        id: id.to_owned(),
        flavor: FlavorName::parse("cpu").unwrap(),
        az: ZoneName::parse("a").unwrap(),
        resources: [("cpu", "8")].into_iter().collect(),
        accelerators: 0,
    };
    ["one", "two"].map(machine).to_vec()
}

fn node(name: &str) -> Vec<Command> {
    let pool = PoolMark {
        uid: Uid::from_text("0190"),
        pool: PoolRef {
            project: ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").unwrap(),
            name: PoolName::parse("pool-1").unwrap(),
        },
    };
    let request = NodeRequest {
        pool: pool.clone(),
        node: NodeName::parse(name).unwrap(),
        flavor: FlavorName::parse("cpu").unwrap(),
        az: ZoneName::parse("a").unwrap(),
        driver: None,
        image: None,
        labels: BTreeMap::new(),
    };
    vec![Command::EnsurePool { pool }, Command::CreateNode(request)]
}

fn nodes(fleet: &SimFleet) -> Vec<Option<String>> {
    let machines = fleet.machines().into_iter();
    machines.map(|machine| machine.bound.map(|(_, node)| node.to_string())).collect()
}

#[tokio::test]
async fn who_has_caught_up_with_a_revision_finds_the_fleet_as_it_was_then() {
    let (store, clock) = (Arc::new(MemStore::default()) as Arc<dyn Store>, clock());
    let (one, two) = (replica(&store, &clock).await, replica(&store, &clock).await);
    one.fleet.register(machines()).await.unwrap();
    let written = store.revision().await.unwrap();
    assert_eq!(one.state.index().complete(), written, "its own writes are not waited for");
    assert!(two.fleet.machines().is_empty());
    two.state.refresh().await.unwrap();
    assert_eq!(
        (two.state.index().complete(), two.fleet.machines()),
        (written, one.fleet.machines())
    );
    // The other way round, and one that begins later.
    two.fleet.unregister("one").await.unwrap();
    one.state.refresh().await.unwrap();
    let three = replica(&store, &clock).await;
    assert_eq!((one.fleet.machines().len(), three.fleet.machines()), (1, one.fleet.machines()));
}

#[tokio::test]
async fn a_holder_whose_lease_is_over_moves_no_machine_though_nobody_has_told_it() {
    let (store, clock) = (Arc::new(MemStore::default()) as Arc<dyn Store>, clock());
    let (one, two) = (replica(&store, &clock).await, replica(&store, &clock).await);
    one.fleet.register(machines()).await.unwrap();
    two.state.refresh().await.unwrap();
    let first = lease(&store, "one", &clock).await;
    assert_eq!(one.fleet.execute(&node("node-a"), &first).await, [Ok(()), Ok(())]);
    clock.advance(Duration::from_secs(16));
    // The other one has done nothing with it yet: only the store knows.
    let second = lease(&store, "two", &clock).await;
    assert_eq!(
        one.fleet.execute(&node("node-b"), &first).await,
        [Err(FleetError::Fenced), Err(FleetError::Fenced)]
    );
    assert_eq!(two.fleet.execute(&node("node-b"), &second).await, [Ok(()), Ok(())]);
    let expected = vec![Some("node-a".to_owned()), Some("node-b".to_owned())];
    one.state.refresh().await.unwrap();
    assert_eq!((nodes(&one.fleet), nodes(&two.fleet)), (expected.clone(), expected));
}
