//! Tests of the shipped admission policies, in JavaScript: there is an evaluator of CEL that knows optional values.

use crate::run::{command, run, run_for_line};
use anyhow::Result;

const FOLDER: &str = "deploy/policies";

/// Evaluates the policies on requests that they must refuse or let through; gives how many did as they must.
pub fn test() -> Result<String> {
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
    let tests = &["--test", "--test-reporter=tap", "deploy/policies/policies.test.mjs"];
    run_for_line(command("node", tests), &["# pass "])
}
