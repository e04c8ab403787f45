//! Two thousand Nodes. What is asserted is that all is right; what it takes is printed (docs/kubernetes-tests.md has a run).

use crate::lab::{AT_ONCE, Lab, config, flavor, in_lab, insist, node, pool, run};
use crate::server::Server;
use crate::site::report;
use clock::{Clock, SystemClock};
use fleet::{Command, Fleet};
use futures::stream::{self, StreamExt, TryStreamExt};
use http::Request;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use poolkeeper_fleet_kube::cache::{Cache, Selection, Task};
use poolkeeper_fleet_kube::{Context, KubeFleet};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command as Process;
use std::sync::{Arc, Mutex};

const NODES: usize = 2_000;
/// Nodes whose kubelets report, and how often each does.
const REPORTING: usize = 200;
const REPORTS: usize = 5;
/// Asks for ten pods on each Node.
const WHOLE_LOAD: &str = "POOLKEEPER_TEST_WHOLE_LOAD";
/// Tells the other process which part of the server is meant.
const VARIABLE: &str = "POOLKEEPER_TEST_LAB";

/// Versions that each Node was seen in, in their order.
type Versions = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

fn since(start: Timestamp) -> SignedDuration {
    SystemClock.now().duration_since(start)
}

/// A cache of the Nodes whose watch ends and goes on all the time. It notes every change that it tells of.
fn follow(lab: &Lab, client: kube::Client) -> (Arc<Cache<Node>>, Versions, Task) {
    let versions = Versions::default();
    let mut config = lab.config.clone();
    config.silence_seconds = 2;
    let context = Arc::new(Context::new(client.clone(), config, Arc::new(SystemClock)));
    let noted = Arc::clone(&versions);
    let selection = Selection {
        labels: Some(lab.config.inventory.clone()),
        listener: Box::new(move |_, after| {
            if let Some(node) = after {
                note(&noted, node);
            }
        }),
        ..Selection::all(Api::all(client))
    };
    let (cache, task) = Cache::start(&context, selection);
    (cache, versions, task)
}

fn note(versions: &Versions, node: &Node) {
    let mut versions = versions.lock().unwrap();
    let version = node.resource_version().unwrap_or_default();
    versions.entry(node.name_any()).or_default().push(version);
}

/// One watch from a version on, which notes what it is told.
fn watch(lab: &Lab, version: String) -> (Versions, Task) {
    let versions = Versions::default();
    let (noted, api) = (Arc::clone(&versions), lab.nodes());
    let params = WatchParams::default().labels(&lab.config.inventory).timeout(290);
    let task = tokio::spawn(async move {
        let stream = api.watch(&params, &version).await.unwrap();
        let mut stream = stream.boxed();
        while let Some(event) = stream.try_next().await.unwrap() {
            if let WatchEvent::Added(node) | WatchEvent::Modified(node) = event {
                note(&noted, &node);
            }
        }
    });
    (versions, Task(task))
}

/// Creates so many nodes at once, and tells how long it took.
async fn claim(lab: &Lab, fleet: &KubeFleet) -> SignedDuration {
    let commands: Vec<Command> = (0..NODES).map(|number| lab.create(1, number)).collect();
    let start = SystemClock.now();
    run(fleet, 1, &commands).await;
    since(start)
}

/// Kubelets tell of their Nodes again and again: one change would not be seen to be told of anew.
async fn report_often(lab: &Lab) {
    let reports = stream::iter(0..REPORTING).map(|number| async move {
        for at in 0..REPORTS {
            let memory = json!({"allocatable": {"memory": format!("{}Gi", 700 + at)}});
            report(&lab.client, &lab.host("a", number), memory).await.unwrap();
        }
    });
    reports.buffer_unordered(AT_ONCE).collect::<()>().await;
}

#[test]
fn two_thousand_nodes_are_claimed_once_each_and_every_change_is_seen_once() {
    in_lab(async |lab: &Lab| {
        let start = SystemClock.now();
        lab.add_nodes("a", NODES).await;
        eprintln!("{NODES} Nodes made in {:#}", since(start));
        let fleet = lab.fleet().await;
        insist(&fleet, 1, &[lab.ensure(1)]).await;
        let (cache, seen, _following) = follow(lab, lab.server.client().await);
        cache.synced().await;
        seen.lock().unwrap().clear();
        let listed = lab
            .nodes()
            .list(&ListParams::default().labels(&lab.config.inventory))
            .await
            .unwrap();
        assert_eq!(listed.items.len(), NODES);
        let (told, _watching) = watch(lab, listed.metadata.resource_version.unwrap());

        let took = claim(lab, &fleet).await;
        eprintln!("{NODES} claims by one controller took {took:#}");
        assert_eq!(lab.owners().await.len(), NODES);
        report_often(lab).await;

        let last: BTreeMap<String, String> = lab
            .all_nodes()
            .await
            .iter()
            .map(|node| (node.name_any(), node.resource_version().unwrap()))
            .collect();
        let has_come = |versions: &Versions| {
            let versions = versions.lock().unwrap();
            last.iter()
                .all(|(name, version)| versions.get(name).and_then(|all| all.last()) == Some(version))
        };
        while !(has_come(&seen) && has_come(&told)) {
            crate::site::pause(20).await;
        }
        let (seen, told) = (seen.lock().unwrap().clone(), told.lock().unwrap().clone());
        let events: usize = told.values().map(Vec::len).sum();
        assert_eq!(events, NODES + REPORTING * REPORTS);
        assert!(seen == told, "the cache was told otherwise than a watch that was never cut");
        eprintln!("{events} changes seen once each, over watches that ended every second");
        lab.judge();

        drop(fleet);
        let (start, pods) = (SystemClock.now(), NODES * pods_on_each());
        add_load(lab, pods).await;
        eprintln!("{pods} Pods made in {:#}", since(start));
        observe_from_outside(lab).await;
    });
}

/// One, or ten where the whole load is asked for, which takes minutes to make and to take away.
fn pods_on_each() -> usize {
    if std::env::var_os(WHOLE_LOAD).is_some() { 10 } else { 1 }
}

fn load(number: usize, lab: &Lab) -> Pod {
    let host = lab.host("a", number % NODES);
    let env: Vec<Value> = (0..10)
        .map(|at| json!({"name": format!("SETTING_{at}"), "value": "a value of usual length"}))
        .collect();
    let container = |name: &str| {
        json!({
            "name": name, "image": "registry.example.com/team/tool:1.2.3", "command": ["python", "train.py"], "env": env,
            "resources": {"limits": {"cpu": "1", "memory": "4Gi"}}, "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        })
    };
    let pod = json!({
        "metadata": {"name": format!("load-{number}"), "labels": {"app": "load", "job": format!("job-{}", number / 8)}},
        "spec": {
            "nodeName": host, "automountServiceAccountToken": false, "containers": [container("main"), container("side")],
            "volumes": [{"name": "data", "emptyDir": {}}], "tolerations": [{"key": "poolkeeper.io/pool", "operator": "Exists"}],
        },
    });
    serde_json::from_value(pod).unwrap()
}

async fn add_load(lab: &Lab, count: usize) {
    let api = lab.pods();
    let all = stream::iter(0..count).map(|number| {
        let (api, pod) = (api.clone(), load(number, lab));
        async move { drop(api.create(&PostParams::default(), &pod).await.unwrap()) }
    });
    all.buffer_unordered(2 * AT_ONCE).collect::<()>().await;
}

/// Another process looks at the same, beginning with nothing.
async fn observe_from_outside(lab: &Lab) {
    let program = std::env::current_exe().unwrap();
    let arguments = ["--exact", "scale::what_a_process_sees", "--ignored", "--nocapture"];
    let mut process = Process::new(program);
    process.args(arguments).env(VARIABLE, &lab.prefix);
    let output = tokio::task::spawn_blocking(move || process.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for line in said.lines().filter(|line| line.starts_with("observer: ")) {
        eprintln!("{line}");
    }
    assert!(said.contains(&format!("observer: {NODES} nodes, {NODES} of them busy")), "{said}");
}

/// So much memory the process has, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn most_resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Not a test of its own: the process that another one starts.
#[test]
#[ignore = "it is started by another test"]
fn what_a_process_sees() {
    let Ok(prefix) = std::env::var(VARIABLE) else { return };
    crate::lab::live(async |server: Server| {
        let client = server.client().await;
        let before = resident();
        let start = SystemClock.now();
        let fleet = KubeFleet::start(client, config(&prefix), Arc::new(SystemClock)).await.unwrap();
        let listed = since(start);
        let seen = fleet.observe(&pool(&prefix, 1).uid).await.unwrap();
        let offers = fleet.offers().await.unwrap();
        let observed = since(start);
        let busy = seen.nodes.values().filter(|fact| fact.is_busy).count();
        eprintln!("observer: {} nodes, {busy} of them busy", seen.nodes.len());
        assert!(seen.nodes.contains_key(&node(0)) && offers.contains_key(&flavor()));
        let (after, most) = (resident() - before, most_resident() - before);
        eprintln!("observer: all listed after {listed:#}, observed after {observed:#}");
        eprintln!("observer: {} MiB more than before, {} MiB at most", after / 1024, most / 1024);
        drop(fleet);
        let client = server.client().await;
        let start = SystemClock.now();
        let (nodes, pods) = tokio::join!(only_read(&client, "/api/v1/nodes"), only_read(&client, "/api/v1/pods"));
        let mib = (nodes + pods) / (1024 * 1024);
        eprintln!("observer: the same answers, {mib} MiB, only read: {:#}", since(start));
    });
}

/// Bytes of a list that is read page after page, and not looked into but for the place where the next one begins.
async fn only_read(client: &kube::Client, path: &str) -> usize {
    let (mut bytes, mut target) = (0, format!("{path}?limit=500"));
    loop {
        let request = Request::get(&target).body(Vec::new()).unwrap();
        let page = client.request_text(request).await.unwrap();
        bytes += page.len();
        let head = page.split("\"items\":").next().unwrap_or_default();
        let next = head.split("\"continue\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let Some(next) = next.filter(|next| !next.is_empty()) else {
            return bytes;
        };
        target = format!("{path}?limit=500&continue={next}");
    }
}
