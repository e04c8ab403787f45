//! Carries on what takes time: nodes being emptied, machines being started or installed anew, releases and moves.
//!
//! All of it stands on the Nodes, so that another process goes on where one stopped. Only the holder acts: a process that the fence has
//! refused, or that has not commanded yet, leaves everything as it is. Nothing is asked for in a loop: a step waits for a change of its
//! Node or pods, or for a time at which it would do something else.

mod drain;
mod hook;
mod install;
mod machines;
mod work;

use crate::commands::NodeSide;
use crate::context::Epoch;
use crate::edit;
use crate::failure::Failure;
use crate::mark::{Action, Step};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use std::sync::Arc;
use std::time::Duration;

/// Nodes that are worked on at the same time.
const AT_ONCE: usize = 16;
/// After a failure a step is tried again in so long.
const RETRY: Duration = Duration::from_secs(5);

/// Goes on with actions, one step at a time.
pub(crate) struct Worker {
    side: Arc<NodeSide>,
}

/// A Node with the action that runs on it.
struct Running {
    node: Arc<Node>,
    action: Action,
    epoch: Epoch,
}

/// When a step is to be looked at again, if nothing changes before.
type Next = Result<Option<Timestamp>, Failure>;

impl Worker {
    pub fn new(side: Arc<NodeSide>) -> Self {
        Self { side }
    }

    /// Never ends.
    pub async fn run(self) {
        let context = Arc::clone(&self.side.context);
        loop {
            let next = match context.holder() {
                Some(epoch) => {
                    let machines = self.tend_machines(epoch).await;
                    let actions = self.pass(epoch).await;
                    [machines, actions].into_iter().flatten().min()
                }
                None => None,
            };
            let timer = async {
                match next {
                    Some(at) => context.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.side.nodes.woken() => {}
                () = context.holder_changed.notified() => {}
                () = timer => {}
            }
        }
    }

    /// Takes a step of every action. The earliest time at which one is to be looked at again.
    async fn pass(&self, epoch: Epoch) -> Option<Timestamp> {
        let (acting, lacking) = (self.side.nodes.acting(), self.side.nodes.lacking());
        if acting.is_empty() && lacking.is_empty() {
            return None;
        }
        if let Err(error) = self.side.nodes.fresh() {
            tracing::debug!(%error, "actions wait");
            return Some(self.side.context.after(RETRY));
        }
        let steps = acting.into_iter().map(|name| async move { self.advance(&name, epoch).await });
        let installs = lacking.into_iter().map(|name| async move { self.install(&name, epoch).await });
        let installs: Vec<Option<Timestamp>> = futures::stream::iter(installs).buffer_unordered(AT_ONCE).collect().await;
        let nexts: Vec<Option<Timestamp>> = futures::stream::iter(steps).buffer_unordered(AT_ONCE).collect().await;
        installs.into_iter().chain(nexts).flatten().min()
    }

    async fn advance(&self, name: &str, epoch: Epoch) -> Option<Timestamp> {
        let node = self.side.nodes.nodes.get(name)?;
        let Some(action) = edit::action(&node) else {
            tracing::warn!(node = name, "what is done to the node cannot be read");
            return None;
        };
        let running = Running { node, action, epoch };
        let next = match running.action.step {
            Step::Empty => self.empty(&running).await,
            Step::Work => self.work(&running).await,
        };
        match next {
            Ok(next) => next,
            Err(Failure::Fenced) => None,
            Err(Failure::Throttled(wait)) => Some(self.side.context.after(wait)),
            Err(failure) => {
                tracing::warn!(node = name, %failure, kind = ?running.action.kind, "a step failed");
                Some(self.side.context.after(RETRY))
            }
        }
    }
}

impl Running {
    fn name(&self) -> String {
        self.node.name_any()
    }

    fn since(&self, wait: Duration) -> Timestamp {
        self.action.since.saturating_add(wait).unwrap_or(Timestamp::MAX)
    }

    /// Whether a Node stands where this step began.
    fn stands(&self, node: &Node) -> bool {
        edit::action(node).as_ref() == Some(&self.action)
    }
}
