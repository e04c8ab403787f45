use super::*;
use crate::testing::{assert_documented, assert_holds, members};
use domain::meta::Uid;
use domain::name::{DomainId, FlavorName, NodeName, NodePoolName, OrderName, PoolName, ProjectId, ZoneName};
use domain::node::{DeleteCause, MachineFacts, NodeBatch, NodeDriverState, NodePhase, NodeTemplate};
use domain::pool::{Accelerator, BillingMode, CreatingStep, RootVolume, StepKind};
use domain::tag::Tag;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Contract nodes §1.
const DOCUMENTED: [(&str, &[&str]); 8] = [
    ("", &["apiVersion", "kind"]),
    ("metadata", &["name", "creationTimestamp"]),
    (
        "metadata.labels",
        &[
            "os.modelarts.node/cluster",
            "os.modelarts.node/batch.uid",
            "os.modelarts.node/batch.name",
            "os.modelarts.node/volcano.scheduler.cabinet-exclusive",
            "cce.kubectl.kubernetes.io/cabinet",
            "os.modelarts.node/nodepool",
            "os.modelarts.node/nodepoolname",
            "os.modelarts.node/elastic.quota",
            "os.modelarts.node/batch.type",
            "os.modelarts.node/batch.count",
            "os.modelarts.node/spod.id",
            "os.modelarts/resource.id",
            "os.modelarts/tenant.domain.id",
            "os.modelarts/tenant.project.id",
            "os.modelarts/billing.status",
            "os.modelarts.node/underlying.instance.id",
            "os.modelarts.node/ha.redundant.enabled",
            // The element's.
            "disk",
        ],
    ),
    (
        "metadata.annotations",
        &[
            "os.modelarts/npu-topology-placement",
            "os.modelarts.node/drain",
            "os.modelarts.node/lock.action",
            "os.modelarts/tms.tags",
            "os.modelarts/billing.mode",
        ],
    ),
    (
        "spec",
        &[
            "flavor",
            "hostNetwork.vpc",
            "hostNetwork.subnet",
            "hostNetwork.securityGroups",
            "os.name",
            "os.imageId",
            "os.imageType",
            "rootVolume.volumeType",
            "rootVolume.size",
            "dataVolumes[].volumeType",
            "dataVolumes[].size",
            "dataVolumes[].count",
            // As in the pool's element.
            "os.autoMatch",
            "dataVolumes[].extendParams.volumeGroup",
            "extendParams.dockerBaseSize",
        ],
    ),
    (
        "status",
        &[
            "phase",
            "az",
            "privateIp",
            "driver.phase",
            "driver.version",
            "os.name",
            "message",
            "taints[].key",
            "taints[].value",
            "taints[].effect",
            "taints[].timeAdded",
            "plugins[].name",
            "plugins[].phase",
            "plugins[].version",
        ],
    ),
    ("status.resources", &["cpu", "memory", "nvidia.com/gpu"]),
    ("status.availableResources", &["cpu", "memory", "nvidia.com/gpu"]),
];

/// Optional members that the records have no values for.
const LEFT_OUT: [(&str, &[&str]); 4] = [
    (
        "metadata.labels",
        &[
            "os.modelarts.node/volcano.scheduler.cabinet-exclusive",
            "cce.kubectl.kubernetes.io/cabinet",
            "os.modelarts.node/spod.id",
        ],
    ),
    (
        "metadata.annotations",
        &["os.modelarts/npu-topology-placement", "os.modelarts.node/drain"],
    ),
    ("spec", &["hostNetwork.vpc", "hostNetwork.subnet", "hostNetwork.securityGroups"]),
    (
        "status",
        &[
            "taints[].key",
            "taints[].value",
            "taints[].effect",
            "taints[].timeAdded",
            "plugins[].name",
            "plugins[].phase",
            "plugins[].version",
        ],
    ),
];

fn texts(pairs: &[(&str, &str)]) -> Texts {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn plain() -> model::Node {
    model::Node {
        name: NodeName::parse("os-node-created-zlncn").unwrap(),
        uid: Uid::from_text("0192bd1b5a5870008000000000000001"),
        project: ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").unwrap(),
        pool: PoolName::parse("pool-ae01-6f5da086876d4cd084d36f8bd3346036").unwrap(),
        pool_uid: Uid::from_text("0192bd1b5a5870008000000000000002"),
        flavor: FlavorName::parse("modelarts.vm.cpu.4ud").unwrap(),
        node_pool: NodePoolName::parse("modelarts.vm.cpu.4ud-default").unwrap(),
        az: ZoneName::parse("xx-xxxx-xx").unwrap(),
        created_at: "2022-09-16T05:32:44Z".parse().unwrap(),
        order: OrderName::parse("order.x").unwrap(),
        phase: NodePhase::Creating {
            deadline: Timestamp::UNIX_EPOCH,
        },
        was_available: false,
        driver: None,
        machine: None,
        template: None,
        is_locked: false,
        domain: None,
        is_ha_spare: false,
        quota: None,
        batch: None,
        care: domain::node::Care::default(),
    }
}

fn shown(node: &model::Node) -> Value {
    serde_json::to_value(Node::from(node)).unwrap()
}

/// Contract nodes §2.
#[test]
fn the_published_node_is_shown() {
    let mut node = plain();
    node.phase = NodePhase::Available {
        since: Timestamp::UNIX_EPOCH,
    };
    node.machine = Some(Box::new(MachineFacts {
        private_ip: Some("192.168.0.1".to_owned()),
        resources: [("cpu", "3920m"), ("memory", "6270Mi")].into_iter().collect(),
        available: [("cpu", "2970m"), ("memory", "4558Mi")].into_iter().collect(),
        ..MachineFacts::default()
    }));
    assert_holds(
        &shown(&node),
        &json!({
            "kind": "Node", "apiVersion": "v2",
            "metadata": {"name": "os-node-created-zlncn", "creationTimestamp": "2022-09-16T05:32:44Z"},
            "spec": {"flavor": "modelarts.vm.cpu.4ud"},
            "status": {"phase": "Available", "az": "xx-xxxx-xx", "privateIp": "192.168.0.1",
                "resources": {"cpu": "3920m", "memory": "6270Mi"}, "availableResources": {"cpu": "2970m", "memory": "4558Mi"}}
        }),
    );
}

#[test]
fn cards_in_use_are_shown() {
    let with = |resources: &[(&str, &str)], available: &[(&str, &str)]| {
        let facts = MachineFacts {
            resources: resources.iter().copied().collect(),
            available: available.iter().copied().collect(),
            ..MachineFacts::default()
        };
        let shown = shown(&model::Node {
            machine: Some(Box::new(facts)),
            ..plain()
        });
        shown["metadata"]["annotations"]["os.modelarts/npu-topology-placement"].clone()
    };
    let cards = "huawei.com/ascend-snt9";
    assert_eq!(with(&[(cards, "8")], &[(cards, "8")]), "0000000000000000");
    assert_eq!(with(&[(cards, "8")], &[(cards, "5")]), "0000000000000111");
    assert_eq!(with(&[(cards, "8"), ("cpu", "4")], &[(cards, "0")]), "0000000011111111");
    assert_eq!(with(&[("cpu", "4")], &[("cpu", "0")]), Value::Null);
}

#[test]
fn a_node_without_a_report_has_no_resources() {
    let nothing = json!({"cpu": "0", "memory": "0"});
    for machine in [None, Some(Box::new(MachineFacts::default()))] {
        let shown = shown(&model::Node { machine, ..plain() });
        assert_holds(
            &shown,
            &json!({"status": {"phase": "Creating", "resources": nothing, "availableResources": nothing}}),
        );
        assert!(shown["status"].get("privateIp").is_none());
    }
}

#[test]
fn the_fullest_node_is_shown_under_the_documented_names() {
    let resources: domain::quantities::Quantities = [("cpu", "8"), ("memory", "32Gi"), ("nvidia.com/gpu", "1")].into_iter().collect();
    let node = model::Node {
        phase: NodePhase::Abnormal {
            since: Timestamp::UNIX_EPOCH,
            message: "no heartbeat".to_owned(),
        },
        driver: Some(model::NodeDriver {
            kind: Accelerator::Gpu,
            installed: Some("440.33".to_owned()),
            state: NodeDriverState::Settled,
        }),
        machine: Some(Box::new(MachineFacts {
            private_ip: Some("192.168.0.1".to_owned()),
            instance: Some("i-1".to_owned()),
            resources: resources.clone(),
            available: resources,
            os: Some("EulerOS 2.10".to_owned()),
        })),
        template: Some(Box::new(NodeTemplate {
            extend_params: texts(&[("dockerBaseSize", "50")]),
            root_volume: Some(RootVolume {
                volume_type: "SSD".to_owned(),
                size: "100".to_owned(),
            }),
            data_volumes: vec![domain::pool::DataVolume {
                volume_type: "SAS".to_owned(),
                size: "200Gi".to_owned(),
                count: Some(2),
                extend_params: texts(&[("volumeGroup", "vgpaas")]),
            }],
            os: Some(domain::pool::NodeOs {
                name: Some("EulerOS 2.10".to_owned()),
                image_id: Some("img-1".to_owned()),
                image_type: Some("private".to_owned()),
                auto_match: Some("true".to_owned()),
            }),
            labels: texts(&[("disk", "fast")]),
            tags: vec![Tag {
                key: "team".to_owned(),
                value: "a".to_owned(),
            }],
            billing_mode: Some(BillingMode::Prepaid),
        })),
        is_locked: true,
        domain: Some(DomainId::parse("d1").unwrap()),
        is_ha_spare: true,
        quota: Some(PoolName::parse("pool-a26d-prjid").unwrap()),
        batch: Some(Box::new(NodeBatch {
            uid: Uid::from_text("0192bd1b5a5870008000000000000003"),
            step: CreatingStep {
                step: 2,
                kind: StepKind::Hyperinstance,
            },
        })),
        ..plain()
    };
    let shown = shown(&node);
    assert_documented(&members([&shown]), &DOCUMENTED, &LEFT_OUT);
    insta::assert_json_snapshot!("fullest", shown);
}

#[test]
fn phases_have_the_documented_names() {
    let at = Timestamp::UNIX_EPOCH;
    let phases = [
        NodePhase::Creating { deadline: at },
        NodePhase::Checking { deadline: at },
        NodePhase::Available { since: at },
        NodePhase::Deleting {
            cause: DeleteCause::ScaleIn,
            since: at,
        },
    ];
    let names = phases.map(|phase| shown(&model::Node { phase, ..plain() })["status"]["phase"].clone());
    assert_eq!(names, ["Creating", "Checking", "Available", "Deleting"]);
}
