//! Machines that are made where too few are free: by Cluster API, whose controller and providers are actors of the fake API server.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod making;
mod world;

use fleet::{Command, Fleet, FleetError, MachineState, NodeFact, Observation, RequestProgress};
use kube_fake::{Fault, FaultTarget};
use making::{CONFIGS, HOSTS, MACHINES, ensure, has_done, is_ready, machine, making, names, remove, reset, settled, state};
use poolkeeper_fleet_kube::mark;
use serde_json::json;
use std::cell::Cell;
use world::{create, delete, fence, flavor, insist, node, pool, run, zone};

async fn free(fleet: &impl Fleet) -> (u32, u32) {
    let offers = fleet.offers().await.unwrap();
    let here = offers[&flavor()].zones[&zone("a")];
    (here.free, here.total)
}

#[tokio::test(start_paused = true)]
async fn where_no_machine_is_free_one_is_made() {
    let world = making(2).await;
    world.add_nodes("a", 1);
    let fleet = world.fleet().await;
    assert_eq!(free(&fleet).await, (3, 3));
    let commands = [ensure(1), create(1, 1), create(1, 2), create(1, 3), create(1, 4)];
    let results = fleet.execute(&commands, &fence(1)).await;
    assert_eq!(results, [Ok(()), Ok(()), Ok(()), Ok(()), Err(FleetError::NoCapacity)]);
    assert_eq!(free(&fleet).await, (0, 3), "what is being made is there for those who count");
    let seen = fleet.observe(&pool(1).uid).await.unwrap();
    let booting = (1..=4)
        .filter(|number| state(&seen, *number) == Some(&MachineState::Booting))
        .count();
    assert_eq!((seen.nodes.len(), booting), (3, 2), "what is being made is there: {seen:#?}");
    let seen = world
        .until(&fleet, &pool(1), |seen| (1..=3).all(|number| is_ready(seen, number)))
        .await;
    let made: Vec<usize> = (1..=3)
        .filter(|number| names(&world, MACHINES).contains(&node(*number).to_string()))
        .collect();
    assert_eq!(made.len(), 2, "one machine was free");
    for number in made {
        let name = node(number).to_string();
        let host = world.node(&name);
        assert_eq!(seen.nodes[&node(number)].instance.as_ref(), Some(&name));
        assert_eq!(host["metadata"]["labels"][mark::POOL], pool(1).uid.as_str());
        assert_eq!(host["metadata"]["labels"]["team"], "vision");
        assert_eq!(host["metadata"]["labels"][mark::MADE_FOR], name.as_str());
        let taints = host["spec"]["taints"].as_array().unwrap();
        assert_eq!(taints.iter().map(|taint| &taint["key"]).collect::<Vec<_>>(), [mark::TAINT_POOL]);
        for kind in [CONFIGS, HOSTS] {
            let own = world.cluster.object(kind, "clusters", &name).unwrap();
            assert_eq!(
                own["metadata"]["ownerReferences"][0]["uid"],
                machine(&world, &name)["metadata"]["uid"]
            );
        }
    }
    assert_eq!(free(&fleet).await, (0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_zone_without_a_rule_makes_nothing() {
    let world = making(2).await;
    let fleet = world.fleet().await;
    let Command::CreateNode(mut elsewhere) = create(1, 1) else {
        panic!("a creation")
    };
    elsewhere.az = zone("b");
    let results = fleet.execute(&[ensure(1), Command::CreateNode(elsewhere)], &fence(1)).await;
    assert_eq!(results, [Ok(()), Err(FleetError::NoCapacity)]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_makes_no_second_machine() {
    let world = making(9).await;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1)]).await;
    // Of the one that was lost on its way nothing was made, so that the free one is taken.
    for (number, fault, host) in [
        (1, Fault::LoseReply, node(1).to_string()),
        (2, Fault::LoseRequest, "a-0".to_owned()),
    ] {
        world.cluster.fail_next(FaultTarget::of("create", "machines"), fault, 1);
        let result = fleet.execute(&[create(1, number)], &fence(1)).await;
        assert!(matches!(result[..], [Err(FleetError::Ambiguous(_))]), "{result:?}");
        // A machine that becomes free meanwhile is not taken besides.
        world.add_nodes("a", 1);
        insist(&world, &fleet, 1, &[create(1, number)]).await;
        world.until(&fleet, &pool(1), |seen| is_ready(seen, number)).await;
        assert_eq!(world.machines_of(number), [host]);
        world.cluster.delete_node("a-0");
    }
    assert_eq!(names(&world, MACHINES), [node(1).to_string()]);
}

#[tokio::test(start_paused = true)]
async fn what_a_machine_refers_to_is_made_though_its_maker_failed() {
    for fault in [Fault::LoseRequest, Fault::LoseReply, Fault::Unavailable] {
        let world = making(1).await;
        let fleet = world.fleet().await;
        world.cluster.fail_next(FaultTarget::of("create", "fakemachines"), fault, 1);
        run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
        world.until(&fleet, &pool(1), |seen| is_ready(seen, 1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_fails_is_told_and_can_be_given_back() {
    let world = making(1).await;
    let failing = json!({"fake.io/fails": "the quota of the cloud is used up"});
    world.cluster.add_machine_template("clusters", "a100", &making::spec(), &failing);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
    let told = MachineState::Failed("the quota of the cloud is used up".to_owned());
    world.until(&fleet, &pool(1), |seen| state(seen, 1) == Some(&told)).await;
    run(&fleet, 1, &[delete(1, 1)]).await;
    world.until(&fleet, &pool(1), |seen| seen.nodes.is_empty()).await;
    assert_eq!((settled(&world), free(&fleet).await), (Vec::<String>::new(), (1, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_node_takes_its_machine_with_it() {
    let world = making(1).await;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
    world.until(&fleet, &pool(1), |seen| is_ready(seen, 1)).await;
    let host = node(1).to_string();
    world
        .put_pod("work", &host, json!({"metadata": {"annotations": {"fake.io/stop-seconds": "20"}}}))
        .await;
    world.until(&fleet, &pool(1), |seen| seen.nodes[&node(1)].is_busy).await;
    run(&fleet, 1, &[delete(1, 1)]).await;
    let seen = fleet.observe(&pool(1).uid).await.unwrap();
    assert_eq!(state(&seen, 1), Some(&MachineState::Releasing));
    world.pass(10).await;
    let is_kept = machine(&world, &host)["metadata"].get("deletionTimestamp").is_none();
    assert!(is_kept, "the machine goes when the node is empty, not before");
    let seen = world.until(&fleet, &pool(1), |seen| seen.nodes.is_empty()).await;
    assert_eq!((seen.nodes.len(), settled(&world)), (0, Vec::<String>::new()));
    let ends: Vec<String> = world
        .cluster
        .history("nodes", "", &host)
        .iter()
        .map(|change| change.by.to_string())
        .collect();
    assert_eq!(ends.last().map(String::as_str), Some("system:capi-controller"));
}

#[tokio::test(start_paused = true)]
async fn a_node_is_deleted_before_it_has_come() {
    for seconds in [0, 5, 60, 175, 181, 190] {
        let world = making(1).await;
        let fleet = world.fleet().await;
        run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
        world.pass(seconds).await;
        run(&fleet, 1, &[delete(1, 1)]).await;
        let seen = fleet.observe(&pool(1).uid).await.unwrap();
        assert_eq!(state(&seen, 1), Some(&MachineState::Releasing), "after {seconds} s");
        world.until(&fleet, &pool(1), |seen| seen.nodes.is_empty()).await;
        world.pass(600).await;
        assert_eq!(settled(&world), Vec::<String>::new(), "after {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_makes_the_machine_anew() {
    let world = making(1).await;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
    let before = world.until(&fleet, &pool(1), |seen| is_ready(seen, 1)).await;
    world.put_pod("work", node(1).as_str(), json!({})).await;
    run(&fleet, 1, &[reset(1, 1, 7), reset(1, 1, 7)]).await;
    let mistakes = Cell::new(0);
    world
        .until(&fleet, &pool(1), |seen| {
            let is_old = |fact: &NodeFact| fact.state == MachineState::Releasing;
            let is_amiss = seen.node(&node(1)).is_none() || seen.nodes.iter().any(|(name, fact)| *name != node(1) && !is_old(fact));
            mistakes.set(mistakes.get() + usize::from(is_amiss));
            has_done(seen, 1, 7) && is_ready(seen, 1)
        })
        .await;
    assert_eq!(
        mistakes.get(),
        0,
        "the node is known all the time, and the next machine is no other node"
    );
    let after = world.until(&fleet, &pool(1), |seen| seen.nodes.len() == 1).await;
    assert_ne!(after.nodes[&node(1)].instance, before.nodes[&node(1)].instance);
    assert_eq!(names(&world, MACHINES), [format!("{}-r7", node(1))]);
    assert_eq!(names(&world, "nodes"), [format!("{}-r7", node(1))]);
    let marks = &world.node(&format!("{}-r7", node(1)))["metadata"]["annotations"];
    assert!(marks.get(mark::ACTION).is_none() && marks.get(mark::HOLDS).is_none(), "{marks}");
    run(&fleet, 1, &[reset(1, 1, 8)]).await;
    world
        .until(&fleet, &pool(1), |seen| has_done(seen, 1, 8) && is_ready(seen, 1))
        .await;
    run(&fleet, 1, &[delete(1, 1)]).await;
    world.until(&fleet, &pool(1), |seen| seen.nodes.is_empty()).await;
    assert_eq!(settled(&world), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_next_machine_waits_until_the_last_one_has_gone() {
    const HOOK: &str = "pre-drain.delete.hook.machine.cluster.x-k8s.io/site";
    let world = making(1).await;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
    world.until(&fleet, &pool(1), |seen| is_ready(seen, 1)).await;
    let last = node(1).to_string();
    world.cluster.edit(MACHINES, "clusters", &last, |machine| {
        machine["metadata"]["annotations"][HOOK] = json!("");
    });
    run(&fleet, 1, &[reset(1, 1, 7)]).await;
    world.pass(900).await;
    assert_eq!(names(&world, "nodes"), [last.clone(), format!("{last}-r7")]);
    assert_eq!(world.machines_of(1), std::slice::from_ref(&last), "two Nodes are never one node");
    world.cluster.edit(MACHINES, "clusters", &last, |machine| {
        machine["metadata"]["annotations"].as_object_mut().unwrap().remove(HOOK);
    });
    world
        .until(&fleet, &pool(1), |seen| has_done(seen, 1, 7) && is_ready(seen, 1))
        .await;
    assert_eq!(world.machines_of(1), [format!("{last}-r7")]);
}

#[tokio::test(start_paused = true)]
async fn a_reset_whose_machine_fails_has_failed() {
    let world = making(1).await;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
    world.until(&fleet, &pool(1), |seen| is_ready(seen, 1)).await;
    let failing = json!({"fake.io/fails": "no image"});
    world.cluster.add_machine_template("clusters", "a100", &making::spec(), &failing);
    run(&fleet, 1, &[reset(1, 1, 7)]).await;
    let failed = RequestProgress::Failed {
        reason: "no image".to_owned(),
    };
    world
        .until(&fleet, &pool(1), |seen| {
            let fact = seen.node(&node(1)).and_then(|fact| fact.request.clone());
            fact.is_some_and(|fact| fact.number == 7 && fact.progress == failed)
        })
        .await;
    run(&fleet, 1, &[delete(1, 1)]).await;
    world.until(&fleet, &pool(1), |seen| seen.nodes.is_empty()).await;
    assert_eq!(settled(&world), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_node_is_deleted_while_it_is_reset() {
    for seconds in [0, 2, 30, 170, 190, 215] {
        let world = making(1).await;
        let fleet = world.fleet().await;
        run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
        world.until(&fleet, &pool(1), |seen| is_ready(seen, 1)).await;
        run(&fleet, 1, &[reset(1, 1, 7)]).await;
        world.pass(seconds).await;
        run(&fleet, 1, &[delete(1, 1)]).await;
        world.until(&fleet, &pool(1), |seen| seen.nodes.is_empty()).await;
        world.pass(600).await;
        assert_eq!(settled(&world), Vec::<String>::new(), "after {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_goes_with_its_node_to_another_pool() {
    let world = making(1).await;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), ensure(2), create(1, 1)]).await;
    world.until(&fleet, &pool(1), |seen| is_ready(seen, 1)).await;
    let take = Command::MoveNode {
        pool: pool(2),
        node: node(1),
        from: pool(1),
    };
    run(&fleet, 1, &[take]).await;
    world.until(&fleet, &pool(2), |seen| is_ready(seen, 1)).await;
    assert!(fleet.observe(&pool(1).uid).await.unwrap().nodes.is_empty());
    world.pass(5).await;
    let labels = &machine(&world, node(1).as_str())["metadata"]["labels"];
    assert_eq!(labels[mark::POOL], pool(2).uid.as_str());
    run(&fleet, 1, &[remove(1)]).await;
    world.pass(600).await;
    assert!(
        is_ready(&fleet.observe(&pool(2).uid).await.unwrap(), 1),
        "it is none of the old pool's"
    );
    run(&fleet, 1, &[remove(2)]).await;
    world.until(&fleet, &pool(2), |seen| *seen == Observation::default()).await;
    assert_eq!(settled(&world), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn with_a_pool_all_its_machines_go() {
    let world = making(4).await;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
    world.until(&fleet, &pool(1), |seen| is_ready(seen, 1)).await;
    run(&fleet, 1, &[create(1, 2), reset(1, 1, 3)]).await;
    world.pass(3).await;
    run(&fleet, 1, &[create(1, 3), remove(1)]).await;
    world.until(&fleet, &pool(1), |seen| *seen == Observation::default()).await;
    assert_eq!(settled(&world), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_somebody_takes_away_is_told() {
    let world = making(1).await;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
    world.until(&fleet, &pool(1), |seen| is_ready(seen, 1)).await;
    making::take_away(&world, node(1).as_str()).await;
    world
        .until(&fleet, &pool(1), |seen| state(seen, 1) == Some(&MachineState::Releasing))
        .await;
    world.until(&fleet, &pool(1), |seen| seen.nodes.is_empty()).await;
}

/// What holds for the Machine that was seen need not hold for what it has become.
#[tokio::test(start_paused = true)]
async fn a_deletion_that_is_late_does_not_meet_a_machine_that_has_changed() {
    let world = making(1).await;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
    let late = Fault::Slow(std::time::Duration::from_secs(5));
    world.cluster.fail_next(FaultTarget::of("delete", "machines"), late, 1);
    run(&fleet, 1, &[delete(1, 1)]).await;
    world.pass(1).await;
    let name = node(1).to_string();
    world.cluster.edit(MACHINES, "clusters", &name, |machine| {
        machine["metadata"]["annotations"].as_object_mut().unwrap().remove(mark::ACTION);
    });
    world.pass(60).await;
    assert!(machine(&world, &name)["metadata"].get("deletionTimestamp").is_none());
    run(&fleet, 1, &[delete(1, 1)]).await;
    world.until(&fleet, &pool(1), |seen| seen.nodes.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_locked_machine_is_not_taken_away_by_others_but_goes_with_its_pool() {
    let world = making(1).await;
    let fleet = world.fleet().await;
    let lock = |is_locked| Command::LockNode {
        pool: pool(1),
        node: node(1),
        is_locked,
    };
    run(&fleet, 1, &[ensure(1), create(1, 1), lock(true), lock(true)]).await;
    let told = |seen: &Observation| seen.nodes[&node(1)].is_locked;
    let seen = world.until(&fleet, &pool(1), |seen| is_ready(seen, 1)).await;
    assert_eq!(told(&seen), Some(true));
    run(&fleet, 1, &[lock(false)]).await;
    assert_eq!(told(&fleet.observe(&pool(1).uid).await.unwrap()), Some(false));
    run(&fleet, 1, &[lock(true)]).await;
    world.put_pod("work", node(1).as_str(), json!({})).await;
    making::take_away(&world, node(1).as_str()).await;
    world.pass(1_200).await;
    let pod = world.cluster.object("pods", "default", "work").unwrap();
    assert!(pod["metadata"].get("deletionTimestamp").is_none(), "nobody empties it");
    run(&fleet, 1, &[remove(1)]).await;
    world.until(&fleet, &pool(1), |seen| *seen == Observation::default()).await;
    assert_eq!(settled(&world), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_lock_of_a_machine_can_be_put_on_the_next_one() {
    let world = making(1).await;
    let fleet = world.fleet().await;
    let lock = Command::LockNode {
        pool: pool(1),
        node: node(1),
        is_locked: true,
    };
    run(&fleet, 1, &[ensure(1), create(1, 1), lock.clone()]).await;
    world.until(&fleet, &pool(1), |seen| is_ready(seen, 1)).await;
    run(&fleet, 1, &[reset(1, 1, 2)]).await;
    world
        .until(&fleet, &pool(1), |seen| seen.nodes[&node(1)].is_locked == Some(false))
        .await;
    run(&fleet, 1, &[lock]).await;
    let seen = world
        .until(&fleet, &pool(1), |seen| has_done(seen, 1, 2) && is_ready(seen, 1))
        .await;
    assert_eq!(seen.nodes[&node(1)].is_locked, Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_machine_whose_node_is_gone_is_faulty() {
    let world = making(1).await;
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
    world.until(&fleet, &pool(1), |seen| is_ready(seen, 1)).await;
    world.cluster.delete_node(node(1).as_str());
    let gone = MachineState::Faulty("node object missing".to_owned());
    world.until(&fleet, &pool(1), |seen| state(seen, 1) == Some(&gone)).await;
    run(&fleet, 1, &[delete(1, 1)]).await;
    world.until(&fleet, &pool(1), |seen| seen.nodes.is_empty()).await;
    assert_eq!(settled(&world), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_machine_of_another_flavor_does_not_become_ready() {
    let world = making(1).await;
    let other = kube_fake::NodeSpec::new("", "cpu-64", "").with_accelerators("nvidia.com/gpu", 8);
    world.cluster.add_machine_template("clusters", "a100", &other, &json!({}));
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
    world.pass(900).await;
    let seen = fleet.observe(&pool(1).uid).await.unwrap();
    assert_eq!(state(&seen, 1), Some(&MachineState::Booting));
    assert_eq!(
        world.machines_of(1),
        [node(1).to_string()],
        "it is the node all the same, and goes with it"
    );
}

#[tokio::test(start_paused = true)]
async fn machines_of_others_are_left_alone() {
    let mut world = making(1).await;
    world.config.adopt_provisioned = true;
    making::put_machine(&world, node(1).as_str()).await;
    let before = machine(&world, node(1).as_str());
    let fleet = world.fleet().await;
    let results = fleet.execute(&[ensure(1), create(1, 1)], &fence(1)).await;
    assert!(matches!(results[..], [Ok(()), Err(FleetError::Refused { .. })]), "{results:?}");
    run(&fleet, 1, &[delete(1, 1), remove(1)]).await;
    world.pass(600).await;
    let after = machine(&world, node(1).as_str());
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert!(after["metadata"].get("deletionTimestamp").is_none());
}
