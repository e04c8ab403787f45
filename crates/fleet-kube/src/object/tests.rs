use super::*;
use crate::quota::tests::mark;
use serde_json::json;

fn seen(object: &Object) -> DynamicObject {
    serde_json::from_value(serde_json::to_value(object.to_dynamic()).unwrap()).unwrap()
}

fn example() -> Object {
    let key = Key::inside(Kind::LocalQueue, "pk-1-train", "default");
    let uid = mark(0).uid;
    Object::of_pool(key, &uid, &uid).with("spec", json!({"a": [{"b": 1}], "c": {}, "q": "2000"}))
}

#[test]
fn what_was_written_is_as_it_should_be() {
    let object = example();
    let written = seen(&object);
    assert!(object.is_met(&written));
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
    other.data["spec"]["q"] = json!("2k");
    assert!(object.is_met(&other));
    other.data["spec"]["a"][0]["b"] = json!(2);
    assert!(!object.is_met(&other));
    let mut longer = seen(&object);
    longer.data["spec"]["a"].as_array_mut().unwrap().push(json!({}));
    assert!(!object.is_met(&longer));
    let mut unmarked = seen(&object);
    unmarked.metadata.labels.as_mut().unwrap().remove(mark::POOL);
    assert!(!object.is_met(&unmarked));
}
