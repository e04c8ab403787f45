//! What happens to pools and nodes, told to the cluster as events too. It is best effort: nobody waits for it, and what cannot be
//! told is dropped.

use crate::cache::Task;
use crate::context::Context;
use crate::mark;
use k8s_openapi::api::core::v1::{Event, EventSource, Node, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use std::sync::Arc;
use tokio::sync::mpsc;

/// So many can wait to be told.
const WAITING: usize = 256;
/// Events about what is in no name space are kept here.
const SPACE: &str = "default";

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// `Namespace`, `Node`.
    pub kind: &'static str,
    pub name: String,
    /// In one word, `LikeThis`.
    pub reason: &'static str,
    pub note: String,
    pub is_warning: bool,
}

/// Tells what happened. Clones tell through the same one.
#[derive(Clone)]
pub struct Reporter(mpsc::Sender<Happening>);

impl Reporter {
    /// Begins to tell; must be called inside a runtime.
    pub fn start(context: &Arc<Context>) -> (Self, Task) {
        let (sender, mut receiver) = mpsc::channel(WAITING);
        let context = Arc::clone(context);
        let task = tokio::spawn(async move {
            while let Some(happening) = receiver.recv().await {
                tell(&context, happening).await;
            }
        });
        (Self(sender), Task(task))
    }

    /// Of a Node.
    pub fn node(&self, name: &str, reason: &'static str, note: impl Into<String>) {
        self.happened("Node", name, reason, note.into());
    }

    /// Of a pool, by one of its name spaces.
    pub fn space(&self, name: &str, reason: &'static str, note: impl Into<String>) {
        self.happened("Namespace", name, reason, note.into());
    }

    fn happened(&self, kind: &'static str, name: &str, reason: &'static str, note: String) {
        let happening = Happening {
            kind,
            name: name.to_owned(),
            reason,
            note,
            is_warning: false,
        };
        self.tell(happening);
    }

    /// Never waits. When too much waits to be told already, this is not.
    pub fn tell(&self, happening: Happening) {
        if self.0.try_send(happening).is_err() {
            tracing::debug!("an event was not told");
        }
    }
}

/// Tells what a write to a Node means to pools.
pub fn of_node(context: &Context, before: &Node, after: &Node) {
    let (Some(reporter), Some(name)) = (context.reporter.get(), &after.metadata.name) else {
        return;
    };
    for (reason, note) in node_news(before, after) {
        reporter.node(name, reason, note);
    }
}

fn node_news(before: &Node, after: &Node) -> Vec<(&'static str, String)> {
    let label = |node: &Node, key: &str| node.metadata.labels.as_ref().and_then(|labels| labels.get(key).cloned());
    let named = |node: &Node| {
        let note: Option<mark::ClaimNote> = mark::read(node.metadata.annotations.as_ref(), mark::CLAIM);
        note.map_or_else(String::new, |note| format!("node {} of pool {}", note.node, note.pool.pool.name))
    };
    let mut news = Vec::new();
    match (label(before, mark::POOL), label(after, mark::POOL)) {
        (None, Some(_)) => news.push(("NodeClaimed", named(after))),
        (Some(_), None) => news.push(("NodeReleased", named(before))),
        (Some(was), Some(is)) if was != is => news.push(("NodeMoved", named(after))),
        (Some(_), Some(_)) => {
            for key in [mark::GPU_DRIVER, mark::NPU_DRIVER] {
                let version = label(after, key).filter(|version| label(before, key).as_ref() != Some(version));
                news.extend(version.map(|version| ("DriverRequested", format!("{}: driver {version}", named(after)))));
            }
        }
        (None, None) => {}
    }
    news
}

async fn tell(context: &Context, happening: Happening) {
    if context.holder().is_none() {
        return;
    }
    let event = event(&happening, context.now());
    let api: Api<Event> = Api::namespaced(context.client.clone(), SPACE);
    if let Err(failure) = context.call(api.create(&PostParams::default(), &event)).await {
        tracing::debug!(%failure, "an event was not told");
    }
}

/// The same happening of the same time has the same name, so that it is told once.
fn event(happening: &Happening, at: jiff::Timestamp) -> Event {
    let texts = [
        happening.name.as_str(),
        happening.reason,
        &happening.note,
        &at.as_millisecond().to_string(),
    ];
    let head: String = happening.name.chars().take(200).collect();
    let time = Time(at);
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{head}.{}", mark::digest(&texts, 16))),
            namespace: Some(SPACE.to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some(happening.kind.to_owned()),
            name: Some(happening.name.clone()),
            ..ObjectReference::default()
        },
        reason: Some(happening.reason.to_owned()),
        message: Some(happening.note.clone()),
        type_: Some(if happening.is_warning { "Warning" } else { "Normal" }.to_owned()),
        source: Some(EventSource {
            component: Some(mark::MANAGER.to_owned()),
            host: None,
        }),
        first_timestamp: Some(time.clone()),
        last_timestamp: Some(time),
        count: Some(1),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(pool: Option<&str>, driver: &str) -> Node {
        let mut labels = json!({mark::GPU_DRIVER: driver});
        if let Some(pool) = pool {
            labels[mark::POOL] = json!(pool);
        }
        serde_json::from_value(json!({"metadata": {"name": "gpu-1", "labels": labels}})).unwrap()
    }

    #[test]
    fn what_becomes_of_a_node_is_told() {
        let (free, one, other) = (node(None, "1"), node(Some("a"), "1"), node(Some("b"), "1"));
        let newer = node(Some("a"), "2");
        let reasons =
            |before: &Node, after: &Node| -> Vec<&str> { node_news(before, after).into_iter().map(|(reason, _)| reason).collect() };
        assert_eq!(reasons(&free, &one), ["NodeClaimed"]);
        assert_eq!(reasons(&one, &free), ["NodeReleased"]);
        assert_eq!(reasons(&one, &other), ["NodeMoved"]);
        assert_eq!(reasons(&one, &newer), ["DriverRequested"]);
        assert_eq!(reasons(&one, &one), Vec::<&str>::new());
    }
}
