//! A real API server of Kubernetes for the tests: the one of the kubeconfig that `POOLKEEPER_TEST_KUBECONFIG` names, or one of
//! our own, built from Debian's packages, that ends with us.

use crate::apt;
use crate::run::{command, succeeds};
use anyhow::{Context, Result, ensure};
use std::process::Stdio;

/// Builds, starts and stops the server (its own help says how).
const SCRIPT: &str = "tests/kube/apiserver.sh";
/// What the script exits with where there is no way to the packages.
const NO_PACKAGES: i32 = 3;
/// Programs that the script needs, how to see that they are there, and the package that each is in.
const NEEDED: [(&str, &str, &str); 3] = [
    ("dpkg-source", "--version", "dpkg-dev"),
    ("openssl", "version", "openssl"),
    ("curl", "--version", "curl"),
];
/// What the tests read, and what an operator gives a newer server by.
pub const VARIABLE: &str = "POOLKEEPER_TEST_KUBECONFIG";

/// A running server.
pub struct Server {
    kubeconfig: String,
    is_own: bool,
}

impl Server {
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_own
            && let Err(error) = command(SCRIPT, &["stop"]).status()
        {
            eprintln!("the API server could not be stopped: {error}");
        }
    }
}

/// `None`: there is no way to the packages that it is built from.
pub fn start() -> Result<Option<Server>> {
    if let Ok(kubeconfig) = std::env::var(VARIABLE) {
        return Ok(Some(Server { kubeconfig, is_own: false }));
    }
    let missing = NEEDED.iter().filter(|(program, version, _)| !succeeds(program, &[version]));
    let missing: Vec<&str> = missing.map(|(.., package)| *package).collect();
    if succeeds("apt-get", &["--version"]) && !missing.is_empty() {
        apt::install(&missing)?;
    }
    let built = command(SCRIPT, &["build"]).stdout(Stdio::null()).status()?;
    if built.code() == Some(NO_PACKAGES) {
        return Ok(None);
    }
    ensure!(built.success(), "the API server could not be built");
    let started = command(SCRIPT, &["start"]).stderr(Stdio::inherit()).output()?;
    ensure!(started.status.success(), "the API server could not be started");
    let told = String::from_utf8(started.stdout).context("the path of the kubeconfig")?;
    let kubeconfig = told.lines().last().unwrap_or_default().trim().to_owned();
    ensure!(!kubeconfig.is_empty(), "the API server told no kubeconfig");
    Ok(Some(Server { kubeconfig, is_own: true }))
}
