//! Lists that go on telling what happens, and revisions that a request can ask for.

use crate::bodies::{CPU, CPU_SMALL, await_gone, name, pool, ready_pool, resources};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::{Event, Events, TestServer};

crate::on_both_stores!(
    a_watch_tells_what_there_is_and_then_what_happens,
    a_watch_goes_on_where_another_one_ended,
    a_watch_follows_its_filter,
    nodes_and_events_are_watched,
    a_silent_watch_says_how_far_it_has_come,
    wrong_watches_are_refused,
    a_revision_is_waited_for,
);

async fn next(events: &mut Events) -> Event {
    events.next().await.unwrap().unwrap()
}

/// Everything up to the first event that says so, that one included.
async fn until(events: &mut Events, is_last: impl Fn(&Event) -> bool) -> Vec<Event> {
    let mut all = Vec::new();
    loop {
        all.push(next(events).await);
        if all.last().is_some_and(&is_last) {
            return all;
        }
    }
}

fn is_of(event: &Event, name: &str, kind: &str) -> bool {
    event.name == kind && event.data["metadata"]["name"] == *name
}

fn watch(server: &TestServer, query: &str) -> String {
    format!("{}?watch=true{query}", server.pools())
}

/// What a client that applies every event has in the end.
fn applied(events: &[Event]) -> BTreeMap<String, Value> {
    let mut known = BTreeMap::new();
    for event in events {
        match event.name.as_str() {
            "ADDED" => assert_eq!(known.insert(name(&event.data), event.data.clone()), None),
            "MODIFIED" => assert!(known.insert(name(&event.data), event.data.clone()).is_some()),
            "DELETED" => assert!(known.remove(&name(&event.data)).is_some()),
            _ => {}
        }
    }
    known
}

async fn a_watch_tells_what_there_is_and_then_what_happens(server: TestServer) {
    let old = ready_pool(&server, "pool-old", resources(CPU, 1)).await;
    let mut events = server.user.watch(&watch(&server, "")).await;
    let first = until(&mut events, |event| event.name == "BOOKMARK").await;
    assert_eq!(first.len(), 2, "{first:#?}");
    assert_eq!((first[0].name.as_str(), first[0].id.as_str()), ("ADDED", ""));
    assert_eq!(first[0].data, server.user.get(&old).await.ok());
    assert_eq!(first[1].data["revision"], first[1].id.as_str());

    let created = server
        .user
        .post(&server.pools(), &pool(&server, "pool-new", resources(CPU, 2)))
        .await
        .ok();
    let new = name(&created);
    let is_up = |event: &Event| is_of(event, &new, "MODIFIED") && event.data["status"]["resources"]["available"][0]["count"] == 2;
    let mut all = [first, until(&mut events, is_up).await].concat();
    let told = all.iter().find(|event| event.data["metadata"]["name"] == *new).unwrap();
    assert_eq!(told.name, "ADDED");
    assert_eq!(told.data, created, "the first that is told of a pool is the answer to its create");

    let path = format!("{}/{new}", server.pools());
    server.user.delete(&path).await.ok();
    await_gone(&server.user, &path).await;
    all.extend(until(&mut events, |event| is_of(event, &new, "DELETED")).await);
    let listed = server.user.get(&server.pools()).await.ok();
    assert_eq!(
        applied(&all).into_values().collect::<Vec<_>>(),
        *listed["items"].as_array().unwrap()
    );
    let ids: Vec<u64> = all.iter().filter_map(|event| event.id.parse().ok()).collect();
    assert!(ids.is_sorted() && ids.len() > 3, "{ids:?}");
}

async fn a_watch_goes_on_where_another_one_ended(server: TestServer) {
    let mut events = server.user.watch(&watch(&server, "")).await;
    let bookmark = next(&mut events).await;
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    let id = path.rsplit('/').next().unwrap();
    server.user.delete(&path).await.ok();
    await_gone(&server.user, &path).await;
    let whole = until(&mut events, |event| is_of(event, id, "DELETED")).await;
    let from_list = format!("&revision={}", bookmark.id);
    let mut again = server.user.watch(&watch(&server, &from_list)).await;
    assert_eq!(until(&mut again, |event| is_of(event, id, "DELETED")).await, whole);
    for (at, event) in whole.iter().enumerate().filter(|(_, event)| !event.id.is_empty()) {
        let client = server.user.with_header("Last-Event-ID", &event.id);
        let mut rest = client.watch(&watch(&server, &from_list)).await;
        for expected in &whole[at + 1..] {
            assert_eq!(next(&mut rest).await, *expected);
        }
    }
    let server = server.restart().await;
    assert!(events.next().await.is_err() || events.next().await.unwrap().is_none());
    let refused = server.user.get(&watch(&server, &from_list)).await;
    refused.refused_saying(410, "ModelArts.50004101", &format!("Revision {} is too old", bookmark.id));
}

async fn a_watch_follows_its_filter(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    let id = path.rsplit('/').next().unwrap();
    let mut red = server.user.watch(&watch(&server, "&labelSelector=color%3Dred")).await;
    assert_eq!(next(&mut red).await.name, "BOOKMARK");
    let paint = |color: Value| json!({"metadata": {"labels": {"color": color}}});
    server.user.patch(&path, &paint(json!("red"))).await.ok();
    assert!(is_of(&next(&mut red).await, id, "ADDED"));
    server.user.patch(&path, &paint(json!("blue"))).await.ok();
    let left = next(&mut red).await;
    assert!(is_of(&left, id, "DELETED"), "{left:?}");
    assert_eq!(left.data["metadata"]["labels"]["color"], "blue");
}

async fn nodes_and_events_are_watched(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU_SMALL, 2)).await;
    let id = path.rsplit('/').next().unwrap();
    let mut nodes = server.user.watch(&format!("{path}/nodes?watch=true")).await;
    let first = until(&mut nodes, |event| event.name == "BOOKMARK").await;
    let listed = server.user.get(&format!("{path}/nodes")).await.ok();
    let told: Vec<_> = first[..2].iter().map(|event| name(&event.data)).collect();
    let listed: Vec<_> = listed["items"].as_array().unwrap().iter().map(name).collect();
    assert_eq!(told, listed);
    let events = format!("/v1/{}/events?resource=pools&name={id}", server.project);
    let mut warnings = server.user.watch(&format!("{events}&type=Warning&watch=true")).await;
    assert_eq!(next(&mut warnings).await.name, "BOOKMARK");
    let machine = first[0].data["metadata"]["labels"]["os.modelarts.node/underlying.instance.id"]
        .as_str()
        .unwrap();
    let fault = json!({"kind": "faulty", "reason": "the fan has stopped"});
    let faults = format!("/admin/v1/machines/{machine}/faults");
    server.operator.post(&faults, &fault).await.ok();
    let broken = until(&mut nodes, |event| event.data["status"]["phase"] == "Abnormal").await;
    assert!(broken.iter().all(|event| event.name == "MODIFIED"), "{broken:#?}");
    let warning = next(&mut warnings).await;
    assert_eq!(
        (warning.name.as_str(), warning.data["reason"].as_str()),
        ("ADDED", Some("PoolResourcesStatusChange"))
    );
}

async fn a_silent_watch_says_how_far_it_has_come(server: TestServer) {
    let mut events = server.user.watch(&watch(&server, "&labelSelector=none%3Dsuch")).await;
    let first = next(&mut events).await;
    ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    server.clock.advance(Duration::from_secs(31));
    let later = until(&mut events, |event| event.id != first.id).await.pop().unwrap();
    assert_eq!(later.name, "BOOKMARK");
    assert!(later.id.parse::<u64>().unwrap() > first.id.parse().unwrap());
    server.clock.advance(Duration::from_mins(30));
    while let Some(event) = events.next().await.unwrap() {
        assert_eq!(event.name, "BOOKMARK");
    }
}

async fn wrong_watches_are_refused(server: TestServer) {
    for (query, path) in [("?watch=perhaps", "watch"), ("?watch=true&revision=x", "revision")] {
        let target = format!("{}{query}", server.pools());
        server.user.get(&target).await.refused_saying(400, "ModelArts.50004000", path);
    }
    let client = server.user.with_header("Last-Event-ID", "-1");
    client
        .get(&watch(&server, ""))
        .await
        .refused_saying(400, "ModelArts.50004000", "Last-Event-ID");
    let absent = format!("{}/pool-none-{}/nodes?watch=true", server.pools(), server.project);
    server.user.get(&absent).await.refused(404, "ModelArts.50015001");
    let foreign = format!("{}?watch=true", server.pools().replace(&server.project, &"0".repeat(32)));
    server.user.get(&foreign).await.refused(403, "ModelArts.0210");
}

async fn a_revision_is_waited_for(server: TestServer) {
    let body = pool(&server, "pool-one", resources(CPU, 1));
    let created = server.user.post(&server.pools(), &body).await;
    let revision = created.header("x-poolkeeper-revision").to_owned();
    let made: u64 = created.header("etag").trim_matches('"').parse().unwrap();
    assert!(revision.parse::<u64>().unwrap() >= made, "{:?}", created.headers);
    let reader = server.user.with_header("X-Poolkeeper-Revision", &revision);
    let listed = reader.get(&server.pools()).await;
    let shown: u64 = listed.header("x-poolkeeper-revision").parse().unwrap();
    assert!(shown >= revision.parse().unwrap());
    assert_eq!(listed.ok()["items"].as_array().unwrap().len(), 1);
    let client = server.user.with_header("X-Poolkeeper-Revision", "next");
    client
        .get(&server.pools())
        .await
        .refused_saying(400, "ModelArts.50004000", "X-Poolkeeper-Revision");
    let early = server.operator.with_header("X-Poolkeeper-Revision", &u64::MAX.to_string());
    let target = server.pools();
    let waiting = tokio::spawn(async move { early.get(&target).await });
    while !waiting.is_finished() {
        server.clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
}
