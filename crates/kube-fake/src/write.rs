//! Create, update and patch: one way in for every object.

use crate::answer::Answer;
use crate::apply::Owners;
use crate::call::Call;
use crate::kinds::ResourceType;
use crate::objects::{Key, State, set, text, unset};
use crate::refusal::{Cause, Refusal};
use crate::{admission, crd, delete, patch, validate};
use serde_json::{Value, json};
use std::sync::Arc;

const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// POST to a collection.
pub(crate) fn create(state: &mut State, call: &Call) -> Result<Answer, Refusal> {
    let mut object = body(call)?;
    if text(&object, "/metadata/name").is_empty() && !text(&object, "/metadata/generateName").is_empty() {
        let name = format!("{}{}", text(&object, "/metadata/generateName"), state.suffix());
        set(&mut object, &["metadata", "name"], json!(name));
    }
    if !text(&object, "/metadata/resourceVersion").is_empty() {
        return Err(Refusal::plain_error("resourceVersion should not be set on objects to be created"));
    }
    let created = insert(state, call, object, None)?;
    Ok(Answer::object(201, &call.ty, &created, call.wants_metadata_only()))
}

/// Stores an object that was not there.
fn insert(state: &mut State, call: &Call, mut object: Value, owners: Option<Owners>) -> Result<Arc<Value>, Refusal> {
    let ty = &call.ty;
    place(state, call, &mut object)?;
    for field in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
    ] {
        unset(&mut object, &["metadata", field]);
    }
    first_status(state, ty, &mut object);
    object = state.stamped(object, u64::from(ty.counts_generations()));
    tidy(ty, &mut object);
    // What the cluster adds belongs to nobody.
    let sent = object.clone();
    admission::mutate(state, call, &mut object);
    let name = text(&object, "/metadata/name").to_owned();
    let causes = validate::object(ty, &object);
    if !causes.is_empty() {
        return Err(Refusal::invalid(ty, &name, &causes));
    }
    let key = Key::new(&ty.qualified(), &call.namespace, &name);
    if state.objects.contains_key(&key) {
        return Err(Refusal::already_exists(ty, &name));
    }
    admission::validate(state, call, None, &object)?;
    if ty.kind == "CustomResourceDefinition" {
        crd::created(state, &mut object);
    }
    let owners = owners.unwrap_or_else(|| {
        let mut owners = Owners::default();
        if ty.tracks_owners() {
            owners.wrote(call.manager(), None, &sent);
        }
        owners
    });
    remember(state, &key, owners);
    Ok(state.commit(&call.user, key, Some(object)))
}

fn remember(state: &mut State, key: &Key, owners: Owners) {
    if !state.dry_run {
        state.owners.insert(key.clone(), owners);
    }
}

/// The body as an object of the type, without saying so itself.
fn body(call: &Call) -> Result<Value, Refusal> {
    let object = call.json()?;
    check_type(call, &object)?;
    Ok(stripped(object))
}

fn stripped(mut object: Value) -> Value {
    for field in ["apiVersion", "kind"] {
        unset(&mut object, &[field]);
    }
    unset(&mut object, &["metadata", "managedFields"]);
    if object.get("metadata").is_none_or(|metadata| !metadata.is_object()) {
        set(&mut object, &["metadata"], json!({}));
    }
    object
}

fn check_type(call: &Call, object: &Value) -> Result<(), Refusal> {
    let (kind, version) = (text(object, "/kind"), text(object, "/apiVersion"));
    if !object.is_object() {
        return Err(Refusal::bad_request("the body of the request is not an object"));
    }
    if (!kind.is_empty() && kind != call.ty.kind) || (!version.is_empty() && version != call.ty.api_version()) {
        let message = format!(
            "the API version in the data ({version}) does not match the expected API version ({})",
            call.ty.api_version()
        );
        let message = if kind == call.ty.kind {
            message
        } else {
            format!("{} in version {:?} cannot be handled as a {}", kind, version, call.ty.kind)
        };
        return Err(Refusal::bad_request(message));
    }
    Ok(())
}

/// The namespace of the URL is that of the object, exists, and is not going.
fn place(state: &State, call: &Call, object: &mut Value) -> Result<(), Refusal> {
    if !call.ty.is_namespaced {
        unset(object, &["metadata", "namespace"]);
        return Ok(());
    }
    let own = text(object, "/metadata/namespace");
    if !own.is_empty() && own != call.namespace {
        return Err(Refusal::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    set(object, &["metadata", "namespace"], json!(call.namespace));
    let name = text(object, "/metadata/name");
    let Some(namespace) = state.get("namespaces", "", &call.namespace) else {
        let namespaces = state.by_qualified("namespaces").unwrap_or_else(|| Arc::clone(&call.ty));
        return Err(Refusal::not_found(&namespaces, &call.namespace));
    };
    if namespace.pointer("/metadata/deletionTimestamp").is_some() {
        let why = format!(
            "unable to create new content in namespace {} because it is being terminated",
            call.namespace
        );
        let cause = json!({"reason": "NamespaceTerminating", "message": format!("namespace {} is being terminated", call.namespace), "field": "metadata.namespace"});
        let mut refusal = Refusal::forbidden(&call.ty, name, &why);
        if let Some(Value::Object(details)) = &mut refusal.details {
            details.insert("causes".to_owned(), json!([cause]));
        }
        return Err(refusal);
    }
    Ok(())
}

/// The status that a new object begins with.
fn first_status(state: &State, ty: &ResourceType, object: &mut Value) {
    match ty.kind.as_str() {
        // Kubelets register with theirs.
        "Node" if !ty.is_custom => {}
        "Pod" if !ty.is_custom => set(object, &["status"], json!({"phase": "Pending", "qosClass": qos(object)})),
        "Namespace" if !ty.is_custom => {
            set(object, &["status"], json!({"phase": "Active"}));
            set(object, &["spec", "finalizers"], json!(["kubernetes"]));
            let name = text(object, "/metadata/name").to_owned();
            set(object, &["metadata", "labels", "kubernetes.io/metadata.name"], json!(name));
        }
        _ if ty.has_status => {
            unset(object, &["status"]);
            if !ty.is_custom && object.get("spec").is_some() {
                set(object, &["status"], json!({}));
            }
        }
        _ => {}
    }
    debug_assert!(state.now >= jiff::Timestamp::MIN);
}

fn qos(pod: &Value) -> &'static str {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    let asks = |container: &Value, of: &str| {
        container
            .pointer(&format!("/resources/{of}"))
            .and_then(Value::as_object)
            .is_some_and(|list| list.contains_key("cpu") || list.contains_key("memory"))
    };
    if containers
        .into_iter()
        .any(|container| asks(container, "requests") || asks(container, "limits"))
    {
        "Burstable"
    } else {
        "BestEffort"
    }
}

/// PUT of an object or of its status.
pub(crate) fn update(state: &mut State, call: &Call) -> Result<Answer, Refusal> {
    let object = body(call)?;
    let key = Key::new(&call.ty.qualified(), &call.namespace, &call.name);
    let named = text(&object, "/metadata/name");
    if named != call.name {
        let message = if named.is_empty() {
            "name must be provided".to_owned()
        } else {
            format!(
                "the name of the object ({named}) does not match the name on the URL ({})",
                call.name
            )
        };
        return Err(Refusal::bad_request(message));
    }
    let Some(before) = state.objects.get(&key).cloned() else {
        if call.ty.allows_create_on_update() && call.subresource.is_none() {
            let created = insert(state, call, object, None)?;
            return Ok(Answer::object(201, &call.ty, &created, false));
        }
        return Err(Refusal::not_found(&call.ty, &call.name));
    };
    let uid = text(&object, "/metadata/uid");
    if !uid.is_empty() && uid != text(&before, "/metadata/uid") {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            text(&before, "/metadata/uid")
        );
        return Err(Refusal::conflict(&call.ty, &call.name, &why));
    }
    if text(&object, "/metadata/resourceVersion").is_empty() && !call.ty.allows_unconditional_update() {
        let cause = Cause {
            reason: "FieldValueInvalid",
            field: "metadata.resourceVersion".to_owned(),
            message: "Invalid value: 0x0: must be specified for an update".to_owned(),
        };
        return Err(Refusal::invalid(&call.ty, &call.name, &[cause]).about(&call.ty.plural));
    }
    let after = replace(state, call, &key, &before, object, None)?;
    Ok(Answer::object(200, &call.ty, &after, call.wants_metadata_only()))
}

/// PATCH of an object or of its status.
pub(crate) fn patch(state: &mut State, call: &Call) -> Result<Answer, Refusal> {
    let key = Key::new(&call.ty.qualified(), &call.namespace, &call.name);
    let before = state.objects.get(&key).cloned();
    let content_type = call.content_type.split(';').next().unwrap_or_default().trim();
    if content_type == APPLY {
        return apply(state, call, &key, before);
    }
    let before = before.ok_or_else(|| Refusal::not_found(&call.ty, &call.name))?;
    let mut object = (*before).clone();
    set(&mut object, &["kind"], json!(call.ty.kind));
    set(&mut object, &["apiVersion"], json!(call.ty.api_version()));
    let change = call.json()?;
    match content_type {
        MERGE => patch::merge(&mut object, &change),
        JSON => patch::json(&mut object, &change)?,
        STRATEGIC if !call.ty.is_custom => patch::strategic(&mut object, &change),
        other => {
            let supported = if call.ty.is_custom {
                [JSON, MERGE, APPLY].join(", ")
            } else {
                [JSON, MERGE, STRATEGIC, APPLY].join(", ")
            };
            let sent = if supported.contains(other) { "" } else { other };
            return Err(Refusal::unsupported_media_type(sent, &supported));
        }
    }
    check_patched(call, &object)?;
    let object = stripped(without_nulls(object));
    let after = replace(state, call, &key, &before, object, None)?;
    Ok(Answer::object(200, &call.ty, &after, call.wants_metadata_only()))
}

/// A patch changes neither the type nor the name.
fn check_patched(call: &Call, object: &Value) -> Result<(), Refusal> {
    if text(object, "/kind") != call.ty.kind || text(object, "/apiVersion") != call.ty.api_version() {
        let nothing = ResourceType::custom("", "", "", "", false);
        let cause = Cause::invalid("patch", &Value::Null, "the type of an object cannot be changed");
        let mut refusal = Refusal::invalid(&nothing, "", &[cause]);
        if let Some(Value::Object(details)) = &mut refusal.details {
            details.remove("kind");
        }
        return Err(refusal);
    }
    let name = text(object, "/metadata/name");
    if name != call.name {
        let message = format!("the name of the object ({name}) does not match the name on the URL ({})", call.name);
        return Err(Refusal::bad_request(message));
    }
    Ok(())
}

/// Fields that are not there if they are empty.
fn tidy(ty: &ResourceType, object: &mut Value) {
    let mut paths: Vec<&[&str]> = vec![
        &["metadata", "labels"],
        &["metadata", "annotations"],
        &["metadata", "finalizers"],
        &["metadata", "ownerReferences"],
    ];
    if !ty.is_custom {
        paths.extend([&["data"] as &[&str], &["spec", "taints"], &["spec", "tolerations"]]);
    }
    for path in paths {
        let found = path.iter().try_fold(&*object, |at, name| at.get(*name));
        let no_fields = found.and_then(Value::as_object).is_some_and(serde_json::Map::is_empty);
        let no_items = found.and_then(Value::as_array).is_some_and(Vec::is_empty);
        if no_fields || no_items {
            unset(object, path);
        }
    }
}

/// Typed decoding knows no null.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

fn apply(state: &mut State, call: &Call, key: &Key, before: Option<Arc<Value>>) -> Result<Answer, Refusal> {
    let Some(manager) = call.query.text("fieldManager") else {
        let options = ResourceType::custom("meta.k8s.io", "v1", "PatchOptions", "patchoptions", false);
        let cause = Cause::required("fieldManager", "is required for apply patch");
        return Err(Refusal::invalid(&options, "", &[cause]));
    };
    let applied = body(call)?;
    let named = text(&applied, "/metadata/name");
    if !named.is_empty() && named != call.name {
        let message = format!(
            "the name of the object ({named}) does not match the name on the URL ({})",
            call.name
        );
        return Err(Refusal::bad_request(message));
    }
    let mut owners = state.owners.get(key).cloned().unwrap_or_default();
    let merged = owners.apply(manager, call.query.flag("force"), before.as_deref(), &applied)?;
    match before {
        None => {
            if !text(&applied, "/metadata/uid").is_empty() || !text(&applied, "/metadata/resourceVersion").is_empty() {
                return Err(Refusal::conflict(
                    &call.ty,
                    &call.name,
                    "uid mismatch: the provided object specified uid or version, and no existing object was found",
                ));
            }
            let mut object = stripped(merged);
            set(&mut object, &["metadata", "name"], json!(call.name));
            let created = insert(state, call, object, Some(owners))?;
            Ok(Answer::object(201, &call.ty, &created, false))
        }
        Some(before) => {
            let mut object = stripped(merged);
            let version = text(&applied, "/metadata/resourceVersion");
            if !version.is_empty() {
                set(&mut object, &["metadata", "resourceVersion"], json!(version));
            }
            if call.subresource.is_some() {
                set(&mut object, &["status"], applied.get("status").cloned().unwrap_or_default());
            }
            let after = replace(state, call, key, &before, object, Some(owners))?;
            Ok(Answer::object(200, &call.ty, &after, false))
        }
    }
}

/// Stores a new form of an object that is there.
fn replace(
    state: &mut State,
    call: &Call,
    key: &Key,
    before: &Arc<Value>,
    mut object: Value,
    applied: Option<Owners>,
) -> Result<Arc<Value>, Refusal> {
    let ty = &call.ty;
    let version = text(&object, "/metadata/resourceVersion");
    if !version.is_empty() && version.parse::<u64>().is_err() {
        return Err(Refusal::plain_error(format!(
            "strconv.ParseUint: parsing {version:?}: invalid syntax"
        )));
    }
    if !version.is_empty() && version != text(before, "/metadata/resourceVersion") {
        return Err(Refusal::modified(ty, &call.name));
    }
    tidy(ty, &mut object);
    keep(&mut object, before);
    split(call, &mut object, before);
    if call.subresource.is_none() && ty.counts_generations() {
        let raised = rest(&object) != rest(before);
        let generation = before.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
        set(&mut object, &["metadata", "generation"], json!(generation + i64::from(raised)));
    }
    admission::mutate(state, call, &mut object);
    let mut causes = validate::change(ty, before, &object);
    causes.extend(validate::object(ty, &object));
    if !causes.is_empty() {
        return Err(Refusal::invalid(ty, &call.name, &causes));
    }
    admission::validate(state, call, Some(before), &object)?;
    let mut owners = applied.unwrap_or_else(|| state.owners.get(key).cloned().unwrap_or_default());
    if object == **before {
        remember(state, key, owners);
        return Ok(Arc::clone(before));
    }
    if !call.content_type.starts_with(APPLY) && ty.tracks_owners() && call.subresource.is_none() {
        owners.wrote(call.manager(), Some(before), &object);
    }
    remember(state, key, owners);
    if ty.kind == "CustomResourceDefinition" {
        crd::changed(state, &object);
    }
    if delete::is_finished(ty, &object) {
        if !state.dry_run {
            // Its last form is what watchers are told.
            state.objects.insert(key.clone(), Arc::new(object));
        }
        return Ok(state.commit(&call.user, key.clone(), None));
    }
    Ok(state.commit(&call.user, key.clone(), Some(object)))
}

/// What an update may leave out, and what it cannot change.
fn keep(object: &mut Value, before: &Value) {
    for field in ["uid", "creationTimestamp", "namespace", "name"] {
        let pointer = format!("/metadata/{field}");
        if text(object, &pointer).is_empty()
            && let Some(kept) = before.pointer(&pointer)
        {
            set(object, &["metadata", field], kept.clone());
        }
    }
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion"] {
        match before.pointer(&format!("/metadata/{field}")) {
            Some(kept) => set(object, &["metadata", field], kept.clone()),
            None => unset(object, &["metadata", field]),
        }
    }
}

/// A call changes the status or the rest, not both.
fn split(call: &Call, object: &mut Value, before: &Value) {
    if !call.ty.has_status {
        return;
    }
    if call.subresource.as_deref() == Some("status") {
        let status = object.get("status").cloned();
        let metadata = object.get("metadata").cloned().unwrap_or_default();
        *object = before.clone();
        if !call.ty.is_custom {
            set(object, &["metadata"], metadata);
        }
        match status {
            Some(status) => set(object, &["status"], status),
            None => unset(object, &["status"]),
        }
    } else {
        match before.get("status") {
            Some(status) => set(object, &["status"], status.clone()),
            None => unset(object, &["status"]),
        }
    }
}

/// Everything but metadata and status.
fn rest(object: &Value) -> Vec<(&String, &Value)> {
    let fields = object.as_object().into_iter().flatten();
    fields.filter(|(name, _)| *name != "metadata" && *name != "status").collect()
}
