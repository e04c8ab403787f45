//! Users: names, passwords, roles.

use super::{filter, own_context, page, pair, read, required_name, shown};
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render;
use axum::extract::State;
use axum::response::Response;
use domain::field::FieldErrors;
use domain::name::{DomainId, ProjectId, UserId, WorkspaceId};
use domain::pool::draft::Patched;
use domain::principal::Role;
use secrecy::SecretString;
use service::ServiceError;
use service::admin::{Account, NewUser, UserChange};
use std::collections::BTreeMap;
use wire::admin::accounts::{UserView, roles, workspace_roles};
use wire::admin::{UserList, is_removed, keep, moment, only};
use wire::decode::Place;

pub(super) fn user_id(call: &Call) -> Result<UserId, ApiError> {
    call.name("user_id", UserId::parse, || ServiceError::named("User", call.param("user_id")))
}

fn view(account: &Account) -> UserView {
    UserView {
        id: account.id.to_string(),
        name: account.name.clone(),
        domain: account.domain.to_string(),
        has_password: account.has_password,
        roles: roles(&account.roles),
        workspace_roles: workspace_roles(&account.workspace_roles),
        enabled: account.is_enabled,
        created_at: moment(account.created_at),
    }
}

/// Roles by project; `null`: none any more.
fn role_changes(place: &Place<'_>) -> BTreeMap<ProjectId, Option<Role>> {
    let choices = Role::ALL.map(|role| (role.as_str(), role));
    let mut changes = BTreeMap::new();
    for id in place.object().into_iter().flat_map(serde_json::Map::keys) {
        let entry = place.field(id);
        match ProjectId::parse(id) {
            Err(error) => entry.invalid(error.to_string()),
            Ok(project) if is_removed(place, id) => {
                changes.insert(project, None);
            }
            Ok(project) => {
                changes.extend(entry.choice(&choices).map(|role| (project, Some(role))));
            }
        }
    }
    changes
}

/// Roles by project and workspace; `null`: none any more.
fn workspace_role_changes(place: &Place<'_>) -> BTreeMap<ProjectId, BTreeMap<WorkspaceId, Option<Role>>> {
    let choices = [Role::Viewer, Role::User].map(|role| (role.as_str(), role));
    let mut changes = BTreeMap::new();
    for id in place.object().into_iter().flat_map(serde_json::Map::keys) {
        let entry = place.field(id);
        let project = ProjectId::parse(id).map_err(|error| entry.invalid(error.to_string()));
        let mut roles = BTreeMap::new();
        for id in entry.object().into_iter().flat_map(serde_json::Map::keys) {
            let bound = entry.field(id);
            match WorkspaceId::parse(id) {
                Err(error) => bound.invalid(error.to_string()),
                Ok(workspace) if is_removed(&entry, id) => {
                    roles.insert(workspace, None);
                }
                Ok(workspace) => roles.extend(bound.choice(&choices).map(|role| (workspace, Some(role)))),
            }
        }
        changes.extend(project.ok().map(|project| (project, roles)));
    }
    changes
}

/// Without those that are taken away.
fn kept<K: Ord>(changes: BTreeMap<K, Option<Role>>) -> BTreeMap<K, Role> {
    changes.into_iter().filter_map(|(key, role)| Some((key, role?))).collect()
}

fn password(place: &Place<'_>) -> Option<SecretString> {
    place.text().map(SecretString::from)
}

fn new_user(call: &Call) -> Result<NewUser, FieldErrors> {
    read(call, |root| {
        only(root, &["domain", "name", "password", "roles", "workspaceRoles", "enabled"]);
        let domain = required_name(&root.field("domain"), DomainId::parse);
        let name = root.field("name").required_text();
        let password = password(&root.field("password"));
        let roles = role_changes(&root.field("roles"));
        let workspace_roles = workspace_role_changes(&root.field("workspaceRoles"));
        let is_enabled = root.field("enabled").boolean().unwrap_or(true);
        Some(NewUser {
            domain: domain?,
            name: name?.to_owned(),
            password,
            roles: kept(roles),
            workspace_roles: workspace_roles.into_iter().map(|(project, roles)| (project, kept(roles))).collect(),
            is_enabled,
        })
    })
}

pub(crate) async fn create(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let outcome = app.service().create_user(&ctx, || new_user(&call)).await?;
    Ok(shown(&view(&outcome.object), outcome.revision))
}

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    own_context(&call)?;
    let domain = filter(&call, "domain", DomainId::parse)?;
    let all = app.service().list_users(&call.principal, domain.as_ref())?;
    let (metadata, items) = page(&call, all, |user| pair(user.domain.as_str(), &user.name))?;
    Ok(render::json(&UserList::of(metadata, items.iter().map(|user| view(user)).collect())))
}

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    own_context(&call)?;
    let found = app.service().show_user(&call.principal, &user_id(&call)?)?;
    Ok(shown(&view(&found.object), found.revision))
}

fn change(call: &Call) -> Result<UserChange, FieldErrors> {
    read(call, |root| {
        only(root, &["name", "password", "roles", "workspaceRoles", "enabled"]);
        keep(root, &["name", "roles", "workspaceRoles", "enabled"]);
        Some(UserChange {
            name: root.field("name").text().map(ToOwned::to_owned),
            password: match password(&root.field("password")) {
                Some(password) => Patched::Set(password),
                None if is_removed(root, "password") => Patched::Removed,
                None => Patched::Unchanged,
            },
            roles: role_changes(&root.field("roles")),
            workspace_roles: workspace_role_changes(&root.field("workspaceRoles")),
            is_enabled: root.field("enabled").boolean(),
        })
    })
}

pub(crate) async fn update(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let outcome = app.service().update_user(&ctx, &user_id(&call)?, || change(&call)).await?;
    Ok(shown(&view(&outcome.object), outcome.revision))
}

pub(crate) async fn remove(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let outcome = app.service().delete_user(&ctx, &user_id(&call)?).await?;
    Ok(render::json(&view(&outcome.object)))
}
