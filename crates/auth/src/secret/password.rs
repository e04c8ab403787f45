//! Passwords, kept as argon2id hashes in PHC form.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use clock::Entropy;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// How many hashes are computed at the same time. Each takes a core and [`MEMORY_KIB`].
const CONCURRENT: usize = 2;
/// With [`PASSES`] and one lane: the second of the parameter sets that OWASP recommends for argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// A hash of the usual cost that no password has, checked in place of that of an unknown user.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$cG9vbGtlZXBlci1ub2JvZHk$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Why a password could be neither hashed nor checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    #[error("the password cannot be hashed")]
    Unhashable,
    #[error("the stored password hash cannot be read")]
    BadHash,
    /// The server is shutting down.
    #[error("the hashing of passwords was interrupted")]
    Interrupted,
}

/// A new hash in PHC form. Blocks for tens of milliseconds: async callers use [`Passwords`].
pub fn hash_password(password: &SecretString, entropy: &dyn Entropy) -> Result<String, PasswordError> {
    let salt: [u8; 16] = clock::random(entropy);
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|_| PasswordError::Unhashable)?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = hasher.hash_password_with_salt(password.expose_secret().as_bytes(), &salt);
    hash.map(|hash: PasswordHash| hash.to_string())
        .map_err(|_| PasswordError::Unhashable)
}

/// Whether the password is the one of the hash, at the cost that the hash names. Blocks like [`hash_password`].
pub fn verify_password(password: &SecretString, phc: &str) -> Result<bool, PasswordError> {
    let hash = PasswordHash::new(phc).map_err(|_| PasswordError::BadHash)?;
    match Argon2::default().verify_password(password.expose_secret().as_bytes(), &hash) {
        Ok(()) => Ok(true),
        Err(password_hash::Error::PasswordInvalid) => Ok(false),
        Err(_) => Err(PasswordError::BadHash),
    }
}

/// Hashes and checks passwords away from the async threads, a few at a time. Cheap to clone; clones share the limit.
#[derive(Clone)]
pub struct Passwords {
    entropy: Arc<dyn Entropy>,
    permits: Arc<Semaphore>,
}

impl Passwords {
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self {
            entropy,
            permits: Arc::new(Semaphore::new(CONCURRENT)),
        }
    }

    /// A new hash in PHC form.
    pub async fn hash(&self, password: SecretString) -> Result<String, PasswordError> {
        let entropy = Arc::clone(&self.entropy);
        self.run(move || hash_password(&password, entropy.as_ref())).await
    }

    /// Whether the password is right. `None` stands for a user who is unknown or has no password: never right, but it
    /// takes as long to say so.
    pub async fn verify(&self, password: SecretString, phc: Option<String>) -> Result<bool, PasswordError> {
        self.run(move || match phc {
            Some(phc) => verify_password(&password, &phc),
            None => verify_password(&password, NOBODY).map(|_| false),
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static) -> Result<T, PasswordError> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| PasswordError::Interrupted)?;
        let job = tokio::task::spawn_blocking(move || {
            // Held by the work itself: it goes on when its caller has gone.
            let _permit = permit;
            work()
        });
        job.await.map_err(|_| PasswordError::Interrupted)?
    }
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clock::SeededEntropy;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[test]
    fn a_hash_knows_its_password_and_no_other() {
        let entropy = SeededEntropy::new(1);
        let phc = hash_password(&secret("correct horse"), &entropy).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert_eq!(verify_password(&secret("correct horse"), &phc), Ok(true));
        assert_eq!(verify_password(&secret("correct horsf"), &phc), Ok(false));
        assert_eq!(verify_password(&secret(""), &phc), Ok(false));
        assert_ne!(phc, hash_password(&secret("correct horse"), &entropy).unwrap());
    }

    #[test]
    fn hashes_of_other_tools_are_understood() {
        // Made with the reference tool: m = 256 KiB, t = 2, p = 1, salt "somesalt".
        let phc = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert_eq!(verify_password(&secret("password"), phc), Ok(true));
    }

    #[test]
    fn a_broken_hash_is_an_error_and_not_a_wrong_password() {
        for phc in [
            "",
            "x",
            "$argon2id$",
            "$scrypt$ln=1$c29tZXNhbHQ$AAAA",
            "$argon2id$v=18$m=256,t=2,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(verify_password(&secret("p"), phc), Err(PasswordError::BadHash), "{phc}");
        }
    }

    #[test]
    fn the_hash_of_nobody_costs_as_much_as_any_other() {
        let phc = hash_password(&secret("p"), &SeededEntropy::new(1)).unwrap();
        let (nobody, any) = (PasswordHash::new(NOBODY).unwrap(), PasswordHash::new(&phc).unwrap());
        assert_eq!(
            (nobody.algorithm, nobody.version, &nobody.params),
            (any.algorithm, any.version, &any.params)
        );
        assert_eq!(nobody.hash.unwrap().len(), any.hash.unwrap().len());
        assert_eq!(verify_password(&secret("p"), NOBODY), Ok(false));
    }

    #[tokio::test]
    async fn an_unknown_user_never_has_the_right_password() {
        let passwords = Passwords::new(Arc::new(SeededEntropy::new(1)));
        let phc = passwords.hash(secret("p")).await.unwrap();
        assert_eq!(passwords.verify(secret("p"), Some(phc.clone())).await, Ok(true));
        assert_eq!(passwords.verify(secret("q"), Some(phc)).await, Ok(false));
        assert_eq!(passwords.verify(secret("p"), None).await, Ok(false));
    }

    #[tokio::test]
    async fn no_more_than_two_passwords_are_hashed_at_a_time_even_if_callers_leave() {
        let passwords = Passwords::new(Arc::new(SeededEntropy::new(1)));
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        for _ in 0..CONCURRENT {
            let gate = Arc::clone(&gate);
            let held = passwords.run(move || {
                let _released = gate.lock().unwrap().recv();
                Ok(())
            });
            // Polled once, so that the work starts, and then given up.
            tokio::select! { biased; _ = held => unreachable!("the gate is shut"), () = std::future::ready(()) => {} }
        }
        assert_eq!(passwords.permits.available_permits(), 0);
        let third = passwords.run(|| Ok(3));
        tokio::pin!(third);
        tokio::select! { biased; _ = &mut third => unreachable!("both permits are taken"), () = std::future::ready(()) => {} }
        drop(release);
        assert_eq!(third.await, Ok(3));
    }
}
