//! Deletion: preconditions, grace, finalizers, collections.

use crate::answer::Answer;
use crate::call::Call;
use crate::kinds::ResourceType;
use crate::objects::{Key, State, set, text};
use crate::refusal::Refusal;
use crate::selector::{FieldSelector, LabelSelector};
use jiff::Span;
use serde_json::{Value, json};
use std::sync::Arc;

/// What became of an object that was to be deleted.
pub(crate) enum Outcome {
    Gone(Arc<Value>),
    /// Marked; somebody else finishes.
    Pending(Arc<Value>),
}

fn options(call: &Call) -> Result<Value, Refusal> {
    let mut options = if call.body.is_empty() { json!({}) } else { call.json()? };
    if let Some(grace) = call.query.number("gracePeriodSeconds")? {
        set(&mut options, &["gracePeriodSeconds"], json!(grace));
    }
    if let Some(policy) = call.query.text("propagationPolicy") {
        set(&mut options, &["propagationPolicy"], json!(policy));
    }
    Ok(options)
}

pub(crate) fn delete(state: &mut State, call: &Call) -> Result<Answer, Refusal> {
    let key = Key::new(&call.ty.qualified(), &call.namespace, &call.name);
    if state.objects.contains_key(&key) {
        crate::admission::validate_delete(state, &call.ty, &call.name)?;
    }
    let outcome = delete_one(state, &call.user, &call.ty, key, &options(call)?)?;
    Ok(match outcome {
        Outcome::Pending(object) => Answer::object(200, &call.ty, &object, call.wants_metadata_only()),
        Outcome::Gone(object) if returns_object(&call.ty) => Answer::object(200, &call.ty, &object, call.wants_metadata_only()),
        Outcome::Gone(object) => Answer::deleted(&call.ty, &object),
    })
}

fn returns_object(ty: &ResourceType) -> bool {
    ty.group.is_empty() && matches!(ty.kind.as_str(), "Pod" | "Service" | "ServiceAccount")
}

/// Deletes an object, or marks it for those that have to finish first.
pub(crate) fn delete_one(state: &mut State, by: &str, ty: &ResourceType, key: Key, options: &Value) -> Result<Outcome, Refusal> {
    let object = state.objects.get(&key).cloned().ok_or_else(|| Refusal::not_found(ty, &key.name))?;
    preconditions(ty, &key, &object, options)?;
    if ty.kind == "Namespace" {
        return Ok(delete_namespace(state, by, key, &object));
    }
    let grace = grace(ty, &object, options);
    let marked = object.pointer("/metadata/deletionTimestamp").is_some();
    let mut after = (*object).clone();
    if options.get("propagationPolicy").and_then(Value::as_str) == Some("Foreground") && !marked {
        let mut finalizers = finalizers(&after);
        if !finalizers.iter().any(|one| one == "foregroundDeletion") {
            finalizers.push("foregroundDeletion".to_owned());
        }
        set(&mut after, &["metadata", "finalizers"], json!(finalizers));
    }
    let waits = !finalizers(&after).is_empty();
    if grace == 0 && !waits {
        if ty.kind == "CustomResourceDefinition" {
            crate::crd::deleted(state, by, &object);
        }
        if ty.kind == "Pod" && !state.dry_run {
            // Its last form says that nobody waits for it any more.
            let mut last = (*object).clone();
            set(&mut last, &["metadata", "deletionTimestamp"], json!(state.time()));
            set(&mut last, &["metadata", "deletionGracePeriodSeconds"], json!(0));
            state.objects.insert(key.clone(), Arc::new(last));
        }
        return Ok(Outcome::Gone(state.commit(by, key, None)));
    }
    let running = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
    if running.is_some_and(|running| running <= grace) {
        // It is being deleted, and not later than is asked for now.
        return Ok(Outcome::Pending(object));
    }
    let deadline = state.now.checked_add(Span::new().seconds(grace)).unwrap_or(state.now);
    set(
        &mut after,
        &["metadata", "deletionTimestamp"],
        json!(crate::objects::time(deadline)),
    );
    set(&mut after, &["metadata", "deletionGracePeriodSeconds"], json!(grace));
    if ty.counts_generations() && !marked {
        let generation = after.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
        set(&mut after, &["metadata", "generation"], json!(generation + 1));
    }
    Ok(Outcome::Pending(state.commit(by, key, Some(after))))
}

fn preconditions(ty: &ResourceType, key: &Key, object: &Value, options: &Value) -> Result<(), Refusal> {
    let asked = |name: &str| options.pointer(&format!("/preconditions/{name}")).and_then(Value::as_str);
    let uid = text(object, "/metadata/uid");
    if let Some(asked) = asked("uid").filter(|asked| *asked != uid) {
        let why = format!("Precondition failed: UID in precondition: {asked}, UID in object meta: {uid}");
        return Err(Refusal::conflict(ty, &key.name, &why).about(&ty.kind));
    }
    let version = text(object, "/metadata/resourceVersion");
    if let Some(asked) = asked("resourceVersion").filter(|asked| *asked != version) {
        let why = format!("Precondition failed: ResourceVersion in precondition: {asked}, ResourceVersion in object meta: {version}");
        return Err(Refusal::conflict(ty, &key.name, &why).about(&ty.kind));
    }
    Ok(())
}

/// Seconds until a kubelet has to have ended the pod. Everything else goes at once.
fn grace(ty: &ResourceType, object: &Value, options: &Value) -> i64 {
    let is_pod = ty.kind == "Pod" && ty.group.is_empty();
    let is_bound = !text(object, "/spec/nodeName").is_empty();
    let is_over = matches!(text(object, "/status/phase"), "Succeeded" | "Failed");
    if !is_pod || !is_bound || is_over {
        return 0;
    }
    let asked = options.get("gracePeriodSeconds").and_then(Value::as_i64);
    let own = object.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
    asked.or(own).unwrap_or(30).max(0)
}

pub(crate) fn finalizers(object: &Value) -> Vec<String> {
    let finalizers = object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    finalizers.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A namespace is emptied by its controller first.
fn delete_namespace(state: &mut State, by: &str, key: Key, object: &Value) -> Outcome {
    let is_done = object
        .pointer("/spec/finalizers")
        .and_then(Value::as_array)
        .is_none_or(Vec::is_empty);
    if is_done && finalizers(object).is_empty() {
        return Outcome::Gone(state.commit(by, key, None));
    }
    let mut after = object.clone();
    if object.pointer("/metadata/deletionTimestamp").is_none() {
        set(&mut after, &["metadata", "deletionTimestamp"], json!(state.time()));
        set(&mut after, &["status", "phase"], json!("Terminating"));
        return Outcome::Pending(state.commit(by, key, Some(after)));
    }
    Outcome::Pending(Arc::new(after))
}

/// After a change: an object that was only waiting for its finalizers is gone with the last one.
pub(crate) fn is_finished(ty: &ResourceType, object: &Value) -> bool {
    let is_marked = object.pointer("/metadata/deletionTimestamp").is_some();
    let has_grace = object
        .pointer("/metadata/deletionGracePeriodSeconds")
        .and_then(Value::as_i64)
        .unwrap_or(0)
        > 0;
    let is_namespace = ty.kind == "Namespace"
        && object
            .pointer("/spec/finalizers")
            .and_then(Value::as_array)
            .is_some_and(|list| !list.is_empty());
    is_marked && !has_grace && !is_namespace && finalizers(object).is_empty()
}

pub(crate) fn delete_collection(state: &mut State, call: &Call) -> Result<Answer, Refusal> {
    let options = options(call)?;
    let qualified = call.ty.qualified();
    let labels = LabelSelector::parse(call.query.text("labelSelector").unwrap_or_default())?;
    let fields = FieldSelector::parse(&call.ty, call.query.text("fieldSelector").unwrap_or_default())?;
    let all = state.range(&qualified, &call.namespace);
    let keys: Vec<Key> = all
        .filter(|(_, object)| labels.matches(object) && fields.matches(object))
        .map(|(key, _)| key.clone())
        .collect();
    let mut items = Vec::with_capacity(keys.len());
    for key in keys {
        crate::admission::validate_delete(state, &call.ty, &key.name)?;
        match delete_one(state, &call.user, &call.ty, key, &options)? {
            Outcome::Gone(object) | Outcome::Pending(object) => items.push(object),
        }
    }
    let page = crate::answer::Page {
        ty: &call.ty,
        items: &items,
        version: state.version,
        next: None,
        remaining: None,
        metadata_only: call.wants_metadata_only(),
    };
    Ok(Answer::Body {
        code: 200,
        json: crate::answer::write_list(&page),
        retry_after: None,
    })
}
