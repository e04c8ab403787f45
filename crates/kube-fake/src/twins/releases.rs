//! Releases of plug-ins that get ready, and the states of queues.

use super::{FAILS, Task};
use crate::objects::{Change, ChangeKind, Key, State, annotation, set, text};
use crate::server::later;
use crate::twins::kubelet::set_condition;
use serde_json::{Value, json};
use std::time::Duration;

const USER: &str = "system:helm-controller";
const QUEUES: &str = "queues.scheduling.volcano.sh";

pub(super) fn changed(state: &mut State, change: &Change, takes: Duration) {
    if change.kind == ChangeKind::Deleted {
        return;
    }
    let generation = |pointer: &str| change.object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let wanted = generation("/metadata/generation");
    match &*change.key.ty {
        "helmreleases.helm.toolkit.fluxcd.io" | "applications.argoproj.io" if generation("/status/observedGeneration") < wanted => {
            let task = Task::ReleaseReady {
                key: change.key.clone(),
                generation: wanted,
            };
            state.twins.plan(later(state.now, takes), task);
        }
        QUEUES if text(&change.object, "/status/state").is_empty() => {
            state.edit("system:volcano", &change.key, |queue| {
                set(queue, &["status", "state"], json!("Open"));
            });
        }
        "commands.bus.volcano.sh" => command(state, change),
        "clusterqueues.kueue.x-k8s.io" => {
            let now = state.time();
            let is_held = !matches!(text(&change.object, "/spec/stopPolicy"), "" | "None");
            let (status, reason) = if is_held { ("False", "Stopped") } else { ("True", "Ready") };
            state.edit("system:kueue", &change.key, |queue| {
                set_condition(queue, &now, "Active", status, reason);
            });
        }
        _ => {}
    }
}

/// A command to a queue is carried out and forgotten.
fn command(state: &mut State, change: &Change) {
    let queue = Key::new(QUEUES, "", text(&change.object, "/target/name"));
    let wanted = match text(&change.object, "/action") {
        "CloseQueue" => "Closed",
        "OpenQueue" => "Open",
        _ => return,
    };
    state.edit("system:volcano", &queue, |queue| set(queue, &["status", "state"], json!(wanted)));
    state.commit("system:volcano", change.key.clone(), None);
}

pub(super) fn ready(state: &mut State, key: &Key, generation: i64) {
    let now = state.time();
    state.edit(USER, key, |release| {
        if release.pointer("/metadata/generation").and_then(Value::as_i64) != Some(generation) {
            return;
        }
        let fails = annotation(release, FAILS).is_some();
        set(release, &["status", "observedGeneration"], json!(generation));
        if &*key.ty == "applications.argoproj.io" {
            set(
                release,
                &["status", "health", "status"],
                json!(if fails { "Degraded" } else { "Healthy" }),
            );
            set(release, &["status", "sync", "status"], json!("Synced"));
            return;
        }
        let (status, reason) = if fails {
            ("False", "InstallFailed")
        } else {
            ("True", "InstallSucceeded")
        };
        set_condition(release, &now, "Ready", status, reason);
        let version = release.pointer("/spec/chart/spec/version").cloned().unwrap_or_default();
        set(release, &["status", "lastAttemptedRevision"], version);
    });
}
