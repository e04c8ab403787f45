//! The record of who did what: written in passing, read by operators.

use crate::context::Service;
use crate::error::ServiceError;
use domain::audit::{AuditEntry, Outcome};
use domain::field::FieldErrors;
use domain::principal::Principal;
use jiff::Timestamp;
use std::num::NonZeroU32;
use std::time::Duration;
use store::{Expect, Key, Kind, Object, State, StoreError, TypedBatch};

/// Entries that are read at a time.
const PAGE: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
/// Entries that one call looks at: what fits may be rare.
const LOOKED_AT: usize = 20_000;

/// Which entries are wanted; absent members do not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Id or name of a user, or a credential.
    pub principal: Option<String>,
    pub project: Option<String>,
    pub operation: Option<String>,
    pub outcome: Option<Outcome>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// The name of the last entry that has been looked at.
    pub after: Option<String>,
    pub limit: usize,
}

/// A part of the record, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPage {
    pub entries: Vec<AuditEntry>,
    /// Where to go on; absent: there is no more. There may be some with no entries that fit before it.
    pub next: Option<String>,
}

impl AuditFilter {
    fn fits(&self, entry: &AuditEntry) -> bool {
        let caller = entry.caller.as_ref();
        let is_by = |wanted: &String| caller.is_some_and(|who| [&who.user, &who.user_name, &who.credential].contains(&wanted));
        self.principal.as_ref().is_none_or(is_by)
            && self.project.as_ref().is_none_or(|wanted| entry.project.as_ref() == Some(wanted))
            && self.operation.as_ref().is_none_or(|wanted| entry.operation == *wanted)
            && self.outcome.is_none_or(|wanted| entry.outcome() == wanted)
            && self.until.is_none_or(|until| entry.at < until)
    }

    /// The key after which the first entry is that may fit.
    fn begin(&self) -> Option<Key> {
        let after = self.after.clone().or_else(|| self.until.map(AuditEntry::place));
        after.map(|name| Key::new(Kind::AuditEntry, "", name))
    }
}

impl Service {
    /// The record, newest first, as far as it has been kept.
    pub async fn list_audit(
        &self,
        who: &Principal,
        read: impl FnOnce() -> Result<AuditFilter, FieldErrors>,
    ) -> Result<AuditPage, ServiceError> {
        self.authorize_operator(who)?;
        let filter = read()?;
        let unavailable = |error: StoreError| ServiceError::Unavailable(error.to_string());
        let mut after = filter.begin();
        let mut entries = Vec::new();
        let mut seen = 0;
        loop {
            let page = self.parts.state.store().list(Kind::AuditEntry, after.as_ref(), PAGE).await;
            let page = page.map_err(unavailable)?;
            let count = page.records.len();
            for (at, record) in page.records.into_iter().enumerate() {
                let Object::AuditEntry(entry) = Object::decode(&record).map_err(unavailable)? else {
                    continue;
                };
                if filter.since.is_some_and(|since| entry.at < since) {
                    return Ok(AuditPage { entries, next: None });
                }
                if filter.fits(&entry) {
                    entries.push(AuditEntry::clone(&entry));
                    if entries.len() == filter.limit {
                        let has_more = page.has_more || at + 1 < count;
                        let next = has_more.then(|| record.key.name.to_string());
                        return Ok(AuditPage { entries, next });
                    }
                }
                after = Some(record.key);
            }
            seen += count;
            if !page.has_more {
                return Ok(AuditPage { entries, next: None });
            }
            if seen >= LOOKED_AT {
                let next = after.map(|key| key.name.to_string());
                return Ok(AuditPage { entries, next });
            }
        }
    }
}

/// Keeps entries: one commit for all of them.
pub async fn keep(state: &State, entries: &[AuditEntry]) -> Result<(), String> {
    let mut batch = TypedBatch::default();
    for entry in entries {
        batch.put(entry.clone(), Expect::Any);
    }
    state.commit(batch).await.map(drop).map_err(|error| error.to_string())
}

/// Forgets entries that are older than `retention`, in pieces. Gives how many there were.
pub async fn forget(state: &State, now: Timestamp, retention: Duration) -> Result<usize, String> {
    let oldest = now.saturating_sub(retention).unwrap_or(Timestamp::MIN);
    let after = Key::new(Kind::AuditEntry, "", AuditEntry::place(oldest));
    let mut forgotten = 0;
    loop {
        let page = state.store().list(Kind::AuditEntry, Some(&after), PAGE).await;
        let page = page.map_err(|error| error.to_string())?;
        if page.records.is_empty() {
            return Ok(forgotten);
        }
        forgotten += page.records.len();
        let mut batch = TypedBatch::default();
        for record in page.records {
            batch.delete(record.key, Expect::Any);
        }
        state.commit(batch).await.map_err(|error| error.to_string())?;
    }
}
