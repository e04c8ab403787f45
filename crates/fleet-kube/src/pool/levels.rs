//! Quotas: which of them hold, and what they are made into.

use super::closing::{Closed, Live, live};
use super::queues::{self, Queues};
use super::spaces::{self, Note};
use super::{Inner, first_note};
use crate::config::Scheduler;
use crate::context::Epoch;
use crate::kueue::SeenObjects;
use crate::object::{Change, Key, Kind, Object};
use crate::quota::{PerNode, QuotaTree, ordered};
use domain::meta::Uid;
use fleet::{FleetError, PoolMark, Quota, Workloads};
use kube::api::DynamicObject;
use std::collections::{BTreeMap, BTreeSet};

impl Inner {
    /// The quotas that hold: those of which everything is as it should be. Of a pool that is being ended something is left for as
    /// long as it is shown here.
    pub(super) fn quotas(&self, root: &Uid, seen: &SeenObjects, workloads: &Workloads) -> Vec<Quota> {
        let mut open = Vec::new();
        let mut ending = Vec::new();
        for (_, space) in spaces::of(seen) {
            let Some(quota) = spaces::note(space).quota else { continue };
            if spaces::is_ending(space) || space.metadata.deletion_timestamp.is_some() {
                ending.push(quota);
            } else {
                open.push(quota);
            }
        }
        let open = ordered(open);
        let live = live(workloads);
        let tree = QuotaTree::new(&open, &self.per_node(first_note(seen, root).counts));
        let queues = Queues::of(&self.context.config, &tree, seen);
        let seen_queues = queues::volcano_queues(seen);
        let holds = |quota: &Quota| {
            let Some(above) = open.first().map(|first| &first.pool) else {
                return false;
            };
            tree.pool(&quota.pool.uid).is_some()
                && self.has_its_spaces(above, quota, seen, &live)
                && queues
                    .as_ref()
                    .is_ok_and(|queues| queues.is_conform(&quota.pool.uid, seen, &seen_queues))
        };
        let mut quotas: Vec<Quota> = open.iter().filter(|quota| holds(quota)).cloned().collect();
        let spaces = spaces::workload_spaces(seen);
        quotas.extend(ending.into_iter().filter(|quota| {
            let uid = &quota.pool.uid;
            uid != root || has_queues(uid, seen) || !self.work.is_idle(uid, root, &spaces)
        }));
        ordered(quotas)
    }

    /// Whether a pool has the name spaces that it should have, and others only for as long as workloads are in them.
    fn has_its_spaces(&self, root: &PoolMark, quota: &Quota, seen: &SeenObjects, live: &Live) -> bool {
        let pool = &quota.pool;
        let note = Note {
            quota: Some(quota.clone()),
            ..first_note(seen, &pool.uid)
        };
        let is_met = |space: &Object| seen.get(&space.key).is_some_and(|seen| space.is_met(seen));
        let closing = spaces::closing(root, pool, &note, self.security(), seen);
        spaces::wanted(root, pool, &note, self.security()).iter().all(is_met)
            && closing
                .iter()
                .all(|(job_type, space)| is_met(space) && live.contains(&(pool.uid.clone(), *job_type)))
    }

    /// What a node of each flavor counts: what the configuration says goes before what was read off Nodes.
    pub(super) fn per_node(&self, counts: PerNode) -> PerNode {
        let mut all = counts;
        all.extend(self.per_node.clone());
        all
    }

    /// What a pool has noted of flavors, with those that it lacks. What is noted stays: queues must not change with every Node.
    fn counts(&self, mut noted: PerNode, quotas: &[Quota]) -> PerNode {
        if self.context.config.scheduler != Scheduler::None {
            for flavor in quotas.iter().flat_map(|quota| quota.amounts.keys()) {
                if !self.per_node.contains_key(flavor) && !noted.contains_key(flavor) {
                    let least = self.work.least(flavor);
                    if !least.is_empty() {
                        noted.insert(flavor.clone(), least);
                    }
                }
            }
        }
        noted
    }

    pub(super) async fn set_quotas(&self, pool: &PoolMark, quotas: &[Quota], epoch: Epoch) -> Result<(), FleetError> {
        let root = &pool.uid;
        let seen = self.index.of(root);
        let first = seen.get(&Key::cluster(Kind::Namespace, &spaces::first(root)));
        let is_going = first.is_some_and(|space| space.metadata.deletion_timestamp.is_some() || spaces::is_removing(space));
        if is_going || (seen.is_empty() && quotas.is_empty()) {
            return Ok(());
        }
        let counts = self.counts(first_note(&seen, root).counts, quotas);
        let tree = QuotaTree::new(quotas, &self.per_node(counts.clone()));
        let refused = |reason| FleetError::Refused { reason };
        Queues::of(&self.context.config, &tree, &seen).map_err(refused)?;
        let (mut changes, mut closed) = (Vec::new(), Vec::new());
        for quota in quotas.iter().filter(|quota| tree.pool(&quota.pool.uid).is_some()) {
            let note = Note {
                quota: Some(quota.clone()),
                plugins: first_note(&seen, &quota.pool.uid).plugins,
                counts: if quota.pool.uid == *root { counts.clone() } else { PerNode::new() },
            };
            // One that is going can only be made anew once it has gone.
            let is_to_put = |space: &Object| {
                let known = seen.get(&space.key);
                known.is_none_or(|seen| seen.metadata.deletion_timestamp.is_none() && !space.is_met(seen))
            };
            let mut spaces = spaces::wanted(pool, &quota.pool, &note, self.security());
            for (job_type, space) in spaces::closing(pool, &quota.pool, &note, self.security(), &seen) {
                closed.push(Closed::new(&quota.pool, job_type, &space.key));
                spaces.push(space);
            }
            changes.extend(spaces.into_iter().filter(is_to_put).map(Change::Put));
        }
        let ending = |space: &DynamicObject| spaces::pool_of(space).is_none_or(|uid| tree.pool(&uid).is_none());
        let ended = spaces::of(&seen).filter(|(_, space)| ending(space));
        changes.extend(ended.filter_map(|(key, space)| spaces::closed(key, space, false)).map(Change::Put));
        self.carry_out(&seen, changes, epoch).await?;
        // Only what was closed before this is taken away now: what came in until then has been heard of.
        closed.retain(|space| space.is_closed(&seen));
        let seen = self.index.of(root);
        let queues = Queues::of(&self.context.config, &tree, &seen).map_err(refused)?;
        let mut workload_spaces = spaces::workload_spaces(&seen);
        workload_spaces.retain(|_, space| tree.pool(&space.pool.uid).is_none());
        let idle = self.end_workloads(root, &workload_spaces, &seen, epoch).await?;
        let changes = queues.plan(&self.context.config, root, &seen, &idle);
        self.carry_out(&seen, changes, epoch).await?;
        let gone = spaces::of(&seen).filter(|(_, space)| {
            let pool = spaces::pool_of(space).filter(|pool| pool != root && tree.pool(pool).is_none());
            space.metadata.deletion_timestamp.is_none() && pool.is_some_and(|pool| idle.contains(&pool))
        });
        let gone = gone.map(|(key, _)| Change::Delete(key.clone())).collect();
        self.carry_out(&seen, gone, epoch).await?;
        self.take_away(root, &closed, epoch).await
    }

    /// Ends what runs or waits in name spaces, and gives the pools that have nothing left there.
    pub(super) async fn end_workloads(
        &self,
        root: &Uid,
        workload_spaces: &BTreeMap<String, crate::workloads::Space>,
        seen: &SeenObjects,
        epoch: Epoch,
    ) -> Result<BTreeSet<Uid>, FleetError> {
        for target in self.work.targets(root, workload_spaces) {
            self.end(&target, epoch).await?;
        }
        let pools = spaces::of(seen).filter_map(|(_, space)| spaces::pool_of(space));
        Ok(pools.filter(|pool| self.work.is_idle(pool, root, workload_spaces)).collect())
    }
}

fn has_queues(pool: &Uid, seen: &SeenObjects) -> bool {
    seen.iter()
        .any(|(key, object)| queues::is_part(key) && spaces::pool_of(object).as_ref() == Some(pool))
}
