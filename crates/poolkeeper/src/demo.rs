//! What is made at the first start: an operator, and the demo, a project with everything that the first request needs.

mod catalogue;

use anyhow::{Context, Result};
use auth::{Passwords, Sealer, TokenHash, new_token};
use clock::{Clock, Entropy};
use domain::catalogue::OsConfig;
use domain::iam::{AccessKey, Domain, Project, Token, TokenScope, User};
use domain::meta::Uid;
use domain::name::{AccessKeyId, DisplayName, DomainId, NetworkName, ProjectId, UserId, WorkspaceId};
use domain::network::{Network, NetworkPhase, Subnet};
use domain::principal::Role;
use domain::workspace::Workspace;
use fleet::sim::SimFleet;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use service::admin::random_pair;
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
    told: Told,
}

/// What is told at the first start, and never again.
enum Told {
    Nothing,
    /// There is nothing but an operator.
    Operator(SecretString),
    Demo(Secrets),
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
    fn known(project: &Project) -> Self {
        Self {
            project: project.id.clone(),
            region: project.name.clone(),
            told: Told::Nothing,
        }
    }

    /// Address, credentials and first requests. Secrets are told at the first start, and never again.
    pub fn greeting(&self, url: &str) -> String {
        let project = &self.project;
        match &self.told {
            Told::Nothing => format!(
                "Poolkeeper serves {url}\nProject {project} ({}) is there already; its secrets were printed at the first start.\n\
                 If they are lost, and no other operator can sign in, begin anew: another --data folder, or an empty database.\n",
                self.region
            ),
            Told::Operator(token) => format!(
                "Poolkeeper serves {url}\n\n\
                 There is a project {project} ({}), and an operator in it. This secret is shown this once:\n\n  admin token {}\n\n\
                 A first request, by the operator:\n\n  {}\n\n",
                self.region,
                token.expose_secret(),
                request(token, &format!("{url}/admin/v1/projects")),
            ),
            Told::Demo(secrets) => format!(
                "Poolkeeper serves {url}\n\n\
                 The demo project is ready. These secrets are shown this once:\n\n{}\n\
                 A first request, by the operator:\n\n  {}\n\n\
                 The user signs requests with the access key, as SDKs do, or logs in for a token in header X-Subject-Token:\n\n  {}\n\n",
                secrets.table(project, &self.region),
                request(&secrets.admin_token, &format!("{url}/v2/{project}/pools")),
                secrets.login(url, project),
            ),
        }
    }
}

impl Secrets {
    fn table(&self, project: &ProjectId, region: &str) -> String {
        let mut text = String::new();
        for (name, value) in [
            ("project", &format!("{project} ({region})")),
            ("user", &format!("{} in domain {}", self.user, self.domain)),
            ("password", &self.password.expose_secret().to_owned()),
            ("access key", &self.access_key),
            ("secret key", &self.secret_key.expose_secret().to_owned()),
            ("admin token", &self.admin_token.expose_secret().to_owned()),
        ] {
            // Writing into a string does not fail.
            let _written = writeln!(text, "  {name:<12}{value}");
        }
        text
    }

    fn login(&self, url: &str, project: &ProjectId) -> String {
        let user = json!({"name": self.user, "password": self.password.expose_secret(), "domain": {"name": self.domain}});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let body = json!({"auth": {"identity": identity, "scope": {"project": {"id": project}}}});
        format!("curl -s -i -d {} {url}/v3/auth/tokens", shell(&body.to_string()))
    }
}

fn request(token: &SecretString, url: &str) -> String {
    let header = format!("X-Auth-Token: {}", token.expose_secret());
    format!("curl -s -H {} {url}", shell(&header))
}

/// A text as one word of a shell's command line.
fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Where an operator is put.
struct Home<'a> {
    project: &'a ProjectId,
    region: &'a str,
    domain: &'a str,
    description: &'a str,
}

/// What the demo is made with.
pub struct Seeder<'a> {
    pub state: &'a State,
    /// Where machines are simulated.
    pub fleet: Option<&'a SimFleet>,
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
        if let Some(demo) = self.made_before(&project) {
            return Ok(demo);
        }
        if let Some(fleet) = self.fleet {
            fleet.register(catalogue::machines()?).await?;
        }
        let region = values.project_name.clone().unwrap_or_else(|| "demo".to_owned());
        let (access_key, secret_key) = random_pair(self.entropy);
        let secrets = Secrets {
            user: values.user.unwrap_or_else(|| "demo".to_owned()),
            domain: values.domain.unwrap_or_else(|| "demo".to_owned()),
            password: values.password.unwrap_or_else(|| new_token(self.entropy).0),
            access_key: values.access_key.unwrap_or(access_key),
            secret_key: values.secret_key.unwrap_or(secret_key),
            admin_token: values.admin_token.unwrap_or_else(|| new_token(self.entropy).0),
        };
        let mut batch = TypedBatch::default();
        let home = Home {
            project: &project,
            region: &region,
            domain: &secrets.domain,
            description: "Demo",
        };
        let domain = self.put_operator(&home, &secrets.admin_token, &mut batch)?;
        self.put_user(&project, &domain, &secrets, &mut batch).await?;
        self.put_network(&project, &mut batch)?;
        // Flavors of machines that are not there would be of no use.
        if self.fleet.is_some() {
            catalogue::put_flavors(&mut batch)?;
        }
        catalogue::put(&region, self.fleet.is_some(), &mut batch)?;
        if let Err(error) = self.state.commit(batch).await {
            // Another replica may have made it at the same time.
            return self.made_before(&project).ok_or_else(|| error.into());
        }
        Ok(Demo {
            project,
            region,
            told: Told::Demo(secrets),
        })
    }

    /// Makes an operator in a project without anything else, unless there is a project.
    pub async fn found(&self, values: Values) -> Result<Demo> {
        if let Some(project) = self.state.index().read().all::<Project>().first() {
            return Ok(Demo::known(project));
        }
        let project = values.project_id.unwrap_or_else(|| self.uid(self.clock.now()).as_str().to_owned());
        let project = ProjectId::parse(&project).context("POOLKEEPER_DEMO_PROJECT_ID")?;
        let region = values.project_name.unwrap_or_else(|| "default".to_owned());
        let token = values.admin_token.unwrap_or_else(|| new_token(self.entropy).0);
        let home = Home {
            project: &project,
            region: &region,
            domain: values.domain.as_deref().unwrap_or("default"),
            description: "",
        };
        let mut batch = TypedBatch::default();
        self.put_operator(&home, &token, &mut batch)?;
        // There is one configuration: of two replicas that begin at once, one makes it and the operator.
        batch.put(OsConfig::plain(), Expect::Absent);
        if let Err(error) = self.state.commit(batch).await {
            let known = self.state.index().read().all::<Project>();
            return known.first().map(|project| Demo::known(project)).ok_or_else(|| error.into());
        }
        Ok(Demo {
            project,
            region,
            told: Told::Operator(token),
        })
    }

    fn made_before(&self, project: &ProjectId) -> Option<Demo> {
        let known = self.state.index().read().get::<Project>("", project)?;
        Some(Demo::known(&known))
    }

    fn uid(&self, now: Timestamp) -> Uid {
        Uid::new(u64::try_from(now.as_millisecond()).unwrap_or(0), clock::random(self.entropy))
    }

    /// A project in a domain, with its workspace and an operator who signs in with the token.
    fn put_operator(&self, home: &Home<'_>, token: &SecretString, batch: &mut TypedBatch) -> Result<DomainId> {
        let now = self.clock.now();
        let domain = DomainId::parse(self.uid(now).as_str())?;
        let admin = UserId::parse(self.uid(now).as_str())?;
        batch.put(
            Domain {
                id: domain.clone(),
                name: home.domain.to_owned(),
                created_at: now,
            },
            Expect::Absent,
        );
        let project = Project {
            id: home.project.clone(),
            name: home.region.to_owned(),
            domain: domain.clone(),
            description: home.description.to_owned(),
            is_enabled: true,
            quota: domain::catalogue::Quota::default(),
            created_at: now,
        };
        batch.put(project, Expect::Absent);
        batch.put(Workspace::default_of(home.project, &admin, now), Expect::Absent);
        batch.put(
            User {
                id: admin.clone(),
                name: "admin".to_owned(),
                domain: domain.clone(),
                password_hash: None,
                roles: BTreeMap::from([(home.project.clone(), Role::Operator)]),
                workspace_roles: BTreeMap::new(),
                is_enabled: true,
                created_at: now,
            },
            Expect::Absent,
        );
        let token = Token {
            hash: TokenHash::of(token.expose_secret().as_bytes()).to_string(),
            user: admin,
            scope: TokenScope::Everything,
            methods: vec!["token".to_owned()],
            issued_at: now,
            expires_at: None,
        };
        batch.put(token, Expect::Absent);
        Ok(domain)
    }

    /// A user of the project, with a password and an access key.
    async fn put_user(&self, project: &ProjectId, domain: &DomainId, secrets: &Secrets, batch: &mut TypedBatch) -> Result<()> {
        let now = self.clock.now();
        let user = User {
            id: UserId::parse(self.uid(now).as_str())?,
            name: secrets.user.clone(),
            domain: domain.clone(),
            password_hash: Some(self.passwords.hash(secrets.password.clone()).await?),
            roles: BTreeMap::from([(project.clone(), Role::User)]),
            workspace_roles: BTreeMap::new(),
            is_enabled: true,
            created_at: now,
        };
        let id = AccessKeyId::parse(&secrets.access_key)?;
        let key = AccessKey {
            sealed_secret: self.sealer.seal(&id, &secrets.secret_key)?,
            id,
            user: user.id.clone(),
            security_token_hash: None,
            expires_at: None,
            is_enabled: true,
            description: "Demo".to_owned(),
            created_at: now,
        };
        batch.put(user, Expect::Absent);
        batch.put(key, Expect::Absent);
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

#[cfg(test)]
mod tests;
