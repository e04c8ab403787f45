//! NPU drivers, by Jobs of a site's own template: one for each Node and version. Pure.
//!
//! The installer keeps its promise when its Job is complete and the Node says by the label `poolkeeper.io/npu-driver-installed` that it has
//! the version.

use crate::config::{Installer, filled};
use crate::edit::{self, label};
use crate::mark;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use serde_json::{Value, json};

/// Annotation of a Job: the Node that it works on.
pub const HOST: &str = "poolkeeper.io/host";
/// A Job that has ended goes after so many seconds. One that failed is then made again: nobody remembers it.
const KEPT: u32 = 7 * 86_400;
/// A Job that takes longer has failed.
const PATIENCE: u32 = 1_800;

/// How far an installation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Install {
    Running,
    Complete,
    Failed(String),
}

/// The version that a Node is to have and has not.
pub fn missing(node: &Node) -> Option<&str> {
    let wanted = label(node, mark::NPU_DRIVER)?;
    (label(node, mark::POOL).is_some() && label(node, mark::NPU_DRIVER_INSTALLED) != Some(wanted)).then_some(wanted)
}

/// The name of the Job that brings a version to a Node.
pub fn job_name(node: &Node, version: &str) -> String {
    let host = node.name_any();
    let name = edit::node_name(node).map(|name| name.to_string()).unwrap_or_default();
    // Nodes of two pools may have one name, and a node may get another machine.
    let hash = mark::digest(&[version, &host], 8);
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.len() <= 47 && !name.is_empty() && name.chars().all(is_plain) {
        format!("pk-drv-{name}-{hash}")
    } else {
        format!("pk-drv-{}-{hash}", mark::digest(&[&name], 20))
    }
}

/// The Job. It is tried once: the plan decides whether there is another attempt.
pub fn job(node: &Node, version: &str, installer: &Installer, epoch: u64) -> Result<Job, String> {
    let name = edit::node_name(node).map(|name| name.to_string()).unwrap_or_default();
    let words = [
        ("{{host}}", node.name_any()),
        ("{{node}}", name),
        ("{{version}}", version.to_owned()),
    ];
    let mut spec = filled(&installer.template, &words);
    if let Some(spec) = spec.as_object_mut() {
        spec.entry("nodeName").or_insert_with(|| json!(node.name_any()));
        spec.entry("restartPolicy").or_insert_with(|| json!("Never"));
        spec.entry("tolerations").or_insert_with(|| json!([{"operator": "Exists"}]));
    }
    let labels = json!({mark::MANAGED: "true"});
    let annotations = json!({mark::EPOCH: epoch.to_string(), HOST: node.name_any()});
    let job: Value = json!({
        "metadata": {"name": job_name(node, version), "labels": labels, "annotations": annotations},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": PATIENCE,
            "ttlSecondsAfterFinished": KEPT,
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    });
    serde_json::from_value(job).map_err(|error| format!("the template of the installer is wrong: {error}"))
}

/// What a Job says. One that is being deleted says nothing.
pub fn state(job: &Job) -> Option<Install> {
    if job.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let conditions = job
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let holds = |kind: &str| {
        conditions
            .iter()
            .find(|condition| condition.type_ == kind && condition.status == "True")
    };
    Some(match (holds("Complete"), holds("Failed")) {
        (Some(_), _) => Install::Complete,
        (None, Some(failed)) => {
            let said = [&failed.message, &failed.reason]
                .into_iter()
                .flatten()
                .find(|text| !text.is_empty());
            Install::Failed(said.cloned().unwrap_or_else(|| "the installer failed".to_owned()))
        }
        (None, None) => Install::Running,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Node {
        let labels = json!({mark::POOL: "p", mark::NODE: name, mark::NPU_DRIVER: "24.1.0"});
        serde_json::from_value(json!({"metadata": {"name": "host-1", "labels": labels}})).unwrap()
    }

    #[test]
    fn a_node_and_a_version_have_one_job() {
        let installer = Installer {
            template: json!({"containers": [{"name": "a", "image": "driver:{{version}}", "args": ["{{node}}", "{{host}}"]}]}),
        };
        let node = node("os-node-created-zlncn");
        assert_eq!(missing(&node), Some("24.1.0"));
        let job = serde_json::to_value(job(&node, "24.1.0", &installer, 7).unwrap()).unwrap();
        let name = job["metadata"]["name"].as_str().unwrap();
        assert!(name.starts_with("pk-drv-os-node-created-zlncn-") && name != job_name(&node, "24.1.1"));
        let spec = &job["spec"]["template"]["spec"];
        assert_eq!(spec["nodeName"], "host-1");
        assert_eq!(spec["containers"][0]["image"], "driver:24.1.0");
        assert_eq!(spec["containers"][0]["args"], json!(["os-node-created-zlncn", "host-1"]));
        assert_eq!(job["metadata"]["annotations"][mark::EPOCH], "7");
    }

    #[test]
    fn names_of_jobs_are_names() {
        for name in ["a".repeat(63), "With.Dots".to_owned()] {
            let name = job_name(&node(&name), "1");
            assert!(
                name.len() <= 63 && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
                "{name}"
            );
        }
    }

    #[test]
    fn a_job_says_how_far_it_is() {
        let job =
            |conditions: Value| -> Job { serde_json::from_value(json!({"metadata": {}, "status": {"conditions": conditions}})).unwrap() };
        assert_eq!(state(&job(json!([]))), Some(Install::Running));
        assert_eq!(
            state(&job(json!([{"type": "Complete", "status": "True"}]))),
            Some(Install::Complete)
        );
        let failed = json!([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": ""}]);
        assert_eq!(state(&job(failed)), Some(Install::Failed("BackoffLimitExceeded".to_owned())));
    }
}
