//! Plug-ins of a pool and the templates they are made from (contract `plugins.md`).

use crate::Outcome;
use crate::admission;
use crate::commit::Decided;
use crate::context::{CallContext, Service, check_match};
use crate::error::{ExistsKind, Missing, ServiceError};
use auth::Action;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::name::{PoolName, TemplateName};
use domain::plugin::{Plugin, PluginPhase, PluginTemplate};
use domain::pool::{Accelerator, Pool, PoolPhase, Restricted, ScopeState};
use fleet::observation::PluginObject;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::index::{Entry, Facet, Snapshot, Versioned};
use store::{Expect, TypedBatch};

/// What a request asks of a plug-in. What is absent stays as it is, or is the default where there is nothing yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PluginWish {
    pub version: Option<String>,
    pub inputs: Option<BTreeMap<String, Value>>,
}

impl Service {
    /// The catalogue of plug-ins by name: all of it, or one of them; with a pool, only what can be installed in it.
    pub fn list_plugin_templates(
        &self,
        ctx: &CallContext,
        name: Option<&str>,
        pool: Option<&str>,
    ) -> Result<Vec<Arc<PluginTemplate>>, ServiceError> {
        self.authorize(ctx, Action::PluginList)?;
        let pool = match pool {
            None => None,
            Some(text) => {
                let name = PoolName::parse(text).map_err(|_| ServiceError::NotFound(Missing::Pool))?;
                Some(self.pool_of(ctx, Action::PluginList, &name)?)
            }
        };
        let all = self.parts.state.index().read().all::<PluginTemplate>();
        let mut found: Vec<_> = all.into_iter().map(|template| template.object).collect();
        if let Some(name) = name {
            found.retain(|template| template.name.as_str() == name);
            if found.is_empty() {
                return Err(ServiceError::named("Plugintemplate", name));
            }
        }
        if let Some(pool) = pool {
            // Drivers are installed by the pool's spec.
            found.retain(|template| pool.is_physical() && !Accelerator::is_driver_template(&template.name));
        }
        Ok(found)
    }

    pub fn show_plugin_template(&self, ctx: &CallContext, name: &str) -> Result<Arc<PluginTemplate>, ServiceError> {
        self.authorize(ctx, Action::PluginGet)?;
        let found = self.parts.state.index().read().get::<PluginTemplate>("", name);
        found
            .map(|template| template.object)
            .ok_or_else(|| ServiceError::named("Plugintemplate", name))
    }

    /// The plug-ins of a pool, newest first, then by name.
    pub fn list_plugins(&self, ctx: &CallContext, pool: &PoolName) -> Result<Vec<Arc<Entry>>, ServiceError> {
        let pool = self.pool_of(ctx, Action::PluginList, pool)?;
        let index = self.parts.state.index().read();
        Ok(index.entries(Facet::PluginsOfPool, pool.uid.as_str()).cloned().collect())
    }

    pub fn show_plugin(&self, ctx: &CallContext, pool: &PoolName, template: &str) -> Result<Versioned<Plugin>, ServiceError> {
        self.find_plugin(ctx, Action::PluginGet, pool, template).map(|(_, plugin)| plugin)
    }

    /// What the fleet runs for a plug-in.
    pub async fn plugin_objects(&self, plugin: &Plugin) -> Result<Vec<PluginObject>, ServiceError> {
        let seen = self.parts.fleet.observe(&plugin.pool_uid).await;
        let mut seen = seen.map_err(|error| ServiceError::Unavailable(error.to_string()))?;
        Ok(seen.plugins.remove(&plugin.template).map(|fact| fact.objects).unwrap_or_default())
    }

    fn find_plugin(
        &self,
        ctx: &CallContext,
        action: Action,
        pool: &PoolName,
        template: &str,
    ) -> Result<(Versioned<Pool>, Versioned<Plugin>), ServiceError> {
        let pool = self.pool_of(ctx, action, pool)?;
        let index = self.parts.state.index().read();
        let plugin = index
            .get::<Plugin>(&ctx.project, format!("{}/{template}", pool.uid))
            .ok_or_else(|| ServiceError::named("Plugin", template))?;
        check_match(ctx, plugin.revision())?;
        Ok((pool, plugin))
    }

    pub async fn create_plugin(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
        decode: impl Fn() -> Result<(TemplateName, PluginWish), FieldErrors>,
    ) -> Result<Outcome<Plugin>, ServiceError> {
        let _turn = self.locks.lock(self.tree_of(ctx, pool)).await;
        self.change(ctx, || {
            let pool = self.pool_of(ctx, Action::PluginCreate, pool)?;
            let (name, wish) = decode()?;
            let index = self.parts.state.index().read();
            let template = known_template(&index, &name)?;
            let version = wish
                .version
                .or_else(|| template.newest().map(ToOwned::to_owned))
                .unwrap_or_default();
            check_version(&template, &version)?;
            let is_there = index.get::<Plugin>(&ctx.project, format!("{}/{name}", pool.uid)).is_some();
            drop(index);
            self.refuse_restricted(&pool.object, Restricted::Service)?;
            check_pool(&pool)?;
            if is_there {
                return Err(ServiceError::AlreadyExists(ExistsKind::Named {
                    kind: "Plugin".to_owned(),
                    name: name.to_string(),
                }));
            }
            let now = self.now();
            let inputs = wish.inputs.unwrap_or_default();
            let plugin = Plugin {
                project: ctx.project.clone(),
                pool: pool.name.clone(),
                pool_uid: pool.uid.clone(),
                template: name,
                created_at: now,
                values: template.values(&version, &inputs),
                version,
                inputs,
                attempt: 1,
                is_system: false,
                phase: PluginPhase::Pending,
                running_version: None,
                running_values: None,
                since: now,
                reason: None,
            };
            Ok(written(&pool, Some(&template), plugin, Expect::Absent))
        })
        .await
    }

    /// Asks for another version or for other parameters. What has failed is tried again even if both stay as they are.
    pub async fn patch_plugin(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
        template: &str,
        decode: impl Fn(&Plugin) -> Result<PluginWish, FieldErrors>,
    ) -> Result<Outcome<Plugin>, ServiceError> {
        let _turn = self.locks.lock(self.tree_of(ctx, pool)).await;
        self.change(ctx, || {
            let (pool, plugin) = self.find_plugin(ctx, Action::PluginUpdate, pool, template)?;
            let wish = decode(&plugin)?;
            let tries_again = plugin.phase == PluginPhase::Abnormal && wish != PluginWish::default();
            let template = known_template(&self.parts.state.index().read(), &plugin.template)?;
            let mut next = Plugin::clone(&plugin);
            next.version = wish.version.unwrap_or(next.version);
            next.inputs = wish.inputs.unwrap_or(next.inputs);
            if next == *plugin.object && !tries_again {
                return Ok(unchanged(&plugin));
            }
            check_version(&template, &next.version)?;
            next.values = template.values(&next.version, &next.inputs);
            self.refuse_restricted(&pool.object, Restricted::Service)?;
            if pool.deleted_at.is_some() || plugin.phase == PluginPhase::Deleting {
                return Err(ServiceError::Refused(format!("plug-in {} is being deleted", plugin.template)));
            }
            next.ask_again(self.now());
            Ok(written(&pool, Some(&template), next, Expect::At(plugin.revision())))
        })
        .await
    }

    /// Refused for what every pool has, and for what an enabled job type needs.
    pub async fn delete_plugin(&self, ctx: &CallContext, pool: &PoolName, template: &str) -> Result<Outcome<Plugin>, ServiceError> {
        let _turn = self.locks.lock(self.tree_of(ctx, pool)).await;
        self.change(ctx, || {
            let (pool, plugin) = self.find_plugin(ctx, Action::PluginDelete, pool, template)?;
            self.refuse_restricted(&pool.object, Restricted::Configuration)?;
            if plugin.phase == PluginPhase::Deleting {
                return Ok(unchanged(&plugin));
            }
            if let Some(user) = user_of(&self.parts.state.index().read(), &pool, &plugin.template) {
                return Err(ServiceError::Refused(format!(
                    "plug-in {} cannot be deleted: {user}",
                    plugin.template
                )));
            }
            let mut next = Plugin::clone(&plugin);
            next.phase = PluginPhase::Deleting;
            next.since = self.now();
            Ok(written(&pool, None, next, Expect::At(plugin.revision())))
        })
        .await
    }
}

fn unchanged(plugin: &Versioned<Plugin>) -> Decided<Plugin> {
    Decided {
        batch: TypedBatch::default(),
        object: Arc::clone(&plugin.object),
        unchanged: Some(plugin.revision()),
    }
}

/// Writes the pool again as it is: whoever works on its tree notices, and of two who do so at the same time one has to
/// decide again. The template has to stay as it is.
fn written(pool: &Versioned<Pool>, template: Option<&Versioned<PluginTemplate>>, plugin: Plugin, expect: Expect) -> Decided<Plugin> {
    let mut batch = TypedBatch::default();
    batch.put(Arc::clone(&pool.object), Expect::At(pool.revision()));
    if let Some(template) = template {
        batch.check(template.entry.key.clone(), Expect::At(template.revision()));
    }
    batch.put(plugin.clone(), expect);
    Decided {
        batch,
        object: Arc::new(plugin),
        unchanged: None,
    }
}

fn path(member: &str) -> FieldPath {
    FieldPath::of("spec").field("template").field(member)
}

fn known_template(index: &Snapshot<'_>, name: &TemplateName) -> Result<Versioned<PluginTemplate>, ServiceError> {
    if Accelerator::is_driver_template(name) {
        let message = "drivers are installed by spec.driver of the pool";
        return Err(ServiceError::field(path("name"), Reason::Forbidden, message));
    }
    index
        .get::<PluginTemplate>("", name)
        .ok_or_else(|| ServiceError::field(path("name"), Reason::NotFound, format!("unknown template {:?}", name.as_str())))
}

fn check_version(template: &PluginTemplate, version: &str) -> Result<(), ServiceError> {
    if template.has_version(version) {
        return Ok(());
    }
    let message = format!("template {} has no version {version:?}", template.name);
    Err(ServiceError::field(path("version"), Reason::NotFound, message))
}

/// Check 11.
fn check_pool(pool: &Pool) -> Result<(), ServiceError> {
    if !pool.is_physical() {
        return Err(ServiceError::Refused("a logical pool has no plug-ins of its own".to_owned()));
    }
    if pool.status.phase != PoolPhase::Running {
        let phase = pool.status.phase.as_str();
        return Err(ServiceError::Refused(format!(
            "plug-ins are installed while the pool is Running; it is {phase}"
        )));
    }
    Ok(())
}

/// Why a plug-in has to stay.
fn user_of(index: &Snapshot<'_>, pool: &Pool, template: &TemplateName) -> Option<String> {
    let found = index.get::<PluginTemplate>("", template);
    if found.is_some_and(|template| !template.is_optional) {
        return Some("every pool has it".to_owned());
    }
    let config = admission::config(index);
    let needs = |job_type| config.scopes.get(&job_type).is_some_and(|needs| needs.plugins.contains(template));
    let wanted = pool
        .physical()
        .map(|spec| spec.scope.as_slice())
        .unwrap_or_default()
        .iter()
        .copied();
    let kept = pool
        .status
        .scopes
        .iter()
        .filter(|scope| scope.state != ScopeState::Disabled)
        .map(|scope| scope.job_type);
    let job_type = wanted.chain(kept).find(|job_type| needs(*job_type))?;
    Some(format!("job type {job_type} needs it"))
}
