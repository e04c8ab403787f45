//! Tests of the shipped admission policies, in JavaScript: there is an evaluator of CEL that knows optional values.

use crate::run::{command, run};
use anyhow::Result;

const FOLDER: &str = "deploy/policies";

/// Evaluates the policies on requests that they must refuse or let through.
pub fn test() -> Result<()> {
    run(command(
        "npm",
        &[
            "install",
            "--prefix",
            FOLDER,
            "--no-package-lock",
            "--no-audit",
            "--no-fund",
            "--silent",
        ],
    ))?;
    run(command("node", &["--test", "deploy/policies/policies.test.mjs"]))
}
