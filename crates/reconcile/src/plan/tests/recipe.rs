//! Trees and observations at random: whatever a pool can have been left in, and whatever a fleet may report.

use super::World;
use super::facts::observation;
use super::render;
use crate::plan::fixtures::{available, flavor, logical, node, offers, order, pool, start, template, uid, zone};
use domain::catalogue::Offers;
use domain::meta::Uid;
use domain::name::{NodeName, TemplateName};
use domain::node::{DeleteCause, Node, NodeBatch, NodeDriver, NodeDriverState, NodePhase};
use domain::order::{Operation, Order, OrderPhase, Outcome};
use domain::plugin::{Plugin, PluginPhase};
use domain::pool::{
    Accelerator, AzCount, CreatingStep, DriverState, DriverStatus, JobType, Pool, PoolKind, PoolPhase, PoolResource, Purpose, ScopeState,
    ScopeStatus, StepKind, UpdateStrategy, Waiting,
};
use fleet::Observation;
use jiff::{SignedDuration, Timestamp};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::collections::{BTreeMap, BTreeSet};
use store::Object;

#[derive(Clone)]
pub struct Recipe {
    pub pool: Pool,
    pub order: Order,
    pub nodes: Vec<Node>,
    pub plugins: Vec<Plugin>,
    pub children: Vec<(Pool, Order)>,
    pub observed: Option<Observation>,
    pub offers: Offers,
    pub no_capacity: BTreeSet<NodeName>,
    pub now: Timestamp,
}

impl std::fmt::Debug for Recipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let objects = std::iter::once(Object::from(self.pool.clone()))
            .chain([self.order.clone().into()])
            .chain(self.nodes.iter().map(|node| node.clone().into()))
            .chain(self.plugins.iter().map(|plugin| plugin.clone().into()))
            .chain(self.children.iter().map(|(child, _)| child.clone().into()));
        writeln!(f)?;
        for object in objects {
            writeln!(f, "{}", render::whole(&object, self.now))?;
        }
        for element in &self.pool.spec.resources {
            writeln!(f, "wants {} {:?} in {:?}", element.count, element.flavor, element.azs)?;
        }
        writeln!(f, "spec {:?}", self.pool.physical())?;
        let Some(observed) = &self.observed else {
            return writeln!(f, "nothing observed");
        };
        writeln!(f, "cluster {:?}, plugins {:?}", observed.cluster, observed.plugins)?;
        writeln!(f, "dependencies {:?}, workloads {:?}", observed.dependencies, observed.workloads)?;
        for (name, fact) in &observed.nodes {
            writeln!(f, "fact {name}: {fact:?}")?;
        }
        writeln!(f, "no capacity {:?}, now {}", self.no_capacity, self.now)
    }
}

impl Recipe {
    pub fn build(self) -> World {
        let mut world = World::of(self.pool);
        world.put(self.order);
        self.nodes.into_iter().for_each(|node| world.put(node));
        self.plugins.into_iter().for_each(|plugin| world.put(plugin));
        for (pool, order) in self.children {
            world.put(pool);
            world.put(order);
        }
        world.observed = self.observed;
        world.offers = self.offers;
        world.no_capacity = self.no_capacity;
        world.now = self.now;
        world.count();
        world
    }
}

pub fn recipe() -> impl Strategy<Value = Recipe> {
    let records = (any_pool(), vec(any_node(), 0..6), plugins(), vec(child_phase(), 0..3));
    let fleet = (
        option::weighted(0.95, observation()),
        vec(0..4_u32, 3),
        btree_set(select(&NAMES), 0..2),
        moment(),
    );
    (records, fleet).prop_map(|((mut pool, nodes, plugins, children), (observed, free, no_capacity, now))| {
        let nodes = if matches!(pool.status.phase, PoolPhase::Waiting(_)) {
            Vec::new()
        } else {
            nodes
        };
        let nodes = named(nodes);
        let is_common = matches!(
            pool.status.phase,
            PoolPhase::Running | PoolPhase::Abnormal { .. } | PoolPhase::ScalingFailed { .. }
        );
        let children: Vec<_> = (0..)
            .zip(children)
            .filter(|_| is_common)
            .map(|(at, phase)| child(at, phase))
            .collect();
        pool.status.children = children.iter().filter(|(child, _)| child.counts()).count() as u32;
        pool.status.node_sequence = 100;
        // Only a waiting change has something to go back to.
        let order = order_of(&pool);
        pool.status.attempt.is_finished = order.phase.is_ended();
        Recipe {
            offers: offers(&[("az-1", free[0]), ("az-2", free[1]), ("az-3", free[2])]),
            no_capacity: no_capacity.into_iter().map(node).collect(),
            order,
            nodes,
            plugins,
            children,
            observed,
            now,
            pool,
        }
    })
}

pub const NAMES: [&str; 6] = ["n1", "n2", "n3", "n4", "n5", "n6"];
pub const ZONES: [&str; 3] = ["az-1", "az-2", "az-3"];
const VERSIONS: [&str; 3] = ["1.0", "2.0", "3.0"];
const DAY: i64 = 24 * 3600;

/// Around the start, at the bounds of the timers, and long after.
pub fn moment() -> impl Strategy<Value = Timestamp> {
    let minute = 60;
    select(vec![
        0,
        1,
        minute,
        5 * minute,
        10 * minute,
        30 * minute,
        31 * minute,
        DAY,
        3 * DAY,
        7 * DAY,
        40 * DAY,
    ])
    .prop_map(|seconds| start() + SignedDuration::from_secs(seconds))
}

pub fn version() -> impl Strategy<Value = String> {
    select(&VERSIONS).prop_map(ToOwned::to_owned)
}

pub fn text() -> impl Strategy<Value = String> {
    select(vec!["", "why"]).prop_map(ToOwned::to_owned)
}

pub fn job_types() -> impl Strategy<Value = Vec<JobType>> {
    subsequence(JobType::ALL.to_vec(), 0..=3)
}

fn element(name: &'static str) -> impl Strategy<Value = PoolResource> {
    (0..5_u32, option::weighted(0.3, vec(0..3_u32, 3)), any::<bool>()).prop_map(move |(count, azs, in_steps)| {
        let mut element = PoolResource::plain(flavor(name), count);
        if let Some(azs) = azs {
            element.count = azs.iter().sum();
            element.azs = Some(ZONES.iter().zip(azs).map(|(az, count)| AzCount { az: zone(az), count }).collect());
        }
        element.max_count = element.count;
        if in_steps {
            element.creating_step = Some(CreatingStep {
                step: 2,
                kind: StepKind::Rack,
            });
        }
        element
    })
}

fn phase() -> impl Strategy<Value = PoolPhase> {
    prop_oneof![
        1 => Just(PoolPhase::Waiting(Waiting::Payment)),
        3 => Just(PoolPhase::Creating),
        5 => Just(PoolPhase::Running),
        2 => text().prop_map(|message| PoolPhase::Abnormal { message }),
        2 => text().prop_map(|message| PoolPhase::ScalingFailed { message }),
        1 => text().prop_map(|message| PoolPhase::CreationFailed { message, at: start() }),
        1 => text().prop_map(|message| PoolPhase::Error { message }),
        2 => Just(PoolPhase::Deleting),
    ]
}

fn scope_status() -> impl Strategy<Value = (ScopeState, Option<String>)> {
    let states = vec![
        ScopeState::Enabling,
        ScopeState::Enabled,
        ScopeState::EnableFailed,
        ScopeState::Disabling,
        ScopeState::Disabled,
    ];
    (select(states), option::of(text()))
}

fn driver_status() -> impl Strategy<Value = DriverStatus> {
    let states = vec![
        DriverState::Creating,
        DriverState::Upgrading,
        DriverState::Running,
        DriverState::Abnormal,
    ];
    (version(), version(), select(states)).prop_map(|(version, target, state)| DriverStatus {
        version,
        target,
        state,
        message: None,
    })
}

fn any_pool() -> impl Strategy<Value = Pool> {
    let spec = (
        element("cpu"),
        option::of(element("gpu")),
        job_types(),
        option::of(version()),
        option::of(select(vec![UpdateStrategy::Force, UpdateStrategy::Idle])),
    );
    let status = (
        phase(),
        btree_map(select(JobType::ALL.to_vec()), scope_status(), 0..3),
        option::of(driver_status()),
        any::<bool>(),
        option::of(Just(start())),
    );
    let attempt = (
        select(vec![Purpose::Creation, Purpose::Scaling]),
        btree_map(select(vec!["cpu/cpu-default", "gpu/gpu-default"]), 1..3_u32, 0..2),
        option::of(moment()),
        any::<bool>(),
    );
    (spec, status, attempt, 0..3_u8).prop_map(
        |(
            (cpu, gpu, scope, version, strategy),
            (phase, scopes, driver, is_ready, unwell),
            (purpose, given_up, retry_at, is_deleted),
            pending,
        )| {
            let mut pool = pool(&[]);
            pool.spec.resources = std::iter::once(cpu).chain(gpu).collect();
            if let PoolKind::Physical(spec) = &mut pool.spec.kind {
                spec.scope = scope;
                spec.driver.gpu_version = version;
                spec.driver.update_strategy = strategy;
            }
            let is_going = phase == PoolPhase::Deleting || (matches!(phase, PoolPhase::Error { .. }) && is_deleted);
            pool.deleted_at = is_going.then(start);
            let status = &mut pool.status;
            status.cluster_ready = is_ready;
            status.unwell_since = unwell;
            status.scopes = scopes
                .into_iter()
                .map(|(job_type, (state, message))| ScopeStatus {
                    job_type,
                    state,
                    plugins: Vec::new(),
                    message,
                })
                .collect();
            status.drivers.extend(driver.map(|driver| (Accelerator::Gpu, driver)));
            status.attempt.purpose = if is_going { Purpose::Deletion } else { purpose };
            status.attempt.given_up = given_up.into_iter().map(|(key, count)| (key.to_owned(), count)).collect();
            status.attempt.retry_at = retry_at.filter(|_| purpose == Purpose::Creation);
            let may_wait = matches!(phase, PoolPhase::Running | PoolPhase::ScalingFailed { .. }) && purpose == Purpose::Scaling;
            if may_wait && pending == 0 {
                status.attempt.previous = Some(vec![PoolResource::plain(flavor("cpu"), 1)]);
            }
            status.attempt.is_finished = pending == 1;
            status.phase = phase;
            pool
        },
    )
}

/// The order that fits the pool's attempt.
fn order_of(pool: &Pool) -> Order {
    let operation = match pool.status.attempt.purpose {
        Purpose::Creation => Operation::Apply,
        Purpose::Scaling => Operation::Modify,
        Purpose::Deletion => Operation::Delete,
    };
    let is_waiting = matches!(pool.status.phase, PoolPhase::Waiting(_));
    let operation = if is_waiting { Operation::Apply } else { operation };
    let mut order = order(pool, operation, &[]);
    if is_waiting || pool.status.attempt.previous.is_some() {
        order.phase = OrderPhase::Pending(Waiting::Payment);
        order.began_at = None;
    } else if !pool.counts() || (pool.status.attempt.is_finished && pool.deleted_at.is_none() && pool.status.phase != PoolPhase::Creating) {
        order.end(start(), Outcome::Successed, Vec::new());
    }
    order
}

fn node_phase() -> impl Strategy<Value = (NodePhase, bool)> {
    let at = || moment();
    prop_oneof![
        2 => at().prop_map(|deadline| (NodePhase::Creating { deadline }, false)),
        1 => (at(), any::<bool>()).prop_map(|(deadline, was)| (NodePhase::Checking { deadline }, was)),
        4 => Just((NodePhase::Available { since: start() }, true)),
        2 => (at(), select(vec!["why", "node object missing"])).prop_map(|(since, message)| {
            (NodePhase::Abnormal { since, message: message.to_owned() }, true)
        }),
        1 => (select(vec![DeleteCause::ScaleIn, DeleteCause::GivenUp, DeleteCause::PoolDeleted]), any::<bool>())
            .prop_map(|(cause, was)| (NodePhase::Deleting { cause, since: start() }, was)),
    ]
}

fn driver_state() -> impl Strategy<Value = NodeDriverState> {
    prop_oneof![
        3 => Just(NodeDriverState::Settled),
        1 => version().prop_map(|target| NodeDriverState::Pending { target }),
        1 => version().prop_map(|target| NodeDriverState::Draining { target, since: None, attempt: 1 }),
        1 => (version(), 1..4_u32).prop_map(|(target, attempt)| NodeDriverState::Updating { target, attempt, since: start() }),
        1 => version().prop_map(|target| NodeDriverState::Failed { target, message: String::new(), is_open: false }),
    ]
}

fn any_node() -> impl Strategy<Value = Node> {
    let traits = (any::<bool>(), any::<bool>(), option::of(0..2_u8), 0..3_i64);
    let driver = (option::of(version()), driver_state());
    // `old` is a flavor that the spec does not ask for.
    (
        select(vec!["cpu", "cpu", "gpu", "old"]),
        select(&ZONES),
        node_phase(),
        traits,
        driver,
    )
        .prop_map(
            |(of, az, (phase, was_available), (is_locked, is_ha_spare, batch, age), (installed, state))| {
                let mut node = available("n", of, az);
                node.phase = phase;
                node.was_available = was_available;
                node.is_locked = is_locked;
                node.is_ha_spare = is_ha_spare;
                node.created_at = start() + SignedDuration::from_secs(age);
                node.batch = batch.map(|batch| {
                    Box::new(NodeBatch {
                        uid: uid(50 + batch),
                        step: CreatingStep {
                            step: 2,
                            kind: StepKind::Rack,
                        },
                    })
                });
                node.driver = (of == "gpu").then_some(NodeDriver {
                    kind: Accelerator::Gpu,
                    installed,
                    state,
                });
                node
            },
        )
}

fn named(nodes: Vec<Node>) -> Vec<Node> {
    NAMES
        .into_iter()
        .zip(nodes)
        .map(|(name, known)| Node {
            name: node(name),
            uid: Uid::from_text(&format!("uid-of-{name}")),
            ..known
        })
        .collect()
}

fn plugin_phase() -> impl Strategy<Value = PluginPhase> {
    select(vec![
        PluginPhase::Pending,
        PluginPhase::Running,
        PluginPhase::Updating,
        PluginPhase::Abnormal,
        PluginPhase::Deleting,
    ])
}

pub fn template_name() -> impl Strategy<Value = TemplateName> {
    select(vec!["queue", "gateway", "other"]).prop_map(template)
}

fn plugins() -> impl Strategy<Value = Vec<Plugin>> {
    let plugin = (plugin_phase(), version(), option::of(version()), any::<bool>(), moment(), 0..3_u32);
    btree_map(template_name(), plugin, 0..3).prop_map(|plugins| {
        let root = pool(&[]);
        plugins
            .into_iter()
            .map(|(template, (phase, version, running_version, is_system, since, attempt))| Plugin {
                project: root.owner.project.clone(),
                pool: root.name.clone(),
                pool_uid: root.uid.clone(),
                template,
                created_at: start(),
                version,
                inputs: BTreeMap::new(),
                values: BTreeMap::new(),
                attempt,
                is_system,
                phase,
                running_version,
                running_values: None,
                since,
                reason: None,
            })
            .collect()
    })
}

fn child_phase() -> impl Strategy<Value = PoolPhase> {
    prop_oneof![
        2 => Just(PoolPhase::Running),
        1 => text().prop_map(|message| PoolPhase::Abnormal { message }),
        1 => Just(PoolPhase::Waiting(Waiting::Approval)),
        1 => (text(), moment()).prop_map(|(message, at)| PoolPhase::CreationFailed { message, at }),
    ]
}

/// A sub-pool of the root that is guaranteed nothing.
fn child(number: usize, phase: PoolPhase) -> (Pool, Order) {
    let mut child = logical(&format!("child-{number}"), Some(("root", "root")), &[("cpu", 0)]);
    let mut order = order(&child, Operation::Apply, &[]);
    if matches!(phase, PoolPhase::Waiting(_)) {
        child.status.attempt.is_finished = false;
        order.phase = OrderPhase::Pending(Waiting::Approval);
        order.began_at = None;
    } else {
        order.end(start(), Outcome::Successed, Vec::new());
    }
    child.status.phase = phase;
    (child, order)
}
