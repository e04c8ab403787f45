//! Small actors that do what a cluster's own controllers and machines do, by the clock and in a fixed order.
//!
//! Each reacts to changes of single objects, now or by a timer; what a timer finds has changed meanwhile is left alone.

mod drivers;
mod garbage;
mod jobs;
pub(crate) mod kubelet;
mod machines;
mod nodes;
mod releases;
mod scheduler;

use crate::objects::{Change, State};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Annotation of a pod: so many seconds after its start it ends. Pods of Jobs end after ten seconds without it.
pub const RUN_SECONDS: &str = "fake.io/run-seconds";
/// Annotation of a pod: so many seconds after its deletion it ends, but at most its grace. One without it.
pub const STOP_SECONDS: &str = "fake.io/stop-seconds";
/// Annotation of a pod, a Deployment or a release: it fails.
pub const FAILS: &str = "fake.io/fails";

/// Which actors there are, and how long they take. Absent: there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TwinOptions {
    pub kubelet: Option<KubeletOptions>,
    /// Taints of nodes that are not ready, and the end of pods that do not bear with them.
    pub node_controller: bool,
    /// Pods of Jobs; Deployments that say they are available after so long.
    pub workloads: Option<Duration>,
    /// Binds pods.
    pub scheduler: bool,
    /// Time that a driver takes to change.
    pub drivers: Option<Duration>,
    /// Time until a release, or an application, is ready. Queues open and close at once.
    pub releases: Option<Duration>,
    /// Time from a Machine of Cluster API to its Node.
    pub machines: Option<Duration>,
    /// What belongs to nothing goes; deleted namespaces are emptied; budgets are counted.
    pub garbage: bool,
}

/// How long machines take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KubeletOptions {
    /// From registration to readiness.
    pub ready_after: Duration,
    /// From binding to running.
    pub pod_start: Duration,
    /// Between signs of life.
    pub heartbeat: Duration,
    /// From the last sign of life to `Unknown`.
    pub silent_after: Duration,
    pub reboot: Duration,
}

impl Default for KubeletOptions {
    fn default() -> Self {
        Self {
            ready_after: Duration::from_secs(20),
            pod_start: Duration::from_secs(2),
            heartbeat: Duration::from_mins(5),
            silent_after: Duration::from_secs(40),
            reboot: Duration::from_mins(2),
        }
    }
}

impl TwinOptions {
    /// All of them.
    pub fn all() -> Self {
        Self {
            kubelet: Some(KubeletOptions::default()),
            node_controller: true,
            workloads: Some(Duration::from_secs(5)),
            scheduler: true,
            drivers: Some(Duration::from_mins(3)),
            releases: Some(Duration::from_secs(20)),
            machines: Some(Duration::from_mins(3)),
            garbage: true,
        }
    }
}

/// Something that an actor does later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    NodeReady {
        node: String,
        uid: String,
    },
    NodeSilent {
        node: String,
    },
    NodeBack {
        node: String,
        uid: String,
    },
    Heartbeat {
        node: String,
    },
    PodStart {
        pod: crate::Key,
        uid: String,
    },
    PodEnd {
        pod: crate::Key,
        uid: String,
    },
    PodStop {
        pod: crate::Key,
        uid: String,
    },
    /// It does not bear with its node any longer.
    PodExpelled {
        pod: crate::Key,
        uid: String,
    },
    DriverDone {
        node: String,
        version: String,
    },
    WorkloadReady {
        key: crate::Key,
    },
    ReleaseReady {
        key: crate::Key,
        generation: i64,
    },
    Machine {
        key: crate::Key,
        uid: String,
        step: machines::Step,
    },
}

/// What the actors remember.
#[derive(Debug, Default)]
pub(crate) struct Twins {
    pub options: TwinOptions,
    /// Changes up to here were seen.
    cursor: u64,
    timers: BTreeSet<(Timestamp, Task)>,
    /// Machines that give no sign of life, and since when.
    pub silent: BTreeMap<String, Timestamp>,
    /// Machines that are starting anew.
    pub rebooting: BTreeSet<String>,
    /// Driver versions that do not install.
    pub bad_drivers: BTreeSet<String>,
    /// Pods that wait for a node.
    pub pending: BTreeSet<crate::Key>,
}

impl Twins {
    /// Does the task at that time, unless it is planned already.
    pub fn plan(&mut self, at: Timestamp, task: Task) {
        if !self.timers.iter().any(|(_, planned)| *planned == task) {
            self.timers.insert((at, task));
        }
    }

    pub fn drop_task(&mut self, task: &Task) {
        self.timers.retain(|(_, planned)| planned != task);
    }
}

/// Lets the actors do all that is due. Returns when they next have something to do.
pub(crate) fn step(state: &mut State) -> Option<Timestamp> {
    // An actor that answers itself for ever would hang the caller.
    for _ in 0..1_000 {
        let changes = news(state);
        for change in &changes {
            react(state, change);
        }
        let due = due(state);
        for task in &due {
            perform(state, task);
        }
        if state.twins.options.scheduler {
            scheduler::pass(state);
        }
        if changes.is_empty() && due.is_empty() {
            break;
        }
    }
    state.twins.timers.first().map(|(at, _)| *at)
}

fn news(state: &mut State) -> Vec<Change> {
    let cursor = state.twins.cursor;
    state.twins.cursor = state.version;
    let start = state.log.partition_point(|change| change.version <= cursor);
    state.log.range(start..).cloned().collect()
}

fn due(state: &mut State) -> Vec<Task> {
    let mut due = Vec::new();
    while let Some((at, task)) = state.twins.timers.pop_first() {
        if at > state.now {
            state.twins.timers.insert((at, task));
            break;
        }
        due.push(task);
    }
    due
}

fn react(state: &mut State, change: &Change) {
    let options = state.twins.options;
    match &*change.key.ty {
        "nodes" => {
            if let Some(kubelet) = options.kubelet {
                kubelet::node_changed(state, change, kubelet);
            }
            if options.node_controller {
                nodes::changed(state, change);
            }
            if let Some(takes) = options.drivers {
                drivers::node_changed(state, change, takes);
            }
        }
        "pods" => {
            if options.scheduler {
                scheduler::pod_changed(state, change);
            }
            if let Some(kubelet) = options.kubelet {
                kubelet::pod_changed(state, change, kubelet);
            }
            if options.node_controller {
                nodes::pod_changed(state, change);
            }
            if options.workloads.is_some() {
                jobs::pod_changed(state, change);
            }
        }
        "jobs.batch" if options.workloads.is_some() => jobs::sync(state, &change.key),
        "deployments.apps" => {
            if let Some(takes) = options.workloads {
                jobs::deployment_changed(state, change, takes);
            }
        }
        machines::MACHINES => {
            if let Some(takes) = options.machines {
                machines::changed(state, change, takes);
            }
        }
        _ => {
            if let Some(takes) = options.releases {
                releases::changed(state, change, takes);
            }
        }
    }
    if options.garbage {
        garbage::changed(state, change);
    }
}

fn perform(state: &mut State, task: &Task) {
    match task {
        Task::NodeReady { node, uid } => kubelet::node_ready(state, node, uid),
        Task::NodeSilent { node } => nodes::silent(state, node),
        Task::NodeBack { node, uid } => kubelet::node_back(state, node, uid),
        Task::Heartbeat { node } => kubelet::heartbeat(state, node),
        Task::PodStart { pod, uid } => kubelet::pod_start(state, pod, uid),
        Task::PodEnd { pod, uid } => kubelet::pod_end(state, pod, uid),
        Task::PodStop { pod, uid } => kubelet::pod_stop(state, pod, uid),
        Task::PodExpelled { pod, uid } => nodes::expel(state, pod, uid),
        Task::DriverDone { node, version } => drivers::done(state, node, version),
        Task::WorkloadReady { key } => jobs::deployment_ready(state, key),
        Task::ReleaseReady { key, generation } => releases::ready(state, key, *generation),
        Task::Machine { key, uid, step } => machines::perform(state, key, uid, *step),
    }
}
