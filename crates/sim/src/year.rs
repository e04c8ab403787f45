//! One virtual year of a large installation: machines that fail as often as was published, weekly driver roll-outs, workloads
//! all the time, repairs, changes of size. Nothing is injected that does not happen in every data centre; what is looked for
//! is what only shows after months, and what takes too long with thousands of nodes.

mod acts;
mod agenda;
mod dice;
mod record;
mod report;
mod site;
mod tally;
mod watch;

pub use record::Recorded;
pub use report::YearReport;
pub use tally::Tally;

use crate::house::{START, in_virtual_time};
use crate::place;
use crate::replica::Replica;
use agenda::Agenda;
use auth::{KeyRing, Passwords, RolePolicy, Sealer, SealingKey};
use clock::{Clock, Entropy, RuntimeClock, SeededEntropy};
use fleet::sim::{MemoryJournal, SimConfig, SimFleet};
use jiff::Timestamp;
use reconcile::{Controller, LeaseTimes, NoProbe, Policy, RepairPolicy};
use record::{Counted, Recorder, Steps};
use service::{Limits, Service, ServiceParts};
use site::Site;
use std::sync::Arc;
use std::time::Duration;
use store::{HolderId, MemStore, State, Store};
use watch::Watch;

/// What to simulate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct YearSettings {
    pub seed: u64,
    pub nodes: u32,
    pub days: u32,
}

/// Runs it in a runtime of its own whose time is virtual. `tell` is told after each week: how many are over, and how many
/// commits there were.
pub fn year(settings: &YearSettings, tell: &mut dyn FnMut(u32, u64)) -> YearReport {
    in_virtual_time(async {
        let mut year = Year::begin(*settings).await;
        year.live(tell).await;
        year.finish()
    })
}

/// The installation, and who acts in it.
struct Year {
    settings: YearSettings,
    clock: Arc<dyn Clock>,
    fleet: SimFleet,
    service: Service,
    state: State,
    site: Site,
    recorder: Arc<Recorder>,
    steps: Arc<Steps>,
    agenda: Agenda,
    watch: Watch,
    /// Run until they are dropped: the controller, and what follows the store.
    _replicas: Vec<Replica>,
}

impl Year {
    #[expect(clippy::expect_used, reason = "a world that cannot be made is no simulation")]
    async fn begin(settings: YearSettings) -> Self {
        let start = Timestamp::from_second(START).expect("a time");
        let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at(start));
        let sim = SimConfig {
            seed: settings.seed,
            speed: 1.0,
            failures: 1.0,
        };
        let fleet = SimFleet::open(sim, Arc::new(MemoryJournal::default()), Arc::clone(&clock))
            .await
            .expect("a fleet");
        let recorder = Arc::new(Recorder::new(MemStore::default()));
        let state = State::load(Arc::clone(&recorder) as Arc<dyn Store>).await.expect("an empty store");
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(settings.seed ^ 0x00ca_11e2));
        let key = SealingKey::generate(entropy.as_ref());
        let service = Service::new(ServiceParts {
            state: state.clone(),
            fleet: Arc::new(fleet.clone()),
            machines: Some(fleet.clone()),
            clock: Arc::clone(&clock),
            authorizer: Arc::new(RolePolicy),
            passwords: Passwords::new(Arc::clone(&entropy)),
            sealer: Arc::new(Sealer::new(KeyRing::new(vec![key]).expect("a key"), Arc::clone(&entropy))),
            entropy,
            limits: Limits::default(),
        });
        let steps = Arc::new(Steps::default());
        let site = Site::plan(&settings);
        state.commit(site.furniture(clock.now())).await.expect("a first commit");
        fleet.register(site.machines()).await.expect("a journal in memory");
        let created = service.create_network(&place::context(), || Ok(place::network())).await;
        created.expect("a network");
        let watch = Watch::new(&state);
        let agenda = Agenda::new(&settings, &site, clock.now());
        let replicas = vec![
            Replica::follow(state.clone(), Arc::clone(&clock)),
            Replica::run(controller(&state, &fleet, &clock, &steps)),
        ];
        Self {
            settings,
            clock,
            fleet,
            service,
            state,
            site,
            recorder,
            steps,
            agenda,
            watch,
            _replicas: replicas,
        }
    }

    /// Everything that happens, in the order of time.
    async fn live(&mut self, tell: &mut dyn FnMut(u32, u64)) {
        let mut days = 0;
        while let Some((at, event)) = self.agenda.take_next() {
            self.clock.sleep_until(at).await;
            days += u32::from(event == agenda::Event::LookDaily);
            let is_week = event == agenda::Event::LookDaily && days.is_multiple_of(7);
            self.carry_out(event).await;
            if is_week {
                tell(days / 7, self.recorder.take().commits);
            }
        }
    }

    fn finish(mut self) -> YearReport {
        self.look_hourly();
        self.look_daily();
        let violations = self.watch.take();
        YearReport {
            settings: self.settings,
            pools: self.site.pools.len(),
            events: self.agenda.handled(),
            steps: self.steps.all(),
            recorded: self.recorder.take(),
            tally: self.watch.tally,
            violations,
        }
    }
}

/// A controller as it runs in production, with repairs switched on.
fn controller(state: &State, fleet: &SimFleet, clock: &Arc<dyn Clock>, steps: &Arc<Steps>) -> Controller {
    Controller::new(reconcile::Parts {
        state: state.clone(),
        fleet: Arc::new(fleet.clone()),
        clock: Arc::clone(clock),
        holder: HolderId("controller".to_owned()),
        lease: LeaseTimes::default(),
        policy: policy(),
        probe: Arc::new(NoProbe),
        observer: Arc::new(Counted(Arc::clone(steps))),
    })
}

/// As in production, with repair, but that a change which the controller should have heard of and has not is not found after ten minutes.
fn policy() -> Policy {
    Policy {
        resync: DAY,
        repair: RepairPolicy {
            is_on: true,
            ..RepairPolicy::default()
        },
        ..Policy::default()
    }
}

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// A time some while after another one.
fn later(from: Timestamp, wait: Duration) -> Timestamp {
    from.saturating_add(wait).unwrap_or(Timestamp::MAX)
}
