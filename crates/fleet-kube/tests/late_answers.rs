//! Answers that come after the watch has told more than they do.

mod world;

use clock::Clock;
use fleet::observation::ClusterFact;
use fleet::{Command, Fleet};
use futures::FutureExt;
use futures::future::BoxFuture;
use kube_fake::{Sent, Way};
use poolkeeper_fleet_kube::KubeFleet;
use std::sync::Arc;
use std::time::Duration;
use tower::BoxError;
use world::World;

/// Answers to writes take three seconds.
struct Late(Arc<dyn Clock>);

impl Way for Late {
    fn there(&self, _sent: &Sent) -> BoxFuture<'static, Result<(), BoxError>> {
        std::future::ready(Ok(())).boxed()
    }

    fn back(&self, sent: &Sent) -> BoxFuture<'static, Result<(), BoxError>> {
        let takes = Duration::from_secs(if sent.is_write { 3 } else { 0 });
        let arrival = self.0.sleep_until(self.0.now() + takes);
        arrival.map(Ok).boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_gone_before_the_answer_to_its_removal_comes_is_gone() {
    let world = World::new().await;
    let client = world.cluster.client_over(Arc::new(Late(Arc::clone(&world.clock))));
    let fleet = KubeFleet::start(client, world.config.clone(), Arc::clone(&world.clock))
        .await
        .unwrap();
    let pool = world::pool(1);
    world::insist(&world, &fleet, 1, &[Command::EnsurePool { pool: pool.clone() }]).await;
    world.until(&fleet, &pool, |seen| seen.cluster == ClusterFact::Ready).await;
    let remove = [Command::RemovePool { pool: pool.clone() }];
    world::insist(&world, &fleet, 1, &remove).await;
    world.pass(60).await;
    assert_eq!(fleet.observe(&pool.uid).await.unwrap().cluster, ClusterFact::Absent);
}
