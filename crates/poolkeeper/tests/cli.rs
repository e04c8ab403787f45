//! The real binary as a person uses it: its configuration, its first words, its end.

use anyhow::{Context, Result, ensure};
use domain::name::AccessKeyId;
use secrecy::SecretString;
use serde_json::json;
use std::fs::File;
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
        Self::run(poolkeeper().args(["serve", "--log-level", "error", "--data"]).arg(data), until)
    }

    fn run(command: &mut Command, until: &str) -> Result<Self> {
        let mut child = command.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn()?;
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

#[tokio::test]
async fn no_secret_reaches_the_log() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let mut serve = poolkeeper();
    serve.args(["serve", "--log-level", "trace", "--log-format", "json", "--data"]);
    serve.arg(folder.path().join("data")).stderr(File::create(&log)?);
    let server = Server::run(&mut serve, "/v3/auth/tokens")?;
    let mut secrets = Vec::new();
    for name in ["admin token", "password", "secret key"] {
        secrets.push(server.told(name)?);
    }
    let client = |credential| -> Result<Client> {
        Ok(Client::new(
            server.told("Poolkeeper serves")?,
            credential,
            Arc::new(clock::SystemClock),
        ))
    };
    let operator = client(Credential::Token(secrets[0].clone()))?;
    let pools = format!("/v2/{PROJECT}/pools");
    // Everything that takes a secret or makes one: right, wrong, and broken.
    let user = server.told("user")?;
    let (name, domain) = user.split_once(" in domain ").context("no user")?;
    for password in [secrets[1].clone(), "guessed-password".to_owned()] {
        let user = json!({"name": name, "password": password, "domain": {"name": domain}});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let body = json!({"auth": {"identity": identity, "scope": {"project": {"id": PROJECT}}}});
        let answer = client(Credential::None)?.post("/v3/auth/tokens", &body).await;
        secrets.extend(
            answer
                .headers
                .get("x-subject-token")
                .map(|token| token.to_str().map(str::to_owned))
                .transpose()?,
        );
        secrets.push(password);
    }
    let signed = client(Credential::AccessKey {
        id: AccessKeyId::parse(&server.told("access key")?)?,
        secret: SecretString::from(secrets[2].clone()),
    })?;
    ensure!(signed.get(&pools).await.status == 200, "the key is not good");
    ensure!(
        client(Credential::Token("guessed-token".to_owned()))?.get(&pools).await.status == 401,
        "any token is good"
    );
    secrets.push("guessed-token".to_owned());
    let users = operator.get("/admin/v1/users").await.ok();
    let id = users["users"][0]["id"].as_str().context("no user")?;
    let key = operator.post(&format!("/admin/v1/users/{id}/access-keys"), &json!({})).await.ok();
    secrets.push(key["secretKey"].as_str().context("no secret")?.to_owned());
    let change = json!({"password": "changed-password", "unknown": 1});
    operator.patch(&format!("/admin/v1/users/{id}"), &change).await;
    secrets.push("changed-password".to_owned());
    ensure!(server.terminate()? == Some(0), "it did not stop in order");
    let told = std::fs::read_to_string(&log)?;
    ensure!(told.contains("/v3/auth/tokens"), "nothing was logged");
    for secret in secrets {
        ensure!(!told.contains(&secret), "the log tells {secret:?}");
    }
    ensure!(!told.contains("Signature="), "the log tells a signature");
    Ok(())
}

#[tokio::test]
async fn a_new_sealing_key_takes_over_at_the_next_start_and_the_old_one_can_go() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let keys = |action: &str| poolkeeper().args(["keys", action, "--data"]).arg(&data).output();
    let server = Server::start(&data, "/v3/auth/tokens")?;
    let told = |name: &str| server.told(name);
    let credential = Credential::AccessKey {
        id: AccessKeyId::parse(&told("access key")?)?,
        secret: SecretString::from(told("secret key")?),
    };
    server.terminate()?;
    let rotated = keys("rotate")?;
    ensure!(
        rotated.status.success() && text(&rotated.stdout).contains("seals from the next start on"),
        "{rotated:?}"
    );
    let early = keys("retire")?;
    ensure!(
        !early.status.success() && text(&early.stderr).contains("access keys are sealed with other keys"),
        "{early:?}"
    );
    let again = Server::start(&data, "Poolkeeper serves")?;
    again.terminate()?;
    let retired = keys("retire")?;
    ensure!(text(&retired.stdout) == "1 keys were taken out\n", "{retired:?}");
    ensure!(
        std::fs::read_to_string(data.join("secret.key"))?.lines().count() == 1,
        "one key is left"
    );
    let last = Server::start(&data, "Poolkeeper serves")?;
    let client = Client::new(last.told("Poolkeeper serves")?, credential, Arc::new(clock::SystemClock));
    let answer = client.get(&format!("/v2/{PROJECT}/pools")).await;
    ensure!(answer.status == 200, "{}", answer.text);
    Ok(())
}
