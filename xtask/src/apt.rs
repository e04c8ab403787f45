//! Debian's packages.

use crate::run::{command, output, run, succeeds};
use anyhow::{Result, ensure};

/// Installs packages, as root or through sudo.
pub fn install(packages: &[&str]) -> Result<()> {
    ensure!(
        succeeds("apt-get", &["--version"]),
        "there is no apt-get to install {} with",
        packages.join(", ")
    );
    let sudo = if is_root() { "env" } else { "sudo" };
    run(command(sudo, &["apt-get", "update", "-qq"]))?;
    let arguments = [&["apt-get", "install", "-y", "-qq", "--no-install-recommends"], packages].concat();
    run(command(sudo, &arguments))
}

pub fn is_root() -> bool {
    output(command("id", &["-u"])).is_ok_and(|id| id.trim() == "0")
}
