//! What is done to a Node that is empty.

use super::{Next, Running, Worker};
use crate::config::{Provider, filled};
use crate::edit::{self, annotate};
use crate::failure::Failure;
use crate::inventory::is_ready;
use crate::mark::{self, ActionKind, Ask, Hold, Progress, Request, Step};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use std::time::Duration;

/// A machine that has not come up after so long is given up.
const PATIENCE: Duration = Duration::from_mins(30);

impl Worker {
    /// Goes on with an action whose Node is empty.
    pub(super) async fn emptied(&self, running: &Running) -> Next {
        if running.action.kind == ActionKind::Release
            && let Some(object) = self.made(running)
        {
            // With its Machine the Node goes.
            self.side.release_machine(object, running.epoch).await?;
            return Ok(None);
        }
        match running.action.kind {
            ActionKind::Evict => self.change(running, |it| annotate::<()>(it, mark::ACTION, None)).await?,
            ActionKind::Reboot | ActionKind::Reset => self.begin_work(running, false).await?,
            ActionKind::Release if self.provider(running) == &Provider::None => self.change(running, edit::free).await?,
            ActionKind::Release => self.begin_work(running, true).await?,
            ActionKind::Move => {
                let mut next = running.action.clone();
                next.step = Step::Work;
                next.since = self.side.context.now();
                self.change(running, |it| {
                    edit::depart(it);
                    annotate(it, mark::ACTION, Some(&next));
                })
                .await?;
            }
        }
        Ok(None)
    }

    async fn begin_work(&self, running: &Running, is_cleaning: bool) -> Result<(), Failure> {
        let mut next = running.action.clone();
        next.step = Step::Work;
        next.since = self.side.context.now();
        next.before = boot_id(&running.node);
        let asks = *self.provider(running) == Provider::Annotation;
        let ask = Ask {
            kind: next.kind,
            number: next.id,
            image: next.image.clone(),
            runtime: next.runtime.clone(),
        };
        self.change(running, |it| {
            if is_cleaning {
                it.metadata
                    .labels
                    .get_or_insert_default()
                    .insert(mark::DIRTY.to_owned(), "true".to_owned());
            }
            annotate(it, mark::ACTION, Some(&next));
            annotate(it, mark::ASK, asks.then_some(&ask));
        })
        .await
    }

    /// Looks whether a machine is done with, and sees to it that somebody works on it.
    pub(super) async fn work(&self, running: &Running) -> Next {
        match running.action.kind {
            ActionKind::Evict => {
                self.change(running, |it| annotate::<()>(it, mark::ACTION, None)).await?;
                return Ok(None);
            }
            ActionKind::Move => {
                if let Some(to) = &running.action.to {
                    self.change(running, |it| edit::arrive(it, to)).await?;
                }
                return Ok(None);
            }
            ActionKind::Reboot | ActionKind::Reset | ActionKind::Release => {}
        }
        if let Some(object) = self.made(running) {
            return match running.action.kind {
                ActionKind::Reset => self.replace(running, object).await,
                ActionKind::Release | ActionKind::Reboot | ActionKind::Evict | ActionKind::Move => {
                    self.side.release_machine(object, running.epoch).await?;
                    Ok(None)
                }
            };
        }
        let has_rebooted = boot_id(&running.node) != running.action.before && is_ready(&running.node);
        let is_clean = running.action.kind == ActionKind::Release && self.has_succeeded(running).await?;
        if has_rebooted || is_clean {
            self.finish(running, Progress::Done).await?;
            return Ok(None);
        }
        let over = running.since(PATIENCE);
        if running.action.kind != ActionKind::Release && self.side.context.now() >= over {
            let reason = "the machine did not come up again".to_owned();
            self.finish(running, Progress::Failed(reason)).await?;
            return Ok(None);
        }
        match self.provider(running) {
            Provider::Pod { template } => self.make_pod(running, template).await?,
            Provider::Webhook(hook) => return self.ask_service(running, hook, over).await,
            Provider::None | Provider::Annotation => {}
        }
        // A Node that is not freed stays dirty, and is looked at when something changes.
        Ok((running.action.kind != ActionKind::Release).then_some(over))
    }

    pub(super) async fn finish(&self, running: &Running, progress: Progress) -> Result<(), Failure> {
        if let Provider::Pod { .. } = self.provider(running) {
            self.remove_pod(running).await?;
        }
        if running.action.kind == ActionKind::Release {
            return self.change(running, edit::free).await;
        }
        let request = Request {
            number: running.action.id,
            kind: running.action.kind,
            progress,
        };
        self.change(running, |it| {
            edit::unhold(it, Hold::Reboot);
            edit::unhold(it, Hold::Reset);
            annotate::<()>(it, mark::ACTION, None);
            annotate::<()>(it, mark::ASK, None);
            annotate(it, mark::REQUEST, Some(&request));
        })
        .await
    }

    /// One patch, as long as the action stands where this step began.
    pub(super) async fn change(&self, running: &Running, edit: impl Fn(&mut Node) + Send + Sync) -> Result<(), Failure> {
        let node = std::sync::Arc::clone(&running.node);
        self.side
            .edit(running.epoch, node, |it| {
                if running.stands(it) {
                    edit(it);
                }
            })
            .await
    }

    /// Who works on the machine of a Node. One that was made is not installed anew but made anew, and not cleaned but deleted.
    fn provider(&self, running: &Running) -> &Provider {
        let config = &self.side.context.config;
        match running.action.kind {
            ActionKind::Reset | ActionKind::Release if self.side.machine_of(&running.node).is_some() => &Provider::None,
            ActionKind::Reset => &config.reset,
            ActionKind::Release => &config.release.clean,
            ActionKind::Reboot | ActionKind::Evict | ActionKind::Move => &config.reboot,
        }
    }

    fn pods(&self) -> Api<Pod> {
        let context = &self.side.context;
        Api::namespaced(context.client.clone(), &context.config.namespace)
    }

    async fn has_succeeded(&self, running: &Running) -> Result<bool, Failure> {
        if !matches!(self.provider(running), Provider::Pod { .. }) {
            return Ok(false);
        }
        let found = self.side.context.call(self.pods().get_opt(&pod_name(running))).await?;
        let phase = found.and_then(|pod| pod.status?.phase);
        Ok(phase.as_deref() == Some("Succeeded"))
    }

    async fn make_pod(&self, running: &Running, template: &Value) -> Result<(), Failure> {
        self.side.context.check(running.epoch)?;
        let pod = pod(running, template)?;
        match self.side.context.call(self.pods().create(&PostParams::default(), &pod)).await {
            Ok(_) | Err(Failure::Exists) => Ok(()),
            Err(failure) => self.side.context.heed(Err(failure)),
        }
    }

    async fn remove_pod(&self, running: &Running) -> Result<(), Failure> {
        self.side.context.check(running.epoch)?;
        match self
            .side
            .context
            .call(self.pods().delete(&pod_name(running), &DeleteParams::default()))
            .await
        {
            Ok(_) | Err(Failure::Missing(_)) => Ok(()),
            Err(failure) => self.side.context.heed(Err(failure)),
        }
    }
}

/// What changes whenever a machine starts.
fn boot_id(node: &Node) -> Option<String> {
    let info = node.status.as_ref()?.node_info.as_ref()?;
    Some(info.boot_id.clone())
}

/// The same for every attempt at one step.
fn pod_name(running: &Running) -> String {
    format!("pk-{}-{}", kind(running), step_id(running, 10))
}

/// What is done to the machine, in one word.
pub(super) fn kind(running: &Running) -> &'static str {
    match running.action.kind {
        ActionKind::Reset => "reset",
        ActionKind::Release => "clean",
        ActionKind::Reboot | ActionKind::Evict | ActionKind::Move => "reboot",
    }
}

/// Digits that tell a step from all others.
pub(super) fn step_id(running: &Running, digits: usize) -> String {
    let action = &running.action;
    let texts = [&running.name(), kind(running), &action.id.to_string(), &timestamp(action.since)];
    mark::digest(&texts, digits)
}

fn timestamp(at: Timestamp) -> String {
    at.to_string()
}

fn pod(running: &Running, template: &Value) -> Result<Pod, Failure> {
    let action = &running.action;
    let node = edit::node_name(&running.node).map(|name| name.to_string()).unwrap_or_default();
    let words = [
        ("{{host}}", running.name()),
        ("{{node}}", node),
        ("{{number}}", action.id.to_string()),
        ("{{image}}", action.image.clone().unwrap_or_default()),
        ("{{runtime}}", action.runtime.clone().unwrap_or_default()),
    ];
    let mut spec = filled(template, &words);
    if let Some(spec) = spec.as_object_mut() {
        spec.entry("restartPolicy").or_insert_with(|| json!("Never"));
        spec.entry("tolerations").or_insert_with(|| json!([{"operator": "Exists"}]));
    }
    let labels = json!({mark::MANAGED: "true"});
    let annotations = json!({mark::EPOCH: running.epoch.number().to_string()});
    let pod = json!({"metadata": {"name": pod_name(running), "labels": labels, "annotations": annotations}, "spec": spec});
    serde_json::from_value(pod).map_err(|error| Failure::Refused(format!("the template of the pod is wrong: {error}")))
}
