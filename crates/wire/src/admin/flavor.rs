//! Flavors as the operator maintains them (contract `flavors.md`).

use super::{decode, only, patched};
use crate::decode::Place;
use crate::flavor::{AcceleratorBody, StepBody, VolumeBody};
use domain::catalogue::{AcceleratorSpec, CpuArch, Flavor, FlavorKind, FlavorVolume};
use domain::field::{FieldErrors, Reason};
use domain::name::{FlavorName, ZoneName};
use domain::pool::{CreatingStep, JobType, StepKind};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A flavor, in answers and in bodies.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorFlavor)]
pub struct FlavorView {
    pub name: String,
    /// `x86` or `arm64`
    pub cpu_arch: &'static str,
    /// Cores
    pub cpu: u32,
    /// E.g. `32Gi`
    pub memory: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<AcceleratorBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub npu: Option<AcceleratorBody>,
    /// `Train`, `Infer`, `Notebook`; all where absent
    pub job_types: Vec<&'static str>,
    /// Zones in which it is on sale, whether machines are free or not
    pub zones: Vec<String>,
    /// 0 pay-per-use, 1 yearly or monthly; both where absent
    pub billing_modes: Vec<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_volume: Option<VolumeBody>,
    pub data_volumes: Vec<VolumeBody>,
    pub job_flavors: Vec<String>,
    /// Batches in which nodes can be made
    pub creating_steps: Vec<StepBody>,
    pub bare_metal: bool,
    pub local_disk: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_config_template: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// Where it is a slice of a physical flavor
    #[serde(rename = "virtual", skip_serializing_if = "Option::is_none")]
    pub slice: Option<SliceBody>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = OperatorVirtualFlavor)]
pub struct SliceBody {
    /// The physical flavor
    pub base: String,
    /// Name of its virtual-resource template
    pub template: String,
    /// `visible` or `invisible`; default `invisible`
    pub visibility: String,
}

pub(super) const MEMBERS: [&str; 19] = [
    "name",
    "cpuArch",
    "cpu",
    "memory",
    "gpu",
    "npu",
    "jobTypes",
    "zones",
    "billingModes",
    "rootVolume",
    "dataVolumes",
    "jobFlavors",
    "creatingSteps",
    "bareMetal",
    "localDisk",
    "nodeConfigTemplate",
    "labels",
    "annotations",
    "virtual",
];

impl From<&Flavor> for FlavorView {
    fn from(flavor: &Flavor) -> Self {
        let steps = flavor.creating_steps.iter().map(|step| StepBody {
            step: step.step,
            kind: step.kind.as_str(),
        });
        Self {
            name: flavor.name.to_string(),
            cpu_arch: flavor.arch.as_str(),
            cpu: flavor.cpu,
            memory: format!("{}Gi", flavor.memory_gib),
            gpu: flavor.gpu.as_ref().map(AcceleratorBody::from),
            npu: flavor.npu.as_ref().map(AcceleratorBody::from),
            job_types: flavor.job_types.iter().map(|job_type| job_type.as_str()).collect(),
            zones: flavor.zones.iter().map(ToString::to_string).collect(),
            billing_modes: flavor.billing_modes.clone(),
            root_volume: flavor.root_volume.as_ref().map(VolumeBody::from),
            data_volumes: flavor.data_volumes.iter().map(VolumeBody::from).collect(),
            job_flavors: flavor.job_flavors.clone(),
            creating_steps: steps.collect(),
            bare_metal: flavor.is_bare_metal,
            local_disk: flavor.has_local_disk,
            node_config_template: flavor.node_config_template.clone(),
            labels: flavor.labels.clone(),
            annotations: flavor.annotations.clone(),
            slice: match &flavor.kind {
                FlavorKind::Dedicate => None,
                FlavorKind::Virtual {
                    base,
                    template,
                    visibility,
                } => Some(SliceBody {
                    base: base.to_string(),
                    template: template.clone(),
                    visibility: visibility.clone(),
                }),
            },
        }
    }
}

/// The body of a create.
pub fn decode_create(body: &Value) -> Result<Flavor, FieldErrors> {
    decode(body, flavor)
}

/// The flavor that a patch asks for.
pub fn decode_patch(current: &Flavor, patch: &Value) -> Result<Flavor, FieldErrors> {
    decode(&patched(&FlavorView::from(current), patch, &["name"])?, flavor)
}

fn flavor(root: &Place<'_>) -> Option<Flavor> {
    only(root, &MEMBERS);
    let (name, arch, cpu) = (root.field("name"), root.field("cpuArch"), root.field("cpu"));
    for place in [&name, &arch, &cpu] {
        if place.is_absent() {
            place.required();
        }
    }
    let name = name.name(FlavorName::parse);
    let arch = arch.choice(&[("x86", CpuArch::X86), ("arm64", CpuArch::Arm64)]);
    let cpu = cpu.integer(1, 100_000);
    let memory = gibibytes(&root.field("memory"));
    let (gpu, npu) = (accelerator(&root.field("gpu")), accelerator(&root.field("npu")));
    let job_types = list(&root.field("jobTypes"), |item| {
        item.choice(&JobType::ALL.map(|known| (known.as_str(), known)))
    });
    let zones = list(&root.field("zones"), |item| item.name(ZoneName::parse));
    let billing_modes = list(&root.field("billingModes"), |item| item.integer(0, 1));
    let kind = kind(&root.field("virtual"));
    let plain = Flavor::plain(name?, arch?, cpu?, memory?);
    Some(Flavor {
        kind: kind?,
        gpu,
        npu,
        job_types: if root.field("jobTypes").is_absent() {
            plain.job_types
        } else {
            job_types
        },
        data_volumes: list(&root.field("dataVolumes"), volume),
        root_volume: volume(&root.field("rootVolume")),
        job_flavors: list(&root.field("jobFlavors"), |item| item.text().map(ToOwned::to_owned)),
        creating_steps: list(&root.field("creatingSteps"), step),
        billing_modes: if root.field("billingModes").is_absent() {
            plain.billing_modes
        } else {
            billing_modes
        },
        is_bare_metal: root.field("bareMetal").boolean().unwrap_or(false),
        has_local_disk: root.field("localDisk").boolean().unwrap_or(false),
        node_config_template: root.field("nodeConfigTemplate").text().map(ToOwned::to_owned),
        zones,
        labels: root.field("labels").texts(),
        annotations: root.field("annotations").texts(),
        ..plain
    })
}

fn list<T>(place: &Place<'_>, read: impl Fn(&Place<'_>) -> Option<T>) -> Vec<T> {
    place.items().iter().filter_map(read).collect()
}

fn gibibytes(place: &Place<'_>) -> Option<u32> {
    let text = place.required_text()?;
    let number = text
        .strip_suffix("Gi")
        .and_then(|number| number.parse().ok())
        .filter(|number| *number > 0);
    if number.is_none() {
        place.invalid("must be a number of GiB, as in 32Gi");
    }
    number
}

fn accelerator(place: &Place<'_>) -> Option<AcceleratorSpec> {
    place.object()?;
    only(place, &["type", "size", "memory"]);
    let size = place.field("size");
    if size.is_absent() {
        size.required();
    }
    let (model, size) = (place.field("type").required_text(), size.integer(1, 1_000));
    let memory = place.field("memory").required_text();
    Some(AcceleratorSpec {
        model: model?.to_owned(),
        size: size?,
        memory: memory?.to_owned(),
    })
}

fn volume(place: &Place<'_>) -> Option<FlavorVolume> {
    place.object()?;
    only(place, &["volumeType", "size"]);
    let (volume_type, size) = (place.field("volumeType").required_text(), place.field("size").required_text());
    Some(FlavorVolume {
        volume_type: volume_type?.to_owned(),
        size: size?.to_owned(),
    })
}

fn step(place: &Place<'_>) -> Option<CreatingStep> {
    place.object()?;
    only(place, &["step", "type"]);
    for place in [place.field("step"), place.field("type")] {
        if place.is_absent() {
            place.required();
        }
    }
    let kinds = [StepKind::Rack, StepKind::Hyperinstance].map(|kind| (kind.as_str(), kind));
    let (step, kind) = (place.field("step").integer(1, 2_000), place.field("type").choice(&kinds));
    Some(CreatingStep { step: step?, kind: kind? })
}

fn kind(place: &Place<'_>) -> Option<FlavorKind> {
    if place.is_absent() {
        return Some(FlavorKind::Dedicate);
    }
    place.object()?;
    only(place, &["base", "template", "visibility"]);
    let base = place.field("base");
    if base.is_absent() {
        base.required();
    }
    let (base, template) = (base.name(FlavorName::parse), place.field("template").required_text());
    let visibility = place.field("visibility");
    let shown = visibility.text().unwrap_or("invisible");
    if !["visible", "invisible"].contains(&shown) {
        visibility.refuse(Reason::Invalid, "must be visible or invisible");
    }
    Some(FlavorKind::Virtual {
        base: base?,
        template: template?.to_owned(),
        visibility: shown.to_owned(),
    })
}
