//! Operator functions (semantics §15).

use crate::Outcome;
use crate::commit::Decided;
use crate::context::{CallContext, Service};
use crate::error::{Missing, ServiceError};
use domain::name::PoolName;
use domain::pool::{ControlMode, Pool};
use std::sync::Arc;
use store::{Expect, TypedBatch};

impl Service {
    /// Sets the restriction bits of a pool. Operators only; `ctx.project` is the pool's project.
    pub async fn set_control_mode(
        &self,
        ctx: &CallContext,
        name: &PoolName,
        decode: impl Fn() -> Result<ControlMode, domain::field::FieldErrors>,
    ) -> Result<Outcome<Pool>, ServiceError> {
        self.authorize_operator(&ctx.principal)?;
        let _turn = self.locks.lock(self.tree_of(ctx, name)).await;
        self.change(ctx, || {
            let found = self
                .parts
                .state
                .index()
                .read()
                .get::<Pool>(&ctx.project, name)
                .ok_or(ServiceError::NotFound(Missing::Pool))?;
            let mask = decode()?;
            if found.spec.control == mask {
                return Ok(Decided {
                    batch: TypedBatch::default(),
                    object: Arc::clone(&found.object),
                    unchanged: Some(found.revision()),
                });
            }
            let mut next = Pool::clone(&found);
            next.spec.control = mask;
            next.generation += 1;
            let mut batch = TypedBatch::default();
            batch.put(next.clone(), Expect::At(found.revision()));
            Ok(Decided {
                batch,
                object: Arc::new(next),
                unchanged: None,
            })
        })
        .await
    }
}
