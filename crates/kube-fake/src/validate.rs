//! What an object may look like: names, labels, taints, finalizers.

use crate::kinds::ResourceType;
use crate::refusal::Cause;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const NAME_CHARS: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

/// Annotations of an object together, in bytes.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

fn is_token(text: &str, extra: &[char]) -> bool {
    let inner = |character: char| character.is_ascii_alphanumeric() || extra.contains(&character);
    let edge = |character: Option<char>| character.is_some_and(|character| character.is_ascii_alphanumeric());
    edge(text.chars().next()) && edge(text.chars().last()) && text.chars().all(inner)
}

fn is_dns_label(text: &str) -> bool {
    text.len() <= 63 && is_token(text, &['-']) && !text.contains(|character: char| character.is_ascii_uppercase())
}

fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text
            .split('.')
            .all(|part| is_token(part, &['-']) && !part.contains(|character: char| character.is_ascii_uppercase()))
}

/// What is wrong with a key of labels, annotations, taints or finalizers.
fn key_faults(key: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let name = match key.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                faults.push("prefix part must be non-empty".to_owned());
            } else if !is_dns_subdomain(prefix) {
                faults.push(format!("prefix part {SUBDOMAIN}"));
            }
            *name
        }
        _ => {
            return vec![format!(
                "a qualified name {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                NAME_CHARS.trim_start_matches("name part ")
            )];
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        faults.push("name part must be no more than 63 characters".to_owned());
    }
    if !is_token(name, &['-', '_', '.']) {
        faults.push(NAME_CHARS.to_owned());
    }
    faults
}

pub(crate) fn is_qualified_name(key: &str) -> bool {
    key_faults(key).is_empty()
}

fn label_value_fault(value: &str) -> Option<&'static str> {
    if value.len() > 63 {
        return Some("must be no more than 63 characters");
    }
    (!value.is_empty() && !is_token(value, &['-', '_', '.'])).then_some(LABEL_VALUE)
}

/// What is wrong with an object of the type.
pub(crate) fn object(ty: &ResourceType, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let empty = Map::new();
    let metadata = object.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
    name(ty, metadata, &mut causes);
    for (key, value) in metadata.get("labels").and_then(Value::as_object).unwrap_or(&empty) {
        let shown = Value::String(key.clone());
        causes.extend(key_faults(key).iter().map(|fault| Cause::invalid("metadata.labels", &shown, fault)));
        let fault = value.as_str().and_then(label_value_fault);
        causes.extend(fault.map(|fault| Cause::invalid("metadata.labels", value, fault)));
    }
    let mut size = 0;
    for (key, value) in metadata.get("annotations").and_then(Value::as_object).unwrap_or(&empty) {
        let shown = Value::String(key.clone());
        let faults = key_faults(&key.to_lowercase());
        causes.extend(faults.iter().map(|fault| Cause::invalid("metadata.annotations", &shown, fault)));
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_LIMIT {
        causes.push(Cause {
            reason: "FieldValueTooLong",
            field: "metadata.annotations".to_owned(),
            message: format!("Too long: must have at most {ANNOTATIONS_LIMIT} bytes"),
        });
    }
    let finalizers = metadata.get("finalizers").and_then(Value::as_array).into_iter().flatten();
    for (index, finalizer) in finalizers.enumerate() {
        let text = finalizer.as_str().unwrap_or_default();
        // Custom types are held to the form of names only.
        if ty.is_custom {
            let faults = key_faults(text);
            let field = format!("metadata.finalizers[{index}]");
            causes.extend(faults.iter().map(|fault| Cause::invalid(field.clone(), finalizer, fault)));
        } else if !text.contains('/') && !matches!(text, "kubernetes" | "foregroundDeletion" | "orphan") {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            causes.push(Cause::invalid(format!("metadata.finalizers[{index}]"), finalizer, why));
        }
    }
    match ty.kind.as_str() {
        "Node" => taints(object, &mut causes),
        "Pod" => containers(object, &mut causes),
        _ => {}
    }
    causes
}

fn name(ty: &ResourceType, metadata: &Map<String, Value>, causes: &mut Vec<Cause>) {
    let Some(name) = metadata.get("name").filter(|name| **name != "") else {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
        return;
    };
    let text = name.as_str().unwrap_or_default();
    if matches!(ty.kind.as_str(), "Namespace" | "Service") && ty.group.is_empty() {
        if text.len() > 63 {
            causes.push(Cause::invalid("metadata.name", name, "must be no more than 63 characters"));
        } else if !is_dns_label(text) {
            causes.push(Cause::invalid("metadata.name", name, LABEL));
        }
    } else if text.len() > 253 {
        causes.push(Cause::invalid("metadata.name", name, "must be no more than 253 characters"));
    } else if !is_dns_subdomain(text) {
        causes.push(Cause::invalid("metadata.name", name, SUBDOMAIN));
    }
}

fn taints(node: &Value, causes: &mut Vec<Cause>) {
    let mut seen = BTreeSet::new();
    for (index, taint) in node
        .pointer("/spec/taints")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
    {
        let field = format!("metadata.taints[{index}]");
        let key = taint.get("key").cloned().unwrap_or_default();
        let faults = key_faults(key.as_str().unwrap_or_default());
        causes.extend(faults.iter().map(|fault| Cause::invalid(format!("{field}.key"), &key, fault)));
        let value = taint.get("value").and_then(Value::as_str).unwrap_or_default();
        if let Some(fault) = label_value_fault(value) {
            causes.push(Cause::invalid(format!("{field}.value"), &Value::String(value.to_owned()), fault));
        }
        let effect = taint.get("effect").and_then(Value::as_str).unwrap_or_default();
        if effect.is_empty() {
            causes.push(Cause::required(format!("{field}.effect"), ""));
        } else if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            causes.push(Cause {
                reason: "FieldValueNotSupported",
                field: format!("{field}.effect"),
                message: format!("Unsupported value: {effect:?}: supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\""),
            });
        }
        if !seen.insert((key.as_str().map(str::to_owned), effect.to_owned())) {
            causes.push(Cause::duplicate(field, &taint.to_string()));
        }
    }
}

fn containers(pod: &Value, causes: &mut Vec<Cause>) {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    let Some(containers) = containers.filter(|containers| !containers.is_empty()) else {
        causes.push(Cause::required("spec.containers", ""));
        return;
    };
    for (index, container) in containers.iter().enumerate() {
        for field in ["name", "image"] {
            if container.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
                causes.push(Cause::required(format!("spec.containers[{index}].{field}"), ""));
            }
        }
    }
}

/// What is wrong with a change.
pub(crate) fn change(ty: &ResourceType, before: &Value, after: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for field in ["name", "namespace", "uid", "creationTimestamp"] {
        let pointer = format!("/metadata/{field}");
        let now = after.pointer(&pointer).cloned().unwrap_or_default();
        if before.pointer(&pointer).cloned().unwrap_or_default() != now {
            causes.push(Cause::invalid(format!("metadata.{field}"), &now, "field is immutable"));
        }
    }
    if before.pointer("/metadata/deletionTimestamp").is_some() {
        let had = before
            .pointer("/metadata/finalizers")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let has = after
            .pointer("/metadata/finalizers")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let new: Vec<&str> = has.iter().filter(|one| !had.contains(one)).filter_map(Value::as_str).collect();
        if !new.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{\"{}\"}}",
                new.join("\", \"")
            );
            causes.push(Cause::forbidden("metadata.finalizers", &why));
        }
    }
    if ty.kind == "Pod" && ty.group.is_empty() {
        pod_change(before, after, &mut causes);
    }
    causes
}

fn pod_change(before: &Value, after: &Value, causes: &mut Vec<Cause>) {
    let rest = |pod: &Value| {
        let mut spec = pod.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
        for field in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "nodeName"] {
            spec.remove(field);
        }
        for container in spec.get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten() {
            container.as_object_mut().map(|container| container.remove("image"));
        }
        spec
    };
    let node = |pod: &Value| pod.pointer("/spec/nodeName").cloned().unwrap_or_default();
    if rest(before) != rest(after) || node(before) != node(after) {
        let why = "pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, `spec.activeDeadlineSeconds` or `spec.tolerations` (only additions to existing tolerations)";
        causes.push(Cause::forbidden("spec", why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node() -> ResourceType {
        crate::kinds::built_in()
            .into_iter()
            .find(|ty| ty.kind == "Node")
            .map(|ty| (*ty).clone())
            .unwrap()
    }

    #[test]
    fn a_label_value_has_at_most_63_characters() {
        let with = |value: String| object(&node(), &json!({"metadata": {"name": "n", "labels": {"a.b/c": value}}}));
        assert_eq!(with("x".repeat(63)), []);
        assert_eq!(with("x".repeat(64)).len(), 1);
        assert_eq!(with("-".to_owned()).len(), 1);
    }

    #[test]
    fn a_key_has_one_prefix_at_most() {
        assert!(is_qualified_name("poolkeeper.io/pool"));
        assert!(!is_qualified_name("a/b/c"));
        assert!(!is_qualified_name("A_b/c"));
        assert!(!is_qualified_name("/c"));
        assert!(!is_qualified_name(""));
    }

    #[test]
    fn a_taint_stands_once_per_effect() {
        let taint = |effect: &str| json!({"key": "a", "value": "b", "effect": effect});
        let with = |taints: Value| object(&node(), &json!({"metadata": {"name": "n"}, "spec": {"taints": taints}}));
        assert_eq!(with(json!([taint("NoSchedule"), taint("NoExecute")])), []);
        assert_eq!(with(json!([taint("NoSchedule"), taint("NoSchedule")])).len(), 1);
        assert_eq!(with(json!([taint("Never")])).len(), 1);
    }

    #[test]
    fn what_is_being_deleted_gets_no_new_finalizers() {
        let at = |finalizers: Value| json!({"metadata": {"name": "n", "deletionTimestamp": "x", "finalizers": finalizers}});
        assert_eq!(change(&node(), &at(json!(["a/b", "c/d"])), &at(json!(["a/b"]))), []);
        assert_eq!(change(&node(), &at(json!(["a/b"])), &at(json!(["a/b", "c/d"]))).len(), 1);
    }
}
