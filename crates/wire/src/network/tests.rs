use super::*;
use crate::json;
use crate::testing::{any_json, assert_documented, assert_holds, check_errors, members, near, wrong_values};
use domain::meta::Uid;
use domain::name::{DisplayName, NetworkName, ProjectId, WorkspaceId};
use domain::network::{PeerConnection as Peer, SfsTurboConnection as Turbo, Subnet as RecordSubnet};
use proptest::prelude::*;
use serde_json::json;

type Record = model::Network;

/// Contract networks §2.
const REQUEST: &str = r#"{"apiVersion":"v1","kind":"Network",
 "metadata":{"labels":{"os.modelarts/name":"network-7a03"}},
 "spec":{"cidr":"192.168.128.0/17"}}"#;

/// Its answer, but for the phase: ours is `Creating` at once.
const ANSWER: &str = r#"{"kind":"Network","apiVersion":"v1",
 "metadata":{"name":"network-7a03-86c13962597848eeb29c5861153a391f","creationTimestamp":"2022-09-16T09:44:59Z",
  "labels":{"os.modelarts/name":"network-7a03"},"annotations":{}},
 "spec":{"cidr":"192.168.128.0/17","connection":{}}}"#;

/// Contract networks §1.
const DOCUMENTED: [(&str, &[&str]); 9] = [
    ("", &["apiVersion", "kind"]),
    ("metadata", &["name", "creationTimestamp", "deletionTimestamp"]),
    // The last one is a user's.
    ("metadata.labels", &["os.modelarts/name", "os.modelarts/workspace.id", "team"]),
    ("metadata.annotations", &["os.modelarts/description", "note"]),
    ("spec", &["cidr", "ipv6enable"]),
    (
        "spec.connection",
        &[
            "peerConnectionList[].peerVpcId",
            "peerConnectionList[].peerSubnetId",
            "peerConnectionList[].defaultGateWay",
            "sfsTurboConnectionList[].name",
            "sfsTurboConnectionList[].sfsId",
            "sfsTurboConnectionList[].subnetId",
        ],
    ),
    ("status", &["phase"]),
    (
        "status.connectionStatus",
        &[
            "peerConnectionStatus[].peerVpcId",
            "peerConnectionStatus[].peerSubnetId",
            "peerConnectionStatus[].defaultGateWay",
            "peerConnectionStatus[].phase",
            "sfsTurboStatus[].name",
            "sfsTurboStatus[].sfsId",
            "sfsTurboStatus[].connectionType",
            "sfsTurboStatus[].ipAddr",
            "sfsTurboStatus[].status",
        ],
    ),
    ("status.subnets[]", &["name", "networkId", "cidr", "gatewayIp"]),
];

/// The address of a share is not known to this server.
const LEFT_OUT: [(&str, &[&str]); 1] = [("status.connectionStatus", &["sfsTurboStatus[].ipAddr"])];

fn body(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap()
}

/// A create request with every member that may be sent.
fn full_body() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Network",
        "metadata": {
            "labels": {"os.modelarts/name": "network-full", "os.modelarts/workspace.id": "0", "team": "vision"},
            "annotations": {"os.modelarts/description": "for training", "note": "x"}
        },
        "spec": {
            "cidr": "192.168.128.0/17",
            "ipv6enable": true,
            "connection": {
                "peerConnectionList": [{"peerVpcId": "vpc-1", "peerSubnetId": "sub-1", "defaultGateWay": false}],
                "sfsTurboConnectionList": [{"name": "sfs-turbo-a066-bbb", "sfsId": "2a220ce2", "subnetId": "sub-2"}]
            }
        }
    })
}

/// The network that a draft leads to, in the state of another one.
fn network_of(draft: NetworkDraft, phase: NetworkPhase) -> Record {
    let project = ProjectId::parse("86c13962597848eeb29c5861153a391f").unwrap();
    Record {
        name: NetworkName::of(&draft.display_name, &project),
        uid: Uid::from_text("0192bd1b5a5870008000000000000001"),
        generation: 1,
        project,
        display_name: draft.display_name,
        workspace: draft.workspace.unwrap_or_else(WorkspaceId::default_workspace),
        created_at: "2022-09-16T09:44:59Z".parse().unwrap(),
        deleted_at: None,
        description: draft.description,
        labels: draft.labels,
        annotations: draft.annotations,
        cidr: draft.cidr,
        ipv6: draft.ipv6,
        peers: draft
            .peers
            .into_iter()
            .map(|peer| Peer {
                vpc: peer.vpc,
                subnet: peer.subnet,
                is_default_gateway: peer.is_default_gateway,
                state: ConnectionState::Active,
            })
            .collect(),
        sfs_turbo: draft
            .sfs_turbo
            .into_iter()
            .map(|turbo| Turbo {
                name: turbo.name,
                id: turbo.id,
                subnet: turbo.subnet,
                address: None,
                state: ConnectionState::Connecting,
            })
            .collect(),
        phase,
        subnet: RecordSubnet {
            id: Uid::from_text("2d7f0000000000000000000000000001"),
        },
    }
}

fn full_network() -> Record {
    network_of(decode_create(&full_body()).unwrap(), NetworkPhase::Active)
}

fn shown(network: &Record) -> Value {
    serde_json::to_value(Network::from(network)).unwrap()
}

fn patched(network: &Record, patch: &Value) -> Result<Record, String> {
    let draft = decode_patch(network, patch).map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    Ok(network_of(draft, network.phase))
}

#[test]
fn the_published_network_is_created_and_shown() {
    let network = network_of(decode_create(&body(REQUEST)).unwrap(), NetworkPhase::Creating);
    assert_holds(&shown(&network), &body(ANSWER));
    insta::assert_json_snapshot!("network", Network::from(&network));
}

#[test]
fn the_fullest_network_is_shown_like_this() {
    let mut network = full_network();
    network.deleted_at = Some("2022-09-17T00:00:00Z".parse().unwrap());
    insta::assert_json_snapshot!("fullest", Network::from(&network));
    assert_documented(&members([&shown(&network)]), &DOCUMENTED, &LEFT_OUT);
}

#[test]
fn a_network_that_is_being_made_has_no_subnets() {
    let network = network_of(decode_create(&full_body()).unwrap(), NetworkPhase::Creating);
    assert!(shown(&network)["status"].get("subnets").is_none());
}

#[test]
fn the_published_patches_are_applied() {
    let plain = network_of(decode_create(&body(REQUEST)).unwrap(), NetworkPhase::Active);
    let peered = body(
        r#"{"spec":{"connection":{"peerConnectionList":[{"peerVpcId":"359668f4-fbef-4404-b9bc-781142518d3b","peerSubnetId":"8f21dbea-df13-4669-8a17-0efba195997b","defaultGateWay":false}]}}}"#,
    );
    let network = patched(&plain, &peered).unwrap();
    assert_holds(&shown(&network), &peered);
    let mounted = body(
        r#"{"spec":{"connection":{"sfsTurboConnectionList":[{"sfsId":"2a220ce2-936c-4041-8478-c731bf934b11","name":"sfs-turbo-a066-bbb"}]}}}"#,
    );
    let network = patched(&network, &mounted).unwrap();
    assert_holds(&shown(&network), &peered);
    assert_holds(&shown(&network), &mounted);
    // As Terraform sends it, contract clients §1, example 4.
    let one = body(
        r#"{"spec":{"connection":{"peerConnectionList":[{"peerSubnetId":"sub-1","peerVpcId":"vpc-1"}],"sfsTurboConnectionList":null}}}"#,
    );
    let network = patched(&network, &one).unwrap();
    assert_eq!((network.peers.len(), network.sfs_turbo.len()), (1, 0));
    assert!(
        shown(&network)["spec"]["connection"]["peerConnectionList"][0]
            .get("defaultGateWay")
            .is_none()
    );
}

#[test]
fn every_member_tells_what_it_accepts() {
    insta::assert_snapshot!("wrong_values", wrong_values(&full_body(), decode_create));
}

#[test]
fn every_member_tells_what_a_patch_may_do_to_it() {
    let network = full_network();
    let mut body = shown(&network);
    body.as_object_mut().unwrap().remove("status");
    insta::assert_snapshot!("patch", wrong_values(&body, |body| decode_patch(&network, body)));
}

#[test]
fn labels_may_be_numbers_and_an_empty_workspace_is_none() {
    let mut body = full_body();
    body["metadata"]["labels"]["os.modelarts/workspace.id"] = json!(0);
    assert_eq!(decode_create(&body).unwrap().workspace, Some(WorkspaceId::default_workspace()));
    body["metadata"]["labels"]["os.modelarts/workspace.id"] = json!("");
    assert_eq!(decode_create(&body).unwrap().workspace, None);
}

#[test]
fn null_is_refused_where_nothing_may_be_removed() {
    let network = full_network();
    for (patch, told) in [
        (json!({"metadata": null}), "metadata: must not be null"),
        (json!({"metadata": {"labels": null}}), "metadata.labels: must not be null"),
        (json!({"metadata": {"annotations": null}}), "metadata.annotations: must not be null"),
        (json!({"spec": null}), "spec: must not be null"),
        (
            json!({"metadata": {"labels": {"os.modelarts/workspace.id": null}}}),
            "metadata.labels[os.modelarts/workspace.id]: must not be null",
        ),
        (
            json!({"spec": {"cidr": null}}),
            "spec.cidr cannot be modified; spec.cidr is required",
        ),
        (
            json!({"spec": {"ipv6enable": false}}),
            "spec.ipv6enable: cannot be switched off again",
        ),
        (json!(null), "the body must be an object"),
        (json!([]), "the body must be an object"),
    ] {
        assert_eq!(patched(&network, &patch).unwrap_err(), told);
    }
    let plain = patched(&network, &json!({"metadata": {"annotations": {"os.modelarts/description": null}}})).unwrap();
    assert_eq!(plain.description, None);
}

#[test]
fn the_same_peer_twice_is_refused() {
    let mut body = full_body();
    let peers = body["spec"]["connection"]["peerConnectionList"].as_array_mut().unwrap();
    peers.push(peers[0].clone());
    assert_eq!(
        decode_create(&body).unwrap_err().to_string(),
        "spec.connection.peerConnectionList[1]: the same VPC and subnet occur twice"
    );
}

fn network() -> impl Strategy<Value = Record> {
    let peer = ("[a-z0-9-]{1,8}", "[a-z0-9-]{1,8}", prop::option::of(any::<bool>()));
    let turbo = ("[a-z0-9-]{1,8}", prop::option::of("[a-z0-9-]{1,8}"));
    let texts = || prop::collection::btree_map("[a-z]{1,4}", "[a-z0-9 ü]{0,5}", 0..64);
    (
        "[a-z][a-z0-9-]{2,20}[a-z0-9]",
        (texts(), texts(), prop::option::of("[a-z ü]{0,10}"), any::<bool>()),
        prop::collection::vec(peer, 0..4),
        prop::collection::btree_map("[a-z0-9-]{1,8}", turbo, 0..3),
        prop::sample::select(vec![NetworkPhase::Creating, NetworkPhase::Active]),
    )
        .prop_map(|(name, (labels, annotations, description, ipv6), mut peers, turbos, phase)| {
            peers.sort();
            peers.dedup_by(|a, b| (&a.0, &a.1) == (&b.0, &b.1));
            let peers = peers.into_iter().map(|(vpc, subnet, is_default_gateway)| PeerDraft {
                vpc,
                subnet,
                is_default_gateway,
            });
            let turbos = turbos.into_iter().map(|(id, (name, subnet))| SfsTurboDraft { name, id, subnet });
            let draft = NetworkDraft {
                display_name: DisplayName::parse(&name).unwrap(),
                workspace: None,
                labels,
                annotations,
                description,
                cidr: "10.168.0.0/16".parse().unwrap(),
                ipv6,
                peers: peers.collect(),
                sfs_turbo: turbos.collect(),
            };
            network_of(draft, phase)
        })
}

proptest! {
    #[test]
    fn a_network_sent_back_as_it_is_shown_stays_as_it_is(network in network()) {
        prop_assert_eq!(patched(&network, &shown(&network)), Ok(network));
    }

    #[test]
    fn a_network_sent_back_with_one_change_has_this_change(network in network(), at in 0..4_usize) {
        let (mut sent, mut wanted) = (shown(&network), network.clone());
        match at {
            0 => {
                sent["metadata"]["annotations"]["os.modelarts/description"] = json!("changed");
                wanted.description = Some("changed".to_owned());
            }
            1 => {
                sent["metadata"]["labels"]["os.modelarts/workspace.id"] = json!("w-1");
                wanted.workspace = WorkspaceId::parse("w-1").unwrap();
            }
            2 => {
                sent["spec"]["connection"]["peerConnectionList"] = json!([]);
                wanted.peers.clear();
            }
            _ => {
                sent["spec"]["ipv6enable"] = json!("true");
                wanted.ipv6 = true;
            }
        }
        prop_assert_eq!(patched(&network, &sent), Ok(wanted));
    }

    #[test]
    fn a_network_can_be_created_from_what_another_one_shows(network in network()) {
        let draft = decode_create(&shown(&network)).unwrap();
        prop_assert_eq!(network_of(draft, network.phase), network);
    }

    #[test]
    fn any_json_is_a_request_or_told_why_not(body in prop_oneof![any_json(), near(full_body())]) {
        check_errors(&body, &decode_create(&body));
        check_errors(&body, &decode_patch(&full_network(), &body));
    }
}
