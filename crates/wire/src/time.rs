//! Times as the API writes them.

use jiff::Timestamp;

/// RFC 3339, UTC, whole seconds.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Reads RFC 3339 with any offset.
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    // A time without a date, or a date without an offset, does not say when.
    text.parse().ok().filter(|_| text.contains('T'))
}
