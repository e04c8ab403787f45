//! What holds for every plan, whatever the records say and the fleet reports.

use super::World;
use super::recipe::{job_types, recipe};
use super::render;
use crate::plan::{Plan, Tree};
use domain::name::NodeName;
use domain::node::{DeleteCause, Node, NodePhase};
use domain::place::Zones;
use domain::pool::{Pool, PoolResource};
use domain::status::{is_building, present_nodes};
use fleet::{Command, ResetRequest};
use proptest::prelude::*;
use std::collections::BTreeMap;
use store::Object;

/// The records of a tree's nodes after a plan.
fn nodes_after(tree: &Tree, plan: &Plan) -> BTreeMap<NodeName, Node> {
    let mut nodes: BTreeMap<NodeName, Node> = tree.nodes.iter().map(|node| (node.name.clone(), Node::clone(node))).collect();
    for (key, _) in &plan.batch.deletes {
        nodes.retain(|_, node| store::Resource::key(node) != *key);
    }
    for (object, _) in &plan.batch.puts {
        if let Object::Node(node) = object {
            nodes.insert(node.name.clone(), Node::clone(node));
        }
    }
    nodes
}

fn pool_after(tree: &Tree, plan: &Plan) -> Pool {
    let written = plan.batch.puts.iter().find_map(|(object, _)| match object {
        Object::Pool(pool) if pool.uid == tree.root.uid => Some(Pool::clone(pool)),
        _ => None,
    });
    written.unwrap_or_else(|| Pool::clone(&tree.root))
}

/// How many nodes an element wants in each zone; `None`: anywhere.
fn wanted(element: &PoolResource) -> Option<Zones> {
    let azs = element.azs.as_ref()?;
    Some(azs.iter().map(|entry| (entry.az.clone(), entry.count)).collect())
}

/// Nothing is taken that the spec still wants, and nothing is made beyond it.
fn check_scaling(tree: &Tree, plan: &Plan) -> Result<(), TestCaseError> {
    let before: BTreeMap<NodeName, Node> = tree.nodes.iter().map(|node| (node.name.clone(), Node::clone(node))).collect();
    let (after, pool) = (nodes_after(tree, plan), pool_after(tree, plan));
    let went = |name: &NodeName, cause: DeleteCause| {
        !before[name].phase.is_deleting()
            && after
                .get(name)
                .is_some_and(|node| matches!(node.phase, NodePhase::Deleting { cause: found, .. } if found == cause))
    };
    for name in before.keys().filter(|name| went(name, DeleteCause::ScaleIn)) {
        prop_assert!(
            is_building(&pool) || !pool.counts(),
            "{name} was taken from a pool that is not being built"
        );
        prop_assert!(!before[name].is_locked, "{name} is locked");
    }
    for name in before.keys().filter(|name| went(name, DeleteCause::GivenUp)) {
        prop_assert!(!before[name].was_available || !pool.counts(), "{name} was up and is given up");
    }
    // A creation that has failed gives everything back.
    for element in pool.spec.resources.iter().filter(|_| pool.counts()) {
        let key = element.element();
        let (had, has) = (present_nodes(before.values(), &key), present_nodes(after.values(), &key));
        let of = |nodes: &BTreeMap<NodeName, Node>, keep: &dyn Fn(&Node) -> bool| {
            nodes.values().filter(|node| node.element() == key && keep(node)).count() as u32
        };
        let is_new = |node: &Node| !before.contains_key(&node.name);
        let is_taken = |node: &Node| went(&node.name, DeleteCause::ScaleIn);
        match wanted(element) {
            None => {
                let total: u32 = has.values().sum();
                prop_assert!(
                    of(&after, &is_new) == 0 || total <= element.count,
                    "{total} of {} of {}",
                    element.count,
                    element.flavor
                );
                prop_assert!(
                    of(&before, &is_taken) == 0 || total >= element.count,
                    "only {total} of {} are left",
                    element.count
                );
            }
            Some(wanted) => {
                for zone in had.keys().chain(has.keys()) {
                    let (want, is) = (wanted.get(zone).copied().unwrap_or(0), has.get(zone).copied().unwrap_or(0));
                    let made = of(&after, &|node| is_new(node) && node.az == *zone);
                    let taken = of(&before, &|node| is_taken(node) && node.az == *zone);
                    prop_assert!(made == 0 || is <= want, "{is} of {want} in {zone}");
                    prop_assert!(taken == 0 || is >= want, "only {is} of {want} are left in {zone}");
                }
            }
        }
    }
    Ok(())
}

/// Every command is about this pool, and about a node that is meant.
fn check_commands(tree: &Tree, plan: &Plan) -> Result<(), TestCaseError> {
    let after = nodes_after(tree, plan);
    let mut made = std::collections::BTreeSet::new();
    for command in &plan.commands {
        prop_assert_eq!(&command.pool().uid, &tree.root.uid);
        match command {
            Command::CreateNode(request) => {
                let node = after.get(&request.node);
                prop_assert!(
                    node.is_some_and(|node| !node.was_available && node.az == request.az && !node.phase.is_deleting()),
                    "{} is asked for and not wanted: {node:?}",
                    request.node
                );
                prop_assert!(made.insert(request.node.clone()), "{} is asked for twice", request.node);
            }
            Command::DeleteNode { node, .. } => {
                prop_assert!(
                    after.get(node).is_none_or(|node| node.phase.is_deleting()),
                    "{node} is sent away and kept"
                );
            }
            Command::HoldNode { node, .. }
            | Command::OpenNode { node, .. }
            | Command::LockNode { node, .. }
            | Command::EvictNode { node, .. }
            | Command::RebootNode { node, .. }
            | Command::ResetNode(ResetRequest { node, .. })
            | Command::MoveNode { node, .. }
            | Command::DedicateNode { node, .. }
            | Command::SetDriver { node, .. } => {
                prop_assert!(after.contains_key(node), "{node} is unknown");
            }
            Command::RemovePool { .. } => prop_assert!(tree.root.deleted_at.is_some() || !tree.root.counts(), "the pool is in use"),
            Command::SetQuotas { quotas, .. } => {
                let parents = |at: usize| quotas[..at].iter().map(|quota| Some(&quota.pool.uid));
                for (at, quota) in quotas.iter().enumerate() {
                    let is_placed = at == 0 && quota.parent.is_none() || parents(at).any(|uid| uid == quota.parent.as_ref());
                    prop_assert!(is_placed, "{} does not come after its parent", quota.pool.pool.name);
                }
            }
            Command::EnsurePool { .. } | Command::EnsurePlugin { .. } | Command::RemovePlugin { .. } => {}
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_same_input_gives_the_same_plan(recipe in recipe()) {
        let world = recipe.build();
        let tree = world.tree().unwrap();
        prop_assert_eq!(format!("{:?}", world.plan_for(&tree)), format!("{:?}", world.plan_for(&tree)));
    }

    #[test]
    fn no_node_beyond_the_spec_is_made_and_none_that_it_needs_is_taken(recipe in recipe()) {
        let world = recipe.build();
        let tree = world.tree().unwrap();
        let plan = world.plan_for(&tree);
        check_scaling(&tree, &plan)?;
        check_commands(&tree, &plan)?;
    }

    /// Writing what was planned and planning again comes to rest along legal steps (`World::commit` audits them), and then
    /// repeats itself without writing anything or asking to be woken at once. At rest every invariant holds.
    #[test]
    fn plans_come_to_rest(recipe in recipe()) {
        let mut world = recipe.build();
        let mut texts = Vec::new();
        while let Some(tree) = world.tree() {
            let plan = world.plan_for(&tree);
            texts.push(render::plan(&tree, &plan, world.now));
            if plan.batch.is_empty() {
                prop_assert!(plan.wake.is_none_or(|wake| wake > world.now), "woken at once for nothing:\n{}", texts.join("---\n"));
                prop_assert_eq!(&plan.commands, &world.plan_for(&tree).commands);
                break;
            }
            prop_assert!(texts.len() < 8, "no rest:\n{}", texts.join("---\n"));
            world.commit(&plan);
        }
        let found = world.audit();
        prop_assert!(found.is_empty(), "{found:?}\n{}", texts.join("---\n"));
    }

    #[test]
    fn a_pool_at_rest_is_left_alone(cpu in 1..6_u32, gpu in 0..4_u32, scope in job_types()) {
        let mut world = World::running(&[("cpu", cpu), ("gpu", gpu)].into_iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>());
        for job_type in &scope {
            world.fleet().dependencies.insert(*job_type, Ok(()));
        }
        world.want(&scope);
        world.settle();
        world.install();
        world.settle();
        world.pass(3600);
        prop_assert_eq!(world.step(), render::NOTHING);
    }
}
