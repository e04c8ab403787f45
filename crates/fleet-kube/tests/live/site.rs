//! What kubelets, an installer of drivers, Flux and the controller of name spaces do, over the wire and for the objects of one test.

use clock::{Clock, Entropy, SystemClock, SystemEntropy};
use futures::StreamExt;
use http::Request;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, Preconditions};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use poolkeeper_fleet_kube::mark::{self, Ask};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;

/// Label of everything that a test makes.
pub const RUN: &str = "poolkeeper.test/run";
/// Says what driver a Node has.
const INSTALLED: &str = "nvidia.com/cuda.driver-version.full";
pub const GPU: &str = "nvidia.com/gpu";

/// One state of a Node, as a watch told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub pool: Option<String>,
    pub node: Option<String>,
    pub epoch: u64,
}

/// The machines of a test, and who works on them.
pub struct Site {
    shared: Arc<Shared>,
    tasks: Mutex<Vec<AbortHandle>>,
}

struct Shared {
    client: Client,
    prefix: String,
    /// Pools whose name spaces are let go here, since no controller does it.
    pools: BTreeSet<String>,
    history: Mutex<BTreeMap<String, Vec<Seen>>>,
    served: Mutex<BTreeMap<String, String>>,
}

impl Drop for Site {
    fn drop(&mut self) {
        let tasks = self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Site {
    /// `pools`: those whose name spaces it lets go.
    pub fn open(client: &Client, prefix: &str, pools: BTreeSet<String>) -> Self {
        let shared = Arc::new(Shared {
            client: client.clone(),
            prefix: prefix.to_owned(),
            pools,
            history: Mutex::default(),
            served: Mutex::default(),
        });
        let tasks = vec![
            tokio::spawn(Arc::clone(&shared).nodes()).abort_handle(),
            tokio::spawn(Arc::clone(&shared).pods()).abort_handle(),
            tokio::spawn(Arc::clone(&shared).spaces()).abort_handle(),
        ];
        Self {
            shared,
            tasks: Mutex::new(tasks),
        }
    }

    /// Does what Flux does, in the name space of the test.
    pub fn install_charts(&self, space: &str) {
        let task = tokio::spawn(Arc::clone(&self.shared).releases(space.to_owned()));
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task.abort_handle());
    }

    /// What has been seen of the Nodes, oldest first.
    pub fn history(&self) -> BTreeMap<String, Vec<Seen>> {
        self.shared.history.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The type of Flux's releases.
pub fn release_type() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("helm.toolkit.fluxcd.io", "v2", "HelmRelease"),
        "helmreleases",
    )
}

/// The time as servers write it.
pub fn time() -> String {
    SystemClock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub async fn pause(milliseconds: u64) {
    let clock = SystemClock;
    clock.sleep_until(clock.now() + Duration::from_millis(milliseconds)).await;
}

fn label<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// What is gone, or has been changed by somebody else, is looked at again when it is told of.
fn unless_stale<T>(result: kube::Result<T>) -> kube::Result<()> {
    match result {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(error),
    }
}

impl Shared {
    fn own(&self) -> watcher::Config {
        watcher::Config::default().labels(&format!("{RUN}={}", self.prefix))
    }

    async fn nodes(self: Arc<Self>) {
        let api: Api<Node> = Api::all(self.client.clone());
        let stream = watcher(api, self.own()).default_backoff().applied_objects();
        let mut stream = pin!(stream);
        while let Some(next) = stream.next().await {
            let Ok(node) = next else { continue };
            self.note(&node);
            let wants = label(&node, mark::GPU_DRIVER) != label(&node, INSTALLED) && label(&node, mark::GPU_DRIVER).is_some();
            if wants || node.annotations().contains_key(mark::ASK) {
                while self.serve(&node.name_any()).await.is_err() {
                    pause(200).await;
                }
            }
        }
    }

    fn note(&self, node: &Node) {
        let seen = Seen {
            pool: label(node, mark::POOL).map(str::to_owned),
            node: label(node, mark::NODE).map(str::to_owned),
            epoch: mark::epoch(node.metadata.annotations.as_ref()),
        };
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.entry(node.name_any()).or_default().push(seen);
    }

    /// Does to a machine what its Node asks for.
    async fn serve(&self, name: &str) -> kube::Result<()> {
        let api: Api<Node> = Api::all(self.client.clone());
        let Some(node) = api.get_opt(name).await? else { return Ok(()) };
        if let Some(version) = label(&node, mark::GPU_DRIVER)
            && label(&node, INSTALLED) != Some(version)
        {
            let capacity = node.status.as_ref().and_then(|status| status.capacity.as_ref()?.get(GPU).cloned());
            // Nothing can use the accelerators meanwhile.
            for amount in [json!("0"), json!(capacity)] {
                self.report(name, json!({"allocatable": {GPU: amount}})).await?;
            }
            let patch = json!({"metadata": {"labels": {INSTALLED: version}}});
            unless_stale(api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await)?;
        }
        let Some(text) = node.annotations().get(mark::ASK) else {
            return Ok(());
        };
        let is_done = |served: &BTreeMap<String, String>| served.get(name) == Some(text);
        if is_done(&self.served.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        let ask: Ask = serde_json::from_str(text).unwrap();
        self.report(name, ready("False")).await?;
        let mut up = ready("True");
        up["nodeInfo"] = json!({"bootID": format!("{:016x}", SystemEntropy.next_u64())});
        if let Some(image) = ask.image {
            up["nodeInfo"]["osImage"] = json!(image);
        }
        self.report(name, up).await?;
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.insert(name.to_owned(), text.clone());
        Ok(())
    }

    async fn report(&self, node: &str, status: Value) -> kube::Result<()> {
        report(&self.client, node, status).await
    }

    async fn pods(self: Arc<Self>) {
        let stream = watcher(Api::<Pod>::all(self.client.clone()), self.own());
        let stream = stream.default_backoff().applied_objects();
        let mut stream = pin!(stream);
        while let Some(next) = stream.next().await {
            let Ok(pod) = next else { continue };
            while self.tend(&pod).await.is_err() {
                pause(200).await;
            }
        }
    }

    /// Starts and ends a pod.
    async fn tend(&self, pod: &Pod) -> kube::Result<()> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if pod.metadata.deletion_timestamp.is_some() {
            let params = DeleteParams {
                grace_period_seconds: Some(0),
                preconditions: Some(Preconditions {
                    uid: pod.uid(),
                    resource_version: None,
                }),
                ..DeleteParams::default()
            };
            return unless_stale(api.delete(&pod.name_any(), &params).await);
        }
        if phase == Some("Pending") {
            let ready = json!([{"type": "Ready", "status": "True", "lastTransitionTime": time()}]);
            let patch = json!({"status": {"phase": "Running", "conditions": ready}});
            return unless_stale(
                api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(patch))
                    .await,
            );
        }
        Ok(())
    }

    async fn spaces(self: Arc<Self>) {
        let stream = watcher(Api::<Namespace>::all(self.client.clone()), watcher::Config::default());
        let stream = stream.default_backoff().applied_objects();
        let mut stream = pin!(stream);
        while let Some(next) = stream.next().await {
            let Ok(space) = next else { continue };
            let is_own = space.name_any().starts_with(&self.prefix)
                || space.labels().get(mark::POOL).is_some_and(|pool| self.pools.contains(pool))
                || space.labels().get(mark::ROOT).is_some_and(|pool| self.pools.contains(pool));
            if is_own && space.metadata.deletion_timestamp.is_some() {
                while self.let_go(&space.name_any()).await.is_err() {
                    pause(200).await;
                }
            }
        }
    }

    /// A name space that is being deleted is empty.
    async fn let_go(&self, name: &str) -> kube::Result<()> {
        let body = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}, "spec": {"finalizers": []}});
        let request = Request::put(format!("/api/v1/namespaces/{name}/finalize"))
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes())
            .unwrap();
        unless_stale(self.client.request::<Value>(request).await)
    }

    async fn releases(self: Arc<Self>, space: String) {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &space, &release_type());
        let stream = watcher(api.clone(), watcher::Config::default()).default_backoff().applied_objects();
        let mut stream = pin!(stream);
        while let Some(next) = stream.next().await {
            let Ok(release) = next else { continue };
            let status = &release.data["status"];
            let asked = release.annotations().get("reconcile.fluxcd.io/requestedAt");
            let is_handled = status["lastHandledReconcileAt"].as_str() == asked.map(String::as_str);
            if is_handled && status["observedGeneration"].as_i64() == release.metadata.generation {
                continue;
            }
            let version = release.data["spec"]["chart"]["spec"]["version"].clone();
            let status = json!({"status": {
                "observedGeneration": release.metadata.generation,
                "conditions": [{"type": "Ready", "status": "True", "reason": "InstallSucceeded", "lastTransitionTime": time()}],
                "lastHandledReconcileAt": asked,
                "history": [{"chartVersion": version, "status": "deployed"}],
            }});
            let patch = Patch::Merge(status);
            while unless_stale(api.patch_status(&release.name_any(), &PatchParams::default(), &patch).await).is_err() {
                pause(200).await;
            }
        }
    }
}

/// The part of a Node's status that says whether its kubelet is ready.
pub fn ready(status: &str) -> Value {
    json!({"conditions": [{"type": "Ready", "status": status, "reason": "Test", "message": "said by the test", "lastTransitionTime": time()}]})
}

/// What a kubelet tells of its Node.
pub async fn report(client: &Client, node: &str, status: Value) -> kube::Result<()> {
    let api: Api<Node> = Api::all(client.clone());
    let patch = Patch::Strategic(json!({"status": status}));
    unless_stale(api.patch_status(node, &PatchParams::default(), &patch).await)
}
