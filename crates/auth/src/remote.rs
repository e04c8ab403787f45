//! Ways of proving who is calling that ask somebody else, and so may have to wait.

use crate::error::AuthnError;
use async_trait::async_trait;
use domain::principal::Principal;
use jiff::Timestamp;
use secrecy::SecretString;

/// Somebody else who knows tokens.
#[async_trait]
pub trait RemoteAuthenticator: Send + Sync {
    /// The holder of a token. `Ok(None)`: the token is none that this way could know, another may be tried. The roles of the
    /// principal may name projects that there are not.
    async fn authenticate(&self, token: &SecretString, now: Timestamp) -> Result<Option<Principal>, AuthnError>;
}

/// Asks one after the other until somebody knows the token.
pub async fn ask_all(ways: &[Box<dyn RemoteAuthenticator>], token: &SecretString, now: Timestamp) -> Result<Option<Principal>, AuthnError> {
    for way in ways {
        if let Some(principal) = way.authenticate(token, now).await? {
            return Ok(Some(principal));
        }
    }
    Ok(None)
}
