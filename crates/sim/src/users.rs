//! Users who do what the schedule says, and hold the service to its answers.

use crate::act::{Act, Machines, Slot};
use crate::auditor::Auditor;
use crate::ledger::Account;
use crate::place;
use domain::name::PoolName;
use domain::pool::draft::{BillingDraft, Patched, PoolDraft, PoolEdit};
use domain::pool::{ControlMode, DriverSpec, Pool, PoolRef};
use service::orders::OrderDecision;
use service::{CallContext, ExistsKind, Idempotency, Outcome, Service, ServiceError};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How often a request is sent again whose answer was lost.
const REPETITIONS: usize = 4;

/// What all users know, by pool.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<BTreeMap<PoolName, Account>>);

impl Ledger {
    fn accounts(&self) -> MutexGuard<'_, BTreeMap<PoolName, Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, name: &PoolName) -> Account {
        self.accounts().get(name).cloned().unwrap_or_default()
    }

    fn update(&self, name: &PoolName, change: impl FnOnce(&mut Account)) {
        change(self.accounts().entry(name.clone()).or_default());
    }

    pub fn doubt_all_counts(&self) {
        self.accounts().values_mut().for_each(Account::doubt_count);
    }

    /// Holds everything that is known against what is committed.
    pub async fn check(&self, auditor: &Auditor) {
        let state = auditor.committed().await;
        for (name, account) in self.accounts().iter() {
            let pool = state.index().read().get::<Pool>(&place::project(), name);
            if let Err(what) = account.check(pool.as_ref().map(|pool| pool.object.as_ref())) {
                auditor.report(format!("{name}: {what}"));
            }
        }
    }
}

/// One user at one replica.
pub(crate) struct User<'a> {
    pub service: &'a Service,
    pub ledger: &'a Ledger,
    pub auditor: &'a Auditor,
}

impl User<'_> {
    /// Does it; gives how it was answered. `id` makes its request unlike all others.
    pub async fn act(&self, act: &Act, id: usize) -> String {
        let context = context(id);
        let answer = match act {
            Act::Create {
                slot,
                machines,
                count,
                is_prepaid,
            } => {
                let draft = place::physical(*slot, *machines, *count, *is_prepaid);
                let context = CallContext {
                    is_console: *is_prepaid,
                    ..context
                };
                self.create(&context, &place::pool_name(*slot), draft).await
            }
            Act::Scale { slot, count, is_console } => {
                let context = CallContext {
                    is_console: *is_console,
                    ..context
                };
                let name = place::pool_name(*slot);
                self.patch(&context, &name, |draft| draft.resources[0].count = *count).await
            }
            Act::SetScope { slot, scope } => {
                self.patch(&context, &place::pool_name(*slot), |draft| draft.scope = Some(scope.clone()))
                    .await
            }
            Act::SetDriver { slot, version, strategy } => {
                let driver = DriverSpec {
                    gpu_version: Some((*version).to_owned()),
                    npu_version: None,
                    update_strategy: Some(*strategy),
                };
                self.patch(&context, &place::pool_name(*slot), |draft| draft.driver = Some(driver.clone()))
                    .await
            }
            Act::RetryScope { slot, job_type } => {
                let name = place::pool_name(*slot);
                self.service.retry_scope(&context, &name, || Ok(*job_type)).await.map(drop)
            }
            Act::CreateChild { slot, count } => self.create_child(&context, *slot, *count, true).await,
            Act::CreateOrphan { slot } => self.create_child(&context, *slot, 1, false).await,
            Act::ScaleChild { slot, count } => {
                let scale = |draft: &mut PoolDraft| {
                    draft.resources[0].count = *count;
                    draft.resources[0].max_count = Some(*count + 1);
                };
                self.patch(&context, &place::child_name(*slot), scale).await
            }
            Act::DeleteChild { slot } => self.delete(&context, &place::child_name(*slot)).await,
            Act::Delete { slot } => self.delete(&context, &place::pool_name(*slot)).await,
            Act::Restrict { slot, bits } => {
                let name = place::pool_name(*slot);
                let mode = || Ok(ControlMode(*bits));
                self.service.set_control_mode(&context, &name, mode).await.map(drop)
            }
            Act::Decide { is_confirmed, host } => self.decide(&context, *is_confirmed, *host).await,
        };
        self.ledger.check(self.auditor).await;
        answer.err().map_or_else(|| "ok".to_owned(), |error| error.to_string())
    }

    async fn create_child(&self, context: &CallContext, slot: Slot, count: u32, has_parent: bool) -> Result<(), ServiceError> {
        let parent = self.service.show_pool(context, &place::pool_name(slot));
        let has_gpus = parent.is_ok_and(|pool| pool.spec.resources.iter().any(|element| element.flavor.as_str() == "gpu"));
        let machines = if has_gpus { Machines::Gpu } else { Machines::Cpu };
        let draft = place::logical(slot, machines, count, has_parent);
        self.create(context, &place::child_name(slot), draft).await
    }

    /// Sends a create request until its answer is certain. Under the same key it is one request, however often it is sent.
    async fn create(&self, context: &CallContext, name: &PoolName, draft: PoolDraft) -> Result<(), ServiceError> {
        let before = self.ledger.get(name);
        let mut answer = self.service.create_pool(context, || Ok(draft.clone())).await;
        let mut is_certain = true;
        for _ in 0..REPETITIONS {
            if answer.as_ref().err().is_none_or(ServiceError::had_no_effect) {
                break;
            }
            is_certain = false;
            answer = self.service.create_pool(context, || Ok(draft.clone())).await;
        }
        let exists = matches!(answer, Err(ServiceError::AlreadyExists(ExistsKind::Pool)));
        if exists && before == Account::Absent && !is_certain && !self.is_going(name).await {
            self.auditor
                .report(format!("{name}: a repeated request was not known for what it was"));
        }
        self.note(name, &answer, Account::acknowledge);
        answer.map(drop)
    }

    async fn is_going(&self, name: &PoolName) -> bool {
        let state = self.auditor.committed().await;
        let pool = state.index().read().get::<Pool>(&place::project(), name);
        pool.is_some_and(|pool| pool.deleted_at.is_some())
    }

    async fn patch(&self, context: &CallContext, name: &PoolName, change: impl Fn(&mut PoolDraft)) -> Result<(), ServiceError> {
        let edit = |pool: &Pool| {
            let mut draft = place::unchanged(pool);
            change(&mut draft);
            Ok(PoolEdit {
                draft,
                mentions_resources: true,
                billing: BillingDraft::default(),
                mentions_billing: false,
                order_id: Patched::Unchanged,
            })
        };
        let answer = self.service.patch_pool(context, name, edit).await;
        match &answer {
            Err(error) if !error.had_no_effect() => self.ledger.update(name, Account::doubt_count),
            Err(_) => {}
            Ok(outcome) => self.ledger.update(name, |account| account.acknowledge(&outcome.object)),
        }
        answer.map(drop)
    }

    async fn delete(&self, context: &CallContext, name: &PoolName) -> Result<(), ServiceError> {
        let answer = self.service.delete_pool(context, name).await;
        self.note(name, &answer, |account, _| *account = Account::Absent);
        answer.map(drop)
    }

    fn note(&self, name: &PoolName, answer: &Result<Outcome<Pool>, ServiceError>, ok: impl FnOnce(&mut Account, &Pool)) {
        match answer {
            Ok(outcome) => self.ledger.update(name, |account| ok(account, &outcome.object)),
            Err(error) if error.had_no_effect() => {}
            Err(_) => self.ledger.update(name, |account| *account = Account::Unknown),
        }
    }

    /// Decides the oldest order that waits.
    async fn decide(&self, context: &CallContext, is_confirmed: bool, host: Slot) -> Result<(), ServiceError> {
        let pending = self.service.pending_orders(&context.principal)?;
        let Some(order) = pending.last() else { return Ok(()) };
        let is_orphan = self.service.show_pool(context, &order.pool);
        let needs_host = is_orphan.is_ok_and(|pool| pool.logical().is_some_and(|spec| spec.parent.is_none()));
        let decision = if is_confirmed {
            let host = PoolRef {
                project: place::project(),
                name: place::pool_name(host),
            };
            OrderDecision::Confirm {
                host: needs_host.then_some(host),
            }
        } else {
            OrderDecision::Reject {
                reason: "simulated".to_owned(),
            }
        };
        // A rejected change goes back to what was before it.
        self.ledger.doubt_all_counts();
        self.service.decide_order(context, &order.name, &decision).await.map(drop)
    }
}

fn context(id: usize) -> CallContext {
    let key = format!("{id:064x}");
    CallContext {
        idempotency: Some(Idempotency { request: key.clone(), key }),
        ..place::context()
    }
}
