//! The only sources of time and randomness, as traits, with their real and their seeded forms.
//!
//! Must not know anything else: every other crate takes a [`Clock`] and an [`Entropy`] and reads neither the system's
//! clock nor its random numbers itself.

use futures::future::BoxFuture;
use jiff::Timestamp;
use rand::{Rng, SeedableRng, TryRng};
use rand_chacha::ChaCha8Rng;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The only source of time.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
    /// Resolves at or after `deadline`; at once if it has passed.
    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()>;
}

/// The only source of randomness: ids, names, jitter.
pub trait Entropy: Send + Sync + 'static {
    fn fill(&self, out: &mut [u8]);

    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// The system's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the system's clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that sleeps")]
    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        let left = deadline.duration_since(self.now());
        Box::pin(tokio::time::sleep(Duration::try_from(left).unwrap_or_default()))
    }
}

/// Time as the tokio runtime counts it, from a given start. Under a paused runtime this is virtual time: it moves only
/// when every task waits, and then at once to the next deadline.
#[derive(Debug, Clone, Copy)]
pub struct RuntimeClock {
    start: Timestamp,
    origin: tokio::time::Instant,
}

impl RuntimeClock {
    /// Must be called inside a runtime.
    #[expect(clippy::disallowed_methods, reason = "the runtime's own clock is this clock's source")]
    pub fn starting_at(start: Timestamp) -> Self {
        Self {
            start,
            origin: tokio::time::Instant::now(),
        }
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        self.start.saturating_add(self.origin.elapsed()).unwrap_or(self.start)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that sleeps")]
    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        let left = deadline.duration_since(self.now());
        Box::pin(tokio::time::sleep(Duration::try_from(left).unwrap_or_default()))
    }
}

/// A clock that stands still until it is told to move, for tests of a real server.
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: Arc<tokio::sync::watch::Sender<Timestamp>>,
}

impl ManualClock {
    pub fn starting_at(start: Timestamp) -> Self {
        Self {
            now: Arc::new(tokio::sync::watch::Sender::new(start)),
        }
    }

    pub fn advance(&self, by: Duration) {
        self.now.send_modify(|now| *now = now.saturating_add(by).unwrap_or(*now));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        let mut moves = self.now.subscribe();
        Box::pin(async move {
            // An error means that the clock is gone; then nobody waits for it either.
            let _gone = moves.wait_for(|now| *now >= deadline).await;
        })
    }
}

/// The wall clock, moved ahead at will: time goes on by itself, and tests of a real server need not wait for hours.
#[derive(Debug, Clone)]
pub struct ShiftedClock {
    ahead: Arc<tokio::sync::watch::Sender<Duration>>,
}

impl Default for ShiftedClock {
    fn default() -> Self {
        Self {
            ahead: Arc::new(tokio::sync::watch::Sender::new(Duration::ZERO)),
        }
    }
}

impl ShiftedClock {
    pub fn advance(&self, by: Duration) {
        self.ahead.send_modify(|ahead| *ahead += by);
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        let ahead = *self.ahead.borrow();
        SystemClock.now().saturating_add(ahead).unwrap_or(Timestamp::MAX)
    }

    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        let mut moves = self.ahead.subscribe();
        let clock = self.clone();
        Box::pin(async move {
            loop {
                let ahead = *moves.borrow_and_update();
                if clock.now() >= deadline {
                    return;
                }
                let real = deadline.saturating_sub(ahead).unwrap_or(Timestamp::MAX);
                tokio::select! {
                    biased;
                    // An error means that the clock is gone; the deadline is then a real one.
                    moved = moves.changed() => if moved.is_err() { return SystemClock.sleep_until(real).await },
                    () = SystemClock.sleep_until(real) => {}
                }
            }
        })
    }
}

/// The operating system's random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(
        clippy::expect_used,
        reason = "without random numbers no secret can be made, so the process must not go on"
    )]
    fn fill(&self, out: &mut [u8]) {
        rand::rngs::SysRng
            .try_fill_bytes(out)
            .expect("the operating system gives random numbers");
    }
}

/// A reproducible stream of random numbers (ChaCha8, whose stream is fixed for all versions).
#[derive(Debug)]
pub struct SeededEntropy(Mutex<ChaCha8Rng>);

impl SeededEntropy {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(ChaCha8Rng::seed_from_u64(seed)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(out);
    }
}

/// Random bytes as an array, for ids.
pub fn random<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_stream() {
        let (a, b, c) = (SeededEntropy::new(7), SeededEntropy::new(7), SeededEntropy::new(8));
        let first = a.next_u64();
        assert_eq!(first, b.next_u64());
        assert_ne!(first, c.next_u64());
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_sleepers_when_it_passes_their_deadline() {
        let clock = ManualClock::starting_at(Timestamp::UNIX_EPOCH);
        let sleeper = clock.sleep_until(Timestamp::from_second(60).unwrap());
        tokio::pin!(sleeper);
        assert!(futures::poll!(&mut sleeper).is_pending());
        clock.advance(Duration::from_secs(59));
        assert!(futures::poll!(&mut sleeper).is_pending());
        clock.advance(Duration::from_secs(1));
        sleeper.await;
    }
}
