//! Machines come and go: where no Node is free one is made, and what was made is deleted, not freed.

use super::NodeSide;
use super::create::Attempt;
use crate::config::{ClusterApi, MachineTemplate, TemplateRef};
use crate::context::{ATTEMPTS, Epoch};
use crate::edit;
use crate::failure::Failure;
use crate::machine;
use crate::machines::Machines;
use crate::mark::{self, Order, Request};
use domain::meta::Uid;
use domain::name::NodeName;
use fleet::{FleetError, NodeRequest};
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, DynamicObject, ListParams, ObjectMeta, PostParams, Preconditions};
use kube::{Api, ResourceExt};
use std::sync::Arc;

/// Where and from what Machines are made.
#[derive(Clone, Copy)]
pub(crate) struct Maker<'a> {
    pub machines: &'a Machines,
    settings: &'a ClusterApi,
}

impl Maker<'_> {
    /// Whether there is a Machine of the name.
    pub fn knows(&self, name: &str) -> bool {
        self.machines.cache.get(&format!("{}/{name}", self.settings.namespace)).is_some()
    }
}

/// The objects that a Machine refers to, as templates.
struct Templates {
    bootstrap: DynamicObject,
    infrastructure: DynamicObject,
}

impl NodeSide {
    /// `None`: no machines are made here.
    pub(crate) fn maker(&self) -> Option<Maker<'_>> {
        Some(Maker {
            machines: self.nodes.machines.as_ref()?,
            settings: self.context.config.provisioning()?,
        })
    }

    /// The Machine whose Node this is, if we have made it.
    pub(crate) fn machine_of(&self, node: &Node) -> Option<Arc<DynamicObject>> {
        self.maker()?.machines.of_host(&node.name_any())
    }

    fn machine_api(&self, maker: Maker<'_>) -> Api<DynamicObject> {
        Api::namespaced_with(self.context.client.clone(), &maker.settings.namespace, &machine::resource())
    }

    /// Makes a machine for a node, where there is room for one.
    pub(super) async fn provision(&self, request: &NodeRequest, epoch: Epoch) -> Result<(), FleetError> {
        let template = self.context.config.machine_template(&request.flavor);
        let (Some(maker), Some(template)) = (self.maker(), template) else {
            return Err(FleetError::NoCapacity);
        };
        let place = (request.flavor.clone(), request.az.clone());
        let Some(rule) = template.zones.get(&request.az) else {
            return Err(FleetError::NoCapacity);
        };
        let order = Order::new(request);
        let name = machine::name_of(&order.node, None);
        let Some(mut attempt) = Attempt::to_make(self, &order, &name, |coming| {
            maker.machines.count(&place).all.saturating_add(coming) < rule.limit
        }) else {
            return Err(FleetError::NoCapacity);
        };
        let made = self.make(maker, template, &order, None, epoch).await;
        attempt.is_settled = !matches!(made, Err(Failure::Unknown(_)));
        drop(attempt);
        let made = made.map_err(Failure::on_write)?;
        // What is still missing is made by the worker.
        if let Err(failure) = self.complete(&made, epoch).await {
            tracing::warn!(machine = name, %failure, "what the machine refers to is not there yet");
            maker.machines.open(&crate::cache::key(made.as_ref()));
        }
        Ok(())
    }

    /// Makes a Machine, or finds that it is there.
    async fn make(
        &self,
        maker: Maker<'_>,
        template: &MachineTemplate,
        order: &Order,
        reset: Option<&Request>,
        epoch: Epoch,
    ) -> Result<Arc<DynamicObject>, Failure> {
        // What could not be completed is not begun.
        self.templates(maker, template).await?;
        self.context.check(epoch)?;
        let api = self.machine_api(maker);
        let object = machine::make(order, reset, maker.settings, template, epoch);
        let name = object.name_any();
        let created = self.context.call(api.create(&PostParams::default(), &object)).await;
        match self.context.heed(created) {
            Ok(created) => {
                maker.machines.cache.note(created.clone());
                Ok(Arc::new(created))
            }
            Err(Failure::Exists) => {
                let found = self.context.call(api.get_opt(&name)).await?.ok_or(Failure::Conflict)?;
                if machine::pool(&found).as_ref() != Some(&order.pool.uid)
                    || machine::order(&found).is_none_or(|known| known.node != order.node)
                {
                    return Err(Failure::Refused(format!("the Machine {name} belongs to somebody else")));
                }
                maker.machines.cache.note(found.clone());
                Ok(Arc::new(found))
            }
            // There is no such kind, or no such name space.
            Err(Failure::Missing(reason)) => Err(Failure::Refused(reason)),
            Err(failure) => Err(failure),
        }
    }

    async fn templates(&self, maker: Maker<'_>, template: &MachineTemplate) -> Result<Templates, Failure> {
        let read = async |reference: &TemplateRef| {
            let kind = machine::template_resource(reference);
            let api: Api<DynamicObject> = Api::namespaced_with(self.context.client.clone(), &maker.settings.namespace, &kind);
            let found = self.context.call(api.get_opt(&reference.name)).await?;
            found.ok_or_else(|| Failure::Refused(format!("there is no {} {}", reference.kind, reference.name)))
        };
        Ok(Templates {
            bootstrap: read(&template.bootstrap).await?,
            infrastructure: read(&template.infrastructure).await?,
        })
    }

    /// Makes what a Machine refers to, as far as it is not there.
    pub(crate) async fn complete(&self, object: &DynamicObject, epoch: Epoch) -> Result<(), Failure> {
        let Some(maker) = self.maker().filter(|maker| !maker.machines.is_complete(object)) else {
            return Ok(());
        };
        let flavor = machine::order(object).map(|order| order.flavor);
        let template = flavor.and_then(|flavor| self.context.config.machine_template(&flavor));
        let Some(template) = template else {
            return Err(Failure::Refused("its flavor has no template any more".to_owned()));
        };
        let from = self.templates(maker, template).await?;
        for (reference, from) in [
            (&template.bootstrap, &from.bootstrap),
            (&template.infrastructure, &from.infrastructure),
        ] {
            self.context.check(epoch)?;
            let made = machine::made(reference, from, object, epoch).map_err(Failure::Refused)?;
            let kind = machine::made_resource(reference);
            let api: Api<DynamicObject> = Api::namespaced_with(self.context.client.clone(), &maker.settings.namespace, &kind);
            match self.context.call(api.create(&PostParams::default(), &made)).await {
                Ok(_) | Err(Failure::Exists) => {}
                Err(failure) => return self.context.heed(Err(failure)),
            }
        }
        maker.machines.set_complete(object);
        Ok(())
    }

    /// Makes the Machine that takes the place of a node's in a reset.
    pub(crate) async fn renew(&self, order: &Order, reset: &Request, epoch: Epoch) -> Result<(), Failure> {
        let template = self.context.config.machine_template(&order.flavor);
        let (Some(maker), Some(template)) = (self.maker(), template) else {
            return Err(Failure::Refused("its flavor has no template any more".to_owned()));
        };
        let name = machine::name_of(&order.node, Some(reset.number));
        let is_there = |object: &Arc<DynamicObject>| object.name_any() == name;
        if maker.machines.of_node(&order.pool.uid, &order.node).iter().any(is_there) {
            return Ok(());
        }
        self.make(maker, template, order, Some(reset), epoch).await.map(|_| ())
    }

    /// Edits a Machine until the edit stands or is not needed.
    pub(crate) async fn edit_machine(
        &self,
        mut object: Arc<DynamicObject>,
        epoch: Epoch,
        edit: impl Fn(&mut ObjectMeta) + Send + Sync,
    ) -> Result<(), Failure> {
        let Some(maker) = self.maker() else { return Ok(()) };
        let api = self.machine_api(maker);
        let (name, key) = (object.name_any(), crate::cache::key(object.as_ref()));
        for _ in 0..ATTEMPTS {
            let mut after = object.metadata.clone();
            edit(&mut after);
            let Some(patch) = edit::metadata_patch(&object.metadata, &after, epoch, false) else {
                return Ok(());
            };
            match self.context.merge(epoch, &api, &name, &patch).await {
                Ok(written) => {
                    maker.machines.cache.note(written);
                    return Ok(());
                }
                Err(Failure::Conflict) => {
                    let Some(fresh) = self.context.call(api.get_opt(&name)).await? else {
                        maker.machines.cache.forget(&key);
                        return Ok(());
                    };
                    maker.machines.cache.note(fresh.clone());
                    object = Arc::new(fresh);
                }
                Err(Failure::Missing(_)) => {
                    maker.machines.cache.forget(&key);
                    return Ok(());
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Conflict)
    }

    /// Keeps others from emptying and deleting the machine of a node, or does not any more.
    pub(super) async fn lock(&self, pool: &Uid, node: &NodeName, is_locked: bool, epoch: Epoch) -> Result<(), FleetError> {
        let Some(object) = self.maker().and_then(|maker| maker.machines.kept(pool, node)) else {
            return Ok(());
        };
        let edited = self.edit_machine(object, epoch, |meta| machine::lock(meta, is_locked));
        edited.await.map_err(Failure::on_write)
    }

    /// Begins to give a Machine back. The worker deletes it.
    pub(crate) async fn release_machine(&self, object: Arc<DynamicObject>, epoch: Epoch) -> Result<(), Failure> {
        let now = self.context.now();
        self.edit_machine(object, epoch, |meta| machine::release(meta, now)).await
    }

    /// Deletes a Machine that is given back, in the form in which the fence has let us mark it.
    pub(crate) async fn delete_machine(&self, object: &DynamicObject, epoch: Epoch) -> Result<(), Failure> {
        let Some(maker) = self.maker() else { return Ok(()) };
        self.context.check(epoch)?;
        let (name, key) = (object.name_any(), crate::cache::key(object));
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: object.metadata.uid.clone(),
                resource_version: object.metadata.resource_version.clone(),
            }),
            ..DeleteParams::background()
        };
        let api = self.machine_api(maker);
        let deleted = self.context.call(api.delete(&name, &params)).await;
        match self.context.heed(deleted) {
            Ok(answer) => {
                if let Some(marked) = answer.left() {
                    maker.machines.cache.note(marked);
                }
                Ok(())
            }
            Err(Failure::Missing(_)) => {
                maker.machines.cache.forget(&key);
                Ok(())
            }
            Err(Failure::Conflict) => {
                if let Some(fresh) = self.context.call(api.get_opt(&name)).await? {
                    maker.machines.cache.note(fresh);
                }
                Err(Failure::Conflict)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Gives the Machines of a node back whose Node is not the node. Those of the Node follow once it is empty.
    pub(super) async fn delete_machines(&self, pool: &Uid, node: &NodeName, epoch: Epoch) -> Result<(), Failure> {
        let Some(maker) = self.maker() else { return Ok(()) };
        let mut found = maker.machines.of_node(pool, node);
        if found.is_empty() {
            // Whether there is none, the server knows.
            let selector = format!("{}={pool},{}={}", mark::POOL, mark::NODE, mark::own_slug(node.as_str()));
            found = self.list_machines(&selector).await?;
        }
        self.release_unhosted(found, epoch).await
    }

    /// The same for all Machines of a pool.
    pub(super) async fn delete_machines_of(&self, pool: &Uid, epoch: Epoch) -> Result<(), Failure> {
        if self.maker().is_none() {
            return Ok(());
        }
        let found = self.list_machines(&format!("{}={pool}", mark::POOL)).await?;
        self.release_unhosted(found, epoch).await
    }

    async fn release_unhosted(&self, found: Vec<Arc<DynamicObject>>, epoch: Epoch) -> Result<(), Failure> {
        for object in found {
            let order = machine::order(&object);
            let has_node = order.is_some_and(|order| self.nodes.host_of(&object, &order).is_some());
            if !has_node {
                self.release_machine(object, epoch).await?;
            }
        }
        Ok(())
    }

    /// The Machines with these labels, as the server knows them.
    pub(super) async fn list_machines(&self, selector: &str) -> Result<Vec<Arc<DynamicObject>>, Failure> {
        let Some(maker) = self.maker() else { return Ok(Vec::new()) };
        let api = self.machine_api(maker);
        let listed = match self.context.call(api.list(&ListParams::default().labels(selector))).await {
            Ok(listed) => listed.items,
            // Without Cluster API there are none.
            Err(Failure::Missing(_)) => Vec::new(),
            Err(failure) => return Err(failure),
        };
        for found in &listed {
            maker.machines.cache.note(found.clone());
        }
        Ok(listed.into_iter().map(Arc::new).collect())
    }
}
