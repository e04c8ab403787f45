//! Pools in a cluster: name spaces, queues, plug-ins, workloads; over the API server inside the process.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod plugins;
mod scopes;
mod world;

use domain::pool::JobType;
use domain::workload::WorkloadStatus;
use fleet::observation::ClusterFact;
use fleet::{Fleet, FleetError, Observation};
use poolkeeper_fleet_kube::config::Scheduler;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use world::{World, ensure, large, mark, observe, remove, run, set, small};

const QUEUES: &str = "queues.scheduling.volcano.sh";
const CLUSTER_QUEUES: &str = "clusterqueues.kueue.x-k8s.io";

#[tokio::test(start_paused = true)]
async fn a_pool_comes_and_goes_and_leaves_nothing() {
    for scheduler in [Scheduler::Volcano, Scheduler::Kueue, Scheduler::None] {
        let world = World::new(scheduler);
        let fleet = world.fleet().await;
        assert_eq!(observe(&fleet).await, Observation::default());
        assert_eq!(run(&fleet, 1, &[ensure(), ensure()]).await, [Ok(()), Ok(())]);
        let seen = observe(&fleet).await;
        assert_eq!((&seen.cluster, seen.quotas.len()), (&ClusterFact::Ready, 0));
        assert_eq!(seen.dependencies, JobType::ALL.map(|job_type| (job_type, Ok(()))).into());
        assert_eq!(run(&fleet, 1, &[set(&small())]).await, [Ok(())]);
        assert_eq!(observe(&fleet).await.quotas, small(), "{scheduler:?}");
        assert_eq!(world.spaces().len(), 6, "three of the physical pool, one of each logical one");
        world.reach(&fleet, &large(), 1).await;
        world.reach(&fleet, &small()[..2], 1).await;
        assert_eq!(world.spaces().len(), 4);
        world.reach(&fleet, &[], 1).await;
        assert_eq!(
            (world.cluster.objects(QUEUES).len(), world.cluster.objects(CLUSTER_QUEUES).len()),
            (0, 0)
        );
        world.reach(&fleet, &large(), 1).await;
        assert_eq!(run(&fleet, 1, &[remove()]).await, [Ok(())]);
        for _ in 0..5 {
            world.pass().await;
        }
        assert_eq!(observe(&fleet).await, Observation::default(), "{scheduler:?}");
        assert_eq!(world.spaces(), Vec::<String>::new());
        for ty in [
            QUEUES,
            CLUSTER_QUEUES,
            "cohorts.kueue.x-k8s.io",
            "resourceflavors.kueue.x-k8s.io",
            "localqueues.kueue.x-k8s.io",
        ] {
            assert_eq!(world.cluster.objects(ty).len(), 0, "{ty}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_as_it_should_be_is_not_written() {
    for scheduler in [Scheduler::Volcano, Scheduler::Kueue, Scheduler::None] {
        let world = World::new(scheduler);
        let fleet = world.fleet().await;
        assert_eq!(run(&fleet, 1, &[ensure(), set(&small())]).await, [Ok(()), Ok(())]);
        world.pass().await;
        let version = world.cluster.version();
        assert_eq!(run(&fleet, 1, &[ensure(), set(&small())]).await, [Ok(()), Ok(())]);
        world.clock.sleep_until(world.clock.now() + Duration::from_hours(1)).await;
        observe(&fleet).await;
        assert_eq!(world.cluster.writes_since(version), 0, "{scheduler:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_any_write_is_mended_by_the_next_process() {
    for scheduler in [Scheduler::Volcano, Scheduler::Kueue] {
        // Each is the way from the one before it; the last one is removal.
        let stages = [small(), large(), small()[..2].to_vec(), Vec::new()];
        for stage in 0..=stages.len() {
            for writes in 1.. {
                let world = World::new(scheduler);
                let fleet = world.fleet().await;
                run(&fleet, 1, &[ensure()]).await;
                if stage > 0 {
                    world.reach(&fleet, &stages[stage - 1], 1).await;
                }
                drop(fleet);
                let dying = world.dying(writes).await;
                let command = stages.get(stage).map_or_else(remove, |quotas| set(quotas));
                let result = run(&dying, 2, std::slice::from_ref(&command)).await;
                drop(dying);
                let next = world.fleet().await;
                if let Some(quotas) = stages.get(stage) {
                    world.reach(&next, quotas, 3).await;
                } else {
                    run(&next, 3, &[remove()]).await;
                    for _ in 0..5 {
                        world.pass().await;
                    }
                    assert_eq!(observe(&next).await, Observation::default());
                }
                if result == [Ok(())] {
                    break;
                }
                assert!(writes < 100, "it never gets done");
            }
        }
    }
}

async fn create_queue(world: &World, queue: Value) {
    let kind = kube::api::GroupVersionKind::gvk("scheduling.volcano.sh", "v1beta1", "Queue");
    let resource = kube::api::ApiResource::from_gvk_with_plural(&kind, "queues");
    let api: kube::Api<kube::api::DynamicObject> = kube::Api::all_with(world.cluster.client(), &resource);
    let queue = serde_json::from_value(queue).unwrap();
    api.create(&kube::api::PostParams::default(), &queue).await.unwrap();
}

/// As of a controller whose lease is over, and whose request was long on its way.
#[tokio::test(start_paused = true)]
async fn a_queue_that_comes_after_its_pool_has_gone_is_taken_away() {
    let world = World::new(Scheduler::Volcano);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure()]).await;
    world.reach(&fleet, &small(), 1).await;
    let mut late = world.state(QUEUES, "", &format!("{}.tree", mark(0).pool.name));
    run(&fleet, 1, &[remove()]).await;
    for _ in 0..5 {
        world.pass().await;
    }
    assert_eq!((world.spaces().len(), world.cluster.objects(QUEUES).len()), (0, 0));
    for key in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"] {
        late["metadata"].as_object_mut().unwrap().remove(key);
    }
    create_queue(&world, late).await;
    assert_eq!(world.cluster.objects(QUEUES).len(), 1);
    for _ in 0..5 {
        world.pass().await;
    }
    assert_eq!(world.cluster.objects(QUEUES).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_somebody_else_has_is_left_alone() {
    let world = World::new(Scheduler::Volcano);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure()]).await;
    let name = mark(0).pool.name.to_string();
    let foreign =
        json!({"apiVersion": "scheduling.volcano.sh/v1beta1", "kind": "Queue", "metadata": {"name": name}, "spec": {"weight": 3}});
    create_queue(&world, foreign).await;
    let results = run(&fleet, 1, &[set(&small())]).await;
    assert!(
        matches!(&results[0], Err(FleetError::Refused { reason }) if reason.contains(&name)),
        "{results:?}"
    );
    assert_eq!(world.state(QUEUES, "", &name)["spec"]["weight"], 3);
    assert_ne!(observe(&fleet).await.quotas, small());
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_somebody_changes_is_put_right() {
    let world = World::new(Scheduler::Volcano);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(), set(&small())]).await;
    let name = mark(1).pool.name.to_string();
    world
        .cluster
        .edit(QUEUES, "", &name, |queue| queue["spec"]["capability"]["cpu"] = json!("1"));
    world.pass().await;
    assert_eq!(observe(&fleet).await.quotas.len(), 3, "the one that does not hold is not told");
    world.reach(&fleet, &small(), 1).await;
    assert_eq!(world.state(QUEUES, "", &name)["spec"]["capability"]["cpu"], "704");
}

fn space(number: usize, kind: &str, world: &World) -> String {
    let uid = mark(number).uid;
    let is_meant = |object: &Value| object["metadata"]["labels"]["poolkeeper.io/pool"] == uid.as_str();
    let spaces = world.cluster.objects("namespaces");
    let mut names = spaces
        .iter()
        .filter(|(_, object)| is_meant(object))
        .map(|(key, _)| key.name.clone());
    names.find(|name| name.ends_with(kind)).unwrap()
}

async fn submit(world: &World, space: &str, name: &str) {
    let template =
        json!({"spec": {"containers": [{"name": "a", "image": "b", "resources": {"requests": {"cpu": "2"}}}], "restartPolicy": "Never"}});
    let job = json!({"metadata": {"name": name}, "spec": {"template": template, "selector": {"matchLabels": {"job": name}}}});
    let job: k8s_openapi::api::batch::v1::Job = serde_json::from_value(job).unwrap();
    let client = world.cluster.client_as("user");
    let made = kube::Api::namespaced(client.clone(), space)
        .create(&kube::api::PostParams::default(), &job)
        .await
        .unwrap();
    let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": made.metadata.uid, "controller": true});
    let pod = json!({"metadata": {"name": format!("{name}-0"), "ownerReferences": [owner], "finalizers": ["example.org/stays"]}, "spec": template["spec"]});
    let pod: k8s_openapi::api::core::v1::Pod = serde_json::from_value(pod).unwrap();
    kube::Api::namespaced(client, space)
        .create(&kube::api::PostParams::default(), &pod)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn workloads_are_told_and_are_ended_with_their_pool() {
    let world = World::new(Scheduler::None);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(), set(&small())]).await;
    submit(&world, &space(0, "-infer", &world), "serve").await;
    submit(&world, &space(2, "-train", &world), "learn").await;
    world.pass().await;
    let list = fleet.workloads(&mark(0).uid).await.unwrap();
    let mut told: Vec<_> = list
        .facts()
        .map(|fact| (fact.name.clone(), fact.pool.clone(), fact.status, fact.kind.as_str()))
        .collect();
    told.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [("learn", mark(2), "train"), ("serve", mark(0), "infer")];
    assert_eq!(
        told,
        expected.map(|(name, pool, kind)| (name.to_owned(), pool, WorkloadStatus::Pending, kind))
    );
    assert_eq!(observe(&fleet).await.workloads, [(JobType::Train, 1), (JobType::Infer, 1)].into());
    assert!(
        Arc::ptr_eq(&list, &fleet.workloads(&mark(0).uid).await.unwrap()),
        "nothing has changed"
    );
    // The pool of one of them goes.
    let left = &small()[..2];
    run(&fleet, 1, &[set(left)]).await;
    let closed = space(2, "-train", &world);
    assert_eq!(
        world.state("namespaces", "", &closed)["metadata"]["labels"]["poolkeeper.io/closing"],
        "true"
    );
    assert_ne!(observe(&fleet).await.quotas, left, "a pod of it is left");
    let jobs: Vec<String> = world.cluster.objects("jobs.batch").into_keys().map(|key| key.name).collect();
    assert_eq!(jobs, ["serve"]);
    world.cluster.remove("pods", &closed, "learn-0");
    world.reach(&fleet, left, 1).await;
    // Then the other one's, which is gone on with once its pod has ended.
    assert_eq!(run(&fleet, 1, &[remove()]).await, [Ok(())]);
    world.pass().await;
    assert_eq!(observe(&fleet).await.cluster, ClusterFact::Starting);
    let space = space(0, "-infer", &world);
    assert_eq!(world.cluster.objects("jobs.batch").len(), 0);
    world.cluster.remove("pods", &space, "serve-0");
    for _ in 0..3 {
        world.pass().await;
    }
    assert_eq!(observe(&fleet).await, Observation::default());
}

#[tokio::test(start_paused = true)]
async fn a_new_pool_is_an_event_of_the_cluster() {
    let world = World::new(Scheduler::None);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(), ensure()]).await;
    world.pass().await;
    let events = world.cluster.objects("events");
    let reasons: Vec<&Value> = events.values().map(|event| &event["reason"]).collect();
    assert_eq!(reasons, ["PoolCreated"]);
}
