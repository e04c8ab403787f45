//! The line between a process and the API server: it takes time, is cut now and then, and some writes arrive after a minute, when
//! whoever sent them has long given up, or is no more.

use crate::weather::{Trouble, Weather};
use clock::{Clock, Entropy, SeededEntropy};
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use kube_fake::{Sent, Way};
use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

type Broken = Box<dyn std::error::Error + Send + Sync>;

/// What is alike for all lines of a world.
#[derive(Clone)]
pub(crate) struct Country {
    pub clock: Arc<dyn Clock>,
    pub is_on: Arc<AtomicBool>,
    pub weather: Arc<Weather>,
    /// Writes of 10,000 that arrive late.
    pub late: u64,
}

pub(crate) struct Line {
    country: Country,
    host: usize,
    entropy: SeededEntropy,
    /// So many writes are let through before everything is cut for good; the last one arrives, and its answer does not.
    left: Option<Arc<AtomicI64>>,
}

impl Line {
    pub fn new(country: Country, host: usize, seed: u64) -> Self {
        Self {
            country,
            host,
            entropy: SeededEntropy::new(seed),
            left: None,
        }
    }

    /// One of a process that ends in the middle of the last of so many writes.
    pub fn ending_after(mut self, writes: Arc<AtomicI64>) -> Self {
        self.left = Some(writes);
        self
    }

    fn is_on(&self) -> bool {
        self.country.is_on.load(Ordering::Relaxed)
    }

    fn has(&self, trouble: Trouble) -> bool {
        let now = self.country.clock.now();
        self.is_on() && self.country.weather.until(self.host, trouble, now).is_some()
    }

    /// Drawn in any case, so that switching faults off does not shift what follows.
    fn takes(&self, may_be_late: bool) -> Duration {
        let (usual, slow, late) = (self.entropy.next_u64(), self.entropy.next_u64(), self.entropy.next_u64());
        if may_be_late && self.is_on() && late % 10_000 < self.country.late {
            return Duration::from_millis(1_000 + slow % 59_000);
        }
        if self.has(Trouble::Slow) {
            return Duration::from_millis(slow % 2_000);
        }
        Duration::from_millis(1 + usual % 20)
    }

    fn travel(&self, takes: Duration, is_cut: bool) -> BoxFuture<'static, Result<(), Broken>> {
        let until = self.country.clock.now().saturating_add(takes).unwrap_or(Timestamp::MAX);
        let arrival = self.country.clock.sleep_until(until);
        async move {
            arrival.await;
            if is_cut {
                return Err(Broken::from(Error::from(ErrorKind::ConnectionReset)));
            }
            Ok(())
        }
        .boxed()
    }
}

impl Way for Line {
    fn there(&self, sent: &Sent) -> BoxFuture<'static, Result<(), Broken>> {
        let left = self.left.as_ref().filter(|_| sent.is_write);
        let is_over = left.is_some_and(|left| left.fetch_sub(1, Ordering::SeqCst) <= 0);
        self.travel(self.takes(sent.is_write), is_over || self.has(Trouble::Cut))
    }

    fn back(&self, _sent: &Sent) -> BoxFuture<'static, Result<(), Broken>> {
        let is_over = self.left.as_ref().is_some_and(|left| left.load(Ordering::SeqCst) <= 0);
        self.travel(self.takes(false), is_over || self.has(Trouble::Cut))
    }
}
