//! Job types and the plug-ins that they need (semantics §4, README §8.2 and §8.4).

use super::work::Work;
use domain::meta::Uid;
use domain::name::TemplateName;
use domain::plugin::{Plugin, PluginPhase};
use domain::pool::{Accelerator, JobType, PoolPhase, ScopeState, ScopeStatus};
use fleet::observation::PluginState;
use fleet::{Command, Observation, PluginRequest, Quota};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

impl Work<'_> {
    pub fn scopes(&mut self, observed: &Observation) {
        let wanted = self.pool.physical().map(|spec| spec.scope.clone()).unwrap_or_default();
        self.pool.status.want_scopes(&wanted);
        let is_up = self.pool.status.cluster_ready && !matches!(self.pool.status.phase, PoolPhase::Creating);
        if !is_up {
            return;
        }
        self.note_dependencies(observed);
        let needed = self.needed_plugins(observed);
        self.plugins_to(&needed, observed);
        self.remove_strangers(observed);
        let scopes = std::mem::take(&mut self.pool.status.scopes);
        self.pool.status.scopes = scopes
            .into_iter()
            .map(|scope| self.advance_scope(scope, &needed, observed))
            .collect();
    }

    fn plugins_of(&self, job_type: JobType) -> Vec<TemplateName> {
        self.input
            .catalogue
            .config
            .scopes
            .get(&job_type)
            .map(|needs| needs.plugins.clone())
            .unwrap_or_default()
    }

    /// Mandatory plug-ins, those of job types that are on, and those whose workloads have not ended yet.
    fn needed_plugins(&self, observed: &Observation) -> BTreeSet<TemplateName> {
        let mandatory = self
            .input
            .catalogue
            .templates
            .values()
            .filter(|template| !template.is_optional)
            .map(|template| template.name.clone());
        let kept = self
            .pool
            .status
            .scopes
            .iter()
            .filter(|scope| scope.state.is_on() || (scope.state == ScopeState::Disabling && !self.has_ended(scope.job_type, observed)));
        mandatory
            .chain(kept.flat_map(|scope| self.plugins_of(scope.job_type)))
            .filter(|name| !Accelerator::is_driver_template(name))
            .collect()
    }

    /// Whether the fleet lets no workload of the type in any more and has none. Before it was told, a new one may be on its way.
    fn has_ended(&self, job_type: JobType, observed: &Observation) -> bool {
        let is_closed = |pool: &Uid| {
            let told = observed.quotas.iter().find(|quota| quota.pool.uid == *pool);
            told.is_some_and(|quota| !quota.open.contains(&job_type))
        };
        let may_have_it = |quota: &Quota| quota.parent.is_none() || job_type == JobType::Train;
        let pools = self.quotas().into_iter().filter(may_have_it);
        pools.map(|quota| quota.pool.uid).all(|pool| is_closed(&pool)) && observed.workloads.get(&job_type).is_none_or(|count| *count == 0)
    }

    /// Installs what is needed and takes away what the system installed and nobody needs.
    fn plugins_to(&mut self, needed: &BTreeSet<TemplateName>, observed: &Observation) {
        for template in needed
            .iter()
            .filter(|template| !self.plugins.contains_key(*template))
            .cloned()
            .collect::<Vec<_>>()
        {
            let Some((version, template_values)) = self.input.catalogue.templates.get(&template).and_then(|found| {
                let version = found.newest()?;
                Some((version, found.values(version, &BTreeMap::new())))
            }) else {
                continue;
            };
            let plugin = Plugin {
                project: self.pool.owner.project.clone(),
                pool: self.pool.name.clone(),
                pool_uid: self.pool.uid.clone(),
                template: template.clone(),
                created_at: self.now,
                version: version.to_owned(),
                values: template_values,
                inputs: BTreeMap::new(),
                attempt: 1,
                is_system: true,
                phase: PluginPhase::Pending,
                running_version: None,
                running_values: None,
                since: self.now,
                reason: None,
            };
            self.plugins.insert(template, plugin);
        }
        let names: Vec<TemplateName> = self.plugins.keys().cloned().collect();
        for name in names {
            let Some(mut plugin) = self.plugins.remove(&name) else { continue };
            if plugin.is_system && !needed.contains(&name) && plugin.phase != PluginPhase::Deleting {
                plugin.phase = PluginPhase::Deleting;
                plugin.since = self.now;
            }
            if self.observe_plugin(&mut plugin, observed) {
                self.plugins.insert(name, plugin);
            }
        }
    }

    /// `false`: the plug-in is gone.
    fn observe_plugin(&mut self, plugin: &mut Plugin, observed: &Observation) -> bool {
        let fact = observed.plugins.get(&plugin.template);
        if plugin.phase == PluginPhase::Deleting {
            if fact.is_some() {
                self.commands.push(Command::RemovePlugin {
                    pool: self.mark(),
                    template: plugin.template.clone(),
                });
            }
            return fact.is_some();
        }
        let is_asked = fact.is_some_and(|fact| fact.attempt == plugin.attempt && fact.state != PluginState::Removing);
        if !is_asked {
            let request = PluginRequest {
                template: plugin.template.clone(),
                version: plugin.version.clone(),
                values: plugin.values.clone(),
                attempt: plugin.attempt,
            };
            self.commands.push(Command::EnsurePlugin {
                pool: self.mark(),
                plugin: request,
            });
        }
        let is_new = !self.input.tree.plugins.iter().any(|known| known.template == plugin.template);
        let Some(fact) = fact.filter(|_| is_asked && !is_new) else {
            self.time_out(plugin);
            return true;
        };
        let (phase, reason) = match &fact.state {
            PluginState::Running if plugin.phase == PluginPhase::Running => (PluginPhase::Running, plugin.reason.clone()),
            PluginState::Running => {
                let is_first = plugin.running_version.is_none();
                (
                    PluginPhase::Running,
                    Some(if is_first { "Install complete" } else { "Upgrade complete" }.to_owned()),
                )
            }
            PluginState::Failed(reason) => (PluginPhase::Abnormal, Some(reason.clone())),
            PluginState::Installing | PluginState::Removing => (plugin.phase, plugin.reason.clone()),
        };
        if plugin.phase != phase && plugin.phase.may_become(phase) {
            plugin.phase = phase;
            plugin.since = self.now;
        }
        if plugin.reason != reason {
            plugin.reason = reason;
        }
        if fact.state == PluginState::Running && plugin.running_values.as_ref() != Some(&plugin.values) {
            plugin.running_values = Some(plugin.values.clone());
        }
        if fact.running.is_some() && plugin.running_version != fact.running {
            plugin.running_version.clone_from(&fact.running);
        }
        if fact.state != PluginState::Running {
            self.time_out(plugin);
        }
        true
    }

    /// A plug-in that does not come up in time has failed; its job types fail with it.
    fn time_out(&mut self, plugin: &mut Plugin) {
        if !matches!(plugin.phase, PluginPhase::Pending | PluginPhase::Updating) {
            return;
        }
        let over = plugin.since.saturating_add(self.policy.scope_timeout).unwrap_or(Timestamp::MAX);
        if self.now < over {
            return self.wake_at(over);
        }
        plugin.phase = PluginPhase::Abnormal;
        plugin.since = self.now;
        plugin.reason = Some("did not come up in time".to_owned());
    }

    /// What carries the pool's mark and has no record is taken away, as nodes are.
    fn remove_strangers(&mut self, observed: &Observation) {
        let tree = self.input.tree;
        let strangers = observed
            .plugins
            .iter()
            .filter(|(template, fact)| {
                fact.state != PluginState::Removing
                    && !self.plugins.contains_key(*template)
                    && !tree.plugins.iter().any(|plugin| plugin.template == **template)
            })
            .map(|(template, _)| Command::RemovePlugin {
                pool: self.mark(),
                template: template.clone(),
            });
        let strangers: Vec<Command> = strangers.collect();
        self.commands.extend(strangers);
    }

    /// One transition at a time, so that each one is seen: a state entered in this plan is left in a later one.
    fn advance_scope(&mut self, mut scope: ScopeStatus, needed: &BTreeSet<TemplateName>, observed: &Observation) -> ScopeStatus {
        if scope.state == ScopeState::Disabled {
            return scope;
        }
        let names = self.plugins_of(scope.job_type);
        scope.plugins = names
            .iter()
            .filter_map(|name| Some((name.clone(), self.plugins.get(name)?.phase)))
            .collect();
        let before = self
            .input
            .tree
            .root
            .status
            .scopes
            .iter()
            .find(|known| known.job_type == scope.job_type);
        if before.map(|known| known.state) != Some(scope.state) {
            return scope;
        }
        match scope.state {
            ScopeState::Enabling => match self.readiness(&scope, &names, observed) {
                Readiness::Ready => {
                    scope.state = ScopeState::Enabled;
                    scope.message = None;
                }
                Readiness::Failed(message) => {
                    scope.state = ScopeState::EnableFailed;
                    scope.message = Some(message);
                }
                Readiness::Waiting => {}
            },
            ScopeState::Disabling => {
                let is_kept = |name: &TemplateName| needed.contains(name) || self.plugins.get(name).is_none_or(|plugin| !plugin.is_system);
                if self.has_ended(scope.job_type, observed) && names.iter().all(is_kept) {
                    scope.state = ScopeState::Disabled;
                    scope.plugins.clear();
                }
            }
            ScopeState::Enabled | ScopeState::EnableFailed | ScopeState::Disabled => {}
        }
        scope
    }

    fn readiness(&self, scope: &ScopeStatus, names: &[TemplateName], observed: &Observation) -> Readiness {
        if let Some((name, _)) = scope.plugins.iter().find(|(_, phase)| *phase == PluginPhase::Abnormal) {
            let reason = self.plugins.get(name).and_then(|plugin| plugin.reason.clone()).unwrap_or_default();
            return Readiness::Failed(format!("plug-in {name} is abnormal: {reason}"));
        }
        if let Some(name) = names
            .iter()
            .find(|name| !self.plugins.contains_key(*name) && !self.input.catalogue.templates.contains_key(*name))
        {
            return Readiness::Failed(format!("there is no template for plug-in {name}"));
        }
        let needs = self
            .input
            .catalogue
            .config
            .scopes
            .get(&scope.job_type)
            .is_some_and(|needs| needs.needs_external_dependency);
        match observed.dependencies.get(&scope.job_type).filter(|_| needs) {
            Some(Err(reason)) => return Readiness::Failed(format!("the external dependency is down: {reason}")),
            None if needs => return Readiness::Waiting,
            Some(Ok(())) | None => {}
        }
        let is_running = |name: &TemplateName| self.plugins.get(name).is_some_and(|plugin| plugin.phase == PluginPhase::Running);
        if names.iter().all(is_running) {
            Readiness::Ready
        } else {
            Readiness::Waiting
        }
    }

    fn note_dependencies(&mut self, observed: &Observation) {
        let scopes: Vec<JobType> = self
            .pool
            .status
            .scopes
            .iter()
            .filter(|scope| scope.state.is_on())
            .map(|scope| scope.job_type)
            .collect();
        let config = std::sync::Arc::clone(&self.input.catalogue.config);
        for job_type in scopes
            .into_iter()
            .filter(|job_type| config.scopes.get(job_type).is_some_and(|needs| needs.needs_external_dependency))
        {
            let Some(state) = observed.dependencies.get(&job_type) else {
                continue;
            };
            let (status, message) = match state {
                Ok(()) => ("True", ""),
                Err(reason) => ("False", reason.as_str()),
            };
            let access = serde_json::json!({"type": "Enabled", "status": status, "message": message});
            let text = serde_json::json!({"type": "Enabled", "status": status, "message": message, "network_access": access}).to_string();
            if self.pool.status.dependencies.get(&job_type) != Some(&text) {
                self.pool.status.dependencies.insert(job_type, text);
            }
        }
    }
}

enum Readiness {
    Ready,
    Waiting,
    Failed(String),
}
