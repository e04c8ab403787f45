//! Nodes of a pool and the batch actions on them (contract nodes §2–§4).

use crate::bodies::{CPU, GPU, await_condition, count, name, ready_pool, resources, sub_pool};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::TestServer;

crate::on_both_stores!(
    nodes_are_listed_in_pages_and_shown,
    deleted_nodes_lower_the_counts,
    what_batch_delete_refuses,
    locks_keep_nodes_and_tell_of_each,
    spares_tags_and_drivers_are_set_per_node,
    nodes_are_bound_to_sub_pools,
    drained_nodes_stay_closed_until_they_are_reset,
    a_reboot_is_a_job_that_ends,
    a_reset_installs_what_was_asked_for,
    nodes_get_the_image_of_their_element,
    a_failed_reboot_is_a_failed_job,
    a_node_has_an_entity_tag_of_its_own,
    nodes_of_a_shared_pool_are_shown_to_whom_they_are_bound,
    what_an_update_does_not_need_has_its_type_all_the_same,
    names_that_are_wrong_are_refused_everywhere,
    restricted_and_unfinished_pools_keep_their_nodes,
    the_settings_of_nodes_are_shown,
);

pub const BAD: &str = "ModelArts.50004000";
pub const GONE: &str = "ModelArts.50005101";

pub async fn nodes(server: &TestServer, path: &str) -> Vec<Value> {
    let list = server.user.get(&format!("{path}/nodes")).await.ok();
    list["items"].as_array().unwrap().clone()
}

pub async fn names(server: &TestServer, path: &str) -> Vec<String> {
    nodes(server, path).await.iter().map(name).collect()
}

pub async fn act(server: &TestServer, path: &str, action: &str, body: Value) -> testkit::Answer {
    server.user.post(&format!("{path}/nodes/batch-{action}"), &body).await
}

fn annotation<'a>(node: &'a Value, key: &str) -> &'a str {
    node["metadata"]["annotations"][key].as_str().unwrap_or_default()
}

/// Waits until something is true of a node.
async fn await_node(server: &TestServer, path: &str, node: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let target = format!("{path}/nodes/{node}");
    server.await_pool(&target, holds).await
}

pub async fn await_job(server: &TestServer, id: &Value) -> Value {
    let target = format!("/v2/{}/jobs/{}", server.project, id.as_str().unwrap());
    server.await_pool(&target, |job| job["phase"] != "Running").await
}

async fn nodes_are_listed_in_pages_and_shown(server: TestServer) {
    let path = ready_pool(&server, "pool-list", resources(CPU, 3)).await;
    let all = server.user.get(&format!("{path}/nodes")).await.ok();
    assert_eq!((all["kind"].as_str(), all["apiVersion"].as_str()), (Some("NodeList"), Some("v2")));
    assert_eq!(all["metadata"], json!({}));
    let page = server.user.get(&format!("{path}/nodes?limit=2")).await.ok();
    assert_eq!(page["metadata"]["remainingItemCount"], 1);
    let token = page["metadata"]["continue"].as_str().unwrap();
    let rest = server.user.get(&format!("{path}/nodes?limit=2&continue={token}")).await.ok();
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["metadata"]), (1, &json!({})));
    let first = name(&all["items"][0]);
    assert_eq!(server.user.get(&format!("{path}/nodes/{first}")).await.ok(), all["items"][0]);
    let missing = server.user.get(&format!("{path}/nodes/os-node-none")).await;
    missing.refused_saying(404, GONE, "Node os-node-none not found.");
    server.user.get(&format!("{path}/nodes?limit=-1")).await.refused(400, BAD);
    server.user.get(&format!("{path}/nodes?continue=!")).await.refused(400, BAD);
    let other = ready_pool(&server, "pool-other", resources(CPU, 1)).await;
    server.user.get(&format!("{other}/nodes/{first}")).await.refused(404, GONE);
    let none = format!("{}/pool-none-{}", server.pools(), server.project);
    server.user.get(&format!("{none}/nodes")).await.refused(404, "ModelArts.50015001");
}

async fn deleted_nodes_lower_the_counts(server: TestServer) {
    let wanted = json!([{"flavor": CPU, "count": 2}, {"flavor": CPU, "count": 2, "nodePool": "second"}]);
    let path = ready_pool(&server, "pool-less", wanted).await;
    let own: Vec<String> = nodes(&server, &path)
        .await
        .iter()
        .filter(|node| node["metadata"]["labels"]["os.modelarts.node/nodepool"] == "second")
        .map(name)
        .collect();
    let body = json!({"deleteNodeNames": [own[0]]});
    assert_eq!(act(&server, &path, "delete", body.clone()).await.ok(), json!({}));
    let pool = server.user.get(&path).await.ok();
    let counts: Vec<_> = pool["spec"]["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|element| &element["count"])
        .collect();
    assert_eq!(counts, [2, 1]);
    assert_eq!(pool["spec"]["resources"][1]["maxCount"], 1);
    let ready = await_condition(&server.user, &path, "Ready").await;
    assert_eq!(count(&ready, "available"), 3);
    let left = names(&server, &path).await;
    assert!(!left.contains(&own[0]) && left.len() == 3);
    // The order tells of the node.
    let order = ready["metadata"]["labels"]["os.modelarts/order.name"].as_str().unwrap();
    let items = server.user.get(&format!("/v1/{}/orders/{order}", server.project)).await.ok();
    let item = &items["items"][0];
    assert_eq!(
        (item["resourceName"].as_str(), item["action"].as_str(), item["status"].as_str()),
        (Some(own[0].as_str()), Some("deleteNode"), Some("succeed"))
    );
    // It is gone by now.
    act(&server, &path, "delete", body).await.refused_saying(404, GONE, &own[0]);
}

async fn what_batch_delete_refuses(server: TestServer) {
    let path = ready_pool(&server, "pool-keep", resources(CPU, 3)).await;
    let own = names(&server, &path).await;
    act(&server, &path, "delete", json!({"deleteNodeNames": own}))
        .await
        .refused_saying(400, BAD, "at least one node must remain");
    act(&server, &path, "delete", json!({"deleteNodeNames": [own[0], "os-node-none"]}))
        .await
        .refused_saying(404, GONE, "Node os-node-none not found.");
    assert_eq!(names(&server, &path).await.len(), 3, "all or nothing");
    let other = ready_pool(&server, "pool-mine", resources(CPU, 2)).await;
    act(&server, &other, "delete", json!({"deleteNodeNames": [own[0]]}))
        .await
        .refused(404, GONE);
    let parent = path.rsplit('/').next().unwrap();
    let child = sub_pool("pool-child", parent, resources(CPU, 2));
    server.operator.post(&server.pools(), &child).await.ok();
    act(&server, &path, "delete", json!({"deleteNodeNames": [own[0], own[1]]}))
        .await
        .refused(400, BAD);
    act(&server, &path, "delete", json!({"deleteNodeNames": [own[0]]})).await.ok();
    let logical = format!("{}/pool-child-{}", server.pools(), server.project);
    act(&server, &logical, "delete", json!({"deleteNodeNames": [own[1]]}))
        .await
        .refused(400, BAD);
    let pool = await_condition(&server.user, &path, "Ready").await;
    assert_eq!(count(&pool, "available"), 2);
}

async fn locks_keep_nodes_and_tell_of_each(server: TestServer) {
    let path = ready_pool(&server, "pool-lock", resources(CPU, 2)).await;
    let own = names(&server, &path).await;
    let body = json!({"nodeNames": [own[0], "os-node-none"], "actions": ["delete"]});
    let locked = act(&server, &path, "lock", body.clone()).await.ok();
    let results = json!({"nodes": [{"name": own[0], "status": "success"}, {"name": "os-node-none", "status": "failed"}]});
    assert_eq!(locked, results);
    assert_eq!(act(&server, &path, "lock", body.clone()).await.ok(), results, "it is idempotent");
    let shown = server.user.get(&format!("{path}/nodes/{}", own[0])).await.ok();
    assert_eq!(annotation(&shown, "os.modelarts.node/lock.action"), "delete");
    act(&server, &path, "delete", json!({"deleteNodeNames": [own[0]]}))
        .await
        .refused_saying(400, BAD, "locked");
    // Scaling in takes the other one.
    server
        .user
        .patch(&path, &json!({"spec": {"resources": resources(CPU, 1)}}))
        .await
        .ok();
    await_condition(&server.user, &path, "Ready").await;
    assert_eq!(names(&server, &path).await, [own[0].clone()]);
    assert_eq!(act(&server, &path, "unlock", body).await.ok(), results);
    let shown = server.user.get(&format!("{path}/nodes/{}", own[0])).await.ok();
    assert_eq!(annotation(&shown, "os.modelarts.node/lock.action"), "");
    let wrong = json!({"nodeNames": [own[0]], "actions": ["reboot"]});
    act(&server, &path, "lock", wrong).await.refused_saying(400, BAD, "actions");
}

async fn spares_tags_and_drivers_are_set_per_node(server: TestServer) {
    let path = ready_pool(&server, "pool-care", resources(GPU, 2)).await;
    let own = names(&server, &path).await;
    let update = |body: Value| {
        let mut whole = json!({"nodeNames": [own[0], "os-node-none"]});
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        act(&server, &path, "update", whole)
    };
    let answer = update(json!({"action": "openHaRedundant"})).await.ok();
    assert_eq!(answer["successNodeNames"], json!([own[0]]));
    assert_eq!(answer["failNodeNames"], json!(["os-node-none"]));
    assert_eq!(answer["nodes"][0], json!({"name": own[0], "status": "success"}));
    let node = server.user.get(&format!("{path}/nodes/{}", own[0])).await.ok();
    assert_eq!(node["metadata"]["labels"]["os.modelarts.node/ha.redundant.enabled"], "true");
    assert_eq!(node["status"]["taints"][0]["effect"], "NoSchedule");
    update(json!({"action": "closeHaRedundant"})).await.ok();
    update(json!({"action": "createTags", "tags": [{"key": "team", "value": "a"}]}))
        .await
        .ok();
    let node = server.user.get(&format!("{path}/nodes/{}", own[0])).await.ok();
    assert!(node["status"].get("taints").is_none());
    assert_eq!(annotation(&node, "os.modelarts/tms.tags"), r#"[{"key":"team","value":"a"}]"#);
    update(json!({"action": "deleteTags", "tags": [{"key": "team"}]})).await.ok();
    update(json!({"action": "updateDriver", "driver": {"version": "440.33", "updateStrategy": "force"}}))
        .await
        .ok();
    let node = await_node(&server, &path, &own[0], |node| {
        node["status"]["driver"] == json!({"phase": "Running", "version": "440.33"})
    })
    .await;
    assert_eq!(annotation(&node, "os.modelarts/tms.tags"), "");
    let other = server.user.get(&format!("{path}/nodes/{}", own[1])).await.ok();
    assert_ne!(other["status"]["driver"]["version"], "440.33");
    update(json!({"action": "updateDriver", "driver": {"version": "0.0"}}))
        .await
        .refused(400, BAD);
    update(json!({"action": "explode"})).await.refused_saying(400, BAD, "action");
}

async fn nodes_are_bound_to_sub_pools(server: TestServer) {
    let path = ready_pool(&server, "pool-root", resources(CPU, 2)).await;
    let own = names(&server, &path).await;
    let root = path.rsplit('/').next().unwrap();
    let child = server
        .operator
        .post(&server.pools(), &sub_pool("pool-sub", root, resources(CPU, 1)))
        .await
        .ok();
    let quota = name(&child);
    let bind = |node: &str, quota: &str| {
        act(
            &server,
            &path,
            "bind",
            json!({"nodes": [{"name": node, "quotaName": quota}], "drain": true}),
        )
    };
    assert_eq!(bind(&own[0], &quota).await.ok(), json!({}));
    let sub = format!("{}/{quota}", server.pools());
    assert_eq!(names(&server, &sub).await, [own[0].clone()]);
    let node = await_node(&server, &path, &own[0], |node| node["status"]["phase"] == "Available").await;
    assert_eq!(node["metadata"]["labels"]["os.modelarts.node/elastic.quota"], quota.as_str());
    bind(&own[0], &quota)
        .await
        .refused_saying(400, BAD, &format!("the quota of node {} does not change", own[0]));
    bind(&own[1], "pool-nowhere").await.refused_saying(400, BAD, "quotaName");
    bind("os-node-none", &quota).await.refused(404, GONE);
    bind(&own[0], "").await.ok();
    assert!(names(&server, &sub).await.is_empty());
}

async fn drained_nodes_stay_closed_until_they_are_reset(server: TestServer) {
    let path = ready_pool(&server, "pool-drain", resources(CPU, 2)).await;
    let own = names(&server, &path).await;
    assert_eq!(act(&server, &path, "drain", json!({"nodeNames": [own[0]]})).await.ok(), json!({}));
    let drained = |node: &Value| annotation(node, "os.modelarts.node/drain").contains("Drained");
    let node = await_node(&server, &path, &own[0], drained).await;
    assert_eq!(node["status"]["taints"][0]["effect"], "NoSchedule");
    let job = act(&server, &path, "reboot", json!({"nodeNames": [own[0]]})).await.ok();
    await_job(&server, &job["job_id"]).await;
    let node = server.user.get(&format!("{path}/nodes/{}", own[0])).await.ok();
    assert!(node["status"].get("taints").is_none() && annotation(&node, "os.modelarts.node/drain").is_empty());
    let eleven: Vec<String> = (0..11).map(|number| format!("n{number}")).collect();
    act(&server, &path, "drain", json!({"nodeNames": eleven}))
        .await
        .refused_saying(400, BAD, "1 to 10");
    act(&server, &path, "drain", json!({"nodeNames": ["n1"]})).await.refused(404, GONE);
}

async fn a_reboot_is_a_job_that_ends(server: TestServer) {
    let path = ready_pool(&server, "pool-boot", resources(CPU, 2)).await;
    let own = names(&server, &path).await;
    let answer = act(&server, &path, "reboot", json!({"nodeNames": [own[0]]})).await.ok();
    assert_eq!(answer["nodeNames"], json!([own[0]]));
    let job = await_job(&server, &answer["job_id"]).await;
    assert_eq!(
        (job["phase"].as_str(), job["type"].as_str()),
        (Some("Success"), Some("reboot-node"))
    );
    assert!(job["endTimestamp"].as_i64().unwrap() >= job["startTimestamp"].as_i64().unwrap());
    let node = server.user.get(&format!("{path}/nodes/{}", own[0])).await.ok();
    assert_eq!(node["status"]["phase"], "Available");
    let pool = path.rsplit('/').next().unwrap();
    let jobs = |query: &str| {
        let target = format!("/v2/{}/jobs?{query}", server.project);
        let user = server.user.clone();
        async move { user.get(&target).await }
    };
    assert_eq!(
        jobs(&format!("type=reboot-node&name={pool}&resource=pools")).await.ok()["items"][0],
        job
    );
    let nobody = jobs(&format!("name={}", "x".repeat(300))).await.ok();
    assert_eq!(nobody["count"], 0);
    assert_eq!(jobs("type=reset-nodes").await.ok(), json!({"count": 0, "items": []}));
    assert_eq!(jobs("limit=1&offset=1").await.ok(), json!({"count": 1, "items": []}));
    assert_eq!(jobs("since=1&until=2").await.ok()["count"], 0);
    jobs("type=dance").await.refused(400, BAD);
    jobs("limit=-1").await.refused(400, BAD);
    let missing = server.user.get(&format!("/v2/{}/jobs/none", server.project)).await;
    missing.refused_saying(404, GONE, "Job none not found.");
    act(&server, &path, "reboot", json!({"nodeNames": [own[0], "os-node-none"]}))
        .await
        .refused(404, GONE);
}

async fn a_reset_installs_what_was_asked_for(server: TestServer) {
    let path = ready_pool(&server, "pool-reset", resources(GPU, 3)).await;
    let own = names(&server, &path).await;
    let rolling = |strategy: &str, most: u32| json!({"strategy": strategy, "maxUnavailable": most});
    let body = json!({"nodeNames": own, "rollingConfig": rolling("RollingByNumber", 1),
        "nodeConfig": {"os": "Ubuntu 22.04", "runtime": "containerd"}});
    let job = act(&server, &path, "reset", body).await.ok();
    let job = await_job(&server, &job["job_id"]).await;
    assert_eq!(
        (job["phase"].as_str(), job["type"].as_str()),
        (Some("Success"), Some("reset-nodes")),
        "{job:#}"
    );
    for node in nodes(&server, &path).await {
        assert_eq!(node["spec"]["os"]["name"], "Ubuntu 22.04");
        assert_eq!(node["status"]["os"]["name"], "Ubuntu 22.04");
        assert_eq!(
            (&node["status"]["phase"], &node["status"]["driver"]["phase"]),
            (&json!("Available"), &json!("Running"))
        );
        assert_eq!(node["spec"]["extendParams"]["runtime"], "containerd");
    }
    for wrong in [
        json!(null),
        rolling("Sometimes", 1),
        rolling("RollingByPercent", 101),
        rolling("RollingByNumber", 0),
    ] {
        let body = json!({"nodeNames": own, "rollingConfig": wrong});
        act(&server, &path, "reset", body).await.refused_saying(400, BAD, "rollingConfig");
    }
}

async fn nodes_get_the_image_of_their_element(server: TestServer) {
    let wanted = json!([{"flavor": CPU, "count": 1, "os": {"name": "Ubuntu 22.04"}}, {"flavor": CPU, "count": 1, "nodePool": "usual"}]);
    let path = ready_pool(&server, "pool-image", wanted).await;
    let system = async |pool: &str| {
        let list = server.user.get(&format!("{path}/nodepools/{pool}/nodes")).await.ok();
        let node = &list["items"][0];
        (node["spec"]["os"]["name"].clone(), node["status"]["os"]["name"].clone())
    };
    assert_eq!(
        system(&format!("{CPU}-default")).await,
        (json!("Ubuntu 22.04"), json!("Ubuntu 22.04"))
    );
    assert_eq!(system("usual").await, (Value::Null, json!("EulerOS 2.10")));
}

async fn a_failed_reboot_is_a_failed_job(server: TestServer) {
    let path = ready_pool(&server, "pool-dead", resources(CPU, 2)).await;
    let all = nodes(&server, &path).await;
    let machine = all[0]["metadata"]["labels"]["os.modelarts.node/underlying.instance.id"]
        .as_str()
        .unwrap();
    let fault = fleet::sim::MachineFault::NeverBoots;
    server.fleet.break_machine(machine, fault).await.unwrap().unwrap();
    let job = act(&server, &path, "reboot", json!({"nodeNames": [name(&all[0])]})).await.ok();
    let job = await_job(&server, &job["job_id"]).await;
    assert_eq!(job["phase"], "Failed");
    assert!(job["message"].as_str().unwrap().contains("does not start"), "{job:#}");
    await_node(&server, &path, &name(&all[0]), |node| node["status"]["phase"] == "Abnormal").await;
}

pub fn id(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

async fn a_node_has_an_entity_tag_of_its_own(server: TestServer) {
    let path = ready_pool(&server, "pool-tag", resources(CPU, 1)).await;
    let node = format!("{path}/nodes/{}", names(&server, &path).await[0]);
    let tag = server.user.get(&node).await.header("etag").to_owned();
    let pool_tag = server.user.get(&path).await.header("etag").to_owned();
    assert_ne!(tag, pool_tag);
    server.user.with_header("If-Match", &tag).get(&node).await.ok();
    let other = server.user.with_header("If-Match", &pool_tag).get(&node).await;
    other.refused(412, "ModelArts.50004120");
}

async fn nodes_of_a_shared_pool_are_shown_to_whom_they_are_bound(server: TestServer) {
    let path = ready_pool(&server, "pool-host", resources(CPU, 2)).await;
    let share = json!({"metadata": {"labels": {"os.modelarts/sharing": "shared"}}});
    server.user.patch(&path, &share).await.ok();
    let home = server.operator.get(&format!("/admin/v1/projects/{}", server.project)).await.ok();
    let project = json!({"domain": home["domain"], "name": "guest"});
    let project = server.operator.post("/admin/v1/projects", &project).await.ok();
    let project = project["id"].as_str().unwrap();
    let guest = crate::operator_accounts::somebody(&server, "guest", project, "operator").await;
    let pools = format!("/v2/{project}/pools");
    let child = guest.post(&pools, &sub_pool("pool-guest", id(&path), resources(CPU, 1))).await.ok();
    let child = name(&child);
    let own = names(&server, &path).await;
    let bind = json!({"nodes": [{"name": own[0], "quotaName": child}]});
    act(&server, &path, "bind", bind).await.ok();
    let listed = guest.get(&format!("{pools}/{child}/nodes")).await.ok();
    assert_eq!(name(&listed["items"][0]), own[0]);
    let shown = guest.get(&format!("{pools}/{child}/nodes/{}", own[0])).await.ok();
    assert_eq!(shown, listed["items"][0]);
    guest.get(&format!("{pools}/{child}/nodes/{}", own[1])).await.refused(404, GONE);
    // Whom a node is bound to gives it back.
    let body = json!({"nodes": [{"name": own[0]}]});
    guest.post(&format!("{pools}/{child}/nodes/batch-bind"), &body).await.ok();
    let listed = guest.get(&format!("{pools}/{child}/nodes")).await.ok();
    assert_eq!(listed["items"], json!([]));
}

async fn what_an_update_does_not_need_has_its_type_all_the_same(server: TestServer) {
    let path = ready_pool(&server, "pool-types", resources(CPU, 1)).await;
    let own = names(&server, &path).await;
    for (field, value) in [
        ("tags", json!(5)),
        ("tags", json!([5])),
        ("tags", json!([{"key": 5}])),
        ("driver", json!([])),
        ("driver", json!({"version": 5})),
        ("haRedundantEffect", json!("x")),
    ] {
        let mut body = json!({"nodeNames": own, "action": "closeHaRedundant"});
        body[field] = value;
        act(&server, &path, "update", body).await.refused_saying(400, BAD, field);
    }
}

async fn names_that_are_wrong_are_refused_everywhere(server: TestServer) {
    let path = ready_pool(&server, "pool-names", resources(CPU, 1)).await;
    let many: Vec<String> = (0..501).map(|number| format!("n{number}")).collect();
    for (action, field) in [
        ("delete", "deleteNodeNames"),
        ("lock", "nodeNames"),
        ("unlock", "nodeNames"),
        ("update", "nodeNames"),
        ("drain", "nodeNames"),
        ("migrate", "migrateNodeNames"),
        ("reboot", "nodeNames"),
        ("reset", "nodeNames"),
    ] {
        for wrong in [json!(null), json!([]), json!(["a", "a"]), json!(many), json!("a"), json!([7])] {
            let mut body = json!({"actions": ["delete"], "action": "closeHaRedundant", "fromClusterName": id(&path), "toClusterName": "x",
                "resourceSpec": {"flavor": CPU}, "rollingConfig": {"strategy": "RollingByNumber", "maxUnavailable": 1}});
            body[field] = wrong;
            act(&server, &path, action, body).await.refused_saying(400, BAD, field);
        }
    }
    act(&server, &path, "bind", json!({"nodes": []}))
        .await
        .refused_saying(400, BAD, "nodes");
    act(&server, &path, "reboot", json!([])).await.refused(400, BAD);
    let none = format!("{}/pool-none-{}", server.pools(), server.project);
    act(&server, &none, "reboot", json!([])).await.refused(404, "ModelArts.50015001");
}

async fn restricted_and_unfinished_pools_keep_their_nodes(server: TestServer) {
    let path = ready_pool(&server, "pool-held", resources(CPU, 2)).await;
    let own = names(&server, &path).await;
    let restrict = |bits: u32| {
        let target = server.admin(&format!("pools/{}/control-mode", id(&path)));
        let operator = server.operator.clone();
        async move { operator.put(&target, &json!({"controlMode": bits})).await.ok() }
    };
    restrict(2).await;
    let delete = json!({"deleteNodeNames": [own[0]]});
    act(&server, &path, "delete", delete.clone())
        .await
        .refused_saying(400, BAD, "restricted");
    act(&server, &path, "reboot", json!({"nodeNames": [own[0]]})).await.ok();
    restrict(8).await;
    act(&server, &path, "drain", json!({"nodeNames": [own[0]]}))
        .await
        .refused_saying(400, BAD, "restricted");
    act(&server, &path, "lock", json!({"nodeNames": [own[0]], "actions": ["delete"]}))
        .await
        .ok();
    act(&server, &path, "unlock", json!({"nodeNames": [own[0]], "actions": ["delete"]}))
        .await
        .ok();
    restrict(0).await;
    let dry = server.user.post(&format!("{path}/nodes/batch-delete?dryRun=true"), &delete).await;
    assert_eq!(dry.ok(), json!({}));
    assert_eq!(names(&server, &path).await.len(), 2);
    server.user.delete(&path).await.ok();
    let late = act(&server, &path, "delete", delete).await;
    assert!([400, 404].contains(&late.status), "{}", late.text);
    server.clock.advance(Duration::from_secs(1));
}

async fn the_settings_of_nodes_are_shown(server: TestServer) {
    let path = ready_pool(&server, "pool-conf", resources(CPU, 1)).await;
    let config = server.user.get(&format!("{path}/node-config")).await.ok();
    assert_eq!(
        config,
        json!({"apiVersion": "v2", "kind": "NodeConfig", "metadata": {"name": "node-config"},
            "spec": {"configs": {"cpu_manager": {"mode": "none"}, "drop_cache": {"mode": "disable"}, "transparent_hugepage": {"mode": "madvise"}}},
            "status": {"phase": "Running"}})
    );
    let template = server.user.get(&format!("{path}/node-config-template")).await.ok();
    assert_eq!(template["kind"], "NodeConfigTemplate");
    assert_eq!(template["spec"]["templates"][0]["configs"], config["spec"]["configs"]);
    let missing = server.user.get(&format!("/v1/{}/nodeconfigtemplates/none", server.project)).await;
    missing.refused_saying(404, GONE, "NodeConfigTemplate none not found.");
}
