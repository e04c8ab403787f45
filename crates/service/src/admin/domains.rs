//! Domains, the tenant accounts.

use super::{check_name, decided, exists, installation, renew_installation, shown};
use crate::Outcome;
use crate::context::{CallContext, Service, check_match};
use crate::error::ServiceError;
use domain::field::FieldErrors;
use domain::iam::{Domain, Project, User};
use domain::name::DomainId;
use domain::principal::Principal;
use std::sync::Arc;
use store::index::{Facet, Snapshot, Versioned};
use store::{Expect, TypedBatch};

/// What can be said about a domain; absent members stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DomainChange {
    /// 1–64 characters, unique in the installation.
    pub name: Option<String>,
}

impl Service {
    pub async fn create_domain(
        &self,
        ctx: &CallContext,
        decode: impl Fn() -> Result<DomainChange, FieldErrors>,
    ) -> Result<Outcome<Domain>, ServiceError> {
        self.authorize_operator(&ctx.principal)?;
        let _turn = self.locks.lock(installation()).await;
        self.administer(ctx, || {
            let name = decode()?.name.unwrap_or_default();
            let now = self.now();
            let id = DomainId::parse(self.new_uid(now).as_str()).map_err(|error| ServiceError::Internal(error.to_string()))?;
            let domain = Domain { id, name, created_at: now };
            let mut batch = TypedBatch::default();
            claim_name(&self.parts.state.index().read(), &mut batch, &domain)?;
            batch.put(domain.clone(), Expect::Absent);
            Ok(decided(batch, domain))
        })
        .await
    }

    /// By name.
    pub fn list_domains(&self, who: &Principal) -> Result<Vec<Arc<Domain>>, ServiceError> {
        self.authorize_operator(who)?;
        let all = self.parts.state.index().read().all::<Domain>();
        let mut domains: Vec<_> = all.into_iter().map(|domain| domain.object).collect();
        domains.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(domains)
    }

    pub fn show_domain(&self, who: &Principal, id: &DomainId) -> Result<Outcome<Domain>, ServiceError> {
        self.authorize_operator(who)?;
        self.find_domain(id).map(|found| shown(&found))
    }

    pub async fn update_domain(
        &self,
        ctx: &CallContext,
        id: &DomainId,
        decode: impl Fn() -> Result<DomainChange, FieldErrors>,
    ) -> Result<Outcome<Domain>, ServiceError> {
        self.authorize_operator(&ctx.principal)?;
        let _turn = self.locks.lock(installation()).await;
        self.administer(ctx, || {
            let found = self.find_domain(id)?;
            check_match(ctx, found.revision())?;
            let mut next = Domain::clone(&found);
            let mut batch = TypedBatch::default();
            if let Some(name) = decode()?.name {
                next.name = name;
                claim_name(&self.parts.state.index().read(), &mut batch, &next)?;
            }
            batch.put(next.clone(), Expect::At(found.revision()));
            Ok(decided(batch, next))
        })
        .await
    }

    /// Refused while it has projects or users.
    pub async fn delete_domain(&self, ctx: &CallContext, id: &DomainId) -> Result<Outcome<Domain>, ServiceError> {
        self.administer(ctx, || {
            let found = self.find_domain(id)?;
            check_match(ctx, found.revision())?;
            let index = self.parts.state.index().read();
            let projects = index.under::<Project>(Facet::ProjectsOfDomain, id).len();
            let users = index.all::<User>().iter().filter(|user| user.domain == *id).count();
            if projects + users > 0 {
                return Err(ServiceError::Refused(format!(
                    "domain {} has {projects} projects and {users} users",
                    found.name
                )));
            }
            let mut batch = TypedBatch::default();
            // Whoever makes a project or a user in it writes its record too.
            batch.delete(found.entry.key.clone(), Expect::At(found.revision()));
            Ok(decided(batch, Domain::clone(&found)))
        })
        .await
    }

    pub(super) fn find_domain(&self, id: &DomainId) -> Result<Versioned<Domain>, ServiceError> {
        let found = self.parts.state.index().read().get::<Domain>("", id);
        found.ok_or_else(|| ServiceError::named("Domain", id))
    }
}

fn claim_name(index: &Snapshot<'_>, batch: &mut TypedBatch, domain: &Domain) -> Result<(), ServiceError> {
    let mut errors = FieldErrors::new();
    check_name(&mut errors, &domain.name);
    errors.into_result()?;
    let others = index.under::<Domain>(Facet::DomainByName, &domain.name);
    if others.iter().any(|other| other.id != domain.id) {
        return Err(exists("Domain", &domain.name));
    }
    renew_installation(index, batch);
    Ok(())
}
