//! Bodies and records that hold every member there is.

use domain::meta::Uid;
use domain::name::{DomainId, FlavorName, OrderName, PoolName, ProjectId, TemplateName, WorkspaceId, ZoneName};
use domain::plugin::PluginPhase;
use domain::pool::draft::PoolDraft;
use domain::pool::{
    Accelerator, Attempt, AzCount, Billing, BillingMode, Business, ControlMode, CreatingStep, DriverState, DriverStatus, ElementKey,
    FlavorCount, JobType, LogicalSpec, Origin, Owner, Pool, PoolKind, PoolPhase, PoolRef, PoolStatus, Purpose, ResourceCounts, ScopeState,
    ScopeStatus, Sharing, StepKind, validate,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub const PROJECT: &str = "6f5da086876d4cd084d36f8bd3346036";

/// A create request of a physical pool with every member that may be sent.
pub fn physical_body() -> Value {
    json!({
        "apiVersion": "v2",
        "kind": "Pool",
        "metadata": {
            "labels": {
                "os.modelarts/name": "pool-full",
                "os.modelarts/workspace.id": "0",
                "os.modelarts/sharing": "shared",
                "os.modelarts/node.prefix": "worker",
                "os.modelarts/enterprise.project.id": "ep-1",
                "team": "vision"
            },
            "annotations": {
                "os.modelarts/description": "nightly training",
                "os.modelarts/billing.mode": "1",
                "os.modelarts/period.num": "2",
                "os.modelarts/period.type": "2",
                "os.modelarts/auto.renew": "1",
                "os.modelarts/auto.pay": "true",
                "os.modelarts/promotion.info": "{}",
                "os.modelarts/service.console.url": "https://console.example.test/paid",
                "os.modelarts/order.id": "CS2304191748WNW2R",
                "os.modelarts/tms.tags": "[{\"key\":\"stage\",\"value\":\"test\"}]",
                "os.modelarts/scheduler.extension": "{\"priority\":1}",
                "os.modelarts/volcano.scheduler.cabinet-exclusive.enabled": "true",
                "os.modelarts.pool/scheduler.queue.strategy": "fifo",
                "os.modelarts/product.id": "xxx"
            }
        },
        "spec": {
            "type": "Dedicate",
            "scope": ["Train", "Infer"],
            "network": {"name": "network-21e1-6f5da086876d4cd084d36f8bd3346036"},
            "containerNetwork": {"cidr": "172.16.0.0/16"},
            "kubernetesSvcIpRange": "10.247.0.0/16",
            "masters": [{"az": "az-1"}, {}],
            "clusterFlavor": "cce.s2.small",
            "jobFlavors": ["job.small"],
            "driver": {"gpuVersion": "440.33", "npuVersion": "C78", "updateStrategy": "force"},
            "ipv6enable": true,
            "resources": [{
                "flavor": "modelarts.vm.gpu.t4u8",
                "count": 4,
                "maxCount": 4,
                "azs": [{"az": "az-1", "count": 2}, {"az": "az-2", "count": 2}],
                "nodePool": "workers",
                "extendParams": {
                    "dockerBaseSize": "50",
                    "postInstall": "ZWNobyBoaQ==",
                    "runtime": "containerd",
                    "labelPolicyOnExistingNodes": "refresh",
                    "custom": "x"
                },
                "tags": [{"key": "team", "value": "a"}],
                "creatingStep": {"step": 2, "type": "rack"},
                "rootVolume": {"volumeType": "SSD", "size": "100"},
                "dataVolumes": [{"volumeType": "GPSSD", "size": "200Gi", "count": 2, "extendParams": {"volumeGroup": "vguser1"}}],
                "volumeGroupConfigs": [
                    {"volumeGroup": "vgpaas", "dockerThinPool": 60, "types": ["volume"]},
                    {"volumeGroup": "vguser1", "lvmConfig": {"lvType": "linear", "path": "/data"}}
                ],
                "os": {"name": "EulerOS 2.10", "imageId": "img-1", "imageType": "private", "autoMatch": "true"},
                "driver": {"version": "470.57"},
                "labels": {"disk": "fast"}
            }]
        }
    })
}

/// A create request of a logical pool with every member that may be sent.
pub fn logical_body() -> Value {
    json!({
        "apiVersion": "v2",
        "kind": "Pool",
        "metadata": {
            "labels": {"os.modelarts/name": "pool-logic-01"},
            "annotations": {"os.modelarts/description": "a share"}
        },
        "spec": {
            "type": "Logical",
            "scope": ["Train"],
            "parent": "pool-ae01-6f5da086876d4cd084d36f8bd3346036",
            "jobFlavors": ["job.small"],
            "resources": [{"flavor": "modelarts.vm.gpu.t4u8", "count": 1, "maxCount": 2}]
        }
    })
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn flavor(text: &str) -> FlavorName {
    FlavorName::parse(text).unwrap()
}

pub fn zone(text: &str, count: u32) -> AzCount {
    AzCount {
        az: ZoneName::parse(text).unwrap(),
        count,
    }
}

/// The running pool that a request leads to.
pub fn pool_of(draft: PoolDraft) -> Pool {
    let project = ProjectId::parse(PROJECT).unwrap();
    let mut spec = validate::new_spec(&draft);
    if let (Some(parent), PoolKind::Logical(logical)) = (&draft.parent, &mut spec.kind) {
        let parent = PoolRef {
            project: project.clone(),
            name: parent.clone(),
        };
        *logical = LogicalSpec {
            parent: Some(parent.clone()),
            root: Some(parent),
            parent_was_sent: true,
        };
    }
    let created_at = at("2024-10-24T12:42:43Z");
    Pool {
        name: PoolName::of(&draft.display_name, &project),
        uid: Uid::from_text("0192bd1b5a5870008000000000000001"),
        generation: 1,
        created_at,
        deleted_at: None,
        owner: Owner {
            project,
            domain: DomainId::parse("75fef1f8a9d64d0cb8de795599185b48").unwrap(),
            domain_name: "example_tenant".to_owned(),
        },
        resource_id: format!("maos-{}-d7mjs", draft.display_name),
        display_name: draft.display_name,
        workspace: draft.workspace.unwrap_or_else(WorkspaceId::default_workspace),
        sharing: draft.sharing.unwrap_or(Sharing::Unshared),
        node_prefix: draft.node_prefix,
        origin: Origin::Console,
        business: Business::Private,
        last_order: OrderName::parse("order.pool-x-w4l2n").unwrap(),
        labels: draft.labels,
        annotations: draft.annotations,
        description: draft.description.unwrap_or_default(),
        billing: Billing {
            mode: draft.billing.mode.unwrap_or(BillingMode::PayPerUse),
            period_num: draft.billing.period_num,
            period_type: draft.billing.period_type,
            auto_renew: draft.billing.auto_renew,
            auto_pay: draft.billing.auto_pay.unwrap_or(false),
            order_id: draft.billing.order_id,
            issued_order: None,
        },
        flavor_resource_ids: spec
            .resources
            .iter()
            .map(|element| (element.flavor.clone(), "maos.vm.cpu.8ud.1976103046".to_owned()))
            .collect(),
        tags: draft.tags.unwrap_or_default(),
        spec,
        status: status(created_at),
    }
}

fn status(created_at: Timestamp) -> PoolStatus {
    PoolStatus {
        phase: PoolPhase::Running,
        resources: ResourceCounts::default(),
        scopes: Vec::new(),
        drivers: BTreeMap::new(),
        children: 0,
        attempt: Attempt {
            order: OrderName::parse("order.pool-x-w4l2n").unwrap(),
            purpose: Purpose::Creation,
            started_at: created_at,
            given_up: BTreeMap::new(),
            retry_at: None,
            is_finished: true,
            node_billing: None,
            previous: None,
        },
        cluster_ready: true,
        unwell_since: None,
        node_sequence: 0,
        event_sequence: 0,
        reported: None,
        dependencies: BTreeMap::new(),
    }
}

/// The pool that [`physical_body`] leads to, with every member of its status set.
pub fn full_pool() -> Pool {
    let mut pool = pool_of(super::decode_create(&physical_body()).unwrap());
    pool.deleted_at = Some(at("2024-10-25T00:00:00Z"));
    for (key, value) in [("os.modelarts/nobilling", "true"), ("os.modelarts/region", "r-1")] {
        pool.labels.insert(key.to_owned(), value.to_owned());
    }
    pool.annotations.insert("os.modelarts/external-access".to_owned(), "elb".to_owned());
    pool.spec.control = ControlMode(ControlMode::FROZEN | ControlMode::PREPAID_SWITCH);
    let key = ElementKey {
        flavor: flavor("modelarts.vm.gpu.t4u8"),
        node_pool: pool.spec.resources[0].node_pool(),
    };
    let count = |count: u32| {
        vec![FlavorCount {
            key: key.clone(),
            count,
            azs: vec![zone("az-1", count)],
            creating_step: Some(CreatingStep {
                step: 2,
                kind: StepKind::Hyperinstance,
            }),
        }]
    };
    pool.status.resources = ResourceCounts {
        creating: count(1),
        available: count(2),
        abnormal: count(3),
        deleting: count(4),
    };
    pool.status.scopes = vec![
        ScopeStatus {
            job_type: JobType::Train,
            state: ScopeState::Enabled,
            plugins: vec![(TemplateName::parse("volcano").unwrap(), PluginPhase::Running)],
            message: None,
        },
        ScopeStatus {
            job_type: JobType::Infer,
            state: ScopeState::EnableFailed,
            plugins: Vec::new(),
            message: Some("plug-in x is Abnormal".to_owned()),
        },
    ];
    for kind in Accelerator::ALL {
        let driver = DriverStatus {
            version: "440.33".to_owned(),
            target: "470.57".to_owned(),
            state: DriverState::Upgrading,
            message: None,
        };
        pool.status.drivers.insert(kind, driver);
    }
    pool.status.children = 3;
    pool.status.dependencies = JobType::ALL
        .into_iter()
        .map(|job_type| (job_type, "{\"type\":\"Enabled\"}".to_owned()))
        .collect();
    pool
}

/// The pool that [`logical_body`] leads to.
pub fn logical_pool() -> Pool {
    pool_of(super::decode_create(&logical_body()).unwrap())
}

/// A running pool with one element and nothing special.
pub fn plain_pool(display: &str, network: &str, flavor_name: &str, count: u32) -> Pool {
    let body = json!({
        "apiVersion": "v2", "kind": "Pool",
        "metadata": {"labels": {"os.modelarts/name": display}},
        "spec": {"type": "Dedicate", "network": {"name": network}, "resources": [{"flavor": flavor_name, "count": count}]}
    });
    pool_of(super::decode_create(&body).unwrap())
}
