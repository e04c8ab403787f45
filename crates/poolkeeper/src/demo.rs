//! The demo: a project with everything that the first request needs.

mod catalogue;

use anyhow::{Context, Result};
use auth::{Passwords, Sealer, TokenHash, new_token};
use clock::{Clock, Entropy};
use domain::iam::{AccessKey, Domain, Project, Token, TokenScope, User};
use domain::meta::Uid;
use domain::name::{AccessKeyId, DisplayName, DomainId, NetworkName, ProjectId, UserId, WorkspaceId};
use domain::network::{Network, NetworkPhase, Subnet};
use domain::principal::Role;
use domain::workspace::Workspace;
use fleet::sim::SimFleet;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::fmt::Write;
use store::{Count, Expect, State, TypedBatch, counters};

/// Values that can be given; the others are random, but for the project's id and names.
#[derive(Debug, Clone, Default)]
pub struct Values {
    pub project_id: Option<String>,
    pub project_name: Option<String>,
    pub domain: Option<String>,
    pub user: Option<String>,
    pub password: Option<SecretString>,
    pub access_key: Option<String>,
    pub secret_key: Option<SecretString>,
    pub admin_token: Option<SecretString>,
}

impl Values {
    /// Fills in what `POOLKEEPER_DEMO_…` says.
    pub fn or_environment(self) -> Self {
        let read = |name: &str| {
            std::env::var(format!("POOLKEEPER_DEMO_{name}"))
                .ok()
                .filter(|value| !value.is_empty())
        };
        let secret = |name: &str| read(name).map(SecretString::from);
        Self {
            project_id: self.project_id.or_else(|| read("PROJECT_ID")),
            project_name: self.project_name.or_else(|| read("PROJECT_NAME")),
            domain: self.domain.or_else(|| read("DOMAIN")),
            user: self.user.or_else(|| read("USER")),
            password: self.password.or_else(|| secret("PASSWORD")),
            access_key: self.access_key.or_else(|| read("ACCESS_KEY")),
            secret_key: self.secret_key.or_else(|| secret("SECRET_KEY")),
            admin_token: self.admin_token.or_else(|| secret("ADMIN_TOKEN")),
        }
    }
}

/// What is to be told of the demo.
pub struct Demo {
    pub project: ProjectId,
    pub region: String,
    /// Only at the first start.
    secrets: Option<Secrets>,
}

struct Secrets {
    user: String,
    domain: String,
    password: SecretString,
    access_key: String,
    secret_key: SecretString,
    admin_token: SecretString,
}

impl Demo {
    /// Address, credentials and a first request. Secrets are printed at the first start, and never again.
    pub fn greeting(&self, url: &str) -> String {
        let mut text = format!("Poolkeeper serves {url}\n");
        let project = &self.project;
        // Writing into a string does not fail.
        let _written = match &self.secrets {
            None => writeln!(
                text,
                "The demo project {project} is there already; its secrets were printed at the first start."
            ),
            Some(secrets) => write!(
                text,
                "\nThe demo project is ready. These secrets are shown this once:\n\n  \
                 project       {project} ({})\n  user          {} in domain {}\n  password      {}\n  access key    {}\n  secret key    {}\n  admin token   {}\n\n\
                 A first request:\n\n  curl -s -H 'X-Auth-Token: {}' {url}/v2/{project}/pools\n\n",
                self.region,
                secrets.user,
                secrets.domain,
                secrets.password.expose_secret(),
                secrets.access_key,
                secrets.secret_key.expose_secret(),
                secrets.admin_token.expose_secret(),
                secrets.admin_token.expose_secret(),
            ),
        };
        text
    }
}

/// What the demo is made with.
pub struct Seeder<'a> {
    pub state: &'a State,
    pub fleet: &'a SimFleet,
    pub passwords: &'a Passwords,
    pub sealer: &'a Sealer,
    pub clock: &'a dyn Clock,
    pub entropy: &'a dyn Entropy,
}

impl Seeder<'_> {
    /// Makes the demo, unless its project is there.
    pub async fn seed(&self, values: Values) -> Result<Demo> {
        let project = values
            .project_id
            .clone()
            .unwrap_or_else(|| "6f5da086876d4cd084d36f8bd3346036".to_owned());
        let project = ProjectId::parse(&project).context("POOLKEEPER_DEMO_PROJECT_ID")?;
        self.fleet.register(catalogue::machines()?).await?;
        if let Some(known) = self.state.index().read().get::<Project>("", &project) {
            return Ok(Demo {
                project,
                region: known.name.clone(),
                secrets: None,
            });
        }
        let region = values.project_name.clone().unwrap_or_else(|| "demo".to_owned());
        let secrets = Secrets {
            user: values.user.unwrap_or_else(|| "demo".to_owned()),
            domain: values.domain.unwrap_or_else(|| "demo".to_owned()),
            password: values.password.unwrap_or_else(|| new_token(self.entropy).0),
            access_key: values.access_key.unwrap_or_else(|| self.access_key()),
            secret_key: values.secret_key.unwrap_or_else(|| new_token(self.entropy).0),
            admin_token: values.admin_token.unwrap_or_else(|| new_token(self.entropy).0),
        };
        let mut batch = TypedBatch::default();
        self.put_accounts(&project, &region, &secrets, &mut batch).await?;
        self.put_network(&project, &mut batch)?;
        catalogue::put(&region, &mut batch)?;
        self.state.commit(batch).await?;
        Ok(Demo {
            project,
            region,
            secrets: Some(secrets),
        })
    }

    fn uid(&self, now: Timestamp) -> Uid {
        Uid::new(u64::try_from(now.as_millisecond()).unwrap_or(0), clock::random(self.entropy))
    }

    fn access_key(&self) -> String {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let bytes: [u8; 20] = clock::random(self.entropy);
        bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
    }

    async fn put_accounts(&self, project: &ProjectId, region: &str, secrets: &Secrets, batch: &mut TypedBatch) -> Result<()> {
        let now = self.clock.now();
        let domain = DomainId::parse(self.uid(now).as_str())?;
        let (user, admin) = (UserId::parse(self.uid(now).as_str())?, UserId::parse(self.uid(now).as_str())?);
        batch.put(
            Domain {
                id: domain.clone(),
                name: secrets.domain.clone(),
                created_at: now,
            },
            Expect::Absent,
        );
        let owned = Project {
            id: project.clone(),
            name: region.to_owned(),
            domain: domain.clone(),
            description: "Demo".to_owned(),
            is_enabled: true,
            quota: domain::catalogue::Quota::default(),
            created_at: now,
        };
        batch.put(owned, Expect::Absent);
        batch.put(Workspace::default_of(project, &user, now), Expect::Absent);
        let hash = self.passwords.hash(secrets.password.clone()).await?;
        for (id, name, password_hash, role) in [
            (&user, secrets.user.as_str(), Some(hash), Role::User),
            (&admin, "admin", None, Role::Operator),
        ] {
            let user = User {
                id: id.clone(),
                name: name.to_owned(),
                domain: domain.clone(),
                password_hash,
                roles: BTreeMap::from([(project.clone(), role)]),
                is_enabled: true,
                created_at: now,
            };
            batch.put(user, Expect::Absent);
        }
        let id = AccessKeyId::parse(&secrets.access_key)?;
        let key = AccessKey {
            sealed_secret: self.sealer.seal(&id, &secrets.secret_key)?,
            id,
            user,
            security_token_hash: None,
            expires_at: None,
            is_enabled: true,
            description: "Demo".to_owned(),
            created_at: now,
        };
        batch.put(key, Expect::Absent);
        let token = Token {
            hash: TokenHash::of(secrets.admin_token.expose_secret().as_bytes()).to_string(),
            user: admin,
            scope: TokenScope::Everything,
            methods: vec!["token".to_owned()],
            issued_at: now,
            expires_at: None,
        };
        batch.put(token, Expect::Absent);
        Ok(())
    }

    fn put_network(&self, project: &ProjectId, batch: &mut TypedBatch) -> Result<()> {
        let now = self.clock.now();
        let display_name = DisplayName::parse("network-21e1")?;
        let network = Network {
            name: NetworkName::of(&display_name, project),
            uid: self.uid(now),
            generation: 1,
            project: project.clone(),
            display_name,
            workspace: WorkspaceId::default_workspace(),
            created_at: now,
            deleted_at: None,
            description: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            cidr: "192.168.128.0/17".parse()?,
            ipv6: false,
            peers: Vec::new(),
            sfs_turbo: Vec::new(),
            phase: NetworkPhase::Active,
            subnet: Subnet { id: self.uid(now) },
        };
        batch.put(network, Expect::Absent);
        batch.count(Count {
            key: counters::networks_of(project),
            add: 1,
            at_most: None,
        });
        Ok(())
    }
}
