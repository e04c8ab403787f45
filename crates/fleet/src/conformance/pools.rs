//! What a pool has besides nodes.

use super::{Subject, mark, node_name};
use crate::command::{Command, PluginRequest, PoolMark};
use crate::observation::{ClusterFact, Observation, PluginState};
use crate::workload::Quota;
use domain::pool::JobType;
use domain::pool::tree::Amount;
use std::collections::BTreeMap;

impl Subject {
    pub(super) async fn a_plugin_comes_changes_and_goes(&self) {
        let pool = mark(1);
        let (template, versions) = &self.plugin;
        let ensure = |version: &str, attempt| Command::EnsurePlugin {
            pool: pool.clone(),
            plugin: PluginRequest {
                template: template.clone(),
                version: version.to_owned(),
                values: BTreeMap::new(),
                attempt,
            },
        };
        self.command(&[Command::EnsurePool { pool: pool.clone() }]).await;
        // The last attempt asks for the version that runs already, as a change of parameters does.
        for (version, attempt) in [(versions[0], 1), (versions[1], 2), (versions[1], 3)] {
            self.command(&[ensure(version, attempt), ensure(version, attempt)]).await;
            let runs = |seen: &Observation| {
                let fact = seen.plugins.get(template);
                fact.is_some_and(|fact| {
                    fact.state == PluginState::Running && fact.running.as_deref() == Some(version) && fact.attempt == attempt
                })
            };
            self.until(&pool, runs).await;
        }
        let remove = Command::RemovePlugin {
            pool: pool.clone(),
            template: template.clone(),
        };
        self.command(&[remove.clone(), remove]).await;
        self.until(&pool, |seen| seen.plugins.is_empty()).await;
    }

    pub(super) async fn a_node_is_kept_for_a_logical_pool_until_it_is_not(&self) {
        let (pool, logical) = (mark(1), mark(2));
        self.ready_node(&pool).await;
        let dedicate = |to: Option<&PoolMark>| Command::DedicateNode {
            pool: pool.clone(),
            node: node_name(1),
            to: to.map(|mark| mark.uid.clone()),
        };
        self.command(&[dedicate(Some(&logical)), dedicate(Some(&logical))]).await;
        let is_kept = |seen: &Observation| seen.nodes[&node_name(1)].dedicated_to.as_ref() == Some(&logical.uid);
        self.until(&pool, is_kept).await;
        self.command(&[dedicate(None)]).await;
        self.until(&pool, |seen| seen.nodes[&node_name(1)].dedicated_to.is_none()).await;
    }

    pub(super) async fn quotas_are_told_as_they_were_asked_for(&self) {
        let (pool, logical) = (mark(1), mark(2));
        self.ready_node(&pool).await;
        let quota = |pool: &PoolMark, parent: Option<&PoolMark>, open: &[JobType], is_shut| Quota {
            pool: pool.clone(),
            parent: parent.map(|parent| parent.uid.clone()),
            amounts: BTreeMap::from([(self.flavor.clone(), Amount { count: 1, max_count: 1 })]),
            open: open.iter().copied().collect(),
            is_shut,
        };
        let told = |open: &[JobType], is_shut| {
            let train: &[JobType] = if open.contains(&JobType::Train) { &[JobType::Train] } else { &[] };
            vec![quota(&pool, None, open, false), quota(&logical, Some(&pool), train, is_shut)]
        };
        let stages: [(&[JobType], bool); 7] = [
            (&[JobType::Train], false),
            (&[JobType::Train], true),
            (&[JobType::Train], false),
            (&JobType::ALL, false),
            (&[JobType::Infer], true),
            (&[], false),
            (&[JobType::Train, JobType::Notebook], false),
        ];
        for (open, is_shut) in stages {
            let quotas = told(open, is_shut);
            let set = Command::SetQuotas {
                pool: pool.clone(),
                quotas: quotas.clone(),
            };
            self.command(&[set.clone(), set]).await;
            self.until(&pool, |seen| seen.quotas == quotas).await;
        }
    }

    pub(super) async fn a_removed_pool_leaves_nothing(&self) {
        let (pool, before) = (mark(1), self.free(0).await);
        self.ready_node(&pool).await;
        self.command(&[Command::RemovePool { pool: pool.clone() }]).await;
        let seen = self
            .until(&pool, |seen| seen.nodes.is_empty() && seen.cluster == ClusterFact::Absent)
            .await;
        assert_eq!(seen, Observation::default());
        assert_eq!(self.free(0).await, before);
    }
}
