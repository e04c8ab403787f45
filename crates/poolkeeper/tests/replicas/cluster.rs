//! Three processes of the real program on one database, each by a line of its own.

use crate::proxy::{Line, Proxy};
use crate::{PROJECT, TOKEN, breathe, within};
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use testkit::Client;
use testkit::client::{Answer, Credential};
use testkit::postgres::Postgres;
use tokio::process::{Child, Command};

pub const REPLICAS: usize = 3;
/// Of the lease.
pub const TTL: Duration = Duration::from_secs(2);
/// How long reads are answered without the database.
pub const STALE: Duration = Duration::from_secs(5);

pub struct Cluster {
    pub postgres: Postgres,
    pub database: String,
    pub replicas: Vec<Replica>,
    pub lines: Vec<Proxy>,
    folder: TempDir,
    /// Seconds for which a replica is still there after the order to stop.
    grace: u64,
}

pub struct Replica {
    pub client: Client,
    number: usize,
    address: SocketAddr,
    folder: PathBuf,
    database: String,
    grace: u64,
    process: Option<Child>,
}

impl Cluster {
    /// `None`: PostgreSQL is to be skipped.
    pub async fn start(grace: u64) -> Result<Option<Self>> {
        let Some(postgres) = tokio::task::spawn_blocking(Postgres::start).await?? else {
            return Ok(None);
        };
        let database = postgres.fresh_database()?;
        let mut cluster = Self {
            postgres,
            database,
            replicas: Vec::new(),
            lines: Vec::new(),
            folder: tempfile::tempdir()?,
            grace,
        };
        for number in 0..REPLICAS {
            let line = Proxy::to(&cluster.database).await?;
            let mut replica = Replica::new(number, cluster.folder.path(), line.url(&cluster.database)?, cluster.grace)?;
            replica.start()?;
            // The first one makes the demo and the sealing key.
            if number == 0 {
                replica.ready().await?;
            }
            cluster.replicas.push(replica);
            cluster.lines.push(line);
        }
        cluster.ready().await?;
        Ok(Some(cluster))
    }

    pub async fn ready(&self) -> Result<()> {
        for replica in &self.replicas {
            replica.ready().await?;
        }
        Ok(())
    }

    pub fn clients(&self) -> Vec<Client> {
        self.replicas.iter().map(|replica| replica.client.clone()).collect()
    }

    pub fn set_lines(&self, line: Line) {
        for each in &self.lines {
            each.set(line);
        }
    }

    /// Who reconciles, once exactly one says so.
    pub async fn leader(&self) -> Result<usize> {
        let mut found = None;
        let one_leads = within(Duration::from_secs(20), async || {
            let mut leaders = Vec::new();
            for (number, replica) in self.replicas.iter().enumerate() {
                if replica.leads().await == Some(true) {
                    leaders.push(number);
                }
            }
            found = leaders.first().copied().filter(|_| leaders.len() == 1);
            found.is_some()
        });
        ensure!(one_leads.await, "there is not one leader after 20 seconds");
        found.context("no leader")
    }

    /// What the processes have logged.
    pub fn logs(&self) -> String {
        let read = |replica: &Replica| std::fs::read_to_string(replica.log()).unwrap_or_default();
        let tail = |text: String| text.lines().rev().take(15).map(ToOwned::to_owned).collect::<Vec<_>>();
        let all = self.replicas.iter().flat_map(|replica| {
            let lines = tail(read(replica)).into_iter().rev();
            lines.map(move |line| format!("replica {}: {line}", replica.number))
        });
        all.collect::<Vec<_>>().join("\n")
    }
}

impl Replica {
    fn new(number: usize, folder: &Path, database: String, grace: u64) -> Result<Self> {
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let credential = Credential::Token(TOKEN.to_owned());
        Ok(Self {
            client: Client::new(format!("http://{address}"), credential, Arc::new(clock::SystemClock)),
            number,
            address,
            folder: folder.to_owned(),
            database,
            grace,
            process: None,
        })
    }

    fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.number))
    }

    pub fn start(&mut self) -> Result<()> {
        let log: File = OpenOptions::new().create(true).append(true).open(self.log())?;
        let process = Command::new(env!("CARGO_BIN_EXE_poolkeeper"))
            .args([
                "serve",
                "--fleet-speed",
                "0.0005",
                "--rate-limit",
                "0",
                "--log-level",
                "info,poolkeeper_http=error",
            ])
            .args(["--listen", &self.address.to_string()])
            .args(["--database", &self.database])
            .args(["--lease-ttl", &TTL.as_secs().to_string()])
            .args(["--stale-reads", &STALE.as_secs().to_string()])
            .args(["--stop-grace", &self.grace.to_string()])
            .arg("--data")
            .arg(self.folder.join(self.number.to_string()))
            .arg("--secret-key-file")
            .arg(self.folder.join("secret.key"))
            .env("POOLKEEPER_DEMO_ADMIN_TOKEN", TOKEN)
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        self.process = Some(process);
        Ok(())
    }

    pub async fn ready(&self) -> Result<()> {
        let is_ready = within(Duration::from_secs(30), async || self.is_ready().await);
        ensure!(is_ready.await, "replica {} is not ready after 30 seconds", self.number);
        Ok(())
    }

    pub async fn is_ready(&self) -> bool {
        self.get("/readyz").await.is_some_and(|answer| answer.status == 200)
    }

    /// `None`: no answer within a second.
    pub async fn get(&self, path: &str) -> Option<Answer> {
        let sent = self.client.try_send(reqwest::Method::GET, path, "application/json", Vec::new());
        tokio::time::timeout(Duration::from_secs(1), sent).await.ok()?.ok()
    }

    pub async fn metric(&self, name: &str) -> Option<f64> {
        let text = self.get("/metrics").await?.text;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        value.parse().ok()
    }

    /// `None`: it does not say.
    pub async fn leads(&self) -> Option<bool> {
        self.metric("poolkeeper_leader").await.map(|value| value > 0.5)
    }

    pub async fn steps(&self) -> f64 {
        let steps = self.metric(r#"poolkeeper_reconcile_steps_total{outcome="done"}"#);
        steps.await.unwrap_or(0.0)
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.process.as_ref().and_then(Child::id).context("it does not run")?;
        let pid = Pid::from_raw(i32::try_from(id)?).context("no process")?;
        Ok(kill_process(pid, signal)?)
    }

    pub async fn kill(&mut self) -> Result<()> {
        self.process.take().context("it does not run")?.kill().await?;
        Ok(())
    }

    /// Waits until it has ended by itself, in order.
    pub async fn ended(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it does not run")?;
        let status = tokio::time::timeout(Duration::from_secs(30), process.wait()).await??;
        ensure!(status.success(), "replica {} ended with {status}", self.number);
        Ok(())
    }
}

pub fn pools() -> String {
    format!("/v2/{PROJECT}/pools")
}

/// The life of a fault.
pub async fn lasting(duration: Duration) {
    breathe(duration).await;
}
