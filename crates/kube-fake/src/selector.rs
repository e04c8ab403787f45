//! Selectors by labels and by fields.

use crate::kinds::ResourceType;
use crate::refusal::Refusal;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// One condition on labels.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    In(String, BTreeSet<String>),
    NotIn(String, BTreeSet<String>),
    Exists(String),
    Absent(String),
    Greater(String, i64),
    Less(String, i64),
}

/// All of its conditions have to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector(Vec<Condition>);

impl LabelSelector {
    /// The form in query strings: `a=b,c in (d,e),!f`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let conditions = split_outside_parentheses(text)
            .into_iter()
            .map(condition)
            .collect::<Option<Vec<_>>>();
        conditions
            .map(Self)
            .ok_or_else(|| Refusal::bad_request(format!("unable to parse requirement: {text}")))
    }

    /// The form in objects: `matchLabels` and `matchExpressions`. `None`: not understood.
    pub fn from_object(selector: &Value) -> Option<Self> {
        let mut conditions = Vec::new();
        if let Some(labels) = selector.get("matchLabels").and_then(Value::as_object) {
            for (key, value) in labels {
                conditions.push(Condition::In(key.clone(), BTreeSet::from([value.as_str()?.to_owned()])));
            }
        }
        if let Some(expressions) = selector.get("matchExpressions").and_then(Value::as_array) {
            for expression in expressions {
                let key = expression.get("key")?.as_str()?.to_owned();
                let values = || strings(expression.get("values"));
                conditions.push(match expression.get("operator")?.as_str()? {
                    "In" => Condition::In(key, values()),
                    "NotIn" => Condition::NotIn(key, values()),
                    "Exists" => Condition::Exists(key),
                    "DoesNotExist" => Condition::Absent(key),
                    "Gt" => Condition::Greater(key, values().first()?.parse().ok()?),
                    "Lt" => Condition::Less(key, values().first()?.parse().ok()?),
                    _ => return None,
                });
            }
        }
        Some(Self(conditions))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn matches(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
        self.0.iter().all(|condition| holds(condition, labels))
    }
}

fn strings(values: Option<&Value>) -> BTreeSet<String> {
    let values = values.and_then(Value::as_array).into_iter().flatten();
    values.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn holds(condition: &Condition, labels: Option<&Map<String, Value>>) -> bool {
    let value = |key: &String| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
    match condition {
        Condition::In(key, values) => value(key).is_some_and(|value| values.contains(value)),
        Condition::NotIn(key, values) => value(key).is_none_or(|value| !values.contains(value)),
        Condition::Exists(key) => value(key).is_some(),
        Condition::Absent(key) => value(key).is_none(),
        Condition::Greater(key, than) => value(key)
            .and_then(|value| value.parse::<i64>().ok())
            .is_some_and(|value| value > *than),
        Condition::Less(key, than) => value(key)
            .and_then(|value| value.parse::<i64>().ok())
            .is_some_and(|value| value < *than),
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_i32, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn condition(text: &str) -> Option<Condition> {
    let condition = if let Some(key) = text.strip_prefix('!') {
        Condition::Absent(key.trim().to_owned())
    } else if let Some((key, value)) = text.split_once("!=") {
        Condition::NotIn(key.trim().to_owned(), BTreeSet::from([value.trim().to_owned()]))
    } else if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        Condition::In(key.trim().to_owned(), BTreeSet::from([value.trim().to_owned()]))
    } else if let Some((head, values)) = text.split_once('(') {
        let values = values.strip_suffix(')')?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        match *head.split_whitespace().collect::<Vec<_>>().as_slice() {
            [key, "in"] => Condition::In(key.to_owned(), values),
            [key, "notin"] => Condition::NotIn(key.to_owned(), values),
            _ => return None,
        }
    } else if let Some((key, value)) = text.split_once('>') {
        Condition::Greater(key.trim().to_owned(), value.trim().parse().ok()?)
    } else if let Some((key, value)) = text.split_once('<') {
        Condition::Less(key.trim().to_owned(), value.trim().parse().ok()?)
    } else {
        Condition::Exists(text.to_owned())
    };
    let (Condition::In(key, _)
    | Condition::NotIn(key, _)
    | Condition::Exists(key)
    | Condition::Absent(key)
    | Condition::Greater(key, _)
    | Condition::Less(key, _)) = &condition;
    crate::validate::is_qualified_name(key).then_some(condition)
}

/// Fields that have to be equal, or unequal, to a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector(Vec<(String, bool, String)>);

impl FieldSelector {
    pub fn parse(ty: &ResourceType, text: &str) -> Result<Self, Refusal> {
        let mut conditions = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (field, equal, value) = if let Some((field, value)) = part.split_once("!=") {
                (field, false, value)
            } else if let Some((field, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (field, true, value)
            } else {
                return Err(Refusal::bad_request(format!(
                    "invalid selector: '{part}'; can't understand '{part}'"
                )));
            };
            if !is_selectable(ty, field) {
                return Err(Refusal::bad_request(unsupported(ty, field)));
            }
            conditions.push((field.to_owned(), equal, value.to_owned()));
        }
        Ok(Self(conditions))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(field, equal, value)| {
            let pointer = format!("/{}", field.replace('.', "/"));
            let found = match object.pointer(&pointer) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Bool(flag)) => flag.to_string(),
                _ if field == "spec.unschedulable" => "false".to_owned(),
                _ => String::new(),
            };
            (found == *value) == *equal
        })
    }
}

fn is_selectable(ty: &ResourceType, field: &str) -> bool {
    match (ty.kind.as_str(), field) {
        (_, "metadata.name") | ("Namespace", "status.phase") | ("Node", "spec.unschedulable") => true,
        (_, "metadata.namespace") => ty.is_namespaced,
        ("Pod", field) => matches!(
            field,
            "spec.nodeName" | "spec.restartPolicy" | "spec.schedulerName" | "spec.serviceAccountName" | "status.phase" | "status.podIP"
        ),
        ("Event", field) => matches!(
            field,
            "involvedObject.kind" | "involvedObject.name" | "involvedObject.uid" | "reason" | "type"
        ),
        _ => false,
    }
}

fn unsupported(ty: &ResourceType, field: &str) -> String {
    if ty.group.is_empty() && matches!(ty.kind.as_str(), "Pod") {
        format!("field label not supported: {field}")
    } else {
        format!("field label {field:?} not supported for {:?}", ty.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn matches(selector: &str, labels: Value) -> bool {
        let selector = LabelSelector::parse(selector).unwrap();
        selector.matches(&json!({"metadata": {"labels": labels}}))
    }

    #[test]
    fn all_conditions_have_to_hold() {
        let labels = json!({"a": "1", "b": "x"});
        assert!(matches("a=1,b in (x, y)", labels.clone()));
        assert!(!matches("a=1,b notin (x,y)", labels.clone()));
        assert!(matches("a,!c", labels.clone()));
        assert!(matches("c!=1", labels.clone()));
        assert!(matches("a>0,a<2", labels.clone()));
        assert!(!matches("c", labels));
    }

    #[test]
    fn an_impossible_key_is_refused() {
        assert!(LabelSelector::parse("a b=c").is_err());
        assert!(LabelSelector::parse("a in b)").is_err());
    }

    #[test]
    fn a_node_that_says_nothing_is_schedulable() {
        let ty = crate::kinds::built_in().into_iter().find(|ty| ty.kind == "Node").unwrap();
        let selector = FieldSelector::parse(&ty, "spec.unschedulable=false").unwrap();
        assert!(selector.matches(&json!({"spec": {}})));
        assert!(!selector.matches(&json!({"spec": {"unschedulable": true}})));
        assert!(FieldSelector::parse(&ty, "spec.podCIDR=x").is_err());
    }
}
