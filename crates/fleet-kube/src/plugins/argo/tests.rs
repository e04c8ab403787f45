use super::*;
use crate::quota::tests::mark as pool;
use crate::settings::Source;
use domain::name::TemplateName;
use serde_json::Value;

fn request() -> PluginRequest {
    PluginRequest {
        template: TemplateName::parse("monitor").unwrap(),
        version: "1.2.0".to_owned(),
        values: [("replicas".to_owned(), json!(2))].into(),
        attempt: 3,
    }
}

fn chart(repository: Option<&str>) -> Chart {
    Chart {
        chart: "monitor".to_owned(),
        source: Source::default(),
        repository: repository.map(str::to_owned),
        namespace: None,
    }
}

fn example(repository: Option<&str>, usual: Option<&str>) -> Option<DynamicObject> {
    let argo = Argo {
        repository: usual.map(str::to_owned),
        ..Argo::default()
    };
    Some(application(&pool(0).uid, &request(), &chart(repository), &argo, "own")?.to_dynamic())
}

/// As Argo CD leaves it when it has looked and is not at it.
fn state_of(status: Value) -> (Option<String>, PluginState) {
    let mut seen = example(None, Some("r")).unwrap();
    seen.metadata.annotations.as_mut().unwrap().remove(REFRESH).unwrap();
    seen.data.as_object_mut().unwrap().remove("operation").unwrap();
    seen.data["status"] = status;
    let note = Note {
        version: "1.2.0".to_owned(),
        attempt: 3,
    };
    state(&note, &seen)
}

#[test]
fn a_chart_is_synced_once_and_goes_with_what_it_made() {
    let seen = example(None, Some("https://charts.example")).unwrap();
    assert_eq!(
        (seen.metadata.namespace.as_deref(), seen.data["spec"]["project"].as_str()),
        (Some("argocd"), Some("default"))
    );
    let (source, destination) = (&seen.data["spec"]["source"], &seen.data["spec"]["destination"]);
    assert_eq!(
        (&source["repoURL"], &source["targetRevision"]),
        (&json!("https://charts.example"), &json!("1.2.0"))
    );
    assert_eq!(source["helm"]["valuesObject"], json!({"replicas": 2}));
    assert_eq!(destination, &json!({"server": HERE, "namespace": "own"}));
    assert_eq!(
        (
            &seen.data["operation"]["retry"]["limit"],
            &seen.data["spec"]["syncPolicy"]["retry"]["limit"]
        ),
        (&json!(0), &json!(0))
    );
    assert_eq!(seen.metadata.finalizers, Some(vec![FINALIZER.to_owned()]));
    let own = example(Some("https://other.example"), Some("https://charts.example")).unwrap();
    assert_eq!(own.data["spec"]["source"]["repoURL"], "https://other.example");
    assert!(example(None, None).is_none());
}

#[test]
fn a_plugin_runs_once_it_is_synced_and_healthy() {
    let of = |sync: &str, health: &str| state_of(json!({"sync": {"status": sync}, "health": {"status": health}}));
    assert_eq!(of("Synced", "Healthy"), (Some("1.2.0".to_owned()), PluginState::Running));
    for (sync, health) in [
        ("OutOfSync", "Healthy"),
        ("Synced", "Progressing"),
        ("Synced", "Missing"),
        ("Unknown", "Healthy"),
    ] {
        assert_eq!(of(sync, health), (None, PluginState::Installing), "{sync} {health}");
    }
    assert!(matches!(of("Synced", "Degraded").1, PluginState::Failed(_)));
}

#[test]
fn what_failed_says_why_and_what_runs_still() {
    let failed = |why: &str| PluginState::Failed(why.to_owned());
    let history = json!([{"revision": "1.0.0"}, {"revision": "1.1.0"}]);
    let status = json!({
        "sync": {"status": "OutOfSync"}, "health": {"status": "Healthy"}, "history": history,
        "operationState": {"phase": "Failed", "message": "no image"},
    });
    assert_eq!(state_of(status), (Some("1.1.0".to_owned()), failed("no image")));
    let status =
        json!({"conditions": [{"type": "OrphanedResourceWarning", "message": "x"}, {"type": "ComparisonError", "message": "no chart"}]});
    assert_eq!(state_of(status), (None, failed("no chart")));
    let running = json!({"operationState": {"phase": "Running"}, "health": {"status": "Degraded"}});
    assert_eq!(state_of(running), (None, PluginState::Installing));
}

#[test]
fn what_was_said_before_it_looked_again_does_not_count() {
    let done = json!({"sync": {"status": "Synced"}, "health": {"status": "Healthy"}});
    let note = Note {
        version: "1.2.0".to_owned(),
        attempt: 3,
    };
    for left in ["operation", "refresh"] {
        let mut seen = example(None, Some("r")).unwrap();
        seen.data["status"] = done.clone();
        if left == "operation" {
            seen.metadata.annotations.as_mut().unwrap().remove(REFRESH).unwrap();
        } else {
            seen.data.as_object_mut().unwrap().remove("operation").unwrap();
        }
        assert_eq!(state(&note, &seen).1, PluginState::Installing, "{left}");
        seen.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
        assert_eq!(state(&note, &seen).1, PluginState::Removing);
    }
}
