//! What is told of a request to whoever has to know later who did what.

use crate::app::App;
use crate::error::ApiError;
use crate::pipeline::{self, Route};
use axum::http::{Extensions, HeaderMap, Method, StatusCode, Uri};
use domain::audit::{AuditCaller, AuditEntry};
use domain::name::ProjectId;
use domain::principal::{Principal, Scope};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

/// Characters of a target, and of whatever else the caller has chosen.
const LONGEST: usize = 512;

/// Where entries are kept. It must not wait.
pub trait AuditSink: Send + Sync {
    fn record(&self, entry: AuditEntry);
}

/// Keeps nothing: entries are in the log alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogOnly;

impl AuditSink for LogOnly {
    fn record(&self, _entry: AuditEntry) {}
}

/// Who a request turned out to come from: filled in on its way, read when it is answered.
#[derive(Clone, Default)]
pub(crate) struct Caller(Arc<OnceLock<Arc<Principal>>>);

impl Caller {
    pub fn set(extensions: &Extensions, principal: Arc<Principal>) {
        if let Some(caller) = extensions.get::<Self>() {
            // Who is known already stays: a request has one caller.
            let _known = caller.0.set(principal);
        }
    }
}

/// What is remembered of a request while it is answered.
pub(crate) struct Witness {
    method: Method,
    uri: Uri,
    address: IpAddr,
    acting_for: Option<String>,
    caller: Caller,
}

impl Witness {
    pub fn of(app: &App, method: &Method, uri: &Uri, headers: &HeaderMap, extensions: &mut Extensions) -> Self {
        let caller = Caller::default();
        extensions.insert(caller.clone());
        let acting_for = headers.get("x-modelarts-user-id").and_then(|value| value.to_str().ok());
        Self {
            method: method.clone(),
            uri: uri.clone(),
            address: pipeline::origin(app, extensions, headers),
            acting_for: acting_for.filter(|text| !text.is_empty()).map(cut),
            caller,
        }
    }

    /// Tells what came of the request, if anybody has to know: of changes, log-ins, and refusals for want of a right.
    pub fn testify(self, app: &App, route: Option<Route>, status: StatusCode, failure: Option<&ApiError>, request_id: &str) {
        let Some(route) = route else { return };
        let is_refused = status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN;
        let is_change = route.is_change && status != StatusCode::TOO_MANY_REQUESTS;
        if !is_refused && !is_change {
            return;
        }
        let project = route.project_at.and_then(|at| self.uri.path().split('/').nth(at)).map(cut);
        let entry = AuditEntry {
            at: app.parts.clock.now(),
            request_id: request_id.to_owned(),
            caller: self.caller.0.get().map(|principal| self.caller(principal, project.as_deref())),
            address: self.address.to_string(),
            operation: route.id.to_owned(),
            method: cut(self.method.as_str()),
            target: cut(self.uri.path()),
            project,
            is_dry_run: self.is_dry_run(),
            status: status.as_u16(),
            code: failure.map(|error| error.code.to_owned()),
            reason: failure
                .filter(|_| status == StatusCode::UNAUTHORIZED)
                .and_then(|error| error.internal.as_deref())
                .map(cut),
        };
        log(&entry);
        app.parts.audit.record(entry);
    }

    fn caller(&self, principal: &Principal, project: Option<&str>) -> AuditCaller {
        let project = project.and_then(|text| ProjectId::parse(text).ok());
        AuditCaller {
            user: principal.user.to_string(),
            user_name: principal.user_name.clone(),
            domain: principal.domain.to_string(),
            credential: principal.credential.clone(),
            scope: match &principal.scope {
                Scope::Project(project) => Some(project.clone()),
                Scope::AllProjects | Scope::Domain | Scope::None => None,
            },
            role: project.and_then(|project| principal.role_in(&project)),
            is_operator: principal.is_operator(),
            acting_for: self.acting_for.clone(),
        }
    }

    fn is_dry_run(&self) -> bool {
        let query = wire::query::Query::parse(self.uri.query().unwrap_or_default());
        query.is_ok_and(|query| query.get("dryRun") == Some("true"))
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// One line, before the answer goes out: what is kept elsewhere may be lost with the process, this is not.
fn log(entry: &AuditEntry) {
    let caller = entry.caller.as_ref();
    tracing::info!(
        target: "audit",
        request_id = entry.request_id,
        user = caller.map(|who| who.user.as_str()),
        user_name = caller.map(|who| who.user_name.as_str()),
        domain = caller.map(|who| who.domain.as_str()),
        credential = caller.map(|who| who.credential.as_str()),
        role = caller.and_then(|who| who.role).map(domain::principal::Role::as_str),
        is_operator = caller.map(|who| who.is_operator),
        acting_for = caller.and_then(|who| who.acting_for.as_deref()),
        address = entry.address,
        operation = entry.operation,
        method = entry.method,
        path = entry.target,
        project = entry.project,
        is_dry_run = entry.is_dry_run,
        status = entry.status,
        code = entry.code,
        reason = entry.reason,
        "{}",
        entry.outcome().as_str()
    );
}
