//! Commands and their help.

use crate::config::{Config, Flags};
use crate::doctor::{self, Output};
use crate::server::{self, Overrides, Server};
use crate::{keeping, keys, telemetry};
use anyhow::{Context, Result, bail};
use clap::{ArgMatches, Args, Parser, Subcommand};
use clock::SystemEntropy;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A control plane for pools of AI machines that speaks the ModelArts resource-management API.
#[derive(Debug, Parser)]
#[command(name = "poolkeeper", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const SERVE_HELP: &str = "\
The first start makes a demo project with flavors, a network, free machines, a user with an access
key, and an operator with a token, and prints their secrets once, to standard output. These are
random unless the environment says otherwise:
  POOLKEEPER_DEMO_PROJECT_ID    POOLKEEPER_DEMO_USER        POOLKEEPER_DEMO_ACCESS_KEY
  POOLKEEPER_DEMO_PROJECT_NAME  POOLKEEPER_DEMO_PASSWORD    POOLKEEPER_DEMO_SECRET_KEY
  POOLKEEPER_DEMO_DOMAIN        POOLKEEPER_DEMO_ADMIN_TOKEN
The project's name is also the name of the region. Nothing else makes a first operator, so
--no-demo is for later starts.

The first SIGTERM or SIGINT lets requests in flight finish, a second one does not wait for them.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    #[command(after_help = SERVE_HELP)]
    Serve(Box<Flags>),
    /// Look at the configuration
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Change the keys that seal the secrets of access keys
    Keys {
        #[command(subcommand)]
        action: KeysAction,
    },
    /// Look at store and cluster, and tell what is amiss and what to do about it; status 1 where something must be done
    Doctor(Box<DoctorFlags>),
    /// Copy the embedded store to a new file, also while a server uses it
    Backup(Box<BackupFlags>),
    /// Put a copy back in the place of the embedded store, which no server may be using
    Restore(Box<RestoreFlags>),
    /// After a restore: bring the lease above the epoch that the fence of a cluster has come to
    RaiseEpoch(Box<RaiseFlags>),
    /// Print the OpenAPI document of everything that is served
    Openapi,
}

#[derive(Debug, Args)]
struct DoctorFlags {
    /// text or json [default: text]
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    output: Option<Output>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Args)]
struct BackupFlags {
    /// Where the copy goes; it must not be there yet
    file: PathBuf,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Args)]
struct RestoreFlags {
    /// A copy that `backup` has made
    file: PathBuf,
    /// Give up the database that is there
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Args)]
struct RaiseFlags {
    /// The epoch of the fence
    above: u64,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum KeysAction {
    /// Add a key that opens secrets and does not seal any yet: the first step where there are several replicas
    Add(Box<Flags>),
    /// Seal with the last key of the file from the next start on or, where there is but one, with a new one
    Rotate(Box<Flags>),
    /// Take the old keys out of the file, if nothing in the store needs them any more
    Retire(Box<Flags>),
}

#[derive(Debug, Subcommand)]
enum ConfigAction {
    /// Print the effective values as TOML, passwords masked, and where each comes from
    Show(Box<Flags>),
}

impl Cli {
    pub fn run(self, matches: &ArgMatches) -> Result<()> {
        let inner = matches.subcommand().map(|(_, matches)| matches).context("no command was given")?;
        match self.command {
            Command::Serve(flags) => serve(&Config::load(&flags, inner)?.config),
            Command::Config {
                action: ConfigAction::Show(flags),
            } => {
                let inner = inner.subcommand().map(|(_, matches)| matches).context("no command was given")?;
                print(Config::load(&flags, inner)?.show())
            }
            Command::Keys { action } => {
                let inner = inner.subcommand().map(|(_, matches)| matches).context("no command was given")?;
                change_keys(&action, inner)
            }
            Command::Doctor(doctor) => diagnose(&Config::load(&doctor.flags, inner)?.config, doctor.output.unwrap_or_default()),
            Command::Backup(backup) => {
                let config = Config::load(&backup.flags, inner)?.config;
                runtime()?.block_on(keeping::backup(&config, &backup.file))
            }
            Command::Restore(restore) => {
                let config = Config::load(&restore.flags, inner)?.config;
                runtime()?.block_on(keeping::restore(&config, &restore.file, restore.replace))
            }
            Command::RaiseEpoch(raise) => {
                let config = Config::load(&raise.flags, inner)?.config;
                let epoch = runtime()?.block_on(keeping::raise_epoch(&config, raise.above))?;
                print(&format!("the epoch is {epoch}\n"))
            }
            Command::Openapi => print(&(serde_json::to_string_pretty(&http_api::openapi::document())? + "\n")),
        }
    }
}

fn change_keys(action: &KeysAction, matches: &ArgMatches) -> Result<()> {
    let (KeysAction::Add(flags) | KeysAction::Rotate(flags) | KeysAction::Retire(flags)) = action;
    let config = Config::load(flags, matches)?.config;
    let path = config.secret_key_path();
    print(&match action {
        KeysAction::Add(_) => format!("key {} opens from the next start on\n", keys::add(&path, &SystemEntropy)?),
        KeysAction::Rotate(_) => format!("key {} seals from the next start on\n", keys::rotate(&path, &SystemEntropy)?),
        KeysAction::Retire(_) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(server::check_sealed(&config))?;
            format!("{} keys were taken out\n", keys::retire(&path, &SystemEntropy)?)
        }
    })
}

/// Writes to standard output. A reader that has seen enough, such as `head`, is no error.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

fn diagnose(config: &Config, output: Output) -> Result<()> {
    let found = runtime()?.block_on(doctor::diagnose(config));
    print(&doctor::tell(&found, output)?)?;
    match doctor::failures(&found) {
        0 => Ok(()),
        1 => bail!("one check failed"),
        failures => bail!("{failures} checks failed"),
    }
}

fn serve(config: &Config) -> Result<()> {
    telemetry::start(config)?;
    runtime()?.block_on(async {
        // Whoever has read the greeting may ask for the end.
        let mut signals = Signals::new()?;
        let mut server = tokio::select! {
            server = Server::start(config, Overrides::default()) => server?,
            // Nobody is served yet.
            () = signals.stop() => return Ok(()),
        };
        print(&server.greeting())?;
        let failure = tokio::select! {
            () = signals.stop() => None,
            failure = server.failed() => Some(failure),
        };
        tracing::info!("stopping");
        tokio::select! {
            stopped = server.stop() => stopped?,
            () = signals.stop() => bail!("stopped without waiting for the requests in flight"),
        }
        failure.map_or(Ok(()), Err)
    })
}

/// The orders to stop, from when this is made on.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
