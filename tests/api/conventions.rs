//! What holds for every endpoint: errors, preconditions, idempotency, dry runs, waiting, paging.

use crate::bodies::{CPU, await_condition, await_gone, label, name, pool, ready_pool, resources};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::TestServer;

crate::on_both_stores!(
    unknown_routes_and_methods,
    bodies_that_are_too_large_or_broken,
    every_answer_has_a_request_id,
    all_offending_fields_are_named_at_once,
    an_error_leaves_everything_as_it_was,
    a_stale_entity_tag_is_refused,
    an_idempotency_key_is_carried_out_once,
    an_idempotency_key_keeps_refusals_too,
    a_dry_run_answers_what_would_be_stored_and_stores_nothing,
    patches_of_different_fields_both_take_effect,
    of_two_creates_with_one_name_one_wins,
    pages_of_a_list_hold_everything_once,
    quotas_are_exact_under_concurrency,
    the_encoded_placeholder_of_a_project_is_a_clear_refusal,
);

async fn unknown_routes_and_methods(server: TestServer) {
    server.user.get("/v2/nothing/here").await.refused(404, "ModelArts.50004040");
    let answer = server
        .user
        .put(&server.pools(), &json!({}))
        .await
        .refused(405, "ModelArts.50004050");
    let allow: BTreeSet<_> = answer.header("allow").split(", ").collect();
    assert_eq!(allow, BTreeSet::from(["GET", "POST"]));
}

async fn bodies_that_are_too_large_or_broken(server: TestServer) {
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(1024 * 1024));
    server
        .user
        .send(Method::POST, &server.pools(), "application/json", large.into())
        .await
        .refused(413, "ModelArts.50004130");
    for broken in [
        "",
        "{",
        "[1,2",
        "{\"a\":1,,}",
        "nul",
        "{\"a\":\"\\x\"}",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    ] {
        let answer = server
            .user
            .send(Method::POST, &server.pools(), "application/json", broken.into())
            .await;
        answer.refused(400, "ModelArts.50004000");
    }
    server
        .user
        .send(Method::POST, &server.pools(), "application/json", vec![0xff, 0xfe, b'{'])
        .await
        .refused(400, "ModelArts.50004000");
}

async fn every_answer_has_a_request_id(server: TestServer) {
    let mut ids = BTreeSet::new();
    for target in [server.pools(), "/nowhere".to_owned(), "/healthz".to_owned(), "/v3".to_owned()] {
        ids.insert(server.user.get(&target).await.header("x-request-id").to_owned());
    }
    assert_eq!(ids.len(), 4);
    assert!(ids.iter().all(|id| id.len() == 36), "{ids:?}");
}

async fn all_offending_fields_are_named_at_once(server: TestServer) {
    let body = json!({
        "kind": "Pond", "apiVersion": "v2", "metadata": {"labels": {"os.modelarts/name": "X"}},
        "spec": {"type": "Dedicate", "network": {"name": server.network()}, "resources": [{"flavor": 1, "count": "many"}, {"count": -1}]}
    });
    let answer = server.user.post(&server.pools(), &body).await.refused(400, "ModelArts.50004000");
    let fields: BTreeSet<_> = answer.body["details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|detail| detail["field"].as_str().unwrap())
        .collect();
    for field in [
        "kind",
        "metadata.labels[os.modelarts/name]",
        "spec.resources[0].flavor",
        "spec.resources[0].count",
        "spec.resources[1].flavor",
        "spec.resources[1].count",
    ] {
        assert!(fields.contains(field), "{field} is missing in {fields:?}");
    }
    assert!(answer.message().starts_with("Bad request. kind"), "{}", answer.message());
    let unknown = pool(&server, "pool-unknown", resources("modelarts.none", 1));
    let answer = server.user.post(&server.pools(), &unknown).await.refused(400, "ModelArts.50004000");
    assert_eq!(
        answer.message(),
        "Bad request. spec.resources[0].flavor: unknown flavor \"modelarts.none\""
    );
}

async fn an_error_leaves_everything_as_it_was(server: TestServer) {
    let path = ready_pool(&server, "pool-calm", resources(CPU, 1)).await;
    let before = server.user.get(&path).await;
    let patch =
        json!({"metadata": {"annotations": {"os.modelarts/description": "new"}}, "spec": {"resources": resources("modelarts.none", 1)}});
    server.user.patch(&path, &patch).await.refused(400, "ModelArts.50004000");
    let after = server.user.get(&path).await;
    assert_eq!((after.header("etag"), &after.body), (before.header("etag"), &before.body));
}

fn describe(text: &str) -> Value {
    json!({"metadata": {"annotations": {"os.modelarts/description": text}}})
}

async fn a_stale_entity_tag_is_refused(server: TestServer) {
    let path = ready_pool(&server, "pool-etag", resources(CPU, 1)).await;
    let tag = server.user.get(&path).await.header("etag").to_owned();
    let guarded = server.user.with_header("if-match", &tag);
    let first = guarded.patch(&path, &describe("first")).await;
    assert_ne!(first.header("etag"), tag);
    first.ok();
    // The stale copy is refused as stale, not for what it would change.
    guarded
        .patch(&path, &json!({"spec": {"type": "Logical"}}))
        .await
        .refused(412, "ModelArts.50004120");
    guarded.delete(&path).await.refused(412, "ModelArts.50004120");
    server.user.with_header("if-match", "*").patch(&path, &describe("any")).await.ok();
}

async fn an_idempotency_key_is_carried_out_once(server: TestServer) {
    let keyed = server.user.with_header("idempotency-key", "create-1");
    let body = pool(&server, "pool-once", resources(CPU, 1));
    let first = keyed.post(&server.pools(), &body).await;
    let again = keyed.post(&server.pools(), &body).await;
    assert_eq!(again.header("etag"), first.header("etag"));
    assert_eq!(again.ok(), first.ok());
    keyed
        .post(&server.pools(), &pool(&server, "pool-other", resources(CPU, 1)))
        .await
        .refused(409, "ModelArts.50004091");
    server.user.post(&server.pools(), &body).await.refused(409, "ModelArts.50015000");
    let path = format!("{}/pool-once-{}", server.pools(), server.project);
    await_condition(&server.user, &path, "Ready").await;
    let scale = server.user.with_header("idempotency-key", "scale-1");
    let patch = json!({"spec": {"resources": resources(CPU, 2)}});
    let first = scale.patch(&path, &patch).await.ok();
    await_condition(&server.user, &path, "Ready").await;
    assert_eq!(scale.patch(&path, &patch).await.ok(), first);
}

async fn an_idempotency_key_keeps_refusals_too(server: TestServer) {
    let keyed = server.user.with_header("idempotency-key", "refused-1");
    let body = pool(&server, "pool-late", resources("modelarts.none", 1));
    let first = keyed.post(&server.pools(), &body).await.refused(400, "ModelArts.50004000");
    let again = keyed.post(&server.pools(), &body).await.refused(400, "ModelArts.50004000");
    assert_eq!(again.message(), first.message());
    server
        .user
        .with_header("idempotency-key", "")
        .post(&server.pools(), &body)
        .await
        .refused(400, "ModelArts.50004000");
}

async fn a_dry_run_answers_what_would_be_stored_and_stores_nothing(server: TestServer) {
    let body = pool(&server, "pool-dry", resources(CPU, 2));
    let dry = server.user.post(&format!("{}?dryRun=true", server.pools()), &body).await;
    assert_eq!(dry.header("etag"), "");
    let dry = dry.ok();
    assert_eq!(dry["status"]["phase"], "Creating");
    let path = format!("{}/{}", server.pools(), name(&dry));
    server.user.get(&path).await.refused(404, "ModelArts.50015001");
    server
        .user
        .post(
            &format!("{}?dryRun=true", server.pools()),
            &pool(&server, "pool-dry", resources("modelarts.none", 1)),
        )
        .await
        .refused(400, "ModelArts.50004000");
    let path = ready_pool(&server, "pool-dry", resources(CPU, 2)).await;
    let before = server.user.get(&path).await.ok();
    let patched = server
        .user
        .patch(&format!("{path}?dryRun=true"), &json!({"spec": {"resources": resources(CPU, 3)}}))
        .await
        .ok();
    assert_eq!(patched["spec"]["resources"][0]["count"], 3);
    server.user.delete(&format!("{path}?dryRun=true")).await.ok();
    assert_eq!(server.user.get(&path).await.ok(), before);
}

async fn patches_of_different_fields_both_take_effect(server: TestServer) {
    let path = ready_pool(&server, "pool-both", resources(CPU, 1)).await;
    let patches: Vec<Value> = (0..12)
        .map(|at| match at {
            0 => json!({"spec": {"resources": resources(CPU, 2)}}),
            1 => describe("both"),
            2 => json!({"metadata": {"labels": {"os.modelarts/sharing": "shared"}}}),
            at => json!({"metadata": {"labels": {format!("key-{at}"): "x"}}}),
        })
        .collect();
    let answers: Vec<_> = patches
        .iter()
        .map(|patch| {
            let (user, path, patch) = (server.user.clone(), path.clone(), patch.clone());
            tokio::spawn(async move { user.patch(&path, &patch).await })
        })
        .collect();
    for answer in answers {
        answer.await.unwrap().ok();
    }
    let shown = await_condition(&server.user, &path, "Ready").await;
    assert_eq!(shown["spec"]["resources"][0]["count"], 2);
    assert_eq!(shown["metadata"]["annotations"]["os.modelarts/description"], "both");
    assert_eq!(label(&shown, "os.modelarts/sharing"), "shared");
    assert!((3..12).all(|at| label(&shown, &format!("key-{at}")) == "x"));
}

async fn of_two_creates_with_one_name_one_wins(server: TestServer) {
    let attempts: Vec<_> = (0..8)
        .map(|_| {
            let (user, target, body) = (server.user.clone(), server.pools(), pool(&server, "pool-race", resources(CPU, 1)));
            tokio::spawn(async move { user.post(&target, &body).await.status })
        })
        .collect();
    let mut statuses = Vec::new();
    for attempt in attempts {
        statuses.push(attempt.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409]);
}

async fn pages_of_a_list_hold_everything_once(server: TestServer) {
    for at in 0..7 {
        server
            .user
            .post(&server.pools(), &pool(&server, &format!("pool-{at:02}"), resources(CPU, 1)))
            .await
            .ok();
    }
    let all = server.user.get(&server.pools()).await.ok();
    assert!(all.get("metadata").is_none(), "paging was not asked for");
    let expected: Vec<_> = all["items"].as_array().unwrap().iter().map(name).collect();
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let page = server.user.get(&format!("{}?limit=3&continue={token}", server.pools())).await.ok();
        found.extend(page["items"].as_array().unwrap().iter().map(name));
        // What comes into being between two pages neither hides nor repeats anything.
        server
            .user
            .delete(&format!("{}/{}?dryRun=true", server.pools(), found[0]))
            .await
            .ok();
        match page["metadata"]["continue"].as_str() {
            Some(next) => {
                assert_eq!(page["metadata"]["remainingItemCount"], expected.len() - found.len());
                next.clone_into(&mut token);
            }
            None => break,
        }
    }
    assert_eq!(found, expected);
    server
        .user
        .get(&format!("{}?limit=-1", server.pools()))
        .await
        .refused_saying(400, "ModelArts.50004000", "limit");
    server
        .user
        .get(&format!("{}?continue=%21", server.pools()))
        .await
        .refused_saying(400, "ModelArts.50004000", "continue");
    assert_eq!(
        server.user.get(&format!("{}?limit=100000", server.pools())).await.ok()["items"]
            .as_array()
            .unwrap()
            .len(),
        7
    );
}

async fn quotas_are_exact_under_concurrency(server: TestServer) {
    let attempts: Vec<_> = (0..24)
        .map(|at| {
            let (user, target, body) = (
                server.user.clone(),
                server.pools(),
                pool(&server, &format!("pool-{at:02}"), resources(CPU, 1)),
            );
            tokio::spawn(async move { user.post(&target, &body).await })
        })
        .collect();
    let mut created = 0;
    for attempt in attempts {
        let answer = attempt.await.unwrap();
        if answer.status == 200 {
            created += 1;
        } else {
            answer.refused_saying(400, "ModelArts.0118", "The expected pool exceeds the quota limit.");
        }
    }
    assert_eq!(created, 15);
    let quotas = server.user.get(&format!("/v1/{}/quotas", server.project)).await.ok();
    assert_eq!(quotas["quotas"]["resources"][0], json!({"type": "pool", "quota": 15, "used": 15}));
    let first = format!("{}/pool-00-{}", server.pools(), server.project);
    let exists = server.user.get(&first).await.status == 200;
    let victim = if exists {
        first
    } else {
        format!(
            "{}/{}",
            server.pools(),
            name(&server.user.get(&server.pools()).await.ok()["items"][0])
        )
    };
    server.user.delete(&victim).await.ok();
    await_gone(&server.user, &victim).await;
    server
        .user
        .post(&server.pools(), &pool(&server, "pool-again", resources(CPU, 1)))
        .await
        .ok();
}

async fn the_encoded_placeholder_of_a_project_is_a_clear_refusal(server: TestServer) {
    let answer = server.user.get("/v2/%7Bproject_id%7D/pools").await;
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    assert!(!answer.message().is_empty());
}
