//! Virtual flavors and their templates as clients see them (contract flavors §2 and §3).

use crate::admin::{decode, only};
use crate::decode::Place;
use domain::catalogue::{Flavor, FlavorKind, VirtualResource, VirtualTemplate};
use domain::field::{FieldErrors, Reason};
use domain::name::TemplateName;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VirtualFlavor {
    pub kind: &'static str,
    pub api_version: &'static str,
    pub metadata: VirtualFlavorMetadata,
    pub spec: VirtualFlavorSpec,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct VirtualFlavorMetadata {
    pub name: String,
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VirtualFlavorSpec {
    /// Always `Logical`
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub cpu_arch: &'static str,
    /// Cores
    pub cpu: String,
    pub memory: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub npu: Option<VirtualNpu>,
    pub virtual_resource_template_name: String,
    pub visibility: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VirtualNpu {
    #[serde(rename = "type")]
    pub kind: String,
    /// Always `1`
    pub size: &'static str,
    pub resource_key: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VirtualFlavorList {
    pub kind: &'static str,
    pub api_version: &'static str,
    pub metadata: BTreeMap<String, String>,
    pub items: Vec<VirtualFlavor>,
}

impl VirtualFlavorList {
    pub fn of(items: Vec<VirtualFlavor>) -> Self {
        Self {
            kind: "ResourceFlavorList",
            api_version: "v1",
            metadata: BTreeMap::new(),
            items,
        }
    }
}

impl VirtualFlavor {
    /// `None` for a physical flavor.
    pub fn new(flavor: &Flavor, found: Option<&VirtualTemplate>) -> Option<Self> {
        let FlavorKind::Virtual { template, visibility, .. } = &flavor.kind else {
            return None;
        };
        let npu = flavor.npu.as_ref().map(|npu| VirtualNpu {
            kind: npu.model.clone(),
            size: "1",
            resource_key: found.map_or_else(String::new, |found| found.key_of(flavor.name.as_str()).to_owned()),
        });
        Some(Self {
            kind: "ResourceFlavor",
            api_version: "v1",
            metadata: VirtualFlavorMetadata {
                name: flavor.name.to_string(),
                labels: flavor.labels.clone(),
            },
            spec: VirtualFlavorSpec {
                kind: "Logical",
                cpu_arch: flavor.arch.as_str(),
                cpu: flavor.cpu.to_string(),
                memory: format!("{}Gi", flavor.memory_gib),
                npu,
                virtual_resource_template_name: template.clone(),
                visibility: visibility.clone(),
            },
        })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VirtualResourceTemplate {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub metadata: VirtualTemplateMetadata,
    pub spec: VirtualTemplateSpec,
    /// The same as in `spec`
    pub virtual_resources: Vec<VirtualResourceBody>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct VirtualTemplateMetadata {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VirtualTemplateSpec {
    /// What one whole accelerator has
    pub resources: BTreeMap<String, Value>,
    pub resource_key: String,
    pub virtual_resources: Vec<VirtualResourceBody>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VirtualResourceBody {
    pub name: String,
    pub resources: BTreeMap<String, Value>,
    pub resource_key: String,
}

fn slices(template: &VirtualTemplate) -> Vec<VirtualResourceBody> {
    let slices = template.slices.iter().map(|slice| VirtualResourceBody {
        name: slice.name.clone(),
        resources: slice.resources.clone(),
        resource_key: slice.resource_key.clone(),
    });
    slices.collect()
}

impl From<&VirtualTemplate> for VirtualResourceTemplate {
    fn from(template: &VirtualTemplate) -> Self {
        Self {
            api_version: "v1",
            kind: "VirtualResourceTemplate",
            metadata: VirtualTemplateMetadata {
                name: template.name.to_string(),
            },
            spec: VirtualTemplateSpec {
                resources: template.resources.clone(),
                resource_key: template.resource_key.clone(),
                virtual_resources: slices(template),
            },
            virtual_resources: slices(template),
        }
    }
}

/// A template as the operator maintains it, in answers and in bodies.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorVirtualTemplate)]
pub struct VirtualTemplateView {
    pub name: String,
    /// What one whole accelerator has
    pub resources: BTreeMap<String, Value>,
    pub resource_key: String,
    pub virtual_resources: Vec<VirtualResourceBody>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorVirtualTemplateList)]
pub struct VirtualTemplateList {
    pub metadata: crate::list::ListMeta,
    pub virtual_resource_templates: Vec<VirtualTemplateView>,
}

impl From<&VirtualTemplate> for VirtualTemplateView {
    fn from(template: &VirtualTemplate) -> Self {
        Self {
            name: template.name.to_string(),
            resources: template.resources.clone(),
            resource_key: template.resource_key.clone(),
            virtual_resources: slices(template),
        }
    }
}

/// The body of a create or, with the name that the URL has, of a replacement.
pub fn decode_template(body: &Value, own: Option<&TemplateName>) -> Result<VirtualTemplate, FieldErrors> {
    decode(body, |root| {
        only(root, &["name", "resources", "resourceKey", "virtualResources"]);
        let place = root.field("name");
        if place.is_absent() && own.is_none() {
            place.required();
        }
        let name = place.name(TemplateName::parse).or_else(|| own.cloned());
        if own.is_some_and(|own| name.as_ref() != Some(own)) {
            place.refuse(Reason::Immutable, "cannot be modified");
        }
        let (resources, resource_key) = (resources(root), root.field("resourceKey").text().unwrap_or_default().to_owned());
        let mut slices: Vec<VirtualResource> = Vec::new();
        for place in root.field("virtualResources").items() {
            let Some(slice) = slice(&place) else { continue };
            if slices.iter().any(|known| known.name == slice.name) {
                place.field("name").refuse(Reason::Duplicate, "is there twice");
            }
            slices.push(slice);
        }
        Some(VirtualTemplate {
            name: name?,
            resources,
            resource_key,
            slices,
        })
    })
}

fn slice(place: &Place<'_>) -> Option<VirtualResource> {
    place.object()?;
    only(place, &["name", "resources", "resourceKey"]);
    let (resources, resource_key) = (resources(place), place.field("resourceKey").text().unwrap_or_default().to_owned());
    Some(VirtualResource {
        name: place.field("name").required_text()?.to_owned(),
        resources,
        resource_key,
    })
}

fn resources(place: &Place<'_>) -> BTreeMap<String, Value> {
    let members = place.field("resources").object().into_iter().flatten();
    let members: Vec<_> = members.collect();
    for (name, value) in &members {
        if !value.is_number() && !value.is_string() {
            place.field("resources").field(name).invalid("must be a number or a text");
        }
    }
    members.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::catalogue::{AcceleratorSpec, CpuArch};
    use domain::name::FlavorName;
    use serde_json::json;

    fn template() -> VirtualTemplate {
        let body = json!({"name": "snt9-280t", "resources": {"AICORE": 10, "AICPU": 5, "memory": "32G"}, "resourceKey": "huawei.com/ascend-1980",
            "virtualResources": [{"name": "snt9-280t-vir10-3c-16g", "resources": {"AICORE": 5, "AICPU": 3, "memory": "16G"},
                "resourceKey": "huawei.com/ascend-1980-5c.3cpu"}]});
        decode_template(&body, None).unwrap()
    }

    #[test]
    fn the_published_flavor_is_shown() {
        let mut flavor = Flavor::plain(FlavorName::parse("snt9-280t-vir10-3c-16g").unwrap(), CpuArch::Arm64, 8, 32);
        assert_eq!(VirtualFlavor::new(&flavor, None), None);
        flavor.kind = FlavorKind::Virtual {
            base: FlavorName::parse("snt9").unwrap(),
            template: "snt9-280t".to_owned(),
            visibility: "invisible".to_owned(),
        };
        let shown = VirtualFlavorList::of(vec![VirtualFlavor::new(&flavor, None).unwrap()]);
        let published = json!({"kind":"ResourceFlavorList","apiVersion":"v1","metadata":{},"items":[{"kind":"ResourceFlavor","apiVersion":"v1",
            "metadata":{"name":"snt9-280t-vir10-3c-16g","labels":{}},
            "spec":{"cpuArch":"arm64","cpu":"8","memory":"32Gi","type":"Logical","virtualResourceTemplateName":"snt9-280t","visibility":"invisible"}}]});
        assert_eq!(serde_json::to_value(shown).unwrap(), published);
        flavor.npu = Some(AcceleratorSpec {
            model: "ascend-snt9".to_owned(),
            size: 1,
            memory: "16Gi".to_owned(),
        });
        let shown = VirtualFlavor::new(&flavor, Some(&template())).unwrap();
        assert_eq!(
            serde_json::to_value(shown.spec.npu).unwrap(),
            json!({"type": "ascend-snt9", "size": "1", "resourceKey": "huawei.com/ascend-1980-5c.3cpu"})
        );
    }

    #[test]
    fn slices_are_shown_in_both_places() {
        let shown = serde_json::to_value(VirtualResourceTemplate::from(&template())).unwrap();
        assert_eq!(shown["virtualResources"], shown["spec"]["virtualResources"]);
        assert_eq!(shown["spec"]["resources"], json!({"AICORE": 10, "AICPU": 5, "memory": "32G"}));
    }

    #[test]
    fn wrong_templates_are_refused() {
        let own = TemplateName::parse("a").unwrap();
        assert!(decode_template(&json!({}), Some(&own)).is_ok());
        assert!(decode_template(&json!({"name": "b"}), Some(&own)).is_err());
        for wrong in [
            json!([]),
            json!({}),
            json!({"name": "a", "color": 1}),
            json!({"name": "a", "resources": {"x": []}}),
            json!({"name": "a", "virtualResources": [{}]}),
            json!({"name": "a", "virtualResources": [{"name": "x"}, {"name": "x"}]}),
        ] {
            assert!(decode_template(&wrong, None).is_err(), "{wrong}");
        }
    }
}
