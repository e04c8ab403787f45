//! What tests of several kinds of objects share.

use domain::field::{FieldErrors, FieldPath};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Every value below the root: where it is, for programs and for people.
pub fn places(value: &Value) -> Vec<(String, FieldPath)> {
    let mut found = Vec::new();
    walk(value, "", &FieldPath::root(), &mut found);
    found
}

fn walk(value: &Value, pointer: &str, path: &FieldPath, found: &mut Vec<(String, FieldPath)>) {
    let inner: Vec<(String, FieldPath, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), path.field(name), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, value)| (at.to_string(), path.index(at), value))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (name, path, value) in inner {
        let pointer = format!("{pointer}/{name}");
        found.push((pointer.clone(), path.clone()));
        walk(value, &pointer, &path, found);
    }
}

/// The names of all members that hold something other than an object, with `[]` for any position in a list.
pub fn members<'a>(values: impl IntoIterator<Item = &'a Value>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for value in values {
        collect(value, "", &mut names);
    }
    names
}

fn collect(value: &Value, path: &str, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) if members.is_empty() => {
            names.insert(path.to_owned());
        }
        Value::Object(members) => {
            for (name, value) in members {
                let is_key = name.contains(['/', '.']);
                let separator = if path.is_empty() || is_key { "" } else { "." };
                let name = if is_key { format!("[{name}]") } else { name.clone() };
                collect(value, &format!("{path}{separator}{name}"), names);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for item in items {
                collect(item, &format!("{path}[]"), names);
            }
        }
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            names.insert(path.to_owned());
        }
    }
}

/// Members by the object that they are in; `""` is the object itself, when empty.
type Documented<'a> = &'a [(&'a str, &'a [&'a str])];

fn names(documented: Documented<'_>) -> BTreeSet<String> {
    let full = |object: &str, name: &str| match (object, name) {
        (object, "") => object.to_owned(),
        (object, name) if name.contains('/') => format!("{object}[{name}]"),
        ("", name) => name.to_owned(),
        (object, name) => format!("{object}.{name}"),
    };
    documented
        .iter()
        .flat_map(|(object, names)| names.iter().map(move |name| full(object, name)))
        .collect()
}

/// Fails unless what is shown is what is documented, except for what is known to be left out.
#[track_caller]
pub fn assert_documented(shown: &BTreeSet<String>, documented: Documented<'_>, left_out: Documented<'_>) {
    let (all, left_out) = (names(documented), names(left_out));
    assert!(left_out.is_subset(&all), "left out, but not documented");
    let wanted: BTreeSet<String> = all.difference(&left_out).cloned().collect();
    let missing: Vec<_> = wanted.difference(shown).collect();
    let unknown: Vec<_> = shown.difference(&wanted).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing: {missing:#?}, not documented: {unknown:#?}"
    );
}

/// Fails unless every member of `part` is in `whole` with the same value; lists must be equally long.
#[track_caller]
pub fn assert_holds(whole: &Value, part: &Value) {
    let mut missing = Vec::new();
    compare(whole, part, &FieldPath::root(), &mut missing);
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

fn compare(whole: &Value, part: &Value, path: &FieldPath, missing: &mut Vec<String>) {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (name, wanted) in part {
                compare(whole.get(name).unwrap_or(&Value::Null), wanted, &path.field(name), missing);
            }
        }
        (Value::Array(whole), Value::Array(part)) if whole.len() == part.len() => {
            for (at, (whole, part)) in whole.iter().zip(part).enumerate() {
                compare(whole, part, &path.index(at), missing);
            }
        }
        (whole, part) if whole == part => {}
        (whole, part) => missing.push(format!("{path}: {whole}, wanted {part}")),
    }
}

/// What is put in the place of every value of a body.
fn probes() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!("true"),
        json!(7),
        json!("7"),
        json!(-1),
        json!(7.5),
        json!(""),
        json!("x y"),
        json!([]),
        json!([7]),
        json!({}),
        json!({"a": 7}),
    ]
}

/// A table of what is said of a body in which one value has been replaced, for every value.
pub fn wrong_values<T>(body: &Value, decode: impl Fn(&Value) -> Result<T, FieldErrors>) -> String {
    let mut table = String::new();
    for (pointer, path) in places(body) {
        let mut outcomes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for probe in probes() {
            let mut changed = body.clone();
            *changed.pointer_mut(&pointer).unwrap() = probe.clone();
            let outcome = match decode(&changed) {
                Ok(_) => "accepted".to_owned(),
                Err(errors) => {
                    let said = errors.iter().map(|error| {
                        let text = error.to_string();
                        // What is said of the place itself needs no path.
                        let own = text.strip_prefix(path.as_str()).filter(|rest| rest.starts_with([':', ' ']));
                        own.map_or(text.clone(), |rest| rest.trim_start_matches([':', ' ']).to_owned())
                    });
                    said.collect::<Vec<_>>().join("; ")
                }
            };
            outcomes.entry(outcome).or_default().push(probe.to_string());
        }
        writeln!(table, "{path}").unwrap();
        for (outcome, probes) in outcomes {
            writeln!(table, "    {}: {outcome}", probes.join(" ")).unwrap();
        }
    }
    table
}

/// The rules that hold for the errors of any request: there is one, each has a path, none is said twice.
#[track_caller]
pub fn check_errors<T>(body: &Value, result: &Result<T, FieldErrors>) {
    let Err(errors) = result else { return };
    assert!(!errors.is_empty(), "refused without a reason: {body}");
    let all: Vec<_> = errors.iter().collect();
    for (at, error) in all.iter().enumerate() {
        assert!(body.is_object() != error.path.is_root(), "{error} of {body}");
        assert!(!error.message.is_empty());
        assert!(!all[..at].contains(error), "twice: {error}");
    }
}

/// Any JSON, with member names that mean something here and there.
pub fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-1..3_i64).prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        "[a-z][a-z0-9-]{2,6}[a-z]".prop_map(Value::from),
    ];
    let name = prop_oneof![
        prop::sample::select(vec![
            "metadata",
            "labels",
            "annotations",
            "spec",
            "resources",
            "type",
            "flavor",
            "count",
            "os.modelarts/name"
        ])
        .prop_map(str::to_owned),
        "\\PC{0,6}",
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// One thing done to a body.
#[derive(Debug, Clone)]
pub enum Mutation {
    Replace(Value),
    Remove,
    Add(String, Value),
    Repeat(usize),
}

/// Bodies near to `body`: up to five places replaced, removed, filled with more or repeated.
pub fn near(body: Value) -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let mutation = prop_oneof![
        3 => any_json().prop_map(Mutation::Replace),
        2 => Just(Mutation::Remove),
        1 => ("\\PC{1,8}", any_json()).prop_map(|(name, value)| Mutation::Add(name, value)),
        1 => (1..30_usize).prop_map(Mutation::Repeat),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), mutation), 0..5).prop_map(move |mutations| {
        let mut body = body.clone();
        for (at, mutation) in mutations {
            mutate(&mut body, at, mutation);
        }
        body
    })
}

fn mutate(body: &mut Value, at: proptest::sample::Index, mutation: Mutation) {
    let places = places(body);
    if places.is_empty() {
        return;
    }
    let (pointer, _) = at.get(&places);
    match mutation {
        Mutation::Replace(value) => *body.pointer_mut(pointer).unwrap() = value,
        Mutation::Remove => {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            match body.pointer_mut(parent).unwrap() {
                Value::Object(members) => drop(members.remove(&name.replace("~1", "/").replace("~0", "~"))),
                Value::Array(items) => drop(items.remove(name.parse().unwrap())),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => unreachable!("has no members"),
            }
        }
        Mutation::Add(name, value) => match body.pointer_mut(pointer).unwrap() {
            Value::Object(members) => drop(members.insert(name, value)),
            Value::Array(items) => items.push(value),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        },
        Mutation::Repeat(times) => {
            if let Value::Array(items) = body.pointer_mut(pointer).unwrap()
                && let Some(first) = items.first().cloned()
            {
                items.extend(std::iter::repeat_n(first, times));
            }
        }
    }
}
