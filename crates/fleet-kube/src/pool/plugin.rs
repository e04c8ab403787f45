//! Commands about plug-ins.

use super::{Inner, spaces};
use crate::context::Epoch;
use crate::kueue::SeenObjects;
use crate::object::{Change, Key, Kind};
use crate::plugins::{self, Note as PluginNote};
use crate::settings::{Chart, PluginRule};
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
            PluginRule::Chart(chart) => self.ensure_chart(pool, plugin, &chart, &seen, epoch).await,
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

    /// One that is there stays with whoever installed it.
    async fn ensure_chart(
        &self,
        pool: &PoolMark,
        plugin: &PluginRequest,
        chart: &Chart,
        seen: &SeenObjects,
        epoch: Epoch,
    ) -> Result<(), FleetError> {
        let settings = &self.context.config;
        let release = plugins::release(&pool.uid, plugin, chart, &settings.namespace);
        let argo = settings.pool.argo.as_ref();
        let application = argo.and_then(|argo| plugins::argo::application(&pool.uid, plugin, chart, argo, &settings.namespace));
        let known_application = application.as_ref().and_then(|object| seen.get(&object.key));
        let known = seen.get(&release.key).or(known_application);
        if known.is_some_and(|known| plugins::is_asked(known, plugin.attempt)) {
            return Ok(());
        }
        let is_busy = |known: &Arc<DynamicObject>| known.metadata.deletion_timestamp.is_some() || plugins::argo::is_working(known);
        if known.is_some_and(is_busy) {
            return Err(FleetError::Throttled {
                retry_after: Duration::from_secs(1),
            });
        }
        let is_release = match known {
            Some(_) => seen.contains_key(&release.key),
            None => self.checker.has_crd(plugins::CRD).await?,
        };
        let object = if is_release {
            release
        } else {
            let has_argo = known.is_some() || (argo.is_some() && self.checker.has_crd(plugins::argo::CRD).await?);
            application.filter(|_| has_argo).ok_or_else(|| FleetError::Refused {
                reason: not_installable(plugin, has_argo),
            })?
        };
        self.carry_out(seen, vec![Change::Put(object)], epoch).await
    }

    pub(super) async fn remove_plugin(&self, pool: &PoolMark, template: &TemplateName, epoch: Epoch) -> Result<(), FleetError> {
        let seen = self.index.of(&pool.uid);
        let is_meant = |(key, object): &(&Key, &Arc<DynamicObject>)| {
            plugins::is_chart(key)
                && plugins::fact(key, object).is_some_and(|(known, fact)| known == *template && fact.state != PluginState::Removing)
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

fn not_installable(plugin: &PluginRequest, has_argo: bool) -> String {
    let template = &plugin.template;
    if has_argo {
        return format!("plug-in {template} is a chart, and the configuration does not say in which repository Argo CD finds it");
    }
    format!(
        "plug-in {template} is a chart, and the cluster has nothing that installs charts: {} is not there",
        plugins::CRD
    )
}
