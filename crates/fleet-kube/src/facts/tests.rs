use super::*;
use crate::mark;
use serde_json::{Value, json};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn node(change: impl FnOnce(&mut Value)) -> Node {
    let mut value = json!({
        "metadata": {"name": "gpu-1", "labels": {"topology.kubernetes.io/zone": "a", mark::POOL: "1", mark::NODE: "n"}, "annotations": {}},
        "spec": {},
        "status": {
            "capacity": {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "8", "pods": "110"},
            "allocatable": {"cpu": "7500m", "memory": "60Gi", "nvidia.com/gpu": "8", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": at(0).to_string()}],
            "addresses": [{"type": "Hostname", "address": "gpu-1"}, {"type": "InternalIP", "address": "10.0.0.7"}],
            "nodeInfo": {"osImage": "Debian 12", "architecture": "amd64", "bootID": "b", "containerRuntimeVersion": "", "kernelVersion": "",
                "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "operatingSystem": "linux", "systemUUID": ""},
        },
    });
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

fn told(node: &Node, pods: &[&Pod], now: Timestamp) -> Told {
    let config = KubeConfig::default();
    tell(&Seen {
        install: None,
        sick: None,
        node,
        pods,
        flavor: None,
        short_since: Some(at(0)),
        config: &config,
        now,
    })
}

fn state(now: Timestamp, change: impl FnOnce(&mut Value)) -> (MachineState, Option<Timestamp>) {
    let told = told(&node(change), &[], now);
    (told.fact.state, told.until)
}

#[test]
fn a_node_reports_what_it_has_and_what_is_left() {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "500m", "nvidia.com/gpu": "2"}}}]},
    }))
    .unwrap();
    let fact = told(&node(|_| {}), &[&pod], at(0)).fact;
    assert_eq!(
        (fact.state, fact.is_busy, fact.private_ip.as_deref()),
        (MachineState::Ready, true, Some("10.0.0.7"))
    );
    let all: Vec<_> = fact.resources.iter().collect();
    assert_eq!(all, [("cpu", "7500m"), ("memory", "60Gi"), ("nvidia.com/gpu", "8")]);
    let left: Vec<_> = fact.available.iter().collect();
    assert_eq!(left, [("cpu", "7"), ("memory", "60Gi"), ("nvidia.com/gpu", "6")]);
    assert_eq!((fact.os.as_deref(), fact.instance.as_deref()), (Some("Debian 12"), Some("gpu-1")));
}

#[test]
fn a_kubelet_that_is_not_ready_is_believed_after_a_minute() {
    let unready = |value: &mut Value| value["status"]["conditions"][0]["status"] = json!("False");
    assert_eq!(state(at(59), unready), (MachineState::Booting, Some(at(60))));
    assert!(matches!(state(at(60), unready), (MachineState::Faulty(_), None)));
}

#[test]
fn a_lost_kubelet_is_silent_since_it_was_lost() {
    let lost = node(|value| value["status"]["conditions"][0]["status"] = json!("Unknown"));
    let fact = told(&lost, &[], at(5)).fact;
    assert_eq!((fact.state, fact.silent_since), (MachineState::Ready, Some(at(0))));
}

#[test]
fn faults_count_once_they_have_lasted() {
    let fault = |value: &mut Value| {
        let condition = json!({"type": "GpuMemWatch", "status": "True", "message": "bad", "lastTransitionTime": at(10).to_string()});
        value["status"]["conditions"].as_array_mut().unwrap().push(condition);
    };
    assert_eq!(state(at(39), fault), (MachineState::Ready, Some(at(40))));
    assert_eq!(state(at(40), fault).0, MachineState::Faulty("GpuMemWatch: bad".to_owned()));
}

#[test]
fn missing_accelerators_are_a_fault_unless_a_driver_is_being_installed() {
    let short = |value: &mut Value| value["status"]["allocatable"]["nvidia.com/gpu"] = json!("7");
    assert_eq!(state(at(59), short), (MachineState::Booting, Some(at(60))));
    assert_eq!(
        state(at(60), short).0,
        MachineState::Faulty("7 of 8 accelerators can be used".to_owned())
    );
    let installing = |value: &mut Value| {
        short(value);
        value["metadata"]["labels"][mark::GPU_DRIVER] = json!("2");
    };
    assert_eq!(state(at(60), installing).0, MachineState::Booting);
}

#[test]
fn the_driver_is_done_when_discovery_says_so() {
    let driver = |change: fn(&mut Value)| told(&node(change), &[], at(0)).fact.driver;
    assert_eq!(driver(|_| {}), None);
    let wanted = |value: &mut Value| value["metadata"]["labels"][mark::GPU_DRIVER] = json!("550.90.07");
    let installing = DriverProgress::Installing {
        version: "550.90.07".to_owned(),
    };
    assert_eq!(driver(wanted).unwrap().progress, installing);
    let done = driver(|value| {
        value["metadata"]["labels"][mark::GPU_DRIVER] = json!("550.90.07");
        value["metadata"]["labels"]["nvidia.com/cuda.driver.major"] = json!("550");
        value["metadata"]["labels"]["nvidia.com/cuda.driver.minor"] = json!("90");
        value["metadata"]["labels"]["nvidia.com/cuda.driver.rev"] = json!("07");
    });
    assert_eq!(done.unwrap().progress, DriverProgress::Done);
}

#[test]
fn what_is_done_to_a_node_shows() {
    let doing = |kind: &str, step: &str| {
        let action = json!({"kind": kind, "step": step, "since": at(0).to_string()}).to_string();
        state(at(0), |value| value["metadata"]["annotations"][mark::ACTION] = json!(action)).0
    };
    assert_eq!(doing("release", "empty"), MachineState::Releasing);
    assert_eq!(doing("reboot", "empty"), MachineState::Ready);
    assert_eq!(doing("reset", "work"), MachineState::Booting);
}
