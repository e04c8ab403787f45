//! Machines that a service of the site works on.

use super::work::{kind, step_id};
use super::{Next, Running, Worker};
use crate::config::Hook;
use crate::edit::{self, annotate};
use crate::failure::Failure;
use crate::mark::{self, ActionKind, Progress};
use crate::webhook::{Order, Reply};
use jiff::Timestamp;
use std::time::Duration;

/// When it is asked again whether a machine is clean, which no other boot id tells.
const POLL: Duration = Duration::from_secs(30);
/// When somebody who refuses is asked again: a dirty machine is of no use.
const SELDOM: Duration = Duration::from_mins(5);

impl Worker {
    /// Asks until it is heard. That a machine was started or installed anew, its Node says afterwards; that it is clean, the service.
    pub(super) async fn ask_service(&self, running: &Running, hook: &Hook, over: Timestamp) -> Next {
        let context = &self.side.context;
        let is_release = running.action.kind == ActionKind::Release;
        if running.action.is_heard && !is_release {
            return Ok(Some(over));
        }
        let Some(caller) = context.caller.get() else {
            return Err(Failure::Refused("nobody can ask webhooks".to_owned()));
        };
        context.check(running.epoch)?;
        let order = Order {
            id: step_id(running, 32),
            action: kind(running),
            node: edit::node_name(&running.node).map(|name| name.to_string()).unwrap_or_default(),
            host: running.name(),
            image: running.action.image.clone(),
            runtime: running.action.runtime.clone(),
        };
        match caller.call(hook, &order).await.map_err(Failure::Unknown)? {
            Reply::Done if is_release => {
                self.finish(running, Progress::Done).await?;
                Ok(None)
            }
            Reply::Accepted if is_release => Ok(Some(context.after(POLL))),
            Reply::Refused(reason) if is_release => {
                tracing::warn!(node = running.name(), reason, "the machine is not cleaned");
                Ok(Some(context.after(SELDOM)))
            }
            Reply::Refused(reason) => {
                self.finish(running, Progress::Failed(reason)).await?;
                Ok(None)
            }
            Reply::Done | Reply::Accepted => {
                let mut heard = running.action.clone();
                heard.is_heard = true;
                self.change(running, |it| annotate(it, mark::ACTION, Some(&heard))).await?;
                Ok(Some(over))
            }
        }
    }
}
