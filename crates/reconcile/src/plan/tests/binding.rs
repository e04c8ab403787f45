//! Nodes of a logical pool's own, and pools in which nothing starts.

use super::World;
use crate::plan::fixtures::logical;
use domain::node::Drain;
use domain::pool::{ControlMode, Pool};
use insta::assert_snapshot;

fn control(world: &mut World, pool: &str, bits: u32) {
    let mut descendants = world.tree().unwrap().descendants.into_iter().map(|known| Pool::clone(&known.pool));
    let mut pool = descendants.find(|known| known.name.as_str() == pool).unwrap();
    pool.spec.control = ControlMode(bits);
    world.put(pool);
}

/// A running root with a child and a grandchild.
fn family() -> World {
    let mut world = World::running(&[("cpu", 2)]);
    world.put(logical("child", Some(("root", "root")), &[("cpu", 2)]));
    world.put(logical("grandchild", Some(("child", "root")), &[("cpu", 1)]));
    world
}

#[test]
fn a_bound_node_is_kept_for_its_pool_until_it_is_unbound() {
    let mut world = family();
    world.settle();
    world.edit_node("n1", |node| node.quota = Some("child".parse_name()));
    let uid = world.tree().unwrap().descendants[0].pool.uid.clone();
    assert_eq!(world.step(), format!("> dedicate-node n1 {uid}\n"));
    assert_snapshot!(world.step(), @"nothing");
    world.edit_node("n1", |node| node.quota = Some("nobody".parse_name()));
    assert_snapshot!(world.step(), @"> dedicate-node n1 nobody");
    assert_snapshot!(world.step(), @"nothing");
}

#[test]
fn a_node_is_kept_before_it_is_emptied() {
    let mut world = family();
    world.settle();
    world.fact("n1").is_busy = true;
    world.edit_node("n1", |node| {
        node.quota = Some("child".parse_name());
        node.care.drain = Some(Drain {
            asked_at: crate::plan::fixtures::start(),
            done_at: None,
            reopens: true,
        });
    });
    let step = world.step();
    let commands: Vec<&str> = step.lines().filter_map(|line| line.strip_prefix("> ")?.split(' ').next()).collect();
    let first = commands.iter().position(|name| *name == "dedicate-node");
    let hold = commands.iter().position(|name| *name == "hold-node");
    assert!(first.is_some() && hold.is_some() && first < hold, "{step}");
}

#[test]
fn what_restricts_a_pool_shuts_those_inside_it_too() {
    let mut world = family();
    world.settle();
    control(&mut world, "child", ControlMode::SERVICE);
    assert_snapshot!(world.step(), @"> set-quotas root: 2-2 cpu child: 2-2 cpu shut grandchild: 1-1 cpu shut");
    control(&mut world, "child", ControlMode::SPECIFICATION | ControlMode::PREPAID_SWITCH);
    assert_snapshot!(world.step(), @"> set-quotas root: 2-2 cpu child: 2-2 cpu grandchild: 1-1 cpu");
    world.edit(|pool| pool.spec.control = ControlMode(ControlMode::PUBLIC_SECURITY));
    assert_snapshot!(world.step(), @"> set-quotas root: 2-2 cpu shut child: 2-2 cpu shut grandchild: 1-1 cpu shut");
    assert_snapshot!(world.step(), @"nothing");
}

trait ParseName {
    fn parse_name(&self) -> domain::name::PoolName;
}

impl ParseName for str {
    fn parse_name(&self) -> domain::name::PoolName {
        domain::name::PoolName::parse(self).unwrap()
    }
}
