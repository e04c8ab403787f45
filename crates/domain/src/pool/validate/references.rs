//! Whether what a spec names exists and fits (semantics §1, check 10).

use super::{element_path, spec};
use crate::catalogue::{CLUSTER_FLAVORS, Flavor, Offers, OsConfig};
use crate::field::{FieldErrors, FieldPath, Reason};
use crate::name::{FlavorName, ZoneName};
use crate::network::{self, DEFAULT_SERVICE_CIDR, Network};
use crate::plugin::PluginTemplate;
use crate::pool::{Accelerator, AzCount, JobType, PhysicalSpec, Pool, PoolKind, PoolResource, PoolSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a spec may refer to, as it is now.
pub struct References {
    pub flavors: BTreeMap<FlavorName, Arc<Flavor>>,
    pub offers: Offers,
    /// Templates `gpu-driver` and `npu-driver`.
    pub drivers: BTreeMap<Accelerator, Arc<PluginTemplate>>,
    pub config: Arc<OsConfig>,
    /// The pool's network, where it exists.
    pub network: Option<Arc<Network>>,
    /// The parent of a logical pool, where it exists.
    pub parent: Option<Arc<Pool>>,
}

/// Checks the references of a new spec, or of one that replaces `old`: what an earlier check has let in is not asked again.
pub fn check_references(new: &PoolSpec, old: Option<&PoolSpec>, known: &References) -> FieldErrors {
    let mut errors = FieldErrors::new();
    match &new.kind {
        PoolKind::Physical(physical) => {
            let before = old.and_then(|old| match &old.kind {
                PoolKind::Physical(physical) => Some(physical.as_ref()),
                PoolKind::Logical(_) => None,
            });
            check_scope(physical, before, known, &mut errors);
            check_physical_elements(&new.resources, old.map(|old| old.resources.as_slice()), known, &mut errors);
            if before.is_none() {
                check_network(physical, known, &mut errors);
                check_cluster(physical, &mut errors);
            }
            check_driver(physical, before, &new.resources, known, &mut errors);
        }
        PoolKind::Logical(_) => check_logical_elements(&new.resources, known, &mut errors),
    }
    if old.is_none_or(|old| old.job_flavors != new.job_flavors) {
        check_job_flavors(&new.job_flavors, known, &mut errors);
    }
    errors
}

fn check_scope(new: &PhysicalSpec, old: Option<&PhysicalSpec>, known: &References, errors: &mut FieldErrors) {
    let path = spec().field("scope");
    for job_type in new
        .scope
        .iter()
        .filter(|job_type| old.is_none_or(|old| !old.scope.contains(job_type)))
    {
        if !known.config.scopes.contains_key(job_type) {
            errors.invalid(path.clone(), format!("job type {job_type} is not offered here"));
        }
    }
    if known.config.is_single_license && new.scope.contains(&JobType::Train) && new.scope.contains(&JobType::Infer) {
        errors.forbidden(path, "the licence allows Train or Infer in a pool, not both");
    }
}

fn check_physical_elements(new: &[PoolResource], old: Option<&[PoolResource]>, known: &References, errors: &mut FieldErrors) {
    let mut architectures = BTreeSet::new();
    for (at, element) in new.iter().enumerate() {
        let path = element_path(at);
        let before = old.and_then(|old| old.iter().find(|before| before.element() == element.element()));
        let Some(flavor) = known.flavors.get(&element.flavor) else {
            if before.is_none() {
                unknown_flavor(&path, &element.flavor, errors);
            }
            continue;
        };
        if !flavor.is_physical() {
            errors.invalid(path.field("flavor"), format!("flavor {} is for logical pools", element.flavor));
            continue;
        }
        architectures.insert(flavor.arch.as_str());
        check_zones(element, before, known, &path, errors);
        check_step(element, before, flavor, &path, errors);
        check_element_driver(element, before, flavor, known, &path, errors);
    }
    if architectures.len() > 1 {
        errors.invalid(
            spec().field("resources"),
            "all flavors of a pool must have the same CPU architecture",
        );
    }
}

fn unknown_flavor(path: &FieldPath, flavor: &FlavorName, errors: &mut FieldErrors) {
    errors.push(path.field("flavor"), Reason::NotFound, format!("unknown flavor \"{flavor}\""));
}

fn check_zones(element: &PoolResource, before: Option<&PoolResource>, known: &References, path: &FieldPath, errors: &mut FieldErrors) {
    let offer = known.offers.get(&element.flavor);
    let free = |zone: &ZoneName| offer.and_then(|offer| offer.zones.get(zone)).map_or(0, |zone| zone.free);
    let had = |zone: &ZoneName| {
        before
            .and_then(|before| before.azs.as_ref())
            .and_then(|azs| azs.iter().find(|entry| entry.az == *zone))
            .map_or(0, |entry| entry.count)
    };
    for (position, AzCount { az, count }) in element.azs.iter().flatten().enumerate() {
        let zone = path.field("azs").index(position);
        if offer.is_none_or(|offer| !offer.zones.contains_key(az)) {
            errors.push(
                zone.field("az"),
                Reason::NotFound,
                format!("flavor {} is not on sale in zone \"{az}\"", element.flavor),
            );
        } else if *count > had(az) && free(az) == 0 {
            errors.push(
                zone.field("az"),
                Reason::Capacity,
                format!("flavor {} is sold out in zone {az}", element.flavor),
            );
        }
    }
    let grows = element.count > before.map_or(0, |before| before.count);
    if grows && element.azs.is_none() && offer.is_none_or(|offer| offer.free() == 0) {
        errors.push(
            path.field("flavor"),
            Reason::Capacity,
            format!("flavor {} is sold out", element.flavor),
        );
    }
}

fn check_step(element: &PoolResource, before: Option<&PoolResource>, flavor: &Flavor, path: &FieldPath, errors: &mut FieldErrors) {
    if let Some(step) = &element.creating_step
        && before.is_none()
        && !flavor.creating_steps.contains(step)
    {
        errors.invalid(
            path.field("creatingStep"),
            format!(
                "flavor {} does not offer {} steps of {}",
                flavor.name,
                step.kind.as_str(),
                step.step
            ),
        );
    }
}

fn check_element_driver(
    element: &PoolResource,
    before: Option<&PoolResource>,
    flavor: &Flavor,
    known: &References,
    path: &FieldPath,
    errors: &mut FieldErrors,
) {
    let Some(version) = &element.driver_version else { return };
    if before.is_some_and(|before| before.driver_version == element.driver_version) {
        return;
    }
    let path = path.field("driver").field("version");
    match flavor.accelerator() {
        None => errors.forbidden(path, format!("flavor {} has no accelerator", flavor.name)),
        Some(kind) => check_version(kind, version, known, path, errors),
    }
}

fn check_version(kind: Accelerator, version: &str, known: &References, path: FieldPath, errors: &mut FieldErrors) {
    if !known.drivers.get(&kind).is_some_and(|template| template.has_version(version)) {
        errors.push(
            path,
            Reason::NotFound,
            format!("unknown version \"{version}\" of {}", kind.driver_template()),
        );
    }
}

/// The accelerators of a list of elements.
pub fn accelerators(resources: &[PoolResource], flavors: &BTreeMap<FlavorName, Arc<Flavor>>) -> BTreeSet<Accelerator> {
    resources
        .iter()
        .filter_map(|element| flavors.get(&element.flavor))
        .filter_map(|flavor| flavor.accelerator())
        .collect()
}

fn check_driver(new: &PhysicalSpec, old: Option<&PhysicalSpec>, resources: &[PoolResource], known: &References, errors: &mut FieldErrors) {
    if old.is_some_and(|old| old.driver == new.driver) {
        return;
    }
    let present = accelerators(resources, &known.flavors);
    let path = spec().field("driver");
    for (kind, field) in [(Accelerator::Gpu, "gpuVersion"), (Accelerator::Npu, "npuVersion")] {
        let Some(version) = new.driver.version(kind) else { continue };
        if old.is_some_and(|old| old.driver.version(kind) == Some(version)) {
            continue;
        }
        if present.contains(&kind) {
            check_version(kind, version, known, path.field(field), errors);
        } else {
            errors.forbidden(
                path.field(field),
                format!("the pool has no flavor with {}s", kind.as_str().to_uppercase()),
            );
        }
    }
}

fn check_network(new: &PhysicalSpec, known: &References, errors: &mut FieldErrors) {
    let path = spec().field("network").field("name");
    let Some(network) = &known.network else {
        return errors.push(path, Reason::NotFound, format!("network \"{}\" not found", new.network));
    };
    if network.deleted_at.is_some() || network.phase != network::NetworkPhase::Active {
        errors.invalid(path, format!("network {} is not active", new.network));
    }
    if new.ipv6 && !network.ipv6 {
        errors.forbidden(spec().field("ipv6enable"), format!("network {} has no IPv6", new.network));
    }
    let (Ok(service), container) = (
        new.service_cidr.as_deref().unwrap_or(DEFAULT_SERVICE_CIDR).parse(),
        new.container_cidr.as_deref().and_then(|text| text.parse().ok()),
    ) else {
        return;
    };
    if new.service_cidr.is_some() && network::overlap(&service, &network.cidr) {
        errors.invalid(
            spec().field("kubernetesSvcIpRange"),
            format!("overlaps the network ({})", network.cidr),
        );
    }
    if let Some(container) = container {
        let path = spec().field("containerNetwork").field("cidr");
        if network::overlap(&container, &network.cidr) {
            errors.invalid(path, format!("overlaps the network ({})", network.cidr));
        } else if network::overlap(&container, &service) {
            errors.invalid(path, format!("overlaps the service range ({service})"));
        }
    }
}

fn check_cluster(new: &PhysicalSpec, errors: &mut FieldErrors) {
    if let Some(size) = &new.cluster_flavor
        && !CLUSTER_FLAVORS.contains(&size.as_str())
    {
        errors.invalid(
            spec().field("clusterFlavor"),
            format!("must be one of {}", CLUSTER_FLAVORS.join(", ")),
        );
    }
}

fn check_logical_elements(new: &[PoolResource], known: &References, errors: &mut FieldErrors) {
    for (at, element) in new.iter().enumerate() {
        let path = element_path(at);
        match &known.parent {
            Some(parent) if parent.spec.resources.iter().any(|offered| offered.flavor == element.flavor) => {}
            Some(parent) => {
                let message = format!("flavor {} is not in pool {}", element.flavor, parent.name);
                errors.push(path.field("flavor"), Reason::NotFound, message);
            }
            None if known.flavors.contains_key(&element.flavor) => {}
            None => unknown_flavor(&path, &element.flavor, errors),
        }
    }
}

fn check_job_flavors(new: &[String], known: &References, errors: &mut FieldErrors) {
    for (at, name) in new.iter().enumerate() {
        if !known.flavors.values().any(|flavor| flavor.job_flavors.contains(name)) {
            errors.push(
                spec().field("jobFlavors").index(at),
                Reason::NotFound,
                format!("unknown job flavor \"{name}\""),
            );
        }
    }
}
