//! The life of a pool: phases that need faults, time or an operator.

use crate::bodies::{CPU, GPU, await_condition, await_gone, count, label, name, pool, ready_pool, resources};
use fleet::sim::{MachineFault, Registration};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::TestServer;

crate::on_both_stores!(
    a_silent_machine_makes_a_pool_abnormal_and_its_return_mends_it,
    a_node_that_never_boots_fails_the_creation,
    a_prepaid_pool_waits_for_its_payment,
    an_unpaid_enlargement_that_becomes_smaller_is_unpaid_still,
    an_unpaid_order_expires,
    a_forced_driver_upgrade_reaches_every_node,
    an_idle_driver_upgrade_reaches_every_node,
    everything_survives_a_restart,
    nodes_of_a_big_pool_come_up_and_go,
);

/// The machine under the first node of a pool.
async fn first_machine(server: &TestServer, path: &str) -> String {
    let nodes = server.user.get(&format!("{path}/nodes")).await.ok();
    nodes["items"][0]["metadata"]["labels"]["os.modelarts.node/underlying.instance.id"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn a_silent_machine_makes_a_pool_abnormal_and_its_return_mends_it(server: TestServer) {
    let path = ready_pool(&server, "pool-ill", resources(CPU, 1)).await;
    let machine = first_machine(&server, &path).await;
    server
        .fleet
        .break_machine(&machine, MachineFault::Silent { lasting: None })
        .await
        .unwrap()
        .unwrap();
    server.clock.advance(Duration::from_secs(61));
    server.await_pool(&path, |pool| count(pool, "abnormal") == 1).await;
    server.clock.advance(Duration::from_secs(121));
    let abnormal = await_condition(&server.user, &path, "Abnormal").await;
    assert!(abnormal["status"]["message"].is_string());
    server.fleet.mend_machine(&machine).await.unwrap().unwrap();
    await_condition(&server.user, &path, "Ready").await;
}

async fn a_node_that_never_boots_fails_the_creation(server: TestServer) {
    for machine in server.fleet.machines() {
        let Registration { id, flavor, .. } = machine.registration;
        if flavor.as_str() == CPU {
            server.fleet.break_machine(&id, MachineFault::NeverBoots).await.unwrap().unwrap();
        }
    }
    let created = server
        .user
        .post(&server.pools(), &pool(&server, "pool-dead", resources(CPU, 1)))
        .await
        .ok();
    let path = format!("{}/{}", server.pools(), name(&created));
    server.clock.advance(Duration::from_mins(31));
    let failed = await_condition(&server.user, &path, "CreationFailed").await;
    assert!(failed["status"]["message"].as_str().unwrap().contains(CPU), "{failed:#}");
    let order = label(&created, "os.modelarts/order.name");
    let orders = server.user.get(&format!("/v1/{}/orders", server.project)).await.ok();
    assert_eq!(
        orders["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|found| found["orderName"] == order)
            .unwrap()["phase"],
        "failed"
    );
    server.clock.advance(Duration::from_mins(4321));
    await_gone(&server.user, &path).await;
}

fn prepaid(server: &TestServer, name: &str) -> Value {
    let mut body = pool(server, name, resources(CPU, 1));
    body["metadata"]["annotations"] =
        json!({"os.modelarts/billing.mode": "1", "os.modelarts/period.num": "1", "os.modelarts/period.type": "2"});
    body
}

async fn a_prepaid_pool_waits_for_its_payment(server: TestServer) {
    let console = server.user.with_header("request-type", "console");
    let created = console.post(&server.pools(), &prepaid(&server, "pool-paid")).await.ok();
    assert_eq!(
        (created["status"]["phase"].as_str(), created["status"]["message"].as_str()),
        (Some("Waiting"), Some("waiting for the order to be paid"))
    );
    let order = label(&created, "os.modelarts/order.name");
    server
        .operator
        .post(&server.admin(&format!("orders/{order}/confirm")), &json!({}))
        .await
        .ok();
    let path = format!("{}/{}", server.pools(), name(&created));
    await_condition(&server.user, &path, "Ready").await;
    let elsewhere = server.user.post(&server.pools(), &prepaid(&server, "pool-settled")).await.ok();
    assert_eq!(elsewhere["status"]["phase"], "Creating");
}

async fn an_unpaid_enlargement_that_becomes_smaller_is_unpaid_still(server: TestServer) {
    let console = server.user.with_header("request-type", "console");
    let created = server.user.post(&server.pools(), &prepaid(&server, "pool-paid")).await.ok();
    let path = format!("{}/{}", server.pools(), name(&created));
    await_condition(&server.user, &path, "Ready").await;
    let scale = async |count: u32| {
        console
            .patch(&path, &json!({"spec": {"resources": resources(CPU, count)}}))
            .await
            .ok()
    };
    scale(5).await;
    let smaller = scale(3).await;
    let order = label(&smaller, "os.modelarts/order.name");
    let pending = server.operator.get("/admin/v1/orders").await.ok();
    let orders = pending["items"].as_array().unwrap();
    let names: Vec<_> = orders.iter().map(|order| &order["orderName"]).collect();
    assert_eq!(names, [order], "{pending:#}");
    let (before, after) = (&orders[0]["initCount"][0]["count"], &orders[0]["specCount"][0]["count"]);
    assert_eq!((before, after), (&json!(1), &json!(3)));
    let reject = server.admin(&format!("orders/{order}/reject"));
    server.operator.post(&reject, &json!({"reason": "too dear"})).await.ok();
    let back = await_condition(&server.user, &path, "Ready").await;
    assert_eq!(back["spec"]["resources"][0]["count"], 1);
    // Back to what is paid for: nothing is left to wait for.
    scale(4).await;
    scale(1).await;
    assert!(
        server.operator.get("/admin/v1/orders").await.ok()["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    await_condition(&server.user, &path, "Ready").await;
}

async fn an_unpaid_order_expires(server: TestServer) {
    let console = server.user.with_header("request-type", "console");
    let created = console.post(&server.pools(), &prepaid(&server, "pool-unpaid")).await.ok();
    server.clock.advance(Duration::from_mins(10081));
    await_condition(&server.user, &format!("{}/{}", server.pools(), name(&created)), "CreationFailed").await;
}

async fn upgrade(server: &TestServer, strategy: &str) {
    let path = ready_pool(server, "pool-gpu", resources(GPU, 3)).await;
    let shown = server.user.get(&path).await.ok();
    let current = shown["status"]["driver"]["gpu"]["version"].as_str().unwrap().to_owned();
    assert_ne!(current, "440.33", "the newest version is the default");
    let patched = server
        .user
        .patch(
            &path,
            &json!({"spec": {"driver": {"gpuVersion": "440.33", "updateStrategy": strategy}}}),
        )
        .await
        .ok();
    assert_eq!(
        patched["spec"]["driver"],
        json!({"gpuVersion": "440.33", "updateStrategy": strategy})
    );
    assert_eq!(
        patched["status"]["driver"]["gpu"],
        json!({"version": current, "state": "Upgrading"})
    );
    let done = server
        .await_pool(&path, |pool| {
            pool["status"]["driver"]["gpu"] == json!({"version": "440.33", "state": "Running"})
        })
        .await;
    assert_eq!(done["status"]["phase"], "Running");
    let nodes = server.user.get(&format!("{path}/nodes")).await.ok();
    for node in nodes["items"].as_array().unwrap() {
        assert_eq!(node["status"]["driver"], json!({"phase": "Running", "version": "440.33"}));
    }
}

async fn a_forced_driver_upgrade_reaches_every_node(server: TestServer) {
    upgrade(&server, "force").await;
}

async fn an_idle_driver_upgrade_reaches_every_node(server: TestServer) {
    upgrade(&server, "idle").await;
}

async fn everything_survives_a_restart(server: TestServer) {
    let path = ready_pool(&server, "pool-stays", resources(CPU, 2)).await;
    let list = server.user.get(&server.pools()).await;
    let orders = server.user.get(&format!("/v1/{}/orders", server.project)).await.ok();
    let server = server.restart().await;
    let again = server.user.get(&server.pools()).await;
    assert_eq!(again.text, list.text);
    assert_eq!(server.user.get(&format!("/v1/{}/orders", server.project)).await.ok(), orders);
    server
        .user
        .patch(&path, &json!({"spec": {"resources": resources(CPU, 3)}}))
        .await
        .ok();
    await_condition(&server.user, &path, "Ready").await;
}

async fn nodes_of_a_big_pool_come_up_and_go(server: TestServer) {
    let path = ready_pool(&server, "pool-big", resources(CPU, 120)).await;
    let nodes = server.user.get(&format!("{path}/nodes")).await.ok();
    assert_eq!(nodes["items"].as_array().unwrap().len(), 120);
    let page = server.user.get(&format!("{path}/nodes?limit=50")).await.ok();
    assert_eq!(page["metadata"]["remainingItemCount"], 70);
    server
        .user
        .patch(&path, &json!({"spec": {"resources": resources(CPU, 20)}}))
        .await
        .ok();
    let ready = await_condition(&server.user, &path, "Ready").await;
    assert_eq!(count(&ready, "available"), 20);
    server.user.delete(&path).await.ok();
    await_gone(&server.user, &path).await;
}
