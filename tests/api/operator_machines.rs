//! Machines of the simulated fleet and what goes wrong with them.

use crate::bodies::{CPU, await_condition, count, name, pool, ready_pool, resources};
use serde_json::json;
use std::time::Duration;
use testkit::TestServer;

crate::on_both_stores!(
    machines_come_and_go,
    a_machine_in_use_stays,
    a_machine_is_broken_and_mended,
    a_pool_is_broken_and_mended,
    wrong_machines_and_faults_are_refused,
);

const MACHINES: &str = "/admin/v1/machines";

async fn machines_come_and_go(server: TestServer) {
    let body = json!({"id": "extra", "flavor": CPU, "az": "az-1", "count": 3});
    let dry = server.operator.post(&format!("{MACHINES}?dryRun=true"), &body).await.ok();
    assert_eq!(dry["machines"], json!([]));
    let made = server.operator.post(MACHINES, &body).await.ok();
    let ids: Vec<&str> = made["machines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["extra-00001", "extra-00002", "extra-00003"]);
    assert_eq!(made["machines"][0]["state"], "free");
    server.operator.post(MACHINES, &body).await.refused(409, "ModelArts.50004090");
    let path = format!("{MACHINES}/extra-00002");
    server.operator.delete(&path).await.ok();
    server.operator.get(&path).await.refused(404, "ModelArts.50004040");
    server.operator.delete(&path).await.refused(404, "ModelArts.50004040");
    let first = server.operator.get(&format!("{MACHINES}?limit=2")).await.ok();
    assert_eq!(first["machines"].as_array().unwrap().len(), 2);
    assert!(first["metadata"]["continue"].is_string(), "{first:#}");
}

async fn a_machine_in_use_stays(server: TestServer) {
    let path = ready_pool(&server, "pool-use", resources(CPU, 1)).await;
    let all = server.operator.get(MACHINES).await.ok();
    let bound = all["machines"].as_array().unwrap().iter().find(|it| it["state"] == "node").unwrap();
    assert!(path.ends_with(bound["pool"].as_str().unwrap()), "{bound:#}");
    let machine = format!("{MACHINES}/{}", bound["id"].as_str().unwrap());
    server
        .operator
        .delete(&machine)
        .await
        .refused_saying(400, "ModelArts.50004000", "is node");
}

async fn a_machine_is_broken_and_mended(server: TestServer) {
    let path = ready_pool(&server, "pool-ill", resources(CPU, 1)).await;
    let all = server.operator.get(MACHINES).await.ok();
    let bound = all["machines"].as_array().unwrap().iter().find(|it| it["state"] == "node").unwrap();
    let faults = format!("{MACHINES}/{}/faults", bound["id"].as_str().unwrap());
    let fault = json!({"kind": "faulty", "reason": "smoke"});
    let broken = server.operator.post(&faults, &fault).await.ok();
    assert_eq!(broken["faults"], json!([fault]));
    server.await_pool(&path, |pool| count(pool, "abnormal") == 1).await;
    let mended = server.operator.delete(&faults).await.ok();
    assert_eq!(mended["faults"], json!([]));
    server.await_pool(&path, |pool| count(pool, "available") == 1).await;
}

async fn a_pool_is_broken_and_mended(server: TestServer) {
    let path = ready_pool(&server, "pool-ill", resources(CPU, 1)).await;
    let pool_name = path.rsplit('/').next().unwrap();
    let faults = server.admin(&format!("pools/{pool_name}/faults"));
    let fault = json!({"kind": "clusterDown", "reason": "smoke"});
    assert_eq!(server.operator.post(&faults, &fault).await.ok()["faults"], json!([fault]));
    assert_eq!(server.operator.get(&faults).await.ok()["faults"], json!([fault]));
    // The loss of a cluster counts after some minutes.
    server.clock.advance(Duration::from_mins(10));
    await_condition(&server.user, &path, "Abnormal").await;
    assert_eq!(server.operator.delete(&faults).await.ok()["faults"], json!([]));
    await_condition(&server.user, &path, "Ready").await;
}

async fn wrong_machines_and_faults_are_refused(server: TestServer) {
    for (body, told) in [
        (json!({"flavor": CPU, "az": "az-1"}), "id: required"),
        (json!({"id": "x", "flavor": "none", "az": "az-1"}), "flavor: unknown flavor"),
        (json!({"id": "x", "flavor": CPU, "az": "az-9"}), "az: "),
        (json!({"id": "x", "flavor": CPU, "az": "az-1", "count": 0}), "count: "),
        (json!({"id": "x", "flavor": CPU, "az": "az-1", "size": 1}), "size: unknown member"),
    ] {
        server
            .operator
            .post(MACHINES, &body)
            .await
            .refused_saying(400, "ModelArts.50004000", told);
    }
    let none = format!("{MACHINES}/none/faults");
    server.operator.post(&none, &json!({"kind": "neverBoots"})).await.refused(404, "ModelArts.50004040");
    server.operator.delete(&none).await.refused(404, "ModelArts.50004040");
    let created = server
        .user
        .post(&server.pools(), &pool(&server, "pool-one", resources(CPU, 1)))
        .await
        .ok();
    let faults = server.admin(&format!("pools/{}/faults", name(&created)));
    let melted = json!({"kind": "melts"});
    server
        .operator
        .post(&faults, &melted)
        .await
        .refused_saying(400, "ModelArts.50004000", "kind: ");
    server.operator.get(&server.admin("pools/none/faults")).await.refused(404, "ModelArts.50004040");
}
