//! What is known of the cluster, over the API server inside the process.

mod world;

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use poolkeeper_fleet_kube::Context;
use poolkeeper_fleet_kube::cache::{Cache, Selection};
use serde_json::json;
use std::sync::Arc;
use world::World;

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_late_does_not_bring_back_what_is_gone() {
    let world = World::new().await;
    world.add_nodes("a", 2);
    let context = Arc::new(Context::new(world.cluster.client(), world.config.clone(), Arc::clone(&world.clock)));
    let api: Api<Node> = Api::all(context.client.clone());
    let (cache, _task) = Cache::start(&context, Selection::all(api.clone()));
    cache.synced().await;
    let patch = Patch::Merge(json!({"metadata": {"labels": {"team": "vision"}}}));
    let answer = api.patch("a-0", &PatchParams::default(), &patch).await.unwrap();
    // Before the answer has come, it is gone, and the watch has told it.
    world.cluster.delete_node("a-0");
    world.pass(5).await;
    assert!(cache.get("a-0").is_none());
    cache.note(answer);
    assert!(cache.get("a-0").is_none());
    // One that comes in time is known at once.
    let answer = api.patch("a-1", &PatchParams::default(), &patch).await.unwrap();
    let version = answer.metadata.resource_version.clone();
    cache.note(answer);
    assert_eq!(cache.get("a-1").unwrap().metadata.resource_version, version);
}
