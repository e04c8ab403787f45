//! The nodes of a plan. What is stored is not copied before it is changed: most nodes of a large pool stay as they are.

use domain::name::NodeName;
use domain::node::Node;
use fleet::NodeFact;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::index::Versioned;

/// Nodes by name, as they are stored and as they should be.
#[derive(Default)]
pub(super) struct Roll<'a>(BTreeMap<NodeName, Slot<'a>>);

struct Slot<'a> {
    stored: Option<&'a Versioned<Node>>,
    next: Next,
}

enum Next {
    /// As it is stored.
    Same,
    Changed(Box<Node>),
    Gone,
}

impl Slot<'_> {
    fn node(&self) -> Option<&Node> {
        match &self.next {
            Next::Same => self.stored.map(|stored| &*stored.object),
            Next::Changed(node) => Some(node),
            Next::Gone => None,
        }
    }
}

impl<'a> Roll<'a> {
    pub fn new(stored: &'a [Versioned<Node>]) -> Self {
        let slot = |stored: &'a Versioned<Node>| Slot {
            stored: Some(stored),
            next: Next::Same,
        };
        Self(stored.iter().map(|node| (node.name.clone(), slot(node))).collect())
    }

    pub fn values(&self) -> impl Iterator<Item = &Node> {
        self.0.values().filter_map(Slot::node)
    }

    pub fn keys(&self) -> impl Iterator<Item = &NodeName> {
        self.values().map(|node| &node.name)
    }

    pub fn len(&self) -> usize {
        self.values().count()
    }

    pub fn is_empty(&self) -> bool {
        self.values().next().is_none()
    }

    pub fn get(&self, name: &NodeName) -> Option<&Node> {
        self.0.get(name).and_then(Slot::node)
    }

    pub fn contains_key(&self, name: &NodeName) -> bool {
        self.get(name).is_some()
    }

    /// For a change: from here on it is a copy.
    pub fn get_mut(&mut self, name: &NodeName) -> Option<&mut Node> {
        let slot = self.0.get_mut(name)?;
        if let (Next::Same, Some(stored)) = (&slot.next, slot.stored) {
            slot.next = Next::Changed(Box::new(Node::clone(stored)));
        }
        match &mut slot.next {
            Next::Changed(node) => Some(node),
            Next::Same | Next::Gone => None,
        }
    }

    /// Takes a node out. It is gone unless it is put in again.
    pub fn remove(&mut self, name: &NodeName) -> Option<Box<Node>> {
        let slot = self.0.get_mut(name)?;
        match std::mem::replace(&mut slot.next, Next::Gone) {
            Next::Same => slot.stored.map(|stored| Box::new(Node::clone(stored))),
            Next::Changed(node) => Some(node),
            Next::Gone => None,
        }
    }

    pub fn insert(&mut self, node: Box<Node>) {
        if let Some(slot) = self.0.get_mut(&node.name) {
            slot.next = Next::Changed(node);
        } else {
            let name = node.name.clone();
            let next = Next::Changed(node);
            self.0.insert(name, Slot { stored: None, next });
        }
    }

    /// As it is stored, if it is.
    pub fn stored(&self, name: &NodeName) -> Option<&'a Versioned<Node>> {
        self.0.get(name).and_then(|slot| slot.stored)
    }

    /// Whether it has a record already.
    pub fn was_known(&self, name: &NodeName) -> bool {
        self.0.get(name).is_some_and(|slot| slot.stored.is_some())
    }

    /// Nodes with what is reported of each.
    pub fn with<'b>(&'b self, facts: &'b BTreeMap<NodeName, Arc<NodeFact>>) -> impl Iterator<Item = (&'b Node, Option<&'b NodeFact>)> {
        // Both are in the order of names.
        let mut facts = facts.iter().peekable();
        self.values().map(move |node| {
            while facts.next_if(|(other, _)| **other < node.name).is_some() {}
            let fact = facts.next_if(|(other, _)| **other == node.name);
            (node, fact.map(|(_, fact)| &**fact))
        })
    }

    /// What differs from what is stored, the newest first, as lists have it, then what is new.
    pub fn changes(&self) -> Vec<Change<'a, '_>> {
        let changes = self.0.values().filter_map(|slot| match (&slot.next, slot.stored) {
            (Next::Same, _) | (Next::Gone, None) => None,
            (Next::Gone, Some(stored)) => Some(Change::Deleted(stored)),
            (Next::Changed(node), Some(stored)) => (**node != *stored.object).then_some(Change::Changed(stored, node)),
            (Next::Changed(node), None) => Some(Change::Added(node)),
        });
        let mut changes: Vec<_> = changes.collect();
        changes.sort_by_key(|change| match change {
            Change::Changed(stored, _) | Change::Deleted(stored) => (false, Reverse(stored.created_at.as_second())),
            Change::Added(_) => (true, Reverse(0)),
        });
        changes
    }
}

/// How a node differs from what is stored of it.
pub(super) enum Change<'a, 'b> {
    Added(&'b Node),
    Changed(&'a Versioned<Node>, &'b Node),
    Deleted(&'a Versioned<Node>),
}
