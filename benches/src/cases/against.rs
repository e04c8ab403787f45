//! Reads against a bare handler: the same bytes from the same HTTP library, with nothing behind.

use super::{Bench, progress, spread};
use crate::load::{Load, Make, Until, request, run};
use crate::process::{Process, all_cores, pin};
use crate::report::{Aim, Figure, Section, number};
use crate::stats::Sample;
use crate::world::TOKEN;
use anyhow::{Context, Result};
use bytes::Bytes;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

pub const CLIENTS: usize = 64;
/// What part of the bare handler's throughput is aimed at.
pub const AIM: Aim = Aim::AtLeast(0.6);

/// One kind of request.
pub struct Kind {
    pub name: &'static str,
    pub clients: usize,
    pub target: String,
    pub aim: Aim,
}

impl Kind {
    pub fn new(name: &'static str, target: String) -> Self {
        Self {
            name,
            clients: CLIENTS,
            target,
            aim: AIM,
        }
    }
}

/// Measurements of one server, one for each round.
#[derive(Default)]
struct Side {
    per_second: Vec<f64>,
    p99: Vec<f64>,
    /// Seconds of the server's processor time for one request.
    cost: Vec<f64>,
    /// Part of its one core that the server used.
    busy: Vec<f64>,
}

impl Side {
    fn add(&mut self, load: &Load, used: Duration) {
        self.per_second.push(load.per_second());
        self.p99.push(load.latencies.quantile(0.99));
        self.cost.push(used.as_secs_f64() / load.requests as f64);
        self.busy.push(used.as_secs_f64() / load.elapsed.as_secs_f64());
    }
}

/// A section with a row and a figure for each kind of request. `letter`: what figures begin with.
pub fn section(bench: &Bench, server: &Process, (letter, title): (char, &'static str), method: String, kinds: &[Kind]) -> Result<Section> {
    let mut section = Section {
        title,
        method,
        head: vec![
            "request",
            "bytes",
            "server, 1/s",
            "bare, 1/s",
            "server p99, ms",
            "bare p99, ms",
            "server CPU, µs",
            "bare CPU, µs",
            "cores busy",
        ],
        rows: Vec::new(),
        figures: Vec::new(),
    };
    for kind in kinds {
        progress(&format!("({letter}) {}", kind.name));
        let (bytes, ours, bare) = compare(bench, server, kind)?;
        let ratio = Sample::of(ours.per_second.clone()).median() / Sample::of(bare.per_second.clone()).median();
        section.figures.push(Figure::ratio(
            format!("({letter}) {}: throughput, of the bare handler's", kind.name),
            ratio,
            kind.aim,
        ));
        let busy = |side: &Side| number(Sample::of(side.busy.clone()).median());
        section.rows.push(vec![
            kind.name.to_owned(),
            number(bytes as f64),
            spread(&Sample::of(ours.per_second.clone()), 1.0),
            spread(&Sample::of(bare.per_second.clone()), 1.0),
            spread(&Sample::of(ours.p99.clone()), 1e3),
            spread(&Sample::of(bare.p99.clone()), 1e3),
            number(Sample::of(ours.cost.clone()).median() * 1e6),
            number(Sample::of(bare.cost.clone()).median() * 1e6),
            format!("{} / {}", busy(&ours), busy(&bare)),
        ]);
    }
    Ok(section)
}

/// The core of the server and that of the load generator, where there are two.
pub fn cores() -> (Option<usize>, Option<usize>) {
    if crate::process::cores() >= 2 {
        (Some(0), Some(1))
    } else {
        (None, None)
    }
}

fn compare(bench: &Bench, server: &Process, kind: &Kind) -> Result<(usize, Side, Side)> {
    let (server_core, load_core) = cores();
    let wanted = request("GET", &kind.target, TOKEN, "", "");
    let answer = server.request(&wanted)?;
    anyhow::ensure!(answer.status == 200, "{} is answered with {}", kind.target, answer.status);
    let body = bench.scratch().join("bare-body");
    std::fs::write(&body, &answer.body)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("bare").arg("--body").arg(&body);
    for line in answer.head.lines().skip(1).filter(|line| !line.is_empty()) {
        if !line.starts_with("content-length") && !line.starts_with("date") {
            command.arg("--header").arg(line);
        }
    }
    let mut bare = Process::start(&mut command, &bench.scratch().join("bare.log"), server_core)?;
    let (same, _) = bare.first_answer(&wanted)?;
    anyhow::ensure!(same.body == answer.body, "the bare server answers something else");
    let (mut ours, mut theirs) = (Side::default(), Side::default());
    if let Some(core) = load_core {
        pin(&[core])?;
    }
    let slice = Duration::from_secs_f64(bench.size.slice);
    // The first round only warms up.
    for round in 0..=bench.size.rounds {
        for (process, side) in [(server, &mut ours), (&bare, &mut theirs)] {
            let before = process.used()?;
            let load = run(process.address, kind.clients, Until::Elapsed(slice), constant(wanted.clone())).context("under load")?;
            if round > 0 {
                side.add(&load, process.used()?.saturating_sub(before));
            }
        }
    }
    pin(&all_cores())?;
    Ok((answer.body.len(), ours, theirs))
}

fn constant(request: Bytes) -> Rc<Make> {
    Rc::new(move |_| request.clone())
}
