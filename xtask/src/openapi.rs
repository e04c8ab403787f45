//! The golden form of the OpenAPI document: a change of the contract shows in its diff.

use crate::run::{command, output, root};
use anyhow::{Context, Result, bail};

const FILE: &str = "openapi/poolkeeper.json";

/// Writes the document, or only compares it.
pub fn write(check: bool) -> Result<()> {
    let document = output(command(
        "cargo",
        &["run", "--quiet", "--locked", "--package", "poolkeeper", "--", "openapi"],
    ))?;
    let path = root().join(FILE);
    if check {
        let known = std::fs::read_to_string(&path).with_context(|| format!("{FILE} cannot be read"))?;
        if known != document {
            bail!("{FILE} is out of date: run cargo xtask openapi and read the diff");
        }
        println!("openapi: {FILE} is up to date");
        return Ok(());
    }
    std::fs::write(&path, document).with_context(|| format!("{FILE} cannot be written"))
}
