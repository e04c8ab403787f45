//! Workloads: what runs and waits in pools, and what waits for them.

use crate::bodies::{CPU, GPU, await_condition, name, pool, ready_pool, resources, sub_pool};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Answer, TestServer};

crate::on_both_stores!(
    workloads_are_listed_and_counted,
    workloads_are_seen_in_capacity,
    lists_are_filtered_sorted_and_paged,
    wrong_questions_are_refused,
    wrong_workloads_are_refused,
    an_idle_driver_upgrade_waits_for_a_workload,
    a_job_type_is_disabled_when_its_last_workload_has_ended,
    a_borrower_gives_back_to_who_is_guaranteed,
    workloads_end_with_their_pool,
    a_workload_survives_its_machine_and_a_restart,
    a_workload_is_done_in_its_time,
);

const ALL: &str = "/admin/v1/workloads";

fn job(flavor: &str, nodes: u32) -> Value {
    json!({"type": "train", "flavor": flavor, "nodes": nodes, "owner": "ada"})
}

/// The pool of a path.
fn id(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

async fn try_submit(server: &TestServer, pool: &str, body: &Value) -> Answer {
    server.operator.post(&server.admin(&format!("pools/{pool}/workloads")), body).await
}

/// Submits a workload as soon as the fleet knows the pool; gives it as the operator sees it.
async fn submit(server: &TestServer, pool: &str, body: &Value) -> Value {
    let known = async {
        loop {
            let answer = try_submit(server, pool, body).await;
            if answer.status != 503 {
                return answer.ok();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), known).await.unwrap()
}

async fn seen(server: &TestServer, workload: &Value) -> Value {
    server
        .operator
        .get(&format!("{ALL}/{}", workload["id"].as_str().unwrap()))
        .await
        .ok()
}

async fn cancel(server: &TestServer, workload: &Value) -> Value {
    server
        .operator
        .delete(&format!("{ALL}/{}", workload["id"].as_str().unwrap()))
        .await
        .ok()
}

fn ids(list: &Value, member: &str) -> Vec<String> {
    let items = list["items"].as_array().or_else(|| list["workloads"].as_array()).unwrap();
    items.iter().map(|item| item[member].as_str().unwrap().to_owned()).collect()
}

async fn workloads_are_listed_and_counted(server: TestServer) {
    let path = ready_pool(&server, "pool-jobs", resources(CPU, 2)).await;
    let first = submit(&server, id(&path), &job(CPU, 2)).await;
    let second = submit(&server, id(&path), &job(CPU, 1)).await;
    assert_eq!((&first["status"], &second["status"]), (&json!("Running"), &json!("Queue")));
    assert_eq!(second["reason"], "not enough nodes are free");
    let list = server.user.get(&format!("{path}/workloads")).await.ok();
    assert_eq!(
        (&list["kind"], &list["apiVersion"], &list["total"]),
        (&json!("WorkloadList"), &json!("v1"), &json!(2))
    );
    let shown = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["uid"] == first["id"])
        .unwrap();
    assert_eq!(shown["namespace"], id(&path));
    assert_eq!(
        (&shown["type"], &shown["priority"], &shown["userName"]),
        (&json!("train"), &json!("1"), &json!("ada"))
    );
    assert_eq!(shown["resourceRequirement"], json!({"cpu": "15.84 Cores", "memory": "57.6 GiB"}));
    assert_eq!(shown["nodes"].as_array().unwrap().len(), 2);
    assert_eq!(shown["hostIps"].as_str().unwrap().split(',').count(), 2);
    assert_eq!(shown["pendingPosition"], -1);
    let waiting = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["uid"] == second["id"])
        .unwrap();
    assert_eq!((&waiting["pendingPosition"], &waiting["hostIps"]), (&json!(1), &json!("")));
    let statistics = format!("/v2/{}/statistics/pools/{}/workloads", server.project, id(&path));
    assert_eq!(
        server.user.get(&statistics).await.ok(),
        json!({"statistics": {"total": 2, "items": [{"type": "train", "total": 2, "status": {"Queue": 1, "Pending": 0, "Running": 1}}]}})
    );
    cancel(&server, &first).await;
    assert_eq!(seen(&server, &second).await["status"], "Running");
    server
        .operator
        .delete(&format!("{ALL}/{}", first["id"].as_str().unwrap()))
        .await
        .refused_saying(400, "ModelArts.50004000", "is over");
}

async fn workloads_are_seen_in_capacity(server: TestServer) {
    let (path, low, high) = shared_pool(&server).await;
    let running = submit(&server, &low, &job(CPU, 2)).await;
    submit(&server, &low, &job(CPU, 2)).await;
    let free = async || {
        let nodes = server.user.get(&format!("{path}/nodes")).await.ok();
        let nodes = nodes["items"].as_array().unwrap().iter();
        let mut free: Vec<_> = nodes.map(|node| node["status"]["availableResources"].to_string()).collect();
        free.sort();
        free
    };
    let (none, all) = (r#"{"cpu":"0","memory":"0"}"#, r#"{"cpu":"7920m","memory":"29491Mi"}"#);
    let wait = async { while free().await != [none, none, all] {} };
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
    let table = async |pool: &str| {
        let metrics = format!("/v2/{}/metrics/runtime/pools", server.project);
        let list = server.user.get(&metrics).await.ok();
        let mut items = list["items"].as_array().unwrap().iter();
        items.find(|item| item["metadata"]["name"] == pool).unwrap()["table"].clone()
    };
    let counts = |train: u32| json!({"train": train, "infer": 0, "notebook": 0, "x-infer": 0, "warmUpTask": 0, "sum": train});
    for (pool, jobs, cpu) in [(id(&path), 1, "15840m"), (low.as_str(), 1, "15840m"), (high.as_str(), 0, "0")] {
        let shown = table(pool).await;
        assert_eq!(shown["allocated"]["value"]["cpu"], cpu, "{pool}");
        assert_eq!(
            (&shown["workload"]["allocated"], &shown["workload"]["queue"]),
            (&counts(jobs), &counts(jobs)),
            "{pool}"
        );
    }
    assert_eq!(table(id(&path)).await["available"]["value"]["cpu"], "8160m");
    cancel(&server, &running).await;
    server.user.delete(&format!("{}/{low}", server.pools())).await.ok();
    let wait = async { while free().await != [all, all, all] {} };
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
}

async fn lists_are_filtered_sorted_and_paged(server: TestServer) {
    let mut body = pool(&server, "pool-jobs", resources(CPU, 3));
    body["spec"]["scope"] = json!(["Train", "Infer"]);
    let created = server.user.post(&server.pools(), &body).await.ok();
    let path = format!("{}/{}", server.pools(), name(&created));
    await_condition(&server.user, &path, "Ready").await;
    await_condition(&server.user, &path, "Infer=Enabled").await;
    let mut made = Vec::new();
    for kind in ["train", "infer", "x-infer", "train"] {
        let body = json!({"type": kind, "flavor": CPU, "priority": 1});
        made.push(submit(&server, id(&path), &body).await);
        server.clock.advance(Duration::from_secs(1));
    }
    let oldest_first: Vec<String> = made.iter().map(|workload| workload["id"].as_str().unwrap().to_owned()).collect();
    let newest_first: Vec<String> = oldest_first.iter().rev().cloned().collect();
    let list = async |query: &str| {
        let list = server.user.get(&format!("{path}/workloads?{query}")).await.ok();
        (ids(&list, "uid"), list["total"].as_u64().unwrap())
    };
    assert_eq!(list("").await, (newest_first.clone(), 4));
    assert_eq!(list("sort=create_time&ascend=false").await.0, newest_first);
    assert_eq!(list("sort=create_time&ascend=true").await.0, oldest_first);
    assert_eq!(list("ascend=true").await.0, newest_first);
    assert_eq!(
        list("sort=create_time&ascend=true&limit=2&offset=1").await,
        (oldest_first[1..3].to_vec(), 4)
    );
    assert_eq!(list("offset=9").await, (vec![], 4));
    assert_eq!(list("limit=0").await.0.len(), 4);
    assert_eq!(
        list("type=infer&type=x-infer&sort=create_time&ascend=true").await,
        (oldest_first[1..3].to_vec(), 2)
    );
    assert_eq!(list("status=Queue").await, (vec![oldest_first[3].clone()], 1));
    let all = server.user.get(&format!("{path}/workloads")).await.ok();
    let host = |at: usize| {
        let item = all["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|item| item["uid"] == made[at]["id"])
            .unwrap();
        item["hostIps"].as_str().unwrap().to_owned()
    };
    let both = format!("hostip={},{}&limit=1", host(0), host(1));
    assert_eq!(list(&both).await, (vec![oldest_first[1].clone(), oldest_first[0].clone()], 2));
    let repeated = format!("hostip={}&hostip={}", host(0), host(1));
    assert_eq!(list(&repeated).await.1, 2);
    let operators = server.operator.get(&format!("{ALL}?pool={}&limit=3", id(&path))).await.ok();
    assert_eq!(ids(&operators, "id"), oldest_first[..3]);
    assert!(operators["metadata"]["continue"].is_string());
}

async fn wrong_questions_are_refused(server: TestServer) {
    let path = ready_pool(&server, "pool-jobs", resources(CPU, 1)).await;
    for (query, told) in [
        ("type=game", "type: must be one of train"),
        ("status=Lost", "status: must be one of Queue"),
        ("sort=name", "sort: must be create_time"),
        ("ascend=perhaps", "ascend: must be true or false"),
        ("offset=-1", "offset: must be an integer"),
        ("offset=2147483648", "offset: must be an integer"),
        ("limit=few", "limit: must be an integer"),
    ] {
        server
            .user
            .get(&format!("{path}/workloads?{query}"))
            .await
            .refused_saying(400, "ModelArts.50004000", told);
    }
    let told = "Pool pool-none not found.";
    let none = format!("{}/pool-none/workloads?type=game", server.pools());
    server.user.get(&none).await.refused_saying(404, "ModelArts.50015001", told);
    let none = format!("/v2/{}/statistics/pools/pool-none/workloads", server.project);
    server.user.get(&none).await.refused_saying(404, "ModelArts.50015001", told);
    server.operator.get(&format!("{ALL}/none")).await.refused(404, "ModelArts.50005101");
    server
        .operator
        .delete(&format!("{ALL}/none"))
        .await
        .refused(404, "ModelArts.50005101");
    server.user.get(ALL).await.refused(403, "ModelArts.0108");
}

async fn wrong_workloads_are_refused(server: TestServer) {
    let path = ready_pool(&server, "pool-jobs", resources(CPU, 1)).await;
    submit(&server, id(&path), &job(CPU, 1)).await;
    for (body, told) in [
        (json!({"flavor": CPU}), "type is required"),
        (job(GPU, 1), "has no flavor"),
        (job(CPU, 2), "nodes: the pool may use 1 nodes"),
        (
            json!({"type": "notebook", "flavor": CPU}),
            "job type Notebook is not enabled in pool",
        ),
        (json!({"type": "train", "flavor": CPU, "size": 1}), "size: unknown member"),
    ] {
        try_submit(&server, id(&path), &body)
            .await
            .refused_saying(400, "ModelArts.50004000", told);
    }
    try_submit(&server, "pool-none", &job(CPU, 1))
        .await
        .refused(404, "ModelArts.50015001");
    let dry = server.admin(&format!("pools/{}/workloads?dryRun=true", id(&path)));
    assert_eq!(server.operator.post(&dry, &job(CPU, 1)).await.ok(), json!({}));
    let restrict = server.admin(&format!("pools/{}/control-mode", id(&path)));
    server.operator.put(&restrict, &json!({"controlMode": 4})).await.ok();
    try_submit(&server, id(&path), &job(CPU, 1))
        .await
        .refused_saying(400, "ModelArts.50004000", "is restricted: service restricted");
    let list = server.user.get(&format!("{path}/workloads")).await.ok();
    assert_eq!((&list["total"], &list["items"][0]["status"]), (&json!(1), &json!("Running")));
    let key = server.operator.with_header("Idempotency-Key", "once");
    server.operator.put(&restrict, &json!({"controlMode": 0})).await.ok();
    let target = server.admin(&format!("pools/{}/workloads", id(&path)));
    let once = key.post(&target, &job(CPU, 1)).await.ok();
    assert_eq!(key.post(&target, &job(CPU, 1)).await.ok()["id"], once["id"]);
    let mut other = job(CPU, 1);
    other["priority"] = json!(2);
    key.post(&target, &other).await.refused(409, "ModelArts.50004091");
    assert_eq!(server.user.get(&format!("{path}/workloads")).await.ok()["total"], 2);
}

async fn an_idle_driver_upgrade_waits_for_a_workload(server: TestServer) {
    let path = ready_pool(&server, "pool-gpu", resources(GPU, 2)).await;
    let workload = submit(&server, id(&path), &job(GPU, 1)).await;
    let busy = workload["hosts"][0].as_str().unwrap().to_owned();
    let change = json!({"spec": {"driver": {"gpuVersion": "440.33", "updateStrategy": "idle"}}});
    server.user.patch(&path, &change).await.ok();
    let drivers = async || {
        let nodes = server.user.get(&format!("{path}/nodes")).await.ok();
        let of = |is_busy: bool| {
            let mut nodes = nodes["items"].as_array().unwrap().iter();
            let node = nodes.find(|node| (node["metadata"]["name"] == *busy) == is_busy).unwrap();
            node["status"]["driver"].clone()
        };
        (of(true), of(false))
    };
    let wait = async { while drivers().await.1["version"] != "440.33" || drivers().await.0["phase"] != "Pending" {} };
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
    let shown = server.user.get(&path).await.ok();
    assert_eq!(shown["status"]["driver"]["gpu"]["state"], "Upgrading");
    // The node drains: what runs goes on, nothing new comes.
    let next = submit(&server, id(&path), &job(GPU, 2)).await;
    assert_eq!(
        (&next["status"], &seen(&server, &workload).await["status"]),
        (&json!("Queue"), &json!("Running"))
    );
    assert_ne!(drivers().await.0["version"], "440.33");
    cancel(&server, &workload).await;
    server
        .await_pool(&path, |pool| {
            pool["status"]["driver"]["gpu"] == json!({"version": "440.33", "state": "Running"})
        })
        .await;
    let wait = async { while seen(&server, &next).await["status"] != "Running" {} };
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
}

async fn a_job_type_is_disabled_when_its_last_workload_has_ended(server: TestServer) {
    let mut body = pool(&server, "pool-jobs", resources(CPU, 2));
    body["spec"]["scope"] = json!(["Train", "Notebook"]);
    let created = server.user.post(&server.pools(), &body).await.ok();
    let path = format!("{}/{}", server.pools(), name(&created));
    await_condition(&server.user, &path, "Ready").await;
    await_condition(&server.user, &path, "Notebook=Enabled").await;
    let notebook = json!({"type": "notebook", "flavor": CPU});
    let workload = submit(&server, id(&path), &notebook).await;
    server.user.patch(&path, &json!({"spec": {"scope": ["Train"]}})).await.ok();
    await_condition(&server.user, &path, "Notebook=Disabling").await;
    try_submit(&server, id(&path), &notebook)
        .await
        .refused_saying(400, "ModelArts.50004000", "job type Notebook is not enabled");
    assert_eq!(seen(&server, &workload).await["status"], "Running");
    let shown = server.user.get(&path).await.ok();
    assert!(
        shown["status"]["scope"]
            .as_array()
            .unwrap()
            .iter()
            .any(|scope| scope["state"] == "Disabling")
    );
    cancel(&server, &workload).await;
    await_condition(&server.user, &path, "Notebook=Disabled").await;
}

/// A pool of three nodes with two logical ones: one is guaranteed one node and may use three, the other is guaranteed two.
async fn shared_pool(server: &TestServer) -> (String, String, String) {
    let path = ready_pool(server, "pool-host", resources(CPU, 3)).await;
    let child = async |name: &str, count: u32, most: u32| {
        let resources = json!([{"flavor": CPU, "count": count, "maxCount": most}]);
        let created = server
            .operator
            .post(&server.pools(), &sub_pool(name, id(&path), resources))
            .await
            .ok();
        crate::bodies::name(&created)
    };
    let (low, high) = (child("pool-low", 1, 3).await, child("pool-high", 2, 2).await);
    (path, low, high)
}

async fn a_borrower_gives_back_to_who_is_guaranteed(server: TestServer) {
    let (path, low, high) = shared_pool(&server).await;
    let own = submit(&server, &low, &job(CPU, 1)).await;
    let borrowed = submit(&server, &low, &job(CPU, 2)).await;
    assert_eq!((&own["status"], &borrowed["status"]), (&json!("Running"), &json!("Running")));
    // The fleet of the tests leaves borrowers no time.
    let guaranteed = submit(&server, &high, &job(CPU, 2)).await;
    assert_eq!(guaranteed["status"], "Running");
    assert_eq!(seen(&server, &own).await["status"], "Running");
    let waiting = seen(&server, &borrowed).await;
    assert_eq!(
        (&waiting["status"], &waiting["reason"]),
        (&json!("Queue"), &json!("not enough nodes are free"))
    );
    // Each pool shows its own, the physical one shows all.
    let list = async |pool: &str| {
        let list = server.user.get(&format!("{}/{pool}/workloads", server.pools())).await.ok();
        list["total"].as_u64().unwrap()
    };
    assert_eq!((list(id(&path)).await, list(&low).await, list(&high).await), (3, 2, 1));
    cancel(&server, &guaranteed).await;
    assert_eq!(seen(&server, &borrowed).await["status"], "Running");
    // With a smaller limit, nothing is taken away from what runs; what comes next has to wait.
    let next = submit(&server, &low, &job(CPU, 1)).await;
    assert_eq!(next["reason"], format!("pool {low} uses all that it may"));
}

async fn workloads_end_with_their_pool(server: TestServer) {
    let (path, low, high) = shared_pool(&server).await;
    let own = submit(&server, &low, &job(CPU, 3)).await;
    let other = submit(&server, &high, &job(CPU, 1)).await;
    server.user.delete(&format!("{}/{low}", server.pools())).await.ok();
    let gone = async {
        let target = format!("{ALL}/{}", own["id"].as_str().unwrap());
        while server.operator.get(&target).await.status != 404 {}
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
    assert_eq!(seen(&server, &other).await["status"], "Running");
    server.user.delete(&format!("{}/{high}", server.pools())).await.ok();
    server.user.delete(&path).await.ok();
    crate::bodies::await_gone(&server.user, &path).await;
    assert_eq!(server.operator.get(ALL).await.ok()["workloads"], json!([]));
}

async fn a_workload_survives_its_machine_and_a_restart(server: TestServer) {
    let path = ready_pool(&server, "pool-jobs", resources(CPU, 2)).await;
    let workload = submit(&server, id(&path), &job(CPU, 1)).await;
    let node = workload["hosts"][0].clone();
    let machines = server.operator.get("/admin/v1/machines").await.ok();
    let machine = machines["machines"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["node"] == node)
        .unwrap();
    let faults = format!("/admin/v1/machines/{}/faults", machine["id"].as_str().unwrap());
    server
        .operator
        .post(&faults, &json!({"kind": "faulty", "reason": "smoke"}))
        .await
        .ok();
    let moved = seen(&server, &workload).await;
    assert_eq!(moved["status"], "Running");
    assert_ne!(moved["hosts"][0], node);
    let before = server.user.get(&format!("{path}/workloads?sort=create_time")).await.ok();
    let server = server.restart().await;
    let after = server.user.get(&format!("{path}/workloads?sort=create_time")).await.ok();
    assert_eq!(after["items"][0]["hostIps"], before["items"][0]["hostIps"]);
    assert_eq!(after["items"][0]["status"], "Running");
}

async fn a_workload_is_done_in_its_time(server: TestServer) {
    let path = ready_pool(&server, "pool-jobs", resources(CPU, 1)).await;
    let mut body = job(CPU, 1);
    body["lasting"] = json!("PT1H");
    let workload = submit(&server, id(&path), &body).await;
    server.clock.advance(Duration::from_mins(59));
    assert_eq!(seen(&server, &workload).await["status"], "Running");
    server.clock.advance(Duration::from_mins(2));
    let done = seen(&server, &workload).await;
    assert_eq!(done["status"], "Completed");
    let list = server.user.get(&format!("{path}/workloads?status=Completed")).await.ok();
    assert_eq!(list["items"][0]["runningDuration"], 3600);
}
