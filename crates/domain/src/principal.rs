//! Who is calling.

use crate::name::{DomainId, ProjectId, UserId, WorkspaceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a user may do in a project, weakest first. `Operator` may also use the operator API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Viewer,
    User,
    Operator,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::User, Self::Operator];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::User => "user",
            Self::Operator => "operator",
        }
    }
}

/// Roles that count in one workspace each, by project.
pub type WorkspaceRoles = BTreeMap<ProjectId, BTreeMap<WorkspaceId, Role>>;

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub user: UserId,
    pub user_name: String,
    pub domain: DomainId,
    pub domain_name: String,
    /// The project that a token is bound to. `None`: an access key, which reaches every project of `roles`.
    pub scope: Scope,
    /// Role by project. Projects that are absent here are out of reach.
    pub roles: BTreeMap<ProjectId, Role>,
    /// Roles that are bound to a workspace. They count there where they are stronger than that in the project, without which
    /// they are nothing.
    pub workspace_roles: WorkspaceRoles,
    /// Access-key id or the first characters of a token's hash: names the credential in logs and limits.
    pub credential: String,
}

/// What a credential may be used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every project in which the user has a role.
    AllProjects,
    Project(ProjectId),
    /// Account-level calls under `/v3` only.
    Domain,
    /// Neither: an unscoped token, good for being exchanged.
    None,
}

impl Principal {
    /// The caller's role in a project, with the credential's scope applied.
    pub fn role_in(&self, project: &ProjectId) -> Option<Role> {
        match &self.scope {
            Scope::AllProjects => {}
            Scope::Project(own) if own == project => {}
            Scope::Project(_) | Scope::Domain | Scope::None => return None,
        }
        self.roles.get(project).copied()
    }

    /// The caller's role for what is in a workspace.
    pub fn role_in_workspace(&self, project: &ProjectId, workspace: &WorkspaceId) -> Option<Role> {
        let role = self.role_in(project)?;
        let bound = self.workspace_roles.get(project).and_then(|roles| roles.get(workspace));
        Some(bound.map_or(role, |bound| role.max(*bound)))
    }

    /// The strongest role that the caller has anywhere in a project.
    pub fn strongest_role_in(&self, project: &ProjectId) -> Option<Role> {
        let role = self.role_in(project)?;
        let bound = self.workspace_roles.get(project).into_iter().flat_map(BTreeMap::values);
        Some(bound.copied().fold(role, Role::max))
    }

    /// Whether the caller is an operator somewhere, which is what the operator API asks for.
    pub fn is_operator(&self) -> bool {
        match &self.scope {
            Scope::AllProjects => self.roles.values().any(|role| *role == Role::Operator),
            Scope::Project(own) => self.roles.get(own) == Some(&Role::Operator),
            Scope::Domain | Scope::None => false,
        }
    }
}
