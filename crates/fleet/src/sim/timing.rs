//! How long things take: drawn from the seed, the same for the same thing.

use jiff::Timestamp;
use std::time::Duration;

/// Seeded durations.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    seed: u64,
    speed: f64,
}

/// What takes time, with its shortest and longest duration in life, in seconds. The numbers are part of what is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Cluster = 0,
    Boot = 1,
    Check = 2,
    Driver = 3,
    Plugin = 4,
    Release = 6,
    Reboot = 7,
    /// A system is installed, before it boots.
    Install = 8,
    /// Of a workload, from getting its nodes to running on them.
    Launch = 9,
    /// Of a workload that was asked to give back.
    Grace = 10,
}

impl Step {
    fn range(self) -> (f64, f64) {
        match self {
            Self::Cluster => (60.0, 120.0),
            Self::Boot => (180.0, 420.0),
            Self::Check => (30.0, 90.0),
            Self::Driver => (120.0, 300.0),
            Self::Plugin => (20.0, 60.0),
            Self::Release => (60.0, 180.0),
            Self::Reboot => (90.0, 240.0),
            Self::Install => (240.0, 600.0),
            Self::Launch => (5.0, 30.0),
            Self::Grace => (60.0, 60.0),
        }
    }
}

impl Timing {
    /// `speed` is the factor on all durations: 0 = at once, 1 = as in life.
    pub fn new(seed: u64, speed: f64) -> Self {
        Self {
            seed,
            speed: if speed.is_finite() { speed.max(0.0) } else { 1.0 },
        }
    }

    /// How long a step takes for a thing, the nth time.
    pub(crate) fn duration(&self, step: Step, thing: &str, ordinal: u64) -> Duration {
        let (least, most) = step.range();
        let share = self.draw(step as u64, thing, ordinal);
        // Squared: short ones are more frequent, as in life.
        Duration::from_secs_f64((least + (most - least) * share * share) * self.speed)
    }

    pub(crate) fn after(&self, start: Timestamp, step: Step, thing: &str, ordinal: u64) -> Timestamp {
        start.saturating_add(self.duration(step, thing, ordinal)).unwrap_or(Timestamp::MAX)
    }

    /// A number from 0 up to, not including, 1. The same for the same arguments in every version of the program.
    pub(crate) fn draw(&self, purpose: u64, thing: &str, ordinal: u64) -> f64 {
        // FNV-1a over what it is for, then the finalizer of SplitMix64, which spreads that over all bits.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for word in [self.seed, purpose, ordinal] {
            hash = (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
        }
        for byte in thing.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^= hash >> 31;
        (hash >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_reproducible_within_their_range_and_scale_with_the_speed() {
        let (life, fast, once) = (Timing::new(1, 1.0), Timing::new(1, 0.5), Timing::new(1, 0.0));
        for ordinal in 0..200 {
            let boot = life.duration(Step::Boot, "m", ordinal);
            assert!((180.0..=420.0).contains(&boot.as_secs_f64()));
            assert_eq!(boot, life.duration(Step::Boot, "m", ordinal));
            assert!((fast.duration(Step::Boot, "m", ordinal).as_secs_f64() * 2.0 - boot.as_secs_f64()).abs() < 1e-6);
            assert_eq!(once.duration(Step::Boot, "m", ordinal), Duration::ZERO);
        }
        assert_ne!(life.duration(Step::Boot, "m", 1), Timing::new(2, 1.0).duration(Step::Boot, "m", 1));
    }

    #[test]
    fn draws_are_spread_evenly() {
        let timing = Timing::new(7, 1.0);
        let mut tenths = [0_u32; 10];
        for ordinal in 0..10_000 {
            let share = timing.draw(1, "machine-1", ordinal);
            tenths[(share * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (850..1150).contains(count)), "{tenths:?}");
        let mean = (0..10_000)
            .map(|number| timing.draw(2, &format!("machine-{number}"), 0))
            .sum::<f64>()
            / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
    }
}
