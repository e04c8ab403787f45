//! Commands and their help.

use crate::config::{Config, Flags};
use crate::server::{Overrides, Server};
use crate::telemetry;
use anyhow::{Context, Result};
use clap::{ArgMatches, Parser, Subcommand};

/// A control plane for pools of AI machines that speaks the ModelArts resource-management API.
#[derive(Debug, Parser)]
#[command(name = "poolkeeper", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(Box<Flags>),
    /// Look at the configuration
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Print the OpenAPI document of everything that is served
    Openapi,
}

#[derive(Debug, Subcommand)]
enum ConfigAction {
    /// Print the effective values and where each comes from
    Show(Box<Flags>),
}

impl Cli {
    pub fn run(self, matches: &ArgMatches) -> Result<()> {
        let inner = matches.subcommand().map(|(_, matches)| matches).context("no command was given")?;
        match self.command {
            Command::Serve(flags) => serve(&Config::load(&flags, inner)?),
            Command::Config {
                action: ConfigAction::Show(flags),
            } => {
                let inner = inner.subcommand().map(|(_, matches)| matches).context("no command was given")?;
                print!("{}", Config::load(&flags, inner)?.show());
                Ok(())
            }
            Command::Openapi => {
                println!("{}", serde_json::to_string_pretty(&http_api::openapi::document())?);
                Ok(())
            }
        }
    }
}

fn serve(config: &Config) -> Result<()> {
    telemetry::start(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = Server::start(config, Overrides::default()).await?;
        print!("{}", server.greeting());
        stop_signal().await?;
        tracing::info!("stopping");
        server.stop().await
    })
}

async fn stop_signal() -> Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupt = tokio::signal::ctrl_c() => Ok(interrupt?),
    }
}
