//! What the listener shows to the outside, and how much the outside may ask of it.

use super::{Document, Sources};
use anyhow::{Context, Result, bail};
use clap::Args;
use http_api::{LimitSettings, Rate, TlsFiles, TrustedProxies};
use ipnet::IpNet;
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct ExposureFlags {
    /// Certificate chain in PEM; with --tls-key, HTTPS instead of HTTP. Both files are read again when they change
    #[arg(long, env = "POOLKEEPER_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate, in PEM
    #[arg(long, env = "POOLKEEPER_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Addresses or networks of proxies whose X-Forwarded-For is believed, separated by commas [default: none]
    #[arg(long, env = "POOLKEEPER_TRUSTED_PROXIES", value_name = "CIDRS")]
    pub trusted_proxies: Option<String>,
    /// Requests a second of one user; 0: any number [default: 500]
    #[arg(long, env = "POOLKEEPER_RATE_LIMIT", value_name = "N")]
    pub rate_limit: Option<u64>,
    /// Requests of one user at once [default: 2000]
    #[arg(long, env = "POOLKEEPER_RATE_BURST", value_name = "N")]
    pub rate_burst: Option<u64>,
    /// Requests a second from one address without or with a failed sign-in; 0: any number [default: 20]
    #[arg(long, env = "POOLKEEPER_ADDRESS_RATE_LIMIT", value_name = "N")]
    pub address_rate_limit: Option<u64>,
    /// Such requests at once [default: 500]
    #[arg(long, env = "POOLKEEPER_ADDRESS_RATE_BURST", value_name = "N")]
    pub address_rate_burst: Option<u64>,
    /// Watches and wait= requests of one user at the same time; 0: any number [default: 200]
    #[arg(long, env = "POOLKEEPER_MAX_OPEN_ANSWERS", value_name = "N")]
    pub max_open_answers: Option<u64>,
    /// Days for which the audit record is kept [default: 90]
    #[arg(long, env = "POOLKEEPER_AUDIT_DAYS", value_name = "DAYS")]
    pub audit_days: Option<u64>,
    /// Connections at the same time; 0: any number [default: 4096]
    #[arg(long, env = "POOLKEEPER_MAX_CONNECTIONS", value_name = "N")]
    pub max_connections: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct Exposure {
    pub tls: Option<TlsFiles>,
    pub proxies: TrustedProxies,
    /// Requests a second; 0: no limit.
    pub rate: u64,
    pub burst: u64,
    /// Requests a second; 0: no limit.
    pub address_rate: u64,
    pub address_burst: u64,
    /// 0: no limit.
    pub open_answers: u64,
    /// 0: no limit.
    pub connections: u64,
    pub audit_days: u64,
}

impl Default for Exposure {
    fn default() -> Self {
        Self {
            tls: None,
            proxies: TrustedProxies::default(),
            rate: 500,
            burst: 2000,
            address_rate: 20,
            address_burst: 500,
            open_answers: 200,
            connections: 4096,
            audit_days: 90,
        }
    }
}

impl Exposure {
    pub(super) fn load(from: &mut Sources<'_>, flags: &ExposureFlags, file: &Document) -> Result<Self> {
        let usual = Self::default();
        let certificate = from.pick_optional("tls_cert", flags.tls_cert.clone(), file.tls_cert.clone());
        let key = from.pick_optional("tls_key", flags.tls_key.clone(), file.tls_key.clone());
        let tls = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => bail!("tls_cert and tls_key go together"),
        };
        let proxies = from.pick_optional("trusted_proxies", flags.trusted_proxies.clone(), file.trusted_proxies.clone());
        let mut number = |name, flag, file, usual| from.pick(name, flag, file, usual);
        Ok(Self {
            tls,
            proxies: TrustedProxies::new(networks(proxies.as_deref().unwrap_or_default())?),
            rate: number("rate_limit", flags.rate_limit, file.rate_limit, usual.rate),
            burst: number("rate_burst", flags.rate_burst, file.rate_burst, usual.burst),
            address_rate: number(
                "address_rate_limit",
                flags.address_rate_limit,
                file.address_rate_limit,
                usual.address_rate,
            ),
            address_burst: number(
                "address_rate_burst",
                flags.address_rate_burst,
                file.address_rate_burst,
                usual.address_burst,
            ),
            open_answers: number(
                "max_open_answers",
                flags.max_open_answers,
                file.max_open_answers,
                usual.open_answers,
            ),
            audit_days: number("audit_days", flags.audit_days, file.audit_days, usual.audit_days),
            connections: number("max_connections", flags.max_connections, file.max_connections, usual.connections),
        })
    }

    /// What holds for one caller. What is switched off is told: nobody should have to find that out.
    pub fn limits(&self) -> LimitSettings {
        for (name, value) in [
            ("rate_limit", self.rate),
            ("address_rate_limit", self.address_rate),
            ("max_open_answers", self.open_answers),
            ("max_connections", self.connections),
        ] {
            if value == 0 {
                tracing::warn!(setting = name, "a limit is switched off");
            }
        }
        LimitSettings {
            principal: rate(self.rate, self.burst),
            address: rate(self.address_rate, self.address_burst),
            open_answers: bounded(self.open_answers),
        }
    }

    pub fn audit_retention(&self) -> Duration {
        Duration::from_secs(self.audit_days.saturating_mul(24 * 60 * 60))
    }

    pub fn most_connections(&self) -> Option<NonZeroUsize> {
        NonZeroUsize::new(usize::try_from(self.connections).unwrap_or(usize::MAX))
    }
}

fn bounded(value: u64) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(value).unwrap_or(u32::MAX))
}

/// A burst of none would let nobody in.
fn rate(per_second: u64, burst: u64) -> Option<Rate> {
    Some(Rate {
        per_second: bounded(per_second)?,
        burst: bounded(burst).unwrap_or(NonZeroU32::MIN),
    })
}

fn networks(text: &str) -> Result<Vec<IpNet>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let network = part
                .parse::<IpNet>()
                .or_else(|error| part.parse::<IpAddr>().map(IpNet::from).map_err(|_| error));
            network.with_context(|| format!("trusted_proxies: {part:?} is neither an address nor a network"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, with_file};
    use super::*;

    #[test]
    fn limits_hold_unless_they_are_switched_off() {
        let usual = load(&[]).unwrap().config.exposure;
        let limits = usual.limits();
        assert!(limits.principal.is_some() && limits.address.is_some() && limits.open_answers.is_some());
        assert!(usual.most_connections().is_some() && usual.tls.is_none());
        let off = with_file(
            "rate_limit = 0\naddress_rate_limit = 0\nmax_open_answers = 0\nmax_connections = 0\n",
            &[],
        );
        let off = off.unwrap().config.exposure;
        assert_eq!((off.limits(), off.most_connections()), (LimitSettings::default(), None));
    }

    #[test]
    fn certificate_and_key_go_together() {
        let both = with_file("tls_cert = \"a\"\n", &["--tls-key", "b"]).unwrap();
        let files = both.config.exposure.tls.unwrap();
        assert_eq!((files.certificate, files.key), (PathBuf::from("a"), PathBuf::from("b")));
        for one in [["--tls-cert", "a"], ["--tls-key", "a"]] {
            assert!(load(&one).is_err());
        }
    }

    #[test]
    fn proxies_are_addresses_and_networks() {
        let loaded = load(&["--trusted-proxies", "10.0.0.0/8, ::1"]).unwrap();
        let expected = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        assert_eq!(loaded.config.exposure.proxies, expected);
        let error = load(&["--trusted-proxies", "10.0.0.0/8,proxy"]).err().unwrap();
        assert!(error.to_string().contains("\"proxy\""), "{error}");
    }
}
