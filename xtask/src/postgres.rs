//! A PostgreSQL server for the tests: the one that `POOLKEEPER_TEST_POSTGRES` names, or one of our own that ends with us.

use crate::apt::{self, is_root};
use crate::run::{command, run};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running server.
pub struct Server {
    url: String,
    own: Option<Own>,
}

struct Own {
    bin: PathBuf,
    data: PathBuf,
}

impl Server {
    /// A role that may create databases, on the database `postgres`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            let data = own.data.to_string_lossy().into_owned();
            let stopped = as_server_user(&own.bin.join("pg_ctl"), &["-D", &data, "-m", "immediate", "stop"]).output();
            if let Err(error) = stopped {
                eprintln!("PostgreSQL in {data} could not be stopped: {error}");
            }
            let _removed = std::fs::remove_dir_all(&own.data);
        }
    }
}

/// For tests: what is on disk does not matter.
pub fn start() -> Result<Server> {
    start_with("-c fsync=off")
}

/// For benchmarks: what is committed is on disk.
pub fn start_durable() -> Result<Server> {
    start_with("")
}

fn start_with(more: &str) -> Result<Server> {
    if let Ok(url) = std::env::var("POOLKEEPER_TEST_POSTGRES") {
        return Ok(Server { url, own: None });
    }
    let bin = match find() {
        Some(bin) => bin,
        None => install()?,
    };
    let port = free_port()?;
    let data = std::env::temp_dir().join(format!("poolkeeper-postgres-{}", std::process::id()));
    std::fs::create_dir_all(&data)?;
    let text = data.to_string_lossy().into_owned();
    if is_root() {
        run(command("chown", &["postgres", &text]))?;
    }
    let settings = format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={text} -c max_connections=400 {more}");
    let mut init = as_server_user(&bin.join("initdb"), &["-D", &text, "-A", "trust", "-U", "postgres"]);
    init.stdout(std::process::Stdio::null());
    run(init)?;
    let log = format!("{text}/server.log");
    let mut start = as_server_user(&bin.join("pg_ctl"), &["-D", &text, "-l", &log, "-w", "-o", &settings, "start"]);
    start.stdout(std::process::Stdio::null());
    run(start)?;
    Ok(Server {
        url: format!("postgres://postgres@127.0.0.1:{port}/postgres"),
        own: Some(Own { bin, data }),
    })
}

/// The newest installed server.
fn find() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop()
}

fn install() -> Result<PathBuf> {
    apt::install(&["postgresql"]).context("without a server of its own, the tests need POOLKEEPER_TEST_POSTGRES: the URL of one")?;
    find().context("PostgreSQL was installed, but its initdb is not in /usr/lib/postgresql")
}

/// PostgreSQL refuses to run as root.
fn as_server_user(program: &Path, arguments: &[&str]) -> Command {
    let program = program.to_string_lossy().into_owned();
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", &program]);
        command
    } else {
        Command::new(&program)
    };
    command.args(arguments).current_dir("/");
    command
}

fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}
