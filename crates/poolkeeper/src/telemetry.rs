//! Logs of the process.

use crate::config::{Config, LogFormat};
use anyhow::{Context, Result};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Logs go to standard error, so that standard output holds only what was asked for.
pub fn start(config: &Config) -> Result<()> {
    let filter = EnvFilter::try_new(&config.log_level).with_context(|| format!("{:?} is not a log level", config.log_level))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match config.log_format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging could not be started: {error}"))
}
