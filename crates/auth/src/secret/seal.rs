//! Secret keys at rest: encrypted, because checking a signature needs the plain secret.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use clock::Entropy;
use domain::name::AccessKeyId;
use secrecy::zeroize::{Zeroize, Zeroizing};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

const VERSION: &str = "v1";
const NONCE_LENGTH: usize = 12;
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Why something could not be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("a sealing key is not 32 bytes in base64")]
    BadKey,
    #[error("there is no sealing key")]
    NoKey,
    /// Two keys of one id: almost certainly the same key twice.
    #[error("sealing key {0} is there twice")]
    SameKey(String),
    /// The key that sealed this text is not in the ring.
    #[error("sealing key {0:?} is missing")]
    UnknownKey(String),
    #[error("not a sealed text")]
    Malformed,
    /// Altered, or sealed for another access key.
    #[error("the sealed text is not genuine")]
    NotGenuine,
    #[error("the secret is too long to be sealed")]
    TooLong,
}

/// 32 bytes that seal secrets. Its id is derived from the bytes, so a key cannot be filed under a wrong id.
pub struct SealingKey {
    id: String,
    material: SecretBox<[u8; 32]>,
}

impl SealingKey {
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self::of(SecretBox::init_with_mut(|bytes: &mut [u8; 32]| entropy.fill(bytes)))
    }

    /// From 32 bytes in base64, of either alphabet, with or without padding; white space around it does not count.
    pub fn parse(text: &SecretString) -> Result<Self, SealError> {
        let text = text.expose_secret().trim();
        let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
        let decoded = GeneralPurpose::new(alphabet, LENIENT).decode(text).map_err(|_| SealError::BadKey)?;
        let decoded = Zeroizing::new(decoded);
        if decoded.len() != 32 {
            return Err(SealError::BadKey);
        }
        Ok(Self::of(SecretBox::init_with_mut(|bytes: &mut [u8; 32]| {
            bytes.copy_from_slice(&decoded);
        })))
    }

    fn of(material: SecretBox<[u8; 32]>) -> Self {
        let hash = Sha256::new_with_prefix(b"poolkeeper sealing key id\n").chain_update(material.expose_secret());
        let id = hex::encode(&hash.finalize()[..4]);
        Self { id, material }
    }

    /// The form that [`SealingKey::parse`] reads, for a key file.
    pub fn to_text(&self) -> SecretString {
        SecretString::from(BASE64_URL_SAFE_NO_PAD.encode(self.material.expose_secret()))
    }

    /// 8 hexadecimal digits that stand in front of everything sealed with this key. Not secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        let mut key = Key::from(*self.material.expose_secret());
        let cipher = ChaCha20Poly1305::new(&key);
        key.as_mut_slice().zeroize();
        cipher
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id)
    }
}

/// Keys in the order of preference: the first seals, all open. A key is retired by putting a new one before it,
/// sealing everything anew (see [`Sealer::is_outdated`]), and then taking the old one out.
#[derive(Debug)]
pub struct KeyRing {
    first: SealingKey,
    older: Vec<SealingKey>,
}

impl KeyRing {
    pub fn new(keys: Vec<SealingKey>) -> Result<Self, SealError> {
        for (index, key) in keys.iter().enumerate() {
            if keys[..index].iter().any(|earlier| earlier.id == key.id) {
                return Err(SealError::SameKey(key.id.clone()));
            }
        }
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or(SealError::NoKey)?;
        Ok(Self {
            first,
            older: keys.collect(),
        })
    }

    /// The id of the key that seals.
    pub fn first_id(&self) -> &str {
        &self.first.id
    }

    fn find(&self, id: &str) -> Option<&SealingKey> {
        std::iter::once(&self.first).chain(&self.older).find(|key| key.id == id)
    }
}

/// Seals and opens secret keys with ChaCha20-Poly1305. A sealed text is `v1.<key id>.<nonce and ciphertext in base64>`
/// and is bound to its access key: put under another one it does not open.
pub struct Sealer {
    ring: KeyRing,
    entropy: Arc<dyn Entropy>,
}

impl Sealer {
    /// `entropy` gives the nonces, 96 random bits each, which suffices for billions of texts per key.
    pub fn new(ring: KeyRing, entropy: Arc<dyn Entropy>) -> Self {
        Self { ring, entropy }
    }

    pub fn seal(&self, access_key: &AccessKeyId, secret: &SecretString) -> Result<String, SealError> {
        let key = &self.ring.first;
        let nonce: [u8; NONCE_LENGTH] = clock::random(self.entropy.as_ref());
        let payload = Payload {
            msg: secret.expose_secret().as_bytes(),
            aad: access_key.as_str().as_bytes(),
        };
        let ciphertext = key.cipher().encrypt(&Nonce::from(nonce), payload).map_err(|_| SealError::TooLong)?;
        let sealed = BASE64_URL_SAFE_NO_PAD.encode([&nonce, ciphertext.as_slice()].concat());
        Ok(format!("{VERSION}.{}.{sealed}", key.id))
    }

    /// The secret that was sealed for this access key.
    pub fn open(&self, access_key: &AccessKeyId, sealed: &str) -> Result<SecretString, SealError> {
        let (key_id, body) = split(sealed)?;
        let key = self
            .ring
            .find(key_id)
            .ok_or_else(|| SealError::UnknownKey(key_id.chars().take(16).collect()))?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(body).map_err(|_| SealError::Malformed)?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_LENGTH>().ok_or(SealError::Malformed)?;
        let payload = Payload {
            msg: ciphertext,
            aad: access_key.as_str().as_bytes(),
        };
        let plain = key
            .cipher()
            .decrypt(&Nonce::from(*nonce), payload)
            .map_err(|_| SealError::NotGenuine)?;
        let plain = Zeroizing::new(plain);
        let text = str::from_utf8(&plain).map_err(|_| SealError::Malformed)?;
        Ok(SecretString::from(text))
    }

    /// Whether a sealed text should be sealed anew because its key is not the first one any more.
    pub fn is_outdated(&self, sealed: &str) -> bool {
        split(sealed).map_or(true, |(key_id, _)| key_id != self.ring.first.id)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("ring", &self.ring).finish_non_exhaustive()
    }
}

/// Key id and body of a sealed text.
fn split(sealed: &str) -> Result<(&str, &str), SealError> {
    let (version, rest) = sealed.split_once('.').ok_or(SealError::Malformed)?;
    if version != VERSION {
        return Err(SealError::Malformed);
    }
    rest.split_once('.').ok_or(SealError::Malformed)
}

#[cfg(test)]
mod tests;
