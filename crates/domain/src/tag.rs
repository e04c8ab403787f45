//! Tags: key and value pairs that people put on pools and nodes (contract README §4.2, tags §1).

use serde::{Deserialize, Serialize};

/// At most this many tags per pool and per node.
pub const MAX_TAGS: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tag {
    pub key: String,
    pub value: String,
}

/// What is wrong with a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{member} {message}")]
pub struct TagFault {
    /// `key` or `value`
    pub member: &'static str,
    pub message: &'static str,
}

impl Tag {
    /// Why this is not a tag, if it is not one.
    pub fn check(&self) -> Result<(), TagFault> {
        let fault = |member: &'static str, message: &'static str| Err(TagFault { member, message });
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '_' | '.' | ':' | '=' | '+' | '-' | '@');
        if self.key.is_empty() || self.key.chars().count() > 128 {
            return fault("key", "must be 1 to 128 characters long");
        }
        if self.key.starts_with("_sys_") {
            return fault("key", "must not start with _sys_");
        }
        if self.value.chars().count() > 255 {
            return fault("value", "must be at most 255 characters long");
        }
        for (member, text) in [("key", &self.key), ("value", &self.value)] {
            if !text.chars().all(allowed) {
                return fault(member, "may hold letters, digits, spaces and _ . : = + - @ only");
            }
            if text.trim() != text {
                return fault(member, "must not begin or end with a space");
            }
        }
        Ok(())
    }

    /// The further rule for tags that go onto machines (contract pools §3.1).
    pub fn check_for_nodes(&self) -> Result<(), TagFault> {
        self.check()?;
        if self.key.starts_with("CCE-") || self.key.starts_with("__type_baremetal") {
            let message = "must not start with CCE- or __type_baremetal";
            return Err(TagFault { member: "key", message });
        }
        Ok(())
    }
}

/// A change of the tags of one object. At most one tag of a key is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagChange {
    /// Adds; of equal keys the new one stays.
    Create(Vec<Tag>),
    /// Takes away what has the key and, where one is given, the value.
    Delete(Vec<(String, Option<String>)>),
    /// Replaces all of them.
    Reset(Vec<Tag>),
}

impl TagChange {
    /// The tags after the change, in the order in which they came.
    pub fn apply(&self, tags: &[Tag]) -> Result<Vec<Tag>, TooManyTags> {
        let mut next = tags.to_vec();
        match self {
            Self::Create(added) => put_all(&mut next, added),
            Self::Delete(gone) => next.retain(|tag| {
                !gone
                    .iter()
                    .any(|(key, value)| tag.key == *key && value.as_ref().is_none_or(|value| tag.value == *value))
            }),
            Self::Reset(all) => {
                next.clear();
                put_all(&mut next, all);
            }
        }
        // Taking tags away is always possible.
        if next.len() > MAX_TAGS && next.len() > tags.len() {
            return Err(TooManyTags);
        }
        Ok(next)
    }
}

fn put_all(tags: &mut Vec<Tag>, all: &[Tag]) {
    for new in all {
        match tags.iter_mut().find(|tag| tag.key == new.key) {
            Some(known) => known.clone_from(new),
            None => tags.push(new.clone()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_TAGS} tags")]
pub struct TooManyTags;

/// What a search asks of an object's tags: every key, with one of its values. No values: any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagQuery(pub Vec<(String, Vec<String>)>);

impl TagQuery {
    /// A value that begins with `*` is looked for at the end.
    pub fn matches(&self, tags: &[Tag]) -> bool {
        let is_value = |value: &str, wanted: &String| match wanted.strip_prefix('*') {
            Some(end) => value.ends_with(end),
            None => value == wanted,
        };
        self.0.iter().all(|(key, values)| {
            tags.iter()
                .any(|tag| tag.key == *key && (values.is_empty() || values.iter().any(|wanted| is_value(&tag.value, wanted))))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_does_what_its_name_says() {
        let tags = [tag("a", "1"), tag("b", "2")];
        let create = TagChange::Create(vec![tag("b", "3"), tag("c", "4"), tag("c", "5")]);
        assert_eq!(create.apply(&tags).unwrap(), [tag("a", "1"), tag("b", "3"), tag("c", "5")]);
        let delete = |key: &str, value: Option<&str>| {
            let change = TagChange::Delete(vec![(key.to_owned(), value.map(ToOwned::to_owned))]);
            change.apply(&tags).unwrap()
        };
        assert_eq!(delete("a", None), [tag("b", "2")]);
        assert_eq!(delete("a", Some("1")), [tag("b", "2")]);
        assert_eq!(delete("a", Some("2")), tags);
        assert_eq!(TagChange::Reset(Vec::new()).apply(&tags).unwrap(), []);
    }

    #[test]
    fn there_is_room_for_so_many_tags() {
        let many = |count: usize| (0..count).map(|at| tag(&at.to_string(), "")).collect::<Vec<_>>();
        assert_eq!(TagChange::Reset(many(MAX_TAGS)).apply(&[]).unwrap().len(), MAX_TAGS);
        assert_eq!(TagChange::Reset(many(MAX_TAGS + 1)).apply(&[]), Err(TooManyTags));
        assert_eq!(TagChange::Create(vec![tag("x", "")]).apply(&many(MAX_TAGS)), Err(TooManyTags));
        assert!(TagChange::Create(vec![tag("1", "y")]).apply(&many(MAX_TAGS)).is_ok());
    }

    #[test]
    fn searches_want_every_key_and_one_of_its_values() {
        let tags = [tag("env", "prod-eu"), tag("team", "a")];
        let holds = |query: &[(&str, &[&str])]| {
            let query = query
                .iter()
                .map(|(key, values)| ((*key).to_owned(), values.iter().map(ToString::to_string).collect()));
            TagQuery(query.collect()).matches(&tags)
        };
        assert!(holds(&[]));
        assert!(holds(&[("env", &[])]));
        assert!(holds(&[("env", &["dev", "*-eu"]), ("team", &["a"])]));
        assert!(!holds(&[("env", &["prod"])]));
        assert!(!holds(&[("env", &["*-eu"]), ("team", &["b"])]));
        assert!(!holds(&[("none", &[])]));
    }

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
