//! JSON web tokens in their compact form (RFC 7515, RFC 7519): read, and verified with ring. Nothing here asks anybody or
//! reads a clock.

use crate::keys::Key;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::{Map, Value};

/// A longer text is no token.
const LONGEST: usize = 16 * 1024;

/// Algorithms that are understood. There is no `none`, and nothing with a shared secret: a public key must never be taken
/// for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Es256,
}

impl Algorithm {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// A token that has been read. What it says is not to be believed before [`Jwt::is_signed_with`].
pub(crate) struct Jwt<'a> {
    /// `None`: none that is understood.
    pub algorithm: Option<Algorithm>,
    pub key_id: Option<String>,
    pub claims: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jwt<'a> {
    /// `None`: not a token of this form.
    pub fn read(text: &'a str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        if claims.contains('.') {
            return None;
        }
        let header = object(header)?;
        // Whoever marks an extension as critical wants it understood, and none is.
        let algorithm = match header.get("crit") {
            None => header.get("alg").and_then(Value::as_str).and_then(Algorithm::parse),
            Some(_) => None,
        };
        Some(Self {
            algorithm,
            key_id: header.get("kid").and_then(Value::as_str).map(ToOwned::to_owned),
            claims: object(claims)?,
            signed,
            signature: decode(signature)?,
        })
    }

    /// The key decides with which algorithm it is used; the token must have named the same.
    pub fn is_signed_with(&self, key: &Key) -> bool {
        let message = self.signed.as_bytes();
        match (self.algorithm, key) {
            (Some(Algorithm::Rs256), Key::Rsa { n, e }) => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, &self.signature).is_ok()
            }
            (Some(Algorithm::Es256), Key::P256 { point }) => {
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
                key.verify(message, &self.signature).is_ok()
            }
            (Some(Algorithm::Rs256), Key::P256 { .. }) | (Some(Algorithm::Es256), Key::Rsa { .. }) | (None, _) => false,
        }
    }
}

pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&decode(part)?).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::keys::KeySet;
    use serde_json::json;

    /// A key that was made for this test, and a token that it signed with openssl.
    const MODULUS: &str = "kTycfKsMdaEpDP5fb3RD0z2_TGc3usNJTsE3PtLSaDCLV4-cjfW1vN6K3dv-grKyss7M6V0liTNYHrGoEE9PvVCFEcyxnl9aUsaeQHUrAitjjoPFkhngn7naa8MQZRcMooebR6mBHVPcDqNJNV2aRGtJWVsulz0eYwRoxPGhPoH5ut8FNTihQfFHvFLZb3ME9a0LcMFCmSAv96rUNDNf3do7weH7WBDEsnphb4-f4v8qEjx268Dw_xqrmDfxAjGq5KvzJW8BcoVChcmMO8ogBLQ4RrJaKb7XADkm0rth5Ir0b6ODYXFdkIgwmA9ArzPRcQombF6KiKFrpi6mFpQ5vQ";
    const TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoic29tZWJvZHkiLCJhdWQiOlsib3RoZXIiLCJwb29sa2VlcGVyIl0sImlhdCI6MTcwMDAwMDAwMCwibmJmIjoxNzAwMDAwMDAwLCJleHAiOjE3MDAwMDM2MDB9.NaXABQaKjIXOQvAJZQaeUelZ8FDOtrtjcc8NDqcNYMpLin6RIgVdwu86n5UvhrxcQ5YCcpxPhI7W1ROBQAMOyipPNVerVYFS3h8N3GhwBMIylEQfF3nRF-2A-yCpQflUtK8b2T2OQshSJvlsr2eoUMWrboUJjCNVRWc5SebHNaiCb8udpWee9fOskj9ceXrpJkYKg6pN1IouvnGx3GN-skDtqy9dA0qXqCKfrZwO8TA87HrSdlvs_7TZgmcaOURWkmjIQSwzjzeZsUN-sn3L9w1V_Y5rYs-jd0oEFEAaUAIVnrO8nX9IADWPluA6v01eXm7j-ECQJhSMzZvTN4cz7Q";

    fn rsa() -> Key {
        let set = KeySet::read(&json!({"keys": [{"kty": "RSA", "kid": "r1", "n": MODULUS, "e": "AQAB"}]}));
        set.fitting(&Jwt::read(TOKEN).unwrap())[0].clone()
    }

    pub(crate) fn encode(value: &Value) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
    }

    /// The token with another header.
    fn with_header(header: &Value) -> String {
        let (_, rest) = TOKEN.split_once('.').unwrap();
        format!("{}.{rest}", encode(header))
    }

    #[test]
    fn a_signature_is_good_for_exactly_what_was_signed() {
        assert!(Jwt::read(TOKEN).unwrap().is_signed_with(&rsa()));
        assert_eq!(Jwt::read(TOKEN).unwrap().claims["sub"], "somebody");
        let parts: Vec<&str> = TOKEN.split('.').collect();
        let other = format!("{}.{}.{}", parts[0], encode(&json!({"sub": "admin"})), parts[2]);
        assert!(!Jwt::read(&other).unwrap().is_signed_with(&rsa()));
        let unsigned = format!("{}.{}.", parts[0], parts[1]);
        assert!(!Jwt::read(&unsigned).unwrap().is_signed_with(&rsa()));
    }

    #[test]
    fn no_other_algorithm_is_understood_whatever_the_token_says() {
        for name in ["none", "None", "HS256", "RS384", "PS256", "ES256", "EdDSA", ""] {
            let text = with_header(&json!({"alg": name, "kid": "r1"}));
            assert!(!Jwt::read(&text).unwrap().is_signed_with(&rsa()), "{name}");
        }
        let critical = with_header(&json!({"alg": "RS256", "crit": ["b64"], "b64": false}));
        assert_eq!(Jwt::read(&critical).unwrap().algorithm, None);
        // A public key of the other kind is no key either.
        let point = Key::P256 { point: vec![4; 65] };
        assert!(!Jwt::read(TOKEN).unwrap().is_signed_with(&point));
    }

    #[test]
    fn other_texts_are_no_tokens() {
        let huge = format!("{TOKEN}{}", "A".repeat(LONGEST));
        for text in [
            "",
            ".",
            "..",
            "a.b.c",
            "the-admin-token",
            &format!("{TOKEN}.x"),
            &format!("x{TOKEN}"),
            &huge,
        ] {
            assert!(Jwt::read(text).is_none(), "{text}");
        }
    }
}
