//! Time, and what is made of many measurements.

use std::time::{Duration, Instant};

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits a little for something that cannot be waited for.
pub fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}

/// Several measurements of one thing, smallest first; never empty.
#[derive(Debug, Clone)]
pub struct Sample(Vec<f64>);

impl Sample {
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        if values.is_empty() {
            values.push(f64::NAN);
        }
        Self(values)
    }

    pub fn durations(values: &[Duration]) -> Self {
        Self::of(values.iter().map(Duration::as_secs_f64).collect())
    }

    pub fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len() % 2 == 1 {
            self.0[middle]
        } else {
            f64::midpoint(self.0[middle - 1], self.0[middle])
        }
    }

    /// The value that the given part of all is not above, by nearest rank.
    pub fn quantile(&self, part: f64) -> f64 {
        let rank = (part * self.0.len() as f64).ceil() as usize;
        self.0[rank.clamp(1, self.0.len()) - 1]
    }

    pub fn least(&self) -> f64 {
        self.0[0]
    }

    pub fn most(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quantiles_are_taken_by_rank() {
        let sample = Sample::of(vec![3.0, 1.0, 2.0, 4.0]);
        assert!((sample.median() - 2.5).abs() < 1e-9);
        assert!((sample.quantile(0.5) - 2.0).abs() < 1e-9);
        assert!((sample.quantile(0.99) - 4.0).abs() < 1e-9);
        assert!((sample.quantile(0.0) - 1.0).abs() < 1e-9);
        assert!((Sample::of(vec![3.0, 1.0, 2.0]).median() - 2.0).abs() < 1e-9);
    }
}
