//! The body of a refusal (contract README §9).

use domain::field::{FieldErrors, Reason};
use serde::Serialize;
use utoipa::ToSchema;

/// Characters of a message at most.
const MAX_MESSAGE: usize = 512;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ErrorBody {
    pub error_code: String,
    pub error_msg: String,
    /// Every field that the failing check found, in document order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Detail {
    pub field: String,
    pub reason: &'static str,
    pub message: String,
}

impl ErrorBody {
    pub fn new(code: &str, message: &str, details: Option<&FieldErrors>) -> Self {
        let details = details.into_iter().flatten().map(|error| Detail {
            field: error.path.to_string(),
            reason: reason(error.reason),
            message: error.message.chars().take(MAX_MESSAGE).collect(),
        });
        Self {
            error_code: code.to_owned(),
            error_msg: message.chars().take(MAX_MESSAGE).collect(),
            details: details.collect(),
        }
    }
}

fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Required => "required",
        Reason::Invalid => "invalid",
        Reason::NotFound => "notFound",
        Reason::Immutable => "immutable",
        Reason::Forbidden => "forbidden",
        Reason::Duplicate => "duplicate",
        Reason::Capacity => "capacity",
    }
}

#[cfg(test)]
mod tests;
