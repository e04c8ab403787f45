//! Whether what is read here is what the store has.

use crate::error::ApiError;
use axum::http::Method;
use jiff::Timestamp;
use service::ServiceError;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A store that has not answered for so long gets no more writes: they would wait for it without an end in sight.
const PATIENCE: Duration = Duration::from_secs(5);

/// When the store was last heard of, and when the index last had everything that the store had. Clones share both.
#[derive(Debug, Clone)]
pub struct Freshness {
    times: Arc<Times>,
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
    pub fn new(stale_after: Duration) -> Self {
        Self {
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
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        since(&self.times.fresh, now) <= self.stale_after
    }

    /// How long the store has not answered.
    pub fn silence(&self, now: Timestamp) -> Duration {
        since(&self.times.heard, now)
    }

    /// Refuses what cannot be answered truthfully, or not at all.
    pub(crate) fn check(&self, method: &Method, now: Timestamp) -> Result<(), ApiError> {
        let is_read = method == Method::GET || method == Method::HEAD;
        let refused = |why: &str| Err(ServiceError::Unavailable(why.to_owned()).into());
        if !is_read && self.silence(now) > PATIENCE {
            return refused("the store does not answer");
        }
        if self.is_fresh(now) {
            Ok(())
        } else {
            refused("what is known here is too old")
        }
    }
}

fn since(time: &AtomicI64, now: Timestamp) -> Duration {
    let past = now.as_millisecond().saturating_sub(time.load(Ordering::Relaxed));
    Duration::from_millis(u64::try_from(past).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_store_of_which_nothing_is_heard_because_nobody_asks_is_fresh() {
        let freshness = Freshness::new(Duration::from_secs(30));
        assert!(freshness.is_fresh(at(1_000_000)));
        assert!(freshness.check(&Method::POST, at(1_000_000)).is_ok());
    }

    #[test]
    fn writes_are_refused_soon_and_reads_later() {
        let freshness = Freshness::new(Duration::from_secs(30));
        freshness.heard(at(100), true);
        let outcomes = |now| {
            let check = |method| freshness.check(&method, at(now)).is_ok();
            (check(Method::PATCH), check(Method::GET))
        };
        assert_eq!(
            [105, 106, 130, 131].map(outcomes),
            [(true, true), (false, true), (false, true), (false, false)]
        );
        freshness.heard(at(140), true);
        assert_eq!(outcomes(141), (true, true));
    }

    #[test]
    fn an_index_that_does_not_follow_gets_stale_though_the_store_answers() {
        let freshness = Freshness::new(Duration::from_secs(30));
        freshness.heard(at(100), true);
        freshness.heard(at(131), false);
        assert!(!freshness.is_fresh(at(131)));
        assert!(freshness.check(&Method::GET, at(131)).is_err());
    }
}
