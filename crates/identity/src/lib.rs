//! Who is calling, by the word of somebody else: an OIDC issuer that signs tokens, or a Keystone service that is asked about
//! them.
//!
//! Owns the checks of such tokens, what is remembered of them, and the mapping of what they say to users and roles. Must not
//! know the store, or the API.

mod claims;
mod http;
mod jwt;
mod keys;
pub mod keystone;
pub mod oidc;

pub use http::{Outside, OutsideError};
pub use keystone::{Keystone, KeystoneSettings};
pub use oidc::{GroupRole, Oidc, OidcSettings};
