//! A plan as text: what it changes of each record, what it tells the fleet, and when it wants to look again.

use crate::plan::{Plan, Tree};
use domain::node::{Node, NodeDriverState, NodePhase};
use domain::order::{Order, OrderPhase, Outcome};
use domain::plugin::Plugin;
use domain::pool::{Pool, PoolResource};
use fleet::{Command, Quota};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt::Write;
use store::{Key, Object};

/// A plan that does nothing and wakes nobody.
pub const NOTHING: &str = "nothing\n";

type Facts = BTreeMap<String, String>;

pub fn plan(before: &Tree, plan: &Plan, now: Timestamp) -> String {
    let known = known(before);
    let mut text = String::new();
    for (object, _) in &plan.batch.puts {
        match known.get(&object.key()) {
            Some(old) => changes(&mut text, old, object, now),
            None => added(&mut text, object, now),
        }
    }
    for (key, _) in &plan.batch.deletes {
        let _ = writeln!(text, "- {} {}", key.kind.as_str(), key.name);
    }
    for count in &plan.batch.counts {
        let name = count.key.0.replace(&"a".repeat(32), "P");
        let _ = writeln!(text, "# {name} {:+}", count.add);
    }
    for command in &plan.commands {
        let _ = writeln!(text, "> {}", self::command(command));
    }
    if let Some(wake) = plan.wake {
        let _ = writeln!(text, "wake {}", time(wake, now));
    }
    if text.is_empty() { NOTHING.to_owned() } else { text }
}

fn known(tree: &Tree) -> BTreeMap<Key, Object> {
    let mut known = vec![tree.root.entry.object.clone()];
    known.extend(tree.nodes.iter().map(|node| node.entry.object.clone()));
    known.extend(tree.plugins.iter().map(|plugin| plugin.entry.object.clone()));
    known.extend(tree.order.iter().map(|order| order.entry.object.clone()));
    for child in &tree.descendants {
        known.push(child.pool.entry.object.clone());
        known.extend(child.order.iter().map(|order| order.entry.object.clone()));
    }
    known.into_iter().map(|object| (object.key(), object)).collect()
}

fn name(object: &Object) -> String {
    match object {
        Object::Pool(pool) => format!("pool {}", pool.name),
        Object::Node(node) => format!("node {}", node.name),
        Object::Plugin(plugin) => format!("plugin {}", plugin.template),
        Object::Order(order) => order.name.to_string(),
        other => format!("{:?}", other.key()),
    }
}

fn facts(object: &Object, now: Timestamp) -> Facts {
    match object {
        Object::Pool(pool) => of_pool(pool, now),
        Object::Node(node) => of_node(node, now),
        Object::Plugin(plugin) => of_plugin(plugin, now),
        Object::Order(order) => of_order(order),
        _ => Facts::new(),
    }
}

fn changes(text: &mut String, old: &Object, new: &Object, now: Timestamp) {
    let (was, is) = (facts(old, now), facts(new, now));
    let mut parts = Vec::new();
    for label in was.keys().chain(is.keys().filter(|label| !was.contains_key(*label))) {
        let parting = match (was.get(label), is.get(label)) {
            (Some(was), Some(is)) if was != is => format!("{label} {was} -> {is}"),
            (None, Some(is)) => format!("+{label} {is}"),
            (Some(was), None) => format!("-{label} {was}"),
            (Some(_) | None, _) => continue,
        };
        parts.push(parting);
    }
    if parts.is_empty() {
        parts.push("written".to_owned());
    }
    let name = name(new);
    for part in parts {
        let _ = writeln!(text, "{name}: {part}");
    }
}

fn added(text: &mut String, object: &Object, now: Timestamp) {
    if let Object::Event(event) = object {
        let kind = if event.is_warning { "warning" } else { "event" };
        let message = event.message.split(", timestamp").next().unwrap_or_default();
        let message = message.replace(
            "Pool resources status changed, available/abnormal/creating/deleting count",
            "counters",
        );
        let _ = writeln!(text, "! {kind}: {message}");
        return;
    }
    let _ = writeln!(text, "+ {}", whole(object, now));
}

/// A record with all that is told of it.
pub fn whole(object: &Object, now: Timestamp) -> String {
    let facts: Vec<String> = facts(object, now)
        .into_iter()
        .map(|(label, value)| format!("{label} {value}"))
        .collect();
    format!("{}: {}", name(object), facts.join(", "))
}

fn of_pool(pool: &Pool, now: Timestamp) -> Facts {
    let status = &pool.status;
    let mut facts = Facts::new();
    let message = status.phase.message().map(|message| format!(" ({message})")).unwrap_or_default();
    facts.insert("phase".to_owned(), format!("{}{message}", status.phase.as_str()));
    if pool.is_physical() {
        facts.insert("shows".to_owned(), status.resources.counters().to_string());
    }
    facts.insert("generation".to_owned(), pool.generation.to_string());
    facts.insert(
        "spec".to_owned(),
        pool.spec.resources.iter().map(element).collect::<Vec<_>>().join(" "),
    );
    facts.insert(
        "attempt".to_owned(),
        if status.attempt.is_finished { "finished" } else { "open" }.to_owned(),
    );
    if status.cluster_ready {
        facts.insert("cluster".to_owned(), "ready".to_owned());
    }
    if status.children > 0 {
        facts.insert("children".to_owned(), status.children.to_string());
    }
    for (element, count) in &status.attempt.given_up {
        facts.insert(format!("given up {element}"), count.to_string());
    }
    if let Some(at) = status.attempt.retry_at {
        facts.insert("retry".to_owned(), time(at, now));
    }
    if let Some(since) = status.unwell_since {
        facts.insert("unwell".to_owned(), time(since, now));
    }
    for scope in &status.scopes {
        let plugins: Vec<String> = scope
            .plugins
            .iter()
            .map(|(name, phase)| format!("{name} {}", phase.as_str()))
            .collect();
        let message = scope.message.as_ref().map(|message| format!(" ({message})")).unwrap_or_default();
        facts.insert(
            format!("scope {}", scope.job_type),
            format!("{}[{}]{message}", scope.state.as_str(), plugins.join(", ")),
        );
    }
    for (kind, driver) in &status.drivers {
        let message = driver.message.as_ref().map(|message| format!(" ({message})")).unwrap_or_default();
        facts.insert(
            format!("driver {}", kind.as_str()),
            format!("{} {} of {}{message}", driver.state.as_str(), driver.version, driver.target),
        );
    }
    for (job_type, state) in &status.dependencies {
        facts.insert(format!("dependency {job_type}"), state.clone());
    }
    facts
}

fn element(element: &PoolResource) -> String {
    format!("{} x {}", element.count, element.flavor)
}

fn of_node(node: &Node, now: Timestamp) -> Facts {
    let phase = match &node.phase {
        NodePhase::Creating { deadline } => format!("Creating until {}", time(*deadline, now)),
        NodePhase::Checking { deadline } => format!("Checking until {}", time(*deadline, now)),
        NodePhase::Available { .. } => "Available".to_owned(),
        NodePhase::Abnormal { since, message } => format!("Abnormal since {} ({message})", time(*since, now)),
        NodePhase::Deleting { cause, .. } => format!("Deleting ({cause:?})"),
    };
    let mut facts = Facts::from([
        ("phase".to_owned(), phase),
        ("at".to_owned(), format!("{} {}", node.flavor, node.az)),
    ]);
    if let Some(batch) = &node.batch {
        facts.insert("batch".to_owned(), batch.step.step.to_string());
    }
    if let Some(driver) = &node.driver {
        let state = match &driver.state {
            NodeDriverState::Settled => "settled".to_owned(),
            NodeDriverState::Pending { target } => format!("pending for {target}"),
            NodeDriverState::Draining { target, .. } => format!("draining for {target}"),
            NodeDriverState::Updating { target, attempt, .. } => format!("updating to {target}, attempt {attempt}"),
            NodeDriverState::Failed { target, .. } => format!("failed for {target}"),
        };
        let installed = driver.installed.as_deref().unwrap_or("none");
        facts.insert("driver".to_owned(), format!("{installed}, {state}"));
    }
    facts
}

fn of_plugin(plugin: &Plugin, now: Timestamp) -> Facts {
    let mut facts = Facts::from([(
        "phase".to_owned(),
        format!("{} {} since {}", plugin.version, plugin.phase.as_str(), time(plugin.since, now)),
    )]);
    if let Some(reason) = &plugin.reason {
        facts.insert("reason".to_owned(), reason.clone());
    }
    if let Some(values) = plugin.running_values.as_ref().filter(|values| !values.is_empty()) {
        facts.insert("values".to_owned(), serde_json::to_string(values).unwrap());
    }
    if let Some(running) = &plugin.running_version {
        facts.insert("runs".to_owned(), running.clone());
    }
    facts
}

fn of_order(order: &Order) -> Facts {
    let mut phase = order.phase.as_str().to_owned();
    if let OrderPhase::Ended {
        outcome: Outcome::PartialSuccessed { reason } | Outcome::Failed { reason },
        ..
    } = &order.phase
    {
        let _ = write!(phase, " ({reason})");
    }
    let mut facts = Facts::from([("phase".to_owned(), phase)]);
    for (at, item) in order.items.iter().enumerate() {
        facts.insert(
            format!("item {at} {} {}", item.action.as_str(), item.resource),
            item.status.as_str().to_owned(),
        );
    }
    facts
}

fn command(command: &Command) -> String {
    let name = command.name();
    match command {
        Command::EnsurePool { .. } | Command::RemovePool { .. } => name.to_owned(),
        Command::CreateNode(request) => {
            let driver = request
                .driver
                .as_ref()
                .map(|driver| format!(" driver {driver}"))
                .unwrap_or_default();
            format!("{name} {} {} {}{driver}", request.node, request.flavor, request.az)
        }
        Command::DeleteNode { node, .. }
        | Command::HoldNode { node, .. }
        | Command::OpenNode { node, .. }
        | Command::EvictNode { node, .. }
        | Command::MoveNode { node, .. } => {
            format!("{name} {node}")
        }
        Command::LockNode { node, is_locked, .. } => format!("{name} {node} {is_locked}"),
        Command::RebootNode { node, number, .. } => format!("{name} {node} {number}"),
        Command::ResetNode(request) => format!("{name} {} {}", request.node, request.number),
        Command::DedicateNode { node, to, .. } => {
            format!("{name} {node} {}", to.as_ref().map_or("nobody", |uid| uid.as_str()))
        }
        Command::SetDriver { node, version, .. } => format!("{name} {node} {version}"),
        Command::EnsurePlugin { plugin, .. } => format!("{name} {} {}", plugin.template, plugin.version),
        Command::RemovePlugin { template, .. } => format!("{name} {template}"),
        Command::SetQuotas { quotas, .. } => {
            let quota = |quota: &Quota| {
                let amounts = quota
                    .amounts
                    .iter()
                    .map(|(flavor, amount)| format!("{}-{} {flavor}", amount.count, amount.max_count));
                let types: Vec<&str> = quota.open.iter().map(|job_type| job_type.as_str()).collect();
                let open = if types.is_empty() {
                    String::new()
                } else {
                    format!(" for {}", types.join(" and "))
                };
                let shut = if quota.is_shut { " shut" } else { "" };
                format!(" {}: {}{open}{shut}", quota.pool.pool.name, amounts.collect::<Vec<_>>().join(", "))
            };
            format!("{name}{}", quotas.iter().map(quota).collect::<String>())
        }
    }
}

/// A moment as its distance from now.
fn time(at: Timestamp, now: Timestamp) -> String {
    let millis = at.as_millisecond() - now.as_millisecond();
    let sign = if millis < 0 { "-" } else { "+" };
    let (seconds, rest) = (millis.abs() / 1000, millis.abs() % 1000);
    match (seconds, rest) {
        (_, 1..) => format!("{sign}{seconds}.{rest:03}s"),
        (0, _) => "now".to_owned(),
        (_, _) if seconds % 3600 == 0 => format!("{sign}{}h", seconds / 3600),
        (_, _) if seconds % 60 == 0 => format!("{sign}{}m", seconds / 60),
        (_, _) => format!("{sign}{seconds}s"),
    }
}
