//! Who else may say who is calling. In the file only: these are tables.

use domain::name::{DomainId, ProjectId, WorkspaceId};
use domain::principal::Role;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// `[oidc]`: an issuer whose tokens are believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    /// URL, as the tokens say it.
    pub issuer: String,
    /// What tokens for this service have in `aud`.
    pub audience: String,
    /// Id of the domain to which its users belong.
    #[serde(deserialize_with = "domain")]
    pub domain: DomainId,
    /// Claim with the name of a user.
    #[serde(default = "name_claim")]
    pub name_claim: String,
    /// Claim with the groups of a user; dots lead into objects.
    #[serde(default = "groups_claim")]
    pub groups_claim: String,
    /// How far its clock may be from ours.
    #[serde(default = "skew_seconds")]
    pub skew_seconds: u64,
    /// Certificates in PEM that are trusted besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// `[[oidc.roles]]`
    #[serde(default)]
    pub roles: Vec<GroupRoleConfig>,
}

/// What members of a group may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupRoleConfig {
    pub group: String,
    #[serde(deserialize_with = "project")]
    pub project: ProjectId,
    /// The role counts in this workspace only.
    pub workspace: Option<WorkspaceId>,
    pub role: Role,
}

/// `[keystone]`: a service that knows tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeystoneConfig {
    /// Up to and with `/v3`.
    pub url: String,
    pub user: String,
    pub user_domain: String,
    /// File that holds the password and nothing else.
    pub password_file: PathBuf,
    pub project: String,
    /// A token that is revoked there is good here for so long.
    #[serde(default = "remember_seconds")]
    pub remember_seconds: u64,
    /// And for so long beyond that, while the service does not answer.
    #[serde(default = "grace_seconds")]
    pub grace_seconds: u64,
    pub ca_file: Option<PathBuf>,
    /// `[keystone.roles]`: a role there, and what it is here.
    #[serde(default)]
    pub roles: BTreeMap<String, Role>,
}

/// What is stored is not checked again when it is read; what a person has written is.
fn project<'de, D: Deserializer<'de>>(from: D) -> Result<ProjectId, D::Error> {
    ProjectId::parse(&String::deserialize(from)?).map_err(D::Error::custom)
}

fn domain<'de, D: Deserializer<'de>>(from: D) -> Result<DomainId, D::Error> {
    DomainId::parse(&String::deserialize(from)?).map_err(D::Error::custom)
}

fn name_claim() -> String {
    "preferred_username".to_owned()
}

fn groups_claim() -> String {
    "groups".to_owned()
}

fn skew_seconds() -> u64 {
    60
}

fn remember_seconds() -> u64 {
    300
}

fn grace_seconds() -> u64 {
    3600
}

#[cfg(test)]
mod tests {
    use super::super::tests::with_file;
    use super::*;

    const BOTH: &str = r#"
fleet_seed = 2
[oidc]
issuer = "https://issuer.example/realm"
audience = "poolkeeper"
domain = "d1"
[[oidc.roles]]
group = "team"
project = "6f5da086876d4cd084d36f8bd3346036"
role = "user"
[keystone]
url = "https://iam.example/v3"
user = "poolkeeper"
user_domain = "Default"
password_file = "/run/secrets/keystone"
project = "service"
[keystone.roles]
te_admin = "operator"
"#;

    #[test]
    fn tables_are_read_and_shown_as_they_can_be_read_again() {
        let loaded = with_file(BOTH, &[]).unwrap();
        let oidc = loaded.config.oidc.clone().unwrap();
        assert_eq!(
            (oidc.groups_claim.as_str(), oidc.skew_seconds, oidc.roles[0].role),
            ("groups", 60, Role::User)
        );
        let keystone = loaded.config.keystone.clone().unwrap();
        assert_eq!((keystone.remember_seconds, keystone.roles["te_admin"]), (300, Role::Operator));
        let again = with_file(loaded.show(), &[]).unwrap();
        assert_eq!((again.config.oidc, again.config.keystone), (Some(oidc), Some(keystone)));
    }

    #[test]
    fn mistakes_in_the_tables_are_told() {
        for (from, to, told) in [
            ("audience", "audiance", "audiance"),
            ("role = \"user\"", "role = \"root\"", "root"),
            ("6f5da086876d4cd084d36f8bd3346036", "!", "project"),
        ] {
            let error = with_file(&BOTH.replace(from, to), &[]).err().unwrap();
            assert!(format!("{error:#}").contains(told), "{error:#}");
        }
    }
}
