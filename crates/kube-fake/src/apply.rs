//! Server-side apply: who owns which field.
//!
//! Lists are owned as a whole, so this is right for objects that one manager applies and others at most patch.

use crate::refusal::Refusal;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A field: the names on the way to it.
type Path = Vec<String>;

/// The managers of an object's fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Owners(BTreeMap<String, Owned>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Owned {
    /// By apply, so that leaving a field out of the next one takes it away.
    applied: BTreeSet<Path>,
    /// By create, update or patch.
    written: BTreeSet<Path>,
}

impl Owners {
    /// Somebody wrote the object without apply: what he changed is his now, and nobody else's.
    pub fn wrote(&mut self, manager: &str, before: Option<&Value>, after: &Value) {
        let old = before.map(leaves).unwrap_or_default();
        let new = leaves(after);
        let changed: BTreeSet<Path> = new
            .iter()
            .filter(|(path, value)| old.get(*path) != Some(value))
            .map(|(path, _)| path.clone())
            .collect();
        let gone: BTreeSet<Path> = old.keys().filter(|path| !new.contains_key(*path)).cloned().collect();
        for owned in self.0.values_mut() {
            owned.applied.retain(|path| !changed.contains(path) && !gone.contains(path));
            owned.written.retain(|path| !changed.contains(path) && !gone.contains(path));
        }
        if !changed.is_empty() {
            self.0.entry(manager.to_owned()).or_default().written.extend(changed);
        }
    }

    /// Merges an applied configuration into the object (`None`: there is none yet).
    pub fn apply(&mut self, manager: &str, force: bool, live: Option<&Value>, applied: &Value) -> Result<Value, Refusal> {
        let wanted = leaves(applied);
        let current = live.map(leaves).unwrap_or_default();
        let mut conflicts = Vec::new();
        for (other, owned) in self.0.iter().filter(|(other, _)| *other != manager) {
            for path in owned.applied.union(&owned.written) {
                if takes(&wanted, &current, path) {
                    conflicts.push((other.clone(), dotted(path)));
                }
            }
        }
        if !conflicts.is_empty() && !force {
            return Err(Refusal::apply_conflict(&conflicts));
        }
        for (other, owned) in &mut self.0 {
            if other != manager {
                let lost = |path: &Path| takes(&wanted, &current, path);
                owned.applied.retain(|path| !lost(path));
                owned.written.retain(|path| !lost(path));
            }
        }
        let mut object = live.cloned().unwrap_or_else(|| Value::Object(Map::new()));
        let before = self.0.get(manager).map(|owned| owned.applied.clone()).unwrap_or_default();
        for path in before.iter().filter(|path| !wanted.contains_key(*path)) {
            let others = self
                .0
                .iter()
                .any(|(other, owned)| other != manager && (owned.applied.contains(path) || owned.written.contains(path)));
            if !others {
                take_away(&mut object, path);
            }
        }
        for (path, value) in &wanted {
            put(&mut object, path, value.clone());
        }
        self.0.entry(manager.to_owned()).or_default().applied = wanted.into_keys().collect();
        Ok(object)
    }
}

/// An applied field takes another's field, or what is in it, to another value. An empty object takes nothing.
fn takes(wanted: &BTreeMap<Path, Value>, current: &BTreeMap<Path, Value>, path: &Path) -> bool {
    let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
    wanted
        .iter()
        .any(|(mine, value)| !is_empty(value) && overlaps(mine, path) && current.get(mine) != Some(value))
}

fn overlaps(a: &Path, b: &Path) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// `.spec.taints`, `.metadata.labels.a/b`.
fn dotted(path: &Path) -> String {
    format!(".{}", path.join("."))
}

/// All fields that somebody can own: not who the object is, and not what the server writes.
fn leaves(object: &Value) -> BTreeMap<Path, Value> {
    let mut found = BTreeMap::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        match name.as_str() {
            "apiVersion" | "kind" | "status" => {}
            "metadata" => {
                for part in ["labels", "annotations", "finalizers", "ownerReferences"] {
                    if let Some(value) = value.get(part) {
                        walk(&mut found, vec!["metadata".to_owned(), part.to_owned()], value);
                    }
                }
            }
            _ => walk(&mut found, vec![name.clone()], value),
        }
    }
    found
}

fn walk(found: &mut BTreeMap<Path, Value>, path: Path, value: &Value) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let mut path = path.clone();
                path.push(name.clone());
                walk(found, path, value);
            }
        }
        Value::Null => {}
        other => {
            found.insert(path, other.clone());
        }
    }
}

fn put(object: &mut Value, path: &Path, value: Value) {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    let is_empty = value.as_object().is_some_and(Map::is_empty);
    let found = names.iter().try_fold(&*object, |at, name| at.get(*name));
    if !is_empty || found.is_none_or(|found| !found.is_object()) {
        crate::objects::set(object, &names, value);
    }
}

/// Takes a field away, and what is empty without it.
fn take_away(object: &mut Value, path: &Path) {
    let Some((name, rest)) = path.split_first() else {
        return;
    };
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    if rest.is_empty() {
        fields.remove(name);
        return;
    }
    if let Some(inner) = fields.get_mut(name) {
        take_away(inner, &rest.to_vec());
        let is_empty = inner.as_object().is_some_and(Map::is_empty);
        if is_empty && name != "metadata" && name != "spec" {
            fields.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_left_out_of_the_next_apply_goes() {
        let mut owners = Owners::default();
        let first = owners.apply("me", true, None, &json!({"data": {"a": "1", "b": "2"}})).unwrap();
        let second = owners.apply("me", true, Some(&first), &json!({"data": {"a": "1"}})).unwrap();
        assert_eq!(second, json!({"data": {"a": "1"}}));
    }

    #[test]
    fn what_another_wrote_is_a_conflict_unless_forced() {
        let mut owners = Owners::default();
        let first = owners.apply("me", false, None, &json!({"data": {"a": "1"}})).unwrap();
        let second = json!({"data": {"a": "2"}});
        owners.wrote("other", Some(&first), &second);
        let refused = owners.apply("me", false, Some(&second), &json!({"data": {"a": "1"}})).unwrap_err();
        assert_eq!((refused.code, refused.reason), (409, "Conflict"));
        let forced = owners.apply("me", true, Some(&second), &json!({"data": {"a": "1"}})).unwrap();
        assert_eq!(forced, json!({"data": {"a": "1"}}));
    }

    #[test]
    fn a_foreign_field_stays() {
        let mut owners = Owners::default();
        let first = owners.apply("me", false, None, &json!({"data": {"a": "1"}})).unwrap();
        let second = json!({"data": {"a": "1", "x": "9"}});
        owners.wrote("other", Some(&first), &second);
        let third = owners.apply("me", false, Some(&second), &json!({"data": {"b": "1"}})).unwrap();
        assert_eq!(third, json!({"data": {"b": "1", "x": "9"}}));
    }
}
