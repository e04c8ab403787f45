//! A running server: everything put together, and taken apart in order.

use crate::config::Config;
use crate::demo::{self, Demo};
use crate::journal::StoreJournal;
use crate::keys;
use anyhow::{Context, Result};
use auth::{Chain, DEFAULT_SKEW, Passwords, RolePolicy, Sealer};
use clock::{Clock, Entropy, SystemClock, SystemEntropy};
use fleet::Fleet;
use fleet::sim::{SimConfig, SimFleet};
use http_api::metrics::Metrics;
use http_api::{App, AppParts, Readiness};
use reconcile::{Controller, NoProbe, Observer, Policy};
use service::accounts::Credentials;
use service::{Limits, Service, ServiceParts};
use std::net::SocketAddr;
use std::sync::Arc;
use store::{HolderId, State, Store};
use store_sql::{Options, SqlStore};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

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
    pub fleet: SimFleet,
    pub state: State,
    demo: Option<Demo>,
    stop: watch::Sender<bool>,
    readiness: Readiness,
    tasks: Vec<JoinHandle<()>>,
    store: Arc<SqlStore>,
}

struct MetricsObserver(Arc<Metrics>);

impl Observer for MetricsObserver {
    fn step(&self, outcome: &'static str) {
        self.0.step(outcome);
    }

    fn queued(&self, length: usize) {
        self.0.queued(length);
    }
}

impl Server {
    pub async fn start(config: &Config, overrides: Overrides) -> Result<Self> {
        let clock = overrides.clock.unwrap_or_else(|| Arc::new(SystemClock));
        let entropy = overrides.entropy.unwrap_or_else(|| Arc::new(SystemEntropy));
        std::fs::create_dir_all(&config.data).with_context(|| format!("folder {} cannot be made", config.data.display()))?;
        let keys = keys::load(&config.data.join("secret.key"), entropy.as_ref())?;
        let sealer = Arc::new(Sealer::new(keys, Arc::clone(&entropy)));
        let store = Arc::new(SqlStore::open(Options::new(config.store_url(), Arc::clone(&clock))).await?);
        let shared: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
        let state = State::load(Arc::clone(&shared)).await?;
        let sim = SimConfig {
            seed: config.fleet_seed,
            speed: config.fleet_speed,
        };
        let fleet = SimFleet::open(sim, Arc::new(StoreJournal(shared)), Arc::clone(&clock)).await?;
        let passwords = Passwords::new(Arc::clone(&entropy));
        let demo = if config.no_demo {
            None
        } else {
            let seeder = demo::Seeder {
                state: &state,
                fleet: &fleet,
                passwords: &passwords,
                sealer: &sealer,
                clock: clock.as_ref(),
                entropy: entropy.as_ref(),
            };
            Some(seeder.seed(overrides.demo.or_environment()).await?)
        };
        let service = Service::new(ServiceParts {
            state: state.clone(),
            fleet: Arc::new(fleet.clone()),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            authorizer: Arc::new(RolePolicy),
            passwords,
            sealer: Arc::clone(&sealer),
            limits: Limits::default(),
        });
        let metrics = Arc::new(Metrics::default());
        let readiness = Readiness::default();
        let credentials = Arc::new(Credentials::new(state.clone(), sealer));
        let app = App::new(AppParts {
            service,
            authenticator: Arc::new(Chain::standard(credentials, DEFAULT_SKEW)),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            metrics: Arc::clone(&metrics),
            readiness: readiness.clone(),
            region: demo.as_ref().map_or_else(|| "default".to_owned(), |demo| demo.region.clone()),
        });
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("{} cannot be listened on", config.listen))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let holder = HolderId(format!("{}-{:016x}", std::process::id(), entropy.next_u64()));
        let parts = reconcile::Parts {
            state: state.clone(),
            fleet: Arc::new(fleet.clone()) as Arc<dyn Fleet>,
            clock: Arc::clone(&clock),
            holder,
            policy: Policy::default(),
            probe: Arc::new(NoProbe),
            observer: Arc::new(MetricsObserver(metrics)),
        };
        let tasks = vec![
            tokio::spawn(http_api::serve(listener, app, until(stopped.clone()))),
            tokio::spawn(async move { Controller::new(parts).run(until(stopped)).await }),
            tokio::spawn(follow(state.clone(), clock, stop.subscribe())),
        ];
        readiness.set(true);
        tracing::info!(%address, "serving");
        Ok(Self {
            address,
            fleet,
            state,
            demo,
            stop,
            readiness,
            tasks,
            store,
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn demo(&self) -> Option<&Demo> {
        self.demo.as_ref()
    }

    /// What a person who starts the server wants to know.
    pub fn greeting(&self) -> String {
        match &self.demo {
            Some(demo) => demo.greeting(&self.url()),
            None => format!("Poolkeeper serves {}\n", self.url()),
        }
    }

    /// Finishes requests in flight, gives the lease back, closes the store.
    pub async fn stop(self) -> Result<()> {
        self.readiness.set(false);
        self.stop.send_replace(true);
        for task in self.tasks {
            task.await?;
        }
        self.store.close().await;
        Ok(())
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
