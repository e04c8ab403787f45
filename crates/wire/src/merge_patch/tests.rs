use super::*;
use crate::json::{MAX_DEPTH, parse};
use proptest::prelude::*;
use serde_json::json;

#[test]
fn the_table_of_the_rfc() {
    for (target, patch, result) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (
            json!({"a": {"b": "c"}}),
            json!({"a": {"b": "d", "c": null}}),
            json!({"a": {"b": "d"}}),
        ),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a": "b"}), json!(["c"]), json!(["c"])),
        (json!({"a": "foo"}), json!(null), json!(null)),
        (json!({"a": "foo"}), json!("bar"), json!("bar")),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ] {
        assert_eq!(apply(target.clone(), &patch), result, "{target} + {patch}");
    }
}

#[test]
fn the_example_of_the_rfc() {
    let target = json!({
        "title": "Goodbye!", "author": {"givenName": "John", "familyName": "Doe"}, "tags": ["example", "sample"], "content": "This will be unchanged"
    });
    let patch = json!({"title": "Hello!", "phoneNumber": "+01-123-456-7890", "author": {"familyName": null}, "tags": ["example"]});
    assert_eq!(
        apply(target, &patch),
        json!({
            "title": "Hello!", "author": {"givenName": "John"}, "tags": ["example"], "content": "This will be unchanged", "phoneNumber": "+01-123-456-7890"
        })
    );
}

#[test]
fn the_deepest_body_is_applied() {
    let deep = format!("{}1{}", "{\"a\":".repeat(MAX_DEPTH), "}".repeat(MAX_DEPTH));
    let patch = parse(deep.as_bytes()).unwrap();
    assert_eq!(apply(Value::Null, &patch), patch);
    assert!(parse(format!("{{\"a\":{deep}}}").as_bytes()).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3_i64).prop_map(Value::from),
        "[ab]?".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn has_null_members(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|members| members.values().any(|value| value.is_null() || has_null_members(value)))
}

proptest! {
    #[test]
    fn it_agrees_with_another_implementation(target in any_json(), patch in any_json()) {
        let mut other = target.clone();
        json_patch::merge(&mut other, &patch);
        prop_assert_eq!(apply(target, &patch), other);
    }

    #[test]
    fn twice_is_once(target in any_json(), patch in any_json()) {
        let once = apply(target, &patch);
        prop_assert_eq!(apply(once.clone(), &patch), once);
    }

    #[test]
    fn an_object_patched_with_itself_stays(target in any_json().prop_filter("members that are null would be removed", |value| !has_null_members(value))) {
        prop_assert_eq!(apply(target.clone(), &target), target);
    }
}
