//! What is known about a credential once it has been found.

use domain::name::AccessKeyId;
use domain::principal::Principal;
use jiff::Timestamp;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use std::fmt;

/// An access key with everything that its check needs.
#[derive(Debug, Clone)]
pub struct AccessKey {
    pub id: AccessKeyId,
    /// The secret half ("SK"), in plain.
    pub secret: SecretString,
    pub principal: Principal,
    /// Whether key and user are switched on.
    pub enabled: bool,
    /// SHA-256 of the security token that must accompany a temporary key. `None`: a permanent key.
    pub security_token_hash: Option<[u8; 32]>,
    /// The first instant at which the key is of no use any more. `None`: no end.
    pub expires_at: Option<Timestamp>,
}

/// A token that was handed out and has not been revoked.
#[derive(Debug, Clone)]
pub struct StoredToken {
    pub principal: Principal,
    /// The first instant at which the token is of no use any more. `None`: no end.
    pub expires_at: Option<Timestamp>,
}

/// SHA-256 of a token's text, under which it is stored: the text itself is kept nowhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// From the hexadecimal form of the store; `None` if it is not 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 8 digits: names the token in logs and limits, and is of no use for finding it.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

/// 64 lower-case hexadecimal digits.
impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 64];
        // It has room for exactly this.
        let _fits = hex::encode_to_slice(self.0, &mut text);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({}…)", self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_hash_survives_its_stored_form() {
        let hash = TokenHash::of(b"abc");
        assert_eq!(hash.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(TokenHash::parse(&hash.to_string()), Some(hash));
        for bad in ["", "ba78", "zz", &"g".repeat(64), &"a".repeat(66)] {
            assert_eq!(TokenHash::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn debug_shows_only_the_beginning_of_a_token_hash() {
        assert_eq!(format!("{:?}", TokenHash::of(b"abc")), "TokenHash(ba7816bf…)");
    }
}
