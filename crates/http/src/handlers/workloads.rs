//! Workloads of a pool (contract tags… §4).

use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render;
use axum::extract::State;
use axum::response::Response;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::name::PoolName;
use domain::workload::{WorkloadKind, WorkloadStatus};
use fleet::{Rendered, WorkloadFact};
use jiff::Timestamp;
use service::workloads::WorkloadFilter;
use service::{Missing, ServiceError};
use wire::query::Query;
use wire::workload::{Durations, Workload, WorkloadSource, WorkloadStatistics, WorkloadText};

/// Items of a page at most, and for no limit or `limit=0`.
const MAXIMUM: usize = 500;
const LAST_OFFSET: i64 = i32::MAX as i64;

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let read = || {
        let query = call.query()?;
        let mut errors = FieldErrors::new();
        let filter = filter(&query, &mut errors);
        errors.into_result().map(|()| filter)
    };
    let page = app.service().list_workloads(&ctx, &named_pool(&call)?, read).await?;
    let now = app.parts.clock.now();
    let texts = || page.items.iter().map(|workload| workload.rendered(rendered));
    let room = texts().map(|text| text.before.len() + text.after.len()).sum();
    let mut list = WorkloadText::begin(page.items.len(), room);
    for (workload, Rendered { before, after }) in page.items.iter().zip(texts()) {
        list.add(before, after, &durations(&workload.fact, now));
    }
    Ok(render::bytes(list.end(page.total)))
}

pub(crate) async fn statistics(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let counts = app.service().workload_statistics(&ctx, &named_pool(&call)?).await?;
    Ok(render::json(&WorkloadStatistics::of(&counts)))
}

fn named_pool(call: &Call) -> Result<PoolName, ApiError> {
    call.name("pool_name", PoolName::parse, || {
        ServiceError::NotFound(Missing::NamedPool(call.param("pool_name").to_owned()))
    })
}

fn filter(query: &Query, errors: &mut FieldErrors) -> WorkloadFilter {
    let is_ascending = query.boolean("ascend", errors).unwrap_or(false);
    let sort = query.get("sort").filter(|text| !text.is_empty());
    if sort.is_some_and(|sort| sort != "create_time") {
        errors.push(FieldPath::of("sort"), Reason::Invalid, "must be create_time");
    }
    let hosts: Vec<String> = query
        .all("hostip")
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|host| !host.is_empty())
        .map(ToOwned::to_owned)
        .collect();
    let kinds = choices(query, "type", &WorkloadKind::ALL.map(|kind| (kind.as_str(), kind)), errors);
    let statuses = WorkloadStatus::ALL.map(|status| (status.as_str(), status));
    let statuses = choices(query, "status", &statuses, errors);
    let limit = query.limit("limit", MAXIMUM, errors).unwrap_or(MAXIMUM);
    let offset = query.integer("offset", 0, LAST_OFFSET, errors).unwrap_or(0);
    // With hosts, there are no pages.
    let (offset, limit) = if hosts.is_empty() {
        (usize::try_from(offset).unwrap_or(usize::MAX), limit)
    } else {
        (0, usize::MAX)
    };
    WorkloadFilter {
        kinds,
        statuses,
        hosts,
        // Without `sort`, the order is not the caller's.
        is_ascending: is_ascending && sort.is_some(),
        offset,
        limit,
    }
}

/// Every value of a parameter that may be repeated.
fn choices<T: Copy>(query: &Query, name: &str, known: &[(&str, T)], errors: &mut FieldErrors) -> Vec<T> {
    let mut chosen = Vec::new();
    for text in query.all(name).filter(|text| !text.is_empty()) {
        if let Some((_, value)) = known.iter().find(|(spelt, _)| *spelt == text) {
            chosen.push(*value);
        } else {
            let names: Vec<&str> = known.iter().map(|(spelt, _)| *spelt).collect();
            errors.push(FieldPath::of(name), Reason::Invalid, format!("must be one of {}", names.join(", ")));
        }
    }
    chosen
}

fn rendered(fact: &WorkloadFact) -> Rendered {
    let hosts: Vec<&str> = fact.hosts.iter().filter_map(|host| host.ip.as_deref()).collect();
    let source = WorkloadSource {
        kind: fact.kind,
        pool: fact.pool.pool.name.as_str(),
        name: &fact.name,
        uid: fact.uid.as_str(),
        job_name: &fact.job_name,
        job_id: &fact.job_id,
        flavor: fact.flavor.as_str(),
        status: fact.status,
        reason: fact.reason.as_deref(),
        priority: fact.priority,
        owner: &fact.owner,
        gvk: &fact.gvk,
        nodes: fact.nodes,
        resources: &fact.resources,
        position: fact.position,
        created_at: fact.created_at,
    };
    let (before, after) = Workload::split(&source, &hosts);
    Rendered {
        before: before.into(),
        after: after.into(),
    }
}

fn durations(fact: &WorkloadFact, now: Timestamp) -> Durations {
    Durations::of(fact.created_at, fact.started_at, fact.ended_at, now)
}
