//! The operator API under `/admin/v1` (semantics §15). It is ours alone: plain JSON objects, unknown members are refused.

pub(crate) mod audit;
pub(crate) mod configuration;
pub(crate) mod domains;
pub(crate) mod flavors;
pub(crate) mod keys;
pub(crate) mod machines;
pub(crate) mod orders;
pub(crate) mod pools;
pub(crate) mod projects;
pub(crate) mod registry;
pub(crate) mod scheduled;
pub(crate) mod templates;
pub(crate) mod users;
pub(crate) mod workloads;

use crate::call::Call;
use crate::error::ApiError;
use crate::render::{self, Paging};
use axum::response::Response;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::meta::Revision;
use domain::name::{NameError, ProjectId};
use domain::principal::Role;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use service::{CallContext, ServiceError};
use wire::decode::Place;
use wire::list::{ContinueToken, ListMeta};

/// Items of a page at most, and where no limit is asked for.
const MAXIMUM: usize = 500;

/// The body as one of the operator API's own types. An absent body is an empty object.
pub(crate) fn body<T: DeserializeOwned>(call: &Call) -> Result<T, FieldErrors> {
    let bytes: &[u8] = if call.body.is_empty() { b"{}" } else { &call.body };
    serde_json::from_slice(bytes).map_err(|error| FieldErrors::one(FieldPath::root(), Reason::Invalid, error.to_string()))
}

/// The body as JSON. An absent body is an empty object.
fn document(call: &Call) -> Result<Value, FieldErrors> {
    if call.body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    call.json()
}

/// What the body says, read member by member so that everything wrong with it is named.
fn read<T>(call: &Call, read: impl FnOnce(&Place<'_>) -> Option<T>) -> Result<T, FieldErrors> {
    wire::admin::decode(&document(call)?, read)
}

/// The context of an operator's call about a project, which need not be one of the operator's own.
pub(crate) fn context(call: &Call) -> Result<CallContext, ApiError> {
    own_project(call)?;
    let project = ProjectId::parse(call.param("project_id")).map_err(|_| ServiceError::named("Project", call.param("project_id")))?;
    call.context_in(project)
}

/// The context of a call that is about no project: it is made in the operator's own.
fn own_context(call: &Call) -> Result<CallContext, ApiError> {
    call.context_in(own_project(call)?)
}

/// Check 5, before anything else of the request is looked at.
fn own_project(call: &Call) -> Result<ProjectId, ServiceError> {
    let principal = &call.principal;
    let mut projects = principal.roles.keys();
    let own = projects.find(|project| principal.role_in(project) == Some(Role::Operator));
    own.cloned().ok_or_else(|| ServiceError::ActionDenied {
        action: "modelarts:admin:*".to_owned(),
    })
}

/// A name in a body.
pub(crate) fn name<T>(field: &str, text: &str, parse: impl Fn(&str) -> Result<T, NameError>) -> Result<T, FieldErrors> {
    parse(text).map_err(|error| FieldErrors::one(FieldPath::of(field), Reason::Invalid, error.to_string()))
}

/// A name that has to be there.
fn required_name<T>(place: &Place<'_>, parse: impl Fn(&str) -> Result<T, NameError>) -> Option<T> {
    if place.is_absent() {
        place.required();
    }
    place.name(parse)
}

/// A name in the query; absent: no filter.
fn filter<T>(call: &Call, field: &str, parse: impl Fn(&str) -> Result<T, NameError>) -> Result<Option<T>, FieldErrors> {
    let query = call.query()?;
    let sent = query.get(field).filter(|text| !text.is_empty());
    sent.map(|text| name(field, text, parse)).transpose()
}

/// An object with its entity tag.
fn shown<T: Serialize>(object: &T, revision: Option<Revision>) -> Response {
    render::tagged(render::encode(object), revision)
}

/// The page of a list that the query asks for. `key` is what the list is ordered by, unique in it.
fn page<T>(call: &Call, mut items: Vec<T>, key: impl Fn(&T) -> String) -> Result<(ListMeta, Vec<T>), FieldErrors> {
    let mut errors = FieldErrors::new();
    let paging = Paging::read(&call.query()?, MAXIMUM, &mut errors);
    errors.into_result()?;
    items.sort_by_cached_key(&key);
    if let Some(after) = &paging.after {
        items.retain(|item| key(item) > after.name);
    }
    let limit = paging.limit.unwrap_or(MAXIMUM);
    let remaining = items.len().saturating_sub(limit);
    items.truncate(limit);
    let next = items.last().filter(|_| remaining > 0).map(|last| {
        let token = ContinueToken {
            created: 0,
            name: key(last),
        };
        (token, remaining)
    });
    Ok((ListMeta::of(next), items))
}

/// A key that orders by the first text and then by the second: names hold no control characters.
fn pair(first: &str, second: &str) -> String {
    format!("{first}\0{second}")
}
