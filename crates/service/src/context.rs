//! What every use case works with: the service's parts, and who calls with which wishes.

use crate::commit::Locks;
use crate::error::ServiceError;
use auth::{Action, Authorizer, Decision};
use clock::{Clock, Entropy};
use domain::meta::Revision;
use domain::name::{ProjectId, UserId, WorkspaceId};
use domain::principal::{Principal, Role};
use domain::workspace::{EffectiveUser, Workspace};
use fleet::Fleet;
use jiff::Timestamp;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::State;
use store::index::Versioned;

/// What the service is built from.
pub struct ServiceParts {
    pub state: State,
    pub fleet: Arc<dyn Fleet>,
    /// The same fleet where it is a simulated one: its machines and faults are the operator's to set.
    pub machines: Option<fleet::sim::SimFleet>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub authorizer: Arc<dyn Authorizer>,
    pub passwords: auth::Passwords,
    pub sealer: Arc<auth::Sealer>,
    pub limits: Limits,
}

/// Times and bounds of the service; all configurable (semantics §16).
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a change is replayed on fresher objects before it is answered with a conflict.
    pub replay: Duration,
    /// How long the answer to an `Idempotency-Key` is kept.
    pub idempotency: Duration,
    /// Validity of a token.
    pub token: Duration,
    /// The longest wait of a show request.
    pub wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const DAY: Duration = Duration::from_hours(24);
        Self {
            replay: Duration::from_secs(10),
            idempotency: DAY,
            token: DAY,
            wait: Duration::from_mins(1),
        }
    }
}

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    pub(crate) parts: Arc<ServiceParts>,
    pub(crate) locks: Arc<Locks>,
    /// When expired tokens are cleared away next.
    pub(crate) next_sweep: Arc<Mutex<Timestamp>>,
}

/// One call.
#[derive(Debug, Clone)]
pub struct CallContext {
    pub principal: Principal,
    /// The project of the URL.
    pub project: ProjectId,
    /// `X-ModelArts-User-ID`: workspace rights are decided for this user or account.
    pub acting_for: Option<String>,
    /// `request-type: console`: prepaid changes wait for payment.
    pub is_console: bool,
    pub request_id: String,
    /// Run every check and write nothing.
    pub is_dry_run: bool,
    /// `If-Match`: any of these revisions; absent: no condition.
    pub if_match: Option<Vec<Revision>>,
    pub idempotency: Option<Idempotency>,
}

/// An `Idempotency-Key` with what it is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// Hash of caller, operation and key, in hexadecimal.
    pub key: String,
    /// SHA-256 of the request body, in hexadecimal.
    pub request: String,
}

impl Service {
    pub fn new(parts: ServiceParts) -> Self {
        Self {
            parts: Arc::new(parts),
            locks: Arc::default(),
            next_sweep: Arc::new(Mutex::new(Timestamp::MIN)),
        }
    }

    pub fn state(&self) -> &State {
        &self.parts.state
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.parts.clock
    }

    pub fn limits(&self) -> &Limits {
        &self.parts.limits
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        self.parts.entropy.as_ref()
    }

    /// Checks 4 and 5: the caller's project and role allow the action.
    pub fn authorize(&self, ctx: &CallContext, action: Action) -> Result<(), ServiceError> {
        judged(self.parts.authorizer.decide(&ctx.principal, action, &ctx.project), action)
    }

    /// As [`Service::authorize`], for what is in a workspace that is not known yet: [`Service::check_workspace`] or
    /// [`Service::target_workspace`] has to follow.
    pub(crate) fn authorize_somewhere(&self, ctx: &CallContext, action: Action) -> Result<(), ServiceError> {
        judged(self.parts.authorizer.decide_somewhere(&ctx.principal, action, &ctx.project), action)
    }

    fn authorize_in(&self, ctx: &CallContext, action: Action, workspace: &WorkspaceId) -> Result<(), ServiceError> {
        judged(
            self.parts.authorizer.decide_in(&ctx.principal, action, &ctx.project, workspace),
            action,
        )
    }

    /// The caller must be an operator.
    pub fn authorize_operator(&self, who: &Principal) -> Result<(), ServiceError> {
        if who.is_operator() {
            Ok(())
        } else {
            Err(ServiceError::ActionDenied {
                action: "modelarts:admin:*".to_owned(),
            })
        }
    }

    /// For whom workspace rights are decided. Acting for others is for operators; for oneself or one's own account it is
    /// for everybody (contract README §5.1).
    pub fn effective_user(&self, ctx: &CallContext, action: Action) -> Result<EffectiveUser, ServiceError> {
        let caller = EffectiveUser::caller(&ctx.principal, &ctx.project);
        let Some(other) = ctx.acting_for.as_deref() else {
            return Ok(caller);
        };
        if other == ctx.principal.user.as_str() || other == ctx.principal.domain.as_str() {
            return Ok(caller);
        }
        if ctx.principal.role_in(&ctx.project) != Some(Role::Operator) {
            return Err(ServiceError::WorkspaceDenied {
                action: action.as_str().to_owned(),
                resource: "workspace".to_owned(),
            });
        }
        let user = self.parts.state.index().read().get::<domain::iam::User>("", other);
        let id = UserId::parse(other).map_err(|error| ServiceError::Refused(format!("X-ModelArts-User-ID {error}")))?;
        Ok(match user {
            Some(user) => EffectiveUser {
                id,
                name: user.name.clone(),
                may_use_all: user.roles.get(&ctx.project) == Some(&Role::Operator),
            },
            // An id that only the caller's own system knows: it has what is open to everybody.
            None => EffectiveUser {
                id,
                name: other.to_owned(),
                may_use_all: false,
            },
        })
    }

    /// The workspace, if it exists.
    pub(crate) fn workspace(&self, project: &ProjectId, id: &WorkspaceId) -> Option<Arc<Workspace>> {
        self.parts
            .state
            .index()
            .read()
            .get::<Workspace>(project, id)
            .map(|found| found.object)
    }

    /// Check 7: the effective user may use the workspace of an object, and the caller's role there allows the action.
    pub(crate) fn check_workspace(&self, ctx: &CallContext, action: Action, workspace: &WorkspaceId) -> Result<(), ServiceError> {
        let user = self.effective_user(ctx, action)?;
        match self.workspace(&ctx.project, workspace) {
            Some(found) if found.admits(&user) => self.authorize_in(ctx, action, workspace),
            None if user.may_use_all => self.authorize_in(ctx, action, workspace),
            Some(_) | None => Err(denied(action, workspace)),
        }
    }

    /// A workspace that an object is to be put into: it exists, is in order and may be used. The change must hold only
    /// while it stays as it is, so that nothing is put into a workspace that is being deleted.
    pub(crate) fn target_workspace(
        &self,
        ctx: &CallContext,
        action: Action,
        workspace: &WorkspaceId,
    ) -> Result<Versioned<Workspace>, ServiceError> {
        let user = self.effective_user(ctx, action)?;
        let found = self
            .parts
            .state
            .index()
            .read()
            .get::<Workspace>(&ctx.project, workspace)
            .ok_or(ServiceError::UnknownWorkspace)?;
        if found.status != domain::workspace::WorkspaceStatus::Normal {
            return Err(ServiceError::WorkspaceNotNormal(workspace.to_string()));
        }
        if found.admits(&user) {
            self.authorize_in(ctx, action, workspace)?;
            Ok(found)
        } else {
            Err(denied(action, workspace))
        }
    }
}

fn judged(decision: Decision, action: Action) -> Result<(), ServiceError> {
    match decision {
        Decision::Allow => Ok(()),
        Decision::WrongProject => Err(ServiceError::WrongProject),
        Decision::Denied => Err(ServiceError::ActionDenied {
            action: action.as_str().to_owned(),
        }),
    }
}

fn denied(action: Action, workspace: &WorkspaceId) -> ServiceError {
    ServiceError::WorkspaceDenied {
        action: action.as_str().to_owned(),
        resource: format!("workspace:{workspace}"),
    }
}

/// Check 7a: `If-Match`.
pub(crate) fn check_match(ctx: &CallContext, revision: Revision) -> Result<(), ServiceError> {
    match &ctx.if_match {
        Some(revisions) if !revisions.contains(&revision) => Err(ServiceError::Stale),
        Some(_) | None => Ok(()),
    }
}
