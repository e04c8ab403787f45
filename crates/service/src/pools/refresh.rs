//! Tags and labels of an element go onto the nodes that it has already, too (contract pools §9.2).

use crate::error::ServiceError;
use domain::field::{FieldPath, Reason};
use domain::node::{Node, NodeTemplate};
use domain::pool::PoolResource;
use domain::tag::{MAX_TAGS, Tag, TagChange};
use std::collections::BTreeMap;

/// The node as it is after a change of its element; `None`: it stays as it is.
///
/// What it got from the element makes way for what the element has now; what was put onto the node alone stays.
pub(super) fn refreshed(node: &Node, before: &[PoolResource], after: &[PoolResource]) -> Result<Option<Node>, ServiceError> {
    let key = node.element();
    let of = |elements: &[PoolResource]| elements.iter().position(|element| element.element() == key);
    let (Some(old), Some(at)) = (of(before).map(|at| &before[at]), of(after)) else {
        return Ok(None);
    };
    let new = &after[at];
    let follows = |policy: &str| new.extend_params.get(policy).is_none_or(|policy| policy != "ignore");
    let mut template = node.template.as_deref().cloned().unwrap_or_default();
    if old.tags != new.tags && follows("tagPolicyOnExistingNodes") {
        template.tags = merged_tags(&template.tags, &old.tags, &new.tags).ok_or_else(|| {
            let path = FieldPath::of("spec").field("resources").index(at).field("tags");
            let message = format!("node {} would have more than {MAX_TAGS} tags", node.name);
            ServiceError::field(path, Reason::Invalid, message)
        })?;
    }
    if old.labels != new.labels && follows("labelPolicyOnExistingNodes") {
        template.labels = merged_labels(&template.labels, &old.labels, &new.labels);
    }
    if node.template.as_deref().unwrap_or(&NodeTemplate::default()) == &template {
        return Ok(None);
    }
    let mut next = node.clone();
    next.template = (!template.is_empty()).then(|| Box::new(template));
    Ok(Some(next))
}

fn merged_tags(own: &[Tag], old: &[Tag], new: &[Tag]) -> Option<Vec<Tag>> {
    let gone = TagChange::Delete(old.iter().map(|tag| (tag.key.clone(), Some(tag.value.clone()))).collect());
    let left = gone.apply(own).ok()?;
    TagChange::Create(new.to_vec()).apply(&left).ok()
}

fn merged_labels(
    own: &BTreeMap<String, String>,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut labels = own.clone();
    labels.retain(|key, value| old.get(key) != Some(value));
    labels.extend(new.iter().map(|(key, value)| (key.clone(), value.clone())));
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag {
            key: key.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn what_the_element_gave_makes_way_and_what_is_the_nodes_own_stays() {
        let own = [tag("team", "a"), tag("env", "test"), tag("mine", "1")];
        let merged = merged_tags(&own, &[tag("team", "a"), tag("env", "prod")], &[tag("cost", "7")]).unwrap();
        assert_eq!(merged, [tag("env", "test"), tag("mine", "1"), tag("cost", "7")]);
        let overwritten = merged_tags(&own, &[], &[tag("mine", "2")]).unwrap();
        assert_eq!(overwritten, [tag("team", "a"), tag("env", "test"), tag("mine", "2")]);
        let many: Vec<Tag> = (0..MAX_TAGS).map(|at| tag(&at.to_string(), "")).collect();
        assert_eq!(merged_tags(&own, &[], &many), None);
        let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(
            merged_labels(
                &labels(&[("disk", "ssd"), ("mine", "1")]),
                &labels(&[("disk", "ssd")]),
                &labels(&[("rack", "2")])
            ),
            labels(&[("mine", "1"), ("rack", "2")])
        );
    }
}
