//! Users: their names, passwords and roles.

use super::{check_name, decided, exists, keep_an_operator, renew, revoke_tokens, unknown};
use crate::Outcome;
use crate::context::{CallContext, Service, check_match};
use crate::error::ServiceError;
use domain::field::{FieldErrors, FieldPath, Reason};
use domain::iam::{AccessKey, Domain, Project, User};
use domain::name::{DomainId, ProjectId, UserId, WorkspaceId};
use domain::pool::draft::Patched;
use domain::principal::{Principal, Role, WorkspaceRoles};
use domain::workspace::Workspace;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::index::{Facet, Snapshot, Versioned};
use store::{Expect, Key, Kind, TypedBatch};

/// Characters of a password.
const PASSWORD: std::ops::RangeInclusive<usize> = 8..=128;

/// A user as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub id: UserId,
    pub name: String,
    pub domain: DomainId,
    /// Whether it can log in with a password.
    pub has_password: bool,
    pub roles: BTreeMap<ProjectId, Role>,
    #[serde(default)]
    pub workspace_roles: WorkspaceRoles,
    pub is_enabled: bool,
    pub created_at: Timestamp,
}

impl From<&User> for Account {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.clone(),
            name: user.name.clone(),
            domain: user.domain.clone(),
            has_password: user.password_hash.is_some(),
            roles: user.roles.clone(),
            workspace_roles: user.workspace_roles.clone(),
            is_enabled: user.is_enabled,
            created_at: user.created_at,
        }
    }
}

/// A user to be made.
#[derive(Debug, Clone)]
pub struct NewUser {
    pub domain: DomainId,
    /// 1–64 characters, unique in the domain.
    pub name: String,
    /// 8–128 characters. Absent: no log-in with a password.
    pub password: Option<SecretString>,
    pub roles: BTreeMap<ProjectId, Role>,
    /// No operators: that role is for a whole project.
    pub workspace_roles: WorkspaceRoles,
    pub is_enabled: bool,
}

/// What can be changed of a user; absent members stay as they are.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    pub name: Option<String>,
    /// A new password ends all sessions, and so does taking it away.
    pub password: Patched<SecretString>,
    /// Projects that are absent keep their role; `None` takes it away.
    pub roles: BTreeMap<ProjectId, Option<Role>>,
    /// Likewise, of workspaces.
    pub workspace_roles: BTreeMap<ProjectId, BTreeMap<WorkspaceId, Option<Role>>>,
    pub is_enabled: Option<bool>,
}

impl Service {
    /// An `Idempotency-Key` plays no part: what would be kept with it tells about the password.
    pub async fn create_user(
        &self,
        ctx: &CallContext,
        decode: impl FnOnce() -> Result<NewUser, FieldErrors>,
    ) -> Result<Outcome<Account>, ServiceError> {
        self.authorize_operator(&ctx.principal)?;
        let wanted = decode()?;
        let password_hash = match wanted.password {
            Some(password) => Some(self.hash(password).await?),
            None => None,
        };
        let _turn = self.locks.lock(Key::new(Kind::Domain, "", &wanted.domain)).await;
        self.administer(&without_key(ctx), || {
            let now = self.now();
            let user = User {
                id: UserId::parse(self.new_uid(now).as_str()).map_err(|error| ServiceError::Internal(error.to_string()))?,
                name: wanted.name.clone(),
                domain: wanted.domain.clone(),
                password_hash: password_hash.clone(),
                roles: wanted.roles.clone(),
                workspace_roles: wanted.workspace_roles.clone(),
                is_enabled: wanted.is_enabled,
                created_at: now,
            };
            let index = self.parts.state.index().read();
            let mut batch = TypedBatch::default();
            claim_name(&index, &mut batch, &user)?;
            check_roles(&index, &mut batch, &user, &BTreeMap::new())?;
            check_workspace_roles(&index, &user, &WorkspaceRoles::new())?;
            let account = Account::from(&user);
            batch.put(user, Expect::Absent);
            Ok(decided(batch, account))
        })
        .await
    }

    /// The users of one domain or of all, by domain and name.
    pub fn list_users(&self, who: &Principal, domain: Option<&DomainId>) -> Result<Vec<Arc<Account>>, ServiceError> {
        self.authorize_operator(who)?;
        let all = self.parts.state.index().read().all::<User>();
        let wanted = all.iter().filter(|user| domain.is_none_or(|domain| user.domain == *domain));
        let mut accounts: Vec<_> = wanted.map(|user| Arc::new(Account::from(user.object.as_ref()))).collect();
        accounts.sort_by(|a, b| (&a.domain, &a.name).cmp(&(&b.domain, &b.name)));
        Ok(accounts)
    }

    pub fn show_user(&self, who: &Principal, id: &UserId) -> Result<Outcome<Account>, ServiceError> {
        self.authorize_operator(who)?;
        let found = self.user(id)?;
        Ok(Outcome {
            object: Arc::new(Account::from(found.object.as_ref())),
            revision: Some(found.revision()),
        })
    }

    /// A new password and switching off take back the tokens of the user's log-ins. As in [`Service::create_user`], an
    /// `Idempotency-Key` plays no part.
    pub async fn update_user(
        &self,
        ctx: &CallContext,
        id: &UserId,
        decode: impl FnOnce() -> Result<UserChange, FieldErrors>,
    ) -> Result<Outcome<Account>, ServiceError> {
        self.authorize_operator(&ctx.principal)?;
        let known = self.user(id)?;
        check_match(ctx, known.revision())?;
        let change = decode()?;
        let password_hash = match &change.password {
            Patched::Unchanged => Patched::Unchanged,
            Patched::Removed => Patched::Removed,
            Patched::Set(password) => Patched::Set(self.hash(password.clone()).await?),
        };
        let _turn = self.locks.lock(Key::new(Kind::Domain, "", &known.domain)).await;
        self.administer(&without_key(ctx), || {
            let found = self.user(id)?;
            check_match(ctx, found.revision())?;
            let mut next = User::clone(&found);
            next.name = change.name.clone().unwrap_or(next.name);
            for (project, role) in &change.roles {
                match role {
                    Some(role) => next.roles.insert(project.clone(), *role),
                    None => next.roles.remove(project),
                };
            }
            for (project, roles) in &change.workspace_roles {
                let own = next.workspace_roles.entry(project.clone()).or_default();
                for (workspace, role) in roles {
                    match role {
                        Some(role) => own.insert(workspace.clone(), *role),
                        None => own.remove(workspace),
                    };
                }
            }
            next.workspace_roles.retain(|_, roles| !roles.is_empty());
            next.is_enabled = change.is_enabled.unwrap_or(next.is_enabled);
            let ends_sessions = password_hash != Patched::Unchanged || (found.is_enabled && !next.is_enabled);
            match &password_hash {
                Patched::Unchanged => {}
                Patched::Removed => next.password_hash = None,
                Patched::Set(hash) => next.password_hash = Some(hash.clone()),
            }
            let index = self.parts.state.index().read();
            let mut batch = TypedBatch::default();
            if next.name != found.name {
                claim_name(&index, &mut batch, &next)?;
            }
            check_roles(&index, &mut batch, &next, &found.roles)?;
            check_workspace_roles(&index, &next, &found.workspace_roles)?;
            keep_an_operator(&index, &mut batch, |operators| {
                operators.users.insert(id.clone(), Arc::new(next.clone()));
            })?;
            if ends_sessions {
                revoke_tokens(&index, &mut batch, |token| token.user == *id && token.expires_at.is_some());
            }
            let account = Account::from(&next);
            batch.put(next, Expect::At(found.revision()));
            Ok(decided(batch, account))
        })
        .await
    }

    /// Its access keys and tokens go with it.
    pub async fn delete_user(&self, ctx: &CallContext, id: &UserId) -> Result<Outcome<Account>, ServiceError> {
        self.administer(ctx, || {
            let found = self.user(id)?;
            check_match(ctx, found.revision())?;
            let index = self.parts.state.index().read();
            let mut batch = TypedBatch::default();
            keep_an_operator(&index, &mut batch, |operators| {
                operators.users.remove(id);
            })?;
            for key in index.under::<AccessKey>(Facet::KeysOfUser, id) {
                batch.delete(key.entry.key.clone(), Expect::Any);
            }
            revoke_tokens(&index, &mut batch, |token| token.user == *id);
            // Whoever makes a key for the user writes the user's record too.
            batch.delete(found.entry.key.clone(), Expect::At(found.revision()));
            Ok(decided(batch, Account::from(found.object.as_ref())))
        })
        .await
    }

    pub(super) fn user(&self, id: &UserId) -> Result<Versioned<User>, ServiceError> {
        let found = self.parts.state.index().read().get::<User>("", id);
        found.ok_or_else(|| ServiceError::named("User", id))
    }

    async fn hash(&self, password: SecretString) -> Result<String, ServiceError> {
        if !PASSWORD.contains(&password.expose_secret().chars().count()) {
            let message = format!("must be {} to {} characters long", PASSWORD.start(), PASSWORD.end());
            return Err(ServiceError::field(FieldPath::of("password"), Reason::Invalid, message));
        }
        let hashed = self.parts.passwords.hash(password).await;
        hashed.map_err(|error| ServiceError::Internal(error.to_string()))
    }
}

/// The call without its `Idempotency-Key`, for answers and requests that must not be kept.
pub(super) fn without_key(ctx: &CallContext) -> CallContext {
    CallContext {
        idempotency: None,
        ..ctx.clone()
    }
}

fn claim_name(index: &Snapshot<'_>, batch: &mut TypedBatch, user: &User) -> Result<(), ServiceError> {
    let mut errors = FieldErrors::new();
    check_name(&mut errors, &user.name);
    errors.into_result()?;
    let Some(domain) = index.get::<Domain>("", &user.domain) else {
        return Err(unknown("domain", format_args!("domain {}", user.domain)));
    };
    let others = index.under::<User>(Facet::UserByName, format!("{}/{}", user.domain, user.name));
    if others.iter().any(|other| other.id != user.id) {
        return Err(exists("User", &user.name));
    }
    renew(batch, &domain);
    Ok(())
}

/// New roles are in projects that exist, and still do when the change is made.
fn check_roles(index: &Snapshot<'_>, batch: &mut TypedBatch, user: &User, before: &BTreeMap<ProjectId, Role>) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::new();
    for project in user.roles.keys().filter(|project| !before.contains_key(*project)) {
        match index.get::<Project>("", project) {
            Some(found) => batch.check(found.entry.key.clone(), Expect::At(found.revision())),
            None => errors.push(
                FieldPath::of("roles").field(project.as_str()),
                Reason::NotFound,
                format!("project {project} not found"),
            ),
        }
    }
    errors.into_result()
}

/// New roles are in workspaces that exist. One that is deleted at the same time leaves a role that nothing asks for.
fn check_workspace_roles(index: &Snapshot<'_>, user: &User, before: &WorkspaceRoles) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::new();
    for (project, roles) in &user.workspace_roles {
        let known = before.get(project);
        for workspace in roles.keys().filter(|id| known.is_none_or(|known| !known.contains_key(*id))) {
            if index.get::<Workspace>(project, workspace).is_none() {
                let path = FieldPath::of("workspaceRoles").field(project.as_str()).field(workspace.as_str());
                errors.push(path, Reason::NotFound, format!("workspace {workspace} not found"));
            }
        }
    }
    errors.into_result()
}
