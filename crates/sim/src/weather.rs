//! How the lines to the database are: cut, slow, or without news, each host by itself or all at once.

use jiff::Timestamp;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing is answered.
    Cut,
    /// Everything takes seconds.
    Slow,
    /// What others write is not told. Questions are answered.
    NoNews,
}

/// Until when what is wrong with the line of a host.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    cut: Option<Timestamp>,
    slow: Option<Timestamp>,
    no_news: Option<Timestamp>,
}

/// All lines. On each host there is a service and a controller.
#[derive(Debug)]
pub(crate) struct Weather(Mutex<Vec<Line>>);

impl Weather {
    pub fn fair(hosts: usize) -> Self {
        Self(Mutex::new(vec![Line::default(); hosts]))
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `host`: `None` for all.
    pub fn strike(&self, host: Option<usize>, trouble: Trouble, now: Timestamp, lasting: Duration) {
        let until = now.saturating_add(lasting).unwrap_or(Timestamp::MAX);
        for (number, line) in self.lines().iter_mut().enumerate() {
            if host.is_none_or(|host| host == number) {
                let slot = match trouble {
                    Trouble::Cut => &mut line.cut,
                    Trouble::Slow => &mut line.slow,
                    Trouble::NoNews => &mut line.no_news,
                };
                *slot = (*slot).max(Some(until));
            }
        }
    }

    pub fn clear(&self) {
        self.lines().fill(Line::default());
    }

    /// Until when there is that trouble on the line of a host.
    pub fn until(&self, host: usize, trouble: Trouble, now: Timestamp) -> Option<Timestamp> {
        let line = self.lines().get(host).copied().unwrap_or_default();
        let until = match trouble {
            Trouble::Cut => line.cut,
            Trouble::Slow => line.slow,
            Trouble::NoNews => line.no_news,
        };
        until.filter(|until| *until > now)
    }
}
