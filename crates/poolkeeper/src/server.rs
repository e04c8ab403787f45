//! A running server: everything put together, and taken apart in order.

use crate::config::{Config, ReplicaSettings};
use crate::demo::{self, Demo};
use crate::machines::Machines;
use crate::{keys, replica, stock};
use anyhow::{Context, Result, anyhow};
use auth::{Chain, DEFAULT_SKEW, Passwords, RolePolicy, Sealer};
use clock::{Clock, Entropy, SystemClock, SystemEntropy};
use domain::iam::AccessKey;
use fleet::sim::SimFleet;
use http_api::metrics::Metrics;
use http_api::{App, AppParts, Freshness, Readiness};
use reconcile::{Controller, NoProbe, Observer};
use service::accounts::Credentials;
use service::{Limits, Service, ServiceParts};
use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use store::{HolderId, Kind, State, Store};
use store_sql::{Options, SqlStore};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What tests put in place of the real thing.
#[derive(Default)]
pub struct Overrides {
    pub clock: Option<Arc<dyn Clock>>,
    pub entropy: Option<Arc<dyn Entropy>>,
    /// Values of the demo; those left out come from the environment, or are random.
    pub demo: demo::Values,
}

/// A server that accepts requests.
pub struct Server {
    pub address: SocketAddr,
    /// Where the fleet is simulated.
    pub fleet: Option<SimFleet>,
    pub state: State,
    demo: Demo,
    stop: watch::Sender<bool>,
    readiness: Readiness,
    replica: ReplicaSettings,
    clock: Arc<dyn Clock>,
    /// Each ends with its name, and only when it is told to.
    tasks: JoinSet<&'static str>,
    store: Arc<SqlStore>,
}

struct MetricsObserver {
    metrics: Arc<Metrics>,
    /// Whether this replica has the lease.
    leads: Arc<AtomicBool>,
}

impl Observer for MetricsObserver {
    fn step(&self, outcome: &'static str) {
        self.metrics.step(outcome);
    }

    fn queued(&self, length: usize) {
        self.metrics.queued(length);
    }

    fn leads(&self, epoch: Option<u64>) {
        self.leads.store(epoch.is_some(), Ordering::Release);
        self.metrics.leads(epoch);
    }
}

impl Server {
    pub async fn start(config: &Config, overrides: Overrides) -> Result<Self> {
        let clock = overrides.clock.unwrap_or_else(|| Arc::new(SystemClock));
        let entropy = overrides.entropy.unwrap_or_else(|| Arc::new(SystemEntropy));
        // First of all: where it fails, nothing has been done, and the demo's secrets have not been lost.
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("{} cannot be listened on", config.listen))?;
        let address = listener.local_addr()?;
        make_folder(&config.data).with_context(|| format!("folder {} cannot be made", config.data.display()))?;
        let metrics = Arc::new(Metrics::default());
        let groups = Arc::clone(&metrics);
        let options = Options {
            observer: Some(Arc::new(move |commits| groups.committed(commits))),
            stall: config.replica.stall(),
            ..Options::new(config.store_url(), Arc::clone(&clock))
        };
        let store = Arc::new(SqlStore::open(options).await?);
        let shared: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
        // State and fleet are read at the same time: both take long where there is much.
        let mut opening = JoinSet::new();
        opening.spawn(Machines::open(config.clone(), Arc::clone(&shared), Arc::clone(&clock)));
        let state = State::load(shared).await?;
        let has_keys = state.index().read().count(Kind::AccessKey) > 0;
        let keys = keys::load(&config.secret_key_path(), entropy.as_ref(), has_keys)?;
        let sealer = Arc::new(Sealer::new(keys, Arc::clone(&entropy)));
        report_unreadable(&state, &sealer);
        let machines = opening.join_next().await.context("the fleet was not opened")???;
        machines.attach(&state).await?;
        let passwords = Passwords::new(Arc::clone(&entropy));
        let values = overrides.demo.or_environment();
        let seeder = demo::Seeder {
            state: &state,
            fleet: machines.simulated(),
            passwords: &passwords,
            sealer: &sealer,
            clock: clock.as_ref(),
            entropy: entropy.as_ref(),
        };
        let demo = if config.no_demo {
            seeder.found(values).await?
        } else {
            seeder.seed(values).await?
        };
        let service = Service::new(ServiceParts {
            state: state.clone(),
            fleet: machines.port(),
            machines: machines.simulated().cloned(),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            authorizer: Arc::new(RolePolicy),
            passwords,
            sealer: Arc::clone(&sealer),
            limits: Limits::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let readiness = Readiness::default();
        let freshness = Freshness::new(config.replica.stale_reads);
        let credentials = Arc::new(Credentials::new(state.clone(), sealer));
        let app = App::new(AppParts {
            service,
            authenticator: Arc::new(Chain::standard(credentials, DEFAULT_SKEW)),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            metrics: Arc::clone(&metrics),
            readiness: readiness.clone(),
            freshness: freshness.clone(),
            closing: stopped.clone(),
            region: region(&state),
        });
        let holder = HolderId(format!("{}-{:016x}", std::process::id(), entropy.next_u64()));
        let leads = Arc::new(AtomicBool::new(false));
        let parts = reconcile::Parts {
            state: state.clone(),
            fleet: machines.port(),
            clock: Arc::clone(&clock),
            holder,
            lease: config.replica.lease(),
            policy: config.upkeep.policy(),
            probe: Arc::new(NoProbe),
            observer: Arc::new(MetricsObserver {
                metrics: Arc::clone(&metrics),
                leads: Arc::clone(&leads),
            }),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(named("HTTP", http_api::serve(listener, app, until(stopped.clone()))));
        tasks.spawn(named(
            "the controller",
            async move { Controller::new(parts).run(until(stopped)).await },
        ));
        if let Some(fleet) = machines.cluster() {
            let told = Arc::clone(fleet);
            readiness.remark_with(move || told.away().map(|_reason| "the cluster is away"));
            let reaching = Arc::clone(fleet).run(config.cluster.clone(), Arc::clone(&clock));
            let stocking = stock::keep(state.clone(), Arc::clone(fleet), leads, Arc::clone(&clock));
            let stopped = until(stop.subscribe());
            tasks.spawn(named("looking after the cluster", async move {
                tokio::select! {
                    () = stopped => {}
                    () = reaching => {}
                    () = stocking => {}
                }
            }));
        }
        tasks.spawn(named(
            "following the store",
            follow(state.clone(), Arc::clone(&clock), stop.subscribe()),
        ));
        let looking = replica::look_after(state.clone(), freshness, metrics, Arc::clone(&clock));
        let stopped = until(stop.subscribe());
        tasks.spawn(named("looking after freshness", async move {
            tokio::select! {
                () = stopped => {}
                () = looking => {}
            }
        }));
        readiness.set(true);
        tracing::info!(%address, "serving");
        Ok(Self {
            address,
            fleet: machines.simulated().cloned(),
            state,
            demo,
            stop,
            readiness,
            replica: config.replica,
            clock,
            tasks,
            store,
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The machines, where they are simulated.
    pub fn simulated(&self) -> Result<&SimFleet> {
        self.fleet.as_ref().context("the machines are not simulated")
    }

    pub fn demo(&self) -> &Demo {
        &self.demo
    }

    /// What a person who starts the server wants to know.
    pub fn greeting(&self) -> String {
        self.demo.greeting(&self.url())
    }

    /// Waits for a part of the server to fail. Does not come back as long as all of them work.
    pub async fn failed(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok(name)) => anyhow!("{name} ended by itself"),
            Some(Err(error)) => anyhow!(error).context("a part of the server failed"),
            None => anyhow!("nothing is left of the server"),
        }
    }

    /// Finishes requests in flight, gives the lease back, closes the store.
    pub async fn stop(mut self) -> Result<()> {
        replica::hand_over(&self.readiness, &self.stop, &self.replica, self.clock.as_ref()).await;
        let mut outcome = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            outcome = outcome.and(ended.map(|_name| ()));
        }
        self.store.close().await;
        outcome.context("a part of the server failed")
    }
}

async fn named(name: &'static str, work: impl Future<Output = ()>) -> &'static str {
    work.await;
    name
}

/// A new folder is for its owner only: the store holds what is needed to guess passwords.
pub(crate) fn make_folder(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The region shown to clients.
fn region(state: &State) -> String {
    let config = service::admission::config(&state.index().read());
    config.region.clone().unwrap_or_else(|| "default".to_owned())
}

/// Access keys whose secret cannot be opened are of no use, and their holders are told no more than that.
fn report_unreadable(state: &State, sealer: &Sealer) {
    for key in state.index().read().all::<AccessKey>() {
        if let Err(error) = sealer.open(&key.id, &key.sealed_secret) {
            tracing::error!(access_key = %key.id, %error, "an access key cannot be used: is this the right secret key file?");
        }
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the server is gone, which is a stop too.
    let _stopped = stopped.wait_for(|is_stopped| *is_stopped).await;
}

/// Keeps the index in step with what other processes, and abandoned requests, write.
async fn follow(state: State, clock: Arc<dyn Clock>, stopped: watch::Receiver<bool>) {
    let stop = until(stopped);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => return,
            error = state.follow() => tracing::warn!(%error, "changes of the store cannot be followed"),
        }
        let again = clock
            .now()
            .saturating_add(std::time::Duration::from_secs(1))
            .unwrap_or(jiff::Timestamp::MAX);
        tokio::select! {
            biased;
            () = &mut stop => return,
            () = clock.sleep_until(again) => {}
        }
    }
}
