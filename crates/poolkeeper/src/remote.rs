//! Others who may say who is calling, by configuration.

use crate::config::{Config, KeystoneConfig, OidcConfig};
use anyhow::{Context, Result};
use auth::RemoteAuthenticator;
use identity::{GroupRole, Keystone, KeystoneSettings, Oidc, OidcSettings, Outside};
use secrecy::SecretString;
use std::path::Path;
use std::time::Duration;

/// In the order in which they are asked: a token that an issuer has signed needs no question.
pub fn ways(config: &Config) -> Result<Vec<Box<dyn RemoteAuthenticator>>> {
    let mut ways: Vec<Box<dyn RemoteAuthenticator>> = Vec::new();
    if let Some(oidc) = &config.oidc {
        ways.push(Box::new(issuer(oidc).context("oidc")?));
    }
    if let Some(keystone) = &config.keystone {
        ways.push(Box::new(service(keystone).context("keystone")?));
    }
    Ok(ways)
}

fn issuer(config: &OidcConfig) -> Result<Oidc> {
    let settings = OidcSettings {
        issuer: config.issuer.clone(),
        audience: config.audience.clone(),
        name_claim: config.name_claim.clone(),
        groups_claim: config.groups_claim.clone(),
        domain: config.domain.clone(),
        roles: config
            .roles
            .iter()
            .map(|rule| GroupRole {
                group: rule.group.clone(),
                project: rule.project.clone(),
                workspace: rule.workspace.clone(),
                role: rule.role,
            })
            .collect(),
        skew: Duration::from_secs(config.skew_seconds),
    };
    Ok(Oidc::new(settings, outside(config.ca_file.as_deref())?)?)
}

fn service(config: &KeystoneConfig) -> Result<Keystone> {
    let password = read(&config.password_file)?;
    let password = String::from_utf8(password).with_context(|| format!("{} is not UTF-8", config.password_file.display()))?;
    let settings = KeystoneSettings {
        url: config.url.clone(),
        user: config.user.clone(),
        user_domain: config.user_domain.clone(),
        password: SecretString::from(password.trim_end_matches(['\r', '\n'])),
        project: config.project.clone(),
        roles: config.roles.clone(),
        remember: Duration::from_secs(config.remember_seconds),
        grace: Duration::from_secs(config.grace_seconds),
    };
    Ok(Keystone::new(settings, outside(config.ca_file.as_deref())?)?)
}

fn outside(root: Option<&Path>) -> Result<Outside> {
    let root = root.map(read).transpose()?;
    Ok(Outside::new(root.as_deref())?)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}
