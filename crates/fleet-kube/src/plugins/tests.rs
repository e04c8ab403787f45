use super::*;
use crate::quota::tests::mark as pool;
use crate::settings::Source;
use serde_json::Value;

fn request(template: &str, version: &str, attempt: u32) -> PluginRequest {
    PluginRequest {
        template: TemplateName::parse(template).unwrap(),
        version: version.to_owned(),
        values: [("replicas".to_owned(), json!(2))].into(),
        attempt,
    }
}

fn chart() -> Chart {
    Chart {
        chart: "monitor".to_owned(),
        source: Source::default(),
        repository: None,
        namespace: Some("monitoring".to_owned()),
    }
}

fn example() -> DynamicObject {
    let object = release(&pool(0).uid, &request("monitor", "1.2.0", 3), &chart(), "own");
    let mut seen = object.to_dynamic();
    seen.metadata.generation = Some(4);
    seen
}

fn key() -> Key {
    Key::inside(Kind::HelmRelease, "own", "any")
}

fn status(ready: &str, more: Value) -> Value {
    let mut status = json!({
        "observedGeneration": 4, "lastHandledReconcileAt": "3",
        "conditions": [{"type": "Ready", "status": ready, "message": "as it is"}],
        "history": [{"chartVersion": "1.1.0", "status": "deployed"}],
    });
    for (field, value) in more.as_object().unwrap() {
        status[field] = value.clone();
    }
    status
}

fn state(status: Value) -> (Option<String>, PluginState) {
    let mut release = example();
    release.data["status"] = status;
    let (template, fact) = fact(&key(), &release).unwrap();
    assert_eq!((template.as_str(), fact.version.as_str(), fact.attempt), ("monitor", "1.2.0", 3));
    (fact.running, fact.state)
}

#[test]
fn a_release_is_tried_once() {
    let release = example();
    let spec = &release.data["spec"];
    assert_eq!(spec["chart"]["spec"]["version"], "1.2.0");
    assert_eq!(spec["chart"]["spec"]["sourceRef"]["namespace"], "own");
    assert_eq!(
        (
            &spec["install"]["remediation"]["retries"],
            &spec["upgrade"]["remediation"]["retries"]
        ),
        (&json!(0), &json!(0))
    );
    assert_eq!(
        (&spec["values"], &spec["targetNamespace"]),
        (&json!({"replicas": 2}), &json!("monitoring"))
    );
    assert_eq!(release.metadata.annotations.as_ref().unwrap()[FORCE_AT], "3");
    assert!(is_asked(&release, 3) && !is_asked(&release, 4));
}

#[test]
fn what_flux_says_is_believed_when_it_is_about_the_last_attempt() {
    let old = Some("1.1.0".to_owned());
    assert_eq!(state(status("True", json!({}))), (Some("1.2.0".to_owned()), PluginState::Running));
    assert_eq!(
        state(status("True", json!({"lastHandledReconcileAt": "2"}))),
        (old.clone(), PluginState::Installing)
    );
    assert_eq!(
        state(status("False", json!({"observedGeneration": 3}))),
        (old.clone(), PluginState::Installing)
    );
    assert_eq!(state(status("Unknown", json!({}))), (old.clone(), PluginState::Installing));
    assert_eq!(state(status("False", json!({}))), (old, PluginState::Failed("as it is".to_owned())));
    assert_eq!(state(status("False", json!({"history": []}))).0, None);
    assert_eq!(state(Value::Null), (None, PluginState::Installing));
}

#[test]
fn a_release_that_goes_is_being_removed() {
    let mut release = example();
    release.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-11-21T10:00:00Z")).unwrap());
    assert_eq!(fact(&key(), &release).unwrap().1.state, PluginState::Removing);
    assert!(!is_asked(&release, 3));
}

#[test]
fn names_of_releases_are_short_and_plain() {
    let name = |template: &str| release_name(&pool(0).uid, &TemplateName::parse(template).unwrap());
    assert!(name("gpu-driver").ends_with("-gpu-driver"));
    for template in [&"x".repeat(200), "With_Odd.Letters", "ends-"] {
        assert!(
            name(template).len() <= LONGEST
                && name(template)
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        );
    }
    assert_ne!(name(&"x".repeat(200)), name(&"x".repeat(201)));
}

#[test]
fn a_plugin_of_the_cluster_runs_where_its_parts_are_there() {
    let need = Requirement::Crd("a".to_owned());
    let note = Note {
        version: "1".to_owned(),
        attempt: 2,
    };
    let state = |findings: Findings| shared_fact(&note, std::slice::from_ref(&need), &findings).state;
    assert_eq!(state(Findings::new()), PluginState::Installing);
    assert_eq!(state([(need.clone(), Ok(()))].into()), PluginState::Running);
    assert_eq!(
        state([(need.clone(), Err("no".to_owned()))].into()),
        PluginState::Failed("no".to_owned())
    );
}
