//! Nodes that are kept for a logical pool, and pools that let nothing start.

use super::workloads::{job, quotas};
use super::*;
use domain::workload::WorkloadStatus;

impl Fixture {
    async fn keep(&self, node: &str, to: Option<&str>) {
        let (pool, node) = (mark(), NodeName::parse(node).unwrap());
        let to = to.map(Uid::from_text);
        self.command(Command::DedicateNode { pool, node, to }).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_kept_serves_its_pool_alone() {
    let fixture = Fixture::floor(1.0).await;
    fixture.keep("node-1", Some("high")).await;
    let kept = fixture.seen().await.nodes[&NodeName::parse("node-1").unwrap()].dedicated_to.clone();
    assert_eq!(kept, Some(Uid::from_text("high")));
    fixture.submit("low", job("wide", 3, Some(100))).await;
    fixture.submit("low", job("narrow", 1, Some(100))).await;
    assert_eq!(
        fixture.status("wide").await,
        WorkloadStatus::Queue,
        "one of the three is not for it"
    );
    assert_eq!(fixture.busy().await, ["node-2"]);
    // Whoever waits for nodes that it will not get stands in nobody's way, and those that are its own are used first.
    fixture.submit("high", job("own", 1, Some(100))).await;
    assert_eq!(fixture.busy().await, ["node-1", "node-2"]);
    fixture.keep("node-1", None).await;
    fixture.pause(200).await;
    assert_eq!(fixture.busy().await, ["node-1", "node-2", "node-3"]);
    assert_eq!(fixture.status("wide").await, WorkloadStatus::Running);
}

#[tokio::test(start_paused = true)]
async fn what_runs_on_a_node_goes_on_when_it_is_kept_for_others() {
    let fixture = Fixture::floor(1.0).await;
    fixture.submit("low", job("one", 1, Some(100))).await;
    fixture.keep("node-1", Some("high")).await;
    fixture.pause(60).await;
    assert_eq!(fixture.status("one").await, WorkloadStatus::Running);
    let moved = PoolMark {
        uid: Uid::from_text("0191"),
        ..mark()
    };
    fixture.command(Command::EnsurePool { pool: moved.clone() }).await.unwrap();
    let (node, from) = (NodeName::parse("node-1").unwrap(), mark());
    let take = Command::MoveNode {
        pool: moved.clone(),
        node: node.clone(),
        from,
    };
    fixture.command(take).await.unwrap();
    let seen = fixture.fleet.observe(&moved.uid).await.unwrap();
    assert_eq!(seen.nodes[&node].dedicated_to, None, "its new pool does not know whom it was for");
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_in_a_pool_that_is_shut() {
    let fixture = Fixture::floor(1.0).await;
    fixture.submit("low", job("runs", 2, Some(100))).await;
    fixture.submit("low", job("waits", 2, Some(100))).await;
    let mut shut = quotas();
    shut[2].is_shut = true;
    fixture.set_quotas(shut.clone()).await;
    assert_eq!(fixture.seen().await.quotas, shut);
    let refused = fixture
        .fleet
        .submit(&mark().uid, &Uid::from_text("low"), job("late", 1, None))
        .await;
    assert_eq!(refused.unwrap(), Err(Refusal::Closed));
    fixture.pause(60).await;
    assert_eq!(fixture.status("runs").await, WorkloadStatus::Running, "what runs goes on");
    fixture.pause(300).await;
    assert_eq!(fixture.status("runs").await, WorkloadStatus::Completed);
    let waiting = fixture.work("waits").await;
    assert_eq!(waiting.status, WorkloadStatus::Queue);
    assert_eq!(waiting.reason.as_deref(), Some("pool pool-low lets no workloads start"));
    fixture.set_quotas(quotas()).await;
    fixture.pause(60).await;
    assert_eq!(fixture.status("waits").await, WorkloadStatus::Running);
}
