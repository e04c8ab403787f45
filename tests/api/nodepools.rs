//! Node pools: two views of `spec.resources` (contract nodes §5).

use crate::bodies::{CPU, CPU_SMALL, await_condition, count, name, ready_pool, resources, sub_pool};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::TestServer;

crate::on_both_stores!(
    every_element_has_a_node_pool,
    a_node_pool_is_an_element_with_nodes,
    what_creating_a_node_pool_refuses,
    a_changed_node_pool_is_a_changed_element,
    what_changing_a_node_pool_refuses,
    changed_labels_and_tags_reach_the_nodes_that_are_there,
    a_node_pool_has_the_entity_tag_of_its_pool,
    a_taken_name_is_told_last,
    a_deleted_node_pool_takes_its_nodes_along,
    what_deleting_a_node_pool_refuses,
);

const BAD: &str = "ModelArts.50004000";
const GONE: &str = "ModelArts.50005101";

fn node_pool(name: &str, resources: Value) -> Value {
    json!({"apiVersion": "v2", "kind": "NodePool", "metadata": {"name": name}, "spec": {"resources": resources}})
}

async fn create(server: &TestServer, path: &str, name: &str, resources: Value) -> testkit::Answer {
    server.user.post(&format!("{path}/nodepools"), &node_pool(name, resources)).await
}

fn change(resources: Value) -> Value {
    json!({"spec": {"resources": resources}})
}

async fn every_element_has_a_node_pool(server: TestServer) {
    let path = ready_pool(&server, "pool-np", resources(CPU, 2)).await;
    let list = server.user.get(&format!("{path}/nodepools")).await.ok();
    assert_eq!(
        (list["kind"].as_str(), list["apiVersion"].as_str()),
        (Some("NodePoolList"), Some("v2"))
    );
    let default = format!("{CPU}-default");
    let shown = server.user.get(&format!("{path}/nodepools/{default}")).await.ok();
    assert_eq!(list["items"], json!([shown]));
    assert_eq!(name(&shown), default);
    assert_eq!(
        (&shown["kind"], &shown["spec"]["resources"]["count"]),
        (&json!("NodePool"), &json!(2))
    );
    assert_eq!(shown["status"]["resources"]["available"][0]["count"], 2);
    let nodes = server.user.get(&format!("{path}/nodepools/{default}/nodes?limit=1")).await.ok();
    assert_eq!(
        (
            nodes["items"].as_array().unwrap().len(),
            nodes["metadata"]["remainingItemCount"].as_u64()
        ),
        (1, Some(1))
    );
    for rest in ["nodepools/none", "nodepools/none/nodes"] {
        let missing = server.user.get(&format!("{path}/{rest}")).await;
        missing.refused_saying(404, GONE, "NodePool none not found. invalid nodepool name");
    }
}

async fn a_node_pool_is_an_element_with_nodes(server: TestServer) {
    let path = ready_pool(&server, "pool-np", resources(CPU, 1)).await;
    let made = create(&server, &path, "workers", json!({"flavor": CPU, "count": 2, "maxCount": 1}))
        .await
        .ok();
    assert_eq!((name(&made).as_str(), &made["spec"]["resources"]["count"]), ("workers", &json!(2)));
    assert_eq!(made["status"]["resources"]["creating"][0]["count"], 2);
    let pool = await_condition(&server.user, &path, "Ready").await;
    assert_eq!(
        pool["spec"]["resources"],
        json!([{"flavor": CPU, "count": 1, "maxCount": 1}, {"flavor": CPU, "count": 2, "maxCount": 2, "nodePool": "workers"}])
    );
    let nodes = server.user.get(&format!("{path}/nodepools/workers/nodes")).await.ok();
    assert_eq!(nodes["items"].as_array().unwrap().len(), 2);
    // The other way round.
    let wanted = json!([{"flavor": CPU, "count": 1}, {"flavor": CPU, "count": 3, "nodePool": "workers"}]);
    server.user.patch(&path, &change(wanted)).await.ok();
    let shown = server.user.get(&format!("{path}/nodepools/workers")).await.ok();
    assert_eq!(shown["spec"]["resources"]["count"], 3);
}

async fn what_creating_a_node_pool_refuses(server: TestServer) {
    let path = ready_pool(&server, "pool-np", resources(CPU, 1)).await;
    let one = || json!({"flavor": CPU, "count": 1});
    for (name, resources, told) in [
        ("x", one(), "metadata.name"),
        ("Workers", one(), "metadata.name"),
        ("other-default", one(), "metadata.name"),
        ("workers", json!({"flavor": CPU, "count": 0}), "spec.resources.count"),
        ("workers", json!({"flavor": CPU}), "spec.resources.count"),
        (
            "workers",
            json!({"flavor": CPU, "count": 1, "maxCount": 2}),
            "spec.resources.maxCount",
        ),
        (
            "workers",
            json!({"flavor": CPU, "count": 1, "nodePool": "others"}),
            "spec.resources.nodePool",
        ),
        ("workers", json!({"flavor": "none", "count": 1}), "spec.resources.flavor"),
        ("workers", json!({"count": 1}), "spec.resources.flavor"),
        ("workers", json!([]), "spec.resources"),
        ("workers", json!({"flavor": CPU, "count": 2000}), "machines of flavor"),
    ] {
        create(&server, &path, name, resources).await.refused_saying(400, BAD, told);
    }
    let mut body = node_pool("workers", one());
    body["kind"] = json!("Pool");
    server
        .user
        .post(&format!("{path}/nodepools"), &body)
        .await
        .refused_saying(400, BAD, "kind");
    let default = format!("{CPU}-default");
    create(&server, &path, &default, one())
        .await
        .refused_saying(409, "ModelArts.50005100", &format!("NodePool {default} already exists."));
    let parent = path.rsplit('/').next().unwrap();
    let child = server
        .operator
        .post(&server.pools(), &sub_pool("pool-sub", parent, resources(CPU, 1)))
        .await
        .ok();
    let child = format!("{}/{}", server.pools(), name(&child));
    create(&server, &child, "workers", one()).await.refused(400, BAD);
    let pool = server.user.get(&path).await.ok();
    assert_eq!(pool["spec"]["resources"].as_array().unwrap().len(), 1);
}

async fn a_changed_node_pool_is_a_changed_element(server: TestServer) {
    let wanted = json!([{"flavor": CPU, "count": 1}, {"flavor": CPU, "count": 2, "nodePool": "workers"}]);
    let path = ready_pool(&server, "pool-np", wanted).await;
    let target = format!("{path}/nodepools/workers");
    let body = change(json!({"count": 3, "maxCount": 2, "flavor": CPU})).to_string();
    let sent = server
        .user
        .send(Method::PATCH, &target, "application/json;charset=UTF-8", body.into_bytes())
        .await
        .ok();
    assert_eq!(
        (&sent["spec"]["resources"]["count"], &sent["spec"]["resources"]["maxCount"]),
        (&json!(3), &json!(3))
    );
    let pool = await_condition(&server.user, &path, "Ready").await;
    assert_eq!(count(&pool, "available"), 4);
    // None of them: the other node pool keeps a node.
    let emptied = server.user.patch(&target, &change(json!({"count": 0}))).await.ok();
    assert_eq!(emptied["spec"]["resources"]["count"], 0);
    let pool = await_condition(&server.user, &path, "Ready").await;
    assert_eq!(
        (count(&pool, "available"), pool["spec"]["resources"].as_array().unwrap().len()),
        (1, 2)
    );
    // Labels alone change no number.
    let labelled = server.user.patch(&target, &change(json!({"labels": {"team": "a"}}))).await.ok();
    assert_eq!(labelled["spec"]["resources"]["labels"], json!({"team": "a"}));
    assert_eq!(labelled["spec"]["resources"]["count"], 0);
}

/// Labels and tags of each node of a pool, with those keys only that the test puts.
async fn marks(server: &TestServer, path: &str) -> Vec<Value> {
    let list = server.user.get(&format!("{path}/nodes")).await.ok();
    let marks = |node: &Value| {
        let labels = node["metadata"]["labels"].as_object().unwrap();
        let own: serde_json::Map<_, _> = labels
            .iter()
            .filter(|(key, _)| !key.starts_with("os.modelarts"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        json!([own, node["metadata"]["annotations"]["os.modelarts/tms.tags"]])
    };
    list["items"].as_array().unwrap().iter().map(marks).collect()
}

async fn changed_labels_and_tags_reach_the_nodes_that_are_there(server: TestServer) {
    let element = json!([{"flavor": CPU, "count": 1, "labels": {"team": "a", "site": "x"}, "tags": [{"key": "k", "value": "1"}]}]);
    let path = ready_pool(&server, "pool-np", element).await;
    let target = format!("{path}/nodepools/{CPU}-default");
    let node = server.user.get(&format!("{path}/nodes")).await.ok()["items"][0]["metadata"]["name"].clone();
    let own = json!({"nodeNames": [node], "action": "createTags", "tags": [{"key": "own", "value": "2"}]});
    server.user.post(&format!("{path}/nodes/batch-update"), &own).await.ok();
    let body = change(json!({"labels": {"team": "b", "site": null}, "tags": [{"key": "k", "value": "3"}]}));
    server.user.patch(&target, &body).await.ok();
    let (own, new) = (r#"{"key":"own","value":"2"}"#, r#"{"key":"k","value":"3"}"#);
    assert_eq!(marks(&server, &path).await, [json!([{"team": "b"}, format!("[{own},{new}]")])]);
    // Through the pool, it is the same data; removing the last of them takes it from the nodes too.
    let body = json!({"spec": {"resources": [{"flavor": CPU, "count": 1, "labels": {"team": "c"}}]}});
    server.user.patch(&path, &body).await.ok();
    assert_eq!(marks(&server, &path).await[0][0], json!({"team": "c"}));
    let body = change(json!({"labels": {"team": null}, "tags": null}));
    let emptied = server.user.patch(&target, &body).await.ok();
    assert!(emptied["spec"]["resources"].get("labels").is_none() && emptied["spec"]["resources"].get("tags").is_none());
    assert_eq!(marks(&server, &path).await, [json!([{}, format!("[{own}]")])]);
    // Told to be left alone, nodes are; later ones are made with what is new.
    let policies = json!({"labelPolicyOnExistingNodes": "ignore", "tagPolicyOnExistingNodes": "ignore"});
    let body = change(json!({"labels": {"team": "d"}, "tags": [{"key": "k", "value": "4"}], "extendParams": policies}));
    server.user.patch(&target, &body).await.ok();
    assert_eq!(marks(&server, &path).await, [json!([{}, format!("[{own}]")])]);
    server.user.patch(&target, &change(json!({"count": 2}))).await.ok();
    await_condition(&server.user, &path, "Ready").await;
    let marks = marks(&server, &path).await;
    assert!(marks.contains(&json!([{"team": "d"}, r#"[{"key":"k","value":"4"}]"#])), "{marks:?}");
    // No node gets more tags than it may have.
    let many: Vec<_> = (0..20).map(|at| json!({"key": format!("t{at}"), "value": ""})).collect();
    let policies = json!({"tagPolicyOnExistingNodes": "refresh"});
    let body = change(json!({"tags": many, "extendParams": policies}));
    server
        .user
        .patch(&target, &body)
        .await
        .refused_saying(400, BAD, "more than 20 tags");
}

async fn a_node_pool_has_the_entity_tag_of_its_pool(server: TestServer) {
    let path = ready_pool(&server, "pool-np", resources(CPU, 1)).await;
    let target = format!("{path}/nodepools/{CPU}-default");
    let shown = server.user.get(&target).await;
    let tag = shown.header("etag").to_owned();
    assert_eq!(tag, server.user.get(&path).await.header("etag"));
    let client = server.user.with_header("If-Match", &tag);
    let changed = client.patch(&target, &change(json!({"labels": {"a": "b"}}))).await;
    assert_ne!(changed.header("etag"), tag);
    changed.ok();
    let stale = client.patch(&target, &change(json!({"labels": {"a": "c"}}))).await;
    stale.refused(412, "ModelArts.50004120");
}

async fn a_taken_name_is_told_last(server: TestServer) {
    let path = ready_pool(&server, "pool-np", json!([{"flavor": CPU, "count": 1, "nodePool": "workers"}])).await;
    let taken = |flavor: &str| json!({"flavor": flavor, "count": 1});
    create(&server, &path, "workers", taken("none"))
        .await
        .refused_saying(400, BAD, "spec.resources.flavor");
    create(&server, &path, "workers", taken(CPU_SMALL))
        .await
        .refused(409, "ModelArts.50005100");
    // More than there are: the name comes first.
    create(&server, &path, "workers", json!({"flavor": CPU, "count": 2000}))
        .await
        .refused(409, "ModelArts.50005100");
    let pool = path.rsplit('/').next().unwrap();
    let control = format!("/admin/v1/{}/pools/{pool}/control-mode", server.project);
    server.operator.put(&control, &json!({"controlMode": 2})).await.ok();
    create(&server, &path, "workers", taken(CPU))
        .await
        .refused_saying(400, BAD, "restricted");
}

async fn what_changing_a_node_pool_refuses(server: TestServer) {
    let path = ready_pool(&server, "pool-np", resources(CPU, 1)).await;
    let target = format!("{path}/nodepools/{CPU}-default");
    for (resources, told) in [
        (json!({"flavor": CPU_SMALL}), "spec.resources.flavor cannot be modified"),
        (json!({"nodePool": "other"}), "spec.resources.nodePool cannot be modified"),
        (json!({"count": -1}), "spec.resources.count"),
        (json!({"count": 0}), "at least one node"),
        (json!({"maxCount": "x"}), "spec.resources.maxCount"),
        (json!([]), "spec.resources"),
    ] {
        server.user.patch(&target, &change(resources)).await.refused_saying(400, BAD, told);
    }
    server
        .user
        .patch(&target, &json!({}))
        .await
        .refused_saying(400, BAD, "spec.resources is required");
    for (member, value) in [("apiVersion", json!("v1")), ("kind", json!(5)), ("metadata", json!({"name": null}))] {
        let mut body = change(json!({}));
        body[member] = value;
        server
            .user
            .patch(&target, &body)
            .await
            .refused_saying(400, BAD, "cannot be modified");
    }
    let billed = json!({"metadata": {"annotations": {"os.modelarts/billing.mode": "0"}}, "spec": {"resources": {"count": 1}}});
    server.user.patch(&target, &billed).await.refused_saying(400, BAD, "added nodes");
    let none = server
        .user
        .patch(&format!("{path}/nodepools/none"), &change(json!({"count": 1})))
        .await;
    none.refused_saying(404, GONE, "invalid nodepool name");
    let typed = server.user.send(Method::PATCH, &target, "text/plain", b"{}".to_vec()).await;
    typed.refused(415, "ModelArts.50004100");
}

async fn a_deleted_node_pool_takes_its_nodes_along(server: TestServer) {
    let wanted = json!([{"flavor": CPU, "count": 1}, {"flavor": CPU, "count": 2, "nodePool": "workers"}]);
    let path = ready_pool(&server, "pool-np", wanted).await;
    let once = server.user.with_header("Idempotency-Key", "once");
    let gone = once.delete(&format!("{path}/nodepools/workers")).await.ok();
    assert_eq!((name(&gone).as_str(), &gone["spec"]["resources"]["count"]), ("workers", &json!(2)));
    let pool = await_condition(&server.user, &path, "Ready").await;
    assert_eq!(
        (count(&pool, "available"), &pool["spec"]["resources"]),
        (1, &json!([{"flavor": CPU, "count": 1, "maxCount": 1}]))
    );
    // The repetition gets the same answer, another request does not.
    assert_eq!(once.delete(&format!("{path}/nodepools/workers")).await.ok(), gone);
    server.user.delete(&format!("{path}/nodepools/workers")).await.refused(404, GONE);
    // What changes nothing knows neither dry runs nor keys.
    let reader = server.user.with_header("Idempotency-Key", "");
    reader.get(&format!("{path}/nodepools?dryRun=perhaps")).await.ok();
}

async fn what_deleting_a_node_pool_refuses(server: TestServer) {
    let wanted = json!([{"flavor": CPU, "count": 1}, {"flavor": CPU, "count": 1, "nodePool": "workers"}]);
    let path = ready_pool(&server, "pool-np", wanted).await;
    let nodes = server.user.get(&format!("{path}/nodepools/workers/nodes")).await.ok();
    let locked = name(&nodes["items"][0]);
    let body = json!({"nodeNames": [locked], "actions": ["delete"]});
    server.user.post(&format!("{path}/nodes/batch-lock"), &body).await.ok();
    let target = format!("{path}/nodepools/workers");
    server.user.delete(&target).await.refused_saying(400, BAD, "locked");
    server.user.post(&format!("{path}/nodes/batch-unlock"), &body).await.ok();
    server.user.delete(&target).await.ok();
    let last = server.user.delete(&format!("{path}/nodepools/{CPU}-default")).await;
    last.refused_saying(400, BAD, "last node pool");
}
