use super::*;
use domain::node::TaintEffect;
use domain::node::request::{Rolling, Update};
use domain::pool::UpdateStrategy;
use serde_json::{Value, json};

fn said<T: std::fmt::Debug>(result: Result<T, domain::field::FieldErrors>) -> String {
    result.map_or_else(|errors| errors.to_string(), |value| format!("accepted {value:?}"))
}

#[test]
fn lists_of_names_have_one_to_500_different_names() {
    let delete = |names: Value| said(decode_delete(&json!({"deleteNodeNames": names})));
    let many: Vec<String> = (0..501).map(|number| format!("n{number}")).collect();
    assert!(delete(json!(many[..500])).starts_with("accepted"));
    for (body, told) in [
        (json!(many), "must hold 1 to 500 elements"),
        (json!([]), "must hold 1 to 500 elements"),
        (json!(null), "deleteNodeNames is required"),
        (json!("n1"), "must be a list"),
        (json!([1]), "must be a text"),
        (json!([""]), "deleteNodeNames[0]"),
        (json!(["a", "a"]), "node a occurs twice"),
    ] {
        assert!(delete(body.clone()).contains(told), "{body}");
    }
    let eleven = &many[..11];
    assert!(said(decode_drain(&json!({"nodeNames": eleven}))).contains("1 to 10"));
    assert!(said(decode_reboot(&json!({"nodeNames": eleven}))).starts_with("accepted"));
    assert!(said(decode_reboot(&json!([]))).contains("must be an object"));
}

#[test]
fn a_lock_is_one_against_deletion() {
    let lock = |actions: Value| said(decode_lock(&json!({"nodeNames": ["a"], "actions": actions})));
    assert!(lock(json!(["delete"])).starts_with("accepted"));
    for actions in [
        json!([]),
        json!(["delete", "delete"]),
        json!(["reboot"]),
        json!(null),
        json!("delete"),
    ] {
        assert!(lock(actions.clone()).contains("actions"), "{actions}");
    }
}

#[test]
fn each_update_takes_what_it_needs() {
    let update = |body: Value| {
        let mut whole = json!({"nodeNames": ["a"]});
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        decode_update(&whole).map(|(_, update)| update)
    };
    let tag = domain::tag::Tag {
        key: "k".to_owned(),
        value: "v".to_owned(),
    };
    for (body, expected) in [
        (json!({"action": "openHaRedundant"}), Update::OpenHa(TaintEffect::NoSchedule)),
        (
            json!({"action": "openHaRedundant", "haRedundantEffect": "NoExecute"}),
            Update::OpenHa(TaintEffect::NoExecute),
        ),
        (json!({"action": "closeHaRedundant"}), Update::CloseHa),
        (
            json!({"action": "createTags", "tags": [{"key": "k", "value": "v"}]}),
            Update::CreateTags(vec![tag]),
        ),
        (
            json!({"action": "deleteTags", "tags": [{"key": "k"}]}),
            Update::DeleteTags(vec![("k".to_owned(), None)]),
        ),
        (
            json!({"action": "updateDriver", "driver": {"version": "1", "updateStrategy": "force"}}),
            Update::Driver {
                version: "1".to_owned(),
                strategy: Some(UpdateStrategy::Force),
            },
        ),
    ] {
        assert_eq!(update(body), Ok(expected));
    }
    for (body, told) in [
        (json!({"action": "explode"}), "action"),
        (json!({}), "action is required"),
        (json!({"action": "createTags"}), "tags is required"),
        (json!({"action": "createTags", "tags": [{"key": "CCE-x", "value": ""}]}), "CCE-"),
        (json!({"action": "updateDriver"}), "driver is required"),
        (
            json!({"action": "openHaRedundant", "haRedundantEffect": "Sometimes"}),
            "haRedundantEffect",
        ),
    ] {
        assert!(said(update(body.clone())).contains(told), "{body}");
    }
}

#[test]
fn a_reset_says_how_many_at_once_and_its_os_wins_over_the_name() {
    let body = json!({"nodeNames": ["a"], "rollingConfig": {"strategy": "RollingByPercent", "maxUnavailable": 20},
        "nodeConfig": {"os": "A", "name": "B", "runtime": "containerd"}});
    let reset = decode_reset(&body).unwrap();
    assert_eq!(
        (reset.rolling, reset.runtime.as_deref()),
        (Rolling::Percent(20), Some("containerd"))
    );
    assert_eq!(reset.image.unwrap().name.as_deref(), Some("A"));
    for (rolling, told) in [
        (json!(null), "rollingConfig is required"),
        (json!({"strategy": "RollingByPercent", "maxUnavailable": 101}), "maxUnavailable"),
        (json!({"strategy": "RollingByNumber", "maxUnavailable": 0}), "maxUnavailable"),
        (json!({"strategy": "AllAtOnce", "maxUnavailable": 1}), "strategy"),
        (json!({"strategy": "RollingByNumber"}), "maxUnavailable is required"),
    ] {
        let body = json!({"nodeNames": ["a"], "rollingConfig": rolling});
        assert!(said(decode_reset(&body)).contains(told), "{body}");
    }
    let body = json!({"nodeNames": ["a"], "rollingConfig": {"strategy": "RollingByNumber", "maxUnavailable": 1}, "nodeConfig": {"runtime": "podman"}});
    assert!(said(decode_reset(&body)).contains("runtime"));
}

#[test]
fn only_supernodes_are_resized() {
    let end = |kind: &str| json!({"nodePool": "np", "flavor": "f", "creatingStep": {"type": kind, "step": 2}});
    let body =
        |kind: &str| json!({"nodes": [{"batchUID": "u", "deleteNodeNames": ["a"]}], "source": end(kind), "target": end("hyperinstance")});
    assert_eq!(decode_resize(&body("hyperinstance")).unwrap().batches.len(), 1);
    assert!(said(decode_resize(&body("rack"))).contains("only support hyperinstance scale currently"));
    let nodes = json!({"nodes": [{"batchUID": "u", "deleteNodeNames": ["a"]}]});
    assert!(said(decode_resize(&nodes)).contains("source is required"));
}

#[test]
fn an_empty_quota_unbinds() {
    let bind = decode_bind(&json!({"nodes": [{"name": "a", "quotaName": ""}, {"name": "b", "quotaName": "p"}], "drain": true})).unwrap();
    assert!(bind.drain);
    assert_eq!(
        bind.nodes.iter().map(|(_, quota)| quota.is_some()).collect::<Vec<_>>(),
        [false, true]
    );
    assert!(said(decode_bind(&json!({"nodes": [{"name": "a"}, {"name": "a"}]}))).contains("occurs twice"));
}
