//! Projects, users and access keys.

use super::{body, name};
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render;
use axum::extract::State;
use axum::response::Response;
use domain::catalogue::Quota;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::iam::Project;
use domain::name::{AccessKeyId, DomainId, ProjectId, UserId};
use domain::principal::Role;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use service::admin::{Account, KeyInfo, KeyRequest, NewProject, NewUser};
use service::{CallContext, ServiceError};
use std::collections::BTreeMap;
use std::time::Duration;

/// Operator calls that belong to no project are made in the operator's own.
fn context(call: &Call) -> Result<CallContext, ApiError> {
    let own = call
        .principal
        .roles
        .iter()
        .find(|(_, role)| **role == Role::Operator)
        .map(|(project, _)| project.clone());
    call.context_in(own.ok_or(ServiceError::ActionDenied {
        action: "modelarts:admin:*".to_owned(),
    })?)
}

fn project(project: &Project) -> Value {
    json!({
        "id": project.id, "name": project.name, "domain": project.domain, "description": project.description, "enabled": project.is_enabled,
        "quota": {"pools": project.quota.pools, "networks": project.quota.networks}
    })
}

fn user(account: &Account) -> Value {
    json!({
        "id": account.id, "name": account.name, "domain": account.domain, "hasPassword": account.has_password, "roles": account.roles,
        "enabled": account.is_enabled
    })
}

fn key(key: &KeyInfo) -> Value {
    json!({
        "accessKey": key.id, "user": key.user, "temporary": key.is_temporary, "expiresAt": key.expires_at, "enabled": key.is_enabled,
        "description": key.description
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ProjectBody {
    id: Option<String>,
    domain: String,
    name: String,
    #[serde(default)]
    description: String,
    pools: Option<u32>,
    networks: Option<u32>,
}

pub(crate) async fn create_project(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let decode = || {
        let sent: ProjectBody = body(&call)?;
        Ok(NewProject {
            id: sent.id.map(|id| name("id", &id, ProjectId::parse)).transpose()?,
            domain: name("domain", &sent.domain, DomainId::parse)?,
            name: sent.name,
            description: sent.description,
            is_enabled: true,
            quota: Quota {
                pools: sent.pools,
                networks: sent.networks,
            },
        })
    };
    let outcome = app.service().create_project(&context(&call)?, decode).await?;
    Ok(render::json(&project(&outcome.object)))
}

pub(crate) async fn projects(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let all = app.service().list_projects(&call.principal, None)?;
    Ok(render::json(
        &json!({"projects": all.iter().map(|found| project(found)).collect::<Vec<_>>()}),
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct UserBody {
    domain: String,
    name: String,
    password: Option<String>,
    /// Project id to `viewer`, `user` or `operator`.
    #[serde(default)]
    roles: BTreeMap<ProjectId, Role>,
}

pub(crate) async fn create_user(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let decode = || {
        let sent: UserBody = body(&call)?;
        Ok(NewUser {
            domain: name("domain", &sent.domain, DomainId::parse)?,
            name: sent.name,
            password: sent.password.map(SecretString::from),
            roles: sent.roles,
            is_enabled: true,
        })
    };
    let outcome = app.service().create_user(&context(&call)?, decode).await?;
    Ok(render::json(&user(&outcome.object)))
}

pub(crate) async fn users(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let all = app.service().list_users(&call.principal, None)?;
    Ok(render::json(
        &json!({"users": all.iter().map(|found| user(found)).collect::<Vec<_>>()}),
    ))
}

fn user_id(call: &Call) -> Result<UserId, ApiError> {
    call.name("user_id", UserId::parse, || ServiceError::named("User", call.param("user_id")))
}

pub(crate) async fn delete_user(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let outcome = app.service().delete_user(&context(&call)?, &user_id(&call)?).await?;
    Ok(render::json(&user(&outcome.object)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct KeyBody {
    #[serde(default)]
    description: String,
    /// Seconds that a temporary key lives; absent: a permanent key.
    lifetime: Option<u64>,
}

pub(crate) async fn create_key(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let user = user_id(&call)?;
    let decode = || {
        let sent: KeyBody = body(&call)?;
        Ok(KeyRequest {
            user: user.clone(),
            description: sent.description,
            lifetime: sent.lifetime.map(Duration::from_secs),
        })
    };
    let made = app.service().create_access_key(&context(&call)?, decode).await?;
    let mut shown = key(&made.key.object);
    shown["secretKey"] = made.secret.expose_secret().into();
    shown["securityToken"] = made.security_token.as_ref().map(|token| token.expose_secret().to_owned()).into();
    Ok(render::json(&shown))
}

pub(crate) async fn keys(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let all = app.service().list_access_keys(&call.principal, Some(&user_id(&call)?))?;
    Ok(render::json(
        &json!({"accessKeys": all.iter().map(|found| key(found)).collect::<Vec<_>>()}),
    ))
}

pub(crate) async fn delete_key(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let id = AccessKeyId::parse(call.param("access_key"))
        .map_err(|error| FieldErrors::one(FieldPath::of("access_key"), Reason::Invalid, error.to_string()))?;
    let outcome = app.service().delete_access_key(&context(&call)?, &id).await?;
    Ok(render::json(&key(&outcome.object)))
}
