//! Access keys. A secret is shown once, in the answer to the create.

use super::users::user_id;
use super::{filter, own_context, page, pair, read, shown};
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render;
use axum::extract::State;
use axum::response::Response;
use domain::field::FieldErrors;
use domain::name::{AccessKeyId, UserId};
use secrecy::{ExposeSecret, SecretString};
use service::ServiceError;
use service::admin::{KeyChange, KeyInfo, KeyRequest};
use std::time::Duration;
use wire::admin::accounts::{AccessKeyView, NewAccessKey};
use wire::admin::{AccessKeyList, is_removed, keep, moment, only};

fn key_id(call: &Call) -> Result<AccessKeyId, ApiError> {
    call.name("access_key", AccessKeyId::parse, || {
        ServiceError::named("AccessKey", call.param("access_key"))
    })
}

fn view(key: &KeyInfo) -> AccessKeyView {
    AccessKeyView {
        access_key: key.id.to_string(),
        user: key.user.to_string(),
        temporary: key.is_temporary,
        expires_at: key.expires_at.map(moment),
        enabled: key.is_enabled,
        description: key.description.clone(),
        created_at: moment(key.created_at),
    }
}

pub(crate) async fn create(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let decode = || {
        read(&call, |root| {
            only(root, &["description", "lifetime"]);
            let lifetime = root.field("lifetime").integer(0, u32::MAX);
            Some(KeyRequest {
                description: root.field("description").text().unwrap_or_default().to_owned(),
                lifetime: lifetime.map(|seconds| Duration::from_secs(seconds.into())),
            })
        })
    };
    let made = app.service().create_access_key(&ctx, &user_id(&call)?, decode).await?;
    // What a dry run has drawn opens nothing.
    let told = |secret: &SecretString| (!ctx.is_dry_run).then(|| secret.expose_secret().to_owned());
    let body = NewAccessKey {
        key: view(&made.key.object),
        secret_key: told(&made.secret),
        security_token: made.security_token.as_ref().and_then(told),
    };
    Ok(shown(&body, made.key.revision))
}

fn listed(app: &App, call: &Call, user: Option<&UserId>) -> Result<Response, ApiError> {
    let all = app.service().list_access_keys(&call.principal, user)?;
    let (metadata, items) = page(call, all, |key| pair(key.user.as_str(), key.id.as_str()))?;
    Ok(render::json(&AccessKeyList::of(
        metadata,
        items.iter().map(|key| view(key)).collect(),
    )))
}

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    own_context(&call)?;
    let user = filter(&call, "user", UserId::parse)?;
    // A filter that nothing fits is no error, unlike a user in the path.
    match user {
        Some(user) if app.service().show_user(&call.principal, &user).is_err() => {
            let (metadata, _) = page(&call, Vec::<()>::new(), |()| String::new())?;
            Ok(render::json(&AccessKeyList::of(metadata, Vec::new())))
        }
        user => listed(&app, &call, user.as_ref()),
    }
}

pub(crate) async fn list_of_user(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    own_context(&call)?;
    listed(&app, &call, Some(&user_id(&call)?))
}

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    own_context(&call)?;
    let found = app.service().show_access_key(&call.principal, &key_id(&call)?)?;
    Ok(shown(&view(&found.object), found.revision))
}

fn change(call: &Call) -> Result<KeyChange, FieldErrors> {
    read(call, |root| {
        only(root, &["description", "enabled"]);
        keep(root, &["enabled"]);
        let description = root.field("description").text().map(ToOwned::to_owned);
        Some(KeyChange {
            description: if is_removed(root, "description") {
                Some(String::new())
            } else {
                description
            },
            is_enabled: root.field("enabled").boolean(),
        })
    })
}

pub(crate) async fn update(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let outcome = app.service().update_access_key(&ctx, &key_id(&call)?, || change(&call)).await?;
    Ok(shown(&view(&outcome.object), outcome.revision))
}

pub(crate) async fn remove(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let outcome = app.service().delete_access_key(&ctx, &key_id(&call)?).await?;
    Ok(render::json(&view(&outcome.object)))
}
