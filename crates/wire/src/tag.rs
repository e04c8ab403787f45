//! Tags as clients see them (contract tags… §1).

use crate::decode::{Place, finish};
use domain::field::{FieldErrors, Reason};
use domain::tag::{MAX_TAGS, Tag, TagChange, TagQuery};
use serde::Serialize;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// Values of one key that a search may name.
const MAX_VALUES: usize = 200;
/// Keys that a search may name.
const MAX_KEYS: usize = 50;

/// The tags of one object.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Tags {
    pub tags: Vec<TagBody>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Tag)]
pub struct TagBody {
    pub key: String,
    pub value: String,
    /// The one value again, for clients that read it here
    pub values: Vec<String>,
}

impl Tags {
    pub fn of(tags: &[Tag]) -> Self {
        let tags = tags.iter().map(|tag| TagBody {
            key: tag.key.clone(),
            value: tag.value.clone(),
            values: vec![tag.value.clone()],
        });
        Self { tags: tags.collect() }
    }
}

/// The tags of many objects.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TagUnion {
    pub tags: Vec<TagValues>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TagValues {
    pub key: String,
    pub values: Vec<String>,
}

impl TagUnion {
    /// A page of keys.
    pub fn of(union: BTreeMap<String, BTreeSet<String>>, offset: usize, limit: usize) -> Self {
        let tags = union.into_iter().skip(offset).take(limit).map(|(key, values)| TagValues {
            key,
            values: values.into_iter().collect(),
        });
        Self { tags: tags.collect() }
    }
}

/// Pools that a search found.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FoundResources {
    pub total_count: usize,
    pub resources: Vec<FoundResource>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FoundResource {
    /// Id of the pool
    pub resource_id: String,
    /// Display name
    pub resource_name: String,
    /// Always `null`
    pub resource_detail: Option<String>,
    pub tags: Vec<TagBody>,
}

/// The body of a change of tags.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TagAction {
    /// `create`, `delete` or `reset`
    pub action: String,
    pub tags: Vec<TagPair>,
}

/// The body of a request that only names tags.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TagPairs {
    pub tags: Vec<TagPair>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TagPair {
    pub key: String,
    pub value: String,
}

/// The body of a search.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TagSearch {
    pub tags: Vec<TagValues>,
    pub matches: Vec<TagPair>,
    pub limit: usize,
    pub offset: usize,
}

fn read<T>(body: &Value, read: impl FnOnce(&Place<'_>) -> Option<T>) -> Result<T, FieldErrors> {
    let errors = RefCell::new(FieldErrors::new());
    let root = Place::root(body, &errors);
    let found = root.body().and_then(|_| read(&root));
    finish(found, errors)
}

/// `{"action", "tags"}`
pub fn decode_action(body: &Value) -> Result<TagChange, FieldErrors> {
    read(body, |root| {
        let action = root.field("action");
        if action.is_absent() {
            action.required();
        }
        let chosen = action.choice(&[("create", Action::Create), ("delete", Action::Delete), ("reset", Action::Reset)]);
        let tags = tags(root, chosen != Some(Action::Reset), chosen == Some(Action::Delete));
        Some(match chosen? {
            Action::Create => TagChange::Create(tags),
            Action::Delete => TagChange::Delete(tags.into_iter().map(|tag| (tag.key, Some(tag.value))).collect()),
            Action::Reset => TagChange::Reset(tags),
        })
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Action {
    Create,
    Delete,
    Reset,
}

/// `{"tags"}` to be added
pub fn decode_added(body: &Value) -> Result<TagChange, FieldErrors> {
    read(body, |root| Some(TagChange::Create(tags(root, true, false))))
}

/// `{"tags"}` to be taken away: without a value, the key alone decides
pub fn decode_removed(body: &Value) -> Result<TagChange, FieldErrors> {
    read(body, |root| {
        let gone = entries(root, true).into_iter().filter_map(|place| {
            place.object()?;
            let key = place.field("key").required_text()?.to_owned();
            Some((key, place.field("value").text().map(ToOwned::to_owned)))
        });
        Some(TagChange::Delete(gone.collect()))
    })
}

fn entries<'a>(root: &Place<'a>, is_filled: bool) -> Vec<Place<'a>> {
    let list = root.field("tags");
    if list.is_absent() {
        list.required();
    }
    let items = list.items();
    if !list.is_absent() && is_filled && list.is_empty() {
        list.invalid("must not be empty");
    }
    if items.len() > MAX_TAGS {
        list.invalid(format!("may hold at most {MAX_TAGS} tags"));
    }
    items
}

/// What exists can always be named in order to take it away, so that only its form is looked at then.
fn tags(root: &Place<'_>, is_filled: bool, is_lenient: bool) -> Vec<Tag> {
    let mut found: Vec<Tag> = Vec::new();
    for place in entries(root, is_filled) {
        if place.object().is_none() {
            place.object();
            continue;
        }
        let (key, value) = (place.field("key").required_text(), place.field("value").text());
        let Some(key) = key else { continue };
        let tag = Tag {
            key: key.to_owned(),
            value: value.unwrap_or_default().to_owned(),
        };
        match tag.check() {
            Err(fault) if !is_lenient => place.field(fault.member).invalid(fault.message),
            Ok(()) | Err(_) if found.iter().any(|earlier| earlier.key == tag.key) && !is_lenient => {
                place.field("key").refuse(Reason::Duplicate, "is there twice");
            }
            Ok(()) | Err(_) => found.push(tag),
        }
    }
    found
}

/// What a search asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Search {
    pub tags: TagQuery,
    pub name: Option<String>,
    pub limit: Option<u32>,
    pub offset: Option<u32>,
}

/// The body of a search; all of it may be absent.
pub fn decode_search(body: &Value) -> Result<Search, FieldErrors> {
    read(body, |root| {
        let wanted = root.field("tags").items();
        if wanted.len() > MAX_KEYS {
            root.field("tags").invalid(format!("may hold at most {MAX_KEYS} keys"));
        }
        let tags = wanted.iter().filter_map(|place| {
            place.object()?;
            let key = place.field("key").required_text()?.to_owned();
            let values = place.field("values").items();
            if values.len() > MAX_VALUES {
                place.field("values").invalid(format!("may hold at most {MAX_VALUES} values"));
            }
            Some((key, values.iter().filter_map(|value| value.text().map(ToOwned::to_owned)).collect()))
        });
        let tags = TagQuery(tags.collect());
        let mut name = None;
        for place in root.field("matches").items() {
            if place.object().is_some() {
                place.field("key").required_text();
                place.field("key").choice(&[("resource_name", ())]);
                name = place.field("value").required_text().map(ToOwned::to_owned).or(name);
            }
        }
        Some(Search {
            tags,
            name,
            // What is above the maximum is as the maximum.
            limit: root.field("limit").integer(1, u32::MAX),
            offset: root.field("offset").integer(0, u32::MAX),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tag(key: &str, value: &str) -> Tag {
        Tag {
            key: key.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn the_published_answer_has_both_keys() {
        assert_eq!(
            serde_json::to_value(Tags::of(&[tag("dev", "dev1")])).unwrap(),
            json!({"tags": [{"key": "dev", "value": "dev1", "values": ["dev1"]}]})
        );
        let union = BTreeMap::from([("model_version".to_owned(), ["0.2", "0.1"].map(ToOwned::to_owned).into())]);
        assert_eq!(
            serde_json::to_value(TagUnion::of(union, 0, 200)).unwrap(),
            json!({"tags": [{"key": "model_version", "values": ["0.1", "0.2"]}]})
        );
    }

    #[test]
    fn actions_are_read() {
        let act = |action: &str, tags: Value| decode_action(&json!({"action": action, "tags": tags}));
        let one = json!([{"key": "a", "value": "1"}]);
        assert_eq!(act("create", one.clone()), Ok(TagChange::Create(vec![tag("a", "1")])));
        let gone = vec![("a".to_owned(), Some("1".to_owned()))];
        assert_eq!(act("delete", one.clone()), Ok(TagChange::Delete(gone)));
        assert_eq!(act("reset", json!([])), Ok(TagChange::Reset(Vec::new())));
        assert_eq!(act("create", json!([{"key": "a"}])), Ok(TagChange::Create(vec![tag("a", "")])));
        assert_eq!(decode_added(&json!({"tags": one})), Ok(TagChange::Create(vec![tag("a", "1")])));
        let gone = vec![("a".to_owned(), None)];
        assert_eq!(decode_removed(&json!({"tags": [{"key": "a"}]})), Ok(TagChange::Delete(gone)));
    }

    #[test]
    fn wrong_tags_are_refused_with_their_paths() {
        let told = |body: Value| decode_action(&body).unwrap_err().to_string();
        let many: Vec<_> = (0..21).map(|at| json!({"key": at.to_string(), "value": ""})).collect();
        let rows = [
            json!([]),
            json!({}),
            json!({"action": "drop", "tags": [{"key": "a", "value": "1"}]}),
            json!({"action": "create", "tags": []}),
            json!({"action": "create", "tags": [{"value": "1"}, 7, {"key": "_sys_x", "value": ""}]}),
            json!({"action": "create", "tags": [{"key": "a"}, {"key": "a"}]}),
            json!({"action": "reset", "tags": many}),
        ];
        insta::assert_snapshot!(rows.map(told).join("\n"), @r"
        the body must be an object
        action is required
        action: must be one of create, delete, reset
        tags: must not be empty
        tags[0].key is required
        tags[1].key: is there twice
        tags: may hold at most 20 tags
        ");
        assert!(decode_removed(&json!({"tags": [{"value": "x"}]})).is_err());
        assert!(decode_search(&json!({"tags": [{"values": []}]})).is_err());
        assert!(decode_search(&json!({"matches": [{"key": "name", "value": "x"}]})).is_err());
        assert!(decode_search(&json!({"limit": 0})).is_err());
        assert!(decode_search(&json!({})).is_ok());
    }
}
