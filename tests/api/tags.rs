//! Tags of pools and nodes.

use crate::bodies::{CPU, CPU_SMALL, await_gone, name, pool, ready_pool, resources};
use serde_json::{Value, json};
use testkit::TestServer;

crate::on_both_stores!(
    tags_of_a_pool_are_set_and_kept_in_step_with_the_annotation,
    tags_of_all_pools_are_united,
    pools_are_found_by_tags_and_names,
    tags_of_nodes_are_set,
    tags_and_labels_of_an_element_go_onto_its_nodes,
    wrong_tags_are_refused,
    tags_in_closed_workspaces_are_left_out,
);

fn tags(server: &TestServer, pool: &str) -> String {
    format!("/v1/{}/pools/{pool}/tags", server.project)
}

async fn tagged_pool(server: &TestServer, display: &str, tags: &Value) -> String {
    let mut body = pool(server, display, resources(CPU_SMALL, 1));
    body["metadata"]["annotations"] = json!({"os.modelarts/tms.tags": tags.to_string()});
    name(&server.user.post(&server.pools(), &body).await.ok())
}

fn annotation(object: &Value) -> Value {
    let text = object["metadata"]["annotations"]["os.modelarts/tms.tags"].as_str();
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

/// Key and value of the tags of an answer.
fn pairs(answer: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let tags = answer["tags"].as_array().unwrap().iter();
    tags.map(|tag| {
        assert_eq!(tag["values"], json!([tag["value"]]));
        (text(&tag["key"]), text(&tag["value"]))
    })
    .collect()
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

async fn tags_of_a_pool_are_set_and_kept_in_step_with_the_annotation(server: TestServer) {
    let pool = tagged_pool(&server, "pool-one", &json!([{"key": "dev", "value": "dev1"}])).await;
    let (tags, shown) = (tags(&server, &pool), format!("{}/{pool}", server.pools()));
    let before = server.user.get(&shown).await.ok();
    assert_eq!(
        server.user.get(&tags).await.ok(),
        json!({"tags": [{"key": "dev", "value": "dev1", "values": ["dev1"]}]})
    );
    let act = async |action: &str, tags_sent: Value| {
        let body = json!({"action": action, "tags": tags_sent});
        let answer = server.user.post(&tags, &body).await.ok();
        let pool = server.user.get(&shown).await.ok();
        let plain: Vec<_> = pairs(&answer)
            .into_iter()
            .map(|(key, value)| json!({"key": key, "value": value}))
            .collect();
        assert_eq!(annotation(&pool), if plain.is_empty() { Value::Null } else { json!(plain) });
        pairs(&answer)
    };
    let added = act("create", json!([{"key": "dev", "value": "dev2"}, {"key": "team", "value": "a"}])).await;
    assert_eq!(added, owned(&[("dev", "dev2"), ("team", "a")]));
    let kept = act("delete", json!([{"key": "dev", "value": "dev1"}])).await;
    assert_eq!(kept, added, "the value does not match");
    assert_eq!(
        act("delete", json!([{"key": "dev", "value": "dev2"}])).await,
        owned(&[("team", "a")])
    );
    assert_eq!(act("reset", json!([{"key": "x", "value": ""}])).await, owned(&[("x", "")]));
    assert_eq!(act("reset", json!([])).await, []);
    let both = json!({"tags": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}, {"key": "c", "value": "3"}]});
    let made = server.user.post(&format!("{tags}/create"), &both).await.ok();
    assert_eq!(pairs(&made), owned(&[("a", "1"), ("b", "2"), ("c", "3")]));
    let body = json!({"tags": [{"key": "a"}, {"key": "b", "value": "9"}, {"key": "c", "value": "3"}]});
    let delete = format!("{tags}/delete");
    let gone = server
        .user
        .send(reqwest::Method::DELETE, &delete, "application/json", body.to_string().into_bytes())
        .await
        .ok();
    assert_eq!(pairs(&gone), owned(&[("b", "2")]));
    let after = server.user.get(&shown).await.ok();
    let order = |pool: &Value| pool["metadata"]["labels"]["os.modelarts/order.name"].clone();
    assert_eq!(order(&before), order(&after), "tags make no orders");
    // Conditions hold for tags too.
    let stale = server.user.with_header("if-match", "\"1\"");
    stale
        .post(&format!("{tags}/create"), &both)
        .await
        .refused(412, "ModelArts.50004120");
    let dry = server.user.post(&format!("{tags}/create?dryRun=true"), &both).await.ok();
    assert_eq!(pairs(&dry).len(), 3);
    assert_eq!(pairs(&server.user.get(&tags).await.ok()).len(), 1);
}

async fn tags_of_all_pools_are_united(server: TestServer) {
    tagged_pool(
        &server,
        "pool-one",
        &json!([{"key": "model_version", "value": "0.2"}, {"key": "a", "value": "1"}]),
    )
    .await;
    tagged_pool(&server, "pool-two", &json!([{"key": "model_version", "value": "0.1"}])).await;
    let all = format!("/v1/{}/pools/tags", server.project);
    assert_eq!(
        server.user.get(&all).await.ok(),
        json!({"tags": [{"key": "a", "values": ["1"]}, {"key": "model_version", "values": ["0.1", "0.2"]}]})
    );
    let page = server.user.get(&format!("{all}?limit=1&offset=1")).await.ok();
    assert_eq!(page, json!({"tags": [{"key": "model_version", "values": ["0.1", "0.2"]}]}));
    for wrong in ["limit=0", "limit=x", "offset=-1"] {
        server.user.get(&format!("{all}?{wrong}")).await.refused(400, "ModelArts.50004000");
    }
}

async fn pools_are_found_by_tags_and_names(server: TestServer) {
    let one = tagged_pool(
        &server,
        "pool-one",
        &json!([{"key": "env", "value": "prod-eu"}, {"key": "team", "value": "a"}]),
    )
    .await;
    let two = tagged_pool(&server, "pool-two", &json!([{"key": "env", "value": "prod-us"}])).await;
    let filter = format!("/v1/{}/pools/resource-instances/filter", server.project);
    let alias = format!("/v1/{}/modelarts-pool/resource-instances/filter", server.project);
    let find = async |body: Value| {
        let found = server.user.post(&filter, &body).await.ok();
        assert_eq!(server.user.post(&alias, &body).await.ok(), found);
        let ids = found["resources"].as_array().unwrap().iter();
        let mut ids: Vec<String> = ids.map(|it| it["resource_id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        (found["total_count"].as_u64().unwrap(), ids)
    };
    let (both, first) = (vec![one.clone(), two.clone()], vec![one.clone()]);
    assert_eq!(find(json!({})).await, (2, both.clone()));
    assert_eq!(find(json!({"tags": [{"key": "env", "values": []}]})).await, (2, both.clone()));
    assert_eq!(
        find(json!({"tags": [{"key": "env", "values": ["*-eu"]}]})).await,
        (1, first.clone())
    );
    assert_eq!(
        find(json!({"tags": [{"key": "env", "values": ["x", "prod-us"]}]})).await,
        (1, vec![two.clone()])
    );
    let and = json!({"tags": [{"key": "env", "values": ["prod-us"]}, {"key": "team", "values": ["a"]}]});
    assert_eq!(find(and).await, (0, Vec::new()));
    let named = json!({"matches": [{"key": "resource_name", "value": "OL-ON"}]});
    assert_eq!(find(named).await, (1, first));
    assert_eq!(find(json!({"limit": 1})).await.0, 2);
    assert_eq!(find(json!({"limit": 1})).await.1.len(), 1);
    assert_eq!(find(json!({"limit": 1001})).await.1.len(), 2, "as the maximum");
    let clamped = server.user.post(&format!("{filter}?limit=1001"), &json!({})).await.ok();
    assert_eq!(clamped["resources"].as_array().unwrap().len(), 2);
    let empty = server
        .user
        .send(
            reqwest::Method::POST,
            &format!("{filter}?limit=1&offset=1"),
            "application/json",
            Vec::new(),
        )
        .await
        .ok();
    assert_eq!(empty["resources"].as_array().unwrap().len(), 1);
    assert_eq!(empty["resources"][0]["resource_detail"], Value::Null);
    for wrong in [
        json!([]),
        json!({"limit": 0}),
        json!({"tags": {}}),
        json!({"matches": [{"key": "name", "value": "x"}]}),
    ] {
        server.user.post(&filter, &wrong).await.refused(400, "ModelArts.50004000");
    }
}

async fn tags_of_nodes_are_set(server: TestServer) {
    let elements = json!([{"flavor": CPU, "count": 2, "tags": [{"key": "rack", "value": "7"}]}]);
    let path = ready_pool(&server, "pool-one", elements).await;
    let nodes = server.user.get(&format!("{path}/nodes")).await.ok();
    let node = name(&nodes["items"][0]);
    let tags = format!("/v1/{}/nodes/{node}/tags", server.project);
    assert_eq!(pairs(&server.user.get(&tags).await.ok()), owned(&[("rack", "7")]));
    let body = json!({"action": "create", "tags": [{"key": "owner", "value": "ada"}]});
    let made = server.user.post(&tags, &body).await.ok();
    assert_eq!(pairs(&made), owned(&[("rack", "7"), ("owner", "ada")]));
    let shown = server.user.get(&format!("{path}/nodes/{node}")).await.ok();
    assert_eq!(
        annotation(&shown),
        json!([{"key": "rack", "value": "7"}, {"key": "owner", "value": "ada"}])
    );
    let all = format!("/v1/{}/nodes/tags", server.project);
    let union = json!({"tags": [{"key": "owner", "values": ["ada"]}, {"key": "rack", "values": ["7"]}]});
    assert_eq!(server.user.get(&all).await.ok(), union);
    let pool = path.rsplit('/').next().unwrap();
    assert_eq!(server.user.get(&format!("{all}?pool={pool}")).await.ok(), union);
    server
        .user
        .get(&format!("{all}?pool=none"))
        .await
        .refused(404, "ModelArts.50015001");
    let cleared = server.user.post(&tags, &json!({"action": "reset", "tags": []})).await.ok();
    assert_eq!(cleared, json!({"tags": []}));
    let none = format!("/v1/{}/nodes/none/tags", server.project);
    server.user.get(&none).await.refused(404, "ModelArts.50005101");
    server.user.post(&none, &json!([])).await.refused(404, "ModelArts.50005101");
    let many: Vec<_> = (0..21).map(|at| json!({"key": at.to_string(), "value": ""})).collect();
    server
        .user
        .post(&tags, &json!({"action": "reset", "tags": many}))
        .await
        .refused(400, "ModelArts.50004000");
}

async fn tags_and_labels_of_an_element_go_onto_its_nodes(server: TestServer) {
    let element = |tags: &Value, labels: &Value, params: &Value| json!({"spec": {"resources": [{"flavor": CPU, "count": 2, "tags": tags, "labels": labels, "extendParams": params}]}});
    let made = json!([{"flavor": CPU, "count": 2, "tags": [{"key": "rack", "value": "7"}], "labels": {"disk": "ssd"}}]);
    let path = ready_pool(&server, "pool-one", made).await;
    let nodes = async || {
        let nodes = server.user.get(&format!("{path}/nodes")).await.ok();
        let items = nodes["items"].as_array().unwrap().iter();
        items
            .map(|node| (annotation(node), node["metadata"]["labels"].clone()))
            .collect::<Vec<_>>()
    };
    let node = name(&server.user.get(&format!("{path}/nodes")).await.ok()["items"][0]);
    let own = json!({"action": "create", "tags": [{"key": "owner", "value": "ada"}]});
    let tags = format!("/v1/{}/nodes/{node}/tags", server.project);
    server.user.post(&tags, &own).await.ok();
    let change = element(&json!([{"key": "cost", "value": "1"}]), &json!({"disk": "hdd"}), &json!({}));
    server.user.patch(&path, &change).await.ok();
    let seen = nodes().await;
    assert_eq!(seen[0].0, json!([{"key": "owner", "value": "ada"}, {"key": "cost", "value": "1"}]));
    assert_eq!(seen[1].0, json!([{"key": "cost", "value": "1"}]));
    assert!(seen.iter().all(|(_, labels)| labels["disk"] == "hdd"), "{seen:?}");
    // Only new nodes get what existing ones are to ignore.
    let ignore = json!({"tagPolicyOnExistingNodes": "ignore", "labelPolicyOnExistingNodes": "ignore"});
    let change = element(&json!([{"key": "cost", "value": "2"}]), &json!({"disk": "tape"}), &ignore);
    server.user.patch(&path, &change).await.ok();
    assert_eq!(nodes().await, seen);
    let many: Vec<_> = (0..20).map(|at| json!({"key": at.to_string(), "value": ""})).collect();
    let change = element(&json!(many), &json!({}), &json!({"tagPolicyOnExistingNodes": "refresh"}));
    server
        .user
        .patch(&path, &change)
        .await
        .refused_saying(400, "ModelArts.50004000", "spec.resources[0].tags: node");
    assert_eq!(nodes().await, seen);
}

async fn wrong_tags_are_refused(server: TestServer) {
    let pool = tagged_pool(&server, "pool-one", &json!([{"key": "dev", "value": "dev1"}])).await;
    let path = tags(&server, &pool);
    let many: Vec<_> = (0..20).map(|at| json!({"key": at.to_string(), "value": ""})).collect();
    for (body, told) in [
        (json!({}), "action is required"),
        (
            json!({"action": "drop", "tags": [{"key": "a", "value": ""}]}),
            "action: must be one of",
        ),
        (json!({"action": "create", "tags": []}), "tags: must not be empty"),
        (json!({"action": "create", "tags": [{"value": ""}]}), "tags[0].key is required"),
        (
            json!({"action": "create", "tags": [{"key": "_sys_a", "value": ""}]}),
            "tags[0].key: must not start with _sys_",
        ),
        (
            json!({"action": "create", "tags": [{"key": "a", "value": "1"}, {"key": "b", "value": " x"}]}),
            "tags[1].value: must not begin or end with a space",
        ),
        (json!({"action": "create", "tags": many}), "at most 20 tags"),
    ] {
        let answer = server.user.post(&path, &body).await;
        answer.refused_saying(400, "ModelArts.50004000", told);
    }
    let none = tags(&server, "none");
    server.user.get(&none).await.refused(404, "ModelArts.50015001");
    server.user.post(&none, &json!([])).await.refused(404, "ModelArts.50015001");
    let create = format!("{none}/create");
    server.user.post(&create, &json!({})).await.refused(404, "ModelArts.50015001");
    server
        .user
        .delete(&format!("{none}/delete"))
        .await
        .refused(404, "ModelArts.50015001");
    server
        .user
        .delete(&format!("{path}/delete"))
        .await
        .refused(400, "ModelArts.50004000");
    let shown = format!("{}/{pool}", server.pools());
    server.user.delete(&shown).await.ok();
    let body = json!({"action": "reset", "tags": []});
    let late = server.user.post(&path, &body).await;
    assert!(late.status == 400 || late.status == 404, "{}", late.text);
    await_gone(&server.user, &shown).await;
    server.user.get(&path).await.refused(404, "ModelArts.50015001");
}

async fn tags_in_closed_workspaces_are_left_out(server: TestServer) {
    let workspaces = format!("/v1/{}/workspaces", server.project);
    let body = json!({"name": "closed", "auth_type": "PRIVATE"});
    let workspace = server.operator.post(&workspaces, &body).await.ok()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut body = pool(&server, "pool-hidden", resources(CPU_SMALL, 1));
    body["metadata"]["labels"]["os.modelarts/workspace.id"] = json!(workspace);
    body["metadata"]["annotations"] = json!({"os.modelarts/tms.tags": "[{\"key\":\"secret\",\"value\":\"x\"}]"});
    let hidden = name(&server.operator.post(&server.pools(), &body).await.ok());
    let all = format!("/v1/{}/pools/tags", server.project);
    assert_eq!(server.user.get(&all).await.ok(), json!({"tags": []}));
    assert_eq!(server.operator.get(&all).await.ok()["tags"][0]["key"], "secret");
    let filter = format!("/v1/{}/pools/resource-instances/filter", server.project);
    assert_eq!(server.user.post(&filter, &json!({})).await.ok()["total_count"], 0);
    let path = tags(&server, &hidden);
    server.user.get(&path).await.refused(403, "ModelArts.0112");
    let body = json!({"action": "reset", "tags": []});
    server.user.post(&path, &body).await.refused(403, "ModelArts.0112");
}
