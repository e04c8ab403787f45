//! What the answers of an API server mean.

use fleet::FleetError;
use std::time::Duration;

/// Why a request was not carried out, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// There is no such object, or nothing to put it into.
    #[error("there is no such object: {0}")]
    Missing(String),
    #[error("the object is there already")]
    Exists,
    /// Somebody else has changed the object.
    #[error("the object has changed")]
    Conflict,
    /// The version asked for is no longer kept.
    #[error("the version is no longer kept")]
    Gone,
    #[error("a newer holder writes")]
    Fenced,
    #[error("refused: {0}")]
    Refused(String),
    #[error("throttled for {} ms", .0.as_millis())]
    Throttled(Duration),
    /// No answer, or none that says what was done.
    #[error("no clear answer: {0}")]
    Unknown(String),
}

/// An error with its causes, each said once: those of connections say nothing by themselves.
pub fn explained(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}

/// When a throttled request is tried again where the server does not say it.
const USUAL_WAIT: Duration = Duration::from_secs(1);

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => of_status(&status),
            kube::Error::BuildRequest(error) => Self::Refused(error.to_string()),
            other => Self::Unknown(other.to_string()),
        }
    }
}

/// What a status of the server means.
pub fn of_status(status: &kube::core::Status) -> Failure {
    // Policies answer with one of several codes; their message is ours.
    if status.message.contains("stale epoch") {
        return Failure::Fenced;
    }
    let wait = || {
        let told = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        if told == 0 {
            USUAL_WAIT
        } else {
            Duration::from_secs(u64::from(told))
        }
    };
    match (status.code, status.reason.as_str()) {
        (404, _) => Failure::Missing(status.message.clone()),
        (409, "AlreadyExists") => Failure::Exists,
        (409, _) => Failure::Conflict,
        (410, _) | (_, "Expired") => Failure::Gone,
        (429 | 503, _) => Failure::Throttled(wait()),
        (500..=599, _) => Failure::Unknown(status.message.clone()),
        (code, _) => Failure::Refused(format!("{code} {}", status.message)),
    }
}

impl Failure {
    /// What it means to whoever gave a command.
    pub fn on_write(self) -> FleetError {
        match self {
            Self::Fenced => FleetError::Fenced,
            Self::Missing(reason) | Self::Refused(reason) => FleetError::Refused { reason },
            Self::Throttled(retry_after) => FleetError::Throttled { retry_after },
            // Whoever loses a race for so long does better to come back later.
            Self::Conflict | Self::Exists | Self::Gone => FleetError::Throttled { retry_after: USUAL_WAIT },
            Self::Unknown(reason) => FleetError::Ambiguous(reason),
        }
    }

    /// What it means to whoever asked: nothing was changed.
    pub fn on_read(self) -> FleetError {
        match self {
            Self::Throttled(retry_after) => FleetError::Throttled { retry_after },
            Self::Missing(reason) | Self::Refused(reason) | Self::Unknown(reason) => FleetError::Unreachable(reason),
            Self::Fenced | Self::Conflict | Self::Exists | Self::Gone => FleetError::Unreachable(self.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn status(code: u16, reason: &str, message: &str) -> Failure {
        let mut status = Status::failure(message, reason);
        status.code = code;
        of_status(&status)
    }

    #[test]
    fn answers_are_told_apart() {
        assert_eq!(status(409, "Conflict", ""), Failure::Conflict);
        assert_eq!(status(409, "AlreadyExists", ""), Failure::Exists);
        assert_eq!(
            status(422, "Invalid", "policy denied request: stale epoch (fence)"),
            Failure::Fenced
        );
        assert_eq!(status(403, "Forbidden", "no"), Failure::Refused("403 no".to_owned()));
        assert_eq!(status(429, "TooManyRequests", ""), Failure::Throttled(USUAL_WAIT));
        assert_eq!(status(504, "Timeout", "late"), Failure::Unknown("late".to_owned()));
        assert_eq!(status(410, "Expired", ""), Failure::Gone);
    }

    #[test]
    fn only_an_unclear_answer_to_a_write_is_ambiguous() {
        assert!(matches!(Failure::Unknown(String::new()).on_write(), FleetError::Ambiguous(_)));
        assert!(matches!(Failure::Unknown(String::new()).on_read(), FleetError::Unreachable(_)));
        assert!(matches!(Failure::Refused(String::new()).on_write(), FleetError::Refused { .. }));
    }
}
