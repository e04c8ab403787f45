//! From the credential of a request to its caller.

use crate::aksk::SECURITY_TOKEN;
use crate::aksk::verify::Claim;
use crate::credential::{AccessKey, TokenHash};
use crate::error::{AuthnError, SignatureProblem, TokenProblem};
use crate::request::{HeaderField, Headers, RequestView};
use crate::source::CredentialSource;
use domain::principal::{Principal, Scope};
use jiff::Timestamp;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// How far `X-Sdk-Date` may be from the clock, either way, unless configured otherwise (semantics §16).
pub const DEFAULT_SKEW: Duration = Duration::from_mins(15);

const AUTH_TOKEN: &str = "x-auth-token";
const AUTHORIZATION: &str = "authorization";

/// One way of proving who is calling.
pub trait Authenticator: Send + Sync {
    /// `Ok(None)`: the request carries no credential of this kind, another way may be tried.
    fn authenticate(&self, request: &RequestView<'_>) -> Result<Option<Principal>, AuthnError>;
}

/// Several ways, of which the first that applies decides: a wrong credential of one kind is not mended by a right one
/// of a later kind.
pub struct Chain(Vec<Box<dyn Authenticator>>);

impl Chain {
    pub fn new(ways: Vec<Box<dyn Authenticator>>) -> Self {
        Self(ways)
    }

    /// Tokens, then signatures: where a request carries both, the token wins (contract README §6).
    pub fn standard(source: Arc<dyn CredentialSource>, skew: Duration) -> Self {
        Self::new(vec![
            Box::new(TokenAuthenticator::new(Arc::clone(&source))),
            Box::new(AkSkAuthenticator::new(source, skew)),
        ])
    }

    /// The caller of a request that must have one.
    pub fn identify(&self, request: &RequestView<'_>) -> Result<Principal, AuthnError> {
        self.authenticate(request)?.ok_or(AuthnError::TokenMissing)
    }
}

impl Authenticator for Chain {
    fn authenticate(&self, request: &RequestView<'_>) -> Result<Option<Principal>, AuthnError> {
        for way in &self.0 {
            if let Some(principal) = way.authenticate(request)? {
                return Ok(Some(principal));
            }
        }
        Ok(None)
    }
}

/// `Authorization: Bearer`, which is all that some clients can send, such as Prometheus' operator.
fn bearer(headers: &dyn Headers) -> Option<&[u8]> {
    let HeaderField::One(text) = headers.find(AUTHORIZATION) else {
        return None;
    };
    let (scheme, token) = text.split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

/// `X-Auth-Token`, or else a bearer token, for the public and for the operator API.
pub struct TokenAuthenticator {
    source: Arc<dyn CredentialSource>,
}

impl TokenAuthenticator {
    pub fn new(source: Arc<dyn CredentialSource>) -> Self {
        Self { source }
    }
}

impl Authenticator for TokenAuthenticator {
    fn authenticate(&self, request: &RequestView<'_>) -> Result<Option<Principal>, AuthnError> {
        let text = match request.headers.find(AUTH_TOKEN) {
            HeaderField::Absent => b"".as_slice(),
            HeaderField::Repeated => return Err(AuthnError::TokenInvalid(TokenProblem::Repeated)),
            HeaderField::One(text) => text.trim_ascii(),
        };
        // Clients without a token may send the header all the same.
        let Some(text) = Some(text).filter(|text| !text.is_empty()).or_else(|| bearer(request.headers)) else {
            return Ok(None);
        };
        // Looking up by hash needs no constant time: the caller cannot steer the hash towards a stored one.
        let hash = TokenHash::of(text);
        let credential = hash.short();
        let Some(token) = self.source.token(&hash).map_err(AuthnError::Unavailable)? else {
            return Err(AuthnError::TokenInvalid(TokenProblem::Unknown { credential }));
        };
        check_expiry(token.expires_at, request.now, &credential)?;
        Ok(Some(token.principal))
    }
}

/// Signed requests, see [`crate::aksk`].
pub struct AkSkAuthenticator {
    source: Arc<dyn CredentialSource>,
    skew: Duration,
    /// Stands in for the secret of an unknown key, so that the answer takes as long as for a known one.
    dummy: SecretString,
}

impl AkSkAuthenticator {
    /// `skew`: how far `X-Sdk-Date` may be from the clock, either way; [`DEFAULT_SKEW`] by contract.
    pub fn new(source: Arc<dyn CredentialSource>, skew: Duration) -> Self {
        Self {
            source,
            skew,
            dummy: SecretString::from("0".repeat(40)),
        }
    }
}

impl Authenticator for AkSkAuthenticator {
    fn authenticate(&self, request: &RequestView<'_>) -> Result<Option<Principal>, AuthnError> {
        let Some(claim) = Claim::read(request, self.skew)? else {
            return Ok(None);
        };
        let key = self.source.access_key(claim.access_key()).map_err(AuthnError::Unavailable)?;
        let is_signed = claim.is_signed_with(key.as_ref().map_or(&self.dummy, |key| &key.secret));
        let access_key = claim.access_key().clone();
        let Some(key) = key else {
            return Err(AuthnError::SignatureInvalid(SignatureProblem::KeyUnknown(access_key)));
        };
        if !is_signed {
            return Err(AuthnError::SignatureInvalid(SignatureProblem::Mismatch {
                access_key,
                canonical_sha256: claim.canonical_sha256(),
            }));
        }
        // Only the holder of the secret learns from here on what is wrong with the key.
        if !key.enabled {
            return Err(AuthnError::TokenInvalid(TokenProblem::KeyDisabled(access_key)));
        }
        check_security_token(request, &claim, &key)?;
        check_expiry(key.expires_at, request.now, access_key.as_str())?;
        Ok(Some(key.principal))
    }
}

/// A temporary key needs its security token, signed or added after signing. With a permanent key the header is ignored
/// unless it was signed, and then it cannot be right (contract README §5).
fn check_security_token(request: &RequestView<'_>, claim: &Claim, key: &AccessKey) -> Result<(), AuthnError> {
    let wrong = || AuthnError::TokenInvalid(TokenProblem::SecurityTokenWrong(key.id.clone()));
    let Some(expected) = &key.security_token_hash else {
        return if claim.signs_security_token() { Err(wrong()) } else { Ok(()) };
    };
    match request.headers.find(SECURITY_TOKEN) {
        HeaderField::Absent => Err(AuthnError::TokenInvalid(TokenProblem::SecurityTokenMissing(key.id.clone()))),
        HeaderField::Repeated => Err(wrong()),
        HeaderField::One(token) => {
            let hash: [u8; 32] = Sha256::digest(token.trim_ascii()).into();
            if hash.ct_eq(expected).into() { Ok(()) } else { Err(wrong()) }
        }
    }
}

fn check_expiry(expires_at: Option<Timestamp>, now: Timestamp, credential: &str) -> Result<(), AuthnError> {
    match expires_at {
        Some(end) if end <= now => Err(AuthnError::TokenExpired {
            credential: credential.to_owned(),
        }),
        Some(_) | None => Ok(()),
    }
}

/// For calls on a project: a token for an account, or for nothing at all, is not good for them (contract README §6.1:
/// 401). Whether it is the right project is for the [`crate::Authorizer`] to say.
pub fn require_project_scope(who: &Principal) -> Result<(), AuthnError> {
    match &who.scope {
        Scope::AllProjects | Scope::Project(_) => Ok(()),
        Scope::Domain | Scope::None => Err(AuthnError::TokenInvalid(TokenProblem::NotForProjects {
            credential: who.credential.clone(),
        })),
    }
}

#[cfg(test)]
mod tests;
