//! `batch-migrate`: nodes go to another pool of the project, with their machines.

use super::batch::{Asked, add_items, check_can_be_asked, decided, put_node};
use super::counts::{Leaving, check_scalable, check_whole_batches, raise, refuse_locked};
use crate::Outcome;
use crate::admission;
use crate::context::{CallContext, Service};
use crate::error::ServiceError;
use auth::Action;
use domain::catalogue::Offers;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::job::JobKind;
use domain::meta::Uid;
use domain::name::{NodePoolName, PoolName};
use domain::node::request::Migrate;
use domain::node::{MoveFrom, Node, NodePhase, TaskKind};
use domain::order::ItemAction;
use domain::pool::validate::{PoolChange, Scaling};
use domain::pool::{Pool, PoolRef, PoolResource, Restricted};
use jiff::Timestamp;
use store::index::Versioned;
use store::{Expect, TypedBatch};

/// Elements of a pool at most.
const MAX_ELEMENTS: usize = 10;

impl Service {
    /// `batch-migrate`. Gives the id of the job.
    pub async fn migrate_nodes(
        &self,
        ctx: &CallContext,
        pool: &PoolName,
        decode: impl Fn() -> Result<Migrate, FieldErrors>,
    ) -> Result<Outcome<String>, ServiceError> {
        // Both trees, always in the same order. A body that cannot be read is told of below.
        let target = decode().map_or_else(|_| pool.clone(), |wants| wants.to);
        let mut trees = [self.tree_of(ctx, pool), self.tree_of(ctx, &target)];
        trees.sort();
        let _first = self.locks.lock(trees[0].clone()).await;
        let _second = if trees[0] == trees[1] {
            None
        } else {
            Some(self.locks.lock(trees[1].clone()).await)
        };
        self.change_with_offers(ctx, |offers| {
            let asked = self.asked(ctx, (Action::NodeUpdate, pool), &decode, Some(Restricted::Specification))?;
            let target = self.target_pool(ctx, &asked)?;
            self.plan_migration(ctx, &asked, &target, offers)
        })
        .await
    }

    /// The pool that nodes are to go to.
    fn target_pool(&self, ctx: &CallContext, asked: &Asked<Migrate>) -> Result<Versioned<Pool>, ServiceError> {
        let Asked { pool, wants } = asked;
        let refuse = |field: &str, reason, message: String| Err(ServiceError::field(FieldPath::of(field), reason, message));
        if wants.from != pool.name {
            return refuse(
                "fromClusterName",
                Reason::Invalid,
                format!("must be the pool of the path, {}", pool.name),
            );
        }
        if wants.to == wants.from {
            return refuse("toClusterName", Reason::Invalid, "must not be fromClusterName".to_owned());
        }
        if wants.to_pool.as_ref().is_some_and(|to| *to != wants.to) {
            return refuse(
                "toPoolName",
                Reason::Invalid,
                format!("must be the pool of the cluster, {}", wants.to),
            );
        }
        let found = self.parts.state.index().read().get::<Pool>(&ctx.project, &wants.to);
        let Some(found) = found.filter(|found| found.is_physical()) else {
            return refuse("toClusterName", Reason::NotFound, format!("there is no cluster \"{}\"", wants.to));
        };
        self.check_workspace(ctx, Action::NodeUpdate, &found.workspace)?;
        self.refuse_restricted(&found.object, Restricted::Specification)?;
        check_scalable(pool, true)?;
        check_scalable(&found, false)?;
        Ok(found)
    }

    fn plan_migration(
        &self,
        ctx: &CallContext,
        asked: &Asked<Migrate>,
        target: &Versioned<Pool>,
        offers: &Offers,
    ) -> Result<crate::commit::Decided<String>, ServiceError> {
        let Asked { pool, wants } = asked;
        let now = self.now();
        let moving = self.named_nodes(pool, &wants.names)?;
        refuse_locked(&moving)?;
        for node in &moving {
            check_can_be_asked(node)?;
            if wants.flavor.as_ref().is_some_and(|flavor| *flavor != node.flavor) {
                let path = FieldPath::of("resourceSpec").field("flavor");
                return Err(ServiceError::field(
                    path,
                    Reason::Invalid,
                    format!("node {} is of flavor {}", node.name, node.flavor),
                ));
            }
        }
        let (mut batch, _) = self.send_away(ctx, pool, (&moving, Leaving::Moved), offers)?;
        let job = self.new_job(JobKind::MigrateNodes, pool, &target.uid, &wants.names, wants.inputs.clone());
        let mut next = Pool::clone(target);
        let arrived: Vec<Node> = moving
            .iter()
            .map(|node| {
                let element = element_for(&mut next, node, wants.node_pool.as_ref());
                raise(element, node);
                let node_pool = element.node_pool();
                moved(node, target, (node_pool, &job.id), now)
            })
            .collect();
        check_room(&next)?;
        let network = |pool: &Pool| pool.physical().map(|spec| spec.network.clone());
        // Inside one network, nodes take their addresses along.
        if network(pool) != network(target) {
            self.check_addresses_for(ctx, target, arrived.len())?;
        }
        let mut nodes = self.nodes_under(target);
        nodes.extend(arrived.iter().cloned());
        let taken = self.carry_out_with(ctx, target, PoolChange::of_resources(next, Scaling::Out), &nodes, offers)?;
        let order = taken.object.last_order.clone();
        merge(&mut batch, taken.batch);
        add_items(&mut batch, &order, &wants.names, ItemAction::CreateNode, now);
        for (found, next) in moving.iter().zip(arrived) {
            let mut next = next;
            next.order = order.clone();
            put_node(&mut batch, found, next);
        }
        let id = job.id.hyphenated();
        batch.put(job, Expect::Absent);
        Ok(decided(batch, id))
    }

    fn check_addresses_for(&self, ctx: &CallContext, target: &Pool, more: usize) -> Result<(), ServiceError> {
        let Some(spec) = target.physical() else { return Ok(()) };
        let index = self.parts.state.index().read();
        match index.get::<domain::network::Network>(&ctx.project, &spec.network) {
            Some(network) => admission::check_addresses(&index, &network, i64::try_from(more).unwrap_or(i64::MAX)),
            None => Ok(()),
        }
    }
}

fn merge(batch: &mut TypedBatch, other: TypedBatch) {
    batch.puts.extend(other.puts);
    batch.deletes.extend(other.deletes);
    batch.checks.extend(other.checks);
    batch.counts.extend(other.counts);
}

/// The element of the target that takes a node; a new one where there is none.
fn element_for<'a>(next: &'a mut Pool, node: &Node, node_pool: Option<&NodePoolName>) -> &'a mut PoolResource {
    let mut wanted = PoolResource::plain(node.flavor.clone(), 0);
    wanted.node_pool = node_pool.filter(|name| **name != wanted.node_pool()).cloned();
    let key = wanted.element();
    let resources = &mut next.spec.resources;
    let at = resources.iter().position(|element| element.element() == key).unwrap_or_else(|| {
        resources.push(wanted);
        resources.len() - 1
    });
    &mut resources[at]
}

fn check_room(next: &Pool) -> Result<(), ServiceError> {
    if next.spec.resources.len() > MAX_ELEMENTS {
        return Err(ServiceError::Refused(format!(
            "pool {} has {MAX_ELEMENTS} node pools already",
            next.name
        )));
    }
    let mut names = std::collections::BTreeSet::new();
    if let Some(element) = next.spec.resources.iter().find(|element| !names.insert(element.node_pool())) {
        return Err(ServiceError::Refused(format!(
            "node pool {} of pool {} is of another flavor",
            element.node_pool(),
            next.name
        )));
    }
    check_whole_batches(&next.spec.resources)
}

/// The node as one of the target pool: its machine is on its way, and is installed anew there.
fn moved(node: &Node, target: &Pool, (node_pool, job): (NodePoolName, &Uid), now: Timestamp) -> Node {
    let mut next = node.clone();
    next.care.coming_from = Some(Box::new(MoveFrom {
        uid: node.pool_uid.clone(),
        pool: PoolRef {
            project: node.project.clone(),
            name: node.pool.clone(),
        },
    }));
    next.pool = target.name.clone();
    next.pool_uid = target.uid.clone();
    next.node_pool = node_pool;
    next.quota = None;
    next.batch = None;
    next.was_available = false;
    next.care.drain = None;
    next.care.repair = None;
    next.care.driver = None;
    // The planner, which knows how long it may take, sets the end.
    next.phase = NodePhase::Checking { deadline: Timestamp::MAX };
    let reset = TaskKind::Reset {
        image: None,
        runtime: None,
    };
    next.care.ask(reset, Some(job.clone()), now);
    next
}
