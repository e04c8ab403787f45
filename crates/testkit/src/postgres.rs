//! A PostgreSQL server for tests.

use crate::tls::Authority;
use anyhow::{Context, Result, bail};
use clock::SystemEntropy;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

/// The URL of a server to use instead of a throw-away one, or `skip`.
pub const VARIABLE: &str = "POOLKEEPER_TEST_POSTGRES";

/// A server whose databases live no longer than this value: the one that [`VARIABLE`] names, or else one of its own in a
/// temporary directory, reached through a Unix socket.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    url: String,
    databases: Mutex<Vec<String>>,
    own: Option<Server>,
}

/// A running server. PostgreSQL refuses to run as root, so there it runs as the user `postgres`.
#[derive(Debug)]
struct Server {
    programs: PathBuf,
    directory: TempDir,
    user: Option<User>,
    process: Child,
}

#[derive(Debug, Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// Starts a server or finds the given one. `None` where PostgreSQL is to be skipped. Blocks.
    pub fn start() -> Result<Option<Self>> {
        match std::env::var(VARIABLE) {
            Ok(text) if text == "skip" => Ok(None),
            Ok(url) => Ok(Some(Self {
                programs: programs()?,
                url,
                databases: Mutex::default(),
                own: None,
            })),
            Err(_) => {
                let server = Server::start(&programs()?, |_| Ok(vec!["listen_addresses=".to_owned()]))?;
                let url = format!("postgres://postgres@localhost/postgres?host={}", server.directory.path().display());
                Ok(Some(Self {
                    programs: server.programs.clone(),
                    url,
                    databases: Mutex::default(),
                    own: Some(server),
                }))
            }
        }
    }

    /// A server of its own that is reached by TCP at `localhost` with TLS only, and the root's file. `None` where
    /// PostgreSQL is to be skipped. Blocks.
    pub fn start_with_tls(authority: &Authority) -> Result<Option<(Self, PathBuf)>> {
        if std::env::var(VARIABLE).is_ok_and(|text| text == "skip") {
            return Ok(None);
        }
        // Somebody else may take it before the server does; then the server does not start.
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let pair = authority.issue(2100);
        let server = Server::start(&programs()?, |data| {
            std::fs::write(data.join("tls.crt"), &pair.certificate)?;
            std::fs::write(data.join("tls.key"), &pair.key)?;
            std::fs::set_permissions(data.join("tls.key"), std::fs::Permissions::from_mode(0o600))?;
            if let Some(user) = unprivileged()? {
                chown(data.join("tls.key"), Some(user.uid), Some(user.gid))?;
            }
            std::fs::write(data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n")?;
            let settings = [
                "listen_addresses=127.0.0.1",
                "ssl=on",
                "ssl_cert_file=tls.crt",
                "ssl_key_file=tls.key",
            ];
            let settings = settings.into_iter().map(ToOwned::to_owned);
            Ok(settings.chain([format!("port={port}")]).collect())
        })?;
        let root = server.directory.path().join("root.crt");
        std::fs::write(&root, authority.root())?;
        let server = Self {
            programs: server.programs.clone(),
            url: format!("postgres://postgres@localhost:{port}/postgres"),
            databases: Mutex::default(),
            own: Some(server),
        };
        Ok(Some((server, root)))
    }

    /// Of the server's first database. What a child process needs in [`VARIABLE`] to use the same server.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes an empty database and gives its URL. It is dropped with this value. Blocks.
    pub fn fresh_database(&self) -> Result<String> {
        let name = format!("poolkeeper_{}", hex::encode(clock::random::<8>(&SystemEntropy)));
        let url = with_database(&self.url, &name)?;
        self.execute(&format!("CREATE DATABASE {name}"))?;
        self.databases.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        Ok(url)
    }

    /// Ends all sessions of a database, as a restart of the server would. Blocks.
    pub fn disconnect_all(&self, database: &str) -> Result<()> {
        let name = database_of(database)?;
        self.execute(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        ))
    }

    /// What statements of a database answer, a line for each row. Blocks.
    pub fn query(&self, database: &str, statements: &str) -> Result<String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--tuples-only", "--no-align"]);
        let output = psql.arg("--command").arg(statements).arg("--dbname").arg(database).output()?;
        if !output.status.success() {
            bail!("psql failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    fn execute(&self, statement: &str) -> Result<()> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null"]);
        run(psql.arg("--command").arg(statement).arg("--dbname").arg(&self.url))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Those of an own server go with it.
        if self.own.is_none() {
            let databases = std::mem::take(&mut *self.databases.lock().unwrap_or_else(PoisonError::into_inner));
            for name in databases {
                if let Err(error) = self.execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")) {
                    eprintln!("a database of the tests is left over: {error:#}");
                }
            }
        }
    }
}

impl Server {
    /// `prepare` is given the folder of the server's files, and gives settings.
    fn start(programs: &Path, prepare: impl FnOnce(&Path) -> Result<Vec<String>>) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("poolkeeper-postgres-").tempdir()?;
        let user = unprivileged()?;
        if let Some(user) = user {
            chown(directory.path(), Some(user.uid), Some(user.gid))?;
        }
        initialise(programs, directory.path(), user)?;
        let settings = prepare(&directory.path().join("data"))?;
        let mut process = as_user(programs.join("postgres"), user)
            .arg("-D")
            .arg(directory.path().join("data"))
            .arg("-k")
            .arg(directory.path())
            // What is on disk does not matter after a test.
            .args(["-c", "max_connections=200", "-c", "fsync=off"])
            .args(settings.iter().flat_map(|setting| ["-c", setting.as_str()]))
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting postgres")?;
        wait_until_ready(&mut process)?;
        Ok(Self {
            programs: programs.to_owned(),
            directory,
            user,
            process,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = as_user(self.programs.join("pg_ctl"), self.user);
        stop.args(["stop", "--silent", "--mode=immediate", "-D"])
            .arg(self.directory.path().join("data"));
        if run(stop.current_dir(self.directory.path())).is_err() {
            // Then at least not gently.
            let _gone_already = self.process.kill();
        }
        let _gone_already = self.process.wait();
    }
}

/// Makes the files of a server whose usual order of text is not that of bytes, so that a test can find out who relies on
/// it; where that cannot be had, of one with the simplest order.
fn initialise(programs: &Path, directory: &Path, user: Option<User>) -> Result<()> {
    let attempt = |locale: &[&str]| {
        let mut initdb = as_user(programs.join("initdb"), user);
        initdb.args([
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "-D",
        ]);
        run(initdb.arg(directory.join("data")).args(locale).current_dir(directory))
    };
    attempt(&["--locale-provider=icu", "--icu-locale=en-US"]).or_else(|_| attempt(&[]))
}

/// Reads the server's log until it takes connections, and leaves a thread that reads the rest.
fn wait_until_ready(process: &mut Child) -> Result<()> {
    let log = process.stderr.take().context("postgres has no log")?;
    let mut lines = BufReader::new(log).lines();
    let mut seen = String::new();
    loop {
        match lines.next() {
            Some(line) => {
                let line = line?;
                if line.contains("ready to accept connections") {
                    break;
                }
                seen.push_str(&line);
                seen.push('\n');
            }
            None => bail!("postgres did not start:\n{seen}"),
        }
    }
    std::thread::spawn(move || lines.for_each(drop));
    Ok(())
}

/// The folder of the newest installed version.
fn programs() -> Result<PathBuf> {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = installed
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let folder = entry.path().join("bin");
            folder.join("initdb").exists().then_some((version, folder))
        })
        .max();
    let on_the_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|folder| folder.join("psql").exists())
    };
    newest
        .map(|(_, folder)| folder)
        .or_else(on_the_path)
        .with_context(|| format!("PostgreSQL is not installed: install it, or set {VARIABLE} to the URL of a server, or to `skip`"))
}

/// As whom a server must run, if not as the present user.
fn unprivileged() -> Result<Option<User>> {
    if std::fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let fields = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields[0] == "postgres");
    match fields.as_deref() {
        Some([_, _, uid, gid, ..]) => Ok(Some(User {
            uid: uid.parse()?,
            gid: gid.parse()?,
        })),
        Some(_) | None => bail!("there is no user `postgres`, and PostgreSQL does not run as root"),
    }
}

fn as_user(program: impl AsRef<OsStr>, user: Option<User>) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C");
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

fn run(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    bail!(
        "{} failed: {}",
        command.get_program().display(),
        String::from_utf8_lossy(&output.stderr).trim()
    )
}

/// The three parts of a URL: up to the database's name, the name, and what follows it.
fn parts(url: &str) -> Result<(&str, &str, &str)> {
    let end = url.find('?').unwrap_or(url.len());
    let begin = url.find("://").map(|at| at + 3).context("the URL has no scheme")?;
    match url[begin..end].find('/') {
        Some(slash) => Ok((&url[..=begin + slash], &url[begin + slash + 1..end], &url[end..])),
        None => bail!("the URL names no database"),
    }
}

fn with_database(url: &str, name: &str) -> Result<String> {
    let (before, _, after) = parts(url)?;
    Ok(format!("{before}{name}{after}"))
}

fn database_of(url: &str) -> Result<&str> {
    parts(url).map(|(_, name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gets_another_database() {
        for (url, expected) in [
            ("postgres://u:p@host:1/db", "postgres://u:p@host:1/new"),
            (
                "postgres://u@localhost/db?host=/tmp/x&a=b",
                "postgres://u@localhost/new?host=/tmp/x&a=b",
            ),
            ("postgres:///db", "postgres:///new"),
        ] {
            let changed = with_database(url, "new").unwrap();
            assert_eq!(changed, expected);
            assert_eq!(database_of(&changed).unwrap(), "new");
        }
        assert!(with_database("postgres://host", "new").is_err());
    }

    #[test]
    fn every_database_is_another_and_its_sessions_can_be_ended() {
        let Some(server) = Postgres::start().unwrap() else { return };
        let (one, two) = (server.fresh_database().unwrap(), server.fresh_database().unwrap());
        assert_ne!(one, two);
        let mut psql = Command::new(server.programs.join("psql"));
        psql.args(["--no-psqlrc", "--command", "CREATE TABLE t (x TEXT)", "--dbname"]);
        run(psql.arg(&one)).unwrap();
        // The same table once more: the other database does not have it.
        let mut psql = Command::new(server.programs.join("psql"));
        run(psql
            .args(["--no-psqlrc", "--command", "CREATE TABLE t (x TEXT)", "--dbname"])
            .arg(&two))
        .unwrap();
        server.disconnect_all(&one).unwrap();
    }
}
