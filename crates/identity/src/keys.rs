//! Public keys of an issuer (RFC 7517).

use crate::jwt::{Algorithm, Jwt, decode};
use serde_json::Value;

/// Keys of a set that are read. No issuer has so many.
const MOST: usize = 100;

/// A key that a token can be signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// Modulus and exponent, big-endian.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// An uncompressed point.
    P256 { point: Vec<u8> },
}

/// The keys of an issuer that are of use here.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeySet(Vec<(Option<String>, Key)>);

impl KeySet {
    /// Leaves out what is not understood: keys of other kinds, and those for encryption.
    pub fn read(document: &Value) -> Self {
        let keys = document["keys"].as_array().into_iter().flatten().take(MOST);
        Self(keys.filter_map(read).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys that a token may be signed with: the one that it names, or, where it names none, all.
    pub fn fitting(&self, token: &Jwt<'_>) -> Vec<&Key> {
        let fits = |id: &Option<String>| token.key_id.is_none() || token.key_id == *id;
        self.0.iter().filter(|(id, _)| fits(id)).map(|(_, key)| key).collect()
    }
}

fn read(key: &Value) -> Option<(Option<String>, Key)> {
    let text = |name: &str| key[name].as_str();
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let part = |name: &str| decode(text(name)?);
    let (found, algorithm) = match text("kty")? {
        "RSA" => (
            Key::Rsa {
                n: part("n")?,
                e: part("e")?,
            },
            Algorithm::Rs256,
        ),
        "EC" if text("crv")? == "P-256" => {
            let (x, y) = (part("x")?, part("y")?);
            if x.len() != 32 || y.len() != 32 {
                return None;
            }
            (
                Key::P256 {
                    point: [&[4], x.as_slice(), &y].concat(),
                },
                Algorithm::Es256,
            )
        }
        _ => return None,
    };
    // A key that is meant for another algorithm is not used for this one.
    if text("alg").is_some_and(|name| Algorithm::parse(name) != Some(algorithm)) {
        return None;
    }
    Some((text("kid").map(ToOwned::to_owned), found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_keys_for_these_signatures_are_taken() {
        let point = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let set = KeySet::read(&json!({"keys": [
            {"kty": "RSA", "n": "AQ", "e": "AQAB", "use": "enc"},
            {"kty": "RSA", "n": "AQ", "e": "AQAB", "alg": "RS512"},
            {"kty": "RSA", "n": "AQ"},
            {"kty": "EC", "crv": "P-384", "x": point, "y": point},
            {"kty": "EC", "crv": "P-256", "x": "AQ", "y": point},
            {"kty": "oct", "k": "AQ"},
            {"kty": "EC", "crv": "P-256", "x": point, "y": point, "kid": "e", "use": "sig", "alg": "ES256"},
            7,
        ]}));
        assert_eq!(set.0.len(), 1);
        assert_eq!(set.0[0].0.as_deref(), Some("e"));
        assert!(KeySet::read(&json!([])).is_empty());
    }
}
