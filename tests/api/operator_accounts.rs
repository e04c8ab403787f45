//! Operators maintain domains, projects, users and access keys.

use secrecy::SecretString;
use serde_json::{Value, json};
use testkit::client::Credential;
use testkit::{Client, TestServer};

crate::on_both_stores!(
    domains_come_and_go,
    projects_come_and_go,
    the_quota_of_a_project_is_shown_and_changed,
    users_come_and_go,
    a_user_gets_roles_and_loses_them,
    a_password_is_set_and_taken_away_and_never_shown,
    access_keys_come_and_go_and_their_secret_is_shown_once,
    the_last_operator_stays,
    changes_are_tried_bound_and_repeated,
    lists_have_pages_and_filters,
);

/// The demo's domain.
pub async fn home(server: &TestServer) -> String {
    let project = server.operator.get(&format!("/admin/v1/projects/{}", server.project)).await.ok();
    text(&project, "domain")
}

fn text(object: &Value, member: &str) -> String {
    object[member].as_str().unwrap().to_owned()
}

/// A client of a new user, by access key.
pub async fn somebody(server: &TestServer, name: &str, project: &str, role: &str) -> Client {
    let user = json!({"domain": home(server).await, "name": name, "roles": {project: role}});
    let user = server.operator.post("/admin/v1/users", &user).await.ok();
    let keys = format!("/admin/v1/users/{}/access-keys", text(&user, "id"));
    let key = server.operator.post(&keys, &json!({})).await.ok();
    server.user.with_credential(Credential::AccessKey {
        id: domain::name::AccessKeyId::parse(&text(&key, "accessKey")).unwrap(),
        secret: SecretString::from(text(&key, "secretKey")),
    })
}

/// Logs in with a password and gives the status.
async fn log_in(server: &TestServer, user: &str, password: &str) -> u16 {
    let identity = json!({"methods": ["password"], "password": {"user": {"id": user, "password": password}}});
    let body = json!({"auth": {"identity": identity, "scope": "unscoped"}});
    server
        .user
        .with_credential(Credential::None)
        .post("/v3/auth/tokens", &body)
        .await
        .status
}

async fn domains_come_and_go(server: TestServer) {
    let operator = &server.operator;
    let made = operator.post("/admin/v1/domains", &json!({"name": "north"})).await;
    let tag = made.header("etag").to_owned();
    let made = made.ok();
    let path = format!("/admin/v1/domains/{}", text(&made, "id"));
    let found = operator.get(&path).await;
    assert_eq!((found.header("etag"), &found.body), (tag.as_str(), &made));
    let listed = operator.get("/admin/v1/domains").await.ok();
    assert!(listed["domains"].as_array().unwrap().contains(&made));
    operator
        .post("/admin/v1/domains", &json!({"name": "north"}))
        .await
        .refused(409, "ModelArts.50005100");
    operator
        .post("/admin/v1/domains", &json!({}))
        .await
        .refused_saying(400, "ModelArts.50004000", "name is required");
    operator
        .post("/admin/v1/domains", &json!({"name": "x", "colour": "red"}))
        .await
        .refused_saying(400, "ModelArts.50004000", "colour: unknown member");
    assert_eq!(operator.patch(&path, &json!({"name": "south"})).await.ok()["name"], "south");
    operator
        .patch(&path, &json!({"name": null}))
        .await
        .refused_saying(400, "ModelArts.50004000", "name: must not be null");
    let project = json!({"domain": made["id"], "name": "inside"});
    let project = operator.post("/admin/v1/projects", &project).await.ok();
    operator
        .delete(&path)
        .await
        .refused_saying(400, "ModelArts.50004000", "1 projects and 0 users");
    operator.delete(&format!("/admin/v1/projects/{}", text(&project, "id"))).await.ok();
    assert_eq!(operator.delete(&path).await.ok()["name"], "south");
    for answer in [
        operator.get(&path).await,
        operator.delete(&path).await,
        operator.patch(&path, &json!([])).await,
    ] {
        answer.refused_saying(404, "ModelArts.50005101", "Domain");
    }
}

async fn projects_come_and_go(server: TestServer) {
    let operator = &server.operator;
    let domain = home(&server).await;
    let wanted = json!({"id": "a".repeat(32), "domain": domain, "name": "second", "description": "of a test"});
    let made = operator.post("/admin/v1/projects", &wanted).await.ok();
    assert_eq!(
        (&made["id"], &made["enabled"], &made["quota"]),
        (&wanted["id"], &json!(true), &json!({"pools": null, "networks": null}))
    );
    let path = format!("/admin/v1/projects/{}", text(&made, "id"));
    assert_eq!(operator.get(&path).await.ok(), made);
    for (body, status, says) in [
        (json!({"domain": domain, "name": "second"}), 409, "Project second already exists"),
        (
            json!({"id": "a".repeat(32), "domain": domain, "name": "other"}),
            409,
            "already exists",
        ),
        (
            json!({"domain": "nowhere", "name": "other"}),
            400,
            "domain: domain nowhere not found",
        ),
        (json!({"name": "other"}), 400, "domain is required"),
        (
            json!({"id": "short", "domain": domain, "name": "other"}),
            400,
            "id: must be 32 to 36",
        ),
        (
            json!({"domain": domain, "name": "other", "quota": {"nodes": 1}}),
            400,
            "quota.nodes: unknown member",
        ),
    ] {
        let answer = operator.post("/admin/v1/projects", &body).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(answer.message().contains(says), "{}", answer.text);
    }
    let viewer = somebody(&server, "looker", &text(&made, "id"), "viewer").await;
    let pools = format!("/v2/{}/pools", text(&made, "id"));
    viewer.get(&pools).await.ok();
    let off = operator
        .patch(&path, &json!({"enabled": false, "description": null, "name": "renamed"}))
        .await
        .ok();
    assert_eq!(
        (&off["enabled"], &off["description"], &off["name"]),
        (&json!(false), &json!(""), &json!("renamed"))
    );
    assert_eq!(viewer.get(&pools).await.status, 403);
    operator
        .patch(&path, &json!({"domain": "elsewhere"}))
        .await
        .refused_saying(400, "ModelArts.50004000", "domain: unknown member");
    let home = format!("/admin/v1/projects/{}", server.project);
    operator.delete(&home).await.refused_saying(400, "ModelArts.50004000", "1 networks");
    operator.delete(&path).await.ok();
    operator.get(&path).await.refused(404, "ModelArts.50005101");
    operator.get("/admin/v1/projects/short").await.refused(404, "ModelArts.50005101");
}

async fn the_quota_of_a_project_is_shown_and_changed(server: TestServer) {
    let operator = &server.operator;
    let path = format!("/admin/v1/projects/{}", server.project);
    let shown = operator.get(&format!("{path}/quotas")).await.ok();
    let own = server.user.get(&format!("/v1/{}/quotas", server.project)).await.ok();
    assert_eq!(shown, own, "the operator sees what the project sees");
    let limited = operator.patch(&path, &json!({"quota": {"networks": 1}})).await.ok();
    assert_eq!(limited["quota"], json!({"pools": null, "networks": 1}));
    let shown = operator.get(&format!("{path}/quotas")).await.ok();
    assert_eq!(shown["quotas"]["resources"][1], json!({"type": "network", "quota": 1, "used": 1}));
    let network = json!({
        "kind": "Network", "apiVersion": "v1",
        "metadata": {"labels": {"os.modelarts/name": "network-two"}}, "spec": {"cidr": "172.18.0.0/16"}
    });
    let networks = format!("/v1/{}/networks", server.project);
    server.user.post(&networks, &network).await.refused(400, "ModelArts.0118");
    let both = operator.patch(&path, &json!({"quota": {"pools": 7}})).await.ok();
    assert_eq!(both["quota"], json!({"pools": 7, "networks": 1}));
    operator
        .patch(&path, &json!({"quota": {"pools": "many"}}))
        .await
        .refused_saying(400, "ModelArts.50004000", "quota.pools");
    let none = operator.patch(&path, &json!({"quota": null})).await.ok();
    assert_eq!(none["quota"], json!({"pools": null, "networks": null}));
    server.user.post(&networks, &network).await.ok();
    let nowhere = format!("/admin/v1/projects/{}/quotas", "f".repeat(32));
    operator.get(&nowhere).await.refused(404, "ModelArts.50005101");
}

async fn users_come_and_go(server: TestServer) {
    let operator = &server.operator;
    let domain = home(&server).await;
    let wanted = json!({"domain": domain, "name": "ada", "enabled": false});
    let made = operator.post("/admin/v1/users", &wanted).await.ok();
    assert_eq!(
        (&made["enabled"], &made["hasPassword"], &made["roles"]),
        (&json!(false), &json!(false), &json!({}))
    );
    let path = format!("/admin/v1/users/{}", text(&made, "id"));
    assert_eq!(operator.get(&path).await.ok(), made);
    operator.post("/admin/v1/users", &wanted).await.refused(409, "ModelArts.50005100");
    let wrong = json!({"name": "eve", "roles": {"x": "viewer", (server.project.clone()): "king"}, "password": 12_345_678});
    let answer = operator.post("/admin/v1/users", &wrong).await.refused(400, "ModelArts.50004000");
    let fields: Vec<_> = answer.body["details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|detail| text(detail, "field"))
        .collect();
    assert_eq!(fields.len(), 4, "{fields:?}");
    for field in [
        "domain".to_owned(),
        "password".to_owned(),
        "roles.x".to_owned(),
        format!("roles.{}", server.project),
    ] {
        assert!(fields.contains(&field), "{field} is missing in {fields:?}");
    }
    let nowhere = json!({"domain": domain, "name": "eve", "roles": {"f".repeat(32): "viewer"}});
    operator
        .post("/admin/v1/users", &nowhere)
        .await
        .refused_saying(400, "ModelArts.50004000", "not found");
    let changed = operator.patch(&path, &json!({"name": "bob", "enabled": true})).await.ok();
    assert_eq!((&changed["name"], &changed["enabled"]), (&json!("bob"), &json!(true)));
    operator
        .patch(&path, &json!({"id": "other"}))
        .await
        .refused_saying(400, "ModelArts.50004000", "id: unknown member");
    operator.delete(&path).await.ok();
    for answer in [
        operator.get(&path).await,
        operator.delete(&path).await,
        operator.patch(&path, &json!({})).await,
    ] {
        answer.refused(404, "ModelArts.50005101");
    }
}

async fn a_user_gets_roles_and_loses_them(server: TestServer) {
    let operator = &server.operator;
    let project = json!({"domain": home(&server).await, "name": "second"});
    let second = text(&operator.post("/admin/v1/projects", &project).await.ok(), "id");
    let ada = somebody(&server, "ada", &server.project, "user").await;
    let users = operator.get("/admin/v1/users").await.ok();
    let user = users["users"]
        .as_array()
        .unwrap()
        .iter()
        .find(|user| user["name"] == "ada")
        .unwrap();
    let path = format!("/admin/v1/users/{}", text(user, "id"));
    let there = format!("/v2/{second}/pools");
    ada.get(&there).await.refused(403, "ModelArts.0210");
    let changed = operator.patch(&path, &json!({"roles": {second.clone(): "viewer"}})).await.ok();
    assert_eq!(changed["roles"].as_object().unwrap().len(), 2, "the other role stays");
    ada.get(&there).await.ok();
    let taken = json!({"roles": {server.project.clone(): null}});
    operator.patch(&path, &taken).await.ok();
    ada.get(&server.pools()).await.refused(403, "ModelArts.0210");
    operator
        .patch(&path, &json!({"roles": null}))
        .await
        .refused_saying(400, "ModelArts.50004000", "roles: must not be null");
}

async fn a_password_is_set_and_taken_away_and_never_shown(server: TestServer) {
    let operator = &server.operator;
    let wanted = json!({"domain": home(&server).await, "name": "ada", "password": "correct horse"});
    let made = operator.post("/admin/v1/users", &wanted).await;
    assert!(
        !made.text.contains("correct horse") && !made.text.contains("argon"),
        "{}",
        made.text
    );
    let made = made.ok();
    let id = text(&made, "id");
    let path = format!("/admin/v1/users/{id}");
    assert_eq!(log_in(&server, &id, "correct horse").await, 201);
    let changed = operator.patch(&path, &json!({"password": "battery staple"})).await;
    assert!(!changed.text.contains("battery"), "{}", changed.text);
    changed.ok();
    assert_eq!(log_in(&server, &id, "correct horse").await, 401);
    assert_eq!(log_in(&server, &id, "battery staple").await, 201);
    let answer = operator.patch(&path, &json!({"password": "short"})).await;
    let answer = answer.refused_saying(400, "ModelArts.50004000", "password: must be 8 to 128");
    assert!(!answer.text.contains("short\""), "{}", answer.text);
    let without = operator.patch(&path, &json!({"password": null})).await.ok();
    assert_eq!(without["hasPassword"], false);
    assert_eq!(log_in(&server, &id, "battery staple").await, 401);
    for target in [path.as_str(), "/admin/v1/users"] {
        let shown = operator.get(target).await.text;
        assert!(!shown.contains("staple") && !shown.contains("argon"), "{shown}");
    }
}

async fn access_keys_come_and_go_and_their_secret_is_shown_once(server: TestServer) {
    let operator = &server.operator;
    let user = json!({"domain": home(&server).await, "name": "ada", "roles": {server.project.clone(): "viewer"}});
    let user = operator.post("/admin/v1/users", &user).await.ok();
    let keys = format!("/admin/v1/users/{}/access-keys", text(&user, "id"));
    let made = operator.post(&keys, &json!({"description": "laptop"})).await.ok();
    let (id, secret) = (text(&made, "accessKey"), text(&made, "secretKey"));
    let path = format!("/admin/v1/access-keys/{id}");
    let temporary = operator.post(&keys, &json!({"lifetime": 900})).await.ok();
    assert_eq!(
        (&temporary["temporary"], temporary["securityToken"].is_string()),
        (&json!(true), true)
    );
    for target in [path.as_str(), keys.as_str(), "/admin/v1/access-keys", "/admin/v1/users"] {
        let shown = operator.get(target).await.text;
        assert!(
            !shown.contains(&secret) && !shown.contains(temporary["securityToken"].as_str().unwrap()),
            "{shown}"
        );
    }
    let shown = operator.get(&path).await.ok();
    assert_eq!((&shown["description"], &shown["enabled"]), (&json!("laptop"), &json!(true)));
    let ada = server.user.with_credential(Credential::AccessKey {
        id: domain::name::AccessKeyId::parse(&id).unwrap(),
        secret: SecretString::from(secret),
    });
    ada.get(&server.pools()).await.ok();
    let off = operator.patch(&path, &json!({"enabled": false, "description": null})).await.ok();
    assert_eq!((&off["enabled"], &off["description"]), (&json!(false), &json!("")));
    ada.get(&server.pools()).await.refused(401, "ModelArts.50001000");
    operator.patch(&path, &json!({"enabled": true})).await.ok();
    ada.get(&server.pools()).await.ok();
    let dry = operator.post(&format!("{keys}?dryRun=true"), &json!({})).await.ok();
    assert!(dry["accessKey"].is_string() && dry.get("secretKey").is_none(), "{dry}");
    assert_eq!(operator.get(&keys).await.ok()["accessKeys"].as_array().unwrap().len(), 2);
    operator
        .post(&keys, &json!({"lifetime": 60}))
        .await
        .refused_saying(400, "ModelArts.50004000", "lifetime: must be 15 minutes");
    operator.delete(&path).await.ok();
    ada.get(&server.pools()).await.refused(401, "ModelArts.50001000");
    for answer in [
        operator.get(&path).await,
        operator.delete(&path).await,
        operator.patch(&path, &json!([])).await,
    ] {
        answer.refused(404, "ModelArts.50005101");
    }
    let nobody = "/admin/v1/users/nobody/access-keys";
    operator.get(nobody).await.refused(404, "ModelArts.50005101");
    operator.post(nobody, &json!([])).await.refused(404, "ModelArts.50005101");
}

async fn the_last_operator_stays(server: TestServer) {
    let operator = &server.operator;
    let users = operator.get("/admin/v1/users").await.ok();
    let operators: Vec<_> = users["users"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|user| user["roles"][&server.project] == "operator")
        .collect();
    assert_eq!(operators.len(), 1, "{users:#}");
    let path = format!("/admin/v1/users/{}", text(operators[0], "id"));
    let demoted = json!({"roles": {server.project.clone(): "user"}});
    for answer in [
        operator.delete(&path).await,
        operator.patch(&path, &json!({"enabled": false})).await,
        operator.patch(&path, &demoted).await,
    ] {
        answer.refused_saying(400, "ModelArts.50004000", "the last operator");
    }
}

async fn changes_are_tried_bound_and_repeated(server: TestServer) {
    let operator = &server.operator;
    let dry = operator.post("/admin/v1/domains?dryRun=true", &json!({"name": "north"})).await;
    assert_eq!(dry.header("etag"), "");
    let path = format!("/admin/v1/domains/{}", text(&dry.ok(), "id"));
    operator.get(&path).await.refused(404, "ModelArts.50005101");
    let keyed = operator.with_header("idempotency-key", "north-1");
    let first = keyed.post("/admin/v1/domains", &json!({"name": "north"})).await.ok();
    assert_eq!(keyed.post("/admin/v1/domains", &json!({"name": "north"})).await.ok(), first);
    keyed
        .post("/admin/v1/domains", &json!({"name": "other"}))
        .await
        .refused(409, "ModelArts.50004091");
    let user = json!({"domain": first["id"], "name": "ada"});
    let user = operator.post("/admin/v1/users", &user).await.ok();
    for path in [
        format!("/admin/v1/domains/{}", text(&first, "id")),
        format!("/admin/v1/users/{}", text(&user, "id")),
    ] {
        let bound = operator.with_header("if-match", operator.get(&path).await.header("etag"));
        operator.patch(&format!("{path}?dryRun=true"), &json!({"name": "east"})).await.ok();
        assert_eq!(bound.patch(&path, &json!({"name": "west"})).await.ok()["name"], "west");
        // A stale copy is told so before its body is looked at.
        bound.patch(&path, &json!({"name": ""})).await.refused(412, "ModelArts.50004120");
        bound.patch(&path, &json!([])).await.refused(412, "ModelArts.50004120");
        bound.delete(&path).await.refused(412, "ModelArts.50004120");
        operator
            .send(reqwest::Method::PATCH, &path, "text/plain", b"{}".to_vec())
            .await
            .refused(415, "ModelArts.50004100");
    }
}

async fn lists_have_pages_and_filters(server: TestServer) {
    let operator = &server.operator;
    let domain = text(&operator.post("/admin/v1/domains", &json!({"name": "north"})).await.ok(), "id");
    for at in (0..5).rev() {
        let user = json!({"domain": domain, "name": format!("user-{at}")});
        operator.post("/admin/v1/users", &user).await.ok();
    }
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let page = operator
            .get(&format!("/admin/v1/users?domain={domain}&limit=2&continue={token}"))
            .await
            .ok();
        names.extend(page["users"].as_array().unwrap().iter().map(|user| text(user, "name")));
        let Some(next) = page["metadata"]["continue"].as_str() else { break };
        assert_eq!(page["metadata"]["remainingItemCount"], 5 - names.len());
        next.clone_into(&mut token);
    }
    assert_eq!(names, ["user-0", "user-1", "user-2", "user-3", "user-4"]);
    assert!(operator.get("/admin/v1/users").await.ok()["users"].as_array().unwrap().len() > 5);
    let empty = operator.get(&format!("/admin/v1/projects?domain={domain}")).await.ok();
    assert_eq!(empty["projects"], json!([]));
    let empty = operator.get("/admin/v1/access-keys?user=nobody").await.ok();
    assert_eq!(empty["accessKeys"], json!([]));
    for target in [
        "/admin/v1/users?limit=-1",
        "/admin/v1/domains?continue=%21",
        "/admin/v1/flavors?limit=x",
    ] {
        operator.get(target).await.refused(400, "ModelArts.50004000");
    }
}
