//! Charts that Argo CD installs: one Application for each plug-in.

use super::{NOTE, Note, ReleaseNote, release_name};
use crate::mark;
use crate::object::{Key, Kind, Object};
use crate::settings::{Argo, Chart};
use domain::meta::Uid;
use fleet::PluginRequest;
use fleet::observation::PluginState;
use kube::api::DynamicObject;
use serde_json::json;

/// The type without which there is no Argo CD.
pub const CRD: &str = "applications.argoproj.io";
/// Annotation by which Argo CD is told to look again. It takes it off when it has.
const REFRESH: &str = "argocd.argoproj.io/refresh";
/// With it, what was installed goes before the Application does.
const FINALIZER: &str = "resources-finalizer.argocd.argoproj.io";
/// The cluster that Argo CD itself is in.
const HERE: &str = "https://kubernetes.default.svc";

/// The Application of a chart. It asks for one sync, which is tried once: what fails is not tried again by itself.
/// `None`: nobody says where the chart is.
pub fn application(pool: &Uid, request: &PluginRequest, chart: &Chart, argo: &Argo, own_space: &str) -> Option<Object> {
    let repository = chart.repository.as_ref().or(argo.repository.as_ref())?;
    let name = release_name(pool, &request.template);
    let note = ReleaseNote {
        template: request.template.clone(),
        note: Note {
            version: request.version.clone(),
            attempt: request.attempt,
        },
    };
    let source = json!({
        "repoURL": repository,
        "chart": chart.chart,
        "targetRevision": request.version,
        "helm": {"releaseName": name, "valuesObject": request.values},
    });
    let (options, once) = (json!(["CreateNamespace=true"]), json!({"limit": 0}));
    let spec = json!({
        "project": argo.project,
        "source": source,
        "destination": {"server": HERE, "namespace": chart.namespace.as_deref().unwrap_or(own_space)},
        "syncPolicy": {"automated": {"prune": true, "selfHeal": false}, "syncOptions": options, "retry": once},
    });
    let operation = json!({
        "initiatedBy": {"username": mark::MANAGER},
        "info": [{"name": "attempt", "value": request.attempt.to_string()}],
        "sync": {"revision": request.version, "prune": true, "syncOptions": options},
        "retry": once,
    });
    let mut object = Object::of_pool(Key::inside(Kind::Application, &argo.namespace, &name), pool, pool)
        .annotation(NOTE, mark::write(&note))
        .annotation(REFRESH, "normal")
        .with("spec", spec)
        .with("operation", operation);
    object.finalizers.push(FINALIZER.to_owned());
    Some(object)
}

/// Whether Argo CD is at it. What is asked for meanwhile would be dropped when it is done.
pub fn is_working(application: &DynamicObject) -> bool {
    let phase = application.data["status"]["operationState"]["phase"].as_str();
    application.data["operation"].is_object() || matches!(phase, Some("Running" | "Terminating"))
}

/// What Argo CD says of an Application: the version that runs, and how far it is.
pub(super) fn state(note: &Note, application: &DynamicObject) -> (Option<String>, PluginState) {
    let status = &application.data["status"];
    let annotations = application.metadata.annotations.as_ref();
    // Until it has looked, all that it says is about what was asked for before.
    let has_looked = annotations.is_none_or(|annotations| !annotations.contains_key(REFRESH));
    let message = |text: Option<&str>, otherwise: &str| {
        let text = text.filter(|text| !text.is_empty()).unwrap_or(otherwise);
        PluginState::Failed(text.to_owned())
    };
    let errors = ["InvalidSpecError", "ComparisonError"];
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    let error = conditions.find(|condition| errors.iter().any(|error| condition["type"] == *error));
    let operation = &status["operationState"];
    let (sync, health) = (status["sync"]["status"].as_str(), status["health"]["status"].as_str());
    let state = if application.metadata.deletion_timestamp.is_some() {
        PluginState::Removing
    } else if !has_looked || is_working(application) {
        PluginState::Installing
    } else if let Some(error) = error {
        message(error["message"].as_str(), "the chart cannot be read")
    } else if sync == Some("Synced") && matches!(health, Some("Healthy" | "Suspended")) {
        PluginState::Running
    } else if matches!(operation["phase"].as_str(), Some("Failed" | "Error")) {
        message(operation["message"].as_str(), "the installation failed")
    } else if health == Some("Degraded") {
        message(status["health"]["message"].as_str(), "what was installed is degraded")
    } else {
        PluginState::Installing
    };
    let newest = status["history"].as_array().and_then(|history| history.last());
    let running = match state {
        PluginState::Running => Some(note.version.clone()),
        PluginState::Installing | PluginState::Failed(_) | PluginState::Removing => {
            newest.and_then(|newest| newest["revision"].as_str()).map(str::to_owned)
        }
    };
    (running, state)
}

#[cfg(test)]
mod tests;
