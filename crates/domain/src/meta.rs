//! What every object has: a uid, a generation, a revision; and the fence that guards writes.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::fmt;

/// Identity of an object over its whole life: 32 hexadecimal digits. Names come back after a deletion, uids do not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(SmolStr);

impl Uid {
    /// A version-7 UUID (time-ordered) without hyphens.
    pub fn new(unix_millis: u64, random: [u8; 10]) -> Self {
        let id = uuid::Builder::from_unix_timestamp_millis(unix_millis, &random).into_uuid();
        Self(SmolStr::new(id.simple().to_string()))
    }

    pub fn from_text(text: &str) -> Self {
        Self(SmolStr::new(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same id with hyphens, as the API shows UUIDs.
    pub fn hyphenated(&self) -> String {
        uuid::Uuid::try_parse(&self.0).map_or_else(|_| self.0.to_string(), |id| id.hyphenated().to_string())
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.as_str())
    }
}

/// Position in the one history of all writes of an installation. Every commit gets the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which holder of a lease writes. A write under an epoch that is over is refused by store and fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    pub lease: String,
    pub epoch: u64,
}
