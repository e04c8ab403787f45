//! Who is calling.

use crate::name::{DomainId, ProjectId, UserId};
use serde::{Deserialize, Serialize};

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
    pub roles: std::collections::BTreeMap<ProjectId, Role>,
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

    /// Whether the caller is an operator somewhere, which is what the operator API asks for.
    pub fn is_operator(&self) -> bool {
        match &self.scope {
            Scope::AllProjects => self.roles.values().any(|role| *role == Role::Operator),
            Scope::Project(own) => self.roles.get(own) == Some(&Role::Operator),
            Scope::Domain | Scope::None => false,
        }
    }
}
