//! Monitoring, real-time metrics, and order ids.

use crate::bodies::{CPU, GPU, await_condition, await_gone, label, name, ready_pool, resources, sub_pool};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::TestServer;

crate::on_both_stores!(
    a_pool_is_monitored,
    samples_outlast_nodes_and_restarts,
    wrong_monitor_queries_are_refused,
    metrics_tell_what_pools_have,
    an_order_id_makes_a_pool_prepaid,
    wrong_switches_are_refused,
);

fn series<'a>(monitor: &'a Value, metric: &str) -> Vec<(&'a str, f64)> {
    let found = monitor["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["metric"]["metricName"] == metric)
        .unwrap();
    let points = found["dataPoints"].as_array().unwrap().iter();
    points
        .map(|point| (point["unit"].as_str().unwrap(), point["statistics"][0]["value"].as_f64().unwrap()))
        .collect()
}

async fn a_pool_is_monitored(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(GPU, 2)).await;
    server.clock.advance(Duration::from_mins(30));
    let monitor = server.user.get(&format!("{path}/monitor")).await.ok();
    let names: Vec<_> = monitor["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["metric"]["metricName"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "cpuUsage",
            "memUsedRate",
            "gpuUtil",
            "gpuMemUsage",
            "npuUtil",
            "npuMemUsage",
            "diskAvailableCapacity",
            "diskCapacity",
            "diskUsedRate"
        ]
    );
    let metric = &monitor["metrics"][0]["metric"];
    assert_eq!(
        (&metric["namespace"], &metric["dimensions"][0]["name"]),
        (&json!("PAAS.AGGR"), &json!("clusterId"))
    );
    let cpu = series(&monitor, "cpuUsage");
    assert_eq!(cpu.len(), 60);
    assert!(cpu[59].1 > 0.0 && cpu[59].1 <= 100.0 && cpu[59].0 == "Percent", "{cpu:?}");
    assert!((cpu[0].1 - -1.0).abs() < f64::EPSILON, "the pool was not there an hour ago");
    assert!(series(&monitor, "gpuUtil")[59].1 >= 0.0);
    let npu = series(&monitor, "npuUtil");
    assert!(
        npu.iter()
            .all(|(unit, value)| unit.is_empty() && (value - -1.0).abs() < f64::EPSILON)
    );
    let at = async |query: &str, metric: &str| {
        let answer = server.user.get(&format!("{path}/monitor?{query}")).await.ok();
        series(&answer, metric).iter().map(|(_, value)| *value).collect::<Vec<_>>()
    };
    let range = "time_range=-1.-1.10";
    let least = at(&format!("{range}&statistics=minimum"), "cpuUsage").await;
    let most = at(&format!("{range}&statistics=maximum"), "cpuUsage").await;
    let mean = at(&format!("{range}&statistics=average"), "cpuUsage").await;
    let sum = at(&format!("{range}&statistics=sum"), "cpuUsage").await;
    assert_eq!(
        at(&format!("{range}&statistics=sampleCount"), "cpuUsage").await,
        vec![2.0; 10],
        "one of each node"
    );
    for point in 0..10 {
        assert!(least[point] <= mean[point] && mean[point] <= most[point], "{point}");
        assert!((sum[point] - 2.0 * mean[point]).abs() < 0.03, "{point}");
    }
    let rough = at("time_range=-1.-1.10&period=300&statistics=sampleCount", "cpuUsage").await;
    assert_eq!(rough, [10.0, 10.0]);
    // A logical pool has its share of the whole.
    let body = sub_pool("pool-child", path.rsplit('/').next().unwrap(), resources(GPU, 1));
    let child = server.operator.post(&server.pools(), &body).await.ok();
    let child = format!("{}/{}/monitor?{range}", server.pools(), name(&child));
    let monitor = server.user.get(&child).await.ok();
    assert_eq!(
        series(&monitor, "cpuUsage").iter().map(|(_, value)| *value).collect::<Vec<_>>(),
        most
    );
}

async fn samples_outlast_nodes_and_restarts(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 3)).await;
    server.clock.advance(Duration::from_mins(20));
    let now = server.user.get(&path).await;
    drop(now);
    let range = "time_range=-1.-1.15&statistics=sampleCount";
    let monitor = server.user.get(&format!("{path}/monitor?{range}")).await.ok();
    let first = monitor["metrics"][0]["dataPoints"][0]["timestamp"].as_i64().unwrap();
    let same = format!("{path}/monitor?time_range={first}.-1.10&statistics=sum");
    let before = server.user.get(&same).await.ok();
    assert!(series(&before, "cpuUsage")[0].1 > 0.0);
    let fewer = json!({"spec": {"resources": resources(CPU, 1)}});
    server.user.patch(&path, &fewer).await.ok();
    await_condition(&server.user, &path, "Ready").await;
    assert_eq!(server.user.get(&same).await.ok(), before, "two of the nodes are gone");
    let server = server.restart().await;
    assert_eq!(server.user.get(&same).await.ok(), before);
    // After the time for which they are kept there is nothing any more.
    server.clock.advance(Duration::from_hours(31 * 24));
    let late = server.user.get(&same).await.ok();
    assert!(
        series(&late, "cpuUsage")
            .iter()
            .all(|(_, value)| (value - -1.0).abs() < f64::EPSILON)
    );
}

async fn wrong_monitor_queries_are_refused(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    for wrong in [
        "time_range=x",
        "time_range=1.2",
        "time_range=-1.-1.0",
        "time_range=-1.-1.1441",
        "time_range=20.10.5",
        "statistics=median",
        "period=10",
    ] {
        let answer = server.user.get(&format!("{path}/monitor?{wrong}")).await;
        answer.refused(400, "ModelArts.50004000");
    }
    let none = format!("{}/none/monitor", server.pools());
    server.user.get(&none).await.refused(404, "ModelArts.50015001");
}

async fn metrics_tell_what_pools_have(server: TestServer) {
    let metrics = format!("/v2/{}/metrics/runtime/pools", server.project);
    let empty = server.user.get(&metrics).await.ok();
    assert_eq!(empty, json!({"apiVersion": "v2", "kind": "PoolMetricsList", "items": []}));
    let path = ready_pool(&server, "pool-one", resources(GPU, 2)).await;
    let list = server.user.get(&metrics).await.ok();
    let item = &list["items"][0];
    assert_eq!(item["metadata"]["name"], path.rsplit('/').next().unwrap());
    assert_eq!(item["metadata"]["labels"]["os.modelarts/name"], "pool-one");
    let capacity = &item["table"]["capacity"];
    assert_eq!(capacity["value"], json!({"cpu": "16", "memory": "64Gi", "nvidia-t4": "2"}));
    assert_eq!(capacity["maxValue"], capacity["value"]);
    assert_eq!(capacity["window"], "1m");
    let allocated = &item["table"]["allocated"];
    assert_eq!(allocated["value"], json!({"cpu": "0", "memory": "0Gi", "nvidia-t4": "0"}));
    assert!(allocated["timestamp"].is_string());
    let elastic = json!([{"flavor": GPU, "count": 1, "maxCount": 2}]);
    let body = sub_pool("pool-child", path.rsplit('/').next().unwrap(), elastic);
    server.operator.post(&server.pools(), &body).await.ok();
    let list = server.user.get(&metrics).await.ok();
    let items = list["items"].as_array().unwrap();
    let child = items
        .iter()
        .find(|it| it["metadata"]["labels"]["os.modelarts/name"] == "pool-child")
        .unwrap();
    assert_eq!(child["table"]["capacity"]["value"]["nvidia-t4"], "1");
    assert_eq!(child["table"]["capacity"]["maxValue"]["nvidia-t4"], "2");
    server
        .user
        .delete(&format!("{}/{}", server.pools(), child["metadata"]["name"].as_str().unwrap()))
        .await
        .ok();
    server.user.delete(&path).await.ok();
    await_gone(&server.user, &path).await;
    assert_eq!(server.user.get(&metrics).await.ok()["items"], json!([]));
}

fn switch(id: &str) -> Value {
    json!({"metadata": {"annotations": {"os.modelarts/billing.mode": "1", "os.modelarts/period.num": "3", "os.modelarts/period.type": "2",
        "os.modelarts/auto.renew": "1", "os.modelarts/order.id": id}}})
}

async fn an_order_id_makes_a_pool_prepaid(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    let issue = format!("{path}/orderid");
    let id = server.user.post(&issue, &json!({"actionType": "toPeriod"})).await.ok()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(id.starts_with("CS") && id.len() == 19, "{id}");
    let again = server
        .user
        .send(
            reqwest::Method::POST,
            &format!("{issue}?actionType=toPeriod"),
            "application/json",
            Vec::new(),
        )
        .await;
    assert_eq!(again.ok()["id"], id, "it has not been used yet");
    let before = server.user.get(&path).await.ok();
    assert_eq!(before["metadata"]["annotations"].get("os.modelarts/order.id"), None);
    let switched = server.user.patch(&path, &switch(&id)).await.ok();
    let annotations = &switched["metadata"]["annotations"];
    for (key, value) in [
        ("os.modelarts/billing.mode", "1"),
        ("os.modelarts/period.num", "3"),
        ("os.modelarts/period.type", "2"),
        ("os.modelarts/order.id", id.as_str()),
    ] {
        assert_eq!(annotations[key], value, "{key}");
    }
    let order = label(&switched, "os.modelarts/order.name");
    assert_ne!(order, label(&before, "os.modelarts/order.name"));
    let orders = server
        .user
        .get(&format!("/v1/{}/orders?involvedName=pool-one", server.project))
        .await
        .ok();
    let newest = &orders["items"][0];
    assert_eq!(
        (&newest["orderName"], &newest["orderId"], &newest["operation"], &newest["phase"]),
        (&json!(order), &json!(id), &json!("modify"), &json!("successed"))
    );
    let items = server.user.get(&format!("/v1/{}/orders/{order}", server.project)).await.ok();
    assert_eq!(
        (&items["items"][0]["action"], &items["items"][0]["status"]),
        (&json!("toPeriodic"), &json!("succeed"))
    );
    assert_eq!(switched["status"]["phase"], "Running");
    server
        .user
        .post(&issue, &json!({}))
        .await
        .refused_saying(400, "ModelArts.50004000", "already");
    // The same patch again repeats what is.
    let same = json!({"metadata": {"annotations": {"os.modelarts/billing.mode": "1", "os.modelarts/order.id": id}}});
    server.user.patch(&path, &same).await.ok();
}

async fn wrong_switches_are_refused(server: TestServer) {
    let path = ready_pool(&server, "pool-one", resources(CPU, 1)).await;
    let issue = format!("{path}/orderid");
    for wrong in ["CS2304191748WNW2R", ""] {
        server.user.patch(&path, &switch(wrong)).await.refused(400, "ModelArts.50004000");
    }
    let id = server.user.post(&issue, &json!({})).await.ok()["id"].as_str().unwrap().to_owned();
    server
        .user
        .patch(&path, &switch("CS2304191748WNW2R"))
        .await
        .refused(400, "ModelArts.50004000");
    let mut endless = switch(&id);
    endless["metadata"]["annotations"]
        .as_object_mut()
        .unwrap()
        .remove("os.modelarts/period.num");
    server
        .user
        .patch(&path, &endless)
        .await
        .refused_saying(400, "ModelArts.50004000", "os.modelarts/period.num");
    for wrong in [json!([]), json!({"actionType": "renew"})] {
        server.user.post(&issue, &wrong).await.refused(400, "ModelArts.50004000");
    }
    server
        .user
        .post(&format!("{issue}?actionType=renew"), &json!({}))
        .await
        .refused(400, "ModelArts.50004000");
    let mask = server.admin(&format!("pools/{}/control-mode", path.rsplit('/').next().unwrap()));
    server.operator.put(&mask, &json!({"controlMode": 1})).await.ok();
    let restricted = server.user.post(&issue, &json!({})).await;
    restricted.refused_saying(400, "ModelArts.50004000", "is restricted");
    let restricted = server.user.patch(&path, &switch(&id)).await;
    restricted.refused_saying(400, "ModelArts.50004000", "is restricted");
    let none = format!("{}/none/orderid", server.pools());
    let none = server.user.post(&none, &json!([])).await;
    assert_eq!(none.refused(404, "ModelArts.50015001").message(), "Pool none not found.");
}
