//! What a pool has besides nodes, and what that is doing at a time.

use super::PoolFault;
use super::timing::{Step, Timing};
use crate::command::{PluginRequest, PoolMark};
use crate::observation::{ClusterFact, Observation, PluginFact, PluginObject, PluginState};
use crate::workload::Quota;
use domain::meta::Uid;
use domain::name::TemplateName;
use domain::pool::JobType;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a pool has besides nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PoolState {
    pub mark: PoolMark,
    pub cluster_at: Timestamp,
    pub plugins: BTreeMap<TemplateName, PluginEntry>,
    /// By what workloads are let in.
    #[serde(default)]
    pub quotas: Vec<Quota>,
    /// What the cluster suffers from, and since when.
    #[serde(default)]
    pub cluster_down: Option<(Timestamp, String)>,
    /// How many installations of a plug-in will fail.
    #[serde(default)]
    pub failing_plugins: BTreeMap<TemplateName, u32>,
    #[serde(default)]
    pub dependencies_down: BTreeMap<JobType, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PluginEntry {
    pub version: String,
    #[serde(default)]
    pub attempt: u32,
    pub since: Timestamp,
    pub running: Option<String>,
    pub is_removing: bool,
    #[serde(default)]
    pub fails: bool,
}

impl PoolState {
    pub fn new(mark: PoolMark, now: Timestamp) -> Self {
        Self {
            mark,
            cluster_at: now,
            plugins: BTreeMap::new(),
            quotas: Vec::new(),
            cluster_down: None,
            failing_plugins: BTreeMap::new(),
            dependencies_down: BTreeMap::new(),
        }
    }

    fn up_at(&self, timing: &Timing) -> Timestamp {
        timing.after(self.cluster_at, Step::Cluster, self.mark.uid.as_str(), 0)
    }

    fn done_at(&self, template: &TemplateName, plugin: &PluginEntry, timing: &Timing) -> Timestamp {
        let thing = format!("{}/{template}/{}", self.mark.uid, plugin.version);
        timing.after(plugin.since, Step::Plugin, &thing, u64::from(plugin.is_removing))
    }

    /// The first instant after `now` at which what is observed changes by itself.
    pub fn next_turn(&self, now: Timestamp, timing: &Timing) -> Option<Timestamp> {
        let plugins = self.plugins.iter().map(|(template, plugin)| self.done_at(template, plugin, timing));
        plugins.chain([self.up_at(timing)]).filter(|at| *at > now).min()
    }

    /// Starts an installation, unless this one or a later one was started.
    pub fn install(&mut self, request: &PluginRequest, now: Timestamp, timing: &Timing) {
        let known = self.plugins.get(&request.template);
        if known.is_some_and(|entry| entry.attempt >= request.attempt && !entry.is_removing) {
            return;
        }
        let running = known.and_then(|entry| self.running(&request.template, entry, now, timing));
        let failing = self.failing_plugins.get(&request.template).copied().unwrap_or(0);
        match failing {
            0 => {}
            1 => drop(self.failing_plugins.remove(&request.template)),
            _ => drop(self.failing_plugins.insert(request.template.clone(), failing - 1)),
        }
        let entry = PluginEntry {
            version: request.version.clone(),
            attempt: request.attempt,
            since: now,
            running,
            is_removing: false,
            fails: failing > 0,
        };
        self.plugins.insert(request.template.clone(), entry);
    }

    /// Starts a removal, unless it is running or over.
    pub fn remove(&mut self, template: &TemplateName, now: Timestamp, timing: &Timing) {
        let Some(entry) = self.plugins.get(template).filter(|entry| !entry.is_removing) else {
            return;
        };
        let running = self.running(template, entry, now, timing);
        let entry = PluginEntry {
            running,
            since: now,
            is_removing: true,
            fails: false,
            version: entry.version.clone(),
            attempt: entry.attempt,
        };
        self.plugins.insert(template.clone(), entry);
    }

    fn running(&self, template: &TemplateName, entry: &PluginEntry, now: Timestamp, timing: &Timing) -> Option<String> {
        if now >= self.done_at(template, entry, timing) && !entry.fails {
            Some(entry.version.clone())
        } else {
            entry.running.clone()
        }
    }

    /// Tells what the pool has besides nodes.
    pub fn report(&self, observation: &mut Observation, now: Timestamp, timing: &Timing) {
        let up_at = self.up_at(timing);
        observation.cluster = match &self.cluster_down {
            Some((since, _)) if *since >= up_at => ClusterFact::Unreachable,
            Some((_, reason)) => ClusterFact::Failed(reason.clone()),
            None if now < up_at => ClusterFact::Starting,
            None => ClusterFact::Ready,
        };
        if observation.cluster == ClusterFact::Ready {
            let state = |job_type| self.dependencies_down.get(&job_type).map_or(Ok(()), |reason| Err(reason.clone()));
            observation.dependencies = JobType::ALL.into_iter().map(|job_type| (job_type, state(job_type))).collect();
        }
        observation.quotas.clone_from(&self.quotas);
        for (template, plugin) in &self.plugins {
            observation
                .plugins
                .extend(self.plugin_fact(template, plugin, now, timing).map(|fact| (template.clone(), fact)));
        }
    }

    fn plugin_fact(&self, template: &TemplateName, plugin: &PluginEntry, now: Timestamp, timing: &Timing) -> Option<PluginFact> {
        let is_done = now >= self.done_at(template, plugin, timing);
        let (running, state) = match (plugin.is_removing, is_done) {
            (true, true) => return None,
            (true, false) => (plugin.running.clone(), PluginState::Removing),
            (false, true) if plugin.fails => (
                plugin.running.clone(),
                PluginState::Failed("the installation ended with an error".to_owned()),
            ),
            (false, true) => (Some(plugin.version.clone()), PluginState::Running),
            (false, false) => (plugin.running.clone(), PluginState::Installing),
        };
        let objects = running.iter().map(|_| self.object(template, plugin, timing)).collect();
        Some(PluginFact {
            version: plugin.version.clone(),
            attempt: plugin.attempt,
            running,
            state,
            objects,
        })
    }

    /// The one deployment that every plug-in is here.
    fn object(&self, template: &TemplateName, plugin: &PluginEntry, timing: &Timing) -> PluginObject {
        let quantities = |cpu: &str, memory: &str| {
            let pairs = [("cpu", cpu), ("memory", memory)];
            pairs.map(|(name, amount)| (name.to_owned(), amount.to_owned())).into()
        };
        PluginObject {
            kind: "Deployment".to_owned(),
            api_version: "apps/v1".to_owned(),
            namespace: "kube-system".to_owned(),
            name: template.to_string(),
            uid: self.object_uid(template, timing),
            resource_version: plugin.attempt.to_string(),
            replicas: 1,
            limits: quantities("1", "1Gi"),
            requests: quantities("100m", "128Mi"),
        }
    }

    /// The same for as long as the plug-in is there.
    fn object_uid(&self, template: &TemplateName, timing: &Timing) -> Uid {
        let thing = format!("{}/{template}", self.mark.uid);
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&timing.draw(Step::Plugin as u64, &thing, 0).to_bits().to_be_bytes());
        Uid::new(u64::try_from(self.cluster_at.as_millisecond()).unwrap_or(0), bytes)
    }

    /// The faults that were asked for and are still there.
    pub fn faults(&self) -> Vec<PoolFault> {
        let cluster = self
            .cluster_down
            .iter()
            .map(|(_, reason)| PoolFault::ClusterDown { reason: reason.clone() });
        let plugins = self.failing_plugins.iter().map(|(template, times)| PoolFault::PluginFails {
            template: template.clone(),
            times: *times,
        });
        let dependencies = self.dependencies_down.iter().map(|(job_type, reason)| PoolFault::DependencyDown {
            job_type: *job_type,
            reason: reason.clone(),
        });
        cluster.chain(plugins).chain(dependencies).collect()
    }

    pub fn suffer(&mut self, fault: &PoolFault, now: Timestamp) {
        match fault {
            PoolFault::ClusterDown { reason } => self.cluster_down = Some((now, reason.clone())),
            PoolFault::PluginFails { template, times } => {
                self.failing_plugins.insert(template.clone(), *times);
            }
            PoolFault::DependencyDown { job_type, reason } => {
                self.dependencies_down.insert(*job_type, reason.clone());
            }
        }
    }

    /// A cluster that was down starts again where it never was up.
    pub fn mend(&mut self, now: Timestamp, timing: &Timing) {
        if self.cluster_down.take().is_some_and(|(since, _)| since < self.up_at(timing)) {
            self.cluster_at = now;
        }
        self.failing_plugins.clear();
        self.dependencies_down.clear();
    }
}
