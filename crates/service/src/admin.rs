//! Operator functions (semantics §15): accounts, access keys, the catalogue, the installation's configuration, restrictions.
//!
//! Every one asks for an operator, and knows no workspaces. Where a function is not about a project, `ctx.project` only
//! says where the answer to an `Idempotency-Key` is filed. Answers hold no secrets but the one that is shown once.

mod configuration;
mod domains;
mod flavors;
mod keys;
mod machines;
mod projects;
mod registry;
mod templates;
mod users;
mod workloads;

pub use domains::DomainChange;
pub use keys::{KeyChange, KeyInfo, KeyRequest, NewKey, random_pair, reseal};
pub use machines::{MAX_MACHINES, NewMachines};
pub use projects::{NewProject, ProjectChange, QuotaChange};
pub use registry::Registered;
pub use templates::{TemplateDraft, VersionDraft};
pub use users::{Account, NewUser, UserChange};

use crate::Outcome;
use crate::commit::Decided;
use crate::context::{CallContext, Service, check_match};
use crate::error::{ExistsKind, Missing, ServiceError};
use domain::catalogue::OsConfig;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::iam::{Project, Token, User};
use domain::name::{PoolName, ProjectId, UserId};
use domain::pool::draft::PoolDraft;
use domain::pool::{Business, ControlMode, Pool};
use domain::principal::Role;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::index::{Snapshot, Versioned};
use store::{Expect, Key, Kind, Object, TypedBatch};

/// Characters of a name of a domain, project or user.
const MAX_NAME: usize = 64;
/// Characters of a description.
const MAX_DESCRIPTION: usize = 255;

impl Service {
    /// As [`Service::change`], for operators only.
    async fn administer<T>(
        &self,
        ctx: &CallContext,
        decide: impl FnMut() -> Result<Decided<T>, ServiceError>,
    ) -> Result<Outcome<T>, ServiceError>
    where
        T: Serialize + DeserializeOwned,
    {
        self.authorize_operator(&ctx.principal)?;
        self.change(ctx, decide).await
    }

    /// Sets the restriction bits of a pool; `ctx.project` is the pool's project.
    pub async fn set_control_mode(
        &self,
        ctx: &CallContext,
        name: &PoolName,
        decode: impl Fn() -> Result<ControlMode, FieldErrors>,
    ) -> Result<Outcome<Pool>, ServiceError> {
        self.edit_pool(ctx, name, |pool| {
            let mask = decode()?;
            if pool.spec.control != mask {
                pool.spec.control = mask;
                pool.generation += 1;
            }
            Ok(())
        })
        .await
    }

    /// As [`Service::create_pool`], with a public pool. It belongs to the operator's domain, so `ctx.project` has to be one
    /// of the operator's own.
    pub async fn create_public_pool(
        &self,
        ctx: &CallContext,
        decode: impl Fn() -> Result<PoolDraft, FieldErrors>,
    ) -> Result<Outcome<Pool>, ServiceError> {
        self.authorize_operator(&ctx.principal)?;
        self.create_pool_for(ctx, Business::Public, decode).await
    }

    /// Makes a pool a public one, which may be chosen as the host of logical pools without a parent, or a private one
    /// again; `ctx.project` is the pool's project. The quotas that a public pool hosts already stay.
    pub async fn set_business(
        &self,
        ctx: &CallContext,
        name: &PoolName,
        decode: impl Fn() -> Result<Business, FieldErrors>,
    ) -> Result<Outcome<Pool>, ServiceError> {
        self.edit_pool(ctx, name, |pool| {
            pool.business = decode()?;
            Ok(())
        })
        .await
    }

    async fn edit_pool(
        &self,
        ctx: &CallContext,
        name: &PoolName,
        edit: impl Fn(&mut Pool) -> Result<(), FieldErrors>,
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
            check_match(ctx, found.revision())?;
            let mut next = Pool::clone(&found);
            edit(&mut next)?;
            let mut batch = TypedBatch::default();
            if next == *found.object {
                return Ok(Decided {
                    batch,
                    object: Arc::clone(&found.object),
                    unchanged: Some(found.revision()),
                });
            }
            batch.put(next.clone(), Expect::At(found.revision()));
            Ok(decided(batch, next))
        })
        .await
    }
}

fn decided<T>(batch: TypedBatch, object: T) -> Decided<T> {
    Decided {
        batch,
        object: Arc::new(object),
        unchanged: None,
    }
}

fn shown<T>(found: &Versioned<T>) -> Outcome<T> {
    Outcome {
        object: Arc::clone(&found.object),
        revision: Some(found.revision()),
    }
}

fn exists(kind: &str, name: &str) -> ServiceError {
    ServiceError::AlreadyExists(ExistsKind::Named {
        kind: kind.to_owned(),
        name: name.to_owned(),
    })
}

/// Writes a parent again as it is. Names are unique within their parent, and nothing is stored under them: so whoever
/// gives one away writes the parent too, and of two who do so at the same time one has to decide again.
fn renew<T>(batch: &mut TypedBatch, parent: &Versioned<T>)
where
    Arc<T>: Into<Object>,
{
    batch.put(Arc::clone(&parent.object), Expect::At(parent.revision()));
}

/// As [`renew`], for what is unique in the whole installation. The installation's own record is its configuration.
fn renew_installation(index: &Snapshot<'_>, batch: &mut TypedBatch) {
    match index.at::<OsConfig>(&installation()) {
        Some(found) => renew(batch, &found),
        None => batch.put(OsConfig::plain(), Expect::Absent),
    }
}

/// The key of the installation's own record.
fn installation() -> Key {
    Key::new(Kind::OsConfig, "", "os-config")
}

/// The rule for names of domains, projects and users.
fn check_name(errors: &mut FieldErrors, name: &str) {
    let path = FieldPath::of("name");
    if name.is_empty() || name.chars().count() > MAX_NAME {
        errors.invalid(path, format!("must be 1 to {MAX_NAME} characters long"));
    } else if name.trim() != name || name.chars().any(char::is_control) {
        errors.invalid(path, "must not begin or end with a space, or hold control characters");
    }
}

fn check_description(errors: &mut FieldErrors, text: &str) {
    if text.chars().count() > MAX_DESCRIPTION || text.chars().any(|c| c.is_control() && c != '\n') {
        errors.invalid(
            FieldPath::of("description"),
            format!("must be at most {MAX_DESCRIPTION} characters long, without control characters"),
        );
    }
}

fn unknown(field: &str, what: impl std::fmt::Display) -> ServiceError {
    ServiceError::field(FieldPath::of(field), Reason::NotFound, format!("{what} not found"))
}

/// Who could call the operator API.
struct Operators {
    users: BTreeMap<UserId, Arc<User>>,
    open: BTreeSet<ProjectId>,
}

impl Operators {
    fn of(index: &Snapshot<'_>) -> Self {
        let open = index.all::<Project>().into_iter().filter(|project| project.is_enabled);
        Self {
            users: index.all::<User>().into_iter().map(|user| (user.id.clone(), user.object)).collect(),
            open: open.map(|project| project.id.clone()).collect(),
        }
    }

    fn count(&self) -> usize {
        let is_operator = |user: &User| {
            user.is_enabled
                && user
                    .roles
                    .iter()
                    .any(|(project, role)| *role == Role::Operator && self.open.contains(project))
        };
        self.users.values().filter(|user| is_operator(user)).count()
    }
}

/// Refuses a change that would leave nobody to undo it. Of two such changes at the same time one has to decide again.
fn keep_an_operator(index: &Snapshot<'_>, batch: &mut TypedBatch, change: impl FnOnce(&mut Operators)) -> Result<(), ServiceError> {
    let mut operators = Operators::of(index);
    let before = operators.count();
    change(&mut operators);
    let after = operators.count();
    if after < before {
        if after == 0 {
            return Err(ServiceError::Refused("the last operator cannot be taken away".to_owned()));
        }
        renew_installation(index, batch);
    }
    Ok(())
}

/// Takes back tokens that were handed out at a log-in. The operator's own token, which has no end, stays.
fn revoke_tokens(index: &Snapshot<'_>, batch: &mut TypedBatch, which: impl Fn(&Token) -> bool) {
    for token in index.all::<Token>() {
        if which(&token) {
            batch.delete(token.entry.key.clone(), Expect::Any);
        }
    }
}

#[cfg(test)]
mod tests;
