//! How secrets are made and kept: secret keys sealed, passwords and tokens as hashes only.

mod password;
mod seal;
mod token;

pub use password::{PasswordError, Passwords, hash_password, verify_password};
pub use seal::{KeyRing, SealError, Sealer, SealingKey};
pub use token::new_token;
