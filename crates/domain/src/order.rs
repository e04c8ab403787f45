//! Orders: one record for every change of what a pool is made of (contract tags… §8, semantics §7).

use crate::meta::Uid;
use crate::name::{DisplayName, FlavorName, OrderName, PoolName, ProjectId, WorkspaceId};
use crate::pool::{AzCount, BillingMode, PeriodType, PoolResource, Waiting};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub name: OrderName,
    /// `CS…`; the one the client gave, or a generated one.
    pub id: String,
    pub project: ProjectId,
    pub pool: PoolName,
    pub pool_uid: Uid,
    pub pool_display: DisplayName,
    pub workspace: WorkspaceId,
    pub created_at: Timestamp,
    pub began_at: Option<Timestamp>,
    pub operation: Operation,
    pub before: Vec<OrderCount>,
    pub wanted: Vec<OrderCount>,
    pub phase: OrderPhase,
    pub billing_mode: BillingMode,
    pub period_type: Option<PeriodType>,
    pub period_num: Option<u32>,
    /// One entry for each thing made or removed.
    pub items: Vec<OrderItem>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    Apply,
    Modify,
    Delete,
}

impl Operation {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Modify => "modify",
            Self::Delete => "delete",
        }
    }
}

/// README §8.7. `pending → processing → successed | partialSuccessed | failed`; `pending → failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderPhase {
    Pending(Waiting),
    Processing,
    Ended {
        at: Timestamp,
        outcome: Outcome,
        reached: Vec<OrderCount>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Successed,
    PartialSuccessed { reason: String },
    Failed { reason: String },
}

impl OrderPhase {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending(_) => "pending",
            Self::Processing => "processing",
            Self::Ended {
                outcome: Outcome::Successed,
                ..
            } => "successed",
            Self::Ended {
                outcome: Outcome::PartialSuccessed { .. },
                ..
            } => "partialSuccessed",
            Self::Ended {
                outcome: Outcome::Failed { .. },
                ..
            } => "failed",
        }
    }

    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCount {
    pub flavor: FlavorName,
    pub count: u32,
    pub max_count: u32,
    pub azs: Vec<AzCount>,
}

impl From<&PoolResource> for OrderCount {
    fn from(element: &PoolResource) -> Self {
        Self {
            flavor: element.flavor.clone(),
            count: element.count,
            max_count: element.max_count,
            azs: element.azs.clone().unwrap_or_default(),
        }
    }
}

/// Counts of a whole `spec.resources`.
pub fn counts(resources: &[PoolResource]) -> Vec<OrderCount> {
    resources.iter().map(OrderCount::from).collect()
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderItem {
    /// Pool or node name.
    pub resource: String,
    pub action: ItemAction,
    pub status: ItemStatus,
    pub began_at: Timestamp,
    pub updated_at: Timestamp,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ItemAction {
    CreatePool,
    DeletePool,
    CreateNode,
    DeleteNode,
    /// From pay-per-use to yearly or monthly.
    ToPeriodic,
}

impl ItemAction {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreatePool => "createPool",
            Self::DeletePool => "deletePool",
            Self::CreateNode => "createNode",
            Self::DeleteNode => "deleteNode",
            Self::ToPeriodic => "toPeriodic",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ItemStatus {
    Processing,
    Succeed,
    Failed,
}

impl ItemStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Succeed => "succeed",
            Self::Failed => "failed",
        }
    }
}

impl OrderPhase {
    /// README §8.7. Work that is done as soon as it is confirmed passes through `processing` within one change, which
    /// leaves a time of beginning behind: `has_begun`.
    pub fn may_become(&self, next: &Self, has_begun: bool) -> bool {
        use OrderPhase as P;
        match (self, next) {
            (P::Pending(_), P::Pending(_) | P::Processing) | (P::Processing, P::Processing | P::Ended { .. }) => true,
            (P::Pending(_), P::Ended { outcome, .. }) => has_begun || matches!(outcome, Outcome::Failed { .. }),
            (P::Processing, P::Pending(_)) | (P::Ended { .. }, P::Pending(_) | P::Processing) => false,
            (P::Ended { .. }, P::Ended { .. }) => self == next,
        }
    }
}

impl Order {
    /// Closes the order. Items still in work end as the order does.
    pub fn end(&mut self, now: Timestamp, outcome: Outcome, reached: Vec<OrderCount>) {
        let rest = match &outcome {
            Outcome::Successed => ItemStatus::Succeed,
            Outcome::PartialSuccessed { .. } | Outcome::Failed { .. } => ItemStatus::Failed,
        };
        for item in self.items.iter_mut().filter(|item| item.status == ItemStatus::Processing) {
            item.status = rest;
            item.updated_at = now;
        }
        self.phase = OrderPhase::Ended { at: now, outcome, reached };
    }

    /// Closes the order because a newer one replaces it (semantics §5 rule 3). `now_counts` is what the pool has.
    pub fn supersede(&mut self, by: &OrderName, now: Timestamp, reached: Vec<OrderCount>) {
        let reason = format!("superseded by {by}");
        // What nobody has confirmed yet cannot have reached anything, whatever the order before it still does.
        let has_begun = !matches!(self.phase, OrderPhase::Pending(_));
        let outcome = if has_begun && self.has_reached_anything(&reached) {
            Outcome::PartialSuccessed { reason }
        } else {
            Outcome::Failed { reason }
        };
        self.end(now, outcome, reached);
    }

    /// Whether these counts lie beyond those before the order, in the direction that it asked for.
    pub fn has_reached_anything(&self, reached: &[OrderCount]) -> bool {
        let of = |list: &[OrderCount], flavor: &FlavorName| {
            list.iter()
                .filter(|entry| entry.flavor == *flavor)
                .map(|entry| i64::from(entry.count))
                .sum::<i64>()
        };
        self.before.iter().chain(&self.wanted).any(|entry| {
            let (before, wanted, now) = (
                of(&self.before, &entry.flavor),
                of(&self.wanted, &entry.flavor),
                of(reached, &entry.flavor),
            );
            (wanted - before).signum() == (now - before).signum() && now != before
        })
    }

    /// Begins the work: from `pending`, or right after creation.
    pub fn begin(&mut self, now: Timestamp) {
        self.began_at = Some(now);
        self.phase = OrderPhase::Processing;
    }

    pub fn item(&mut self, resource: &str, action: ItemAction, now: Timestamp) {
        self.items.push(OrderItem {
            resource: resource.to_owned(),
            action,
            status: ItemStatus::Processing,
            began_at: now,
            updated_at: now,
            message: String::new(),
        });
    }

    /// Marks the item of a thing as done or failed.
    pub fn settle_item(&mut self, resource: &str, status: ItemStatus, now: Timestamp, message: &str) {
        for item in self
            .items
            .iter_mut()
            .filter(|item| item.resource == resource && item.status == ItemStatus::Processing)
        {
            item.status = status;
            item.updated_at = now;
            message.clone_into(&mut item.message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(count: u32) -> Vec<OrderCount> {
        vec![OrderCount {
            flavor: FlavorName::parse("f").unwrap(),
            count,
            max_count: count,
            azs: Vec::new(),
        }]
    }

    fn order(phase: OrderPhase) -> Order {
        Order {
            name: OrderName::parse("o").unwrap(),
            id: "CS".to_owned(),
            project: ProjectId::parse(&"a".repeat(32)).unwrap(),
            pool: PoolName::parse("p").unwrap(),
            pool_uid: Uid::new(0, [0; 10]),
            pool_display: DisplayName::parse("pool-a").unwrap(),
            workspace: WorkspaceId::default_workspace(),
            created_at: Timestamp::UNIX_EPOCH,
            began_at: None,
            operation: Operation::Modify,
            before: count(1),
            wanted: count(3),
            phase,
            billing_mode: BillingMode::PayPerUse,
            period_type: None,
            period_num: None,
            items: Vec::new(),
        }
    }

    #[test]
    fn a_superseded_order_has_reached_something_only_if_it_had_begun() {
        let by = OrderName::parse("next").unwrap();
        let outcome = |phase, reached| {
            let mut order = order(phase);
            order.supersede(&by, Timestamp::UNIX_EPOCH, count(reached));
            order.phase.as_str()
        };
        assert_eq!(outcome(OrderPhase::Processing, 2), "partialSuccessed");
        assert_eq!(outcome(OrderPhase::Processing, 1), "failed");
        assert_eq!(outcome(OrderPhase::Pending(Waiting::Payment), 2), "failed");
    }

    #[test]
    fn orders_go_one_way_and_end_once() {
        let ended = |outcome| OrderPhase::Ended {
            at: Timestamp::UNIX_EPOCH,
            outcome,
            reached: Vec::new(),
        };
        let failed = || ended(Outcome::Failed { reason: String::new() });
        let (pending, processing, done) = (
            OrderPhase::Pending(Waiting::Payment),
            OrderPhase::Processing,
            ended(Outcome::Successed),
        );
        assert!(pending.may_become(&processing, false));
        assert!(pending.may_become(&failed(), false));
        assert!(!pending.may_become(&done, false));
        assert!(pending.may_become(&done, true));
        assert!(processing.may_become(&done, true));
        assert!(!processing.may_become(&pending, true));
        assert!(!done.may_become(&failed(), true));
        assert!(!done.may_become(&processing, true));
    }
}
