//! Durable creates against SQLite.

use super::{Bench, progress, spread};
use crate::load::{Make, Until, request, run};
use crate::process::Process;
use crate::report::{Aim, Figure, Section, number};
use crate::sqlite::{Ceiling, flushes};
use crate::stats::{Sample, now};
use crate::world::{Shape, TOKEN, create, pools};
use anyhow::Result;
use std::rc::Rc;

const CLIENTS: usize = 64;
const CREATES: u64 = 3_000;
/// Characters of a pool's record.
const RECORD: usize = 2_000;

#[derive(Default)]
struct Side {
    creates: Vec<f64>,
    p99: Vec<f64>,
    groups: Vec<f64>,
    /// Until every pool of the round was Running.
    finished: Vec<f64>,
    ceiling: Vec<f64>,
}

pub fn creates(bench: &Bench) -> Result<Section> {
    let creates = bench.divided(CREATES);
    let rounds = bench.size.rounds as u64 + 1;
    let world = bench.prepare(
        "creates",
        Shape {
            pools: 0,
            nodes_per_pool: 0,
            free: creates * rounds * 2,
        },
    )?;
    let mut server = Process::start(&mut world.serve(&bench.server), &world.log(), None)?;
    server.first_answer(&request("GET", &pools(), TOKEN, "", ""))?;
    server.settle(TOKEN)?;
    let mut ceiling = Ceiling::new(bench.scratch());
    let flush = Sample::durations(&flushes(bench.scratch(), 200)?);
    let mut section = Section {
        title: "(b) Creates",
        method: format!(
            "{CLIENTS} clients over HTTP create {creates} physical pools a round. The ceiling is SQLite with the settings and the table of \
             the store, one statement for each row of {RECORD} characters, as many rows in each transaction as the store's own transactions \
             carried commits on average (`poolkeeper_store_group_size`), measured after each round. A create writes a pool and an order, \
             raises four counters and checks two more records; with a node, the reconciler and the fleet write seven to nine more \
             records for each pool while the next ones are created. All processes share all cores. One 4 KiB write with a flush takes {} ms \
             here (p99 {} ms).",
            number(flush.median() * 1e3),
            number(flush.quantile(0.99) * 1e3)
        ),
        head: vec![
            "creates",
            "creates, 1/s",
            "rows of SQLite, 1/s",
            "group size",
            "p99, ms",
            "until all are Running, s",
        ],
        rows: Vec::new(),
        figures: Vec::new(),
    };
    for (name, label, is_prepaid) in [("that wait for payment", "wait", true), ("of one node each", "node", false)] {
        progress(&format!("creates {name}"));
        let side = measure(bench, &server, &mut ceiling, creates, label, is_prepaid)?;
        let ratio = Sample::of(side.creates.clone()).median() / Sample::of(side.ceiling.clone()).median();
        section.figures.push(Figure::ratio(
            format!("(b) creates {name}: of SQLite's rows"),
            ratio,
            Aim::AtLeast(0.5),
        ));
        section.rows.push(vec![
            name.to_owned(),
            spread(&Sample::of(side.creates), 1.0),
            spread(&Sample::of(side.ceiling), 1.0),
            number(Sample::of(side.groups).median()),
            spread(&Sample::of(side.p99), 1e3),
            spread(&Sample::of(side.finished), 1.0),
        ]);
    }
    server.stop()?;
    Ok(section)
}

fn measure(bench: &Bench, server: &Process, ceiling: &mut Ceiling, creates: u64, label: &'static str, is_prepaid: bool) -> Result<Side> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut side = Side::default();
    for round in 0..=bench.size.rounds {
        let before = groups(server)?;
        let began = now();
        let load = run(server.address, CLIENTS, Until::Requests(creates), make(label, round, is_prepaid))?;
        let after = groups(server)?;
        server.settle(TOKEN)?;
        // Settling takes five quiet tenths of a second.
        let finished = began.elapsed().as_secs_f64() - 0.5;
        let group = (after.0 - before.0) / (after.1 - before.1);
        let rows = runtime.block_on(ceiling.rows_per_second(creates * 2, group.round().max(1.0) as u64, RECORD))?;
        if round > 0 {
            side.creates.push(load.per_second());
            side.p99.push(load.latencies.quantile(0.99));
            side.groups.push(group);
            side.finished.push(finished);
            side.ceiling.push(rows);
        }
    }
    Ok(side)
}

/// Commits and transactions so far.
fn groups(server: &Process) -> Result<(f64, f64)> {
    Ok((
        server.metric(TOKEN, "poolkeeper_store_group_size_sum")?,
        server.metric(TOKEN, "poolkeeper_store_group_size_count")?,
    ))
}

fn make(label: &'static str, round: usize, is_prepaid: bool) -> Rc<Make> {
    let headers = if is_prepaid {
        "content-type: application/json\r\nrequest-type: console\r\n"
    } else {
        "content-type: application/json\r\n"
    };
    let target = pools();
    Rc::new(move |number| {
        let body = create(&format!("{label}-{round}-{number:06}"), 1, is_prepaid);
        request("POST", &target, TOKEN, headers, &body)
    })
}
