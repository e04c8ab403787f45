//! Workspaces (contract tags… §10).

use crate::decode::Place;
use domain::field::{FieldErrors, Reason};
use domain::name::UserId;
use domain::workspace::{self as model, AuthType};
use serde::Serialize;
use serde_json::Value;
use std::cell::RefCell;
use utoipa::ToSchema;

/// Longest `user_type` of a grant.
const MAX_USER_TYPE: usize = 64;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Workspace {
    pub id: String,
    pub name: String,
    pub description: String,
    pub owner: String,
    /// `PUBLIC`, `PRIVATE` or `INTERNAL`
    pub auth_type: &'static str,
    pub grants: Vec<Grant>,
    pub enterprise_project_id: String,
    pub enterprise_project_name: String,
    pub status: &'static str,
    pub status_info: String,
    /// Milliseconds since the epoch.
    pub create_time: i64,
    pub update_time: i64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Grant {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_type: Option<String>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WorkspaceList {
    pub total_count: usize,
    pub count: usize,
    pub workspaces: Vec<Workspace>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WorkspaceIdBody {
    pub workspace_id: String,
}

/// The body of create and update.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WorkspaceBody {
    pub name: Option<String>,
    pub description: Option<String>,
    pub auth_type: Option<String>,
    pub grants: Option<Vec<Grant>>,
    pub enterprise_project_id: Option<String>,
}

/// A decoded request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkspaceRequest {
    pub name: Option<String>,
    pub description: Option<String>,
    pub auth: Option<AuthType>,
    pub enterprise_project: Option<String>,
}

impl From<&model::Workspace> for Workspace {
    fn from(workspace: &model::Workspace) -> Self {
        let (auth_type, grants) = match &workspace.auth {
            AuthType::Public => ("PUBLIC", Vec::new()),
            AuthType::Private => ("PRIVATE", Vec::new()),
            AuthType::Internal(grants) => {
                let grants = grants.iter().map(|grant| Grant {
                    user_id: grant.user_id.as_ref().map(ToString::to_string),
                    user_name: grant.user_name.clone(),
                    user_type: grant.user_type.clone(),
                });
                ("INTERNAL", grants.collect())
            }
        };
        Self {
            id: workspace.id.to_string(),
            name: workspace.name.clone(),
            description: workspace.description.clone(),
            owner: workspace.owner.to_string(),
            auth_type,
            grants,
            enterprise_project_id: workspace.enterprise_project.clone(),
            enterprise_project_name: String::new(),
            status: workspace.status.as_str(),
            status_info: String::new(),
            create_time: workspace.created_at.as_millisecond(),
            update_time: workspace.updated_at.as_millisecond(),
        }
    }
}

pub fn decode_create(body: &Value) -> Result<WorkspaceRequest, FieldErrors> {
    decode(body, true)
}

pub fn decode_update(body: &Value) -> Result<WorkspaceRequest, FieldErrors> {
    decode(body, false)
}

fn decode(body: &Value, is_create: bool) -> Result<WorkspaceRequest, FieldErrors> {
    let errors = RefCell::new(FieldErrors::new());
    let request = {
        let root = Place::root(body, &errors);
        let members = root.body();
        let name = root.field("name");
        if is_create && members.is_some() && name.is_absent() {
            name.required();
        }
        let chosen = name.text();
        if chosen.is_some_and(|text| !(4..=64).contains(&text.chars().count())) {
            name.invalid("must be 4 to 64 characters long");
        }
        if chosen == Some("default") {
            name.invalid("is reserved");
        }
        let description = root.field("description");
        if description.text().is_some_and(|text| text.chars().count() > 256) {
            description.invalid("must be at most 256 characters long");
        }
        let auth = auth(&root);
        WorkspaceRequest {
            name: chosen.map(ToOwned::to_owned),
            description: description.text().map(ToOwned::to_owned),
            auth,
            enterprise_project: root.field("enterprise_project_id").text().map(ToOwned::to_owned),
        }
    };
    errors.into_inner().into_result()?;
    Ok(request)
}

fn auth(root: &Place<'_>) -> Option<AuthType> {
    let (kind, place) = (root.field("auth_type"), root.field("grants"));
    let grants = grants(&place);
    let has_grants = !grants.is_empty();
    let internal = AuthType::Internal(grants);
    let known = [
        ("PUBLIC", &AuthType::Public),
        ("PRIVATE", &AuthType::Private),
        ("INTERNAL", &internal),
    ];
    let chosen = kind.choice(&known);
    if has_grants && chosen != Some(&internal) && (chosen.is_some() || kind.is_absent()) {
        place.refuse(Reason::Forbidden, "are for auth_type INTERNAL only");
    }
    chosen.cloned()
}

fn grants(place: &Place<'_>) -> Vec<model::Grant> {
    let grants = place.items().into_iter().filter_map(|item| {
        item.object()?;
        let (id, name, kind) = (item.field("user_id"), item.field("user_name"), item.field("user_type"));
        if kind.text().is_some_and(|text| text.chars().count() > MAX_USER_TYPE) {
            kind.invalid(format!("must be at most {MAX_USER_TYPE} characters long"));
        }
        if id.is_absent() && name.is_absent() {
            item.invalid("must have user_id or user_name");
            return None;
        }
        Some(model::Grant {
            user_id: id.name(UserId::parse),
            user_name: name.text().map(ToOwned::to_owned),
            user_type: kind.text().map(ToOwned::to_owned),
        })
    });
    grants.collect()
}

#[cfg(test)]
mod tests;
