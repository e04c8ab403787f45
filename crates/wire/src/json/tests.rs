use super::*;
use proptest::prelude::*;
use serde_json::json;

fn error(text: &str) -> String {
    parse(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_comma_before_a_closing_bracket_is_tolerated() {
    for (text, value) in [
        (r#"{"a":[1,2,],}"#, json!({"a": [1, 2]})),
        ("[1, \n\t]", json!([1])),
        (r#"[{"count": 1, "flavor": "f",}]"#, json!([{"count": 1, "flavor": "f"}])),
        (r#"[",]", "\",}", "\\",]"#, json!([",]", "\",}", "\\"])),
    ] {
        assert_eq!(parse(text.as_bytes()), Ok(value), "{text}");
    }
}

#[test]
fn commas_inside_texts_stay() {
    assert_eq!(parse(br#"{"a":",}",}"#), Ok(json!({"a": ",}"})));
    assert_eq!(parse(br#"["x\",]",]"#), Ok(json!(["x\",]"])));
}

#[test]
fn nothing_else_is_tolerated() {
    for text in [
        "",
        " ",
        "{",
        "[1,,]",
        "[,1]",
        "[1 2]",
        "{'a':1}",
        "{a:1}",
        "[1] x",
        "[01]",
        "[+1]",
        "[.5]",
        "[NaN]",
        "// c\n[]",
        "[1,",
        "\u{feff}{}",
        "[\"\n\"]",
        "1e999",
    ] {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(parse(b"[\"\xff\"]").is_err());
    assert!(parse(b"\xff").is_err());
}

#[test]
fn errors_name_their_place() {
    assert_eq!(error("{\n \"a\": x}"), "the body is not JSON: expected value at line 2 column 7");
    assert_eq!(error(""), "the body is not JSON: EOF while parsing a value at line 1 column 0");
    // The tolerated comma is not what is wrong here.
    assert_eq!(
        error("{\"a\":[1,],\n\"b\":?}"),
        "the body is not JSON: expected value at line 2 column 5"
    );
}

#[test]
fn of_equal_names_the_last_one_counts() {
    assert_eq!(parse(br#"{"a":1,"a":2}"#), Ok(json!({"a": 2})));
}

#[test]
fn nesting_has_a_limit() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
    assert_eq!(
        error(&format!("\n {}", nested(MAX_DEPTH + 1))),
        "the body is nested more than 64 levels deep at line 2 column 66"
    );
    // Brackets inside texts do not nest.
    assert!(parse(format!("[\"{}\"]", "[".repeat(100)).as_bytes()).is_ok());
    // Side by side is not deep.
    assert!(parse(format!("[{}]", ["[]"; 200].join(",")).as_bytes()).is_ok());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[,}\\]\"\\\\ a-c\u{e9}]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[,}\\]a-c]{0,3}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The value as text, with a comma after the last member of each object and list that is not empty.
fn with_stray_commas(value: &Value) -> String {
    match value {
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(|item| with_stray_commas(item) + " ,\n").collect::<String>()
        ),
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(name, value)| format!("{}:{},", Value::from(name.as_str()), with_stray_commas(value)));
            format!("{{{}}}", members.collect::<String>())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(prop_oneof![Just(b','), Just(b'"'), Just(b'\\'), Just(b'['), Just(b']'), Just(b'1'), any::<u8>()], 0..60)) {
        if let Err(error) = parse(&bytes) {
            prop_assert!(error.to_string().len() < 200);
        }
    }

    #[test]
    fn what_was_written_is_read(value in any_json()) {
        prop_assert_eq!(parse(value.to_string().as_bytes()), Ok(value));
    }

    #[test]
    fn stray_commas_change_nothing(value in any_json()) {
        prop_assert_eq!(parse(with_stray_commas(&value).as_bytes()), Ok(value));
    }
}
