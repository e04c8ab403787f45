//! The catalogue of plug-in templates (contract `plugins.md`).

use super::{decided, exists, installation, shown};
use crate::Outcome;
use crate::admission;
use crate::context::{CallContext, Service, check_match};
use crate::error::ServiceError;
use domain::catalogue::{Flavor, OsConfig};
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::name::TemplateName;
use domain::plugin::{Plugin, PluginTemplate, TemplateKind, TemplateVersion};
use domain::pool::{Accelerator, Pool};
use domain::principal::Principal;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::index::{Snapshot, Versioned};
use store::{Expect, TypedBatch};

/// A template as a request describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateDraft {
    pub display_name: String,
    pub description: String,
    pub kind: TemplateKind,
    /// `false`: installed in every pool and not deletable.
    pub is_optional: bool,
    pub logo_url: String,
    /// Newest first; at least one.
    pub versions: Vec<VersionDraft>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct VersionDraft {
    pub version: String,
    pub description: String,
    pub detail: String,
    pub inputs: BTreeMap<String, Value>,
    pub translate: BTreeMap<String, Value>,
}

impl From<&PluginTemplate> for TemplateDraft {
    fn from(template: &PluginTemplate) -> Self {
        let versions = template.versions.iter().map(|known| VersionDraft {
            version: known.version.clone(),
            description: known.description.clone(),
            detail: known.detail.clone(),
            inputs: known.inputs.clone(),
            translate: known.translate.clone(),
        });
        Self {
            display_name: template.display_name.clone(),
            description: template.description.clone(),
            kind: template.kind,
            is_optional: template.is_optional,
            logo_url: template.logo_url.clone(),
            versions: versions.collect(),
        }
    }
}

impl Service {
    pub async fn create_template(
        &self,
        ctx: &CallContext,
        decode: impl Fn() -> Result<(TemplateName, TemplateDraft), FieldErrors>,
    ) -> Result<Outcome<PluginTemplate>, ServiceError> {
        self.administer(ctx, || {
            let (name, draft) = decode()?;
            check(&draft).into_result()?;
            let index = self.parts.state.index().read();
            if index.get::<PluginTemplate>("", &name).is_some() {
                return Err(exists("Plugintemplate", name.as_str()));
            }
            let template = build(&name, draft, None, self.now());
            check_used(&index, &template)?;
            let mut batch = TypedBatch::default();
            batch.put(template.clone(), Expect::Absent);
            Ok(decided(batch, template))
        })
        .await
    }

    /// `edit` gets the template as it is and gives what it is to be. Versions that pools ask for cannot be left out.
    pub async fn update_template(
        &self,
        ctx: &CallContext,
        name: &TemplateName,
        edit: impl Fn(&PluginTemplate) -> Result<TemplateDraft, ServiceError>,
    ) -> Result<Outcome<PluginTemplate>, ServiceError> {
        self.administer(ctx, || {
            let found = self.find_template(name)?;
            check_match(ctx, found.revision())?;
            let draft = edit(&found)?;
            check(&draft).into_result()?;
            let template = build(name, draft, Some(&found), self.now());
            check_used(&self.parts.state.index().read(), &template)?;
            let mut batch = TypedBatch::default();
            batch.put(template.clone(), Expect::At(found.revision()));
            Ok(decided(batch, template))
        })
        .await
    }

    /// Adds a version as the newest one.
    pub async fn add_template_version(
        &self,
        ctx: &CallContext,
        name: &TemplateName,
        decode: impl Fn() -> Result<VersionDraft, FieldErrors>,
    ) -> Result<Outcome<PluginTemplate>, ServiceError> {
        self.update_template(ctx, name, |template| {
            let version = decode()?;
            if template.has_version(&version.version) {
                return Err(exists("Version", &version.version));
            }
            let mut draft = TemplateDraft::from(template);
            draft.versions.insert(0, version);
            Ok(draft)
        })
        .await
    }

    /// Refused for the last version, and for one that pools ask for.
    pub async fn remove_template_version(
        &self,
        ctx: &CallContext,
        name: &TemplateName,
        version: &str,
    ) -> Result<Outcome<PluginTemplate>, ServiceError> {
        self.update_template(ctx, name, |template| {
            if !template.has_version(version) {
                return Err(ServiceError::named("Version", version));
            }
            let mut draft = TemplateDraft::from(template);
            draft.versions.retain(|known| known.version != version);
            if draft.versions.is_empty() {
                return Err(ServiceError::Refused(format!(
                    "version {version} is the only one of plug-in template {name}"
                )));
            }
            Ok(draft)
        })
        .await
    }

    /// All templates by name.
    pub fn all_templates(&self, who: &Principal) -> Result<Vec<Arc<PluginTemplate>>, ServiceError> {
        self.authorize_operator(who)?;
        let all = self.parts.state.index().read().all::<PluginTemplate>();
        Ok(all.into_iter().map(|template| template.object).collect())
    }

    pub fn template(&self, who: &Principal, name: &TemplateName) -> Result<Outcome<PluginTemplate>, ServiceError> {
        self.authorize_operator(who)?;
        self.find_template(name).map(|found| shown(&found))
    }

    /// Refused while plug-ins are made from it, job types need it, or flavors need it for their driver.
    pub async fn delete_template(&self, ctx: &CallContext, name: &TemplateName) -> Result<Outcome<PluginTemplate>, ServiceError> {
        self.administer(ctx, || {
            let found = self.find_template(name)?;
            check_match(ctx, found.revision())?;
            let index = self.parts.state.index().read();
            if let Some(user) = user_of(&index, name) {
                return Err(ServiceError::Refused(format!("plug-in template {name} is in use by {user}")));
            }
            let mut batch = TypedBatch::default();
            let config = index.at::<OsConfig>(&installation());
            batch.check(
                installation(),
                config.map_or(Expect::Absent, |config| Expect::At(config.revision())),
            );
            batch.delete(found.entry.key.clone(), Expect::At(found.revision()));
            Ok(decided(batch, PluginTemplate::clone(&found)))
        })
        .await
    }

    fn find_template(&self, name: &TemplateName) -> Result<Versioned<PluginTemplate>, ServiceError> {
        let found = self.parts.state.index().read().get::<PluginTemplate>("", name);
        found.ok_or_else(|| ServiceError::named("Plugintemplate", name))
    }
}

fn check(draft: &TemplateDraft) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let path = FieldPath::of("versions");
    if draft.versions.is_empty() {
        errors.invalid(path.clone(), "must hold at least one version");
    }
    let mut seen = BTreeSet::new();
    for (at, entry) in draft.versions.iter().enumerate() {
        let path = path.index(at).field("version");
        if entry.version.is_empty() || entry.version.chars().count() > 64 {
            errors.invalid(path, "must be 1 to 64 characters long");
        } else if !seen.insert(&entry.version) {
            errors.push(path, Reason::Duplicate, "is there twice");
        }
    }
    errors
}

fn check_used(index: &Snapshot<'_>, template: &PluginTemplate) -> Result<(), ServiceError> {
    match versions_in_use(index, &template.name)
        .into_iter()
        .find(|version| !template.has_version(version))
    {
        None => Ok(()),
        Some(missing) => Err(ServiceError::Refused(format!(
            "version {missing} of plug-in template {} is in use",
            template.name
        ))),
    }
}

fn build(name: &TemplateName, draft: TemplateDraft, before: Option<&PluginTemplate>, now: Timestamp) -> PluginTemplate {
    let since = |version: &str| {
        let known = before.and_then(|before| before.versions.iter().find(|entry| entry.version == version));
        known.map_or(now, |entry| entry.created_at)
    };
    let versions = draft.versions.into_iter().map(|entry| TemplateVersion {
        created_at: since(&entry.version),
        version: entry.version,
        description: entry.description,
        detail: entry.detail,
        inputs: entry.inputs,
        translate: entry.translate,
    });
    PluginTemplate {
        name: name.clone(),
        display_name: draft.display_name,
        description: draft.description,
        kind: draft.kind,
        is_optional: draft.is_optional,
        logo_url: draft.logo_url,
        versions: versions.collect(),
    }
}

/// Versions that plug-ins have or are to have, and those that pools pin for their driver.
fn versions_in_use(index: &Snapshot<'_>, name: &TemplateName) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for plugin in index.all::<Plugin>().iter().filter(|plugin| plugin.template == *name) {
        used.insert(plugin.version.clone());
        used.extend(plugin.running_version.clone());
    }
    for kind in Accelerator::ALL.into_iter().filter(|kind| kind.driver_template() == name.as_str()) {
        for pool in index.all::<Pool>() {
            if let Some(spec) = pool.physical() {
                used.extend(spec.driver.version(kind).map(ToOwned::to_owned));
            }
        }
    }
    used
}

fn user_of(index: &Snapshot<'_>, name: &TemplateName) -> Option<String> {
    if let Some(plugin) = index.all::<Plugin>().iter().find(|plugin| plugin.template == *name) {
        return Some(format!("pool {}", plugin.pool));
    }
    let config = admission::config(index);
    if let Some((job_type, _)) = config.scopes.iter().find(|(_, needs)| needs.plugins.contains(name)) {
        return Some(format!("job type {job_type}"));
    }
    let kind = Accelerator::ALL.into_iter().find(|kind| kind.driver_template() == name.as_str())?;
    let flavors = index.all::<Flavor>();
    let flavor = flavors.iter().find(|flavor| flavor.accelerator() == Some(kind))?;
    Some(format!("flavor {}", flavor.name))
}
