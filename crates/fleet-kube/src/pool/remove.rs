//! Pools that go.

use super::queues::Queues;
use super::{Inner, PERIOD, spaces};
use crate::context::Epoch;
use crate::failure::Failure;
use crate::object::{Change, Key, Kind};
use crate::plugins;
use crate::quota::QuotaTree;
use domain::meta::Uid;
use fleet::FleetError;
use std::sync::Arc;

impl Inner {
    /// Whether there was anything to remove.
    pub(super) async fn begin_removal(&self, root: &Uid, epoch: Epoch) -> Result<bool, FleetError> {
        let seen = self.index.of(root);
        if seen.is_empty() {
            return Ok(false);
        }
        let closed = spaces::of(&seen).filter_map(|(key, space)| spaces::closed(key, space, true));
        let closed: Vec<Change> = closed.map(Change::Put).collect();
        let is_new = !closed.is_empty();
        self.carry_out(&seen, closed, epoch).await?;
        self.remove(root, epoch).await?;
        Ok(is_new)
    }

    /// Takes away what can be taken away now: queues before name spaces, the pool's first name space last.
    async fn remove(&self, root: &Uid, epoch: Epoch) -> Result<(), FleetError> {
        let seen = self.index.of(root);
        let spaces_of_work = spaces::workload_spaces(&seen);
        let mut idle = self.end_workloads(root, &spaces_of_work, &seen, epoch).await?;
        let is_idle = spaces::of(&seen).all(|(_, space)| spaces::pool_of(space).is_none_or(|pool| idle.contains(&pool)));
        if is_idle {
            // Also of pools whose name space is gone already.
            idle.extend(seen.values().filter_map(|object| spaces::pool_of(object)));
        }
        let none = QuotaTree::new(&[], &self.per_node);
        let refused = |reason| FleetError::Refused { reason };
        let queues = Queues::of(&self.context.config, &none, &seen).map_err(refused)?;
        let mut changes = queues.plan(&self.context.config, root, &seen, &idle);
        let is_there = |key: &&Key| seen[*key].metadata.deletion_timestamp.is_none();
        let releases = seen.keys().filter(|key| plugins::is_chart(key)).filter(is_there);
        changes.extend(releases.cloned().map(Change::Delete));
        let drivers: Vec<&Key> = seen.keys().filter(|key| key.kind == Kind::NvidiaDriver).collect();
        // Without its object the driver goes, while work that ends may still need it.
        let keeps_driver = !drivers.is_empty() && self.work.has_nodes(root);
        if !keeps_driver {
            changes.extend(drivers.into_iter().filter(is_there).cloned().map(Change::Delete));
        }
        if is_idle && !keeps_driver {
            let first = Key::cluster(Kind::Namespace, &spaces::first(root));
            let spaces = spaces::of(&seen).map(|(key, _)| key).filter(|key| **key != first).filter(is_there);
            changes.extend(spaces.cloned().map(Change::Delete));
            changes.extend(
                seen.contains_key(&first)
                    .then_some(&first)
                    .filter(is_there)
                    .cloned()
                    .map(Change::Delete),
            );
        }
        self.carry_out(&seen, changes, epoch).await
    }

    /// Goes on with removals, also with those that another process has begun.
    pub(super) async fn go_on(self: Arc<Self>) {
        loop {
            let late = self.context.clock.sleep_until(self.context.after(PERIOD));
            tokio::select! {
                biased;
                () = self.woken.notified() => {}
                () = late => {}
            }
            let Some(epoch) = self.context.holder().filter(|_| self.fresh().is_ok()) else {
                continue;
            };
            for root in self.index.removing() {
                if let Err(error) = self.remove(&root, epoch).await {
                    tracing::info!(%error, pool = %root, "the removal is gone on with later");
                }
            }
            for root in self.index.remains() {
                if let Err(error) = self.clear(&root, epoch).await {
                    tracing::info!(%error, pool = %root, "what is left of a pool is taken away later");
                }
            }
        }
    }

    /// Takes away what is left of a pool, once the server says that the pool is not there.
    async fn clear(&self, root: &Uid, epoch: Epoch) -> Result<(), FleetError> {
        let first = Key::cluster(Kind::Namespace, &spaces::first(root));
        let api = self.api(&first);
        let found = self.context.call(api.get_opt(&first.name)).await.map_err(Failure::on_read)?;
        if let Some(found) = found {
            if let Some(cache) = self.caches.get(&Kind::Namespace) {
                cache.note(found);
            }
            return Ok(());
        }
        tracing::warn!(pool = %root, "something is left of a pool that has gone");
        self.remove(root, epoch).await
    }
}
