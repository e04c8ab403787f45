//! The one place where a failure becomes a status and a code (contract README §9).

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::field::FieldErrors;
use domain::meta::Revision;
use service::{ExistsKind, Missing, QuotaKind, ServiceError};
use std::time::Duration;

/// A failure, ready to be sent.
#[derive(Debug, Clone)]
pub struct ApiError {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    pub details: Option<FieldErrors>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What only the log may say.
    pub internal: Option<String>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            details: None,
            headers: Vec::new(),
            internal: None,
        }
    }

    pub fn bad_request(detail: impl AsRef<str>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "ModelArts.50004000",
            format!("Bad request. {}", detail.as_ref()),
        )
    }

    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "ModelArts.50001000", message)
    }

    pub fn route_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "ModelArts.50004040", "API not found.")
    }

    /// `allow`: the methods that the route has.
    pub fn method_not_allowed(allow: &str) -> Self {
        let mut error = Self::new(StatusCode::METHOD_NOT_ALLOWED, "ModelArts.50004050", "Method not allowed.");
        error
            .headers
            .extend(HeaderValue::from_str(allow).ok().map(|allow| (header::ALLOW, allow)));
        error
    }

    pub fn media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "ModelArts.50004100",
            "Content type not supported.",
        )
    }

    pub fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "ModelArts.50004130", "Request entity too large.")
    }

    pub fn headers_too_large() -> Self {
        Self::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "ModelArts.50004000",
            "Bad request. the headers are larger than 64 KiB",
        )
    }

    pub fn read_timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "ModelArts.50004080", "Request timed out.")
    }

    /// `wait`: after that, one more request is allowed.
    pub fn too_many_requests(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "ModelArts.50004290", "Too many requests.");
        error.headers.push((header::RETRY_AFTER, HeaderValue::from(seconds.max(1))));
        error
    }

    /// A watch cannot begin, or go on, after this revision.
    pub fn too_old(revision: Revision) -> Self {
        let message = format!("Revision {revision} is too old: list again, or watch without a revision.");
        Self::new(StatusCode::GONE, "ModelArts.50004101", message)
    }

    pub fn internal(detail: impl Into<String>) -> Self {
        let mut error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "ModelArts.50005000", "internal error");
        error.internal = Some(detail.into());
        error
    }

    fn unavailable(detail: String) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "ModelArts.50005030", "Service unavailable.");
        error.headers.push((header::RETRY_AFTER, HeaderValue::from_static("1")));
        error.internal = Some(detail);
        error
    }

    /// No such node pool, in the words that a client's tests look for (contract README §9).
    pub fn no_node_pool(name: &str) -> Self {
        let message = format!("NodePool {name} not found. invalid nodepool name");
        Self::new(StatusCode::NOT_FOUND, "ModelArts.50005101", message)
    }

    /// The body under `/v3`, which identity clients understand.
    pub fn keystone_body(&self) -> Vec<u8> {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = wire::iam::KeystoneErrorBody::new(self.status.as_u16(), &self.message, title);
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// The body, as a text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body()).into_owned()
    }

    fn body(&self) -> Vec<u8> {
        let body = wire::error::ErrorBody::new(self.code, &self.message, self.details.as_ref());
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        let bad = |code: &'static str, message: String| Self::new(StatusCode::BAD_REQUEST, code, message);
        let forbidden = |code: &'static str, message: String| Self::new(StatusCode::FORBIDDEN, code, message);
        match error {
            ServiceError::Invalid(errors) => {
                let mut error = Self::bad_request(errors.to_string());
                error.details = Some(errors);
                error
            }
            ServiceError::Refused(reason) => Self::bad_request(reason),
            ServiceError::UnknownWorkspace => bad("ModelArts.0102", "The workspace does not exist.".to_owned()),
            ServiceError::WorkspaceNotNormal(id) => bad("ModelArts.7004", format!("The status of workspace {id} is not NORMAL.")),
            ServiceError::NoSuchWorkspace(id) => bad("ModelArts.7005", format!("workspace:{id} not existed")),
            ServiceError::DefaultWorkspace => bad("ModelArts.3566", "Forbidden to modify the default workspace.".to_owned()),
            ServiceError::QuotaExceeded(kind) => {
                let kind = match kind {
                    QuotaKind::Pool => "pool",
                    QuotaKind::Network => "network",
                };
                bad("ModelArts.0118", format!("The expected {kind} exceeds the quota limit."))
            }
            ServiceError::Unauthenticated(message) => Self::unauthenticated(message),
            ServiceError::WrongProject => forbidden(
                "ModelArts.0210",
                "The project id in the request URL does not match the token.".to_owned(),
            ),
            ServiceError::ActionDenied { action } => forbidden(
                "ModelArts.0108",
                format!("You are not authorized to perform the ({action}) operation."),
            ),
            ServiceError::WorkspaceDenied { action, resource } => forbidden(
                "ModelArts.0112",
                format!("Policy doesn't allow {action} {resource} to be performed."),
            ),
            ServiceError::NotFound(missing) => not_found(missing),
            ServiceError::AlreadyExists(what) => exists(what),
            ServiceError::NetworkInUse => Self::new(StatusCode::CONFLICT, "ModelArts.50025002", "Network is in use."),
            ServiceError::Stale => Self::new(StatusCode::PRECONDITION_FAILED, "ModelArts.50004120", "Precondition failed."),
            ServiceError::KeyReused => Self::new(
                StatusCode::CONFLICT,
                "ModelArts.50004091",
                "Idempotency key was used with another request.",
            ),
            ServiceError::Conflict => Self::new(
                StatusCode::CONFLICT,
                "ModelArts.50004090",
                "The object was changed at the same time, try again.",
            ),
            ServiceError::Unavailable(detail) => Self::unavailable(detail),
            ServiceError::Internal(detail) => Self::internal(detail),
        }
    }
}

fn not_found(missing: Missing) -> ApiError {
    let (code, message) = match missing {
        Missing::Pool => ("ModelArts.50015001", "pool not found".to_owned()),
        Missing::NamedPool(name) => ("ModelArts.50015001", format!("Pool {name} not found.")),
        Missing::Network => ("ModelArts.50025001", "Network not exist.".to_owned()),
        Missing::Named { kind, name } => ("ModelArts.50005101", format!("{kind} {name} not found.")),
    };
    ApiError::new(StatusCode::NOT_FOUND, code, message)
}

fn exists(what: ExistsKind) -> ApiError {
    let (code, message) = match what {
        ExistsKind::Pool => ("ModelArts.50015000", "Pool already exists.".to_owned()),
        ExistsKind::Network => ("ModelArts.50025000", "Network already exists.".to_owned()),
        ExistsKind::Named { kind, name } => ("ModelArts.50005100", format!("{kind} {name} already exists.")),
    };
    ApiError::new(StatusCode::CONFLICT, code, message)
}

impl From<FieldErrors> for ApiError {
    fn from(errors: FieldErrors) -> Self {
        ServiceError::Invalid(errors).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = self.body();
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        response.headers_mut().extend(self.headers.iter().cloned());
        // The pipeline logs it and, under /v3, puts it into the form of that API.
        response.extensions_mut().insert(self);
        response
    }
}
