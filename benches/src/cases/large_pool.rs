//! One pool with very many nodes.

use super::{Bench, progress, spread};
use crate::load::request;
use crate::process::Process;
use crate::report::{Aim, Figure, Section};
use crate::stats::{Sample, now};
use crate::world::{PROJECT, Shape, TOKEN, create, pools};
use anyhow::{Result, ensure};

const NODES: u64 = 2_000;

pub fn large_pool(bench: &Bench) -> Result<Section> {
    let nodes = bench.divided(NODES);
    let world = bench.prepare(
        "large",
        Shape {
            pools: 0,
            nodes_per_pool: 0,
            free: nodes,
        },
    )?;
    progress("a large pool");
    let mut server = Process::start(&mut world.serve(&bench.server), &world.log(), None)?;
    server.first_answer(&request("GET", &pools(), TOKEN, "", ""))?;
    let (mut running, mut ready, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=bench.size.rounds {
        let measured = live(&server, &format!("large-{round}"), nodes)?;
        if round > 0 {
            running.push(measured[0]);
            ready.push(measured[1]);
            gone.push(measured[2]);
        }
    }
    server.stop()?;
    let [running, ready, gone] = [running, ready, gone].map(|values| Sample::durations(&values));
    Ok(Section {
        title: "(f) A large pool",
        method: format!(
            "From the request to create a pool of {nodes} nodes, on a fleet that does everything at once, until it is seen in phase Running, \
             and until its job types are settled as well (`wait=Ready`); and from the request to delete it until it is gone."
        ),
        head: vec!["until", "ms"],
        rows: vec![
            vec!["Running".to_owned(), spread(&running, 1e3)],
            vec!["Ready".to_owned(), spread(&ready, 1e3)],
            vec!["gone, from the request to delete it".to_owned(), spread(&gone, 1e3)],
        ],
        figures: vec![Figure {
            name: format!("(f) a pool of {nodes} nodes until Running"),
            value: running.median(),
            unit: " s",
            aim: Aim::AtMost(0.5),
        }],
    })
}

/// The life of a pool: until it is running, until it is ready, and how long it takes to go.
fn live(server: &Process, name: &str, nodes: u64) -> Result<[std::time::Duration; 3]> {
    let path = format!("{}/{name}-{PROJECT}", pools());
    let ask = |method: &str, target: &str, body: &str| -> Result<u16> {
        let answer = server.request(&request(method, target, TOKEN, "content-type: application/json\r\n", body))?;
        Ok(answer.status)
    };
    let began = now();
    ensure!(ask("POST", &pools(), &create(name, nodes, false))? == 200, "the pool is refused");
    let mut times = Vec::new();
    for state in ["Running", "Ready"] {
        // A wait that is over answers with what is there, which is not told apart: so the metrics are asked below.
        ensure!(
            ask("GET", &format!("{path}?wait={state}&timeout=60"), "")? == 200,
            "the pool is gone"
        );
        times.push(began.elapsed());
    }
    let body = server.request(&request("GET", &path, TOKEN, "", ""))?.body;
    ensure!(
        String::from_utf8_lossy(&body).contains("\"phase\":\"Running\""),
        "the pool never ran"
    );
    let began = now();
    ensure!(ask("DELETE", &path, "")? == 200, "the pool cannot be deleted");
    while ask("GET", &format!("{path}?wait=Gone&timeout=60"), "")? != 404 {}
    Ok([times[0], times[1], began.elapsed()])
}
