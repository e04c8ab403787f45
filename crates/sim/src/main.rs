//! Runs worlds by hand: many, to search; one, to look at it or to make it smaller.

use anyhow::Result;
use clap::{Parser, Subcommand};
use clock::{Clock, SystemClock};
use poolkeeper_sim::{
    Faults, KUBE_OPERATIONS, Kept, KubeFaults, KubeSettings, Outcome, Settings, YearSettings, kube_kill, kube_writes, run, run_kube,
    shrink, shrink_kube, year,
};

use tracing_subscriber::EnvFilter;

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
    /// Over the API server of a cluster, instead of simulated machines
    #[arg(long, global = true)]
    cluster: bool,
    /// Nothing goes wrong with the API server, the store and the lines
    #[arg(long, global = true)]
    calm: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run seeds one after the other, and say which broke
    Search { first: u64, count: u64 },
    /// Run a seed and print its trace
    Show { seed: u64 },
    /// Leave out what does not matter of a seed that breaks, and print it as a file to keep
    Shrink { seed: u64 },
    /// Kill the controller of a cluster in the middle of every write of every operation, or of one
    Kills { operation: Option<String> },
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

/// A seed of one of the two kinds of worlds.
enum Seed {
    Machines(Settings),
    Cluster(KubeSettings),
}

impl Seed {
    fn new(cli: &Cli, seed: u64) -> Self {
        let (hours, keep) = (cli.hours, None);
        if cli.cluster {
            let faults = if cli.calm { KubeFaults::NONE } else { KubeFaults::USUAL };
            Self::Cluster(KubeSettings { seed, hours, faults, keep })
        } else {
            let faults = if cli.calm { Faults::NONE } else { Faults::USUAL };
            Self::Machines(Settings { seed, hours, faults, keep })
        }
    }

    fn run(&self) -> Outcome {
        match self {
            Self::Machines(settings) => run(settings),
            Self::Cluster(settings) => run_kube(settings),
        }
    }

    /// The smallest one that breaks, what it does, and how it is kept.
    fn shrink(&self) -> (Outcome, Kept) {
        let smallest = match self {
            Self::Machines(settings) => Self::Machines(shrink(settings)),
            Self::Cluster(settings) => Self::Cluster(shrink_kube(settings)),
        };
        let outcome = smallest.run();
        let found = outcome.violations.join("; ");
        let kept = match &smallest {
            Self::Machines(settings) => Kept::of(settings, found),
            Self::Cluster(settings) => Kept::of_kube(settings, found),
        };
        (outcome, kept)
    }
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    // What happens at what virtual time is a record of its own.
    if let Ok(filter) = EnvFilter::try_from_default_env() {
        let to_stderr = tracing_subscriber::fmt().with_writer(std::io::stderr).without_time();
        to_stderr.with_env_filter(filter).init();
    }
    let seed_of = |seed| Seed::new(&cli, seed);
    match &cli.command {
        Command::Search { first, count } => search(*first, *count, seed_of),
        Command::Kills { operation } => kills(operation.as_deref()),
        Command::Year { nodes, days, seed } => {
            let begun = SystemClock.now();
            let settings = YearSettings {
                seed: *seed,
                nodes: *nodes,
                days: *days,
            };
            let report = year(&settings, &mut |week, commits| {
                let passed = SystemClock.now().duration_since(begun).as_secs_f64();
                eprintln!("week {week}: {commits} commits, {passed:.0} s");
            });
            println!("{report}");
            println!("wall time  {:.1} s", SystemClock.now().duration_since(begun).as_secs_f64());
            anyhow::ensure!(report.violations.is_empty(), "something broke");
        }
        Command::Show { seed } => print(&seed_of(*seed).run()),
        Command::Shrink { seed } => {
            let (outcome, kept) = seed_of(*seed).shrink();
            print(&outcome);
            println!("{}", toml::to_string(&kept)?);
        }
    }
    Ok(())
}

fn kills(only: Option<&str>) {
    for name in KUBE_OPERATIONS.iter().filter(|name| only.is_none_or(|only| only == **name)) {
        let writes = kube_writes(name);
        println!("{name}: {writes} writes");
        for at in 0..=writes {
            for violation in kube_kill(name, at) {
                println!("{name}, write {at}: {violation}");
            }
        }
    }
}

fn search(first: u64, count: u64, seed_of: impl Fn(u64) -> Seed) {
    let mut broken = 0;
    for seed in first..first + count {
        let outcome = seed_of(seed).run();
        for violation in &outcome.violations {
            println!("seed {seed}: {violation}");
        }
        broken += u64::from(!outcome.violations.is_empty());
    }
    println!("{broken} of {count} seeds broke");
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
