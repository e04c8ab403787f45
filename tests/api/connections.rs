//! Addresses of networks, and what networks are connected to.

use crate::bodies::{CPU, await_gone, ready_pool, resources};
use serde_json::{Value, json};
use testkit::TestServer;

crate::on_both_stores!(
    addresses_in_use_are_counted,
    connections_are_active_while_the_other_end_is_registered,
    wrong_ends_are_refused,
);

const PEERS: &str = "/admin/v1/peer-subnets";
const TURBOS: &str = "/admin/v1/sfs-turbo";

async fn addresses_in_use_are_counted(server: TestServer) {
    let network = format!("/v1/{}/networks/{}", server.project, server.network());
    let subnet = server.user.get(&network).await.ok()["status"]["subnets"][0].clone();
    let id = subnet["networkId"].as_str().unwrap();
    let path = format!("{network}/network-ip-availabilities?network_id={id}");
    let shown = server.user.get(&path).await.ok();
    let total = shown["subnetIpAvailability"][0]["totalIps"].as_u64().unwrap();
    let prefix: u32 = subnet["cidr"].as_str().unwrap().split_once('/').unwrap().1.parse().unwrap();
    assert_eq!(total, (1 << (32 - prefix)) - 6);
    assert_eq!(
        shown,
        json!({"name": subnet["name"], "networkId": id,
            "subnetIpAvailability": [{"cidr": subnet["cidr"], "ipVersion": 4, "usedIps": 0, "totalIps": total}]})
    );
    let pool = ready_pool(&server, "pool-one", resources(CPU, 3)).await;
    let used = async || server.user.get(&path).await.ok()["subnetIpAvailability"][0]["usedIps"].as_u64();
    assert_eq!(used().await, Some(3));
    server.user.delete(&pool).await.ok();
    await_gone(&server.user, &pool).await;
    assert_eq!(used().await, Some(0));
    let all = format!("{network}/network-ip-availabilities");
    server
        .user
        .get(&all)
        .await
        .refused_saying(400, "ModelArts.50004000", "network_id is required");
    let none = server.user.get(&format!("{all}?network_id=x")).await;
    assert_eq!(none.refused(404, "ModelArts.50005101").message(), "Subnet x not found.");
    let none = format!("/v1/{}/networks/none/network-ip-availabilities", server.project);
    server.user.get(&none).await.refused(404, "ModelArts.50025001");
}

async fn connections_are_active_while_the_other_end_is_registered(server: TestServer) {
    let networks = format!("/v1/{}/networks", server.project);
    let body = json!({"apiVersion": "v1", "kind": "Network", "metadata": {"labels": {"os.modelarts/name": "network-peered"}},
        "spec": {"cidr": "192.168.0.0/16"}});
    let made = server.user.post(&networks, &body).await.ok();
    let network = format!("{networks}/{}", made["metadata"]["name"].as_str().unwrap());
    let peer = json!({"peerVpcId": "vpc-1", "peerSubnetId": "subnet-1", "defaultGateWay": true});
    let turbo = json!({"sfsId": "sfs-1", "name": "files"});
    let patch = json!({"spec": {"connection": {"peerConnectionList": [peer], "sfsTurboConnectionList": [turbo]}}});
    let patched = server.user.patch(&network, &patch).await.ok();
    let states = |network: &Value| {
        let status = &network["status"]["connectionStatus"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (
            text(&status["peerConnectionStatus"][0]["phase"]),
            text(&status["sfsTurboStatus"][0]["status"]),
            text(&status["sfsTurboStatus"][0]["ipAddr"]),
        )
    };
    let states_of = |phase: &str, status: &str, address: &str| (phase.to_owned(), status.to_owned(), address.to_owned());
    assert_eq!(states(&patched), states_of("Abnormal", "Abnormal", ""), "nobody knows them");
    let shown = async || {
        let shown = server.user.get(&network).await.ok();
        let list = server.user.get(&networks).await.ok();
        let listed = list["items"].as_array().unwrap().iter();
        let listed = listed
            .filter(|it| it["metadata"]["name"] == shown["metadata"]["name"])
            .collect::<Vec<_>>();
        assert_eq!(listed, [&shown]);
        states(&shown)
    };
    let end = json!({"vpcId": "vpc-1", "subnetId": "subnet-1", "cidr": "10.1.0.0/16"});
    assert_eq!(server.operator.post(PEERS, &end).await.ok(), end);
    let files = json!({"id": "sfs-1", "address": "10.1.0.9"});
    assert_eq!(server.operator.post(TURBOS, &files).await.ok(), files);
    assert_eq!(shown().await, states_of("Active", "Active", "10.1.0.9"));
    assert_eq!(server.operator.get(&format!("{PEERS}/vpc-1/subnet-1")).await.ok(), end);
    assert_eq!(server.operator.get(PEERS).await.ok()["peerSubnets"], json!([end]));
    assert_eq!(server.operator.get(TURBOS).await.ok()["sfsTurbos"], json!([files]));
    server.operator.delete(&format!("{TURBOS}/sfs-1")).await.ok();
    assert_eq!(shown().await, states_of("Active", "Abnormal", ""));
    // A subnet that has addresses of the network cannot be connected to it.
    let inside = json!({"vpcId": "vpc-2", "subnetId": "subnet-2", "cidr": "192.168.7.0/24"});
    server.operator.post(PEERS, &inside).await.ok();
    let both = json!({"spec": {"connection": {"peerConnectionList": [peer, {"peerVpcId": "vpc-2", "peerSubnetId": "subnet-2"}]}}});
    let refused = server.user.patch(&network, &both).await;
    refused.refused_saying(
        400,
        "ModelArts.50004000",
        "spec.connection.peerConnectionList[1].peerSubnetId: 192.168.7.0/24 overlaps",
    );
    let mut create = body.clone();
    create["metadata"]["labels"]["os.modelarts/name"] = json!("network-other");
    create["spec"]["connection"] = json!({"peerConnectionList": [{"peerVpcId": "vpc-2", "peerSubnetId": "subnet-2"}]});
    server.user.post(&networks, &create).await.refused(400, "ModelArts.50004000");
    // As Terraform sends it.
    let none = json!({"spec": {"connection": {"peerConnectionList": null, "sfsTurboConnectionList": []}}});
    let cleared = server.user.patch(&network, &none).await.ok();
    assert_eq!(
        (&cleared["spec"]["connection"], &cleared["status"]["connectionStatus"]),
        (&json!({}), &json!({}))
    );
}

async fn wrong_ends_are_refused(server: TestServer) {
    let end = json!({"vpcId": "vpc-1", "subnetId": "subnet-1", "cidr": "10.1.0.0/16"});
    server.user.post(PEERS, &end).await.refused(403, "ModelArts.0108");
    server.operator.post(PEERS, &end).await.ok();
    server.operator.post(PEERS, &end).await.refused(409, "ModelArts.50005100");
    for wrong in [
        json!({"vpcId": "a/b", "subnetId": "x", "cidr": "10.1.0.0/16"}),
        json!({"vpcId": "a", "subnetId": "x", "cidr": "10.1.0.1/16"}),
        json!({"vpcId": "a", "cidr": "10.1.0.0/16"}),
        json!({"vpcId": "a", "subnetId": "x", "cidr": "10.1.0.0/16", "color": 1}),
    ] {
        server.operator.post(PEERS, &wrong).await.refused(400, "ModelArts.50004000");
    }
    for wrong in [json!({"id": "a"}), json!({"id": "a", "address": "nowhere"}), json!([])] {
        server.operator.post(TURBOS, &wrong).await.refused(400, "ModelArts.50004000");
    }
    server
        .operator
        .delete(&format!("{PEERS}/vpc-1/none"))
        .await
        .refused(404, "ModelArts.50005101");
    server
        .operator
        .get(&format!("{TURBOS}/none"))
        .await
        .refused(404, "ModelArts.50005101");
}
