//! Domains, projects, users and access keys as the operator sees them. Secrets have no place here but in [`NewAccessKey`].

use super::moment;
use domain::catalogue::Quota;
use domain::iam;
use domain::name::{ProjectId, WorkspaceId};
use domain::principal::{Role, WorkspaceRoles};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorDomain)]
pub struct DomainView {
    pub id: String,
    pub name: String,
    /// RFC 3339
    pub created_at: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorProject)]
pub struct ProjectView {
    pub id: String,
    pub name: String,
    /// Id of its domain
    pub domain: String,
    pub description: String,
    /// `false`: out of everybody's reach, its machines stay as they are
    pub enabled: bool,
    pub quota: QuotaView,
    /// RFC 3339
    pub created_at: String,
}

/// Own limits of a project; `null`: those of the installation.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OperatorQuota)]
pub struct QuotaView {
    pub pools: Option<u32>,
    pub networks: Option<u32>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorUser)]
pub struct UserView {
    pub id: String,
    pub name: String,
    /// Id of its domain
    pub domain: String,
    /// Whether it can log in with a password
    pub has_password: bool,
    /// Project id to `viewer`, `user` or `operator`
    pub roles: BTreeMap<String, &'static str>,
    /// Project id to workspace id to `viewer` or `user`: counts there where it is stronger than the role in the project
    pub workspace_roles: BTreeMap<String, BTreeMap<String, &'static str>>,
    pub enabled: bool,
    /// RFC 3339
    pub created_at: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorAccessKey)]
pub struct AccessKeyView {
    pub access_key: String,
    /// Id of its user
    pub user: String,
    /// Of no use without its security token
    pub temporary: bool,
    /// RFC 3339; `null`: never
    pub expires_at: Option<String>,
    pub enabled: bool,
    pub description: String,
    /// RFC 3339
    pub created_at: String,
}

/// A key that was just made, with the secrets that are never shown again. A dry run has none.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorNewAccessKey)]
pub struct NewAccessKey {
    #[serde(flatten)]
    pub key: AccessKeyView,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<String>,
    /// Of a temporary key; goes into `X-Security-Token`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_token: Option<String>,
}

/// Body of a create or patch of a domain.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OperatorDomainBody)]
pub struct DomainBody {
    /// 1–64 characters, unique in the installation
    pub name: Option<String>,
}

/// Body of a create or patch of a project; `id` and `domain` on create only.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OperatorProjectBody)]
pub struct ProjectBody {
    /// 32–36 characters of `[a-z0-9-]`; random where absent
    pub id: Option<String>,
    pub domain: Option<String>,
    /// 1–64 characters, unique in the domain
    pub name: Option<String>,
    pub description: Option<String>,
    pub enabled: Option<bool>,
    pub quota: Option<QuotaView>,
}

/// Body of a create or patch of a user; `domain` on create only.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = OperatorUserBody)]
pub struct UserBody {
    pub domain: Option<String>,
    /// 1–64 characters, unique in the domain
    pub name: Option<String>,
    /// 8–128 characters; `null` takes it away. A new one ends all sessions.
    pub password: Option<String>,
    /// Project id to `viewer`, `user` or `operator`; in a patch, `null` takes a role away
    pub roles: Option<BTreeMap<String, String>>,
    /// Project id to workspace id to `viewer` or `user`; in a patch, `null` takes a role away
    #[serde(rename = "workspaceRoles")]
    pub workspace_roles: Option<BTreeMap<String, BTreeMap<String, String>>>,
    pub enabled: Option<bool>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OperatorAccessKeyBody)]
pub struct AccessKeyBody {
    pub description: Option<String>,
    /// Seconds, 900 to 86400: a temporary key with a security token. Absent: a permanent key.
    pub lifetime: Option<u32>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OperatorAccessKeyPatch)]
pub struct AccessKeyPatch {
    pub description: Option<String>,
    pub enabled: Option<bool>,
}

impl From<&iam::Domain> for DomainView {
    fn from(domain: &iam::Domain) -> Self {
        Self {
            id: domain.id.to_string(),
            name: domain.name.clone(),
            created_at: moment(domain.created_at),
        }
    }
}

impl From<&iam::Project> for ProjectView {
    fn from(project: &iam::Project) -> Self {
        Self {
            id: project.id.to_string(),
            name: project.name.clone(),
            domain: project.domain.to_string(),
            description: project.description.clone(),
            enabled: project.is_enabled,
            quota: QuotaView::from(&project.quota),
            created_at: moment(project.created_at),
        }
    }
}

impl From<&Quota> for QuotaView {
    fn from(quota: &Quota) -> Self {
        Self {
            pools: quota.pools,
            networks: quota.networks,
        }
    }
}

/// Roles as they are shown.
pub fn roles(roles: &BTreeMap<ProjectId, Role>) -> BTreeMap<String, &'static str> {
    roles.iter().map(|(project, role)| (project.to_string(), role.as_str())).collect()
}

/// Roles in workspaces as they are shown.
pub fn workspace_roles(all: &WorkspaceRoles) -> BTreeMap<String, BTreeMap<String, &'static str>> {
    let shown = |roles: &BTreeMap<_, Role>| roles.iter().map(|(id, role)| (ToString::to_string(id), role.as_str())).collect();
    all.iter()
        .map(|(project, roles): (&ProjectId, &BTreeMap<WorkspaceId, Role>)| (project.to_string(), shown(roles)))
        .collect()
}
