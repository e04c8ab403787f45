use super::*;
use crate::quota::tests::mark as pool;
use serde_json::{Value, json};

fn space(number: usize, kind: WorkloadKind) -> Space {
    Space { pool: pool(number), kind }
}

fn spaces() -> BTreeMap<String, Space> {
    [
        ("pk-a".to_owned(), space(0, WorkloadKind::Train)),
        ("pk-b".to_owned(), space(1, WorkloadKind::Notebook)),
    ]
    .into()
}

fn hosts() -> BTreeMap<String, Host> {
    let host = |node: &str, is_sound| Host {
        node: NodeName::parse(node).unwrap(),
        ip: Some("10.0.0.1".to_owned()),
        flavor: Some(FlavorName::parse("a100").unwrap()),
        is_sound,
    };
    [
        ("gpu-1".to_owned(), host("node-1", true)),
        ("gpu-2".to_owned(), host("node-2", false)),
    ]
    .into()
}

fn meta(name: &str, owner: Option<&str>) -> Value {
    let mut meta = json!({"name": name, "namespace": "pk-a", "uid": format!("uid-{name}"), "creationTimestamp": "2026-11-21T10:00:00Z"});
    if let Some(owner) = owner {
        let uid = format!("uid-{owner}");
        meta["ownerReferences"] = json!([{"apiVersion": "x/v1", "kind": "Owner", "name": owner, "uid": uid, "controller": true}]);
    }
    meta
}

fn pod(name: &str, owner: Option<&str>, node: Option<&str>, phase: &str) -> Arc<Pod> {
    let container = json!({"name": "c", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}});
    let pod = json!({
        "metadata": meta(name, owner),
        "spec": {"containers": [container], "nodeName": node, "priority": 5},
        "status": {"phase": phase, "startTime": if node.is_some() { json!("2026-11-21T10:05:00Z") } else { Value::Null }},
    });
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn object(kind: WorkKind, name: &str, owner: Option<&str>, spec: Value, status: Value) -> WorkObject {
    let ObjectType(group, version, of, _) = kind.resource();
    let all =
        json!({"apiVersion": format!("{group}/{version}"), "kind": of, "metadata": meta(name, owner), "spec": spec, "status": status});
    (kind, Arc::new(serde_json::from_value(all).unwrap()))
}

fn look(objects: &[WorkObject], pods: &[Arc<Pod>]) -> Vec<WorkloadFact> {
    let (spaces, hosts) = (spaces(), hosts());
    facts(&Input {
        spaces: &spaces,
        objects,
        pods,
        hosts: &hosts,
    })
}

fn only(objects: &[WorkObject], pods: &[Arc<Pod>]) -> WorkloadFact {
    let facts = look(objects, pods);
    assert_eq!(facts.len(), 1, "{facts:#?}");
    facts.into_iter().next().unwrap()
}

fn task() -> Value {
    let container = json!({"name": "c", "resources": {"requests": {"nvidia.com/gpu": "8"}}});
    json!({"replicas": 2, "template": {"spec": {"containers": [container]}}})
}

#[test]
fn a_volcano_job_goes_through_its_states() {
    let job = |phase: &str| {
        let state = json!({"phase": phase, "lastTransitionTime": "2026-11-21T11:00:00Z", "message": "it says"});
        object(
            WorkKind::VolcanoJob,
            "job",
            None,
            json!({"tasks": [task()]}),
            json!({"state": state}),
        )
    };
    let group = |phase: &str| {
        let conditions = json!([{"type": "Unschedulable", "status": "True", "message": "not enough"}]);
        object(
            WorkKind::PodGroup,
            "group",
            Some("job"),
            Value::Null,
            json!({"phase": phase, "conditions": conditions}),
        )
    };
    let status = |job: WorkObject, group: WorkObject, pods: &[Arc<Pod>]| only(&[job, group], pods).status;
    let bound = || [pod("p", Some("job"), Some("gpu-1"), "Pending")];
    assert_eq!(status(job("Pending"), group("Pending"), &[]), WorkloadStatus::Queue);
    assert_eq!(status(job("Pending"), group("Inqueue"), &[]), WorkloadStatus::Pending);
    assert_eq!(status(job("Pending"), group("Inqueue"), &bound()), WorkloadStatus::Creating);
    assert_eq!(status(job("Running"), group("Running"), &bound()), WorkloadStatus::Running);
    assert_eq!(status(job("Running"), group("Unknown"), &bound()), WorkloadStatus::Abnormal);
    assert_eq!(status(job("Aborting"), group("Running"), &bound()), WorkloadStatus::Terminating);
    let sick = [pod("p", Some("job"), Some("gpu-2"), "Running")];
    assert_eq!(status(job("Running"), group("Running"), &sick), WorkloadStatus::Abnormal);
    for (phase, expected) in [
        ("Completed", WorkloadStatus::Completed),
        ("Failed", WorkloadStatus::Failed),
        ("Aborted", WorkloadStatus::Terminated),
    ] {
        let fact = only(&[job(phase), group("Completed")], &[]);
        assert_eq!((fact.status, fact.reason.as_deref()), (expected, Some("it says")));
        assert_eq!(fact.ended_at, Some("2026-11-21T11:00:00Z".parse().unwrap()));
        assert_eq!(fact.hosts, []);
    }
}

#[test]
fn a_workload_tells_what_it_needs_and_where_it_is() {
    let mut job = object(WorkKind::VolcanoJob, "job", None, json!({"tasks": [task()]}), Value::Null);
    let labels = [(JOB_NAME, "train it"), (USER, "ann"), (JOB_FLAVOR, "small")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    Arc::make_mut(&mut job.1).metadata.annotations = Some(labels.into());
    let fact = only(
        &[job],
        &[
            pod("p", Some("job"), Some("gpu-1"), "Running"),
            pod("q", Some("job"), Some("gpu-1"), "Running"),
        ],
    );
    assert_eq!(
        (fact.name.as_str(), fact.job_name.as_str(), fact.owner.as_str()),
        ("job", "train it", "ann")
    );
    assert_eq!((fact.flavor.as_str(), fact.nodes, fact.priority), ("small", 2, 5));
    assert_eq!(fact.resources.to_map(), [("nvidia.com/gpu".to_owned(), "8".to_owned())].into());
    assert_eq!(fact.gvk, "batch.volcano.sh/v1alpha1, Kind=Job");
    assert_eq!(fact.started_at, Some("2026-11-21T10:05:00Z".parse().unwrap()));
    let hosts: Vec<&str> = fact.hosts.iter().map(|host| host.node.as_str()).collect();
    assert_eq!(hosts, ["node-1"], "each node once");
    assert_eq!((fact.pool, fact.kind), (pool(0), WorkloadKind::Train));
}

#[test]
fn pods_count_for_their_owner_at_the_top() {
    let objects = [
        object(WorkKind::Deployment, "serve", None, json!({"replicas": 2}), Value::Null),
        object(WorkKind::ReplicaSet, "serve-1", Some("serve"), json!({"replicas": 2}), Value::Null),
        object(WorkKind::Deployment, "nothing", None, json!({"replicas": 0}), Value::Null),
    ];
    let fact = only(
        &objects,
        &[
            pod("a", Some("serve-1"), Some("gpu-1"), "Running"),
            pod("b", Some("serve-1"), None, "Pending"),
        ],
    );
    assert_eq!((fact.name.as_str(), fact.status, fact.nodes), ("serve", WorkloadStatus::Running, 2));
    let strange = only(&[], &[pod("a", Some("other"), None, "Pending")]);
    assert_eq!(
        (strange.name.as_str(), strange.gvk.as_str(), strange.status),
        ("other", "x/v1, Kind=Owner", WorkloadStatus::Pending)
    );
}

#[test]
fn a_job_of_kueue_waits_until_its_quota_is_reserved() {
    let job = || {
        object(
            WorkKind::Job,
            "job",
            None,
            json!({"suspend": true, "parallelism": 3, "template": task()["template"]}),
            Value::Null,
        )
    };
    let word = |status: &str| {
        let conditions = json!([{"type": "QuotaReserved", "status": status, "message": "no room"}]);
        object(
            WorkKind::KueueWorkload,
            "w",
            Some("job"),
            json!({"priority": 7}),
            json!({"conditions": conditions}),
        )
    };
    let waits = only(&[job(), word("False")], &[]);
    assert_eq!(
        (waits.status, waits.reason.as_deref(), waits.priority, waits.nodes),
        (WorkloadStatus::Queue, Some("no room"), 7, 3)
    );
    assert_eq!(waits.position, Some(1));
    assert_eq!(only(&[job(), word("True")], &[]).status, WorkloadStatus::Pending);
    let done = json!({"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-21T12:00:00Z"}], "startTime": "2026-11-21T10:01:00Z"});
    let over = only(&[object(WorkKind::Job, "job", None, json!({}), done)], &[]);
    assert_eq!(
        (over.status, over.started_at),
        (WorkloadStatus::Completed, Some("2026-11-21T10:01:00Z".parse().unwrap()))
    );
}

#[test]
fn a_pod_of_its_own_is_a_workload() {
    assert_eq!(only(&[], &[pod("p", None, None, "Pending")]).status, WorkloadStatus::Pending);
    assert_eq!(
        only(&[], &[pod("p", None, Some("gpu-1"), "Pending")]).status,
        WorkloadStatus::Creating
    );
    assert_eq!(
        only(&[], &[pod("p", None, Some("gpu-1"), "Running")]).status,
        WorkloadStatus::Running
    );
    assert_eq!(
        only(&[], &[pod("p", None, Some("gpu-1"), "Succeeded")]).status,
        WorkloadStatus::Completed
    );
    assert_eq!(only(&[], &[pod("p", None, Some("gpu-1"), "Failed")]).status, WorkloadStatus::Failed);
    let mut leaving = pod("p", None, Some("gpu-1"), "Running");
    Arc::make_mut(&mut leaving).metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-11-21T10:00:00Z")).unwrap());
    assert_eq!(only(&[], &[leaving]).status, WorkloadStatus::Terminating);
}

#[test]
fn those_that_wait_are_numbered_by_priority_and_age() {
    let job = |name: &str, at: &str, priority: u32| {
        let mut job = object(WorkKind::Job, name, None, json!({"suspend": true}), Value::Null);
        Arc::make_mut(&mut job.1).metadata.creation_timestamp = Some(serde_json::from_value(json!(at)).unwrap());
        let word = object(
            WorkKind::KueueWorkload,
            &format!("w-{name}"),
            Some(name),
            json!({"priority": priority}),
            Value::Null,
        );
        [job, word]
    };
    let objects = [
        job("late", "2026-11-21T10:03:00Z", 1),
        job("early", "2026-11-21T10:01:00Z", 1),
        job("urgent", "2026-11-21T10:09:00Z", 2),
    ];
    let mut places: Vec<_> = look(objects.as_flattened(), &[])
        .into_iter()
        .map(|fact| (fact.position, fact.name))
        .collect();
    places.sort();
    let names: Vec<&str> = places.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["urgent", "early", "late"]);
    assert_eq!(places[0].0, Some(1));
}

#[test]
fn what_is_in_other_name_spaces_is_nobodys() {
    let mut other = pod("p", None, None, "Pending");
    Arc::make_mut(&mut other).metadata.namespace = Some("default".to_owned());
    assert_eq!(look(&[], &[other]), []);
}

#[test]
fn the_objects_at_the_top_are_ended() {
    let objects = [
        object(WorkKind::Deployment, "serve", None, json!({"replicas": 2}), Value::Null),
        object(WorkKind::ReplicaSet, "serve-1", Some("serve"), json!({"replicas": 2}), Value::Null),
    ];
    let pods = [
        pod("a", Some("serve-1"), None, "Pending"),
        pod("b", None, None, "Pending"),
        pod("c", Some("other"), None, "Pending"),
    ];
    let (spaces, hosts) = (spaces(), hosts());
    let input = Input {
        spaces: &spaces,
        objects: &objects,
        pods: &pods,
        hosts: &hosts,
    };
    let mut names: Vec<_> = tops(&input)
        .into_iter()
        .map(|(kind, meta)| (kind, meta.name.clone().unwrap()))
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            (None, "b".to_owned()),
            (None, "c".to_owned()),
            (Some(WorkKind::Deployment), "serve".to_owned())
        ]
    );
}
