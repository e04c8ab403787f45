use super::*;
use serde_json::{Value, json};

pub fn node(labels: Value) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": "gpu-1", "labels": labels},
        "spec": {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]},
        "status": {
            "capacity": {"cpu": "96", "memory": "768Gi", "nvidia.com/gpu": "8"},
            "allocatable": {"cpu": "95500m", "memory": "760Gi", "nvidia.com/gpu": "8"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }))
    .unwrap()
}

fn labels() -> Value {
    json!({mark::INVENTORY: "true", ARCH: "amd64", ZONE: "eu-1a", "kind": "a100"})
}

fn rule(name: &str) -> FlavorRule {
    serde_json::from_value(json!({
        "name": name,
        "match": {"kind": ["a100", "a100b"]},
        "accelerator": {"resource": "nvidia.com/gpu", "count": 8},
        "least": {"cpu": "90"},
    }))
    .unwrap()
}

fn class(node: &Node, config: &KubeConfig) -> Class {
    classify(node, config, &config.selector().unwrap())
}

#[test]
fn a_node_is_of_the_one_flavor_that_matches() {
    let mut config = KubeConfig {
        flavor: vec![rule("one")],
        zones: BTreeMap::from([("eu-1a".to_owned(), ZoneName::parse("az1").unwrap())]),
        ..KubeConfig::default()
    };
    let known = Class::Known {
        flavor: FlavorName::parse("one").unwrap(),
        zone: ZoneName::parse("az1").unwrap(),
    };
    assert_eq!(class(&node(labels()), &config), known);
    assert_eq!(
        class(&node(json!({ZONE: "eu-1a", "kind": "a100"})), &config),
        Class::Foreign,
        "not of the inventory"
    );
    assert!(matches!(
        class(&node(json!({mark::INVENTORY: "true", "kind": "a100"})), &config),
        Class::Homeless(_)
    ));
    config.flavor.push(rule("two"));
    assert!(matches!(class(&node(labels()), &config), Class::Unclear(all) if all.len() == 2));
}

#[test]
fn flavors_are_read_off_where_none_are_configured() {
    let config = KubeConfig::default();
    let Class::Known { flavor, .. } = class(&node(labels()), &config) else {
        panic!("it has a flavor")
    };
    assert_eq!(flavor.as_str(), "amd64.96c768g.8xgpu");
    let named = json!({mark::INVENTORY: "true", INSTANCE_TYPE: "p4d", ZONE: "z"});
    let Class::Known { flavor, .. } = class(&node(named), &config) else {
        panic!("it has a flavor")
    };
    assert_eq!(flavor.as_str(), "p4d.8xgpu");
    let described = describe(&node(labels()), flavor);
    assert_eq!((described.cpu, described.memory_gib, described.gpu.unwrap().size), (96, 768, 8));
}

#[test]
fn whatever_is_wrong_with_a_node_makes_it_no_candidate() {
    let config = KubeConfig {
        flavor: vec![rule("one")],
        ..KubeConfig::default()
    };
    let flavor = FlavorName::parse("one").unwrap();
    let is_free = |node: &Node, pods: &[Pod]| is_candidate(node, &flavor, pods, &config);
    let good = node(labels());
    assert!(is_free(&good, &[]));
    let changes: [fn(&mut Value); 8] = [
        |node| node["metadata"]["labels"][mark::POOL] = json!("1"),
        |node| node["metadata"]["labels"][mark::DIRTY] = json!("true"),
        |node| node["metadata"]["labels"][KARPENTER] = json!("x"),
        |node| node["spec"]["unschedulable"] = json!(true),
        |node| node["spec"]["taints"][0]["key"] = json!("other"),
        |node| node["status"]["allocatable"]["nvidia.com/gpu"] = json!("7"),
        |node| node["status"]["allocatable"]["cpu"] = json!("1"),
        |node| node["status"]["conditions"][0]["status"] = json!("Unknown"),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut value = serde_json::to_value(&good).unwrap();
        change(&mut value);
        assert!(!is_free(&serde_json::from_value(value).unwrap(), &[]), "change {at}");
    }
    assert!(
        !is_free(&good, &[serde_json::from_value(serde_json::json!({"metadata": {}})).unwrap()]),
        "a pod of somebody runs on it"
    );
}

#[test]
fn a_node_counts_in_queues_what_its_flavor_says() {
    let config = KubeConfig {
        flavor: vec![rule("one")],
        ..KubeConfig::default()
    };
    let counted = quota(&FlavorName::parse("one").unwrap(), None, &config);
    assert_eq!(counted["cpu"], Amount::whole(90));
    assert_eq!(counted["nvidia.com/gpu"], Amount::whole(8));
    let read = quota(&FlavorName::parse("other").unwrap(), Some(&node(labels())), &config);
    assert_eq!(read["nvidia.com/gpu"], Amount::whole(8));
}
