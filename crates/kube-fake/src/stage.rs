//! What a test sets up beforehand: kinds of objects, and a process that ends.

use crate::admission::OWN_USER;
use crate::cluster::FakeCluster;
use crate::dying::Life;
use crate::kinds::ResourceType;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use serde_json::json;
use tower::Layer;

impl FakeCluster {
    /// A client as [`FakeCluster::client`] makes, of a process that ends instead of making a write more than these.
    pub fn dying_client(&self, writes: u32) -> kube::Client {
        kube::Client::new(Life::of(writes).layer(self.server_as(OWN_USER)), "default")
    }

    /// Serves the kinds of Volcano and Kueue that pools and their work consist of.
    pub fn serve_schedulers(&self) {
        for (group, version, kind, plural, is_namespaced) in [
            ("scheduling.volcano.sh", "v1beta1", "Queue", "queues", false),
            ("scheduling.volcano.sh", "v1beta1", "PodGroup", "podgroups", true),
            ("bus.volcano.sh", "v1alpha1", "Command", "commands", true),
            ("batch.volcano.sh", "v1alpha1", "Job", "jobs", true),
            ("kueue.x-k8s.io", "v1beta2", "ResourceFlavor", "resourceflavors", false),
            ("kueue.x-k8s.io", "v1beta2", "Cohort", "cohorts", false),
            ("kueue.x-k8s.io", "v1beta2", "ClusterQueue", "clusterqueues", false),
            ("kueue.x-k8s.io", "v1beta2", "LocalQueue", "localqueues", true),
            ("kueue.x-k8s.io", "v1beta2", "Workload", "workloads", true),
        ] {
            self.register(ResourceType::custom(group, version, kind, plural, is_namespaced));
        }
    }

    /// Serves a kind of objects in name spaces from now on, of whatever form, as somebody's installer would make it.
    ///
    /// # Errors
    /// What the server answers, such as that the kind is there already.
    pub async fn define(&self, group: &str, version: &str, kind: &str, plural: &str) -> Result<(), kube::Error> {
        let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        let version = json!({"name": version, "served": true, "storage": true, "schema": schema, "subresources": {"status": {}}});
        let names = json!({"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")});
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("{plural}.{group}")},
            "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
        });
        let definition = serde_json::from_value(definition).map_err(kube::Error::SerdeError)?;
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition"));
        let api: kube::Api<DynamicObject> = kube::Api::all_with(self.client_as("admin"), &resource);
        api.create(&PostParams::default(), &definition).await?;
        Ok(())
    }
}
