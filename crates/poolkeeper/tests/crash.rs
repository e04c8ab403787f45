//! The real binary, killed at random moments while clients create, patch and delete: nothing that was answered 200 is lost,
//! nothing is half done, and every pool reaches its spec.

use anyhow::{Context, Result};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use testkit::Client;
use testkit::client::Credential;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const PROJECT: &str = "6f5da086876d4cd084d36f8bd3346036";
const TOKEN: &str = "crash-test-admin-token";
const FLAVOR: &str = "modelarts.vm.cpu.8ud";
const ROUNDS: usize = 12;
const CLIENTS: usize = 4;

/// What a client knows of one of its pools.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    count: u64,
    description: String,
}

/// What may be true of a pool: the last acknowledged state, or that of the request that got no answer.
#[derive(Debug, Clone)]
struct Belief {
    acknowledged: Option<Known>,
    in_doubt: Doubt,
}

impl Belief {
    fn allows(&self, seen: Option<&Known>) -> bool {
        self.acknowledged.as_ref() == seen || matches!(&self.in_doubt, Doubt::Perhaps(state) if state.as_ref() == seen)
    }
}

/// What a request without an answer may have led to.
#[derive(Debug, Clone)]
enum Doubt {
    None,
    Perhaps(Option<Known>),
}

type Beliefs = BTreeMap<String, Belief>;

struct Server {
    child: Child,
    client: Client,
}

impl Server {
    async fn start(data: &Path) -> Result<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_poolkeeper"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--fleet-speed",
                "0.0005",
                "--rate-limit",
                "0",
                "--log-level",
                "warn,audit=off",
                "--data",
            ])
            .arg(data)
            .env("POOLKEEPER_DEMO_ADMIN_TOKEN", TOKEN)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().context("the server has no output")?;
        let mut lines = BufReader::new(output).lines();
        let url = loop {
            let line = lines.next_line().await?.context("the server ended before it printed its address")?;
            if let Some(at) = line.find("http://127.0.0.1:") {
                break line[at..]
                    .split([' ', '\'', '"'])
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches('/')
                    .to_owned();
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let client = Client::new(url, Credential::Token(TOKEN.to_owned()), Arc::new(clock::SystemClock));
        Ok(Self { child, client })
    }

    async fn kill(mut self) -> Result<()> {
        self.child.kill().await?;
        Ok(())
    }
}

fn pools() -> String {
    format!("/v2/{PROJECT}/pools")
}

fn state(pool: &Value) -> Option<Known> {
    if pool["metadata"].get("deletionTimestamp").is_some() {
        return None;
    }
    Some(Known {
        count: pool["spec"]["resources"][0]["count"].as_u64()?,
        description: pool["metadata"]["annotations"]["os.modelarts/description"].as_str()?.to_owned(),
    })
}

/// One client: random requests about pools of its own until the server is gone.
async fn work(client: Client, own: usize, seed: u64, mut beliefs: Beliefs) -> Beliefs {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    loop {
        let display = format!("pool-{own}-{}", random.random_range(0..3));
        let name = format!("{display}-{PROJECT}");
        let belief = beliefs.get(&name).cloned().unwrap_or(Belief {
            acknowledged: None,
            in_doubt: Doubt::None,
        });
        let (request, wanted) = choose(&mut random, &display, belief.acknowledged.as_ref());
        let (method, target, body) = request;
        beliefs.insert(
            name.clone(),
            Belief {
                in_doubt: Doubt::Perhaps(wanted.clone()),
                ..belief.clone()
            },
        );
        let sent = client
            .try_send(method, &target, "application/json", body.to_string().into_bytes())
            .await;
        let Ok(answer) = sent else { return beliefs };
        let acknowledged = match answer.status {
            200 => wanted,
            // Refused: still creating or deleting, for example. It changed nothing.
            400..500 => belief.acknowledged,
            _ => return beliefs,
        };
        beliefs.insert(
            name,
            Belief {
                acknowledged,
                in_doubt: Doubt::None,
            },
        );
    }
}

type Request = (Method, String, Value);

fn choose(random: &mut ChaCha8Rng, display: &str, known: Option<&Known>) -> (Request, Option<Known>) {
    let path = format!("{}/{display}-{PROJECT}", pools());
    let count = random.random_range(1..5_u64);
    let description = format!("text {}", random.random_range(0..1000));
    let resources = json!([{"flavor": FLAVOR, "count": count}]);
    match known {
        None => {
            let body = json!({
                "kind": "Pool", "apiVersion": "v2",
                "metadata": {"labels": {"os.modelarts/name": display}, "annotations": {"os.modelarts/description": description}},
                "spec": {"type": "Dedicate", "scope": ["Train"], "network": {"name": format!("network-21e1-{PROJECT}")}, "resources": resources}
            });
            ((Method::POST, pools(), body), Some(Known { count, description }))
        }
        Some(_) if random.random_range(0..8) == 0 => ((Method::DELETE, path, json!({})), None),
        Some(known) if random.random_range(0..2) == 0 => {
            let body = json!({"metadata": {"annotations": {"os.modelarts/description": description}}});
            (
                (Method::PATCH, path, body),
                Some(Known {
                    description,
                    ..known.clone()
                }),
            )
        }
        Some(known) => (
            (Method::PATCH, path, json!({"spec": {"resources": resources}})),
            Some(Known { count, ..known.clone() }),
        ),
    }
}

/// Compares what is with what was acknowledged, and settles what was in doubt.
async fn verify(client: &Client, beliefs: &mut Beliefs) -> Result<()> {
    for (name, belief) in beliefs.iter_mut() {
        let answer = client.get(&format!("{}/{name}", pools())).await;
        let seen = if answer.status == 200 { state(&answer.body) } else { None };
        anyhow::ensure!(belief.allows(seen.as_ref()), "{name} is {seen:?}, believed was {belief:?}");
        if answer.status == 200 {
            let order = answer.body["metadata"]["labels"]["os.modelarts/order.name"]
                .as_str()
                .unwrap_or_default();
            let shown = client.get(&format!("/v1/{PROJECT}/orders/{order}")).await;
            anyhow::ensure!(shown.status == 200, "{name} has no order {order:?}");
        }
        *belief = Belief {
            acknowledged: seen,
            in_doubt: Doubt::None,
        };
    }
    Ok(())
}

/// Everything comes to rest: pools are as their spec says, deleted ones are gone, the quota agrees.
async fn settle(client: &Client, beliefs: &Beliefs) -> Result<()> {
    let mut alive = 0;
    for (name, belief) in beliefs {
        let path = format!("{}/{name}", pools());
        if let Some(known) = &belief.acknowledged {
            alive += 1;
            let pool = client.get(&format!("{path}?wait=Ready&timeout=60")).await.ok();
            let nodes = client.get(&format!("{path}/nodes")).await.ok();
            let available = nodes["items"].as_array().map_or(0, |nodes| {
                nodes.iter().filter(|node| node["status"]["phase"] == "Available").count()
            });
            anyhow::ensure!(
                available as u64 == known.count && pool["status"]["phase"] == "Running",
                "{name} did not come to rest: {pool:#}"
            );
        } else {
            let answer = client.get(&format!("{path}?wait=Gone&timeout=60")).await;
            anyhow::ensure!(answer.status == 404, "{name} is still there: {}", answer.text);
        }
    }
    let quotas = client.get(&format!("/v1/{PROJECT}/quotas")).await.ok();
    anyhow::ensure!(
        quotas["quotas"]["resources"][0]["used"] == alive,
        "the quota counts otherwise: {quotas}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_being_killed() -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut random = ChaCha8Rng::seed_from_u64(21);
    let mut beliefs: Vec<Beliefs> = vec![Beliefs::new(); CLIENTS];
    for round in 0..ROUNDS {
        let server = Server::start(data.path()).await?;
        for own in &mut beliefs {
            verify(&server.client, own).await.with_context(|| format!("round {round}"))?;
        }
        let clients: Vec<_> = beliefs
            .iter()
            .enumerate()
            .map(|(own, known)| tokio::spawn(work(server.client.clone(), own, random.random(), known.clone())))
            .collect();
        let moment = Duration::from_millis(random.random_range(20..500));
        #[expect(clippy::disallowed_methods, reason = "the random moment of the kill is what is tested")]
        tokio::time::sleep(moment).await;
        server.kill().await?;
        beliefs.clear();
        for client in clients {
            beliefs.push(client.await?);
        }
    }
    let server = Server::start(data.path()).await?;
    for own in &mut beliefs {
        verify(&server.client, own).await?;
    }
    let all: Beliefs = beliefs.into_iter().flatten().collect();
    anyhow::ensure!(all.len() > CLIENTS, "the clients did nothing");
    settle(&server.client, &all).await
}
