//! Machines of Cluster API: how they are named, made and read. Pure.
//!
//! A Machine is made before the two objects that it refers to, and owns them. So whatever was begun is found by the Machine, and
//! goes with it.

use crate::config::{ClusterApi, MachineTemplate, TemplateRef};
use crate::context::Epoch;
use crate::mark::{self, Action, ActionKind, Order, Request};
use domain::meta::Uid;
use domain::name::NodeName;
use fleet::{NodeRequest, PoolMark};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ObjectMeta};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub const GROUP: &str = "cluster.x-k8s.io";
pub const VERSION: &str = "v1beta2";
const CLUSTER_NAME: &str = "cluster.x-k8s.io/cluster-name";
/// As Cluster API itself notes on what it makes of templates.
const CLONED_FROM: [&str; 2] = ["cluster.x-k8s.io/cloned-from-name", "cluster.x-k8s.io/cloned-from-groupkind"];
/// Names that are longer are shortened, so that providers can add to them.
const LONGEST: usize = 50;

/// The kind of objects.
pub fn resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, VERSION, "Machine"), "machines")
}

pub fn cluster_resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, VERSION, "Cluster"), "clusters")
}

/// The kind of the template, and of what is made of it.
pub fn template_resource(reference: &TemplateRef) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(reference.group(), reference.version(), &reference.kind))
}

pub fn made_resource(reference: &TemplateRef) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(
        reference.group(),
        reference.version(),
        reference.made_kind(),
    ))
}

/// The name of the Machine of a node: the node's own. After a reset the number of the request is added, since the next Machine is
/// there before the last one has gone.
pub fn name_of(node: &NodeName, reset: Option<u64>) -> String {
    let text = node.as_str();
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_plain = text.len() <= LONGEST && text.chars().all(is_inner) && !text.starts_with('-') && !text.ends_with('-');
    let name = if is_plain {
        text.to_owned()
    } else {
        let lower = text.chars().map(|c| c.to_ascii_lowercase());
        let head: String = lower.map(|c| if is_inner(c) { c } else { '-' }).take(LONGEST - 11).collect();
        format!("{}-{}", head.trim_matches('-'), mark::digest(&[text], 10))
            .trim_start_matches('-')
            .to_owned()
    };
    match reset {
        Some(number) => format!("{name}-r{number}"),
        None => name,
    }
}

impl Order {
    pub fn new(request: &NodeRequest) -> Self {
        Self {
            node: request.node.clone(),
            pool: request.pool.clone(),
            flavor: request.flavor.clone(),
            az: request.az.clone(),
            driver: request.driver.clone(),
            labels: request.labels.clone(),
        }
    }

    /// What the Node is claimed with.
    pub fn request(&self) -> NodeRequest {
        NodeRequest {
            pool: self.pool.clone(),
            node: self.node.clone(),
            flavor: self.flavor.clone(),
            az: self.az.clone(),
            driver: self.driver.clone(),
            image: None,
            labels: self.labels.clone(),
        }
    }
}

/// The labels by which a pool's Machines are found.
fn pool_labels(pool: &PoolMark) -> [(&'static str, String); 2] {
    [(mark::POOL, pool.uid.to_string()), (mark::POOL_NAME, mark::pool_slug(pool))]
}

fn reference(to: &TemplateRef, name: &str) -> Value {
    json!({"apiGroup": to.group(), "kind": to.made_kind(), "name": name})
}

/// A Machine for an order. `reset`: the request that it answers.
pub fn make(order: &Order, reset: Option<&Request>, settings: &ClusterApi, template: &MachineTemplate, epoch: Epoch) -> DynamicObject {
    let name = name_of(&order.node, reset.map(|request| request.number));
    let node = mark::own_slug(order.node.as_str());
    let mut labels = BTreeMap::from([
        (CLUSTER_NAME.to_owned(), settings.cluster.clone()),
        (mark::NODE.to_owned(), node.clone()),
        (mark::FLAVOR.to_owned(), mark::own_slug(order.flavor.as_str())),
        (mark::MADE_FOR.to_owned(), node),
    ]);
    labels.extend(pool_labels(&order.pool).map(|(key, value)| (key.to_owned(), value)));
    let mut annotations = BTreeMap::from([
        (mark::EPOCH.to_owned(), epoch.number().to_string()),
        (mark::ORDER.to_owned(), mark::write(order)),
    ]);
    annotations.extend(reset.map(|request| (mark::REQUEST.to_owned(), mark::write(request))));
    let mut spec = json!({
        "clusterName": settings.cluster,
        "bootstrap": {"configRef": reference(&template.bootstrap, &name)},
        "infrastructureRef": reference(&template.infrastructure, &name),
        "deletion": {"nodeDrainTimeoutSeconds": template.drain_seconds},
    });
    if let Some(version) = &template.version {
        spec["version"] = json!(version);
    }
    if let Some(domain) = template.failure_domain(&order.az) {
        spec["failureDomain"] = json!(domain);
    }
    let mut machine = DynamicObject::new(&name, &resource())
        .within(&settings.namespace)
        .data(json!({"spec": spec}));
    machine.metadata.labels = Some(labels);
    machine.metadata.annotations = Some(annotations);
    machine
}

/// What a Machine refers to, made of a template. It goes with the Machine.
pub fn made(reference: &TemplateRef, template: &DynamicObject, machine: &DynamicObject, epoch: Epoch) -> Result<DynamicObject, String> {
    let inner = &template.data["spec"]["template"];
    if !inner["spec"].is_object() {
        return Err(format!("{} {} has no spec.template.spec", reference.kind, reference.name));
    }
    let texts = |field: &str| -> BTreeMap<String, String> { serde_json::from_value(inner["metadata"][field].clone()).unwrap_or_default() };
    let (mut labels, mut annotations) = (texts("labels"), texts("annotations"));
    let cluster = machine.data["spec"]["clusterName"].as_str().unwrap_or_default();
    labels.insert(CLUSTER_NAME.to_owned(), cluster.to_owned());
    labels.insert(mark::MANAGED.to_owned(), "true".to_owned());
    let from = [reference.name.clone(), format!("{}.{}", reference.kind, reference.group())];
    annotations.extend(CLONED_FROM.map(str::to_owned).into_iter().zip(from));
    annotations.insert(mark::EPOCH.to_owned(), epoch.number().to_string());
    let meta = &machine.metadata;
    let name = meta.name.clone().unwrap_or_default();
    let owner = OwnerReference {
        api_version: format!("{GROUP}/{VERSION}"),
        kind: "Machine".to_owned(),
        name: name.clone(),
        uid: meta.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    };
    let mut object = DynamicObject::new(&name, &made_resource(reference)).data(json!({"spec": inner["spec"]}));
    object.metadata = ObjectMeta {
        name: Some(name),
        namespace: meta.namespace.clone(),
        labels: Some(labels),
        annotations: Some(annotations),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    };
    Ok(object)
}

/// What a Machine was made for. `None`: that cannot be read.
pub fn order(machine: &DynamicObject) -> Option<Order> {
    mark::read(machine.metadata.annotations.as_ref(), mark::ORDER)
}

/// The pool whose mark a Machine has.
pub fn pool(machine: &DynamicObject) -> Option<Uid> {
    label(machine, mark::POOL).map(Uid::from_text)
}

pub fn label<'a>(machine: &'a DynamicObject, key: &str) -> Option<&'a str> {
    machine.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// The reset that a Machine was made for.
pub fn request(machine: &DynamicObject) -> Option<Request> {
    mark::read(machine.metadata.annotations.as_ref(), mark::REQUEST)
}

/// Whether it is given back, by us.
pub fn is_released(machine: &DynamicObject) -> bool {
    let action: Option<Action> = mark::read(machine.metadata.annotations.as_ref(), mark::ACTION);
    action.is_some_and(|action| action.kind == ActionKind::Release)
}

/// Whether it is being deleted, by whomever.
pub fn is_going(machine: &DynamicObject) -> bool {
    machine.metadata.deletion_timestamp.is_some()
}

/// The name of the Node that it has become.
pub fn host(machine: &DynamicObject) -> Option<&str> {
    machine.data["status"]["nodeRef"]["name"].as_str().filter(|name| !name.is_empty())
}

/// The address inside the cluster that Cluster API knows.
pub fn address(machine: &DynamicObject) -> Option<String> {
    let addresses = machine.data["status"]["addresses"].as_array()?;
    let internal = addresses.iter().find(|address| address["type"] == "InternalIP")?;
    internal["address"].as_str().map(str::to_owned)
}

/// Why it will never come up, if Cluster API has given it up.
pub fn failure(machine: &DynamicObject) -> Option<String> {
    let status = &machine.data["status"];
    if status["phase"] != "Failed" {
        return None;
    }
    let old = [&status["deprecated"]["v1beta1"]["failureMessage"], &status["failureMessage"]];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let new = conditions
        .filter(|condition| condition["status"] == "False")
        .map(|condition| &condition["message"]);
    let told = old
        .into_iter()
        .chain(new)
        .find_map(|message| message.as_str().filter(|text| !text.is_empty()));
    Some(told.unwrap_or("Cluster API reports that it has failed").to_owned())
}

/// When it was made.
pub fn made_at(machine: &DynamicObject) -> Option<Timestamp> {
    machine.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// Whether others are kept from emptying its Node, by us.
pub fn is_locked(machine: &DynamicObject) -> bool {
    machine
        .metadata
        .annotations
        .as_ref()
        .is_some_and(|all| all.contains_key(mark::DRAIN_HOOK))
}

/// Keeps others from emptying its Node, or does not any more. What is given back is not locked.
pub fn lock(meta: &mut ObjectMeta, is_locked: bool) {
    let annotations = meta.annotations.get_or_insert_default();
    if is_locked && !annotations.contains_key(mark::ACTION) {
        annotations.insert(mark::DRAIN_HOOK.to_owned(), mark::MANAGER.to_owned());
    } else if !is_locked {
        annotations.remove(mark::DRAIN_HOOK);
    }
}

/// Gives it back: it is deleted then, locked or not.
pub fn release(meta: &mut ObjectMeta, now: Timestamp) {
    let annotations = meta.annotations.get_or_insert_default();
    annotations.remove(mark::DRAIN_HOOK);
    let is_released = mark::read::<Action>(Some(annotations), mark::ACTION).is_some_and(|action| action.kind == ActionKind::Release);
    if !is_released {
        annotations.insert(mark::ACTION.to_owned(), mark::write(&Action::begun(ActionKind::Release, 0, now)));
    }
}

/// Follows its Node to another pool.
pub fn carry(meta: &mut ObjectMeta, to: &PoolMark) {
    let Some(mut order) = mark::read::<Order>(meta.annotations.as_ref(), mark::ORDER) else {
        return;
    };
    order.pool = to.clone();
    let labels = pool_labels(to).map(|(key, value)| (key.to_owned(), value));
    meta.labels.get_or_insert_default().extend(labels);
    meta.annotations
        .get_or_insert_default()
        .insert(mark::ORDER.to_owned(), mark::write(&order));
}

#[cfg(test)]
mod tests;
