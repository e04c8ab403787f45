//! What nodes use, from the metrics API.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod world;

use domain::sample::{Metric, Minute};
use fleet::{Fleet, MachineState};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube_fake::ResourceType;
use poolkeeper_fleet_kube::{KubeFleet, mark};
use serde_json::json;
use std::collections::BTreeSet;
use world::{World, create, node, pool, run};

const METRICS: &str = "nodes.metrics.k8s.io";

fn serve_metrics(world: &World) {
    let kind = ResourceType::custom("metrics.k8s.io", "v1beta1", "NodeMetrics", "nodes", false);
    world.cluster.register(kind);
}

/// What the metrics server says of a Node: it has the labels of the Node.
async fn measure(world: &World, host: &str, cpu: &str, memory: &str) {
    let labels = world.node(host)["metadata"]["labels"].clone();
    let now = world.clock.now().to_string();
    let body = json!({"timestamp": now, "window": "20s", "usage": {"cpu": cpu, "memory": memory}});
    let is_there = world.cluster.edit(METRICS, "", host, |object| {
        for field in ["timestamp", "usage"] {
            object[field] = body[field].clone();
        }
    });
    if is_there {
        return;
    }
    let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("metrics.k8s.io", "v1beta1", "NodeMetrics"), "nodes");
    let mut object = DynamicObject::new(host, &kind).data(body);
    object.metadata.labels = serde_json::from_value(labels).unwrap();
    let api = kube::Api::all_with(world.cluster.client_as("system:metrics-server"), &kind);
    api.create(&PostParams::default(), &object).await.unwrap();
}

/// Two nodes that are up.
async fn start() -> (World, KubeFleet) {
    let world = World::new().await;
    serve_metrics(&world);
    world.add_nodes("a", 3);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[create(1, 1), create(1, 2)]).await;
    world
        .until(&fleet, &pool(1), |seen| {
            seen.nodes.values().all(|fact| fact.state == MachineState::Ready)
        })
        .await;
    for host in ["a-0", "a-1", "a-2"] {
        world.cluster.edit("nodes", "", host, |node| {
            node["status"]["capacity"]["cpu"] = json!("96");
            node["status"]["capacity"]["memory"] = json!("1000Gi");
        });
    }
    (world, fleet)
}

/// The mean, in thousandths of a per cent.
fn mean(minute: &Minute, metric: Metric) -> i64 {
    let aggregate = minute.get(&metric).unwrap();
    (aggregate.sum / f64::from(aggregate.count) * 1000.0).round() as i64
}

#[tokio::test(start_paused = true)]
async fn nodes_of_a_pool_report_cores_and_memory() {
    let (world, fleet) = start().await;
    let (one, two) = (world.machines_of(1).pop().unwrap(), world.machines_of(2).pop().unwrap());
    let from = world.clock.now().as_second() / 60;
    measure(&world, &one, "48", "100Gi").await;
    measure(&world, &two, "24", "300Gi").await;
    let spare = ["a-0", "a-1", "a-2"].into_iter().find(|host| *host != one && *host != two).unwrap();
    measure(&world, spare, "96", "1000Gi").await;
    world.pass(65).await;
    let minutes = from..from + 10;
    let samples = fleet.samples(&pool(1).uid, minutes.clone(), None).await.unwrap();
    let minute = samples.values().next().unwrap();
    assert_eq!(samples.len(), 1, "{samples:?}");
    assert_eq!(
        (mean(minute, Metric::CpuUsage), mean(minute, Metric::MemUsedRate)),
        (37_500, 20_000)
    );
    assert_eq!(minute.get(&Metric::GpuUtil), None);
    let only = BTreeSet::from([node(2)]);
    let of_one = fleet.samples(&pool(1).uid, minutes.clone(), Some(&only)).await.unwrap();
    assert_eq!(mean(of_one.values().next().unwrap(), Metric::CpuUsage), 25_000);
    assert!(fleet.samples(&pool(2).uid, minutes.clone(), None).await.unwrap().is_empty());
    assert!(fleet.samples(&pool(1).uid, from + 10..from, None).await.unwrap().is_empty());
    measure(&world, &one, "96", "1000Gi").await;
    world.pass(65).await;
    assert_eq!(fleet.samples(&pool(1).uid, minutes.clone(), None).await.unwrap().len(), 2);
    // What was long ago is forgotten.
    world.pass(4 * 3600).await;
    assert!(fleet.samples(&pool(1).uid, minutes, None).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_a_metrics_api_there_are_no_samples_and_it_is_found_when_it_comes() {
    let world = World::new().await;
    world.add_nodes("a", 1);
    let fleet = world.fleet().await;
    run(&fleet, 1, &[create(1, 1)]).await;
    world.pass(120).await;
    let from = world.clock.now().as_second() / 60;
    assert!(fleet.samples(&pool(1).uid, from - 10..from + 10, None).await.unwrap().is_empty());
    serve_metrics(&world);
    assert!(world.node("a-0")["metadata"]["labels"][mark::POOL].is_string());
    measure(&world, "a-0", "1", "1Gi").await;
    world.pass(360).await;
    assert_eq!(fleet.samples(&pool(1).uid, from - 10..from + 10, None).await.unwrap().len(), 1);
}
