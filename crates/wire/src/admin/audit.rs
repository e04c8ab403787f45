//! The record of who did what, as operators read it.

use super::moment;
use domain::audit::{AuditCaller, AuditEntry};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorAuditEntry)]
pub struct AuditView {
    /// RFC 3339
    pub at: String,
    /// `X-Request-Id` of the answer
    pub request_id: String,
    /// `null`: nobody was recognised
    pub caller: Option<CallerView>,
    pub address: String,
    /// `operationId` of this document
    pub operation: String,
    pub method: String,
    /// Path without query
    pub target: String,
    pub project: Option<String>,
    pub dry_run: bool,
    /// `done`, `refused` or `failed`
    pub outcome: &'static str,
    pub status: u16,
    pub code: Option<String>,
    /// Why a sign-in was refused
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorAuditCaller)]
pub struct CallerView {
    pub user: String,
    pub user_name: String,
    /// Id of its domain
    pub domain: String,
    /// Id of an access key, or the first digits of a token's hash
    pub credential: String,
    /// Project that the credential is bound to
    pub scope: Option<String>,
    /// In the project of the path
    pub role: Option<&'static str>,
    pub operator: bool,
    /// `X-ModelArts-User-ID`
    pub acting_for: Option<String>,
}

impl From<&AuditEntry> for AuditView {
    fn from(entry: &AuditEntry) -> Self {
        Self {
            at: moment(entry.at),
            request_id: entry.request_id.clone(),
            caller: entry.caller.as_ref().map(CallerView::from),
            address: entry.address.clone(),
            operation: entry.operation.clone(),
            method: entry.method.clone(),
            target: entry.target.clone(),
            project: entry.project.clone(),
            dry_run: entry.is_dry_run,
            outcome: entry.outcome().as_str(),
            status: entry.status,
            code: entry.code.clone(),
            reason: entry.reason.clone(),
        }
    }
}

impl From<&AuditCaller> for CallerView {
    fn from(caller: &AuditCaller) -> Self {
        Self {
            user: caller.user.clone(),
            user_name: caller.user_name.clone(),
            domain: caller.domain.clone(),
            credential: caller.credential.clone(),
            scope: caller.scope.as_ref().map(ToString::to_string),
            role: caller.role.map(domain::principal::Role::as_str),
            operator: caller.is_operator,
            acting_for: caller.acting_for.clone(),
        }
    }
}
