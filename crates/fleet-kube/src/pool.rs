//! What a pool has besides its Nodes: name spaces, queues, plug-ins, workloads.

mod carry;
mod closing;
mod index;
mod levels;
mod parts;
mod plugin;
mod queues;
mod remove;
mod spaces;
mod work;

use crate::cache::{Cache, Selection, Task};
use crate::config::{DriverMode, KubeConfig, Scheduler};
use crate::context::{Context, Epoch};
use crate::driver::operator::driver_of;
use crate::failure::Failure;
use crate::kueue::SeenObjects;
use crate::nodes::Nodes;
use crate::object::{Change, Key, Kind};
use crate::plugins;
use crate::quota::PerNode;
use crate::report::Reporter;
use crate::scopes::{Checker, first_missing};
use crate::settings::PluginRule;
use domain::meta::Uid;
use domain::pool::JobType;
use fleet::observation::ClusterFact;
use fleet::{Command, FleetError, Observation, PoolMark, Workloads};
use index::Index;
use kube::Api;
use kube::api::DynamicObject;
use parts::Parts;
use spaces::Note;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use work::Work;

/// What was begun is gone on with at least so often.
const PERIOD: Duration = Duration::from_secs(5);

/// Name spaces, queues, plug-ins and workloads of pools.
pub struct PoolSide {
    inner: Arc<Inner>,
    reporter: Reporter,
    _tasks: Vec<Task>,
}

/// What the task that goes on with removals works with too.
struct Inner {
    context: Arc<Context>,
    caches: BTreeMap<Kind, Arc<Cache<DynamicObject>>>,
    index: Arc<Index>,
    work: Work,
    parts: Parts,
    checker: Arc<Checker>,
    per_node: PerNode,
    /// Told when a removal may get on.
    woken: Arc<Notify>,
}

impl PoolSide {
    /// Begins to watch; must be called inside a runtime.
    pub fn start(context: &Arc<Context>, nodes: &Arc<Nodes>) -> Self {
        let (index, woken) = (Arc::new(Index::default()), Arc::new(Notify::new()));
        let mut tasks = Vec::new();
        let mut caches = BTreeMap::new();
        for kind in kinds(&context.config) {
            let (cache, task) = Cache::start(context, select(context, kind, &index, &woken));
            caches.insert(kind, cache);
            tasks.push(task);
        }
        let (work, more) = Work::start(context, nodes, &index, &woken);
        tasks.extend(more);
        let (parts, more) = Parts::start(context);
        tasks.extend(more);
        let (teller, known) = (Arc::clone(context), Arc::clone(&index));
        let listener = Box::new(move || known.roots().iter().for_each(|root| teller.touch(root)));
        let needs = context.config.pool.all_needs(context.config.scheduler);
        let (checker, task) = Checker::start(context, needs, listener);
        tasks.push(task);
        let (reporter, task) = Reporter::start(context);
        tasks.push(task);
        // Whoever started first tells.
        let _known = context.reporter.set(reporter.clone());
        let inner = Arc::new(Inner {
            context: Arc::clone(context),
            caches,
            index,
            work,
            parts,
            checker,
            per_node: per_node(&context.config),
            woken,
        });
        tasks.push(Task(tokio::spawn(Arc::clone(&inner).go_on())));
        Self {
            inner,
            reporter,
            _tasks: tasks,
        }
    }

    /// Waits until everything has been listed once.
    pub async fn synced(&self) {
        for cache in self.inner.caches.values() {
            cache.synced().await;
        }
        self.inner.work.synced().await;
        self.inner.parts.synced().await;
        self.inner.checker.looked().await;
    }

    /// Tells the cluster what happened.
    pub fn reporter(&self) -> &Reporter {
        &self.reporter
    }

    /// Carries out a command that is not about one node. Nodes of a pool that is removed are released by the caller.
    pub async fn execute(&self, command: &Command, epoch: Epoch) -> Result<(), FleetError> {
        self.inner.fresh()?;
        match command {
            Command::EnsurePool { pool } => {
                if self.inner.ensure(pool, epoch).await? {
                    self.reporter
                        .space(&spaces::first(&pool.uid), "PoolCreated", format!("pool {}", pool.pool.name));
                }
                Ok(())
            }
            Command::RemovePool { pool } => {
                if self.inner.begin_removal(&pool.uid, epoch).await? {
                    self.reporter
                        .space(&spaces::first(&pool.uid), "PoolRemoved", format!("pool {}", pool.pool.name));
                }
                Ok(())
            }
            Command::EnsurePlugin { pool, plugin } => self.inner.ensure_plugin(pool, plugin, epoch).await,
            Command::RemovePlugin { pool, template } => self.inner.remove_plugin(pool, template, epoch).await,
            Command::SetQuotas { pool, quotas } => self.inner.set_quotas(pool, quotas, epoch).await,
            Command::CreateNode(_)
            | Command::DeleteNode { .. }
            | Command::HoldNode { .. }
            | Command::OpenNode { .. }
            | Command::LockNode { .. }
            | Command::EvictNode { .. }
            | Command::RebootNode { .. }
            | Command::ResetNode(_)
            | Command::MoveNode { .. }
            | Command::DedicateNode { .. }
            | Command::SetDriver { .. } => Ok(()),
        }
    }

    /// Tells the GPU operator the version that the Nodes of a pool are to have, in the mode in which each pool has an object of its own.
    /// `is_own`: that of one Node alone, which cannot be.
    pub async fn offer_driver(&self, pool: &Uid, version: &str, is_own: bool, epoch: Epoch) -> Result<(), FleetError> {
        self.inner.fresh()?;
        let seen = self.inner.index.of(pool);
        let object = driver_of(pool, version, &self.inner.context.config.driver);
        match seen.get(&object.key) {
            Some(known) if object.is_met(known) => Ok(()),
            Some(_) if is_own => Err(FleetError::Refused {
                reason: "all nodes of a pool have one driver version where the GPU operator rolls it out".to_owned(),
            }),
            Some(_) | None => self.inner.carry_out(&seen, vec![Change::Put(object)], epoch).await,
        }
    }

    /// Adds what is known of the pool, or says why nothing may be concluded.
    pub fn report(&self, pool: &Uid, observation: &mut Observation) -> Result<(), FleetError> {
        self.inner.fresh()?;
        self.inner.report(pool, observation);
        Ok(())
    }

    pub fn workloads(&self, pool: &Uid) -> Result<Arc<Workloads>, FleetError> {
        self.inner.fresh()?;
        let seen = self.inner.index.of(pool);
        Ok(self.inner.work.workloads(pool, &spaces::workload_spaces(&seen)))
    }
}

/// The kinds of objects that pools have.
fn kinds(config: &KubeConfig) -> Vec<Kind> {
    let mut kinds = vec![Kind::Namespace, Kind::HelmRelease];
    kinds.extend(config.pool.argo.is_some().then_some(Kind::Application));
    kinds.extend((config.driver.mode == DriverMode::Operator).then_some(Kind::NvidiaDriver));
    kinds.extend(match config.scheduler {
        Scheduler::Volcano => [Kind::Queue].as_slice(),
        Scheduler::Kueue => &[Kind::ResourceFlavor, Kind::Cohort, Kind::ClusterQueue, Kind::LocalQueue],
        Scheduler::None => &[],
    });
    kinds
}

fn select(context: &Arc<Context>, kind: Kind, index: &Arc<Index>, woken: &Arc<Notify>) -> Selection<DynamicObject> {
    let (teller, index, woken) = (Arc::clone(context), Arc::clone(index), Arc::clone(woken));
    let (client, resource) = (context.client.clone(), kind.resource().into());
    // The right to read Applications is given for one name space.
    let argo = context.config.pool.argo.as_ref().filter(|_| kind == Kind::Application);
    let api = match argo {
        Some(argo) => Api::namespaced_with(client, &argo.namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    Selection {
        labels: Some(crate::mark::ROOT.to_owned()),
        trim: |object| object.metadata.managed_fields = None,
        listener: Box::new(move |before, after| {
            for root in index.file(kind, before, after) {
                teller.touch(&root);
            }
            woken.notify_one();
        }),
        is_optional: kind != Kind::Namespace,
        ..Selection::all(api)
    }
}

/// What a node of each flavor counts. Without a word about it, its accelerators and what it must have at least.
fn per_node(config: &KubeConfig) -> PerNode {
    let rules = config
        .flavor
        .iter()
        .map(|rule| (rule.name.clone(), crate::inventory::quota(&rule.name, None, config)));
    rules.filter(|(_, counts)| !counts.is_empty()).collect()
}

impl Inner {
    fn fresh(&self) -> Result<(), FleetError> {
        self.caches.values().try_for_each(|cache| cache.fresh())?;
        self.work.fresh()
    }

    fn security(&self) -> Option<&str> {
        self.context.config.pool.pod_security.as_deref()
    }

    fn report(&self, root: &Uid, observation: &mut Observation) {
        let seen = self.index.of(root);
        if seen.is_empty() {
            return;
        }
        let first = seen.get(&Key::cluster(Kind::Namespace, &spaces::first(root)));
        let is_up = first.is_some_and(|space| space.metadata.deletion_timestamp.is_none() && !spaces::is_removing(space));
        observation.cluster = if is_up { ClusterFact::Ready } else { ClusterFact::Starting };
        let workloads = self.work.workloads(root, &spaces::workload_spaces(&seen));
        observation.quotas = self.quotas(root, &seen, &workloads);
        for fact in workloads.facts().filter(|fact| !fact.status.is_over()) {
            *observation.workloads.entry(fact.kind.job_type()).or_default() += 1;
        }
        for (key, release) in seen.iter().filter(|(key, _)| plugins::is_chart(key)) {
            let Some((template, mut fact)) = plugins::fact(key, release) else {
                continue;
            };
            if fact.running.is_some() {
                fact.objects = self.parts.of(&key.name);
            }
            observation.plugins.insert(template, fact);
        }
        let Some(first) = first.filter(|_| is_up) else { return };
        let (note, findings) = (spaces::note(first), self.checker.findings());
        for (template, note) in &note.plugins {
            if let PluginRule::Present { requires } = self.context.config.pool.rule(template) {
                observation
                    .plugins
                    .insert(template.clone(), plugins::shared_fact(note, &requires, &findings));
            }
        }
        let queues = queues::volcano_queues(&seen);
        let is_shut = note
            .quota
            .as_ref()
            .is_some_and(|quota| !quota.is_shut && queues::is_shut(&quota.pool, &queues));
        for job_type in JobType::ALL {
            let needs = self.context.config.pool.needs(self.context.config.scheduler, job_type);
            let state = match first_missing(&needs, &findings) {
                Some(Ok(())) if is_shut => Some(Err("the queue of the pool is closed".to_owned())),
                state => state,
            };
            observation.dependencies.extend(state.map(|state| (job_type, state)));
        }
    }

    /// Whether it was not there before.
    async fn ensure(&self, pool: &PoolMark, epoch: Epoch) -> Result<bool, FleetError> {
        let seen = self.index.of(&pool.uid);
        let first = seen.get(&Key::cluster(Kind::Namespace, &spaces::first(&pool.uid)));
        if first.is_some_and(|space| space.metadata.deletion_timestamp.is_some()) {
            return Err(FleetError::Throttled {
                retry_after: Duration::from_secs(1),
            });
        }
        let note = first.map(|space| spaces::note(space)).unwrap_or_default();
        let space = spaces::wanted_first(pool, pool, &note, self.security());
        if first.is_none_or(|seen| !space.is_met(seen)) {
            self.carry_out(&seen, vec![Change::Put(space)], epoch).await?;
        }
        Ok(first.is_none())
    }
}

/// What is said on the first name space of a pool.
fn first_note(seen: &SeenObjects, pool: &Uid) -> Note {
    let first = seen.get(&Key::cluster(Kind::Namespace, &spaces::first(pool)));
    first.map(|space| spaces::note(space)).unwrap_or_default()
}

/// As what a failure of a write comes back.
fn failed(failure: Failure) -> FleetError {
    failure.on_write()
}
