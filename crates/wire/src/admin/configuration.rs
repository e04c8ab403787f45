//! The installation's configuration as the operator maintains it (contract tags… §7).

use super::{decode, only, patched};
use crate::decode::Place;
use domain::catalogue::{OsConfig, ScopeNeeds};
use domain::field::FieldErrors;
use domain::name::TemplateName;
use domain::pool::JobType;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The configuration, in answers and in bodies.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorConfiguration)]
pub struct ConfigurationView {
    /// Ranges that networks may be in
    pub network_cidrs: Vec<String>,
    /// Networks of a project without a quota of its own
    pub network_quota: u32,
    /// Pools of a project without a quota of its own
    pub pool_quota: u32,
    /// 1–10
    pub max_pool_flavors: u32,
    pub cluster_flavor_specs: Vec<String>,
    /// `single`: a pool may support training or inference, not both; or `multi`
    pub license_scope_type: &'static str,
    /// Job types on offer: `Train`, `Infer`, `Notebook`
    pub scopes: BTreeMap<&'static str, ScopeView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Shown with pools as `os.modelarts/external-access`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_access: Option<String>,
}

/// What a job type needs before it is enabled.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorScope)]
pub struct ScopeView {
    /// Names of plug-in templates
    pub plugins: Vec<String>,
    pub external_dependency: bool,
    pub support_retry: bool,
}

impl From<&OsConfig> for ConfigurationView {
    fn from(config: &OsConfig) -> Self {
        let scopes = config.scopes.iter().map(|(job_type, needs)| {
            let view = ScopeView {
                plugins: needs.plugins.iter().map(ToString::to_string).collect(),
                external_dependency: needs.needs_external_dependency,
                support_retry: needs.can_retry,
            };
            (job_type.as_str(), view)
        });
        Self {
            network_cidrs: config.network_cidrs.clone(),
            network_quota: config.network_quota,
            pool_quota: config.pool_quota,
            max_pool_flavors: config.max_pool_flavors,
            cluster_flavor_specs: config.cluster_flavors.clone(),
            license_scope_type: if config.is_single_license { "single" } else { "multi" },
            scopes: scopes.collect(),
            region: config.region.clone(),
            external_access: config.external_access.clone(),
        }
    }
}

/// The configuration that a patch asks for. What is taken away is as in an installation whose operator has set nothing.
pub fn decode_patch(current: &OsConfig, patch: &Value) -> Result<OsConfig, FieldErrors> {
    let wanted = patched(&ConfigurationView::from(current), patch, &[])?;
    decode(&wanted, |root| Some(configuration(root)))
}

fn configuration(root: &Place<'_>) -> OsConfig {
    only(
        root,
        &[
            "networkCidrs",
            "networkQuota",
            "poolQuota",
            "maxPoolFlavors",
            "clusterFlavorSpecs",
            "licenseScopeType",
            "scopes",
            "region",
            "externalAccess",
        ],
    );
    let plain = OsConfig::plain();
    let texts = |name: &str, plain: Vec<String>| {
        let place = root.field(name);
        let texts = place.items();
        if place.is_absent() {
            return plain;
        }
        texts.iter().filter_map(|item| item.text().map(ToOwned::to_owned)).collect()
    };
    let number = |name: &str, plain: u32| root.field(name).integer(0, u32::MAX).unwrap_or(plain);
    let text = |name: &str| root.field(name).text().map(ToOwned::to_owned);
    OsConfig {
        network_cidrs: texts("networkCidrs", plain.network_cidrs),
        network_quota: number("networkQuota", plain.network_quota),
        pool_quota: number("poolQuota", plain.pool_quota),
        max_pool_flavors: number("maxPoolFlavors", plain.max_pool_flavors),
        cluster_flavors: texts("clusterFlavorSpecs", plain.cluster_flavors),
        is_single_license: root
            .field("licenseScopeType")
            .choice(&[("single", true), ("multi", false)])
            .unwrap_or(plain.is_single_license),
        scopes: if root.field("scopes").is_absent() {
            plain.scopes
        } else {
            scopes(&root.field("scopes"))
        },
        region: text("region"),
        external_access: text("externalAccess"),
    }
}

fn scopes(place: &Place<'_>) -> BTreeMap<JobType, ScopeNeeds> {
    let known = JobType::ALL.map(JobType::as_str);
    place.object();
    only(place, &known);
    let offered = JobType::ALL.into_iter().filter_map(|job_type| {
        let place = place.field(job_type.as_str());
        place.object()?;
        only(&place, &["plugins", "externalDependency", "supportRetry"]);
        let plugins = place.field("plugins").items();
        let needs = ScopeNeeds {
            plugins: plugins.iter().filter_map(|item| item.name(TemplateName::parse)).collect(),
            needs_external_dependency: place.field("externalDependency").boolean().unwrap_or(false),
            can_retry: place.field("supportRetry").boolean().unwrap_or(false),
        };
        Some((job_type, needs))
    });
    offered.collect()
}
