//! Writes.

use super::work::Target;
use super::{Inner, failed};
use crate::context::Epoch;
use crate::failure::Failure;
use crate::kueue::SeenObjects;
use crate::mark;
use crate::object::{Change, Key, Object};
use fleet::FleetError;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, PostParams, Preconditions, PropagationPolicy};

impl Inner {
    /// In their order, up to the first that fails.
    pub(super) async fn carry_out(&self, seen: &SeenObjects, changes: Vec<Change>, epoch: Epoch) -> Result<(), FleetError> {
        for change in changes {
            match change {
                Change::Put(object) => self.put(seen, object, epoch).await.map_err(failed)?,
                Change::Create(object) => self.create(object, epoch).await?,
                Change::Delete(key) => {
                    let uid = seen.get(&key).and_then(|object| object.metadata.uid.clone());
                    self.delete(&key, uid, epoch).await.map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn api(&self, key: &Key) -> Api<DynamicObject> {
        let client = self.context.client.clone();
        let resource = key.kind.resource().into();
        match &key.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        }
    }

    async fn put(&self, seen: &SeenObjects, object: Object, epoch: Epoch) -> Result<(), Failure> {
        let api = self.api(&object.key);
        if !seen.contains_key(&object.key) {
            self.check_ownership(&api, &object).await?;
        }
        let written = self.context.apply(epoch, &api, object.to_dynamic()).await?;
        if let Some(cache) = self.caches.get(&object.key.kind) {
            cache.note(written);
        }
        Ok(())
    }

    /// An apply would make an object of somebody else ours.
    async fn check_ownership(&self, api: &Api<DynamicObject>, object: &Object) -> Result<(), Failure> {
        let found = match self.context.call(api.get_opt(&object.key.name)).await {
            Err(Failure::Missing(reason)) => return Err(Failure::Refused(reason)),
            found => found?,
        };
        let owner = |labels: Option<&std::collections::BTreeMap<String, String>>| labels.and_then(|labels| labels.get(mark::POOL).cloned());
        match found {
            Some(found) if owner(found.metadata.labels.as_ref()) != owner(Some(&object.labels)) => Err(Failure::Refused(format!(
                "{:?} {} is there and is not the pool's",
                object.key.kind, object.key.name
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// What is only asked of others can be asked again; it holds nothing up.
    async fn create(&self, object: Object, epoch: Epoch) -> Result<(), FleetError> {
        self.context.check(epoch).map_err(failed)?;
        let api = self.api(&object.key);
        match self.context.call(api.create(&PostParams::default(), &object.to_dynamic())).await {
            Ok(_) | Err(Failure::Exists) => Ok(()),
            Err(failure @ Failure::Fenced) => self.context.heed(Err(failure)).map_err(failed),
            Err(failure) => {
                tracing::warn!(%failure, name = object.key.name, "it was not asked for");
                Ok(())
            }
        }
    }

    async fn delete(&self, key: &Key, uid: Option<String>, epoch: Epoch) -> Result<(), Failure> {
        self.context.check(epoch)?;
        let name = match &key.namespace {
            Some(namespace) => format!("{namespace}/{}", key.name),
            None => key.name.clone(),
        };
        let api = self.api(key);
        match self.context.call(api.delete(&key.name, &params(uid))).await {
            Ok(answer) => {
                let cache = self.caches.get(&key.kind);
                match (cache, answer.left()) {
                    (Some(cache), Some(object)) if object.metadata.deletion_timestamp.is_some() => cache.note(object),
                    (Some(_), Some(_)) | (None, _) => {}
                    (Some(cache), None) => cache.forget(&name),
                }
                Ok(())
            }
            Err(Failure::Missing(_)) => {
                if let Some(cache) = self.caches.get(&key.kind) {
                    cache.forget(&name);
                }
                Ok(())
            }
            Err(failure) => self.context.heed(Err(failure)),
        }
    }

    /// Ends a workload, with all that it owns.
    pub(super) async fn end(&self, target: &Target, epoch: Epoch) -> Result<(), FleetError> {
        self.context.check(epoch).map_err(failed)?;
        let api: Api<DynamicObject> = Api::namespaced_with(self.context.client.clone(), &target.namespace, &target.resource);
        match self.context.call(api.delete(&target.name, &params(Some(target.uid.clone())))).await {
            // Another one has its name by now.
            Ok(_) | Err(Failure::Missing(_) | Failure::Conflict) => Ok(()),
            Err(failure) => self.context.heed(Err(failure)).map_err(failed),
        }
    }
}

fn params(uid: Option<String>) -> DeleteParams {
    DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        preconditions: uid.map(|uid| Preconditions {
            uid: Some(uid),
            ..Preconditions::default()
        }),
        ..DeleteParams::default()
    }
}
