//! What a store is opened with.

use clock::Clock;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// How to open a [`crate::SqlStore`].
#[derive(Clone)]
pub struct Options {
    /// `sqlite:///path/file.db` (made if it is not there) or `postgres://user:password@host/database`, to which
    /// PostgreSQL's own parameters may be added, such as `?options=-csearch_path%3Dpoolkeeper`.
    pub url: String,
    pub clock: Arc<dyn Clock>,
    /// Connections that read at the same time. One more writes.
    pub readers: NonZeroU32,
    /// For how many revisions deletions are remembered at least. Who asks for changes since before that must read
    /// everything again.
    pub kept_deletions: u64,
    /// How late the commits of other replicas may be noticed where their notification is lost (PostgreSQL only).
    pub poll_interval: Duration,
    /// How long a replica that has stopped in the middle of a transaction may keep the others from writing (PostgreSQL only).
    pub stall: Duration,
    /// Told how many requests each transaction has carried, when it is over.
    pub observer: Option<Observer>,
}

/// Told of transactions; it must not wait.
pub type Observer = Arc<dyn Fn(usize) + Send + Sync>;

impl Options {
    /// The usual settings.
    pub fn new(url: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        const READERS: NonZeroU32 = NonZeroU32::new(4).unwrap();
        Self {
            url: url.into(),
            clock,
            readers: READERS,
            kept_deletions: 1_000_000,
            poll_interval: Duration::from_millis(500),
            stall: Duration::from_secs(5),
            observer: None,
        }
    }
}

impl fmt::Debug for Options {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("readers", &self.readers)
            .field("kept_deletions", &self.kept_deletions)
            .field("poll_interval", &self.poll_interval)
            .finish_non_exhaustive()
    }
}
