//! What a change of an element's labels and tags does to the nodes that it has already (contract pools §9.2).

use super::{Node, NodeTemplate};
use crate::pool::PoolResource;
use crate::tag::{Tag, TagChange, TooManyTags};
use std::collections::BTreeMap;

impl Node {
    /// The node after its element has changed from one form to another. What somebody has put onto this node alone stays;
    /// with the element's `…PolicyOnExistingNodes` at `ignore`, everything does.
    pub fn refreshed(&self, before: &PoolResource, after: &PoolResource) -> Result<Self, TooManyTags> {
        let ignores = |policy: &str| after.extend_params.get(policy).is_some_and(|value| value == "ignore");
        let mut template = self.template.as_deref().cloned().unwrap_or_default();
        if before.labels != after.labels && !ignores("labelPolicyOnExistingNodes") {
            refresh_labels(&mut template.labels, &before.labels, &after.labels);
        }
        if before.tags != after.tags && !ignores("tagPolicyOnExistingNodes") {
            template.tags = refresh_tags(&template.tags, &before.tags, &after.tags)?;
        }
        let mut next = self.clone();
        next.template = Some(Box::new(template)).filter(|template| **template != NodeTemplate::default());
        Ok(next)
    }
}

fn refresh_labels(labels: &mut BTreeMap<String, String>, before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) {
    labels.retain(|key, value| before.get(key) != Some(value));
    labels.extend(after.clone());
}

fn refresh_tags(tags: &[Tag], before: &[Tag], after: &[Tag]) -> Result<Vec<Tag>, TooManyTags> {
    let own: Vec<Tag> = tags.iter().filter(|tag| !before.contains(tag)).cloned().collect();
    TagChange::Create(after.to_vec()).apply(&own)
}
