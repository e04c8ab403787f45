//! Show and list of pools.

use super::against::{self, CLIENTS, Kind};
use super::{Bench, progress};
use crate::load::request;
use crate::process::Process;
use crate::report::{Aim, Section};
use crate::world::{TOKEN, pool, pools};
use anyhow::Result;

pub fn reads(bench: &Bench) -> Result<Section> {
    let world = bench.big()?;
    let count = bench.big_shape().pools;
    let (server_core, _) = against::cores();
    let mut server = Process::start(&mut world.serve(&bench.server), &world.log(), server_core)?;
    server.first_answer(&request("GET", &pool(0), TOKEN, "", ""))?;
    progress("waiting until the reconciler has looked at every pool");
    server.settle(TOKEN)?;
    let list = pools();
    let kinds = [
        Kind::new("show", pool(count / 2)),
        Kind::new("list, 100 items", format!("{list}?limit=100")),
        Kind::new("list, a page of default size (500)", format!("{list}?limit=0")),
        Kind {
            clients: 4,
            aim: Aim::None,
            ..Kind::new("list, everything", list)
        },
    ];
    let section = against::section(bench, &server, ('a', "(a) Reads"), method(count, server_core.is_some()), &kinds)?;
    server.stop()?;
    Ok(section)
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
