//! Tasks of the project: `cargo xtask <task>`. Nothing has to be installed for them beforehand.

mod apt;
mod bench;
mod check;
mod clients;
mod kube;
mod layers;
mod manifests;
mod openapi;
mod policies;
mod postgres;
mod run;
mod tree;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Tasks of the project", long_about = None)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs every test, and installs what they need: cargo-nextest, PostgreSQL, a Python environment.
    Test {
        /// One part of them only.
        #[arg(long)]
        only: Option<check::Part>,
    },
    /// What a change must pass besides the tests: format, lints, layers, documentation, OpenAPI, manifests.
    Check,
    /// Dependencies between crates go downwards only.
    CheckLayers,
    /// No second library of cryptography comes in through a dependency.
    CheckTree,
    /// Writes openapi/poolkeeper.json anew.
    Openapi {
        /// Only tell whether it is up to date.
        #[arg(long)]
        check: bool,
    },
    /// Renders the Helm chart into deploy/kubernetes.
    Manifests {
        /// Only tell whether they are up to date.
        #[arg(long)]
        check: bool,
    },
    /// Measures the release binary and writes docs/benchmarks.md; about a quarter of an hour on a machine that does nothing else.
    Bench {
        /// For the benchmarks, after `--`; with any, the report is printed and not written.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Test { only } => check::test(only),
        Task::Check => check::check(),
        Task::CheckLayers => layers::check(),
        Task::CheckTree => tree::check(),
        Task::Openapi { check } => openapi::write(check),
        Task::Manifests { check } => manifests::write(check),
        Task::Bench { arguments } => bench::bench(&arguments),
    }
}
