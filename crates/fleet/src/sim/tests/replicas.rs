//! Several fleets on one journal, as several replicas have them.

use super::workloads::{job, pool};
use super::*;
use crate::WorkloadFact;

fn fence(epoch: u64) -> Fence {
    Fence {
        lease: "fleet".to_owned(),
        epoch,
    }
}

fn node(pool: &PoolMark, name: &str) -> Command {
    Command::CreateNode(NodeRequest {
        pool: pool.clone(),
        node: NodeName::parse(name).unwrap(),
        flavor: FlavorName::parse("gpu").unwrap(),
        az: ZoneName::parse("a").unwrap(),
        driver: None,
        image: None,
        labels: BTreeMap::new(),
    })
}

fn bound(fleet: &SimFleet) -> BTreeMap<String, String> {
    let machines = fleet.machines().into_iter();
    machines
        .filter_map(|machine| Some((machine.registration.id.clone(), machine.bound?.1.to_string())))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn two_replicas_that_have_not_heard_of_each_other_do_not_give_one_machine_away_twice() {
    let one = Fixture::new(0.0, 0.0).await;
    let two = one.reopened().await;
    let (first, second) = (pool("first"), pool("second"));
    let commands = |pool: &PoolMark, name: &str| [Command::EnsurePool { pool: pool.clone() }, node(pool, name)];
    one.fleet.execute(&commands(&first, "node-a"), &fence(1)).await;
    let results = two.execute(&commands(&second, "node-b"), &fence(1)).await;
    assert_eq!(results, [Ok(()), Ok(())]);
    one.fleet.catch_up().await.unwrap();
    let expected = BTreeMap::from([("a-1".to_owned(), "node-a".to_owned()), ("a-2".to_owned(), "node-b".to_owned())]);
    assert_eq!((bound(&one.fleet), bound(&two)), (expected.clone(), expected));
}

#[tokio::test(start_paused = true)]
async fn a_replica_whose_epoch_is_over_is_refused_though_it_has_heard_of_nothing() {
    let one = Fixture::new(0.0, 0.0).await;
    let two = one.reopened().await;
    let pool = pool("one");
    two.execute(&[Command::EnsurePool { pool: pool.clone() }], &fence(2)).await;
    let results = one.fleet.execute(&[node(&pool, "node-a")], &fence(1)).await;
    assert_eq!(results, [Err(FleetError::Fenced)]);
    two.catch_up().await.unwrap();
    assert_eq!(bound(&two), BTreeMap::new());
}

#[tokio::test(start_paused = true)]
async fn what_one_replica_breaks_another_sees_and_mends() {
    let one = Fixture::new(0.0, 0.0).await;
    let two = one.reopened().await;
    let fault = MachineFault::Faulty {
        reason: "broken".to_owned(),
    };
    two.break_machine("a-1", fault).await.unwrap().unwrap();
    assert_eq!(one.fleet.machine("a-1").unwrap().faults, Vec::new());
    one.fleet.catch_up().await.unwrap();
    assert_eq!(one.fleet.machine("a-1").unwrap().faults, two.machine("a-1").unwrap().faults);
    assert_eq!(one.fleet.machine("a-1").unwrap().faults.len(), 1);
    assert_eq!(one.fleet.offers().await.unwrap(), two.offers().await.unwrap());
    one.fleet.mend_machine("a-1").await.unwrap().unwrap();
    one.fleet.unregister("a-2").await.unwrap();
    two.catch_up().await.unwrap();
    assert_eq!(two.machine("a-1").unwrap().faults, Vec::new());
    assert!(two.machine("a-2").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stretch_that_is_known_changes_nothing_and_one_that_comes_late_does_not_undo_a_newer_one() {
    let one = Fixture::new(0.0, 0.0).await;
    let two = one.reopened().await;
    let begin = two.position();
    one.fleet.unregister("a-1").await.unwrap();
    let early = one.journal.since(begin).await.unwrap();
    one.fleet.unregister("a-2").await.unwrap();
    one.fleet.register(vec![registration("a-1", "a")]).await.unwrap();
    let late = one.journal.since(begin).await.unwrap();
    two.take_in(late.clone()).unwrap();
    for stretch in [early, late] {
        two.take_in(stretch).unwrap();
        let ids = |fleet: &SimFleet| {
            fleet
                .machines()
                .into_iter()
                .map(|machine| machine.registration.id)
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(&two), ids(&one.fleet));
    }
}

async fn work(fleet: &SimFleet) -> Vec<WorkloadFact> {
    let all = fleet.workloads(&mark().uid).await.unwrap();
    all.facts().cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn who_runs_where_is_the_same_on_every_replica_whatever_each_had_thought() {
    let one = Fixture::floor(1.0).await;
    let two = one.reopened().await;
    // Here it runs on the first two nodes; there, where nobody has heard of it, another one is on the first.
    one.submit("0190", job("one", 2, Some(100))).await;
    let root = mark().uid;
    two.submit(&root, &root, job("two", 2, Some(300))).await.unwrap().unwrap();
    one.pause(40).await;
    one.fleet.catch_up().await.unwrap();
    assert_eq!(work(&one.fleet).await, work(&two).await);
    one.pause(90).await;
    // The first is over by itself, and the second has begun: nobody has written that down.
    let (seen, other) = (work(&one.fleet).await, work(&two).await);
    assert!(seen.iter().any(|fact| fact.status.is_over()) && seen == other, "{seen:?} {other:?}");
    two.submit(&root, &root, job("three", 1, None)).await.unwrap().unwrap();
    one.fleet.catch_up().await.unwrap();
    assert_eq!(work(&one.fleet).await, work(&two).await);
    assert_eq!(work(&one.reopened().await).await, work(&two).await);
}
