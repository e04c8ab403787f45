//! Cluster API, as far as it is needed: kinds of its own making, with the fields that its controller here and its users go by.

use crate::cluster::{FakeCluster, NodeSpec};
use crate::objects::{Key, State, set};
use serde_json::{Value, json};

/// Group, version and kind of what is served.
const KINDS: [(&str, &str, &str); 5] = [
    ("cluster.x-k8s.io", "v1beta2", "Machine"),
    (BOOTSTRAP, "v1beta2", "FakeConfig"),
    (BOOTSTRAP, "v1beta2", "FakeConfigTemplate"),
    (INFRASTRUCTURE, "v1beta1", "FakeMachine"),
    (INFRASTRUCTURE, "v1beta1", "FakeMachineTemplate"),
];
const BOOTSTRAP: &str = "bootstrap.cluster.x-k8s.io";
const INFRASTRUCTURE: &str = "infrastructure.cluster.x-k8s.io";

impl FakeCluster {
    /// Serves Machines, and the kinds of a bootstrap provider (`FakeConfig`) and of an infrastructure provider (`FakeMachine`) with their
    /// templates.
    pub fn add_cluster_api(&self) {
        self.with_state(|state| KINDS.iter().for_each(|kind| define(state, *kind)));
    }

    /// A template of each provider. Machines that are made of them are like this one, but for name and zone. Annotations of `spec` are
    /// those of what is made: with [`crate::FAILS`] its machines fail.
    pub fn add_machine_template(&self, namespace: &str, name: &str, spec: &NodeSpec, annotations: &Value) {
        self.with_state(|state| {
            let inner = json!({"labels": spec.labels, "resources": spec.resources, "taints": spec.taints});
            let infrastructure = json!({"metadata": {"annotations": annotations}, "spec": inner});
            for (ty, inner) in [
                ("fakeconfigtemplates.bootstrap.cluster.x-k8s.io", json!({"spec": {}})),
                ("fakemachinetemplates.infrastructure.cluster.x-k8s.io", infrastructure),
            ] {
                let template = json!({"metadata": {"name": name, "namespace": namespace}, "spec": {"template": inner}});
                let template = state.stamped(template, 1);
                state.commit("system:hand", Key::new(ty, namespace, name), Some(template));
            }
        });
    }
}

fn define(state: &mut State, (group, version, kind): (&str, &str, &str)) {
    let plural = format!("{}s", kind.to_lowercase());
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let version = json!({"name": version, "served": true, "storage": true, "schema": schema, "subresources": {"status": {}}});
    let names = json!({"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")});
    let name = format!("{plural}.{group}");
    let mut definition = json!({
        "metadata": {"name": name},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    });
    crate::crd::created(state, &mut definition);
    set(&mut definition, &["status", "storedVersions"], json!([]));
    let definition = state.stamped(definition, 1);
    let key = Key::new("customresourcedefinitions.apiextensions.k8s.io", "", &name);
    state.commit("system:hand", key, Some(definition));
}
