//! Draws for one purpose.

use clock::{Entropy, SeededEntropy};
use std::time::Duration;

pub(super) struct Dice(SeededEntropy);

impl Dice {
    /// A stream of its own for each purpose, so that none depends on how often others are asked.
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self(SeededEntropy::new(seed.wrapping_mul(1_000_003) ^ purpose))
    }

    /// From 0 up to, not including, `bound`.
    pub fn below(&self, bound: u64) -> u64 {
        self.0.next_u64() % bound.max(1)
    }

    /// From 0 up to, not including, 1.
    pub fn share(&self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Between the two, each order of magnitude as often as the others.
    pub fn magnitude(&self, least: f64, most: f64) -> f64 {
        least * (most.max(least) / least).powf(self.share())
    }

    /// Until the next one of events that come independently of each other, so long apart on average.
    pub fn wait(&self, mean: Duration) -> Duration {
        Duration::try_from_secs_f64(-(1.0 - self.share()).ln() * mean.as_secs_f64()).unwrap_or(Duration::MAX)
    }
}
