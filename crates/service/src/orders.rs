//! Orders: made with every change of what a pool is made of; confirmed or rejected by the operator.

mod decide;
mod query;

pub use decide::Decision as OrderDecision;
pub use domain::status::reached;
pub use query::{OrderFilter, OrderPhaseFilter};

use crate::Outcome as Answer;
use crate::commit::Decided;
use crate::context::{CallContext, Service};
use crate::error::ServiceError;
use auth::Action;
use domain::field::FieldErrors;
use domain::name::{OrderName, suffix};
use domain::order::{Operation, Order, OrderPhase};
use domain::pool::{BillingMode, Pool, PoolResource, Restricted};
use jiff::Timestamp;
use std::sync::Arc;
use store::{Expect, TypedBatch};

impl Service {
    /// A new order for a change of `pool` that has not been written yet.
    pub(crate) fn new_order(
        &self,
        pool: &Pool,
        operation: Operation,
        before: &[PoolResource],
        wanted: &[PoolResource],
        now: Timestamp,
    ) -> Order {
        Order {
            name: self.order_name(pool),
            id: pool.billing.order_id.clone().unwrap_or_else(|| self.order_id(now)),
            project: pool.owner.project.clone(),
            pool: pool.name.clone(),
            pool_uid: pool.uid.clone(),
            pool_display: pool.display_name.clone(),
            workspace: pool.workspace.clone(),
            created_at: now,
            began_at: Some(now),
            operation,
            before: domain::order::counts(before),
            wanted: domain::order::counts(wanted),
            phase: OrderPhase::Processing,
            billing_mode: pool.billing.mode,
            period_type: pool.billing.period_type,
            period_num: pool.billing.period_num,
            items: Vec::new(),
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "a name made of an accepted display name and five letters is never empty or too long"
    )]
    fn order_name(&self, pool: &Pool) -> OrderName {
        OrderName::parse(&format!("order.{}-{}", pool.display_name, suffix(self.entropy().next_u64())))
            .expect("a generated order name is valid")
    }

    /// Gives an id for the order that makes a pool a prepaid one. Until it is used, it is the same one each time.
    pub async fn issue_order_id(
        &self,
        ctx: &CallContext,
        name: &str,
        decode: impl Fn() -> Result<(), FieldErrors>,
    ) -> Result<Answer<String>, ServiceError> {
        self.change(ctx, || {
            let found = self.named_pool(ctx, Action::OrderCreate, name)?;
            decode()?;
            self.refuse_restricted(&found.object, Restricted::PrepaidSwitch)?;
            if found.deleted_at.is_some() || !found.counts() {
                let phase = found.status.phase.as_str();
                return Err(ServiceError::Refused(format!("the pool is {phase} and cannot be changed")));
            }
            if found.billing.mode == BillingMode::Prepaid {
                return Err(ServiceError::Refused("the pool is billed yearly or monthly already".to_owned()));
            }
            let mut batch = TypedBatch::default();
            let known = found.billing.issued_order.clone();
            let unchanged = known.is_some().then(|| found.revision());
            let id = known.unwrap_or_else(|| self.order_id(self.now()));
            if unchanged.is_none() {
                let mut next = Pool::clone(&found);
                next.billing.issued_order = Some(id.clone());
                batch.put(next, Expect::At(found.revision()));
            }
            Ok(Decided {
                batch,
                object: Arc::new(id),
                unchanged,
            })
        })
        .await
    }

    /// `CS`, the minute, and seven letters or digits (contract README §4.1).
    pub(crate) fn order_id(&self, now: Timestamp) -> String {
        const ALPHABET: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        let mut random = self.entropy().next_u64();
        let mut tail = String::with_capacity(7);
        for _ in 0..7 {
            tail.push(char::from(ALPHABET[(random % 36) as usize]));
            random /= 36;
        }
        format!("CS{}{tail}", now.strftime("%y%m%d%H%M"))
    }

    /// The order that the pool is being worked on for, if it is not ended, with its revision.
    pub(crate) fn open_order(&self, pool: &Pool) -> Option<store::index::Versioned<Order>> {
        let order = self
            .parts
            .state
            .index()
            .read()
            .get::<Order>(&pool.owner.project, &pool.status.attempt.order)?;
        (!order.phase.is_ended()).then_some(order)
    }

    /// Whether a prepaid purchase has to be paid for before anything is made.
    pub(crate) fn awaits_payment(ctx: &CallContext, is_prepaid: bool, auto_pay: bool) -> bool {
        is_prepaid && ctx.is_console && !auto_pay
    }
}
