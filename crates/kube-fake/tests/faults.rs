//! What goes wrong on purpose.

#![expect(clippy::unwrap_used, reason = "tests end where something is missing")]

use clock::RuntimeClock;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::runtime::WatchStreamExt;
use poolkeeper_kube_fake::{FakeCluster, Fault, FaultRates, FaultTarget, NodeSpec, TwinOptions};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn cluster(seed: u64) -> FakeCluster {
    let clock = RuntimeClock::starting_at("2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
    FakeCluster::new(Arc::new(clock), seed)
}

async fn label(nodes: &Api<Node>, value: &str) -> kube::Result<Node> {
    let patch = Patch::Merge(json!({"metadata": {"labels": {"l": value}}}));
    nodes.patch("n", &PatchParams::default(), &patch).await
}

fn of(node: &Node) -> Option<&str> {
    node.metadata.labels.as_ref()?.get("l").map(String::as_str)
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_did_nothing_and_a_lost_reply_did_it() {
    let cluster = cluster(1);
    cluster.add_node(&NodeSpec::new("n", "a100", "az1"));
    let nodes: Api<Node> = Api::all(cluster.client());
    cluster.fail_next(FaultTarget::of("patch", "nodes"), Fault::LoseRequest, 1);
    assert!(matches!(label(&nodes, "1").await.unwrap_err(), kube::Error::Service(_)));
    assert_eq!(of(&nodes.get("n").await.unwrap()), None);
    cluster.fail_next(FaultTarget::of("patch", "nodes"), Fault::LoseReply, 1);
    assert!(matches!(label(&nodes, "1").await.unwrap_err(), kube::Error::Service(_)));
    assert_eq!(of(&nodes.get("n").await.unwrap()), Some("1"));
    assert_eq!(cluster.faults_struck(), 2);
}

#[tokio::test(start_paused = true)]
async fn refusals_come_with_their_codes() {
    let cluster = cluster(1);
    cluster.add_node(&NodeSpec::new("n", "a100", "az1"));
    let nodes: Api<Node> = Api::all(cluster.client());
    for (fault, code, retry) in [
        (Fault::Conflict, 409, 0),
        (Fault::TooManyRequests(3), 429, 3),
        (Fault::Unavailable, 503, 0),
    ] {
        cluster.fail_next(FaultTarget::default(), fault, 1);
        let kube::Error::Api(status) = label(&nodes, "1").await.unwrap_err() else {
            panic!()
        };
        let after = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        assert_eq!((status.code, after), (code, retry));
    }
    assert_eq!(of(&nodes.get("n").await.unwrap()), None);
}

#[tokio::test(start_paused = true)]
async fn a_stale_list_is_the_list_of_its_version() {
    let cluster = cluster(1);
    cluster.add_nodes(&NodeSpec::new("n", "a100", "az1"), 3);
    let nodes: Api<Node> = Api::all(cluster.client());
    cluster.fail_next(FaultTarget::of("list", "nodes"), Fault::StaleList(2), 1);
    let stale = nodes.list(&ListParams::default()).await.unwrap();
    assert_eq!(
        (stale.items.len(), stale.metadata.resource_version.unwrap()),
        (1, (cluster.version() - 2).to_string())
    );
    assert_eq!(nodes.list(&ListParams::default()).await.unwrap().items.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_tells_later_and_a_cut_one_ends() {
    let cluster = cluster(1);
    cluster.add_node(&NodeSpec::new("n", "a100", "az1"));
    let nodes: Api<Node> = Api::all(cluster.client());
    cluster.fail_next(FaultTarget::of("watch", "nodes"), Fault::SilenceWatch(Duration::from_secs(90)), 1);
    let version = cluster.version().to_string();
    let started = tokio_now();
    let mut watch = nodes.watch(&WatchParams::default(), &version).await.unwrap().boxed();
    label(&nodes, "1").await.unwrap();
    assert!(matches!(watch.try_next().await.unwrap(), Some(WatchEvent::Modified(_))));
    assert_eq!(started.elapsed().as_secs(), 90);
    cluster.fail_next(FaultTarget::of("watch", "nodes"), Fault::CutWatch(Duration::from_secs(5)), 1);
    let version = cluster.version().to_string();
    let mut watch = nodes.watch(&WatchParams::default(), &version).await.unwrap().boxed();
    assert!(matches!(watch.try_next().await.unwrap(), Some(WatchEvent::Bookmark(_))));
    assert!(watch.try_next().await.unwrap().is_none());
    assert_eq!(started.elapsed().as_secs(), 95);
}

#[expect(clippy::disallowed_methods, reason = "the test measures the runtime's virtual time")]
fn tokio_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[tokio::test(start_paused = true)]
async fn a_repeated_event_is_the_same_event() {
    let cluster = cluster(1);
    cluster.add_node(&NodeSpec::new("n", "a100", "az1"));
    let nodes: Api<Node> = Api::all(cluster.client());
    cluster.fail_next(FaultTarget::of("watch", "nodes"), Fault::RepeatEvents(Duration::from_mins(1)), 1);
    let version = cluster.version().to_string();
    let mut watch = nodes.watch(&WatchParams::default(), &version).await.unwrap().boxed();
    label(&nodes, "1").await.unwrap();
    let mut versions = Vec::new();
    for _ in 0..2 {
        let Some(WatchEvent::Modified(node)) = watch.try_next().await.unwrap() else {
            panic!()
        };
        versions.push(node.metadata.resource_version);
    }
    assert_eq!(versions[0], versions[1]);
}

/// The reflector of kube against a bad server: whatever goes wrong, it ends with what is there.
#[tokio::test(start_paused = true)]
async fn a_cache_is_right_in_the_end_whatever_goes_wrong() {
    for seed in 0..20 {
        let cluster = cluster(seed);
        cluster.set_twins(TwinOptions::all());
        let actors = tokio::spawn(cluster.clone().run());
        cluster.add_nodes(&NodeSpec::new("n", "a100", "az1"), 5);
        cluster.set_fault_rates(FaultRates::bad_day());
        let nodes: Api<Node> = Api::all(cluster.client());
        let (store, writer) = kube::runtime::reflector::store();
        let watcher = kube::runtime::watcher(nodes, kube::runtime::watcher::Config::default()).default_backoff();
        let cache = tokio::spawn(kube::runtime::reflector(writer, watcher).for_each(|_| std::future::ready(())));
        for round in 0..40 {
            pause(7).await;
            cluster.reboot_node(&format!("n-{}", round % 5));
            if round % 10 == 0 {
                cluster.compact_all();
                cluster.delete_node(&format!("n-{}", round / 10));
            }
        }
        cluster.clear_faults();
        pause(1_200).await;
        let cached: BTreeMap<_, _> = store
            .state()
            .iter()
            .map(|node| (node.metadata.name.clone(), node.metadata.resource_version.clone()))
            .collect();
        let listed = Api::<Node>::all(cluster.client()).list(&ListParams::default()).await.unwrap();
        let listed: BTreeMap<_, _> = listed
            .items
            .into_iter()
            .map(|node| (node.metadata.name, node.metadata.resource_version))
            .collect();
        assert_eq!(cached, listed, "seed {seed}");
        assert_eq!(listed.len(), 1);
        cache.abort();
        actors.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "virtual time passes only while somebody waits for it")]
async fn pause(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
