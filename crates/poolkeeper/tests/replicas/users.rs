//! Users who send what they want to any replica, again under the same key until somebody answers, and hold what they read
//! against what was acknowledged.

use crate::cluster::pools;
use crate::{FLAVOR, PROJECT, breathe};
use anyhow::{Context, Result, ensure};
use clock::{Clock, SystemClock};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use testkit::Client;
use testkit::client::Answer;
use tokio::sync::watch;

/// How long an answer may take before another replica is asked.
const PATIENCE: Duration = Duration::from_secs(3);
/// For how many attempts a user goes on.
const ATTEMPTS: usize = 60;
const POOLS: u64 = 2;
/// Requests of a user that are remembered.
const LOGGED: usize = 30;

/// What is known of a pool that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub count: u64,
    pub description: String,
    pub is_physical: bool,
}

/// A pool as its user believes it to be. `None`: it is not there, or going.
#[derive(Debug, Clone, Default)]
pub struct Belief {
    pub known: Option<Known>,
    pub doubt: Doubt,
}

/// What a pool may be instead: of a request whose outcome nobody has told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Doubt {
    #[default]
    None,
    Perhaps(Option<Known>),
}

pub struct User {
    number: usize,
    random: ChaCha8Rng,
    clients: Vec<Client>,
    /// The newest revision that this user has been shown.
    pub seen: u64,
    pub beliefs: BTreeMap<String, Belief>,
    pub acknowledged: usize,
    pub checked: usize,
    /// What was asked for and answered last, for who looks for the cause of a failure.
    log: VecDeque<String>,
}

/// What is read of a pool.
pub fn state(pool: &Value) -> Option<Known> {
    if pool["metadata"].get("deletionTimestamp").is_some() {
        return None;
    }
    Some(Known {
        count: pool["spec"]["resources"][0]["count"].as_u64()?,
        description: pool["metadata"]["annotations"]["os.modelarts/description"].as_str()?.to_owned(),
        is_physical: pool["spec"]["type"] != "Logical",
    })
}

struct Wish {
    name: String,
    method: Method,
    target: String,
    body: Value,
    result: Option<Known>,
}

impl User {
    pub fn new(number: usize, seed: u64, clients: Vec<Client>) -> Self {
        Self {
            number,
            random: ChaCha8Rng::seed_from_u64(seed.wrapping_mul(97) + number as u64),
            clients,
            seen: 0,
            beliefs: BTreeMap::new(),
            acknowledged: 0,
            checked: 0,
            log: VecDeque::new(),
        }
    }

    /// Wishes and reads until told to stop.
    pub async fn work(mut self, stop: watch::Receiver<bool>) -> Result<Self> {
        while !*stop.borrow() {
            let Some(wish) = self.wish() else {
                breathe(Duration::from_millis(20)).await;
                continue;
            };
            if let Err(failure) = self.want(wish).await {
                let log: Vec<String> = self.log.into_iter().collect();
                return Err(failure.context(format!("user {}:\n{}", self.number, log.join("\n"))));
            }
        }
        Ok(self)
    }

    fn tell(&mut self, line: String) {
        self.log.push_back(format!("{} {line}", SystemClock.now()));
        if self.log.len() > LOGGED {
            self.log.pop_front();
        }
    }

    /// What it wants of one of its pools; of those in doubt it wants nothing.
    fn wish(&mut self) -> Option<Wish> {
        let number = self.random.random_range(0..POOLS);
        let parent = format!("pool-{}-{number}-{PROJECT}", self.number);
        let child = format!("sub-{}-{number}-{PROJECT}", self.number);
        let parent_known = self.beliefs.get(&parent).is_some_and(|belief| belief.known.is_some());
        let is_child = parent_known && self.random.random_range(0..3) == 0;
        let name = if is_child { child.clone() } else { parent.clone() };
        let has_child = self
            .beliefs
            .get(&child)
            .is_some_and(|belief| belief.known.is_some() || belief.doubt != Doubt::None);
        let belief = self.beliefs.get(&name).cloned().unwrap_or_default();
        if belief.doubt != Doubt::None {
            return None;
        }
        let target = format!("{}/{name}", pools());
        let count = if is_child { 1 } else { self.random.random_range(1..4_u64) };
        let description = format!("text {}", self.random.random_range(0..100_000));
        let resources = json!([{"flavor": FLAVOR, "count": count}]);
        let Some(known) = belief.known else {
            let spec = if is_child {
                json!({"type": "Logical", "parent": parent, "resources": resources})
            } else {
                let network = format!("network-21e1-{PROJECT}");
                json!({"type": "Dedicate", "scope": ["Train"], "network": {"name": network}, "resources": resources})
            };
            let display = name.trim_end_matches(&format!("-{PROJECT}")).to_owned();
            let body = json!({
                "kind": "Pool", "apiVersion": "v2", "spec": spec,
                "metadata": {"labels": {"os.modelarts/name": display}, "annotations": {"os.modelarts/description": description}},
            });
            let result = Some(Known {
                count,
                description,
                is_physical: !is_child,
            });
            return Some(Wish {
                name,
                method: Method::POST,
                target: pools(),
                body,
                result,
            });
        };
        let (method, body, result) = match self.random.random_range(0..8) {
            0 if !has_child || is_child => (Method::DELETE, json!({}), None),
            1..4 if !is_child => {
                let result = Known { count, ..known };
                (Method::PATCH, json!({"spec": {"resources": resources}}), Some(result))
            }
            _ => {
                let body = json!({"metadata": {"annotations": {"os.modelarts/description": description}}});
                (Method::PATCH, body, Some(Known { description, ..known }))
            }
        };
        Some(Wish {
            name,
            method,
            target,
            body,
            result,
        })
    }

    async fn want(&mut self, wish: Wish) -> Result<()> {
        let (answer, is_certain) = self.exchange(&wish).await?;
        let belief = self.beliefs.entry(wish.name.clone()).or_default();
        match answer.map(|answer| (answer.status, answer)) {
            Some((200, _)) => {
                belief.known = wish.result;
                self.acknowledged += 1;
            }
            // An attempt whose answer was lost has deleted it.
            Some((404, _)) if wish.result.is_none() && !is_certain => belief.known = None,
            Some((404, answer)) if belief.known.is_some() => {
                anyhow::bail!("{} was acknowledged, and is not there: {}", wish.name, answer.text);
            }
            // Refused: still creating or deleting, for example. Unless another attempt is still on its way, nothing has changed.
            Some(_) if is_certain => {}
            Some(_) | None => belief.doubt = Doubt::Perhaps(wish.result),
        }
        if self.beliefs[&wish.name].doubt == Doubt::None {
            self.read(&wish.name).await?;
        }
        match self.random.random_range(0..6) {
            0 => self.reboot(&wish.name).await,
            1 => self.register().await?,
            _ => {}
        }
        Ok(())
    }

    /// Sends a request to one replica after the other until one answers. `false`: an attempt may still be on its way.
    async fn exchange(&mut self, wish: &Wish) -> Result<(Option<Answer>, bool)> {
        let key = format!("{:016x}", self.random.random::<u64>());
        let mut is_certain = true;
        for _ in 0..ATTEMPTS {
            let client = self.any().with_header("idempotency-key", &key);
            let body = wish.body.to_string().into_bytes();
            let sent = client.try_send(wish.method.clone(), &wish.target, "application/json", body);
            let answered = tokio::time::timeout(PATIENCE, sent).await;
            let outcome = match &answered {
                Ok(Ok(answer)) => format!("{} at revision {}", answer.status, answer.header("x-poolkeeper-revision")),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            self.tell(format!("{} {} {} {key}: {outcome}", wish.method, wish.name, wish.body));
            match answered {
                Ok(Ok(answer)) if answer.status < 500 => {
                    self.note(&answer);
                    return Ok((Some(answer), is_certain));
                }
                Ok(Ok(answer)) => {
                    is_certain = false;
                    ensure!(
                        answer.status == 503 && !answer.header("retry-after").is_empty(),
                        "{} {}: {} {}",
                        wish.method,
                        wish.target,
                        answer.status,
                        answer.text
                    );
                }
                Ok(Err(_)) | Err(_) => is_certain = false,
            }
            breathe(Duration::from_millis(100)).await;
        }
        Ok((None, false))
    }

    /// Any replica, which is to know at least what this user has been shown.
    fn any(&mut self) -> Client {
        let at = self.random.random_range(0..self.clients.len());
        self.clients[at].with_header("x-poolkeeper-revision", &self.seen.to_string())
    }

    fn note(&mut self, answer: &Answer) {
        let revision = answer.header("x-poolkeeper-revision").parse().unwrap_or(0);
        self.seen = self.seen.max(revision);
    }

    /// Any replica shows what was acknowledged, if it answers at all.
    async fn read(&mut self, name: &str) -> Result<()> {
        let path = format!("{}/{name}", pools());
        let client = self.any();
        let sent = client.try_send(Method::GET, &path, "application/json", Vec::new());
        let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, sent).await else {
            return Ok(());
        };
        if answer.status >= 500 {
            return Ok(());
        }
        self.note(&answer);
        let known = &self.beliefs[name].known;
        let seen = if answer.status == 200 { state(&answer.body) } else { None };
        ensure!(
            *known == seen,
            "{name} is {seen:?} after revision {}, acknowledged was {known:?}",
            self.seen
        );
        self.checked += 1;
        Ok(())
    }

    /// Asks for a reboot of a node, if there is one. That changes nothing that is believed.
    async fn reboot(&mut self, name: &str) {
        let path = format!("{}/{name}/nodes", pools());
        let client = self.any();
        let work = async {
            let nodes = client.try_send(Method::GET, &path, "application/json", Vec::new()).await.ok()?;
            let node = nodes.body["items"][0]["metadata"]["name"].as_str()?.to_owned();
            let body = json!({"nodeNames": [node]}).to_string().into_bytes();
            client
                .try_send(Method::POST, &format!("{path}/batch-reboot"), "application/json", body)
                .await
                .ok()
        };
        // Whatever it says.
        let _answered = tokio::time::timeout(PATIENCE, work).await;
    }

    /// Registers a machine at one replica, which every other one then has.
    async fn register(&mut self) -> Result<()> {
        let id = format!("own-{}-{:08x}", self.number, self.random.random::<u32>());
        let body = json!({"id": id, "flavor": FLAVOR, "az": "az-1"}).to_string().into_bytes();
        let client = self.any();
        let sent = client.try_send(Method::POST, "/admin/v1/machines", "application/json", body);
        match tokio::time::timeout(PATIENCE, sent).await {
            Ok(Ok(answer)) if answer.status == 200 => self.note(&answer),
            // It may be there or not.
            Ok(Ok(_) | Err(_)) | Err(_) => return Ok(()),
        }
        self.acknowledged += 1;
        let target = format!("/admin/v1/machines/{id}");
        let client = self.any();
        let sent = client.try_send(Method::GET, &target, "application/json", Vec::new());
        if let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, sent).await
            && answer.status < 500
        {
            ensure!(
                answer.status == 200,
                "machine {id} was registered, and is not there: {}",
                answer.text
            );
            self.checked += 1;
        }
        Ok(())
    }

    /// Every replica shows what was acknowledged, or what a request has led to whose answer was lost; and all show the same.
    pub async fn verify(&mut self) -> Result<()> {
        for (name, belief) in &mut self.beliefs {
            let path = format!("{}/{name}", pools());
            let mut all = Vec::new();
            for client in &self.clients {
                let client = client.with_header("x-poolkeeper-revision", &self.seen.to_string());
                let answer = client.try_send(Method::GET, &path, "application/json", Vec::new()).await?;
                ensure!(matches!(answer.status, 200 | 404), "{path}: {}", answer.text);
                let revision = answer.header("x-poolkeeper-revision").parse().unwrap_or(0);
                self.seen = self.seen.max(revision);
                all.push(if answer.status == 200 { state(&answer.body) } else { None });
            }
            let seen = all.first().context("no replica")?.clone();
            ensure!(all.iter().all(|one| *one == seen), "{name} is not the same everywhere: {all:?}");
            let is_allowed = belief.known == seen || belief.doubt == Doubt::Perhaps(seen.clone());
            ensure!(is_allowed, "{name} is {seen:?}, believed was {belief:?}");
            *belief = Belief {
                known: seen,
                doubt: Doubt::None,
            };
        }
        Ok(())
    }

    /// Everything is as its spec says, or gone. Gives how many pools are there.
    pub async fn settle(&self) -> Result<u64> {
        let mut physical = 0;
        let client = &self.clients[self.number % self.clients.len()];
        for (name, belief) in &self.beliefs {
            let path = format!("{}/{name}", pools());
            let Some(known) = &belief.known else {
                let answer = client.get(&format!("{path}?wait=Gone&timeout=60")).await;
                ensure!(answer.status == 404, "{name} is still there: {}", answer.text);
                continue;
            };
            let pool = client.get(&format!("{path}?wait=Ready&timeout=60")).await.ok();
            ensure!(pool["status"]["phase"] == "Running", "{name} did not come to rest: {pool:#}");
            if known.is_physical {
                physical += known.count;
                let nodes = client.get(&format!("{path}/nodes")).await.ok();
                let is_available = |node: &&Value| node["status"]["phase"] == "Available";
                let available = nodes["items"]
                    .as_array()
                    .map_or(0, |nodes| nodes.iter().filter(is_available).count());
                ensure!(available as u64 == known.count, "{name} has {available} nodes: {pool:#}");
            }
        }
        Ok(physical)
    }
}
