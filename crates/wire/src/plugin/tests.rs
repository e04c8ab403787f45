use super::*;
use domain::meta::Uid;
use domain::name::{PoolName, ProjectId};
use domain::plugin::{PluginPhase, TemplateVersion};
use jiff::Timestamp;
use serde_json::json;

fn name(text: &str) -> TemplateName {
    TemplateName::parse(text).unwrap()
}

fn npu_driver() -> model::PluginTemplate {
    model::PluginTemplate {
        name: name("npu-driver"),
        display_name: "NPU driver".to_owned(),
        description: "npu driver".to_owned(),
        kind: TemplateKind::Helm,
        is_optional: true,
        logo_url: "https://example.test/logo.svg".to_owned(),
        versions: vec![TemplateVersion {
            version: "78-21.0.2".to_owned(),
            created_at: Timestamp::UNIX_EPOCH,
            description: String::new(),
            detail: "c78driver&firmware".to_owned(),
            inputs: Inputs::from([("parameters".to_owned(), json!({"custom": {}}))]),
            translate: Inputs::new(),
        }],
    }
}

/// Everything of the published document is in the other, with the same values.
fn holds(shown: &Value, published: &Value) {
    match (shown, published) {
        (Value::Object(shown), Value::Object(published)) => {
            for (name, value) in published {
                holds(shown.get(name).unwrap_or_else(|| panic!("{name} is missing")), value);
            }
        }
        (shown, published) => assert_eq!(shown, published),
    }
}

#[test]
fn the_published_template_is_shown() {
    let published = json!({"apiVersion":"v1","kind":"PluginTemplate","metadata":{"name":"npu-driver"},
        "spec":{"type":"npu-driver","description":"npu driver",
        "versions":{"78-21.0.2":{"version":"78-21.0.2","detail":"c78driver&firmware"}}},
        "versions":{"78-21.0.2":{"version":"78-21.0.2","detail":"c78driver&firmware"}}});
    holds(&serde_json::to_value(ShownTemplate::from(&npu_driver())).unwrap(), &published);
}

#[test]
fn a_listed_template_has_both_spellings() {
    insta::assert_json_snapshot!(PluginTemplate::from(&npu_driver()), @r#"
    {
      "kind": "PluginTemplate",
      "apiVersion": "v2",
      "metadata": {
        "name": "npu-driver",
        "annotations": {
          "os.modelarts.plugin/release.name": "NPU driver"
        }
      },
      "spec": {
        "optional": true,
        "type": "helm",
        "logoURL": "https://example.test/logo.svg",
        "logo_url": "https://example.test/logo.svg",
        "description": "npu driver",
        "versions": [
          {
            "version": "78-21.0.2",
            "creationTimestamp": "1970-01-01T00:00:00Z",
            "creation_timestamp": "1970-01-01T00:00:00Z",
            "description": "",
            "detail": "c78driver&firmware",
            "inputs": {
              "parameters": {
                "custom": {}
              }
            }
          }
        ]
      }
    }
    "#);
}

fn sample() -> model::Plugin {
    model::Plugin {
        project: ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").unwrap(),
        pool: PoolName::parse("pool-ae01-6f5da086876d4cd084d36f8bd3346036").unwrap(),
        pool_uid: Uid::from_text("1"),
        template: name("volcano"),
        created_at: Timestamp::UNIX_EPOCH,
        version: "2".to_owned(),
        inputs: Inputs::from([("replicas".to_owned(), json!(2))]),
        values: Inputs::from([("replicas".to_owned(), json!(2)), ("debug".to_owned(), json!(false))]),
        attempt: 1,
        is_system: false,
        phase: PluginPhase::Pending,
        running_version: None,
        running_values: None,
        since: Timestamp::UNIX_EPOCH,
        reason: None,
    }
}

#[test]
fn a_plugin_shows_what_runs_beside_what_is_wanted() {
    let mut plugin = sample();
    assert_eq!(
        serde_json::to_value(Plugin::from(&plugin)).unwrap()["status"],
        json!({"phase": "Pending"})
    );
    plugin.phase = PluginPhase::Updating;
    plugin.running_version = Some("1".to_owned());
    plugin.running_values = Some(Inputs::from([("debug".to_owned(), json!(false))]));
    insta::assert_json_snapshot!(Plugin::from(&plugin), @r#"
    {
      "kind": "Plugin",
      "apiVersion": "v2",
      "metadata": {
        "name": "pool-ae01-6f5da086876d4cd084d36f8bd3346036-volcano",
        "creationTimestamp": "1970-01-01T00:00:00Z"
      },
      "spec": {
        "template": {
          "name": "volcano",
          "version": "2",
          "inputs": {
            "replicas": 2
          }
        }
      },
      "status": {
        "phase": "Updating",
        "version": "1",
        "values": "{\"debug\":false}"
      }
    }
    "#);
}

#[test]
fn both_ways_round_of_the_envelope_are_taken() {
    let spec = json!({"template": {"name": "volcano", "version": "1", "inputs": {"a": 1}}});
    let wanted = Wanted {
        version: Some("1".to_owned()),
        inputs: Some(Inputs::from([("a".to_owned(), json!(1))])),
    };
    for (version, kind) in [("v2", "Plugin"), ("Plugin", "v2")] {
        let body = json!({"apiVersion": version, "kind": kind, "spec": spec});
        assert_eq!(decode_create(&body), Ok((name("volcano"), wanted.clone())));
    }
}

#[test]
fn wrong_creates_are_refused_with_their_paths() {
    let told = |body: Value| decode_create(&body).unwrap_err().to_string();
    let rows = [
        json!([]),
        json!({}),
        json!({"apiVersion": "v1", "kind": "Plugin", "spec": {"template": {"name": "volcano"}}}),
        json!({"apiVersion": "v2", "kind": "Pool", "spec": {"template": {"name": "volcano"}}}),
        json!({"apiVersion": "v2", "kind": "Plugin", "spec": {}}),
        json!({"apiVersion": "v2", "kind": "Plugin", "spec": {"template": {"version": "1"}}}),
        json!({"apiVersion": "v2", "kind": "Plugin", "spec": {"template": {"name": "volcano", "version": 1, "inputs": []}}}),
        json!({"apiVersion": "v2", "kind": "Plugin", "spec": {"template": {"name": "volcano", "version": ""}}}),
    ];
    insta::assert_snapshot!(rows.map(told).join("\n"), @r"
    the body must be an object
    apiVersion is required
    apiVersion: must be one of v2
    kind: must be one of Plugin
    spec.template is required
    spec.template.name is required
    spec.template.version: must be a text
    spec.template.version: must be 1 to 64 characters long
    ");
}

#[test]
fn a_patch_may_leave_out_the_name_but_not_change_it() {
    let own = sample();
    let patch = |template: Value| decode_patch(&own, &json!({"spec": {"template": template}}));
    assert_eq!(patch(json!({})), Ok(Wanted::default()));
    assert_eq!(decode_patch(&own, &json!({})), Ok(Wanted::default()));
    assert_eq!(patch(json!({"name": "volcano", "inputs": {}})).unwrap().inputs, Some(Inputs::new()));
    assert!(patch(json!({"name": "other"})).is_err());
    assert!(patch(json!({"version": null})).is_err());
    assert!(patch(json!({"inputs": null})).is_err());
    assert!(patch(json!({"name": null})).is_err());
    assert!(patch(json!({"name": 5})).is_err());
    let named = json!({"apiVersion": "v2", "kind": "Plugin", "metadata": {"name": own.full_name()}});
    assert_eq!(decode_patch(&own, &named), Ok(Wanted::default()));
    assert!(decode_patch(&own, &json!({"apiVersion": "Plugin", "kind": "v2"})).is_ok());
    for wrong in [
        json!([]),
        json!({"spec": null}),
        json!({"spec": {"template": null}}),
        json!({"spec": 5}),
        json!({"apiVersion": 5}),
        json!({"kind": "Pool"}),
        json!({"metadata": {"name": "other"}}),
        json!({"metadata": null}),
        json!({"metadata": []}),
    ] {
        assert!(decode_patch(&own, &wrong).is_err(), "{wrong}");
    }
}
