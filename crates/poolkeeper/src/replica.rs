//! One replica among several: it watches how far it is behind the store, and goes in an order in which nobody is turned away.

use crate::config::ReplicaSettings;
use clock::Clock;
use http_api::metrics::Metrics;
use http_api::{Freshness, Readiness};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use store::State;
use tokio::sync::watch;

/// How often it is looked at how far the index is.
const LOOK: Duration = Duration::from_millis(100);

/// Tells readers how fresh the index is, until it is dropped.
pub async fn look_after(state: State, freshness: Freshness, metrics: Arc<Metrics>, clock: Arc<dyn Clock>) {
    loop {
        if let Some((revision, at)) = state.store().confirmed() {
            let complete = state.index().complete();
            freshness.heard(at, complete >= revision);
            metrics.followed(revision.0, complete.0);
        }
        pause(clock.as_ref(), LOOK).await;
    }
}

/// Orders a server to stop: first those who send requests see that they should not, then requests end.
pub async fn hand_over(readiness: &Readiness, stop: &watch::Sender<bool>, settings: &ReplicaSettings, clock: &dyn Clock) {
    readiness.set(false);
    if !settings.stop_grace.is_zero() {
        tracing::info!(seconds = settings.stop_grace.as_secs(), "not ready any more");
        pause(clock, settings.stop_grace).await;
    }
    stop.send_replace(true);
}

async fn pause(clock: &dyn Clock, wait: Duration) {
    clock.sleep_until(clock.now().saturating_add(wait).unwrap_or(Timestamp::MAX)).await;
}
