//! Plug-ins: templates, installation, versions, failures, and what job types have to do with them.

use crate::bodies::{CPU, await_condition, name, pool, ready_pool, resources, sub_pool};
use serde_json::{Value, json};
use testkit::TestServer;

crate::on_both_stores!(
    templates_are_listed_and_shown,
    a_plugin_is_installed_changed_and_removed,
    parameters_fall_back_to_the_defaults,
    wrong_plugins_are_refused,
    what_job_types_and_every_pool_need_stays,
    a_failed_plugin_fails_its_job_type_until_it_is_retried,
    a_failed_plugin_is_tried_again_by_a_patch,
    a_restricted_pool_takes_no_plugins,
    plugins_are_conditional_repeatable_and_dry,
);

fn wanted(template: Value) -> Value {
    json!({"apiVersion": "v2", "kind": "Plugin", "spec": {"template": template}})
}

/// Waits until a plug-in is in a phase and gives it.
async fn in_phase(server: &TestServer, path: &str, plugin: &str, phase: &str) -> Value {
    let path = format!("{path}/plugins/{plugin}");
    server.await_pool(&path, |plugin| plugin["status"]["phase"] == phase).await
}

async fn templates_are_listed_and_shown(server: TestServer) {
    let all = format!("/v2/{}/plugintemplates", server.project);
    let list = server.user.get(&all).await.ok();
    assert_eq!(
        (list["kind"].as_str(), list["apiVersion"].as_str()),
        (Some("PluginTemplateList"), Some("v2"))
    );
    let names = |list: &Value| -> Vec<String> { list["items"].as_array().unwrap().iter().map(name).collect() };
    assert_eq!(names(&list), ["gpu-driver", "log-agent", "node-local-dns", "npu-driver", "volcano"]);
    let one = server.user.get(&format!("{all}?templateName=volcano")).await.ok();
    assert_eq!(names(&one), ["volcano"]);
    assert_eq!(one["items"][0]["spec"]["versions"][0]["version"], "1.15.0");
    let none = server.user.get(&format!("{all}?templateName=x")).await;
    assert_eq!(none.refused(404, "ModelArts.50005101").message(), "Plugintemplate x not found.");
    let of_pool = format!("{all}?poolName=none");
    server.user.get(&of_pool).await.refused(404, "ModelArts.50015001");
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    let of_pool = format!("{all}?poolName={}", path.rsplit('/').next().unwrap());
    assert_eq!(
        names(&server.user.get(&of_pool).await.ok()),
        ["log-agent", "node-local-dns", "volcano"]
    );
    let shown = server
        .user
        .get(&format!("/v1/{}/plugintemplates/npu-driver", server.project))
        .await
        .ok();
    assert_eq!(
        (shown["apiVersion"].as_str(), shown["spec"]["type"].as_str()),
        (Some("v1"), Some("npu-driver"))
    );
    assert_eq!(shown["versions"]["C82"]["version"], "C82");
    assert_eq!(shown["versions"], shown["spec"]["versions"]);
    server
        .user
        .get(&format!("/v1/{}/plugintemplates/x", server.project))
        .await
        .refused(404, "ModelArts.50005101");
}

async fn a_plugin_is_installed_changed_and_removed(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    let plugins = format!("{path}/plugins");
    let before = server.user.get(&plugins).await.ok();
    assert_eq!(
        (before["kind"].as_str(), before["items"][0]["spec"]["template"]["name"].as_str()),
        (Some("PluginList"), Some("volcano")),
        "job type Train has installed it"
    );
    // The published table swaps the two.
    let body = json!({"apiVersion": "Plugin", "kind": "v2", "spec": {"template": {"name": "log-agent"}}});
    let created = server.user.post(&plugins, &body).await.ok();
    assert_eq!(name(&created), format!("{}-log-agent", path.rsplit('/').next().unwrap()));
    assert_eq!(created["status"], json!({"phase": "Pending"}));
    assert_eq!(created["spec"]["template"], json!({"name": "log-agent", "version": "1.2.0"}));
    let running = in_phase(&server, &path, "log-agent", "Running").await;
    assert_eq!(running["status"]["version"], "1.2.0");
    assert_eq!(running["status"]["reason"], "Install complete");
    assert_eq!(running["status"].get("resources"), None);
    let detailed = server.user.get(&format!("{plugins}/log-agent?detail=true")).await.ok();
    let resource = &detailed["status"]["resources"][0];
    assert_eq!(resource["involvedObject"]["name"], "log-agent");
    assert!(
        resource["replicas"].is_u64() && resource["limits"].is_object() && resource["requests"].is_object(),
        "{detailed:#}"
    );
    let again = server.user.post(&plugins, &body).await;
    assert_eq!(
        again.refused(409, "ModelArts.50005100").message(),
        "Plugin log-agent already exists."
    );
    let down = json!({"spec": {"template": {"version": "1.14.1"}}});
    let patched = server.user.patch(&format!("{plugins}/volcano"), &down).await.ok();
    assert_eq!(patched, json!({"spec": {"template": {"name": "volcano", "version": "1.14.1"}}}));
    let upgraded = server
        .await_pool(&format!("{plugins}/volcano"), |plugin| plugin["status"]["version"] == "1.14.1")
        .await;
    assert_eq!(
        (upgraded["status"]["phase"].as_str(), upgraded["status"]["reason"].as_str()),
        (Some("Running"), Some("Upgrade complete"))
    );
    await_condition(&server.user, &path, "Train=Enabled").await;
    let last = server.user.delete(&format!("{plugins}/log-agent")).await.ok();
    assert_eq!(name(&last), name(&created));
    gone(&server, &format!("{plugins}/log-agent")).await;
    let names = server.user.get(&plugins).await.ok();
    assert_eq!(names["items"].as_array().unwrap().len(), 1);
    // It can come back.
    server.user.post(&plugins, &body).await.ok();
    in_phase(&server, &path, "log-agent", "Running").await;
}

async fn gone(server: &TestServer, path: &str) {
    server.await_answer(path, |answer| answer.status == 404).await;
    server.user.get(path).await.refused(404, "ModelArts.50005101");
}

async fn parameters_fall_back_to_the_defaults(server: TestServer) {
    let template = json!({"name": "proxy", "type": "helm", "versions": [
        {"version": "2", "inputs": {"custom": {"replicas": 1, "level": "info"}, "port": 81}},
        {"version": "1", "inputs": {"custom": {"replicas": 1, "level": "warn"}, "port": 80}}]});
    server.operator.post("/admin/v1/plugin-templates", &template).await.ok();
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    let plugin = format!("{path}/plugins/proxy");
    let body = wanted(json!({"name": "proxy", "version": "1", "inputs": {"custom": {"replicas": 3}}}));
    let created = server.user.post(&format!("{path}/plugins"), &body).await.ok();
    assert_eq!(
        created["spec"]["template"]["inputs"],
        json!({"custom": {"replicas": 3}}),
        "as they were sent"
    );
    let values = async |wanted: Value| {
        server
            .await_pool(&plugin, |plugin| {
                let values = plugin["status"]["values"].as_str().unwrap_or("null");
                plugin["status"]["phase"] == "Running" && serde_json::from_str::<Value>(values).unwrap() == wanted
            })
            .await
    };
    values(json!({"custom": {"replicas": 3, "level": "warn"}, "port": 80})).await;
    // Another version keeps what was asked for.
    let patch = json!({"spec": {"template": {"name": "proxy", "version": "2"}}});
    server.user.patch(&plugin, &patch).await.ok();
    values(json!({"custom": {"replicas": 3, "level": "info"}, "port": 81})).await;
    // Other parameters replace all of it.
    let patch = json!({"spec": {"template": {"inputs": {"port": 8080}}}});
    server.user.patch(&plugin, &patch).await.ok();
    let now = values(json!({"custom": {"replicas": 1, "level": "info"}, "port": 8080})).await;
    assert_eq!(
        now["spec"]["template"],
        json!({"name": "proxy", "version": "2", "inputs": {"port": 8080}})
    );
}

async fn wrong_plugins_are_refused(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 2)).await;
    let plugins = format!("{path}/plugins");
    for (template, told) in [
        (json!({"name": "none"}), "spec.template.name: unknown template"),
        (
            json!({"name": "log-agent", "version": "9"}),
            "spec.template.version: template log-agent has no version",
        ),
        (
            json!({"name": "gpu-driver"}),
            "spec.template.name: drivers are installed by spec.driver",
        ),
        (json!({"version": "1"}), "spec.template.name is required"),
    ] {
        let answer = server.user.post(&plugins, &wanted(template)).await;
        answer.refused_saying(400, "ModelArts.50004000", told);
    }
    let volcano = format!("{plugins}/volcano");
    for (body, told) in [
        (json!({"spec": {"template": {"name": "log-agent"}}}), "spec.template.name"),
        (json!({"spec": {"template": {"version": "9"}}}), "has no version"),
        (
            json!({"spec": {"template": {"inputs": 1}}}),
            "spec.template.inputs: must be an object",
        ),
        (json!([]), "must be an object"),
    ] {
        let answer = server.user.patch(&volcano, &body).await;
        answer.refused_saying(400, "ModelArts.50004000", told);
    }
    let text = server
        .user
        .send(reqwest::Method::PATCH, &volcano, "text/plain", b"{}".to_vec())
        .await;
    text.refused(415, "ModelArts.50004100");
    for none in [format!("{plugins}/log-agent"), format!("{plugins}/none")] {
        server.user.get(&none).await.refused(404, "ModelArts.50005101");
        server.user.patch(&none, &json!([])).await.refused(404, "ModelArts.50005101");
        server.user.delete(&none).await.refused(404, "ModelArts.50005101");
    }
    let nowhere = format!("{}/none/plugins", server.pools());
    server.user.get(&nowhere).await.refused(404, "ModelArts.50015001");
    server.user.post(&nowhere, &json!([])).await.refused(404, "ModelArts.50015001");
    server
        .user
        .get(&format!("{volcano}?detail=maybe"))
        .await
        .refused(400, "ModelArts.50004000");
    // A logical pool, and one that does not run yet.
    let parent = path.rsplit('/').next().unwrap();
    let child = server
        .operator
        .post(&server.pools(), &sub_pool("pool-child", parent, resources(CPU, 1)))
        .await
        .ok();
    let child = format!("{}/{}/plugins", server.pools(), name(&child));
    let answer = server.user.post(&child, &wanted(json!({"name": "log-agent"}))).await;
    answer.refused_saying(400, "ModelArts.50004000", "a logical pool");
    assert_eq!(server.user.get(&child).await.ok()["items"], json!([]));
    let mut unpaid = pool(&server, "pool-unpaid", resources(CPU, 1));
    unpaid["metadata"]["annotations"] =
        json!({"os.modelarts/billing.mode": "1", "os.modelarts/period.num": "1", "os.modelarts/period.type": "2"});
    let console = server.user.with_header("request-type", "console");
    let waiting = console.post(&server.pools(), &unpaid).await.ok();
    let waiting = format!("{}/{}/plugins", server.pools(), name(&waiting));
    let answer = server.user.post(&waiting, &wanted(json!({"name": "log-agent"}))).await;
    answer.refused_saying(400, "ModelArts.50004000", "it is Waiting");
}

async fn what_job_types_and_every_pool_need_stays(server: TestServer) {
    let template = json!({"name": "guard", "type": "helm", "optional": false, "versions": [{"version": "1"}]});
    server.operator.post("/admin/v1/plugin-templates", &template).await.ok();
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    in_phase(&server, &path, "guard", "Running").await;
    for (plugin, told) in [("guard", "every pool has it"), ("volcano", "job type Train needs it")] {
        let answer = server.user.delete(&format!("{path}/plugins/{plugin}")).await;
        answer.refused_saying(400, "ModelArts.50004000", told);
    }
    // Nobody needs volcano any more: the system takes it away again.
    let notebook = json!({"spec": {"scope": ["Notebook"]}});
    server.user.patch(&path, &notebook).await.ok();
    await_condition(&server.user, &path, "Train=Disabled").await;
    gone(&server, &format!("{path}/plugins/volcano")).await;
}

async fn a_failed_plugin_fails_its_job_type_until_it_is_retried(server: TestServer) {
    let mut body = pool(&server, "pool-one", resources(CPU, 1));
    body["spec"]["scope"] = json!(["Notebook"]);
    let created = server.user.post(&server.pools(), &body).await.ok();
    let path = format!("{}/{}", server.pools(), name(&created));
    await_condition(&server.user, &path, "Ready").await;
    let faults = server.admin(&format!("pools/{}/faults", name(&created)));
    let fault = json!({"kind": "pluginFails", "template": "volcano", "times": 2});
    server.operator.post(&faults, &fault).await.ok();
    let both = json!({"spec": {"scope": ["Notebook", "Train"]}});
    server.user.patch(&path, &both).await.ok();
    let failed = await_condition(&server.user, &path, "Train=EnableFailed").await;
    assert_eq!(failed["status"]["phase"], "Running");
    let train = failed["status"]["scope"]
        .as_array()
        .unwrap()
        .iter()
        .find(|scope| scope["scopeType"] == "Train")
        .unwrap()
        .clone();
    assert!(
        train["message"].as_str().unwrap().contains("plug-in volcano is abnormal"),
        "{train:#}"
    );
    assert_eq!(train["plugins"], json!([{"name": "volcano", "phase": "Abnormal"}]));
    let plugin = in_phase(&server, &path, "volcano", "Abnormal").await;
    assert_eq!(plugin["status"]["reason"], "the installation ended with an error");
    let retry = format!("{path}/retry-scope");
    // The second attempt fails as well, the third one does not.
    server.user.post(&retry, &json!({"scope": "Train"})).await.ok();
    await_condition(&server.user, &path, "Train=EnableFailed").await;
    server.user.post(&retry, &json!({"scope": "Train"})).await.ok();
    await_condition(&server.user, &path, "Train=Enabled").await;
    in_phase(&server, &path, "volcano", "Running").await;
}

async fn a_failed_plugin_is_tried_again_by_a_patch(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    let faults = server.admin(&format!("pools/{}/faults", path.rsplit('/').next().unwrap()));
    let fault = json!({"kind": "pluginFails", "template": "volcano", "times": 1});
    server.operator.post(&faults, &fault).await.ok();
    let plugin = format!("{path}/plugins/volcano");
    let down = json!({"spec": {"template": {"version": "1.14.1"}}});
    server.user.patch(&plugin, &down).await.ok();
    let failed = in_phase(&server, &path, "volcano", "Abnormal").await;
    assert_eq!(failed["status"]["version"], "1.15.0", "the old version still runs");
    assert_eq!(failed["spec"]["template"]["version"], "1.14.1");
    server.user.patch(&plugin, &down).await.ok();
    let running = in_phase(&server, &path, "volcano", "Running").await;
    assert_eq!(running["status"]["version"], "1.14.1");
}

async fn a_restricted_pool_takes_no_plugins(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    let plugins = format!("{path}/plugins");
    let log = wanted(json!({"name": "log-agent"}));
    server.user.post(&plugins, &log).await.ok();
    in_phase(&server, &path, "log-agent", "Running").await;
    let mask = server.admin(&format!("pools/{}/control-mode", path.rsplit('/').next().unwrap()));
    server.operator.put(&mask, &json!({"controlMode": 4})).await.ok();
    let dns = wanted(json!({"name": "node-local-dns"}));
    let answer = server.user.post(&plugins, &dns).await;
    answer.refused_saying(400, "ModelArts.50004000", "is restricted");
    let down = json!({"spec": {"template": {"version": "1.14.1"}}});
    let answer = server.user.patch(&format!("{plugins}/volcano"), &down).await;
    answer.refused_saying(400, "ModelArts.50004000", "is restricted");
    server.operator.put(&mask, &json!({"controlMode": 8})).await.ok();
    let answer = server.user.delete(&format!("{plugins}/log-agent")).await;
    answer.refused_saying(400, "ModelArts.50004000", "is restricted");
    server.operator.put(&mask, &json!({"controlMode": 4})).await.ok();
    server.user.delete(&format!("{plugins}/log-agent")).await.ok();
    gone(&server, &format!("{plugins}/log-agent")).await;
}

async fn plugins_are_conditional_repeatable_and_dry(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    let plugins = format!("{path}/plugins");
    let log = wanted(json!({"name": "log-agent"}));
    let dry = server.user.post(&format!("{plugins}?dryRun=true"), &log).await.ok();
    assert_eq!(dry["status"]["phase"], "Pending");
    let plugin = format!("{plugins}/log-agent");
    server.user.get(&plugin).await.refused(404, "ModelArts.50005101");
    let keyed = server.user.with_header("idempotency-key", "one");
    let first = keyed.post(&plugins, &log).await;
    let again = keyed.post(&plugins, &log).await;
    assert_eq!((first.status, first.text), (again.status, again.text));
    in_phase(&server, &path, "log-agent", "Running").await;
    let shown = server.user.get(&plugin).await;
    let inputs = json!({"spec": {"template": {"inputs": {"level": 1}}}});
    let stale = server.user.with_header("if-match", "\"1\"");
    stale.patch(&plugin, &inputs).await.refused(412, "ModelArts.50004120");
    stale.delete(&plugin).await.refused(412, "ModelArts.50004120");
    let fresh = server.user.with_header("if-match", shown.header("etag"));
    fresh.patch(&plugin, &inputs).await.ok();
    let running = server
        .await_pool(&plugin, |plugin| plugin["status"]["values"] == "{\"level\":1}")
        .await;
    assert_eq!(running["status"]["phase"], "Running");
}
