//! What a fleet may report, at random.

use super::recipe::{NAMES, ZONES, moment, template_name, text, version};
use crate::plan::fixtures::{node, zone};
use domain::pool::JobType;
use fleet::observation::{ClusterFact, DriverProgress, PluginState};
use fleet::{DriverFact, MachineState, NodeFact, Observation, PluginFact, RequestFact, RequestProgress};
use jiff::SignedDuration;
use proptest::collection::btree_map;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use std::sync::Arc;

fn machine_state() -> impl Strategy<Value = MachineState> {
    prop_oneof![
        1 => Just(MachineState::Booting),
        1 => Just(MachineState::Checking),
        4 => Just(MachineState::Ready),
        1 => text().prop_map(MachineState::Faulty),
        1 => text().prop_map(MachineState::Failed),
        1 => Just(MachineState::Releasing),
    ]
}

fn driver_fact() -> impl Strategy<Value = DriverFact> {
    let progress = prop_oneof![
        2 => Just(DriverProgress::Done),
        1 => version().prop_map(|version| DriverProgress::Installing { version }),
        1 => version().prop_map(|version| DriverProgress::Failed { version, reason: String::new() }),
    ];
    (option::of(version()), progress).prop_map(|(installed, progress)| DriverFact { installed, progress })
}

fn request_fact() -> impl Strategy<Value = RequestFact> {
    let progress = prop_oneof![
        Just(RequestProgress::Running),
        Just(RequestProgress::Done),
        text().prop_map(|reason| RequestProgress::Failed { reason }),
    ];
    (0..3_u64, progress).prop_map(|(number, progress)| RequestFact { number, progress })
}

fn node_fact() -> impl Strategy<Value = NodeFact> {
    let silence = option::weighted(0.3, select(vec![-3600, -60, -59, 0, 60]).prop_map(SignedDuration::from_secs));
    let flags = (any::<bool>(), any::<bool>(), option::of(any::<bool>()), option::of(request_fact()));
    (machine_state(), select(&ZONES), moment(), silence, option::of(driver_fact()), flags).prop_map(
        |(state, az, at, silence, driver, (is_busy, is_held, is_locked, request))| NodeFact {
            state,
            az: zone(az),
            silent_since: silence.map(|offset| at + offset),
            private_ip: None,
            instance: None,
            resources: domain::quantities::Quantities::default(),
            available: domain::quantities::Quantities::default(),
            os: None,
            driver,
            is_busy,
            is_held,
            is_locked,
            request,
            dedicated_to: None,
        },
    )
}

pub fn observation() -> impl Strategy<Value = Observation> {
    let cluster = prop_oneof![
        1 => Just(ClusterFact::Absent),
        1 => Just(ClusterFact::Starting),
        5 => Just(ClusterFact::Ready),
        1 => text().prop_map(ClusterFact::Failed),
        1 => Just(ClusterFact::Unreachable),
    ];
    let state = prop_oneof![
        Just(PluginState::Installing),
        Just(PluginState::Running),
        text().prop_map(PluginState::Failed),
        Just(PluginState::Removing),
    ];
    let plugin = (version(), 0..3_u32, option::of(version()), state).prop_map(|(version, attempt, running, state)| PluginFact {
        version,
        attempt,
        running,
        state,
        objects: Vec::new(),
    });
    // Two machines at most that nobody knows.
    let names = NAMES.into_iter().chain(["ghost-1", "ghost-2"]).collect::<Vec<_>>();
    let dependency = prop_oneof![Just(Ok(())), text().prop_map(Err)];
    (
        cluster,
        btree_map(select(names).prop_map(node), node_fact().prop_map(Arc::new), 0..8),
        btree_map(template_name(), plugin, 0..3),
        btree_map(select(JobType::ALL.to_vec()), dependency, 0..3),
        btree_map(select(JobType::ALL.to_vec()), 0..3_u32, 0..3),
    )
        .prop_map(|(cluster, nodes, plugins, dependencies, workloads)| Observation {
            cluster,
            nodes,
            plugins,
            dependencies,
            workloads,
            quotas: Vec::new(),
        })
}
