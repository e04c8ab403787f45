//! Pools (contract `pools.md`).

use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::handlers::watch::{self, Wanted};
use crate::render::{self, Paging};
use axum::extract::State;
use axum::response::Response;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::label::Selector;
use domain::name::{PoolName, WorkspaceId};
use domain::pool::{JobType, Pool, PoolPhase, ScopeState};
use service::pools::{PoolFilter, StatusFilter};
use service::{Missing, Outcome, ServiceError};
use std::time::Duration;
use wire::query::Query;

/// Items of a page of pools at most.
const MAXIMUM: usize = 500;

pub(crate) fn pool_name(call: &Call) -> Result<PoolName, ApiError> {
    call.name("pool_name", PoolName::parse, || ServiceError::NotFound(Missing::Pool))
}

/// The workspace that a list is asked for, or the default one.
pub(crate) fn workspace(query: &Query, errors: &mut FieldErrors) -> WorkspaceId {
    wanted_workspace(query, errors).unwrap_or_else(WorkspaceId::default_workspace)
}

/// The workspace that a list is asked for, if it is asked for one.
pub(crate) fn wanted_workspace(query: &Query, errors: &mut FieldErrors) -> Option<WorkspaceId> {
    let text = query.get("workspaceId").filter(|text| !text.is_empty())?;
    let id = WorkspaceId::parse(text);
    if let Err(error) = &id {
        errors.push(FieldPath::of("workspaceId"), Reason::Invalid, error.to_string());
    }
    id.ok()
}

pub(crate) fn selector(query: &Query, errors: &mut FieldErrors) -> Selector {
    Selector::parse(query.get("labelSelector").unwrap_or_default()).unwrap_or_else(|error| {
        errors.push(FieldPath::of("labelSelector"), Reason::Invalid, error.to_string());
        Selector::default()
    })
}

pub(crate) fn rendered(outcome: &Outcome<Pool>) -> Response {
    render::tagged(render::encode(&wire::pool::Pool::from(outcome.object.as_ref())), outcome.revision)
}

pub(crate) async fn create(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let outcome = app.service().create_pool(&ctx, || wire::pool::decode_create(&call.json()?)).await?;
    Ok(rendered(&outcome))
}

fn filter(query: &Query, errors: &mut FieldErrors) -> PoolFilter {
    PoolFilter {
        workspace: workspace(query, errors),
        selector: selector(query, errors),
        status: status_filter(query, errors),
        parent: query.get("parent").filter(|text| !text.is_empty()).map(ToOwned::to_owned),
    }
}

fn has_labels(selector: &Selector, pool: &Pool) -> bool {
    selector.matches_map(&wire::pool::labels(pool))
}

async fn watch(app: &App, call: &Call, wanted: Wanted) -> Result<Response, ApiError> {
    let read = || {
        let mut errors = FieldErrors::new();
        let filter = filter(&call.query()?, &mut errors);
        errors.into_result()?;
        Ok((filter, wanted.after))
    };
    let watch = app.service().watch_pools(&call.context()?, read, has_labels)?;
    watch::answer(app, call, watch).await
}

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    if let Some(wanted) = Wanted::read(&call)? {
        return watch(&app, &call, wanted).await;
    }
    let mut is_paged = false;
    let read = || {
        let query = call.query()?;
        let mut errors = FieldErrors::new();
        let filter = filter(&query, &mut errors);
        let wanted = Paging::read(&query, MAXIMUM, &mut errors);
        errors.into_result()?;
        is_paged = wanted.is_requested();
        Ok((filter, wanted.wanted()))
    };
    let found = app.service().list_pools(&ctx, read, has_labels)?;
    let page = render::part(&found);
    let metadata = is_paged.then(|| wire::list::ListMeta::of(page.next));
    Ok(render::bytes(wire::list::join("PoolList", "v2", metadata.as_ref(), &page.items)))
}

fn status_filter(query: &Query, errors: &mut FieldErrors) -> Option<StatusFilter> {
    let text = query.get("status").filter(|text| !text.is_empty())?;
    let status = StatusFilter::parse(text);
    if status.is_none() {
        errors.push(FieldPath::of("status"), Reason::Invalid, "must be created, creating or failed");
    }
    status
}

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let name = pool_name(&call)?;
    let found = app.service().show_pool(&ctx, &name)?;
    let Some(wait) = Wait::read(&call.query()?)? else {
        return Ok(render::entry(&found.entry));
    };
    let _seat = call.sit(&app)?;
    let mut closing = app.parts.closing.clone();
    let found = tokio::select! {
        found = app.service().await_pool(&ctx, &name, wait.timeout, |pool| wait.condition.holds(pool)) => found?,
        // As if the time were over: whoever waits asks again, another replica.
        _ = closing.wait_for(|is_closing| *is_closing) => app.service().show_pool(&ctx, &name)?,
    };
    Ok(render::entry(&found.entry))
}

/// `wait=<phase or condition>&timeout=<seconds>` (semantics §12).
struct Wait {
    condition: Condition,
    timeout: Duration,
}

enum Condition {
    Phase(String),
    /// Running, with every wanted node available, job types settled and nothing in work.
    Ready,
    /// A job type has reached a state.
    Scope(JobType, String),
    /// Never true of a pool: the wait ends with 404 when it is gone.
    Gone,
}

impl Wait {
    fn read(query: &Query) -> Result<Option<Self>, FieldErrors> {
        let mut errors = FieldErrors::new();
        let seconds = query.integer("timeout", 0, 60, &mut errors).unwrap_or(60);
        let condition = query.get("wait").filter(|text| !text.is_empty()).map(|text| {
            Condition::parse(text).unwrap_or_else(|| {
                errors.push(
                    FieldPath::of("wait"),
                    Reason::Invalid,
                    format!(
                        "must be a phase ({}), Ready, Gone, or a job type and state such as Train=Enabled",
                        PoolPhase::NAMES.join(", ")
                    ),
                );
                Condition::Ready
            })
        });
        errors.into_result()?;
        let timeout = Duration::from_secs(u64::try_from(seconds).unwrap_or(60));
        Ok(condition.map(|condition| Self { condition, timeout }))
    }
}

impl Condition {
    fn parse(text: &str) -> Option<Self> {
        if PoolPhase::NAMES.contains(&text) {
            return Some(Self::Phase(text.to_owned()));
        }
        match text {
            "Ready" => Some(Self::Ready),
            "Gone" => Some(Self::Gone),
            _ => {
                let (job_type, state) = text.split_once('=')?;
                let states = [
                    ScopeState::Enabling,
                    ScopeState::Enabled,
                    ScopeState::EnableFailed,
                    ScopeState::Disabling,
                    ScopeState::Disabled,
                ];
                let state = states.into_iter().find(|known| known.as_str() == state)?;
                Some(Self::Scope(JobType::parse(job_type)?, state.as_str().to_owned()))
            }
        }
    }

    fn holds(&self, pool: &Pool) -> bool {
        match self {
            Self::Phase(phase) => pool.status.phase.as_str() == phase,
            Self::Ready => is_ready(pool),
            Self::Scope(job_type, state) => pool
                .status
                .scopes
                .iter()
                .any(|scope| scope.job_type == *job_type && scope.state.as_str() == state),
            Self::Gone => false,
        }
    }
}

fn is_ready(pool: &Pool) -> bool {
    let counters = pool.status.resources.counters();
    let is_moving = |state| matches!(state, ScopeState::Enabling | ScopeState::Disabling);
    pool.status.phase == PoolPhase::Running
        && pool.status.attempt.is_finished
        && !pool.status.scopes.iter().any(|scope| is_moving(scope.state))
        && (!pool.is_physical() || (counters.available == pool.wanted() && counters.creating + counters.deleting + counters.abnormal == 0))
}

pub(crate) async fn update(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let name = pool_name(&call)?;
    let outcome = app
        .service()
        .patch_pool(&ctx, &name, |current| wire::pool::decode_patch(current, &call.json()?))
        .await?;
    Ok(rendered(&outcome))
}

pub(crate) async fn remove(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let outcome = app.service().delete_pool(&ctx, &pool_name(&call)?).await?;
    Ok(rendered(&outcome))
}

pub(crate) async fn statistics(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let statistics = app.service().pool_statistics(&ctx, || {
        let mut errors = FieldErrors::new();
        let workspace = workspace(&call.query()?, &mut errors);
        errors.into_result()?;
        Ok(workspace)
    })?;
    Ok(render::json(&wire::statistics::PoolStatistics {
        statistics: wire::statistics::Statistics {
            status: wire::statistics::StatusCounts {
                created: statistics.created,
                creating: statistics.creating,
                deleting: statistics.deleting,
                failed: statistics.failed,
                pending: statistics.pending,
            },
        },
        operation_time: wire::statistics::operation_time(app.parts.clock.now()),
    }))
}

pub(crate) async fn retry_scope(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    app.service()
        .retry_scope(&ctx, &pool_name(&call)?, || wire::pool::decode_retry_scope(&call.json()?))
        .await?;
    Ok(render::json(&serde_json::json!({})))
}
