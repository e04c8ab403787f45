//! JSON merge patch (RFC 7396).

use serde_json::{Map, Value};

/// The target with the patch applied. As deep as the patch, which [`crate::json::parse`] bounds.
pub fn apply(target: Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else { return patch.clone() };
    let mut merged = match target {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    };
    for (name, change) in changes {
        if change.is_null() {
            merged.remove(name);
        } else {
            let old = merged.remove(name).unwrap_or(Value::Null);
            merged.insert(name.clone(), apply(old, change));
        }
    }
    Value::Object(merged)
}

#[cfg(test)]
mod tests;
