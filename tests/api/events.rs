//! Events of pools, and scheduled events.

use crate::bodies::{CPU, await_condition, await_gone, name, ready_pool, resources};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::TestServer;

crate::on_both_stores!(
    events_tell_the_life_of_a_pool,
    events_are_filtered_and_paged,
    wrong_event_queries_are_refused,
    old_events_disappear,
    scheduled_events_are_announced_and_accepted,
    consent_may_name_a_time,
    wrong_acceptances_are_refused,
    scheduled_events_go_with_their_pool,
);

fn events(server: &TestServer, pool: &str, query: &str) -> String {
    format!("/v1/{}/events?resource=pools&name={pool}{query}", server.project)
}

fn id(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

async fn grow(server: &TestServer, path: &str, count: u32) {
    let body = json!({"spec": {"resources": resources(CPU, count)}});
    server.user.patch(path, &body).await.ok();
    server.clock.advance(Duration::from_secs(2));
    await_condition(&server.user, path, "Ready").await;
}

fn messages(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap().iter();
    items.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

/// Asks until a pool has so many events: changes of its counters within a second are told by one, after that second.
async fn await_events(server: &TestServer, path: &str, least: usize) -> Value {
    loop {
        let list = server.user.get(&events(server, id(path), "")).await.ok();
        if list["items"].as_array().unwrap().len() >= least {
            return list;
        }
    }
}

async fn events_tell_the_life_of_a_pool(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    let list = server.user.get(&events(&server, id(&path), "&ascend=true")).await.ok();
    assert_eq!(
        (list["kind"].as_str(), list["apiVersion"].as_str()),
        (Some("EventList"), Some("v1"))
    );
    assert_eq!(list["metadata"], json!({}));
    assert_eq!(list["total"], list["items"].as_array().unwrap().len());
    assert!(
        messages(&list).contains(&"Pool status changed, from Creating to Running.".to_owned()),
        "{list:#}"
    );
    let newest = server.user.get(&events(&server, id(&path), "")).await.ok();
    let mut reversed = messages(&newest);
    reversed.reverse();
    assert_eq!(reversed, messages(&list));
    let first = &list["items"][0];
    assert_eq!(
        (first["kind"].as_str(), first["type"].as_str(), first["count"].as_u64()),
        (Some("Event"), Some("Normal"), Some(1))
    );
    assert_eq!(first["firstTimestamp"], first["lastTimestamp"]);
    let fault = json!({"kind": "clusterDown", "reason": "smoke"});
    let faults = server.admin(&format!("pools/{}/faults", id(&path)));
    server.operator.post(&faults, &fault).await.ok();
    server.clock.advance(Duration::from_mins(10));
    await_condition(&server.user, &path, "Abnormal").await;
    let warnings = server.user.get(&events(&server, id(&path), "&type=Warning")).await.ok();
    assert_eq!(
        messages(&warnings),
        ["Pool status changed, from Running to Abnormal, details: the control plane is not reachable."]
    );
    server.user.delete(&path).await.ok();
    await_gone(&server.user, &path).await;
    let gone = server.user.get(&events(&server, id(&path), "")).await;
    let told = format!("Pool {} not found.", id(&path));
    assert_eq!(gone.refused(404, "ModelArts.50015001").message(), told);
}

async fn events_are_filtered_and_paged(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    server.clock.advance(Duration::from_secs(2));
    await_events(&server, &path, 2).await;
    server.clock.advance(Duration::from_mins(10));
    grow(&server, &path, 2).await;
    let all = await_events(&server, &path, 3).await;
    let whole = messages(&all);
    for order in ["", "&ascend=true"] {
        let whole = messages(&server.user.get(&events(&server, id(&path), order)).await.ok());
        // By tokens, one event a page.
        let (mut seen, mut next) = (Vec::new(), String::new());
        loop {
            let page = server
                .user
                .get(&events(&server, id(&path), &format!("{order}&limit=1&offset=7{next}")))
                .await
                .ok();
            let page = if next.is_empty() {
                server.user.get(&events(&server, id(&path), &format!("{order}&limit=1"))).await.ok()
            } else {
                page
            };
            assert_eq!(page["total"], whole.len());
            seen.extend(messages(&page));
            match page["metadata"]["continue"].as_str() {
                Some(token) => next = format!("&continue={token}"),
                None => break,
            }
        }
        assert_eq!(seen, whole);
        // By offsets.
        let mut seen = Vec::new();
        for offset in 0..whole.len() {
            let page = format!("{order}&limit=1&offset={offset}");
            seen.extend(messages(&server.user.get(&events(&server, id(&path), &page)).await.ok()));
        }
        assert_eq!(seen, whole);
    }
    let beyond = server.user.get(&events(&server, id(&path), "&offset=1000")).await.ok();
    assert_eq!(beyond["items"], json!([]));
    // The change was ten minutes after the creation.
    let newest: jiff::Timestamp = all["items"][0]["lastTimestamp"].as_str().unwrap().parse().unwrap();
    let cut = newest.as_second() - 300;
    let late = server.user.get(&events(&server, id(&path), &format!("&since={cut}"))).await.ok();
    let early = server
        .user
        .get(&events(&server, id(&path), &format!("&until={}", cut * 1000)))
        .await
        .ok();
    let shown = format!("&since={0}&until={0}", newest.as_second());
    let then = server.user.get(&events(&server, id(&path), &shown)).await.ok();
    assert_eq!(
        messages(&then)[0],
        whole[0],
        "times are shown in whole seconds, and the ends are included"
    );
    assert!(!messages(&late).is_empty() && !messages(&early).is_empty());
    assert_eq!(messages(&late).len() + messages(&early).len(), whole.len());
}

async fn wrong_event_queries_are_refused(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    let base = format!("/v1/{}/events", server.project);
    for wrong in [
        String::new(),
        format!("?name={}", id(&path)),
        format!("?resource=pool&name={}", id(&path)),
        "?resource=pools".to_owned(),
        format!("?resource=pools&name={}&type=Bad", id(&path)),
        format!("?resource=pools&name={}&limit=-1", id(&path)),
        format!("?resource=pools&name={}&since=x", id(&path)),
        format!("?resource=pools&name={}&ascend=1", id(&path)),
        format!("?resource=pools&name={}&continue=!", id(&path)),
    ] {
        let answer = server.user.get(&format!("{base}{wrong}")).await;
        answer.refused(400, "ModelArts.50004000");
    }
    server
        .user
        .get(&events(&server, "none", ""))
        .await
        .refused(404, "ModelArts.50015001");
}

async fn old_events_disappear(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    let all = events(&server, id(&path), "");
    assert!(!messages(&server.user.get(&all).await.ok()).is_empty());
    let before = server.stored(store::Kind::Event);
    server.clock.advance(Duration::from_hours(30 * 24 + 1));
    assert_eq!(server.user.get(&all).await.ok()["total"], 0, "at once");
    grow(&server, &path, 2).await;
    let after = server.stored(store::Kind::Event);
    let list = server.user.get(&all).await.ok();
    assert_eq!(list["total"], after, "with the next step the store has forgotten them: {before}");
}

async fn announced(server: &TestServer, node: &str, more: Value) -> Value {
    let mut body = json!({"nodeName": node, "catalog": "hardware", "type": "node_redeploy", "description": "a fan is loud"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server.operator.post(&server.admin("scheduled-events"), &body).await.ok()
}

async fn first_node(server: &TestServer, path: &str) -> String {
    name(&server.user.get(&format!("{path}/nodes")).await.ok()["items"][0])
}

async fn scheduled_events_are_announced_and_accepted(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    let node = first_node(&server, &path).await;
    let event = announced(&server, &node, json!({"redeployType": ["SOFT", "HARD"]})).await;
    assert_eq!(event["state"], "inquiring");
    assert_eq!((&event["poolName"], &event["nodeName"]), (&json!(id(&path)), &json!(node)));
    assert_eq!(
        (event["poolDisplayName"].as_str(), event["instanceType"].as_str()),
        (Some("pool-one"), Some("standard"))
    );
    assert!(event["instanceId"].is_string() && event["underLyingInstanceId"].is_string() && event["publishTime"].is_string());
    let list = format!("/v1/{}/scheduled-events", server.project);
    assert_eq!(server.user.get(&list).await.ok(), json!({"count": 1, "events": [event]}));
    for (query, count) in [
        ("state=inquiring&state=failed".to_owned(), 1),
        ("state=failed".to_owned(), 0),
        ("type=node_reboot".to_owned(), 0),
        ("type=node_redeploy&type=node_reboot".to_owned(), 1),
        (format!("nodeName={node}&poolName={}", id(&path)), 1),
        ("poolName=other".to_owned(), 0),
        (format!("id={}", event["id"].as_str().unwrap()), 1),
        ("workspaceId=0".to_owned(), 1),
        ("publishEndTime=2001-01-01T00:00:00Z".to_owned(), 0),
        ("publishStartTime=2001-01-01T00:00:00Z".to_owned(), 1),
    ] {
        let found = server.user.get(&format!("{list}?{query}")).await.ok();
        assert_eq!(found["count"], count, "{query}");
    }
    for wrong in ["limit=0", "limit=x", "offset=-1", "state=done", "type=x", "publishEndTime=1"] {
        server.user.get(&format!("{list}?{wrong}")).await.refused(400, "ModelArts.50004000");
    }
    let accept = format!("{list}/{}/accept", event["id"].as_str().unwrap());
    let body = json!({"redeployConfig": {"type": "SOFT", "autoFlow": "true"}});
    let accepted = server.user.post(&accept, &body).await.ok();
    assert_eq!(accepted["state"], "executing");
    assert!(accepted["startTime"].is_string());
    server
        .user
        .post(&accept, &body)
        .await
        .refused_saying(400, "ModelArts.50004000", "it is executing");
    let one = server.admin(&format!("scheduled-events/{}", event["id"].as_str().unwrap()));
    let done = json!({"state": "completed", "jobProgress": "3/3", "probeMsg": "quiet"});
    let done = server.operator.patch(&one, &done).await.ok();
    assert_eq!(
        (done["state"].as_str(), done["jobProgress"].as_str()),
        (Some("completed"), Some("3/3"))
    );
    assert!(done["finishTime"].is_string());
    server.operator.patch(&one, &json!({"state": "executing"})).await.refused_saying(
        400,
        "ModelArts.50004000",
        "cannot go from completed to executing",
    );
    assert_eq!(server.operator.get(&one).await.ok(), done);
    let all = server.operator.get(&server.admin("scheduled-events")).await.ok();
    assert_eq!(all["events"], json!([done]));
    server.operator.delete(&one).await.ok();
    server.operator.get(&one).await.refused(404, "ModelArts.50005101");
    assert_eq!(server.user.get(&list).await.ok()["count"], 0);
}

async fn consent_may_name_a_time(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    let node = first_node(&server, &path).await;
    let event = announced(&server, &node, json!({})).await;
    let list = format!("/v1/{}/scheduled-events", server.project);
    let accept = format!("{list}/{}/accept", event["id"].as_str().unwrap());
    let published: jiff::Timestamp = event["publishTime"].as_str().unwrap().parse().unwrap();
    let later = published + Duration::from_hours(2);
    let past = json!({"notBefore": (published - Duration::from_hours(1)).to_string()});
    server
        .user
        .post(&accept, &past)
        .await
        .refused_saying(400, "ModelArts.50004000", "notBefore: must be in the future");
    let accepted = server.user.post(&accept, &json!({"notBefore": later.to_string()})).await.ok();
    assert_eq!(
        (accepted["state"].as_str(), accepted["notBefore"].as_str()),
        (Some("scheduled"), Some(later.to_string().as_str()))
    );
    server.clock.advance(Duration::from_hours(3));
    let begun = server.user.get(&format!("{list}?state=executing")).await.ok();
    assert_eq!(begun["events"][0]["startTime"], later.to_string());
}

async fn wrong_acceptances_are_refused(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    let node = first_node(&server, &path).await;
    let list = format!("/v1/{}/scheduled-events", server.project);
    for wrong in [
        json!({}),
        json!({"nodeName": "none", "catalog": "hardware", "type": "node_reboot"}),
        json!({"nodeName": node, "catalog": "wood", "type": "node_reboot"}),
        json!({"nodeName": node, "catalog": "software", "type": "dance"}),
        json!({"nodeName": node, "catalog": "software", "type": "node_reboot", "state": "scheduled"}),
        json!({"nodeName": node, "catalog": "software", "type": "node_reboot", "color": "red"}),
    ] {
        let answer = server.operator.post(&server.admin("scheduled-events"), &wrong).await;
        answer.refused(400, "ModelArts.50004000");
    }
    let body = json!({"nodeName": node, "catalog": "hardware", "type": "node_reboot"});
    server
        .user
        .post(&server.admin("scheduled-events"), &body)
        .await
        .refused(403, "ModelArts.0108");
    let event = announced(&server, &node, json!({"redeployType": ["HARD"]})).await;
    let accept = format!("{list}/{}/accept", event["id"].as_str().unwrap());
    let soft = json!({"redeployConfig": {"type": "SOFT"}});
    for (body, told) in [
        (soft.clone(), "does not offer SOFT"),
        (json!([]), "must be an object"),
        (json!({"notBefore": "soon"}), "notBefore: must be a time"),
        (json!({"redeployConfig": {"type": "WARM"}}), "redeployConfig.type: must be one of"),
    ] {
        let answer = server.user.post(&accept, &body).await;
        answer.refused_saying(400, "ModelArts.50004000", told);
    }
    let none = format!("{list}/0/accept");
    server.user.post(&none, &json!([])).await.refused(404, "ModelArts.50005101");
    // SOFT needs a node that works.
    let event = announced(&server, &node, json!({})).await;
    let machine = event["underLyingInstanceId"].as_str().unwrap();
    let faults = format!("/admin/v1/machines/{machine}/faults");
    let broken = json!({"kind": "faulty", "reason": "smoke"});
    server.operator.post(&faults, &broken).await.ok();
    server.await_pool(&path, |pool| crate::bodies::count(pool, "abnormal") == 1).await;
    let accept = format!("{list}/{}/accept", event["id"].as_str().unwrap());
    server
        .user
        .post(&accept, &soft)
        .await
        .refused_saying(400, "ModelArts.50004000", "SOFT needs an available node");
    server.user.post(&accept, &json!({"redeployConfig": {"type": "HARD"}})).await.ok();
}

async fn scheduled_events_go_with_their_pool(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    let node = first_node(&server, &path).await;
    announced(&server, &node, json!({})).await;
    server.user.delete(&path).await.ok();
    await_gone(&server.user, &path).await;
    assert_eq!(server.stored(store::Kind::ScheduledEvent), 0);
    let list = format!("/v1/{}/scheduled-events", server.project);
    assert_eq!(server.user.get(&list).await.ok()["count"], 0);
}
