//! What plug-ins consist of: the workloads that Flux says it has made for a release.

use crate::cache::{Cache, Selection, Task};
use crate::context::Context;
use crate::object::Resource;
use domain::meta::Uid;
use fleet::observation::PluginObject;
use kube::Api;
use kube::api::DynamicObject;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Labels that Flux puts on what it makes: name and name space of the release.
const RELEASE: &str = "helm.toolkit.fluxcd.io/name";
const RELEASE_SPACE: &str = "helm.toolkit.fluxcd.io/namespace";

/// Kinds of workloads that plug-ins have.
const KINDS: [Resource; 3] = [
    Resource("apps", "v1", "Deployment", "deployments"),
    Resource("apps", "v1", "DaemonSet", "daemonsets"),
    Resource("apps", "v1", "StatefulSet", "statefulsets"),
];

/// Objects of a release: by the place of their kind, name space and name.
type Objects = BTreeMap<(usize, String, String), Arc<DynamicObject>>;

pub struct Parts {
    releases: Arc<Mutex<BTreeMap<String, Objects>>>,
    caches: Vec<Arc<Cache<DynamicObject>>>,
}

impl Parts {
    pub fn start(context: &Arc<Context>) -> (Self, Vec<Task>) {
        let releases: Arc<Mutex<BTreeMap<String, Objects>>> = Arc::default();
        let (mut caches, mut tasks) = (Vec::new(), Vec::new());
        for (at, kind) in KINDS.into_iter().enumerate() {
            let (cache, task) = Cache::start(context, select(context, at, kind, &releases));
            caches.push(cache);
            tasks.push(task);
        }
        (Self { releases, caches }, tasks)
    }

    pub async fn synced(&self) {
        for cache in &self.caches {
            cache.synced().await;
        }
    }

    /// What a release of our name space consists of.
    pub fn of(&self, release: &str) -> Vec<PluginObject> {
        let releases = self.releases.lock().unwrap_or_else(PoisonError::into_inner);
        let objects = releases.get(release).into_iter().flatten();
        objects.map(|((at, _, _), object)| part(KINDS[*at], object)).collect()
    }
}

fn select(context: &Arc<Context>, at: usize, kind: Resource, releases: &Arc<Mutex<BTreeMap<String, Objects>>>) -> Selection<DynamicObject> {
    let releases = Arc::clone(releases);
    Selection {
        labels: Some(format!("{RELEASE},{RELEASE_SPACE}={}", context.config.namespace)),
        trim: |object| object.metadata.managed_fields = None,
        listener: Box::new(move |before, after| {
            let mut releases = releases.lock().unwrap_or_else(PoisonError::into_inner);
            for (object, is_there) in [(before, false), (after, true)] {
                let Some(object) = object else { continue };
                let meta = &object.metadata;
                let Some(release) = meta.labels.as_ref().and_then(|labels| labels.get(RELEASE)) else {
                    continue;
                };
                let key = (
                    at,
                    meta.namespace.clone().unwrap_or_default(),
                    meta.name.clone().unwrap_or_default(),
                );
                let objects = releases.entry(release.clone()).or_default();
                if is_there {
                    objects.insert(key, Arc::clone(object));
                } else {
                    objects.remove(&key);
                }
                if objects.is_empty() {
                    releases.remove(release);
                }
            }
        }),
        is_optional: true,
        ..Selection::all(Api::all_with(context.client.clone(), &kind.into()))
    }
}

fn part(Resource(group, version, kind, _): Resource, object: &DynamicObject) -> PluginObject {
    let meta = &object.metadata;
    let replicas = match kind {
        "DaemonSet" => &object.data["status"]["desiredNumberScheduled"],
        _ => &object.data["spec"]["replicas"],
    };
    PluginObject {
        kind: kind.to_owned(),
        api_version: format!("{group}/{version}"),
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
        uid: Uid::from_text(&meta.uid.clone().unwrap_or_default().replace('-', "")),
        resource_version: meta.resource_version.clone().unwrap_or_default(),
        replicas: replicas.as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
        limits: total(object, "limits"),
        requests: total(object, "requests"),
    }
}

/// What one pod asks for, over its containers.
fn total(object: &DynamicObject, part: &str) -> BTreeMap<String, String> {
    let containers = object.data["spec"]["template"]["spec"]["containers"].as_array();
    let mut sum = crate::amount::Amounts::new();
    for container in containers.into_iter().flatten() {
        let amounts: Value = container["resources"][part].clone();
        let amounts: crate::amount::Amounts = serde_json::from_value(amounts).unwrap_or_default();
        crate::amount::add(&mut sum, &amounts, 1);
    }
    sum.into_iter().map(|(name, amount)| (name, amount.to_string())).collect()
}
