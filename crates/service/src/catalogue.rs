//! What the operator offers: flavors, quotas, configuration (contract `flavors.md`, tags… §6 and §7).

use crate::admission;
use crate::context::{CallContext, Service};
use crate::error::ServiceError;
use auth::Action;
use domain::catalogue::{Flavor, FlavorKind, Offer, OsConfig, VirtualTemplate};
use domain::field::FieldErrors;
use domain::label::Selector;
use domain::name::ProjectId;
use std::sync::Arc;
use store::index::Facet;
use store::{Kind, counters};

/// A flavor for parts of machines with the template that it is made from, where that is registered.
pub type VirtualFlavor = (Arc<Flavor>, Option<Arc<VirtualTemplate>>);

/// A limit and how much of it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaUse {
    pub resource: &'static str,
    /// `None`: no limit.
    pub limit: Option<u32>,
    pub used: u64,
}

impl Service {
    /// Physical flavors with their free machines, by name.
    pub async fn list_flavors(
        &self,
        ctx: &CallContext,
        filter: impl FnOnce() -> Result<Selector, FieldErrors>,
        matches: impl Fn(&Selector, &Flavor) -> bool,
    ) -> Result<Vec<(Arc<Flavor>, Offer)>, ServiceError> {
        self.authorize(ctx, Action::FlavorList)?;
        let selector = filter()?;
        let mut offers = self.offers().await?;
        let flavors = admission::flavors(&self.parts.state.index().read());
        Ok(flavors
            .into_values()
            .filter(|flavor| flavor.is_physical() && matches(&selector, flavor))
            .map(|flavor| {
                let offer = offers.remove(&flavor.name).unwrap_or_default();
                (flavor, offer)
            })
            .collect())
    }

    /// Flavors for parts of machines, by name, each with the template that it is made from.
    pub fn list_virtual_flavors(&self, ctx: &CallContext) -> Result<Vec<VirtualFlavor>, ServiceError> {
        self.authorize(ctx, Action::FlavorList)?;
        let index = self.parts.state.index().read();
        let found = admission::flavors(&index).into_values().filter_map(|flavor| {
            let FlavorKind::Virtual { template, .. } = &flavor.kind else {
                return None;
            };
            let template = index.get::<VirtualTemplate>("", template).map(|template| template.object);
            Some((flavor, template))
        });
        Ok(found.collect())
    }

    pub fn show_virtual_template(&self, ctx: &CallContext, name: &str) -> Result<Arc<VirtualTemplate>, ServiceError> {
        self.authorize(ctx, Action::FlavorList)?;
        let found = self.parts.state.index().read().get::<VirtualTemplate>("", name);
        found
            .map(|template| template.object)
            .ok_or_else(|| ServiceError::named("VirtualResourceTemplate", name))
    }

    /// A flavor that refers to the node-configuration template of this name.
    pub fn node_config_template(&self, ctx: &CallContext, name: &str) -> Result<Arc<Flavor>, ServiceError> {
        self.authorize(ctx, Action::FlavorList)?;
        let flavors = admission::flavors(&self.parts.state.index().read());
        let found = flavors
            .into_values()
            .find(|flavor| flavor.node_config_template.as_deref() == Some(name));
        found.ok_or_else(|| ServiceError::named("NodeConfigTemplate", name))
    }

    pub fn quotas(&self, ctx: &CallContext) -> Result<Vec<QuotaUse>, ServiceError> {
        self.authorize(ctx, Action::QuotaGet)?;
        Ok(self.quota_use(&ctx.project))
    }

    pub(crate) fn quota_use(&self, project: &ProjectId) -> Vec<QuotaUse> {
        let index = self.parts.state.index().read();
        let (pools, networks) = admission::quota(&index, project);
        let pools_of_project = index.under::<domain::pool::Pool>(Facet::PoolsOfProject, project);
        let nodes = pools_of_project.iter().map(|pool| {
            let counters = pool.status.resources.counters();
            u64::from(counters.available + counters.abnormal + counters.creating)
        });
        vec![
            QuotaUse {
                resource: "pool",
                limit: Some(pools),
                used: index.counter(&counters::pools_of(project)),
            },
            QuotaUse {
                resource: "network",
                limit: Some(networks),
                used: index.counter(&counters::networks_of(project)),
            },
            QuotaUse {
                resource: "node",
                limit: None,
                used: nodes.sum(),
            },
        ]
    }

    /// The installation's configuration with the project's quotas.
    pub fn os_config(&self, ctx: &CallContext) -> Result<OsConfig, ServiceError> {
        self.authorize(ctx, Action::QuotaGet)?;
        let index = self.parts.state.index().read();
        let mut config = OsConfig::clone(&admission::config(&index));
        (config.pool_quota, config.network_quota) = admission::quota(&index, &ctx.project);
        Ok(config)
    }

    /// Number of objects of a kind, for metrics.
    pub fn count(&self, kind: Kind) -> usize {
        self.parts.state.index().read().count(kind)
    }
}
