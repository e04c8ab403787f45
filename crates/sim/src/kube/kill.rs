//! A small world over a cluster without other faults, in which the controller's process ends in the middle of one of its writes.

use super::act::{NodeAct, Use};
use super::line::Line;
use super::{KubeFaults, KubeSettings, KubeWorld};
use crate::act::{Act, Machines, Slot};
use crate::house::in_virtual_time;
use domain::pool::UpdateStrategy;
use fleet_kube::config::Scheduler;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

const SLOT: Slot = Slot { user: 0, number: 0 };
const OTHER: Slot = Slot { user: 0, number: 1 };
/// How long an operation is watched.
const WATCH: Duration = Duration::from_hours(1);
/// As good as for ever.
const UNHARMED: i64 = i64::MAX / 2;

enum Move {
    Act(Act),
    Use(Use),
    Wait(Duration),
}

/// Every operation that takes several writes.
pub const KUBE_OPERATIONS: &[&str] = &[
    "create",
    "scale out",
    "scale in",
    "replace the driver",
    "grow a sub-pool",
    "shrink a sub-pool",
    "delete a sub-pool",
    "reboot a node",
    "reset a node",
    "drain a node",
    "move a node",
    "delete",
];

fn operation(name: &str) -> Vec<Move> {
    let act = Move::Act;
    let of_node = |what| Move::Use(Use::Node { slot: SLOT, at: 0, what });
    match name {
        "create" => vec![act(create(Slot { user: 0, number: 2 }, 2))],
        "scale out" => vec![act(scale(5))],
        "scale in" => vec![act(scale(2))],
        "replace the driver" => vec![act(Act::SetDriver {
            slot: SLOT,
            version: "1",
            strategy: UpdateStrategy::Force,
        })],
        "grow a sub-pool" => vec![act(child(2))],
        "shrink a sub-pool" => vec![act(child(0))],
        "delete a sub-pool" => vec![act(Act::DeleteChild { slot: SLOT })],
        "reboot a node" => vec![of_node(NodeAct::Reboot)],
        "reset a node" => vec![of_node(NodeAct::Reset)],
        "drain a node" => vec![of_node(NodeAct::Drain)],
        "move a node" => vec![Move::Use(Use::Migrate { slot: SLOT, at: 0 })],
        "delete" => vec![
            act(Act::DeleteChild { slot: SLOT }),
            Move::Wait(Duration::from_mins(10)),
            act(Act::Delete { slot: SLOT }),
        ],
        _ => Vec::new(),
    }
}

fn create(slot: Slot, count: u32) -> Act {
    Act::Create {
        slot,
        machines: Machines::Gpu,
        count,
        is_prepaid: false,
    }
}

fn scale(count: u32) -> Act {
    Act::Scale {
        slot: SLOT,
        count,
        is_console: false,
    }
}

fn child(count: u32) -> Act {
    Act::ScaleChild { slot: SLOT, count }
}

/// How many writes an operation takes when nothing interferes.
pub fn kube_writes(name: &str) -> i64 {
    let (left, violations) = in_virtual_time(small_world(name, UNHARMED));
    if violations.is_empty() { UNHARMED - left } else { 0 }
}

/// Runs an operation whose controller ends in the middle of its `at`th write: it is done, and nobody hears of it. Gives what broke.
pub fn kube_kill(name: &str, at: i64) -> Vec<String> {
    in_virtual_time(small_world(name, at)).1
}

async fn small_world(name: &str, at: i64) -> (i64, Vec<String>) {
    let settings = KubeSettings {
        seed: 1,
        hours: 0,
        faults: KubeFaults::NONE,
        keep: None,
    };
    let world = KubeWorld::new(settings, Some(Scheduler::Volcano)).await;
    // The adapter is to keep the tree legal by itself.
    world.cluster.set_queue_rules(false);
    let followers = world.house.follow();
    let left = Arc::new(AtomicI64::new(UNHARMED));
    let line = Line::new(world.country.clone(), 0, world.house.seed(9)).ending_after(Arc::clone(&left));
    world.start_controller_over(0, 0, line);
    let story = async {
        let pods = Use::Run {
            slot: SLOT,
            is_child: false,
            pods: 2,
            seconds: None,
            stop: 5,
            has_budget: false,
        };
        let begin = [
            Move::Wait(Duration::from_mins(1)),
            Move::Act(create(SLOT, 3)),
            Move::Act(create(OTHER, 1)),
            Move::Wait(Duration::from_mins(15)),
            Move::Act(Act::CreateChild { slot: SLOT, count: 1 }),
            Move::Wait(Duration::from_mins(15)),
            Move::Use(pods),
            Move::Wait(Duration::from_mins(1)),
        ];
        for (id, next) in begin.iter().enumerate() {
            make(&world, next, id).await;
        }
        left.store(at, Ordering::SeqCst);
        for (id, next) in operation(name).iter().enumerate() {
            make(&world, next, 10 + id).await;
        }
        for _ in 0..WATCH.as_secs() {
            if left.load(Ordering::SeqCst) <= 0 {
                break;
            }
            world.house.pause(Duration::from_secs(1)).await;
        }
        let left = left.load(Ordering::SeqCst);
        world.house.kill_controller(0);
        world.start_controller(1, 0);
        world.come_to_rest(&mut Vec::new()).await;
        left
    };
    let left = world.watched(story).await;
    drop(followers);
    (left, world.house.auditor.take())
}

/// Without faults, every request of an operation is to be answered with success.
async fn make(world: &KubeWorld, next: &Move, id: usize) {
    let (what, answer) = match next {
        Move::Act(act) => (format!("{act:?}"), world.house.user(0).act(act, id).await),
        Move::Use(what) => (format!("{what:?}"), world.do_use(what, id).await),
        Move::Wait(wait) => return world.house.pause(*wait).await,
    };
    if answer != "ok" {
        world.house.auditor.report(format!("{what}: {answer}"));
    }
}
