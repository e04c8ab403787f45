//! The nodes of a plan: what they share with what is stored, and how they differ from it.

use super::World;
use crate::plan::fixtures::{available, node, ready};
use crate::plan::roll::{Change, Roll};
use domain::node::Node;
use std::collections::BTreeMap;
use std::sync::Arc;

fn told(roll: &Roll<'_>) -> Vec<String> {
    let changes = roll.changes();
    let told = changes.iter().map(|change| match change {
        Change::Added(node) => format!("+ {}", node.name),
        Change::Changed(_, node) => format!("~ {}", node.name),
        Change::Deleted(stored) => format!("- {}", stored.name),
    });
    told.collect()
}

#[test]
fn a_node_that_is_taken_out_and_put_in_as_it_was_is_no_change() {
    let tree = World::running(&[("cpu", 3)]).tree().unwrap();
    let mut roll = Roll::new(&tree.nodes);
    let taken = roll.remove(&node("n2")).unwrap();
    assert!(!roll.contains_key(&node("n2")) && roll.was_known(&node("n2")));
    assert_eq!((roll.len(), told(&roll)), (2, vec!["- n2".to_owned()]));
    roll.insert(taken);
    assert!(roll.get_mut(&node("n1")).is_some());
    assert_eq!((roll.len(), told(&roll)), (3, Vec::new()));
}

#[test]
fn what_is_new_comes_after_what_changes() {
    let tree = World::running(&[("cpu", 3)]).tree().unwrap();
    let mut roll = Roll::new(&tree.nodes);
    roll.insert(Box::new(available("a-new-one", "cpu", "az-1")));
    roll.get_mut(&node("n3")).unwrap().is_locked = true;
    drop(roll.remove(&node("n1")));
    assert_eq!(told(&roll), ["- n1", "~ n3", "+ a-new-one"]);
    assert!(!roll.was_known(&node("a-new-one")));
    drop(roll.remove(&node("a-new-one")));
    assert_eq!(told(&roll), ["- n1", "~ n3"]);
}

#[test]
fn each_node_meets_what_is_reported_of_it() {
    let tree = World::running(&[("cpu", 3)]).tree().unwrap();
    let mut roll = Roll::new(&tree.nodes);
    let fact = |name: &str| (node(name), Arc::new(ready(&available(name, "cpu", "az-1"))));
    let facts = BTreeMap::from([fact("a"), fact("n1"), fact("n2"), fact("n22"), fact("n3")]);
    drop(roll.remove(&node("n2")));
    let met = |roll: &Roll<'_>| -> Vec<(String, bool)> {
        let pairs = roll.with(&facts);
        pairs
            .map(|(node, fact): (&Node, _)| (node.name.to_string(), fact.is_some()))
            .collect()
    };
    assert_eq!(met(&roll), [("n1".to_owned(), true), ("n3".to_owned(), true)]);
    roll.insert(Box::new(available("n21", "cpu", "az-1")));
    assert_eq!(met(&roll)[1], ("n21".to_owned(), false));
}
