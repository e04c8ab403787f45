//! Tests that run unmodified clients written in Python against the built server.

use crate::apt;
use crate::run::{command, root, run, run_for_line, succeeds};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// Values that both the server's demo and the clients are given.
const DEMO: &[(&str, &str)] = &[
    ("PROJECT_ID", "6f5da086876d4cd084d36f8bd3346036"),
    ("PROJECT_NAME", "demo-region"),
    ("DOMAIN", "demo-domain"),
    ("USER", "demo-user"),
    ("PASSWORD", "a long enough password"),
    ("ACCESS_KEY", "CLIENTTESTKEY0000001"),
    ("SECRET_KEY", "client-test-secret-key"),
    ("ADMIN_TOKEN", "client-test-admin-token"),
];

/// How much of a server's log is shown after a failure.
const LOG_LINES: usize = 200;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Runs them all, and gives what each suite counted.
pub fn test() -> Result<[(&'static str, String); 2]> {
    let python = environment()?;
    run(command("cargo", &["build", "--release", "--locked", "--package", "poolkeeper"]))?;
    // It changes the catalogue too, so it has a server to itself.
    let conformance = against_server(&python, &["tests/clients/conform.py"], &["generated, "])?;
    let clients = against_server(&python, &["-m", "pytest", "-q", "tests/clients"], &[" passed"])?;
    Ok([("OpenAPI", conformance), ("clients", clients)])
}

/// Runs Python against a server of its own, and gives the last line that holds one of the texts. What the server logged is shown only
/// where that fails.
fn against_server(python: &Path, args: &[&str], texts: &[&str]) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("server.log");
    let (server, url) = serve(&folder.path().join("data"), &log)?;
    let mut client = command(&python.to_string_lossy(), args);
    client.env("POOLKEEPER_URL", &url);
    for (name, value) in DEMO {
        client.env(format!("POOLKEEPER_{name}"), value);
    }
    let outcome = run_for_line(client, texts);
    drop(server);
    if outcome.is_err() {
        let logged = std::fs::read_to_string(&log)?;
        let lines: Vec<&str> = logged.lines().collect();
        let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
        eprintln!(
            "The last {} of {} lines that the server logged:\n{}",
            last.len(),
            lines.len(),
            last.join("\n")
        );
    }
    outcome
}

/// A virtual environment with the pinned clients, in `.venv` of the checkout.
pub fn environment() -> Result<PathBuf> {
    let venv = root().join(".venv");
    let python = venv.join("bin/python");
    let requirements = root().join("tests/clients/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements)?;
    let stamp = venv.join("requirements.txt");
    if python.exists() && std::fs::read_to_string(&stamp).is_ok_and(|known| known == wanted) {
        return Ok(python);
    }
    let target = venv.to_string_lossy().into_owned();
    if !succeeds("python3", &["-m", "venv", "--clear", &target]) {
        apt::install(&["python3-venv"])?;
        run(command("python3", &["-m", "venv", "--clear", &target]))?;
    }
    run(command(
        &python.to_string_lossy(),
        &["-m", "pip", "install", "-q", "-r", &requirements.to_string_lossy()],
    ))?;
    std::fs::write(stamp, wanted)?;
    Ok(python)
}

fn serve(data: &Path, log: &Path) -> Result<(Server, String)> {
    let binary = target_dir().join("release/poolkeeper");
    let data = data.to_string_lossy().into_owned();
    let mut serve = command(
        &binary.to_string_lossy(),
        &["serve", "--listen", "127.0.0.1:0", "--data", &data, "--fleet-speed", "0"],
    );
    // The conformance test tries wrong credentials by the hundred, all from here.
    serve.env("POOLKEEPER_ADDRESS_RATE_LIMIT", "0");
    for (name, value) in DEMO {
        serve.env(format!("POOLKEEPER_DEMO_{name}"), value);
    }
    serve.stdout(Stdio::piped()).stderr(File::create(log)?);
    let mut child = serve.spawn().context("the server could not be started")?;
    let output = child.stdout.take().context("the server has no output")?;
    let mut server = Server(child);
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next() {
        let line = line?;
        if let Some(at) = line.find("http://127.0.0.1:") {
            let url = line[at..]
                .split([' ', '\'', '"'])
                .next()
                .unwrap_or_default()
                .trim_end_matches('/')
                .to_owned();
            // The rest of what it prints is read too, or it would block on a full pipe.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok((server, url));
        }
    }
    let status = server.0.wait()?;
    bail!("the server ended with {status} before it printed its address")
}

fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
