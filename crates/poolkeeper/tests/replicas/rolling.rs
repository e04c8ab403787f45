//! One replica after the other is replaced, as an upgrade does it, and no request is turned away.

use crate::cluster::{Cluster, REPLICAS, pools};
use crate::{FLAVOR, PROJECT, breathe, seconds_since, within};
use anyhow::{Context, Result, ensure};
use clock::{Clock, SystemClock};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use testkit::Client;
use tokio::sync::watch;

/// What a load balancer knows: who says that it is ready.
type Ready = Arc<[AtomicBool; REPLICAS]>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_upgrade_turns_no_request_away() -> Result<()> {
    let Some(mut cluster) = Cluster::start(1).await? else {
        return Ok(());
    };
    let outcome = roll(&mut cluster).await;
    outcome.with_context(|| cluster.logs())
}

async fn roll(cluster: &mut Cluster) -> Result<()> {
    let clients = cluster.clients();
    let pool = create(&clients[0]).await?;
    let ready: Ready = Arc::new([const { AtomicBool::new(true) }; REPLICAS]);
    let balancer = tokio::spawn(balance(clients.clone(), Arc::clone(&ready)));
    let (stop, stopped) = watch::channel(false);
    let answered = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..4)
        .map(|number| {
            let sending = send(clients.clone(), number, Arc::clone(&ready), Arc::clone(&answered), stopped.clone());
            tokio::spawn(sending)
        })
        .collect();
    for (number, client) in clients.iter().enumerate() {
        let before = answered.load(Ordering::Relaxed);
        let was_leader = cluster.leader().await? == number;
        // One that would wait for long, and one that would never end.
        let waiting = tokio::spawn(long_wait(client.clone(), pool.clone()));
        let mut watching = client.watch(&format!("{}?watch=true", pools())).await;
        let began = SystemClock.now();
        cluster.replicas[number].signal(Signal::TERM)?;
        let is_told = within(Duration::from_millis(900), async || !cluster.replicas[number].is_ready().await);
        ensure!(is_told.await, "it is still ready after the order to stop");
        // Still there for those who have not heard of it.
        ensure!(client.get(&pools()).await.status == 200, "it is gone before its grace is over");
        while watching.next().await.context("a watch broke off")?.is_some() {}
        let status = waiting.await?.context("a request that waits was broken off")?;
        ensure!(status == 200, "a request that waits was answered {status}");
        cluster.replicas[number].ended().await?;
        let ended = seconds_since(began);
        let next = cluster.leader().await?;
        ensure!(next != number, "it leads although it is gone");
        println!(
            "replica {number} ended after {ended:.2} s{}",
            if was_leader {
                format!(", and {next} leads {:.2} s after the order", seconds_since(began))
            } else {
                String::new()
            }
        );
        cluster.replicas[number].start()?;
        cluster.replicas[number].ready().await?;
        let goes_on = within(Duration::from_secs(5), async || answered.load(Ordering::Relaxed) > before + 20);
        ensure!(goes_on.await, "the load has stopped");
    }
    stop.send_replace(true);
    for sender in senders {
        sender.await??;
    }
    balancer.abort();
    println!("{} requests were answered", answered.load(Ordering::Relaxed));
    Ok(())
}

async fn create(client: &Client) -> Result<String> {
    let body = json!({
        "kind": "Pool", "apiVersion": "v2",
        "metadata": {"labels": {"os.modelarts/name": "pool-roll"}},
        "spec": {"type": "Dedicate", "scope": ["Train"], "network": {"name": format!("network-21e1-{PROJECT}")},
            "resources": [{"flavor": FLAVOR, "count": 2}]}
    });
    let created = client.post(&pools(), &body).await;
    ensure!(created.status == 200, "{}", created.text);
    let path = format!("{}/pool-roll-{PROJECT}", pools());
    ensure!(client.get(&format!("{path}?wait=Ready&timeout=60")).await.status == 200, "no pool");
    Ok(path)
}

async fn long_wait(client: Client, pool: String) -> Result<u16> {
    let target = format!("{pool}?wait=Error&timeout=60");
    Ok(client.try_send(Method::GET, &target, "application/json", Vec::new()).await?.status)
}

async fn balance(clients: Vec<Client>, ready: Ready) {
    loop {
        for (client, is_ready) in clients.iter().zip(ready.iter()) {
            let asked = client.try_send(Method::GET, "/readyz", "", Vec::new());
            let answer = tokio::time::timeout(Duration::from_secs(1), asked).await;
            is_ready.store(matches!(answer, Ok(Ok(answer)) if answer.status == 200), Ordering::Relaxed);
        }
        breathe(Duration::from_millis(50)).await;
    }
}

/// Creates, changes, reads and deletes networks by turns, by whoever is ready. Every answer is to be a success.
async fn send(clients: Vec<Client>, number: usize, ready: Ready, answered: Arc<AtomicUsize>, stop: watch::Receiver<bool>) -> Result<()> {
    let path = format!("{}/pool-roll-{PROJECT}", pools());
    for turn in number.. {
        if *stop.borrow() {
            break;
        }
        let at = (0..REPLICAS)
            .map(|offset| (turn + offset) % REPLICAS)
            .find(|at| ready[*at].load(Ordering::Relaxed))
            .context("nobody is ready")?;
        let body = json!({"metadata": {"annotations": {"os.modelarts/description": format!("turn {turn}")}}});
        let (method, target, body) = match turn % 3 {
            0 => (Method::PATCH, path.as_str(), body.to_string().into_bytes()),
            1 => (Method::GET, path.as_str(), Vec::new()),
            _ => (Method::GET, &*pools(), Vec::new()),
        };
        let target = target.to_owned();
        let sent = clients[at].try_send(method.clone(), &target, "application/json", body).await;
        let answer = sent.with_context(|| format!("{method} {target} to replica {at} got no answer"))?;
        ensure!(
            answer.status == 200,
            "{method} {target} to replica {at}: {} {}",
            answer.status,
            answer.text
        );
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
