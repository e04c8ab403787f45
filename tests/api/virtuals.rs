//! Virtual flavors and the templates that they are made from.

use serde_json::{Value, json};
use testkit::TestServer;

crate::on_both_stores!(
    virtual_flavors_are_listed,
    virtual_templates_are_shown_and_maintained,
    wrong_virtual_templates_are_refused,
);

const TEMPLATES: &str = "/admin/v1/virtual-resource-templates";
const SLICE: &str = "modelarts.npu.snt9b8.quarter";

/// The template that the demo has.
const DEMO: &str = "snt9b8-quarter";

fn template(name: &str) -> Value {
    json!({"name": name, "resources": {"AICORE": 20, "AICPU": 6, "memory": "64G"}, "resourceKey": "huawei.com/ascend-snt9",
        "virtualResources": [{"name": SLICE, "resources": {"AICORE": 5, "memory": "16G"}, "resourceKey": "huawei.com/ascend-snt9-5c"}]})
}

async fn virtual_flavors_are_listed(server: TestServer) {
    let path = format!("/v1/{}/virtualresourceflavors", server.project);
    let list = server.user.get(&path).await.ok();
    assert_eq!(
        (&list["kind"], &list["apiVersion"], &list["metadata"]),
        (&json!("ResourceFlavorList"), &json!("v1"), &json!({}))
    );
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "physical flavors are in another list");
    let slice = &list["items"][0];
    assert_eq!(
        (&slice["kind"], &slice["metadata"]["name"]),
        (&json!("ResourceFlavor"), &json!(SLICE))
    );
    let spec = json!({"type": "Logical", "cpuArch": "arm64", "cpu": "48", "memory": "384Gi", "virtualResourceTemplateName": "snt9b8-quarter",
        "visibility": "invisible", "npu": {"type": "ascend-snt9", "size": "1", "resourceKey": "huawei.com/ascend-snt9-quarter"}});
    assert_eq!(slice["spec"], spec);
    server.operator.put(&format!("{TEMPLATES}/{DEMO}"), &template(DEMO)).await.ok();
    let list = server.user.get(&path).await.ok();
    assert_eq!(list["items"][0]["spec"]["npu"]["resourceKey"], "huawei.com/ascend-snt9-5c");
}

async fn virtual_templates_are_shown_and_maintained(server: TestServer) {
    let demo = format!("/v1/{}/virtualresourcetemplates/{DEMO}", server.project);
    assert_eq!(server.user.get(&demo).await.ok()["virtualResources"][0]["name"], SLICE);
    let path = format!("/v1/{}/virtualresourcetemplates/other", server.project);
    let none = server.user.get(&path).await;
    assert_eq!(
        none.refused(404, "ModelArts.50005101").message(),
        "VirtualResourceTemplate other not found."
    );
    let made = server.operator.post(TEMPLATES, &template("other")).await;
    assert_eq!(made.clone().ok(), template("other"));
    let shown = server.user.get(&path).await.ok();
    assert_eq!(
        (&shown["kind"], &shown["apiVersion"], &shown["metadata"]["name"]),
        (&json!("VirtualResourceTemplate"), &json!("v1"), &json!("other"))
    );
    assert_eq!(shown["spec"]["resources"], template("other")["resources"]);
    assert_eq!(shown["virtualResources"], shown["spec"]["virtualResources"]);
    let one = format!("{TEMPLATES}/other");
    let mut other = template("other");
    other["resourceKey"] = json!("x");
    let stale = server.operator.with_header("if-match", "\"1\"");
    stale.put(&one, &other).await.refused(412, "ModelArts.50004120");
    server.operator.put(&one, &other).await.ok();
    assert_eq!(server.user.get(&path).await.ok()["spec"]["resourceKey"], "x");
    let all = server.operator.get(TEMPLATES).await.ok();
    let names: Vec<_> = all["virtualResourceTemplates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["name"])
        .collect();
    assert_eq!(names, ["other", DEMO]);
    assert_eq!(server.operator.delete(&one).await.ok(), other);
    server.operator.get(&one).await.refused(404, "ModelArts.50005101");
    let used = format!("{TEMPLATES}/{DEMO}");
    server.operator.delete(&used).await.refused_saying(400, "ModelArts.50004000", SLICE);
}

async fn wrong_virtual_templates_are_refused(server: TestServer) {
    server
        .operator
        .post(TEMPLATES, &template(DEMO))
        .await
        .refused(409, "ModelArts.50005100");
    server.user.post(TEMPLATES, &template("other")).await.refused(403, "ModelArts.0108");
    server.user.get(TEMPLATES).await.refused(403, "ModelArts.0108");
    for wrong in [
        json!([]),
        json!({}),
        json!({"name": "a", "color": 1}),
        json!({"name": "a", "resources": []}),
    ] {
        server.operator.post(TEMPLATES, &wrong).await.refused(400, "ModelArts.50004000");
    }
    let one = format!("{TEMPLATES}/{DEMO}");
    let other = json!({"name": "other"});
    server.operator.put(&one, &other).await.refused(400, "ModelArts.50004000");
    let none = format!("{TEMPLATES}/none");
    server.operator.put(&none, &json!({})).await.refused(404, "ModelArts.50005101");
    server.operator.delete(&none).await.refused(404, "ModelArts.50005101");
}
