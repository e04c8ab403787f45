//! Configuration: flags before environment before file before defaults.

mod cluster;
mod exposure;
mod identity;
mod replica;
mod upkeep;

pub use self::identity::{GroupRoleConfig, KeystoneConfig, OidcConfig};
pub use cluster::{Cluster, ClusterFlags};
pub use exposure::{Exposure, ExposureFlags};
pub use replica::{ReplicaFlags, ReplicaSettings};
pub use upkeep::{Repair, Upkeep, UpkeepFlags};

use anyhow::{Context, Result, bail};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Flags of `serve` and `config show`. Each can also be given as `POOLKEEPER_…` in the environment, or in the file.
#[derive(Debug, Args)]
pub struct Flags {
    /// TOML file with the same settings, in snake case
    #[arg(long, env = "POOLKEEPER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:8440]
    #[arg(long, env = "POOLKEEPER_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Folder of the embedded store and of the key that seals secrets [default: poolkeeper-data]
    #[arg(long, env = "POOLKEEPER_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// File of the key that seals secret keys; made at the first start, needed ever after [default: DIR/secret.key]
    #[arg(long, env = "POOLKEEPER_SECRET_KEY_FILE", value_name = "FILE")]
    pub secret_key_file: Option<PathBuf>,
    /// PostgreSQL (15 or newer) instead of the embedded store: postgres://user:password@host/database, with TLS if
    /// ?sslmode=verify-full is added
    #[arg(long, env = "POOLKEEPER_DATABASE", value_name = "URL", hide_env_values = true)]
    pub database: Option<String>,
    /// Where machines come from: simulated, or kubernetes: the nodes of a cluster [default: simulated]
    #[arg(long, env = "POOLKEEPER_FLEET", value_name = "FLEET", hide_possible_values = true)]
    pub fleet: Option<FleetKind>,
    #[command(flatten)]
    pub cluster: ClusterFlags,
    /// Factor on every duration of the simulated fleet: 0 = at once, 1 = as in life, where a machine boots for minutes
    /// [default: 0.02]
    #[arg(long, env = "POOLKEEPER_FLEET_SPEED", value_name = "X")]
    pub fleet_speed: Option<f64>,
    /// Seed of the simulated fleet's durations [default: 1]
    #[arg(long, env = "POOLKEEPER_FLEET_SEED", value_name = "N")]
    pub fleet_seed: Option<u64>,
    /// How often simulated machines fail by themselves: 0 = never, 1 = as published for large training runs, 0.0038
    /// faults per machine of 8 GPUs and day [default: 0]
    #[arg(long, env = "POOLKEEPER_FLEET_FAILURES", value_name = "X")]
    pub fleet_failures: Option<f64>,
    #[command(flatten)]
    pub exposure: ExposureFlags,
    #[command(flatten)]
    pub upkeep: UpkeepFlags,
    #[command(flatten)]
    pub replica: ReplicaFlags,
    /// Make nothing of the demo: a new installation has an operator in an empty project, and no machines. So it is anyway
    /// where machines are those of a cluster
    #[arg(long, env = "POOLKEEPER_NO_DEMO")]
    pub no_demo: bool,
    /// Make the demo where machines are those of a cluster too: project, user, network, plug-in templates, and no flavors
    /// but those of the cluster
    #[arg(long, env = "POOLKEEPER_DEMO", conflicts_with = "no_demo")]
    pub demo: bool,
    /// Least severity that is logged: off, error, warn, info, debug or trace; or by module, as in info,sqlx=warn
    /// [default: info]
    #[arg(long, env = "POOLKEEPER_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// text or json [default: text]
    #[arg(long, env = "POOLKEEPER_LOG_FORMAT", value_name = "FORMAT", hide_possible_values = true)]
    pub log_format: Option<LogFormat>,
}

/// Where machines come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum FleetKind {
    #[default]
    Simulated,
    Kubernetes,
}

impl fmt::Display for FleetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Simulated => "simulated",
            Self::Kubernetes => "kubernetes",
        })
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    listen: Option<SocketAddr>,
    data: Option<PathBuf>,
    secret_key_file: Option<PathBuf>,
    database: Option<String>,
    fleet: Option<FleetKind>,
    fleet_speed: Option<f64>,
    fleet_seed: Option<u64>,
    fleet_failures: Option<f64>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    trusted_proxies: Option<String>,
    rate_limit: Option<u64>,
    rate_burst: Option<u64>,
    address_rate_limit: Option<u64>,
    address_rate_burst: Option<u64>,
    max_open_answers: Option<u64>,
    max_connections: Option<u64>,
    audit_days: Option<u64>,
    kubeconfig: Option<PathBuf>,
    kubernetes: Option<fleet_kube::KubeConfig>,
    node_repair: Option<Repair>,
    node_repair_patience: Option<u64>,
    node_repair_attempts: Option<u64>,
    node_repair_percent: Option<u64>,
    node_repair_nodes: Option<u64>,
    driver_force_percent: Option<u64>,
    lease_ttl: Option<u64>,
    stop_grace: Option<u64>,
    stale_reads: Option<u64>,
    no_demo: Option<bool>,
    log_level: Option<String>,
    log_format: Option<LogFormat>,
    oidc: Option<OidcConfig>,
    keystone: Option<KeystoneConfig>,
}

/// The effective settings.
#[derive(Clone)]
pub struct Config {
    pub listen: SocketAddr,
    pub data: PathBuf,
    /// `secret.key` in `data` where absent.
    pub secret_key_file: Option<PathBuf>,
    /// The embedded store in `data` where absent.
    pub database: Option<String>,
    pub fleet: FleetKind,
    pub fleet_speed: f64,
    pub fleet_seed: u64,
    pub fleet_failures: f64,
    pub exposure: Exposure,
    pub oidc: Option<OidcConfig>,
    pub keystone: Option<KeystoneConfig>,
    pub cluster: Cluster,
    pub upkeep: Upkeep,
    pub replica: ReplicaSettings,
    pub no_demo: bool,
    pub log_level: String,
    pub log_format: LogFormat,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8440)),
            data: PathBuf::from("poolkeeper-data"),
            secret_key_file: None,
            database: None,
            fleet: FleetKind::default(),
            fleet_speed: 0.02,
            fleet_seed: 1,
            fleet_failures: 0.0,
            exposure: Exposure::default(),
            oidc: None,
            keystone: None,
            cluster: Cluster::default(),
            upkeep: Upkeep::default(),
            replica: ReplicaSettings::default(),
            no_demo: false,
            log_level: "info".to_owned(),
            log_format: LogFormat::default(),
        }
    }
}

impl Config {
    /// Puts flags, environment and file together. `matches` tells flags and environment apart.
    pub fn load(flags: &Flags, matches: &ArgMatches) -> Result<Loaded> {
        let mut file = match &flags.config {
            Some(path) => read(path)?,
            None => Document::default(),
        };
        let usual = Self::default();
        let mut from = Sources::new(matches);
        let exposure = Exposure::load(&mut from, &flags.exposure, &file)?;
        let upkeep = Upkeep::load(&mut from, &flags.upkeep, &file);
        let replica = ReplicaSettings::load(&mut from, &flags.replica, &file)?;
        let fleet = from.pick("fleet", flags.fleet, file.fleet, usual.fleet);
        let cluster = Cluster::load(&mut from, &flags.cluster, &mut file)?;
        // The demo's machines are simulated: elsewhere it is made for those who ask for it.
        let no_demo = match fleet {
            FleetKind::Simulated => usual.no_demo,
            FleetKind::Kubernetes => true,
        };
        let asked = flags.no_demo.then_some(true).or(flags.demo.then_some(false));
        let config = Self {
            listen: from.pick("listen", flags.listen, file.listen, usual.listen),
            data: from.pick("data", flags.data.clone(), file.data, usual.data),
            secret_key_file: from.pick_optional("secret_key_file", flags.secret_key_file.clone(), file.secret_key_file),
            database: from
                .pick_optional("database", flags.database.clone().map(Url), file.database.map(Url))
                .map(|url| url.0),
            fleet,
            fleet_speed: from.pick("fleet_speed", flags.fleet_speed, file.fleet_speed, usual.fleet_speed),
            fleet_seed: from.pick("fleet_seed", flags.fleet_seed, file.fleet_seed, usual.fleet_seed),
            fleet_failures: from.pick("fleet_failures", flags.fleet_failures, file.fleet_failures, usual.fleet_failures),
            exposure,
            oidc: file.oidc,
            keystone: file.keystone,
            cluster,
            upkeep,
            replica,
            no_demo: from.pick("no_demo", asked, file.no_demo, no_demo),
            log_level: from.pick("log_level", flags.log_level.clone(), file.log_level, usual.log_level),
            log_format: from.pick("log_format", flags.log_format, file.log_format, usual.log_format),
        };
        for (name, value) in [("fleet_speed", config.fleet_speed), ("fleet_failures", config.fleet_failures)] {
            if !value.is_finite() || value < 0.0 {
                bail!("{name} must be 0 or more, not {value}");
            }
        }
        from.table("oidc", config.oidc.as_ref())?;
        from.table("keystone", config.keystone.as_ref())?;
        if config.fleet == FleetKind::Kubernetes {
            // A table, so that it comes after all that stands outside of tables.
            from.shown.push_str(&config.cluster.to_toml()?);
        }
        Ok(Loaded { config, shown: from.shown })
    }

    /// Where the store is.
    pub fn store_url(&self) -> String {
        self.database
            .clone()
            .unwrap_or_else(|| format!("sqlite://{}", as_path_of_url(&self.data.join("poolkeeper.db"))))
    }

    pub fn secret_key_path(&self) -> PathBuf {
        self.secret_key_file.clone().unwrap_or_else(|| self.data.join("secret.key"))
    }
}

/// What would mean something else in a URL is escaped.
fn as_path_of_url(path: &Path) -> String {
    path.display().to_string().replace('%', "%25").replace('?', "%3F")
}

fn read(path: &Path) -> Result<Document> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not a configuration", path.display()))
}

/// Settings, and where each comes from.
pub struct Loaded {
    pub config: Config,
    shown: String,
}

impl Loaded {
    /// The effective values as TOML, each with where it comes from; passwords are masked.
    pub fn show(&self) -> &str {
        &self.shown
    }
}

struct Sources<'a> {
    matches: &'a ArgMatches,
    shown: String,
}

impl<'a> Sources<'a> {
    fn new(matches: &'a ArgMatches) -> Self {
        Self {
            matches,
            shown: String::new(),
        }
    }

    fn pick<T: Setting>(&mut self, name: &str, given: Option<T>, file: Option<T>, default: T) -> T {
        let (value, source) = self.choose(name, given, file).unwrap_or((default, "default"));
        self.note(name, &value, source);
        value
    }

    fn pick_optional<T: Setting>(&mut self, name: &str, given: Option<T>, file: Option<T>) -> Option<T> {
        let (value, source) = self.choose(name, given, file)?;
        self.note(name, &value, source);
        Some(value)
    }

    fn choose<T>(&self, name: &str, given: Option<T>, file: Option<T>) -> Option<(T, &'static str)> {
        let source = match self.matches.value_source(name) {
            Some(ValueSource::EnvVariable) => "environment",
            Some(_) | None => "flag",
        };
        given.map(|value| (value, source)).or(file.map(|value| (value, "file")))
    }

    /// A table of the file. It holds no secrets, but may name files that do.
    fn table<T: Serialize>(&mut self, name: &str, table: Option<&T>) -> Result<()> {
        if let Some(table) = table {
            let text = toml::to_string(&BTreeMap::from([(name, table)]))?;
            // Writing into a string does not fail.
            let _written = write!(self.shown, "\n{text}");
        }
        Ok(())
    }

    fn note<T: Setting>(&mut self, name: &str, value: &T, source: &str) {
        // Writing into a string does not fail.
        let _written = writeln!(self.shown, "{name} = {}  # {source}", value.to_toml());
    }
}

/// A URL that may hold a password.
struct Url(String);

/// A value with its form in TOML.
trait Setting {
    fn to_toml(&self) -> String;
}

macro_rules! settings {
    ($($type:ty => |$value:ident| $text:expr;)+) => {
        $(impl Setting for $type {
            fn to_toml(&self) -> String {
                let $value = self;
                $text
            }
        })+
    };
}

settings! {
    String => |it| quoted(it);
    Url => |it| quoted(&mask(&it.0));
    PathBuf => |it| quoted(&it.display());
    SocketAddr => |it| quoted(it);
    FleetKind => |it| quoted(it);
    Repair => |it| quoted(it);
    LogFormat => |it| quoted(it);
    f64 => |it| format!("{it:?}");
    u64 => |it| it.to_string();
    bool => |it| it.to_string();
}

fn quoted(value: &impl fmt::Display) -> String {
    toml::Value::String(value.to_string()).to_string()
}

/// A URL with everything hidden that may be a password.
fn mask(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return "***".to_owned();
    };
    let (user, host) = rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
    if user.is_some_and(|user| user.contains(['?', '/', '@'])) {
        // It is not clear where the password ends.
        return format!("{scheme}://***");
    }
    let user = match user.map(|user| user.split_once(':')) {
        Some(Some((user, _password))) => format!("{user}:***@"),
        Some(None) => rest.split_inclusive('@').next().unwrap_or_default().to_owned(),
        None => String::new(),
    };
    let host = host.split_once('?').map_or(host.to_owned(), |(host, _)| format!("{host}?***"));
    format!("{scheme}://{user}{host}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, FromArgMatches};

    pub(super) fn load(arguments: &[&str]) -> Result<Loaded> {
        let matches = Flags::augment_args(Command::new("serve")).get_matches_from(["serve"].iter().chain(arguments));
        Config::load(&Flags::from_arg_matches(&matches).unwrap(), &matches)
    }

    pub(super) fn with_file(text: &str, arguments: &[&str]) -> Result<Loaded> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, text).unwrap();
        let path = path.display().to_string();
        load(&[&["--config", path.as_str()], arguments].concat())
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let text = "fleet_speed = 0.5\nfleet_seed = 7\nno_demo = true\nlog_format = \"json\"\nsecret_key_file = \"k\"\n";
        let loaded = with_file(text, &["--fleet-speed", "0"]).unwrap();
        let config = &loaded.config;
        assert!(config.fleet_speed.abs() < f64::EPSILON);
        assert_eq!((config.fleet_seed, config.listen.port(), config.no_demo), (7, 8440, true));
        assert_eq!((config.log_format, config.secret_key_path()), (LogFormat::Json, PathBuf::from("k")));
        for line in [
            "fleet_speed = 0.0  # flag",
            "fleet_seed = 7  # file",
            "no_demo = true  # file",
            "log_format = \"json\"  # file",
            "listen = \"127.0.0.1:8440\"  # default",
        ] {
            assert!(loaded.show().lines().any(|shown| shown == line), "{line} in {}", loaded.show());
        }
    }

    #[test]
    fn what_is_shown_can_be_used_as_a_file() {
        let loaded = load(&["--data", "a \"strange\" \\ folder", "--secret-key-file", "/k"]).unwrap();
        let again = with_file(loaded.show(), &[]).unwrap();
        assert_eq!(again.config.data, loaded.config.data);
        assert_eq!(
            again.show().replace("# file", ""),
            loaded.show().replace("# flag", "").replace("# default", "")
        );
    }

    #[test]
    fn the_embedded_store_is_in_the_folder_whatever_its_name() {
        let loaded = load(&["--data", "/tmp/a%20b?c"]).unwrap();
        assert_eq!(loaded.config.store_url(), "sqlite:///tmp/a%2520b%3Fc/poolkeeper.db");
    }

    #[test]
    fn the_upkeep_of_nodes_is_off_unless_it_is_asked_for() {
        let policy = load(&[]).unwrap().config.upkeep.policy();
        assert!(!policy.repair.is_on && policy.force_upgrade_percent.is_none());
        let text = "node_repair = \"on\"\nnode_repair_nodes = 2\ndriver_force_percent = 25\n";
        let policy = with_file(text, &["--node-repair-attempts", "1"]).unwrap().config.upkeep.policy();
        assert!(policy.repair.is_on);
        assert_eq!(
            (policy.repair.most, policy.repair.attempts, policy.force_upgrade_percent),
            (2, 1, Some(25))
        );
    }

    #[test]
    fn what_is_shown_hides_passwords() {
        for (url, shown) in [
            ("postgres://me:secret@host/db", "postgres://me:***@host/db"),
            ("postgres://me:sec@ret@host/db", "postgres://***"),
            ("postgres://me:sec?ret@host/db", "postgres://***"),
            ("postgres://host/db?password=sec@ret", "postgres://***"),
            ("postgres://host/db?password=secret", "postgres://host/db?***"),
            ("postgres://me@host/db", "postgres://me@host/db"),
            ("secret", "***"),
        ] {
            let loaded = load(&["--database", url]).unwrap();
            let line = format!("database = \"{shown}\"  # flag");
            assert!(loaded.show().lines().any(|shown| shown == line), "{line} in {}", loaded.show());
        }
    }

    #[test]
    fn mistakes_in_the_file_are_told_with_their_place() {
        for (text, told) in [
            ("fleet_sped = 0.5\n", "fleet_sped"),
            ("listen = \"here\"\n", "listen"),
            ("log_format = \"yaml\"\n", "yaml"),
            ("fleet = \"real\"\n", "real"),
            ("fleet_speed = -1.0\n", "fleet_speed"),
            ("node_repair = \"maybe\"\n", "maybe"),
        ] {
            let error = with_file(text, &[]).err().unwrap();
            assert!(format!("{error:#}").contains(told), "{error:#}");
        }
        assert!(load(&["--fleet-speed", "nan"]).is_err());
        assert!(load(&["--config", "/nowhere/c.toml"]).is_err());
    }
}
