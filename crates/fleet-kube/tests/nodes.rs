//! Nodes over the API server inside the process: races, crashes, lost answers, drains, and a cluster that is left alone.

mod world;

use domain::meta::Uid;
use fleet::{Command, Fleet, FleetError, MachineState, Observation};
use futures::FutureExt;
use futures::future::join_all;
use kube_fake::{Fault, FaultRates, FaultTarget};
use poolkeeper_fleet_kube::config::Provider;
use poolkeeper_fleet_kube::mark;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use world::{World, create, delete, fence, insist, node, pool, run};

fn ensure(number: usize) -> Command {
    Command::EnsurePool { pool: pool(number) }
}

fn is_ready(seen: &Observation, number: usize) -> bool {
    seen.node(&node(number)).is_some_and(|fact| fact.state == MachineState::Ready)
}

/// What may never happen, whoever crashes when: a Node goes from one pool to another without being free between, or is written under
/// an epoch below that of its last writer.
fn judge(world: &World) {
    for key in world.cluster.objects("nodes").keys() {
        let (mut pool, mut epoch) = (Value::Null, 0);
        for change in world.cluster.history("nodes", "", &key.name) {
            let now = change.object["metadata"]["labels"].get(mark::POOL).cloned().unwrap_or_default();
            let text = change.object["metadata"]["annotations"].get(mark::EPOCH).and_then(Value::as_str);
            let written: u64 = text.and_then(|text| text.parse().ok()).unwrap_or(0);
            assert!(pool.is_null() || now.is_null() || now == pool, "{} changes hands", key.name);
            assert!(written >= epoch, "{} is written by a holder of the past", key.name);
            (pool, epoch) = (now, written);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_eight_controllers_one_wins_each_node() {
    let world = World::new().await;
    world.add_nodes("a", 12);
    let fleets = join_all((0..8).map(|_| world.fleet())).await;
    let commands: Vec<Command> = (0..10).map(|number| create(1, number)).collect();
    let all = join_all(fleets.iter().map(|fleet| async { fleet.execute(&commands, &fence(1)).await })).await;
    for results in all {
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
    let machines: Vec<Vec<String>> = (0..10).map(|number| world.machines_of(number)).collect();
    assert!(machines.iter().all(|found| found.len() == 1), "{machines:?}");
    let distinct: BTreeSet<&String> = machines.iter().flatten().collect();
    assert_eq!(distinct.len(), 10);
    judge(&world);
}

#[tokio::test(start_paused = true)]
async fn controllers_with_nodes_of_their_own_share_the_machines_out() {
    let world = World::new().await;
    world.add_nodes("a", 16);
    let fleets = join_all((0..8).map(|_| world.fleet())).await;
    let all = join_all(fleets.iter().enumerate().map(|(at, fleet)| async move {
        let commands = [create(at + 1, 2 * at), create(at + 1, 2 * at + 1), create(at + 1, 100 + at)];
        fleet.execute(&commands, &fence(1)).await
    }))
    .await;
    let made = all.iter().flatten().filter(|result| result.is_ok()).count();
    let refused = all
        .iter()
        .flatten()
        .filter(|result| **result == Err(FleetError::NoCapacity))
        .count();
    assert_eq!((made, refused), (16, 8), "{all:?}");
    judge(&world);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_does_not_claim_a_second_machine() {
    let world = World::new().await;
    world.add_nodes("a", 4);
    let fleet = world.fleet().await;
    for (number, fault) in [(1, Fault::LoseReply), (2, Fault::LoseRequest)] {
        world.cluster.fail_next(FaultTarget::of("patch", "nodes"), fault, 1);
        let result = fleet.execute(&[create(1, number)], &fence(1)).await;
        assert!(matches!(result[..], [Err(FleetError::Ambiguous(_))]), "{result:?}");
        insist(&world, &fleet, 1, &[create(1, number)]).await;
        assert_eq!(world.machines_of(number).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_conflicts_passes() {
    let world = World::new().await;
    world.add_nodes("a", 2);
    let fleet = world.fleet().await;
    world.cluster.fail_next(FaultTarget::of("patch", "nodes"), Fault::Conflict, 4);
    run(&fleet, 1, &[create(1, 1)]).await;
    world.cluster.fail_next(FaultTarget::of("patch", "nodes"), Fault::Conflict, 5);
    let result = fleet.execute(&[create(1, 2)], &fence(1)).await;
    assert!(matches!(result[..], [Err(FleetError::Throttled { .. })]), "{result:?}");
    run(&fleet, 1, &[create(1, 2)]).await;
    assert_eq!((world.machines_of(1).len(), world.machines_of(2).len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn answers_of_the_server_are_told_apart() {
    let world = World::new().await;
    world.add_nodes("a", 2);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[]).await;
    world
        .cluster
        .fail_next(FaultTarget::of("patch", "nodes"), Fault::TooManyRequests(7), 1);
    let result = fleet.execute(&[create(1, 1)], &fence(1)).await;
    assert!(matches!(result[..], [Err(FleetError::Throttled { .. })]), "{result:?}");
    world
        .cluster
        .deny("system:serviceaccount:poolkeeper-system:poolkeeper", "patch", "nodes");
    let result = fleet.execute(&[create(1, 1)], &fence(1)).await;
    assert!(matches!(result[..], [Err(FleetError::Refused { .. })]), "{result:?}");
    assert!(world.machines_of(1).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_released_machine_is_as_it_was_and_its_pods_are_gone() {
    let world = World::new().await;
    world.add_nodes("a", 1);
    world.cluster.edit("nodes", "", "a-0", |node| {
        node["metadata"]["labels"]["team"] = json!("ops");
        node["spec"]["taints"] = json!([
            {"key": "nvidia.com/gpu", "effect": "NoSchedule"},
            {"key": mark::TAINT_UNCLAIMED, "effect": "NoSchedule"},
        ]);
    });
    let before = world.foreign("a-0");
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
    assert_eq!(world.node("a-0")["metadata"]["labels"]["team"], "vision");
    world.until(&fleet, &pool(1), |seen| is_ready(seen, 1)).await;
    world.put_pod("work", "a-0", json!({})).await;
    world.until(&fleet, &pool(1), |seen| seen.nodes[&node(1)].is_busy).await;
    run(&fleet, 1, &[delete(1, 1)]).await;
    let seen = fleet.observe(&pool(1).uid).await.unwrap();
    assert_eq!(seen.nodes[&node(1)].state, MachineState::Releasing);
    world.until(&fleet, &pool(1), |seen| seen.nodes.is_empty()).await;
    assert!(world.cluster.object("pods", "default", "work").is_none());
    assert_eq!(world.foreign("a-0"), before);
}

#[tokio::test(start_paused = true)]
async fn pods_that_may_not_be_disturbed_are_waited_for_and_then_deleted() {
    let world = World::new().await;
    world.add_nodes("a", 1);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
    world.put_pod("work", "a-0", json!({})).await;
    let target = FaultTarget::of("create", "pods/eviction");
    world.cluster.fail_next(target, Fault::TooManyRequests(1), 1_000_000);
    world.until(&fleet, &pool(1), |seen| seen.nodes[&node(1)].is_busy).await;
    run(&fleet, 1, &[delete(1, 1)]).await;
    world.pass(590).await;
    assert!(
        world.cluster.object("pods", "default", "work").unwrap()["metadata"]
            .get("deletionTimestamp")
            .is_none()
    );
    world.pass(60).await;
    assert!(world.cluster.object("pods", "default", "work").is_none());
    world.until(&fleet, &pool(1), |seen| seen.nodes.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_any_write_of_a_nodes_life_loses_nothing() {
    for writes in 0..40 {
        let world = World::new().await;
        world.add_nodes("a", 2);
        let before = [world.foreign("a-0"), world.foreign("a-1")];
        let target = pool(2);
        let story: Vec<Vec<Command>> = vec![
            vec![ensure(1), ensure(2), create(1, 1)],
            vec![Command::RebootNode {
                pool: pool(1),
                node: node(1),
                number: 1,
            }],
            vec![Command::MoveNode {
                pool: target.clone(),
                node: node(1),
                from: pool(1),
            }],
            vec![delete(2, 1)],
        ];
        let goals: [fn(&Observation, &Observation) -> bool; 4] = [
            |one, _| is_ready(one, 1),
            |one, _| {
                one.nodes[&node(1)]
                    .request
                    .as_ref()
                    .is_some_and(|request| request.progress == fleet::RequestProgress::Done)
            },
            |one, two| one.nodes.is_empty() && is_ready(two, 1),
            |one, two| one.nodes.is_empty() && two.nodes.is_empty(),
        ];
        // The first process gets as far as it can; another goes on from there, and has to finish.
        let mut fleet = world.dying(writes).await;
        let mut epoch = 1;
        let mut is_dead = false;
        for (chapter, goal) in story.iter().zip(goals) {
            let mut waited = 0;
            loop {
                let results = fleet.execute(chapter, &fence(epoch)).await;
                let one = fleet.observe(&pool(1).uid).await;
                let two = fleet.observe(&target.uid).await;
                let is_reached = results.iter().all(Result::is_ok) && matches!((&one, &two), (Ok(one), Ok(two)) if goal(one, two));
                if is_reached {
                    break;
                }
                world.pass(5).await;
                waited += 1;
                if waited == 120 && !is_dead {
                    // It cannot write any more.
                    is_dead = true;
                    epoch += 1;
                    waited = 0;
                    fleet = world.fleet().await;
                }
                assert!(waited < 500, "after {writes} writes: {results:?} {one:#?} {two:#?}");
            }
        }
        judge(&world);
        assert_eq!([world.foreign("a-0"), world.foreign("a-1")], before, "after {writes} writes");
        if !is_dead {
            assert!(writes > 10, "the story takes more writes than {writes}");
            return;
        }
    }
    panic!("the story never came to its end without a crash");
}

#[tokio::test(start_paused = true)]
async fn a_holder_of_the_past_goes_on_with_nothing() {
    let world = World::new().await;
    world.add_nodes("a", 2);
    let (old, new) = (world.fleet().await, world.fleet().await);
    run(&old, 1, &[ensure(1), create(1, 1)]).await;
    let host = world.machines_of(1).remove(0);
    world
        .put_pod("work", &host, json!({"metadata": {"annotations": {"fake.io/stop-seconds": "20"}}}))
        .await;
    world.pass(5).await;
    run(&old, 1, &[delete(1, 1)]).await;
    new.lead(&fence(2)).await;
    let version = world.cluster.version();
    drop(new);
    world.pass(600).await;
    assert_eq!(
        world.cluster.writes_since(version),
        0,
        "whoever is told that his time is over, stops"
    );
    assert_eq!(old.execute(&[delete(1, 1)], &fence(1)).await, [Err(FleetError::Fenced)]);
    let next = world.fleet().await;
    next.lead(&fence(3)).await;
    world.until(&next, &pool(1), |seen| seen.nodes.is_empty()).await;
    judge(&world);
}

#[tokio::test(start_paused = true)]
async fn the_server_refuses_an_epoch_that_is_over_even_where_the_process_does_not_know() {
    let world = World::new().await;
    world.add_nodes("a", 2);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
    // The fence is raised in the moment between the look at it and the write.
    world.cluster.fail_next(
        FaultTarget::of("get", "configmaps"),
        Fault::Slow(std::time::Duration::from_secs(1)),
        1,
    );
    world
        .cluster
        .fail_next(FaultTarget::of("patch", "nodes"), Fault::Slow(std::time::Duration::from_secs(5)), 1);
    let late = async { fleet.execute(&[create(1, 2)], &fence(1)).await };
    let raise = async {
        world.pass(3).await;
        let raised = world.cluster.edit("configmaps", "poolkeeper-system", "fence", |fence| {
            fence["data"]["epoch"] = json!("9");
        });
        assert!(raised);
    };
    let (results, ()) = futures::join!(late, raise);
    // A slow call is judged when it is made, so that either outcome is lawful here; what follows is not.
    assert!(matches!(results[..], [Ok(()) | Err(FleetError::Fenced)]), "{results:?}");
    assert_eq!(fleet.execute(&[delete(1, 1)], &fence(1)).await, [Err(FleetError::Fenced)]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_concluded_while_the_server_is_silent() {
    let world = World::new().await;
    world.add_nodes("a", 2);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
    world.until(&fleet, &pool(1), |seen| is_ready(seen, 1)).await;
    world.cluster.set_fault_rates(FaultRates {
        lose_request: 10_000,
        ..FaultRates::default()
    });
    world.pass(100).await;
    assert!(matches!(fleet.observe(&pool(1).uid).await, Err(FleetError::Unreachable(_))));
    assert!(matches!(fleet.offers().await, Err(FleetError::Unreachable(_))));
    world.cluster.delete_node(&world.machines_of(1)[0]);
    world.cluster.compact_all();
    world.cluster.clear_faults();
    let seen = world.until(&fleet, &pool(1), |_| true).await;
    assert!(seen.nodes.is_empty(), "what changed meanwhile is known: {seen:#?}");
}

#[tokio::test(start_paused = true)]
async fn watches_that_are_cut_go_on() {
    let world = World::new().await;
    world.add_nodes("a", 3);
    let fleet = world.fleet().await;
    for (number, fault) in [
        (1, Fault::CutWatch(std::time::Duration::from_secs(3))),
        (2, Fault::SilenceWatch(std::time::Duration::from_secs(200))),
        (3, Fault::RepeatEvents(std::time::Duration::from_mins(1))),
    ] {
        world.cluster.fail_next(FaultTarget::of("watch", "nodes"), fault, 1);
        world.pass(40).await;
        run(&fleet, 1, &[ensure(1), create(1, number)]).await;
        let host = world.machines_of(number).remove(0);
        world.cluster.condition(&host, "KernelDeadlock", "True", "stuck");
        let is_faulty = |seen: &Observation| matches!(seen.nodes[&node(number)].state, MachineState::Faulty(_));
        world.until(&fleet, &pool(1), is_faulty).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_cluster_is_not_written_to() {
    let world = World::new().await;
    world.add_nodes("a", 3);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1), create(1, 2)]).await;
    world.until(&fleet, &pool(1), |seen| is_ready(seen, 1) && is_ready(seen, 2)).await;
    world.pass(60).await;
    let version = world.cluster.version();
    for _ in 0..60 {
        // What is commanded again is done already.
        run(&fleet, 1, &[ensure(1), create(1, 1), create(1, 2)]).await;
        world.pass(60).await;
        assert!(is_ready(&fleet.observe(&pool(1).uid).await.unwrap(), 1));
    }
    assert_eq!(world.cluster.writes_since(version), 0);
    // Kubelets go on giving signs of life, of which nobody needs to be told.
    while fleet.changed().now_or_never().is_some() {}
    let told = tokio::time::timeout(std::time::Duration::from_mins(20), fleet.changed()).await;
    assert!(told.is_err() && world.cluster.version() > version, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn of_two_machines_with_one_name_the_later_one_is_an_orphan() {
    let world = World::new().await;
    world.add_nodes("a", 2);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
    let first = world.machines_of(1).remove(0);
    let second = if first == "a-0" { "a-1" } else { "a-0" };
    let marks = world.node(&first);
    world.pass(10).await;
    world.cluster.edit("nodes", "", second, |node| {
        for part in ["labels", "annotations"] {
            for (key, value) in marks["metadata"][part].as_object().unwrap() {
                if key.starts_with(mark::PREFIX) && key != mark::INVENTORY {
                    let value = value.as_str().unwrap().replace("2026-01-01T00:00:00", "2026-01-01T00:00:09");
                    node["metadata"][part][key] = json!(value);
                }
            }
        }
        node["spec"]["taints"] = marks["spec"]["taints"].clone();
    });
    let seen = world.until(&fleet, &pool(1), |seen| seen.nodes.len() == 2).await;
    assert_eq!(seen.nodes[&node(1)].instance.as_deref(), Some(first.as_str()));
    let orphan = seen.nodes.keys().find(|name| **name != node(1)).unwrap().clone();
    let command = Command::DeleteNode {
        pool: pool(1),
        node: orphan,
    };
    run(&fleet, 1, &[command]).await;
    world.until(&fleet, &pool(1), |seen| seen.nodes.len() == 1).await;
    assert_eq!(world.machines_of(1), [first]);
}

#[tokio::test(start_paused = true)]
async fn a_fault_is_told_when_it_has_lasted() {
    let world = World::new().await;
    world.add_nodes("a", 1);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
    world.until(&fleet, &pool(1), |seen| is_ready(seen, 1)).await;
    world.cluster.break_node("a-0", "disk");
    let mut seen = fleet.observe(&pool(1).uid).await.unwrap();
    while !matches!(seen.nodes[&node(1)].state, MachineState::Faulty(_)) {
        // Nobody asks without being told.
        let told: Vec<Uid> = tokio::time::timeout(std::time::Duration::from_secs(200), fleet.changed())
            .await
            .unwrap();
        assert!(told.contains(&pool(1).uid));
        seen = fleet.observe(&pool(1).uid).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_day_ends_well() {
    for seed in 0..3 {
        let world = World::with_seed(seed).await;
        world.add_nodes("a", 4);
        let before: Vec<Value> = (0..4).map(|at| world.foreign(&format!("a-{at}"))).collect();
        let fleet = world.fleet().await;
        world.cluster.set_fault_rates(FaultRates::bad_day());
        let commands: Vec<Command> = (1..=3).map(|number| create(1, number)).collect();
        insist(&world, &fleet, 1, &[vec![ensure(1)], commands].concat()).await;
        world
            .until(&fleet, &pool(1), |seen| (1..=3).all(|number| is_ready(seen, number)))
            .await;
        for number in 1..=3 {
            assert_eq!(world.machines_of(number).len(), 1);
        }
        let away: Vec<Command> = (1..=3).map(|number| delete(1, number)).collect();
        insist(&world, &fleet, 1, &away).await;
        world.until(&fleet, &pool(1), |seen| seen.nodes.is_empty()).await;
        let after: Vec<Value> = (0..4).map(|at| world.foreign(&format!("a-{at}"))).collect();
        assert_eq!(after, before);
        judge(&world);
    }
}

fn template() -> Provider {
    let container = json!({"name": "tool", "image": "tools:1", "args": ["{{node}}", "{{number}}"]});
    Provider::Pod {
        template: json!({"nodeName": "{{host}}", "containers": [container]}),
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_is_started_anew_by_a_pod_from_the_template() {
    let mut world = World::new().await;
    world.config.reboot = template();
    world.add_nodes("a", 1);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
    let reboot = Command::RebootNode {
        pool: pool(1),
        node: node(1),
        number: 3,
    };
    run(&fleet, 1, &[reboot]).await;
    let (_, pod) = world.own_pod().await;
    assert_eq!(pod["spec"]["nodeName"], "a-0");
    assert_eq!(pod["spec"]["containers"][0]["args"], json!([node(1).as_str(), "3"]));
    world.cluster.reboot_node("a-0");
    let is_done = |seen: &Observation| {
        let request = seen.nodes[&node(1)].request.as_ref();
        request.is_some_and(|request| request.number == 3 && request.progress == fleet::RequestProgress::Done)
    };
    world.until(&fleet, &pool(1), is_done).await;
    world.pass(60).await;
    assert!(world.cluster.objects("pods").keys().all(|key| key.namespace != "poolkeeper-system"));
    assert!(world.node("a-0")["metadata"]["annotations"].get(mark::HOLDS).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_machine_is_cleaned_before_it_is_free() {
    let mut world = World::new().await;
    world.config.release.clean = template();
    world.add_nodes("a", 1);
    let before = world.foreign("a-0");
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
    run(&fleet, 1, &[delete(1, 1)]).await;
    let (name, _) = world.own_pod().await;
    world.pass(3_600).await;
    assert_eq!(world.node("a-0")["metadata"]["labels"][mark::DIRTY], "true");
    assert_eq!(fleet.execute(&[create(1, 2)], &fence(1)).await, [Err(FleetError::NoCapacity)]);
    world.cluster.edit("pods", "poolkeeper-system", &name, |pod| {
        pod["status"]["phase"] = json!("Succeeded");
    });
    world.until(&fleet, &pool(1), |seen| seen.nodes.is_empty()).await;
    assert_eq!(world.foreign("a-0"), before);
    insist(&world, &fleet, 1, &[create(1, 2)]).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_way_to_start_machines_anew_nobody_is_held_for_it() {
    let mut world = World::new().await;
    world.config.reboot = Provider::None;
    world.add_nodes("a", 1);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(1), create(1, 1)]).await;
    let before = world.node("a-0")["metadata"]["annotations"].clone();
    let reboot = Command::RebootNode {
        pool: pool(1),
        node: node(1),
        number: 1,
    };
    let result = fleet.execute(&[reboot], &fence(1)).await;
    assert!(matches!(result[..], [Err(FleetError::Refused { .. })]), "{result:?}");
    world.pass(60).await;
    assert_eq!(world.node("a-0")["metadata"]["annotations"], before);
}
