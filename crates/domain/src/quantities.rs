//! What a machine has of each resource.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Quantities by resource name, such as 8 of `cpu`; texts as Kubernetes writes them. There are very many of these and they
/// seldom change, so they are small and clones share them, and so do most of those that are read: machines are much alike.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Quantities(Arc<[(SmolStr, SmolStr)]>);

impl Quantities {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and quantities by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, quantity)| (name.as_str(), quantity.as_str()))
    }

    /// Nothing of each of them.
    #[must_use]
    pub fn emptied(&self) -> Self {
        self.iter().map(|(name, _)| (name, "0")).collect()
    }

    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.iter().map(|(name, quantity)| (name.to_owned(), quantity.to_owned())).collect()
    }
}

/// Of quantities of one name, the last one counts.
impl<N: AsRef<str>, Q: AsRef<str>> FromIterator<(N, Q)> for Quantities {
    fn from_iter<I: IntoIterator<Item = (N, Q)>>(all: I) -> Self {
        let all = all.into_iter();
        let sorted: BTreeMap<SmolStr, SmolStr> = all.map(|(name, quantity)| (SmolStr::new(name), SmolStr::new(quantity))).collect();
        Self(sorted.into_iter().collect())
    }
}

/// How many different ones a thread remembers of those that it has read.
const REMEMBERED: usize = 64;

thread_local! {
    static SEEN: RefCell<[Option<Quantities>; REMEMBERED]> = const { RefCell::new([const { None }; REMEMBERED]) };
}

impl Quantities {
    /// The same, in memory that others use already where that is known.
    fn shared(self) -> Self {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % REMEMBERED as u64).unwrap_or(0);
        SEEN.with_borrow_mut(|seen| match &seen[at] {
            Some(known) if *known == self => known.clone(),
            Some(_) | None => seen[at].insert(self).clone(),
        })
    }
}

impl Serialize for Quantities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Quantities {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::<SmolStr, SmolStr>::deserialize(deserializer).map(|all| Self(all.into_iter().collect()).shared())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_quantities_that_are_read_share_their_memory() {
        let read = |text: &str| serde_json::from_str::<Quantities>(text).unwrap();
        let (one, other, same) = (read(r#"{"cpu":"8"}"#), read(r#"{"cpu":"9"}"#), read(r#"{"cpu":"8"}"#));
        assert!(Arc::ptr_eq(&one.0, &same.0));
        assert_ne!(one, other);
    }

    #[test]
    fn quantities_are_kept_as_a_map() {
        let quantities: Quantities = [("memory", "1Gi"), ("cpu", "8"), ("memory", "2Gi")].into_iter().collect();
        let text = serde_json::to_string(&quantities).unwrap();
        assert_eq!(text, r#"{"cpu":"8","memory":"2Gi"}"#);
        assert_eq!(serde_json::from_str::<Quantities>(&text).unwrap(), quantities);
        assert_eq!(serde_json::to_string(&quantities.to_map()).unwrap(), text);
        assert_eq!(serde_json::to_string(&quantities.emptied()).unwrap(), r#"{"cpu":"0","memory":"0"}"#);
        assert!(!quantities.is_empty() && Quantities::default().is_empty());
    }
}
