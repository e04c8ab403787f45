//! What the database itself saw of the fleet: every write, with the epoch of the lease at that very moment. The replicas know
//! nothing of it.

use crate::cluster::Cluster;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;

const WATCH: &str = "
CREATE TABLE history (seq BIGSERIAL PRIMARY KEY, at TIMESTAMPTZ, kind TEXT, name TEXT NOT NULL, revision BIGINT, body TEXT, epoch BIGINT);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO history (at, kind, name, revision, body, epoch)
        VALUES (clock_timestamp(), NEW.kind, NEW.name, NEW.revision, NEW.body, (SELECT epoch FROM lease WHERE lease.name = 'fleet'));
    RETURN NEW;
END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE ON object FOR EACH ROW
    WHEN (NEW.kind IN ('machine', 'node', 'pool')) EXECUTE FUNCTION note();
";

/// From now on it looks.
pub fn begin(cluster: &Cluster) -> Result<()> {
    cluster.postgres.query(&cluster.database, WATCH).map(drop)
}

#[derive(Debug, Default)]
pub struct Seen {
    /// Writes by a holder of the lease.
    pub commands: usize,
    pub epochs: usize,
    pub others: usize,
    pub nodes: usize,
}

/// Nobody whose epoch was over has moved anything, and no node ever had two machines.
pub fn check(cluster: &Cluster) -> Result<Seen> {
    let text = cluster.postgres.query(
        &cluster.database,
        "SELECT json_build_object('name', name, 'body', body::json, 'epoch', epoch) FROM history WHERE kind = 'machine' ORDER BY seq",
    )?;
    let mut seen = Seen::default();
    let mut last = 0;
    let mut machines: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).context("a row of the history")?;
        let (name, state) = (row["name"].as_str().unwrap_or_default(), &row["body"]["state"]);
        if name == "#turn" {
            let Some(own) = state["epoch"].as_u64() else {
                seen.others += 1;
                continue;
            };
            let current = row["epoch"].as_u64();
            ensure!(current == Some(own), "a holder with epoch {own} moved machines under {current:?}");
            ensure!(own >= last, "epoch {own} came after {last}");
            seen.commands += 1;
            seen.epochs += usize::from(own > last);
            last = own;
        } else if let Some(node) = state["bound"]["node"].as_str() {
            let machine = machines.entry(node.to_owned()).or_insert_with(|| name.to_owned());
            ensure!(machine == name, "node {node} has had machines {machine} and {name}");
        }
    }
    seen.nodes = machines.len();
    Ok(seen)
}

/// What became of a pool, its nodes and their machines: a line for each write, with the epoch of the lease.
pub fn of_pool(cluster: &Cluster, pool: &str) -> Result<String> {
    let sql = format!(
        "SELECT seq, at, kind, revision, epoch, left(body, 1500) FROM history
         WHERE name = '{pool}' OR (kind IN ('node', 'machine') AND body LIKE '%\"{pool}\"%') ORDER BY seq"
    );
    cluster.postgres.query(&cluster.database, &sql)
}
