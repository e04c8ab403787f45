//! The real binary as a person uses it: its configuration, its first words, its end.

use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use testkit::Client;
use testkit::client::Credential;

const PROJECT: &str = "6f5da086876d4cd084d36f8bd3346036";

/// The binary without the settings of whoever runs the tests.
fn poolkeeper() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolkeeper"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("POOLKEEPER_") {
            command.env_remove(name);
        }
    }
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A server, with what it has printed up to a given word.
struct Server {
    child: Child,
    printed: String,
}

impl Server {
    fn start(data: &Path, until: &str) -> Result<Self> {
        let mut child = poolkeeper()
            .args(["serve", "--listen", "127.0.0.1:0", "--log-level", "error", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut output = BufReader::new(child.stdout.take().context("no output")?);
        let mut printed = String::new();
        while !printed.contains(until) {
            ensure!(output.read_line(&mut printed)? > 0, "it ended after {printed:?}");
        }
        Ok(Self { child, printed })
    }

    /// What stands behind a word at the beginning of a line.
    fn told(&self, name: &str) -> Result<String> {
        let line = self.printed.lines().find_map(|line| line.trim().strip_prefix(name));
        Ok(line.with_context(|| format!("no {name} in {}", self.printed))?.trim().to_owned())
    }

    /// Asks it to stop, and gives its exit code.
    fn terminate(mut self) -> Result<Option<i32>> {
        Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status()?;
        Ok(self.child.wait()?.code())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is gone already where the test went well.
        let _gone = self.child.kill();
    }
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("c.toml");
    std::fs::write(&file, "fleet_seed = 1\nfleet_speed = 1.0\nlog_level = \"warn\"\n")?;
    let Output { stdout, .. } = poolkeeper()
        .args(["config", "show", "--fleet-seed", "3"])
        .env("POOLKEEPER_CONFIG", &file)
        .env("POOLKEEPER_FLEET_SEED", "2")
        .env("POOLKEEPER_FLEET_SPEED", "0.5")
        .env("POOLKEEPER_DATABASE", "postgres://me:secret@host/db")
        .output()?;
    let shown = text(&stdout);
    for line in [
        "fleet_seed = 3  # flag",
        "fleet_speed = 0.5  # environment",
        "log_level = \"warn\"  # file",
        "no_demo = false  # default",
        "database = \"postgres://me:***@host/db\"  # environment",
    ] {
        ensure!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
    }
    Ok(())
}

#[test]
fn help_does_not_tell_what_the_environment_keeps_secret() -> Result<()> {
    let output = poolkeeper()
        .args(["serve", "--help"])
        .env("POOLKEEPER_DATABASE", "postgres://me:secret@host/db")
        .output()?;
    let help = text(&output.stdout);
    ensure!(help.contains("POOLKEEPER_DATABASE") && !help.contains("secret@"), "{help}");
    Ok(())
}

#[tokio::test]
async fn the_first_start_tells_the_secrets_and_later_ones_do_not() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let server = Server::start(&data, "/v3/auth/tokens")?;
    let (url, token) = (server.told("Poolkeeper serves")?, server.told("admin token")?);
    let client = Client::new(url, Credential::Token(token.clone()), Arc::new(clock::SystemClock));
    ensure!(
        client.get(&format!("/v2/{PROJECT}/pools")).await.status == 200,
        "the token is not good"
    );
    ensure!(
        std::fs::metadata(&data)?.permissions().mode() & 0o777 == 0o700,
        "others can look at the data"
    );
    ensure!(server.terminate()? == Some(0), "it did not stop in order");
    let server = Server::start(&data, "there already")?;
    ensure!(!server.printed.contains(&token), "{}", server.printed);
    let client = Client::new(
        server.told("Poolkeeper serves")?,
        Credential::Token(token),
        Arc::new(clock::SystemClock),
    );
    ensure!(
        client.get(&format!("/v2/{PROJECT}/pools")).await.status == 200,
        "the token was forgotten"
    );
    ensure!(server.terminate()? == Some(0), "it did not stop in order");
    Ok(())
}

#[test]
fn a_start_that_fails_does_not_swallow_the_secrets() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let output = poolkeeper()
        .args(["serve", "--listen", &taken.local_addr()?.to_string(), "--data"])
        .arg(&data)
        .output()?;
    let told = text(&output.stderr);
    ensure!(!output.status.success() && told.contains("cannot be listened on"), "{told}");
    let server = Server::start(&data, "/v3/auth/tokens")?;
    server.told("admin token")?;
    ensure!(server.terminate()? == Some(0), "it did not stop in order");
    Ok(())
}
