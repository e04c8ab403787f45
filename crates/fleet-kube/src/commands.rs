//! Commands about nodes. Each is one conditional patch, or finds that it is done; what takes time is noted on the Node as an action
//! and goes on in `worker`.

mod create;
mod provision;
mod transfer;

use crate::cache;
use crate::config::{DriverMode, Provider};
use crate::context::{ATTEMPTS, Context, Epoch};
use crate::driver::installer::{self, Install};
use crate::edit::{self, annotate};
use crate::failure::Failure;
use crate::mark::{self, Action, ActionKind, Hold, Progress, Request, Step};
use crate::nodes::Nodes;
use crate::report;
use crate::{driver, inventory};
use create::Doubts;
use domain::meta::Uid;
use domain::name::NodeName;
use fleet::{Command, FleetError, PoolMark, ResetRequest};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, DynamicObject, Preconditions};
use kube::{Api, ResourceExt};
pub(crate) use provision::Maker;
use std::sync::{Arc, Mutex};

/// Carries out commands about nodes.
pub struct NodeSide {
    pub(crate) context: Arc<Context>,
    pub(crate) nodes: Arc<Nodes>,
    doubts: Mutex<Doubts>,
}

/// A request to the machine of a node, as an action begins.
struct Begin<'a> {
    kind: ActionKind,
    hold: Hold,
    number: u64,
    reset: Option<&'a ResetRequest>,
}

impl NodeSide {
    pub fn new(context: &Arc<Context>, nodes: &Arc<Nodes>) -> Self {
        Self {
            context: Arc::clone(context),
            nodes: Arc::clone(nodes),
            doubts: Mutex::default(),
        }
    }

    /// Carries out a command about a node. Others are none of its affair, and done.
    pub async fn execute(&self, command: &Command, epoch: Epoch) -> Result<(), FleetError> {
        match command {
            Command::CreateNode(request) => self.create(request, epoch).await,
            Command::DeleteNode { pool, node } => self.delete(&pool.uid, node, epoch).await,
            Command::HoldNode { pool, node } => self.edit_node(epoch, &pool.uid, node, |it| edit::hold(it, Hold::Drain)).await,
            Command::OpenNode { pool, node } => self.edit_node(epoch, &pool.uid, node, |it| edit::unhold(it, Hold::Drain)).await,
            Command::LockNode { pool, node, is_locked } => self.lock(&pool.uid, node, *is_locked, epoch).await,
            Command::EvictNode { pool, node } => self.evict(&pool.uid, node, epoch).await,
            Command::RebootNode { pool, node, number } => {
                let begin = Begin {
                    kind: ActionKind::Reboot,
                    hold: Hold::Reboot,
                    number: *number,
                    reset: None,
                };
                self.begin(&pool.uid, node, epoch, &begin).await
            }
            Command::ResetNode(request) => {
                let begin = Begin {
                    kind: ActionKind::Reset,
                    hold: Hold::Reset,
                    number: request.number,
                    reset: Some(request),
                };
                self.begin(&request.pool.uid, &request.node, epoch, &begin).await
            }
            Command::MoveNode { pool, node, from } => self.transfer(pool, node, from, epoch).await,
            Command::DedicateNode { pool, node, to } => {
                self.edit_node(epoch, &pool.uid, node, |it| edit::dedicate(it, &pool.uid, to.as_ref()))
                    .await
            }
            Command::SetDriver { pool, node, version, .. } => self.set_driver(&pool.uid, node, version, epoch).await,
            Command::EnsurePool { .. }
            | Command::RemovePool { .. }
            | Command::EnsurePlugin { .. }
            | Command::RemovePlugin { .. }
            | Command::SetQuotas { .. } => Ok(()),
        }
    }

    /// Edits the node of a pool, wherever it is.
    async fn edit_node(&self, epoch: Epoch, pool: &Uid, node: &NodeName, edit: impl Fn(&mut Node) + Send + Sync) -> Result<(), FleetError> {
        let Some(found) = self.nodes.find(pool, node) else { return Ok(()) };
        let is_there = |it: &Node| edit::label(it, mark::POOL) == Some(pool.as_str());
        self.edit(epoch, found, |it| {
            if is_there(it) {
                edit(it);
            }
        })
        .await
        .map_err(Failure::on_write)
    }

    /// Edits a Node until the edit stands or is not needed. What the edit is to depend on, it must look at itself.
    pub(crate) async fn edit(&self, epoch: Epoch, mut node: Arc<Node>, edit: impl Fn(&mut Node) + Send + Sync) -> Result<(), Failure> {
        let api: Api<Node> = Api::all(self.context.client.clone());
        let name = node.name_any();
        for _ in 0..ATTEMPTS {
            let mut after = Node::clone(&node);
            edit(&mut after);
            let Some(patch) = edit::patch(&node, &after, epoch) else {
                return Ok(());
            };
            match self.context.merge(epoch, &api, &name, &patch).await {
                Ok(written) => {
                    report::of_node(&self.context, &node, &after);
                    self.nodes.nodes.note(written);
                    return Ok(());
                }
                Err(Failure::Conflict) => match self.context.call(api.get_opt(&name)).await? {
                    Some(fresh) => {
                        self.nodes.nodes.note(fresh.clone());
                        node = Arc::new(fresh);
                    }
                    None => return Ok(()),
                },
                // A Node that has vanished is an observation.
                Err(Failure::Missing(_)) => return Ok(()),
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Conflict)
    }

    async fn evict(&self, pool: &Uid, node: &NodeName, epoch: Epoch) -> Result<(), FleetError> {
        let now = self.context.now();
        self.edit_node(epoch, pool, node, |it| {
            // Every other action empties the node too.
            if edit::action(it).is_none() {
                annotate(it, mark::ACTION, Some(&Action::begun(ActionKind::Evict, 0, now)));
            }
        })
        .await
    }

    /// Begins a reboot or a reset, unless one of this number or a higher one is known.
    async fn begin(&self, pool: &Uid, node: &NodeName, epoch: Epoch, begin: &Begin<'_>) -> Result<(), FleetError> {
        let Some(found) = self.nodes.find(pool, node) else { return Ok(()) };
        if edit::request(&found).is_some_and(|known| known.number >= begin.number) {
            return Ok(());
        }
        let provider = match begin.kind {
            ActionKind::Reset => &self.context.config.reset,
            ActionKind::Evict | ActionKind::Reboot | ActionKind::Move | ActionKind::Release => &self.context.config.reboot,
        };
        let is_made_anew = begin.kind == ActionKind::Reset && self.machine_of(&found).is_some();
        if *provider == Provider::None && !is_made_anew {
            let reason = format!("no way to {} a machine is configured", begin.hold.as_str());
            return Err(FleetError::Refused { reason });
        }
        let now = self.context.now();
        let driver_label = self.driver_label(&found);
        let version = begin.reset.and_then(|reset| reset.driver.clone());
        if let Some(version) = &version {
            self.offer_driver(version, driver_label, epoch).await?;
        }
        self.edit_node(epoch, pool, node, |it| {
            let is_known = edit::request(it).is_some_and(|known| known.number >= begin.number);
            let is_stronger = edit::action(it).is_some_and(|running| matches!(running.kind, ActionKind::Release | ActionKind::Move));
            if is_known || is_stronger {
                return;
            }
            let request = Request {
                number: begin.number,
                kind: begin.kind,
                progress: Progress::Running,
            };
            let mut action = Action::begun(begin.kind, begin.number, now);
            if let Some(reset) = begin.reset {
                action.image = reset
                    .image
                    .as_ref()
                    .and_then(|image| image.name.clone().or_else(|| image.image_id.clone()));
                action.runtime.clone_from(&reset.runtime);
            }
            // What an older request held, it holds no more.
            edit::unhold(it, Hold::Reboot);
            edit::unhold(it, Hold::Reset);
            annotate::<()>(it, mark::ASK, None);
            edit::hold(it, begin.hold);
            annotate(it, mark::REQUEST, Some(&request));
            annotate(it, mark::ACTION, Some(&action));
            if let (Some(key), Some(version)) = (driver_label, &version) {
                edit::set_label(it, key, version);
            }
        })
        .await
    }

    async fn set_driver(&self, pool: &Uid, node: &NodeName, version: &str, epoch: Epoch) -> Result<(), FleetError> {
        let Some(found) = self.nodes.find(pool, node) else { return Ok(()) };
        let Some(key) = self.driver_label(&found) else { return Ok(()) };
        self.offer_driver(version, Some(key), epoch).await?;
        if edit::label(&found, key) == Some(version) {
            return self.install_again(&found, epoch).await.map_err(Failure::on_write);
        }
        self.edit_node(epoch, pool, node, |it| {
            if edit::label(it, key) != Some(version) {
                edit::set_label(it, key, version);
            }
        })
        .await
    }

    /// Another attempt at the same version: the Job that failed makes way for the next one.
    async fn install_again(&self, node: &Node, epoch: Epoch) -> Result<(), Failure> {
        let (Some(jobs), Some(job)) = (&self.nodes.jobs, self.nodes.installation(node)) else {
            return Ok(());
        };
        if !matches!(installer::state(&job), Some(Install::Failed(_))) {
            return Ok(());
        }
        self.context.check(epoch)?;
        let api: Api<Job> = Api::namespaced(self.context.client.clone(), &self.context.config.namespace);
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: job.metadata.uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        match self.context.call(api.delete(&job.name_any(), &params)).await {
            Ok(answer) => {
                match answer.left().filter(|left| left.metadata.deletion_timestamp.is_some()) {
                    Some(left) => jobs.note(left),
                    None => jobs.forget(&cache::key(job.as_ref())),
                }
                Ok(())
            }
            Err(Failure::Missing(_) | Failure::Conflict) => Ok(()),
            Err(failure) => self.context.heed(Err(failure)),
        }
    }

    /// The GPU driver that a command asks for: of which pool, which version, and whether for one Node alone.
    pub fn gpu_driver<'a>(&self, command: &'a Command) -> Option<(&'a PoolMark, &'a str, bool)> {
        let (version, label, is_own) = match command {
            Command::CreateNode(request) => {
                let sample = self.nodes.view(|view| view.sample(&request.flavor))?;
                let label = driver::wanted_label(&sample, Some(&request.flavor), &self.context.config);
                (request.driver.as_deref()?, label, false)
            }
            Command::SetDriver {
                pool,
                node,
                version,
                is_own,
            } => (version.as_str(), self.driver_label(&*self.nodes.find(&pool.uid, node)?), *is_own),
            // What it was to have before, it has to have again.
            Command::ResetNode(_)
            | Command::EnsurePool { .. }
            | Command::RemovePool { .. }
            | Command::DeleteNode { .. }
            | Command::HoldNode { .. }
            | Command::OpenNode { .. }
            | Command::EvictNode { .. }
            | Command::RebootNode { .. }
            | Command::MoveNode { .. }
            | Command::DedicateNode { .. }
            | Command::LockNode { .. }
            | Command::EnsurePlugin { .. }
            | Command::RemovePlugin { .. }
            | Command::SetQuotas { .. } => return None,
        };
        (label == Some(mark::GPU_DRIVER)).then_some((command.pool(), version, is_own))
    }

    /// Notes on all Nodes of a pool which GPU driver they are to have.
    pub async fn follow_driver(&self, pool: &Uid, version: &str, epoch: Epoch) -> Result<(), FleetError> {
        for node in self.nodes.of_pool(pool) {
            if self.driver_label(&node) != Some(mark::GPU_DRIVER) || edit::label(&node, mark::GPU_DRIVER) == Some(version) {
                continue;
            }
            let edited = self.edit(epoch, node, |it| {
                if edit::label(it, mark::POOL) == Some(pool.as_str()) {
                    edit::set_label(it, mark::GPU_DRIVER, version);
                }
            });
            edited.await.map_err(Failure::on_write)?;
        }
        Ok(())
    }

    /// The label that asks for a driver on a Node.
    fn driver_label(&self, node: &Node) -> Option<&'static str> {
        let flavor = self.nodes.view(|view| view.flavor(&node.name_any()).cloned());
        driver::wanted_label(node, flavor.as_ref(), &self.context.config)
    }

    /// Makes the object that installs a version, in the mode that wants one.
    pub(crate) async fn offer_driver(&self, version: &str, key: Option<&'static str>, epoch: Epoch) -> Result<(), FleetError> {
        if self.context.config.driver.mode != DriverMode::Nvidia || key != Some(mark::GPU_DRIVER) {
            return Ok(());
        }
        let api: Api<DynamicObject> = Api::all_with(self.context.client.clone(), &driver::nvidia_driver());
        let object = driver::driver_object(version, &self.context.config);
        let name = object.name_any();
        match self.context.call(api.get_opt(&name)).await.map_err(Failure::on_read)? {
            Some(_) => Ok(()),
            None => self.context.apply(epoch, &api, object).await.map(|_| ()).map_err(Failure::on_write),
        }
    }

    /// The labels of a Node that decide where it is.
    pub(crate) fn place(&self, node: &Node) -> Option<crate::view::Place> {
        let flavor = self.nodes.view(|view| view.flavor(&node.name_any()).cloned())?;
        Some((flavor, inventory::zone(node, &self.context.config)?))
    }
}

impl Action {
    /// An action at its beginning.
    pub fn begun(kind: ActionKind, id: u64, since: jiff::Timestamp) -> Self {
        Self {
            id,
            kind,
            step: Step::Empty,
            since,
            before: None,
            is_heard: false,
            image: None,
            runtime: None,
            to: None,
        }
    }
}
