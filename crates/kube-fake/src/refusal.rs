//! Why a call is refused, as the server says it: an HTTP status and a `Status` object.

use crate::kinds::ResourceType;
use serde_json::{Map, Value, json};

/// The body of the answer where not even the group is known.
pub(crate) const NO_PAGE: &str = "404 page not found";

/// A refused call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    pub details: Option<Value>,
    /// Seconds, for the header.
    pub retry_after: Option<u64>,
}

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    pub reason: &'static str,
    pub field: String,
    pub message: String,
}

impl Cause {
    pub fn invalid(field: impl Into<String>, value: &Value, why: impl AsRef<str>) -> Self {
        let shown = match value {
            Value::String(text) => format!("{text:?}"),
            other => other.to_string(),
        };
        Self {
            reason: "FieldValueInvalid",
            field: field.into(),
            message: format!("Invalid value: {shown}: {}", why.as_ref()),
        }
    }

    pub fn required(field: impl Into<String>, why: &str) -> Self {
        let message = if why.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {why}")
        };
        Self {
            reason: "FieldValueRequired",
            field: field.into(),
            message,
        }
    }

    pub fn forbidden(field: impl Into<String>, why: &str) -> Self {
        Self {
            reason: "FieldValueForbidden",
            field: field.into(),
            message: format!("Forbidden: {why}"),
        }
    }

    pub fn duplicate(field: impl Into<String>, value: &str) -> Self {
        Self {
            reason: "FieldValueDuplicate",
            field: field.into(),
            message: format!("Duplicate value: {value}"),
        }
    }
}

fn details(ty: &ResourceType, name: &str) -> Map<String, Value> {
    let mut details = Map::new();
    if !name.is_empty() {
        details.insert("name".to_owned(), json!(name));
    }
    if !ty.group.is_empty() {
        details.insert("group".to_owned(), json!(ty.group));
    }
    details.insert("kind".to_owned(), json!(ty.plural));
    details
}

impl Refusal {
    fn of(code: u16, reason: &'static str, message: String, details: Option<Map<String, Value>>) -> Self {
        Self {
            code,
            reason,
            message,
            details: details.map(Value::Object),
            retry_after: None,
        }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::of(400, "BadRequest", message.into(), None)
    }

    pub fn unknown_path() -> Self {
        let message = "the server could not find the requested resource".to_owned();
        Self::of(404, "NotFound", message, Some(Map::new()))
    }

    pub fn not_found(ty: &ResourceType, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", ty.qualified());
        Self::of(404, "NotFound", message, Some(details(ty, name)))
    }

    /// Not even the group is known.
    pub fn no_page() -> Self {
        Self::of(404, "", NO_PAGE.to_owned(), None)
    }

    /// An error of the server that says no more than what it is.
    pub fn plain_error(message: impl Into<String>) -> Self {
        Self::of(500, "", message.into(), None)
    }

    /// Says of another kind that it is refused.
    pub fn about(mut self, kind: &str) -> Self {
        if let Some(Value::Object(details)) = &mut self.details {
            details.insert("kind".to_owned(), json!(kind));
        }
        self
    }

    pub fn already_exists(ty: &ResourceType, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", ty.qualified());
        Self::of(409, "AlreadyExists", message, Some(details(ty, name)))
    }

    pub fn conflict(ty: &ResourceType, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", ty.qualified());
        Self::of(409, "Conflict", message, Some(details(ty, name)))
    }

    pub fn modified(ty: &ResourceType, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(ty, name, why)
    }

    /// Fields that somebody else applied.
    pub fn apply_conflict(conflicts: &[(String, String)]) -> Self {
        let causes: Vec<Value> = conflicts
            .iter()
            .map(|(manager, field)| {
                json!({"reason": "FieldManagerConflict", "message": format!("conflict with \"{manager}\""), "field": field})
            })
            .collect();
        let listed: Vec<String> = conflicts
            .iter()
            .map(|(manager, field)| format!("conflict with \"{manager}\": {field}"))
            .collect();
        let count = conflicts.len();
        let plural = if count == 1 { "" } else { "s" };
        let message = format!("Apply failed with {count} conflict{plural}: {}", listed.join("; "));
        let mut details = Map::new();
        details.insert("causes".to_owned(), Value::Array(causes));
        Self::of(409, "Conflict", message, Some(details))
    }

    pub fn invalid(ty: &ResourceType, name: &str, causes: &[Cause]) -> Self {
        let listed: Vec<String> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let all = match listed.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let kind = if ty.group.is_empty() {
            ty.kind.clone()
        } else {
            format!("{}.{}", ty.kind, ty.group)
        };
        let mut details = details(ty, name);
        details.insert("kind".to_owned(), json!(ty.kind));
        let causes = causes
            .iter()
            .map(|cause| json!({"reason": cause.reason, "message": cause.message, "field": cause.field}))
            .collect();
        details.insert("causes".to_owned(), Value::Array(causes));
        let message = format!("{kind} \"{name}\" is invalid: {all}");
        Self::of(422, "Invalid", message, Some(details))
    }

    /// A patch that cannot be carried out on the object.
    pub fn unprocessable() -> Self {
        let message = "the server rejected our request due to an error in our request".to_owned();
        Self::of(422, "Invalid", message, Some(Map::new()))
    }

    pub fn forbidden(ty: &ResourceType, name: &str, why: &str) -> Self {
        let message = format!("{} \"{name}\" is forbidden: {why}", ty.qualified());
        Self::of(403, "Forbidden", message, Some(details(ty, name)))
    }

    /// What a policy of the cluster says no to. `reason` is `Forbidden` or `Invalid`.
    pub fn policy(ty: &ResourceType, name: &str, policy: &str, reason: &'static str, why: &str) -> Self {
        let denied = format!("ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: {why}");
        let mut refusal = Self::forbidden(ty, name, &denied);
        refusal.reason = reason;
        refusal.code = if reason == "Invalid" { 422 } else { 403 };
        if let Some(Value::Object(details)) = &mut refusal.details {
            details.insert("causes".to_owned(), json!([{"message": denied}]));
        }
        refusal
    }

    /// What a webhook of another project says no to.
    pub fn webhook(webhook: &str, why: &str) -> Self {
        let message = format!("admission webhook \"{webhook}\" denied the request: {why}");
        let mut refusal = Self::of(403, "Forbidden", message, None);
        refusal.reason = "";
        refusal
    }

    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource".to_owned();
        Self::of(405, "MethodNotAllowed", message, Some(Map::new()))
    }

    pub fn unsupported_media_type(sent: &str, supported: &str) -> Self {
        let message = format!("the body of the request was in an unknown format - accepted media types include: {supported}");
        let refusal = Self::of(415, "UnsupportedMediaType", message, Some(Map::new()));
        debug_assert!(!supported.contains(sent) || sent.is_empty());
        refusal
    }

    pub fn gone(message: impl Into<String>) -> Self {
        Self::of(410, "Expired", message.into(), None)
    }

    pub fn too_large_version(asked: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let mut details = Map::new();
        details.insert(
            "causes".to_owned(),
            json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]),
        );
        details.insert("retryAfterSeconds".to_owned(), json!(1));
        Self::of(504, "Timeout", message, Some(details))
    }

    /// `retry_after` in seconds.
    pub fn too_many_requests(message: impl Into<String>, retry_after: u64) -> Self {
        let mut details = Map::new();
        if retry_after > 0 {
            details.insert("retryAfterSeconds".to_owned(), json!(retry_after));
        }
        let mut refusal = Self::of(429, "TooManyRequests", message.into(), Some(details));
        refusal.retry_after = (retry_after > 0).then_some(retry_after);
        refusal
    }

    pub fn unavailable() -> Self {
        let message = "the server is currently unable to handle the request".to_owned();
        Self::of(503, "ServiceUnavailable", message, Some(Map::new()))
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::of(500, "InternalError", message.into(), None)
    }

    pub fn with_cause(mut self, cause: Value) -> Self {
        let details = self.details.get_or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(details) = details {
            details.insert("causes".to_owned(), json!([cause]));
        }
        self
    }

    /// The `Status` object.
    pub fn body(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        });
        if let Value::Object(fields) = &mut status {
            if !self.reason.is_empty() {
                fields.insert("reason".to_owned(), json!(self.reason));
            }
            if let Some(details) = &self.details {
                fields.insert("details".to_owned(), details.clone());
            }
        }
        status
    }
}
