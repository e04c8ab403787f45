//! PATCH with many pools against PATCH with few.

use super::{Bench, progress, spread};
use crate::load::{Make, Until, request, run};
use crate::process::Process;
use crate::report::{Aim, Figure, Section};
use crate::stats::Sample;
use crate::world::{Shape, TOKEN, World, pool};
use anyhow::Result;
use std::rc::Rc;

const REQUESTS: u64 = 300;

struct Side {
    count: u64,
    server: Process,
    median: Vec<f64>,
    p99: Vec<f64>,
}

pub fn patches(bench: &Bench) -> Result<Section> {
    let mut sides = Vec::new();
    for (name, count) in [("few", 1_000), ("many", 100_000)] {
        let count = bench.divided(count);
        let shape = Shape {
            pools: count,
            nodes_per_pool: 1,
            free: 0,
        };
        let world: World = bench.prepare(name, shape)?;
        let mut server = Process::start(&mut world.serve(&bench.server), &world.log(), None)?;
        server.first_answer(&request("GET", &pool(0), TOKEN, "", ""))?;
        progress("waiting until the reconciler has looked at every pool");
        server.settle(TOKEN)?;
        sides.push(Side {
            count,
            server,
            median: Vec::new(),
            p99: Vec::new(),
        });
    }
    progress("patches");
    for round in 0..=bench.size.rounds {
        for side in &mut sides {
            let load = run(side.server.address, 1, Until::Requests(REQUESTS), make(round, side.count))?;
            if round > 0 {
                side.median.push(load.latencies.median());
                side.p99.push(load.latencies.quantile(0.99));
            }
        }
    }
    let mut section = Section {
        title: "(c) Patches",
        method: format!(
            "One client sets the description of one pool after the other, {REQUESTS} a round, in turns on two servers that both run all the \
             time; every pool has one node. Each answer waits for its commit."
        ),
        head: vec!["pools", "median, ms", "p99, ms"],
        rows: Vec::new(),
        figures: Vec::new(),
    };
    let mut all = Vec::new();
    for side in sides {
        let (median, p99) = (Sample::of(side.median), Sample::of(side.p99));
        section
            .rows
            .push(vec![side.count.to_string(), spread(&median, 1e3), spread(&p99, 1e3)]);
        all.push((side.count, median.median(), p99.median()));
        side.server.stop()?;
    }
    if let [few, many] = all.as_slice() {
        for (name, few_value, many_value) in [("median", few.1, many.1), ("p99", few.2, many.2)] {
            section.figures.push(Figure::ratio(
                format!("(c) PATCH with {} pools: {name}, of that with {}", many.0, few.0),
                many_value / few_value,
                Aim::AtMost(1.3),
            ));
        }
    }
    Ok(section)
}

fn make(round: usize, count: u64) -> Rc<Make> {
    let headers = "content-type: application/merge-patch+json\r\n";
    Rc::new(move |number| {
        // A prime stride goes over all pools in a scattered order.
        let target = pool((number * 7_919 + round as u64) % count);
        let body = format!(r#"{{"metadata":{{"annotations":{{"os.modelarts/description":"change {round} {number}"}}}}}}"#);
        request("PATCH", &target, TOKEN, headers, &body)
    })
}
