//! The doctor on a cluster that answers.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use clock::{Clock, RuntimeClock};
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::Api;
use kube::api::PostParams;
use kube_fake::{FakeCluster, NodeSpec, ResourceType};
use poolkeeper_fleet_kube::KubeConfig;
use poolkeeper_fleet_kube::config::Provisioner;
use poolkeeper_fleet_kube::doctor::{Finding, Known, Severity, Shipped, examine, load};
use serde_json::{Value, json};
use std::sync::Arc;

const ACCOUNT: &str = "system:serviceaccount:poolkeeper-system:poolkeeper";
const NAMES: [&str; 2] = ["poolkeeper-node-claims", "poolkeeper-pods"];

fn cluster(clock: Arc<dyn Clock>) -> FakeCluster {
    let cluster = FakeCluster::new(clock, 1);
    for (kind, plural) in [
        ("ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
        ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"),
    ] {
        cluster.register(ResourceType::custom("admissionregistration.k8s.io", "v1", kind, plural, false));
    }
    cluster.add_node(&NodeSpec::new("n-1", "a100-8x80", "az-1").with_accelerators("nvidia.com/gpu", 8));
    cluster
}

fn object<T: serde::de::DeserializeOwned>(kind: &str, name: &str) -> T {
    let shipped = Shipped::new("poolkeeper-system", ACCOUNT).unwrap();
    let spec: &Value = shipped.specification(kind, name).unwrap();
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
}

async fn install_policies(cluster: &FakeCluster) {
    let params = PostParams::default();
    for name in NAMES {
        let policies: Api<ValidatingAdmissionPolicy> = Api::all(cluster.client());
        policies.create(&params, &object("ValidatingAdmissionPolicy", name)).await.unwrap();
        let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(cluster.client());
        let binding = object("ValidatingAdmissionPolicyBinding", name);
        bindings.create(&params, &binding).await.unwrap();
    }
}

async fn diagnose(cluster: &FakeCluster, clock: &dyn Clock) -> Vec<Finding> {
    let config = KubeConfig::default();
    let seen = load(&cluster.client(), &config, clock).await;
    examine(&config, &seen, &Known::default())
}

fn of<'a>(found: &'a [Finding], check: &str) -> Vec<(Severity, &'a str)> {
    let found = found.iter().filter(|finding| finding.check == check);
    found.map(|finding| (finding.severity, finding.message.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_read_and_judged() {
    let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at(Timestamp::UNIX_EPOCH));
    let cluster = cluster(Arc::clone(&clock));
    let found = diagnose(&cluster, clock.as_ref()).await;
    assert_eq!(of(&found, "inventory"), [(Severity::Ok, "1 nodes, 0 of them in pools")]);
    assert_eq!(of(&found, "flavors"), [(Severity::Ok, "a100-8x80.8xgpu: 1 nodes")]);
    assert_eq!(
        of(&found, "admission policies"),
        NAMES
            .map(|name| (Severity::Error, format!("policy {name} is missing")))
            .each_ref()
            .map(|(severity, told)| (*severity, told.as_str()))
    );
    install_policies(&cluster).await;
    let found = diagnose(&cluster, clock.as_ref()).await;
    assert_eq!(
        of(&found, "admission policies"),
        NAMES
            .map(|name| (Severity::Ok, format!("{name} is as it was shipped")))
            .each_ref()
            .map(|(severity, told)| (*severity, told.as_str()))
    );
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_read_is_told_and_the_rest_is_read() {
    let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at(Timestamp::UNIX_EPOCH));
    let cluster = cluster(Arc::clone(&clock));
    cluster.deny("jane", "list", "nodes");
    let config = KubeConfig::default();
    let seen = load(&cluster.client_as("jane"), &config, clock.as_ref()).await;
    let found = examine(&config, &seen, &Known::default());
    let inventory = of(&found, "inventory");
    assert!(
        inventory.len() == 1 && inventory[0].0 == Severity::Error && inventory[0].1.contains("forbidden"),
        "{inventory:?}"
    );
    assert!(!of(&found, "fence").is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_machines_are_made_from_is_read() {
    let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at(Timestamp::UNIX_EPOCH));
    let cluster = cluster(Arc::clone(&clock));
    let reference = |group: &str, version: &str, kind: &str| json!({"api_version": format!("{group}.cluster.x-k8s.io/{version}"), "kind": kind, "name": "a"});
    let template = json!({
        "bootstrap": reference("bootstrap", "v1beta2", "FakeConfigTemplate"),
        "infrastructure": reference("infrastructure", "v1beta1", "FakeMachineTemplate"),
        "zones": {"az-1": {"limit": 2}},
    });
    let settings = json!({"namespace": "clusters", "cluster": "site", "template": {"a": template}});
    let config = KubeConfig {
        provisioner: Provisioner::ClusterApi,
        cluster_api: serde_json::from_value(settings).unwrap(),
        ..KubeConfig::default()
    };
    let messages = async |check: &str| -> Vec<String> {
        let seen = load(&cluster.client(), &config, clock.as_ref()).await;
        let found = examine(&config, &seen, &Known::default())
            .into_iter()
            .filter(|finding| finding.check == check);
        found.map(|finding| finding.message).collect()
    };
    assert_eq!(
        messages("custom resources").await,
        ["not served: machines.cluster.x-k8s.io v1beta2"]
    );
    let missing = "not in clusters: Cluster site, FakeConfigTemplate a, FakeMachineTemplate a".to_owned();
    assert!(messages("machines").await.contains(&missing));
    cluster.add_cluster_api();
    cluster.add_machine_template("clusters", "a", &NodeSpec::new("", "a100-8x80", ""), &json!({}));
    assert_eq!(messages("custom resources").await, ["machines.cluster.x-k8s.io are served"]);
    assert!(messages("machines").await.contains(&"not in clusters: Cluster site".to_owned()));
}
