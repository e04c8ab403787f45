//! Operators make pools public: those host logical pools without a parent.

use crate::bodies::{CPU, GPU, await_condition, label, name, pool, ready_pool, resources};
use serde_json::{Value, json};
use testkit::TestServer;

crate::on_both_stores!(
    a_public_pool_hosts_what_has_no_parent,
    a_pool_is_made_public_and_private_again,
    public_pools_are_made_in_a_project_of_the_operator,
);

const BIZ: &str = "os.modelarts.pool/biz";

/// A logical pool that waits for its host.
async fn waiting(server: &TestServer, name: &str, flavor: &str) -> (String, String) {
    let body = json!({
        "kind": "Pool", "apiVersion": "v2", "metadata": {"labels": {"os.modelarts/name": name}},
        "spec": {"type": "Logical", "resources": resources(flavor, 1)}
    });
    let made = server.user.post(&server.pools(), &body).await.ok();
    assert_eq!(made["status"]["phase"], "Waiting");
    let path = format!("{}/{}", server.pools(), self::name(&made));
    (path, label(&made, "os.modelarts/order.name").to_owned())
}

async fn a_public_pool_hosts_what_has_no_parent(server: TestServer) {
    let (path, order) = waiting(&server, "pool-logic", CPU).await;
    let confirm = server.admin(&format!("orders/{order}/confirm"));
    server
        .operator
        .post(&confirm, &json!({}))
        .await
        .refused_saying(400, "ModelArts.50004000", "no public pool has room");
    let public = server.admin("pools");
    let made = server
        .operator
        .post(&public, &pool(&server, "pool-host", resources(CPU, 2)))
        .await
        .ok();
    assert_eq!(
        (label(&made, BIZ), label(&made, "os.modelarts/create-from")),
        ("public", "admin-console")
    );
    let host = format!("{}/{}", server.pools(), name(&made));
    await_condition(&server.user, &host, "Ready").await;
    server.operator.post(&confirm, &json!({})).await.ok();
    let hosted = server.user.get(&path).await.ok();
    assert_eq!(
        (&hosted["status"]["phase"], &hosted["status"]["parent"]),
        (&json!("Running"), &made["metadata"]["name"])
    );
    // Nobody makes a public pool through the public API.
    let mut private = pool(&server, "pool-own", resources(CPU, 1));
    private["metadata"]["labels"][BIZ] = json!("public");
    assert_eq!(label(&server.user.post(&server.pools(), &private).await.ok(), BIZ), "private");
}

async fn a_pool_is_made_public_and_private_again(server: TestServer) {
    let path = ready_pool(&server, "pool-host", resources(GPU, 1)).await;
    let before = server.user.get(&path).await;
    assert_eq!(label(&before.body, BIZ), "private");
    let biz = server.admin(&format!("pools/pool-host-{}/biz", server.project));
    let operator = &server.operator;
    let dry = operator.put(&format!("{biz}?dryRun=true"), &json!({"biz": "public"})).await.ok();
    assert_eq!(label(&dry, BIZ), "public");
    assert_eq!(server.user.get(&path).await.ok(), before.body);
    let bound = operator.with_header("if-match", before.header("etag"));
    assert_eq!(label(&bound.put(&biz, &json!({"biz": "public"})).await.ok(), BIZ), "public");
    bound.put(&biz, &json!({"biz": "private"})).await.refused(412, "ModelArts.50004120");
    // The same again changes nothing.
    let tag = server.user.get(&path).await.header("etag").to_owned();
    assert_eq!(operator.put(&biz, &json!({"biz": "public"})).await.header("etag"), tag);
    let (hosted, order) = waiting(&server, "pool-logic", GPU).await;
    operator
        .post(&server.admin(&format!("orders/{order}/confirm")), &json!({}))
        .await
        .ok();
    assert_eq!(label(&operator.put(&biz, &json!({"biz": "private"})).await.ok(), BIZ), "private");
    assert_eq!(
        server.user.get(&hosted).await.ok()["status"]["phase"],
        "Running",
        "what it hosts stays"
    );
    for wrong in [
        json!({}),
        json!({"biz": "secret"}),
        json!({"biz": "public", "more": 1}),
        Value::Null,
    ] {
        operator.put(&biz, &wrong).await.refused(400, "ModelArts.50004000");
    }
    operator
        .put(&server.admin("pools/nothing/biz"), &json!([]))
        .await
        .refused(404, "ModelArts.50015001");
}

async fn public_pools_are_made_in_a_project_of_the_operator(server: TestServer) {
    let home = server.operator.get(&format!("/admin/v1/projects/{}", server.project)).await.ok();
    let project = json!({"domain": home["domain"], "name": "second"});
    let second = server.operator.post("/admin/v1/projects", &project).await.ok();
    let target = format!("/admin/v1/{}/pools", second["id"].as_str().unwrap());
    server
        .operator
        .post(&target, &pool(&server, "pool-far", resources(CPU, 1)))
        .await
        .refused(403, "ModelArts.0210");
    server
        .operator
        .post(&server.admin("pools"), &json!({}))
        .await
        .refused(400, "ModelArts.50004000");
    let body = pool(&server, "pool-host", resources(CPU, 1));
    server
        .operator
        .post(&format!("{}?dryRun=true", server.admin("pools")), &body)
        .await
        .ok();
    server.operator.post(&server.admin("pools"), &body).await.ok();
    server
        .operator
        .post(&server.admin("pools"), &body)
        .await
        .refused(409, "ModelArts.50015000");
}
