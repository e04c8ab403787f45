use super::*;
use crate::mark::Hold;
use domain::name::{FlavorName, PoolName, ProjectId, ZoneName};
use domain::pool::PoolRef;
use fleet::{NodeRequest, PoolMark};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{NodeSpec, Taint};
use kube::api::ObjectMeta;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn request(labels: Texts) -> NodeRequest {
    NodeRequest {
        pool: PoolMark {
            uid: Uid::from_text("0193a1b2c3d4e5f60193a1b2c3d4e5f6"),
            pool: PoolRef {
                project: ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").unwrap(),
                name: PoolName::parse("pool-1").unwrap(),
            },
        },
        node: NodeName::parse("os-node-created-zlncn").unwrap(),
        flavor: FlavorName::parse("gpu").unwrap(),
        az: ZoneName::parse("a").unwrap(),
        driver: Some("550".to_owned()),
        image: None,
        labels,
    }
}

fn claimed(mut node: Node, labels: Texts) -> Node {
    let request = request(labels);
    claim(
        &mut node,
        &Claim {
            request: &request,
            at: Timestamp::UNIX_EPOCH,
            driver_label: Some(mark::GPU_DRIVER),
        },
    );
    node
}

fn node(labels: Texts, taints: Vec<(String, String)>) -> Node {
    let taints: Vec<Taint> = taints
        .into_iter()
        .map(|(key, effect)| Taint {
            key,
            effect,
            ..Taint::default()
        })
        .collect();
    Node {
        metadata: ObjectMeta {
            name: Some("gpu-1".to_owned()),
            resource_version: Some("7".to_owned()),
            labels: Some(labels),
            annotations: Some(Texts::from([("a".to_owned(), "b".to_owned())])),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            taints: Some(taints),
            ..NodeSpec::default()
        }),
        status: None,
    }
}

/// What of a Node is to be the same again.
fn essence(node: &Node) -> (Texts, Texts, BTreeSet<String>) {
    let taints = taint::of(node).iter().map(|taint| format!("{taint:?}")).collect();
    let mut annotations = node.metadata.annotations.clone().unwrap_or_default();
    annotations.remove(mark::EPOCH);
    (node.metadata.labels.clone().unwrap_or_default(), annotations, taints)
}

fn foreign(node: &Node) -> Vec<Taint> {
    taint::of(node)
        .iter()
        .filter(|taint| !taint.key.starts_with(mark::PREFIX))
        .cloned()
        .collect()
}

#[test]
fn a_claim_is_one_patch_that_names_version_and_epoch() {
    let before = node(
        Texts::new(),
        vec![
            ("other".to_owned(), "NoExecute".to_owned()),
            (mark::TAINT_UNCLAIMED.to_owned(), "NoSchedule".to_owned()),
        ],
    );
    let after = claimed(before.clone(), Texts::from([("team".to_owned(), "vision".to_owned())]));
    let patch = patch(&before, &after, Epoch::for_tests(42)).unwrap();
    assert_eq!(patch["metadata"]["resourceVersion"], "7");
    assert_eq!(patch["metadata"]["annotations"][mark::EPOCH], "42");
    assert_eq!(patch["metadata"]["labels"]["team"], "vision");
    assert_eq!(patch["metadata"]["labels"][mark::GPU_DRIVER], "550");
    let keys: Vec<_> = patch["spec"]["taints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|taint| taint["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["other", mark::TAINT_POOL]);
    assert_eq!(node_name(&after).unwrap().as_str(), "os-node-created-zlncn");
    assert_eq!(
        super::patch(&after, &after, Epoch::for_tests(43)),
        None,
        "a Node that stays as it is, is not written"
    );
}

#[test]
fn what_others_have_written_since_survives_a_release() {
    let mut node = claimed(
        node(Texts::from([("team".to_owned(), "old".to_owned())]), Vec::new()),
        Texts::from([("team".to_owned(), "vision".to_owned())]),
    );
    node.metadata
        .labels
        .as_mut()
        .unwrap()
        .insert("team".to_owned(), "theirs".to_owned());
    free(&mut node);
    assert_eq!(label(&node, "team"), Some("theirs"));
}

#[test]
fn reasons_to_hold_a_node_add_up() {
    let mut node = claimed(node(Texts::new(), Vec::new()), Texts::new());
    hold(&mut node, Hold::Reboot);
    hold(&mut node, Hold::Drain);
    assert_eq!(taint::of(&node).last().unwrap().value.as_deref(), Some("drain"));
    unhold(&mut node, Hold::Drain);
    assert_eq!(taint::of(&node).last().unwrap().value.as_deref(), Some("reboot"));
    unhold(&mut node, Hold::Reboot);
    assert!(holds(&node).is_empty() && !taint::of(&node).iter().any(|taint| taint.key == mark::TAINT_HOLD));
}

fn texts() -> impl Strategy<Value = Texts> {
    let keys = prop::sample::select(vec!["team", "a/b", mark::GPU_DRIVER, mark::INVENTORY, "x"]);
    prop::collection::btree_map(keys.prop_map(str::to_owned), "[a-z]{1,3}", 0..4)
}

fn taints() -> impl Strategy<Value = Vec<(String, String)>> {
    let taint = prop::sample::select(vec![
        ("other", "NoSchedule"),
        ("other", "NoExecute"),
        ("nvidia.com/gpu", "NoSchedule"),
        (mark::TAINT_UNCLAIMED, "NoSchedule"),
    ]);
    prop::collection::btree_set(taint, 0..4)
        .prop_map(|all| all.into_iter().map(|(key, effect)| (key.to_owned(), effect.to_owned())).collect())
}

proptest! {
    #[test]
    fn a_release_gives_back_the_node_that_was_claimed(
        labels in texts(),
        own in texts(),
        taints in taints(),
        held in prop::collection::vec(prop::sample::select(vec![Hold::Drain, Hold::Reboot, Hold::Release]), 0..4),
        departs in any::<bool>(),
    ) {
        let before = node(labels, taints);
        let mut after = claimed(before.clone(), own.clone());
        for reason in held {
            hold(&mut after, reason);
            prop_assert_eq!(foreign(&after), foreign(&before));
        }
        set_label(&mut after, "x", "again");
        if departs {
            depart(&mut after);
            prop_assert_eq!(foreign(&after), foreign(&before));
        }
        free(&mut after);
        prop_assert_eq!(essence(&after), essence(&before));
    }
}
