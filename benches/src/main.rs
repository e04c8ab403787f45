//! Benchmarks of the real binary, each against a ceiling or an aim: `cargo xtask bench` runs all of them and writes
//! `docs/benchmarks.md` and `docs/benchmarks.svg`.
//!
//! Must not know how anything inside the server works, but for how its data folder is filled.

mod bare;
mod cases;
mod chart;
mod facts;
mod load;
mod pgbench;
mod process;
mod report;
mod sqlite;
mod stats;
mod world;

use anyhow::{Result, bail};
use bare::BareArguments;
use cases::{Bench, Size};
use clap::{Args, Parser, Subcommand};
use report::Section;
use std::path::PathBuf;

#[derive(Parser)]
#[command(name = "poolkeeper-bench")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure, and write the report.
    Run(RunArguments),
    /// The server that the API is compared to.
    #[command(hide = true)]
    Bare(BareArguments),
}

#[derive(Args)]
struct RunArguments {
    /// Binary of the server.
    #[arg(long)]
    server: PathBuf,
    /// Where data folders are made: a disk, not memory.
    #[arg(long)]
    scratch: PathBuf,
    /// Where the report is written; without it, it is only printed.
    #[arg(long)]
    docs: Option<PathBuf>,
    /// URL of a PostgreSQL server that flushes what it commits, for case k.
    #[arg(long)]
    postgres: Option<String>,
    /// Only these cases: a to k.
    #[arg(long, value_delimiter = ',')]
    only: Vec<char>,
    /// Rounds of each case.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of load in one round.
    #[arg(long, default_value_t = 1.5)]
    slice: f64,
    /// Divides how many pools there are: for trying the benchmarks, not for figures.
    #[arg(long, default_value_t = 1)]
    divisor: u64,
}

type Case = fn(&Bench) -> Result<Section>;

const CASES: [(char, Case); 11] = [
    ('a', cases::reads),
    ('b', cases::creates),
    ('c', cases::patches),
    ('d', cases::memory),
    ('e', cases::start),
    ('f', cases::large_pool),
    ('g', cases::nodes),
    ('h', cases::events),
    ('i', cases::workloads),
    ('j', cases::capacity),
    ('k', cases::replicas),
];

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Run(arguments) => run(&arguments),
        Command::Bare(arguments) => bare::serve(&arguments),
    }
}

fn run(arguments: &RunArguments) -> Result<()> {
    if arguments.docs.is_some() && (arguments.divisor != 1 || !arguments.only.is_empty()) {
        bail!("a report holds everything in full size");
    }
    let size = Size {
        rounds: arguments.rounds.max(1),
        slice: arguments.slice,
        divisor: arguments.divisor.max(1),
    };
    let bench = Bench::new((arguments.server.clone(), arguments.postgres.clone()), size, &arguments.scratch)?;
    let facts = facts::Facts::gather(&arguments.scratch);
    let wanted = |name: &char| arguments.only.is_empty() || arguments.only.contains(name);
    let mut sections = Vec::new();
    for (_, case) in CASES.iter().filter(|(name, _)| wanted(name)) {
        sections.push(case(&bench)?);
    }
    let path = arguments.docs.as_ref().map(|docs| docs.join("benchmarks.md"));
    let before = path.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
    let page = report::page(&facts, &sections, before.as_deref());
    println!("{page}");
    if let (Some(path), Some(docs)) = (path, &arguments.docs) {
        std::fs::write(path, page)?;
        let figures: Vec<_> = sections.iter().flat_map(|section| &section.figures).collect();
        chart::draw(&docs.join("benchmarks.svg"), &figures)?;
    }
    Ok(())
}
