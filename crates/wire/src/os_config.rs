//! The installation's configuration (contract tags… §7).

use domain::catalogue as model;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OsConfig {
    pub network_cidrs: Vec<String>,
    pub network_quota: u32,
    pub pool_quota: u32,
    pub network_subnet_types: Vec<String>,
    pub pool_high_available: bool,
    /// The same, under the name that the published table has.
    #[serde(rename = "pooHighAvailable")]
    pub misspelt_high_available: bool,
    pub max_pool_flavors: u32,
    pub cluster_flavor_specs: Vec<String>,
    /// `single` or `multi`
    pub license_scope_type: &'static str,
    #[serde(rename = "nodeOSVersionSupport")]
    pub node_os_version_support: Vec<OsVersion>,
    pub volume_types: Vec<&'static str>,
    pub pool_scope_plugins: Vec<ScopePlugins>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OsVersion {
    pub name: String,
    pub end_of_service: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScopePlugins {
    pub scope: &'static str,
    pub plugins: Vec<String>,
    pub external_dependency: bool,
    pub reserved_network_cidr: Vec<String>,
    pub support_retry: bool,
}

impl From<&model::OsConfig> for OsConfig {
    fn from(config: &model::OsConfig) -> Self {
        let scopes = config.scopes.iter().map(|(job_type, needs)| ScopePlugins {
            scope: job_type.as_str(),
            plugins: needs.plugins.iter().map(ToString::to_string).collect(),
            external_dependency: needs.needs_external_dependency,
            reserved_network_cidr: Vec::new(),
            support_retry: needs.can_retry,
        });
        Self {
            network_cidrs: config.network_cidrs.clone(),
            network_quota: config.network_quota,
            pool_quota: config.pool_quota,
            network_subnet_types: vec![String::new()],
            pool_high_available: false,
            misspelt_high_available: false,
            max_pool_flavors: config.max_pool_flavors,
            cluster_flavor_specs: config.cluster_flavors.clone(),
            license_scope_type: if config.is_single_license { "single" } else { "multi" },
            node_os_version_support: Vec::new(),
            volume_types: vec!["SSD", "GPSSD", "SAS"],
            pool_scope_plugins: scopes.collect(),
        }
    }
}

#[cfg(test)]
mod tests;
