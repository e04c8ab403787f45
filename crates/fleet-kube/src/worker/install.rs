//! Sees to it that every Node that lacks its driver has a Job that installs it.

use super::{RETRY, Worker};
use crate::context::Epoch;
use crate::driver::installer;
use crate::edit;
use crate::failure::Failure;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::PostParams;

impl Worker {
    /// When it is to be tried again.
    pub(super) async fn install(&self, name: &str, epoch: Epoch) -> Option<Timestamp> {
        let node = self.side.nodes.nodes.get(name)?;
        // What empties or changes the machine goes first.
        if edit::has_action(&node) || self.side.nodes.installation(&node).is_some() {
            return None;
        }
        match self.make_job(&node, epoch).await {
            Ok(()) | Err(Failure::Fenced) => None,
            Err(Failure::Throttled(wait)) => Some(self.side.context.after(wait)),
            Err(failure) => {
                tracing::warn!(node = name, %failure, "the Job that installs its driver could not be made");
                Some(self.side.context.after(RETRY))
            }
        }
    }

    async fn make_job(&self, node: &Node, epoch: Epoch) -> Result<(), Failure> {
        let context = &self.side.context;
        let (Some(rule), Some(jobs)) = (&context.config.driver.installer, &self.side.nodes.jobs) else {
            return Ok(());
        };
        let Some(version) = installer::missing(node) else { return Ok(()) };
        context.check(epoch)?;
        let job = installer::job(node, version, rule, epoch.number()).map_err(Failure::Refused)?;
        let api: Api<Job> = Api::namespaced(context.client.clone(), &context.config.namespace);
        match context.call(api.create(&PostParams::default(), &job)).await {
            Ok(made) => {
                jobs.note(made);
                Ok(())
            }
            // The watch brings it.
            Err(Failure::Exists) => Ok(()),
            Err(failure) => context.heed(Err(failure)),
        }
    }
}
