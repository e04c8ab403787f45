//! What has happened to a pool (contract tags… §2).

use crate::context::{CallContext, Service};
use crate::error::{Missing, ServiceError};
use auth::Action;
use domain::event::{self, Event, RETENTION};
use domain::field::FieldErrors;
use domain::name::PoolName;
use jiff::Timestamp;
use store::index::Facet;

/// Which events a list shows, and in which order.
#[derive(Debug, Clone)]
pub struct EventFilter {
    pub pool: String,
    pub is_warning: Option<bool>,
    /// Told for the last time in this span, both ends included.
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub is_ascending: bool,
}

impl EventFilter {
    pub(crate) fn admits(&self, event: &Event) -> bool {
        self.is_warning.is_none_or(|is_warning| event.is_warning == is_warning)
            && self.since.is_none_or(|since| event.last_at >= since)
            && self.until.is_none_or(|until| event.last_at <= until)
    }
}

impl Service {
    /// The events of a pool. What is too old is not shown, whether it is still stored or not.
    pub fn list_events(
        &self,
        ctx: &CallContext,
        read: impl FnOnce() -> Result<EventFilter, FieldErrors>,
    ) -> Result<Vec<Event>, ServiceError> {
        self.authorize(ctx, Action::EventList)?;
        let filter = read()?;
        let pool = self.named_pool(ctx, Action::EventList, &filter.pool)?;
        let oldest = self.now().saturating_sub(RETENTION).unwrap_or(Timestamp::MIN);
        let index = self.parts.state.index().read();
        let all = index
            .entries(Facet::EventsOfPool, pool.uid.as_str())
            .filter_map(|entry| entry.get::<Event>())
            .filter(|event| event.last_at >= oldest)
            .map(AsRef::as_ref);
        let mut found = event::fold(all);
        found.retain(|event| filter.admits(event));
        if !filter.is_ascending {
            found.reverse();
        }
        Ok(found)
    }

    /// A pool that a query names: its absence is told with its name.
    pub(crate) fn named_pool(
        &self,
        ctx: &CallContext,
        action: Action,
        text: &str,
    ) -> Result<store::index::Versioned<domain::pool::Pool>, ServiceError> {
        let missing = || ServiceError::NotFound(Missing::NamedPool(text.to_owned()));
        let name = PoolName::parse(text).map_err(|_| missing())?;
        self.pool_of(ctx, action, &name).map_err(|error| match error {
            ServiceError::NotFound(Missing::Pool) => missing(),
            other => other,
        })
    }
}
