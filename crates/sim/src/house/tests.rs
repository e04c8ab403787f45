use super::*;
use crate::act::{Act, Machines, Slot};
use crate::place;
use async_trait::async_trait;
use domain::catalogue::Offers;
use domain::meta::{Fence, Uid};
use fleet::sim::{MemoryJournal, SimConfig};
use fleet::{Command, FleetError, Observation, Workloads};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A fleet that does one thing at a time, each in its own time.
struct OneAtATime {
    inner: SimFleet,
    turn: tokio::sync::Mutex<()>,
    clock: Arc<dyn Clock>,
    observed: AtomicUsize,
}

#[async_trait]
impl Fleet for OneAtATime {
    fn provider(&self) -> &'static str {
        "slow"
    }

    async fn offers(&self) -> Result<Offers, FleetError> {
        self.inner.offers().await
    }

    async fn observe(&self, pool: &Uid) -> Result<Observation, FleetError> {
        let _turn = self.turn.lock().await;
        let long = Duration::from_mins(4);
        self.clock.sleep_until(self.clock.now().saturating_add(long).unwrap()).await;
        self.observed.fetch_add(1, Ordering::SeqCst);
        self.inner.observe(pool).await
    }

    async fn workloads(&self, pool: &Uid) -> Result<Arc<Workloads>, FleetError> {
        self.inner.workloads(pool).await
    }

    async fn execute(&self, commands: &[Command], fence: &Fence) -> Vec<Result<(), FleetError>> {
        self.inner.execute(commands, fence).await
    }

    async fn lead(&self, fence: &Fence) {
        let _turn = self.turn.lock().await;
        self.inner.lead(fence).await;
    }

    async fn changed(&self) -> Vec<Uid> {
        self.inner.changed().await
    }
}

#[test]
fn a_fleet_that_lets_its_leader_wait_for_a_step_does_not_stop_the_controller() {
    in_virtual_time(async {
        let perils = Perils {
            store: FaultRates::default(),
            has_stalls: false,
            has_skew: false,
            has_weather: false,
        };
        let mut house = House::new(1, perils, MemStore::default()).await;
        let config = SimConfig {
            seed: 1,
            speed: 1.0,
            failures: 0.0,
        };
        let inner = SimFleet::open(config, Arc::new(MemoryJournal::default()), Arc::clone(&house.clock))
            .await
            .unwrap();
        inner.register(place::machines()).await.unwrap();
        let fleet = Arc::new(OneAtATime {
            inner,
            turn: tokio::sync::Mutex::default(),
            clock: Arc::clone(&house.clock),
            observed: AtomicUsize::new(0),
        });
        for purpose in [100, 110] {
            house.add_service(purpose, Arc::clone(&fleet) as Arc<dyn Fleet>, None).await;
        }
        house.furnish().await;
        let followers = house.follow();
        house.start_controller(0, 0, |_| ready(Arc::clone(&fleet) as Arc<dyn Fleet>), Arc::new(NoProbe));
        let slot = Slot { user: 0, number: 0 };
        let create = Act::Create {
            slot,
            machines: Machines::Cpu,
            count: 1,
            is_prepaid: false,
        };
        assert_eq!(house.user(0).act(&create, 1).await, "ok");
        house.pause(Duration::from_hours(4)).await;
        let before = fleet.observed.load(Ordering::SeqCst);
        house.pause(Duration::from_hours(1)).await;
        assert!(fleet.observed.load(Ordering::SeqCst) > before, "nothing is looked at any more");
        drop(followers);
    });
}
