//! The direction of dependencies (ARCHITECTURE.md): each crate may name only what its entry here allows.

use anyhow::{Result, bail};
use cargo_metadata::{DependencyKind, MetadataCommand, Package};
use std::collections::{BTreeMap, BTreeSet};

/// Crate and the crates of the workspace that it may name in its normal dependencies.
const ALLOWED: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("clock", &[]),
    ("wire", &["domain"]),
    ("auth", &["domain", "clock"]),
    ("store", &["domain", "clock"]),
    ("fleet", &["domain", "clock"]),
    ("identity", &["domain", "clock", "auth"]),
    ("store-sql", &["domain", "clock", "store"]),
    ("kube-fake", &["clock"]),
    ("fleet-kube", &["domain", "clock", "fleet"]),
    ("reconcile", &["domain", "clock", "store", "fleet"]),
    ("service", &["domain", "clock", "store", "fleet", "auth"]),
    ("http", &["domain", "clock", "wire", "store", "fleet", "auth", "service"]),
    (
        "poolkeeper",
        &[
            "domain",
            "clock",
            "wire",
            "store",
            "store-sql",
            "fleet",
            "fleet-kube",
            "reconcile",
            "service",
            "auth",
            "identity",
            "http",
        ],
    ),
    (
        "testkit",
        &[
            "domain",
            "clock",
            "wire",
            "store",
            "store-sql",
            "fleet",
            "fleet-kube",
            "reconcile",
            "service",
            "auth",
            "identity",
            "http",
            "poolkeeper",
        ],
    ),
    (
        "sim",
        &[
            "domain",
            "clock",
            "store",
            "fleet",
            "fleet-kube",
            "kube-fake",
            "reconcile",
            "service",
            "auth",
        ],
    ),
    ("fuzz-properties", &["auth", "domain", "wire"]),
    ("bench", &["domain", "clock", "store", "store-sql", "fleet", "http", "poolkeeper"]),
    ("tests", &[]),
    ("xtask", &[]),
];

/// Libraries that only these crates may name.
const CONFINED: &[(&str, &[&str])] = &[
    ("axum", &["http", "bench"]),
    ("sqlx", &["store-sql", "bench"]),
    ("kube", &["fleet-kube", "kube-fake"]),
    ("k8s-openapi", &["fleet-kube", "kube-fake"]),
    ("reqwest", &["identity", "fleet-kube", "testkit", "tests", "bench"]),
    ("ring", &["identity", "testkit"]),
    ("clap", &["poolkeeper", "sim", "bench", "xtask"]),
    ("rustls", &["http", "poolkeeper", "testkit"]),
    ("tokio-rustls", &["http"]),
    ("utoipa", &["wire", "http"]),
];

/// Fails with every dependency that points the wrong way.
pub fn check() -> Result<()> {
    let metadata = MetadataCommand::new().no_deps().exec()?;
    let allowed: BTreeMap<_, BTreeSet<_>> = ALLOWED
        .iter()
        .map(|(name, names)| (*name, names.iter().copied().collect()))
        .collect();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let own = short(package.name.as_str());
        let Some(may_name) = allowed.get(own) else {
            wrong.push(format!("{own} has no entry in xtask/src/layers.rs"));
            continue;
        };
        for dependency in normal_dependencies(package) {
            let target = short(&dependency);
            if allowed.contains_key(target) && is_ours(&dependency) && !may_name.contains(target) {
                wrong.push(format!("{own} must not name {target}"));
            }
            if let Some((library, crates)) = CONFINED.iter().find(|(library, _)| *library == dependency)
                && !crates.contains(&own)
            {
                wrong.push(format!("{own} must not name {library}: it is for {}", crates.join(", ")));
            }
        }
    }
    if !wrong.is_empty() {
        bail!("dependencies that point the wrong way:\n  {}", wrong.join("\n  "));
    }
    println!("layers: {} crates, all dependencies point downwards", metadata.packages.len());
    Ok(())
}

fn normal_dependencies(package: &Package) -> impl Iterator<Item = String> + '_ {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal)
        .map(|dependency| dependency.name.clone())
}

fn is_ours(name: &str) -> bool {
    name == "poolkeeper" || name == "xtask" || name.starts_with("poolkeeper-")
}

fn short(name: &str) -> &str {
    name.strip_prefix("poolkeeper-").unwrap_or(name)
}
