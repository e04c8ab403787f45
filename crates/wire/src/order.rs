//! Orders as clients see them (contract tags… §8).

use crate::pool::{AzCount, period_type};
use domain::order as model;
use domain::pool::BillingMode;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Milliseconds since the epoch; 0: not yet.
    pub creation_timestamp: i64,
    pub begin_timestamp: i64,
    pub end_timestamp: i64,
    pub order_name: String,
    pub order_id: String,
    pub resource_name: String,
    pub resource_display_name: String,
    pub workspace_id: String,
    pub init_count: Vec<OrderCount>,
    pub spec_count: Vec<OrderCount>,
    pub result_count: Vec<OrderCount>,
    /// `apply`, `modify` or `delete`
    pub operation: &'static str,
    /// `pending`, `processing`, `successed`, `partialSuccessed` or `failed`
    pub phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_reason: Option<String>,
    pub billing_mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_num: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderCount {
    pub flavor: String,
    pub count: u32,
    pub max_count: u32,
    pub azs: Vec<AzCount>,
}

/// One thing that an order made or removed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderItem {
    pub resource_name: String,
    pub action: &'static str,
    pub status: &'static str,
    /// Milliseconds since the epoch, as a text.
    pub begin_timestamp: String,
    pub update_timestamp: String,
    pub message: String,
}

impl From<&model::Order> for Order {
    fn from(order: &model::Order) -> Self {
        let counts = |list: &[model::OrderCount]| list.iter().map(OrderCount::from).collect();
        let millis = |at: Option<Timestamp>| at.map_or(0, Timestamp::as_millisecond);
        let (end, reached, result, reason) = match &order.phase {
            model::OrderPhase::Pending(_) | model::OrderPhase::Processing => (None, Vec::new(), None, None),
            model::OrderPhase::Ended { at, outcome, reached } => {
                let (result, reason) = match outcome {
                    model::Outcome::Successed => ("successed", None),
                    model::Outcome::PartialSuccessed { reason } => ("successed", Some(reason.clone())),
                    model::Outcome::Failed { reason } => ("failed", Some(reason.clone())),
                };
                (Some(*at), counts(reached), Some(result), reason)
            }
        };
        Self {
            creation_timestamp: order.created_at.as_millisecond(),
            begin_timestamp: millis(order.began_at),
            end_timestamp: millis(end),
            order_name: order.name.to_string(),
            order_id: order.id.clone(),
            resource_name: order.pool.to_string(),
            resource_display_name: order.pool_display.to_string(),
            workspace_id: order.workspace.to_string(),
            init_count: counts(&order.before),
            spec_count: counts(&order.wanted),
            result_count: reached,
            operation: order.operation.as_str(),
            phase: order.phase.as_str(),
            result,
            fail_reason: reason,
            billing_mode: if order.billing_mode == BillingMode::Prepaid { "1" } else { "0" },
            period_type: order.period_type.map(period_type),
            period_num: order.period_num.map(|number| number.to_string()),
        }
    }
}

impl From<&model::OrderCount> for OrderCount {
    fn from(count: &model::OrderCount) -> Self {
        Self {
            flavor: count.flavor.to_string(),
            count: count.count,
            max_count: count.max_count,
            azs: count.azs.iter().map(AzCount::from).collect(),
        }
    }
}

impl From<&model::OrderItem> for OrderItem {
    fn from(item: &model::OrderItem) -> Self {
        Self {
            resource_name: item.resource.clone(),
            action: item.action.as_str(),
            status: item.status.as_str(),
            begin_timestamp: item.began_at.as_millisecond().to_string(),
            update_timestamp: item.updated_at.as_millisecond().to_string(),
            message: item.message.clone(),
        }
    }
}

/// An order id that was given out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrderId {
    pub id: String,
}

/// What an order id is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderIdRequest {
    /// `toPeriod`
    pub action_type: String,
}

/// The optional body of a request for an order id: there is one purpose only.
pub fn decode_order_id(body: &serde_json::Value) -> Result<(), domain::field::FieldErrors> {
    let errors = std::cell::RefCell::new(domain::field::FieldErrors::new());
    let root = crate::decode::Place::root(body, &errors);
    let found = root.body().map(|_| {
        root.field("actionType").choice(&[("toPeriod", ())]);
    });
    crate::decode::finish(found, errors)
}

#[cfg(test)]
mod tests;
