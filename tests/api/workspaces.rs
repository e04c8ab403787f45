//! Workspaces (contract tags… §10, semantics §9).

use crate::bodies::{CPU_SMALL, await_gone, name, pool, resources};
use serde_json::{Value, json};
use testkit::{Client, TestServer};

crate::on_both_stores!(
    a_workspace_is_created_changed_and_deleted,
    workspaces_are_listed_sorted_and_paged,
    wrong_workspaces_are_refused,
    access_follows_the_kind_of_a_workspace,
    what_holds_pools_stays,
);

const BAD: &str = "ModelArts.50004000";

fn path(server: &TestServer) -> String {
    format!("/v1/{}/workspaces", server.project)
}

async fn made(server: &TestServer, client: &Client, body: &Value) -> String {
    let made = client.post(&path(server), body).await.ok();
    made["id"].as_str().unwrap().to_owned()
}

/// A user of the project: its id, and the operator acting for it.
async fn user(server: &TestServer, name: &str) -> (String, Client) {
    let users = server.operator.get("/admin/v1/users").await.ok();
    let domain = users["users"][0]["domain"].clone();
    let body = json!({"domain": domain, "name": name, "password": "correct horse", "roles": {server.project.as_str(): "user"}});
    let made = server.operator.post("/admin/v1/users", &body).await.ok();
    let id = made["id"].as_str().unwrap().to_owned();
    let client = server.operator.with_header("x-modelarts-user-id", &id);
    (id, client)
}

async fn a_workspace_is_created_changed_and_deleted(server: TestServer) {
    let made = server
        .user
        .post(&path(&server), &json!({"name": "team", "description": "one"}))
        .await
        .ok();
    let id = made["id"].as_str().unwrap();
    assert_eq!(id.len(), 32);
    for (member, value) in [
        ("name", json!("team")),
        ("description", json!("one")),
        ("auth_type", json!("PUBLIC")),
        ("grants", json!([])),
        ("status", json!("NORMAL")),
        ("enterprise_project_id", json!("0")),
    ] {
        assert_eq!(made[member], value, "{member}");
    }
    assert!(made["create_time"].as_i64().unwrap() > 0);
    assert_eq!(made["update_time"], made["create_time"]);
    let own = format!("{}/{id}", path(&server));
    assert_eq!(server.user.get(&own).await.ok(), made);
    let grants = json!([{"user_id": "abc", "user_type": "USER"}, {"user_name": "ada"}]);
    let change = json!({"auth_type": "INTERNAL", "grants": grants});
    assert_eq!(server.user.put(&own, &change).await.ok(), json!({"workspace_id": id}));
    let shown = server.user.get(&own).await.ok();
    assert_eq!(
        (&shown["name"], &shown["description"], &shown["auth_type"], &shown["grants"]),
        (&json!("team"), &json!("one"), &json!("INTERNAL"), &grants)
    );
    server.user.put(&own, &json!({"description": "two"})).await.ok();
    let shown = server.user.get(&own).await.ok();
    assert_eq!((&shown["description"], &shown["grants"]), (&json!("two"), &grants));
    assert_eq!(server.user.delete(&own).await.ok(), json!({"workspace_id": id}));
    server
        .user
        .get(&own)
        .await
        .refused_saying(400, "ModelArts.7005", &format!("workspace:{id} not existed"));
}

async fn workspaces_are_listed_sorted_and_paged(server: TestServer) {
    for (name, project) in [("beta", "0"), ("alfa", "7"), ("gamma", "0")] {
        // What is made within a second is in the order of ids.
        server.clock.advance(std::time::Duration::from_secs(1));
        let body = json!({"name": name, "enterprise_project_id": project});
        made(&server, &server.user, &body).await;
    }
    let list = async |query: &str| {
        let list = server.user.get(&format!("{}?{query}", path(&server))).await.ok();
        let items = list["workspaces"].as_array().unwrap();
        assert_eq!(list["count"], items.len());
        let names: Vec<String> = items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect();
        (names.join(" "), list["total_count"].as_u64().unwrap())
    };
    for (query, names, total) in [
        ("", "gamma alfa beta default", 4),
        ("sort_by=name", "alfa beta default gamma", 4),
        ("sort_by=name&order=desc", "gamma default beta alfa", 4),
        ("sort_by=update_time&order=asc", "default beta alfa gamma", 4),
        ("sort_by=name&limit=2&offset=1", "beta default", 4),
        ("limit=0&offset=3", "default", 4),
        ("name=a&sort_by=name", "alfa beta default gamma", 4),
        ("name=lf", "alfa", 1),
        ("enterprise_project_id=7", "alfa", 1),
    ] {
        assert_eq!(list(query).await, (names.to_owned(), total), "{query}");
    }
    for wrong in ["sort_by=id", "order=up", "limit=-1", "offset=x", "filter_accessible=perhaps"] {
        server.user.get(&format!("{}?{wrong}", path(&server))).await.refused(400, BAD);
    }
}

async fn wrong_workspaces_are_refused(server: TestServer) {
    made(&server, &server.user, &json!({"name": "taken"})).await;
    for (body, told) in [
        (json!([]), "the body must be an object"),
        (json!({}), "name is required"),
        (json!({"name": "abc"}), "name: must be 4 to 64"),
        (json!({"name": "default"}), "name: is reserved"),
        (json!({"name": "team", "description": "x".repeat(257)}), "description: "),
        (json!({"name": "team", "auth_type": "OPEN"}), "auth_type: must be one of"),
        (
            json!({"name": "team", "grants": [{"user_id": "a"}]}),
            "grants: are for auth_type INTERNAL",
        ),
        (
            json!({"name": "team", "auth_type": "INTERNAL", "grants": [{}]}),
            "grants[0]: must have",
        ),
    ] {
        server.user.post(&path(&server), &body).await.refused_saying(400, BAD, told);
    }
    server
        .user
        .post(&path(&server), &json!({"name": "taken"}))
        .await
        .refused(409, "ModelArts.50005100");
    assert_eq!(server.user.get(&path(&server)).await.ok()["total_count"], 2);
    let default = format!("{}/0", path(&server));
    let told = "Forbidden to modify the default workspace.";
    let change = server.user.put(&default, &json!({"description": "mine"})).await;
    change.refused_saying(400, "ModelArts.3566", told);
    server.user.delete(&default).await.refused_saying(400, "ModelArts.3566", told);
    let none = format!("{}/none", path(&server));
    server.user.put(&none, &json!([])).await.refused(400, "ModelArts.7005");
    server.user.delete(&none).await.refused(400, "ModelArts.7005");
}

async fn access_follows_the_kind_of_a_workspace(server: TestServer) {
    let (ada, for_ada) = user(&server, "ada").await;
    let (_, for_bob) = user(&server, "bob").await;
    let internal = json!({"name": "internal", "auth_type": "INTERNAL", "grants": [{"user_id": ada}]});
    let public = made(&server, &server.user, &json!({"name": "public"})).await;
    let private = made(&server, &server.user, &json!({"name": "private", "auth_type": "PRIVATE"})).await;
    let internal = made(&server, &server.user, &internal).await;
    for (who, client, sees) in [
        ("the owner", &server.user, [true, true, true]),
        ("an operator", &server.operator, [true, true, true]),
        ("a granted user", &for_ada, [true, false, true]),
        ("another user", &for_bob, [true, false, false]),
    ] {
        for (id, may) in [&public, &private, &internal].into_iter().zip(sees) {
            let mut body = pool(&server, "pool-try", resources(CPU_SMALL, 1));
            body["metadata"]["labels"]["os.modelarts/workspace.id"] = json!(id);
            for answer in [
                client.get(&format!("{}/{id}", path(&server))).await,
                client.get(&format!("{}?workspaceId={id}", server.pools())).await,
                client.post(&format!("{}?dryRun=true", server.pools()), &body).await,
            ] {
                if may {
                    answer.ok();
                } else {
                    answer.refused(403, "ModelArts.0112");
                }
            }
        }
        let open = client.get(&format!("{}?filter_accessible=true", path(&server))).await.ok();
        let expected = 1 + sees.into_iter().filter(|may| *may).count();
        assert_eq!(open["total_count"], expected, "{who}");
    }
}

async fn what_holds_pools_stays(server: TestServer) {
    let id = made(&server, &server.user, &json!({"name": "team"})).await;
    let mut body = pool(&server, "pool-here", resources(CPU_SMALL, 1));
    body["metadata"]["labels"]["os.modelarts/workspace.id"] = json!(id);
    let pool = name(&server.user.post(&server.pools(), &body).await.ok());
    let own = format!("{}/{id}", path(&server));
    server
        .user
        .delete(&own)
        .await
        .refused_saying(400, BAD, "holds 1 pools and 0 networks");
    assert_eq!(server.user.get(&own).await.ok()["status"], "NORMAL");
    let pool = format!("{}/{pool}", server.pools());
    server.user.delete(&pool).await.ok();
    await_gone(&server.user, &pool).await;
    server.user.delete(&own).await.ok();
}
