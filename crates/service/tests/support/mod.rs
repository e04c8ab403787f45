//! A service on the store in memory, with a fleet that only offers machines.

use async_trait::async_trait;
use auth::{KeyRing, Passwords, RolePolicy, Sealer, SealingKey};
use clock::{Entropy, ManualClock, SeededEntropy};
use domain::catalogue::{CpuArch, Flavor, Offer, Offers, ZoneOffer};
use domain::meta::{Fence, Uid};
use domain::name::{DisplayName, DomainId, FlavorName, NetworkName, NodeName, PoolName, ProjectId, UserId, ZoneName};
use domain::node::{DeleteCause, Node, NodePhase};
use domain::pool::JobType;
use domain::pool::draft::{BillingDraft, NetworkDraft, PoolDraft, PoolNetworkDraft, ResourceDraft};
use domain::principal::{Principal, Role, Scope};
use domain::workspace::Workspace;
use fleet::{Command, Fleet, FleetError, Observation, Workloads};
use jiff::Timestamp;
use poolkeeper_service::{CallContext, Limits, Service, ServiceParts};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Expect, MemStore, State, TypedBatch};

pub const FLAVOR: &str = "modelarts.vm.cpu.8ud";

/// So many machines in one zone, all of them free.
struct Offering(u32);

#[async_trait]
impl Fleet for Offering {
    fn provider(&self) -> &'static str {
        "offering"
    }

    async fn offers(&self) -> Result<Offers, FleetError> {
        let zones = BTreeMap::from([(
            ZoneName::parse("az-1").unwrap(),
            ZoneOffer {
                free: self.0,
                total: self.0,
            },
        )]);
        Ok(BTreeMap::from([(flavor(), Offer { zones })]))
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

pub fn flavor() -> FlavorName {
    FlavorName::parse(FLAVOR).unwrap()
}

pub fn project() -> ProjectId {
    ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").unwrap()
}

pub fn network() -> NetworkName {
    NetworkName::of(&DisplayName::parse("network-21e1").unwrap(), &project())
}

pub struct World {
    pub service: Service,
    pub clock: ManualClock,
}

impl World {
    /// A project with a default workspace, a network and so many machines.
    pub async fn new(machines: u32) -> Self {
        let clock = ManualClock::starting_at(Timestamp::from_second(1_700_000_000).unwrap());
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(1));
        let state = State::load(Arc::new(MemStore::default())).await.unwrap();
        let mut batch = TypedBatch::default();
        let owner = UserId::parse("owner").unwrap();
        batch.put(Workspace::default_of(&project(), &owner, clock_now(&clock)), Expect::Absent);
        batch.put(Flavor::plain(flavor(), CpuArch::X86, 8, 32), Expect::Absent);
        state.commit(batch).await.unwrap();
        let parts = ServiceParts {
            state,
            fleet: Arc::new(Offering(machines)),
            machines: None,
            clock: Arc::new(clock.clone()),
            authorizer: Arc::new(RolePolicy),
            passwords: Passwords::new(Arc::clone(&entropy)),
            sealer: Arc::new(Sealer::new(
                KeyRing::new(vec![SealingKey::generate(entropy.as_ref())]).unwrap(),
                Arc::clone(&entropy),
            )),
            entropy,
            limits: Limits::default(),
        };
        let world = Self {
            service: Service::new(parts),
            clock,
        };
        let draft = NetworkDraft {
            display_name: DisplayName::parse("network-21e1").unwrap(),
            workspace: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            description: None,
            cidr: "192.168.128.0/17".parse().unwrap(),
            ipv6: false,
            peers: Vec::new(),
            sfs_turbo: Vec::new(),
        };
        world
            .service
            .create_network(&caller(Role::User), || Ok(draft.clone()))
            .await
            .unwrap();
        world
    }

    /// Lets the creation of a pool fail, as the reconciler would: it counts no more, and a machine has still to be given back.
    pub async fn fail(&self, name: &PoolName) {
        let now = clock_now(&self.clock);
        let index = self.service.state().index();
        let found = index.read().get::<domain::pool::Pool>(project(), name).unwrap();
        let mut pool = domain::pool::Pool::clone(&found);
        let mut batch = TypedBatch::default();
        let given_back = store::counters::holdings(&pool).into_iter().map(|(key, holds)| store::Count {
            key,
            add: -holds,
            at_most: None,
        });
        batch.counts.extend(given_back);
        pool.status.phase = domain::pool::PoolPhase::CreationFailed {
            message: String::new(),
            at: now,
        };
        let going = NodePhase::Deleting {
            cause: DeleteCause::GivenUp,
            since: now,
        };
        let node = node_of(&pool, "os-node-created-abcde", going, now);
        batch.put(node, Expect::Absent);
        batch.put(pool, Expect::At(found.revision()));
        self.service.state().commit(batch).await.unwrap();
    }

    /// Puts a pool into phase Running, as the reconciler would.
    pub async fn run(&self, name: &PoolName) {
        let found = self
            .service
            .state()
            .index()
            .read()
            .get::<domain::pool::Pool>(project(), name)
            .unwrap();
        let mut pool = domain::pool::Pool::clone(&found);
        pool.status.phase = domain::pool::PoolPhase::Running;
        let mut batch = TypedBatch::default();
        batch.put(pool, Expect::At(found.revision()));
        self.service.state().commit(batch).await.unwrap();
    }
}

/// A node of a pool.
pub fn node_of(pool: &domain::pool::Pool, name: &str, phase: NodePhase, now: Timestamp) -> Node {
    let element = &pool.spec.resources[0];
    Node {
        care: domain::node::Care::default(),
        name: NodeName::parse(name).unwrap(),
        uid: Uid::from_text(name),
        project: project(),
        pool: pool.name.clone(),
        pool_uid: pool.uid.clone(),
        flavor: element.flavor.clone(),
        node_pool: element.node_pool(),
        az: ZoneName::parse("az-1").unwrap(),
        created_at: now,
        order: pool.last_order.clone(),
        phase,
        was_available: false,
        driver: None,
        machine: None,
        template: None,
        is_locked: false,
        domain: None,
        is_ha_spare: false,
        quota: None,
        batch: None,
    }
}

pub fn clock_now(clock: &ManualClock) -> Timestamp {
    clock::Clock::now(clock)
}

pub fn caller(role: Role) -> CallContext {
    let principal = Principal {
        user: UserId::parse("somebody").unwrap(),
        user_name: "somebody".to_owned(),
        domain: DomainId::parse("domain").unwrap(),
        domain_name: "domain".to_owned(),
        scope: Scope::AllProjects,
        roles: BTreeMap::from([(project(), role)]),
        workspace_roles: BTreeMap::new(),
        credential: "test".to_owned(),
    };
    CallContext {
        principal,
        project: project(),
        acting_for: None,
        is_console: false,
        request_id: "test".to_owned(),
        is_dry_run: false,
        if_match: None,
        idempotency: None,
    }
}

pub fn physical(name: &str, count: u32) -> PoolDraft {
    PoolDraft {
        display_name: DisplayName::parse(name).unwrap(),
        workspace: None,
        sharing: None,
        node_prefix: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        description: None,
        billing: BillingDraft::default(),
        tags: None,
        is_logical: false,
        scope: Some(vec![JobType::Train]),
        resources: vec![ResourceDraft::plain(flavor(), count)],
        parent: None,
        network: Some(PoolNetworkDraft {
            name: Some(network()),
            vpc: None,
            subnet: None,
        }),
        container_cidr: None,
        service_cidr: None,
        masters: Vec::new(),
        cluster_flavor: None,
        job_flavors: Vec::new(),
        driver: None,
        ipv6: None,
        has_clusters: false,
        has_user_login: false,
    }
}

pub fn logical(name: &str, parent: &PoolName, count: u32) -> PoolDraft {
    PoolDraft {
        is_logical: true,
        parent: Some(parent.clone()),
        network: None,
        scope: None,
        ..physical(name, count)
    }
}
