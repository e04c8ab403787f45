//! Plug-ins of pools. One of a chart is a release of Flux or an Application of Argo CD; one that the operator has installed for the whole cluster is looked at.

pub mod argo;

use crate::mark;
use crate::object::{Key, Kind, Object};
use crate::scopes::{Findings, condition, first_missing, is_true};
use crate::settings::{Chart, Requirement};
use domain::meta::Uid;
use domain::name::TemplateName;
use fleet::PluginRequest;
use fleet::observation::{PluginFact, PluginState};
use kube::api::DynamicObject;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// The type without which charts are not installed.
pub const CRD: &str = "helmreleases.helm.toolkit.fluxcd.io";
/// Annotation: a [`Note`].
const NOTE: &str = "poolkeeper.io/plugin";
/// Annotations by which Flux is told to begin, and to begin although it has given up. Each token counts once.
const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";
const FORCE_AT: &str = "reconcile.fluxcd.io/forceAt";
/// Names of releases must not be longer.
const LONGEST: usize = 53;

/// What was asked for last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub version: String,
    pub attempt: u32,
}

/// Plug-ins that are there for the whole cluster and that a pool uses, by template.
pub type Users = BTreeMap<TemplateName, Note>;

/// What was asked for of a release: the template, and the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ReleaseNote {
    template: TemplateName,
    #[serde(flatten)]
    note: Note,
}

/// The name of a plug-in's release.
pub fn release_name(pool: &Uid, template: &TemplateName) -> String {
    let name = mark::object_name(pool, &format!("-{template}"));
    let is_plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') && !name.ends_with('-');
    if name.len() <= LONGEST && is_plain {
        name
    } else {
        mark::object_name(pool, &format!("-{}", mark::digest(&[template.as_str()], 16)))
    }
}

/// The release of a chart, in our own name space. It is tried once: what fails is not tried again by itself, and not undone.
pub fn release(pool: &Uid, request: &PluginRequest, chart: &Chart, own_space: &str) -> Object {
    let name = release_name(pool, &request.template);
    let token = request.attempt.to_string();
    let note = ReleaseNote {
        template: request.template.clone(),
        note: Note {
            version: request.version.clone(),
            attempt: request.attempt,
        },
    };
    let space = |given: &Option<String>| given.clone().unwrap_or_else(|| own_space.to_owned());
    let source = json!({"kind": chart.source.kind, "name": chart.source.name, "namespace": space(&chart.source.namespace)});
    let once = json!({"remediation": {"retries": 0}});
    let mut install = once.clone();
    install["createNamespace"] = json!(true);
    let spec = json!({
        "interval": "1h",
        "releaseName": name,
        "targetNamespace": space(&chart.namespace),
        "chart": {"spec": {"chart": chart.chart, "version": request.version, "sourceRef": source}},
        "install": install,
        "upgrade": once,
        "values": request.values,
    });
    Object::of_pool(Key::inside(Kind::HelmRelease, own_space, &name), pool, pool)
        .annotation(NOTE, mark::write(&note))
        .annotation(REQUESTED_AT, token.clone())
        .annotation(FORCE_AT, token)
        .with("spec", spec)
}

/// What was asked for of a release that is there.
fn note_of(release: &DynamicObject) -> Option<ReleaseNote> {
    mark::read(release.metadata.annotations.as_ref(), NOTE)
}

/// Whether a request, or a later one, has been given to a release.
pub fn is_asked(release: &DynamicObject, attempt: u32) -> bool {
    release.metadata.deletion_timestamp.is_none() && note_of(release).is_some_and(|known| known.note.attempt >= attempt)
}

/// Whether an object is a chart's, of whoever installs it.
pub fn is_chart(key: &Key) -> bool {
    matches!(key.kind, Kind::HelmRelease | Kind::Application)
}

/// What its installer says of a chart. `None`: it is not one of ours.
pub fn fact(key: &Key, object: &DynamicObject) -> Option<(TemplateName, PluginFact)> {
    let ReleaseNote { template, note } = note_of(object)?;
    let (running, state) = if key.kind == Kind::Application {
        argo::state(&note, object)
    } else {
        state(&note, object)
    };
    let fact = PluginFact {
        version: note.version,
        attempt: note.attempt,
        running,
        state,
        objects: Vec::new(),
    };
    Some((template, fact))
}

/// What Flux says of a release: the version that runs, and how far it is.
fn state(note: &Note, release: &DynamicObject) -> (Option<String>, PluginState) {
    let status = &release.data["status"];
    let conditions = &status["conditions"];
    let generation = release.metadata.generation.unwrap_or(0);
    // Until both are so, the conditions speak of what was asked for before.
    let has_handled = |field: &str| status[field].as_str() == Some(note.attempt.to_string().as_str());
    let is_current = status["observedGeneration"].as_i64().unwrap_or(0) >= generation && has_handled("lastHandledReconcileAt");
    let newest = &status["history"][0];
    let running = newest["chartVersion"].as_str().filter(|_| newest["status"] == "deployed");
    let ready = condition(conditions, "Ready");
    let message = || {
        let message = ready.and_then(|ready| ready["message"].as_str()).unwrap_or_default();
        if message.is_empty() {
            "the installation failed".to_owned()
        } else {
            message.to_owned()
        }
    };
    let is_over = is_true(conditions, "Stalled") || !is_true(conditions, "Reconciling");
    let state = if release.metadata.deletion_timestamp.is_some() {
        PluginState::Removing
    } else if !is_current {
        PluginState::Installing
    } else if is_true(conditions, "Ready") {
        PluginState::Running
    } else if ready.is_some_and(|ready| ready["status"] == "False") && is_over {
        PluginState::Failed(message())
    } else {
        PluginState::Installing
    };
    let running = match state {
        PluginState::Running => Some(note.version.clone()),
        PluginState::Installing | PluginState::Failed(_) | PluginState::Removing => running.map(str::to_owned),
    };
    (running, state)
}

/// A plug-in of the whole cluster, as a pool that uses it sees it.
pub fn shared_fact(note: &Note, requires: &[Requirement], findings: &Findings) -> PluginFact {
    let (running, state) = match first_missing(requires, findings) {
        Some(Ok(())) => (Some(note.version.clone()), PluginState::Running),
        Some(Err(reason)) => (None, PluginState::Failed(reason)),
        None => (None, PluginState::Installing),
    };
    PluginFact {
        version: note.version.clone(),
        attempt: note.attempt,
        running,
        state,
        objects: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
