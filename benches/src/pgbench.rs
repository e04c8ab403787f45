//! PostgreSQL by itself, with the transactions that the store makes of it.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A server, and an empty database on it.
pub struct Postgres {
    programs: PathBuf,
    /// Of the database.
    pub url: String,
}

impl Postgres {
    /// Makes a database anew on the server of a URL.
    pub fn fresh(server: &str, name: &str) -> Result<Self> {
        let programs = programs()?;
        for statement in [
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            format!("CREATE DATABASE {name}"),
        ] {
            psql(&programs, server, &statement)?;
        }
        let (before, _) = server.rsplit_once('/').context("the URL names no database")?;
        Ok(Self {
            programs,
            url: format!("{before}/{name}"),
        })
    }

    pub fn execute(&self, statement: &str) -> Result<String> {
        psql(&self.programs, &self.url, statement)
    }

    /// Transactions a second of a script that so many clients repeat for so many seconds.
    pub fn transactions(&self, folder: &Path, script: &str, clients: usize, seconds: f64) -> Result<f64> {
        let path = folder.join("pgbench.sql");
        std::fs::write(&path, script)?;
        let mut pgbench = Command::new(self.programs.join("pgbench"));
        pgbench.args(["--no-vacuum", "--protocol=prepared"]);
        pgbench.args(["--client", &clients.to_string(), "--jobs", &clients.min(2).to_string()]);
        pgbench.args(["--time", &format!("{:.0}", seconds.max(1.0).ceil())]);
        let output = pgbench.arg("--file").arg(path).arg(&self.url).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let rate = text
            .lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        rate.with_context(|| format!("pgbench: {text}{}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// One transaction of the store's writer that carries so many creates, each of two records of so many characters and four counters
/// that all of them share.
pub fn creates(group: u64, record: usize) -> String {
    let rows = group * 2;
    format!(
        "\\set base random(1, 2000000000)\n\
         BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;\n\
         UPDATE meta SET revision = revision + {group} WHERE id = 1 RETURNING revision, compacted;\n\
         SELECT kind, project, name, revision FROM object WHERE kind = 'bench' AND project = 'p' AND name IN \
         (SELECT :base || '-' || number FROM generate_series(1, {rows}) AS number);\n\
         SELECT name, value, revision FROM counter WHERE name IN ('bench-1', 'bench-2', 'bench-3', 'bench-4');\n\
         INSERT INTO object (kind, project, name, revision, body) \
         SELECT 'bench', 'p', :base || '-' || number, :base, repeat('x', {record}) FROM generate_series(1, {rows}) AS number \
         ON CONFLICT (kind, project, name) DO UPDATE SET revision = excluded.revision, body = excluded.body;\n\
         INSERT INTO counter (name, value, revision) SELECT 'bench-' || number, 1, :base FROM generate_series(1, 4) AS number \
         ON CONFLICT (name) DO UPDATE SET value = counter.value + 1, revision = excluded.revision;\n\
         NOTIFY poolkeeper_bench, '1';\n\
         COMMIT;\n"
    )
}

/// One record by its key.
pub fn reads(rows: u64) -> String {
    format!(
        "\\set number random(1, {rows})\n\
         SELECT revision, body FROM object WHERE kind = 'bench-read' AND project = 'p' AND name = 'r-' || :number;\n"
    )
}

/// What [`reads`] reads.
pub fn read_rows(rows: u64, record: usize) -> String {
    format!(
        "INSERT INTO object (kind, project, name, revision, body) \
         SELECT 'bench-read', 'p', 'r-' || number, 0, repeat('x', {record}) FROM generate_series(1, {rows}) AS number"
    )
}

fn psql(programs: &Path, url: &str, statement: &str) -> Result<String> {
    let mut psql = Command::new(programs.join("psql"));
    psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
    let output = psql.arg("--command").arg(statement).arg("--dbname").arg(url).output()?;
    if !output.status.success() {
        bail!("psql: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Debian keeps `pgbench` beside the server, off the path.
fn programs() -> Result<PathBuf> {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = installed.map(|entry| entry.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let newest = folders.filter(|folder| folder.join("pgbench").exists()).max();
    let found = newest.or_else(|| std::env::split_paths(&path).find(|folder| folder.join("pgbench").exists()));
    found.context("there is no pgbench: it is in Debian's package postgresql-contrib or postgresql")
}
