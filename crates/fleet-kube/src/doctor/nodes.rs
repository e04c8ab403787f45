//! Nodes, what they count as, and the daemons that they need.

use super::{Cluster, Finding, Known, not_read};
use crate::config::KubeConfig;
use crate::inventory::{self, Class};
use crate::mark;
use domain::meta::Uid;
use domain::name::FlavorName;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Toleration};
use kube::ResourceExt;
use kube::core::SelectorExt;
use std::collections::{BTreeMap, BTreeSet};

const INVENTORY: &str = "inventory";
const FLAVORS: &str = "flavors";
const ZONES: &str = "zones";
const DAEMONS: &str = "daemon sets";
const MARKS: &str = "marks";
/// So many names are told before it is said how many more there are.
const TOLD: usize = 5;

pub(super) fn check(config: &KubeConfig, cluster: &Cluster, known: &Known, found: &mut Vec<Finding>) {
    let nodes = match &cluster.nodes {
        Ok(nodes) => nodes,
        Err(reason) => return found.push(not_read(INVENTORY, "nodes", reason)),
    };
    let selector = match config.selector() {
        Ok(selector) => selector,
        Err(error) => return found.push(Finding::error(INVENTORY, error.to_string(), "mend the configuration")),
    };
    let inventory: Vec<&Node> = nodes.iter().filter(|node| selector.matches(node.labels())).collect();
    if inventory.is_empty() {
        found.push(Finding::warning(
            INVENTORY,
            format!("no node matches {}", config.inventory),
            format!("kubectl label node … {}", config.inventory),
        ));
    } else {
        let claimed = inventory.iter().filter(|node| node.labels().contains_key(mark::POOL)).count();
        found.push(Finding::ok(
            INVENTORY,
            format!("{} nodes, {claimed} of them in pools", inventory.len()),
        ));
    }
    let classes: Vec<_> = inventory
        .iter()
        .map(|node| (*node, inventory::classify(node, config, &selector)))
        .collect();
    flavors(config, &classes, found);
    zones(&classes, known, found);
    daemons(cluster, &inventory, found);
    taints(config, &inventory, found);
    strangers(nodes, known, found);
}

fn flavors(config: &KubeConfig, inventory: &[(&Node, Class)], found: &mut Vec<Finding>) {
    let (mut none, mut several, mut counts) = (Vec::new(), Vec::new(), BTreeMap::<FlavorName, usize>::new());
    for (node, class) in inventory {
        match class {
            Class::Foreign => none.push(node.name_any()),
            Class::Unclear(many) => {
                let names: Vec<_> = many.iter().map(ToString::to_string).collect();
                several.push(format!("{} ({})", node.name_any(), names.join(", ")));
            }
            Class::Homeless(flavor) | Class::Known { flavor, .. } => *counts.entry(flavor.clone()).or_default() += 1,
        }
    }
    if !several.is_empty() {
        found.push(Finding::error(
            FLAVORS,
            format!("nodes that match several flavors are offered for none: {}", told(&several)),
            "make the flavors' `match` exclude each other",
        ));
    }
    if !none.is_empty() {
        found.push(Finding::warning(
            FLAVORS,
            format!("nodes of the inventory that match no flavor: {}", told(&none)),
            "add a [[kubernetes.flavor]], or take them out of the inventory",
        ));
    }
    for (flavor, count) in &counts {
        found.push(Finding::ok(FLAVORS, format!("{flavor}: {count} nodes")));
    }
    for rule in config.flavor.iter().filter(|rule| !counts.contains_key(&rule.name)) {
        found.push(Finding::warning(
            FLAVORS,
            format!("{} has no node", rule.name),
            "compare its `match` with the labels of the nodes (kubectl get nodes --show-labels)",
        ));
    }
}

fn zones(inventory: &[(&Node, Class)], known: &Known, found: &mut Vec<Finding>) {
    let (mut without, mut unsold) = (Vec::new(), BTreeSet::new());
    for (node, class) in inventory {
        match class {
            Class::Foreign | Class::Unclear(_) => {}
            Class::Homeless(_) => without.push(node.name_any()),
            Class::Known { flavor, zone } => {
                let is_sold = |catalogue: &BTreeMap<_, BTreeSet<_>>| catalogue.get(flavor).is_some_and(|zones| zones.contains(zone));
                if known.flavors.as_ref().is_some_and(|catalogue| !is_sold(catalogue)) {
                    unsold.insert(format!("{flavor} in {zone}"));
                }
            }
        }
    }
    if !without.is_empty() {
        found.push(Finding::warning(
            ZONES,
            format!("nodes without a zone are not offered: {}", told(&without)),
            format!("label them {}, or set default_zone", inventory::ZONE),
        ));
    }
    if !unsold.is_empty() {
        found.push(Finding::warning(
            ZONES,
            format!("not in the catalogue: {}", told(&unsold.into_iter().collect::<Vec<_>>())),
            "the replica with the lease adds what is missing; what an operator has made or changed is left alone: \
             PATCH /admin/v1/flavors/{name}",
        ));
    } else if known.flavors.is_some() {
        found.push(Finding::ok(ZONES, "the catalogue has all flavors in all zones of their nodes"));
    }
}

/// Daemons that a claim would drive off a Node, drivers and device plug-ins among them.
fn daemons(cluster: &Cluster, inventory: &[&Node], found: &mut Vec<Finding>) {
    let daemons = match &cluster.daemons {
        Ok(daemons) => daemons,
        Err(reason) => return found.push(not_read(DAEMONS, "DaemonSets", reason)),
    };
    let mut count = 0;
    for daemon in daemons {
        let Some(pod) = pod_of(daemon) else { continue };
        if !inventory.iter().any(|node| is_for(pod, node)) {
            continue;
        }
        count += 1;
        let missing: Vec<_> = [mark::TAINT_POOL, mark::TAINT_HOLD]
            .into_iter()
            .filter(|key| !pod.tolerations.iter().flatten().any(|toleration| tolerates(toleration, key)))
            .collect();
        if !missing.is_empty() {
            let name = format!("{}/{}", daemon.namespace().unwrap_or_default(), daemon.name_any());
            found.push(Finding::error(
                DAEMONS,
                format!(
                    "{name} does not tolerate {}: it does not come to nodes of pools",
                    missing.join(", ")
                ),
                "give it tolerations with operator Exists for both keys",
            ));
        }
    }
    if !found.iter().any(|finding| finding.check == DAEMONS) {
        found.push(Finding::ok(
            DAEMONS,
            format!("{count} select nodes of the inventory and tolerate both taints"),
        ));
    }
}

fn pod_of(daemon: &DaemonSet) -> Option<&PodSpec> {
    daemon.spec.as_ref()?.template.spec.as_ref()
}

/// Whether pods with the toleration may go where there is a taint of the key, whatever its value.
fn tolerates(toleration: &Toleration, key: &str) -> bool {
    let is_for_key = match toleration.key.as_deref() {
        None | Some("") => true,
        Some(own) => own == key,
    };
    let is_for_effect = matches!(toleration.effect.as_deref(), None | Some("" | "NoSchedule"));
    is_for_key && is_for_effect && toleration.operator.as_deref() == Some("Exists")
}

/// Whether a pod may go to a Node by its node selector and its required affinity.
fn is_for(pod: &PodSpec, node: &Node) -> bool {
    let labels = node.labels();
    let is_selected = pod
        .node_selector
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    let affinity = pod.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    is_selected && required.is_none_or(|required| required.node_selector_terms.iter().any(|term| fits(term, node)))
}

fn fits(term: &NodeSelectorTerm, node: &Node) -> bool {
    let name = node.name_any();
    let labels = term.match_expressions.iter().flatten();
    let fields = term.match_fields.iter().flatten();
    (term.match_expressions.is_some() || term.match_fields.is_some())
        && labels
            .into_iter()
            .all(|rule| holds(rule, node.labels().get(&rule.key).map(String::as_str)))
        && fields
            .into_iter()
            .all(|rule| rule.key != "metadata.name" || holds(rule, Some(&name)))
}

fn holds(rule: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = rule.values.as_deref().unwrap_or_default();
    let is_listed = value.is_some_and(|value| values.iter().any(|listed| listed == value));
    let numbers = || Some((value?.parse::<i64>().ok()?, values.first()?.parse::<i64>().ok()?));
    match rule.operator.as_str() {
        "In" => is_listed,
        "NotIn" => !is_listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => numbers().is_some_and(|(own, bound)| own > bound),
        "Lt" => numbers().is_some_and(|(own, bound)| own < bound),
        _ => false,
    }
}

/// Free Nodes that nobody gets because of what others have tainted them with.
fn taints(config: &KubeConfig, inventory: &[&Node], found: &mut Vec<Finding>) {
    let mut by_key: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for node in inventory.iter().filter(|node| !node.labels().contains_key(mark::POOL)) {
        for taint in node.spec.iter().flat_map(|spec| spec.taints.iter().flatten()) {
            let is_ours = taint.key.starts_with(mark::PREFIX);
            let is_condition = taint.key.starts_with("node.kubernetes.io/");
            if !is_ours && !is_condition && !config.tolerated_taints.contains(&taint.key) {
                by_key.entry(&taint.key).or_default().push(node.name_any());
            }
        }
    }
    for (key, nodes) in by_key {
        found.push(Finding::warning(
            INVENTORY,
            format!("free nodes with the taint {key} are not offered: {}", told(&nodes)),
            "add the key to tolerated_taints where the pods of pools tolerate it, or remove the taint",
        ));
    }
}

/// Nodes with the mark of a pool that nobody knows.
fn strangers(nodes: &[Node], known: &Known, found: &mut Vec<Finding>) {
    let Some(pools) = &known.pools else { return };
    let is_unknown = |node: &&Node| {
        node.labels()
            .get(mark::POOL)
            .is_some_and(|uid| !pools.contains(&Uid::from_text(uid)))
    };
    let strangers: Vec<_> = nodes.iter().filter(is_unknown).map(ResourceExt::name_any).collect();
    if !strangers.is_empty() {
        found.push(Finding::warning(
            MARKS,
            format!("nodes with the mark of a pool that is not in the store: {}", told(&strangers)),
            "is this the right database? Another installation may use the same cluster",
        ));
    }
}

/// The first names, and how many more there are.
fn told(names: &[String]) -> String {
    let first = names.iter().take(TOLD).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(TOLD) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
