//! Configuration: flags before environment before file before defaults.

use anyhow::{Context, Result, bail};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use serde::Deserialize;
use std::fmt::Write;
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
    /// PostgreSQL instead of the embedded store: postgres://user:password@host/database
    #[arg(long, env = "POOLKEEPER_DATABASE", value_name = "URL", hide_env_values = true)]
    pub database: Option<String>,
    /// Where machines come from [default: simulated]
    #[arg(long, env = "POOLKEEPER_FLEET", value_name = "FLEET", value_parser = ["simulated"])]
    pub fleet: Option<String>,
    /// Factor on every duration of the simulated fleet: 0 = at once, 1 = as in life [default: 0.02]
    #[arg(long, env = "POOLKEEPER_FLEET_SPEED", value_name = "X")]
    pub fleet_speed: Option<f64>,
    /// Seed of the simulated fleet's durations [default: 1]
    #[arg(long, env = "POOLKEEPER_FLEET_SEED", value_name = "N")]
    pub fleet_seed: Option<u64>,
    /// Do not seed the demo project
    #[arg(long, env = "POOLKEEPER_NO_DEMO")]
    pub no_demo: bool,
    /// Least severity that is logged: error, warn, info, debug, trace [default: info]
    #[arg(long, env = "POOLKEEPER_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// text or json [default: text]
    #[arg(long, env = "POOLKEEPER_LOG_FORMAT", value_name = "FORMAT", value_parser = ["text", "json"])]
    pub log_format: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    data: Option<PathBuf>,
    database: Option<String>,
    fleet: Option<String>,
    fleet_speed: Option<f64>,
    fleet_seed: Option<u64>,
    no_demo: Option<bool>,
    log_level: Option<String>,
    log_format: Option<String>,
}

/// The effective settings.
#[derive(Clone)]
pub struct Config {
    pub listen: SocketAddr,
    pub data: PathBuf,
    pub database: Option<String>,
    pub fleet_speed: f64,
    pub fleet_seed: u64,
    pub no_demo: bool,
    pub log_level: String,
    pub log_format: String,
    /// Name, value and source of each setting.
    pub sources: Vec<(&'static str, String, &'static str)>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8440)),
            data: PathBuf::from("poolkeeper-data"),
            database: None,
            fleet_speed: 0.02,
            fleet_seed: 1,
            no_demo: false,
            log_level: "info".to_owned(),
            log_format: "text".to_owned(),
            sources: Vec::new(),
        }
    }
}

impl Config {
    /// Puts flags, environment and file together. `matches` tells flags and environment apart.
    pub fn load(flags: &Flags, matches: &ArgMatches) -> Result<Self> {
        let file = match &flags.config {
            Some(path) => read(path)?,
            None => File::default(),
        };
        let mut config = Self::default();
        let given = |name: &str| match matches.value_source(name) {
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) => "environment",
            Some(_) | None => "default",
        };
        config.listen = config.pick("listen", given("listen"), flags.listen, file.listen, config.listen);
        config.data = PathBuf::from(config.pick(
            "data",
            given("data"),
            flags.data.as_ref().map(|path| path.display().to_string()),
            file.data.map(|path| path.display().to_string()),
            config.data.display().to_string(),
        ));
        let database = config.pick("database", given("database"), flags.database.clone(), file.database, String::new());
        config.database = Some(database).filter(|url| !url.is_empty());
        let fleet = config.pick("fleet", given("fleet"), flags.fleet.clone(), file.fleet, "simulated".to_owned());
        if fleet != "simulated" {
            bail!("fleet {fleet:?} is not known: it can be simulated");
        }
        config.fleet_speed = config.pick(
            "fleet_speed",
            given("fleet_speed"),
            flags.fleet_speed,
            file.fleet_speed,
            config.fleet_speed,
        );
        if !config.fleet_speed.is_finite() || config.fleet_speed < 0.0 {
            bail!("fleet_speed must be 0 or more");
        }
        config.fleet_seed = config.pick(
            "fleet_seed",
            given("fleet_seed"),
            flags.fleet_seed,
            file.fleet_seed,
            config.fleet_seed,
        );
        config.no_demo = config.pick("no_demo", given("no_demo"), flags.no_demo.then_some(true), file.no_demo, false);
        config.log_level = config.pick(
            "log_level",
            given("log_level"),
            flags.log_level.clone(),
            file.log_level,
            config.log_level.clone(),
        );
        config.log_format = config.pick(
            "log_format",
            given("log_format"),
            flags.log_format.clone(),
            file.log_format,
            config.log_format.clone(),
        );
        Ok(config)
    }

    fn pick<T: ToString>(&mut self, name: &'static str, given: &'static str, flag: Option<T>, file: Option<T>, default: T) -> T {
        let (value, source) = match (flag, file) {
            (Some(value), _) => (value, given),
            (None, Some(value)) => (value, "file"),
            (None, None) => (default, "default"),
        };
        self.sources.push((name, value.to_string(), source));
        value
    }

    /// The effective values as TOML, each with where it comes from; secrets are masked.
    pub fn show(&self) -> String {
        let mut text = String::new();
        for (name, value, source) in &self.sources {
            let shown = match *name {
                "database" if value.is_empty() => continue,
                "database" => format!("{:?}", mask(value)),
                "fleet_speed" | "fleet_seed" | "no_demo" => value.clone(),
                _ => format!("{value:?}"),
            };
            // Writing into a string does not fail.
            let _written = writeln!(text, "{name} = {shown}  # {source}");
        }
        text
    }

    /// Where the store is.
    pub fn store_url(&self) -> String {
        self.database
            .clone()
            .unwrap_or_else(|| format!("sqlite://{}", self.data.join("poolkeeper.db").display()))
    }
}

fn read(path: &Path) -> Result<File> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not a configuration", path.display()))
}

/// A URL with its password hidden.
fn mask(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return "***".to_owned();
    };
    match rest.rsplit_once('@') {
        Some((user, host)) => format!("{scheme}://{}:***@{host}", user.split(':').next().unwrap_or_default()),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, FromArgMatches};

    fn load(arguments: &[&str]) -> Result<Config> {
        let matches = Flags::augment_args(Command::new("serve")).get_matches_from(["serve"].iter().chain(arguments));
        Config::load(&Flags::from_arg_matches(&matches).unwrap(), &matches)
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, "fleet_speed = 0.5\nfleet_seed = 7\n").unwrap();
        let config = load(&["--config", &path.display().to_string(), "--fleet-speed", "0"]).unwrap();
        assert!(config.fleet_speed.abs() < f64::EPSILON);
        assert_eq!((config.fleet_seed, config.listen.port()), (7, 8440));
        let shown = config.show();
        assert!(
            shown.contains("fleet_speed = 0  # flag") && shown.contains("fleet_seed = 7  # file") && shown.contains("# default"),
            "{shown}"
        );
    }

    #[test]
    fn what_is_shown_hides_passwords() {
        let shown = load(&["--database", "postgres://me:secret@host/db"]).unwrap().show();
        assert!(shown.contains("postgres://me:***@host/db") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn mistakes_in_the_file_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, "fleet_sped = 0.5\n").unwrap();
        let error = load(&["--config", &path.display().to_string()]).err().unwrap();
        assert!(format!("{error:#}").contains("fleet_sped"), "{error:#}");
        assert!(load(&["--fleet-speed=-1"]).is_err());
    }
}
