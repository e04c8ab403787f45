//! The key that seals secrets: a file that only its owner may read.

use anyhow::{Context, Result, bail};
use auth::{KeyRing, SealingKey};
use clock::Entropy;
use secrecy::{ExposeSecret, SecretString};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Reads the keys of the file, one a line, newest first; makes the file at the first start.
pub fn load(path: &Path, entropy: &dyn Entropy) -> Result<KeyRing> {
    if !path.exists() {
        let key = SealingKey::generate(entropy);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "{}", key.to_text().expose_secret())?;
        file.sync_all()?;
    }
    let mode = std::fs::metadata(path)?.permissions();
    if mode.mode() & 0o077 != 0 {
        bail!("{} may be read by others: its mode must be 0600", path.display());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let keys = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| SealingKey::parse(&SecretString::from(line.trim().to_owned())));
    let keys = keys
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("{} holds no sealing key", path.display()))?;
    Ok(KeyRing::new(keys)?)
}
