//! Lists of what belongs to one pool, of which there is very much.

use super::against::{self, Kind};
use super::{Bench, progress};
use crate::load::request;
use crate::process::Process;
use crate::report::{Aim, Section};
use crate::world::{PROJECT, TOKEN, pool};
use anyhow::Result;

const AS_ABOVE: &str = "Measured as (a) is, against a bare handler that returns the same bytes.";

pub fn nodes(bench: &Bench) -> Result<Section> {
    let crowd = bench.crowd_shape();
    let path = format!("{}/nodes", pool(0));
    let kinds = [
        Kind::new("nodes, a page of 100", format!("{path}?limit=100")),
        Kind::new("nodes, a page of 500", format!("{path}?limit=0")),
        Kind {
            clients: 4,
            aim: Aim::None,
            ..Kind::new("nodes, everything", path)
        },
    ];
    let method = format!(
        "The list of the nodes of a pool that has {} of them. 500 is the greatest page. Without `limit`, the API gives all in one answer, which 4 clients ask for. \
         {AS_ABOVE}",
        crowd.nodes
    );
    measure(bench, ('g', "(g) Nodes of a large pool"), method, &kinds)
}

pub fn events(bench: &Bench) -> Result<Section> {
    let crowd = bench.crowd_shape();
    let path = format!("/v1/{PROJECT}/events?resource=pools&name={}", name());
    let kinds = [
        Kind::new("events, a page of 10", format!("{path}&limit=10")),
        Kind::new("events, a page of 100", format!("{path}&limit=100")),
        Kind::new("events, a page of 500", path.clone()),
        Kind::new(
            "events, the last page of 100",
            format!("{path}&limit=100&offset={}", crowd.events - 100),
        ),
        Kind {
            aim: Aim::None,
            ..Kind::new("events, warnings, a page of 100", format!("{path}&type=Warning&limit=100"))
        },
    ];
    let method = format!(
        "The list of the events of a pool that has {} of them, of which one in ten is a warning; no two in a row say the same. 500 \
         is the page of default and of greatest size. Warnings are picked out of all at each request. {AS_ABOVE}",
        crowd.events
    );
    measure(bench, ('h', "(h) Events of a pool"), method, &kinds)
}

pub fn workloads(bench: &Bench) -> Result<Section> {
    let crowd = bench.crowd_shape();
    let path = format!("{}/workloads", pool(0));
    let kinds = [
        Kind::new("workloads, a page of 10", format!("{path}?limit=10")),
        Kind::new("workloads, a page of 100", format!("{path}?limit=100")),
        Kind::new("workloads, a page of 500", path.clone()),
        Kind {
            aim: Aim::None,
            ..Kind::new("workloads, running ones, a page of 100", format!("{path}?status=Running&limit=100"))
        },
        Kind {
            aim: Aim::None,
            ..Kind::new(
                "workloads, their statistics",
                format!("/v2/{PROJECT}/statistics/pools/{}/workloads", name()),
            )
        },
    ];
    let method = format!(
        "The list of the workloads of a pool of {} nodes that has {} of them: some are over, about as many run as there are nodes, the \
         others wait. They come from the fleet, and their durations are told up to the second of the answer. 500 is the page of \
         default and of greatest size. Those that run are picked out of all at each request, and counted for the statistics. {AS_ABOVE}",
        crowd.nodes, crowd.workloads
    );
    measure(bench, ('i', "(i) Workloads of a pool"), method, &kinds)
}

/// Id of the pool.
fn name() -> String {
    pool(0).rsplit('/').next().unwrap_or_default().to_owned()
}

fn measure(bench: &Bench, name: (char, &'static str), method: String, kinds: &[Kind]) -> Result<Section> {
    let world = bench.crowded()?;
    let (server_core, _) = against::cores();
    let mut server = Process::start(&mut world.serve(&bench.server), &world.log(), server_core)?;
    server.first_answer(&request("GET", &pool(0), TOKEN, "", ""))?;
    progress("waiting until the reconciler has looked at the pool");
    server.settle(TOKEN)?;
    let section = against::section(bench, &server, name, method, kinds)?;
    server.stop()?;
    Ok(section)
}
