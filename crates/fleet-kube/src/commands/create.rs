//! Nodes come: a free Node is claimed.

use super::NodeSide;
use crate::context::{ATTEMPTS, Epoch};
use crate::edit::{self, Claim, claim};
use crate::failure::Failure;
use crate::mark::{self, Order};
use crate::pods::Pod;
use crate::view::Place;
use crate::{driver, inventory, report, select};
use domain::meta::Uid;
use domain::name::NodeName;
use fleet::{FleetError, NodeRequest};
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};

/// What this process is not sure of.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Nodes that a claim is under way for.
    taken: BTreeSet<String>,
    /// Machines that are being made.
    coming: BTreeMap<String, Place>,
    /// Nodes of which a claim may have been lost, or its answer; or the making of a Machine.
    unclear: BTreeSet<(Uid, NodeName)>,
}

/// A claim that is under way. If it is given up before its outcome is known, the outcome is looked up the next time.
pub(super) struct Attempt<'a> {
    side: &'a NodeSide,
    /// Of the Node, or of the Machine.
    name: String,
    id: (Uid, NodeName),
    pub is_settled: bool,
}

impl<'a> Attempt<'a> {
    /// An attempt to make a Machine. `None`: so many are being made already that there is no room for it. `fits` tells whether there is
    /// room for so many more.
    pub fn to_make(side: &'a NodeSide, order: &Order, name: &str, fits: impl FnOnce(u32) -> bool) -> Option<Self> {
        let mut doubts = side.doubts();
        let place = (order.flavor.clone(), order.az.clone());
        let is_known = |name: &str| side.maker().is_some_and(|maker| maker.knows(name));
        let coming = doubts
            .coming
            .iter()
            .filter(|(name, other)| **other == place && !is_known(name))
            .count();
        if !fits(u32::try_from(coming).unwrap_or(u32::MAX)) {
            return None;
        }
        doubts.coming.insert(name.to_owned(), place);
        Some(Self {
            side,
            name: name.to_owned(),
            id: (order.pool.uid.clone(), order.node.clone()),
            is_settled: false,
        })
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut doubts = self.side.doubts();
        doubts.taken.remove(&self.name);
        doubts.coming.remove(&self.name);
        if !self.is_settled {
            doubts.unclear.insert(self.id.clone());
        }
    }
}

/// How a claim of one Node ended.
enum Outcome {
    Claimed,
    /// Somebody else has it.
    Lost,
}

impl NodeSide {
    fn doubts(&self) -> MutexGuard<'_, Doubts> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Turns a free Node of the flavor and zone into the node.
    pub(super) async fn create(&self, request: &NodeRequest, epoch: Epoch) -> Result<(), FleetError> {
        if let Some(key) = request.labels.keys().find(|key| key.starts_with(mark::PREFIX)) {
            let reason = format!("the label {key} is not for users");
            return Err(FleetError::Refused { reason });
        }
        if self.nodes.find(&request.pool.uid, &request.node).is_some() {
            return Ok(());
        }
        let id = (request.pool.uid.clone(), request.node.clone());
        if self.doubts().unclear.contains(&id) {
            let found = self.look_up(&request.pool.uid, &request.node).await;
            let is_there = !found.map_err(Failure::on_read)?.is_empty() || self.has_machine_on_server(&id).await?;
            self.doubts().unclear.remove(&id);
            if is_there {
                return Ok(());
            }
        }
        self.nodes.fresh()?;
        if self.has_machine(&id) {
            return Ok(());
        }
        loop {
            let Some(name) = self.take(request) else {
                return self.provision(request, epoch).await;
            };
            let mut attempt = Attempt {
                side: self,
                name,
                id: id.clone(),
                is_settled: false,
            };
            let outcome = self.claim(request, &attempt.name, epoch).await;
            attempt.is_settled = !matches!(outcome, Err(Failure::Unknown(_)));
            // The overlay of the cache knows by now whose the Node is.
            drop(attempt);
            match outcome {
                Ok(Outcome::Claimed) => return Ok(()),
                Ok(Outcome::Lost) => {
                    if self.nodes.find(&request.pool.uid, &request.node).is_some() {
                        return Ok(());
                    }
                }
                Err(failure) => return Err(failure.on_write()),
            }
        }
    }

    /// Whether a Machine was made for the node.
    fn has_machine(&self, (pool, node): &(Uid, NodeName)) -> bool {
        self.maker().is_some_and(|maker| !maker.machines.of_node(pool, node).is_empty())
    }

    /// The same, as the server knows it.
    async fn has_machine_on_server(&self, (pool, node): &(Uid, NodeName)) -> Result<bool, FleetError> {
        let selector = format!("{}={pool},{}={}", mark::POOL, mark::NODE, mark::own_slug(node.as_str()));
        let found = self.list_machines(&selector).await.map_err(Failure::on_read)?;
        Ok(!found.is_empty())
    }

    /// The Nodes that are a node, as the server knows them.
    pub(super) async fn look_up(&self, pool: &Uid, node: &NodeName) -> Result<Vec<Arc<Node>>, Failure> {
        let api: Api<Node> = Api::all(self.context.client.clone());
        let selector = format!("{}={pool},{}={}", mark::POOL, mark::NODE, mark::own_slug(node.as_str()));
        let listed = self.context.call(api.list(&ListParams::default().labels(&selector))).await?;
        for found in &listed.items {
            self.nodes.nodes.note(found.clone());
        }
        Ok(listed.items.into_iter().map(Arc::new).collect())
    }

    /// Chooses a free Node, and keeps others of this process off it.
    fn take(&self, request: &NodeRequest) -> Option<String> {
        let own: Vec<String> = match self.context.config.batch_label {
            Some(_) => self.nodes.of_pool(&request.pool.uid).iter().map(|node| node.name_any()).collect(),
            None => Vec::new(),
        };
        let place = (request.flavor.clone(), request.az.clone());
        let mut doubts = self.doubts();
        let name = self.nodes.view(|view| {
            let own = view.blocks(own.iter().map(String::as_str));
            let free = view.free(&place)?;
            select::select(free, &own, request.node.as_str(), |name| doubts.taken.contains(name)).map(str::to_owned)
        })?;
        doubts.taken.insert(name.clone());
        Some(name)
    }

    async fn claim(&self, request: &NodeRequest, name: &str, epoch: Epoch) -> Result<Outcome, Failure> {
        let api: Api<Node> = Api::all(self.context.client.clone());
        let Some(mut node) = self.nodes.nodes.get(name) else {
            return Ok(Outcome::Lost);
        };
        let driver_label = driver::wanted_label(&node, Some(&request.flavor), &self.context.config);
        if let Some(version) = request.driver.as_ref().filter(|_| driver_label.is_some()) {
            let offered = self.offer_driver(version, driver_label, epoch).await;
            offered.map_err(|error| Failure::Refused(error.to_string()))?;
        }
        for _ in 0..ATTEMPTS {
            let mut after = Node::clone(&node);
            let at = self.context.now();
            claim(&mut after, &Claim { request, at, driver_label });
            let Some(patch) = edit::patch(&node, &after, epoch) else {
                return Ok(Outcome::Lost);
            };
            match self.context.merge(epoch, &api, name, &patch).await {
                Ok(written) => {
                    report::of_node(&self.context, &node, &after);
                    self.nodes.nodes.note(written);
                    return Ok(Outcome::Claimed);
                }
                Err(Failure::Conflict) => {}
                Err(Failure::Missing(_)) => {
                    self.nodes.nodes.forget(name);
                    return Ok(Outcome::Lost);
                }
                Err(failure) => return Err(failure),
            }
            let Some(fresh) = self.context.call(api.get_opt(name)).await? else {
                self.nodes.nodes.forget(name);
                return Ok(Outcome::Lost);
            };
            self.nodes.nodes.note(fresh.clone());
            if edit::is_node_of(&fresh, &request.pool.uid, &request.node) {
                return Ok(Outcome::Claimed);
            }
            if !self.is_still_free(&fresh, request) {
                return Ok(Outcome::Lost);
            }
            node = Arc::new(fresh);
        }
        Err(Failure::Conflict)
    }

    fn is_still_free(&self, node: &Node, request: &NodeRequest) -> bool {
        let pods = self.nodes.pods_on(&node.name_any());
        let pods = pods.iter().map(|pod| -> &Pod { pod });
        self.place(node) == Some((request.flavor.clone(), request.az.clone()))
            && inventory::is_candidate(node, &request.flavor, pods, &self.context.config)
    }
}
