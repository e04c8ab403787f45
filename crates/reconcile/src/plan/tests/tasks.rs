//! Requests to machines, drains, moves and repairs (contract nodes §4).

use super::World;
use crate::plan::RepairPolicy;
use crate::plan::fixtures::{self, available, node, start};
use domain::job::{Job, JobKind, JobNode, JobNodeState};
use domain::meta::Uid;
use domain::name::WorkspaceId;
use domain::node::{DRAIN_TAINT, Drain, HA_TAINT, MoveFrom, Node, NodePhase, TaintEffect, TaskKind};
use fleet::{Command, MachineState, RequestFact, RequestProgress};
use jiff::Timestamp;

fn job(world: &mut World, names: &[&str], at_once: Option<u32>) -> Uid {
    let pool = world.pool();
    let id = Uid::from_text("job");
    world.put(Job {
        id: id.clone(),
        name: "reboot-node-a".to_owned(),
        project: fixtures::project(),
        workspace: WorkspaceId::default_workspace(),
        pool: pool.name.clone(),
        pool_uid: pool.uid,
        kind: JobKind::RebootNode,
        created_at: start(),
        nodes: names
            .iter()
            .map(|name| JobNode {
                name: node(name),
                state: JobNodeState::Open,
            })
            .collect(),
        at_once,
        inputs: String::new(),
        ended: None,
    });
    for name in names {
        world.edit_node(name, |node| node.care.ask(TaskKind::Reboot, Some(id.clone()), start()));
    }
    id
}

fn phase_of(world: &World) -> &'static str {
    world.tree().unwrap().jobs[0].phase()
}

fn commands(world: &World) -> Vec<String> {
    let plan = world.plan();
    let about = |command: &Command| command.node().map(|node| format!("{} {node}", command.name()));
    plan.commands.iter().filter_map(about).collect()
}

/// Steps until the fleet has done what it is told, which takes no write.
fn run(world: &mut World) {
    for _ in 0..6 {
        world.step();
    }
}

fn of<'a>(nodes: &'a [Node], name: &str) -> &'a Node {
    nodes.iter().find(|node| node.name.as_str() == name).unwrap()
}

#[test]
fn a_request_is_repeated_until_the_fleet_has_heard_it() {
    let mut world = World::running(&[("cpu", 2)]);
    job(&mut world, &["n1"], None);
    assert_eq!(commands(&world), ["reboot-node n1"]);
    // The command is lost.
    world.step_refused();
    assert_eq!(of(&world.nodes(), "n1").phase.as_str(), "Checking");
    assert_eq!(commands(&world), ["reboot-node n1"]);
    world.settle();
    assert_eq!((commands(&world), phase_of(&world)), (Vec::new(), "Running"));
    world.boot();
    world.settle();
    assert_eq!(
        (of(&world.nodes(), "n1").phase.as_str(), phase_of(&world)),
        ("Available", "Success")
    );
}

#[test]
fn so_many_are_worked_on_at_once_as_the_job_allows() {
    let mut world = World::running(&[("cpu", 3)]);
    job(&mut world, &["n1", "n2", "n3"], Some(2));
    world.settle();
    let checking = |world: &World| world.nodes().iter().filter(|node| node.phase.as_str() == "Checking").count();
    assert_eq!(checking(&world), 2);
    world.boot();
    world.settle();
    assert_eq!((checking(&world), phase_of(&world)), (1, "Running"));
    world.boot();
    world.settle();
    assert_eq!((checking(&world), phase_of(&world)), (0, "Success"));
}

#[test]
fn a_machine_that_does_not_come_up_fails_its_job() {
    let mut world = World::running(&[("cpu", 2)]);
    job(&mut world, &["n1"], None);
    world.settle();
    world.pass(31 * 60);
    world.settle();
    assert_eq!(phase_of(&world), "Failed");
    assert!(matches!(&of(&world.nodes(), "n1").phase, NodePhase::Abnormal { message, .. } if message.contains("in time")));
    let mut world = World::running(&[("cpu", 2)]);
    job(&mut world, &["n1"], None);
    world.settle();
    world.fact("n1").request = Some(RequestFact {
        number: 1,
        progress: RequestProgress::Failed { reason: "dead".to_owned() },
    });
    world.fact("n1").state = MachineState::Faulty("dead".to_owned());
    world.settle();
    assert_eq!((of(&world.nodes(), "n1").phase.as_str(), phase_of(&world)), ("Abnormal", "Failed"));
}

#[test]
fn a_node_that_goes_fails_its_job() {
    let mut world = World::running(&[("cpu", 2)]);
    job(&mut world, &["n1"], None);
    world.settle();
    world.fleet().nodes.remove(&node("n1"));
    world.settle();
    world.pass(11 * 60);
    world.settle();
    assert_eq!(phase_of(&world), "Failed");
}

#[test]
fn a_drained_node_stays_closed_until_it_was_rebooted() {
    let mut world = World::running(&[("cpu", 2)]);
    world.fact("n1").is_busy = true;
    world.edit_node("n1", |node| {
        node.care.drain = Some(Drain {
            asked_at: start(),
            done_at: None,
            reopens: false,
        });
        node.care.taint(DRAIN_TAINT, TaintEffect::NoSchedule, start());
    });
    assert_eq!(commands(&world), ["hold-node n1"]);
    world.step();
    assert_eq!(commands(&world), ["evict-node n1"]);
    run(&mut world);
    assert!(of(&world.nodes(), "n1").care.drain.is_some_and(|drain| drain.done_at.is_some()));
    assert!(world.fact("n1").is_held);
    job(&mut world, &["n1"], None);
    run(&mut world);
    world.boot();
    run(&mut world);
    assert_eq!((phase_of(&world), world.fact("n1").is_held), ("Success", false));
    assert!(!of(&world.nodes(), "n1").care.is_closed());
}

#[test]
fn a_node_drained_for_its_new_quota_opens_again() {
    let mut world = World::running(&[("cpu", 2)]);
    world.fact("n1").is_busy = true;
    world.edit_node("n1", |node| {
        node.care.drain = Some(Drain {
            asked_at: start(),
            done_at: None,
            reopens: true,
        });
    });
    run(&mut world);
    assert!(!world.fact("n1").is_held && !world.fact("n1").is_busy);
    assert_eq!(of(&world.nodes(), "n1").care.drain, None);
}

#[test]
fn spares_are_kept_free_of_jobs() {
    let mut world = World::running(&[("cpu", 2)]);
    world.fact("n1").is_busy = true;
    world.edit_node("n1", |node| node.care.taint(HA_TAINT, TaintEffect::NoSchedule, start()));
    run(&mut world);
    assert!(world.fact("n1").is_held && world.fact("n1").is_busy);
    world.edit_node("n1", |node| node.care.taint(HA_TAINT, TaintEffect::NoExecute, start()));
    run(&mut world);
    assert!(world.fact("n1").is_held && !world.fact("n1").is_busy);
    world.edit_node("n1", |node| node.care.untaint(HA_TAINT));
    run(&mut world);
    assert!(!world.fact("n1").is_held);
}

/// A node that was moved here, whose machine is not here yet.
fn arriving(world: &mut World) {
    let mut moved = available("moved", "cpu", "az-1");
    moved.was_available = false;
    moved.phase = NodePhase::Checking { deadline: Timestamp::MAX };
    moved.care.coming_from = Some(Box::new(MoveFrom {
        uid: Uid::from_text("other"),
        pool: fixtures::pool_ref("other"),
    }));
    world.scale_to(&[("cpu", 3)]);
    world.put(moved);
}

#[test]
fn a_moved_node_is_asked_for_until_it_is_there_and_none_is_made_in_its_place() {
    let mut world = World::running(&[("cpu", 2)]);
    arriving(&mut world);
    assert_eq!(commands(&world), ["move-node moved"]);
    world.step();
    assert_eq!(commands(&world), ["move-node moved"]);
    let fact = fixtures::ready(of(&world.nodes(), "moved"));
    world.fleet().nodes.insert(node("moved"), fact.into());
    world.settle();
    assert_eq!(of(&world.nodes(), "moved").phase.as_str(), "Available");
    assert!(world.tree().unwrap().order.unwrap().phase.is_ended());
}

#[test]
fn a_moved_node_that_does_not_arrive_is_given_up() {
    let mut world = World::running(&[("cpu", 2)]);
    arriving(&mut world);
    world.settle();
    world.pass(31 * 60);
    world.settle();
    assert_eq!(world.nodes().len(), 2);
    assert_eq!(world.pool().status.phase.as_str(), "ScalingFailed");
}

fn ill(world: &mut World, name: &str) {
    world.fact(name).state = MachineState::Faulty("ill".to_owned());
}

#[test]
fn an_abnormal_node_is_rebooted_then_reset_then_replaced() {
    let mut world = World::running(&[("cpu", 5)]);
    world.policy.repair = RepairPolicy {
        is_on: true,
        ..RepairPolicy::default()
    };
    ill(&mut world, "n1");
    world.settle();
    assert_eq!(of(&world.nodes(), "n1").phase.as_str(), "Abnormal");
    let mut told = Vec::new();
    for _ in 0..4 {
        world.pass(5 * 60);
        for _ in 0..3 {
            told.extend(commands(&world));
            world.step();
        }
        if world.fleet().nodes.contains_key(&node("n1")) {
            world.boot();
            ill(&mut world, "n1");
        }
        world.settle();
    }
    told.dedup();
    assert_eq!(&told[..3], ["reboot-node n1", "reset-node n1", "delete-node n1"]);
    world.release();
    world.settle();
    world.boot();
    world.settle();
    assert_eq!(world.nodes().iter().filter(|node| node.phase.as_str() == "Available").count(), 5);
}

#[test]
fn a_node_returns_only_after_its_check() {
    let mut world = World::running(&[("cpu", 5)]);
    world.policy.repair.is_on = true;
    ill(&mut world, "n1");
    world.settle();
    world.pass(5 * 60);
    world.settle();
    world.fact("n1").state = MachineState::Checking;
    world.settle();
    assert_eq!(of(&world.nodes(), "n1").phase.as_str(), "Checking");
    world.boot();
    world.settle();
    assert_eq!(of(&world.nodes(), "n1").phase.as_str(), "Available");
    assert_eq!(of(&world.nodes(), "n1").care.repair.unwrap().attempts, 1);
    world.pass(3_600);
    world.settle();
    assert_eq!(of(&world.nodes(), "n1").care.repair, None);
}

#[test]
fn nothing_is_repaired_where_many_are_ill_or_nobody_wants_it() {
    let mut world = World::running(&[("cpu", 5)]);
    ill(&mut world, "n1");
    world.settle();
    world.pass(3_600);
    assert!(commands(&world).is_empty());
    world.policy.repair.is_on = true;
    ill(&mut world, "n2");
    world.settle();
    world.pass(3_600);
    world.settle();
    assert!(world.nodes().iter().all(|node| node.care.task.is_none()));
}

#[test]
fn a_lock_is_told_to_a_fleet_that_can_keep_one() {
    let mut world = World::running(&[("cpu", 2)]);
    world.edit_node("n1", |node| node.is_locked = true);
    assert_eq!(commands(&world), Vec::<String>::new(), "this one cannot");
    for name in ["n1", "n2"] {
        world.fact(name).is_locked = Some(false);
    }
    assert_eq!(commands(&world), ["lock-node n1"]);
    run(&mut world);
    assert_eq!((world.fact("n1").is_locked, commands(&world)), (Some(true), Vec::new()));
    world.edit_node("n1", |node| node.is_locked = false);
    run(&mut world);
    assert_eq!((world.fact("n1").is_locked, world.fact("n2").is_locked), (Some(false), Some(false)));
}
