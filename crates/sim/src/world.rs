//! One world out of one seed.

use crate::store_faults::{FaultRates, FaultyStore};
use crate::users::{self, Place};
use async_trait::async_trait;
use auth::{KeyRing, Passwords, RolePolicy, Sealer, SealingKey};
use clock::{Clock, Entropy, RuntimeClock, SeededEntropy};
use domain::catalogue::{AcceleratorSpec, CpuArch, Flavor, OsConfig, ScopeNeeds};
use domain::name::{DisplayName, DomainId, FlavorName, NetworkName, ProjectId, TemplateName, UserId, ZoneName};
use domain::plugin::{PluginTemplate, TemplateKind, TemplateVersion};
use domain::pool::draft::NetworkDraft;
use domain::pool::{JobType, Pool, PoolPhase};
use domain::principal::{Principal, Role, Scope};
use domain::workspace::Workspace;
use fleet::Fleet;
use fleet::sim::{MachineFault, MemoryJournal, Registration, SimConfig, SimFleet};
use jiff::{SignedDuration, Timestamp};
use reconcile::{Controller, Policy, Probe, Silent, audit};
use service::{CallContext, Limits, Service, ServiceParts};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::{Expect, HolderId, MemStore, State, Store, TypedBatch};
use tokio::task::JoinHandle;

/// What a run is made of.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub seed: u64,
    /// Virtual hours in which users act and faults happen.
    pub hours: u64,
    pub rates: FaultRates,
    /// Virtual time for everything to come to rest after the faults have stopped.
    pub rest: Duration,
}

/// What a run found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Every call with its answer and virtual time, and the state of all pools at the end.
    pub trace: Vec<String>,
    /// Broken invariants. Empty: all is well.
    pub violations: Vec<String>,
    pub commits: u64,
}

/// Runs a world in a runtime of its own whose time is virtual.
#[expect(clippy::expect_used, reason = "without a runtime there is no simulation")]
pub fn run(settings: Settings) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(World::new(settings)).run(&runtime, settings)
}

struct World {
    clock: Arc<dyn Clock>,
    mem: MemStore,
    fleet: SimFleet,
    service: Service,
    faults_on: Arc<AtomicBool>,
    place: Place,
    context: CallContext,
    settings: Settings,
    observer: State,
}

/// Stops now and then at the named points for longer than a lease lasts.
struct Stall {
    entropy: SeededEntropy,
    clock: Arc<dyn Clock>,
    is_on: Arc<AtomicBool>,
}

#[async_trait]
impl Probe for Stall {
    async fn at(&self, _point: &'static str) {
        let is_stalled = self.entropy.next_u64().is_multiple_of(400);
        if is_stalled && self.is_on.load(Ordering::Relaxed) {
            self.clock
                .sleep_until(self.clock.now().saturating_add(Duration::from_secs(40)).unwrap_or(Timestamp::MAX))
                .await;
        }
    }
}

impl World {
    #[expect(clippy::expect_used, reason = "a world that cannot be made is no simulation")]
    async fn new(settings: Settings) -> Self {
        let start = Timestamp::from_second(1_800_000_000).expect("a time");
        let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at(start));
        let faults_on = Arc::new(AtomicBool::new(false));
        let mem = MemStore::default();
        let store = FaultyStore::new(
            mem.clone(),
            settings.rates,
            settings.seed ^ 1,
            Arc::clone(&clock),
            Arc::clone(&faults_on),
        );
        let state = State::load(Arc::new(store)).await.expect("an empty store");
        let observer = State::load(Arc::new(mem.clone())).await.expect("an empty store");
        let sim = SimConfig {
            seed: settings.seed,
            speed: 1.0,
            failures: 0.0,
        };
        let fleet = SimFleet::open(sim, Arc::new(MemoryJournal::default()), Arc::clone(&clock))
            .await
            .expect("a fleet");
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(settings.seed ^ 2));
        let key = SealingKey::generate(entropy.as_ref());
        let service = Service::new(ServiceParts {
            state: state.clone(),
            fleet: Arc::new(fleet.clone()),
            clock: Arc::clone(&clock),
            authorizer: Arc::new(RolePolicy),
            passwords: Passwords::new(Arc::clone(&entropy)),
            sealer: Arc::new(Sealer::new(KeyRing::new(vec![key]).expect("a key"), Arc::clone(&entropy))),
            entropy,
            limits: Limits::default(),
        });
        let place = place();
        let world = Self {
            context: context(&place.project),
            clock,
            mem,
            fleet,
            service,
            faults_on,
            place,
            settings,
            observer,
        };
        world.furnish().await;
        world
    }

    #[expect(clippy::expect_used, reason = "a world that cannot be furnished is no simulation")]
    async fn furnish(&self) {
        let mut batch = TypedBatch::default();
        let owner = UserId::parse("owner").expect("a name");
        batch.put(Workspace::default_of(&self.place.project, &owner, self.clock.now()), Expect::Absent);
        let mut gpu = Flavor::plain(self.place.gpu.clone(), CpuArch::X86, 8, 32);
        gpu.gpu = Some(AcceleratorSpec {
            model: "t4".to_owned(),
            size: 1,
            memory: "16Gi".to_owned(),
        });
        batch.put(Flavor::plain(self.place.cpu.clone(), CpuArch::X86, 8, 32), Expect::Absent);
        batch.put(gpu, Expect::Absent);
        for (name, versions) in [("gpu-driver", vec!["2", "1"]), ("volcano", vec!["1"])] {
            batch.put(template(name, &versions), Expect::Absent);
        }
        let mut config = OsConfig::plain();
        let volcano = TemplateName::parse("volcano").expect("a name");
        config.scopes.insert(
            JobType::Train,
            ScopeNeeds {
                plugins: vec![volcano],
                needs_external_dependency: false,
                can_retry: true,
            },
        );
        config.scopes.insert(
            JobType::Notebook,
            ScopeNeeds {
                plugins: Vec::new(),
                needs_external_dependency: true,
                can_retry: true,
            },
        );
        batch.put(config, Expect::Absent);
        self.service.state().commit(batch).await.expect("a first commit");
        let mut machines = Vec::new();
        for flavor in [&self.place.cpu, &self.place.gpu] {
            for zone in ["az-1", "az-2"] {
                for at in 0..12 {
                    machines.push(Registration {
                        id: format!("{flavor}-{zone}-{at:02}"),
                        flavor: flavor.clone(),
                        az: ZoneName::parse(zone).expect("a name"),
                        resources: BTreeMap::from([("cpu".to_owned(), "8".to_owned())]),
                        accelerators: u32::from(*flavor == self.place.gpu),
                    });
                }
            }
        }
        self.fleet.register(machines).await.expect("a journal in memory");
        let draft = NetworkDraft {
            display_name: DisplayName::parse("network-1").expect("a name"),
            workspace: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            description: None,
            cidr: "192.168.128.0/17".parse().expect("a CIDR"),
            ipv6: false,
            peers: Vec::new(),
            sfs_turbo: Vec::new(),
        };
        self.service
            .create_network(&self.context, || Ok(draft.clone()))
            .await
            .expect("a network");
    }

    fn run(self, runtime: &tokio::runtime::Runtime, settings: Settings) -> Outcome {
        runtime.block_on(async {
            let mut tasks: Vec<JoinHandle<()>> = vec![self.follower(self.service.state().clone())];
            for number in 0..2 {
                tasks.extend(self.controller(number, settings.seed).await);
            }
            self.faults_on.store(true, Ordering::Relaxed);
            let mut trace = Vec::new();
            let mut violations = Vec::new();
            self.act(settings, &mut trace, &mut violations).await;
            self.faults_on.store(false, Ordering::Relaxed);
            for machine in self.fleet.machines() {
                let _mended = self.fleet.mend_machine(&machine.registration.id).await;
            }
            self.pause(settings.rest).await;
            self.check_rest(&mut trace, &mut violations).await;
            for task in tasks {
                task.abort();
            }
            let commits = self.mem.revision().await.map_or(0, |revision| revision.0);
            Outcome {
                trace,
                violations,
                commits,
            }
        })
    }

    async fn pause(&self, wait: Duration) {
        self.clock
            .sleep_until(self.clock.now().saturating_add(wait).unwrap_or(Timestamp::MAX))
            .await;
    }

    fn follower(&self, state: State) -> JoinHandle<()> {
        let clock = Arc::clone(&self.clock);
        tokio::spawn(async move {
            loop {
                let _error = state.follow().await;
                clock
                    .sleep_until(clock.now().saturating_add(Duration::from_secs(1)).unwrap_or(Timestamp::MAX))
                    .await;
            }
        })
    }

    /// A controller with an index of its own, as another replica has it.
    async fn controller(&self, number: u64, seed: u64) -> Vec<JoinHandle<()>> {
        // Each component draws its faults from a stream of its own, so that none depends on the order in which they run.
        let store = FaultyStore::new(
            self.mem.clone(),
            self.settings.rates,
            seed ^ (number + 20),
            Arc::clone(&self.clock),
            Arc::clone(&self.faults_on),
        );
        let Ok(state) = State::load(Arc::new(store)).await else {
            return Vec::new();
        };
        let follower = self.follower(state.clone());
        let probe = Stall {
            entropy: SeededEntropy::new(seed ^ (number + 10)),
            clock: Arc::clone(&self.clock),
            is_on: Arc::clone(&self.faults_on),
        };
        let controller = Controller::new(reconcile::Parts {
            state,
            fleet: Arc::new(self.fleet.clone()) as Arc<dyn Fleet>,
            clock: Arc::clone(&self.clock),
            holder: HolderId(format!("controller-{number}")),
            policy: Policy::default(),
            probe: Arc::new(probe),
            observer: Arc::new(Silent),
        });
        vec![follower, tokio::spawn(async move { controller.run(std::future::pending()).await })]
    }

    /// Users and faults, one after the other, each after a while.
    async fn act(&self, settings: Settings, trace: &mut Vec<String>, violations: &mut Vec<String>) {
        let random = SeededEntropy::new(settings.seed ^ 3);
        let end = self
            .clock
            .now()
            .saturating_add(Duration::from_hours(settings.hours))
            .unwrap_or(Timestamp::MAX);
        while self.clock.now() < end {
            self.pause(Duration::from_secs(random.next_u64() % 900)).await;
            let what = if random.next_u64().is_multiple_of(6) {
                self.break_something(&random).await
            } else {
                users::act(&self.service, &self.context, &self.place, &random).await
            };
            trace.push(format!("{} {what}", self.clock.now()));
            self.audit(violations).await;
        }
    }

    async fn break_something(&self, random: &SeededEntropy) -> String {
        let machines = self.fleet.machines();
        let Some(machine) = machines.get(usize::try_from(random.next_u64() % machines.len() as u64).unwrap_or(0)) else {
            return String::new();
        };
        let machine = &machine.registration.id;
        let fault = match random.next_u64() % 3 {
            0 => MachineFault::Silent {
                lasting: Some(SignedDuration::from_mins(i64::try_from(random.next_u64() % 90).unwrap_or(0))),
            },
            1 => MachineFault::NeverBoots,
            _ => MachineFault::DriverFails { times: 1 },
        };
        let _known = self.fleet.break_machine(machine, fault.clone()).await;
        format!("{machine}: {fault:?}")
    }

    /// What is committed, by an index that no fault reaches.
    async fn committed(&self) -> Option<&State> {
        self.observer.refresh().await.ok().map(|()| &self.observer)
    }

    async fn audit(&self, violations: &mut Vec<String>) {
        let Some(state) = self.committed().await else { return };
        let found = audit::audit(&state.index().read());
        violations.extend(found.into_iter().map(|violation| format!("{}: {violation:?}", self.clock.now())));
    }

    /// Every pool is as wanted, or says why not; every machine in use belongs to a node; and nothing is written any more.
    async fn check_rest(&self, trace: &mut Vec<String>, violations: &mut Vec<String>) {
        self.audit(violations).await;
        let Some(state) = self.committed().await else { return };
        let pools = state.index().read().all::<Pool>();
        for pool in &pools {
            let counters = pool.status.resources.counters();
            trace.push(format!(
                "{} {} {counters} of {}",
                pool.name,
                pool.status.phase.as_str(),
                pool.wanted()
            ));
            let has_reason = matches!(
                pool.status.phase,
                PoolPhase::ScalingFailed { .. } | PoolPhase::CreationFailed { .. } | PoolPhase::Waiting(_)
            );
            let is_there = !pool.is_physical()
                || (counters.available == pool.wanted() && counters.creating + counters.deleting + counters.abnormal == 0);
            let is_well = pool.status.phase == PoolPhase::Running && is_there;
            if !has_reason && !is_well {
                violations.push(format!(
                    "{} has not come to rest: {} {counters} of {}",
                    pool.name,
                    pool.status.phase.as_str(),
                    pool.wanted()
                ));
            }
        }
        for machine in self.fleet.machines() {
            if let Some((_, node)) = machine
                .bound
                .filter(|(_, node)| state.index().read().get::<domain::node::Node>(&self.place.project, node).is_none())
            {
                violations.push(format!(
                    "machine {} is bound to {node}, which nobody knows",
                    machine.registration.id
                ));
            }
        }
        let before = self.mem.revision().await.map_or(0, |revision| revision.0);
        self.pause(Duration::from_hours(1)).await;
        let after = self.mem.revision().await.map_or(0, |revision| revision.0);
        if before != after {
            violations.push(format!("{} commits in an idle hour", after - before));
        }
    }
}

#[expect(clippy::expect_used, reason = "constant names")]
fn place() -> Place {
    let project = ProjectId::parse("6f5da086876d4cd084d36f8bd3346036").expect("a project id");
    Place {
        network: NetworkName::of(&DisplayName::parse("network-1").expect("a name"), &project),
        project,
        cpu: FlavorName::parse("cpu").expect("a name"),
        gpu: FlavorName::parse("gpu").expect("a name"),
    }
}

#[expect(clippy::expect_used, reason = "constant names")]
fn template(name: &str, versions: &[&str]) -> PluginTemplate {
    let versions = versions.iter().map(|version| TemplateVersion {
        version: (*version).to_owned(),
        created_at: Timestamp::UNIX_EPOCH,
        description: String::new(),
        detail: String::new(),
        inputs: BTreeMap::new(),
    });
    PluginTemplate {
        name: TemplateName::parse(name).expect("a name"),
        display_name: name.to_owned(),
        description: String::new(),
        kind: TemplateKind::Helm,
        is_optional: true,
        logo_url: String::new(),
        versions: versions.collect(),
    }
}

#[expect(clippy::expect_used, reason = "constant names")]
fn context(project: &ProjectId) -> CallContext {
    let principal = Principal {
        user: UserId::parse("operator").expect("a name"),
        user_name: "operator".to_owned(),
        domain: DomainId::parse("domain").expect("a name"),
        domain_name: "domain".to_owned(),
        scope: Scope::AllProjects,
        roles: BTreeMap::from([(project.clone(), Role::Operator)]),
        credential: "simulation".to_owned(),
    };
    CallContext {
        principal,
        project: project.clone(),
        acting_for: None,
        is_console: false,
        request_id: "simulation".to_owned(),
        is_dry_run: false,
        if_match: None,
        idempotency: None,
    }
}
