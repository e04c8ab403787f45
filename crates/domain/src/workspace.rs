//! Workspaces: who of a project may use which pools and networks (contract tags… §10, semantics §9).

use crate::name::{ProjectId, UserId, WorkspaceId};
use crate::principal::{Principal, Role};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    pub id: WorkspaceId,
    pub project: ProjectId,
    pub name: String,
    pub description: String,
    pub owner: UserId,
    pub auth: AuthType,
    pub enterprise_project: String,
    pub status: WorkspaceStatus,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Who may use a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthType {
    /// Everybody in the project.
    Public,
    /// Its owner and the tenant account.
    Private,
    /// Its owner, the tenant account and these users.
    Internal(Vec<Grant>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub user_id: Option<UserId>,
    pub user_name: Option<String>,
    /// Kept and shown, without a meaning here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_type: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkspaceStatus {
    Normal,
    CreateFailed,
    Deleting,
    DeleteFailed,
}

impl WorkspaceStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "NORMAL",
            Self::CreateFailed => "CREATE_FAILED",
            Self::Deleting => "DELETING",
            Self::DeleteFailed => "DELETE_FAILED",
        }
    }
}

/// For whom workspace rights are decided: the caller, or the user it acts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveUser {
    pub id: UserId,
    pub name: String,
    /// The tenant account itself, or an operator.
    pub may_use_all: bool,
}

impl EffectiveUser {
    /// The caller for itself.
    pub fn caller(who: &Principal, project: &ProjectId) -> Self {
        Self {
            id: who.user.clone(),
            name: who.user_name.clone(),
            may_use_all: who.role_in(project) == Some(Role::Operator) || who.user.as_str() == who.domain.as_str(),
        }
    }
}

impl Workspace {
    /// The workspace that every project has.
    pub fn default_of(project: &ProjectId, owner: &UserId, now: Timestamp) -> Self {
        Self {
            id: WorkspaceId::default_workspace(),
            project: project.clone(),
            name: "default".to_owned(),
            description: String::new(),
            owner: owner.clone(),
            auth: AuthType::Public,
            enterprise_project: "0".to_owned(),
            status: WorkspaceStatus::Normal,
            created_at: now,
            updated_at: now,
        }
    }

    pub fn admits(&self, user: &EffectiveUser) -> bool {
        if user.may_use_all || self.owner == user.id {
            return true;
        }
        match &self.auth {
            AuthType::Public => true,
            AuthType::Private => false,
            AuthType::Internal(grants) => grants
                .iter()
                .any(|grant| grant.user_id.as_ref() == Some(&user.id) || grant.user_name.as_deref() == Some(user.name.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(auth: AuthType) -> Workspace {
        let project = ProjectId::parse(&"a".repeat(32)).unwrap();
        let mut workspace = Workspace::default_of(&project, &UserId::parse("owner").unwrap(), Timestamp::UNIX_EPOCH);
        workspace.auth = auth;
        workspace
    }

    fn user(id: &str, may_use_all: bool) -> EffectiveUser {
        EffectiveUser {
            id: UserId::parse(id).unwrap(),
            name: format!("{id}-name"),
            may_use_all,
        }
    }

    #[test]
    fn access_follows_the_authorization_type() {
        let internal = AuthType::Internal(vec![Grant {
            user_id: None,
            user_name: Some("friend-name".to_owned()),
            user_type: None,
        }]);
        for (auth, owner, friend, stranger, operator) in [
            (AuthType::Public, true, true, true, true),
            (AuthType::Private, true, false, false, true),
            (internal, true, true, false, true),
        ] {
            let workspace = workspace(auth);
            assert_eq!(workspace.admits(&user("owner", false)), owner);
            assert_eq!(workspace.admits(&user("friend", false)), friend);
            assert_eq!(workspace.admits(&user("stranger", false)), stranger);
            assert_eq!(workspace.admits(&user("x", true)), operator);
        }
    }
}
