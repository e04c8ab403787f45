//! A small world without other faults, in which the controller is killed at one named point of one operation.

use crate::act::{Act, Machines, Slot};
use crate::house::in_virtual_time;
use crate::place;
use crate::world::{Faults, Settings, World};
use async_trait::async_trait;
use domain::pool::{JobType, UpdateStrategy};
use fleet::sim::{MachineFault, PoolFault};
use jiff::SignedDuration;
use reconcile::{NoProbe, Probe};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::MemStore;
use tokio::sync::Notify;

const SLOT: Slot = Slot { user: 0, number: 0 };
const OTHER: Slot = Slot { user: 0, number: 1 };
/// How long an operation is watched for a pass of the point.
const WATCH: Duration = Duration::from_hours(4);

/// What an operation consists of, after a pool of three GPU nodes with a sub-pool is there.
enum Move {
    Act(Act),
    Machine(u64, MachineFault),
    Pool(PoolFault),
    MendPool,
    Wait(Duration),
}

/// Every operation that takes the controller several steps.
pub const OPERATIONS: &[&str] = &[
    "create",
    "create a pool whose machines never boot",
    "scale out",
    "scale out to machines that never boot",
    "scale in",
    "enable a job type",
    "disable a job type",
    "retry a job type whose plug-in failed",
    "replace the driver by force",
    "replace the driver when idle",
    "replace the driver where it fails",
    "lose a node for a while",
    "lose the cluster for a while",
    "create a sub-pool",
    "delete a sub-pool",
    "delete",
    "delete while creating",
];

fn operation(name: &str) -> Vec<Move> {
    use Move::{Machine, MendPool, Pool, Wait};
    let dead = |machines: std::ops::Range<u64>| machines.map(|at| Machine(at, MachineFault::NeverBoots));
    let reason = || "simulated".to_owned();
    let fails = PoolFault::PluginFails {
        template: place::plugin(),
        times: 1,
    };
    let retry = Act::RetryScope {
        slot: SLOT,
        job_type: JobType::Train,
    };
    let silence = MachineFault::Silent {
        lasting: Some(SignedDuration::from_mins(10)),
    };
    let act = Move::Act;
    let a_while = || Wait(Duration::from_mins(10));
    match name {
        "create" => vec![act(create(OTHER))],
        "create a pool whose machines never boot" => dead(24..48).chain([act(create(OTHER))]).collect(),
        "scale out" => vec![act(scale(5))],
        "scale out to machines that never boot" => dead(28..48).chain([act(scale(6))]).collect(),
        "scale in" => vec![act(scale(2))],
        "enable a job type" => vec![act(scope(&[JobType::Train, JobType::Notebook]))],
        "disable a job type" => vec![
            act(scope(&[JobType::Train, JobType::Notebook])),
            a_while(),
            act(scope(&[JobType::Notebook])),
        ],
        "retry a job type whose plug-in failed" => vec![
            act(scope(&[JobType::Notebook])),
            a_while(),
            Pool(fails),
            act(scope(&[JobType::Notebook, JobType::Train])),
            a_while(),
            act(retry),
        ],
        "replace the driver by force" => vec![act(driver(UpdateStrategy::Force))],
        "replace the driver when idle" => vec![act(driver(UpdateStrategy::Idle))],
        "replace the driver where it fails" => vec![
            Machine(24, MachineFault::DriverFails { times: 1 }),
            act(driver(UpdateStrategy::Force)),
        ],
        "lose a node for a while" => vec![Machine(24, silence)],
        "lose the cluster for a while" => vec![Pool(PoolFault::ClusterDown { reason: reason() }), a_while(), MendPool],
        "create a sub-pool" => vec![act(Act::DeleteChild { slot: SLOT }), a_while(), act(CHILD)],
        "delete a sub-pool" => vec![act(Act::DeleteChild { slot: SLOT })],
        "delete" => vec![act(Act::DeleteChild { slot: SLOT }), a_while(), act(Act::Delete { slot: SLOT })],
        "delete while creating" => vec![act(create(OTHER)), Wait(Duration::from_secs(100)), act(Act::Delete { slot: OTHER })],
        _ => Vec::new(),
    }
}

const CHILD: Act = Act::CreateChild { slot: SLOT, count: 1 };

fn create(slot: Slot) -> Act {
    Act::Create {
        slot,
        machines: Machines::Gpu,
        count: 3,
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

fn scope(scope: &[JobType]) -> Act {
    Act::SetScope {
        slot: SLOT,
        scope: scope.to_vec(),
    }
}

fn driver(strategy: UpdateStrategy) -> Act {
    Act::SetDriver {
        slot: SLOT,
        version: "1",
        strategy,
    }
}

/// Where a controller is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kill {
    pub point: &'static str,
    /// At which pass of the point.
    pub pass: usize,
}

/// Counts how often points are passed, and stops at one of them for ever.
#[derive(Default)]
struct Killer {
    kill: Option<Kill>,
    is_armed: AtomicBool,
    passes: Mutex<BTreeMap<&'static str, usize>>,
    hit: Notify,
}

#[async_trait]
impl Probe for Killer {
    async fn at(&self, point: &'static str) {
        if !self.is_armed.load(Ordering::Relaxed) {
            return;
        }
        let pass = {
            let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
            let pass = passes.entry(point).or_default();
            *pass += 1;
            *pass
        };
        if self.kill == Some(Kill { point, pass }) {
            self.hit.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// Every named point that an operation passes, with how often, when nothing interferes.
pub fn passes(name: &str) -> BTreeMap<&'static str, usize> {
    let killer = Arc::new(Killer::default());
    in_virtual_time(small_world(name, Arc::clone(&killer)));
    let passes = killer.passes.lock().unwrap_or_else(PoisonError::into_inner);
    passes.clone()
}

/// Runs an operation whose controller is killed. Gives what broke.
pub fn kill(name: &str, kill: Kill) -> Vec<String> {
    let killer = Killer {
        kill: Some(kill),
        ..Killer::default()
    };
    in_virtual_time(small_world(name, Arc::new(killer)))
}

async fn small_world(name: &str, killer: Arc<Killer>) -> Vec<String> {
    let settings = Settings {
        seed: 1,
        hours: 0,
        faults: Faults::NONE,
        keep: None,
    };
    let world = World::new(settings, MemStore::default()).await;
    world.furnish().await;
    let followers = world.house.follow();
    world.start_controller(0, 0, Arc::clone(&killer) as Arc<dyn Probe>);
    for (id, act) in [create(SLOT), CHILD].iter().enumerate() {
        demand(&world, act, id).await;
        world.house.pause(Duration::from_hours(1)).await;
    }
    killer.is_armed.store(true, Ordering::Relaxed);
    let story = async {
        for (id, next) in operation(name).iter().enumerate() {
            make(&world, next, id + 10).await;
        }
        world.house.pause(WATCH).await;
    };
    let murder = async {
        killer.hit.notified().await;
        world.house.kill_controller(0);
        world.start_controller(1, 0, Arc::new(NoProbe));
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = story => {}
        () = murder => {}
    }
    killer.is_armed.store(false, Ordering::Relaxed);
    world.mend_everything().await;
    world.come_to_rest(&mut Vec::new()).await;
    drop(followers);
    world.house.auditor.take()
}

async fn make(world: &World, next: &Move, id: usize) {
    let pool = place::pool_name(SLOT);
    let broken = match next {
        Move::Act(act) => return demand(world, act, id).await,
        Move::Wait(wait) => return world.house.pause(*wait).await,
        Move::Machine(at, fault) => {
            let machine = world.fleet.machines()[*at as usize].registration.id.clone();
            world.fleet.break_machine(&machine, fault.clone()).await
        }
        Move::Pool(fault) => world.fleet.break_pool(&pool, fault.clone()).await,
        Move::MendPool => world.fleet.mend_pool(&pool).await,
    };
    if !matches!(broken, Ok(Ok(()))) {
        world.house.auditor.report(format!("the fault was not there to be had: {broken:?}"));
    }
}

/// Without faults, every request of an operation is to be answered with success.
async fn demand(world: &World, act: &Act, id: usize) {
    let answer = world.house.user(0).act(act, id).await;
    if answer != "ok" {
        world.house.auditor.report(format!("{act:?}: {answer}"));
    }
}
