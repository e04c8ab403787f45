//! Who is calling, and may they.
//!
//! Owns the check of signatures and tokens, the signing of requests, the keeping of secrets (sealed keys, password
//! hashes, new tokens) and the table of actions by role. Asks a [`CredentialSource`] for what is known about a
//! credential. Must not know about HTTP libraries, storage, the objects behind the API, or the rights inside a workspace.

pub mod aksk;
pub mod authenticator;
pub mod authorizer;
pub mod credential;
pub mod error;
pub mod remote;
pub mod request;
pub mod secret;
pub mod source;

pub use aksk::sign::{Payload, PlainRequest, Signer};
pub use aksk::verify::Claim;
pub use authenticator::{AkSkAuthenticator, Authenticator, Chain, DEFAULT_SKEW, TokenAuthenticator, require_project_scope};
pub use authorizer::{Action, Authorizer, Decision, RolePolicy, Verb};
pub use credential::{AccessKey, StoredToken, TokenHash};
pub use error::{AuthnError, SignatureProblem, TimeProblem, TokenProblem};
pub use remote::{RemoteAuthenticator, ask_all};
pub use request::{BodyDigest, HeaderField, Headers, RequestView};
pub use secret::{KeyRing, PasswordError, Passwords, SealError, Sealer, SealingKey, hash_password, new_token, verify_password};
pub use source::{CredentialSource, MemoryCredentials, SourceError};

#[cfg(test)]
mod tests;
