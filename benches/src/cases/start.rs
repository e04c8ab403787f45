//! From the start of the process to its first answer.

use super::{Bench, progress, spread};
use crate::load::request;
use crate::process::Process;
use crate::report::{Aim, Figure, Section};
use crate::sqlite::{read_bytes, read_rows};
use crate::stats::Sample;
use crate::world::{TOKEN, pool, pools, serve};
use anyhow::Result;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub fn start(bench: &Bench) -> Result<Section> {
    let world = bench.big()?;
    progress("starts");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut empty, mut again, mut full, mut bytes, mut rows) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..=bench.size.rounds {
        let folder = bench.scratch().join(format!("empty-{round}"));
        let log = bench.scratch().join("start.log");
        let list = pools();
        let measured = [
            once(&mut serve(&bench.server, &folder), &log, &list)?,
            once(&mut serve(&bench.server, &folder), &log, &list)?,
            once(&mut world.serve(&bench.server), &log, &pool(0))?,
            read_bytes(&world.database())?,
            runtime.block_on(read_rows(&world.database()))?,
        ];
        if round > 0 {
            for (sample, value) in [&mut empty, &mut again, &mut full, &mut bytes, &mut rows].into_iter().zip(measured) {
                sample.push(value);
            }
        }
    }
    let [empty, again, full, bytes, rows] = [empty, again, full, bytes, rows].map(|values| Sample::durations(&values));
    let count = bench.big_shape().pools;
    let row = |name: String, sample: &Sample| vec![name, spread(sample, 1e3)];
    let figure = |name: String, value: f64, unit, aim| Figure { name, value, unit, aim };
    Ok(Section {
        title: "(e) Start",
        method: format!(
            "From the start of the process to its first signed-in answer with status 200, asked for every fifth of a millisecond. An empty \
             folder means that the demo is made. The full one has {count} pools with 10 nodes each; the same file is also read as bytes, and \
             row by row through SQLite. The file is in the kernel's cache."
        ),
        head: vec!["what", "ms"],
        rows: vec![
            row("first start on an empty folder".to_owned(), &empty),
            row("second start there".to_owned(), &again),
            row(format!("start with {count} pools"), &full),
            row("reading the same file as bytes".to_owned(), &bytes),
            row("reading its rows through SQLite".to_owned(), &rows),
        ],
        figures: vec![
            figure(
                "(e) first answer on an empty folder".to_owned(),
                empty.median() * 1e3,
                " ms",
                Aim::AtMost(100.0),
            ),
            figure(
                format!("(e) first answer with {count} pools"),
                full.median(),
                " s",
                Aim::AtMost(2.0),
            ),
            Figure::ratio(
                format!("(e) first answer with {count} pools, of reading the rows"),
                full.median() / rows.median(),
                Aim::None,
            ),
        ],
    })
}

fn once(command: &mut Command, log: &Path, target: &str) -> Result<Duration> {
    let mut server = Process::start(command, log, None)?;
    let (_, elapsed) = server.first_answer(&request("GET", target, TOKEN, "", ""))?;
    server.stop()?;
    Ok(elapsed)
}
