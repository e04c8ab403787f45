use super::*;
use serde_json::json;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn quantities(list: &[(&str, &str)]) -> Quantities {
    list.iter().copied().collect()
}

#[test]
fn a_running_workload_is_shown_with_its_nodes() {
    let resources = quantities(&[("cpu", "7920m"), ("memory", "29491Mi"), ("huawei.com/ascend-1980", "8")]);
    let source = WorkloadSource {
        kind: WorkloadKind::Train,
        pool: "pool-1",
        name: "job-1",
        uid: "0190",
        job_name: "mnist",
        job_id: "01-90",
        flavor: "npu",
        status: WorkloadStatus::Running,
        reason: None,
        priority: 2,
        owner: "ada",
        gvk: "batch.volcano.sh/v1alpha1, Kind=Job",
        nodes: 2,
        resources: &resources,
        position: None,
        created_at: at(0),
    };
    let durations = Durations::of(at(0), Some(at(30)), None, at(90));
    let shown = serde_json::to_value(Workload::of(&source, &["10.0.0.1", "10.0.0.2"], durations)).unwrap();
    let node = |ip: &str| {
        json!({"hostIp": ip, "npuTopologyPlacement": "0000000011111111",
            "resourceRequirement": {"cpu": "7.92 Cores", "memory": "28.8 GiB", "huawei.com/ascend-1980": "8"}})
    };
    assert_eq!(
        shown,
        json!({
            "apiVersion": "v1", "kind": "Workload", "type": "train", "namespace": "pool-1", "name": "job-1", "jobName": "mnist",
            "uid": "0190", "jobUUID": "01-90", "flavor": "npu", "status": "Running", "priority": "2", "userName": "ada",
            "gvk": "batch.volcano.sh/v1alpha1, Kind=Job",
            "resourceRequirement": {"cpu": "15.84 Cores", "memory": "57.6 GiB", "huawei.com/ascend-1980": "16"},
            "runningDuration": 60, "pendingDuration": 30, "pendingPosition": -1, "createTime": 1_800_000_000_000_i64,
            "hostIps": "10.0.0.1,10.0.0.2", "nodes": [node("10.0.0.1"), node("10.0.0.2")], "isDeleted": "false",
        })
    );
    let waiting = WorkloadSource {
        status: WorkloadStatus::Queue,
        position: Some(3),
        reason: Some("not enough nodes are free"),
        ..source
    };
    let durations = Durations::of(at(0), None, None, at(90));
    let shown = serde_json::to_value(Workload::of(&waiting, &[], durations)).unwrap();
    assert_eq!(
        (&shown["pendingDuration"], &shown["runningDuration"], &shown["pendingPosition"]),
        (&json!(90), &json!(0), &json!(3))
    );
    assert_eq!(
        (&shown["hostIps"], &shown["nodes"], &shown["message"]),
        (&json!(""), &json!([]), &json!("not enough nodes are free"))
    );
    assert_eq!(
        Durations::of(at(0), Some(at(5)), Some(at(7)), at(90)),
        Durations { running: 2, pending: 5 }
    );
}

#[test]
fn a_list_of_texts_reads_as_the_list_of_its_items() {
    // Whoever gives names may try to look like what stands beside them.
    let nasty = r#"","runningDuration":-9223372036854775808,"pendingDuration":-9223372036854775808"#;
    let resources = quantities(&[("cpu", "1"), (nasty, "1")]);
    let source = WorkloadSource {
        kind: WorkloadKind::Infer,
        pool: "pool-1",
        name: nasty,
        uid: "0190",
        job_name: nasty,
        job_id: "01-90",
        flavor: "npu",
        status: WorkloadStatus::Queue,
        reason: Some(nasty),
        priority: 2,
        owner: nasty,
        gvk: nasty,
        nodes: 2,
        resources: &resources,
        position: Some(7),
        created_at: at(0),
    };
    let durations = Durations { running: 3, pending: 44 };
    for count in 0..3 {
        let mut list = WorkloadText::begin(count, 0);
        let (before, after) = Workload::split(&source, &["10.0.0.1"]);
        for _ in 0..count {
            list.add(&before, &after, &durations);
        }
        let whole = WorkloadList {
            kind: "WorkloadList",
            api_version: "v1",
            metadata: crate::list::ListMeta::default(),
            items: vec![Workload::of(&source, &["10.0.0.1"], durations); count],
            total: 9,
        };
        assert_eq!(list.end(9), serde_json::to_vec(&whole).unwrap());
    }
}

#[test]
fn quantities_are_read_as_kubernetes_writes_them() {
    for (text, value) in [
        ("1", 1.0),
        ("500m", 0.5),
        ("2Ki", 2048.0),
        ("1.5Gi", 1_610_612_736.0),
        ("3k", 3000.0),
    ] {
        assert_eq!(amount(text), Some(value), "{text}");
    }
    assert_eq!(amount("many"), None);
    assert_eq!(amounts(&quantities(&[("cpu", "many")]), 2)["cpu"], "many");
}

#[test]
fn statistics_tell_the_usual_states_always() {
    let counts = BTreeMap::from([(
        WorkloadKind::Train,
        BTreeMap::from([(WorkloadStatus::Queue, 3), (WorkloadStatus::Completed, 1)]),
    )]);
    assert_eq!(
        serde_json::to_value(WorkloadStatistics::of(&counts)).unwrap(),
        json!({"statistics": {"total": 4, "items": [
            {"type": "train", "total": 4, "status": {"Queue": 3, "Pending": 0, "Running": 0, "Completed": 1}}]}})
    );
    assert_eq!(
        serde_json::to_value(WorkloadStatistics::of(&BTreeMap::new())).unwrap(),
        json!({"statistics": {"total": 0, "items": []}})
    );
}
