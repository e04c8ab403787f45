//! The operator API's own objects (semantics §15): plain JSON without `kind` and `apiVersion`.
//!
//! Unknown members are refused, unlike in the public API: no other program's client sends anything for its own use here,
//! so an unknown member is a slip of the pen.

pub mod accounts;
pub mod audit;
pub mod configuration;
pub mod flavor;
pub mod machine;
pub mod outside;
pub mod scheduled;
pub mod template;
pub mod workload;

use crate::decode::Place;
use crate::list::ListMeta;
use domain::field::{FieldErrors, FieldPath, Reason};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::cell::RefCell;
use utoipa::ToSchema;

/// A moment as the operator API spells it.
pub fn moment(at: Timestamp) -> String {
    crate::time::rfc3339(at)
}

/// Reads a body, and gives all that is wrong with it where something is.
pub fn decode<T>(body: &Value, read: impl FnOnce(&Place<'_>) -> Option<T>) -> Result<T, FieldErrors> {
    if !body.is_object() {
        return Err(no_object());
    }
    let errors = RefCell::new(FieldErrors::new());
    let found = read(&Place::root(body, &errors));
    errors.into_inner().into_result()?;
    found.ok_or_else(|| FieldErrors::one(FieldPath::root(), Reason::Invalid, "the body cannot be read"))
}

fn no_object() -> FieldErrors {
    FieldErrors::one(FieldPath::root(), Reason::Invalid, "the body must be an object")
}

/// Refuses members that there are not.
pub fn only(place: &Place<'_>, known: &[&str]) {
    let Some(members) = place.value().and_then(Value::as_object) else {
        return;
    };
    for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
        place
            .field(name)
            .refuse(Reason::Forbidden, format!("unknown member, not one of {}", known.join(", ")));
    }
}

/// Whether a member is sent as `null`, which in a patch takes the value away.
pub fn is_removed(place: &Place<'_>, name: &str) -> bool {
    place.value().and_then(|value| value.get(name)).is_some_and(Value::is_null)
}

/// Refuses to take away what has to be there.
pub fn keep(place: &Place<'_>, names: &[&str]) {
    for name in names.iter().filter(|name| is_removed(place, name)) {
        place.field(name).invalid("must not be null");
    }
}

/// A patch of an object: the whole object as it is to be, in the form in which it is read from a create. `fixed` members
/// may be sent as they are, and not otherwise.
fn patched<T: Serialize>(current: &T, patch: &Value, fixed: &[&str]) -> Result<Value, FieldErrors> {
    let Some(changes) = patch.as_object() else {
        return Err(no_object());
    };
    let before = serde_json::to_value(current).unwrap_or_default();
    let mut errors = FieldErrors::new();
    for name in fixed {
        if changes.get(*name).is_some_and(|sent| Some(sent) != before.get(*name)) {
            errors.immutable(FieldPath::root().field(name));
        }
    }
    errors.into_result()?;
    Ok(crate::merge_patch::apply(before, patch))
}

macro_rules! lists {
    ($($name:ident: $member:ident of $item:ty;)+) => {$(
        #[derive(Debug, Clone, Serialize, ToSchema)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            pub metadata: ListMeta,
            pub $member: Vec<$item>,
        }

        impl $name {
            pub fn of(metadata: ListMeta, $member: Vec<$item>) -> Self {
                Self { metadata, $member }
            }
        }
    )+};
}

lists! {
    DomainList: domains of accounts::DomainView;
    ProjectList: projects of accounts::ProjectView;
    UserList: users of accounts::UserView;
    AccessKeyList: access_keys of accounts::AccessKeyView;
    FlavorList: flavors of flavor::FlavorView;
    MachineList: machines of machine::MachineView;
    TemplateList: plugin_templates of template::TemplateView;
    AuditList: entries of audit::AuditView;
    SubmittedWorkloadList: workloads of workload::WorkloadView;
}

#[cfg(test)]
mod tests;
