//! A fleet that fails at random, in every way a real one can: it is away, it is busy, a request or an answer is lost, what
//! it reports is old, and machines turn up that nobody asked for.

use async_trait::async_trait;
use clock::{Entropy, SeededEntropy};
use domain::catalogue::Offers;
use domain::meta::{Fence, Uid};
use domain::name::NodeName;
use fleet::sim::SimFleet;
use fleet::{Command, Fleet, FleetError, NodeRequest, Observation, Workloads};
use reconcile::Probe;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The point between two commands of a step.
pub const BETWEEN_COMMANDS: &str = "between-commands";

/// How often, in one of a thousand calls or commands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FleetRates {
    /// It does not answer.
    pub unreachable: u64,
    /// It refuses for now.
    pub throttled: u64,
    /// A command is not carried out, and nobody knows.
    pub lost_request: u64,
    /// A command is carried out, and nobody knows.
    pub lost_reply: u64,
    /// What is observed is what was observed last time.
    pub stale: u64,
    /// There is a free machine, and the fleet will not give it.
    pub no_capacity: u64,
    /// A node that was made has a twin that nobody asked for.
    pub ghost: u64,
}

/// What one replica sees of the fleet.
pub struct FaultyFleet {
    inner: SimFleet,
    rates: FleetRates,
    entropy: SeededEntropy,
    is_on: Arc<AtomicBool>,
    seen: Mutex<BTreeMap<Uid, Observation>>,
    probe: Arc<dyn Probe>,
}

impl FaultyFleet {
    /// Faults happen while `is_on`. The probe is told between commands.
    pub fn new(inner: SimFleet, rates: FleetRates, seed: u64, is_on: Arc<AtomicBool>, probe: Arc<dyn Probe>) -> Self {
        Self {
            inner,
            rates,
            entropy: SeededEntropy::new(seed),
            is_on,
            seen: Mutex::default(),
            probe,
        }
    }

    fn happens(&self, rate: u64) -> bool {
        // Drawn in any case, so that switching faults off does not shift what follows.
        let drawn = self.entropy.next_u64() % 1000;
        self.is_on.load(Ordering::Relaxed) && drawn < rate
    }

    fn check(&self) -> Result<(), FleetError> {
        let (is_away, is_busy) = (self.happens(self.rates.unreachable), self.happens(self.rates.throttled));
        if is_away {
            Err(FleetError::Unreachable("simulated".to_owned()))
        } else if is_busy {
            let retry_after = Duration::from_secs(5);
            Err(FleetError::Throttled { retry_after })
        } else {
            Ok(())
        }
    }

    async fn carry_out(&self, command: &Command, fence: &Fence) -> Result<(), FleetError> {
        self.check()?;
        let lost = || Err(FleetError::Ambiguous("simulated".to_owned()));
        if self.happens(self.rates.lost_request) {
            return lost();
        }
        let (is_refused, has_twin) = (self.happens(self.rates.no_capacity), self.happens(self.rates.ghost));
        if let Command::CreateNode(request) = command {
            if is_refused {
                return Err(FleetError::NoCapacity);
            }
            if has_twin {
                self.make_twin(request, fence).await;
            }
        }
        let result = self.inner.execute(std::slice::from_ref(command), fence).await.pop();
        if self.happens(self.rates.lost_reply) {
            return lost();
        }
        result.unwrap_or_else(lost)
    }

    async fn make_twin(&self, request: &NodeRequest, fence: &Fence) {
        if let Ok(node) = NodeName::parse(&format!("{}-twin", request.node)) {
            let twin = Command::CreateNode(NodeRequest { node, ..request.clone() });
            let _outcome = self.inner.execute(&[twin], fence).await;
        }
    }
}

#[async_trait]
impl Fleet for FaultyFleet {
    fn provider(&self) -> &'static str {
        "simulated"
    }

    async fn offers(&self) -> Result<Offers, FleetError> {
        self.check()?;
        self.inner.offers().await
    }

    async fn observe(&self, pool: &Uid) -> Result<Observation, FleetError> {
        self.check()?;
        if self.happens(self.rates.stale)
            && let Some(seen) = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(pool)
        {
            return Ok(seen.clone());
        }
        let observation = self.inner.observe(pool).await?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(pool.clone(), observation.clone());
        Ok(observation)
    }

    async fn workloads(&self, pool: &Uid) -> Result<Arc<Workloads>, FleetError> {
        self.check()?;
        self.inner.workloads(pool).await
    }

    async fn execute(&self, commands: &[Command], fence: &Fence) -> Vec<Result<(), FleetError>> {
        let mut results = Vec::new();
        for command in commands {
            if !results.is_empty() {
                self.probe.at(BETWEEN_COMMANDS).await;
            }
            results.push(self.carry_out(command, fence).await);
        }
        results
    }

    async fn lead(&self, fence: &Fence) {
        self.inner.lead(fence).await;
    }

    async fn changed(&self) -> Vec<Uid> {
        self.inner.changed().await
    }
}
