//! Three replicas of the real program on one PostgreSQL, under load, while processes are killed and stopped and lines cut.
//!
//! Nothing that was acknowledged is lost, no node has two machines, every pool reaches its spec, no order of a holder whose
//! lease is over is carried out, and whoever reads with a revision sees what was written elsewhere.

mod autopsy;
mod cluster;
mod history;
mod proxy;
mod rolling;
mod users;

use anyhow::{Context, Result, ensure};
use clock::{Clock, Entropy, SystemClock, SystemEntropy};
use cluster::{Cluster, REPLICAS, Replica, STALE, TTL, lasting, pools};
use proxy::Line;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::watch;
use users::User;

const PROJECT: &str = "6f5da086876d4cd084d36f8bd3346036";
const TOKEN: &str = "replica-test-admin-token";
const FLAVOR: &str = "modelarts.vm.cpu.8ud";
const USERS: usize = 4;
/// A write that was answered by one replica is seen on the others by then. It should be within a second, and is, on a machine that
/// has time (0.04 to 0.55 s were measured); what was measured is printed.
const SEEN_WITHIN: Duration = Duration::from_secs(5);
/// From the end of the one that reconciles to the next step of another: the lease runs out, somebody asks for it, makes a step. About
/// the length of the lease, on a machine that has time.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(20);
/// Who has lost the lease says so by then.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(10);

/// Waits; for faults to last, and for what can only be asked for.
pub async fn breathe(duration: Duration) {
    let until = SystemClock.now().saturating_add(duration).unwrap_or(jiff::Timestamp::MAX);
    SystemClock.sleep_until(until).await;
}

/// Whether something comes true in time.
pub async fn within(limit: Duration, mut holds: impl AsyncFnMut() -> bool) -> bool {
    let asking = async {
        while !holds().await {
            breathe(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(limit, asking).await.is_ok()
}

fn seconds_since(begin: jiff::Timestamp) -> f64 {
    SystemClock.now().duration_since(begin).as_secs_f64()
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    KillLeader,
    KillAny,
    PauseLeader,
    CutAll,
    CutLeader,
    SilenceLeader,
    Slow,
}

const FAULTS: [Fault; 7] = [
    Fault::KillLeader,
    Fault::KillAny,
    Fault::PauseLeader,
    Fault::CutAll,
    Fault::CutLeader,
    Fault::SilenceLeader,
    Fault::Slow,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_lose_nothing_and_double_nothing() -> Result<()> {
    let given = std::env::var("POOLKEEPER_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| SystemEntropy.next_u64());
    println!("POOLKEEPER_TEST_SEED={seed}");
    let Some(mut cluster) = Cluster::start(0).await? else {
        return Ok(());
    };
    let Err(failure) = live(&mut cluster, seed).await else {
        return Ok(());
    };
    let found = autopsy::look(&cluster, &format!("{failure:#}")).await;
    let history = history::check(&cluster);
    Err(failure.context(format!("seed {seed}\n{}\nhistory: {history:?}\n{found}", cluster.logs())))
}

async fn live(cluster: &mut Cluster, seed: u64) -> Result<()> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    history::begin(cluster)?;
    let mut users: Vec<User> = (0..USERS).map(|number| User::new(number, seed, cluster.clients())).collect();
    let mut faults = FAULTS;
    faults.shuffle(&mut random);
    for fault in faults {
        let began = SystemClock.now();
        let (stop, stopped) = watch::channel(false);
        let working: Vec<_> = users.into_iter().map(|user| tokio::spawn(user.work(stopped.clone()))).collect();
        let told = strike(cluster, fault, &mut random).await.with_context(|| format!("{fault:?}"))?;
        stop.send_replace(true);
        users = Vec::new();
        for user in working {
            users.push(user.await?.with_context(|| format!("{fault:?}"))?);
        }
        cluster.ready().await?;
        let leader = cluster.leader().await?;
        let mut machines = 0;
        for user in &mut users {
            user.verify().await.with_context(|| format!("after {fault:?}"))?;
            machines += user.settle().await.with_context(|| format!("after {fault:?}"))?;
        }
        agree(cluster, machines).await.with_context(|| format!("after {fault:?}"))?;
        let delay = seen_elsewhere(cluster, &mut random).await?;
        println!(
            "{fault:?}: {told}; replica {leader} leads; a write was seen elsewhere after {delay:.3} s; all of it took {:.1} s",
            seconds_since(began)
        );
    }
    let seen = history::check(cluster)?;
    let (acknowledged, checked) = users
        .iter()
        .fold((0, 0), |(writes, reads), user| (writes + user.acknowledged, reads + user.checked));
    println!("{acknowledged} writes were acknowledged, {checked} reads held against them; {seen:?}");
    ensure!(acknowledged > 50 && checked > 50, "the users did next to nothing");
    ensure!(
        seen.commands > 50 && seen.others > 10 && seen.epochs >= 3 && seen.nodes > 10,
        "the fleet did next to nothing: {seen:?}"
    );
    Ok(())
}

/// Lets a fault happen and end. Gives what was measured.
async fn strike(cluster: &mut Cluster, fault: Fault, random: &mut ChaCha8Rng) -> Result<String> {
    let leader = cluster.leader().await?;
    // There is something to do.
    lasting(Duration::from_millis(random.random_range(300..1_500))).await;
    match fault {
        Fault::KillLeader => {
            cluster.replicas[leader].kill().await?;
            let told = taken_over(cluster, leader).await?;
            cluster.replicas[leader].start()?;
            Ok(told)
        }
        Fault::KillAny => {
            for _ in 0..3 {
                let any = random.random_range(0..REPLICAS);
                cluster.replicas[any].kill().await?;
                lasting(Duration::from_millis(random.random_range(0..1_000))).await;
                cluster.replicas[any].start()?;
                cluster.replicas[any].ready().await?;
            }
            Ok("three times".to_owned())
        }
        Fault::PauseLeader => {
            cluster.replicas[leader].signal(Signal::STOP)?;
            let told = taken_over(cluster, leader).await?;
            lasting(TTL).await;
            cluster.replicas[leader].signal(Signal::CONT)?;
            let gives_up = within(GIVEN_UP_WITHIN, async || cluster.replicas[leader].leads().await == Some(false));
            ensure!(gives_up.await, "who slept past its lease still says that it leads");
            Ok(told)
        }
        Fault::CutAll => cut_all(cluster).await,
        Fault::CutLeader => {
            cluster.lines[leader].set(Line::Cut);
            let told = taken_over(cluster, leader).await?;
            cluster.lines[leader].set(Line::Good);
            Ok(told)
        }
        Fault::SilenceLeader => {
            cluster.lines[leader].set(Line::Silent);
            let told = taken_over(cluster, leader).await?;
            let gives_up = within(GIVEN_UP_WITHIN, async || cluster.replicas[leader].leads().await == Some(false));
            ensure!(gives_up.await, "who hears nothing of the database still says that it leads");
            cluster.lines[leader].set(Line::Good);
            Ok(told)
        }
        Fault::Slow => {
            cluster.set_lines(Line::Slow(Duration::from_millis(random.random_range(10..50))));
            lasting(Duration::from_secs(6)).await;
            cluster.set_lines(Line::Good);
            Ok("for 6 s".to_owned())
        }
    }
}

/// Waits until another one than `gone` has made a step.
async fn taken_over(cluster: &Cluster, gone: usize) -> Result<String> {
    let began = SystemClock.now();
    let others = || cluster.replicas.iter().enumerate().filter(move |(number, _)| *number != gone);
    let mut before = Vec::new();
    for (_, replica) in others() {
        before.push(replica.steps().await);
    }
    let has_stepped = within(TAKEN_OVER_WITHIN, async || {
        for ((_, replica), before) in others().zip(&before) {
            if replica.leads().await == Some(true) && replica.steps().await > *before {
                return true;
            }
        }
        false
    });
    ensure!(has_stepped.await, "nobody has made a step after {TAKEN_OVER_WITHIN:?}");
    Ok(format!("the next step was done {:.2} s later", seconds_since(began)))
}

/// The database is away for ten seconds. Reads are answered for a while; what is refused says when to come again.
async fn cut_all(cluster: &Cluster) -> Result<String> {
    let began = SystemClock.now();
    cluster.set_lines(Line::Cut);
    for replica in &cluster.replicas {
        let answer = replica.get(&pools()).await.context("no answer without the database")?;
        ensure!(answer.status == 200, "a read just after the cut: {}", answer.text);
        ensure!(replica.is_ready().await, "not ready just after the cut");
    }
    let left = || Duration::from_secs_f64((10.0 - seconds_since(began)).max(0.1));
    for replica in &cluster.replicas {
        let refuses = within(left(), async || {
            let refused = replica.get(&pools()).await;
            refused.is_some_and(|answer| answer.status == 503 && answer.header("retry-after") == "1") && !replica.is_ready().await
        });
        ensure!(
            refuses.await,
            "reads are answered, or it is ready, long after {STALE:?} without the database"
        );
        // The store may have been heard of a little after the index last had everything.
        let refuses = within(left(), async || {
            let write = replica.client.post(&pools(), &json!({"kind": "Pool"})).await;
            write.status == 503 && write.header("retry-after") == "1"
        });
        ensure!(refuses.await, "writes are not refused long after {STALE:?} without the database");
        ensure!(
            replica.get("/healthz").await.is_some_and(|answer| answer.status == 200),
            "it does not live"
        );
        ensure!(replica.leads().await == Some(false), "it leads without the database");
    }
    lasting(left()).await;
    cluster.set_lines(Line::Good);
    let back = SystemClock.now();
    cluster.ready().await?;
    Ok(format!(
        "all were ready again {:.2} s after the database was back",
        seconds_since(back)
    ))
}

/// All replicas show the same pools, and the fleet has a machine for each node, and no others.
async fn agree(cluster: &Cluster, wanted: u64) -> Result<()> {
    let mut bound = Vec::new();
    let mut differing = Vec::new();
    let all_agree = within(Duration::from_secs(30), async || {
        let (mut lists, mut machines) = (Vec::new(), Vec::new());
        for replica in &cluster.replicas {
            lists.push(replica.get(&pools()).await.map(|answer| answer.body));
            machines.push(machines_of(replica).await);
        }
        bound = bound_to(machines[0].as_deref());
        differing.clear();
        differing.extend(differs(&lists).then_some("pools"));
        differing.extend(differs(&machines).then_some("machines"));
        differing.is_empty() && bound.len() as u64 == wanted
    });
    if !all_agree.await {
        let count = bound.len();
        let nodes = nodes_of(cluster).await;
        let lost: Vec<_> = nodes.iter().filter(|(_, node)| !bound.contains(node)).collect();
        anyhow::bail!("{count} machines are bound where {wanted} are wanted, and none to {lost:?}; the replicas differ in {differing:?}");
    }
    bound.sort();
    bound.dedup();
    ensure!(bound.len() as u64 == wanted, "a node has two machines");
    Ok(())
}

fn differs<T: PartialEq>(all: &[Option<T>]) -> bool {
    all.iter().any(|one| one.is_none() || *one != all[0])
}

/// All machines, page after page: users register more than one page has.
async fn machines_of(replica: &Replica) -> Option<Vec<Value>> {
    let mut all = Vec::new();
    let mut path = "/admin/v1/machines".to_owned();
    loop {
        let page = replica.get(&path).await?.body;
        all.extend(page["machines"].as_array()?.iter().cloned());
        let Some(next) = page["metadata"]["continue"].as_str() else {
            return Some(all);
        };
        path = format!("/admin/v1/machines?continue={next}");
    }
}

/// The nodes that have a machine.
fn bound_to(machines: Option<&[Value]>) -> Vec<String> {
    let nodes = machines.into_iter().flatten().filter_map(|machine| machine["node"].as_str());
    nodes.map(ToOwned::to_owned).collect()
}

/// Pools and their nodes on the first replica.
async fn nodes_of(cluster: &Cluster) -> Vec<(String, String)> {
    let replica = &cluster.replicas[0];
    let all = replica.get(&pools()).await.map(|answer| answer.body).unwrap_or_default();
    let mut found = Vec::new();
    for pool in all["items"].as_array().into_iter().flatten() {
        let name = pool["metadata"]["name"].as_str().unwrap_or_default();
        let nodes = replica.get(&format!("{}/{name}/nodes", pools())).await;
        let nodes = nodes.map(|answer| answer.body).unwrap_or_default();
        let nodes = nodes["items"].as_array().into_iter().flatten();
        let nodes = nodes.filter_map(|node| node["metadata"]["name"].as_str());
        found.extend(nodes.map(|node| (name.to_owned(), node.to_owned())));
    }
    found
}

/// Seconds until what one replica has acknowledged is seen on the others, without asking for it.
async fn seen_elsewhere(cluster: &Cluster, random: &mut ChaCha8Rng) -> Result<f64> {
    let writer = random.random_range(0..REPLICAS);
    let path = format!("/v1/{PROJECT}/networks/network-21e1-{PROJECT}");
    let text = format!("seen {}", random.random::<u32>());
    let began = SystemClock.now();
    let body = json!({"metadata": {"annotations": {"os.modelarts/description": text}}});
    let written = cluster.replicas[writer].client.patch(&path, &body).await;
    ensure!(written.status == 200, "{}", written.text);
    for replica in &cluster.replicas {
        let is_seen = within(SEEN_WITHIN, async || {
            let shown = replica.get(&path).await;
            shown.is_some_and(|answer| answer.text.contains(&text))
        });
        ensure!(is_seen.await, "a write is not seen elsewhere after {SEEN_WITHIN:?}");
    }
    Ok(seconds_since(began))
}
