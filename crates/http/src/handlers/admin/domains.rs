//! Domains, the tenant accounts.

use super::{own_context, page, read, shown};
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render;
use axum::extract::State;
use axum::response::Response;
use domain::field::FieldErrors;
use domain::name::DomainId;
use service::ServiceError;
use service::admin::DomainChange;
use wire::admin::accounts::DomainView;
use wire::admin::{DomainList, keep, only};

fn domain_id(call: &Call) -> Result<DomainId, ApiError> {
    call.name("domain_id", DomainId::parse, || {
        ServiceError::named("Domain", call.param("domain_id"))
    })
}

pub(crate) async fn create(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let decode = || {
        read(&call, |root| {
            only(root, &["name"]);
            let name = root.field("name").required_text();
            Some(DomainChange {
                name: name.map(ToOwned::to_owned),
            })
        })
    };
    let outcome = app.service().create_domain(&own_context(&call)?, decode).await?;
    Ok(shown(&DomainView::from(outcome.object.as_ref()), outcome.revision))
}

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let all = app.service().list_domains(&call.principal)?;
    let (metadata, items) = page(&call, all, |domain| domain.name.clone())?;
    let items = items.iter().map(|domain| DomainView::from(domain.as_ref())).collect();
    Ok(render::json(&DomainList::of(metadata, items)))
}

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    own_context(&call)?;
    let found = app.service().show_domain(&call.principal, &domain_id(&call)?)?;
    Ok(shown(&DomainView::from(found.object.as_ref()), found.revision))
}

fn change(call: &Call) -> Result<DomainChange, FieldErrors> {
    read(call, |root| {
        only(root, &["name"]);
        keep(root, &["name"]);
        Some(DomainChange {
            name: root.field("name").text().map(ToOwned::to_owned),
        })
    })
}

pub(crate) async fn update(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let outcome = app.service().update_domain(&ctx, &domain_id(&call)?, || change(&call)).await?;
    Ok(shown(&DomainView::from(outcome.object.as_ref()), outcome.revision))
}

pub(crate) async fn remove(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let outcome = app.service().delete_domain(&ctx, &domain_id(&call)?).await?;
    Ok(render::json(&DomainView::from(outcome.object.as_ref())))
}
