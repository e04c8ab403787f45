//! Reading pools from requests.

use super::Pool;
use super::metadata::{annotations, labels};
use super::resources::resources;
use crate::decode::Place;
use crate::merge_patch;
use domain::field::FieldErrors;
use domain::name::{NetworkName, NodePrefix, PoolName, WorkspaceId, ZoneName};
use domain::network::parse_cidr;
use domain::pool::draft::{BillingDraft, Patched, PoolDraft, PoolEdit, PoolNetworkDraft};
use domain::pool::{DriverSpec, JobType, UpdateStrategy};
use serde_json::{Map, Value, json};
use std::cell::RefCell;

const JOB_TYPES: [(&str, JobType); 3] = [
    ("Train", JobType::Train),
    ("Infer", JobType::Infer),
    ("Notebook", JobType::Notebook),
];

/// The body of CreatePool.
pub fn decode_create(body: &Value) -> Result<PoolDraft, FieldErrors> {
    let errors = RefCell::new(FieldErrors::new());
    let draft = draft(&Place::root(body, &errors), true);
    finish(draft, errors)
}

fn finish<T>(value: Option<T>, errors: RefCell<FieldErrors>) -> Result<T, FieldErrors> {
    let errors = errors.into_inner();
    match value {
        Some(value) if errors.is_empty() => Ok(value),
        Some(_) | None => Err(errors),
    }
}

fn draft(root: &Place<'_>, is_create: bool) -> Option<PoolDraft> {
    if root.object().is_none() {
        if root.is_absent() {
            root.invalid("the body must be an object");
        }
        return None;
    }
    let version = root.field("apiVersion");
    let kind = root.field("kind");
    if is_create {
        version.required_text();
        kind.required_text();
    }
    if version.text().is_some_and(|text| text != "v1" && text != "v2") {
        version.invalid("must be v2");
    }
    if kind.text().is_some_and(|text| text != "Pool") {
        kind.invalid("must be Pool");
    }
    let metadata = root.field("metadata");
    metadata.object();
    let labels = labels(&metadata.field("labels"));
    let notes = annotations(&metadata.field("annotations"));
    let spec = root.field("spec");
    if spec.is_absent() {
        spec.required();
    }
    spec.object();
    let own = spec_draft(&spec, is_create);
    let (labels, own) = (labels?, own?);
    Some(PoolDraft {
        display_name: labels.name,
        workspace: labels.workspace,
        sharing: labels.sharing,
        node_prefix: labels.node_prefix,
        labels: labels.others,
        annotations: notes.others,
        description: notes.description,
        billing: notes.billing,
        tags: notes.tags,
        ..own
    })
}

fn spec_draft(spec: &Place<'_>, is_create: bool) -> Option<PoolDraft> {
    let kind = spec.field("type");
    if kind.is_absent() {
        kind.required();
    }
    let is_logical = kind.choice(&[("Dedicate", false), ("Logical", true)]);
    let scope = scope(&spec.field("scope"), is_create);
    let resources = resources(&spec.field("resources"));
    let parent = spec.field("parent").name(PoolName::parse);
    let network = network(&spec.field("network"));
    let container_cidr = cidr(&spec.field("containerNetwork").field("cidr"));
    spec.field("containerNetwork").object();
    let service_cidr = cidr(&spec.field("kubernetesSvcIpRange"));
    let masters = masters(&spec.field("masters"));
    let cluster_flavor = spec
        .field("clusterFlavor")
        .text()
        .filter(|text| !text.is_empty())
        .map(ToOwned::to_owned);
    let job_flavors = spec
        .field("jobFlavors")
        .items()
        .iter()
        .filter_map(|item| item.text().map(ToOwned::to_owned))
        .collect();
    let driver = driver(&spec.field("driver"));
    let ipv6 = spec.field("ipv6enable").boolean();
    let has_clusters = !spec.field("clusters").items().is_empty();
    Some(PoolDraft {
        // Put in by the caller, which knows the metadata.
        display_name: domain::name::DisplayName::parse("none").ok()?,
        workspace: None,
        sharing: None,
        node_prefix: None,
        labels: std::collections::BTreeMap::new(),
        annotations: std::collections::BTreeMap::new(),
        description: None,
        billing: BillingDraft::default(),
        tags: None,
        is_logical: is_logical?,
        scope,
        resources,
        parent,
        network,
        container_cidr,
        service_cidr,
        masters,
        cluster_flavor,
        job_flavors,
        driver,
        ipv6,
        has_clusters,
        has_user_login: !spec.field("userLogin").is_empty(),
    })
}

fn scope(place: &Place<'_>, is_create: bool) -> Option<Vec<JobType>> {
    if place.is_absent() {
        return None;
    }
    let mut found = Vec::new();
    for item in place.items() {
        let Some(job_type) = item.choice(&JOB_TYPES) else { continue };
        if found.contains(&job_type) {
            item.refuse(domain::field::Reason::Duplicate, format!("{job_type} occurs twice"));
        } else {
            found.push(job_type);
        }
    }
    if is_create && place.is_empty() {
        place.invalid("must hold at least one job type");
    }
    Some(found)
}

fn network(place: &Place<'_>) -> Option<PoolNetworkDraft> {
    if place.is_empty() {
        return None;
    }
    place.object()?;
    let text = |name: &str| place.field(name).text().filter(|text| !text.is_empty()).map(ToOwned::to_owned);
    Some(PoolNetworkDraft {
        name: place.field("name").name(NetworkName::parse),
        vpc: text("vpcId"),
        subnet: text("subnetId"),
    })
}

fn cidr(place: &Place<'_>) -> Option<String> {
    let text = place.text().filter(|text| !text.is_empty())?;
    match parse_cidr(text) {
        Ok(cidr) => Some(cidr.to_string()),
        Err(message) => {
            place.invalid(message);
            None
        }
    }
}

fn masters(place: &Place<'_>) -> Vec<Option<ZoneName>> {
    let items = place.items();
    if items.len() > 3 {
        place.invalid("may hold at most 3 entries");
    }
    items
        .iter()
        .map(|item| {
            item.object();
            item.field("az").name(ZoneName::parse)
        })
        .collect()
}

fn driver(place: &Place<'_>) -> Option<DriverSpec> {
    if place.is_empty() {
        return None;
    }
    place.object()?;
    let text = |name: &str| place.field(name).text().filter(|text| !text.is_empty()).map(ToOwned::to_owned);
    Some(DriverSpec {
        gpu_version: text("gpuVersion"),
        npu_version: text("npuVersion"),
        update_strategy: place
            .field("updateStrategy")
            .choice(&[("force", UpdateStrategy::Force), ("idle", UpdateStrategy::Idle)]),
    })
}

pub(super) fn node_prefix(place: &Place<'_>) -> Option<NodePrefix> {
    place.text().filter(|text| !text.is_empty())?;
    place.name(NodePrefix::parse)
}

pub(super) fn workspace(place: &Place<'_>) -> Option<WorkspaceId> {
    place.text().filter(|text| !text.is_empty())?;
    place.name(WorkspaceId::parse)
}

/// What PatchPool asks for: the patch is merged into the pool as clients see it.
pub fn decode_patch(current: &domain::pool::Pool, patch: &Value) -> Result<PoolEdit, FieldErrors> {
    let errors = RefCell::new(FieldErrors::new());
    let edit = edit(current, patch, &errors);
    finish(edit, errors)
}

fn edit(current: &domain::pool::Pool, patch: &Value, errors: &RefCell<FieldErrors>) -> Option<PoolEdit> {
    let sent = Place::root(patch, errors);
    if sent.object().is_none() {
        if sent.is_absent() {
            sent.invalid("the body must be an object");
        }
        return None;
    }
    check_nulls(patch, errors);
    let mut patch = patch.clone();
    if let Some(members) = patch.as_object_mut() {
        members.remove("status");
    }
    let before = serde_json::to_value(Pool::from(current)).ok()?;
    let (billing, order_id, mentions_billing) = take_billing(&mut patch, current, errors);
    let merged = merge_patch::apply(before.clone(), &patch);
    check_immutable(&before, &merged, current, errors);
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
fn keep_owned(current: &domain::pool::Pool, draft: &mut PoolDraft) {
    for (keys, from, to) in [
        (&super::metadata::OWNED_LABELS[..], &current.labels, &mut draft.labels),
        (
            &super::metadata::OWNED_ANNOTATIONS[..],
            &current.annotations,
            &mut draft.annotations,
        ),
    ] {
        for key in keys {
            if let Some(value) = from.get(*key) {
                to.insert((*key).to_owned(), value.clone());
            }
        }
    }
}

/// `null` where it removes nothing (contract pools §9.1, item 4).
fn check_nulls(patch: &Value, errors: &RefCell<FieldErrors>) {
    let refused: [&[&str]; 7] = [
        &["spec"],
        &["metadata"],
        &["metadata", "labels"],
        &["metadata", "annotations"],
        &["metadata", "labels", "os.modelarts/workspace.id"],
        &["spec", "scope"],
        &["spec", "resources"],
    ];
    for path in refused {
        let mut value = Some(patch);
        let mut place = domain::field::FieldPath::root();
        for name in path {
            value = value.and_then(|value| value.get(name));
            place = place.field(name);
        }
        if value.is_some_and(Value::is_null) {
            errors.borrow_mut().invalid(place, "must not be null");
        }
    }
}

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
fn take_billing(patch: &mut Value, current: &domain::pool::Pool, errors: &RefCell<FieldErrors>) -> (BillingDraft, Patched<String>, bool) {
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
    let order_id = match taken.remove(ORDER_ID) {
        None => Patched::Unchanged,
        Some(Value::Null) => Patched::Removed,
        Some(Value::String(text)) if text.is_empty() => Patched::Unchanged,
        Some(value) => Patched::Set(value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)),
    };
    let mentions_opaque = OPAQUE_BILLING.iter().any(|name| {
        taken
            .get(*name)
            .is_some_and(|value| value.as_str() != current.annotations.get(*name).map(String::as_str) && !value.is_null())
    });
    let wrapped = json!({"metadata": {"annotations": taken}});
    let billing = super::metadata::billing(&Place::root(&wrapped, errors).field("metadata").field("annotations"));
    (BillingDraft { order_id: None, ..billing }, order_id, mentions_opaque)
}

fn pinned_driver(current: &domain::pool::Pool, patch: &Value, shown: Option<DriverSpec>) -> Option<DriverSpec> {
    let pinned = current.physical().map(|spec| spec.driver.clone()).unwrap_or_default();
    let Some(sent) = patch.get("spec").and_then(|spec| spec.get("driver")) else {
        return current.is_physical().then_some(pinned);
    };
    if sent.is_null() {
        return current.is_physical().then(DriverSpec::default);
    }
    let shown = shown?;
    let pick = |name: &str, new: Option<String>, old: Option<String>, visible: Option<&str>| match sent.get(name) {
        None => old,
        Some(Value::Null) => None,
        // Repeating what is shown pins nothing.
        Some(_) if old.is_none() && new.as_deref() == visible => None,
        Some(_) => new,
    };
    let target = |kind| current.status.drivers.get(&kind).map(|driver| driver.target.as_str());
    Some(DriverSpec {
        gpu_version: pick(
            "gpuVersion",
            shown.gpu_version,
            pinned.gpu_version,
            target(domain::pool::Accelerator::Gpu),
        ),
        npu_version: pick(
            "npuVersion",
            shown.npu_version,
            pinned.npu_version,
            target(domain::pool::Accelerator::Npu),
        ),
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
fn check_immutable(before: &Value, after: &Value, current: &domain::pool::Pool, errors: &RefCell<FieldErrors>) {
    let root = domain::field::FieldPath::root();
    let fixed = |path: &domain::field::FieldPath, old: Option<&Value>, new: Option<&Value>| {
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
    for name in super::metadata::OWNED_LABELS.iter().chain(&[
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
    for name in super::metadata::OWNED_ANNOTATIONS.iter().chain(&["os.modelarts/tms.tags"]) {
        fixed(
            &notes.field(name),
            before["metadata"]["annotations"].get(*name),
            after["metadata"]["annotations"].get(*name),
        );
    }
    let spec = root.field("spec");
    let mut names = vec![
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
    ];
    if current.is_physical() {
        names.push("clusters");
    }
    for name in names {
        let (old, new) = (before["spec"].get(name), after["spec"].get(name));
        let is_empty = |value: Option<&Value>| {
            value.is_none_or(|value| value.as_array().is_some_and(Vec::is_empty) || *value == json!({}) || *value == json!(false))
        };
        if !(is_empty(old) && is_empty(new)) {
            fixed(&spec.field(name), old, new);
        }
    }
}

/// The body of RetryPoolScope.
pub fn decode_retry_scope(body: &Value) -> Result<JobType, FieldErrors> {
    let errors = RefCell::new(FieldErrors::new());
    let scope = {
        let root = Place::root(body, &errors);
        root.object();
        let scope = root.field("scope");
        scope.required_text();
        scope.choice(&JOB_TYPES)
    };
    finish(scope, errors)
}
