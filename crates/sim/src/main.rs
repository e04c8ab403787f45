//! Runs worlds by hand: many, to search; one, to look at it or to make it smaller.

use anyhow::Result;
use clap::{Parser, Subcommand};
use clock::{Clock, SystemClock};
use poolkeeper_sim::{Faults, Kept, Outcome, Settings, YearSettings, run, shrink, year};

/// As in production.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Simulates the control plane under virtual time, with faults.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Virtual hours in which users act and faults happen
    #[arg(long, global = true, default_value_t = 24)]
    hours: u64,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run seeds one after the other, and say which broke
    Search { first: u64, count: u64 },
    /// Run a seed and print its trace
    Show { seed: u64 },
    /// Leave out what does not matter of a seed that breaks, and print it as a file to keep
    Shrink { seed: u64 },
    /// Run a year of a large installation, and say what it was like
    Year {
        #[arg(long, default_value_t = 10_000)]
        nodes: u32,
        #[arg(long, default_value_t = 365)]
        days: u32,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let settings = |seed| Settings {
        seed,
        hours: cli.hours,
        faults: Faults::USUAL,
        keep: None,
    };
    match cli.command {
        Command::Search { first, count } => {
            let mut broken = 0;
            for seed in first..first + count {
                let outcome = run(&settings(seed));
                for violation in &outcome.violations {
                    println!("seed {seed}: {violation}");
                }
                broken += u64::from(!outcome.violations.is_empty());
            }
            println!("{broken} of {count} seeds broke");
        }
        Command::Year { nodes, days, seed } => {
            let begun = SystemClock.now();
            let report = year(&YearSettings { seed, nodes, days }, &mut |week, commits| {
                let passed = SystemClock.now().duration_since(begun).as_secs_f64();
                eprintln!("week {week}: {commits} commits, {passed:.0} s");
            });
            println!("{report}");
            println!("wall time  {:.1} s", SystemClock.now().duration_since(begun).as_secs_f64());
            anyhow::ensure!(report.violations.is_empty(), "something broke");
        }
        Command::Show { seed } => print(&run(&settings(seed))),
        Command::Shrink { seed } => {
            let smallest = shrink(&settings(seed));
            let outcome = run(&smallest);
            print(&outcome);
            println!("{}", toml::to_string(&Kept::of(&smallest, outcome.violations.join("; ")))?);
        }
    }
    Ok(())
}

fn print(outcome: &Outcome) {
    for line in &outcome.trace {
        println!("{line}");
    }
    println!("{} commits", outcome.commits);
    for violation in &outcome.violations {
        println!("broken: {violation}");
    }
}
