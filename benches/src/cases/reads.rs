//! Show and list against a bare handler.

use super::{Bench, progress, spread};
use crate::load::{Load, Make, Until, request, run};
use crate::process::{Process, all_cores, pin};
use crate::report::{Aim, Figure, Section, number};
use crate::stats::Sample;
use crate::world::{TOKEN, pool, pools};
use anyhow::{Context, Result};
use bytes::Bytes;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

const CLIENTS: usize = 64;
const AIM: Aim = Aim::AtLeast(0.6);

/// One kind of request.
struct Kind {
    name: &'static str,
    clients: usize,
    target: String,
    aim: Aim,
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

pub fn reads(bench: &Bench) -> Result<Section> {
    let world = bench.big()?;
    let count = bench.big_shape().pools;
    let (server_core, load_core) = cores();
    let mut server = Process::start(&mut world.serve(&bench.server), &world.log(), server_core)?;
    server.first_answer(&request("GET", &pool(0), TOKEN, "", ""))?;
    progress("waiting until the reconciler has looked at every pool");
    server.settle(TOKEN)?;
    let kind = |name, clients, target, aim| Kind {
        name,
        clients,
        target,
        aim,
    };
    let list = pools();
    let kinds = [
        kind("show", CLIENTS, pool(count / 2), AIM),
        kind("list, 100 items", CLIENTS, format!("{list}?limit=100"), AIM),
        kind("list, a page of default size (500)", CLIENTS, format!("{list}?limit=0"), AIM),
        kind("list, everything", 4, list, Aim::None),
    ];
    let mut section = Section {
        title: "(a) Reads",
        method: method(count, server_core.is_some()),
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
    for kind in &kinds {
        progress(&format!("reads: {}", kind.name));
        let (bytes, ours, bare) = compare(bench, &server, kind, (server_core, load_core))?;
        let ratio = Sample::of(ours.per_second.clone()).median() / Sample::of(bare.per_second.clone()).median();
        section.figures.push(Figure::ratio(
            format!("(a) {}: throughput, of the bare handler's", kind.name),
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
    server.stop()?;
    Ok(section)
}

/// The core of the server and that of the load generator, where there are two.
fn cores() -> (Option<usize>, Option<usize>) {
    if crate::process::cores() >= 2 {
        (Some(0), Some(1))
    } else {
        (None, None)
    }
}

fn method(pools: u64, is_pinned: bool) -> String {
    let cores = if is_pinned {
        "The server under test, which is the release binary or the bare one, runs on one core and the load generator on another: \
         so the generator, which costs about as much as a bare handler, takes nothing away from the server, and what is compared \
         is what one core can do."
    } else {
        "Server and load generator share one core, which makes both sides slower by the same amount for each request."
    };
    format!(
        "{pools} pools with 10 nodes each; keep-alive connections, {CLIENTS} clients (4 where everything is listed) that each wait for \
         their answer, `X-Auth-Token`. The bare server is a handler behind the same connection loop and router that returns the same \
         bytes with the same headers. Both are alive all the time and are put under load in turns. {cores}"
    )
}

fn compare(
    bench: &Bench,
    server: &Process,
    kind: &Kind,
    (server_core, load_core): (Option<usize>, Option<usize>),
) -> Result<(usize, Side, Side)> {
    let wanted = request("GET", &kind.target, TOKEN, "", "");
    let answer = server.request(&wanted)?;
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
