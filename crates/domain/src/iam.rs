//! Accounts: domains, projects, users, access keys and tokens. Secrets appear here only sealed or hashed.

use crate::name::{AccessKeyId, DomainId, ProjectId, UserId};
use crate::principal::{Role, WorkspaceRoles};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A tenant account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    pub id: DomainId,
    pub name: String,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    pub id: ProjectId,
    /// Unique in its domain; also the region's name where clients look a project up by region.
    pub name: String,
    pub domain: DomainId,
    pub description: String,
    pub is_enabled: bool,
    pub quota: crate::catalogue::Quota,
    pub created_at: Timestamp,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub id: UserId,
    /// Unique in its domain.
    pub name: String,
    pub domain: DomainId,
    /// argon2id, in PHC form; absent: no password log-in.
    pub password_hash: Option<String>,
    pub roles: BTreeMap<ProjectId, Role>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub workspace_roles: WorkspaceRoles,
    pub is_enabled: bool,
    pub created_at: Timestamp,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    pub id: AccessKeyId,
    pub user: UserId,
    /// The secret half, encrypted: a signature can only be checked with the plain secret.
    pub sealed_secret: String,
    /// SHA-256 of the security token of a temporary key, in hexadecimal.
    pub security_token_hash: Option<String>,
    pub expires_at: Option<Timestamp>,
    pub is_enabled: bool,
    pub description: String,
    pub created_at: Timestamp,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey")
            .field("id", &self.id)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// A token that was handed out. The text itself is kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// SHA-256 of the text, in hexadecimal.
    pub hash: String,
    pub user: UserId,
    pub scope: TokenScope,
    pub methods: Vec<String>,
    pub issued_at: Timestamp,
    /// Absent for the operator's own token.
    pub expires_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenScope {
    Project(ProjectId),
    Domain,
    Unscoped,
    /// Every project of the user: the operator's token.
    Everything,
}
