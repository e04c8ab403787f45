//! What must not be in the tree of dependencies: cryptography besides ring, which the process chooses once for all TLS.

use anyhow::{Result, bail};
use cargo_metadata::MetadataCommand;

const BANNED: [&str; 4] = ["aws-lc-sys", "openssl-sys", "native-tls", "aws-lc-rs"];

/// Fails with every banned library that is compiled into something of ours.
pub fn check() -> Result<()> {
    let metadata = MetadataCommand::new().other_options(["--locked".to_owned()]).exec()?;
    let resolved = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let used: Vec<_> = resolved.map(|node| metadata[&node.id].name.as_str()).collect();
    let found: Vec<_> = BANNED.into_iter().filter(|name| used.contains(name)).collect();
    if !found.is_empty() {
        bail!("{} must not be in the tree: cargo tree -i tells who wants it", found.join(", "));
    }
    println!("tree: {} packages, no cryptography but ring's", used.len());
    Ok(())
}
