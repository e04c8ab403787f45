//! Signed requests: `SDK-HMAC-SHA256` and its derived form `V11-HMAC-SHA256` (contract README §6.2, clients §1).

pub mod canonical;
pub mod sign;
pub mod verify;

use domain::name::AccessKeyId;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

pub(crate) const SDK_DATE: &str = "x-sdk-date";
pub(crate) const CONTENT_SHA256: &str = "x-sdk-content-sha256";
pub(crate) const SECURITY_TOKEN: &str = "x-security-token";
pub(crate) const AUTHORIZATION: &str = "authorization";
pub(crate) const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// How the key of a signature comes about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// The secret itself is the key.
    SdkHmacSha256,
    /// The key is derived from the secret for `info`: `YYYYMMDD/<region>/<service>`.
    V11HmacSha256 { info: String },
}

impl Scheme {
    pub(crate) const SDK_NAME: &str = "SDK-HMAC-SHA256";
    pub(crate) const V11_NAME: &str = "V11-HMAC-SHA256";

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::SdkHmacSha256 => Self::SDK_NAME,
            Self::V11HmacSha256 { .. } => Self::V11_NAME,
        }
    }

    /// The signature over a canonical request of which `canonical_sha256` is the hash.
    pub(crate) fn signature(&self, access_key: &AccessKeyId, secret: &SecretString, date: &str, canonical_sha256: &[u8; 32]) -> [u8; 32] {
        let (name, hash) = (self.name(), hex::encode(canonical_sha256));
        let secret = secret.expose_secret().as_bytes();
        match self {
            Self::SdkHmacSha256 => hmac_sha256(secret, format!("{name}\n{date}\n{hash}").as_bytes()),
            Self::V11HmacSha256 { info } => {
                let key = derived_key(access_key, secret, info);
                hmac_sha256(key.as_bytes(), format!("{name}\n{date}\n{info}\n{hash}").as_bytes())
            }
        }
    }
}

/// HKDF-SHA256 (RFC 5869) of the secret, salted with the key's id, for `info`; as long as one hash, so its expansion
/// is a single round. Clients use the hexadecimal *text* as the key.
fn derived_key(access_key: &AccessKeyId, secret: &[u8], info: &str) -> Zeroizing<String> {
    let extracted = Zeroizing::new(hmac_sha256(access_key.as_str().as_bytes(), secret));
    let expanded = Zeroizing::new(hmac_sha256(extracted.as_slice(), &[info.as_bytes(), &[1]].concat()));
    Zeroizing::new(hex::encode(expanded.as_slice()))
}

#[expect(clippy::expect_used, reason = "an HMAC takes keys of every length")]
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod vectors;
