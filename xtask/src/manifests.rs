//! The plain manifests of `deploy/kubernetes`, rendered from the Helm chart.

use crate::clients;
use crate::run::{command, run};
use anyhow::Result;

/// Renders the chart, or only tells whether the manifests are up to date.
pub fn write(check: bool) -> Result<()> {
    let python = clients::environment()?;
    let arguments: &[&str] = if check {
        &["deploy/render.py", "--check"]
    } else {
        &["deploy/render.py"]
    };
    run(command(&python.to_string_lossy(), arguments))
}
