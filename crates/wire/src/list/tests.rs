use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn lists_have_the_documented_envelope() {
    let items = [br#"{"a":1}"#, br#"{"a":2}"#];
    assert_eq!(
        value(&join("PoolList", "v2", None, &items)),
        json!({"kind": "PoolList", "apiVersion": "v2", "items": [{"a": 1}, {"a": 2}]})
    );
    assert_eq!(
        value(&join::<&[u8]>("NodeList", "v2", Some(&ListMeta::default()), &[])),
        json!({"kind": "NodeList", "apiVersion": "v2", "metadata": {}, "items": []})
    );
    let token = ContinueToken {
        created: 1,
        name: "x".to_owned(),
    };
    let metadata = ListMeta::of(Some((token.clone(), 7)));
    assert_eq!(
        value(&join("NetworkList", "v1", Some(&metadata), &items[..1]))["metadata"],
        json!({"continue": token.encode(), "remainingItemCount": 7})
    );
    assert_eq!(value(&join_counted(2, &items)), json!({"count": 2, "items": [{"a": 1}, {"a": 2}]}));
    assert_eq!(value(&join_counted::<&[u8]>(0, &[])), json!({"count": 0, "items": []}));
}

#[test]
fn what_no_list_returned_is_no_token() {
    for text in ["", "x", "====", "MS94Lw=", "bm8tc2xhc2g", "eC95"] {
        assert_eq!(ContinueToken::decode(text), None, "{text}");
    }
}

fn token() -> impl Strategy<Value = ContinueToken> {
    (-3..3_i64, "[a-c/]{0,3}").prop_map(|(created, name)| ContinueToken { created, name })
}

proptest! {
    #[test]
    fn tokens_are_read_back_and_fit_into_a_query(created in any::<i64>(), name in "\\PC{0,20}") {
        let token = ContinueToken { created, name };
        let text = token.encode();
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        prop_assert_eq!(ContinueToken::decode(&text), Some(token));
    }

    #[test]
    fn any_text_is_a_token_or_not(text in "\\PC{0,40}") {
        let _token = ContinueToken::decode(&text);
    }

    #[test]
    fn the_order_of_a_list_is_total(a in token(), b in token(), c in token()) {
        prop_assert_eq!(a == b, !a.is_after(&b) && !b.is_after(&a));
        prop_assert!(!(a.is_after(&b) && b.is_after(&a)));
        prop_assert!(!(a.is_after(&b) && b.is_after(&c)) || a.is_after(&c));
    }
}
