//! Whole lives of pools at random: everything that users ask for and fleets do to them, step by step with every step
//! audited, and a rest in the end once the fleet does what it is told.

use super::World;
use super::recipe::job_types;
use super::render;
use crate::plan::fixtures::{available, node, ready};
use domain::pool::{JobType, PoolPhase, UpdateStrategy};
use fleet::MachineState;
use fleet::observation::{ClusterFact, PluginState};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

#[derive(Debug, Clone)]
enum Event {
    Boot,
    Install,
    Release,
    /// The machine of the node at this place reports this.
    Machine(usize, MachineState),
    /// The node at this place is not reported any more.
    Vanish(usize),
    Busy(usize, bool),
    Lock(usize),
    Ghost,
    Cluster(ClusterFact),
    PluginsFail,
    Workloads(JobType, u32),
    Dependencies(bool),
    Pass(u64),
    Scale(u32),
    Want(Vec<JobType>),
    Upgrade(&'static str, UpdateStrategy),
    Delete,
}

fn event() -> impl Strategy<Value = Event> {
    let place = || 0..6_usize;
    let why = || "why".to_owned();
    let machine = vec![
        MachineState::Booting,
        MachineState::Checking,
        MachineState::Ready,
        MachineState::Faulty(why()),
        MachineState::Failed(why()),
        MachineState::Releasing,
    ];
    let cluster = vec![
        ClusterFact::Ready,
        ClusterFact::Ready,
        ClusterFact::Unreachable,
        ClusterFact::Absent,
    ];
    prop_oneof![
        4 => Just(Event::Boot),
        3 => Just(Event::Install),
        3 => Just(Event::Release),
        3 => (place(), select(machine)).prop_map(|(at, state)| Event::Machine(at, state)),
        2 => place().prop_map(Event::Vanish),
        1 => (place(), any::<bool>()).prop_map(|(at, is_busy)| Event::Busy(at, is_busy)),
        1 => place().prop_map(Event::Lock),
        1 => Just(Event::Ghost),
        1 => select(cluster).prop_map(Event::Cluster),
        1 => Just(Event::PluginsFail),
        1 => (select(JobType::ALL.to_vec()), 0..2_u32).prop_map(|(job_type, count)| Event::Workloads(job_type, count)),
        1 => any::<bool>().prop_map(Event::Dependencies),
        4 => select(vec![1, 30, 61, 121, 300, 600, 1800, 7200]).prop_map(Event::Pass),
        3 => (1..6_u32).prop_map(Event::Scale),
        2 => job_types().prop_filter("at least one", |scope| !scope.is_empty()).prop_map(Event::Want),
        1 => (select(vec!["1.0", "2.0"]), select(vec![UpdateStrategy::Force, UpdateStrategy::Idle]))
            .prop_map(|(version, strategy)| Event::Upgrade(version, strategy)),
        1 => Just(Event::Delete),
    ]
}

/// Whether users may change the pool (contract pools §9.3).
fn may_change(world: &World) -> bool {
    let pool = world.pool();
    pool.deleted_at.is_none() && matches!(pool.status.phase, PoolPhase::Running | PoolPhase::ScalingFailed { .. })
}

fn happen(world: &mut World, event: &Event) {
    let name = |world: &World, at: usize| world.nodes().get(at).map(|node| node.name.clone());
    let fact = |world: &mut World, at: usize, change: &dyn Fn(&mut fleet::NodeFact)| {
        if let Some(name) = name(world, at)
            && let Some(fact) = world.fleet().nodes.get_mut(&name)
        {
            change(std::sync::Arc::make_mut(fact));
        }
    };
    match event {
        Event::Boot => world.boot(),
        Event::Install => world.install(),
        Event::Release => world.release(),
        Event::Machine(at, state) => fact(world, *at, &|fact| fact.state = state.clone()),
        Event::Vanish(at) => {
            if let Some(name) = name(world, *at) {
                world.fleet().nodes.remove(&name);
            }
        }
        Event::Busy(at, is_busy) => fact(world, *at, &|fact| fact.is_busy = *is_busy),
        Event::Lock(at) => {
            if let Some(name) = name(world, *at) {
                world.edit_node(name.as_str(), |node| node.is_locked = !node.is_locked);
            }
        }
        Event::Ghost => {
            let ghost = ready(&available("ghost", "cpu", "az-1"));
            world.fleet().nodes.insert(node("ghost"), ghost.into());
        }
        Event::Cluster(state) => {
            if world.fleet().cluster != ClusterFact::Absent {
                world.fleet().cluster = state.clone();
            }
        }
        Event::PluginsFail => {
            for fact in world.fleet().plugins.values_mut() {
                fact.state = PluginState::Failed("why".to_owned());
            }
        }
        Event::Workloads(job_type, count) => drop(world.fleet().workloads.insert(*job_type, *count)),
        Event::Dependencies(are_up) => {
            let state = if *are_up { Ok(()) } else { Err("down".to_owned()) };
            world.fleet().dependencies.insert(JobType::Infer, state);
        }
        Event::Pass(seconds) => world.pass(*seconds),
        Event::Scale(count) if may_change(world) => {
            world.scale_to(&[("gpu", *count)]);
            world.count();
        }
        Event::Want(scope) if may_change(world) => world.want(scope),
        Event::Upgrade(version, strategy) if may_change(world) => world.upgrade(version, *strategy),
        Event::Delete if world.pool().deleted_at.is_none() && world.pool().counts() => world.delete_pool(),
        Event::Scale(_) | Event::Want(_) | Event::Upgrade(..) | Event::Delete => {}
    }
}

/// The fleet does what it was told, and nothing else happens.
fn obey_all(world: &mut World) {
    let fleet = world.fleet();
    fleet.workloads.clear();
    fleet.dependencies.insert(JobType::Infer, Ok(()));
    if matches!(fleet.cluster, ClusterFact::Starting | ClusterFact::Unreachable) {
        fleet.cluster = ClusterFact::Ready;
    }
    for fact in fleet.nodes.values_mut().map(std::sync::Arc::make_mut) {
        fact.is_busy = false;
        if fact.state != MachineState::Releasing {
            fact.state = MachineState::Ready;
        }
    }
    for fact in fleet
        .plugins
        .values_mut()
        .filter(|fact| matches!(fact.state, PluginState::Failed(_)))
    {
        fact.state = PluginState::Running;
    }
    world.release();
    world.install();
    world.pass(60);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn lives_of_pools_keep_the_rules_and_come_to_rest(events in vec((event(), 0..8_u8), 1..40)) {
        let mut world = World::created(&[("gpu", 2)]);
        world.count();
        world.fleet().dependencies.insert(JobType::Infer, Ok(()));
        let mut told = Vec::new();
        for (event, luck) in &events {
            if world.tree().is_none() {
                break;
            }
            happen(&mut world, event);
            // Now and then the fleet does not hear of a step.
            let step = if *luck == 0 { world.step_refused() } else { world.step() };
            told.push(format!("{event:?}\n{step}"));
            let found = world.audit();
            prop_assert!(found.is_empty(), "{found:?}\n{}", told.join("---\n"));
        }
        for _ in 0..240 {
            if world.tree().is_none() {
                break;
            }
            obey_all(&mut world);
            told.push(world.step());
        }
        let told = told.join("---\n");
        let found = world.audit();
        prop_assert!(found.is_empty(), "{found:?}\n{told}");
        let Some(tree) = world.tree() else { return Ok(()) };
        let pool = &tree.root;
        prop_assert!(pool.deleted_at.is_none(), "the pool is still there:\n{told}");
        match pool.status.phase {
            PoolPhase::CreationFailed { .. } => prop_assert!(tree.nodes.is_empty(), "{told}"),
            PoolPhase::ScalingFailed { .. } => prop_assert!(tree.nodes.len() < pool.wanted() as usize, "{told}"),
            PoolPhase::Running => {
                let unlocked = tree.nodes.iter().filter(|node| !node.is_locked).count();
                let has = tree.nodes.len();
                let wanted = pool.wanted() as usize;
                prop_assert!(has == wanted || (has > wanted && unlocked == 0), "{has} of {wanted} nodes:\n{told}");
                prop_assert!(pool.status.attempt.is_finished || has > wanted, "{told}");
                let target = pool.physical().unwrap().driver.gpu_version.clone().unwrap_or_else(|| "1.0".to_owned());
                for node in &tree.nodes {
                    prop_assert_eq!(node.driver.as_ref().unwrap().installed.as_ref(), Some(&target), "{}", told);
                }
            }
            _ => prop_assert!(false, "{:?}\n{told}", pool.status.phase),
        }
        let last = world.step();
        let is_quiet = last == render::NOTHING || (!pool.counts() && last.starts_with("wake"));
        prop_assert!(is_quiet, "{last}\n{told}");
    }
}
