//! The pool: what was asked for ([`PoolSpec`]), what is ([`PoolStatus`]) and what goes with it (contract `pools.md`).

pub mod draft;
mod spec;
mod state;
pub mod tree;
pub mod validate;

pub use spec::*;
pub use state::*;

use crate::event::{Event, Occurrence};
use crate::meta::Uid;
use crate::name::{DisplayName, DomainId, FlavorName, NodePrefix, OrderName, PoolName, ProjectId, WorkspaceId};
use crate::tag::Tag;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One resource pool, physical or logical.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    pub name: PoolName,
    pub uid: Uid,
    /// Counts changes of `spec`, from 1.
    pub generation: u64,
    pub created_at: Timestamp,
    /// Set once, when a DELETE was accepted.
    pub deleted_at: Option<Timestamp>,
    pub owner: Owner,
    pub display_name: DisplayName,
    pub workspace: WorkspaceId,
    pub sharing: Sharing,
    pub node_prefix: Option<NodePrefix>,
    /// `os.modelarts/resource.id`
    pub resource_id: String,
    pub origin: Origin,
    pub business: Business,
    /// The last order that changed the pool (`os.modelarts/order.name`).
    pub last_order: OrderName,
    /// Labels that the server knows but does not act on, and those of users.
    pub labels: BTreeMap<String, String>,
    /// Annotations that the server knows but does not act on, and those of users.
    pub annotations: BTreeMap<String, String>,
    /// `os.modelarts/description`; empty when unset.
    pub description: String,
    pub billing: Billing,
    /// `os.modelarts/flavor.resource.ids`
    pub flavor_resource_ids: BTreeMap<FlavorName, String>,
    /// `os.modelarts/tms.tags`
    pub tags: Vec<Tag>,
    pub spec: PoolSpec,
    pub status: PoolStatus,
}

/// Whose a pool is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub project: ProjectId,
    pub domain: DomainId,
    pub domain_name: String,
}

/// `os.modelarts/sharing` (semantics §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sharing {
    Unshared,
    Shared,
}

/// `os.modelarts/create-from`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    Console,
    AdminConsole,
    Api,
}

/// `os.modelarts.pool/biz`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Business {
    Private,
    Public,
}

/// How a pool is paid for (semantics §7). No money is ever computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BillingMode {
    PayPerUse,
    Prepaid,
}

/// `os.modelarts/period.type`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeriodType {
    Month,
    Year,
    Hour,
}

/// The billing annotations of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Billing {
    pub mode: BillingMode,
    pub period_num: Option<u32>,
    pub period_type: Option<PeriodType>,
    pub auto_renew: Option<bool>,
    /// Only effective for a prepaid purchase; never shown again.
    pub auto_pay: bool,
    pub order_id: Option<String>,
    /// An order id that was given out for the switch to yearly or monthly, and not used yet.
    #[serde(default)]
    pub issued_order: Option<String>,
}

impl Default for Billing {
    fn default() -> Self {
        Self {
            mode: BillingMode::PayPerUse,
            period_num: None,
            period_type: None,
            auto_renew: None,
            auto_pay: false,
            order_id: None,
            issued_order: None,
        }
    }
}

impl Pool {
    pub fn is_physical(&self) -> bool {
        matches!(self.spec.kind, PoolKind::Physical(_))
    }

    /// The physical part of the spec, where there is one.
    pub fn physical(&self) -> Option<&PhysicalSpec> {
        match &self.spec.kind {
            PoolKind::Physical(spec) => Some(spec),
            PoolKind::Logical(_) => None,
        }
    }

    /// The logical part of the spec, where there is one.
    pub fn logical(&self) -> Option<&LogicalSpec> {
        match &self.spec.kind {
            PoolKind::Logical(spec) => Some(spec),
            PoolKind::Physical(_) => None,
        }
    }

    /// Whether the pool counts against quotas and sums: every phase but `CreationFailed`.
    pub fn counts(&self) -> bool {
        !matches!(self.status.phase, PoolPhase::CreationFailed { .. })
    }

    /// Gives an occurrence its place among the pool's events.
    pub fn record(&mut self, occurrence: Occurrence, now: Timestamp) -> Event {
        self.status.event_sequence += 1;
        occurrence.at(self.uid.clone(), self.status.event_sequence, now)
    }

    /// Changes the phase and tells it as an event; `None` where the phase stays the same.
    pub fn enter(&mut self, phase: PoolPhase, now: Timestamp) -> Option<Event> {
        let before = std::mem::replace(&mut self.status.phase, phase);
        if before.as_str() == self.status.phase.as_str() {
            return None;
        }
        Some(self.record(Occurrence::phase_change(&before, &self.status.phase), now))
    }

    /// Nodes that the spec wants, over all elements.
    pub fn wanted(&self) -> u32 {
        self.spec.resources.iter().map(|element| element.count).sum()
    }
}
