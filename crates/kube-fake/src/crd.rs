//! Types that are made by making a CustomResourceDefinition.

use crate::kinds::ResourceType;
use crate::objects::{Key, State, set, text};
use serde_json::{Value, json};
use std::sync::Arc;

/// The types that a definition asks for.
fn types(definition: &Value) -> Vec<ResourceType> {
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
    let served = versions.filter(|version| version.get("served").and_then(Value::as_bool) != Some(false));
    served
        .map(|version| {
            let mut ty = ResourceType::custom(
                text(definition, "/spec/group"),
                text(version, "/name"),
                text(definition, "/spec/names/kind"),
                text(definition, "/spec/names/plural"),
                text(definition, "/spec/scope") == "Namespaced",
            );
            ty.has_status = version.pointer("/subresources/status").is_some();
            ty
        })
        .collect()
}

/// A new definition is served at once, and says so.
pub(crate) fn created(state: &mut State, definition: &mut Value) {
    let condition = |ty: &str, reason: &str, message: &str| json!({"type": ty, "status": "True", "reason": reason, "message": message, "lastTransitionTime": state.time()});
    let conditions = json!([
        condition("NamesAccepted", "NoConflicts", "no conflicts found"),
        condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    ]);
    set(definition, &["status", "conditions"], conditions);
    if definition.pointer("/spec/conversion").is_none() {
        set(definition, &["spec", "conversion"], json!({"strategy": "None"}));
    }
    let names = definition.pointer("/spec/names").cloned().unwrap_or_default();
    set(definition, &["status", "acceptedNames"], names);
    changed(state, definition);
}

/// Serves what the definition says now.
pub(crate) fn changed(state: &mut State, definition: &Value) {
    if state.dry_run {
        return;
    }
    let types = types(definition);
    if let Some(first) = types.first() {
        let qualified = first.qualified();
        state.types.retain(|ty| !ty.is_custom || ty.qualified() != qualified);
    }
    state.types.extend(types.into_iter().map(Arc::new));
}

/// With a definition its type goes, and all objects of it.
pub(crate) fn deleted(state: &mut State, by: &str, definition: &Value) {
    if state.dry_run {
        return;
    }
    for ty in types(definition) {
        let qualified = ty.qualified();
        let keys: Vec<Key> = state.range(&qualified, "").map(|(key, _)| key.clone()).collect();
        for key in keys {
            state.commit(by, key, None);
        }
        state.types.retain(|known| **known != ty);
    }
}
