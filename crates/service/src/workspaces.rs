//! Workspaces: create, list, show, update, delete (contract tags… §10, semantics §9).

use crate::Outcome;
use crate::commit::Decided;
use crate::context::{CallContext, Service};
use crate::error::{ExistsKind, ServiceError};
use auth::Action;
use domain::field::FieldErrors;
use domain::name::WorkspaceId;
use domain::workspace::{AuthType, Workspace, WorkspaceStatus};
use std::sync::Arc;
use store::index::{Facet, Versioned};
use store::{Expect, TypedBatch};

/// A workspace as a request describes it; absent members stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkspaceDraft {
    pub name: Option<String>,
    pub description: Option<String>,
    pub auth: Option<AuthType>,
    pub enterprise_project: Option<String>,
}

impl Service {
    pub async fn create_workspace(
        &self,
        ctx: &CallContext,
        decode: impl Fn() -> Result<WorkspaceDraft, FieldErrors>,
    ) -> Result<Outcome<Workspace>, ServiceError> {
        self.authorize(ctx, Action::WorkspaceCreate)?;
        self.change(ctx, || {
            let draft = decode()?;
            let name = draft.name.clone().unwrap_or_default();
            self.check_workspace_name(ctx, &name, None)?;
            let now = self.now();
            let id = WorkspaceId::parse(self.new_uid(now).as_str()).map_err(|error| ServiceError::Internal(error.to_string()))?;
            let workspace = Workspace {
                id,
                project: ctx.project.clone(),
                name,
                description: draft.description.unwrap_or_default(),
                owner: ctx.principal.user.clone(),
                auth: draft.auth.unwrap_or(AuthType::Public),
                enterprise_project: draft.enterprise_project.unwrap_or_else(|| "0".to_owned()),
                status: WorkspaceStatus::Normal,
                created_at: now,
                updated_at: now,
            };
            let mut batch = TypedBatch::default();
            batch.put(workspace.clone(), Expect::Absent);
            Ok(Decided {
                batch,
                object: Arc::new(workspace),
                unchanged: None,
            })
        })
        .await
    }

    fn check_workspace_name(&self, ctx: &CallContext, name: &str, own: Option<&WorkspaceId>) -> Result<(), ServiceError> {
        let index = self.parts.state.index().read();
        let is_taken = index
            .under::<Workspace>(Facet::WorkspacesOfProject, &ctx.project)
            .iter()
            .any(|other| other.name == name && Some(&other.id) != own);
        if is_taken {
            return Err(ServiceError::AlreadyExists(ExistsKind::Named {
                kind: "Workspace".to_owned(),
                name: name.to_owned(),
            }));
        }
        Ok(())
    }

    /// The workspaces of the project; with `only_accessible`, those that the caller may use.
    pub fn list_workspaces(&self, ctx: &CallContext, only_accessible: bool) -> Result<Vec<Versioned<Workspace>>, ServiceError> {
        self.authorize(ctx, Action::WorkspaceList)?;
        let user = self.effective_user(ctx, Action::WorkspaceList)?;
        let all = self
            .parts
            .state
            .index()
            .read()
            .under::<Workspace>(Facet::WorkspacesOfProject, &ctx.project);
        Ok(all
            .into_iter()
            .filter(|workspace| !only_accessible || workspace.admits(&user))
            .collect())
    }

    pub fn show_workspace(&self, ctx: &CallContext, id: &WorkspaceId) -> Result<Versioned<Workspace>, ServiceError> {
        self.find_workspace(ctx, Action::WorkspaceGet, id)
    }

    fn find_workspace(&self, ctx: &CallContext, action: Action, id: &WorkspaceId) -> Result<Versioned<Workspace>, ServiceError> {
        self.authorize(ctx, action)?;
        let found = self.parts.state.index().read().get::<Workspace>(&ctx.project, id);
        let found = found.ok_or_else(|| ServiceError::NoSuchWorkspace(id.to_string()))?;
        self.check_workspace(ctx, action, id)?;
        Ok(found)
    }

    pub async fn update_workspace(
        &self,
        ctx: &CallContext,
        id: &WorkspaceId,
        decode: impl Fn() -> Result<WorkspaceDraft, FieldErrors>,
    ) -> Result<Outcome<Workspace>, ServiceError> {
        self.change(ctx, || {
            let found = self.find_workspace(ctx, Action::WorkspaceUpdate, id)?;
            let draft = decode()?;
            if id.is_default() {
                return Err(ServiceError::DefaultWorkspace);
            }
            let mut next = Workspace::clone(&found);
            if let Some(name) = draft.name {
                self.check_workspace_name(ctx, &name, Some(id))?;
                next.name = name;
            }
            next.description = draft.description.unwrap_or(next.description);
            next.auth = draft.auth.unwrap_or(next.auth);
            next.enterprise_project = draft.enterprise_project.unwrap_or(next.enterprise_project);
            next.updated_at = self.now();
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

    /// Refused while it holds pools or networks. First it is closed, so that nothing can be put into it any more; then,
    /// if it is empty, it goes.
    pub async fn delete_workspace(&self, ctx: &CallContext, id: &WorkspaceId) -> Result<Outcome<Workspace>, ServiceError> {
        let mut found = self.find_workspace(ctx, Action::WorkspaceDelete, id)?;
        if id.is_default() {
            return Err(ServiceError::DefaultWorkspace);
        }
        self.check_empty(ctx, &found)?;
        if !ctx.is_dry_run && found.status != WorkspaceStatus::Deleting {
            self.set_status(
                &CallContext {
                    idempotency: None,
                    ..ctx.clone()
                },
                id,
                WorkspaceStatus::Deleting,
            )
            .await?;
            // What other replicas put into it before it was closed has to be seen now.
            self.parts
                .state
                .refresh()
                .await
                .map_err(|error| ServiceError::Unavailable(error.to_string()))?;
            found = self.find_workspace(ctx, Action::WorkspaceDelete, id)?;
            if let Err(refusal) = self.check_empty(ctx, &found) {
                self.set_status(
                    &CallContext {
                        idempotency: None,
                        ..ctx.clone()
                    },
                    id,
                    WorkspaceStatus::Normal,
                )
                .await?;
                return Err(refusal);
            }
        }
        self.change(ctx, || {
            let found = self.find_workspace(ctx, Action::WorkspaceDelete, id)?;
            Ok(Decided::deletion(&found))
        })
        .await
    }

    fn check_empty(&self, ctx: &CallContext, workspace: &Workspace) -> Result<(), ServiceError> {
        let index = self.parts.state.index().read();
        let value = format!("{}/{}", ctx.project, workspace.id);
        let pools = index.filed(Facet::PoolsOfWorkspace, &value);
        let networks = index.filed(Facet::NetworksOfWorkspace, &value);
        if pools + networks == 0 {
            return Ok(());
        }
        Err(ServiceError::Refused(format!(
            "workspace {} holds {pools} pools and {networks} networks",
            workspace.name
        )))
    }

    async fn set_status(&self, ctx: &CallContext, id: &WorkspaceId, status: WorkspaceStatus) -> Result<(), ServiceError> {
        self.change(ctx, || {
            let found = self.find_workspace(ctx, Action::WorkspaceDelete, id)?;
            let mut next = Workspace::clone(&found);
            next.status = status;
            let mut batch = TypedBatch::default();
            batch.put(next.clone(), Expect::At(found.revision()));
            Ok(Decided {
                batch,
                object: Arc::new(next),
                unchanged: None,
            })
        })
        .await
        .map(|_| ())
    }
}
