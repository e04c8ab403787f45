//! The key that seals secret keys: a file that only its owner may read.

use anyhow::{Context, Result, bail};
use auth::{KeyRing, SealingKey};
use clock::Entropy;
use secrecy::{ExposeSecret, SecretString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Reads the keys of the file, one a line, newest first. Makes the file where it is missing, unless there are secrets
/// that were sealed with what it held.
pub fn load(path: &Path, entropy: &dyn Entropy, has_sealed_secrets: bool) -> Result<KeyRing> {
    if !path.exists() {
        if has_sealed_secrets {
            bail!(
                "{0} is missing, and the access keys in the store are sealed with it. Put it back, or copy it from the other \
                 replicas. If it is lost, give up these access keys: umask 077; openssl rand -base64 32 > {0}",
                path.display()
            );
        }
        create(path, entropy).with_context(|| format!("{} cannot be made", path.display()))?;
    }
    read(path)
}

/// Adds a key that opens and does not seal yet, so that all replicas know it before the first one uses it.
pub fn add(path: &Path, entropy: &dyn Entropy) -> Result<String> {
    rewrite(path, entropy, |lines| {
        let key = SealingKey::generate(entropy);
        lines.push(key.to_text());
        key.id().to_owned()
    })
}

/// Makes the newest key the one that seals: the last one of the file or, where there is but one, a new one.
pub fn rotate(path: &Path, entropy: &dyn Entropy) -> Result<String> {
    let keys = rewrite(path, entropy, |lines| {
        if lines.len() == 1 {
            lines.push(SealingKey::generate(entropy).to_text());
        }
        lines.rotate_right(1);
    });
    keys?;
    Ok(read(path)?.first_id().to_owned())
}

/// Takes all keys out but the first.
pub fn retire(path: &Path, entropy: &dyn Entropy) -> Result<usize> {
    rewrite(path, entropy, |lines| {
        let retired = lines.len() - 1;
        lines.truncate(1);
        retired
    })
}

/// Puts another file in the place of this one, as a whole. `change` is given one key or more.
fn rewrite<T>(path: &Path, entropy: &dyn Entropy, change: impl FnOnce(&mut Vec<SecretString>) -> T) -> Result<T> {
    read(path)?;
    let text = SecretString::from(fs::read_to_string(path)?);
    let lines = text.expose_secret().lines().map(str::trim).filter(|line| !line.is_empty());
    let mut lines: Vec<SecretString> = lines.map(SecretString::from).collect();
    let told = change(&mut lines);
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let name = path.file_name().context("it has no name")?.to_string_lossy();
    let draft = folder.join(format!("{name}.{:016x}", entropy.next_u64()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    for line in &lines {
        writeln!(file, "{}", line.expose_secret())?;
    }
    file.sync_all()?;
    fs::rename(&draft, path).with_context(|| format!("{} cannot be replaced", path.display()))?;
    File::open(folder)?.sync_all()?;
    Ok(told)
}

fn read(path: &Path) -> Result<KeyRing> {
    let metadata = fs::metadata(path).with_context(|| format!("{} cannot be looked at", path.display()))?;
    if !is_private(metadata.mode(), metadata.uid(), rustix::process::geteuid().as_raw()) {
        bail!("{0} may be read by others: chmod 600 {0}", path.display());
    }
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let text = SecretString::from(text);
    let lines = text.expose_secret().lines().map(str::trim).filter(|line| !line.is_empty());
    let keys = lines.map(|line| SealingKey::parse(&SecretString::from(line)));
    keys.collect::<Result<Vec<_>, _>>()
        .and_then(KeyRing::new)
        .with_context(|| format!("{} does not hold 32 bytes in base64 on each line", path.display()))
}

/// Whether nobody else may read the file. One that root has put there may be given to us by its group: so mounts Kubernetes the
/// files of a Secret.
fn is_private(mode: u32, owner: u32, own: u32) -> bool {
    let others = if owner == 0 && own != 0 { 0o037 } else { 0o077 };
    mode & others == 0
}

/// Makes the file as a whole or not at all. Where somebody else was faster, theirs is the key.
fn create(path: &Path, entropy: &dyn Entropy) -> Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let name = path.file_name().context("it has no name")?.to_string_lossy();
    let draft = folder.join(format!("{name}.{:016x}", entropy.next_u64()));
    let key = SealingKey::generate(entropy);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = write(&mut file, &key).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    fs::remove_file(&draft)?;
    written?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

fn write(file: &mut File, key: &SealingKey) -> io::Result<()> {
    writeln!(file, "{}", key.to_text().expose_secret())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use auth::Sealer;
    use clock::SeededEntropy;
    use domain::name::AccessKeyId;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_file_is_made_once_and_opens_what_it_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/secret.key");
        let id = AccessKeyId::parse("AK").unwrap();
        let sealer = |seed| {
            let entropy = Arc::new(SeededEntropy::new(seed));
            Sealer::new(load(&path, entropy.as_ref(), seed > 1).unwrap(), entropy)
        };
        let sealed = sealer(1).seal(&id, &SecretString::from("secret")).unwrap();
        assert_eq!(sealer(2).open(&id, &sealed).unwrap().expose_secret(), "secret");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_is_added_used_and_at_last_the_only_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.key");
        let (entropy, id) = (SeededEntropy::new(1), AccessKeyId::parse("AK").unwrap());
        let sealer = || Sealer::new(load(&path, &entropy, false).unwrap(), Arc::new(SeededEntropy::new(2)));
        let sealed = sealer().seal(&id, &SecretString::from("secret")).unwrap();
        let added = add(&path, &entropy).unwrap();
        assert!(!sealer().is_outdated(&sealed), "the old key goes on sealing");
        assert_eq!(rotate(&path, &entropy).unwrap(), added);
        let now = sealer();
        assert!(now.is_outdated(&sealed));
        assert_eq!(now.open(&id, &sealed).unwrap().expose_secret(), "secret");
        assert_eq!(retire(&path, &entropy).unwrap(), 1);
        assert!(sealer().open(&id, &sealed).is_err());
        assert_ne!(rotate(&path, &entropy).unwrap(), added, "with one key there is a new one");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.key");
        load(&path, &SeededEntropy::new(1), false).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o777] {
            chmod(&path, mode);
            let error = load(&path, &SeededEntropy::new(1), false).unwrap_err();
            assert!(error.to_string().contains("chmod 600"), "{mode:o}: {error}");
        }
        chmod(&path, 0o400);
        load(&path, &SeededEntropy::new(1), false).unwrap();
    }

    #[test]
    fn a_file_that_root_has_put_there_may_be_given_by_its_group() {
        assert!(is_private(0o100_440, 0, 65532) && is_private(0o100_640, 0, 65532));
        for (mode, owner, own) in [(0o440, 65532, 65532), (0o440, 0, 0), (0o460, 0, 65532), (0o444, 0, 65532)] {
            assert!(!is_private(mode, owner, own), "{mode:o} of {owner} for {own}");
        }
    }

    #[test]
    fn a_lost_file_is_not_replaced_in_silence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.key");
        let error = load(&path, &SeededEntropy::new(1), true).unwrap_err();
        assert!(error.to_string().contains("is missing"), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn a_damaged_file_is_told_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.key");
        for text in ["", "short", "\n\n"] {
            fs::write(&path, text).unwrap();
            chmod(&path, 0o600);
            let error = load(&path, &SeededEntropy::new(1), false).unwrap_err();
            let told = format!("{error:#}");
            assert!(told.contains("32 bytes") && !told.contains("short"), "{told}");
        }
    }
}
