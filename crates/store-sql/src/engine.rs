//! All that differs between SQLite and PostgreSQL.

mod lock;

pub(crate) use lock::{Lock, keep_private};

use crate::error::{BackupError, OpenError, told, unavailable};
use crate::options::Options;
use clock::Clock;
use domain::meta::Revision;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::postgres::PgListener;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions, Executor, Row};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where the data is and how to get there.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) clock: Arc<dyn Clock>,
    engine: Engine,
    options: AnyConnectOptions,
}

#[derive(Clone)]
enum Engine {
    Sqlite { path: PathBuf },
    Postgres { url: String, stall: Duration },
}

type Settings = &'static [&'static [&'static str]];

/// Set on every SQLite connection. The cache is per connection, and small: reads are answered from the index, and what a
/// commit looks at is in the kernel's cache. `busy_timeout` matters only where an operator's tool holds a lock.
const SQLITE_ALL: &[&str] = &[
    "PRAGMA foreign_keys = OFF",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA temp_store = MEMORY",
];
/// `fullfsync` is for macOS, where a plain flush stops at the drive's cache.
const SQLITE_WRITER: &[&str] = &[
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",
    "PRAGMA cache_size = -16384",
    "PRAGMA wal_autocheckpoint = 4000",
];
const SQLITE_READER: &[&str] = &["PRAGMA query_only = ON", "PRAGMA cache_size = -2048"];

/// Every statement here is meant to walk an index. Left alone, PostgreSQL keeps the plan that it made while the tables
/// were new and small, which reads them as a whole, until its autovacuum looks at them again: measured, commits became six
/// times slower until then. `jit` would be set off by the price that these settings put on what they rule out.
const POSTGRES_ALL: &[&str] = &["SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; \
    SET enable_mergejoin = off; SET jit = off"];
/// What every start finds to be there already is nothing to tell.
const POSTGRES_WRITER: &[&str] = &[
    "SET client_min_messages = 'warning'",
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
];

const CHANNEL: &str = "poolkeeper_revision";

const IN_A_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

impl Target {
    pub(crate) fn of(options: &Options) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let url = options.url.as_str();
        let (engine, url) = if let Some(path) = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
            let path = sqlite_path(path)?;
            let text = path.to_str().ok_or_else(|| OpenError::Url("the path is not UTF-8".to_owned()))?;
            let url = format!("sqlite://{}?mode=rwc", utf8_percent_encode(text, IN_A_PATH));
            (Engine::Sqlite { path }, url)
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            (
                Engine::Postgres {
                    url: url.to_owned(),
                    stall: options.stall,
                },
                url.to_owned(),
            )
        } else {
            return Err(OpenError::Url("it must begin with sqlite:// or postgres://".to_owned()));
        };
        let connect: AnyConnectOptions = url.parse().map_err(|error| unavailable(&error))?;
        Ok(Self {
            clock: Arc::clone(&options.clock),
            engine,
            options: connect.disable_statement_logging(),
        })
    }

    /// Keeps other processes from a database that only one may use.
    pub(crate) async fn lock(&self) -> Result<Option<Lock>, OpenError> {
        match &self.engine {
            Engine::Sqlite { path } => Lock::take(path).await.map(Some),
            Engine::Postgres { .. } => Ok(None),
        }
    }

    /// The connection that writes. There is one per store.
    pub(crate) async fn writer(&self) -> Result<AnyConnection, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        let settings: Settings = match &self.engine {
            Engine::Sqlite { .. } => &[SQLITE_ALL, SQLITE_WRITER],
            Engine::Postgres { .. } => &[POSTGRES_ALL, POSTGRES_WRITER],
        };
        set(&mut connection, settings).await?;
        if let Engine::Postgres { stall, .. } = &self.engine {
            // Writers take turns: one that stops in the middle of a transaction stops all others until it is thrown out.
            let text = format!("SET idle_in_transaction_session_timeout = '{}ms'", stall.as_millis().max(1));
            connection.execute(AssertSqlSafe(text)).await?;
        }
        Ok(connection)
    }

    /// Connects once, for a pool tries for long where it is no use. An error where there are no tables of ours.
    pub(crate) async fn try_reading(&self) -> Result<(), OpenError> {
        let mut connection = self.options.connect().await.map_err(|error| unavailable(&error))?;
        let read = connection.fetch_one("SELECT revision FROM meta WHERE id = 1").await.map(drop);
        let closed = sqlx::Connection::close(connection).await;
        read.and(closed).map_err(|error| unavailable(&error))
    }

    /// The connections that read. None is opened yet.
    pub(crate) fn readers(&self, most: u32) -> AnyPool {
        let (settings, is_remote): (Settings, bool) = match &self.engine {
            Engine::Sqlite { .. } => (&[SQLITE_ALL, SQLITE_READER], false),
            Engine::Postgres { .. } => (&[POSTGRES_ALL], true),
        };
        AnyPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(Duration::from_secs(10))
            .test_before_acquire(is_remote)
            .after_connect(move |connection, _| Box::pin(set(connection, settings)))
            .connect_lazy_with(self.options.clone())
    }

    /// Makes a new database ready for the migrations, and refuses one that cannot keep what is promised.
    pub(crate) async fn prepare(&self, connection: &mut AnyConnection) -> Result<(), OpenError> {
        match &self.engine {
            Engine::Sqlite { .. } => {
                let mode = one_text(connection, "PRAGMA journal_mode = WAL").await?;
                if mode == "wal" {
                    Ok(())
                } else {
                    Err(OpenError::Unsuitable(format!("its journal mode stays {mode}")))
                }
            }
            Engine::Postgres { .. } => {
                let encoding = one_text(connection, "SHOW server_encoding").await?;
                if encoding != "UTF8" {
                    return Err(OpenError::Unsuitable(format!("its encoding is {encoding}, not UTF8")));
                }
                match connection.execute(r#"CREATE COLLATION IF NOT EXISTS "binary" FROM "C""#).await {
                    Ok(_) => Ok(()),
                    // Another replica made it just now.
                    Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(()),
                    Err(error) => Err(OpenError::Migration(told(&error))),
                }
            }
        }
    }

    /// Begins a transaction that will write. On PostgreSQL each statement must see what was committed before it, since
    /// the turn comes only with the first one.
    pub(crate) fn begin(&self) -> &'static str {
        match &self.engine {
            Engine::Sqlite { .. } => "BEGIN IMMEDIATE",
            Engine::Postgres { .. } => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        }
    }

    /// How long a transaction may take before its connection is given up. A disk may be slow, but it is there; a network
    /// may be silent for ever.
    pub(crate) fn patience(&self) -> Option<Duration> {
        match &self.engine {
            Engine::Sqlite { .. } => None,
            Engine::Postgres { .. } => Some(Duration::from_secs(30)),
        }
    }

    /// Tells the other replicas of a revision, when the transaction is committed.
    pub(crate) async fn announce(&self, connection: &mut AnyConnection, revision: Revision) -> Result<(), sqlx::Error> {
        match &self.engine {
            Engine::Sqlite { .. } => Ok(()),
            Engine::Postgres { .. } => {
                let text = format!("NOTIFY {CHANNEL}, '{revision}'");
                connection.execute(AssertSqlSafe(text)).await.map(drop)
            }
        }
    }

    /// Where other replicas' announcements are heard; `None` where there are no other replicas.
    pub(crate) fn hints(&self) -> Option<Hints> {
        match &self.engine {
            Engine::Sqlite { .. } => None,
            Engine::Postgres { url, .. } => Some(Hints { url: url.clone() }),
        }
    }

    /// Before the last connection is closed.
    pub(crate) async fn settle(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        match &self.engine {
            Engine::Sqlite { .. } => connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.map(drop),
            Engine::Postgres { .. } => Ok(()),
        }
    }

    /// Writes a copy of everything as it is at one moment to a new file.
    pub(crate) async fn backup_to(&self, path: &Path) -> Result<(), BackupError> {
        let failed = |error: std::io::Error| BackupError::Failed(error.to_string());
        if tokio::fs::try_exists(path).await.map_err(failed)? {
            return Err(BackupError::Exists(path.to_owned()));
        }
        // Under another name first, so that what has the right name is complete.
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = Path::new(&partial);
        match tokio::fs::remove_file(partial).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        self.copy_to(partial).await?;
        tokio::fs::File::open(partial)
            .await
            .map_err(failed)?
            .sync_all()
            .await
            .map_err(failed)?;
        tokio::fs::rename(partial, path).await.map_err(failed)
    }

    /// The database's file, where it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.engine {
            Engine::Sqlite { path } => Some(path),
            Engine::Postgres { .. } => None,
        }
    }

    /// The URL of a database file.
    pub(crate) fn url_of(path: &str) -> String {
        format!("sqlite://{}", utf8_percent_encode(path, IN_A_PATH))
    }

    async fn copy_to(&self, to: &Path) -> Result<(), BackupError> {
        match &self.engine {
            Engine::Postgres { .. } => Err(BackupError::Unsupported),
            Engine::Sqlite { .. } => {
                let text = to.to_str().ok_or_else(|| BackupError::Failed("the path is not UTF-8".to_owned()))?;
                let failed = |error: sqlx::Error| BackupError::Failed(told(&error));
                // An empty file is one that it will write to.
                keep_private(to).map_err(|error| BackupError::Failed(error.to_string()))?;
                let mut connection = self.options.connect().await.map_err(failed)?;
                set(&mut connection, &[SQLITE_ALL]).await.map_err(failed)?;
                sqlx::query("VACUUM INTO $1")
                    .bind(text)
                    .execute(&mut connection)
                    .await
                    .map_err(failed)?;
                sqlx::Connection::close(connection).await.map_err(failed)
            }
        }
    }
}

/// Announcements of other replicas.
pub(crate) struct Hints {
    url: String,
}

impl Hints {
    /// Calls `hear` for each announced revision until the line breaks.
    pub(crate) async fn listen(&self, hear: impl Fn(Revision)) -> sqlx::Error {
        let listen = async {
            let mut listener = PgListener::connect(&self.url).await?;
            listener.listen(CHANNEL).await?;
            loop {
                let heard = listener.recv().await?;
                // Anybody may send anything here.
                hear(Revision(heard.payload().parse().unwrap_or(u64::MAX)));
            }
        };
        match listen.await {
            Ok(never) => never,
            Err(error) => error,
        }
    }
}

/// The absolute path of a database file.
fn sqlite_path(text: &str) -> Result<PathBuf, OpenError> {
    let invalid = |why: &str| OpenError::Url(why.to_owned());
    if text.contains('?') {
        return Err(invalid("a SQLite URL takes no parameters"));
    }
    let text = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| invalid("the path is not UTF-8"))?;
    if text.is_empty() || text == ":memory:" {
        return Err(invalid("it names no file"));
    }
    std::path::absolute(&*text).map_err(|error| OpenError::Url(error.to_string()))
}

async fn set(connection: &mut AnyConnection, settings: Settings) -> Result<(), sqlx::Error> {
    for group in settings {
        for setting in *group {
            connection.execute(*setting).await?;
        }
    }
    Ok(())
}

async fn one_text(connection: &mut AnyConnection, statement: &'static str) -> Result<String, OpenError> {
    let row = connection.fetch_one(statement).await.map_err(|error| unavailable(&error))?;
    row.try_get(0).map_err(|error| unavailable(&error))
}
