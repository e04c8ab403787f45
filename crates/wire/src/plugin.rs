//! Plug-ins and their templates as clients see them (contract `plugins.md`).

use crate::admin::keep;
use crate::decode::{Place, finish};
use crate::time::rfc3339;
use domain::field::{FieldErrors, Reason};
use domain::name::TemplateName;
use domain::plugin as model;
use domain::plugin::TemplateKind;
use domain::pool::Accelerator;
use serde::Serialize;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use utoipa::ToSchema;

type Texts = BTreeMap<String, String>;
type Inputs = BTreeMap<String, Value>;

/// Characters of a version.
const MAX_VERSION: usize = 64;

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plugin {
    pub kind: &'static str,
    pub api_version: &'static str,
    pub metadata: PluginMetadata,
    pub spec: PluginSpec,
    pub status: PluginStatus,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginMetadata {
    pub name: String,
    pub creation_timestamp: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = PluginSpec)]
pub struct PluginSpec {
    pub template: TemplateRef,
}

/// The answer of a patch.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PatchedPlugin {
    pub spec: PluginSpec,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TemplateRef {
    pub name: String,
    pub version: String,
    /// Parameters that were asked for
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PluginStatus {
    /// `Pending`, `Running`, `Updating`, `Abnormal` or `Deleting`
    pub phase: &'static str,
    /// The version that runs
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The parameters that it runs with, as JSON
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<String>,
    /// Only with `detail=true`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Vec<PluginResource>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginResource {
    pub involved_object: InvolvedObject,
    pub replicas: u32,
    pub limits: Texts,
    pub requests: Texts,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvolvedObject {
    pub kind: String,
    pub api_version: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub resource_version: String,
}

impl From<&model::Plugin> for Plugin {
    fn from(plugin: &model::Plugin) -> Self {
        Self {
            kind: "Plugin",
            api_version: "v2",
            metadata: PluginMetadata {
                name: plugin.full_name(),
                creation_timestamp: rfc3339(plugin.created_at),
            },
            spec: PluginSpec::from(plugin),
            status: PluginStatus {
                phase: plugin.phase.as_str(),
                version: plugin.running_version.clone(),
                reason: plugin.reason.clone(),
                values: plugin
                    .running_values
                    .as_ref()
                    .map(|values| serde_json::to_string(values).unwrap_or_default()),
                resources: None,
            },
        }
    }
}

impl From<&model::Plugin> for PluginSpec {
    fn from(plugin: &model::Plugin) -> Self {
        Self {
            template: TemplateRef {
                name: plugin.template.to_string(),
                version: plugin.version.clone(),
                inputs: plugin.inputs.clone(),
            },
        }
    }
}

/// A template in the list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginTemplate {
    pub kind: &'static str,
    pub api_version: &'static str,
    pub metadata: TemplateMetadata,
    pub spec: TemplateSpec,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = PluginTemplateMetadata)]
pub struct TemplateMetadata {
    pub name: String,
    pub annotations: Texts,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = PluginTemplateSpec)]
pub struct TemplateSpec {
    /// `false`: installed in every pool and not deletable
    pub optional: bool,
    /// `helm` or `ccePlugin`
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(rename = "logoURL")]
    pub logo_url: String,
    /// The same as `logoURL`, under the name that one client reads.
    #[serde(rename = "logo_url")]
    pub logo_url_again: String,
    pub description: String,
    /// Newest first
    pub versions: Vec<Version>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PluginTemplateVersion)]
pub struct Version {
    pub version: String,
    pub creation_timestamp: String,
    /// The same as `creationTimestamp`, under the name that one client reads.
    #[serde(rename = "creation_timestamp")]
    pub creation_timestamp_again: String,
    pub description: String,
    pub detail: String,
    /// Default parameters
    pub inputs: BTreeMap<String, Value>,
    /// Texts for user interfaces, by language
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub translate: BTreeMap<String, Value>,
}

/// One template, as the first version of the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShownTemplate {
    pub kind: &'static str,
    pub api_version: &'static str,
    pub metadata: ShownTemplateMetadata,
    pub spec: ShownTemplateSpec,
    /// The same as `spec.versions`
    pub versions: BTreeMap<String, Version>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ShownTemplateMetadata {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ShownTemplateSpec {
    /// `gpu-driver`, `npu-driver`, `helm` or `ccePlugin`
    #[serde(rename = "type")]
    pub kind: String,
    pub description: String,
    pub versions: BTreeMap<String, Version>,
}

fn kind(template: &model::PluginTemplate) -> &'static str {
    match template.kind {
        TemplateKind::Helm => "helm",
        TemplateKind::CcePlugin => "ccePlugin",
    }
}

impl From<&model::TemplateVersion> for Version {
    fn from(version: &model::TemplateVersion) -> Self {
        Self {
            version: version.version.clone(),
            creation_timestamp: rfc3339(version.created_at),
            creation_timestamp_again: rfc3339(version.created_at),
            description: version.description.clone(),
            detail: version.detail.clone(),
            inputs: version.inputs.clone(),
            translate: version.translate.clone(),
        }
    }
}

impl From<&model::PluginTemplate> for PluginTemplate {
    fn from(template: &model::PluginTemplate) -> Self {
        let title = ("os.modelarts.plugin/release.name".to_owned(), template.display_name.clone());
        Self {
            kind: "PluginTemplate",
            api_version: "v2",
            metadata: TemplateMetadata {
                name: template.name.to_string(),
                annotations: Texts::from([title]),
            },
            spec: TemplateSpec {
                optional: template.is_optional,
                kind: kind(template),
                logo_url: template.logo_url.clone(),
                logo_url_again: template.logo_url.clone(),
                description: template.description.clone(),
                versions: template.versions.iter().map(Version::from).collect(),
            },
        }
    }
}

impl From<&model::PluginTemplate> for ShownTemplate {
    fn from(template: &model::PluginTemplate) -> Self {
        let versions = template.versions.iter().map(|entry| (entry.version.clone(), Version::from(entry)));
        let versions: BTreeMap<_, _> = versions.collect();
        Self {
            kind: "PluginTemplate",
            api_version: "v1",
            metadata: ShownTemplateMetadata {
                name: template.name.to_string(),
            },
            spec: ShownTemplateSpec {
                kind: if Accelerator::is_driver_template(&template.name) {
                    template.name.to_string()
                } else {
                    kind(template).to_owned()
                },
                description: template.description.clone(),
                versions: versions.clone(),
            },
            versions,
        }
    }
}

/// What a body asks of a plug-in. What is absent stays as it is, or is the default where there is nothing yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    pub version: Option<String>,
    pub inputs: Option<Inputs>,
}

/// The body of a create.
pub fn decode_create(body: &Value) -> Result<(TemplateName, Wanted), FieldErrors> {
    let errors = RefCell::new(FieldErrors::new());
    let root = Place::root(body, &errors);
    let found = root.body().and_then(|_| {
        envelope(&root);
        let place = template(&root, true);
        let wanted = wanted(&place);
        if place.field("name").is_absent() {
            place.field("name").required();
        }
        Some((place.field("name").name(TemplateName::parse)?, wanted))
    });
    finish(found, errors)
}

/// The body of a patch of a plug-in.
pub fn decode_patch(plugin: &model::Plugin, body: &Value) -> Result<Wanted, FieldErrors> {
    let errors = RefCell::new(FieldErrors::new());
    let root = Place::root(body, &errors);
    let found = root.body().map(|_| {
        keep(&root, &["metadata", "spec"]);
        keep(&root.field("spec"), &["template"]);
        unchanged_envelope(&root, plugin);
        let place = template(&root, false);
        unchanged(&place, "name", &[plugin.template.as_str()]);
        for member in ["version", "inputs"] {
            if crate::admin::is_removed(&place, member) {
                place.field(member).invalid("must not be null");
            }
        }
        wanted(&place)
    });
    finish(found, errors)
}

/// What names the plug-in may be repeated, either way round, but not changed.
fn unchanged_envelope(root: &Place<'_>, plugin: &model::Plugin) {
    let metadata = root.field("metadata");
    metadata.may_have_fields();
    unchanged(&metadata, "name", &[&plugin.full_name()]);
    unchanged(root, "apiVersion", &["v2", "Plugin"]);
    unchanged(root, "kind", &["Plugin", "v2"]);
}

fn unchanged(place: &Place<'_>, member: &str, current: &[&str]) {
    let sent = place.value().and_then(|value| value.get(member));
    if sent.is_some_and(|sent| sent.as_str().is_none_or(|sent| !current.contains(&sent))) {
        place.field(member).refuse(Reason::Immutable, "cannot be modified");
    }
}

/// The published table swaps the descriptions of the two, so both ways round are taken.
fn envelope(root: &Place<'_>) {
    let (version, kind) = (root.field("apiVersion"), root.field("kind"));
    for place in [&version, &kind] {
        if place.is_absent() {
            place.required();
        }
    }
    let (Some(sent_version), Some(sent_kind)) = (version.text(), kind.text()) else {
        return;
    };
    if (sent_version, sent_kind) != ("Plugin", "v2") {
        version.chosen(sent_version, &[("v2", ())]);
        kind.chosen(sent_kind, &[("Plugin", ())]);
    }
}

fn template<'a>(root: &Place<'a>, is_required: bool) -> Place<'a> {
    let spec = root.field("spec");
    let template = spec.field("template");
    if spec.may_have_fields() && template.may_have_fields() && is_required {
        for place in [&spec, &template] {
            if place.is_absent() {
                place.required();
                break;
            }
        }
    }
    template
}

fn wanted(place: &Place<'_>) -> Wanted {
    let sent = place.field("version");
    let version = sent.text().map(ToOwned::to_owned);
    if version
        .as_ref()
        .is_some_and(|version| version.is_empty() || version.chars().count() > MAX_VERSION)
    {
        sent.invalid(format!("must be 1 to {MAX_VERSION} characters long"));
    }
    let inputs = place.field("inputs").object();
    Wanted {
        version,
        inputs: inputs.map(|members| members.iter().map(|(name, value)| (name.clone(), value.clone())).collect()),
    }
}

#[cfg(test)]
mod tests;
