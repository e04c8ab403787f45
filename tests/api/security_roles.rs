//! Roles that are bound to a workspace.

use crate::bodies::{CPU, pool, resources};
use serde_json::json;
use testkit::{Client, TestServer};

crate::on_both_stores!(a_role_in_a_workspace_counts_there_and_nowhere_else);

async fn a_role_in_a_workspace_counts_there_and_nowhere_else(server: TestServer) {
    let workspaces = format!("/v1/{}/workspaces", server.project);
    let made = server.user.post(&workspaces, &json!({"name": "team"})).await.ok();
    let team = made["id"].as_str().unwrap();
    let in_team = |name: &str| {
        let mut body = pool(&server, name, resources(CPU, 1));
        body["metadata"]["labels"]["os.modelarts/workspace.id"] = json!(team);
        body
    };
    let viewer: Client = crate::operator_accounts::somebody(&server, "looker", &server.project, "viewer").await;
    viewer
        .post(&server.pools(), &in_team("pool-one"))
        .await
        .refused(403, "ModelArts.0108");
    let users = server.operator.get("/admin/v1/users").await.ok();
    let found = users["users"]
        .as_array()
        .unwrap()
        .iter()
        .find(|user| user["name"] == "looker")
        .unwrap();
    let user = format!("/admin/v1/users/{}", found["id"].as_str().unwrap());
    let bind = async |workspace: &str, role| {
        let roles = json!({"workspaceRoles": {&server.project: {workspace: role}}});
        server.operator.patch(&user, &roles).await
    };
    bind("none", json!("user"))
        .await
        .refused_saying(400, "ModelArts.50004000", "workspace none not found");
    bind(team, json!("operator")).await.refused(400, "ModelArts.50004000");
    let bound = bind(team, json!("user")).await.ok();
    assert_eq!(bound["workspaceRoles"], json!({&server.project: {team: "user"}}));
    // Here, and not in the default workspace.
    let made = viewer.post(&server.pools(), &in_team("pool-one")).await.ok();
    let own = format!("{}/{}", server.pools(), made["metadata"]["name"].as_str().unwrap());
    let default = pool(&server, "pool-two", resources(CPU, 1));
    viewer.post(&server.pools(), &default).await.refused(403, "ModelArts.0108");
    let other = server.user.post(&server.pools(), &default).await.ok();
    let other = format!("{}/{}", server.pools(), other["metadata"]["name"].as_str().unwrap());
    let change = json!({"metadata": {"annotations": {"os.modelarts/description": "mine"}}});
    viewer.patch(&own, &change).await.ok();
    viewer.get(&other).await.ok();
    viewer.patch(&other, &change).await.refused(403, "ModelArts.0108");
    viewer.delete(&other).await.refused(403, "ModelArts.0108");
    // Nothing is moved to where the role is not enough, nor fetched from there.
    let to = |workspace: &str| json!({"metadata": {"labels": {"os.modelarts/workspace.id": workspace}}});
    viewer.patch(&own, &to("0")).await.refused(403, "ModelArts.0108");
    viewer.patch(&other, &to(team)).await.refused(403, "ModelArts.0108");
    viewer
        .post(&workspaces, &json!({"name": "more"}))
        .await
        .refused(403, "ModelArts.0108");
    let unbound = bind(team, json!(null)).await.ok();
    assert_eq!(unbound["workspaceRoles"], json!({}));
    viewer.patch(&own, &change).await.refused(403, "ModelArts.0108");
}
