//! Access keys: permanent ones, and temporary ones with a security token.

use super::users::without_key;
use super::{check_description, decided, renew};
use crate::Outcome;
use crate::context::{CallContext, Service, check_match};
use crate::error::ServiceError;
use auth::{Sealer, new_token};
use clock::Entropy;
use domain::field::{FieldErrors, FieldPath};
use domain::iam::{AccessKey, User};
use domain::name::{AccessKeyId, UserId};
use domain::principal::Principal;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use store::index::{Facet, Versioned};
use store::{CommitError, Expect, State, TypedBatch};

/// How long a temporary key may live.
const LIFETIME: std::ops::RangeInclusive<Duration> = Duration::from_mins(15)..=Duration::from_hours(24);
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// An access key without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    pub id: AccessKeyId,
    pub user: UserId,
    /// Of no use without its security token.
    pub is_temporary: bool,
    pub expires_at: Option<Timestamp>,
    pub is_enabled: bool,
    pub description: String,
    pub created_at: Timestamp,
}

impl From<&AccessKey> for KeyInfo {
    fn from(key: &AccessKey) -> Self {
        Self {
            id: key.id.clone(),
            user: key.user.clone(),
            is_temporary: key.security_token_hash.is_some(),
            expires_at: key.expires_at,
            is_enabled: key.is_enabled,
            description: key.description.clone(),
            created_at: key.created_at,
        }
    }
}

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRequest {
    pub description: String,
    /// 15 minutes to 24 hours: a temporary key with a security token. Absent: a permanent one.
    pub lifetime: Option<Duration>,
}

/// What can be changed of a key; absent members stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyChange {
    pub description: Option<String>,
    pub is_enabled: Option<bool>,
}

/// A key that was just made. Its secrets are shown this once.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub key: Outcome<KeyInfo>,
    pub secret: SecretString,
    /// Of a temporary key.
    pub security_token: Option<SecretString>,
}

/// The two halves of a new access key: 20 and 40 characters of `A-Z2-7`, so 100 and 200 random bits.
pub fn random_pair(entropy: &dyn Entropy) -> (String, SecretString) {
    let letters = |bytes: &[u8]| -> String { bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect() };
    let id: [u8; 20] = clock::random(entropy);
    let secret: [u8; 40] = clock::random(entropy);
    (letters(&id), SecretString::from(letters(&secret)))
}

/// Seals with the first key of the ring what is still sealed with an older one. Gives how many there were, and how many
/// could not be opened and stay as they are.
pub async fn reseal(state: &State, sealer: &Sealer) -> Result<(usize, usize), CommitError> {
    const TOGETHER: usize = 500;
    let (mut sealed, mut skipped) = (0, BTreeSet::new());
    loop {
        let all = state.index().read().all::<AccessKey>();
        let outdated = all
            .into_iter()
            .filter(|key| sealer.is_outdated(&key.sealed_secret) && !skipped.contains(&key.id));
        let (mut batch, mut count) = (TypedBatch::default(), 0);
        for key in outdated.take(TOGETHER).collect::<Vec<_>>() {
            let anew = sealer
                .open(&key.id, &key.sealed_secret)
                .and_then(|secret| sealer.seal(&key.id, &secret));
            match anew {
                Ok(sealed_secret) => {
                    let anew = AccessKey {
                        sealed_secret,
                        ..AccessKey::clone(&key)
                    };
                    batch.put(anew, Expect::At(key.revision()));
                    count += 1;
                }
                Err(_) => drop(skipped.insert(key.id.clone())),
            }
        }
        if batch.is_empty() {
            return Ok((sealed, skipped.len()));
        }
        match state.commit(batch).await {
            Ok(_) => sealed += count,
            // Somebody else was faster with one of them: what is left is looked for again.
            Err(CommitError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
}

impl Service {
    /// Makes a key, and clears the user's expired ones away. An `Idempotency-Key` plays no part: the secret is kept
    /// nowhere, so it cannot be answered a second time.
    pub async fn create_access_key(
        &self,
        ctx: &CallContext,
        user: &UserId,
        decode: impl FnOnce() -> Result<KeyRequest, FieldErrors>,
    ) -> Result<NewKey, ServiceError> {
        self.authorize_operator(&ctx.principal)?;
        self.user(user)?;
        let wanted = decode()?;
        let mut errors = FieldErrors::new();
        check_description(&mut errors, &wanted.description);
        if wanted.lifetime.is_some_and(|lifetime| !LIFETIME.contains(&lifetime)) {
            errors.invalid(FieldPath::of("lifetime"), "must be 15 minutes to 24 hours");
        }
        errors.into_result()?;
        let internal = |error: &dyn std::error::Error| ServiceError::Internal(error.to_string());
        let (id, secret) = random_pair(self.entropy());
        let id = AccessKeyId::parse(&id).map_err(|error| internal(&error))?;
        let sealed_secret = self.parts.sealer.seal(&id, &secret).map_err(|error| internal(&error))?;
        let token = wanted.lifetime.map(|_| new_token(self.entropy()));
        let key = self
            .administer(&without_key(ctx), || {
                let user = self.user(user)?;
                let now = self.now();
                let key = AccessKey {
                    id: id.clone(),
                    user: user.id.clone(),
                    sealed_secret: sealed_secret.clone(),
                    security_token_hash: token.as_ref().map(|(_, hash)| hash.to_string()),
                    expires_at: wanted
                        .lifetime
                        .map(|lifetime| now.saturating_add(lifetime).unwrap_or(Timestamp::MAX)),
                    is_enabled: true,
                    description: wanted.description.clone(),
                    created_at: now,
                };
                let mut batch = TypedBatch::default();
                renew(&mut batch, &user);
                let index = self.parts.state.index().read();
                for old in index.under::<AccessKey>(Facet::KeysOfUser, &user.id) {
                    if old.expires_at.is_some_and(|end| end <= now) {
                        batch.delete(old.entry.key.clone(), Expect::Any);
                    }
                }
                let info = KeyInfo::from(&key);
                batch.put(key, Expect::Absent);
                Ok(decided(batch, info))
            })
            .await?;
        Ok(NewKey {
            key,
            secret,
            security_token: token.map(|(text, _)| text),
        })
    }

    /// The keys of one user, who has to exist, or of all, by user and id.
    pub fn list_access_keys(&self, who: &Principal, user: Option<&UserId>) -> Result<Vec<Arc<KeyInfo>>, ServiceError> {
        self.authorize_operator(who)?;
        let index = self.parts.state.index().read();
        let found = match user {
            Some(user) if index.get::<User>("", user).is_none() => return Err(ServiceError::named("User", user)),
            Some(user) => index.under::<AccessKey>(Facet::KeysOfUser, user),
            None => index.all::<AccessKey>(),
        };
        let mut keys: Vec<_> = found.iter().map(|key| Arc::new(KeyInfo::from(key.object.as_ref()))).collect();
        keys.sort_by(|a, b| (&a.user, &a.id).cmp(&(&b.user, &b.id)));
        Ok(keys)
    }

    pub fn show_access_key(&self, who: &Principal, id: &AccessKeyId) -> Result<Outcome<KeyInfo>, ServiceError> {
        self.authorize_operator(who)?;
        let found = self.access_key(id)?;
        Ok(Outcome {
            object: Arc::new(KeyInfo::from(found.object.as_ref())),
            revision: Some(found.revision()),
        })
    }

    pub async fn update_access_key(
        &self,
        ctx: &CallContext,
        id: &AccessKeyId,
        decode: impl Fn() -> Result<KeyChange, FieldErrors>,
    ) -> Result<Outcome<KeyInfo>, ServiceError> {
        self.administer(ctx, || {
            let found = self.access_key(id)?;
            check_match(ctx, found.revision())?;
            let change = decode()?;
            let mut next = AccessKey::clone(&found);
            next.description = change.description.unwrap_or(next.description);
            next.is_enabled = change.is_enabled.unwrap_or(next.is_enabled);
            let mut errors = FieldErrors::new();
            check_description(&mut errors, &next.description);
            errors.into_result()?;
            let info = KeyInfo::from(&next);
            let mut batch = TypedBatch::default();
            batch.put(next, Expect::At(found.revision()));
            Ok(decided(batch, info))
        })
        .await
    }

    pub async fn delete_access_key(&self, ctx: &CallContext, id: &AccessKeyId) -> Result<Outcome<KeyInfo>, ServiceError> {
        self.administer(ctx, || {
            let found = self.access_key(id)?;
            check_match(ctx, found.revision())?;
            let mut batch = TypedBatch::default();
            batch.delete(found.entry.key.clone(), Expect::At(found.revision()));
            Ok(decided(batch, KeyInfo::from(found.object.as_ref())))
        })
        .await
    }

    fn access_key(&self, id: &AccessKeyId) -> Result<Versioned<AccessKey>, ServiceError> {
        let found = self.parts.state.index().read().get::<AccessKey>("", id);
        found.ok_or_else(|| ServiceError::named("AccessKey", id))
    }
}
