//! Node pools: the elements of `spec.resources`, each as an object of its own (contract nodes §5).

use crate::decode::{Place, finish};
use crate::merge_patch;
use crate::pool::{PoolResource, Resources, decode_patch};
use domain::field::{FieldError, FieldErrors, FieldPath, Reason};
use domain::name::NodePoolName;
use domain::pool as model;
use domain::pool::draft::PoolEdit;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodePool {
    /// `v2`
    pub api_version: &'static str,
    /// `NodePool`
    pub kind: &'static str,
    pub metadata: NodePoolMetadata,
    pub spec: NodePoolSpec,
    pub status: NodePoolStatus,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NodePoolMetadata {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NodePoolSpec {
    pub resources: PoolResource,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NodePoolStatus {
    pub resources: Resources,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodePoolList {
    pub kind: &'static str,
    pub api_version: &'static str,
    pub items: Vec<NodePool>,
}

impl NodePool {
    /// The node pool of an element of the pool.
    pub fn of(pool: &model::Pool, element: &model::PoolResource) -> Self {
        let name = element.node_pool();
        let key = element.element();
        let mut resources = PoolResource::from(element);
        resources.node_pool = Some(name.to_string());
        let own = |list: &[model::FlavorCount]| list.iter().filter(|entry| entry.key == key).cloned().collect();
        let status = &pool.status.resources;
        let counts = model::ResourceCounts {
            creating: own(&status.creating),
            available: own(&status.available),
            abnormal: own(&status.abnormal),
            deleting: own(&status.deleting),
        };
        Self {
            api_version: "v2",
            kind: "NodePool",
            metadata: NodePoolMetadata { name: name.to_string() },
            spec: NodePoolSpec { resources },
            status: NodePoolStatus {
                resources: Resources::from(&counts),
            },
        }
    }
}

impl NodePoolList {
    pub fn of(pool: &model::Pool) -> Self {
        Self {
            kind: "NodePoolList",
            api_version: "v2",
            items: pool.spec.resources.iter().map(|element| NodePool::of(pool, element)).collect(),
        }
    }
}

/// Nodes of one element at most.
const MAX_COUNT: u32 = 2000;

/// A node pool that a request wants, and the change of the pool that gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct NodePoolEdit {
    pub name: NodePoolName,
    pub edit: PoolEdit,
    /// Billing annotations were sent.
    pub mentions_billing: bool,
}

/// What CreateNodePool asks for, given the pool as it is.
pub fn decode_create(current: &model::Pool, body: &Value) -> Result<NodePoolEdit, FieldErrors> {
    let errors = RefCell::new(FieldErrors::new());
    let found = new_element(body, &errors);
    let (name, element) = finish(found, errors)?;
    let mut elements = shown(current);
    elements.push(element);
    let (edit, mentions_billing) = edit(current, &elements, body)?;
    Ok(NodePoolEdit {
        name,
        edit,
        mentions_billing,
    })
}

fn new_element(body: &Value, errors: &RefCell<FieldErrors>) -> Option<(NodePoolName, Value)> {
    let root = Place::root(body, errors);
    root.body()?;
    for (field, wanted) in [("apiVersion", "v2"), ("kind", "NodePool")] {
        let place = root.field(field);
        place.required_text();
        place.choice(&[(wanted, ())]);
    }
    let metadata = root.field("metadata");
    metadata.may_have_fields();
    let name = metadata.field("name");
    name.required_text();
    let resources = root.field("spec").field("resources");
    if resources.is_absent() {
        resources.required();
    }
    resources.object()?;
    let text = name.text()?;
    let is_default = resources
        .field("flavor")
        .text()
        .is_some_and(|flavor| text.strip_suffix("-default") == Some(flavor));
    let parsed = if is_default {
        name.parsed(text, NodePoolName::parse)?
    } else {
        name.parsed(text, NodePoolName::parse_chosen)?
    };
    let node_pool = resources.field("nodePool");
    if node_pool.text().is_some_and(|sent| !sent.is_empty() && sent != text) {
        node_pool.invalid("must equal metadata.name");
    }
    let count = resources.field("count");
    if count.is_absent() {
        count.required();
    }
    let count = count.integer(1, MAX_COUNT);
    let most = resources.field("maxCount");
    if let (Some(count), Some(most_count)) = (count, most.integer(0, MAX_COUNT))
        && most_count > count
    {
        most.invalid(format!("must not be more than count ({count})"));
    }
    let mut element = resources.value()?.clone();
    if let Some(members) = element.as_object_mut() {
        members.remove("maxCount");
        if is_default {
            members.remove("nodePool");
        } else {
            members.insert("nodePool".to_owned(), json!(text));
        }
    }
    Some((parsed, element))
}

/// What PatchNodePool asks for, given the pool and the place of the node pool in it.
pub fn decode_change(current: &model::Pool, at: usize, body: &Value) -> Result<NodePoolEdit, FieldErrors> {
    let mut elements = shown(current);
    let (Some(present), Some(element)) = (elements.get(at).cloned(), current.spec.resources.get(at)) else {
        return Err(FieldErrors::one(FieldPath::root(), Reason::NotFound, "there is no such node pool"));
    };
    let errors = RefCell::new(FieldErrors::new());
    let merged = changed_element(element, present, body, &errors);
    elements[at] = finish(merged, errors)?;
    let (mut edit, mentions_billing) = edit(current, &elements, body)?;
    if let Some(draft) = edit.draft.resources.get_mut(at) {
        let sent = &body["spec"]["resources"];
        // What has been taken away is not what was not mentioned.
        if is_emptied(&sent["labels"], sent.get("labels").is_some()) {
            draft.labels.get_or_insert_default();
        }
        if sent.get("tags").is_some_and(Value::is_null) {
            draft.tags.get_or_insert_default();
        }
    }
    Ok(NodePoolEdit {
        name: element.node_pool(),
        edit,
        mentions_billing,
    })
}

/// Whether a patch takes labels away: all of them, or some by name.
fn is_emptied(labels: &Value, is_sent: bool) -> bool {
    let has_removals = |members: &Map<String, Value>| members.values().any(Value::is_null);
    is_sent && labels.as_object().map_or(labels.is_null(), has_removals)
}

fn changed_element(element: &model::PoolResource, mut present: Value, body: &Value, errors: &RefCell<FieldErrors>) -> Option<Value> {
    let root = Place::root(body, errors);
    let members = root.body()?;
    let metadata = root.field("metadata");
    metadata.may_have_fields();
    for (sent, place, current) in [
        (members.get("apiVersion"), root.field("apiVersion"), "v2"),
        (members.get("kind"), root.field("kind"), "NodePool"),
        (
            metadata.value().and_then(|metadata| metadata.get("name")),
            metadata.field("name"),
            element.node_pool().as_str(),
        ),
    ] {
        if sent.is_some_and(|sent| sent != current) {
            errors.borrow_mut().immutable(place.path().clone());
        }
    }
    let resources = root.field("spec").field("resources");
    if resources.is_absent() {
        resources.required();
    }
    let sent = resources.object()?;
    for (field, current) in [
        ("flavor", element.flavor.to_string()),
        ("nodePool", element.node_pool().to_string()),
    ] {
        let is_changed = match sent.get(field) {
            None => false,
            Some(Value::String(text)) => *text != current,
            Some(_) => true,
        };
        if is_changed {
            errors.borrow_mut().immutable(resources.path().field(field));
        }
    }
    // It is told of, not asked for: what counts is `count`.
    resources.field("maxCount").integer(0, MAX_COUNT);
    let is_count_kept = !sent.contains_key("count") || resources.field("count").integer(0, MAX_COUNT) == Some(element.count);
    let members = present.as_object_mut()?;
    members.remove("maxCount");
    // A new count without zones is placed automatically (contract pools §9.2).
    if !is_count_kept && !sent.contains_key("azs") {
        members.remove("azs");
    }
    let mut patch = resources.value()?.clone();
    if let Some(patch) = patch.as_object_mut() {
        for field in ["flavor", "nodePool", "maxCount"] {
            patch.remove(field);
        }
    }
    Some(merge_patch::apply(present, &patch))
}

/// The change that takes a node pool away.
pub fn removal(current: &model::Pool, at: usize) -> Result<PoolEdit, FieldErrors> {
    let mut elements = shown(current);
    if at < elements.len() {
        elements.remove(at);
    }
    edit(current, &elements, &Value::Null).map(|(edit, _)| edit)
}

/// The elements as clients see them.
fn shown(pool: &model::Pool) -> Vec<Value> {
    let elements = pool.spec.resources.iter().map(PoolResource::from);
    elements.filter_map(|element| serde_json::to_value(element).ok()).collect()
}

fn edit(current: &model::Pool, elements: &[Value], body: &Value) -> Result<(PoolEdit, bool), FieldErrors> {
    let mut patch = json!({"spec": {"resources": elements}});
    let notes = body
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations"))
        .filter(|notes| !notes.is_null());
    let mut mentions_billing = false;
    if let Some(notes) = notes {
        let billing: Map<String, Value> = notes
            .as_object()
            .ok_or_else(|| FieldErrors::one(FieldPath::of("metadata").field("annotations"), Reason::Invalid, "must be an object"))?
            .iter()
            .filter(|(key, _)| BILLING.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        mentions_billing = billing.values().any(|value| !value.is_null() && *value != json!(""));
        patch["metadata"] = json!({"annotations": billing});
    }
    match decode_patch(current, &patch) {
        Ok(edit) => Ok((edit, mentions_billing)),
        Err(errors) => Err(renamed(&errors)),
    }
}

/// Annotations that a node pool's requests may carry.
const BILLING: [&str; 8] = [
    "os.modelarts/billing.mode",
    "os.modelarts/period.num",
    "os.modelarts/period.type",
    "os.modelarts/auto.renew",
    "os.modelarts/auto.pay",
    "os.modelarts/promotion.info",
    "os.modelarts/service.console.url",
    "os.modelarts/order.id",
];

/// Errors of an element, told where the client wrote it.
pub fn renamed(errors: &FieldErrors) -> FieldErrors {
    let mut told = FieldErrors::new();
    for FieldError { path, reason, message } in errors {
        let rest = path.as_str().strip_prefix("spec.resources[").and_then(|rest| rest.split_once(']'));
        let path = rest.map_or_else(|| path.clone(), |(_, rest)| FieldPath::of(&format!("spec.resources{rest}")));
        told.push(path, *reason, message.clone());
    }
    told
}

#[cfg(test)]
mod tests;
