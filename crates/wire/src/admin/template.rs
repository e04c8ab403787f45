//! Plug-in templates as the operator maintains them (contract `plugins.md`).

use super::{decode, moment, only, patched};
use crate::decode::Place;
use domain::field::FieldErrors;
use domain::name::TemplateName;
use domain::plugin::{PluginTemplate, TemplateKind, TemplateVersion};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A template, in answers and in bodies.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorPluginTemplate)]
pub struct TemplateView {
    pub name: String,
    pub display_name: String,
    pub description: String,
    /// `helm` or `ccePlugin`
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `false`: installed in every pool and not deletable there; default `true`
    pub optional: bool,
    #[serde(rename = "logoURL")]
    pub logo_url: String,
    /// Newest first; at least one
    pub versions: Vec<VersionView>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorPluginVersion)]
pub struct VersionView {
    pub version: String,
    pub description: String,
    pub detail: String,
    /// Default parameters
    pub inputs: BTreeMap<String, Value>,
    /// Texts for user interfaces, by language
    pub translate: BTreeMap<String, Value>,
    /// RFC 3339; ignored in bodies
    pub created_at: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OperatorPluginVersionList)]
pub struct VersionList {
    pub versions: Vec<VersionView>,
}

/// What a body describes.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateRequest {
    pub name: TemplateName,
    pub display_name: String,
    pub description: String,
    pub kind: TemplateKind,
    pub is_optional: bool,
    pub logo_url: String,
    pub versions: Vec<VersionRequest>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct VersionRequest {
    pub version: String,
    pub description: String,
    pub detail: String,
    pub inputs: BTreeMap<String, Value>,
    pub translate: BTreeMap<String, Value>,
}

const KINDS: [(&str, TemplateKind); 2] = [("helm", TemplateKind::Helm), ("ccePlugin", TemplateKind::CcePlugin)];

impl From<&PluginTemplate> for TemplateView {
    fn from(template: &PluginTemplate) -> Self {
        Self {
            name: template.name.to_string(),
            display_name: template.display_name.clone(),
            description: template.description.clone(),
            kind: match template.kind {
                TemplateKind::Helm => "helm",
                TemplateKind::CcePlugin => "ccePlugin",
            },
            optional: template.is_optional,
            logo_url: template.logo_url.clone(),
            versions: template.versions.iter().map(VersionView::from).collect(),
        }
    }
}

impl From<&TemplateVersion> for VersionView {
    fn from(version: &TemplateVersion) -> Self {
        Self {
            version: version.version.clone(),
            description: version.description.clone(),
            detail: version.detail.clone(),
            inputs: version.inputs.clone(),
            translate: version.translate.clone(),
            created_at: moment(version.created_at),
        }
    }
}

/// The body of a create.
pub fn decode_create(body: &Value) -> Result<TemplateRequest, FieldErrors> {
    decode(body, template)
}

/// The template that a patch asks for.
pub fn decode_patch(current: &PluginTemplate, patch: &Value) -> Result<TemplateRequest, FieldErrors> {
    decode(&patched(&TemplateView::from(current), patch, &["name"])?, template)
}

/// The body that adds a version.
pub fn decode_version(body: &Value) -> Result<VersionRequest, FieldErrors> {
    decode(body, version)
}

fn template(root: &Place<'_>) -> Option<TemplateRequest> {
    only(
        root,
        &["name", "displayName", "description", "type", "optional", "logoURL", "versions"],
    );
    for place in [root.field("name"), root.field("type"), root.field("versions")] {
        if place.is_absent() {
            place.required();
        }
    }
    let text = |name: &str| root.field(name).text().unwrap_or_default().to_owned();
    let (name, kind) = (root.field("name").name(TemplateName::parse), root.field("type").choice(&KINDS));
    let versions = root.field("versions").items().iter().filter_map(version).collect();
    let display_name = text("displayName");
    let (description, logo_url) = (text("description"), text("logoURL"));
    let is_optional = root.field("optional").boolean().unwrap_or(true);
    let name = name?;
    Some(TemplateRequest {
        display_name: if display_name.is_empty() { name.to_string() } else { display_name },
        name,
        description,
        kind: kind?,
        is_optional,
        logo_url,
        versions,
    })
}

fn version(place: &Place<'_>) -> Option<VersionRequest> {
    place.object()?;
    only(place, &["version", "description", "detail", "inputs", "translate", "createdAt"]);
    let text = |name: &str| place.field(name).text().unwrap_or_default().to_owned();
    let members = |name: &str| {
        let members = place.field(name).object().into_iter().flatten();
        members.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let (inputs, translate) = (members("inputs"), members("translate"));
    let (description, detail) = (text("description"), text("detail"));
    Some(VersionRequest {
        version: place.field("version").required_text()?.to_owned(),
        description,
        detail,
        inputs,
        translate,
    })
}
