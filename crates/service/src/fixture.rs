//! What the tests of accounts and of the operator's functions begin with: an empty installation and its first operator.

use crate::admin::{DomainChange, NewProject, NewUser};
use crate::{CallContext, Limits, Service, ServiceParts};
use async_trait::async_trait;
use auth::{KeyRing, Passwords, RolePolicy, Sealer, SealingKey};
use clock::{Clock, Entropy, ManualClock, SeededEntropy};
use domain::catalogue::{Offers, Quota};
use domain::iam::{Domain, Project, User};
use domain::meta::{Fence, Uid};
use domain::name::{DomainId, ProjectId, UserId};
use domain::principal::{Principal, Role, Scope};
use fleet::{Command, Fleet, FleetError, Observation, Workloads};
use jiff::Timestamp;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Expect, MemStore, State, TypedBatch};

/// A fleet without machines.
struct NoMachines;

#[async_trait]
impl Fleet for NoMachines {
    fn provider(&self) -> &'static str {
        "none"
    }

    async fn offers(&self) -> Result<Offers, FleetError> {
        Ok(Offers::new())
    }

    async fn observe(&self, _pool: &Uid) -> Result<Observation, FleetError> {
        Ok(Observation::default())
    }

    async fn workloads(&self, _pool: &Uid) -> Result<Arc<Workloads>, FleetError> {
        Ok(Arc::default())
    }

    async fn execute(&self, commands: &[Command], _fence: &Fence) -> Vec<Result<(), FleetError>> {
        commands.iter().map(|_| Ok(())).collect()
    }

    async fn changed(&self) -> Vec<Uid> {
        std::future::pending().await
    }
}

pub const PASSWORD: &str = "correct horse";

pub struct World {
    pub service: Service,
    pub clock: ManualClock,
    pub sealer: Arc<Sealer>,
}

pub fn home() -> ProjectId {
    ProjectId::parse(&"0".repeat(32)).unwrap()
}

pub fn root() -> UserId {
    UserId::parse("root").unwrap()
}

impl World {
    /// Domain `first` with project `home`, whose operator is user `root`.
    pub async fn new() -> Self {
        let world = Self::empty().await;
        let now = world.clock.now();
        let domain = DomainId::parse("first").unwrap();
        let mut batch = TypedBatch::default();
        batch.put(
            Domain {
                id: domain.clone(),
                name: "first".to_owned(),
                created_at: now,
            },
            Expect::Absent,
        );
        let project = Project {
            id: home(),
            name: "home".to_owned(),
            domain: domain.clone(),
            description: String::new(),
            is_enabled: true,
            quota: Quota::default(),
            created_at: now,
        };
        batch.put(project, Expect::Absent);
        let user = User {
            id: root(),
            name: "root".to_owned(),
            domain,
            password_hash: None,
            roles: BTreeMap::from([(home(), Role::Operator)]),
            workspace_roles: BTreeMap::new(),
            is_enabled: true,
            created_at: now,
        };
        batch.put(user, Expect::Absent);
        world.service.state().commit(batch).await.unwrap();
        world
    }

    async fn empty() -> Self {
        let clock = ManualClock::starting_at(Timestamp::from_second(1_700_000_000).unwrap());
        let state = State::load(Arc::new(MemStore::default())).await.unwrap();
        Self::on(state, clock, 1)
    }

    /// Another process on the same store.
    pub async fn replica(&self) -> Self {
        let state = State::load(Arc::clone(self.service.state().store())).await.unwrap();
        Self::on(state, self.clock.clone(), 2)
    }

    fn on(state: State, clock: ManualClock, seed: u64) -> Self {
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(seed));
        let key = SealingKey::generate(entropy.as_ref());
        let sealer = Arc::new(Sealer::new(KeyRing::new(vec![key]).unwrap(), Arc::clone(&entropy)));
        let service = Service::new(ServiceParts {
            state,
            fleet: Arc::new(NoMachines),
            machines: None,
            clock: Arc::new(clock.clone()),
            authorizer: Arc::new(RolePolicy),
            passwords: Passwords::new(Arc::clone(&entropy)),
            sealer: Arc::clone(&sealer),
            entropy,
            limits: Limits::default(),
        });
        Self { service, clock, sealer }
    }

    pub async fn domain(&self, name: &str) -> DomainId {
        let change = DomainChange {
            name: Some(name.to_owned()),
        };
        let outcome = self.service.create_domain(&operator(), || Ok(change.clone())).await.unwrap();
        outcome.object.id.clone()
    }

    pub async fn project(&self, domain: &DomainId, name: &str) -> ProjectId {
        let wanted = project(domain, name);
        let outcome = self.service.create_project(&operator(), || Ok(wanted.clone())).await.unwrap();
        outcome.object.id.clone()
    }

    pub async fn user(&self, domain: &DomainId, name: &str, roles: &[(&ProjectId, Role)]) -> UserId {
        let wanted = user(domain, name, roles);
        let outcome = self.service.create_user(&operator(), || Ok(wanted)).await.unwrap();
        outcome.object.id.clone()
    }
}

pub fn project(domain: &DomainId, name: &str) -> NewProject {
    NewProject {
        id: None,
        domain: domain.clone(),
        name: name.to_owned(),
        description: String::new(),
        is_enabled: true,
        quota: Quota::default(),
    }
}

pub fn user(domain: &DomainId, name: &str, roles: &[(&ProjectId, Role)]) -> NewUser {
    NewUser {
        domain: domain.clone(),
        name: name.to_owned(),
        password: Some(SecretString::from(PASSWORD)),
        roles: roles.iter().map(|(project, role)| ((*project).clone(), *role)).collect(),
        workspace_roles: BTreeMap::new(),
        is_enabled: true,
    }
}

/// A call of the user `root`.
pub fn operator() -> CallContext {
    call(Role::Operator)
}

pub fn call(role: Role) -> CallContext {
    CallContext {
        principal: Principal {
            user: root(),
            user_name: "root".to_owned(),
            domain: DomainId::parse("first").unwrap(),
            domain_name: "first".to_owned(),
            scope: Scope::AllProjects,
            roles: BTreeMap::from([(home(), role)]),
            workspace_roles: BTreeMap::new(),
            credential: "test".to_owned(),
        },
        project: home(),
        acting_for: None,
        is_console: false,
        request_id: "test".to_owned(),
        is_dry_run: false,
        if_match: None,
        idempotency: None,
    }
}
