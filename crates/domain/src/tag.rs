//! Tags: key and value pairs that people put on pools and nodes (contract README §4.2, tags §1).

use serde::{Deserialize, Serialize};

/// At most this many tags per pool and per node.
pub const MAX_TAGS: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tag {
    pub key: String,
    pub value: String,
}

impl Tag {
    /// Why this is not a tag, if it is not one.
    pub fn check(&self) -> Result<(), &'static str> {
        let allowed = |text: &str| {
            text.chars()
                .all(|c| c.is_alphanumeric() || matches!(c, ' ' | '_' | '.' | ':' | '=' | '+' | '-' | '@'))
        };
        if self.key.is_empty() || self.key.chars().count() > 128 {
            return Err("key must be 1 to 128 characters long");
        }
        if self.value.chars().count() > 255 {
            return Err("value must be at most 255 characters long");
        }
        if !allowed(&self.key) || !allowed(&self.value) {
            return Err("may hold letters, digits, spaces and _ . : = + - @ only");
        }
        if self.key.trim() != self.key || self.value.trim() != self.value {
            return Err("must not begin or end with a space");
        }
        if self.key.starts_with("_sys_") {
            return Err("key must not start with _sys_");
        }
        Ok(())
    }

    /// The further rule for tags that go onto machines (contract pools §3.1).
    pub fn check_for_nodes(&self) -> Result<(), &'static str> {
        self.check()?;
        if self.key.starts_with("CCE-") || self.key.starts_with("__type_baremetal") {
            return Err("key must not start with CCE- or __type_baremetal");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag {
            key: key.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn tags_follow_the_documented_limits() {
        assert!(tag("team", "").check().is_ok());
        assert!(tag("équipe", "vision 1").check().is_ok());
        for bad in [
            tag("", "x"),
            tag(" a", "x"),
            tag("a", "x "),
            tag("_sys_a", "x"),
            tag("a*", "x"),
            tag(&"a".repeat(129), ""),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        assert!(tag("CCE-x", "").check().is_ok());
        assert!(tag("CCE-x", "").check_for_nodes().is_err());
    }
}
