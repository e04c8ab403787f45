//! Machines that are made, where several processes make them, where one ends in between, and where nothing is to be done.

mod making;
mod world;

use domain::meta::Uid;
use fleet::{Command, Fleet, FleetError, Observation};
use futures::future::join_all;
use making::{MACHINES, ensure, has_done, is_ready, making, names, reset, settled};
use serde_json::Value;
use std::collections::BTreeMap;
use world::{World, create, delete, fence, node, pool, run};

#[tokio::test(start_paused = true)]
async fn of_eight_controllers_each_finds_the_one_machine() {
    let world = making(6).await;
    let fleets = join_all((0..8).map(|_| world.fleet())).await;
    let commands: Vec<Command> = (0..6).map(|number| create(1, number)).collect();
    let all = join_all(fleets.iter().map(|fleet| async { fleet.execute(&commands, &fence(1)).await })).await;
    for results in all {
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
    world
        .until(&fleets[0], &pool(1), |seen| (0..6).all(|number| is_ready(seen, number)))
        .await;
    assert_eq!((names(&world, MACHINES).len(), names(&world, "nodes").len()), (6, 6));
}

#[tokio::test(start_paused = true)]
async fn many_at_once_stay_below_the_limit() {
    let world = making(5).await;
    let fleet = world.fleet().await;
    let commands: Vec<Command> = (0..12).map(|number| create(1, number)).collect();
    let results = fleet.execute(&commands, &fence(1)).await;
    let made = results.iter().filter(|result| result.is_ok()).count();
    let refused = results.iter().filter(|result| **result == Err(FleetError::NoCapacity)).count();
    assert_eq!((made, refused, names(&world, MACHINES).len()), (5, 7, 5));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_left_alone_is_not_written_to() {
    let world = making(3).await;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1), create(1, 2), create(1, 3)]).await;
    world
        .until(&fleet, &pool(1), |seen| (1..=3).all(|number| is_ready(seen, number)))
        .await;
    run(&fleet, 1, &[reset(1, 2, 1)]).await;
    world
        .until(&fleet, &pool(1), |seen| has_done(seen, 2, 1) && is_ready(seen, 2))
        .await;
    world.pass(600).await;
    let version = world.cluster.version();
    drop(fleet);
    // A new process begins with nothing but what it reads.
    let fleet = world.fleet().await;
    fleet.lead(&fence(1)).await;
    world.pass(7_200).await;
    assert!(is_ready(&fleet.observe(&pool(1).uid).await.unwrap(), 1));
    assert_eq!(world.cluster.writes_since(version), 0);
}

/// What may never happen to a Machine, whoever crashes when: it is written under an epoch below that of its last writer.
fn judge(world: &World) {
    let mut epochs: BTreeMap<Uid, u64> = BTreeMap::new();
    for change in world.cluster.changes_since(0).iter().filter(|change| &*change.key.ty == MACHINES) {
        let text = |pointer: &str| {
            change
                .object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let epoch: u64 = text("/metadata/annotations/poolkeeper.io~1epoch").parse().unwrap_or(0);
        let known = epochs.entry(Uid::from_text(&text("/metadata/uid"))).or_default();
        assert!(epoch >= *known, "{} is written by a holder of the past", change.key.name);
        *known = epoch;
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_any_write_of_a_machines_life_loses_nothing() {
    for writes in 0..40 {
        let world = making(1).await;
        let target = pool(2);
        let story: Vec<Vec<Command>> = vec![
            vec![ensure(1), ensure(2), create(1, 1)],
            vec![reset(1, 1, 1)],
            vec![Command::MoveNode {
                pool: target.clone(),
                node: node(1),
                from: pool(1),
            }],
            vec![delete(2, 1)],
        ];
        let goals: [fn(&Observation, &Observation) -> bool; 4] = [
            |one, _| is_ready(one, 1),
            |one, _| has_done(one, 1, 1) && is_ready(one, 1) && one.nodes.len() == 1,
            |one, two| one.nodes.is_empty() && is_ready(two, 1),
            |one, two| one.nodes.is_empty() && two.nodes.is_empty(),
        ];
        let mut fleet = world.dying(writes).await;
        let (mut epoch, mut is_dead) = (1, false);
        for (chapter, goal) in story.iter().zip(goals) {
            let mut waited = 0;
            loop {
                let results = fleet.execute(chapter, &fence(epoch)).await;
                let (one, two) = (fleet.observe(&pool(1).uid).await, fleet.observe(&target.uid).await);
                let is_reached = results.iter().all(Result::is_ok) && matches!((&one, &two), (Ok(one), Ok(two)) if goal(one, two));
                if is_reached {
                    break;
                }
                world.pass(5).await;
                waited += 1;
                if waited == 150 && !is_dead {
                    // It cannot write any more.
                    (is_dead, waited) = (true, 0);
                    epoch += 1;
                    fleet = world.fleet().await;
                }
                assert!(waited < 500, "after {writes} writes: {results:?} {one:#?} {two:#?}");
            }
        }
        judge(&world);
        assert_eq!(settled(&world), Vec::<String>::new(), "after {writes} writes");
        if !is_dead {
            assert!(writes > 15, "the story takes more writes than {writes}");
            return;
        }
    }
    panic!("the story never came to its end without a crash");
}
