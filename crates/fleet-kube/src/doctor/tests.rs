use super::*;
use crate::config::{AcceleratorRule, DriverMode, FlavorRule, Provisioner, Scheduler};
use crate::mark;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn flavor(name: &str, label: &str) -> FlavorRule {
    FlavorRule {
        name: FlavorName::parse(name).unwrap(),
        labels: [("type".to_owned(), vec![label.to_owned()])].into(),
        accelerator: Some(AcceleratorRule {
            resource: "nvidia.com/gpu".to_owned(),
            count: 8,
        }),
        least: BTreeMap::new(),
        quota: BTreeMap::new(),
        provision: None,
    }
}

fn config() -> KubeConfig {
    KubeConfig {
        flavor: vec![flavor("big", "big"), flavor("small", "small")],
        ..KubeConfig::default()
    }
}

fn node(name: &str, labels: &[(&str, &str)]) -> Node {
    let mut all: BTreeMap<String, String> = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    all.insert(mark::INVENTORY.to_owned(), "true".to_owned());
    Node {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(all),
            ..ObjectMeta::default()
        },
        ..Node::default()
    }
}

fn zoned(name: &str, kind: &str) -> Node {
    node(name, &[("type", kind), ("topology.kubernetes.io/zone", "az-1")])
}

fn daemon(name: &str, pod: Value) -> DaemonSet {
    let mut pod = pod;
    pod["containers"] = json!([]);
    read(json!({"metadata": {"name": name, "namespace": "kube-system"}, "spec": {"selector": {}, "template": {"spec": pod}}}))
}

fn tolerant() -> Value {
    json!([{"key": mark::TAINT_POOL, "operator": "Exists"}, {"key": mark::TAINT_HOLD, "operator": "Exists", "effect": "NoSchedule"}])
}

/// As the server keeps it: with what it fills in.
fn live(kind: &str, name: &str) -> Value {
    let shipped = Shipped::new("poolkeeper-system", "system:serviceaccount:poolkeeper-system:poolkeeper").unwrap();
    let mut spec = shipped.specification(kind, name).unwrap().clone();
    if let Some(constraints) = spec.get_mut("matchConstraints") {
        constraints["matchPolicy"] = json!("Equivalent");
        constraints["objectSelector"] = json!({});
        constraints["resourceRules"][0]["scope"] = json!("*");
        if constraints.get("namespaceSelector").is_none() {
            constraints["namespaceSelector"] = json!({});
        }
    }
    json!({"metadata": {"name": name}, "spec": spec})
}

const NAMES: [&str; 2] = ["poolkeeper-node-claims", "poolkeeper-pods"];

/// A cluster in which nothing is amiss.
fn sound() -> Cluster {
    Cluster {
        account: "system:serviceaccount:poolkeeper-system:poolkeeper".to_owned(),
        version: Ok((1, 36)),
        nodes: Ok(vec![zoned("a", "big"), zoned("b", "small")]),
        daemons: Ok(vec![daemon("plugin", json!({"tolerations": tolerant()}))]),
        policies: Ok(NAMES.map(|name| read(live("ValidatingAdmissionPolicy", name))).into()),
        bindings: Ok(NAMES.map(|name| read(live("ValidatingAdmissionPolicyBinding", name))).into()),
        mutating: Ok(Some(BTreeSet::from(["poolkeeper-pods".to_owned()]))),
        fence: Ok(Some(read(json!({"data": {"epoch": "7"}})))),
        resources: Ok(BTreeMap::new()),
        gpu_policies: Ok(BTreeMap::new()),
        machine_parts: Ok(BTreeMap::new()),
        rights: Vec::new(),
    }
}

fn known() -> Known {
    let zones: BTreeSet<_> = [ZoneName::parse("az-1").unwrap()].into();
    let flavors = ["big", "small"].map(|name| (FlavorName::parse(name).unwrap(), zones.clone()));
    Known {
        lease_epoch: Some(7),
        flavors: Some(flavors.into()),
        pools: Some(BTreeSet::new()),
    }
}

/// What is amiss, as `severity check: message`.
fn amiss(config: &KubeConfig, cluster: &Cluster, known: &Known) -> Vec<String> {
    let found = examine(config, cluster, known);
    let bad = found.iter().filter(|finding| finding.severity > Severity::Ok);
    bad.map(|finding| format!("{} {}: {}", finding.severity.as_str(), finding.check, finding.message))
        .collect()
}

/// Changes a sound cluster, and expects one complaint with the given beginning.
fn one(change: impl FnOnce(&mut KubeConfig, &mut Cluster, &mut Known), told: &str) {
    let (mut config, mut cluster, mut known) = (config(), sound(), known());
    change(&mut config, &mut cluster, &mut known);
    let amiss = amiss(&config, &cluster, &known);
    assert!(amiss.len() == 1 && amiss[0].starts_with(told), "{told}: {amiss:?}");
}

#[test]
fn a_sound_cluster_has_no_complaint() {
    assert_eq!(amiss(&config(), &sound(), &known()), Vec::<String>::new());
}

#[test]
fn daemons_that_a_claim_would_drive_away_are_told() {
    let with = |pod: Value| move |_: &mut KubeConfig, cluster: &mut Cluster, _: &mut Known| cluster.daemons = Ok(vec![daemon("d", pod)]);
    let (both, pool, hold) = (
        "error daemon sets: kube-system/d does not tolerate poolkeeper.io/pool, poolkeeper.io/hold",
        "error daemon sets: kube-system/d does not tolerate poolkeeper.io/pool:",
        "error daemon sets: kube-system/d does not tolerate poolkeeper.io/hold:",
    );
    one(with(json!({})), both);
    one(with(json!({"nodeSelector": {"type": "big"}})), both);
    one(
        with(json!({"tolerations": [{"key": mark::TAINT_POOL, "operator": "Exists"}]})),
        hold,
    );
    // One pool's taint is not every pool's.
    one(
        with(json!({"tolerations": [{"key": mark::TAINT_POOL, "value": "p"}, {"key": mark::TAINT_HOLD, "operator": "Exists"}]})),
        pool,
    );
    one(with(json!({"tolerations": [{"operator": "Exists", "effect": "NoExecute"}]})), both);
    let affinity = |operator: &str| {
        let term = json!({"matchExpressions": [{"key": "type", "operator": operator, "values": ["big"]}]});
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}})
    };
    one(with(affinity("In")), both);
    for harmless in [
        json!({"tolerations": [{"operator": "Exists"}]}),
        json!({"nodeSelector": {"type": "other"}}),
        json!({"nodeSelector": {"type": "big"}, "tolerations": tolerant()}),
    ] {
        let mut cluster = sound();
        cluster.daemons = Ok(vec![daemon("d", harmless)]);
        assert_eq!(amiss(&config(), &cluster, &known()), Vec::<String>::new());
    }
}

#[test]
fn nodes_that_are_not_offered_are_told() {
    let mut config = config();
    let labels = [("type".to_owned(), vec!["big".to_owned(), "huge".to_owned()])];
    config.flavor.push(FlavorRule {
        labels: labels.into(),
        ..flavor("twin", "")
    });
    assert_eq!(
        amiss(&config, &sound(), &known()),
        [
            "error flavors: nodes that match several flavors are offered for none: a (big, twin)",
            "warning flavors: big has no node",
            "warning flavors: twin has no node",
        ]
    );
    let more = |node: Node| move |_: &mut KubeConfig, cluster: &mut Cluster, _: &mut Known| cluster.nodes.as_mut().unwrap().push(node);
    one(
        more(zoned("c", "other")),
        "warning flavors: nodes of the inventory that match no flavor: c",
    );
    one(
        more(node("c", &[("type", "big")])),
        "warning zones: nodes without a zone are not offered: c",
    );
    let mut tainted = zoned("c", "big");
    tainted.spec = Some(read(
        json!({"taints": [{"key": "site", "effect": "NoSchedule"}, {"key": mark::TAINT_UNCLAIMED, "effect": "NoSchedule"}]}),
    ));
    one(
        more(tainted),
        "warning inventory: free nodes with the taint site are not offered: c",
    );
    one(
        more(node("c", &[("type", "big"), ("topology.kubernetes.io/zone", "az-2")])),
        "warning zones: not in the catalogue: big in az-2",
    );
    one(
        more(node(
            "c",
            &[("type", "big"), ("topology.kubernetes.io/zone", "az-1"), (mark::POOL, "0193")],
        )),
        "warning marks: nodes with the mark of a pool that is not in the store: c",
    );
    one(
        |config, _, _| config.flavor.push(flavor("none", "none")),
        "warning flavors: none has no node",
    );
}

#[test]
fn an_empty_inventory_is_told() {
    let mut cluster = sound();
    cluster.nodes = Ok(Vec::new());
    let config = KubeConfig {
        flavor: Vec::new(),
        ..config()
    };
    let told = amiss(&config, &cluster, &known());
    assert_eq!(told, ["warning inventory: no node matches poolkeeper.io/inventory=true"]);
}

#[test]
fn policies_that_were_taken_away_or_changed_are_told() {
    one(
        |_, cluster, _| drop(cluster.policies.as_mut().unwrap().remove(0)),
        "error admission policies: policy poolkeeper-node-claims is missing",
    );
    one(
        |_, cluster, _| drop(cluster.bindings.as_mut().unwrap().remove(1)),
        "error admission policies: binding poolkeeper-pods is missing",
    );
    let edited = "error admission policies: policy poolkeeper-node-claims is not the one";
    let edit = |at: usize, change: fn(&mut Value)| {
        move |_: &mut KubeConfig, cluster: &mut Cluster, _: &mut Known| {
            let mut policy = live("ValidatingAdmissionPolicy", NAMES[at]);
            change(&mut policy["spec"]);
            cluster.policies.as_mut().unwrap()[at] = read(policy);
        }
    };
    one(edit(0, |spec| spec["failurePolicy"] = json!("Ignore")), edited);
    one(edit(0, |spec| spec["validations"][3]["expression"] = json!("true")), edited);
    one(edit(0, |spec| drop(spec["validations"].as_array_mut().unwrap().pop())), edited);
    one(
        edit(0, |spec| {
            spec["matchConstraints"]["objectSelector"] = json!({"matchLabels": {"a": "b"}});
        }),
        edited,
    );
    one(
        edit(0, |spec| {
            spec["matchConditions"]
                .as_array_mut()
                .unwrap()
                .push(json!({"name": "never", "expression": "false"}));
        }),
        edited,
    );
    one(
        edit(1, |spec| drop(spec["validations"].as_array_mut().unwrap().pop())),
        "error admission policies: policy poolkeeper-pods is not the one",
    );
    one(
        |_, cluster, _| {
            let mut binding = live("ValidatingAdmissionPolicyBinding", NAMES[0]);
            binding["spec"]["validationActions"] = json!(["Warn"]);
            cluster.bindings.as_mut().unwrap()[0] = read(binding);
        },
        "error admission policies: binding poolkeeper-node-claims is not the one",
    );
}

#[test]
fn what_a_site_may_choose_in_the_policy_of_pods_is_no_complaint() {
    let mut cluster = sound();
    let mut policy = live("ValidatingAdmissionPolicy", "poolkeeper-pods");
    policy["spec"]["matchConstraints"]["namespaceSelector"] = json!({"matchExpressions": [{"key": "x", "operator": "Exists"}]});
    policy["spec"]["validations"]
        .as_array_mut()
        .unwrap()
        .push(json!({"expression": "true"}));
    cluster.policies.as_mut().unwrap()[1] = read(policy);
    assert_eq!(amiss(&config(), &cluster, &known()), Vec::<String>::new());
}

#[test]
fn the_policies_of_another_account_are_not_ours() {
    let mut cluster = sound();
    cluster.account = "system:serviceaccount:poolkeeper-system:other".to_owned();
    assert_eq!(amiss(&config(), &cluster, &known()).len(), 1);
}

#[test]
fn a_fence_that_refuses_the_holder_is_told() {
    let fence = |fence: Value| move |_: &mut KubeConfig, cluster: &mut Cluster, _: &mut Known| cluster.fence = Ok(Some(read(fence)));
    one(
        fence(json!({"data": {"epoch": "9"}})),
        "error fence: ConfigMap fence in poolkeeper-system is at 9, the lease is at 7",
    );
    one(
        fence(json!({"data": {"epoch": "nine"}})),
        "error fence: ConfigMap fence in poolkeeper-system has the epoch \"nine\"",
    );
    one(
        fence(json!({})),
        "warning fence: ConfigMap fence in poolkeeper-system has no epoch, though the lease is at 7",
    );
    let mut cluster = sound();
    cluster.fence = Ok(None);
    let known = Known {
        lease_epoch: Some(0),
        ..known()
    };
    assert_eq!(amiss(&config(), &cluster, &known), Vec::<String>::new());
}

#[test]
fn what_is_not_installed_is_told() {
    one(|_, cluster, _| cluster.version = Ok((1, 29)), "warning Kubernetes: 1.29 has no");
    one(
        |_, cluster, _| cluster.mutating = Ok(None),
        "warning pods of pools: the cluster serves no",
    );
    one(
        |_, cluster, _| cluster.mutating = Ok(Some(BTreeSet::new())),
        "warning pods of pools: MutatingAdmissionPolicy poolkeeper-pods",
    );
    one(
        |config, _, _| config.scheduler = Scheduler::Kueue,
        "error custom resources: not served: cohorts.kueue.x-k8s.io v1beta2, clusterqueues",
    );
    one(
        |config, cluster, _| {
            config.driver.mode = DriverMode::Nvidia;
            let served = ("nvidiadrivers.nvidia.com".to_owned(), BTreeSet::from(["v1alpha1".to_owned()]));
            cluster.resources = Ok([served].into());
            cluster.gpu_policies = Ok([("cluster-policy".to_owned(), false)].into());
        },
        "error drivers: ClusterPolicy cluster-policy does not follow",
    );
}

#[test]
fn flavors_that_volcano_cannot_tell_apart_are_told() {
    let mut cluster = sound();
    let volcano = [
        ("queues.scheduling.volcano.sh", "v1beta1"),
        ("podgroups.scheduling.volcano.sh", "v1beta1"),
        ("commands.bus.volcano.sh", "v1alpha1"),
        ("jobs.batch.volcano.sh", "v1alpha1"),
    ];
    cluster.resources = Ok(volcano
        .map(|(name, version)| (name.to_owned(), BTreeSet::from([version.to_owned()])))
        .into());
    let config = KubeConfig {
        scheduler: Scheduler::Volcano,
        ..config()
    };
    let told = amiss(&config, &cluster, &known());
    assert_eq!(told, ["warning flavors: big, small are all nvidia.com/gpu to Volcano"]);
}

#[test]
fn missing_rights_are_told_by_name() {
    let shipped = Shipped::new("poolkeeper-system", "a").unwrap();
    let mut rights: Vec<_> = shipped.grants().iter().map(|grant| (grant.clone(), Ok(true))).collect();
    for (grant, answer) in &mut rights {
        if (grant.resource.as_str(), grant.verb.as_str()) == ("pods/eviction", "create")
            || grant.name.as_deref() == Some("fence") && grant.verb == "patch"
        {
            *answer = Ok(false);
        }
    }
    one(
        |_, cluster, _| cluster.rights = rights,
        "error rights: system:serviceaccount:poolkeeper-system:poolkeeper may not: create pods/eviction, patch configmaps fence in poolkeeper-system",
    );
}

#[test]
fn the_server_is_granted_neither_secrets_nor_ways_into_pods() {
    let shipped = Shipped::new("elsewhere", "a").unwrap();
    assert!(shipped.grants().len() > 20);
    for grant in shipped.grants() {
        let is_harmful = ["secrets", "pods/exec", "pods/attach", "nodes/proxy", "serviceaccounts/token"].contains(&grant.resource.as_str());
        assert!(
            !is_harmful && grant.verb != "*" && grant.resource != "*" && grant.group != "*",
            "{grant}"
        );
        assert!(!["escalate", "bind", "impersonate"].contains(&grant.verb.as_str()), "{grant}");
        let is_own = grant.namespace.as_deref() == Some("elsewhere");
        let made = grant.verb == "create" && ["pods", "jobs"].contains(&grant.resource.as_str());
        let is_for_own = grant.resource == "configmaps" || made;
        assert_eq!(is_for_own, is_own, "{grant}");
    }
    for grant in Shipped::of_machines("clusters").unwrap() {
        let is_of_providers = ["bootstrap.cluster.x-k8s.io", "infrastructure.cluster.x-k8s.io"].contains(&grant.group.as_str());
        let is_harmless = grant.verb == "get" || grant.verb == "create" && is_of_providers || grant.resource == "machines";
        assert!(
            is_harmless && grant.verb != "*" && (grant.resource != "*" || is_of_providers),
            "{grant}"
        );
        assert_eq!(grant.namespace.as_deref(), Some("clusters"), "{grant}");
    }
}

#[test]
fn what_could_not_be_read_is_an_error_and_hides_nothing_else() {
    let mut cluster = sound();
    cluster.nodes = Err("forbidden".to_owned());
    cluster.daemons = Err("forbidden".to_owned());
    cluster.version = Ok((1, 20));
    let told = amiss(&config(), &cluster, &known());
    assert_eq!(
        told,
        [
            "warning Kubernetes: 1.20 has no ValidatingAdmissionPolicy",
            "error inventory: nodes could not be read: forbidden"
        ]
    );
}

#[test]
fn what_machines_are_made_from_is_looked_for() {
    let template = json!({
        "bootstrap": {"api_version": "bootstrap.cluster.x-k8s.io/v1beta2", "kind": "KubeadmConfigTemplate", "name": "a"},
        "infrastructure": {"api_version": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "Metal3MachineTemplate", "name": "a"},
        "zones": {"az-1": {"limit": 2}, "az-2": {"limit": 3}},
    });
    let mut config = config();
    config.provisioner = Provisioner::ClusterApi;
    config.cluster_api = serde_json::from_value(json!({"namespace": "clusters", "cluster": "site", "template": {"a": template}})).unwrap();
    let mut cluster = sound();
    let of = |config: &KubeConfig, cluster: &Cluster, check: &str| -> Vec<(Severity, String)> {
        let found = examine(config, cluster, &Known::default())
            .into_iter()
            .filter(|finding| finding.check == check);
        found.map(|finding| (finding.severity, finding.message)).collect()
    };
    assert_eq!(
        of(&config, &cluster, "machines")[0],
        (Severity::Warning, "no flavor has machines made".to_owned())
    );
    assert_eq!(
        of(&config, &cluster, "custom resources"),
        [(Severity::Error, "not served: machines.cluster.x-k8s.io v1beta2".to_owned())]
    );
    assert!(of(&config, &cluster, "admission policies").contains(&(Severity::Error, "policy poolkeeper-machines is missing".to_owned())));
    config.flavor[0].provision = Some("a".to_owned());
    cluster.machine_parts = Ok(BTreeMap::from([
        ("Cluster site".to_owned(), true),
        ("Metal3MachineTemplate a".to_owned(), false),
    ]));
    assert_eq!(
        of(&config, &cluster, "machines"),
        [
            (Severity::Ok, "at most so many are made: big 2 in az-1 and 3 in az-2".to_owned()),
            (Severity::Error, "not in clusters: Metal3MachineTemplate a".to_owned()),
        ]
    );
    cluster.machine_parts = Ok(BTreeMap::from([("Cluster site".to_owned(), true)]));
    cluster.resources = Ok([("machines.cluster.x-k8s.io".to_owned(), ["v1beta2".to_owned()].into())].into());
    let policy = |kind: &str| live(kind, "poolkeeper-machines");
    cluster.policies.as_mut().unwrap().push(read(policy("ValidatingAdmissionPolicy")));
    cluster
        .bindings
        .as_mut()
        .unwrap()
        .push(read(policy("ValidatingAdmissionPolicyBinding")));
    let worst = examine(&config, &cluster, &Known::default())
        .into_iter()
        .map(|finding| finding.severity)
        .max();
    assert_eq!(worst, Some(Severity::Ok));
    assert_eq!(of(&super::tests::config(), &sound(), "machines"), []);
}

#[test]
fn where_argo_installs_charts_it_has_to_be_there_and_may_be_asked() {
    let mut config = KubeConfig::default();
    assert_eq!(argo_grants(&config), []);
    config.pool.argo = Some(serde_json::from_value(json!({"namespace": "cd"})).unwrap());
    let grants: Vec<String> = argo_grants(&config).iter().map(ToString::to_string).collect();
    assert!(
        grants.len() == 6 && grants.iter().all(|grant| grant.contains("applications") && grant.contains("cd")),
        "{grants:?}"
    );
    let found = examine(&config, &sound(), &Known::default());
    let missing = found.iter().find(|finding| finding.message.contains("applications.argoproj.io"));
    assert_eq!(missing.map(|finding| finding.severity), Some(Severity::Error));
}
