//! Decisions by quota, without a server.

use super::{Bench, progress, spread};
use crate::report::{Aim, Figure, Section, number};
use crate::stats::{Sample, now};
use anyhow::Result;
use domain::capacity::drill::Drill;
use domain::capacity::{Decision, round};

const POOLS: u64 = 10_000;
const LEVELS: u32 = 5;
/// Decisions of one round of the benchmark.
const DECISIONS: usize = 100_000;
/// Requests on which one round of the scheduler decides.
const CROWD: usize = 2_000;

/// What was measured, one value for each round.
#[derive(Default)]
struct Measured {
    per_second: Vec<f64>,
    median: Vec<f64>,
    p99: Vec<f64>,
    most: Vec<f64>,
    /// Of whole rounds.
    together: Vec<f64>,
    mix: Mix,
}

/// How many decisions there were of each kind.
#[derive(Default)]
struct Mix {
    start: usize,
    reclaim: usize,
    soon: usize,
    wait: usize,
}

impl Mix {
    fn add(&mut self, decision: &Decision) {
        *match decision {
            Decision::Start => &mut self.start,
            Decision::Reclaim(_) => &mut self.reclaim,
            Decision::Soon => &mut self.soon,
            Decision::Wait(_) => &mut self.wait,
        } += 1;
    }

    fn text(&self) -> String {
        let all = (self.start + self.reclaim + self.soon + self.wait).max(1) as f64;
        let share = |count: usize| format!("{:.0} %", 100.0 * count as f64 / all);
        format!(
            "{} start, for {} others are asked to give back, {} wait for nodes that are being given back, {} wait for others to end",
            share(self.start),
            share(self.reclaim),
            share(self.soon),
            share(self.wait)
        )
    }
}

pub fn capacity(bench: &Bench) -> Result<Section> {
    let pools = bench.divided(POOLS);
    progress("decisions by quota");
    let mut drill = Drill::new(usize::try_from(pools)?, LEVELS, 1)?;
    drill.fill();
    let mut measured = Measured::default();
    for at in 0..=bench.size.rounds {
        let mut one = Measured::default();
        measure(&mut drill, &mut one);
        // The first round only warms up.
        if at > 0 {
            measured.join(one);
        }
    }
    Ok(section(pools, &measured))
}

fn measure(drill: &mut Drill, measured: &mut Measured) {
    let began = now();
    let mut elapsed = Vec::with_capacity(DECISIONS);
    for _ in 0..DECISIONS {
        let asked = now();
        let decision = drill.step();
        elapsed.push(asked.elapsed().as_secs_f64());
        measured.mix.add(&decision);
    }
    measured.per_second.push(DECISIONS as f64 / began.elapsed().as_secs_f64());
    let elapsed = Sample::of(elapsed);
    measured.median.push(elapsed.median());
    measured.p99.push(elapsed.quantile(0.99));
    measured.most.push(elapsed.most());
    let waiting = drill.crowd(CROWD);
    let mut books = drill.ledger().clone();
    let began = now();
    let _steps = round(&mut books, &waiting, i64::MAX);
    measured.together.push(CROWD as f64 / began.elapsed().as_secs_f64());
}

impl Measured {
    fn join(&mut self, one: Self) {
        self.per_second.extend(one.per_second);
        self.median.extend(one.median);
        self.p99.extend(one.p99);
        self.most.extend(one.most);
        self.together.extend(one.together);
        self.mix.start += one.mix.start;
        self.mix.reclaim += one.mix.reclaim;
        self.mix.soon += one.mix.soon;
        self.mix.wait += one.mix.wait;
    }
}

fn section(pools: u64, measured: &Measured) -> Section {
    let of = |values: &[f64]| Sample::of(values.to_vec());
    let per_second = of(&measured.per_second);
    let p99 = of(&measured.p99);
    Section {
        title: "(j) Decisions by quota",
        method: format!(
            "The functions by which the simulated fleet decides who may run what, on the books of one flavor in a tree of {pools} logical \
             pools in {LEVELS} levels, one more than admission allows; no server, one core. Each pool without children is guaranteed 4 \
             nodes and may use 8, and there are as many nodes as are guaranteed. Workloads of 1 to 4 nodes come to pools at random, one in \
             eight to a pool that has children; others end; borrowers give back 64 decisions after they were asked, and then those come \
             again for whom they were asked. Of all decisions, {}. A decision is told with what is booked for it. Below: one round of the \
             scheduler over {CROWD} new requests of pools at random, on the same books.",
            measured.mix.text()
        ),
        head: vec!["what", "measured"],
        rows: vec![
            vec!["decisions, 1/s".to_owned(), spread(&per_second, 1.0)],
            vec!["median, µs".to_owned(), spread(&of(&measured.median), 1e6)],
            vec!["p99, µs".to_owned(), spread(&p99, 1e6)],
            vec!["longest, µs".to_owned(), spread(&of(&measured.most), 1e6)],
            vec![
                format!("decisions in a round over {} requests, 1/s", number(CROWD as f64)),
                spread(&of(&measured.together), 1.0),
            ],
        ],
        figures: vec![
            Figure {
                name: "(j) decisions by quota".to_owned(),
                value: per_second.median(),
                unit: " 1/s",
                aim: Aim::AtLeast(20_000.0),
            },
            Figure {
                name: "(j) decisions by quota, p99".to_owned(),
                value: p99.median() * 1e3,
                unit: " ms",
                aim: Aim::AtMost(1.0),
            },
            Figure {
                name: "(j) decisions by quota, in a round over many requests".to_owned(),
                value: of(&measured.together).median(),
                unit: " 1/s",
                aim: Aim::AtLeast(20_000.0),
            },
        ],
    }
}
