//! The `poolkeeper` command.

use clap::{CommandFactory, FromArgMatches};
use poolkeeper::cli::Cli;
use std::process::ExitCode;

/// A server that keeps millions of small objects and makes dozens more for each request spends much less in this one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    poolkeeper::install_cryptography();
    let matches = Cli::command().get_matches();
    let outcome = Cli::from_arg_matches(&matches)
        .map_err(Into::into)
        .and_then(|cli| cli.run(&matches));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("poolkeeper: {error:#}");
            ExitCode::FAILURE
        }
    }
}
