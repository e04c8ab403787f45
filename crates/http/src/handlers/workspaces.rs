//! Workspaces (contract tags… §10).

use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render;
use axum::extract::State;
use axum::response::Response;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::name::WorkspaceId;
use domain::workspace::Workspace;
use service::ServiceError;
use service::workspaces::WorkspaceDraft;
use store::index::Versioned;
use wire::query::Query;
use wire::workspace::WorkspaceRequest;

/// Items of a page at most.
const MAXIMUM: usize = 1000;

fn workspace_id(call: &Call) -> Result<WorkspaceId, ApiError> {
    call.name("workspace_id", WorkspaceId::parse, || {
        ServiceError::NoSuchWorkspace(call.param("workspace_id").to_owned())
    })
}

fn draft(request: WorkspaceRequest) -> WorkspaceDraft {
    WorkspaceDraft {
        name: request.name,
        description: request.description,
        auth: request.auth,
        enterprise_project: request.enterprise_project,
    }
}

pub(crate) async fn create(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let outcome = app
        .service()
        .create_workspace(&ctx, || Ok(draft(wire::workspace::decode_create(&call.json()?)?)))
        .await?;
    Ok(render::tagged(
        render::encode(&wire::workspace::Workspace::from(outcome.object.as_ref())),
        outcome.revision,
    ))
}

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let query = call.query()?;
    let mut errors = FieldErrors::new();
    let only_accessible = query.boolean("filter_accessible", &mut errors).unwrap_or(false);
    let limit = query.limit("limit", MAXIMUM, &mut errors).unwrap_or(MAXIMUM);
    let offset = query
        .integer("offset", 0, i64::MAX, &mut errors)
        .and_then(|offset| usize::try_from(offset).ok())
        .unwrap_or(0);
    let order = order(&query, &mut errors);
    let mut all = app.service().list_workspaces(&ctx, only_accessible)?;
    errors.into_result()?;
    let wanted = |name: &str| query.get(name).filter(|text| !text.is_empty());
    all.retain(|workspace| {
        wanted("name").is_none_or(|part| workspace.name.contains(part))
            && wanted("enterprise_project_id").is_none_or(|id| workspace.enterprise_project == id)
    });
    if let Some((by, is_descending)) = order {
        all.sort_by(|a, b| if is_descending { compare(by, b, a) } else { compare(by, a, b) });
    }
    let items: Vec<_> = all
        .iter()
        .skip(offset)
        .take(limit)
        .map(|workspace| wire::workspace::Workspace::from(workspace.object.as_ref()))
        .collect();
    Ok(render::json(&wire::workspace::WorkspaceList {
        total_count: all.len(),
        count: items.len(),
        workspaces: items,
    }))
}

#[derive(Clone, Copy)]
enum SortBy {
    Name,
    UpdateTime,
    Status,
}

fn compare(by: SortBy, a: &Versioned<Workspace>, b: &Versioned<Workspace>) -> std::cmp::Ordering {
    match by {
        SortBy::Name => a.name.cmp(&b.name),
        SortBy::UpdateTime => a.updated_at.cmp(&b.updated_at),
        SortBy::Status => a.status.as_str().cmp(b.status.as_str()),
    }
}

fn order(query: &Query, errors: &mut FieldErrors) -> Option<(SortBy, bool)> {
    let is_descending = match query.get("order").unwrap_or_default() {
        "" | "asc" => false,
        "desc" => true,
        _ => {
            errors.push(FieldPath::of("order"), Reason::Invalid, "must be asc or desc");
            false
        }
    };
    let by = match query.get("sort_by").unwrap_or_default() {
        "" => return None,
        "name" => SortBy::Name,
        "update_time" => SortBy::UpdateTime,
        "status" => SortBy::Status,
        _ => {
            errors.push(FieldPath::of("sort_by"), Reason::Invalid, "must be name, update_time or status");
            return None;
        }
    };
    Some((by, is_descending))
}

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    Ok(render::entry(
        &app.service().show_workspace(&call.context()?, &workspace_id(&call)?)?.entry,
    ))
}

pub(crate) async fn update(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let id = workspace_id(&call)?;
    app.service()
        .update_workspace(&ctx, &id, || Ok(draft(wire::workspace::decode_update(&call.json()?)?)))
        .await?;
    Ok(render::json(&wire::workspace::WorkspaceIdBody {
        workspace_id: id.to_string(),
    }))
}

pub(crate) async fn remove(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let id = workspace_id(&call)?;
    app.service().delete_workspace(&ctx, &id).await?;
    Ok(render::json(&wire::workspace::WorkspaceIdBody {
        workspace_id: id.to_string(),
    }))
}
