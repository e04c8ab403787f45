//! Tags of pools and nodes (contract tags… §1).

use super::pools::pool_name;
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render;
use auth::Action;
use axum::extract::State;
use axum::response::Response;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::meta::Revision;
use domain::name::{NodeName, PoolName};
use domain::tag::{Tag, TagChange};
use service::ServiceError;
use service::tags::{PoolSearch, node_tags};
use wire::tag::{self as body, FoundResource, FoundResources, Search, TagUnion, Tags};

/// Keys of a page where no limit is asked for.
const KEYS: usize = 200;
/// Pools of a page of a search at most, and where no limit is asked for.
const FOUND: usize = 1_000;

fn shown(tags: &[Tag], revision: Option<Revision>) -> Response {
    render::tagged(render::encode(&Tags::of(tags)), revision)
}

pub(crate) async fn of_pool(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let found = app.service().pool_tags(&call.context()?, &pool_name(&call)?)?;
    Ok(shown(&found.tags, Some(found.revision())))
}

async fn change(
    app: App,
    call: Call,
    action: Action,
    decode: impl Fn(&Call) -> Result<TagChange, FieldErrors>,
) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let name = pool_name(&call)?;
    let outcome = app.service().change_pool_tags(&ctx, action, &name, || decode(&call)).await?;
    Ok(shown(&outcome.object.tags, outcome.revision))
}

pub(crate) async fn change_pool(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    change(app, call, Action::TagUpdate, |call| body::decode_action(&call.json()?)).await
}

pub(crate) async fn add_to_pool(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    change(app, call, Action::TagCreate, |call| body::decode_added(&call.json()?)).await
}

pub(crate) async fn take_from_pool(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    change(app, call, Action::TagDelete, |call| body::decode_removed(&call.json()?)).await
}

/// `offset` and `limit` of a list of keys.
fn window(call: &Call, errors: &mut FieldErrors) -> Result<(usize, usize), FieldErrors> {
    let query = call.query()?;
    let limit = query.integer("limit", 1, i64::MAX, errors);
    let offset = query.integer("offset", 0, i64::MAX, errors).unwrap_or(0);
    let size = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    Ok((size(offset), limit.map_or(KEYS, size)))
}

pub(crate) async fn of_pools(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let read = || {
        let mut errors = FieldErrors::new();
        let window = window(&call, &mut errors)?;
        errors.into_result().map(|()| window)
    };
    let (union, (offset, limit)) = app.service().all_pool_tags(&ctx, read)?;
    Ok(render::json(&TagUnion::of(union, offset, limit)))
}

pub(crate) async fn search(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let (mut offset, mut limit) = (0, FOUND);
    let read = || {
        let sent = if call.body.is_empty() {
            Search::default()
        } else {
            body::decode_search(&call.json()?)?
        };
        let mut errors = FieldErrors::new();
        let query = call.query()?;
        let asked = |name, least, own: Option<u32>, errors: &mut FieldErrors| {
            let number = query.integer(name, least, i64::MAX, errors).or(own.map(i64::from));
            number.map(|number| usize::try_from(number).unwrap_or(usize::MAX))
        };
        limit = asked("limit", 1, sent.limit, &mut errors).unwrap_or(FOUND).min(FOUND);
        offset = asked("offset", 0, sent.offset, &mut errors).unwrap_or(0);
        errors.into_result()?;
        Ok(PoolSearch {
            tags: sent.tags,
            name: sent.name,
        })
    };
    let found = app.service().search_pools(&ctx, read)?;
    let resources = found.iter().skip(offset).take(limit).map(|pool| FoundResource {
        resource_id: pool.name.to_string(),
        resource_name: pool.display_name.to_string(),
        resource_detail: None,
        tags: Tags::of(&pool.tags).tags,
    });
    Ok(render::json(&FoundResources {
        total_count: found.len(),
        resources: resources.collect(),
    }))
}

fn node_name(call: &Call) -> Result<NodeName, ApiError> {
    call.name("node_name", NodeName::parse, || {
        ServiceError::named("Node", call.param("node_name"))
    })
}

pub(crate) async fn of_node(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let found = app.service().show_node_tags(&call.context()?, &node_name(&call)?)?;
    Ok(shown(node_tags(&found), Some(found.revision())))
}

pub(crate) async fn change_node(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let decode = || body::decode_action(&call.json()?);
    let outcome = app.service().change_node_tags(&ctx, &node_name(&call)?, decode).await?;
    Ok(shown(node_tags(&outcome.object), outcome.revision))
}

pub(crate) async fn of_nodes(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let read = || {
        let mut errors = FieldErrors::new();
        let window = window(&call, &mut errors)?;
        let query = call.query()?;
        let pool = query.get("pool").filter(|text| !text.is_empty()).and_then(|text| {
            let pool = PoolName::parse(text);
            if let Err(error) = &pool {
                errors.push(FieldPath::of("pool"), Reason::Invalid, error.to_string());
            }
            pool.ok()
        });
        errors.into_result().map(|()| (pool, window))
    };
    let (union, (offset, limit)) = app.service().all_node_tags(&ctx, read)?;
    Ok(render::json(&TagUnion::of(union, offset, limit)))
}
