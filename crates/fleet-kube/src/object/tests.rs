use super::*;
use crate::quota::tests::mark;
use domain::name::PoolName;

fn seen(object: &Object) -> DynamicObject {
    serde_json::from_value(object.to_json(7)).unwrap()
}

fn example() -> Object {
    let key = Key::inside(Kind::LocalQueue, "pk-1-train", "default");
    let uid = mark(0).uid;
    Object::of_pool(key, &uid, &uid).with("spec", json!({"a": [{"b": 1}], "c": {}}))
}

#[test]
fn what_was_written_is_as_it_should_be() {
    let object = example();
    let written = seen(&object);
    assert!(object.is_met(&written));
    assert_eq!(written.metadata.annotations.as_ref().unwrap()[EPOCH], "7");
    assert_eq!(written.metadata.namespace.as_deref(), Some("pk-1-train"));
    assert_eq!(written.types.as_ref().unwrap().api_version, "kueue.x-k8s.io/v1beta2");
}

#[test]
fn more_than_was_asked_for_is_fine_less_is_not() {
    let object = example();
    let mut other = seen(&object);
    other.data["spec"]["a"][0]["default"] = json!(true);
    other.metadata.labels.as_mut().unwrap().insert("team".to_owned(), "x".to_owned());
    other.data["spec"].as_object_mut().unwrap().remove("c");
    assert!(object.is_met(&other));
    other.data["spec"]["a"][0]["b"] = json!(2);
    assert!(!object.is_met(&other));
    let mut longer = seen(&object);
    longer.data["spec"]["a"].as_array_mut().unwrap().push(json!({}));
    assert!(!object.is_met(&longer));
    let mut unmarked = seen(&object);
    unmarked.metadata.labels.as_mut().unwrap().remove(POOL);
    assert!(!object.is_met(&unmarked));
}

#[test]
fn a_long_name_becomes_one_that_a_label_can_hold() {
    let mut long = mark(1);
    assert_eq!(slug(&long), long.pool.name.as_str());
    long.pool.name = PoolName::parse(&"x".repeat(97)).unwrap();
    assert_eq!(slug(&long).len(), 63);
    let mut other = long.clone();
    other.uid = mark(2).uid;
    assert_ne!(slug(&long), slug(&other));
}

#[test]
fn pools_of_one_millisecond_have_different_prefixes() {
    assert_eq!(mark(1).uid.as_str()[..12], mark(2).uid.as_str()[..12]);
    assert_ne!(prefix(&mark(1).uid), prefix(&mark(2).uid));
    assert_eq!(prefix(&mark(1).uid).len(), 15);
}
