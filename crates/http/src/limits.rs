//! How much one caller may ask for: requests a second, and answers that stay open.

use crate::error::ApiError;
use clock::Clock;
use domain::name::UserId;
use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A sustained rate, and how many requests may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub per_second: NonZeroU32,
    pub burst: NonZeroU32,
}

/// The limits of one caller. Absent ones do not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitSettings {
    /// Requests of one user, with whichever of its keys and tokens.
    pub principal: Option<Rate>,
    /// Requests from one address that need no sign-in, and those whose sign-in fails.
    pub address: Option<Rate>,
    /// Watches and `wait=` requests of one user at the same time.
    pub open_answers: Option<NonZeroU32>,
}

/// Counts of whoever has asked lately.
pub struct Limits {
    principals: Option<Keyed<UserId>>,
    addresses: Option<Keyed<IpAddr>>,
    seats: Arc<Seats>,
}

impl Limits {
    pub fn new(settings: LimitSettings, clock: &Arc<dyn Clock>) -> Self {
        Self {
            principals: settings.principal.map(|rate| Keyed::new(rate, clock)),
            addresses: settings.address.map(|rate| Keyed::new(rate, clock)),
            seats: Arc::new(Seats {
                most: settings.open_answers,
                taken: Mutex::default(),
            }),
        }
    }

    /// One more request of a user.
    pub(crate) fn request(&self, who: &UserId) -> Result<(), ApiError> {
        self.principals.as_ref().map_or(Ok(()), |limiter| limiter.take(who))
    }

    /// One more request from an address that nobody in particular has sent.
    pub(crate) fn stranger(&self, address: IpAddr) -> Result<(), ApiError> {
        self.addresses.as_ref().map_or(Ok(()), |limiter| limiter.take(&network(address)))
    }

    /// One more answer that stays open, until the seat is dropped.
    pub(crate) fn sit(&self, who: &UserId) -> Result<Seat, ApiError> {
        self.seats.take(who)
    }
}

/// What one subscriber has: with IPv6 a whole network, in which it may change its address at will.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

/// The project's clock for the limiter: time since an origin.
#[derive(Clone)]
struct Ticks {
    clock: Arc<dyn Clock>,
    began: Timestamp,
}

impl GovernorClock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        // A clock that is set back stands still.
        Duration::try_from(self.clock.now().duration_since(self.began)).unwrap_or_default()
    }
}

/// Keys that are forgotten only when there are more than this, since it means looking at all of them.
const KEPT: usize = 10_000;

struct Keyed<K: Clone + Hash + Eq> {
    limiter: RateLimiter<K, HashMapStateStore<K>, Ticks, NoOpMiddleware<Duration>>,
    ticks: Ticks,
    sweep_at: AtomicUsize,
}

impl<K: Clone + Hash + Eq> Keyed<K> {
    fn new(rate: Rate, clock: &Arc<dyn Clock>) -> Self {
        let ticks = Ticks {
            began: clock.now(),
            clock: Arc::clone(clock),
        };
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self {
            limiter: RateLimiter::new(quota, HashMapStateStore::default(), ticks.clone()),
            ticks,
            sweep_at: AtomicUsize::new(KEPT),
        }
    }

    fn take(&self, key: &K) -> Result<(), ApiError> {
        if self.limiter.len() > self.sweep_at.load(Ordering::Relaxed) {
            self.limiter.retain_recent();
            self.sweep_at
                .store(KEPT.max(self.limiter.len().saturating_mul(2)), Ordering::Relaxed);
        }
        self.limiter
            .check_key(key)
            .map_err(|early| ApiError::too_many_requests(early.wait_time_from(self.ticks.now())))
    }
}

/// How many open answers each user has.
struct Seats {
    most: Option<NonZeroU32>,
    taken: Mutex<BTreeMap<UserId, u32>>,
}

impl Seats {
    fn take(self: &Arc<Self>, who: &UserId) -> Result<Seat, ApiError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(who).copied().unwrap_or(0);
        if self.most.is_some_and(|most| own >= most.get()) {
            // Nobody knows when one ends: a watch lasts half an hour, a wait a minute.
            return Err(ApiError::too_many_requests(Duration::from_secs(10)));
        }
        taken.insert(who.clone(), own + 1);
        Ok(Seat {
            seats: Arc::clone(self),
            who: who.clone(),
        })
    }
}

/// The right to one open answer.
pub(crate) struct Seat {
    seats: Arc<Seats>,
    who: UserId,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.who) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;
    use clock::ManualClock;

    fn rate(per_second: u32, burst: u32) -> Option<Rate> {
        Some(Rate {
            per_second: NonZeroU32::new(per_second)?,
            burst: NonZeroU32::new(burst)?,
        })
    }

    fn limits(settings: LimitSettings) -> (Limits, ManualClock) {
        let clock = ManualClock::starting_at(Timestamp::UNIX_EPOCH);
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        (Limits::new(settings, &shared), clock)
    }

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn wait(refused: Result<(), ApiError>) -> String {
        let error = refused.unwrap_err();
        assert_eq!((error.status, error.code), (StatusCode::TOO_MANY_REQUESTS, "ModelArts.50004290"));
        error.headers[0].1.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_burst_is_used_up_and_comes_back_with_time() {
        let (limits, clock) = limits(LimitSettings {
            principal: rate(1, 3),
            ..LimitSettings::default()
        });
        let (one, other) = (user("one"), user("other"));
        for _ in 0..3 {
            limits.request(&one).unwrap();
        }
        assert_eq!(wait(limits.request(&one)), "1");
        limits.request(&other).unwrap();
        clock.advance(Duration::from_secs(2));
        limits.request(&one).unwrap();
        limits.request(&one).unwrap();
        assert_eq!(wait(limits.request(&one)), "1");
        limits.stranger(IpAddr::from([192, 0, 2, 1])).unwrap();
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let (limits, _clock) = limits(LimitSettings {
            address: rate(1, 1),
            ..LimitSettings::default()
        });
        let from = |text: &str| limits.stranger(text.parse().unwrap());
        from("2001:db8::1").unwrap();
        wait(from("2001:db8::2"));
        from("2001:db8:0:1::1").unwrap();
        from("192.0.2.1").unwrap();
        wait(from("::ffff:192.0.2.1"));
    }

    #[test]
    fn who_has_not_asked_for_long_is_forgotten() {
        let (limits, clock) = limits(LimitSettings {
            principal: rate(10, 10),
            ..LimitSettings::default()
        });
        for number in 0..=KEPT {
            limits.request(&user(&format!("u{number}"))).unwrap();
        }
        clock.advance(Duration::from_mins(1));
        limits.request(&user("last")).unwrap();
        assert_eq!(limits.principals.as_ref().unwrap().limiter.len(), 1);
    }

    #[test]
    fn an_open_answer_gives_its_place_back_when_it_ends() {
        let (limits, _clock) = limits(LimitSettings {
            open_answers: NonZeroU32::new(2),
            ..LimitSettings::default()
        });
        let (one, other) = (user("one"), user("other"));
        let first = limits.sit(&one).unwrap();
        let _second = limits.sit(&one).unwrap();
        assert_eq!(wait(limits.sit(&one).map(drop)), "10");
        let _others = limits.sit(&other).unwrap();
        drop(first);
        let _third = limits.sit(&one).unwrap();
        assert_eq!(limits.seats.taken.lock().unwrap().len(), 2);
    }
}
