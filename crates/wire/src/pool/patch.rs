//! What PatchPool asks for: the patch is merged into the pool as clients see it (contract pools §9).

use super::Pool;
use super::decode::draft;
use super::metadata::{OWNED_ANNOTATIONS, OWNED_LABELS, billing};
use crate::decode::{Place, finish, strike};
use crate::merge_patch;
use domain::field::{FieldErrors, FieldPath};
use domain::pool::draft::{BillingDraft, Patched, PoolDraft, PoolEdit};
use domain::pool::{self as model, Accelerator, DriverSpec, UpdateStrategy};
use serde_json::{Map, Value, json};
use std::cell::RefCell;

/// Merges the body of PatchPool into the pool that it is for.
pub fn decode_patch(current: &model::Pool, patch: &Value) -> Result<PoolEdit, FieldErrors> {
    let errors = RefCell::new(FieldErrors::new());
    let edit = edit(current, patch, &errors);
    finish(edit, errors)
}

fn edit(current: &model::Pool, patch: &Value, errors: &RefCell<FieldErrors>) -> Option<PoolEdit> {
    Place::root(patch, errors).body()?;
    let mut patch = patch.clone();
    strike(&mut patch, &NOT_NULL, OBJECTS, errors);
    if let Some(members) = patch.as_object_mut() {
        members.remove("status");
    }
    let before = serde_json::to_value(Pool::from(current)).ok()?;
    let (billing, order_id, mentions_billing) = take_billing(&mut patch, current, errors);
    let merged = merge_patch::apply(before.clone(), &patch);
    check_immutable(&before, &merged, errors);
    let shown = Place::root(&merged, errors);
    let mut draft = draft(&shown, false)?;
    keep_owned(current, &mut draft);
    // What is shown of a driver is filled in by the server; what is pinned is kept beside it.
    draft.driver = pinned_driver(current, &patch, draft.driver);
    let mentions_resources = patch.get("spec").and_then(|spec| spec.get("resources")).is_some();
    Some(PoolEdit {
        draft,
        mentions_resources,
        billing,
        mentions_billing,
        order_id,
    })
}

/// Labels and annotations that the server has put there stay.
fn keep_owned(current: &model::Pool, draft: &mut PoolDraft) {
    for (keys, from, to) in [
        (&OWNED_LABELS[..], &current.labels, &mut draft.labels),
        (&OWNED_ANNOTATIONS[..], &current.annotations, &mut draft.annotations),
    ] {
        for key in keys {
            if let Some(value) = from.get(*key) {
                to.insert((*key).to_owned(), value.clone());
            }
        }
    }
}

/// Where `null` removes nothing (contract pools §9.1, item 4).
const NOT_NULL: [&[&str]; 7] = [
    &["metadata"],
    &["metadata", "labels"],
    &["metadata", "annotations"],
    &["spec"],
    &["metadata", "labels", "os.modelarts/workspace.id"],
    &["spec", "scope"],
    &["spec", "resources"],
];
/// How many of them must be objects.
const OBJECTS: usize = 4;

const BILLING: [&str; 5] = [
    "os.modelarts/billing.mode",
    "os.modelarts/period.num",
    "os.modelarts/period.type",
    "os.modelarts/auto.renew",
    "os.modelarts/auto.pay",
];
const OPAQUE_BILLING: [&str; 2] = ["os.modelarts/promotion.info", "os.modelarts/service.console.url"];
const ORDER_ID: &str = "os.modelarts/order.id";

/// Takes the billing annotations out of a patch: they describe the change, not the pool.
fn take_billing(patch: &mut Value, current: &model::Pool, errors: &RefCell<FieldErrors>) -> (BillingDraft, Patched<String>, bool) {
    let mut taken = Map::new();
    if let Some(notes) = patch
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut("annotations"))
        .and_then(Value::as_object_mut)
    {
        for name in BILLING.iter().chain(&OPAQUE_BILLING).chain([&ORDER_ID]) {
            if let Some(value) = notes.remove(*name) {
                taken.insert((*name).to_owned(), value);
            }
        }
    }
    let is_order_removed = taken.get(ORDER_ID).is_some_and(Value::is_null);
    let wrapped = json!({"metadata": {"annotations": taken}});
    let place = Place::root(&wrapped, errors).field("metadata").field("annotations");
    let mentions_opaque = OPAQUE_BILLING
        .into_iter()
        .filter_map(|name| Some((name, place.field(name).scalar()?)))
        .filter(|(name, sent)| current.annotations.get(*name) != Some(sent))
        .count()
        > 0;
    let billing = billing(&place);
    let order_id = match &billing.order_id {
        _ if is_order_removed => Patched::Removed,
        Some(id) => Patched::Set(id.clone()),
        None => Patched::Unchanged,
    };
    (BillingDraft { order_id: None, ..billing }, order_id, mentions_opaque)
}

fn pinned_driver(current: &model::Pool, patch: &Value, shown: Option<DriverSpec>) -> Option<DriverSpec> {
    let pinned = current.physical().map(|spec| spec.driver.clone()).unwrap_or_default();
    let Some(sent) = patch.get("spec").and_then(|spec| spec.get("driver")) else {
        return current.is_physical().then_some(pinned);
    };
    if sent.is_null() {
        return current.is_physical().then(DriverSpec::default);
    }
    // An empty list is as good as nothing.
    let Some(shown) = shown else {
        return current.is_physical().then_some(pinned);
    };
    let pick = |name: &str, new: Option<String>, old: Option<String>, visible: Option<&str>| match sent.get(name) {
        None => old,
        Some(Value::Null) => None,
        // Repeating what is shown pins nothing.
        Some(_) if old.is_none() && new.as_deref() == visible => None,
        Some(_) => new,
    };
    let target = |kind| current.status.drivers.get(&kind).map(|driver| driver.target.as_str());
    Some(DriverSpec {
        gpu_version: pick("gpuVersion", shown.gpu_version, pinned.gpu_version, target(Accelerator::Gpu)),
        npu_version: pick("npuVersion", shown.npu_version, pinned.npu_version, target(Accelerator::Npu)),
        update_strategy: match sent.get("updateStrategy") {
            None => pinned.update_strategy,
            Some(Value::Null) => None,
            Some(_) => match shown.update_strategy {
                Some(UpdateStrategy::Idle) if pinned.update_strategy.is_none() => None,
                strategy => strategy,
            },
        },
    })
}

/// Members that may differ after a patch. Whatever else differs cannot be modified.
fn check_immutable(before: &Value, after: &Value, errors: &RefCell<FieldErrors>) {
    let root = FieldPath::root();
    let fixed = |path: &FieldPath, old: Option<&Value>, new: Option<&Value>| {
        // Numbers and flags may be sent where texts are shown.
        let as_text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        if old != new && old.map(as_text) != new.map(as_text) {
            errors.borrow_mut().immutable(path.clone());
        }
    };
    for name in ["apiVersion", "kind"] {
        fixed(&root.field(name), before.get(name), after.get(name));
    }
    let metadata = root.field("metadata");
    for name in ["name", "creationTimestamp", "deletionTimestamp"] {
        fixed(&metadata.field(name), before["metadata"].get(name), after["metadata"].get(name));
    }
    let labels = metadata.field("labels");
    for name in OWNED_LABELS.iter().chain(&[
        "os.modelarts/name",
        "os.modelarts/node.prefix",
        "os.modelarts/enterprise.project.id",
    ]) {
        fixed(
            &labels.field(name),
            before["metadata"]["labels"].get(*name),
            after["metadata"]["labels"].get(*name),
        );
    }
    let notes = metadata.field("annotations");
    for name in OWNED_ANNOTATIONS.iter().chain(&["os.modelarts/tms.tags"]) {
        fixed(
            &notes.field(name),
            before["metadata"]["annotations"].get(*name),
            after["metadata"]["annotations"].get(*name),
        );
    }
    let spec = root.field("spec");
    for name in [
        "type",
        "parent",
        "network",
        "containerNetwork",
        "kubernetesSvcIpRange",
        "masters",
        "clusterFlavor",
        "userLogin",
        "ipv6enable",
        "controlMode",
        "clusters",
    ] {
        let (old, new) = (before["spec"].get(name), after["spec"].get(name));
        let is_empty = |value: Option<&Value>| {
            value.is_none_or(|value| [json!([]), json!({}), json!(false), json!("false"), json!("")].contains(value))
        };
        if !(is_empty(old) && is_empty(new)) {
            fixed(&spec.field(name), old, new);
        }
    }
}
