//! Rules of a pool's spec: which fields go together, and what a change may change (semantics §1, checks 9 and 10).
//!
//! What concerns a single field of a request has been checked when it was decoded.

mod edit;
mod references;

pub use edit::{PoolChange, Scaling, apply_edit};
pub use references::{References, accelerators, check_references};

use super::draft::{PoolDraft, ResourceDraft};
use super::{BillingMode, ControlMode, JobType, LogicalSpec, PhysicalSpec, PoolKind, PoolResource, PoolSpec};
use crate::field::{FieldErrors, FieldPath, Reason};
use crate::name::{FlavorName, NetworkName};
use std::collections::BTreeSet;

fn spec() -> FieldPath {
    FieldPath::of("spec")
}

fn element_path(at: usize) -> FieldPath {
    spec().field("resources").index(at)
}

const PRIVILEGED: &str = "privileged pools are not supported";

/// Field combinations of a create request.
pub fn check_create(draft: &PoolDraft) -> FieldErrors {
    let mut errors = FieldErrors::new();
    check_period(draft, &mut errors);
    if draft.is_logical {
        check_logical(draft, &mut errors);
    } else {
        check_physical(draft, &mut errors);
    }
    check_elements(&draft.resources, draft.is_logical, &mut errors);
    errors
}

fn check_period(draft: &PoolDraft, errors: &mut FieldErrors) {
    if draft.billing.mode != Some(BillingMode::Prepaid) {
        return;
    }
    let annotations = FieldPath::of("metadata").field("annotations");
    if draft.billing.period_num.is_none() {
        errors.required(annotations.field("os.modelarts/period.num"));
    }
    if draft.billing.period_type.is_none() {
        errors.required(annotations.field("os.modelarts/period.type"));
    }
}

fn check_physical(draft: &PoolDraft, errors: &mut FieldErrors) {
    if draft.parent.is_some() {
        errors.forbidden(spec().field("parent"), "is for logical pools only");
    }
    let network = spec().field("network");
    match &draft.network {
        Some(sent) if sent.vpc.is_some() || sent.subnet.is_some() => errors.forbidden(network, PRIVILEGED),
        Some(sent) if sent.name.is_some() => {}
        Some(_) | None if draft.has_clusters => {}
        Some(_) | None => errors.required(network),
    }
    if draft.has_clusters {
        errors.forbidden(spec().field("clusters"), PRIVILEGED);
    }
    if draft.has_user_login {
        errors.forbidden(spec().field("userLogin"), "is for privileged pools only, which are not supported");
    }
    for (at, element) in draft.resources.iter().enumerate() {
        if element.count == 0 {
            errors.invalid(element_path(at).field("count"), "must be 1 to 2000");
        }
        if let Some(max_count) = element.max_count
            && max_count != element.count
        {
            errors.invalid(
                element_path(at).field("maxCount"),
                format!("must equal count ({}) for a physical pool", element.count),
            );
        }
        if let Some(azs) = &element.azs {
            let sum: u32 = azs.iter().map(|entry| entry.count).sum();
            if sum != element.count {
                errors.invalid(
                    element_path(at).field("azs"),
                    format!("must add up to count ({}), not {sum}", element.count),
                );
            }
        }
    }
}

fn check_logical(draft: &PoolDraft, errors: &mut FieldErrors) {
    if let Some(scope) = &draft.scope
        && scope != &[JobType::Train]
    {
        errors.invalid(spec().field("scope"), "a logical pool supports Train only");
    }
    for (is_sent, field) in [
        (draft.network.is_some(), "network"),
        (draft.container_cidr.is_some(), "containerNetwork"),
        (draft.service_cidr.is_some(), "kubernetesSvcIpRange"),
        (!draft.masters.is_empty(), "masters"),
        (draft.cluster_flavor.is_some(), "clusterFlavor"),
        (draft.driver.is_some(), "driver"),
        (draft.has_user_login, "userLogin"),
        (draft.has_clusters, "clusters"),
        (draft.ipv6 == Some(true), "ipv6enable"),
    ] {
        if is_sent {
            errors.forbidden(spec().field(field), "is for physical pools only");
        }
    }
}

/// Rules of `spec.resources` that hold for a create and for the object that a patch leads to.
fn check_elements(elements: &[ResourceDraft], is_logical: bool, errors: &mut FieldErrors) {
    let mut keys = BTreeSet::new();
    let mut node_pools = BTreeSet::new();
    for (at, element) in elements.iter().enumerate() {
        let path = element_path(at);
        let keys_repeat = !keys.insert((element.flavor.clone(), element.node_pool()));
        if keys_repeat {
            errors.push(
                path.clone(),
                Reason::Duplicate,
                format!("flavor {} occurs twice in node pool {}", element.flavor, element.node_pool()),
            );
        }
        if !is_logical && !node_pools.insert(element.node_pool()) && !keys_repeat {
            errors.push(
                path.field("nodePool"),
                Reason::Duplicate,
                format!("node pool {} occurs twice", element.node_pool()),
            );
        }
        if is_logical {
            check_logical_element(element, &path, errors);
        }
        if element.has_taints {
            errors.forbidden(path.field("taints"), "is for privileged pools only, which are not supported");
        }
        if element.has_network {
            errors.forbidden(path.field("network"), "is for privileged pools only, which are not supported");
        }
        if let Some(step) = &element.creating_step
            && !element.count.is_multiple_of(step.step.max(1))
        {
            errors.invalid(
                path.field("count"),
                format!("must be a multiple of creatingStep.step ({})", step.step),
            );
        }
    }
}

fn check_logical_element(element: &ResourceDraft, path: &FieldPath, errors: &mut FieldErrors) {
    let max_count = element.max_count.unwrap_or(element.count);
    if max_count < element.count {
        errors.invalid(path.field("maxCount"), format!("must not be less than count ({})", element.count));
    } else if max_count == 0 {
        errors.invalid(path.field("maxCount"), "must be at least 1");
    }
    for (is_sent, field) in [
        (element.azs.is_some(), "azs"),
        (element.extend_params.is_some(), "extendParams"),
        (element.tags.is_some(), "tags"),
        (element.creating_step.is_some(), "creatingStep"),
        (element.root_volume.is_some(), "rootVolume"),
        (element.data_volumes.is_some(), "dataVolumes"),
        (element.volume_groups.is_some(), "volumeGroupConfigs"),
        (
            element
                .node_pool
                .as_ref()
                .is_some_and(|name| *name != element_default(&element.flavor)),
            "nodePool",
        ),
        (element.os.is_some(), "os"),
        (element.driver_version.is_some(), "driver"),
        (element.labels.is_some(), "labels"),
    ] {
        if is_sent {
            errors.forbidden(path.field(field), "is for physical pools only");
        }
    }
}

fn element_default(flavor: &FlavorName) -> crate::name::NodePoolName {
    crate::name::NodePoolName::default_of(flavor)
}

/// The spec that a create request, found free of errors by [`check_create`], describes. A logical pool gets its parent later.
pub fn new_spec(draft: &PoolDraft) -> PoolSpec {
    let resources: Vec<PoolResource> = draft
        .resources
        .iter()
        .map(|element| element.resolve(None, draft.is_logical))
        .collect();
    let kind = match (draft.is_logical, draft.network.as_ref().and_then(|network| network.name.clone())) {
        (false, Some(network)) => PoolKind::Physical(Box::new(physical(draft, network))),
        (true, _) | (false, None) => PoolKind::Logical(LogicalSpec {
            parent: None,
            root: None,
            parent_was_sent: draft.parent.is_some(),
        }),
    };
    PoolSpec {
        kind,
        resources,
        job_flavors: draft.job_flavors.clone(),
        control: ControlMode::default(),
    }
}

fn physical(draft: &PoolDraft, network: NetworkName) -> PhysicalSpec {
    PhysicalSpec {
        scope: draft.scope.clone().unwrap_or_default(),
        network,
        container_cidr: draft.container_cidr.clone(),
        service_cidr: draft.service_cidr.clone(),
        masters: draft.masters.clone(),
        cluster_flavor: draft.cluster_flavor.clone(),
        driver: draft.driver.clone().unwrap_or_default(),
        ipv6: draft.ipv6.unwrap_or(false),
    }
}

#[cfg(test)]
mod tests;
