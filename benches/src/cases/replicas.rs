//! One, two and three replicas on one PostgreSQL, against PostgreSQL by itself.

use super::{Bench, progress, spread};
use crate::load::{Load, Make, Until, request, run};
use crate::pgbench::{self, Postgres};
use crate::process::Process;
use crate::report::{Aim, Figure, Section, number};
use crate::stats::{Sample, now};
use crate::world::{TOKEN, create, furnish_database, pools, serve};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

const CLIENTS: usize = 64;
/// Of all replicas together in one round.
const CREATES: u64 = 3_000;
const MOST: usize = 3;
/// Characters of a pool's record.
const RECORD: usize = 2_000;
const ROWS: u64 = 10_000;
/// Seconds of the lease in the rounds of kills: what is above it is what Poolkeeper takes.
const TTL: u64 = 2;

/// Replicas that run.
struct Replicas {
    servers: Vec<Process>,
    folder: PathBuf,
}

impl Replicas {
    fn start(bench: &Bench, database: &Postgres, count: usize) -> Result<Self> {
        let folder = bench.scratch().join("replicas");
        std::fs::create_dir_all(&folder)?;
        let mut replicas = Self {
            servers: Vec::new(),
            folder,
        };
        for number in 0..count {
            let server = replicas.one(bench, database, number)?;
            replicas.servers.push(server);
        }
        Ok(replicas)
    }

    fn one(&self, bench: &Bench, database: &Postgres, number: usize) -> Result<Process> {
        let mut command = serve(&bench.server, &self.folder.join(number.to_string()));
        command.args(["--database", &database.url, "--lease-ttl", &TTL.to_string(), "--secret-key-file"]);
        command.arg(self.folder.join("secret.key"));
        let mut server = Process::start(&mut command, &self.folder.join(format!("{number}.log")), None)?;
        server.first_answer(&request("GET", &pools(), TOKEN, "", ""))?;
        Ok(server)
    }

    /// The same load on all at once, the clients shared out evenly.
    fn load(&self, until: Until, make: impl Fn(usize) -> Rc<Make> + Sync) -> Result<Vec<Load>> {
        let clients = CLIENTS / self.servers.len();
        std::thread::scope(|scope| {
            let running: Vec<_> = self
                .servers
                .iter()
                .enumerate()
                .map(|(number, server)| {
                    let (address, make) = (server.address, &make);
                    scope.spawn(move || run(address, clients, until, make(number)))
                })
                .collect();
            let ended = running.into_iter().map(|thread| match thread.join() {
                Ok(load) => load,
                Err(_) => bail!("a load generator has panicked"),
            });
            ended.collect()
        })
    }

    /// Commits and transactions of all so far.
    fn groups(&self) -> Result<(f64, f64)> {
        let mut sums = (0.0, 0.0);
        for server in &self.servers {
            sums.0 += server.metric(TOKEN, "poolkeeper_store_group_size_sum")?;
            sums.1 += server.metric(TOKEN, "poolkeeper_store_group_size_count")?;
        }
        Ok(sums)
    }

    fn leader(&self) -> Result<usize> {
        let began = now();
        while began.elapsed() < Duration::from_secs(30) {
            for (number, server) in self.servers.iter().enumerate() {
                if server.metric(TOKEN, "poolkeeper_leader")? > 0.5 {
                    return Ok(number);
                }
            }
            crate::stats::pause();
        }
        bail!("nobody reconciles")
    }

    /// Until one of them has made a step that it had not made before.
    fn next_step(&self, done_before: &[f64]) -> Result<Duration> {
        let began = now();
        while began.elapsed() < Duration::from_mins(1) {
            for (server, before) in self.servers.iter().zip(done_before) {
                if steps(server) > *before {
                    return Ok(began.elapsed());
                }
            }
            crate::stats::pause();
        }
        bail!("nobody has taken over")
    }

    fn stop(self) -> Result<()> {
        self.servers.into_iter().try_for_each(Process::stop)
    }
}

/// Steps that a server has finished.
fn steps(server: &Process) -> f64 {
    // There is no such line before the first one.
    server
        .metric(TOKEN, r#"poolkeeper_reconcile_steps_total{outcome="done"}"#)
        .unwrap_or(0.0)
}

#[derive(Default)]
struct Side {
    writes: Vec<f64>,
    p99: Vec<f64>,
    groups: Vec<f64>,
    ceiling: Vec<f64>,
    reads: Vec<f64>,
    read_ceiling: Vec<f64>,
}

pub fn replicas(bench: &Bench) -> Result<Section> {
    let server = bench.postgres.as_deref().context("case k needs --postgres")?;
    let database = Postgres::fresh(server, "poolkeeper_bench")?;
    let creates = bench.divided(CREATES) * (bench.size.rounds as u64 + 1) * MOST as u64;
    furnish_database(
        &bench.scratch().join("replicas-first"),
        &database.url,
        &bench.scratch().join("replicas"),
        creates + MOST as u64,
    )?;
    let bare = Postgres::fresh(server, "poolkeeper_bench_bare")?;
    // Its tables are the store's.
    furnish_database(
        &bench.scratch().join("replicas-bare"),
        &bare.url,
        &bench.scratch().join("replicas-bare"),
        0,
    )?;
    bare.execute(&pgbench::read_rows(ROWS, RECORD))?;
    let mut section = Section {
        title: "(k) Replicas",
        method: format!(
            "{CLIENTS} clients, shared out over the replicas, create {} pools a round that wait for payment; then all of them show one pool. All \
             replicas, PostgreSQL and the load generator share all cores, so more replicas are no more processors. The ceiling of the writes \
             is pgbench with as many clients as there are replicas (each writes on one connection), whose transaction has the statements of \
             the store's writer and as many rows as the store's transactions carried on average; times that many. The ceiling of the reads \
             is pgbench with {CLIENTS} clients that each read one record of {RECORD} characters by its key. Then the replica that reconciles \
             is killed, with a lease of {TTL} s, and it is asked every 2 ms whether another one has finished a step.",
            bench.divided(CREATES)
        ),
        head: vec![
            "replicas",
            "creates, 1/s",
            "creates p99, ms",
            "group size",
            "PostgreSQL, 1/s",
            "reads of each, 1/s",
            "PostgreSQL's reads, 1/s",
        ],
        rows: Vec::new(),
        figures: Vec::new(),
    };
    for count in 1..=MOST {
        progress(&format!("{count} replicas"));
        let side = measure(bench, &database, &bare, count)?;
        let [writes, ceiling, reads, read_ceiling] =
            [&side.writes, &side.ceiling, &side.reads, &side.read_ceiling].map(|values| Sample::of(values.clone()));
        section.figures.push(Figure::ratio(
            format!("(k) creates with {count} replicas: of PostgreSQL's"),
            writes.median() / ceiling.median(),
            Aim::None,
        ));
        section.rows.push(vec![
            number(count as f64),
            spread(&writes, 1.0),
            spread(&Sample::of(side.p99), 1e3),
            number(Sample::of(side.groups).median()),
            spread(&ceiling, 1.0),
            spread(&reads, 1.0),
            spread(&read_ceiling, 1.0),
        ]);
    }
    progress("kills");
    let kills = kills(bench, &database)?;
    section.rows.push(vec![
        format!("from the kill to the next finished step, s: {}", spread(&kills, 1.0)),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
    ]);
    section.figures.push(Figure {
        name: format!("(k) from a kill to the next finished step, beyond the lease's {TTL} s"),
        value: (kills.median() - TTL as f64).max(0.0),
        unit: " s",
        aim: Aim::AtMost(1.0),
    });
    Ok(section)
}

fn measure(bench: &Bench, database: &Postgres, bare: &Postgres, count: usize) -> Result<Side> {
    let replicas = Replicas::start(bench, database, count)?;
    let slice = Until::Elapsed(Duration::from_secs_f64(bench.size.slice));
    let shown = replicas.servers[0].request(&request(
        "POST",
        &pools(),
        TOKEN,
        JSON,
        &create(&format!("k-shown-{count}"), 1, true),
    ))?;
    anyhow::ensure!(shown.status == 200, "no pool to be read: {}", shown.status);
    let mut side = Side::default();
    // The first round only warms up.
    for round in 0..=bench.size.rounds {
        let before = replicas.groups()?;
        let each = Until::Requests(bench.divided(CREATES) / count as u64);
        let loads = replicas.load(each, |number| creates(count, round, number))?;
        let after = replicas.groups()?;
        let group = ((after.0 - before.0) / (after.1 - before.1)).round().max(1.0);
        let limit = bare.transactions(bench.scratch(), &pgbench::creates(group as u64, RECORD), count, bench.size.slice)?;
        let reads = replicas.load(slice, |_| {
            let show = request(
                "GET",
                &format!("{}/k-shown-{count}-{}", pools(), crate::world::PROJECT),
                TOKEN,
                "",
                "",
            );
            Rc::new(move |_| show.clone())
        })?;
        let read_limit = bare.transactions(bench.scratch(), &pgbench::reads(ROWS), CLIENTS, bench.size.slice)?;
        if round > 0 {
            side.writes.push(loads.iter().map(Load::per_second).sum());
            side.p99
                .push(loads.iter().map(|load| load.latencies.quantile(0.99)).fold(0.0, f64::max));
            side.groups.push(group);
            side.ceiling.push(limit * group);
            side.reads.push(reads.iter().map(Load::per_second).sum::<f64>() / count as f64);
            side.read_ceiling.push(read_limit);
        }
    }
    replicas.stop()?;
    Ok(side)
}

const JSON: &str = "content-type: application/json\r\n";

fn creates(count: usize, round: usize, replica: usize) -> Rc<Make> {
    let headers = "content-type: application/json\r\nrequest-type: console\r\n";
    let target = pools();
    Rc::new(move |number| {
        let body = create(&format!("k-{count}-{round}-{replica}-{number:06}"), 1, true);
        request("POST", &target, TOKEN, headers, &body)
    })
}

fn kills(bench: &Bench, database: &Postgres) -> Result<Sample> {
    let mut replicas = Replicas::start(bench, database, MOST)?;
    let mut times = Vec::new();
    for _ in 0..bench.size.rounds {
        let leader = replicas.leader()?;
        // Ended by force where it is.
        drop(replicas.servers.remove(leader));
        let before: Vec<f64> = replicas.servers.iter().map(steps).collect();
        times.push(replicas.next_step(&before)?);
        let next = replicas.one(bench, database, leader)?;
        replicas.servers.insert(leader, next);
    }
    replicas.stop()?;
    Ok(Sample::durations(&times))
}
