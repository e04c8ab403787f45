//! Accounts: who the holders of credentials are, and logging in (contract README §6.1, clients §4).

use crate::context::Service;
use crate::error::ServiceError;
use auth::{CredentialSource, Sealer, SourceError, StoredToken, TokenHash, new_token};
use domain::iam::{AccessKey, Domain, Project, Token, TokenScope, User};
use domain::name::{AccessKeyId, DomainId, ProjectId, UserId};
use domain::principal::{Principal, Role, Scope};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use store::index::{Facet, Snapshot};
use store::{Expect, State, TypedBatch};

/// Looks credentials up in the index.
pub struct Credentials {
    state: State,
    sealer: Arc<Sealer>,
}

impl Credentials {
    pub fn new(state: State, sealer: Arc<Sealer>) -> Self {
        Self { state, sealer }
    }
}

impl CredentialSource for Credentials {
    fn access_key(&self, id: &AccessKeyId) -> Result<Option<auth::AccessKey>, SourceError> {
        let index = self.state.index().read();
        let Some(key) = index.get::<AccessKey>("", id) else {
            return Ok(None);
        };
        let Some(user) = index.get::<User>("", &key.user) else {
            return Ok(None);
        };
        let secret = self
            .sealer
            .open(id, &key.sealed_secret)
            .map_err(|error| SourceError::Unreadable(error.to_string()))?;
        let hash = key
            .security_token_hash
            .as_deref()
            .map(|text| TokenHash::parse(text).ok_or_else(|| SourceError::Unreadable("a security token's hash".to_owned())));
        Ok(Some(auth::AccessKey {
            id: id.clone(),
            secret,
            principal: principal(&index, &user, Scope::AllProjects, id.to_string()),
            enabled: key.is_enabled && user.is_enabled,
            security_token_hash: hash.transpose()?.map(|hash| *hash.as_bytes()),
            expires_at: key.expires_at,
        }))
    }

    fn token(&self, hash: &TokenHash) -> Result<Option<StoredToken>, SourceError> {
        let index = self.state.index().read();
        let Some(token) = index.get::<Token>("", hash.to_string()) else {
            return Ok(None);
        };
        let Some(user) = index.get::<User>("", &token.user).filter(|user| user.is_enabled) else {
            return Ok(None);
        };
        let scope = match &token.scope {
            TokenScope::Project(project) => Scope::Project(project.clone()),
            TokenScope::Domain => Scope::Domain,
            TokenScope::Unscoped => Scope::None,
            TokenScope::Everything => Scope::AllProjects,
        };
        Ok(Some(StoredToken {
            principal: principal(&index, &user, scope, hash.short()),
            expires_at: token.expires_at,
        }))
    }
}

fn principal(index: &Snapshot<'_>, user: &User, scope: Scope, credential: String) -> Principal {
    let domain_name = index
        .get::<Domain>("", &user.domain)
        .map_or_else(String::new, |domain| domain.name.clone());
    Principal {
        user: user.id.clone(),
        user_name: user.name.clone(),
        domain: user.domain.clone(),
        domain_name,
        scope,
        roles: open_roles(index, user),
        workspace_roles: user.workspace_roles.clone(),
        credential,
    }
}

/// Roles in projects that are switched on.
fn open_roles(index: &Snapshot<'_>, user: &User) -> BTreeMap<ProjectId, Role> {
    let is_open = |id: &ProjectId| index.get::<Project>("", id).is_some_and(|project| project.is_enabled);
    let roles = user.roles.iter().filter(|(project, _)| is_open(project));
    roles.map(|(project, role)| (project.clone(), *role)).collect()
}

/// How a log-in proves who it is.
#[derive(Debug, Clone)]
pub enum Proof {
    Password {
        user: UserReference,
        password: SecretString,
    },
    /// An unexpired token, exchanged for one of another scope.
    Token(SecretString),
}

/// A user by id, or by name and domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserReference {
    Id(UserId),
    Name { name: String, domain: DomainReference },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainReference {
    Id(DomainId),
    Name(String),
}

/// For what the new token shall be good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedScope {
    ProjectId(ProjectId),
    /// Without a domain, the user's own.
    ProjectName {
        name: String,
        domain: Option<DomainReference>,
    },
    Domain(DomainReference),
    Unscoped,
}

#[derive(Debug, Clone)]
pub struct LoginRequest {
    pub proof: Proof,
    pub scope: WantedScope,
}

/// A successful log-in.
#[derive(Debug, Clone)]
pub struct Login {
    /// Shown this once.
    pub token: SecretString,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
    pub method: &'static str,
    pub user: Arc<User>,
    pub domain: Arc<Domain>,
    /// Of a project-scoped token.
    pub project: Option<(Arc<Project>, Role)>,
    pub is_domain_scoped: bool,
}

/// The project of a project-scoped token, and the user's role in it.
type ScopedProject = (Arc<Project>, Role);

/// Expired tokens that one log-in clears away at most.
const CLEARED_AT_ONCE: usize = 500;
/// How often a log-in looks for them: all tokens have to be looked through.
const SWEEP_PERIOD: Duration = Duration::from_mins(1);

impl Service {
    /// Logs in. Wrong users and wrong passwords are told alike and cost the same.
    pub async fn login(&self, request: LoginRequest) -> Result<Login, ServiceError> {
        let refused = || ServiceError::Unauthenticated("The username or password is wrong, or the token is invalid.".to_owned());
        let (user, method, end) = match request.proof {
            Proof::Password { user, password } => {
                let found = self.find_user(&user);
                let hash = found.as_ref().and_then(|user| user.password_hash.clone());
                let is_right = self
                    .parts
                    .passwords
                    .verify(password, hash)
                    .await
                    .map_err(|error| ServiceError::Internal(error.to_string()))?;
                let user = found.filter(|user| is_right && user.is_enabled).ok_or_else(refused)?;
                (user, "password", None)
            }
            Proof::Token(text) => {
                let (user, token) = self.token_holder(&text).ok_or_else(refused)?;
                (user, "token", token.expires_at)
            }
        };
        let (scope, project) = self.resolve_scope(&user, &request.scope).ok_or_else(refused)?;
        self.issue(user, scope, project, method, end).await
    }

    /// As whom somebody tries to log in with a password, if there is such a user: what is not a user's name may be a secret
    /// in the wrong field.
    pub fn named_user(&self, proof: &Proof) -> Option<UserId> {
        match proof {
            Proof::Password { user, .. } => self.find_user(user).map(|user| user.id.clone()),
            Proof::Token(_) => None,
        }
    }

    fn find_user(&self, reference: &UserReference) -> Option<Arc<User>> {
        let index = self.parts.state.index().read();
        match reference {
            UserReference::Id(id) => index.get::<User>("", id).map(|user| user.object),
            UserReference::Name { name, domain } => {
                let domain = find_domain(&index, domain)?;
                index
                    .under::<User>(Facet::UserByName, format!("{}/{name}", domain.id))
                    .into_iter()
                    .next()
                    .map(|user| user.object)
            }
        }
    }

    fn token_holder(&self, text: &SecretString) -> Option<(Arc<User>, Arc<Token>)> {
        let hash = TokenHash::of(text.expose_secret().as_bytes());
        let index = self.parts.state.index().read();
        let token = index.get::<Token>("", hash.to_string())?;
        let is_valid = token.expires_at.is_none_or(|expires_at| expires_at > self.now());
        index
            .get::<User>("", &token.user)
            .filter(|user| is_valid && user.is_enabled)
            .map(|user| (user.object, token.object))
    }

    fn resolve_scope(&self, user: &User, wanted: &WantedScope) -> Option<(TokenScope, Option<ScopedProject>)> {
        let index = self.parts.state.index().read();
        let project = match wanted {
            WantedScope::Unscoped => return Some((TokenScope::Unscoped, None)),
            WantedScope::Domain(domain) => {
                return (find_domain(&index, domain)?.id == user.domain).then_some((TokenScope::Domain, None));
            }
            WantedScope::ProjectId(id) => index.get::<Project>("", id)?.object,
            WantedScope::ProjectName { name, domain } => {
                let domain = match domain {
                    Some(domain) => find_domain(&index, domain)?.id.clone(),
                    None => user.domain.clone(),
                };
                index
                    .under::<Project>(Facet::ProjectsOfDomain, &domain)
                    .into_iter()
                    .find(|project| project.name == *name)?
                    .object
            }
        };
        let role = *user.roles.get(&project.id)?;
        project
            .is_enabled
            .then(|| (TokenScope::Project(project.id.clone()), Some((project, role))))
    }

    /// `end`: of the token that was exchanged. An exchange does not prolong a session.
    async fn issue(
        &self,
        user: Arc<User>,
        scope: TokenScope,
        project: Option<(Arc<Project>, Role)>,
        method: &'static str,
        end: Option<Timestamp>,
    ) -> Result<Login, ServiceError> {
        let now = self.now();
        let longest = now.saturating_add(self.parts.limits.token).unwrap_or(Timestamp::MAX);
        let expires_at = end.map_or(longest, |end| end.min(longest));
        let (text, hash) = new_token(self.entropy());
        let domain = self
            .parts
            .state
            .index()
            .read()
            .get::<Domain>("", &user.domain)
            .map(|domain| domain.object);
        let domain = domain.ok_or_else(|| ServiceError::Internal(format!("user {} has no domain", user.id)))?;
        let is_domain_scoped = scope == TokenScope::Domain;
        let token = Token {
            hash: hash.to_string(),
            user: user.id.clone(),
            scope,
            methods: vec![method.to_owned()],
            issued_at: now,
            expires_at: Some(expires_at),
        };
        let mut batch = TypedBatch::default();
        batch.put(token, Expect::Absent);
        for token in self.expired_tokens(now) {
            batch.delete(token, Expect::Any);
        }
        self.parts
            .state
            .commit(batch)
            .await
            .map_err(|error| ServiceError::Unavailable(error.to_string()))?;
        Ok(Login {
            token: text,
            issued_at: now,
            expires_at,
            method,
            user,
            domain,
            project,
            is_domain_scoped,
        })
    }

    fn expired_tokens(&self, now: Timestamp) -> Vec<store::Key> {
        {
            let mut next = self.next_sweep.lock().unwrap_or_else(PoisonError::into_inner);
            if now < *next {
                return Vec::new();
            }
            *next = now.saturating_add(SWEEP_PERIOD).unwrap_or(Timestamp::MAX);
        }
        let all = self.parts.state.index().read().all::<Token>();
        let expired = all.into_iter().filter(|token| token.expires_at.is_some_and(|at| at <= now));
        expired.take(CLEARED_AT_ONCE).map(|token| token.entry.key.clone()).collect()
    }

    /// Somebody whom others vouch for: what they say of projects that are not here, or are switched off, does not count.
    pub fn outsider(&self, mut who: Principal) -> Principal {
        let index = self.parts.state.index().read();
        who.roles
            .retain(|id, _| index.get::<Project>("", id).is_some_and(|project| project.is_enabled));
        if let Some(domain) = index.get::<Domain>("", &who.domain) {
            who.domain_name.clone_from(&domain.name);
        }
        who
    }

    /// The projects that the caller reaches, by name.
    pub fn reachable_projects(&self, who: &Principal, name: Option<&str>) -> Vec<Arc<Project>> {
        let index = self.parts.state.index().read();
        let mut found: Vec<Arc<Project>> = who
            .roles
            .keys()
            .filter_map(|id| index.get::<Project>("", id))
            .map(|project| project.object)
            .filter(|project| project.is_enabled && name.is_none_or(|name| project.name == name))
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name).then(a.id.cmp(&b.id)));
        found
    }

    /// The domain of the caller.
    pub fn reachable_domains(&self, who: &Principal) -> Vec<Arc<Domain>> {
        self.parts
            .state
            .index()
            .read()
            .get::<Domain>("", &who.domain)
            .map(|domain| domain.object)
            .into_iter()
            .collect()
    }
}

fn find_domain(index: &Snapshot<'_>, reference: &DomainReference) -> Option<Arc<Domain>> {
    match reference {
        DomainReference::Id(id) => index.get::<Domain>("", id).map(|domain| domain.object),
        DomainReference::Name(name) => index
            .under::<Domain>(Facet::DomainByName, name)
            .into_iter()
            .next()
            .map(|domain| domain.object),
    }
}

#[cfg(test)]
mod tests;
