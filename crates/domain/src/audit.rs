//! Who did what, from where, and what came of it.

use crate::name::ProjectId;
use crate::principal::Role;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One request that changed something, or was to, or was refused for want of a right. Holds no secrets: no bodies, no query,
/// no tokens, and of credentials only what names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub at: Timestamp,
    /// `X-Request-Id` of the answer.
    pub request_id: String,
    /// Absent: nobody was recognised.
    pub caller: Option<AuditCaller>,
    /// Address that the request came from.
    pub address: String,
    /// Name of the operation in the API's description.
    pub operation: String,
    pub method: String,
    /// The path, without its query, cut off after 512 characters.
    pub target: String,
    /// The project of the path, as it was sent.
    pub project: Option<String>,
    pub is_dry_run: bool,
    /// HTTP status of the answer.
    pub status: u16,
    /// Code of the refusal.
    pub code: Option<String>,
    /// Why a sign-in was refused, in more detail than the answer.
    pub reason: Option<String>,
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCaller {
    pub user: String,
    pub user_name: String,
    pub domain: String,
    /// Id of an access key, or the first digits of a token's hash.
    pub credential: String,
    /// The project that the credential is bound to.
    pub scope: Option<ProjectId>,
    /// In the project of the path.
    pub role: Option<Role>,
    pub is_operator: bool,
    /// `X-ModelArts-User-ID`: for whom the caller said to act.
    pub acting_for: Option<String>,
}

/// What came of a request, by its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Below 400.
    Done,
    /// 400 to 499.
    Refused,
    /// 500 and above.
    Failed,
}

impl Outcome {
    pub const ALL: [(&str, Self); 3] = [("done", Self::Done), ("refused", Self::Refused), ("failed", Self::Failed)];

    pub fn of(status: u16) -> Self {
        match status {
            ..400 => Self::Done,
            400..500 => Self::Refused,
            500.. => Self::Failed,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl AuditEntry {
    pub fn outcome(&self) -> Outcome {
        Outcome::of(self.status)
    }

    /// The name under which it is kept: newer ones come first.
    pub fn name(&self) -> String {
        format!("{}-{}", Self::place(self.at), self.request_id)
    }

    /// What the names of all entries of one moment begin with. The earlier the moment, the later in order.
    pub fn place(at: Timestamp) -> String {
        format!("{:019}", i64::MAX.saturating_sub(at.as_microsecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_entries_come_first() {
        let places: Vec<String> = [4_000_000_000_000, 1_000_001, 1_000_000, 0, -5]
            .map(|at| AuditEntry::place(Timestamp::from_microsecond(at).unwrap()))
            .into();
        assert!(places.is_sorted(), "{places:?}");
        assert!(places.iter().all(|place| place.len() == 19));
    }
}
