//! The acceptance checklist of the contract (semantics §17), row by row.

use crate::bodies::{
    CPU, CPU_SMALL, PUBLISHED_CREATE, PUBLISHED_LOGICAL, await_condition, await_gone, count, label, name, pool, ready_pool, resources,
    sub_pool,
};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::TestServer;

crate::on_both_stores!(
    row_01_the_published_create,
    row_02_the_same_again,
    row_03_the_published_logical_create,
    row_04_a_physical_pool_needs_a_network,
    row_05_max_count_of_physical_pools,
    row_06_what_a_logical_pool_must_not_have,
    row_07_the_status_filter,
    row_08_the_label_selector,
    row_09_sub_pools_of_a_parent,
    row_10_the_published_scale_out,
    row_11_bodies_that_are_no_patch,
    row_12_characters_of_a_description,
    row_13_removing_the_description,
    row_14_dropping_a_flavor,
    row_15_one_up_and_one_down,
    row_16_the_type_cannot_change,
    row_17_job_types,
    row_18_no_gpu_driver_for_cpus,
    row_19_workspace_alone,
    row_20_and_21_sums_of_sub_pools,
    row_22_deleting_a_parent,
    row_23_a_network_in_use,
    row_25_restriction_bits,
    row_26_signatures_and_projects,
    row_27_patch_as_plain_json,
    row_28_acting_for_somebody_else,
    row_29_retrying_an_enabled_scope,
);

async fn row_01_the_published_create(server: TestServer) {
    let sent = server
        .user
        .send(Method::POST, &server.pools(), "application/json", PUBLISHED_CREATE.into())
        .await;
    let created = sent.ok();
    let id = format!("pool-ae01-{}", server.project);
    assert_eq!(name(&created), id);
    assert_eq!(label(&created, "os.modelarts/name"), "pool-ae01");
    assert_eq!(label(&created, "os.modelarts/workspace.id"), "0");
    assert_eq!(created["metadata"]["labels"]["os.modelarts/node.prefix"], "");
    assert_eq!(label(&created, "os.modelarts/tenant.project.id"), server.project);
    assert_eq!(label(&created, "os.modelarts.pool/biz"), "private");
    assert!(label(&created, "os.modelarts/resource.id").starts_with("maos-pool-ae01-"));
    assert!(label(&created, "os.modelarts/order.name").starts_with("order.pool-ae01-"));
    let ids: Value = serde_json::from_str(
        created["metadata"]["annotations"]["os.modelarts/flavor.resource.ids"]
            .as_str()
            .unwrap(),
    )
    .unwrap();
    assert!(ids[CPU].as_str().unwrap().starts_with("maos.vm.cpu.8ud."));
    assert_eq!(created["metadata"]["annotations"]["os.modelarts.pool/subpools.count"], "0");
    assert_eq!(created["spec"]["resources"], json!([{"flavor": CPU, "count": 1, "maxCount": 1}]));
    assert_eq!(created["status"]["phase"], "Creating");
    assert_eq!(created["status"]["root"], id.as_str());
    assert_eq!(count(&created, "creating"), 1);
    let path = format!("{}/{id}", server.pools());
    let running = await_condition(&server.user, &path, "Running").await;
    assert_eq!(count(&running, "available"), 1);
}

async fn row_02_the_same_again(server: TestServer) {
    let pools = server.pools();
    let send = || server.user.send(Method::POST, &pools, "application/json", PUBLISHED_CREATE.into());
    send().await.ok();
    let again = send().await.refused(409, "ModelArts.50015000");
    assert_eq!(again.message(), "Pool already exists.");
}

async fn row_03_the_published_logical_create(server: TestServer) {
    let created = server
        .user
        .send(Method::POST, &server.pools(), "application/json", PUBLISHED_LOGICAL.into())
        .await
        .ok();
    assert_eq!(created["apiVersion"], "v2");
    assert_eq!(created["status"]["phase"], "Waiting");
    assert_eq!(created["status"]["message"], "waiting for administrator approval");
    assert_eq!(created["status"]["resources"], json!({}));
    assert_eq!(created["metadata"]["annotations"]["os.modelarts/billing.mode"], "0");
    assert_eq!(created["metadata"]["annotations"]["os.modelarts/product.id"], "xxx");
    assert!(created["status"].get("root").is_none());
}

async fn row_04_a_physical_pool_needs_a_network(server: TestServer) {
    let mut body = pool(&server, "pool-none", resources(CPU, 1));
    body["spec"].as_object_mut().unwrap().remove("network");
    let answer = server.user.post(&server.pools(), &body).await.refused(400, "ModelArts.50004000");
    assert_eq!(answer.message(), "Bad request. spec.network is required");
}

async fn row_05_max_count_of_physical_pools(server: TestServer) {
    let wanted = json!([{"flavor": CPU, "count": 1, "maxCount": 2}]);
    server
        .user
        .post(&server.pools(), &pool(&server, "pool-max", wanted))
        .await
        .refused_saying(400, "ModelArts.50004000", "maxCount");
    let path = ready_pool(&server, "pool-max", resources(CPU, 1)).await;
    let patched = server
        .user
        .patch(&path, &json!({"spec": {"resources": [{"flavor": CPU, "count": 2, "maxCount": 1}]}}))
        .await
        .ok();
    assert_eq!(patched["spec"]["resources"], json!([{"flavor": CPU, "count": 2, "maxCount": 2}]));
}

async fn row_06_what_a_logical_pool_must_not_have(server: TestServer) {
    ready_pool(&server, "pool-base", resources(CPU, 2)).await;
    let parent = format!("pool-base-{}", server.project);
    for (field, value) in [
        ("network", json!({"name": server.network()})),
        ("driver", json!({"gpuVersion": "440.33"})),
        (
            "resources",
            json!([{"flavor": CPU, "count": 1, "azs": [{"az": "az-1", "count": 1}]}]),
        ),
    ] {
        let mut body = sub_pool("pool-sub", &parent, resources(CPU, 1));
        body["spec"][field] = value;
        server
            .user
            .post(&server.pools(), &body)
            .await
            .refused_saying(400, "ModelArts.50004000", "is for physical pools only");
    }
}

async fn row_07_the_status_filter(server: TestServer) {
    ready_pool(&server, "pool-up", resources(CPU, 1)).await;
    server
        .user
        .send(Method::POST, &server.pools(), "application/json", PUBLISHED_LOGICAL.into())
        .await
        .ok();
    let rejected = server
        .user
        .post(
            &server.pools(),
            &json!({
                "kind": "Pool", "apiVersion": "v2", "metadata": {"labels": {"os.modelarts/name": "pool-no"}},
                "spec": {"type": "Logical", "resources": resources(CPU, 1)}
            }),
        )
        .await
        .ok();
    let order = label(&rejected, "os.modelarts/order.name").to_owned();
    server
        .operator
        .post(&server.admin(&format!("orders/{order}/reject")), &json!({"reason": "no room"}))
        .await
        .ok();
    for (status, expected) in [
        ("created", vec!["pool-up"]),
        ("creating", vec!["pool-logic-01"]),
        ("failed", vec!["pool-no"]),
        ("", vec!["pool-logic-01", "pool-no", "pool-up"]),
    ] {
        let list = server.user.get(&format!("{}?status={status}", server.pools())).await.ok();
        let mut names: Vec<_> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pool| label(pool, "os.modelarts/name"))
            .collect();
        names.sort_unstable();
        assert_eq!(names, expected, "status={status}");
    }
    let all = server.user.get(&server.pools()).await.ok();
    assert_eq!(all["items"].as_array().unwrap().len(), 3);
    server
        .user
        .get(&format!("{}?status=bogus", server.pools()))
        .await
        .refused_saying(400, "ModelArts.50004000", "status");
}

async fn row_08_the_label_selector(server: TestServer) {
    for pool_name in ["pool-a", "pool-b", "pool-c"] {
        server
            .user
            .post(&server.pools(), &pool(&server, pool_name, resources(CPU, 1)))
            .await
            .ok();
    }
    let list = server
        .user
        .get(&format!(
            "{}?labelSelector=os.modelarts%2Fname+in+%28pool-a%2Cpool-b%29%2C%21x",
            server.pools()
        ))
        .await
        .ok();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    server
        .user
        .get(&format!("{}?labelSelector=a+in+%28b", server.pools()))
        .await
        .refused_saying(400, "ModelArts.50004000", "labelSelector");
}

async fn row_09_sub_pools_of_a_parent(server: TestServer) {
    ready_pool(&server, "pool-base", resources(CPU, 4)).await;
    let parent = format!("pool-base-{}", server.project);
    let child = server
        .operator
        .post(&server.pools(), &sub_pool("pool-child", &parent, resources(CPU, 2)))
        .await
        .ok();
    assert_eq!(child["status"]["phase"], "Running");
    assert_eq!(child["status"]["parent"], parent.as_str());
    assert_eq!(child["status"]["root"], parent.as_str());
    server
        .operator
        .post(&server.pools(), &sub_pool("pool-grandchild", &name(&child), resources(CPU, 1)))
        .await
        .ok();
    let long = "x".repeat(300);
    for nobody in ["pool-none", long.as_str()] {
        let list = server.user.get(&format!("{}?parent={nobody}", server.pools())).await.ok();
        assert_eq!(list["items"], json!([]), "{nobody}");
    }
    let list = server.user.get(&format!("{}?parent={parent}", server.pools())).await.ok();
    assert_eq!(
        list["items"].as_array().unwrap().iter().map(name).collect::<Vec<_>>(),
        [name(&child)]
    );
}

async fn row_10_the_published_scale_out(server: TestServer) {
    let path = ready_pool(&server, "auto-pool-os", resources(CPU_SMALL, 2)).await;
    let body = r#"{"spec":{"resources":[{"flavor":"modelarts.vm.cpu.4ud","count":3}]}}"#;
    let patched = server
        .user
        .send(Method::PATCH, &path, "application/merge-patch+json", body.into())
        .await
        .ok();
    assert_eq!(patched["spec"]["resources"][0]["count"], 3);
    assert_eq!(patched["status"]["phase"], "Running");
    assert_eq!((count(&patched, "available"), count(&patched, "creating")), (2, 1));
    let ready = await_condition(&server.user, &path, "Ready").await;
    assert_eq!(count(&ready, "available"), 3);
    let order = label(&patched, "os.modelarts/order.name");
    let orders = server
        .user
        .get(&format!("/v1/{}/orders?involvedName={}", server.project, name(&patched)))
        .await
        .ok();
    let found = orders["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|found| found["orderName"] == order)
        .unwrap();
    assert_eq!(found["phase"], "successed");
    assert_eq!(found["resultCount"][0]["count"], 3);
}

async fn row_11_bodies_that_are_no_patch(server: TestServer) {
    let path = ready_pool(&server, "pool-patch", resources(CPU, 1)).await;
    let before = server.user.get(&path).await.ok();
    let send = |path: String, kind: &'static str, body: &'static str| {
        let user = server.user.clone();
        async move { user.send(Method::PATCH, &path, kind, body.into()).await }
    };
    let merge = "application/merge-patch+json";
    assert_eq!(send(path.clone(), merge, "{}").await.ok(), before);
    send(path.clone(), merge, "null").await.refused(400, "ModelArts.50004000");
    send(path.clone(), merge, "[]").await.refused(400, "ModelArts.50004000");
    send(format!("{}/pool-unknown", server.pools()), merge, "{")
        .await
        .refused(404, "ModelArts.50015001");
    send(path.clone(), "text/plain", "{}").await.refused(415, "ModelArts.50004100");
    send(format!("{}/pool-unknown", server.pools()), "text/plain", "{}")
        .await
        .refused(415, "ModelArts.50004100");
    assert_eq!(server.user.get(&path).await.ok(), before);
}

fn description(text: &Value) -> Value {
    json!({"metadata": {"annotations": {"os.modelarts/description": text}}})
}

async fn row_12_characters_of_a_description(server: TestServer) {
    let path = ready_pool(&server, "pool-text", resources(CPU, 1)).await;
    server
        .user
        .patch(&path, &description(&json!("a<b")))
        .await
        .refused_saying(400, "ModelArts.50004000", "os.modelarts/description");
    let patched = server.user.patch(&path, &description(&json!("a.b"))).await.ok();
    assert_eq!(patched["metadata"]["annotations"]["os.modelarts/description"], "a.b");
}

async fn row_13_removing_the_description(server: TestServer) {
    let path = ready_pool(&server, "pool-text", resources(CPU, 1)).await;
    server.user.patch(&path, &description(&json!("text"))).await.ok();
    let patched = server.user.patch(&path, &description(&Value::Null)).await.ok();
    assert_eq!(patched["metadata"]["annotations"]["os.modelarts/description"], "");
}

async fn row_14_dropping_a_flavor(server: TestServer) {
    let both = json!([{"flavor": CPU, "count": 1}, {"flavor": CPU_SMALL, "count": 2}]);
    let path = ready_pool(&server, "pool-two", both).await;
    server
        .user
        .patch(&path, &json!({"spec": {"resources": resources(CPU, 1)}}))
        .await
        .ok();
    let ready = await_condition(&server.user, &path, "Ready").await;
    assert_eq!(ready["spec"]["resources"].as_array().unwrap().len(), 1);
    assert_eq!(count(&ready, "available"), 1);
    let nodes = server.user.get(&format!("{path}/nodes")).await.ok();
    assert_eq!(
        nodes["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| node["spec"]["flavor"].as_str().unwrap())
            .collect::<Vec<_>>(),
        [CPU]
    );
}

async fn row_15_one_up_and_one_down(server: TestServer) {
    let path = ready_pool(
        &server,
        "pool-two",
        json!([{"flavor": CPU, "count": 2}, {"flavor": CPU_SMALL, "count": 2}]),
    )
    .await;
    let swap = json!({"spec": {"resources": [{"flavor": CPU, "count": 1}, {"flavor": CPU_SMALL, "count": 3}]}});
    server
        .user
        .patch(&path, &swap)
        .await
        .refused_saying(400, "ModelArts.50004000", "scaled out and in");
}

async fn row_16_the_type_cannot_change(server: TestServer) {
    let path = ready_pool(&server, "pool-type", resources(CPU, 1)).await;
    let answer = server
        .user
        .patch(&path, &json!({"spec": {"type": "Logical"}}))
        .await
        .refused(400, "ModelArts.50004000");
    assert_eq!(answer.message(), "Bad request. spec.type cannot be modified");
    server.user.patch(&path, &json!({"spec": {"type": "Dedicate"}})).await.ok();
}

async fn row_17_job_types(server: TestServer) {
    let path = ready_pool(&server, "pool-scope", resources(CPU, 1)).await;
    await_condition(&server.user, &path, "Train=Enabled").await;
    server
        .user
        .patch(&path, &json!({"spec": {"scope": []}}))
        .await
        .refused_saying(400, "ModelArts.50004000", "spec.scope");
    let patched = server
        .user
        .patch(&path, &json!({"spec": {"scope": ["Train", "Notebook"]}}))
        .await
        .ok();
    assert_eq!(patched["spec"]["scope"], json!(["Train", "Notebook"]));
    // Whoever waits for final states must see at once that there is something to wait for.
    assert_eq!(patched["status"]["scope"][1], json!({"scopeType": "Notebook", "state": "Enabling"}));
    let enabled = await_condition(&server.user, &path, "Notebook=Enabled").await;
    assert_eq!(enabled["status"]["scope"].as_array().unwrap().len(), 2);
    let fewer = server.user.patch(&path, &json!({"spec": {"scope": ["Train"]}})).await.ok();
    assert_eq!(fewer["status"]["scope"][1]["state"], "Disabling");
    await_condition(&server.user, &path, "Notebook=Disabled").await;
    let child = server
        .operator
        .post(&server.pools(), &sub_pool("pool-sub", &name(&patched), resources(CPU, 1)))
        .await
        .ok();
    let child = format!("{}/{}", server.pools(), name(&child));
    server
        .user
        .patch(&child, &json!({"spec": {"scope": ["Train", "Infer"]}}))
        .await
        .refused(400, "ModelArts.50004000");
}

async fn row_18_no_gpu_driver_for_cpus(server: TestServer) {
    let path = ready_pool(&server, "pool-cpu", resources(CPU, 1)).await;
    server
        .user
        .patch(&path, &json!({"spec": {"driver": {"gpuVersion": "440.33"}}}))
        .await
        .refused_saying(400, "ModelArts.50004000", "gpuVersion");
}

async fn row_19_workspace_alone(server: TestServer) {
    let path = ready_pool(&server, "pool-move", resources(CPU, 1)).await;
    let workspace = server
        .user
        .post(&format!("/v1/{}/workspaces", server.project), &json!({"name": "team-a"}))
        .await
        .ok();
    let moved = json!({"os.modelarts/workspace.id": workspace["id"]});
    let both = json!({"metadata": {"labels": moved, "annotations": {"os.modelarts/description": "x"}}});
    server
        .user
        .patch(&path, &both)
        .await
        .refused_saying(400, "ModelArts.50004000", "workspace.id");
    let patched = server.user.patch(&path, &json!({"metadata": {"labels": moved}})).await.ok();
    assert_eq!(label(&patched, "os.modelarts/workspace.id"), workspace["id"].as_str().unwrap());
    let unknown = json!({"metadata": {"labels": {"os.modelarts/workspace.id": "nowhere"}}});
    server.user.patch(&path, &unknown).await.refused(400, "ModelArts.0102");
}

async fn row_20_and_21_sums_of_sub_pools(server: TestServer) {
    let path = ready_pool(&server, "pool-base", resources(CPU, 3)).await;
    let parent = format!("pool-base-{}", server.project);
    server
        .operator
        .post(&server.pools(), &sub_pool("pool-one", &parent, resources(CPU, 2)))
        .await
        .ok();
    let second = server
        .operator
        .post(&server.pools(), &sub_pool("pool-two", &parent, resources(CPU, 2)))
        .await;
    second.refused_saying(400, "ModelArts.50004000", "1 of 3 are free");
    let shown = server.user.get(&path).await.ok();
    assert_eq!(shown["metadata"]["annotations"]["os.modelarts.pool/subpools.count"], "1");
    server
        .user
        .patch(&path, &json!({"spec": {"resources": resources(CPU, 1)}}))
        .await
        .refused_saying(400, "ModelArts.50004000", "guaranteed 2");
}

async fn row_22_deleting_a_parent(server: TestServer) {
    let path = ready_pool(&server, "pool-base", resources(CPU, 3)).await;
    let parent = format!("pool-base-{}", server.project);
    let child = server
        .operator
        .post(&server.pools(), &sub_pool("pool-one", &parent, resources(CPU, 2)))
        .await
        .ok();
    let refusal = server.user.delete(&path).await.refused(400, "ModelArts.50004000");
    assert_eq!(refusal.message(), "Bad request. pool has 1 logical sub-pools");
    server.user.delete(&format!("{}/{}", server.pools(), name(&child))).await.ok();
    let deleting = server.user.delete(&path).await.ok();
    assert_eq!(deleting["status"]["phase"], "Deleting");
    assert!(deleting["metadata"]["deletionTimestamp"].is_string());
    await_gone(&server.user, &path).await;
}

async fn row_23_a_network_in_use(server: TestServer) {
    let path = ready_pool(&server, "pool-net", resources(CPU, 1)).await;
    let network = format!("/v1/{}/networks/{}", server.project, server.network());
    server.user.delete(&network).await.refused(409, "ModelArts.50025002");
    server.user.delete(&path).await.ok();
    await_gone(&server.user, &path).await;
    server.user.delete(&network).await.ok();
    server.user.get(&network).await.refused(404, "ModelArts.50025001");
}

async fn row_25_restriction_bits(server: TestServer) {
    let path = ready_pool(&server, "pool-lock", resources(CPU, 1)).await;
    let id = format!("pool-lock-{}", server.project);
    for (mask, scales, describes, deletes) in [
        (2, false, true, true),
        (8, false, true, true),
        (9, false, true, true),
        (16, false, true, false),
    ] {
        server
            .operator
            .put(&server.admin(&format!("pools/{id}/control-mode")), &json!({"controlMode": mask}))
            .await
            .ok();
        assert_eq!(server.user.get(&path).await.ok()["spec"]["controlMode"], mask);
        let scaled = server.user.patch(&path, &json!({"spec": {"resources": resources(CPU, 2)}})).await;
        assert_eq!(scaled.status == 200, scales, "{mask}: {}", scaled.text);
        let described = server.user.patch(&path, &description(&json!(format!("mask {mask}")))).await;
        assert_eq!(described.status == 200, describes, "{mask}: {}", described.text);
        let deleted = server.user.delete(&format!("{path}?dryRun=true")).await;
        assert_eq!(deleted.status == 200, deletes, "{mask}: {}", deleted.text);
    }
    server
        .operator
        .put(&server.admin(&format!("pools/{id}/control-mode")), &json!({"controlMode": 0}))
        .await
        .ok();
    server
        .user
        .patch(&path, &json!({"spec": {"controlMode": 4}}))
        .await
        .refused(400, "ModelArts.50004000");
}

async fn row_26_signatures_and_projects(server: TestServer) {
    server.user.get(&server.pools()).await.ok();
    let wrong = server.with_secret("not-the-secret");
    wrong.get(&server.pools()).await.refused(401, "ModelArts.50001000");
    let elsewhere = "0".repeat(32);
    server
        .user
        .get(&format!("/v2/{elsewhere}/pools"))
        .await
        .refused(403, "ModelArts.0210");
    server
        .user
        .with_header("x-project-id", &elsewhere)
        .get(&server.pools())
        .await
        .refused(403, "ModelArts.0210");
}

async fn row_27_patch_as_plain_json(server: TestServer) {
    let path = ready_pool(&server, "pool-json", resources(CPU, 1)).await;
    let body = description(&json!("plain")).to_string();
    server
        .user
        .send(Method::PATCH, &path, "application/json;charset=UTF-8", body.into())
        .await
        .ok();
}

async fn row_28_acting_for_somebody_else(server: TestServer) {
    let other = server.user.with_header("x-modelarts-user-id", "somebody-else");
    other.get(&server.pools()).await.refused(403, "ModelArts.0112");
    server
        .operator
        .with_header("x-modelarts-user-id", "somebody-else")
        .get(&server.pools())
        .await
        .ok();
}

async fn row_29_retrying_an_enabled_scope(server: TestServer) {
    let path = ready_pool(&server, "pool-retry", resources(CPU, 1)).await;
    await_condition(&server.user, &path, "Train=Enabled").await;
    let answer = server
        .user
        .post(&format!("{path}/retry-scope"), &json!({"scope": "Train"}))
        .await
        .refused(400, "ModelArts.50004000");
    assert_eq!(
        answer.message(),
        format!("Bad request. The pool pool-retry-{} scope Train cannot be enabled.", server.project)
    );
    server
        .user
        .post(&format!("{path}/retry-scope"), &json!({"scope": "Sleep"}))
        .await
        .refused(400, "ModelArts.50004000");
    server
        .user
        .post(&format!("{}/nothing/retry-scope", server.pools()), &json!({"scope": "Train"}))
        .await
        .refused(404, "ModelArts.50015001");
}
