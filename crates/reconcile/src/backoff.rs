//! How long to wait before the next attempt: a pure function.

use std::time::Duration;

/// Doubles from half a second up to a minute, each pool at its own moment: `seed` spreads them over the last quarter.
pub fn delay(attempt: u32, seed: u64) -> Duration {
    let full = Duration::from_millis(500)
        .saturating_mul(1 << attempt.min(7))
        .min(Duration::from_mins(1));
    let spread = full / 4;
    full.saturating_sub(spread) + spread.mul_f64((seed % 1_000) as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_minute_and_stay_there() {
        for attempt in 0..40 {
            for seed in 0..50 {
                let wait = delay(attempt, seed);
                assert!(wait >= Duration::from_millis(375) && wait <= Duration::from_mins(1));
            }
        }
        assert!(delay(5, 0) > delay(2, 999));
        assert_ne!(delay(6, 1), delay(6, 500));
    }
}
