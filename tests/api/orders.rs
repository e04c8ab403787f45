//! Orders: their list, its filters, and what they made (contract tags… §8).

use crate::bodies::{CPU, await_condition, count, label, ready_pool, resources};
use clock::Clock as _;
use serde_json::json;
use testkit::TestServer;

crate::on_both_stores!(
    orders_are_filtered_and_paged,
    wrong_order_queries_are_refused,
    a_superseded_order_says_so
);

async fn orders_are_filtered_and_paged(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    server.clock.advance(std::time::Duration::from_mins(1));
    let between = server.clock.now().as_millisecond();
    server.clock.advance(std::time::Duration::from_mins(1));
    let patch = json!({"spec": {"resources": resources(CPU, 2)}});
    let patched = server.user.patch(&path, &patch).await.ok();
    await_condition(&server.user, &path, "Ready").await;
    ready_pool(&server, "pool-two", resources(CPU, 1)).await;
    let orders = format!("/v1/{}/orders", server.project);
    let list = async |query: &str| {
        let list = server.user.get(&format!("{orders}?{query}")).await.ok();
        let items = list["items"].as_array().unwrap().iter();
        let text = |item: &serde_json::Value, member: &str| item[member].as_str().unwrap().to_owned();
        let items = items.map(|item| format!("{} {}", text(item, "resourceDisplayName"), text(item, "operation")));
        (items.collect::<Vec<_>>().join(", "), list["count"].as_u64().unwrap())
    };
    let all = "pool-two apply, pool-one modify, pool-one apply";
    let id = path.rsplit('/').next().unwrap();
    for (query, items, count) in [
        (String::new(), all, 3),
        ("phase=successed".to_owned(), all, 3),
        ("result=successed&resource=pools".to_owned(), all, 3),
        ("phase=running".to_owned(), "", 0),
        ("phase=processing".to_owned(), "", 0),
        ("result=failed".to_owned(), "", 0),
        ("involvedName=pool-one".to_owned(), "pool-one modify, pool-one apply", 2),
        (format!("involvedName={id}"), "pool-one modify, pool-one apply", 2),
        ("involvedName=pool".to_owned(), "", 0),
        (format!("since={between}"), "pool-two apply, pool-one modify", 2),
        (format!("until={between}"), "pool-one apply", 1),
        ("workspaceId=0".to_owned(), all, 3),
        ("workspaceId=none".to_owned(), "", 0),
        ("limit=2".to_owned(), "pool-two apply, pool-one modify", 3),
        ("limit=1&offset=1".to_owned(), "pool-one modify", 3),
        ("limit=0&offset=2".to_owned(), "pool-one apply", 3),
        ("limit=501".to_owned(), all, 3),
        ("offset=501".to_owned(), "", 3),
    ] {
        assert_eq!(list(&query).await, (items.to_owned(), count), "{query}");
    }
    let order = server
        .user
        .get(&format!("{orders}/{}", label(&patched, "os.modelarts/order.name")))
        .await
        .ok();
    assert_eq!(order["count"], 1);
    let item = &order["items"][0];
    assert_eq!((&item["action"], &item["status"]), (&json!("createNode"), &json!("succeed")));
    assert!(item["beginTimestamp"].as_str().unwrap().parse::<i64>().unwrap() > between);
    // They are shown for a month.
    server.clock.advance(std::time::Duration::from_hours(32 * 24));
    assert_eq!(list("").await.1, 0);
}

async fn wrong_order_queries_are_refused(server: TestServer) {
    let orders = format!("/v1/{}/orders", server.project);
    let long = format!("workspaceId={}", "x".repeat(300));
    for (wrong, told) in [
        ("limit=-1", "limit: must be an integer"),
        ("offset=-1", "offset: must be an integer"),
        ("phase=done", "phase: must be pending"),
        ("result=done", "result: must be pending"),
        ("resource=nodes", "resource: must be pools"),
        ("since=yesterday", "since: must be an integer"),
        (long.as_str(), "workspaceId: must be"),
    ] {
        let answer = server.user.get(&format!("{orders}?{wrong}")).await;
        answer.refused_saying(400, "ModelArts.50004000", told);
    }
    let none = server.user.get(&format!("{orders}/none")).await;
    none.refused_saying(404, "ModelArts.50005101", "Order none not found.");
}

async fn a_superseded_order_says_so(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    let machines = server.operator.get("/admin/v1/machines?limit=500").await.ok();
    let machines = machines["machines"].as_array().unwrap().iter();
    // Only one is to be had: of two new nodes, one waits.
    for machine in machines
        .filter(|machine| machine["flavor"] == CPU && machine["state"] == "free")
        .skip(1)
    {
        let faults = format!("/admin/v1/machines/{}/faults", machine["id"].as_str().unwrap());
        let fault = json!({"kind": "faulty", "reason": "the fan has stopped"});
        server.operator.post(&faults, &fault).await.ok();
    }
    let scale = async |count: u32| {
        let patched = server
            .user
            .patch(&path, &json!({"spec": {"resources": resources(CPU, count)}}))
            .await
            .ok();
        label(&patched, "os.modelarts/order.name").to_owned()
    };
    let first = scale(3).await;
    server.await_pool(&path, |pool| count(pool, "available") == 2).await;
    let second = scale(2).await;
    let list = server
        .user
        .get(&format!("/v1/{}/orders?involvedName=pool-one", server.project))
        .await
        .ok();
    let orders = list["items"].as_array().unwrap();
    assert_eq!((&orders[0]["orderName"], &orders[1]["orderName"]), (&json!(second), &json!(first)));
    assert_eq!(
        (&orders[1]["phase"], &orders[1]["result"], &orders[1]["failReason"]),
        (
            &json!("partialSuccessed"),
            &json!("successed"),
            &json!(format!("superseded by {second}"))
        )
    );
}
