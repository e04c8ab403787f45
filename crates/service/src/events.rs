//! What has happened to a pool (contract tags… §2).

use crate::context::{CallContext, Service};
use crate::error::{Missing, ServiceError};
use auth::Action;
use bytes::Bytes;
use domain::event::{self, Event, RETENTION, Told};
use domain::field::FieldErrors;
use domain::name::PoolName;
use jiff::Timestamp;
use std::sync::{Arc, OnceLock};
use store::index::{Entry, Facet, Versioned};

/// Which events a list shows, and in which order.
#[derive(Debug, Clone)]
pub struct EventFilter {
    pub pool: String,
    pub is_warning: Option<bool>,
    /// Told for the last time in this span, both ends included.
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub is_ascending: bool,
    pub begin: Begin,
    pub limit: usize,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy)]
pub enum Begin {
    Offset(usize),
    /// After the event of this sequence number.
    After(u64),
}

/// What was told of a pool, with its serialised form once somebody has asked for it.
#[derive(Debug)]
pub struct ToldEvent {
    pub told: Told<Versioned<Event>>,
    /// As in the event: so that filtering does not go there.
    is_warning: bool,
    rendered: OnceLock<Bytes>,
}

/// A page of events.
#[derive(Debug)]
pub struct EventPage {
    all: Arc<History>,
    /// Positions of what is shown, in the order in which it is.
    shown: Vec<usize>,
    /// How many there are over all pages.
    pub total: usize,
    /// Nothing follows.
    pub is_last: bool,
}

/// Everything that was told of a pool and is not too old to be shown, in the order of the sequence.
#[derive(Debug)]
struct History {
    told: Vec<ToldEvent>,
    /// When the oldest event was told that is in it.
    oldest: Timestamp,
    /// When the newest event was told that is too old.
    expired: Timestamp,
}

impl ToldEvent {
    /// The serialised form, made by `render` the first time somebody asks.
    pub fn rendered(&self, render: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.rendered.get_or_init(|| render(self))
    }

    /// Whether it was told once: then it looks as its only event does.
    pub fn is_single(&self) -> bool {
        (self.told.count, self.told.last_at) == (self.told.first.count, self.told.first.last_at)
    }
}

impl EventPage {
    pub fn items(&self) -> impl DoubleEndedIterator<Item = &ToldEvent> {
        self.shown.iter().map(|at| &self.all.told[*at])
    }
}

impl History {
    /// `oldest`: what was told before is not shown.
    fn of(entries: &mut dyn Iterator<Item = &Arc<Entry>>, oldest: Timestamp) -> Self {
        let (mut least, mut expired) = (Timestamp::MAX, Timestamp::MIN);
        let mut recent: Vec<Versioned<Event>> = Vec::new();
        for event in entries.filter_map(Versioned::<Event>::of) {
            if event.last_at < oldest {
                expired = expired.max(event.last_at);
            } else {
                least = least.min(event.last_at);
                recent.push(event);
            }
        }
        let told = event::fold(recent).into_iter().map(|told| ToldEvent {
            is_warning: told.first.is_warning,
            told,
            rendered: OnceLock::new(),
        });
        Self {
            told: told.collect(),
            oldest: least,
            expired,
        }
    }

    /// Whether as much is too old as when it was made.
    fn is_valid(&self, oldest: Timestamp) -> bool {
        self.expired < oldest && oldest <= self.oldest
    }
}

impl EventFilter {
    pub(crate) fn admits(&self, is_warning: bool, last_at: Timestamp) -> bool {
        self.is_warning.is_none_or(|wanted| wanted == is_warning)
            && self.since.is_none_or(|since| last_at >= since)
            && self.until.is_none_or(|until| shown_second(last_at) <= until)
    }

    /// Positions of what is shown, in the order of the sequence. `None`: everything.
    fn found(&self, all: &History) -> Option<Vec<usize>> {
        let is_everything = self.is_warning.is_none() && self.since.is_none() && self.until.is_none();
        let shown = |(at, event): (usize, &ToldEvent)| self.admits(event.is_warning, event.told.last_at).then_some(at);
        (!is_everything).then(|| all.told.iter().enumerate().filter_map(shown).collect())
    }

    fn page(&self, all: Arc<History>) -> EventPage {
        let found = self.found(&all);
        let total = found.as_ref().map_or(all.told.len(), Vec::len);
        // How many of what is shown come before a position.
        let before = |place: usize| match &found {
            Some(found) => found.partition_point(|at| *at < place),
            None => place,
        };
        let after = |is_before: &dyn Fn(u64) -> bool| before(all.told.partition_point(|event| is_before(event.told.first.sequence)));
        let start = match self.begin {
            Begin::Offset(offset) => offset.min(total),
            Begin::After(last) if self.is_ascending => after(&|sequence| sequence <= last),
            Begin::After(last) => total - after(&|sequence| sequence < last),
        };
        let end = start.saturating_add(self.limit).min(total);
        let place = |at: usize| if self.is_ascending { at } else { total - 1 - at };
        let position = |at: usize| found.as_ref().map_or(at, |found| found[at]);
        EventPage {
            shown: (start..end).map(place).map(position).collect(),
            is_last: end == total,
            total,
            all,
        }
    }
}

/// A time as it is shown: whoever asks for what was up to a time that was shown gets what was shown with it.
pub(crate) fn shown_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

impl Service {
    /// The events of a pool. What is too old is not shown, whether it is still stored or not.
    pub fn list_events(
        &self,
        ctx: &CallContext,
        read: impl FnOnce() -> Result<EventFilter, FieldErrors>,
    ) -> Result<EventPage, ServiceError> {
        self.authorize(ctx, Action::EventList)?;
        let filter = read()?;
        let pool = self.named_pool(ctx, Action::EventList, &filter.pool)?;
        let oldest = self.now().saturating_sub(RETENTION).unwrap_or(Timestamp::MIN);
        let all = self.parts.state.index().read().digest(
            Facet::EventsOfPool,
            pool.uid.as_str(),
            |history: &History| history.is_valid(oldest),
            |entries| History::of(entries, oldest),
        );
        Ok(filter.page(all))
    }

    /// A pool that a query names: its absence is told with its name.
    pub(crate) fn named_pool(&self, ctx: &CallContext, action: Action, text: &str) -> Result<Versioned<domain::pool::Pool>, ServiceError> {
        let missing = || ServiceError::NotFound(Missing::NamedPool(text.to_owned()));
        let name = PoolName::parse(text).map_err(|_| missing())?;
        self.pool_of(ctx, action, &name).map_err(|error| match error {
            ServiceError::NotFound(Missing::Pool) => missing(),
            other => other,
        })
    }
}

#[cfg(test)]
mod tests;
