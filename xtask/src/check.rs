//! What a change must pass.

use crate::run::{command, run, run_for_line, succeeds};
use crate::{clients, kube, layers, manifests, openapi, policies, postgres, tree};
use anyhow::Result;

/// Runs every test of the workspace, with a PostgreSQL server and an API server of Kubernetes, then those of the admission policies, and then
/// the clients written in Python. Ends with a line for each: what it counted.
pub fn test(with_clients: bool) -> Result<()> {
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
    let mut counted = vec![("workspace", run_for_line(tests, &[" tests run: "])?)];
    drop(cluster);
    counted.push(("admission policies", policies::test()?));
    if with_clients {
        counted.extend(clients::test()?);
    }
    println!("\nEvery test passed:");
    for (what, line) in counted {
        println!("  {what}: {line}");
    }
    Ok(())
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
