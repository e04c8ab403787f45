//! The last word on a pool's counts, and the event that tells of them.

use super::work::Work;
use domain::event::{Counters, Occurrence};
use domain::pool::PoolPhase;
use domain::status;
use jiff::Timestamp;
use std::time::Duration;

/// Changes within this time are told by one event.
const MERGED: Duration = Duration::from_secs(1);

impl Work<'_> {
    /// Derives `status.resources` and tells changed counters.
    pub fn count_nodes(&mut self) {
        if !self.pool.is_physical() {
            return;
        }
        if matches!(self.pool.status.phase, PoolPhase::CreationFailed { .. }) && self.nodes.is_empty() {
            self.clear_counts();
        } else {
            let counts = status::resource_counts(&self.pool, self.nodes.values(), self.input.offers);
            if counts != self.pool.status.resources {
                self.pool.status.resources = counts;
            }
        }
        let now = self.pool.status.resources.counters();
        let (told, at) = self.pool.status.reported.unwrap_or((Counters::default(), Timestamp::MIN));
        if told == now {
            return;
        }
        let due = at.saturating_add(MERGED).unwrap_or(Timestamp::MAX);
        if self.now < due {
            return self.wake_at(due);
        }
        self.occurrences.push(Occurrence::counters_change(told, now, self.now));
        self.pool.status.reported = Some((now, self.now));
    }
}
