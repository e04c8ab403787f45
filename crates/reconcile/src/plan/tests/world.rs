//! A pool tree in an index of its own, and the least that a fleet does.

use super::render;
use crate::audit::{Violation, audit, audit_step};
use crate::plan::fixtures::{self, available, catalogue, offers, order, ready, start};
use crate::plan::{Catalogue, Plan, PlanInput, Policy, Tree, plan};
use crate::step::gather;
use domain::catalogue::Offers;
use domain::meta::Revision;
use domain::name::NodeName;
use domain::node::Node;
use domain::order::{Operation, Order, Outcome};
use domain::plugin::Plugin;
use domain::pool::{DriverState, DriverStatus, JobType, Pool, PoolKind, PoolPhase, PoolRef, PoolResource, Purpose, UpdateStrategy};
use fleet::observation::{ClusterFact, DriverProgress, PluginState};
use fleet::{Command, DriverFact, MachineState, NodeFact, Observation, PluginFact, RequestFact, RequestProgress};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use store::counters;
use store::index::{IndexChange, Touched};
use store::{CounterKey, Entry, Expect, Index, Key, Kind, Object};
use tokio::sync::mpsc;

pub struct World {
    pub index: Index,
    revision: u64,
    /// Every record as it is, beside the index: what it was before a commit is held against what it is after.
    pub records: BTreeMap<Key, Arc<Entry>>,
    told: mpsc::UnboundedReceiver<Touched>,
    pub root: PoolRef,
    pub now: Timestamp,
    /// `None`: the fleet does not answer.
    pub observed: Option<Observation>,
    pub offers: Offers,
    pub catalogue: Catalogue,
    pub policy: Policy,
    pub no_capacity: BTreeSet<NodeName>,
}

impl World {
    /// A tree of this pool alone.
    pub fn of(pool: Pool) -> Self {
        let index = Index::default();
        let told = index.subscribe();
        let mut world = Self {
            index,
            revision: 0,
            records: BTreeMap::new(),
            told,
            root: PoolRef {
                project: pool.owner.project.clone(),
                name: pool.name.clone(),
            },
            now: start(),
            observed: Some(Observation::default()),
            offers: offers(&[("az-1", 8), ("az-2", 4)]),
            catalogue: catalogue(),
            policy: Policy::default(),
            no_capacity: BTreeSet::new(),
        };
        world.put(order(&pool, Operation::Apply, &[]));
        world.put(pool);
        world
    }

    /// A pool that was created just now.
    pub fn created(resources: &[(&str, u32)]) -> Self {
        Self::of(fixtures::pool(resources))
    }

    /// A pool that has been running with all its nodes `n1`, `n2`, … in zone `az-1`, and is at rest.
    pub fn running(resources: &[(&str, u32)]) -> Self {
        let mut pool = fixtures::pool(resources);
        pool.status.phase = PoolPhase::Running;
        pool.status.cluster_ready = true;
        pool.status.attempt.is_finished = true;
        if resources.iter().any(|(name, _)| *name == "gpu") {
            let driver = DriverStatus {
                version: "1.0".to_owned(),
                target: "1.0".to_owned(),
                state: DriverState::Running,
                message: None,
            };
            pool.status.drivers.insert(domain::pool::Accelerator::Gpu, driver);
        }
        let mut world = Self::of(pool);
        world.fleet().cluster = ClusterFact::Ready;
        for (at, name) in resources.iter().flat_map(|(name, count)| vec![*name; *count as usize]).enumerate() {
            world.add(available(&format!("n{}", at + 1), name, "az-1"));
        }
        world.edit_order(|order| order.end(start(), Outcome::Successed, Vec::new()));
        world.settle();
        world.pass(60);
        world
    }

    pub fn fleet(&mut self) -> &mut Observation {
        self.observed.get_or_insert_default()
    }

    /// A node that is well, in the records and in the fleet.
    pub fn add(&mut self, node: Node) {
        let fact = ready(&node);
        self.fleet().nodes.insert(node.name.clone(), fact.into());
        self.put(node);
    }

    /// Sets the counters to what the pools hold.
    pub fn count(&mut self) {
        let mut sums: BTreeMap<CounterKey, u64> = BTreeMap::new();
        for pool in self.index.read().all::<Pool>() {
            for (key, count) in counters::holdings(&pool) {
                *sums.entry(key).or_insert(0) += count.unsigned_abs();
            }
        }
        self.apply(sums.into_iter().map(|(key, value)| IndexChange::Counter(key, value)).collect());
    }

    pub fn audit(&self) -> Vec<Violation> {
        audit(&self.index.read())
    }

    /// A PATCH of `spec.scope`.
    pub fn want(&mut self, scope: &[JobType]) {
        self.edit(|pool| {
            if let PoolKind::Physical(spec) = &mut pool.spec.kind {
                spec.scope = scope.to_vec();
            }
            pool.generation += 1;
        });
    }

    /// A PATCH of `spec.driver`.
    pub fn upgrade(&mut self, version: &str, strategy: UpdateStrategy) {
        self.edit(|pool| {
            if let PoolKind::Physical(spec) = &mut pool.spec.kind {
                spec.driver.gpu_version = Some(version.to_owned());
                spec.driver.update_strategy = Some(strategy);
            }
            pool.generation += 1;
        });
    }

    pub fn put(&mut self, object: impl Into<Object>) {
        self.apply(vec![IndexChange::Put(object.into())]);
    }

    fn apply(&mut self, changes: Vec<IndexChange>) {
        self.revision += 1;
        self.index.apply(Revision(self.revision), changes);
        while let Ok(touched) = self.told.try_recv() {
            let key = touched.entry.key.clone();
            if touched.is_deleted {
                self.records.remove(&key);
            } else {
                self.records.insert(key, touched.entry);
            }
        }
    }

    pub fn tree(&self) -> Option<Tree> {
        gather(&self.index.read(), &self.root, &self.policy, self.now)
    }

    pub fn pool(&self) -> Pool {
        Pool::clone(&self.tree().unwrap().root)
    }

    pub fn nodes(&self) -> Vec<Node> {
        self.tree().unwrap().nodes.iter().map(|node| Node::clone(node)).collect()
    }

    pub fn edit(&mut self, change: impl FnOnce(&mut Pool)) {
        let mut pool = self.pool();
        change(&mut pool);
        self.put(pool);
    }

    pub fn edit_order(&mut self, change: impl FnOnce(&mut Order)) {
        let mut order = Order::clone(&self.tree().unwrap().order.unwrap());
        change(&mut order);
        self.put(order);
    }

    pub fn edit_node(&mut self, name: &str, change: impl FnOnce(&mut Node)) {
        let mut node = self.nodes().into_iter().find(|node| node.name.as_str() == name).unwrap();
        change(&mut node);
        self.put(node);
    }

    pub fn edit_plugin(&mut self, name: &str, change: impl FnOnce(&mut Plugin)) {
        let plugins = self.tree().unwrap().plugins;
        let mut plugin = Plugin::clone(plugins.iter().find(|plugin| plugin.template.as_str() == name).unwrap());
        change(&mut plugin);
        self.put(plugin);
    }

    pub fn fact(&mut self, name: &str) -> &mut NodeFact {
        Arc::make_mut(self.fleet().nodes.get_mut(&fixtures::node(name)).unwrap())
    }

    /// Every machine that is coming up is well.
    pub fn boot(&mut self) {
        for fact in self.fleet().nodes.values_mut().map(Arc::make_mut) {
            if matches!(fact.state, MachineState::Booting | MachineState::Checking) {
                fact.state = MachineState::Ready;
                fact.silent_since = None;
                if let Some(driver) = &mut fact.driver {
                    finish_driver(driver);
                }
                if let Some(request) = &mut fact.request {
                    request.progress = RequestProgress::Done;
                }
            }
        }
    }

    /// Drivers and plug-ins that are being installed or removed are done.
    pub fn install(&mut self) {
        let fleet = self.fleet();
        for driver in fleet.nodes.values_mut().filter_map(|fact| Arc::make_mut(fact).driver.as_mut()) {
            finish_driver(driver);
        }
        fleet.plugins.retain(|_, fact| fact.state != PluginState::Removing);
        for fact in fleet.plugins.values_mut().filter(|fact| fact.state == PluginState::Installing) {
            fact.state = PluginState::Running;
            fact.running = Some(fact.version.clone());
        }
    }

    /// Machines that are being given back are gone.
    pub fn release(&mut self) {
        self.fleet().nodes.retain(|_, fact| fact.state != MachineState::Releasing);
    }

    /// Time goes by; machines that are up show signs of life.
    pub fn pass(&mut self, seconds: u64) {
        self.now = self.now.checked_add(Duration::from_secs(seconds)).unwrap();
        for fact in self.fleet().nodes.values_mut().map(Arc::make_mut) {
            fact.silent_since = None;
        }
    }

    /// Closes the order in work for the next one.
    fn supersede(&mut self) {
        let now = self.now;
        self.edit_order(|order| {
            if !order.phase.is_ended() {
                let next = order.name.clone();
                order.supersede(&next, now, Vec::new());
            }
        });
    }

    /// A PATCH of `spec.resources` in place: a new attempt with an order of its own.
    pub fn scale_to(&mut self, resources: &[(&str, u32)]) {
        let resources: Vec<_> = resources
            .iter()
            .map(|(name, count)| PoolResource::plain(fixtures::flavor(name), *count))
            .collect();
        self.scale_to_elements(resources);
    }

    pub fn scale_to_elements(&mut self, resources: Vec<PoolResource>) {
        let before = self.pool().spec.resources;
        let number = self.revision;
        let now = self.now;
        self.supersede();
        self.edit(|pool| {
            pool.spec.resources = resources;
            pool.generation += 1;
            let attempt = &mut pool.status.attempt;
            attempt.order = domain::name::OrderName::parse(&format!("order.{number}")).unwrap();
            attempt.purpose = Purpose::Scaling;
            attempt.started_at = now;
            attempt.given_up.clear();
            attempt.retry_at = None;
            attempt.is_finished = false;
        });
        let mut order = order(&self.pool(), Operation::Modify, &[]);
        order.before = domain::order::counts(&before);
        self.put(order);
    }

    /// A DELETE that was accepted.
    pub fn delete_pool(&mut self) {
        let now = self.now;
        let number = self.revision;
        self.supersede();
        self.edit(|pool| {
            pool.deleted_at = Some(now);
            pool.status.phase = PoolPhase::Deleting;
            pool.status.attempt.order = domain::name::OrderName::parse(&format!("order.{number}")).unwrap();
            pool.status.attempt.purpose = Purpose::Deletion;
            pool.status.attempt.started_at = now;
            pool.status.attempt.given_up.clear();
            pool.status.attempt.retry_at = None;
            pool.status.attempt.is_finished = false;
        });
        let order = order(&self.pool(), Operation::Delete, &[]);
        self.put(order);
    }

    pub fn plan(&self) -> Plan {
        let tree = self.tree().unwrap();
        self.plan_for(&tree)
    }

    pub fn plan_for(&self, tree: &Tree) -> Plan {
        let index = self.index.read();
        plan(&PlanInput {
            now: self.now,
            tree,
            observed: self.observed.as_ref(),
            offers: &self.offers,
            catalogue: &self.catalogue,
            policy: &self.policy,
            taken: &|name| index.get::<Node>(&self.root.project, name).is_some(),
            no_capacity: &self.no_capacity,
        })
    }

    /// Plans, tells what was planned, writes it, and has the fleet accept the commands.
    pub fn step(&mut self) -> String {
        let tree = self.tree().unwrap();
        let plan = self.plan_for(&tree);
        let text = render::plan(&tree, &plan, self.now);
        self.commit(&plan);
        self.obey(&plan.commands);
        text
    }

    /// As `step`, with a fleet that refuses every command.
    pub fn step_refused(&mut self) -> String {
        let tree = self.tree().unwrap();
        let plan = self.plan_for(&tree);
        self.commit(&plan);
        render::plan(&tree, &plan, self.now)
    }

    /// Steps until there is nothing to write any more; what the steps said.
    pub fn settle(&mut self) -> String {
        let mut texts = Vec::new();
        for _ in 0..10 {
            let Some(tree) = self.tree() else { return texts.join("---\n") };
            let plan = self.plan_for(&tree);
            let is_writing = !plan.batch.is_empty();
            texts.push(self.step());
            if !is_writing {
                return texts.join("---\n");
            }
        }
        panic!("no rest:\n{}", texts.join("---\n"));
    }

    /// The job types, one a line.
    pub fn scopes(&self) -> String {
        let scopes = self.pool().status.scopes;
        let lines: Vec<_> = scopes
            .iter()
            .map(|scope| format!("{} {}", scope.job_type, scope.state.as_str()))
            .collect();
        lines.join("\n")
    }

    pub fn remove(&mut self, key: Key) {
        self.apply(vec![IndexChange::Delete(key)]);
    }

    /// What a store would do, its refusals included.
    pub fn commit(&mut self, plan: &Plan) {
        let index = self.index.read();
        let expectations = plan
            .batch
            .puts
            .iter()
            .map(|(object, expect)| (object.key(), *expect))
            .chain(plan.batch.deletes.iter().cloned());
        let mut seen = BTreeSet::new();
        for (key, expect) in expectations {
            let current = self.records.get(&key).map(|entry| entry.revision);
            // Nothing is written unseen; only events may be swept away without a look.
            let is_guarded = expect != Expect::Any || key.kind == Kind::Event;
            assert!(is_guarded && expect.holds(current), "{key:?} is at {current:?}, not {expect:?}");
            assert!(seen.insert(key.clone()), "{key:?} is written twice");
        }
        let mut changes: Vec<IndexChange> = Vec::new();
        changes.extend(plan.batch.puts.iter().map(|(object, _)| IndexChange::Put(object.clone())));
        changes.extend(plan.batch.deletes.iter().map(|(key, _)| IndexChange::Delete(key.clone())));
        let mut sums: BTreeMap<CounterKey, u64> = BTreeMap::new();
        for count in &plan.batch.counts {
            let sum = sums.entry(count.key.clone()).or_insert_with(|| index.counter(&count.key));
            *sum = count.apply(*sum).expect("within its bound");
        }
        changes.extend(sums.into_iter().map(|(key, value)| IndexChange::Counter(key, value)));
        drop(index);
        if changes.is_empty() {
            return;
        }
        let before = self.records.clone();
        self.apply(changes);
        for key in seen {
            let found = audit_step(before.get(&key).map(AsRef::as_ref), self.records.get(&key).map(AsRef::as_ref));
            assert!(found.is_empty(), "{found:?}");
        }
    }

    /// Commands accepted, nothing finished.
    pub fn obey(&mut self, commands: &[Command]) {
        let fleet = self.fleet();
        for command in commands {
            match command {
                Command::EnsurePool { .. } if fleet.cluster == ClusterFact::Absent => fleet.cluster = ClusterFact::Starting,
                // There is one pool here, from which nothing moves.
                Command::EnsurePool { .. } | Command::MoveNode { .. } => {}
                Command::RemovePool { .. } => {
                    fleet.cluster = ClusterFact::Absent;
                    fleet.quotas.clear();
                }
                Command::SetQuotas { quotas, .. } => fleet.quotas.clone_from(quotas),
                Command::CreateNode(request) => {
                    let driver = request.driver.clone().map(|version| DriverFact {
                        installed: None,
                        progress: DriverProgress::Installing { version },
                    });
                    fleet.nodes.entry(request.node.clone()).or_insert_with(|| {
                        Arc::new(NodeFact {
                            state: MachineState::Booting,
                            az: request.az.clone(),
                            silent_since: None,
                            private_ip: None,
                            instance: None,
                            resources: domain::quantities::Quantities::default(),
                            available: domain::quantities::Quantities::default(),
                            os: None,
                            driver,
                            is_busy: false,
                            is_held: false,
                            is_locked: None,
                            request: None,
                            dedicated_to: None,
                        })
                    });
                }
                Command::DeleteNode { node, .. } => change(fleet, node, |fact| fact.state = MachineState::Releasing),
                Command::HoldNode { node, .. } => change(fleet, node, |fact| fact.is_held = true),
                Command::OpenNode { node, .. } => change(fleet, node, |fact| fact.is_held = false),
                Command::LockNode { node, is_locked, .. } => change(fleet, node, |fact| {
                    fact.is_locked = fact.is_locked.map(|_| *is_locked);
                }),
                Command::EvictNode { node, .. } => change(fleet, node, |fact| fact.is_busy = false),
                Command::RebootNode { node, number, .. } => change(fleet, node, |fact| ask(fact, *number)),
                Command::ResetNode(request) => change(fleet, &request.node, |fact| ask(fact, request.number)),
                Command::DedicateNode { node, to, .. } => change(fleet, node, |fact| fact.dedicated_to.clone_from(to)),
                Command::SetDriver { node, version, .. } => change(fleet, node, |fact| {
                    let installed = fact.driver.as_ref().and_then(|driver| driver.installed.clone());
                    let progress = DriverProgress::Installing { version: version.clone() };
                    fact.driver = Some(DriverFact { installed, progress });
                }),
                Command::EnsurePlugin { plugin, .. } => {
                    let running = fleet.plugins.get(&plugin.template).and_then(|fact| fact.running.clone());
                    let fact = PluginFact {
                        version: plugin.version.clone(),
                        attempt: plugin.attempt,
                        running,
                        state: PluginState::Installing,
                        objects: Vec::new(),
                    };
                    fleet.plugins.insert(plugin.template.clone(), fact);
                }
                Command::RemovePlugin { template, .. } => {
                    if let Some(fact) = fleet.plugins.get_mut(template) {
                        fact.state = PluginState::Removing;
                    }
                }
            }
        }
    }
}

fn change(fleet: &mut Observation, node: &NodeName, change: impl FnOnce(&mut NodeFact)) {
    if let Some(fact) = fleet.nodes.get_mut(node) {
        change(Arc::make_mut(fact));
    }
}

fn ask(fact: &mut NodeFact, number: u64) {
    if fact.request.as_ref().is_none_or(|known| known.number < number) {
        fact.state = MachineState::Booting;
        fact.request = Some(RequestFact {
            number,
            progress: RequestProgress::Running,
        });
    }
}

fn finish_driver(driver: &mut DriverFact) {
    if let DriverProgress::Installing { version } = &driver.progress {
        driver.installed = Some(version.clone());
        driver.progress = DriverProgress::Done;
    }
}
