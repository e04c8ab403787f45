//! Reading the bodies of batch actions.

use crate::decode::{Place, finish};
use domain::field::{FieldErrors, Reason};
use domain::name::{FlavorName, NodeName, NodePoolName, PoolName};
use domain::node::TaintEffect;
use domain::node::request::{Bind, Migrate, Reset, Resize, ResizeEnd, Rolling, Update};
use domain::pool::{CreatingStep, NodeOs, StepKind, UpdateStrategy};
use domain::tag::{MAX_TAGS, Tag};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// Names in one request at most.
const MAX_NAMES: usize = 500;
/// Nodes drained by one request at most.
const MAX_DRAINED: usize = 10;
/// Batches resized by one request at most.
const MAX_BATCHES: usize = 50;
/// Nodes of one batch at most.
const MAX_STEP: u32 = 2000;

/// The nodes that `batch-delete` names.
pub fn decode_delete(body: &Value) -> Result<Vec<NodeName>, FieldErrors> {
    read(body, |root| Some(names(&root.field("deleteNodeNames"), MAX_NAMES)))
}

/// The nodes that `batch-lock` or `batch-unlock` names.
pub fn decode_lock(body: &Value) -> Result<Vec<NodeName>, FieldErrors> {
    read(body, |root| {
        let names = names(&root.field("nodeNames"), MAX_NAMES);
        let actions = root.field("actions");
        if actions.is_absent() {
            actions.required();
        } else {
            let sent: Vec<Option<&str>> = actions.items().iter().map(Place::text).collect();
            if sent != [Some("delete")] {
                actions.invalid("must be [\"delete\"]");
            }
        }
        Some(names)
    })
}

/// The nodes that `batch-update` names, and what is to be done to them.
pub fn decode_update(body: &Value) -> Result<(Vec<NodeName>, Update), FieldErrors> {
    read(body, |root| {
        let names = names(&root.field("nodeNames"), MAX_NAMES);
        let action = root.field("action");
        let effect = root.field("haRedundantEffect");
        let effects = [("NoSchedule", TaintEffect::NoSchedule), ("NoExecute", TaintEffect::NoExecute)];
        let effect = if effect.is_absent() {
            Some(TaintEffect::NoSchedule)
        } else {
            effect.choice(&effects)
        };
        check_types(&root.field("tags"), &root.field("driver"));
        let update = match action.required_text()? {
            "openHaRedundant" => Update::OpenHa(effect?),
            "closeHaRedundant" => Update::CloseHa,
            "createTags" => Update::CreateTags(tags(&root.field("tags"))),
            "deleteTags" => Update::DeleteTags(tag_keys(&root.field("tags"))),
            "updateDriver" => driver(&root.field("driver"))?,
            _ => {
                action.invalid("must be one of openHaRedundant, closeHaRedundant, createTags, deleteTags, updateDriver");
                return None;
            }
        };
        Some((names, update))
    })
}

/// What the action does not need has to be of its type all the same.
fn check_types(tags: &Place<'_>, driver: &Place<'_>) {
    for item in tags.items() {
        if item.object().is_some() {
            item.field("key").text();
            item.field("value").text();
        }
    }
    if driver.object().is_some() {
        driver.field("version").text();
        driver.field("updateStrategy").text();
    }
}

fn driver(place: &Place<'_>) -> Option<Update> {
    if place.is_absent() {
        place.required();
    }
    place.object()?;
    let strategy = place.field("updateStrategy");
    let known = [("force", UpdateStrategy::Force), ("idle", UpdateStrategy::Idle)];
    Some(Update::Driver {
        strategy: if strategy.is_absent() { None } else { strategy.choice(&known) },
        version: place.field("version").required_text()?.to_owned(),
    })
}

fn tags(place: &Place<'_>) -> Vec<Tag> {
    let items = some_items(place, MAX_TAGS);
    let mut known = BTreeSet::new();
    let read = |item: &Place<'_>| {
        item.object()?;
        let tag = Tag {
            key: item.field("key").required_text()?.to_owned(),
            value: item.field("value").required_text()?.to_owned(),
        };
        if let Err(fault) = tag.check_for_nodes() {
            item.field(fault.member).invalid(fault.message);
        }
        if !known.insert(tag.key.clone()) {
            item.refuse(Reason::Duplicate, format!("key {} occurs twice", tag.key));
        }
        Some(tag)
    };
    items.iter().filter_map(read).collect()
}

fn tag_keys(place: &Place<'_>) -> Vec<(String, Option<String>)> {
    let items = some_items(place, MAX_TAGS);
    let read = |item: &Place<'_>| {
        item.object()?;
        let value = item.field("value").text().filter(|text| !text.is_empty()).map(ToOwned::to_owned);
        Some((item.field("key").required_text()?.to_owned(), value))
    };
    items.iter().filter_map(read).collect()
}

pub fn decode_bind(body: &Value) -> Result<Bind, FieldErrors> {
    read(body, |root| {
        let items = some_items(&root.field("nodes"), MAX_NAMES);
        let mut known = BTreeSet::new();
        let node = |item: &Place<'_>| {
            item.object()?;
            let name = item.field("name");
            name.required_text();
            let parsed = name.name(NodeName::parse)?;
            if !known.insert(parsed.clone()) {
                name.refuse(Reason::Duplicate, format!("node {parsed} occurs twice"));
            }
            let quota = item.field("quotaName");
            let quota = match quota.text().filter(|text| !text.is_empty()) {
                Some(text) => Some(quota.parsed(text, PoolName::parse)?),
                None => None,
            };
            Some((parsed, quota))
        };
        Some(Bind {
            nodes: items.iter().filter_map(node).collect(),
            drain: root.field("drain").boolean().unwrap_or(false),
        })
    })
}

/// The nodes that `batch-drain` names.
pub fn decode_drain(body: &Value) -> Result<Vec<NodeName>, FieldErrors> {
    read(body, |root| Some(names(&root.field("nodeNames"), MAX_DRAINED)))
}

/// The nodes that `batch-reboot` names.
pub fn decode_reboot(body: &Value) -> Result<Vec<NodeName>, FieldErrors> {
    read(body, |root| Some(names(&root.field("nodeNames"), MAX_NAMES)))
}

pub fn decode_migrate(body: &Value) -> Result<Migrate, FieldErrors> {
    read(body, |root| {
        let names = names(&root.field("migrateNodeNames"), MAX_NAMES);
        let cluster = |field: &str| {
            let place = root.field(field);
            place.required_text();
            place.name(PoolName::parse)
        };
        let (from, to) = (cluster("fromClusterName"), cluster("toClusterName"));
        let to_pool = root.field("toPoolName");
        let to_pool = to_pool
            .text()
            .filter(|text| !text.is_empty())
            .and_then(|text| to_pool.parsed(text, PoolName::parse));
        let spec = root.field("resourceSpec");
        spec.may_have_fields();
        let flavor = spec.field("flavor");
        flavor.required_text();
        let node_pool = spec.field("nodePool");
        let node_pool = node_pool
            .text()
            .filter(|text| !text.is_empty())
            .and_then(|text| node_pool.parsed(text, NodePoolName::parse));
        Some(Migrate {
            names,
            to_pool,
            flavor: flavor.name(FlavorName::parse),
            node_pool,
            from: from?,
            to: to?,
            inputs: body.to_string(),
        })
    })
}

pub fn decode_reset(body: &Value) -> Result<Reset, FieldErrors> {
    read(body, |root| {
        let names = names(&root.field("nodeNames"), MAX_NAMES);
        let rolling = root.field("rollingConfig");
        if rolling.is_absent() {
            rolling.required();
        }
        rolling.object()?;
        let (strategy, most) = (rolling.field("strategy"), rolling.field("maxUnavailable"));
        strategy.required_text();
        if most.is_absent() {
            most.required();
        }
        let rolling = match strategy.choice(&[("RollingByNumber", true), ("RollingByPercent", false)]) {
            Some(true) => most.integer(1, u32::MAX).map(Rolling::Number),
            Some(false) => most.integer(1, 100).map(Rolling::Percent),
            None => None,
        };
        let config = root.field("nodeConfig");
        config.may_have_fields();
        let (image, runtime) = image(&config);
        Some(Reset {
            names,
            rolling: rolling?,
            image,
            runtime,
            inputs: body.to_string(),
        })
    })
}

fn image(config: &Place<'_>) -> (Option<NodeOs>, Option<String>) {
    let text = |name: &str| config.field(name).text().filter(|text| !text.is_empty()).map(ToOwned::to_owned);
    let kind = config.field("imageType");
    if !kind.is_absent() {
        kind.choice(&[("private", ()), ("", ())]);
    }
    let runtime = config.field("runtime");
    let runtime = runtime.text().filter(|text| !text.is_empty()).and_then(|text| {
        runtime.chosen(text, &[("docker", ()), ("containerd", ())])?;
        Some(text.to_owned())
    });
    // `os` is looked at in any case, so that a wrong type is found.
    let (os, name) = (text("os"), text("name"));
    let image = NodeOs {
        name: os.or(name),
        image_id: text("imageId"),
        image_type: text("imageType"),
        auto_match: None,
    };
    (Some(image).filter(|image| *image != NodeOs::default()), runtime)
}

pub fn decode_resize(body: &Value) -> Result<Resize, FieldErrors> {
    read(body, |root| {
        let items = some_items(&root.field("nodes"), MAX_BATCHES);
        let mut known = BTreeSet::new();
        let batch = |item: &Place<'_>| {
            item.object()?;
            let uid = item.field("batchUID");
            let text = uid.required_text()?.to_owned();
            if !known.insert(text.clone()) {
                uid.refuse(Reason::Duplicate, format!("batch {text} occurs twice"));
            }
            let gone = item.field("deleteNodeNames");
            let gone = if gone.is_empty() { Vec::new() } else { names(&gone, MAX_NAMES) };
            Some((text, gone))
        };
        let batches = items.iter().filter_map(batch).collect();
        let (source, target) = (resize_end(root, "source"), resize_end(root, "target"));
        Some(Resize {
            batches,
            source: source?,
            target: target?,
        })
    })
}

fn resize_end(root: &Place<'_>, field: &str) -> Option<ResizeEnd> {
    let place = root.field(field);
    if place.is_absent() {
        place.required();
    }
    place.object()?;
    let (flavor, node_pool, step) = (place.field("flavor"), place.field("nodePool"), place.field("creatingStep"));
    flavor.required_text();
    if step.is_absent() {
        step.required();
    }
    step.object();
    let kind = step.field("type");
    kind.required_text();
    let kind = kind.choice(&[("rack", StepKind::Rack), ("hyperinstance", StepKind::Hyperinstance)]);
    if kind == Some(StepKind::Rack) {
        // The documented sentence, without a place in front of it.
        root.invalid("only support hyperinstance scale currently");
    }
    if step.field("step").is_absent() {
        step.field("step").required();
    }
    Some(ResizeEnd {
        node_pool: node_pool
            .text()
            .filter(|text| !text.is_empty())
            .and_then(|text| node_pool.parsed(text, NodePoolName::parse)),
        step: CreatingStep {
            step: step.field("step").integer(1, MAX_STEP)?,
            kind: kind?,
        },
        flavor: flavor.name(FlavorName::parse)?,
    })
}

fn read<T>(body: &Value, decode: impl FnOnce(&Place<'_>) -> Option<T>) -> Result<T, FieldErrors> {
    let errors = RefCell::new(FieldErrors::new());
    let value = {
        let root = Place::root(body, &errors);
        root.body().and_then(|_| decode(&root))
    };
    finish(value, errors)
}

/// A list with at least one element and not too many.
fn some_items<'a>(place: &Place<'a>, most: usize) -> Vec<Place<'a>> {
    if place.is_absent() {
        place.required();
        return Vec::new();
    }
    let Some(items) = place.list() else { return Vec::new() };
    if items.is_empty() || items.len() > most {
        place.invalid(format!("must hold 1 to {most} elements"));
    }
    items.into_iter().take(most).collect()
}

/// Names of nodes, each once.
fn names(place: &Place<'_>, most: usize) -> Vec<NodeName> {
    let mut known = BTreeSet::new();
    let mut names = Vec::new();
    for item in some_items(place, most) {
        let Some(name) = item.name(NodeName::parse) else { continue };
        if known.insert(name.clone()) {
            names.push(name);
        } else {
            item.refuse(Reason::Duplicate, format!("node {name} occurs twice"));
        }
    }
    names
}
