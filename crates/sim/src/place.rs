//! Where it all happens: project, network, flavors, plug-ins, machines, and the requests that name them.

use crate::act::{Machines, Slot};
use domain::catalogue::{AcceleratorSpec, CpuArch, Flavor, OsConfig, ScopeNeeds};
use domain::name::{DisplayName, DomainId, FlavorName, NetworkName, PoolName, ProjectId, TemplateName, UserId, ZoneName};
use domain::plugin::{PluginTemplate, TemplateKind, TemplateVersion};
use domain::pool::draft::{BillingDraft, NetworkDraft, PoolDraft, PoolNetworkDraft, ResourceDraft};
use domain::pool::{BillingMode, JobType, PeriodType, Pool};
use domain::principal::{Principal, Role, Scope};
use domain::workspace::Workspace;
use fleet::sim::Registration;
use jiff::Timestamp;
use service::CallContext;
use std::collections::BTreeMap;
use store::{Expect, TypedBatch};

/// Machines of each flavor in each zone.
const MACHINES: u32 = 12;

#[expect(clippy::expect_used, reason = "constant names")]
mod names {
    use super::{DisplayName, FlavorName, ProjectId, TemplateName};

    pub fn project() -> ProjectId {
        ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").expect("a project id")
    }

    pub fn flavor(name: &str) -> FlavorName {
        FlavorName::parse(name).expect("a flavor's name")
    }

    pub fn display(name: &str) -> DisplayName {
        DisplayName::parse(name).expect("a display name")
    }

    pub fn template(name: &str) -> TemplateName {
        TemplateName::parse(name).expect("a template's name")
    }
}

/// The plug-in that training needs.
pub fn plugin() -> TemplateName {
    names::template("volcano")
}

pub fn cpu() -> FlavorName {
    flavor_of(Machines::Cpu)
}

pub fn gpu() -> FlavorName {
    flavor_of(Machines::Gpu)
}

pub fn project() -> ProjectId {
    names::project()
}

fn flavor_of(machines: Machines) -> FlavorName {
    names::flavor(match machines {
        Machines::Cpu => "cpu",
        Machines::Gpu => "gpu",
    })
}

fn display(slot: Slot) -> DisplayName {
    names::display(&format!("pool-{}-{}", slot.user, slot.number))
}

fn child_display(slot: Slot) -> DisplayName {
    names::display(&format!("pool-{}-{}-sub", slot.user, slot.number))
}

pub fn pool_name(slot: Slot) -> PoolName {
    PoolName::of(&display(slot), &project())
}

pub fn child_name(slot: Slot) -> PoolName {
    PoolName::of(&child_display(slot), &project())
}

/// A call of an operator, who may do what users may.
#[expect(clippy::expect_used, reason = "constant names")]
pub fn context() -> CallContext {
    let principal = Principal {
        user: UserId::parse("operator").expect("a name"),
        user_name: "operator".to_owned(),
        domain: DomainId::parse("domain").expect("a name"),
        domain_name: "domain".to_owned(),
        scope: Scope::AllProjects,
        roles: BTreeMap::from([(project(), Role::Operator)]),
        workspace_roles: BTreeMap::new(),
        credential: "simulation".to_owned(),
    };
    CallContext {
        principal,
        project: project(),
        acting_for: None,
        is_console: false,
        request_id: "simulation".to_owned(),
        is_dry_run: false,
        if_match: None,
        idempotency: None,
    }
}

/// What an operator has put in before anybody comes.
#[expect(clippy::expect_used, reason = "constant names")]
pub fn furniture(now: Timestamp) -> TypedBatch {
    let mut batch = TypedBatch::default();
    let owner = UserId::parse("owner").expect("a name");
    batch.put(Workspace::default_of(&project(), &owner, now), Expect::Absent);
    let mut gpu = Flavor::plain(flavor_of(Machines::Gpu), CpuArch::X86, 8, 32);
    gpu.gpu = Some(AcceleratorSpec {
        model: "t4".to_owned(),
        size: 1,
        memory: "16Gi".to_owned(),
    });
    batch.put(Flavor::plain(flavor_of(Machines::Cpu), CpuArch::X86, 8, 32), Expect::Absent);
    batch.put(gpu, Expect::Absent);
    batch.put(template(names::template("gpu-driver"), &["2", "1"]), Expect::Absent);
    batch.put(template(plugin(), &["1"]), Expect::Absent);
    let mut config = OsConfig::plain();
    let needs = |plugins, needs_external_dependency| ScopeNeeds {
        plugins,
        needs_external_dependency,
        can_retry: true,
    };
    config.scopes.insert(JobType::Train, needs(vec![plugin()], false));
    config.scopes.insert(JobType::Notebook, needs(Vec::new(), true));
    batch.put(config, Expect::Absent);
    batch
}

pub fn template(name: TemplateName, versions: &[&str]) -> PluginTemplate {
    let versions = versions.iter().map(|version| TemplateVersion {
        version: (*version).to_owned(),
        created_at: Timestamp::UNIX_EPOCH,
        description: String::new(),
        detail: String::new(),
        inputs: BTreeMap::new(),
        translate: BTreeMap::new(),
    });
    PluginTemplate {
        display_name: name.to_string(),
        name,
        description: String::new(),
        kind: TemplateKind::Helm,
        is_optional: true,
        logo_url: String::new(),
        versions: versions.collect(),
    }
}

#[expect(clippy::expect_used, reason = "constant names")]
pub fn machines() -> Vec<Registration> {
    let mut machines = Vec::new();
    for kind in [Machines::Cpu, Machines::Gpu] {
        for zone in ["az-1", "az-2"] {
            for at in 0..MACHINES {
                let flavor = flavor_of(kind);
                machines.push(Registration {
                    id: format!("{flavor}-{zone}-{at:02}"),
                    flavor,
                    az: ZoneName::parse(zone).expect("a name"),
                    resources: [("cpu", "8")].into_iter().collect(),
                    accelerators: u32::from(kind == Machines::Gpu),
                });
            }
        }
    }
    machines
}

#[expect(clippy::expect_used, reason = "a constant CIDR")]
pub fn network() -> NetworkDraft {
    NetworkDraft {
        display_name: names::display("network-1"),
        workspace: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        description: None,
        cidr: "192.168.128.0/17".parse().expect("a CIDR"),
        ipv6: false,
        peers: Vec::new(),
        sfs_turbo: Vec::new(),
    }
}

pub fn network_of_pools() -> PoolNetworkDraft {
    PoolNetworkDraft {
        name: Some(NetworkName::of(&names::display("network-1"), &project())),
        vpc: None,
        subnet: None,
    }
}

/// A request for a physical pool.
pub fn physical(slot: Slot, machines: Machines, count: u32, is_prepaid: bool) -> PoolDraft {
    let billing = if is_prepaid {
        BillingDraft {
            mode: Some(BillingMode::Prepaid),
            period_num: Some(1),
            period_type: Some(PeriodType::Month),
            ..BillingDraft::default()
        }
    } else {
        BillingDraft::default()
    };
    let resource = ResourceDraft {
        // Labels of Nodes that others set too.
        labels: (slot.number > 0).then(|| BTreeMap::from([("team".to_owned(), "pool".to_owned())])),
        ..ResourceDraft::plain(flavor_of(machines), count)
    };
    PoolDraft {
        scope: Some(vec![JobType::Train]),
        network: Some(network_of_pools()),
        billing,
        ..blank(display(slot), resource)
    }
}

/// A request for a logical pool, under the slot's pool or under none.
pub fn logical(slot: Slot, machines: Machines, count: u32, has_parent: bool) -> PoolDraft {
    PoolDraft {
        is_logical: true,
        parent: has_parent.then(|| pool_name(slot)),
        ..blank(child_display(slot), ResourceDraft::plain(flavor_of(machines), count))
    }
}

/// The pool as a request that changes nothing.
pub fn unchanged(pool: &Pool) -> PoolDraft {
    let physical = pool.physical();
    let resources = pool.spec.resources.iter().map(|element| ResourceDraft {
        max_count: Some(element.max_count),
        labels: physical.is_some().then(|| element.labels.clone()),
        ..ResourceDraft::plain(element.flavor.clone(), element.count)
    });
    PoolDraft {
        workspace: Some(pool.workspace.clone()),
        sharing: Some(pool.sharing),
        labels: pool.labels.clone(),
        annotations: pool.annotations.clone(),
        description: Some(pool.description.clone()),
        is_logical: physical.is_none(),
        scope: physical.map(|spec| spec.scope.clone()),
        resources: resources.collect(),
        network: physical.map(|spec| PoolNetworkDraft {
            name: Some(spec.network.clone()),
            vpc: None,
            subnet: None,
        }),
        job_flavors: pool.spec.job_flavors.clone(),
        driver: physical.map(|spec| spec.driver.clone()),
        ..blank(pool.display_name.clone(), ResourceDraft::plain(flavor_of(Machines::Cpu), 0))
    }
}

pub fn blank(display_name: DisplayName, resource: ResourceDraft) -> PoolDraft {
    PoolDraft {
        display_name,
        workspace: None,
        sharing: None,
        node_prefix: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        description: None,
        billing: BillingDraft::default(),
        tags: None,
        is_logical: false,
        scope: None,
        resources: vec![resource],
        parent: None,
        network: None,
        container_cidr: None,
        service_cidr: None,
        masters: Vec::new(),
        cluster_flavor: None,
        job_flavors: Vec::new(),
        driver: None,
        ipv6: None,
        has_clusters: false,
        has_user_login: false,
    }
}
