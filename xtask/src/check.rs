//! What a change must pass.

use crate::run::{command, run, run_for_line, succeeds};
use crate::{clients, kube, layers, manifests, openapi, policies, postgres, tree};
use anyhow::Result;

/// A part of the tests.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Those of the crates, with a PostgreSQL server and an API server of Kubernetes.
    Workspace,
    /// Those of the admission policies.
    Policies,
    /// Clients written in Python, and everything in the OpenAPI document.
    Clients,
}

/// Runs the tests, all or a part of them, and ends with a line for each suite: what it counted.
pub fn test(only: Option<Part>) -> Result<()> {
    let runs = |part| only.is_none_or(|only| only == part);
    let mut counted = Vec::new();
    if runs(Part::Workspace) {
        counted.push(("workspace", workspace()?));
    }
    if runs(Part::Policies) {
        counted.push(("admission policies", policies::test()?));
    }
    if runs(Part::Clients) {
        counted.extend(clients::test()?);
    }
    println!("\nEvery test passed:");
    for (what, line) in counted {
        println!("  {what}: {line}");
    }
    Ok(())
}

fn workspace() -> Result<String> {
    if !succeeds("cargo", &["nextest", "--version"]) {
        run(command("cargo", &["install", "cargo-nextest", "--locked"]))?;
    }
    let server = postgres::start()?;
    let mut tests = command("cargo", &["nextest", "run", "--workspace", "--locked", "--no-fail-fast"]);
    tests.env("POOLKEEPER_TEST_POSTGRES", server.url());
    let cluster = kube::start()?;
    if let Some(cluster) = &cluster {
        tests.env(kube::VARIABLE, cluster.kubeconfig());
    }
    run_for_line(tests, &[" tests run: "])
}

/// Everything but the tests.
pub fn check() -> Result<()> {
    run(command("cargo", &["fmt", "--all", "--check"]))?;
    layers::check()?;
    tree::check()?;
    run(command(
        "cargo",
        &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
    ))?;
    let mut docs = command("cargo", &["doc", "--workspace", "--no-deps", "--locked"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    run(docs)?;
    openapi::write(true)?;
    manifests::write(true)
}
