//! Projects with their quotas.

use super::{filter, own_context, page, pair, read, required_name, shown};
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render;
use axum::extract::State;
use axum::response::Response;
use domain::catalogue::Quota;
use domain::field::FieldErrors;
use domain::name::{DomainId, ProjectId};
use domain::pool::draft::Patched;
use service::ServiceError;
use service::admin::{NewProject, ProjectChange, QuotaChange};
use wire::admin::accounts::ProjectView;
use wire::admin::{ProjectList, is_removed, keep, only};
use wire::decode::Place;

fn project_id(call: &Call) -> Result<ProjectId, ApiError> {
    call.name("project_id", ProjectId::parse, || {
        ServiceError::named("Project", call.param("project_id"))
    })
}

fn quota(place: &Place<'_>) -> QuotaChange {
    place.object();
    only(place, &["pools", "networks"]);
    let limit = |name: &str| match place.field(name).integer(0, u32::MAX) {
        Some(limit) => Patched::Set(limit),
        None if is_removed(place, name) => Patched::Removed,
        None => Patched::Unchanged,
    };
    QuotaChange {
        pools: limit("pools"),
        networks: limit("networks"),
    }
}

fn new_project(call: &Call) -> Result<NewProject, FieldErrors> {
    read(call, |root| {
        only(root, &["id", "domain", "name", "description", "enabled", "quota"]);
        let id = root.field("id").name(ProjectId::parse);
        let domain = required_name(&root.field("domain"), DomainId::parse);
        let name = root.field("name").required_text();
        let description = root.field("description").text().unwrap_or_default().to_owned();
        let is_enabled = root.field("enabled").boolean().unwrap_or(true);
        let quota = quota(&root.field("quota")).of(&Quota::default());
        Some(NewProject {
            id,
            domain: domain?,
            name: name?.to_owned(),
            description,
            is_enabled,
            quota,
        })
    })
}

pub(crate) async fn create(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let outcome = app.service().create_project(&ctx, || new_project(&call)).await?;
    Ok(shown(&ProjectView::from(outcome.object.as_ref()), outcome.revision))
}

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    own_context(&call)?;
    let domain = filter(&call, "domain", DomainId::parse)?;
    let all = app.service().list_projects(&call.principal, domain.as_ref())?;
    let (metadata, items) = page(&call, all, |project| pair(project.domain.as_str(), &project.name))?;
    let items = items.iter().map(|project| ProjectView::from(project.as_ref())).collect();
    Ok(render::json(&ProjectList::of(metadata, items)))
}

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    own_context(&call)?;
    let found = app.service().show_project(&call.principal, &project_id(&call)?)?;
    Ok(shown(&ProjectView::from(found.object.as_ref()), found.revision))
}

fn change(call: &Call) -> Result<ProjectChange, FieldErrors> {
    read(call, |root| {
        only(root, &["name", "description", "enabled", "quota"]);
        keep(root, &["name", "enabled"]);
        let description = root.field("description").text().map(ToOwned::to_owned);
        Some(ProjectChange {
            name: root.field("name").text().map(ToOwned::to_owned),
            description: if is_removed(root, "description") {
                Some(String::new())
            } else {
                description
            },
            is_enabled: root.field("enabled").boolean(),
            quota: if is_removed(root, "quota") {
                QuotaChange {
                    pools: Patched::Removed,
                    networks: Patched::Removed,
                }
            } else {
                quota(&root.field("quota"))
            },
        })
    })
}

pub(crate) async fn update(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let outcome = app.service().update_project(&ctx, &project_id(&call)?, || change(&call)).await?;
    Ok(shown(&ProjectView::from(outcome.object.as_ref()), outcome.revision))
}

pub(crate) async fn remove(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let outcome = app.service().delete_project(&ctx, &project_id(&call)?).await?;
    Ok(render::json(&ProjectView::from(outcome.object.as_ref())))
}

/// The limits in force and their use, as the project itself sees them.
pub(crate) async fn quotas(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    own_context(&call)?;
    let quotas = app.service().quotas_of(&call.principal, &project_id(&call)?)?;
    Ok(render::json(&wire::quota::Quotas::of(
        quotas.iter().map(|quota| (quota.resource, quota.limit, quota.used)),
    )))
}
