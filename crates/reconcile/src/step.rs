//! One step for one tree: load, observe, plan, commit the intent, then command. A crash between any two lines is safe: the
//! next step begins with what is stored and what is observed.

use crate::plan::{Catalogue, Descendant, KnownEvent, Plan, PlanInput, Policy, Tree, plan};
use async_trait::async_trait;
use clock::Clock;
use domain::catalogue::{Flavor, OsConfig};
use domain::event::Event;
use domain::job::Job;
use domain::meta::{Fence, Revision};
use domain::name::NodeName;
use domain::node::Node;
use domain::order::Order;
use domain::plugin::{Plugin, PluginTemplate};
use domain::pool::{Pool, PoolPhase, PoolRef};
use fleet::{Command, Fleet, FleetError};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::index::{Facet, Snapshot, Versioned};
use store::{CommitError, State};

/// Named points at which a step can be interrupted.
pub const POINTS: [&str; 3] = ["before-commit", "after-commit", "after-execute"];

/// Told when a step passes a named point; the simulation stops controllers there.
#[async_trait]
pub trait Probe: Send + Sync + 'static {
    async fn at(&self, point: &'static str);
}

/// Passes every point.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProbe;

#[async_trait]
impl Probe for NoProbe {
    async fn at(&self, _point: &'static str) {}
}

/// What steps work with.
pub struct StepContext {
    pub state: State,
    pub fleet: Arc<dyn Fleet>,
    pub clock: Arc<dyn Clock>,
    pub policy: Policy,
    pub probe: Arc<dyn Probe>,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepOutcome {
    /// `wake`: when to look again if nothing changes before. `written`: the revision of its commit, if there was one, and whether
    /// nothing follows from that.
    Done {
        wake: Option<Timestamp>,
        no_capacity: BTreeSet<NodeName>,
        written: Option<(Revision, bool)>,
    },
    /// Something changed meanwhile, or a command may have been lost: look again at once.
    Again,
    /// The store or the fleet do not answer: look again later.
    Failed(String),
    /// Another holder has the lease.
    Fenced,
}

/// Does one step for the tree of a root pool.
pub async fn step(context: &StepContext, root: &PoolRef, fence: &Fence, no_capacity: &BTreeSet<NodeName>) -> StepOutcome {
    let seen = context.state.index().age();
    let Some(mut tree) = gather(&context.state.index().read(), root, &context.policy, context.clock.now()) else {
        return StepOutcome::Done {
            wake: None,
            no_capacity: BTreeSet::new(),
            written: None,
        };
    };
    let offers = match context.fleet.offers().await {
        Ok(offers) => offers,
        Err(error) => return StepOutcome::Failed(error.to_string()),
    };
    let observed = context.fleet.observe(&tree.root.uid).await;
    // What was written while the fleet was asked must not be judged by what it answered.
    if context.state.index().age() != seen {
        let Some(newer) = gather(&context.state.index().read(), root, &context.policy, context.clock.now()) else {
            return StepOutcome::Again;
        };
        tree = newer;
    }
    let plan = {
        let index = context.state.index().read();
        let catalogue = catalogue(&index);
        let project = &tree.root.owner.project;
        plan(&PlanInput {
            now: context.clock.now(),
            tree: &tree,
            observed: observed.as_ref().ok(),
            offers: &offers,
            catalogue: &catalogue,
            policy: &context.policy,
            taken: &|name: &NodeName| index.get::<Node>(project, name).is_some(),
            no_capacity,
        })
    };
    carry_out(context, plan, fence).await
}

async fn carry_out(context: &StepContext, plan: Plan, fence: &Fence) -> StepOutcome {
    context.probe.at(POINTS[0]).await;
    let mut written = None;
    if !plan.batch.is_empty() {
        let mut batch = plan.batch;
        batch.fence = Some(fence.clone());
        match context.state.commit(batch).await {
            Ok(applied) => written = Some((applied.revision, plan.is_quiet)),
            Err(CommitError::Conflict(_) | CommitError::Limit(_)) => return StepOutcome::Again,
            Err(CommitError::Fenced) => return StepOutcome::Fenced,
            Err(CommitError::Store(error)) => return StepOutcome::Failed(error.to_string()),
        }
    }
    context.probe.at(POINTS[1]).await;
    if plan.commands.is_empty() {
        return StepOutcome::Done {
            wake: plan.wake,
            no_capacity: BTreeSet::new(),
            written,
        };
    }
    let results = context.fleet.execute(&plan.commands, fence).await;
    context.probe.at(POINTS[2]).await;
    judge(&plan.commands, &results, (plan.wake, written))
}

/// The worst result of the commands decides when to look again.
fn judge(
    commands: &[Command],
    results: &[Result<(), FleetError>],
    (wake, written): (Option<Timestamp>, Option<(Revision, bool)>),
) -> StepOutcome {
    let mut no_capacity = BTreeSet::new();
    let mut failed = None;
    for (command, result) in commands.iter().zip(results) {
        match result {
            Ok(()) => {}
            Err(FleetError::NoCapacity) => no_capacity.extend(command.node().cloned()),
            Err(FleetError::Fenced) => return StepOutcome::Fenced,
            Err(
                error @ (FleetError::Refused { .. }
                | FleetError::Throttled { .. }
                | FleetError::Busy
                | FleetError::Unreachable(_)
                | FleetError::Ambiguous(_)),
            ) => failed = Some(format!("{}: {error}", command.name())),
        }
    }
    match failed {
        Some(reason) => StepOutcome::Failed(reason),
        None => StepOutcome::Done {
            wake,
            no_capacity,
            written,
        },
    }
}

/// The root pool of the tree that a pool belongs to.
pub fn root_of(pool: &Pool) -> PoolRef {
    match pool.logical().and_then(|spec| spec.root.clone()) {
        Some(root) => root,
        None => PoolRef {
            project: pool.owner.project.clone(),
            name: pool.name.clone(),
        },
    }
}

/// A tree with everything that belongs to it; `None` where there is no such root.
pub(crate) fn gather(index: &Snapshot<'_>, at: &PoolRef, policy: &Policy, now: Timestamp) -> Option<Tree> {
    let root = index.get::<Pool>(&at.project, &at.name)?;
    let order = |pool: &Pool| -> Option<Versioned<Order>> { index.get::<Order>(&pool.owner.project, &pool.status.attempt.order) };
    let events = |pool: &Pool| events(index, pool, policy, now);
    let descendants = index.under::<Pool>(Facet::PoolsOfRoot, format!("{}/{}", at.project, at.name));
    Some(Tree {
        nodes: index.under::<Node>(Facet::NodesOfPool, root.uid.as_str()),
        plugins: index.under::<Plugin>(Facet::PluginsOfPool, root.uid.as_str()),
        order: order(&root),
        descendants: descendants
            .into_iter()
            .map(|pool| Descendant {
                order: order(&pool),
                events: events(&pool),
                pool,
            })
            .collect(),
        events: events(&root),
        scheduled: index
            .entries(Facet::ScheduledOfPool, root.uid.as_str())
            .map(|entry| entry.key.clone())
            .collect(),
        jobs: index.under::<Job>(Facet::JobsOfPool, root.uid.as_str()),
        root,
    })
}

/// Events of a pool, the oldest first: those that are surplus, and of a pool that may go all of them.
fn events(index: &Snapshot<'_>, pool: &Pool, policy: &Policy, now: Timestamp) -> Vec<KnownEvent> {
    let (value, oldest) = (pool.uid.as_str(), policy.oldest_event(now));
    let too_many = index.filed(Facet::EventsOfPool, value).saturating_sub(policy.kept_events);
    let known = index.entries(Facet::EventsOfPool, value).enumerate();
    let known = known.map(|(place, entry)| KnownEvent {
        key: entry.key.clone(),
        is_surplus: place < too_many || entry.get::<Event>().is_some_and(|event| event.last_at < oldest),
    });
    let stays = match pool.status.phase {
        PoolPhase::Creating | PoolPhase::Running | PoolPhase::Abnormal { .. } | PoolPhase::ScalingFailed { .. } => {
            pool.deleted_at.is_none()
        }
        PoolPhase::Waiting(_) | PoolPhase::CreationFailed { .. } | PoolPhase::Error { .. } | PoolPhase::Deleting => false,
    };
    // There may be thousands, and every step passes here.
    if stays {
        known.take_while(|event| event.is_surplus).collect()
    } else {
        known.collect()
    }
}

fn catalogue(index: &Snapshot<'_>) -> Catalogue {
    let flavors: BTreeMap<_, _> = index
        .all::<Flavor>()
        .into_iter()
        .map(|flavor| (flavor.name.clone(), flavor.object))
        .collect();
    let templates = index
        .all::<PluginTemplate>()
        .into_iter()
        .map(|template| (template.name.clone(), template.object))
        .collect();
    let config = index
        .get::<OsConfig>("", "os-config")
        .map_or_else(|| Arc::new(OsConfig::plain()), |config| config.object);
    Catalogue {
        flavors,
        templates,
        config,
    }
}
