//! Batch actions that change nodes where they are: locks, updates, binding, draining, reboots, resets.

use super::batch::{Asked, check_can_be_asked, check_working, decided, put_node};
use super::node_of;
use crate::Outcome;
use crate::admission;
use crate::context::{CallContext, Service};
use crate::error::ServiceError;
use auth::Action;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::job::JobKind;
use domain::name::{NodeName, PoolName};
use domain::node::request::{Bind, Reset, Rolling, Update};
use domain::node::{DRAIN_TAINT, Drain, HA_TAINT, Node, NodeTemplate, PinnedDriver, TaintEffect, TaskKind};
use domain::pool::{Accelerator, Pool, PoolRef, Restricted};
use domain::status;
use domain::tag::MAX_TAGS;
use jiff::Timestamp;
use store::index::{Facet, Snapshot, Versioned};
use store::{Expect, TypedBatch};

/// Results by node: whether it could be done.
pub type Results = Vec<(String, bool)>;

impl Service {
    /// Sets or removes the deletion lock (`batch-lock`, `batch-unlock`). Restriction bits do not matter.
    pub async fn lock_nodes(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
        is_locked: bool,
        decode: impl Fn() -> Result<Vec<NodeName>, FieldErrors>,
    ) -> Result<Outcome<Results>, ServiceError> {
        self.update_each(
            ctx,
            pool,
            None,
            || Ok((decode()?, is_locked)),
            |_, is_locked, node| {
                node.is_locked = *is_locked;
                true
            },
        )
        .await
    }

    /// `batch-update`.
    pub async fn update_nodes(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
        decode: impl Fn() -> Result<(Vec<NodeName>, Update), FieldErrors>,
    ) -> Result<Outcome<Results>, ServiceError> {
        let now = self.now();
        self.update_each(ctx, pool, Some(Restricted::Configuration), decode, |pool, update, node| {
            self.has_driver(update, node) && apply_update(pool, update, node, now)
        })
        .await
    }

    /// Whether a wished driver is one for the node's accelerator; other wishes need none.
    fn has_driver(&self, update: &Update, node: &Node) -> bool {
        let Update::Driver { version, .. } = update else { return true };
        let templates = admission::driver_templates(&self.parts.state.index().read());
        let template = node.driver.as_ref().and_then(|driver| templates.get(&driver.kind));
        template.is_some_and(|template| template.has_version(version))
    }

    /// Applies a change to every named node that takes it, and tells which did.
    async fn update_each<T>(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
        restricted: Option<Restricted>,
        decode: impl Fn() -> Result<(Vec<NodeName>, T), FieldErrors>,
        apply: impl Fn(&Pool, &T, &mut Node) -> bool,
    ) -> Result<Outcome<Results>, ServiceError>
    where
        T: Checked,
    {
        let _turn = self.locks.lock(self.tree_of(ctx, pool)).await;
        self.change(ctx, || {
            let Asked { pool, wants } = self.asked(ctx, (Action::NodeUpdate, pool), &decode, restricted)?;
            let (names, wants) = wants;
            wants.check(&self.parts.state.index().read(), &pool)?;
            let mut batch = TypedBatch::default();
            let mut results = Results::new();
            for name in &names {
                let found = self.named_nodes(&pool, std::slice::from_ref(name)).ok();
                let found = found.into_iter().flatten().find(|node| !node.phase.is_deleting());
                let is_done = found.is_some_and(|found| {
                    let mut next = Node::clone(&found);
                    let is_done = apply(&pool, &wants, &mut next);
                    if is_done {
                        put_node(&mut batch, &found, next);
                    }
                    is_done
                });
                results.push((name.to_string(), is_done));
            }
            batch.check(pool.entry.key.clone(), Expect::At(pool.revision()));
            Ok(decided(batch, results))
        })
        .await
    }

    /// `batch-drain`.
    pub async fn drain_nodes(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
        decode: impl Fn() -> Result<Vec<NodeName>, FieldErrors>,
    ) -> Result<Outcome<()>, ServiceError> {
        let _turn = self.locks.lock(self.tree_of(ctx, pool)).await;
        self.change(ctx, || {
            let Asked { pool, wants: names } = self.asked(ctx, (Action::NodeUpdate, pool), &decode, Some(Restricted::Configuration))?;
            let now = self.now();
            let mut batch = TypedBatch::default();
            for found in self.named_nodes(&pool, &names)? {
                refuse_deleting(&found)?;
                let mut next = Node::clone(&found);
                if next.care.drain.is_none_or(|drain| drain.reopens) {
                    next.care.drain = Some(Drain {
                        asked_at: now,
                        done_at: None,
                        reopens: false,
                    });
                }
                next.care.taint(DRAIN_TAINT, TaintEffect::NoSchedule, now);
                put_node(&mut batch, &found, next);
            }
            Ok(decided(batch, ()))
        })
        .await
    }

    /// `batch-bind`: binds nodes to logical pools below the one of the path, or unbinds them.
    pub async fn bind_nodes(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
        decode: impl Fn() -> Result<Bind, FieldErrors>,
    ) -> Result<Outcome<()>, ServiceError> {
        let _turn = self.locks.lock(self.tree_of(ctx, pool)).await;
        self.change(ctx, || {
            let found = self.find_pool(ctx, Action::NodeUpdate, pool)?;
            let wants = decode()?;
            self.refuse_restricted(&found.object, Restricted::Configuration)?;
            check_working(&found)?;
            let mut batch = TypedBatch::default();
            let index = self.parts.state.index().read();
            for (at, (name, quota)) in wants.nodes.iter().enumerate() {
                let node = node_of(&index, &found, name).ok_or_else(|| ServiceError::node(name))?;
                refuse_deleting(&node)?;
                if node.quota == *quota {
                    return Err(ServiceError::Refused(format!("the quota of node {name} does not change")));
                }
                if let Some(quota) = quota {
                    let place = FieldPath::of("nodes").index(at).field("quotaName");
                    let sub_pool = check_quota(&index, &found, &node, (quota, &place))?;
                    batch.check(sub_pool.entry.key.clone(), Expect::At(sub_pool.revision()));
                }
                let mut next = Node::clone(&node);
                next.quota.clone_from(quota);
                if wants.drain && next.care.drain.is_none() {
                    next.care.drain = Some(Drain {
                        asked_at: self.now(),
                        done_at: None,
                        reopens: true,
                    });
                }
                put_node(&mut batch, &node, next);
            }
            // Several nodes may be bound to one pool.
            batch.checks.sort_by(|a, b| a.0.cmp(&b.0));
            batch.checks.dedup();
            Ok(decided(batch, ()))
        })
        .await
    }

    /// `batch-reboot`. Gives the id of the job.
    pub async fn reboot_nodes(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
        decode: impl Fn() -> Result<Vec<NodeName>, FieldErrors>,
    ) -> Result<Outcome<(Vec<String>, String)>, ServiceError> {
        let _turn = self.locks.lock(self.tree_of(ctx, pool)).await;
        self.change(ctx, || {
            let Asked { pool, wants: names } = self.asked(ctx, (Action::NodeUpdate, pool), &decode, Some(Restricted::Configuration))?;
            let inputs = serde_json::json!({"nodeNames": names.iter().map(NodeName::as_str).collect::<Vec<_>>()}).to_string();
            let job = self.new_job(JobKind::RebootNode, &pool, &pool.uid, &names, inputs);
            let id = job.id.hyphenated();
            let batch = self.ask_nodes(&pool, &names, &TaskKind::Reboot, job)?;
            Ok(decided(batch, (names.iter().map(ToString::to_string).collect(), id)))
        })
        .await
    }

    /// `batch-reset`. Gives the id of the job.
    pub async fn reset_nodes(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
        decode: impl Fn() -> Result<Reset, FieldErrors>,
    ) -> Result<Outcome<String>, ServiceError> {
        let _turn = self.locks.lock(self.tree_of(ctx, pool)).await;
        self.change(ctx, || {
            let Asked { pool, wants } = self.asked(ctx, (Action::NodeUpdate, pool), &decode, Some(Restricted::Configuration))?;
            let mut job = self.new_job(JobKind::ResetNodes, &pool, &pool.uid, &wants.names, wants.inputs.clone());
            job.at_once = Some(at_once(wants.rolling, wants.names.len()));
            let id = job.id.hyphenated();
            let kind = TaskKind::Reset {
                image: wants.image.clone(),
                runtime: wants.runtime.clone(),
            };
            let batch = self.ask_nodes(&pool, &wants.names, &kind, job)?;
            Ok(decided(batch, id))
        })
        .await
    }

    fn ask_nodes(&self, pool: &Pool, names: &[NodeName], kind: &TaskKind, job: domain::job::Job) -> Result<TypedBatch, ServiceError> {
        let now = self.now();
        let mut batch = TypedBatch::default();
        for found in self.named_nodes(pool, names)? {
            check_can_be_asked(&found)?;
            let mut next = Node::clone(&found);
            next.care.ask(kind.clone(), Some(job.id.clone()), now);
            put_node(&mut batch, &found, next);
        }
        batch.put(job, Expect::Absent);
        Ok(batch)
    }
}

/// Nodes of a reset that are worked on at once.
fn at_once(rolling: Rolling, nodes: usize) -> u32 {
    match rolling {
        Rolling::Number(number) => number.max(1),
        Rolling::Percent(percent) => u32::try_from(nodes * percent as usize / 100).unwrap_or(u32::MAX).max(1),
    }
}

fn refuse_deleting(node: &Node) -> Result<(), ServiceError> {
    if node.phase.is_deleting() {
        return Err(ServiceError::Refused(format!("node {} is being deleted", node.name)));
    }
    Ok(())
}

/// The sub-pool that a node is to be bound to: below the pool of the path, in use, with the node's flavor.
fn check_quota(
    index: &Snapshot<'_>,
    pool: &Versioned<Pool>,
    node: &Node,
    (quota, place): (&PoolName, &FieldPath),
) -> Result<Versioned<Pool>, ServiceError> {
    let refuse = |reason, message: String| Err(ServiceError::field(place.clone(), reason, message));
    let root = PoolRef {
        project: node.project.clone(),
        name: node.pool.clone(),
    };
    let below = index.under::<Pool>(Facet::PoolsOfRoot, format!("{}/{}", root.project, root.name));
    let Some(found) = below.into_iter().find(|below| below.name == *quota) else {
        return refuse(Reason::NotFound, format!("pool {quota} is no sub-pool of pool {}", pool.name));
    };
    let line = admission::lineage(index, &found.object);
    if !line.iter().skip(1).any(|ancestor| ancestor.uid == pool.uid) {
        return refuse(Reason::NotFound, format!("pool {quota} is no sub-pool of pool {}", pool.name));
    }
    if found.status.phase != domain::pool::PoolPhase::Running {
        return refuse(Reason::Invalid, format!("pool {quota} is {}", found.status.phase.as_str()));
    }
    if !found.spec.resources.iter().any(|element| element.flavor == node.flavor) {
        return refuse(
            Reason::Invalid,
            format!("pool {quota} has no nodes of flavor {}, which node {} has", node.flavor, node.name),
        );
    }
    Ok(found)
}

/// `false`: it cannot be done to this node.
fn apply_update(pool: &Pool, update: &Update, node: &mut Node, now: Timestamp) -> bool {
    match update {
        Update::OpenHa(effect) => {
            node.is_ha_spare = true;
            node.care.taint(HA_TAINT, *effect, now);
        }
        Update::CloseHa => {
            node.is_ha_spare = false;
            node.care.untaint(HA_TAINT);
        }
        Update::CreateTags(tags) => {
            let template = node.template.get_or_insert_with(|| Box::new(NodeTemplate::default()));
            template.tags.retain(|known| tags.iter().all(|tag| tag.key != known.key));
            template.tags.extend(tags.iter().cloned());
            return template.tags.len() <= MAX_TAGS;
        }
        Update::DeleteTags(keys) => {
            if let Some(template) = &mut node.template {
                template.tags.retain(|known| {
                    !keys
                        .iter()
                        .any(|(key, value)| *key == known.key && value.as_ref().is_none_or(|value| *value == known.value))
                });
            }
            if node.template.as_ref().is_some_and(|template| template.is_empty()) {
                node.template = None;
            }
        }
        Update::Driver { version, strategy } => {
            let usual = status::usual_driver_target(pool, node).map(ToOwned::to_owned);
            node.care.driver = Some(Box::new(PinnedDriver {
                version: version.clone(),
                strategy: *strategy,
                instead_of: usual,
            }));
        }
    }
    true
}

/// A wish that may be wrong for all nodes together.
trait Checked {
    fn check(&self, index: &Snapshot<'_>, pool: &Pool) -> Result<(), ServiceError>;
}

impl Checked for bool {
    fn check(&self, _index: &Snapshot<'_>, _pool: &Pool) -> Result<(), ServiceError> {
        Ok(())
    }
}

impl Checked for Update {
    fn check(&self, index: &Snapshot<'_>, pool: &Pool) -> Result<(), ServiceError> {
        let Self::Driver { version, .. } = self else { return Ok(()) };
        let templates = admission::driver_templates(index);
        let kinds: Vec<Accelerator> = pool.status.drivers.keys().copied().collect();
        let place = FieldPath::of("driver").field("version");
        if kinds.is_empty() {
            return Err(ServiceError::field(
                place,
                Reason::Forbidden,
                "the pool has no flavor with accelerators",
            ));
        }
        let is_known = kinds
            .iter()
            .filter_map(|kind| templates.get(kind))
            .any(|template| template.has_version(version));
        if is_known {
            Ok(())
        } else {
            Err(ServiceError::field(
                place,
                Reason::NotFound,
                format!("there is no driver version \"{version}\""),
            ))
        }
    }
}
