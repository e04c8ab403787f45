//! One request, after its caller is known: what every handler gets.

use crate::app::App;
use crate::error::ApiError;
use crate::limits::Seat;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri};
use bytes::Bytes;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::meta::Revision;
use domain::name::ProjectId;
use domain::principal::Principal;
use serde_json::Value;
use service::{CallContext, Idempotency, ServiceError};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use wire::query::Query;

/// What the pipeline has found out before routing reached the handler.
#[derive(Clone)]
pub(crate) struct Authenticated {
    pub principal: Arc<Principal>,
    pub body: Bytes,
    pub request_id: Arc<str>,
}

/// One request.
pub struct Call {
    pub principal: Arc<Principal>,
    pub body: Bytes,
    pub request_id: Arc<str>,
    pub headers: HeaderMap,
    method: Method,
    uri: Uri,
    route: Option<MatchedPath>,
    params: RawPathParams,
}

impl<S: Send + Sync> FromRequestParts<S> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::route_not_found())?;
        let authenticated = parts
            .extensions
            .get::<Authenticated>()
            .cloned()
            .ok_or_else(|| ApiError::internal("a route without authentication"))?;
        Ok(Self {
            principal: authenticated.principal,
            body: authenticated.body,
            request_id: authenticated.request_id,
            headers: std::mem::take(&mut parts.headers),
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            route: parts.extensions.remove::<MatchedPath>(),
            params,
        })
    }
}

impl Call {
    /// A parameter of the path, percent-decoded.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(own, _)| *own == name).map_or("", |(_, value)| value)
    }

    /// The query as it was sent, without the `?`.
    fn raw_query(&self) -> &str {
        self.uri.query().unwrap_or_default()
    }

    /// A named object of the path. A text that cannot be a name names nothing.
    pub fn name<T>(
        &self,
        param: &str,
        parse: impl Fn(&str) -> Result<T, domain::name::NameError>,
        missing: impl FnOnce() -> ServiceError,
    ) -> Result<T, ApiError> {
        parse(self.param(param)).map_err(|_| missing().into())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Everything that the use cases want to know of the request; checks 4 and the headers that change how it is done.
    pub fn context(&self) -> Result<CallContext, ApiError> {
        let project = ProjectId::parse(self.param("project_id")).map_err(|_| ServiceError::WrongProject)?;
        if self.header("x-project-id").is_some_and(|sent| sent != project.as_str()) {
            return Err(ServiceError::WrongProject.into());
        }
        if self.principal.role_in(&project).is_none() {
            return Err(ServiceError::WrongProject.into());
        }
        self.context_in(project)
    }

    /// As [`Call::context`], for the operator API, whose project is not that of the URL.
    pub fn context_in(&self, project: ProjectId) -> Result<CallContext, ApiError> {
        Ok(CallContext {
            principal: Principal::clone(&self.principal),
            idempotency: self.idempotency(&project)?,
            project,
            acting_for: self
                .header("x-modelarts-user-id")
                .filter(|id| !id.is_empty())
                .map(ToOwned::to_owned),
            is_console: self.header("request-type") == Some("console"),
            request_id: self.request_id.to_string(),
            is_dry_run: self.is_dry_run()?,
            if_match: self.if_match(),
        })
    }

    /// A place for an answer that stays open.
    pub(crate) fn sit(&self, app: &App) -> Result<Seat, ApiError> {
        let seat = app.parts.limits.sit(&self.principal.user);
        seat.inspect_err(|_| app.parts.metrics.limited("open_answers"))
    }

    fn changes_nothing(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }

    fn is_dry_run(&self) -> Result<bool, ApiError> {
        // What changes nothing has no such parameter, and unknown ones are ignored.
        if self.changes_nothing() {
            return Ok(false);
        }
        let query = self.query()?;
        let mut errors = FieldErrors::new();
        let dry_run = query.boolean("dryRun", &mut errors).unwrap_or(false);
        errors.into_result()?;
        Ok(dry_run)
    }

    /// Revisions of `If-Match`. `*` is no condition on an object that has to exist anyway; an unreadable tag matches nothing.
    fn if_match(&self) -> Option<Vec<Revision>> {
        let sent = self.header("if-match")?;
        if sent.trim() == "*" {
            return None;
        }
        Some(
            sent.split(',')
                .filter_map(|tag| tag.trim().trim_matches('"').parse().ok().map(Revision))
                .collect(),
        )
    }

    fn idempotency(&self, project: &ProjectId) -> Result<Option<Idempotency>, ApiError> {
        let value = self.headers.get("idempotency-key").filter(|_| !self.changes_nothing());
        let Some(value) = value else {
            return Ok(None);
        };
        let key = value
            .to_str()
            .ok()
            .filter(|key| (1..=255).contains(&key.len()) && key.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        let Some(key) = key else {
            let errors = FieldErrors::one(
                FieldPath::of("Idempotency-Key"),
                Reason::Invalid,
                "must be 1 to 255 printable characters",
            );
            return Err(errors.into());
        };
        let route = self.route.as_ref().map_or("", MatchedPath::as_str);
        let operation = format!("{} {route} {}", self.method, self.uri.path());
        let mut scope = Sha256::new();
        for part in [project.as_str(), self.principal.user.as_str(), &operation, key] {
            scope.update(part.as_bytes());
            scope.update([0]);
        }
        let mut request = Sha256::new();
        request.update(self.raw_query().as_bytes());
        request.update([0]);
        request.update(&self.body);
        Ok(Some(Idempotency {
            key: hex::encode(scope.finalize()),
            request: hex::encode(request.finalize()),
        }))
    }

    pub fn query(&self) -> Result<Query, FieldErrors> {
        Query::parse(self.raw_query())
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value, FieldErrors> {
        wire::json::parse(&self.body).map_err(|error| FieldErrors::one(FieldPath::root(), Reason::Invalid, error.to_string()))
    }
}
