//! Patches of three kinds, as functions of an object.

use crate::refusal::Refusal;
use serde_json::{Map, Value};

/// Lists that a strategic merge patch merges by a key of their items.
const MERGED: &[(&str, &str)] = &[
    ("conditions", "type"),
    ("addresses", "type"),
    ("containers", "name"),
    ("initContainers", "name"),
    ("volumes", "name"),
    ("env", "name"),
    ("ownerReferences", "uid"),
];

/// RFC 7396.
pub(crate) fn merge(object: &mut Value, patch: &Value) {
    json_patch::merge(object, patch);
}

/// RFC 6902.
pub(crate) fn json(object: &mut Value, patch: &Value) -> Result<(), Refusal> {
    let operations: json_patch::Patch =
        serde_json::from_value(patch.clone()).map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))?;
    json_patch::patch(object, &operations).map_err(|_failed| Refusal::unprocessable())
}

/// A merge patch that knows some lists.
pub(crate) fn strategic(object: &mut Value, patch: &Value) {
    let (Value::Object(_), Value::Object(changes)) = (&*object, patch) else {
        *object = patch.clone();
        return;
    };
    let mut changes: Vec<(&String, &Value)> = changes.iter().collect();
    changes.retain(|(name, _)| !name.starts_with('$'));
    for (name, change) in changes {
        let Value::Object(fields) = &mut *object else {
            return;
        };
        let merged_by = MERGED.iter().find(|(list, _)| list == name).map(|(_, key)| *key);
        match (change, merged_by) {
            (Value::Null, _) => {
                fields.remove(name);
            }
            (Value::Array(items), Some(key)) => {
                let list = fields.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
                merge_list(list, items, key);
            }
            (Value::Object(_), _) => {
                let field = fields.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
                strategic(field, change);
            }
            (other, _) => {
                fields.insert(name.clone(), other.clone());
            }
        }
    }
}

fn merge_list(list: &mut Value, items: &[Value], key: &str) {
    if !list.is_array() {
        *list = Value::Array(Vec::new());
    }
    let Value::Array(list) = list else {
        return;
    };
    // New items come first, in their order.
    let mut new = Vec::new();
    for item in items {
        let same = |other: &Value| other.get(key).is_some() && other.get(key) == item.get(key);
        if item.get("$patch").and_then(Value::as_str) == Some("delete") {
            list.retain(|other| !same(other));
        } else if let Some(found) = list.iter_mut().find(|other| same(other)) {
            strategic(found, item);
        } else {
            new.push(item.clone());
        }
    }
    list.splice(0..0, new);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_strategic_patch_merges_conditions_by_their_type() {
        let mut object = json!({"conditions": [{"type": "Ready", "status": "False", "reason": "x"}, {"type": "Disk", "status": "False"}]});
        strategic(&mut object, &json!({"conditions": [{"type": "Ready", "status": "True"}]}));
        assert_eq!(
            object,
            json!({"conditions": [{"type": "Ready", "status": "True", "reason": "x"}, {"type": "Disk", "status": "False"}]})
        );
    }

    #[test]
    fn a_failed_test_refuses_the_whole_json_patch() {
        let mut object = json!({"a": 1});
        let patch = json!([{"op": "replace", "path": "/a", "value": 2}, {"op": "test", "path": "/a", "value": 3}]);
        assert_eq!(json(&mut object, &patch).unwrap_err().code, 422);
        assert_eq!(object, json!({"a": 1}));
    }
}
