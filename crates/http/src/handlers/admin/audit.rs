//! The record of who did what.

use super::{MAXIMUM, own_context};
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render::{self, Paging};
use axum::extract::State;
use axum::response::Response;
use domain::audit::Outcome;
use domain::field::{FieldErrors, FieldPath, Reason};
use service::audit::AuditFilter;
use wire::admin::AuditList;
use wire::admin::audit::AuditView;
use wire::list::{ContinueToken, ListMeta};

fn filter(call: &Call) -> Result<AuditFilter, FieldErrors> {
    let query = call.query()?;
    let mut errors = FieldErrors::new();
    let paging = Paging::read(&query, MAXIMUM, &mut errors);
    let sent = |name: &str| query.get(name).filter(|text| !text.is_empty()).map(ToOwned::to_owned);
    let outcome = sent("outcome").and_then(|text| {
        let known = Outcome::ALL.iter().find(|(name, _)| *name == text);
        if known.is_none() {
            errors.push(FieldPath::of("outcome"), Reason::Invalid, "must be done, refused or failed");
        }
        known.map(|(_, outcome)| *outcome)
    });
    let filter = AuditFilter {
        principal: sent("principal"),
        project: sent("project"),
        operation: sent("operation"),
        outcome,
        since: query.timestamp("since", &mut errors),
        until: query.timestamp("until", &mut errors),
        after: paging.after.map(|token| token.name),
        limit: paging.limit.unwrap_or(MAXIMUM),
    };
    errors.into_result().map(|()| filter)
}

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    own_context(&call)?;
    let page = app.service().list_audit(&call.principal, || filter(&call)).await?;
    // How many are left nobody knows without reading them all.
    let token = page.next.map(|name| ContinueToken { created: 0, name }.encode());
    let metadata = ListMeta {
        continue_token: token,
        remaining_item_count: None,
    };
    Ok(render::json(&AuditList::of(
        metadata,
        page.entries.iter().map(AuditView::from).collect(),
    )))
}
