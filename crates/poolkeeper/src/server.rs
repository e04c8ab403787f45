//! A running server: everything put together, and taken apart in order.

use crate::audit;
use crate::config::{Config, ReplicaSettings};
use crate::demo::{self, Demo};
use crate::machines::Machines;
use crate::{keys, remote, replica, stock};
use anyhow::{Context, Result, anyhow, bail};
use auth::{Chain, DEFAULT_SKEW, Passwords, RolePolicy, Sealer};
use clock::{Clock, Entropy, SystemClock, SystemEntropy};
use domain::iam::AccessKey;
use fleet::sim::SimFleet;
use http_api::metrics::Metrics;
use http_api::tls::TlsObserver;
use http_api::{App, AppParts, Freshness, Listening, Readiness, Tls};
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
    /// Of the time-outs of connections. The system's where absent, whatever `clock` is: who moves that does not want to
    /// lose its connections.
    pub connection_clock: Option<Arc<dyn Clock>>,
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
    tls: Option<Arc<Tls>>,
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
        let metrics = Arc::new(Metrics::default());
        let tls = load_tls(config, &metrics)?;
        make_folder(&config.data).with_context(|| format!("folder {} cannot be made", config.data.display()))?;
        let groups = Arc::clone(&metrics);
        // How long something takes, whatever tests make of the time.
        let real: Arc<dyn Clock> = Arc::new(SystemClock);
        let options = Options {
            observer: Some(Arc::new(move |commits| groups.committed(commits))),
            stall: config.replica.stall(),
            ..Options::new(config.store_url(), Arc::clone(&real))
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
        reseal(&state, &sealer).await?;
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
        let freshness = Freshness::new(config.replica.stale_reads, Arc::clone(&real));
        let credentials = Arc::new(Credentials::new(state.clone(), sealer));
        let retention = config.exposure.audit_retention();
        let (recorder, keeper) = audit::channel(state.clone(), Arc::clone(&clock), Arc::clone(&metrics), retention);
        let app = App::new(AppParts {
            service,
            authenticator: Arc::new(Chain::standard(credentials, DEFAULT_SKEW)),
            remote: remote::ways(config)?,
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            metrics: Arc::clone(&metrics),
            readiness: readiness.clone(),
            limits: http_api::Limits::new(config.exposure.limits(), &clock),
            proxies: config.exposure.proxies.clone(),
            audit: Arc::new(recorder),
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
        let listening = Listening {
            listener,
            tls: tls.clone(),
            most: config.exposure.most_connections(),
            clock: overrides.connection_clock.unwrap_or_else(|| Arc::new(SystemClock)),
            metrics: Some(Arc::clone(&metrics)),
        };
        let mut tasks = JoinSet::new();
        if let Some(tls) = tls.clone() {
            let (clock, stop) = (Arc::clone(&clock), until(stopped.clone()));
            tasks.spawn(named("watching the certificate", async move {
                tokio::select! {
                    () = stop => {}
                    () = tls.follow(clock.as_ref()) => {}
                }
            }));
        }
        tasks.spawn(named("the audit record", keeper.run(stopped.clone())));
        tasks.spawn(named("HTTP", http_api::serve(listening, app, until(stopped.clone()))));
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
        // The embedded store has no other writers, and so nothing that could be behind.
        if config.database.is_some() {
            let looking = replica::look_after(state.clone(), freshness, metrics, Arc::clone(&real));
            let stopped = until(stop.subscribe());
            tasks.spawn(named("looking after freshness", async move {
                tokio::select! {
                    () = stopped => {}
                    () = looking => {}
                }
            }));
        }
        readiness.set(true);
        tracing::info!(%address, "serving");
        Ok(Self {
            address,
            fleet: machines.simulated().cloned(),
            state,
            demo,
            stop,
            readiness,
            tls,
            replica: config.replica,
            clock: real,
            tasks,
            store,
        })
    }

    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The certificate that is shown, where there is one.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_deref()
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

/// With files that cannot be used there is no server: to answer in the clear instead would be worse.
fn load_tls(config: &Config, metrics: &Arc<Metrics>) -> Result<Option<Arc<Tls>>> {
    let Some(files) = config.exposure.tls.clone() else {
        return Ok(None);
    };
    let tls = Tls::load(files, Arc::clone(metrics) as Arc<dyn TlsObserver>).context("TLS cannot be offered")?;
    Ok(Some(Arc::new(tls)))
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

/// After a change of the sealing key's file: what the new key is to protect, it has to seal.
async fn reseal(state: &State, sealer: &Sealer) -> Result<()> {
    let (sealed, _) = service::admin::reseal(state, sealer)
        .await
        .context("access keys could not be sealed anew")?;
    if sealed > 0 {
        tracing::info!(access_keys = sealed, "access keys were sealed with the first key of the file");
    }
    Ok(())
}

/// Refuses where an access key is sealed with another key than the first of the file.
pub(crate) async fn check_sealed(config: &Config) -> Result<()> {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let store = Arc::new(SqlStore::open(Options::new(config.store_url(), Arc::new(SystemClock))).await?);
    let state = State::load(Arc::clone(&store) as Arc<dyn Store>).await?;
    let sealer = Sealer::new(keys::load(&config.secret_key_path(), entropy.as_ref(), true)?, entropy);
    let all = state.index().read().all::<AccessKey>();
    let outdated = all.iter().filter(|key| sealer.is_outdated(&key.sealed_secret)).count();
    store.close().await;
    if outdated > 0 {
        bail!("{outdated} access keys are sealed with other keys than the first: start the server once, which seals them anew");
    }
    Ok(())
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
