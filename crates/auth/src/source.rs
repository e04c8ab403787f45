//! Where credentials are looked up.

use crate::credential::{AccessKey, StoredToken, TokenHash};
use domain::name::AccessKeyId;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// The known credentials. Asked on every request, so an implementation answers from memory: the methods are not async
/// and must neither wait nor do I/O.
pub trait CredentialSource: Send + Sync {
    /// The key of that id, switched on or not. `Ok(None)` only if there is certainly none.
    fn access_key(&self, id: &AccessKeyId) -> Result<Option<AccessKey>, SourceError>;

    /// The token of that hash, expired or not. Revoked tokens and those of switched-off users are not there.
    fn token(&self, hash: &TokenHash) -> Result<Option<StoredToken>, SourceError>;
}

/// Why a credential could neither be found nor be called unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// What the source reads from is not ready yet, or not any more.
    #[error("credentials are unavailable: {0}")]
    Unavailable(String),
    /// The stored form of a credential cannot be read, for instance because it was sealed with a key that is gone.
    #[error("a stored credential cannot be read: {0}")]
    Unreadable(String),
}

/// Credentials in memory, for tests and tools.
#[derive(Debug, Default)]
pub struct MemoryCredentials {
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    access_keys: BTreeMap<AccessKeyId, AccessKey>,
    tokens: BTreeMap<TokenHash, StoredToken>,
    is_unavailable: bool,
}

impl MemoryCredentials {
    /// Adds a key, or replaces the one of the same id.
    pub fn put_access_key(&self, key: AccessKey) {
        self.change(|known| known.access_keys.insert(key.id.clone(), key));
    }

    pub fn remove_access_key(&self, id: &AccessKeyId) {
        self.change(|known| known.access_keys.remove(id));
    }

    /// Adds a token, or replaces the one of the same hash.
    pub fn put_token(&self, hash: TokenHash, token: StoredToken) {
        self.change(|known| known.tokens.insert(hash, token));
    }

    pub fn remove_token(&self, hash: &TokenHash) {
        self.change(|known| known.tokens.remove(hash));
    }

    /// Makes every lookup fail, or lets them work again.
    pub fn set_unavailable(&self, is_unavailable: bool) {
        self.change(|known| known.is_unavailable = is_unavailable);
    }

    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn read<T>(&self, read: impl FnOnce(&Known) -> T) -> Result<T, SourceError> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.is_unavailable {
            return Err(SourceError::Unavailable("switched off".to_owned()));
        }
        Ok(read(&known))
    }
}

impl CredentialSource for MemoryCredentials {
    fn access_key(&self, id: &AccessKeyId) -> Result<Option<AccessKey>, SourceError> {
        self.read(|known| known.access_keys.get(id).cloned())
    }

    fn token(&self, hash: &TokenHash) -> Result<Option<StoredToken>, SourceError> {
        self.read(|known| known.tokens.get(hash).cloned())
    }
}
