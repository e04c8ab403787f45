//! Records and facts with nothing special about them, for tests.

use domain::catalogue::{AcceleratorSpec, CpuArch, Flavor, Offer, Offers, OsConfig, ScopeNeeds, ZoneOffer};
use domain::meta::Uid;
use domain::name::{
    DisplayName, DomainId, FlavorName, NetworkName, NodeName, NodePrefix, OrderName, PoolName, ProjectId, TemplateName, WorkspaceId,
    ZoneName,
};
use domain::node::{Node, NodeDriver, NodeDriverState, NodePhase};
use domain::order::{Operation, Order, OrderPhase};
use domain::plugin::{PluginTemplate, TemplateKind, TemplateVersion};
use domain::pool::{
    Accelerator, Attempt, Billing, BillingMode, Business, DriverSpec, JobType, LogicalSpec, Origin, Owner, PhysicalSpec, Pool, PoolKind,
    PoolPhase, PoolRef, PoolResource, PoolSpec, PoolStatus, Purpose, ResourceCounts, Sharing,
};
use fleet::observation::DriverProgress;
use fleet::{DriverFact, MachineState, NodeFact};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::plan::Catalogue;

pub fn project() -> ProjectId {
    ProjectId::parse(&"a".repeat(32)).unwrap()
}

pub fn start() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

pub fn flavor(name: &str) -> FlavorName {
    FlavorName::parse(name).unwrap()
}

pub fn zone(name: &str) -> ZoneName {
    ZoneName::parse(name).unwrap()
}

pub fn node(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

pub fn template(name: &str) -> TemplateName {
    TemplateName::parse(name).unwrap()
}

pub fn uid(number: u8) -> Uid {
    Uid::new(0, [number; 10])
}

pub fn pool_ref(name: &str) -> PoolRef {
    PoolRef {
        project: project(),
        name: PoolName::parse(name).unwrap(),
    }
}

/// A physical pool that was asked for just now.
pub fn pool(resources: &[(&str, u32)]) -> Pool {
    let resources = resources
        .iter()
        .map(|(name, count)| PoolResource::plain(flavor(name), *count))
        .collect();
    Pool {
        name: PoolName::parse("root").unwrap(),
        uid: uid(1),
        generation: 1,
        created_at: start(),
        deleted_at: None,
        owner: Owner {
            project: project(),
            domain: DomainId::parse("domain").unwrap(),
            domain_name: "domain".to_owned(),
        },
        display_name: DisplayName::parse("root").unwrap(),
        workspace: WorkspaceId::default_workspace(),
        sharing: Sharing::Unshared,
        node_prefix: Some(NodePrefix::parse("new").unwrap()),
        resource_id: "resource".to_owned(),
        origin: Origin::Api,
        business: Business::Private,
        last_order: OrderName::parse("order.root").unwrap(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        description: String::new(),
        billing: Billing::default(),
        flavor_resource_ids: BTreeMap::new(),
        tags: Vec::new(),
        spec: PoolSpec {
            kind: PoolKind::Physical(Box::new(PhysicalSpec {
                scope: Vec::new(),
                network: NetworkName::parse("network").unwrap(),
                container_cidr: None,
                service_cidr: None,
                masters: Vec::new(),
                cluster_flavor: None,
                driver: DriverSpec::default(),
                ipv6: false,
            })),
            resources,
            job_flavors: Vec::new(),
            control: domain::pool::ControlMode::default(),
        },
        status: status(),
    }
}

fn status() -> PoolStatus {
    PoolStatus {
        phase: PoolPhase::Creating,
        resources: ResourceCounts::default(),
        scopes: Vec::new(),
        drivers: BTreeMap::new(),
        children: 0,
        attempt: Attempt {
            order: OrderName::parse("order.root").unwrap(),
            purpose: Purpose::Creation,
            started_at: start(),
            given_up: BTreeMap::new(),
            retry_at: None,
            is_finished: false,
            node_billing: None,
            previous: None,
        },
        cluster_ready: false,
        unwell_since: None,
        node_sequence: 0,
        event_sequence: 0,
        reported: None,
        dependencies: BTreeMap::new(),
    }
}

/// A logical pool under `parent`, running, with a finished order.
pub fn logical(name: &str, parent: Option<(&str, &str)>, resources: &[(&str, u32)]) -> Pool {
    let mut pool = pool(resources);
    pool.name = PoolName::parse(name).unwrap();
    pool.uid = Uid::from_text(&format!("uid-of-{name}"));
    pool.spec.kind = PoolKind::Logical(LogicalSpec {
        parent: parent.map(|(parent, _)| pool_ref(parent)),
        root: parent.map(|(_, root)| pool_ref(root)),
        parent_was_sent: true,
    });
    pool.status.phase = PoolPhase::Running;
    pool.status.attempt.order = OrderName::parse(&format!("order.{name}")).unwrap();
    pool.status.attempt.is_finished = true;
    pool
}

/// The order that a pool's attempt names, in work.
pub fn order(pool: &Pool, operation: Operation, before: &[(&str, u32)]) -> Order {
    let before: Vec<PoolResource> = before
        .iter()
        .map(|(name, count)| PoolResource::plain(flavor(name), *count))
        .collect();
    Order {
        name: pool.status.attempt.order.clone(),
        id: "CS".to_owned(),
        project: pool.owner.project.clone(),
        pool: pool.name.clone(),
        pool_uid: pool.uid.clone(),
        pool_display: pool.display_name.clone(),
        workspace: pool.workspace.clone(),
        created_at: pool.status.attempt.started_at,
        began_at: Some(pool.status.attempt.started_at),
        operation,
        before: domain::order::counts(&before),
        wanted: domain::order::counts(&pool.spec.resources),
        phase: OrderPhase::Processing,
        billing_mode: BillingMode::PayPerUse,
        period_type: None,
        period_num: None,
        items: Vec::new(),
    }
}

/// A node of the root pool that has been available since before anything happens.
pub fn available(name: &str, of: &str, az: &str) -> Node {
    let element = PoolResource::plain(flavor(of), 1);
    Node {
        name: node(name),
        uid: Uid::from_text(&format!("uid-of-{name}")),
        project: project(),
        pool: PoolName::parse("root").unwrap(),
        pool_uid: uid(1),
        flavor: flavor(of),
        node_pool: element.node_pool(),
        az: zone(az),
        created_at: start(),
        order: OrderName::parse("order.root").unwrap(),
        phase: NodePhase::Available { since: start() },
        was_available: true,
        driver: (of == "gpu").then(|| NodeDriver {
            kind: Accelerator::Gpu,
            installed: Some("1.0".to_owned()),
            state: NodeDriverState::Settled,
        }),
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

/// What the fleet reports of a machine that is well.
pub fn ready(node: &Node) -> NodeFact {
    NodeFact {
        state: MachineState::Ready,
        az: node.az.clone(),
        silent_since: None,
        private_ip: None,
        instance: None,
        resources: domain::quantities::Quantities::default(),
        available: domain::quantities::Quantities::default(),
        os: None,
        driver: node.driver.as_ref().map(|driver| DriverFact {
            installed: driver.installed.clone(),
            progress: DriverProgress::Done,
        }),
        is_busy: false,
        is_held: false,
        is_locked: None,
        request: None,
        dedicated_to: None,
    }
}

pub fn catalogue() -> Catalogue {
    let mut gpu = Flavor::plain(flavor("gpu"), CpuArch::X86, 8, 64);
    gpu.gpu = Some(AcceleratorSpec {
        model: "nvidia-t4".to_owned(),
        size: 1,
        memory: "16Gi".to_owned(),
    });
    let mut config = OsConfig::plain();
    let needs = |plugins: &[&str], needs_external_dependency| ScopeNeeds {
        plugins: plugins.iter().map(|name| template(name)).collect(),
        needs_external_dependency,
        can_retry: true,
    };
    config.scopes = BTreeMap::from([
        (JobType::Train, needs(&["queue"], false)),
        (JobType::Infer, needs(&["queue", "gateway"], true)),
        (JobType::Notebook, needs(&[], false)),
    ]);
    let templates = ["queue", "gateway", "gpu-driver"].map(|name| (template(name), Arc::new(plugin_template(name))));
    Catalogue {
        flavors: [Flavor::plain(flavor("cpu"), CpuArch::X86, 4, 8), gpu]
            .into_iter()
            .map(|flavor| (flavor.name.clone(), Arc::new(flavor)))
            .collect(),
        templates: templates.into_iter().collect(),
        config: Arc::new(config),
    }
}

pub fn plugin_template(name: &str) -> PluginTemplate {
    PluginTemplate {
        name: template(name),
        display_name: name.to_owned(),
        description: String::new(),
        kind: TemplateKind::Helm,
        is_optional: true,
        logo_url: String::new(),
        versions: vec![TemplateVersion {
            version: "1.0".to_owned(),
            created_at: start(),
            description: String::new(),
            detail: String::new(),
            inputs: BTreeMap::new(),
            translate: BTreeMap::new(),
        }],
    }
}

/// Free machines of both flavors by zone.
pub fn offers(zones: &[(&str, u32)]) -> Offers {
    let offer = Offer {
        zones: zones
            .iter()
            .map(|(name, free)| (zone(name), ZoneOffer { free: *free, total: 100 }))
            .collect(),
    };
    ["cpu", "gpu"].into_iter().map(|name| (flavor(name), offer.clone())).collect()
}
