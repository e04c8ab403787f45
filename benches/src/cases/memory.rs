//! Resident memory.

use super::{Bench, progress};
use crate::load::request;
use crate::process::Process;
use crate::report::{Aim, Figure, Section, number};
use crate::world::{TOKEN, pool, pools};
use anyhow::{Result, ensure};

const MIB: f64 = 1024.0 * 1024.0;

pub fn memory(bench: &Bench) -> Result<Section> {
    let world = bench.big()?;
    let shape = bench.big_shape();
    progress("memory");
    let mut server = Process::start(&mut world.serve(&bench.server), &world.log(), None)?;
    server.first_answer(&request("GET", &pool(0), TOKEN, "", ""))?;
    let first = server.resident()?;
    server.settle(TOKEN)?;
    let settled = server.resident()?;
    for target in [pools(), format!("/v1/{}/orders", crate::world::PROJECT)] {
        ensure!(server.request(&request("GET", &target, TOKEN, "", ""))?.status == 200);
    }
    for number in 0..shape.pools {
        let target = format!("{}/nodes", pool(number));
        ensure!(server.request(&request("GET", &target, TOKEN, "", ""))?.status == 200);
    }
    let listed = server.resident()?;
    server.stop()?;
    let size = std::fs::metadata(world.database())?.len();
    let row = |name: &str, bytes: u64| vec![name.to_owned(), number(bytes as f64 / MIB)];
    Ok(Section {
        title: "(d) Memory",
        method: format!(
            "Resident memory of the server with {} pools and {} nodes: at its first answer, when the reconciler has looked at every \
             pool, and after every pool, node and order was listed, so that the rendered form of each is kept.",
            shape.pools,
            shape.pools * shape.nodes_per_pool
        ),
        head: vec!["when", "MiB"],
        rows: vec![
            row("first answer", first),
            row("reconciled", settled),
            row("everything listed", listed),
            row("the database file, for comparison", size),
        ],
        figures: vec![
            figure("(d) resident memory, reconciled", settled),
            figure("(d) resident memory, everything listed", listed),
        ],
    })
}

fn figure(name: &str, bytes: u64) -> Figure {
    Figure {
        name: name.to_owned(),
        value: bytes as f64 / MIB,
        unit: " MiB",
        aim: Aim::AtMost(500.0),
    }
}
