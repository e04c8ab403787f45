//! Commands about plug-ins.

use super::{Inner, spaces};
use crate::context::Epoch;
use crate::object::{Change, Key, Kind};
use crate::plugins::{self, Note as PluginNote};
use crate::settings::PluginRule;
use domain::name::TemplateName;
use fleet::observation::PluginState;
use fleet::{FleetError, PluginRequest, PoolMark};
use kube::api::DynamicObject;
use std::sync::Arc;
use std::time::Duration;

impl Inner {
    pub(super) async fn ensure_plugin(&self, pool: &PoolMark, plugin: &PluginRequest, epoch: Epoch) -> Result<(), FleetError> {
        let seen = self.index.of(&pool.uid);
        let first = seen.get(&Key::cluster(Kind::Namespace, &spaces::first(&pool.uid)));
        let Some(first) = first.filter(|space| space.metadata.deletion_timestamp.is_none()) else {
            return Err(FleetError::Refused {
                reason: "the pool has no name space".to_owned(),
            });
        };
        match self.context.config.pool.rule(&plugin.template) {
            PluginRule::Chart(chart) => {
                let object = plugins::release(&pool.uid, plugin, &chart, &self.context.config.namespace);
                let known = seen.get(&object.key);
                if known.is_some_and(|release| plugins::is_asked(release, plugin.attempt)) {
                    return Ok(());
                }
                if known.is_some_and(|release| release.metadata.deletion_timestamp.is_some()) {
                    return Err(FleetError::Throttled {
                        retry_after: Duration::from_secs(1),
                    });
                }
                if known.is_none() && !self.checker.has_crd(plugins::CRD).await? {
                    return Err(FleetError::Refused {
                        reason: format!(
                            "plug-in {} is a chart, and the cluster has nothing that installs charts: {} is not there",
                            plugin.template,
                            plugins::CRD
                        ),
                    });
                }
                self.carry_out(&seen, vec![Change::Put(object)], epoch).await
            }
            PluginRule::Present { .. } => {
                let mut note = spaces::note(first);
                if note
                    .plugins
                    .get(&plugin.template)
                    .is_some_and(|known| known.attempt >= plugin.attempt)
                {
                    return Ok(());
                }
                let used = PluginNote {
                    version: plugin.version.clone(),
                    attempt: plugin.attempt,
                };
                note.plugins.insert(plugin.template.clone(), used);
                let space = spaces::wanted_first(pool, pool, &note, self.security());
                self.carry_out(&seen, vec![Change::Put(space)], epoch).await
            }
        }
    }

    pub(super) async fn remove_plugin(&self, pool: &PoolMark, template: &TemplateName, epoch: Epoch) -> Result<(), FleetError> {
        let seen = self.index.of(&pool.uid);
        let is_meant = |(key, object): &(&Key, &Arc<DynamicObject>)| {
            key.kind == Kind::HelmRelease
                && plugins::fact(object).is_some_and(|(known, fact)| known == *template && fact.state != PluginState::Removing)
        };
        let mut changes: Vec<Change> = seen.iter().filter(is_meant).map(|(key, _)| Change::Delete(key.clone())).collect();
        let first = seen.get(&Key::cluster(Kind::Namespace, &spaces::first(&pool.uid)));
        if let Some(first) = first.filter(|space| space.metadata.deletion_timestamp.is_none()) {
            let mut note = spaces::note(first);
            if note.plugins.remove(template).is_some() {
                changes.push(Change::Put(spaces::wanted_first(pool, pool, &note, self.security())));
            }
        }
        self.carry_out(&seen, changes, epoch).await
    }
}
