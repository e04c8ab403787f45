//! Data folders for servers to start on, with as many pools as wanted.
//!
//! One pool is made over HTTP, with its nodes, order, plug-ins, events and machines, by a server with a fleet that does
//! everything at once. All records that belong to it are then copied with other names and ids, in large batches. So each
//! copy is what the service, the reconciler and the fleet would have written.

mod crowd;

pub use crowd::Crowd;

use crate::load::{Connection, request};
use anyhow::{Context, Result, bail};
use clock::{Clock, SystemClock};
use domain::catalogue::Quota;
use domain::iam::Project;
use domain::name::{FlavorName, ZoneName};
use domain::network::Network;
use domain::pool::Pool;
use fleet::sim::Registration;
use poolkeeper::config::Config;
use poolkeeper::demo::Values;
use poolkeeper::server::{Overrides, Server};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use store::{Batch, Count, Expect, Key, Kind, Object, Record, Store, TypedBatch, Write};
use store_sql::{Options, SqlStore};

pub const PROJECT: &str = "6f5da086876d4cd084d36f8bd3346036";
pub const TOKEN: &str = "the-admin-token-of-the-benchmarks";
pub const FLAVOR: &str = "modelarts.vm.cpu.8ud";
const TEMPLATE: &str = "bench-000000";
const BATCH: usize = 10_000;

/// What a folder is to hold.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub pools: u64,
    pub nodes_per_pool: u64,
    /// Machines without a node.
    pub free: u64,
}

/// A data folder.
pub struct World {
    pub folder: PathBuf,
}

/// A server on a folder whose fleet does everything at once.
fn config(folder: &Path) -> Config {
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        data: folder.to_path_buf(),
        fleet_speed: 0.0,
        ..Config::default()
    }
}

impl World {
    pub fn prepare(folder: PathBuf, shape: Shape) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let config = config(&folder);
            seed(&config, shape).await?;
            if shape.pools > 0 {
                copy(&config, shape.pools).await?;
            }
            Ok(Self { folder })
        })
    }

    /// The command that serves this folder.
    pub fn serve(&self, binary: &Path) -> Command {
        serve(binary, &self.folder)
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    pub fn database(&self) -> PathBuf {
        self.folder.join("poolkeeper.db")
    }
}

/// Makes the demo, room for many pools and so many machines in an empty database; the sealing key goes where the replicas look for it.
pub fn furnish_database(folder: &Path, url: &str, keys: &Path, free: u64) -> Result<()> {
    std::fs::create_dir_all(keys)?;
    let config = Config {
        database: Some(url.to_owned()),
        secret_key_file: Some(keys.join("secret.key")),
        ..config(folder)
    };
    let shape = Shape {
        pools: 0,
        nodes_per_pool: 0,
        free,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(seed(&config, shape))
}

pub fn serve(binary: &Path, folder: &Path) -> Command {
    let mut command = Command::new(binary);
    // One caller sends everything here.
    command
        .args(["serve", "--fleet-speed", "0", "--rate-limit", "0", "--data"])
        .arg(folder);
    command
        .env("POOLKEEPER_DEMO_ADMIN_TOKEN", TOKEN)
        .env("POOLKEEPER_DEMO_PROJECT_ID", PROJECT);
    command
}

pub fn pools() -> String {
    format!("/v2/{PROJECT}/pools")
}

/// Path of one of the prepared pools.
pub fn pool(number: u64) -> String {
    format!("/v2/{PROJECT}/pools/{}-{PROJECT}", display_name(number))
}

fn display_name(number: u64) -> String {
    format!("bench-{number:06}")
}

/// A create request.
pub fn create(name: &str, nodes: u64, is_prepaid: bool) -> String {
    let annotations = if is_prepaid {
        json!({"os.modelarts/billing.mode": "1", "os.modelarts/period.num": "1", "os.modelarts/period.type": "2"})
    } else {
        json!({})
    };
    json!({
        "kind": "Pool", "apiVersion": "v2",
        "metadata": {"labels": {"os.modelarts/name": name}, "annotations": annotations},
        "spec": {
            "type": "Dedicate", "scope": ["Train"],
            "network": {"name": format!("network-21e1-{PROJECT}")},
            "resources": [{"flavor": FLAVOR, "count": nodes}],
        },
    })
    .to_string()
}

/// What every server is started with: a project and a token that are known.
fn overrides() -> Overrides {
    let demo = Values {
        project_id: Some(PROJECT.to_owned()),
        admin_token: Some(SecretString::from(TOKEN)),
        ..Values::default()
    };
    Overrides {
        demo,
        ..Overrides::default()
    }
}

/// Makes the demo, room for many pools, the machines, and the pool that is to be copied.
async fn seed(config: &Config, shape: Shape) -> Result<()> {
    let server = Server::start(config, overrides()).await?;
    make_room(&server).await?;
    let machine = |id: String| -> Result<Registration> {
        Ok(Registration {
            id,
            flavor: FlavorName::parse(FLAVOR)?,
            az: ZoneName::parse("az-1")?,
            resources: [("cpu", "7920m"), ("memory", "29491Mi")].into_iter().collect(),
            accelerators: 0,
        })
    };
    // The fleet takes the first free machine by id: the pool to be copied gets these.
    let own = (0..shape.nodes_per_pool).map(|at| format!("a-{at:03}-{TEMPLATE}"));
    let free = (0..shape.free).map(|at| format!("free-{at:06}"));
    if shape.pools > 0 {
        server.simulated()?.register(own.map(machine).collect::<Result<_>>()?).await?;
        make_template(&server, shape.nodes_per_pool).await?;
    }
    server.simulated()?.register(free.map(machine).collect::<Result<_>>()?).await?;
    server.stop().await
}

/// Lifts the quota of the project and widens its network.
async fn make_room(server: &Server) -> Result<()> {
    let mut batch = TypedBatch::default();
    {
        let index = server.state.index().read();
        let mut project = Project::clone(&index.get::<Project>("", PROJECT).context("no project")?.object);
        project.quota = Quota {
            pools: Some(10_000_000),
            networks: None,
        };
        let name = format!("network-21e1-{PROJECT}");
        let mut network = Network::clone(&index.get::<Network>(PROJECT, &name).context("no network")?.object);
        network.cidr = "10.0.0.0/8".parse()?;
        batch.put(project, Expect::Any);
        batch.put(network, Expect::Any);
    }
    server.state.commit(batch).await?;
    Ok(())
}

async fn make_template(server: &Server, nodes: u64) -> Result<()> {
    let mut connection = Connection::open(server.address).await?;
    let body = create(TEMPLATE, nodes, false);
    for request in [
        request("POST", &pools(), TOKEN, "content-type: application/json\r\n", &body),
        request("GET", &format!("{}?wait=Ready&timeout=60", pool(0)), TOKEN, "", ""),
    ] {
        let answer = connection.fetch(&request).await?;
        if answer.status != 200 {
            bail!("the first pool could not be made: {}", String::from_utf8_lossy(&answer.body));
        }
    }
    Ok(())
}

/// Copies everything that belongs to the template's pool until there are so many pools.
async fn copy(config: &Config, pools: u64) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = SqlStore::open(Options::new(config.store_url(), clock)).await?;
    let template = Template::read(&store).await?;
    let mut batch = Batch::default();
    for number in 1..pools {
        batch.writes.extend(template.copy(number));
        if batch.writes.len() >= BATCH {
            store.commit(std::mem::take(&mut batch)).await?;
        }
    }
    for (key, held) in store::counters::holdings(&template.pool) {
        batch.counts.push(Count {
            key,
            add: held * i64::try_from(pools - 1)?,
            at_most: None,
        });
    }
    store.commit(batch).await?;
    store.close().await;
    Ok(())
}

/// The records of one pool, with gaps where its names and ids are.
struct Template {
    pool: Arc<Pool>,
    ids: Vec<Id>,
    records: Vec<(Kind, Pattern, Pattern, Pattern)>,
}

/// A name or id of the template, and how those of the copies are made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Id {
    /// Holds the number of the pool in six digits: names of the pool, its order, its machines.
    Numbered,
    Uid(String),
    /// Ends with five random characters.
    Node {
        name: String,
        at: u64,
    },
}

impl Id {
    fn text(&self) -> &str {
        match self {
            Self::Numbered => TEMPLATE,
            Self::Uid(text) | Self::Node { name: text, .. } => text,
        }
    }

    fn of_copy(&self, number: u64, nodes: u64) -> String {
        match self {
            Self::Numbered => display_name(number),
            Self::Uid(text) => format!("{}{number:08x}{}", &text[..12], &text[20..]),
            Self::Node { name, at } => format!("{}{}", &name[..name.len() - 5], five_characters(number * nodes + at)),
        }
    }
}

fn five_characters(mut number: u64) -> String {
    const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut text = [b'0'; 5];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(number % 36) as usize];
        number /= 36;
    }
    String::from_utf8_lossy(&text).into_owned()
}

impl Template {
    async fn read(store: &SqlStore) -> Result<Self> {
        let mut records = Vec::new();
        for kind in [Kind::Pool, Kind::Node, Kind::Order, Kind::Plugin, Kind::Event, Kind::Machine] {
            records.extend(all(store, kind).await?);
        }
        let pool = records.iter().find(|record| record.key.kind == Kind::Pool).context("no pool")?;
        let Object::Pool(pool) = Object::decode(pool)? else {
            bail!("a pool that is none");
        };
        records.retain(|record| record.body.contains(pool.uid.as_str()));
        let mut ids = BTreeSet::from([Id::Numbered, Id::Uid(pool.uid.to_string())]);
        let nodes = records.iter().filter(|record| record.key.kind == Kind::Node);
        for (at, record) in (0..).zip(nodes) {
            let body: Value = serde_json::from_str(&record.body)?;
            ids.insert(Id::Uid(body["uid"].as_str().context("a node without uid")?.to_owned()));
            ids.insert(Id::Node {
                name: record.key.name.to_string(),
                at,
            });
        }
        let ids: Vec<Id> = ids.into_iter().collect();
        let pattern = |text: &str| Pattern::of(text, &ids);
        let records = records
            .iter()
            .map(|record| {
                let key = &record.key;
                (key.kind, pattern(&key.project), pattern(&key.name), pattern(&record.body))
            })
            .collect();
        Ok(Self { pool, ids, records })
    }

    fn copy(&self, number: u64) -> impl Iterator<Item = Write> {
        let nodes = self.ids.len() as u64;
        let ids: Vec<String> = self.ids.iter().map(|id| id.of_copy(number, nodes)).collect();
        self.records.iter().map(move |(kind, project, name, body)| Write::Put {
            key: Key::new(*kind, project.fill(&ids), name.fill(&ids)),
            body: body.fill(&ids).into(),
            expect: Expect::Absent,
        })
    }
}

async fn all(store: &SqlStore, kind: Kind) -> Result<Vec<Record>> {
    const PAGE: NonZeroU32 = NonZeroU32::new(10_000).unwrap();
    let mut records: Vec<Record> = Vec::new();
    loop {
        let after = records.last().map(|record| record.key.clone());
        let page = store.list(kind, after.as_ref(), PAGE).await?;
        records.extend(page.records);
        if !page.has_more {
            return Ok(records);
        }
    }
}

/// A text with gaps.
struct Pattern(Vec<Piece>);

enum Piece {
    Text(String),
    Id(usize),
}

impl Pattern {
    fn of(mut text: &str, ids: &[Id]) -> Self {
        let mut pieces = Vec::new();
        loop {
            let found = ids.iter().enumerate().filter_map(|(at, id)| Some((text.find(id.text())?, at)));
            let Some((from, at)) = found.min() else {
                pieces.push(Piece::Text(text.to_owned()));
                return Self(pieces);
            };
            pieces.push(Piece::Text(text[..from].to_owned()));
            pieces.push(Piece::Id(at));
            text = &text[from + ids[at].text().len()..];
        }
    }

    fn fill(&self, ids: &[String]) -> String {
        let parts: Vec<&str> = self
            .0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Id(at) => ids[*at].as_str(),
            })
            .collect();
        parts.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_other_names_and_ids_of_the_same_form() {
        let uid = "01a1fcff754579589c07a9cf0b0dbdf4";
        let ids = [
            Id::Numbered,
            Id::Uid(uid.to_owned()),
            Id::Node {
                name: "os-node-created-6g8xw".to_owned(),
                at: 3,
            },
        ];
        let pattern = Pattern::of(&format!("{{{TEMPLATE}, {uid}, os-node-created-6g8xw, {TEMPLATE}}}"), &ids);
        let copies: Vec<String> = ids.iter().map(|id| id.of_copy(17, 10)).collect();
        assert_eq!(
            pattern.fill(&copies),
            "{bench-000017, 01a1fcff7545000000119c07a9cf0b0dbdf4, os-node-created-0004t, bench-000017}"
                .replace("9c07a9cf0b0dbdf4", &uid[20..])
        );
        assert_eq!(copies[1].len(), uid.len());
    }
}
