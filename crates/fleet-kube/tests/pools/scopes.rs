//! Name spaces by job type: there while it is open, closed while work is left, then gone.

use crate::world::{World, ensure, mark, observe, remove, run, set, small};
use crate::{space, submit};
use domain::pool::JobType;
use fleet::{Observation, Quota};
use poolkeeper_fleet_kube::config::Scheduler;
use serde_json::json;

const QUEUES: &str = "localqueues.kueue.x-k8s.io";

/// The quotas of [`small`] with these job types open.
fn open(types: &[JobType]) -> Vec<Quota> {
    let mut quotas = small();
    for quota in &mut quotas {
        quota.open = types.iter().copied().collect();
        if quota.parent.is_some() {
            quota.open.retain(|job_type| *job_type == JobType::Train);
        }
    }
    quotas
}

/// Ends of the names of the physical pool's name spaces, and whether pods may come into them.
fn spaces(world: &World) -> Vec<(String, bool)> {
    let uid = mark(0).uid;
    let spaces = world.cluster.objects("namespaces").into_values();
    let own = spaces.filter(|space| space["metadata"]["labels"]["poolkeeper.io/pool"] == uid.as_str());
    let said = own.map(|space| {
        let name = space["metadata"]["name"].as_str().unwrap().rsplit('-').next().unwrap().to_owned();
        (name, space["metadata"]["labels"]["poolkeeper.io/closing"] == "false")
    });
    said.collect()
}

fn named(spaces: &[(&str, bool)]) -> Vec<(String, bool)> {
    spaces.iter().map(|(name, is_open)| ((*name).to_owned(), *is_open)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_job_type_has_a_name_space_while_it_is_open() {
    for scheduler in [Scheduler::Volcano, Scheduler::Kueue, Scheduler::None] {
        let world = World::new(scheduler);
        let fleet = world.fleet().await;
        run(&fleet, 1, &[ensure()]).await;
        assert_eq!(spaces(&world), named(&[("train", false)]), "without quotas nothing is let in");
        world.reach(&fleet, &open(&[JobType::Train]), 1).await;
        assert_eq!(spaces(&world), named(&[("train", true)]));
        world.reach(&fleet, &open(&JobType::ALL), 1).await;
        assert_eq!(spaces(&world), named(&[("infer", true), ("notebook", true), ("train", true)]));
        world.reach(&fleet, &open(&[JobType::Infer]), 1).await;
        assert_eq!(spaces(&world), named(&[("infer", true), ("train", false)]), "the first one stays");
        let logical = space(1, "-train", &world);
        let label = |name: &str| world.state("namespaces", "", name)["metadata"]["labels"]["poolkeeper.io/closing"].clone();
        assert_eq!(label(&logical), "true", "a logical pool has of training what its root has");
        let of_queues: Vec<bool> = world
            .cluster
            .objects(QUEUES)
            .keys()
            .map(|key| key.namespace.ends_with("-infer"))
            .collect();
        let expected = if scheduler == Scheduler::Kueue { (5, 1) } else { (0, 0) };
        assert_eq!((of_queues.len(), of_queues.iter().filter(|is| **is).count()), expected);
        world.reach(&fleet, &open(&[]), 1).await;
        assert_eq!(spaces(&world), named(&[("train", false)]));
        world.reach(&fleet, &open(&[JobType::Train, JobType::Notebook]), 1).await;
        assert_eq!(spaces(&world), named(&[("notebook", true), ("train", true)]));
        run(&fleet, 1, &[remove()]).await;
        for _ in 0..5 {
            world.pass().await;
        }
        assert_eq!(observe(&fleet).await, Observation::default(), "{scheduler:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_type_that_is_closed_keeps_its_name_space_until_its_work_has_ended() {
    let world = World::new(Scheduler::Kueue);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(), set(&small())]).await;
    let infer = space(0, "-infer", &world);
    submit(&world, &infer, "serve").await;
    world.pass().await;
    let fewer = open(&[JobType::Train]);
    run(&fleet, 1, &[set(&fewer), set(&fewer)]).await;
    world.pass().await;
    let seen = observe(&fleet).await;
    assert_eq!(
        (seen.quotas, seen.workloads[&JobType::Infer]),
        (fewer.clone(), 1),
        "it holds, with what is left"
    );
    assert_eq!(spaces(&world), named(&[("infer", false), ("train", true)]));
    let version = world.cluster.version();
    run(&fleet, 1, &[set(&fewer)]).await;
    assert_eq!(world.cluster.writes_since(version), 0, "what runs goes on, with its queue");
    assert!(world.cluster.object(QUEUES, &infer, "default").is_some());
    // Asked for again meanwhile: it opens, and nothing was lost.
    world.reach(&fleet, &small(), 1).await;
    assert_eq!(spaces(&world)[0], ("infer".to_owned(), true));
    run(&fleet, 1, &[set(&fewer)]).await;
    // The pod has done its work, and the Job has not noticed yet.
    world
        .cluster
        .edit("pods", &infer, "serve-0", |pod| pod["status"]["phase"] = json!("Succeeded"));
    world.pass().await;
    run(&fleet, 1, &[set(&fewer)]).await;
    assert_eq!(spaces(&world)[0], ("infer".to_owned(), false));
    let done = json!([{"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    world
        .cluster
        .edit("jobs.batch", &infer, "serve", |job| job["status"]["conditions"] = done.clone());
    world.pass().await;
    assert_ne!(
        observe(&fleet).await.quotas,
        fewer,
        "it is not as it should be before the name space has gone"
    );
    world.reach(&fleet, &fewer, 1).await;
    assert_eq!(spaces(&world), named(&[("train", true)]));
}

/// A pod on a Node of nobody's is told by no list of workloads, and still is somebody's work.
#[tokio::test(start_paused = true)]
async fn a_name_space_with_work_that_no_list_tells_is_not_deleted() {
    let world = World::new(Scheduler::None);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(), set(&small())]).await;
    let infer = space(0, "-infer", &world);
    let pod = json!({"metadata": {"name": "serve"}, "spec": {"nodeName": "elsewhere", "containers": [{"name": "a", "image": "b"}]}});
    let pod: k8s_openapi::api::core::v1::Pod = serde_json::from_value(pod).unwrap();
    let api = kube::Api::namespaced(world.cluster.client_as("user"), &infer);
    api.create(&kube::api::PostParams::default(), &pod).await.unwrap();
    let fewer = open(&[JobType::Train]);
    for _ in 0..5 {
        run(&fleet, 1, &[set(&fewer)]).await;
        world.pass().await;
        assert_eq!(
            observe(&fleet).await.workloads.get(&JobType::Infer),
            None,
            "so that it tests what it should"
        );
    }
    assert_eq!(spaces(&world), named(&[("infer", false), ("train", true)]));
    assert_ne!(observe(&fleet).await.quotas, fewer);
    world.cluster.remove("pods", &infer, "serve");
    world.reach(&fleet, &fewer, 1).await;
    assert_eq!(spaces(&world), named(&[("train", true)]));
}

#[tokio::test(start_paused = true)]
async fn a_name_space_that_is_going_is_made_anew_once_it_has_gone() {
    let world = World::new(Scheduler::Kueue);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(), set(&small())]).await;
    let fewer = open(&[JobType::Train]);
    assert_eq!(run(&fleet, 1, &[set(&fewer), set(&fewer)]).await, [Ok(()), Ok(())]);
    let infer = space(0, "-infer", &world);
    let is_going = || world.state("namespaces", "", &infer)["metadata"]["deletionTimestamp"].is_string();
    assert!(is_going());
    assert_ne!(observe(&fleet).await.quotas, fewer, "it has not gone yet");
    assert_eq!(run(&fleet, 1, &[set(&small()), set(&small())]).await, [Ok(()), Ok(())]);
    assert!(is_going());
    assert_ne!(observe(&fleet).await.quotas, small());
    world.reach(&fleet, &small(), 1).await;
    assert_eq!(spaces(&world), named(&[("infer", true), ("notebook", true), ("train", true)]));
}

#[tokio::test(start_paused = true)]
async fn a_crash_while_job_types_change_is_mended_by_the_next_process() {
    let stages = [open(&JobType::ALL), open(&[JobType::Infer]), open(&[JobType::Train])];
    for (before, after) in [(0, 1), (1, 2), (2, 0)] {
        for writes in 1.. {
            let world = World::new(Scheduler::Kueue);
            let fleet = world.fleet().await;
            run(&fleet, 1, &[ensure()]).await;
            world.reach(&fleet, &stages[before], 1).await;
            drop(fleet);
            let dying = world.dying(writes).await;
            let command = set(&stages[after]);
            let results = run(&dying, 2, &[command.clone(), command]).await;
            drop(dying);
            world.reach(&world.fleet().await, &stages[after], 3).await;
            if results == [Ok(()), Ok(())] {
                break;
            }
            assert!(writes < 50, "it never gets done");
        }
    }
}

/// Pools of the version before this one: three name spaces, and a quota that says nothing of job types.
#[tokio::test(start_paused = true)]
async fn a_pool_of_the_version_before_is_taken_over() {
    let world = World::new(Scheduler::None);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[ensure(), set(&small())]).await;
    submit(&world, &space(0, "-notebook", &world), "write").await;
    for (key, space) in world.cluster.objects("namespaces") {
        let Some(note) = space.pointer("/metadata/annotations/poolkeeper.io~1quota") else {
            continue;
        };
        let mut quota: serde_json::Value = serde_json::from_str(note.as_str().unwrap()).unwrap();
        quota.as_object_mut().unwrap().remove("open").unwrap();
        world.cluster.edit("namespaces", "", &key.name, |space| {
            space["metadata"]["annotations"]["poolkeeper.io/quota"] = json!(quota.to_string());
        });
    }
    world.pass().await;
    assert_eq!(observe(&fleet).await.workloads, [(JobType::Notebook, 1)].into());
    world.reach(&fleet, &open(&[JobType::Train]), 1).await;
    assert_eq!(spaces(&world), named(&[("notebook", false), ("train", true)]));
    assert_eq!(observe(&fleet).await.workloads, [(JobType::Notebook, 1)].into(), "nothing is ended");
}
