//! ListOrders and ShowOrder (contract tags… §8).

use crate::context::{CallContext, Service};
use crate::error::ServiceError;
use auth::Action;
use domain::field::FieldErrors;
use domain::name::{OrderName, WorkspaceId};
use domain::node::{Node, NodePhase};
use domain::order::{ItemAction, ItemStatus, Order, OrderItem, OrderPhase, Outcome};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::index::{Entry, Facet};

/// Which orders a list shows.
#[derive(Debug, Clone, Default)]
pub struct OrderFilter {
    pub workspace: Option<WorkspaceId>,
    /// Display name or id of a pool.
    pub involved: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub phase: Option<OrderPhaseFilter>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderPhaseFilter {
    Pending,
    /// Also called `processing`.
    Running,
    Successed,
    PartialSuccessed,
    Failed,
}

impl OrderPhaseFilter {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "pending" => Some(Self::Pending),
            "running" | "processing" => Some(Self::Running),
            "successed" => Some(Self::Successed),
            "partialSuccessed" => Some(Self::PartialSuccessed),
            "failed" => Some(Self::Failed),
            _ => None,
        }
    }

    fn admits(self, phase: &OrderPhase) -> bool {
        match phase {
            OrderPhase::Pending(_) => self == Self::Pending,
            OrderPhase::Processing => self == Self::Running,
            OrderPhase::Ended {
                outcome: Outcome::Successed,
                ..
            } => self == Self::Successed,
            OrderPhase::Ended {
                outcome: Outcome::PartialSuccessed { .. },
                ..
            } => self == Self::PartialSuccessed,
            OrderPhase::Ended {
                outcome: Outcome::Failed { .. },
                ..
            } => self == Self::Failed,
        }
    }
}

/// Orders are shown for a month.
const WINDOW: std::time::Duration = std::time::Duration::from_hours(31 * 24);

impl Service {
    /// Orders of the project, newest first, in workspaces that the caller may use.
    pub fn list_orders(
        &self,
        ctx: &CallContext,
        filter: impl FnOnce() -> Result<OrderFilter, FieldErrors>,
    ) -> Result<Vec<Arc<Entry>>, ServiceError> {
        self.authorize(ctx, Action::OrderList)?;
        let user = self.effective_user(ctx, Action::OrderList)?;
        let filter = filter()?;
        if let Some(workspace) = &filter.workspace
            && self.workspace(&ctx.project, workspace).is_some()
        {
            self.check_workspace(ctx, Action::OrderList, workspace)?;
        }
        let oldest = self.now().saturating_sub(WINDOW).unwrap_or(Timestamp::MIN);
        let since = filter.since.map_or(oldest, |since| since.max(oldest));
        let index = self.parts.state.index().read();
        let mut open: BTreeMap<WorkspaceId, bool> = BTreeMap::new();
        let mut may_see = |id: &WorkspaceId| {
            *open.entry(id.clone()).or_insert_with(|| {
                index
                    .get::<domain::workspace::Workspace>(&ctx.project, id)
                    .map_or(user.may_use_all, |workspace| workspace.admits(&user))
            })
        };
        let admits = |order: &Order| {
            filter.workspace.as_ref().is_none_or(|workspace| order.workspace == *workspace)
                && filter
                    .involved
                    .as_ref()
                    .is_none_or(|name| order.pool.as_str() == name || order.pool_display.as_str() == name)
                && order.created_at >= since
                && filter.until.is_none_or(|until| order.created_at <= until)
                && filter.phase.is_none_or(|phase| phase.admits(&order.phase))
        };
        let found = index
            .entries(Facet::OrdersOfProject, ctx.project.as_str())
            .filter(|entry| entry.get::<Order>().is_some_and(|order| admits(order) && may_see(&order.workspace)));
        Ok(found.cloned().collect())
    }

    /// What an order made and removed. While it is in work, nodes that are up already show as done.
    pub fn show_order(&self, ctx: &CallContext, name: &OrderName) -> Result<Vec<OrderItem>, ServiceError> {
        self.authorize(ctx, Action::OrderGet)?;
        let index = self.parts.state.index().read();
        let order = index
            .get::<Order>(&ctx.project, name)
            .ok_or_else(|| ServiceError::named("Order", name))?;
        let mut items = order.items.clone();
        for item in items
            .iter_mut()
            .filter(|item| item.status == ItemStatus::Processing && item.action == ItemAction::CreateNode)
        {
            if let Some(node) = index.get::<Node>(&ctx.project, &item.resource)
                && let NodePhase::Available { since } = node.phase
            {
                item.status = ItemStatus::Succeed;
                item.updated_at = since;
            }
        }
        drop(index);
        self.check_workspace(ctx, Action::OrderGet, &order.workspace)?;
        Ok(items)
    }
}
