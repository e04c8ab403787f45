//! The cluster: its machines, how the fleet is to use it, and the agents of the site.

use clock::Clock;
use domain::name::FlavorName;
use domain::pool::JobType;
use fleet_kube::KubeConfig;
use fleet_kube::config::{AcceleratorRule, DriverMode, FlavorRule, Provider, Scheduler};
use fleet_kube::mark::{self, Ask};
use fleet_kube::settings::Requirement;
use jiff::Timestamp;
use kube_fake::{FakeCluster, KubeletOptions, NodeSpec, TwinOptions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Machines of each flavor in each zone.
const MACHINES: usize = 5;
pub(crate) const STORAGE_CLASS: &str = "notebooks";
const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
const RELEASES: &str = "helmreleases.helm.toolkit.fluxcd.io";

/// The custom types that are served.
const TYPES: [(&str, &str, &str, &str, bool); 8] = [
    ("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases", true),
    ("nvidia.com", "v1alpha1", "NVIDIADriver", "nvidiadrivers", false),
    ("scheduling.volcano.sh", "v1beta1", "Queue", "queues", false),
    ("bus.volcano.sh", "v1alpha1", "Command", "commands", true),
    ("kueue.x-k8s.io", "v1beta2", "ResourceFlavor", "resourceflavors", false),
    ("kueue.x-k8s.io", "v1beta2", "Cohort", "cohorts", false),
    ("kueue.x-k8s.io", "v1beta2", "ClusterQueue", "clusterqueues", false),
    ("kueue.x-k8s.io", "v1beta2", "LocalQueue", "localqueues", true),
];

/// A cluster with all its actors, the rules of the policies in force.
pub(crate) fn cluster(clock: &Arc<dyn Clock>, seed: u64, fence_lag: Duration) -> FakeCluster {
    let cluster = FakeCluster::new(Arc::clone(clock), seed);
    let kubelet = KubeletOptions {
        heartbeat: Duration::from_mins(30),
        ..KubeletOptions::default()
    };
    cluster.set_twins(TwinOptions {
        kubelet: Some(kubelet),
        ..TwinOptions::all()
    });
    cluster.set_fence_rules(true);
    cluster.set_fence_lag(fence_lag);
    cluster.set_pod_rules(true);
    cluster
}

/// The definitions of the custom types that are served.
pub(crate) fn definitions() -> Vec<Value> {
    let of = |(group, version, kind, plural, is_namespaced): (&str, &str, &str, &str, bool)| {
        let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        let version = json!({"name": version, "served": true, "storage": true, "schema": schema, "subresources": {"status": {}}});
        let names = json!({"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")});
        let scope = if is_namespaced { "Namespaced" } else { "Cluster" };
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("{plural}.{group}")},
            "spec": {"group": group, "scope": scope, "names": names, "versions": [version]},
        })
    };
    TYPES.into_iter().map(of).collect()
}

/// The machines, in an order that stays.
pub(crate) fn machines() -> Vec<NodeSpec> {
    let mut machines = Vec::new();
    for flavor in ["cpu", "gpu"] {
        for zone in ["az-1", "az-2"] {
            for at in 0..MACHINES {
                let name = format!("{flavor}-{zone}-{at:02}");
                let mut spec = NodeSpec::new(&name, flavor, zone).with_label("site.example/a", "0").with_taint(
                    mark::TAINT_UNCLAIMED,
                    "",
                    "NoSchedule",
                );
                if flavor == "gpu" {
                    spec = spec.with_accelerators("nvidia.com/gpu", 1);
                }
                if at % 2 == 0 {
                    // A free Node need not be tainted.
                    spec.taints.clear();
                }
                machines.push(spec);
            }
        }
    }
    machines
}

/// How the fleet is to use it.
pub(crate) fn config(scheduler: Scheduler, silence: u64) -> KubeConfig {
    let rule = |flavor: &FlavorName, accelerator: Option<AcceleratorRule>| {
        let mut quota: BTreeMap<String, fleet_kube::amount::Amount> = BTreeMap::new();
        quota.insert("cpu".to_owned(), fleet_kube::amount::Amount::whole(8));
        quota.extend(
            accelerator
                .as_ref()
                .map(|own| (own.resource.clone(), fleet_kube::amount::Amount::whole(u64::from(own.count)))),
        );
        FlavorRule {
            name: flavor.clone(),
            labels: BTreeMap::from([(INSTANCE_TYPE.to_owned(), vec![flavor.to_string()])]),
            accelerator,
            least: BTreeMap::new(),
            quota,
            provision: None,
        }
    };
    let gpu = AcceleratorRule {
        resource: "nvidia.com/gpu".to_owned(),
        count: 1,
    };
    let mut config = KubeConfig {
        flavor: vec![rule(&crate::place::cpu(), None), rule(&crate::place::gpu(), Some(gpu))],
        scheduler,
        reboot: Provider::Annotation,
        reset: Provider::Annotation,
        silence_seconds: silence,
        ..KubeConfig::default()
    };
    config.driver.mode = DriverMode::Nvidia;
    config.pool.requires = Some(Vec::new());
    let needs = vec![Requirement::StorageClass(STORAGE_CLASS.to_owned())];
    config.pool.scope.insert(JobType::Notebook, needs);
    config
}

/// The agents of the site: one does to machines what their Nodes are annotated with, one is Flux once it has looked at a release.
/// They never end.
pub(crate) async fn agents(cluster: FakeCluster, clock: Arc<dyn Clock>) {
    let mut done: BTreeMap<String, String> = BTreeMap::new();
    loop {
        for (key, object) in cluster.objects("nodes") {
            let Some(text) = object.pointer("/metadata/annotations").and_then(|all| all.get(mark::ASK)?.as_str()) else {
                done.remove(&key.name);
                continue;
            };
            if done.get(&key.name).is_some_and(|known| known == text) {
                continue;
            }
            let image = serde_json::from_str::<Ask>(text).ok().and_then(|ask| ask.image);
            done.insert(key.name.clone(), text.to_owned());
            cluster.reboot_node(&key.name);
            if let Some(image) = image {
                cluster.edit("nodes", "", &key.name, |node| node["status"]["nodeInfo"]["osImage"] = json!(image));
            }
        }
        for (key, release) in cluster.objects(RELEASES) {
            handle_release(&cluster, &key.namespace, &key.name, &release);
        }
        let next = clock.now().saturating_add(Duration::from_secs(15)).unwrap_or(Timestamp::MAX);
        clock.sleep_until(next).await;
    }
}

fn handle_release(cluster: &FakeCluster, namespace: &str, name: &str, release: &Value) {
    let asked = &release["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"];
    let is_installed = release["status"]["observedGeneration"] == release["metadata"]["generation"];
    if !is_installed || release["status"]["lastHandledReconcileAt"] == *asked {
        return;
    }
    let version = release["spec"]["chart"]["spec"]["version"].clone();
    cluster.edit(RELEASES, namespace, name, |release| {
        release["status"]["lastHandledReconcileAt"] = asked.clone();
        release["status"]["history"] = json!([{"chartVersion": version, "status": "deployed"}]);
    });
}
