//! What is reported of a node: a pure function of its Node, the pods on it, and the time.

use crate::amount::{Amounts, add};
use crate::config::{FaultRule, KubeConfig};
use crate::driver::installer::Install;
use crate::mark::{self, ActionKind, Hold, Progress, Step};
use crate::pods::Pod;
use crate::{driver, edit, inventory, taint};
use domain::meta::Uid;
use domain::name::{FlavorName, ZoneName};
use domain::quantities::Quantities;
use fleet::observation::DriverProgress;
use fleet::{MachineState, NodeFact, RequestFact, RequestProgress};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use std::time::Duration;

/// What a fact is made from.
pub struct Seen<'a> {
    pub node: &'a Node,
    pub pods: &'a [&'a Pod],
    pub flavor: Option<&'a FlavorName>,
    /// Since when accelerators are missing.
    pub short_since: Option<Timestamp>,
    /// How far an installation of its driver is.
    pub install: Option<&'a Install>,
    /// Which of its devices are sick, and since when.
    pub sick: Option<(&'a str, Timestamp)>,
    pub config: &'a KubeConfig,
    pub now: Timestamp,
}

/// A fact, and until when it holds if nothing changes. `None`: for ever.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub fact: NodeFact,
    pub until: Option<Timestamp>,
}

/// What is reported of a node.
pub fn tell(seen: &Seen<'_>) -> Told {
    let node = seen.node;
    let mut verdict = Verdict { seen, until: None };
    let driver = driver::fact(node, seen.flavor, seen.config, seen.install);
    let is_installing = driver
        .as_ref()
        .is_some_and(|driver| matches!(driver.progress, DriverProgress::Installing { .. }));
    let state = verdict.state(is_installing);
    let (resources, available) = quantities(seen);
    let status = node.status.as_ref();
    let fact = NodeFact {
        state,
        // A Node whose zone has gone away keeps its place in the record.
        az: inventory::zone(node, seen.config).unwrap_or_else(unknown_zone),
        silent_since: silent_since(node),
        private_ip: address(node),
        instance: node.metadata.name.clone(),
        resources,
        available,
        os: status
            .and_then(|status| status.node_info.as_ref())
            .map(|info| info.os_image.clone())
            .filter(|image| !image.is_empty()),
        driver,
        is_busy: seen.pods.iter().any(|pod| pod.is_work()),
        is_held: edit::holds(node).contains(&Hold::Drain),
        is_locked: None,
        request: edit::request(node).map(|request| RequestFact {
            number: request.number,
            progress: match request.progress {
                Progress::Running => RequestProgress::Running,
                Progress::Done => RequestProgress::Done,
                Progress::Failed(reason) => RequestProgress::Failed { reason },
            },
        }),
        dedicated_to: edit::label(node, mark::QUOTA).map(Uid::from_text),
    };
    Told {
        fact,
        until: verdict.until,
    }
}

#[expect(clippy::expect_used, reason = "a constant name")]
fn unknown_zone() -> ZoneName {
    ZoneName::parse("unknown").expect("a name")
}

struct Verdict<'a> {
    seen: &'a Seen<'a>,
    until: Option<Timestamp>,
}

impl Verdict<'_> {
    fn state(&mut self, is_installing: bool) -> MachineState {
        let node = self.seen.node;
        match edit::action(node).map(|action| (action.kind, action.step)) {
            Some((ActionKind::Release, _)) => return MachineState::Releasing,
            Some((ActionKind::Reboot | ActionKind::Reset, Step::Work)) => return MachineState::Booting,
            Some((ActionKind::Reboot | ActionKind::Reset, Step::Empty) | (ActionKind::Move | ActionKind::Evict, _)) | None => {}
        }
        let Some(ready) = inventory::condition(node, "Ready") else {
            return MachineState::Booting;
        };
        if ready.status == "False" {
            let since = ready.last_transition_time.as_ref().map(|time| time.0);
            if self.has_lasted(since, self.seen.config.unready()) {
                let why = ready
                    .message
                    .as_deref()
                    .filter(|text| !text.is_empty())
                    .unwrap_or("no reason given");
                return MachineState::Faulty(format!("the kubelet is not ready: {why}"));
            }
            return MachineState::Booting;
        }
        if let Some(reason) = self.fault() {
            return MachineState::Faulty(reason);
        }
        match driver::has_all_accelerators(node, self.seen.flavor, self.seen.config) {
            Err(_) if is_installing => MachineState::Booting,
            Err((has, promised)) if self.has_lasted(self.seen.short_since, self.seen.config.unready()) => {
                MachineState::Faulty(format!("{has} of {promised} accelerators can be used"))
            }
            Err(_) => MachineState::Booting,
            Ok(()) => MachineState::Ready,
        }
    }

    /// Whether something that began then has lasted for so long; if not, the fact changes when it has.
    fn has_lasted(&mut self, since: Option<Timestamp>, long: Duration) -> bool {
        let Some(since) = since else { return true };
        let over = since.saturating_add(long).unwrap_or(Timestamp::MAX);
        if over <= self.seen.now {
            return true;
        }
        self.until = Some(self.until.map_or(over, |known| known.min(over)));
        false
    }

    /// The first fault of the table that has lasted.
    fn fault(&mut self) -> Option<String> {
        let seen = self.seen;
        let by_rule = seen.config.fault.iter().find_map(|rule| self.fault_by(rule));
        by_rule.or_else(|| {
            let (which, since) = seen.sick?;
            let debounce = seen.config.device_info.as_ref()?.debounce();
            self.has_lasted(Some(since), debounce).then(|| which.to_owned())
        })
    }

    fn fault_by(&mut self, rule: &FaultRule) -> Option<String> {
        let node = self.seen.node;
        if let Some(pattern) = &rule.condition {
            let conditions = node
                .status
                .as_ref()
                .and_then(|status| status.conditions.as_deref())
                .unwrap_or_default();
            let found = conditions
                .iter()
                .filter(|condition| condition.status == "True" && pattern.matches(&condition.type_));
            for condition in found {
                let since = condition.last_transition_time.as_ref().map(|time| time.0);
                if self.has_lasted(since, rule.debounce()) {
                    let message = condition.message.as_deref().filter(|text| !text.is_empty());
                    return Some(message.map_or_else(|| condition.type_.clone(), |text| format!("{}: {text}", condition.type_)));
                }
            }
        }
        let pattern = rule.taint.as_ref()?;
        for found in taint::of(node).iter().filter(|taint| pattern.matches(&taint.key)) {
            if self.has_lasted(found.time_added.as_ref().map(|time| time.0), rule.debounce()) {
                return Some(format!("taint {}", found.key));
            }
        }
        None
    }
}

/// When the control plane lost the kubelet.
fn silent_since(node: &Node) -> Option<Timestamp> {
    let ready = inventory::condition(node, "Ready").filter(|ready| ready.status == "Unknown")?;
    let since = ready.last_transition_time.as_ref();
    Some(since.map_or(Timestamp::UNIX_EPOCH, |time| time.0))
}

fn address(node: &Node) -> Option<String> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let internal = addresses.iter().find(|address| address.type_ == "InternalIP")?;
    Some(internal.address.clone())
}

/// What is reported of resources: cores, memory, and what vendors add.
fn is_shown(name: &str) -> bool {
    name == "cpu" || name == "memory" || name.contains('/')
}

fn quantities(seen: &Seen<'_>) -> (Quantities, Quantities) {
    let allocatable: Amounts = inventory::allocatable(seen.node)
        .into_iter()
        .filter(|(name, _)| is_shown(name))
        .collect();
    let mut used = Amounts::new();
    for pod in seen.pods.iter().filter(|pod| !pod.is_finished()) {
        add(&mut used, &pod.requests, 1);
    }
    let left = |name: &str| used.get(name).copied().unwrap_or_default();
    let key = |name: &str| seen.config.api_key(name).to_owned();
    let all = allocatable.iter().map(|(name, amount)| (key(name), amount.to_string())).collect();
    let available = allocatable
        .iter()
        .map(|(name, amount)| (key(name), amount.minus(left(name)).to_string()));
    (all, available.collect())
}

#[cfg(test)]
mod tests;
