use crate::{Options, SqlStore};
use clock::{Clock, SystemClock};
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions, Executor};
use std::path::Path;
use std::sync::Arc;
use store::{Batch, Expect, Key, Kind, Store, Write};

pub fn options(url: &str) -> Options {
    Options::new(url, Arc::new(SystemClock) as Arc<dyn Clock>)
}

pub fn sqlite_url(directory: &Path) -> String {
    format!("sqlite://{}/test.db", directory.display())
}

/// Opens again what is being closed.
pub async fn reopen(options: Options) -> SqlStore {
    loop {
        match SqlStore::open(options.clone()).await {
            Ok(store) => return store,
            Err(crate::OpenError::InUse(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// A connection beside the store, as an operator's tool would have it.
pub async fn connect(url: &str) -> AnyConnection {
    sqlx::any::install_default_drivers();
    url.parse::<sqlx::any::AnyConnectOptions>().unwrap().connect().await.unwrap()
}

pub async fn execute(url: &str, statement: &str) {
    connect(url).await.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
}

pub fn key(name: impl AsRef<str>) -> Key {
    Key::new(Kind::Node, "p", name)
}

pub fn put(name: impl AsRef<str>, body: &str) -> Batch {
    let write = Write::Put {
        key: key(name),
        body: Arc::from(body),
        expect: Expect::Any,
    };
    Batch {
        writes: vec![write],
        ..Batch::default()
    }
}

pub fn delete(name: impl AsRef<str>) -> Batch {
    Batch {
        writes: vec![Write::Delete {
            key: key(name),
            expect: Expect::Any,
        }],
        ..Batch::default()
    }
}

pub async fn body(store: &dyn Store, name: &str) -> Option<String> {
    store.get(&key(name)).await.unwrap().map(|record| record.body.to_string())
}

/// A place of its own on the PostgreSQL server of the tests.
pub struct Place {
    /// Of the server.
    server: String,
    /// What its sessions are called.
    name: String,
    pub url: String,
    drop: String,
}

impl Place {
    /// A schema. `None` where the tests of PostgreSQL are to be skipped.
    pub async fn new(test: &str) -> Option<Self> {
        let (server, name) = server(test)?;
        let separator = if server.contains('?') { '&' } else { '?' };
        let url = format!("{server}{separator}options=-csearch_path%3D{name}&application_name={name}");
        let drop = format!("DROP SCHEMA IF EXISTS {name} CASCADE");
        execute(&server, &drop).await;
        execute(&server, &format!("CREATE SCHEMA {name}")).await;
        Some(Self { server, name, url, drop })
    }

    /// A database, to which no notifications from elsewhere come.
    pub async fn alone(test: &str) -> Option<Self> {
        let (server, name) = server(test)?;
        let (address, parameters) = server.split_once('?').unwrap_or((&server, ""));
        let (host, _) = address.rsplit_once('/').expect("the URL names a database");
        let url = format!("{host}/{name}?{parameters}&application_name={name}");
        let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        execute(&server, &drop).await;
        execute(&server, &format!("CREATE DATABASE {name}")).await;
        Some(Self { server, name, url, drop })
    }

    /// Ends all sessions of the stores here.
    pub async fn disconnect_all(&self) {
        let statement = format!(
            "DO $$ BEGIN PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{}'; END $$",
            self.name
        );
        execute(&self.server, &statement).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (server, statement) = (self.server.clone(), self.drop.clone());
        // A runtime of its own, since that of the test may be the one that is dropping this.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(execute(&server, &statement));
        });
        // What is left over is in nobody's way.
        let _left_over = dropping.join();
    }
}

/// The server of the tests, and a name that no other test has there.
fn server(test: &str) -> Option<(String, String)> {
    let server = std::env::var("POOLKEEPER_TEST_POSTGRES").expect(
        "POOLKEEPER_TEST_POSTGRES is the URL of a PostgreSQL server where schemas can be made, or `skip` to go without these tests",
    );
    if server == "skip" {
        eprintln!("SKIPPED: POOLKEEPER_TEST_POSTGRES=skip");
        return None;
    }
    // Names end after 63 bytes.
    let name = format!("t{}_{}", std::process::id(), &test[..test.len().min(45)]);
    Some((server, name))
}
