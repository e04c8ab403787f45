//! Times as the API writes them.

use jiff::Timestamp;

/// RFC 3339, UTC, whole seconds.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
