//! The demo's flavors, plug-in templates, configuration and machines.

use anyhow::Result;
use domain::catalogue::{
    AcceleratorSpec, CpuArch, Flavor, FlavorKind, FlavorVolume, OsConfig, ScopeNeeds, VirtualResource, VirtualTemplate,
};
use domain::name::{FlavorName, TemplateName, ZoneName};
use domain::plugin::{PluginTemplate, TemplateKind, TemplateVersion};
use domain::pool::{CreatingStep, JobType, StepKind};
use fleet::sim::Registration;
use jiff::Timestamp;
use std::collections::BTreeMap;
use store::{Expect, TypedBatch};

const ZONES: [&str; 3] = ["az-1", "az-2", "az-3"];

fn zones() -> Result<Vec<ZoneName>> {
    Ok(ZONES.iter().map(|zone| ZoneName::parse(zone)).collect::<Result<_, _>>()?)
}

fn accelerator(model: &str, size: u32, memory: &str) -> AcceleratorSpec {
    AcceleratorSpec {
        model: model.to_owned(),
        size,
        memory: memory.to_owned(),
    }
}

fn flavors() -> Result<Vec<Flavor>> {
    let flavor = |name: &str, arch, cpu, memory| -> Result<Flavor> {
        let mut flavor = Flavor::plain(FlavorName::parse(name)?, arch, cpu, memory);
        flavor.zones = zones()?;
        flavor.root_volume = Some(FlavorVolume {
            volume_type: "SSD".to_owned(),
            size: "100Gi".to_owned(),
        });
        flavor.data_volumes = vec![FlavorVolume {
            volume_type: "SSD".to_owned(),
            size: "500Gi".to_owned(),
        }];
        flavor.job_flavors = vec![name.replace("modelarts.", "modelarts.job.")];
        Ok(flavor)
    };
    let mut t4 = flavor("modelarts.vm.gpu.t4u8", CpuArch::X86, 8, 32)?;
    t4.gpu = Some(accelerator("nvidia-t4", 1, "16Gi"));
    let mut tnt = flavor("modelarts.vm.gpu.tnt004", CpuArch::X86, 16, 64)?;
    tnt.gpu = Some(accelerator("tnt004", 2, "16Gi"));
    let mut ascend = flavor("modelarts.bm.npu.snt9b8", CpuArch::Arm64, 192, 1536)?;
    ascend.npu = Some(accelerator("ascend-snt9", 8, "64Gi"));
    ascend.is_bare_metal = true;
    ascend.creating_steps = vec![
        CreatingStep {
            step: 2,
            kind: StepKind::Rack,
        },
        CreatingStep {
            step: 4,
            kind: StepKind::Hyperinstance,
        },
    ];
    let mut slice = flavor("modelarts.npu.snt9b8.quarter", CpuArch::Arm64, 48, 384)?;
    slice.npu = Some(accelerator("ascend-snt9", 1, "16Gi"));
    slice.kind = FlavorKind::Virtual {
        base: ascend.name.clone(),
        template: "snt9b8-quarter".to_owned(),
        visibility: "invisible".to_owned(),
    };
    Ok(vec![
        flavor("modelarts.vm.cpu.4ud", CpuArch::X86, 4, 16)?,
        flavor("modelarts.vm.cpu.8ud", CpuArch::X86, 8, 32)?,
        t4,
        tnt,
        ascend,
        slice,
    ])
}

/// Free machines of every physical flavor, in each zone.
pub fn machines() -> Result<Vec<Registration>> {
    let mut machines = Vec::new();
    for flavor in flavors()?.into_iter().filter(Flavor::is_physical) {
        let count = if flavor.accelerator().is_some() { 24 } else { 64 };
        for zone in zones()? {
            for at in 0..count {
                let id = format!("{}-{zone}-{at:03}", flavor.name.as_str().trim_start_matches("modelarts."));
                machines.push(Registration::of(&flavor, id, zone.clone()));
            }
        }
    }
    Ok(machines)
}

fn template(name: &str, description: &str, is_optional: bool, versions: &[&str]) -> Result<PluginTemplate> {
    let versions = versions.iter().map(|version| TemplateVersion {
        version: (*version).to_owned(),
        created_at: Timestamp::UNIX_EPOCH,
        description: format!("{name} {version}"),
        detail: String::new(),
        inputs: BTreeMap::new(),
        translate: BTreeMap::new(),
    });
    Ok(PluginTemplate {
        name: TemplateName::parse(name)?,
        display_name: name.to_owned(),
        description: description.to_owned(),
        kind: TemplateKind::Helm,
        is_optional,
        logo_url: String::new(),
        versions: versions.collect(),
    })
}

/// How the accelerators of the bare-metal flavor are cut for the virtual one.
fn quarter() -> Result<VirtualTemplate> {
    let resources = |cores: u32, memory: &str| BTreeMap::from([("AICORE".to_owned(), cores.into()), ("memory".to_owned(), memory.into())]);
    Ok(VirtualTemplate {
        name: TemplateName::parse("snt9b8-quarter")?,
        resources: resources(24, "64G"),
        resource_key: "huawei.com/ascend-snt9".to_owned(),
        slices: vec![VirtualResource {
            name: "modelarts.npu.snt9b8.quarter".to_owned(),
            resources: resources(6, "16G"),
            resource_key: "huawei.com/ascend-snt9-quarter".to_owned(),
        }],
    })
}

/// Writes flavors and how the accelerators of one are cut.
pub fn put_flavors(batch: &mut TypedBatch) -> Result<()> {
    for flavor in flavors()? {
        batch.put(flavor, Expect::Absent);
    }
    batch.put(quarter()?, Expect::Absent);
    Ok(())
}

/// Writes templates and configuration. Job types need plug-ins only where these come into every pool: a cluster has its scheduler
/// already, and may have nothing that installs charts.
pub fn put(region: &str, has_plugins: bool, batch: &mut TypedBatch) -> Result<()> {
    for template in [
        template("gpu-driver", "Driver of GPUs", true, &["535.129.03", "470.182.03", "440.33"])?,
        template("npu-driver", "Driver and firmware of Ascend chips", true, &["C82", "C78"])?,
        template("volcano", "Batch scheduler", true, &["1.15.0", "1.14.1"])?,
        template("node-local-dns", "Name resolution on every node", true, &["1.6.37"])?,
        template("log-agent", "Collects logs of jobs", true, &["1.2.0"])?,
    ] {
        batch.put(template, Expect::Absent);
    }
    let scheduler = if has_plugins {
        vec![TemplateName::parse("volcano")?]
    } else {
        Vec::new()
    };
    let mut config = OsConfig::plain();
    config.region = Some(region.to_owned());
    config.scopes = BTreeMap::from([
        (
            JobType::Train,
            ScopeNeeds {
                plugins: scheduler.clone(),
                needs_external_dependency: false,
                can_retry: true,
            },
        ),
        (
            JobType::Infer,
            ScopeNeeds {
                plugins: scheduler,
                needs_external_dependency: true,
                can_retry: true,
            },
        ),
        (
            JobType::Notebook,
            ScopeNeeds {
                plugins: Vec::new(),
                needs_external_dependency: true,
                can_retry: true,
            },
        ),
    ]);
    batch.put(config, Expect::Absent);
    Ok(())
}
