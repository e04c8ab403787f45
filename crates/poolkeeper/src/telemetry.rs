//! Logs of the process.

use crate::config::{Config, LogFormat};
use anyhow::{Context, Result};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Logs go to standard error, so that standard output holds only what was asked for.
pub fn start(config: &Config) -> Result<()> {
    let filter = filter(&config.log_level).with_context(|| format!("{:?} is not a log level", config.log_level))?;
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

/// A word alone has to be a level: a filter would take a misspelt one for the name of a module, and log nothing else.
fn filter(text: &str) -> Result<EnvFilter> {
    if !text.contains([',', '=']) {
        text.parse::<LevelFilter>()?;
    }
    let filter = EnvFilter::try_new(text)?;
    // Who did what is told whatever else is not, unless that very thing is asked for.
    if text.contains("audit=") {
        return Ok(filter);
    }
    Ok(filter.add_directive("audit=info".parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_did_what_is_told_unless_that_is_switched_off() {
        for text in ["off", "error", "info,sqlx=warn"] {
            assert!(filter(text).unwrap().to_string().contains("audit=info"), "{text}");
        }
        assert!(!filter("info,audit=off").unwrap().to_string().contains("audit=info"));
    }

    #[test]
    fn a_misspelt_level_is_refused() {
        for text in ["warn", "DEBUG", "off", "info,sqlx=warn", "poolkeeper_http=debug"] {
            filter(text).unwrap();
        }
        for text in ["warning", "loud", "sqlx=loud"] {
            assert!(filter(text).is_err(), "{text:?}");
        }
    }
}
