use super::*;
use crate::testing::{assert_documented, assert_holds, members};
use domain::catalogue::{CpuArch, FlavorKind, ZoneOffer};
use domain::name::{FlavorName, ZoneName};
use domain::pool::{CreatingStep, JobType, StepKind};
use serde_json::{Value, json};

/// Contract flavors §1.
const DOCUMENTED: [(&str, &[&str]); 6] = [
    ("", &["apiVersion", "kind"]),
    ("metadata", &["name"]),
    (
        "metadata.labels",
        &[
            "os.modelarts/scope",
            "os.modelarts.flavor/baremetal",
            "os.modelarts.flavor/localdisk",
            // The operator's.
            "tier",
        ],
    ),
    (
        "metadata.annotations",
        &["os.modelarts.resourceflavor/volume.configs", "os.modelarts.flavor/image.filter"],
    ),
    (
        "spec",
        &[
            "type",
            "cpuArch",
            "cpu",
            "memory",
            "gpu.type",
            "gpu.size",
            "gpu.memory",
            "gpu.card",
            "gpu.chip",
            "npu.type",
            "npu.size",
            "npu.memory",
            "npu.card",
            "npu.chip",
            "dataVolumes[].volumeType",
            "dataVolumes[].size",
            "dataVolume[].volumeType",
            "dataVolume[].size",
            "rootVolume.volumeType",
            "rootVolume.size",
            "jobFlavors",
            "nodeConfigTemplate",
            "creatingSteps[].displayInfo.en_US",
            "creatingSteps[].step",
            "creatingSteps[].type",
            "flavorBootType",
            "localDiskDetail",
            "billingModes",
            "billingCode",
        ],
    ),
    ("status.phase", &["az-1", "az-2"]),
];

/// Optional members that the catalogue has no values for.
const LEFT_OUT: [(&str, &[&str]); 1] = [(
    "spec",
    &[
        "gpu.card",
        "gpu.chip",
        "npu.card",
        "npu.chip",
        "flavorBootType",
        "localDiskDetail",
        "billingCode",
    ],
)];

fn zone(text: &str) -> ZoneName {
    ZoneName::parse(text).unwrap()
}

fn shown(flavor: &Flavor, zones: &[(&str, u32)]) -> Value {
    let zones = zones.iter().map(|(name, free)| (zone(name), ZoneOffer { free: *free, total: 9 }));
    serde_json::to_value(ResourceFlavor::new(flavor, &Offer { zones: zones.collect() })).unwrap()
}

#[test]
fn the_published_flavor_is_shown() {
    let mut flavor = Flavor::plain(FlavorName::parse("modelarts.vm.cpu8u32g").unwrap(), CpuArch::X86, 8, 32);
    flavor.billing_modes = vec![0];
    flavor.data_volumes = vec![FlavorVolume {
        volume_type: "SSD".to_owned(),
        size: "500Gi".to_owned(),
    }];
    assert_holds(
        &shown(&flavor, &[("az-1", 2), ("az-2", 0)]),
        &json!({
            "kind": "ResourceFlavor", "apiVersion": "v1",
            "metadata": {"name": "modelarts.vm.cpu8u32g", "labels": {"os.modelarts/scope": "Train.Infer.Notebook"}, "annotations": {}},
            "spec": {"type": "Dedicate", "cpuArch": "x86", "cpu": "8", "memory": "32Gi", "billingModes": [0],
                     "dataVolumes": [{"volumeType": "SSD", "size": "500Gi"}]},
            "status": {"phase": {"az-1": "normal", "az-2": "soldout"}}
        }),
    );
}

#[test]
fn the_fullest_flavor_is_shown_under_the_documented_names() {
    let accelerator = |model: &str| {
        Some(AcceleratorSpec {
            model: model.to_owned(),
            size: 8,
            memory: "16Gi".to_owned(),
        })
    };
    let volume = |volume_type: &str| FlavorVolume {
        volume_type: volume_type.to_owned(),
        size: "500".to_owned(),
    };
    let flavor = Flavor {
        gpu: accelerator("nvidia-t4"),
        npu: accelerator("ascend-snt9"),
        job_types: vec![JobType::Train],
        data_volumes: vec![volume("SSD")],
        root_volume: Some(volume("SAS")),
        job_flavors: vec!["job.small".to_owned()],
        creating_steps: vec![CreatingStep {
            step: 2,
            kind: StepKind::Hyperinstance,
        }],
        is_bare_metal: true,
        has_local_disk: true,
        node_config_template: Some("template".to_owned()),
        zones: vec![zone("az-2")],
        labels: [("tier".to_owned(), "gold".to_owned())].into(),
        annotations: ["os.modelarts.resourceflavor/volume.configs", "os.modelarts.flavor/image.filter"]
            .map(|key| (key.to_owned(), "{}".to_owned()))
            .into(),
        ..Flavor::plain(FlavorName::parse("modelarts.bm.full").unwrap(), CpuArch::Arm64, 192, 1536)
    };
    let shown = shown(&flavor, &[("az-1", 1)]);
    assert_documented(&members([&shown]), &DOCUMENTED, &LEFT_OUT);
    insta::assert_json_snapshot!("fullest", shown);
}

#[test]
fn a_zone_without_machines_is_sold_out() {
    let mut flavor = Flavor::plain(FlavorName::parse("f").unwrap(), CpuArch::X86, 1, 1);
    flavor.zones = vec![zone("az-1")];
    assert_eq!(shown(&flavor, &[])["status"]["phase"], json!({"az-1": "soldout"}));
    assert_eq!(shown(&flavor, &[("az-1", 1)])["status"]["phase"], json!({"az-1": "normal"}));
}

#[test]
fn a_slice_of_a_flavor_is_for_logical_pools() {
    let mut flavor = Flavor::plain(FlavorName::parse("f").unwrap(), CpuArch::X86, 1, 1);
    flavor.kind = FlavorKind::Virtual {
        base: FlavorName::parse("base").unwrap(),
        template: "snt9-280t".to_owned(),
        visibility: "invisible".to_owned(),
    };
    assert_eq!(shown(&flavor, &[])["spec"]["type"], json!("Logical"));
}
