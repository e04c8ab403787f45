//! Nodes go: they are given back, or to another pool.

use super::NodeSide;
use crate::context::Epoch;
use crate::edit::{self, annotate};
use crate::failure::Failure;
use crate::mark::{self, Action, ActionKind, Hold};
use domain::meta::Uid;
use domain::name::NodeName;
use fleet::{FleetError, PoolMark};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;
use std::sync::Arc;

impl NodeSide {
    /// Empties the node and gives its machine back.
    pub(super) async fn delete(&self, pool: &Uid, node: &NodeName, epoch: Epoch) -> Result<(), FleetError> {
        let found = match self.nodes.find(pool, node) {
            Some(found) => vec![found],
            // Whether it is gone, the server knows.
            None => self.look_up(pool, node).await.map_err(Failure::on_read)?,
        };
        for it in found {
            self.release(it, pool, epoch).await.map_err(Failure::on_write)?;
        }
        self.delete_machines(pool, node, epoch).await.map_err(Failure::on_write)
    }

    /// Begins to release every Node of a pool.
    pub async fn release_all(&self, pool: &Uid, epoch: Epoch) -> Result<(), FleetError> {
        let api: Api<Node> = Api::all(self.context.client.clone());
        let selector = format!("{}={pool}", mark::POOL);
        let listed = self.context.call(api.list(&ListParams::default().labels(&selector))).await;
        for node in listed.map_err(Failure::on_read)?.items {
            self.nodes.nodes.note(node.clone());
            self.release(Arc::new(node), pool, epoch).await.map_err(Failure::on_write)?;
        }
        self.delete_machines_of(pool, epoch).await.map_err(Failure::on_write)
    }

    async fn release(&self, node: Arc<Node>, pool: &Uid, epoch: Epoch) -> Result<(), Failure> {
        let now = self.context.now();
        self.edit(epoch, node, |it| {
            let is_there = edit::label(it, mark::POOL) == Some(pool.as_str());
            let is_released = edit::action(it).is_some_and(|running| running.kind == ActionKind::Release);
            if is_there && !is_released {
                edit::hold(it, Hold::Release);
                annotate::<()>(it, mark::ASK, None);
                annotate(it, mark::ACTION, Some(&Action::begun(ActionKind::Release, 0, now)));
            }
        })
        .await
    }

    /// Begins to take a node over from another pool.
    pub(super) async fn transfer(&self, pool: &PoolMark, node: &NodeName, from: &PoolMark, epoch: Epoch) -> Result<(), FleetError> {
        if self.nodes.find(&pool.uid, node).is_some() {
            return Ok(());
        }
        let found = match self.nodes.find(&from.uid, node) {
            Some(found) => vec![found],
            None => self.look_up(&from.uid, node).await.map_err(Failure::on_read)?,
        };
        let now = self.context.now();
        for it in found {
            let begun = self.edit(epoch, it, |it| {
                let is_there = edit::is_node_of(it, &from.uid, node);
                let goes = edit::action(it).is_some_and(|running| matches!(running.kind, ActionKind::Release | ActionKind::Move));
                if is_there && !goes {
                    edit::hold(it, Hold::Release);
                    let mut action = Action::begun(ActionKind::Move, 0, now);
                    action.to = Some(pool.clone());
                    annotate(it, mark::ACTION, Some(&action));
                }
            });
            begun.await.map_err(Failure::on_write)?;
        }
        Ok(())
    }
}
