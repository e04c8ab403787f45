//! Carries on with Machines: they get what they refer to, their Nodes are claimed, and those that are given back are deleted.

use super::{Next, RETRY, Running, Worker};
use crate::commands::Maker;
use crate::context::Epoch;
use crate::driver;
use crate::edit::{self, Claim, annotate, claim};
use crate::failure::Failure;
use crate::machine;
use crate::mark::{self, Action, ActionKind, Hold, Order, Progress, Request, Step};
use fleet::PoolMark;
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::DynamicObject;
use std::sync::Arc;
use std::time::Duration;

/// After a lost race a Machine is looked at again in so long.
const RACE: Duration = Duration::from_millis(200);

impl Worker {
    /// Looks at all Machines about which something may have to be done. The earliest time at which one is to be looked at again.
    pub(super) async fn tend_machines(&self, epoch: Epoch) -> Option<Timestamp> {
        let maker = self.side.maker()?;
        let open = self.side.nodes.open_machines(maker.machines).take_open();
        if open.is_empty() {
            return None;
        }
        if self.side.nodes.fresh().is_err() {
            for key in &open {
                maker.machines.open(key);
            }
            return Some(self.side.context.after(RETRY));
        }
        let steps = open.into_iter().map(|key| async move { self.tend(maker, &key, epoch).await });
        let nexts: Vec<Option<Timestamp>> = futures::stream::iter(steps).buffer_unordered(super::AT_ONCE).collect().await;
        nexts.into_iter().flatten().min()
    }

    async fn tend(&self, maker: Maker<'_>, key: &str, epoch: Epoch) -> Option<Timestamp> {
        let object = maker.machines.cache.get(key)?;
        let failure = match self.step(&object, epoch).await {
            Ok(()) => return None,
            // The next holder looks at all of them.
            Err(failure) => failure,
        };
        maker.machines.open(key);
        match failure {
            Failure::Fenced => None,
            Failure::Throttled(wait) => Some(self.side.context.after(wait)),
            // Cluster API writes to it too.
            Failure::Conflict => Some(self.side.context.after(RACE)),
            failure => {
                tracing::warn!(machine = key, %failure, "a step failed");
                Some(self.side.context.after(RETRY))
            }
        }
    }

    /// The next thing to be done about a Machine. What follows from it makes the Machine be looked at again.
    async fn step(&self, object: &Arc<DynamicObject>, epoch: Epoch) -> Result<(), Failure> {
        let Some(order) = machine::order(object) else {
            tracing::warn!(machine = object.name_any(), "what the Machine was made for cannot be read");
            return Ok(());
        };
        if machine::is_released(object) {
            return if machine::is_going(object) {
                Ok(())
            } else {
                self.side.delete_machine(object, epoch).await
            };
        }
        if machine::is_going(object) {
            // Somebody else takes it away.
            return Ok(());
        }
        if let Some(node) = self.side.nodes.host_of(object, &order) {
            return self.follow(object, &order, &node, epoch).await;
        }
        let Some(host) = machine::host(object) else {
            return self.side.complete(object, epoch).await;
        };
        let is_node = self.side.nodes.find(&order.pool.uid, &order.node).is_some();
        match self.side.nodes.nodes.get(host) {
            Some(node) if !is_node && machine::failure(object).is_none() => self.take_over(object, &order, &node, epoch).await,
            // It is looked at again when the Node comes, or when the other one goes.
            Some(_) | None => Ok(()),
        }
    }

    /// The Machine goes where its Node goes.
    async fn follow(&self, object: &Arc<DynamicObject>, order: &Order, node: &Node, epoch: Epoch) -> Result<(), Failure> {
        let to: Option<PoolMark> = edit::note(node).map(|note| note.pool);
        let is_there = |pool: &PoolMark| edit::label(node, mark::POOL) == Some(pool.uid.as_str());
        match to.filter(|pool| is_there(pool) && *pool != order.pool) {
            Some(pool) => {
                self.side
                    .edit_machine(Arc::clone(object), epoch, |meta| machine::carry(meta, &pool))
                    .await
            }
            None => Ok(()),
        }
    }

    /// Makes the Node that a Machine has become the node.
    async fn take_over(&self, object: &DynamicObject, order: &Order, node: &Arc<Node>, epoch: Epoch) -> Result<(), Failure> {
        let request = order.request();
        let driver_label = driver::wanted_label(node, Some(&order.flavor), &self.side.context.config);
        if let Some(version) = request.driver.as_ref().filter(|_| driver_label.is_some()) {
            let offered = self.side.offer_driver(version, driver_label, epoch).await;
            offered.map_err(|error| Failure::Refused(error.to_string()))?;
        }
        let at = self.side.context.now();
        let reset = machine::request(object);
        let edit = |it: &mut Node| {
            let marks = [mark::POOL, mark::NODE].map(|key| edit::label(it, key).is_some());
            if marks != [false, false] {
                return;
            }
            let claim_of = Claim {
                request: &request,
                at,
                driver_label,
            };
            claim(it, &claim_of);
            if let Some(reset) = &reset {
                go_on_with(it, reset, object, at);
            }
        };
        self.side.edit(epoch, Arc::clone(node), edit).await
    }

    /// Makes the machine of a Node anew: the next Machine is made before this one goes, so that the node is never without one.
    pub(super) async fn replace(&self, running: &Running, object: Arc<DynamicObject>) -> Next {
        let Some(mut order) = machine::order(&object) else {
            return Ok(None);
        };
        if let Some(note) = edit::note(&running.node) {
            order.pool = note.pool;
        }
        let key = driver::wanted_label(&running.node, Some(&order.flavor), &self.side.context.config);
        order.driver = key
            .and_then(|key| edit::label(&running.node, key))
            .map(str::to_owned)
            .or(order.driver);
        let reset = Request {
            number: running.action.id,
            kind: ActionKind::Reset,
            progress: Progress::Running,
        };
        match self.side.renew(&order, &reset, running.epoch).await {
            Ok(()) => {
                self.side.release_machine(object, running.epoch).await?;
                Ok(None)
            }
            Err(Failure::Refused(reason)) => {
                self.finish(running, Progress::Failed(reason)).await?;
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// The Machine that has to go for what runs on its Node, if machines like it are made and deleted, not freed or installed anew.
    pub(super) fn made(&self, running: &Running) -> Option<Arc<DynamicObject>> {
        let object = self.side.machine_of(&running.node)?;
        match running.action.kind {
            ActionKind::Release => Some(object),
            ActionKind::Reset => {
                let is_next = machine::request(&object).is_some_and(|request| request.number == running.action.id);
                (!is_next).then_some(object)
            }
            ActionKind::Evict | ActionKind::Reboot | ActionKind::Move => None,
        }
    }
}

/// The new Node of a node that is being reset stands where the old one stood: it is done once it is ready.
fn go_on_with(node: &mut Node, reset: &Request, object: &DynamicObject, now: Timestamp) {
    edit::hold(node, Hold::Reset);
    let mut action = Action::begun(ActionKind::Reset, reset.number, now);
    action.step = Step::Work;
    action.before = Some(object.uid().unwrap_or_default());
    annotate(node, mark::REQUEST, Some(reset));
    annotate(node, mark::ACTION, Some(&action));
}
