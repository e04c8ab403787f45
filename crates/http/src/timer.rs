//! hyper's timer on the project's clock, so that tests of slow clients need not wait.

use clock::Clock;
use futures::future::BoxFuture;
use hyper::rt::{Sleep, Timer};
use jiff::Timestamp;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Instants are counted from an origin that never moves: only their distances mean anything.
#[derive(Clone)]
pub(crate) struct ClockTimer {
    clock: Arc<dyn Clock>,
    origin: Instant,
    began: Timestamp,
}

impl ClockTimer {
    #[expect(
        clippy::disallowed_methods,
        reason = "an origin is needed, and none can be made otherwise; nothing is measured with it"
    )]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            began: clock.now(),
            clock,
            origin: Instant::now(),
        }
    }

    fn sleep_for(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        let deadline = self.clock.now().saturating_add(duration).unwrap_or(Timestamp::MAX);
        Box::pin(ClockSleep(Mutex::new(self.clock.sleep_until(deadline))))
    }
}

impl Timer for ClockTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_for(duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep_for(deadline.saturating_duration_since(self.now()))
    }

    fn now(&self) -> Instant {
        let elapsed = self.clock.now().duration_since(self.began);
        self.origin + Duration::try_from(elapsed).unwrap_or_default()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        *sleep = self.sleep_until(deadline);
    }
}

/// A lock, since hyper wants to share what is polled by one at a time.
struct ClockSleep(Mutex<BoxFuture<'static, ()>>);

impl Future for ClockSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let inner = self.get_mut().0.get_mut().unwrap_or_else(PoisonError::into_inner);
        inner.as_mut().poll(context)
    }
}

impl Sleep for ClockSleep {}
