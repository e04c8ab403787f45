//! The record of who did what.

use crate::bodies::{CPU, pool, resources};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::client::Credential;
use testkit::{Client, TestServer};

crate::on_both_stores!(
    changes_and_refusals_are_recorded_and_reads_are_not,
    the_record_is_filtered_and_paged,
    nothing_secret_is_recorded,
    the_record_is_kept_through_a_restart_and_forgotten_in_the_end,
);

/// Asks until the record has so many entries that fit.
async fn recorded(server: &TestServer, query: &str, count: usize) -> Vec<Value> {
    for _ in 0..1_000 {
        server.clock.advance(Duration::from_secs(1));
        let page = server.operator.get(&format!("/admin/v1/audit?{query}")).await.ok();
        let entries = page["entries"].as_array().unwrap();
        if entries.len() >= count {
            assert_eq!(entries.len(), count, "{entries:#?}");
            return entries.clone();
        }
    }
    panic!("{query} never had {count} entries")
}

fn login(password: &str, project: &str) -> Value {
    json!({"auth": {"identity": {"methods": ["password"], "password": {"user":
        {"name": "demo", "password": password, "domain": {"name": "demo"}}}}, "scope": {"project": {"id": project}}}})
}

async fn changes_and_refusals_are_recorded_and_reads_are_not(server: TestServer) {
    let proxied = server.user.with_header("x-forwarded-for", "6.6.6.6");
    let made = proxied.post(&server.pools(), &pool(&server, "pool-one", resources(CPU, 1))).await;
    assert_eq!(made.status, 200, "{}", made.text);
    server.user.get(&server.pools()).await.ok();
    server
        .user
        .delete(&format!("{}/none?dryRun=true", server.pools()))
        .await
        .refused(404, "ModelArts.50015001");
    server.user.get("/admin/v1/users").await.refused(403, "ModelArts.0108");
    let forged = server.with_secret("wrong").get(&server.pools()).await;
    forged.refused(401, "ModelArts.50001000");
    let entries = recorded(&server, "", 4).await;
    let short: Vec<_> = entries
        .iter()
        .map(|it| {
            (
                it["operation"].as_str().unwrap(),
                it["outcome"].as_str().unwrap(),
                it["status"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        short,
        [
            ("ListPools", "refused", 401),
            ("ListUsers", "refused", 403),
            ("DeletePool", "refused", 404),
            ("CreatePool", "done", 200)
        ]
    );
    let create = &entries[3];
    assert_eq!(create["caller"]["credential"], "TESTKEY0000000000001");
    assert_eq!(
        (&create["caller"]["role"], &create["caller"]["operator"]),
        (&json!("user"), &json!(false))
    );
    assert_eq!(
        (&create["address"], &create["project"]),
        (&json!("127.0.0.1"), &json!(server.project)),
        "nobody is trusted"
    );
    assert_eq!((&create["target"], &create["method"]), (&json!(server.pools()), &json!("POST")));
    assert_eq!(
        (&create["requestId"], &create["dryRun"]),
        (&json!(made.header("x-request-id")), &json!(false))
    );
    assert_eq!(
        (&entries[2]["dryRun"], &entries[2]["code"]),
        (&json!(true), &json!("ModelArts.50015001"))
    );
    let reason = entries[0]["reason"].as_str().unwrap();
    assert!(
        entries[0]["caller"].is_null() && reason.contains("TESTKEY0000000000001"),
        "{reason}"
    );
}

async fn the_record_is_filtered_and_paged(server: TestServer) {
    let wrong = server.user.post("/v3/auth/tokens", &login("wrong", &server.project)).await;
    assert_eq!(wrong.status, 401);
    let right = server.user.post("/v3/auth/tokens", &login("password", &server.project)).await;
    assert_eq!(right.status, 201);
    for name in ["pool-one", "pool-two", "pool-three"] {
        server
            .user
            .post(&server.pools(), &pool(&server, name, resources(CPU, 1)))
            .await
            .ok();
    }
    recorded(&server, "", 5).await;
    let logins = recorded(&server, "operation=CreateToken", 2).await;
    assert_eq!(
        (&logins[0]["caller"]["userName"], &logins[0]["outcome"]),
        (&json!("demo"), &json!("done"))
    );
    assert!(logins[1]["caller"].is_null());
    let reason = format!("a log-in as user {} was refused", logins[0]["caller"]["user"].as_str().unwrap());
    assert_eq!(logins[1]["reason"], json!(reason), "whose password was guessed");
    recorded(&server, "outcome=refused", 1).await;
    recorded(&server, "principal=demo", 4).await;
    recorded(&server, "principal=TESTKEY0000000000001&outcome=done", 3).await;
    recorded(&server, &format!("project={}", server.project), 3).await;
    recorded(&server, "project=none", 0).await;
    recorded(&server, "since=99999999999", 0).await;
    recorded(&server, "until=99999999999", 5).await;
    recorded(&server, "until=1", 0).await;
    server
        .operator
        .get("/admin/v1/audit?outcome=odd")
        .await
        .refused(400, "ModelArts.50004000");
    let mut seen = Vec::new();
    let mut next = String::new();
    loop {
        let page = server.operator.get(&format!("/admin/v1/audit?limit=2&continue={next}")).await.ok();
        seen.extend(page["entries"].as_array().unwrap().iter().map(|it| it["requestId"].clone()));
        match page["metadata"]["continue"].as_str() {
            Some(token) => token.clone_into(&mut next),
            None => break,
        }
    }
    let all = recorded(&server, "", 5).await;
    assert_eq!(seen, all.iter().map(|it| it["requestId"].clone()).collect::<Vec<_>>());
}

async fn nothing_secret_is_recorded(server: TestServer) {
    let wrong = server.user.post("/v3/auth/tokens", &login("my-password", &server.project)).await;
    assert_eq!(wrong.status, 401);
    let guess = server.user.with_credential(Credential::Token("a-guessed-token".to_owned()));
    guess
        .get(&format!("{}?secret=query-secret", server.pools()))
        .await
        .refused(401, "ModelArts.50001000");
    let user = json!({"name": "somebody", "password": "their-password", "domain": crate::operator_accounts::home(&server).await});
    server.operator.post("/admin/v1/users?x=query-secret", &user).await.ok();
    let entries = format!("{:?}", recorded(&server, "", 3).await);
    for secret in [
        "my-password",
        "a-guessed-token",
        "query-secret",
        "their-password",
        "the-admin-token",
        "the secret key",
    ] {
        assert!(!entries.contains(secret), "{secret} in {entries}");
    }
}

async fn the_record_is_kept_through_a_restart_and_forgotten_in_the_end(server: TestServer) {
    let forged: Client = server.with_secret("wrong");
    forged.get(&server.pools()).await.refused(401, "ModelArts.50001000");
    // What was recorded last is written before the server has stopped.
    let server = server.restart().await;
    let entries = recorded(&server, "", 1).await;
    assert_eq!(entries[0]["status"], 401);
    server.clock.advance(Duration::from_hours(91 * 24));
    // Old ones are looked for where new ones are written.
    server
        .with_secret("wrong")
        .get(&server.pools())
        .await
        .refused(401, "ModelArts.50001000");
    for _ in 0..1_000 {
        server.clock.advance(Duration::from_secs(1));
        let page = server.operator.get("/admin/v1/audit").await.ok();
        if page["entries"]
            .as_array()
            .unwrap()
            .iter()
            .all(|entry| entry["requestId"] != entries[0]["requestId"])
        {
            return;
        }
    }
    panic!("it was never forgotten");
}
