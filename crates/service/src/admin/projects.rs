//! Projects with their quotas. Each has a default workspace from the beginning.

use super::{check_description, check_name, decided, exists, keep_an_operator, renew, revoke_tokens, shown, unknown};
use crate::Outcome;
use crate::catalogue::QuotaUse;
use crate::context::{CallContext, Service, check_match};
use crate::error::ServiceError;
use domain::catalogue::Quota;
use domain::field::FieldErrors;
use domain::iam::{Domain, Project, TokenScope, User};
use domain::name::{DomainId, ProjectId};
use domain::network::Network;
use domain::order::Order;
use domain::pool::Pool;
use domain::pool::draft::Patched;
use domain::principal::Principal;
use domain::workspace::Workspace;
use std::sync::Arc;
use store::index::{Facet, Snapshot, Versioned};
use store::{Count, Expect, Key, Kind, TypedBatch, counters};

/// A project to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProject {
    /// Random where absent.
    pub id: Option<ProjectId>,
    pub domain: DomainId,
    /// 1–64 characters, unique in the domain; also the region's name where clients look a project up by region.
    pub name: String,
    pub description: String,
    pub is_enabled: bool,
    pub quota: Quota,
}

/// What can be changed of a project; absent members stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectChange {
    pub name: Option<String>,
    pub description: Option<String>,
    /// A switched-off project is out of everybody's reach; its machines stay as they are.
    pub is_enabled: Option<bool>,
    pub quota: QuotaChange,
}

/// What can be changed of a quota. What is removed follows the installation's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuotaChange {
    pub pools: Patched<u32>,
    pub networks: Patched<u32>,
}

impl QuotaChange {
    /// The quota after the change.
    pub fn of(&self, before: &Quota) -> Quota {
        let limit = |change: &Patched<u32>, before: Option<u32>| match change {
            Patched::Unchanged => before,
            Patched::Removed => None,
            Patched::Set(limit) => Some(*limit),
        };
        Quota {
            pools: limit(&self.pools, before.pools),
            networks: limit(&self.networks, before.networks),
        }
    }
}

impl Service {
    pub async fn create_project(
        &self,
        ctx: &CallContext,
        decode: impl Fn() -> Result<NewProject, FieldErrors>,
    ) -> Result<Outcome<Project>, ServiceError> {
        self.authorize_operator(&ctx.principal)?;
        let wanted = decode()?;
        let _turn = self.locks.lock(Key::new(Kind::Domain, "", &wanted.domain)).await;
        self.administer(ctx, || {
            let now = self.now();
            let id = match &wanted.id {
                Some(id) => id.clone(),
                None => ProjectId::parse(self.new_uid(now).as_str()).map_err(|error| ServiceError::Internal(error.to_string()))?,
            };
            let project = Project {
                id,
                name: wanted.name.clone(),
                domain: wanted.domain.clone(),
                description: wanted.description.clone(),
                is_enabled: wanted.is_enabled,
                quota: wanted.quota.clone(),
                created_at: now,
            };
            let index = self.parts.state.index().read();
            let mut batch = TypedBatch::default();
            check_texts(&project)?;
            claim_name(&index, &mut batch, &project)?;
            if index.get::<Project>("", &project.id).is_some() {
                return Err(exists("Project", project.id.as_str()));
            }
            let workspace = Workspace::default_of(&project.id, &ctx.principal.user, now);
            batch.put(project.clone(), Expect::Absent);
            batch.put(workspace, Expect::Absent);
            Ok(decided(batch, project))
        })
        .await
    }

    /// The projects of one domain or of all, by domain and name.
    pub fn list_projects(&self, who: &Principal, domain: Option<&DomainId>) -> Result<Vec<Arc<Project>>, ServiceError> {
        self.authorize_operator(who)?;
        let index = self.parts.state.index().read();
        let found = match domain {
            Some(domain) => index.under::<Project>(Facet::ProjectsOfDomain, domain),
            None => index.all::<Project>(),
        };
        let mut projects: Vec<_> = found.into_iter().map(|project| project.object).collect();
        projects.sort_by(|a, b| (&a.domain, &a.name).cmp(&(&b.domain, &b.name)));
        Ok(projects)
    }

    pub fn show_project(&self, who: &Principal, id: &ProjectId) -> Result<Outcome<Project>, ServiceError> {
        self.authorize_operator(who)?;
        self.find_project(id).map(|found| shown(&found))
    }

    pub async fn update_project(
        &self,
        ctx: &CallContext,
        id: &ProjectId,
        decode: impl Fn() -> Result<ProjectChange, FieldErrors>,
    ) -> Result<Outcome<Project>, ServiceError> {
        self.administer(ctx, || {
            let found = self.find_project(id)?;
            check_match(ctx, found.revision())?;
            let change = decode()?;
            let mut next = Project::clone(&found);
            next.name = change.name.unwrap_or(next.name);
            next.description = change.description.unwrap_or(next.description);
            next.is_enabled = change.is_enabled.unwrap_or(next.is_enabled);
            next.quota = change.quota.of(&next.quota);
            check_texts(&next)?;
            let index = self.parts.state.index().read();
            let mut batch = TypedBatch::default();
            if next.name != found.name {
                claim_name(&index, &mut batch, &next)?;
            }
            if !next.is_enabled {
                keep_an_operator(&index, &mut batch, |operators| {
                    operators.open.remove(id);
                })?;
            }
            batch.put(next.clone(), Expect::At(found.revision()));
            Ok(decided(batch, next))
        })
        .await
    }

    /// Refused while it has pools or networks. Its workspaces, its past orders and everybody's roles in it go with it.
    pub async fn delete_project(&self, ctx: &CallContext, id: &ProjectId) -> Result<Outcome<Project>, ServiceError> {
        self.administer(ctx, || {
            let found = self.find_project(id)?;
            check_match(ctx, found.revision())?;
            let index = self.parts.state.index().read();
            check_empty(&index, &found)?;
            let mut batch = TypedBatch::default();
            keep_an_operator(&index, &mut batch, |operators| {
                operators.open.remove(id);
            })?;
            for counter in [counters::pools_of(id), counters::networks_of(id)] {
                // What somebody makes in it at this moment makes this decision void.
                batch.count(Count {
                    key: counter,
                    add: 0,
                    at_most: Some(0),
                });
            }
            for workspace in index.under::<Workspace>(Facet::WorkspacesOfProject, id) {
                batch.delete(workspace.entry.key.clone(), Expect::At(workspace.revision()));
            }
            for order in index.under::<Order>(Facet::OrdersOfProject, id) {
                batch.delete(order.entry.key.clone(), Expect::Any);
            }
            for user in index.all::<User>().into_iter().filter(|user| user.roles.contains_key(id)) {
                let mut next = User::clone(&user);
                next.roles.remove(id);
                batch.put(next, Expect::At(user.revision()));
            }
            revoke_tokens(&index, &mut batch, |token| token.scope == TokenScope::Project(id.clone()));
            batch.delete(found.entry.key.clone(), Expect::At(found.revision()));
            Ok(decided(batch, Project::clone(&found)))
        })
        .await
    }

    /// The limits in force for a project, and their use.
    pub fn quotas_of(&self, who: &Principal, id: &ProjectId) -> Result<Vec<QuotaUse>, ServiceError> {
        self.authorize_operator(who)?;
        self.find_project(id)?;
        Ok(self.quota_use(id))
    }

    fn find_project(&self, id: &ProjectId) -> Result<Versioned<Project>, ServiceError> {
        let found = self.parts.state.index().read().get::<Project>("", id);
        found.ok_or_else(|| ServiceError::named("Project", id))
    }
}

fn check_texts(project: &Project) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::new();
    check_name(&mut errors, &project.name);
    check_description(&mut errors, &project.description);
    errors.into_result()
}

fn claim_name(index: &Snapshot<'_>, batch: &mut TypedBatch, project: &Project) -> Result<(), ServiceError> {
    let Some(domain) = index.get::<Domain>("", &project.domain) else {
        return Err(unknown("domain", format_args!("domain {}", project.domain)));
    };
    let others = index.under::<Project>(Facet::ProjectsOfDomain, &project.domain);
    if others.iter().any(|other| other.name == project.name && other.id != project.id) {
        return Err(exists("Project", &project.name));
    }
    renew(batch, &domain);
    Ok(())
}

fn check_empty(index: &Snapshot<'_>, project: &Project) -> Result<(), ServiceError> {
    let pools = index.under::<Pool>(Facet::PoolsOfProject, &project.id).len();
    let networks: usize = index
        .under::<Workspace>(Facet::WorkspacesOfProject, &project.id)
        .iter()
        .map(|workspace| {
            let value = format!("{}/{}", project.id, workspace.id);
            index.under::<Network>(Facet::NetworksOfWorkspace, value).len()
        })
        .sum();
    if pools + networks > 0 {
        return Err(ServiceError::Refused(format!(
            "project {} has {pools} pools and {networks} networks",
            project.name
        )));
    }
    Ok(())
}
