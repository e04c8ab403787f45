//! A server in this process, on either store.

use crate::client::{Answer, Client, Credential};
use crate::postgres::Postgres;
use clock::{Clock, ShiftedClock};
use domain::name::AccessKeyId;
use fleet::sim::SimFleet;
use poolkeeper::config::Config;
use poolkeeper::demo::Values;
use poolkeeper::server::{Overrides, Server};
use secrecy::SecretString;
use serde_json::Value;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tempfile::TempDir;

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

const PROJECT: &str = "6f5da086876d4cd084d36f8bd3346036";
const ACCESS_KEY: &str = "TESTKEY0000000000001";
const SECRET_KEY: &str = "the secret key of the tests";
const ADMIN_TOKEN: &str = "the-admin-token-of-the-tests";

/// Changes the settings of a server before it starts.
pub type Configure = Box<dyn FnOnce(&mut Config) + Send>;

/// What is not as usual about a server.
#[derive(Default)]
pub struct Custom {
    pub configure: Option<Configure>,
    /// Of the time-outs of connections.
    pub connection_clock: Option<Arc<dyn Clock>>,
}

impl Custom {
    pub fn config(configure: impl FnOnce(&mut Config) + Send + 'static) -> Self {
        Self {
            configure: Some(Box::new(configure)),
            ..Self::default()
        }
    }
}

/// A running server whose fleet does everything at once and whose clock can be moved ahead.
pub struct TestServer {
    /// An ordinary user, by access key.
    pub user: Client,
    /// An operator, by token.
    pub operator: Client,
    pub project: String,
    pub clock: ShiftedClock,
    pub fleet: SimFleet,
    server: Server,
    config: Config,
    data: TempDir,
}

/// One PostgreSQL server for all tests of a process.
fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| {
        Postgres::start()
            .expect("PostgreSQL starts")
            .expect("PostgreSQL is not to be skipped")
    })
}

impl TestServer {
    pub async fn start(backend: Backend) -> Self {
        Self::customized(backend, Custom::default()).await
    }

    /// A server that is not as usual.
    pub async fn customized(backend: Backend, custom: Custom) -> Self {
        poolkeeper::install_cryptography();
        let data = tempfile::tempdir().expect("a folder for the server");
        let mut config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            data: data.path().to_owned(),
            fleet_speed: 0.0,
            ..Config::default()
        };
        if backend == Backend::Postgres {
            let url = tokio::task::spawn_blocking(|| postgres().fresh_database().expect("a database"))
                .await
                .expect("no panic");
            config.database = Some(url);
        }
        if let Some(configure) = custom.configure {
            configure(&mut config);
        }
        Self::on(config, data, ShiftedClock::default(), custom.connection_clock).await
    }

    async fn on(config: Config, data: TempDir, clock: ShiftedClock, connection_clock: Option<Arc<dyn Clock>>) -> Self {
        let demo = Values {
            project_id: Some(PROJECT.to_owned()),
            access_key: Some(ACCESS_KEY.to_owned()),
            secret_key: Some(SecretString::from(SECRET_KEY)),
            password: Some(SecretString::from("password")),
            admin_token: Some(SecretString::from(ADMIN_TOKEN)),
            ..Values::default()
        };
        let overrides = Overrides {
            clock: Some(Arc::new(clock.clone())),
            entropy: None,
            connection_clock,
            demo,
        };
        let server = Server::start(&config, overrides).await.expect("the server starts");
        let user = Client::new(server.url(), access_key(SECRET_KEY), Arc::new(clock.clone()));
        let operator = user.with_credential(Credential::Token(ADMIN_TOKEN.to_owned()));
        let fleet = server.simulated().expect("a simulated fleet").clone();
        Self {
            user,
            operator,
            project: PROJECT.to_owned(),
            clock,
            fleet,
            server,
            config,
            data,
        }
    }

    /// Stops the server and starts another one on the same data.
    pub async fn restart(self) -> Self {
        self.server.stop().await.expect("the server stops");
        Self::on(self.config, self.data, self.clock, None).await
    }

    /// The address of the listener.
    pub fn address(&self) -> std::net::SocketAddr {
        self.server.address
    }

    /// As its clients call it.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The files of the certificate have changed: looks at them now.
    pub fn look_at_certificate(&self) {
        self.server.tls().expect("a server with TLS").reload();
    }

    /// `/v2/<project>/pools`
    pub fn pools(&self) -> String {
        format!("/v2/{}/pools", self.project)
    }

    /// A path of the operator API about the project.
    pub fn admin(&self, rest: &str) -> String {
        format!("/admin/v1/{}/{rest}", self.project)
    }

    /// The demo's network.
    pub fn network(&self) -> String {
        format!("network-21e1-{}", self.project)
    }

    /// The user's access key with another secret.
    pub fn with_secret(&self, secret: &str) -> Client {
        self.user.with_credential(access_key(secret))
    }

    /// How many objects of a kind are stored.
    pub fn stored(&self, kind: store::Kind) -> usize {
        self.server.state.index().read().count(kind)
    }

    /// Waits until the answer to a GET is what it is to be, and gives it.
    pub async fn await_answer(&self, path: &str, holds: impl Fn(&Answer) -> bool) -> Answer {
        let index = self.server.state.index();
        let wait = async {
            loop {
                let seen = index.age();
                let answer = self.user.get(path).await;
                if holds(&answer) {
                    return answer;
                }
                index.changed(seen).await;
            }
        };
        if let Ok(answer) = tokio::time::timeout(Duration::from_secs(30), wait).await {
            return answer;
        }
        panic!("it never came true: {:#}", self.user.get(path).await.body)
    }

    /// Waits until something is true of a pool, and gives it.
    pub async fn await_pool(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let index = self.server.state.index();
        let wait = async {
            loop {
                let seen = index.age();
                let pool = self.user.get(path).await.ok();
                if holds(&pool) {
                    return pool;
                }
                index.changed(seen).await;
            }
        };
        if let Ok(pool) = tokio::time::timeout(Duration::from_secs(30), wait).await {
            return pool;
        }
        panic!("it never came true: {:#}", self.user.get(path).await.body)
    }
}

fn access_key(secret: &str) -> Credential {
    Credential::AccessKey {
        id: AccessKeyId::parse(ACCESS_KEY).expect("a valid id"),
        secret: SecretString::from(secret),
    }
}
