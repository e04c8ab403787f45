use super::*;
use crate::mark::Progress;
use domain::name::{FlavorName, PoolName, ProjectId, ZoneName};
use domain::pool::PoolRef;

fn mark_of(number: u8) -> PoolMark {
    let project = ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").unwrap();
    PoolMark {
        uid: Uid::from_text(&format!("{number:032x}")),
        pool: PoolRef {
            name: PoolName::parse(&format!("pool-{number}-{project}")).unwrap(),
            project,
        },
    }
}

fn order_of(node: &str) -> Order {
    Order {
        node: NodeName::parse(node).unwrap(),
        pool: mark_of(1),
        flavor: FlavorName::parse("gpu").unwrap(),
        az: ZoneName::parse("az-1").unwrap(),
        driver: None,
        labels: BTreeMap::new(),
    }
}

fn settings() -> ClusterApi {
    serde_json::from_value(json!({
        "namespace": "clusters",
        "cluster": "site",
        "template": {"a": {
            "version": "v1.33.4",
            "bootstrap": {"api_version": "bootstrap.cluster.x-k8s.io/v1beta2", "kind": "KubeadmConfigTemplate", "name": "b"},
            "infrastructure": {"api_version": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "Metal3MachineTemplate", "name": "i"},
            "zones": {"az-1": {"limit": 2, "failure_domain": "eu-1a"}},
        }},
    }))
    .unwrap()
}

#[test]
fn a_machine_has_the_name_of_its_node() {
    let name = |node: &str, reset| name_of(&NodeName::parse(node).unwrap(), reset);
    assert_eq!(name("os-node-created-zlncn", None), "os-node-created-zlncn");
    assert_eq!(name("os-node-created-zlncn", Some(3)), "os-node-created-zlncn-r3");
    let long = name(&"n".repeat(70), Some(12));
    assert!(long.len() <= 63 && long.ends_with("-r12"), "{long}");
    let other = name("Node_1", None);
    assert!(other.starts_with("node-1-") && other != name("node_1", None), "{other}");
}

#[test]
fn a_machine_asks_for_what_its_template_says() {
    let settings = settings();
    let machine = make(&order_of("n-1"), None, &settings, &settings.template["a"], Epoch::for_tests(7));
    let spec = &machine.data["spec"];
    assert_eq!(
        (spec["clusterName"].as_str(), spec["version"].as_str()),
        (Some("site"), Some("v1.33.4"))
    );
    assert_eq!(spec["failureDomain"], "eu-1a");
    assert_eq!(spec["deletion"], json!({"nodeDrainTimeoutSeconds": 600}));
    let to = json!({"apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "Metal3Machine", "name": "n-1"});
    assert_eq!(spec["infrastructureRef"], to);
    assert_eq!(spec["bootstrap"]["configRef"]["kind"], "KubeadmConfig");
    assert_eq!(order(&machine), Some(order_of("n-1")));
    assert_eq!(mark::epoch(machine.metadata.annotations.as_ref()), 7);
    assert_eq!(label(&machine, mark::MADE_FOR), Some("n-1"));
}

#[test]
fn what_a_machine_refers_to_belongs_to_it() {
    let settings = settings();
    let wanted = &settings.template["a"].infrastructure;
    let mut machine = make(&order_of("n-1"), None, &settings, &settings.template["a"], Epoch::for_tests(7));
    machine.metadata.uid = Some("u".to_owned());
    let mut template = DynamicObject::new("i", &template_resource(wanted));
    assert!(made(wanted, &template, &machine, Epoch::for_tests(7)).is_err());
    template.data = json!({"spec": {"template": {"metadata": {"annotations": {"site": "x"}}, "spec": {"image": {"url": "y"}}}}});
    let object = made(wanted, &template, &machine, Epoch::for_tests(7)).unwrap();
    assert_eq!(object.types.as_ref().map(|types| types.kind.as_str()), Some("Metal3Machine"));
    assert_eq!(object.data["spec"], json!({"image": {"url": "y"}}));
    let owner = &object.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!(
        (owner.uid.as_str(), owner.kind.as_str(), owner.controller),
        ("u", "Machine", Some(true))
    );
    let annotations = object.metadata.annotations.unwrap();
    assert_eq!(annotations["site"], "x");
    assert_eq!(annotations[CLONED_FROM[1]], "Metal3MachineTemplate.infrastructure.cluster.x-k8s.io");
}

#[test]
fn a_release_takes_the_lock_off() {
    let settings = settings();
    let mut machine = make(&order_of("n-1"), None, &settings, &settings.template["a"], Epoch::for_tests(7));
    let annotations = machine.metadata.annotations.get_or_insert_default();
    annotations.insert(mark::DRAIN_HOOK.to_owned(), String::new());
    release(&mut machine.metadata, Timestamp::UNIX_EPOCH);
    assert!(is_released(&machine));
    assert!(!machine.metadata.annotations.as_ref().unwrap().contains_key(mark::DRAIN_HOOK));
    let once = machine.metadata.clone();
    release(&mut machine.metadata, Timestamp::MAX);
    assert_eq!(machine.metadata, once);
}

#[test]
fn a_machine_follows_its_node() {
    let settings = settings();
    let reset = Request {
        number: 4,
        kind: ActionKind::Reset,
        progress: Progress::Running,
    };
    let mut machine = make(
        &order_of("n-1"),
        Some(&reset),
        &settings,
        &settings.template["a"],
        Epoch::for_tests(7),
    );
    carry(&mut machine.metadata, &mark_of(2));
    assert_eq!((pool(&machine), order(&machine).unwrap().pool), (Some(mark_of(2).uid), mark_of(2)));
    assert_eq!(request(&machine), Some(reset));
}

#[test]
fn a_failure_is_told_in_the_words_of_cluster_api() {
    let mut machine = DynamicObject::new("n-1", &resource());
    machine.data = json!({"status": {"phase": "Provisioning", "failureMessage": "x"}});
    assert_eq!(failure(&machine), None);
    for (status, told) in [
        (
            json!({"phase": "Failed", "deprecated": {"v1beta1": {"failureMessage": "no quota"}}}),
            "no quota",
        ),
        (
            json!({"phase": "Failed", "conditions": [{"status": "True", "message": "a"}, {"status": "False", "message": "b"}]}),
            "b",
        ),
        (json!({"phase": "Failed"}), "Cluster API reports that it has failed"),
    ] {
        machine.data = json!({"status": status});
        assert_eq!(failure(&machine).as_deref(), Some(told));
    }
}
