//! Making tokens.

use crate::credential::TokenHash;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clock::Entropy;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

/// A new token, 256 random bits in URL-safe base64, and the hash to keep. The text goes to the caller and nowhere else.
pub fn new_token(entropy: &dyn Entropy) -> (SecretString, TokenHash) {
    let bytes = Zeroizing::new(clock::random::<32>(entropy));
    let text = BASE64_URL_SAFE_NO_PAD.encode(bytes.as_slice());
    let hash = TokenHash::of(text.as_bytes());
    (SecretString::from(text), hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clock::SeededEntropy;
    use secrecy::ExposeSecret;

    #[test]
    fn tokens_are_43_url_safe_characters_and_differ() {
        let entropy = SeededEntropy::new(1);
        let (first, hash) = new_token(&entropy);
        let (second, other) = new_token(&entropy);
        let text = first.expose_secret();
        assert_eq!(text.len(), 43);
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{text}");
        assert_ne!(text, second.expose_secret());
        assert_ne!(hash, other);
        assert_eq!(hash, TokenHash::of(text.as_bytes()));
    }
}
