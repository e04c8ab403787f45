//! An OIDC issuer: its tokens are verified with its public keys, which are fetched and kept.

use crate::claims::{self, Expected};
use crate::http::{Outside, OutsideError, checked, told};
use crate::jwt::Jwt;
use crate::keys::{Key, KeySet};
use async_trait::async_trait;
use auth::{AuthnError, RemoteAuthenticator, SourceError, TokenHash, TokenProblem};
use domain::name::{DomainId, ProjectId, UserId, WorkspaceId};
use domain::principal::{Principal, Role, Scope, WorkspaceRoles};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::Mutex;

/// Keys are asked for again after this time, and are used for longer where the issuer is away.
const REFRESH: Duration = Duration::from_hours(1);
/// Keys that could not be asked for again are not believed for longer than this.
const STALE: Duration = Duration::from_hours(24);
/// A token that names an unknown key makes them be asked for again, but not more often than this.
const AGAIN: Duration = Duration::from_secs(30);

/// What members of a group may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRole {
    pub group: String,
    pub project: ProjectId,
    /// The role counts in this workspace only, and adds to one in the project.
    pub workspace: Option<WorkspaceId>,
    pub role: Role,
}

#[derive(Debug, Clone)]
pub struct OidcSettings {
    /// As tokens say it, and where `/.well-known/openid-configuration` is.
    pub issuer: String,
    /// What tokens for this service have in `aud`.
    pub audience: String,
    /// Claim that holds the name that is shown of a user.
    pub name_claim: String,
    /// Claim that lists the groups of a user.
    pub groups_claim: String,
    /// The domain to which all of its users belong.
    pub domain: DomainId,
    pub roles: Vec<GroupRole>,
    /// How far the issuer's clock may be from this one.
    pub skew: Duration,
}

/// An issuer whose tokens are believed.
pub struct Oidc {
    settings: OidcSettings,
    outside: Outside,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    keys: KeySet,
    /// When the keys were fetched.
    fetched_at: Option<Timestamp>,
    /// When it was tried last, with whatever outcome.
    tried_at: Option<Timestamp>,
}

/// Whether something is as long ago as that; what never was, is.
fn is_past(at: Option<Timestamp>, after: Duration, now: Timestamp) -> bool {
    at.is_none_or(|at| at.saturating_add(after).unwrap_or(Timestamp::MAX) <= now)
}

impl Oidc {
    pub fn new(settings: OidcSettings, outside: Outside) -> Result<Self, OutsideError> {
        // An issuer is compared letter by letter, so a slash at its end stays.
        checked(&settings.issuer)?;
        Ok(Self {
            settings,
            outside,
            kept: Mutex::default(),
        })
    }

    /// The keys that may have signed a token. One at a time asks the issuer, the others wait for what it answers.
    async fn keys_for(&self, token: &Jwt<'_>, now: Timestamp) -> Result<Vec<Key>, OutsideError> {
        let mut kept = self.kept.lock().await;
        let is_unknown = kept.keys.fitting(token).is_empty();
        let is_due = is_past(kept.fetched_at, REFRESH, now) || is_unknown;
        if is_due && is_past(kept.tried_at, AGAIN, now) {
            kept.tried_at = Some(now);
            match self.fetch().await {
                Ok(keys) => {
                    kept.keys = keys;
                    kept.fetched_at = Some(now);
                }
                Err(error) => tracing::warn!(
                    issuer = self.settings.issuer,
                    error = told(&error),
                    "the issuer's keys cannot be fetched"
                ),
            }
        }
        if is_past(kept.fetched_at, STALE, now) {
            return Err(OutsideError::Wrong("the issuer's keys are not known"));
        }
        Ok(kept.keys.fitting(token).into_iter().cloned().collect())
    }

    async fn fetch(&self) -> Result<KeySet, OutsideError> {
        let issuer = self.settings.issuer.trim_end_matches('/');
        let about = self.outside.get(&format!("{issuer}/.well-known/openid-configuration")).await?;
        if about["issuer"].as_str() != Some(self.settings.issuer.as_str()) {
            return Err(OutsideError::Wrong("it describes another issuer"));
        }
        let url = about["jwks_uri"]
            .as_str()
            .ok_or(OutsideError::Wrong("it does not say where its keys are"))?;
        let keys = KeySet::read(&self.outside.get(&checked(url)?).await?);
        if keys.is_empty() {
            return Err(OutsideError::Wrong("it has no keys for RS256 or ES256"));
        }
        Ok(keys)
    }

    fn principal(&self, token: &Jwt<'_>, subject: &str, credential: String) -> Option<Principal> {
        let groups = claims::texts(&token.claims, &self.settings.groups_claim);
        let (mut roles, mut workspace_roles) = (BTreeMap::new(), WorkspaceRoles::new());
        for rule in self.settings.roles.iter().filter(|rule| groups.contains(&rule.group.as_str())) {
            // Of several roles in one project the strongest counts.
            let role = match &rule.workspace {
                None => roles.entry(rule.project.clone()).or_insert(rule.role),
                Some(workspace) => {
                    let bound = workspace_roles.entry(rule.project.clone()).or_default();
                    bound.entry(workspace.clone()).or_insert(rule.role)
                }
            };
            *role = (*role).max(rule.role);
        }
        let named = claims::texts(&token.claims, &self.settings.name_claim);
        Some(Principal {
            user: user_id(&self.settings.issuer, subject)?,
            user_name: (*named.first().unwrap_or(&subject)).to_owned(),
            domain: self.settings.domain.clone(),
            domain_name: String::new(),
            scope: Scope::AllProjects,
            roles,
            workspace_roles,
            credential,
        })
    }
}

/// An id that no other issuer's user has, nor one of our own.
pub(crate) fn user_id(issuer: &str, subject: &str) -> Option<UserId> {
    let hash = Sha256::new_with_prefix(issuer.as_bytes())
        .chain_update([0])
        .chain_update(subject.as_bytes());
    UserId::parse(&hex::encode(&hash.finalize()[..16])).ok()
}

#[async_trait]
impl RemoteAuthenticator for Oidc {
    async fn authenticate(&self, token: &SecretString, now: Timestamp) -> Result<Option<Principal>, AuthnError> {
        let text = token.expose_secret();
        let Some(token) = Jwt::read(text) else { return Ok(None) };
        // Before anything is verified: whose it is to judge.
        if token.claims.get("iss").and_then(Value::as_str) != Some(self.settings.issuer.as_str()) {
            return Ok(None);
        }
        let credential = TokenHash::of(text.as_bytes()).short();
        let refused = |reason: String| {
            AuthnError::TokenInvalid(TokenProblem::Foreign {
                credential: credential.clone(),
                reason,
            })
        };
        if token.algorithm.is_none() {
            return Err(refused("its algorithm is not RS256 or ES256".to_owned()));
        }
        let keys = self.keys_for(&token, now).await;
        let keys = keys.map_err(|error| AuthnError::Unavailable(SourceError::Unavailable(error.to_string())))?;
        if keys.is_empty() {
            return Err(refused("the issuer has no such key".to_owned()));
        }
        if !keys.iter().any(|key| token.is_signed_with(key)) {
            return Err(refused("its signature does not match".to_owned()));
        }
        let expected = Expected {
            issuer: &self.settings.issuer,
            audience: &self.settings.audience,
            now,
            skew: self.settings.skew,
        };
        let subject = match claims::check(&token.claims, &expected) {
            Ok(subject) => subject,
            Err(claims::Refusal::Expired) => return Err(AuthnError::TokenExpired { credential }),
            Err(refusal) => return Err(refused(refusal.to_string())),
        };
        let principal = self.principal(&token, subject, credential.clone());
        principal.map(Some).ok_or_else(|| refused("it names nobody".to_owned()))
    }
}
