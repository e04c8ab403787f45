//! One pool with very many nodes, events and workloads.
//!
//! The pool is made over HTTP and one workload by the fleet. The others are that one's record with other ids, waiting, so that the
//! fleet decides on them when it starts; events are written as the reconciler writes them.

use super::{FLAVOR, PROJECT, Shape, World, all, config, display_name, overrides, seed};
use anyhow::{Context, Result, ensure};
use clock::{Clock, SystemClock};
use domain::event::{Counters, Event, Occurrence};
use domain::meta::Uid;
use domain::name::FlavorName;
use domain::pool::Pool;
use domain::workload::WorkloadKind;
use fleet::sim::Submission;
use jiff::{SignedDuration, Timestamp};
use poolkeeper::config::Config;
use poolkeeper::server::Server;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use store::object::Machine;
use store::{Batch, Expect, Kind, Object, Store, Write};
use store_sql::{Options, SqlStore};

/// How many there are of each.
#[derive(Debug, Clone, Copy)]
pub struct Crowd {
    pub nodes: u64,
    pub events: u64,
    pub workloads: u64,
}

/// Id of the workload that is copied.
const TEMPLATE: &str = "01a1fcff754579589c07a9cf0b0dbdf4";
/// Between one event and the next: all of them lie within the time for which events are kept.
const BETWEEN_EVENTS: SignedDuration = SignedDuration::from_secs(200);
/// One workload in so many is over.
const OVER: u64 = 25;

impl World {
    /// A folder with the first of the prepared pools, and all this in it.
    pub fn crowded(folder: PathBuf, crowd: Crowd) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let config = config(&folder);
            let shape = Shape {
                pools: 1,
                nodes_per_pool: crowd.nodes,
                free: 0,
            };
            seed(&config, shape).await?;
            submit(&config).await?;
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let now = clock.now();
            let store = SqlStore::open(Options::new(config.store_url(), clock)).await?;
            fill(&store, crowd, now).await?;
            store.close().await;
            Ok(Self { folder })
        })
    }
}

/// Has the fleet take one workload.
async fn submit(config: &Config) -> Result<()> {
    let server = Server::start(config, overrides()).await?;
    let name = format!("{}-{PROJECT}", display_name(0));
    let pool = server.state.index().read().get::<Pool>(PROJECT, &name).context("no pool")?;
    let submission = Submission {
        uid: Uid::from_text(TEMPLATE),
        name: format!("job-{TEMPLATE}"),
        job_name: "training-of-the-benchmarks".to_owned(),
        kind: WorkloadKind::Train,
        owner: "ada".to_owned(),
        flavor: FlavorName::parse(FLAVOR)?,
        nodes: 1,
        resources: [("cpu", "7920m"), ("memory", "29491Mi")].into_iter().collect(),
        priority: 1,
        lasting: Some(SignedDuration::from_hours(24 * 365)),
        retries: 2,
    };
    server.simulated()?.submit(&pool.uid, &pool.uid, submission).await??;
    server.stop().await
}

async fn fill(store: &SqlStore, crowd: Crowd, now: Timestamp) -> Result<()> {
    let mut batch = Batch::default();
    let pool = all(store, Kind::Pool).await?.pop().context("no pool")?;
    let Object::Pool(pool) = Object::decode(&pool)? else {
        anyhow::bail!("a pool that is none");
    };
    let mut pool = Pool::clone(&pool);
    for sequence in pool.status.event_sequence + 1..=crowd.events {
        let age = BETWEEN_EVENTS
            .checked_mul(i32::try_from(crowd.events - sequence)?)
            .context("too old")?;
        batch.writes.push(put(event(&pool, sequence, now.checked_sub(age)?).into())?);
    }
    pool.status.event_sequence = pool.status.event_sequence.max(crowd.events);
    batch.writes.push(put(pool.into())?);
    let machines = all(store, Kind::Machine).await?;
    let work = machines.iter().find(|record| record.key.name.ends_with(TEMPLATE));
    let Object::Machine(work) = Object::decode(work.context("no workload")?)? else {
        anyhow::bail!("a workload that is none");
    };
    for number in 1..crowd.workloads {
        batch.writes.push(put(workload(&work, number, now)?.into())?);
    }
    store.commit(batch).await?;
    Ok(())
}

fn put(object: Object) -> Result<Write> {
    Ok(Write::Put {
        key: object.key(),
        body: object.encode()?,
        expect: Expect::Any,
    })
}

fn event(pool: &Pool, sequence: u64, at: Timestamp) -> Event {
    let counters = |abnormal: u32| Counters {
        available: 2_000 - abnormal,
        abnormal,
        ..Counters::default()
    };
    let is_warning = sequence.is_multiple_of(10);
    let (from, to) = if is_warning { (0, 1) } else { (1, 0) };
    Occurrence::counters_change(counters(from), counters(to), at).at(pool.uid.clone(), sequence, at)
}

/// One in [`OVER`] is over, the others wait. Some are larger or more important than others, and one in four is an inference.
fn workload(template: &Machine, number: u64, now: Timestamp) -> Result<Machine> {
    let uid = format!("{}{number:08x}{}", &TEMPLATE[..12], &TEMPLATE[20..]);
    let mut state = template.state.clone();
    let created_at = now.checked_sub(SignedDuration::from_secs(100_000 - i64::try_from(number)?))?;
    state["number"] = json!(state["number"].as_u64().context("a workload without a number")? + number);
    state["created_at"] = json!(created_at);
    state["state"] = if number.is_multiple_of(OVER) {
        json!({"Over": {"started_at": created_at, "at": now, "how": "Completed"}})
    } else {
        json!("Waiting")
    };
    let submission = &mut state["submission"];
    ensure!(submission["uid"] == json!(TEMPLATE), "a workload of another form");
    submission["uid"] = json!(uid);
    submission["name"] = json!(format!("job-{uid}"));
    submission["priority"] = json!(1 + number % 3);
    submission["nodes"] = json!(1 + number % 2);
    if number.is_multiple_of(4) {
        submission["kind"] = Value::String("Infer".to_owned());
    }
    Ok(Machine {
        id: template.id.replace(TEMPLATE, &uid),
        state,
    })
}
