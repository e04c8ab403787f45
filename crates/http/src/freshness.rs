//! Whether what is read here is what the store has.

use crate::error::ApiError;
use axum::http::Method;
use clock::Clock;
use jiff::Timestamp;
use service::ServiceError;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A store that has not answered for so long gets no more writes: they would wait for it without an end in sight.
const PATIENCE: Duration = Duration::from_secs(5);

/// When the store was last heard of, and when the index last had everything that the store had. Clones share both.
#[derive(Clone)]
pub struct Freshness {
    times: Arc<Times>,
    /// The one that the store's answers are dated by.
    clock: Arc<dyn Clock>,
    stale_after: Duration,
}

/// In milliseconds since the epoch. The latest of all times: nobody else writes to the store, so that it need not be asked.
#[derive(Debug)]
struct Times {
    heard: AtomicI64,
    fresh: AtomicI64,
}

impl Freshness {
    /// Reads are answered for so long after the index was last known to be as the store is.
    pub fn new(stale_after: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            times: Arc::new(Times {
                heard: AtomicI64::new(i64::MAX),
                fresh: AtomicI64::new(i64::MAX),
            }),
            stale_after,
        }
    }

    /// The store answered a question of this time; and whether the index has everything that it had then.
    pub fn heard(&self, at: Timestamp, is_complete: bool) {
        let at = at.as_millisecond();
        self.times.heard.store(at, Ordering::Relaxed);
        let is_first = self.times.fresh.load(Ordering::Relaxed) == i64::MAX;
        if is_complete || is_first {
            self.times.fresh.store(at, Ordering::Relaxed);
        }
    }

    /// Whether reads are still answered.
    pub fn is_fresh(&self) -> bool {
        since(&self.times.fresh, self.clock.now()) <= self.stale_after
    }

    /// How long the store has not answered.
    pub fn silence(&self) -> Duration {
        since(&self.times.heard, self.clock.now())
    }

    /// Refuses what cannot be answered truthfully, or not at all.
    pub(crate) fn check(&self, method: &Method) -> Result<(), ApiError> {
        let is_read = method == Method::GET || method == Method::HEAD;
        let refused = |why: &str| Err(ServiceError::Unavailable(why.to_owned()).into());
        if !is_read && self.silence() > PATIENCE {
            return refused("the store does not answer");
        }
        if is_read && !self.is_fresh() {
            return refused("what is known here is too old");
        }
        Ok(())
    }
}

fn since(time: &AtomicI64, now: Timestamp) -> Duration {
    let past = now.as_millisecond().saturating_sub(time.load(Ordering::Relaxed));
    Duration::from_millis(u64::try_from(past).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clock::ManualClock;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A store that was heard at second 100, or never.
    fn heard(is_heard: bool) -> (Freshness, ManualClock) {
        let clock = ManualClock::starting_at(at(100));
        let freshness = Freshness::new(Duration::from_secs(30), Arc::new(clock.clone()));
        if is_heard {
            freshness.heard(at(100), true);
        }
        (freshness, clock)
    }

    /// Whether a write and a read are let through.
    fn outcomes(freshness: &Freshness) -> (bool, bool) {
        let check = |method| freshness.check(&method).is_ok();
        (check(Method::PATCH), check(Method::GET))
    }

    #[test]
    fn a_store_of_which_nothing_is_heard_because_nobody_asks_is_fresh() {
        let (freshness, clock) = heard(false);
        clock.advance(Duration::from_hours(24));
        assert_eq!((freshness.is_fresh(), outcomes(&freshness)), (true, (true, true)));
    }

    #[test]
    fn writes_are_refused_soon_and_reads_later() {
        let (freshness, clock) = heard(true);
        let mut after = |seconds| {
            clock.advance(Duration::from_secs(seconds));
            outcomes(&freshness)
        };
        assert_eq!(
            [5, 1, 24, 1].map(&mut after),
            [(true, true), (false, true), (false, true), (false, false)]
        );
        freshness.heard(at(131), true);
        assert_eq!(outcomes(&freshness), (true, true));
    }

    #[test]
    fn an_index_that_does_not_follow_gets_stale_though_the_store_answers() {
        let (freshness, clock) = heard(true);
        clock.advance(Duration::from_secs(31));
        freshness.heard(at(131), false);
        assert_eq!((freshness.is_fresh(), outcomes(&freshness)), (false, (true, false)));
    }
}
