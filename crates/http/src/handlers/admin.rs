//! The operator API under `/admin/v1` (semantics §15). It is ours alone: plain JSON objects, unknown members are refused.

pub(crate) mod accounts;
pub(crate) mod orders;
pub(crate) mod pools;

use crate::call::Call;
use crate::error::ApiError;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::name::{NameError, ProjectId};
use serde::de::DeserializeOwned;
use service::{CallContext, ServiceError};

/// The body as one of the operator API's own types. An absent body is an empty object.
pub(crate) fn body<T: DeserializeOwned>(call: &Call) -> Result<T, FieldErrors> {
    let bytes: &[u8] = if call.body.is_empty() { b"{}" } else { &call.body };
    serde_json::from_slice(bytes).map_err(|error| FieldErrors::one(FieldPath::root(), Reason::Invalid, error.to_string()))
}

/// The context of an operator's call about a project, which need not be one of the operator's own.
pub(crate) fn context(call: &Call) -> Result<CallContext, ApiError> {
    let project = ProjectId::parse(call.param("project_id")).map_err(|_| ServiceError::named("Project", call.param("project_id")))?;
    call.context_in(project)
}

/// A name in a body.
pub(crate) fn name<T>(field: &str, text: &str, parse: impl Fn(&str) -> Result<T, NameError>) -> Result<T, FieldErrors> {
    parse(text).map_err(|error| FieldErrors::one(FieldPath::of(field), Reason::Invalid, error.to_string()))
}
