//! Nodes that move to other pools, and those that come and go in racks and supernodes (contract nodes §3).

use crate::bodies::{CPU, GPU, await_condition, count, name, ready_pool, resources};
use crate::nodes::{BAD, GONE, act, await_job, id, names, nodes};
use serde_json::{Value, json};
use testkit::TestServer;

crate::on_both_stores!(
    nodes_move_to_another_pool_with_their_machines,
    what_a_migration_refuses,
    supernodes_grow_and_shrink,
    racks_go_as_a_whole,
    nodes_move_inside_a_full_network,
    what_a_resize_refuses,
);

fn migration(names: &[String], from: &str, to: &str) -> Value {
    json!({"migrateNodeNames": names, "fromClusterName": from, "toClusterName": to, "resourceSpec": {"flavor": CPU}})
}

async fn nodes_move_to_another_pool_with_their_machines(server: TestServer) {
    let from = ready_pool(&server, "pool-from", resources(CPU, 3)).await;
    let to = ready_pool(&server, "pool-into", resources(CPU, 1)).await;
    let before = nodes(&server, &from).await;
    let moving = name(&before[0]);
    let job = act(
        &server,
        &from,
        "migrate",
        migration(std::slice::from_ref(&moving), id(&from), id(&to)),
    )
    .await
    .ok();
    let job = await_job(&server, &job["job_id"]).await;
    assert_eq!(
        (job["phase"].as_str(), job["type"].as_str()),
        (Some("Success"), Some("migrate-nodes")),
        "{job:#}"
    );
    for (path, wanted) in [(&from, 2), (&to, 2)] {
        let pool = await_condition(&server.user, path, "Ready").await;
        assert_eq!(
            (pool["spec"]["resources"][0]["count"].as_u64(), count(&pool, "available")),
            (Some(wanted), wanted)
        );
        let orders = format!("/v1/{}/orders?involvedName={}", server.project, id(path));
        server
            .await_pool(&orders, |orders| orders["items"][0]["phase"] == "successed")
            .await;
    }
    let after = server.user.get(&format!("{to}/nodes/{moving}")).await.ok();
    let instance = |node: &Value| node["metadata"]["labels"]["os.modelarts.node/underlying.instance.id"].clone();
    assert_eq!(instance(&after), instance(&before[0]));
    server.user.get(&format!("{from}/nodes/{moving}")).await.refused(404, GONE);
    let bound = server.fleet.machines().iter().filter(|machine| machine.bound.is_some()).count();
    assert_eq!(bound, 4);
}

async fn what_a_migration_refuses(server: TestServer) {
    let from = ready_pool(&server, "pool-from", resources(CPU, 2)).await;
    let to = ready_pool(&server, "pool-into", resources(CPU, 1)).await;
    let own = names(&server, &from).await;
    let ask = |body: Value| act(&server, &from, "migrate", body);
    let one = &own[..1];
    ask(migration(one, id(&from), id(&from)))
        .await
        .refused_saying(400, BAD, "toClusterName");
    ask(migration(one, "pool-x", id(&to)))
        .await
        .refused_saying(400, BAD, "fromClusterName");
    ask(migration(one, id(&from), "pool-x"))
        .await
        .refused_saying(400, BAD, "toClusterName");
    ask(migration(&own, id(&from), id(&to)))
        .await
        .refused_saying(400, BAD, "at least one node must remain");
    ask(migration(&["none".to_owned()], id(&from), id(&to))).await.refused(404, GONE);
    let mut wrong = migration(one, id(&from), id(&to));
    wrong["resourceSpec"]["flavor"] = json!(GPU);
    ask(wrong).await.refused_saying(400, BAD, "resourceSpec.flavor");
    let lock = json!({"nodeNames": one, "actions": ["delete"]});
    act(&server, &from, "lock", lock).await.ok();
    ask(migration(one, id(&from), id(&to))).await.refused_saying(400, BAD, "locked");
}

/// Batches of a pool by uid, with their nodes.
async fn batches(server: &TestServer, path: &str) -> std::collections::BTreeMap<String, Vec<String>> {
    let mut batches = std::collections::BTreeMap::new();
    for node in nodes(server, path).await {
        let uid = node["metadata"]["labels"]["os.modelarts.node/batch.uid"]
            .as_str()
            .unwrap()
            .to_owned();
        batches.entry(uid).or_insert_with(Vec::new).push(name(&node));
    }
    batches
}

async fn supernodes_grow_and_shrink(server: TestServer) {
    let step = |step: u32| json!({"type": "hyperinstance", "step": step});
    let flavor =
        json!({"name": "vm.super", "cpuArch": "x86", "cpu": 8, "memory": "32Gi", "zones": ["az-1"], "creatingSteps": [step(2), step(4)]});
    server.operator.post("/admin/v1/flavors", &flavor).await.ok();
    let machines = json!({"id": "super", "flavor": "vm.super", "az": "az-1", "count": 8});
    server.operator.post("/admin/v1/machines", &machines).await.ok();
    let wanted = json!([{"flavor": "vm.super", "count": 4, "creatingStep": step(2)}]);
    let path = ready_pool(&server, "pool-super", wanted).await;
    let before = batches(&server, &path).await;
    assert_eq!(before.values().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    // Half a batch cannot go.
    let half = &before.values().next().unwrap()[0];
    act(&server, &path, "delete", json!({"deleteNodeNames": [half]}))
        .await
        .refused_saying(400, BAD, "2 at a time");
    let end = |number: u32| json!({"flavor": "vm.super", "creatingStep": step(number)});
    let named: Vec<Value> = before.keys().map(|uid| json!({"batchUID": uid})).collect();
    let body = json!({"nodes": named[..1], "source": end(2), "target": end(4)});
    act(&server, &path, "resize", body).await.refused_saying(400, BAD, "every batch");
    let body = json!({"nodes": named, "source": end(2), "target": end(4)});
    let answer = act(&server, &path, "resize", body).await.ok();
    let pool = await_condition(&server.user, &path, "Ready").await;
    assert_eq!(answer["orderName"], pool["metadata"]["labels"]["os.modelarts/order.name"]);
    assert_eq!(pool["spec"]["resources"][0]["count"], 8);
    let grown = batches(&server, &path).await;
    assert_eq!(grown.values().map(Vec::len).collect::<Vec<_>>(), [4, 4]);
    for (uid, members) in &before {
        assert!(members.iter().all(|node| grown[uid].contains(node)), "a batch keeps its nodes");
    }
    let shrinking: Vec<Value> = grown
        .iter()
        .map(|(uid, members)| json!({"batchUID": uid, "deleteNodeNames": members[..2]}))
        .collect();
    act(
        &server,
        &path,
        "resize",
        json!({"nodes": named, "source": end(4), "target": end(2)}),
    )
    .await
    .refused_saying(400, BAD, "deleteNodeNames");
    let body = json!({"nodes": shrinking, "source": end(4), "target": end(2)});
    act(&server, &path, "resize", body).await.ok();
    let pool = await_condition(&server.user, &path, "Ready").await;
    assert_eq!(count(&pool, "available"), 4);
    assert_eq!(batches(&server, &path).await.values().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
}

async fn racks_go_as_a_whole(server: TestServer) {
    let step = json!({"type": "rack", "step": 2});
    let flavor = json!({"name": "vm.rack", "cpuArch": "x86", "cpu": 8, "memory": "32Gi", "zones": ["az-1"], "creatingSteps": [step]});
    server.operator.post("/admin/v1/flavors", &flavor).await.ok();
    let machines = json!({"id": "rack", "flavor": "vm.rack", "az": "az-1", "count": 6});
    server.operator.post("/admin/v1/machines", &machines).await.ok();
    let wanted = json!([{"flavor": "vm.rack", "count": 6, "creatingStep": step}]);
    let path = ready_pool(&server, "pool-rack", wanted).await;
    let to = ready_pool(&server, "pool-into", resources(CPU, 1)).await;
    let racks: Vec<Vec<String>> = batches(&server, &path).await.into_values().collect();
    // As many as a rack has, but of two of them.
    let torn = [racks[0][0].clone(), racks[1][0].clone()];
    act(&server, &path, "delete", json!({"deleteNodeNames": torn}))
        .await
        .refused_saying(400, BAD, "go together");
    let mut moving = migration(&torn, id(&path), id(&to));
    moving["resourceSpec"]["flavor"] = json!("vm.rack");
    act(&server, &path, "migrate", moving).await.refused_saying(400, BAD, "go together");
    act(&server, &path, "delete", json!({"deleteNodeNames": racks[0]})).await.ok();
    await_condition(&server.user, &path, "Ready").await;
    let left: Vec<Vec<String>> = batches(&server, &path).await.into_values().collect();
    assert_eq!(left, racks[1..]);
}

async fn nodes_move_inside_a_full_network(server: TestServer) {
    let labels = json!({"os.modelarts/name": "net-small"});
    let network = json!({"apiVersion": "v1", "kind": "Network", "metadata": {"labels": labels}, "spec": {"cidr": "10.1.2.0/24"}});
    server.user.post(&format!("/v1/{}/networks", server.project), &network).await.ok();
    let network = format!("net-small-{}", server.project);
    // 256 addresses but six.
    for (name, count) in [("pool-from", 249), ("pool-into", 1)] {
        let mut pool = crate::bodies::pool(&server, name, resources("vm.many", count));
        pool["spec"]["network"]["name"] = json!(network);
        if name == "pool-from" {
            let flavor = json!({"name": "vm.many", "cpuArch": "x86", "cpu": 8, "memory": "32Gi", "zones": ["az-1"]});
            server.operator.post("/admin/v1/flavors", &flavor).await.ok();
            let machines = json!({"id": "many", "flavor": "vm.many", "az": "az-1", "count": 260});
            server.operator.post("/admin/v1/machines", &machines).await.ok();
        }
        server.user.post(&server.pools(), &pool).await.ok();
    }
    let path = |name: &str| format!("{}/{name}-{}", server.pools(), server.project);
    let (from, to) = (path("pool-from"), path("pool-into"));
    for path in [&from, &to] {
        await_condition(&server.user, path, "Ready").await;
    }
    let more = json!({"spec": {"resources": [{"flavor": "vm.many", "count": 2}]}});
    server.user.patch(&to, &more).await.refused_saying(400, BAD, "addresses");
    let own = names(&server, &from).await;
    let mut moving = migration(&own[..2], id(&from), id(&to));
    moving["resourceSpec"]["flavor"] = json!("vm.many");
    act(&server, &from, "migrate", moving).await.ok();
    let pool = await_condition(&server.user, &to, "Ready").await;
    assert_eq!(count(&pool, "available"), 3);
}

async fn what_a_resize_refuses(server: TestServer) {
    let path = ready_pool(&server, "pool-super", resources(CPU, 2)).await;
    let end = |kind: &str, step: u32| json!({"flavor": CPU, "creatingStep": {"type": kind, "step": step}});
    let body = |kind: &str| json!({"nodes": [{"batchUID": "x"}], "source": end(kind, 2), "target": end("hyperinstance", 1)});
    act(&server, &path, "resize", body("rack"))
        .await
        .refused_saying(400, BAD, "Bad request. only support hyperinstance scale currently");
    act(&server, &path, "resize", body("hyperinstance"))
        .await
        .refused_saying(400, BAD, "batchUID");
}
