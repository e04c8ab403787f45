//! What Nodes count as: flavors, zones, and which of them are free. Pure.
//!
//! Without configured flavors they are read off the Nodes of the inventory. The name of such a flavor is the Node's
//! `node.kubernetes.io/instance-type` where it has one, else `<arch>.<cores>c<memory>g`; accelerators add
//! `.<count>x<resource without its domain>`, as in `amd64.96c768g.8xgpu`. Cores are rounded down, memory is capacity in GiB rounded to
//! the nearest. A flavor that is read off counts in queues with what its Nodes can allocate at least.

use crate::amount::{Amount, Amounts};
use crate::config::{FlavorRule, KubeConfig};
use crate::edit::label;
use crate::pods::{self, Pod};
use crate::{mark, taint};
use domain::catalogue::{AcceleratorSpec, CpuArch, Flavor};
use domain::name::{FlavorName, ZoneName};
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::core::{Selector, SelectorExt};
use std::collections::BTreeMap;

pub const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
pub const ARCH: &str = "kubernetes.io/arch";
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// Labels and annotations of Nodes that have a maker of their own.
const KARPENTER: &str = "karpenter.sh/nodepool";
const CLUSTER_API: &str = "cluster.x-k8s.io/machine";

/// What a Node counts as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// None of ours.
    Foreign,
    /// More than one flavor matches.
    Unclear(Vec<FlavorName>),
    /// It has no zone.
    Homeless(FlavorName),
    Known {
        flavor: FlavorName,
        zone: ZoneName,
    },
}

/// What a Node has of accelerators.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accelerators {
    pub resource: String,
    pub allocatable: u64,
    pub capacity: u64,
}

/// Whether a Node may be used at all, and as what.
pub fn classify(node: &Node, config: &KubeConfig, selector: &Selector) -> Class {
    let none = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&none);
    if !selector.matches(labels) && !labels.contains_key(mark::POOL) {
        return Class::Foreign;
    }
    let found: Vec<FlavorName> = if config.flavor.is_empty() {
        discovered_name(node).into_iter().collect()
    } else {
        config
            .flavor
            .iter()
            .filter(|rule| matches(rule, labels))
            .map(|rule| rule.name.clone())
            .collect()
    };
    match <[FlavorName; 1]>::try_from(found) {
        Ok([flavor]) => match zone(node, config) {
            Some(zone) => Class::Known { flavor, zone },
            None => Class::Homeless(flavor),
        },
        Err(found) if found.is_empty() => Class::Foreign,
        Err(found) => Class::Unclear(found),
    }
}

fn matches(rule: &FlavorRule, labels: &BTreeMap<String, String>) -> bool {
    rule.labels
        .iter()
        .all(|(key, values)| labels.get(key).is_some_and(|value| values.contains(value)))
}

/// The zone of a Node.
pub fn zone(node: &Node, config: &KubeConfig) -> Option<ZoneName> {
    match label(node, ZONE) {
        Some(value) => config.zones.get(value).cloned().or_else(|| ZoneName::parse(value).ok()),
        None => config.default_zone.clone(),
    }
}

fn discovered_name(node: &Node) -> Option<FlavorName> {
    let capacity = amounts(node, |status| status.capacity.as_ref());
    let head = if let Some(kind) = label(node, INSTANCE_TYPE) {
        kind.to_owned()
    } else {
        let cores = capacity.get("cpu")?.units().floor();
        format!("{}.{cores}c{}g", label(node, ARCH).unwrap_or("unknown"), gib(&capacity))
    };
    let tail = accelerators(node).map(|found| {
        let short = found.resource.rsplit('/').next().unwrap_or_default().to_owned();
        format!(".{}x{short}", found.capacity)
    });
    FlavorName::parse(&format!("{head}{}", tail.unwrap_or_default())).ok()
}

fn gib(capacity: &Amounts) -> u64 {
    let bytes = capacity.get("memory").copied().unwrap_or(Amount::ZERO).units();
    (bytes / f64::from(1_u32 << 30)).round() as u64
}

/// A flavor of the catalogue with what is read off a Node, its zone excepted.
pub fn describe(node: &Node, name: FlavorName) -> Flavor {
    let capacity = amounts(node, |status| status.capacity.as_ref());
    let arch = if label(node, ARCH) == Some("arm64") {
        CpuArch::Arm64
    } else {
        CpuArch::X86
    };
    let cores = capacity.get("cpu").map_or(0.0, |amount| amount.units().floor());
    let mut flavor = Flavor::plain(name, arch, cores as u32, u32::try_from(gib(&capacity)).unwrap_or(u32::MAX));
    if let Some(found) = accelerators(node) {
        let spec = AcceleratorSpec {
            model: label(node, "nvidia.com/gpu.product").map_or_else(
                || found.resource.rsplit('/').next().unwrap_or_default().to_lowercase(),
                str::to_lowercase,
            ),
            size: u32::try_from(found.capacity).unwrap_or(u32::MAX),
            memory: label(node, "nvidia.com/gpu.memory").map_or_else(String::new, |mib| format!("{mib}Mi")),
        };
        if is_npu(&found.resource) {
            flavor.npu = Some(spec);
        } else {
            flavor.gpu = Some(spec);
        }
    }
    flavor
}

pub fn is_npu(resource: &str) -> bool {
    resource.starts_with("huawei.com/")
}

/// The accelerators of a Node, wherever the number comes from. The first resource by name with a capacity counts.
pub fn accelerators(node: &Node) -> Option<Accelerators> {
    let capacity = amounts(node, |status| status.capacity.as_ref());
    let allocatable = amounts(node, |status| status.allocatable.as_ref());
    let is_accelerator = |name: &str| {
        name == "nvidia.com/gpu" || name.starts_with("nvidia.com/mig-") || name == "amd.com/gpu" || name.starts_with("huawei.com/Ascend")
    };
    let whole = |amount: Option<&Amount>| amount.map_or(0, |amount| amount.units() as u64);
    let (resource, _) = capacity.iter().find(|(name, amount)| is_accelerator(name) && !amount.is_zero())?;
    Some(Accelerators {
        resource: resource.clone(),
        allocatable: whole(allocatable.get(resource)),
        capacity: whole(capacity.get(resource)),
    })
}

type StatusField = fn(&k8s_openapi::api::core::v1::NodeStatus) -> Option<&BTreeMap<String, Quantity>>;

fn amounts(node: &Node, field: StatusField) -> Amounts {
    node.status.as_ref().and_then(field).map(pods::amounts).unwrap_or_default()
}

/// What a Node has.
pub fn capacity(node: &Node) -> Amounts {
    amounts(node, |status| status.capacity.as_ref())
}

/// What can be allocated on a Node.
pub fn allocatable(node: &Node) -> Amounts {
    amounts(node, |status| status.allocatable.as_ref())
}

/// A condition that a Node reports.
pub fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

pub fn is_ready(node: &Node) -> bool {
    condition(node, "Ready").is_some_and(|ready| ready.status == "True")
}

/// Whether a Node could become a node of its flavor at once.
pub fn is_candidate<'a>(node: &Node, flavor: &FlavorName, pods: impl IntoIterator<Item = &'a Pod>, config: &KubeConfig) -> bool {
    let none = BTreeMap::new();
    let annotations = node.metadata.annotations.as_ref().unwrap_or(&none);
    let taken = [mark::POOL, mark::DIRTY, mark::MADE_FOR];
    let is_free = taken.iter().all(|key| label(node, key).is_none()) && !annotations.contains_key(mark::ACTION);
    let is_up = is_ready(node)
        && node.metadata.deletion_timestamp.is_none()
        && node.spec.as_ref().is_none_or(|spec| spec.unschedulable != Some(true));
    let is_open = taint::of(node)
        .iter()
        .all(|taint| taint.key == mark::TAINT_UNCLAIMED || config.tolerated_taints.contains(&taint.key));
    let is_provisioned = label(node, KARPENTER).is_some() || annotations.contains_key(CLUSTER_API);
    is_free
        && is_up
        && is_open
        && (config.adopt_provisioned || !is_provisioned)
        && is_complete(node, flavor, config)
        && !pods.into_iter().any(Pod::is_movable)
}

/// It has all that its flavor promises.
fn is_complete(node: &Node, flavor: &FlavorName, config: &KubeConfig) -> bool {
    let Some(rule) = config.flavor.iter().find(|rule| rule.name == *flavor) else {
        return accelerators(node).is_none_or(|found| found.allocatable == found.capacity);
    };
    let allocatable = allocatable(node);
    let has_accelerators = rule.accelerator.as_ref().is_none_or(|wanted| {
        let capacity = amounts(node, |status| status.capacity.as_ref());
        let count = Some(Amount::whole(u64::from(wanted.count)));
        allocatable.get(&wanted.resource).copied() == count && capacity.get(&wanted.resource).copied() == count
    });
    has_accelerators
        && rule
            .least
            .iter()
            .all(|(name, least)| allocatable.get(name).is_some_and(|amount| amount >= least))
}

/// What one node of a flavor counts in queues. Of a flavor that was read off, `node` is one of it.
pub fn quota(flavor: &FlavorName, node: Option<&Node>, config: &KubeConfig) -> Amounts {
    let is_counted = |name: &str| name == "cpu" || name == "memory" || name.contains('/');
    match config.flavor.iter().find(|rule| rule.name == *flavor) {
        Some(rule) if !rule.quota.is_empty() => rule.quota.clone(),
        Some(rule) => {
            let mut quota = rule.least.clone();
            quota.extend(
                rule.accelerator
                    .as_ref()
                    .map(|own| (own.resource.clone(), Amount::whole(u64::from(own.count)))),
            );
            quota
        }
        None => {
            let all = node.map(allocatable).unwrap_or_default();
            all.into_iter().filter(|(name, _)| is_counted(name)).collect()
        }
    }
}

/// What all of some Nodes can allocate: whole cores, whole GiB, and what vendors add. What one of them lacks is not counted.
pub fn least<'a>(nodes: impl Iterator<Item = &'a Node>) -> Amounts {
    let step = |name: &str| match name {
        "cpu" => Amount::parse("1"),
        "memory" => Amount::parse("1Gi"),
        name => name.contains('/').then(|| Amount::whole(1)),
    };
    let counted = |node: &Node| -> Amounts {
        let all = allocatable(node).into_iter();
        all.filter_map(|(name, amount)| step(&name).map(|step| (name, amount.down_to(step))))
            .collect()
    };
    let fewest = |one: Amounts, other: Amounts| -> Amounts {
        let both = one
            .into_iter()
            .filter_map(|(name, amount)| Some((amount.min(*other.get(&name)?), name)));
        both.map(|(amount, name)| (name, amount)).collect()
    };
    nodes.map(counted).reduce(fewest).unwrap_or_default()
}

#[cfg(test)]
mod tests;
