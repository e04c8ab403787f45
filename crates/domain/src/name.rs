//! Names and ids as types. A value of one of these types has passed its rule (contract README §4).

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::fmt;

/// Why a text is not a name of the wanted kind. `Display` is fit for an API error message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("must be {min} to {max} characters long")]
    Length { min: usize, max: usize },
    #[error("{0}")]
    Form(&'static str),
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(SmolStr);

        impl $name {
            /// Checks the rule of this kind of name.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<(), NameError> = $check;
                check(text)?;
                Ok(Self(SmolStr::new(text)))
            }

            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0.as_str())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }
    };
}

name!(
    /// `metadata.name` of a pool, the "pool ID" of URLs: `<display name>-<project id>`. Looked up verbatim.
    PoolName, opaque
);
name!(
    /// `metadata.name` of a network: `<display name>-<project id>`.
    NetworkName, opaque
);
name!(
    /// `metadata.name` of a node: `<prefix>-` and five random characters, unique in its project.
    NodeName, opaque
);
name!(
    /// `orderName`: `order.<pool display name>-` and five random characters, unique in its project.
    OrderName, opaque
);
name!(
    /// Name of a node pool inside a pool: 2–50 characters, or a generated `<flavor>-default`.
    NodePoolName, opaque
);
name!(
    /// Name of a resource flavor, unique in the installation.
    FlavorName, opaque
);
name!(
    /// Name of an availability zone.
    ZoneName, opaque
);
name!(
    /// `metadata.name` of a plug-in template, unique in the installation.
    TemplateName, opaque
);
name!(
    /// Workspace id: `0` (the default workspace) or 32 hexadecimal digits.
    WorkspaceId, opaque
);
name!(
    /// Project id: 32–36 characters of `[a-z0-9-]`, as a rule 32 hexadecimal digits.
    ProjectId, project_id
);
name!(
    /// Id of a domain, the tenant account.
    DomainId, opaque
);
name!(
    /// Id of a user.
    UserId, opaque
);
name!(
    /// The public half of an access key ("AK").
    AccessKeyId, opaque
);
name!(
    /// Display name of a pool or network: `^[a-z][a-z0-9-]{2,62}[a-z0-9]$` (contract README §4.2).
    DisplayName, display_name
);
name!(
    /// `os.modelarts/node.prefix`: 1–30 characters of the display-name alphabet, not ending in a hyphen.
    NodePrefix, node_prefix
);

impl WorkspaceId {
    /// The default workspace, which always exists and is open to the whole project.
    pub fn default_workspace() -> Self {
        Self(SmolStr::new_static("0"))
    }

    pub fn is_default(&self) -> bool {
        self.as_str() == "0"
    }
}

impl PoolName {
    pub fn of(display: &DisplayName, project: &ProjectId) -> Self {
        Self(SmolStr::new(format!("{display}-{project}")))
    }
}

impl NetworkName {
    pub fn of(display: &DisplayName, project: &ProjectId) -> Self {
        Self(SmolStr::new(format!("{display}-{project}")))
    }
}

impl NodePoolName {
    /// The implicit node pool of a flavor.
    pub fn default_of(flavor: &FlavorName) -> Self {
        Self(SmolStr::new(format!("{flavor}-default")))
    }

    pub fn is_default_of(&self, flavor: &FlavorName) -> bool {
        self.0.strip_suffix("-default") == Some(flavor.as_str())
    }

    /// The rule for names that users choose: 2–50 characters, and not one that reads like a generated default.
    pub fn parse_chosen(text: &str) -> Result<Self, NameError> {
        length(text, 2, 50)?;
        alphabet(text)?;
        if text.ends_with("-default") {
            return Err(NameError::Form("must not end with -default"));
        }
        Ok(Self(SmolStr::new(text)))
    }
}

fn opaque(text: &str) -> Result<(), NameError> {
    length(text, 1, 256)
}

fn length(text: &str, min: usize, max: usize) -> Result<(), NameError> {
    if (min..=max).contains(&text.chars().count()) {
        Ok(())
    } else {
        Err(NameError::Length { min, max })
    }
}

fn alphabet(text: &str) -> Result<(), NameError> {
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err(NameError::Form("must start with a lower-case letter"));
    }
    if !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        return Err(NameError::Form("may hold lower-case letters, digits and hyphens only"));
    }
    if text.ends_with('-') {
        return Err(NameError::Form("must not end with a hyphen"));
    }
    Ok(())
}

fn display_name(text: &str) -> Result<(), NameError> {
    length(text, 4, 64)?;
    alphabet(text)
}

fn node_prefix(text: &str) -> Result<(), NameError> {
    length(text, 1, 30)?;
    alphabet(text)
}

fn project_id(text: &str) -> Result<(), NameError> {
    length(text, 32, 36)?;
    if text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        Ok(())
    } else {
        Err(NameError::Form("may hold lower-case letters, digits and hyphens only"))
    }
}

/// The alphabet of random suffixes: no vowels and no look-alikes (contract README §4.1).
pub const SUFFIX_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Five characters of [`SUFFIX_ALPHABET`] out of 64 random bits.
pub fn suffix(mut random: u64) -> String {
    let mut text = String::with_capacity(5);
    for _ in 0..5 {
        text.push(char::from(SUFFIX_ALPHABET[(random % 27) as usize]));
        random /= 27;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_follow_the_documented_pattern() {
        for good in ["pool-ae01", "abcd", &"a".repeat(64), "a--1"] {
            assert!(DisplayName::parse(good).is_ok(), "{good}");
        }
        for bad in ["abc", "1abc", "Abcd", "abc-", "ab_c", &"a".repeat(65), "", "-abc", "äbcd"] {
            assert!(DisplayName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn chosen_node_pool_names_cannot_look_generated() {
        assert!(NodePoolName::parse_chosen("workers").is_ok());
        assert!(NodePoolName::parse_chosen("x-default").is_err());
        assert!(NodePoolName::parse_chosen("x").is_err());
    }

    #[test]
    fn suffixes_have_five_characters_of_the_alphabet() {
        for random in [0, 1, u64::MAX, 27_u64.pow(5) - 1] {
            let text = suffix(random);
            assert_eq!(text.len(), 5);
            assert!(text.bytes().all(|b| SUFFIX_ALPHABET.contains(&b)));
        }
        assert_ne!(suffix(1), suffix(2));
    }
}
