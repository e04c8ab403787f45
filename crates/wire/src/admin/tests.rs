use super::*;
use domain::catalogue::{AcceleratorSpec, CpuArch, Flavor, FlavorKind, OsConfig};
use domain::name::{FlavorName, TemplateName};
use domain::plugin::{PluginTemplate, TemplateKind, TemplateVersion};
use domain::pool::JobType;
use serde_json::json;
use std::collections::BTreeMap;

fn flavor() -> Flavor {
    let mut flavor = Flavor::plain(FlavorName::parse("vm.gpu").unwrap(), CpuArch::Arm64, 8, 32);
    flavor.gpu = Some(AcceleratorSpec {
        model: "t4".to_owned(),
        size: 2,
        memory: "16Gi".to_owned(),
    });
    flavor.job_types = vec![JobType::Train];
    flavor.billing_modes = vec![0];
    flavor.is_bare_metal = true;
    flavor.labels = BTreeMap::from([("key".to_owned(), "value".to_owned())]);
    flavor
}

fn messages<T: std::fmt::Debug>(outcome: Result<T, FieldErrors>) -> Vec<String> {
    outcome.unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_shown_of_a_flavor_can_be_sent_back() {
    let mut slice = flavor();
    slice.kind = FlavorKind::Virtual {
        base: FlavorName::parse("vm.npu").unwrap(),
        template: "half".to_owned(),
        visibility: "visible".to_owned(),
    };
    for flavor in [flavor(), slice] {
        let shown = serde_json::to_value(flavor::FlavorView::from(&flavor)).unwrap();
        assert_eq!(flavor::decode_create(&shown).unwrap(), flavor);
        assert_eq!(flavor::decode_patch(&flavor, &shown).unwrap(), flavor);
        assert_eq!(flavor::decode_patch(&flavor, &json!({})).unwrap(), flavor);
    }
}

#[test]
fn a_short_flavor_is_for_every_job_type() {
    let short = json!({"name": "vm.cpu", "cpuArch": "x86", "cpu": 4, "memory": "16Gi"});
    let plain = Flavor::plain(FlavorName::parse("vm.cpu").unwrap(), CpuArch::X86, 4, 16);
    assert_eq!(flavor::decode_create(&short).unwrap(), plain);
}

#[test]
fn everything_that_is_wrong_with_a_flavor_is_named() {
    let wrong = json!({"name": "vm.cpu", "cpuArch": "riscv", "cpu": 0, "memory": "32", "gpu": {"type": "t4"}, "colour": "red"});
    assert_eq!(
        messages(flavor::decode_create(&wrong)),
        [
            format!("colour: unknown member, not one of {}", flavor::MEMBERS.join(", ")),
            "cpuArch: must be one of x86, arm64".to_owned(),
            "cpu: must be 1 to 100000".to_owned(),
            "memory: must be a number of GiB, as in 32Gi".to_owned(),
            "gpu.size is required".to_owned(),
            "gpu.memory is required".to_owned(),
        ]
    );
    for body in [json!([]), json!("x"), json!(null)] {
        assert_eq!(messages(flavor::decode_create(&body)).len(), 1, "{body}");
    }
}

#[test]
fn a_patch_changes_what_it_names_and_takes_away_what_is_null() {
    let patch = json!({"cpu": 16, "gpu": null, "labels": {"key": null, "other": "x"}});
    let patched = flavor::decode_patch(&flavor(), &patch).unwrap();
    let mut wanted = flavor();
    wanted.cpu = 16;
    wanted.gpu = None;
    wanted.labels = BTreeMap::from([("other".to_owned(), "x".to_owned())]);
    assert_eq!(patched, wanted);
    assert_eq!(
        messages(flavor::decode_patch(&flavor(), &json!({"name": "other"}))),
        ["name cannot be modified"]
    );
    assert_eq!(
        messages(flavor::decode_patch(&flavor(), &json!({"cpu": null}))),
        ["cpu is required"]
    );
    assert_eq!(
        messages(flavor::decode_patch(&flavor(), &json!([]))),
        ["the body must be an object"]
    );
}

#[test]
fn what_is_shown_of_a_template_can_be_sent_back() {
    let template = PluginTemplate {
        name: TemplateName::parse("volcano").unwrap(),
        display_name: "Volcano".to_owned(),
        description: "schedules".to_owned(),
        kind: TemplateKind::CcePlugin,
        is_optional: false,
        logo_url: String::new(),
        versions: vec![TemplateVersion {
            version: "1.2".to_owned(),
            created_at: Timestamp::UNIX_EPOCH,
            description: String::new(),
            detail: "x".to_owned(),
            inputs: BTreeMap::from([("a".to_owned(), json!({"b": 1}))]),
            translate: BTreeMap::from([("en-us".to_owned(), json!({"title": "Volcano"}))]),
        }],
    };
    let same = template::decode_patch(&template, &json!({})).unwrap();
    assert_eq!((same.kind, same.is_optional), (TemplateKind::CcePlugin, false));
    assert_eq!(same.versions[0].inputs, template.versions[0].inputs);
    let shown = serde_json::to_value(template::TemplateView::from(&template)).unwrap();
    assert_eq!(template::decode_create(&shown).unwrap(), same);
    let short = template::decode_create(&json!({"name": "x", "type": "helm", "versions": [{"version": "1"}]})).unwrap();
    assert_eq!((short.display_name.as_str(), short.is_optional), ("x", true));
    assert_eq!(
        messages(template::decode_create(&json!({"name": "x", "type": "deb", "versions": [{}]}))),
        ["type: must be one of helm, ccePlugin", "versions[0].version is required"]
    );
}

#[test]
fn the_configuration_falls_back_to_the_plain_one() {
    let mut config = OsConfig::plain();
    config.pool_quota = 3;
    config.region = Some("north".to_owned());
    config.is_single_license = true;
    config.scopes.remove(&JobType::Notebook);
    assert_eq!(configuration::decode_patch(&config, &json!({})).unwrap(), config);
    let nulls = json!({"poolQuota": null, "region": null, "licenseScopeType": null, "scopes": null});
    assert_eq!(configuration::decode_patch(&config, &nulls).unwrap(), OsConfig::plain());
    assert_eq!(
        messages(configuration::decode_patch(
            &config,
            &json!({"scopes": {"Play": {}}, "poolQuota": -1})
        )),
        [
            "poolQuota: must be 0 to 4294967295",
            "scopes.Play: unknown member, not one of Train, Infer, Notebook"
        ]
    );
}
