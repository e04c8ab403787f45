//! Operators maintain flavors, plug-in templates and the configuration.

use crate::bodies::{CPU, await_gone, pool, ready_pool, resources};
use serde_json::{Value, json};
use testkit::TestServer;

crate::on_both_stores!(
    flavors_come_and_go,
    a_flavor_in_use_stays_what_it_is,
    a_new_flavor_is_on_offer_at_once,
    virtual_flavors_are_slices_of_physical_ones,
    templates_come_and_go,
    versions_of_a_template_come_and_go,
    templates_that_are_needed_stay,
    the_configuration_is_shown_and_changed,
    catalogue_changes_are_tried_bound_and_repeated,
);

const FLAVORS: &str = "/admin/v1/flavors";
const TEMPLATES: &str = "/admin/v1/plugin-templates";
const CONFIG: &str = "/admin/v1/os-config";

fn flavor(name: &str) -> Value {
    json!({"name": name, "cpuArch": "x86", "cpu": 8, "memory": "32Gi", "zones": ["az-1"]})
}

async fn flavors_come_and_go(server: TestServer) {
    let operator = &server.operator;
    let made = operator.post(FLAVORS, &flavor("vm.new")).await;
    let tag = made.header("etag").to_owned();
    let made = made.ok();
    assert_eq!(made["jobTypes"], json!(["Train", "Infer", "Notebook"]));
    let path = format!("{FLAVORS}/vm.new");
    let shown = operator.get(&path).await;
    assert_eq!((shown.header("etag"), &shown.body), (tag.as_str(), &made));
    let listed = operator.get(FLAVORS).await.ok();
    assert!(listed["flavors"].as_array().unwrap().contains(&made));
    operator.post(FLAVORS, &flavor("vm.new")).await.refused(409, "ModelArts.50005100");
    let wrong = json!({"name": "x", "cpuArch": "riscv", "memory": "much", "size": 1, "gpu": {"type": "t4", "size": 1}});
    let answer = operator.post(FLAVORS, &wrong).await.refused(400, "ModelArts.50004000");
    let fields: Vec<_> = answer.body["details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|detail| detail["field"].clone())
        .collect();
    for field in ["cpuArch", "cpu", "memory", "size", "gpu.memory"] {
        assert!(fields.contains(&json!(field)), "{field} is missing in {fields:?}");
    }
    let patched = operator
        .patch(&path, &json!({"cpu": 16, "labels": {"tier": "gold"}, "zones": ["az-1", "az-2"]}))
        .await
        .ok();
    assert_eq!(
        (&patched["cpu"], &patched["memory"], &patched["labels"]),
        (&json!(16), &json!("32Gi"), &json!({"tier": "gold"}))
    );
    operator
        .patch(&path, &json!({"name": "other"}))
        .await
        .refused_saying(400, "ModelArts.50004000", "name cannot be modified");
    operator
        .patch(&path, &json!({"zones": ["az-1", "az-1"]}))
        .await
        .refused_saying(400, "ModelArts.50004000", "zones");
    operator.delete(&path).await.ok();
    for answer in [
        operator.get(&path).await,
        operator.delete(&path).await,
        operator.patch(&path, &json!([])).await,
    ] {
        answer.refused_saying(404, "ModelArts.50005101", "vm.new");
    }
}

async fn a_flavor_in_use_stays_what_it_is(server: TestServer) {
    let operator = &server.operator;
    let pool = ready_pool(&server, "pool-user", resources(CPU, 1)).await;
    let path = format!("{FLAVORS}/{CPU}");
    let named = format!("used by pool pool-user-{}", server.project);
    operator.delete(&path).await.refused_saying(400, "ModelArts.50004000", &named);
    operator
        .patch(&path, &json!({"cpuArch": "arm64"}))
        .await
        .refused_saying(400, "ModelArts.50004000", &named);
    operator.patch(&path, &json!({"labels": {"tier": "gold"}})).await.ok();
    server.user.delete(&pool).await.ok();
    await_gone(&server.user, &pool).await;
    operator.delete(&path).await.ok();
}

async fn a_new_flavor_is_on_offer_at_once(server: TestServer) {
    server.operator.post(FLAVORS, &flavor("vm.new")).await.ok();
    let flavors = server.user.get(&format!("/v1/{}/resourceflavors", server.project)).await.ok();
    let found = flavors["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["metadata"]["name"] == "vm.new");
    assert_eq!(
        found.unwrap()["status"]["phase"],
        json!({"az-1": "soldout"}),
        "there are no machines of it"
    );
    server.operator.delete(&format!("{FLAVORS}/vm.new")).await.ok();
    server
        .user
        .post(&server.pools(), &pool(&server, "pool-late", resources("vm.new", 1)))
        .await
        .refused_saying(400, "ModelArts.50004000", "unknown flavor");
}

async fn virtual_flavors_are_slices_of_physical_ones(server: TestServer) {
    let operator = &server.operator;
    operator.post(FLAVORS, &flavor("vm.base")).await.ok();
    let mut slice = flavor("vm.slice");
    slice["virtual"] = json!({"base": "vm.base", "template": "half"});
    let made = operator.post(FLAVORS, &slice).await.ok();
    assert_eq!(
        made["virtual"],
        json!({"base": "vm.base", "template": "half", "visibility": "invisible"})
    );
    operator
        .delete(&format!("{FLAVORS}/vm.base"))
        .await
        .refused_saying(400, "ModelArts.50004000", "virtual flavor vm.slice");
    let mut twice = flavor("vm.twice");
    twice["virtual"] = json!({"base": "vm.slice", "template": "half"});
    operator
        .post(FLAVORS, &twice)
        .await
        .refused_saying(400, "ModelArts.50004000", "virtual.base: must be a physical flavor");
}

fn template(name: &str) -> Value {
    json!({
        "name": name, "type": "helm", "description": "of a test",
        "versions": [{"version": "1.0", "inputs": {"parameters": {"custom": {"a": 1}}}}]
    })
}

async fn templates_come_and_go(server: TestServer) {
    let operator = &server.operator;
    let made = operator.post(TEMPLATES, &template("collector")).await.ok();
    assert_eq!((&made["displayName"], &made["optional"]), (&json!("collector"), &json!(true)));
    assert_eq!(made["versions"][0]["inputs"], json!({"parameters": {"custom": {"a": 1}}}));
    let path = format!("{TEMPLATES}/collector");
    assert_eq!(operator.get(&path).await.ok(), made);
    assert!(
        operator.get(TEMPLATES).await.ok()["pluginTemplates"]
            .as_array()
            .unwrap()
            .contains(&made)
    );
    operator
        .post(TEMPLATES, &template("collector"))
        .await
        .refused(409, "ModelArts.50005100");
    for (body, says) in [
        (json!({"type": "helm", "versions": [{"version": "1"}]}), "name is required"),
        (json!({"name": "x", "type": "helm", "versions": []}), "versions"),
        (
            json!({"name": "x", "type": "helm", "versions": [{"version": "1"}, {"version": "1"}]}),
            "versions[1].version",
        ),
    ] {
        operator
            .post(TEMPLATES, &body)
            .await
            .refused_saying(400, "ModelArts.50004000", says);
    }
    let patched = operator.patch(&path, &json!({"description": null, "optional": false})).await.ok();
    assert_eq!((&patched["description"], &patched["optional"]), (&json!(""), &json!(false)));
    assert_eq!(patched["versions"], made["versions"]);
    operator.delete(&path).await.ok();
    for answer in [
        operator.get(&path).await,
        operator.delete(&path).await,
        operator.patch(&path, &json!([])).await,
    ] {
        answer.refused(404, "ModelArts.50005101");
    }
}

async fn versions_of_a_template_come_and_go(server: TestServer) {
    let operator = &server.operator;
    operator.post(TEMPLATES, &template("collector")).await.ok();
    let versions = format!("{TEMPLATES}/collector/versions");
    let grown = operator.post(&versions, &json!({"version": "2.0"})).await.ok();
    assert_eq!(
        (&grown["versions"][0]["version"], &grown["versions"][1]["version"]),
        (&json!("2.0"), &json!("1.0"))
    );
    assert_eq!(operator.get(&versions).await.ok()["versions"], grown["versions"]);
    operator
        .post(&versions, &json!({"version": "2.0"}))
        .await
        .refused_saying(409, "ModelArts.50005100", "Version 2.0");
    operator
        .post(&versions, &json!({}))
        .await
        .refused_saying(400, "ModelArts.50004000", "version is required");
    operator.delete(&format!("{versions}/3.0")).await.refused(404, "ModelArts.50005101");
    operator.delete(&format!("{versions}/1.0")).await.ok();
    operator
        .delete(&format!("{versions}/2.0"))
        .await
        .refused_saying(400, "ModelArts.50004000", "the only one");
    operator
        .post(&format!("{TEMPLATES}/nothing/versions"), &json!([]))
        .await
        .refused(404, "ModelArts.50005101");
}

async fn templates_that_are_needed_stay(server: TestServer) {
    let operator = &server.operator;
    operator.post(TEMPLATES, &template("collector")).await.ok();
    let needs = json!({"scopes": {"Infer": {"plugins": ["collector"]}}});
    operator.patch(CONFIG, &needs).await.ok();
    operator
        .delete(&format!("{TEMPLATES}/collector"))
        .await
        .refused_saying(400, "ModelArts.50004000", "job type Infer");
    operator.patch(CONFIG, &json!({"scopes": {"Infer": {"plugins": []}}})).await.ok();
    operator.delete(&format!("{TEMPLATES}/collector")).await.ok();
}

async fn the_configuration_is_shown_and_changed(server: TestServer) {
    let operator = &server.operator;
    let before = operator.get(CONFIG).await.ok();
    let change = json!({"poolQuota": 1, "licenseScopeType": "single"});
    let after = operator.patch(CONFIG, &change).await.ok();
    assert_eq!((&after["poolQuota"], &after["networkCidrs"]), (&json!(1), &before["networkCidrs"]));
    assert_eq!(operator.get(CONFIG).await.ok(), after);
    let seen = server.user.get(&format!("/v1/{}/os-user-config", server.project)).await.ok();
    assert!(seen.to_string().contains("\"poolQuota\":1"), "{seen}");
    let mut wanted = pool(&server, "pool-both", resources(CPU, 1));
    wanted["spec"]["scope"] = json!(["Train", "Infer"]);
    assert_eq!(server.user.post(&server.pools(), &wanted).await.status, 400);
    server
        .user
        .post(&server.pools(), &pool(&server, "pool-one", resources(CPU, 1)))
        .await
        .ok();
    server
        .user
        .post(&server.pools(), &pool(&server, "pool-two", resources(CPU, 1)))
        .await
        .refused(400, "ModelArts.0118");
    for (body, says) in [
        (json!({"networkCidrs": ["10.0.0.0"]}), "networkCidrs[0]"),
        (json!({"maxPoolFlavors": 11}), "maxPoolFlavors"),
        (json!({"clusterFlavorSpecs": ["huge"]}), "clusterFlavorSpecs[0]"),
        (
            json!({"scopes": {"Train": {"plugins": ["nothing"]}}}),
            "plug-in template nothing not found",
        ),
        (json!({"scopes": {"Play": {}}}), "scopes.Play: unknown member"),
        (json!({"colour": "red"}), "colour: unknown member"),
        (json!([]), "the body must be an object"),
    ] {
        operator.patch(CONFIG, &body).await.refused_saying(400, "ModelArts.50004000", says);
    }
    assert_eq!(operator.get(CONFIG).await.ok(), after);
}

async fn catalogue_changes_are_tried_bound_and_repeated(server: TestServer) {
    let operator = &server.operator;
    operator.post(&format!("{FLAVORS}?dryRun=true"), &flavor("vm.new")).await.ok();
    operator.get(&format!("{FLAVORS}/vm.new")).await.refused(404, "ModelArts.50005101");
    let keyed = operator.with_header("idempotency-key", "new-1");
    let first = keyed.post(FLAVORS, &flavor("vm.new")).await.ok();
    assert_eq!(keyed.post(FLAVORS, &flavor("vm.new")).await.ok(), first);
    operator.post(TEMPLATES, &template("collector")).await.ok();
    for (path, patch) in [
        (format!("{FLAVORS}/vm.new"), json!({"cpu": 16})),
        (format!("{TEMPLATES}/collector"), json!({"description": "changed"})),
        (CONFIG.to_owned(), json!({"region": "north"})),
    ] {
        let before = operator.get(&path).await;
        let bound = operator.with_header("if-match", before.header("etag"));
        assert_ne!(operator.patch(&format!("{path}?dryRun=true"), &patch).await.ok(), before.body);
        assert_eq!(operator.get(&path).await.ok(), before.body);
        bound.patch(&path, &patch).await.ok();
        bound.patch(&path, &json!([])).await.refused(412, "ModelArts.50004120");
        if path != CONFIG {
            bound.delete(&path).await.refused(412, "ModelArts.50004120");
        }
    }
}
