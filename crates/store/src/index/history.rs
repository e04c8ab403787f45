//! What has changed lately, in the order of revisions, for those who watch.

use super::Entry;
use domain::meta::Revision;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Changes that are remembered at most.
const KEPT: usize = 20_000;

/// One change of one object.
#[derive(Debug, Clone)]
pub struct Change {
    pub revision: Revision,
    /// The object before it. `None`: there was none.
    pub before: Option<Arc<Entry>>,
    /// The object after it. `None`: it is gone.
    pub after: Option<Arc<Entry>>,
}

/// Changes up to what is complete, and those that are ahead of it.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Everything after this revision is known.
    horizon: Revision,
    settled: VecDeque<Change>,
    ahead: BTreeMap<Revision, Vec<Change>>,
}

impl History {
    pub fn add(&mut self, change: Change) {
        self.ahead.entry(change.revision).or_default().push(change);
    }

    /// Everything up to here has been added.
    pub fn settle(&mut self, complete: Revision) {
        while let Some(first) = self.ahead.first_entry()
            && *first.key() <= complete
        {
            self.settled.extend(first.remove());
        }
        while self.settled.len() > KEPT
            && let Some(oldest) = self.settled.pop_front()
        {
            self.horizon = oldest.revision;
        }
    }

    /// Nothing is known of what led up to here.
    pub fn forget(&mut self, complete: Revision) {
        self.settled.clear();
        self.ahead = self.ahead.split_off(&Revision(complete.0.saturating_add(1)));
        self.horizon = complete;
    }

    /// What came after a revision and is complete. `None`: a part of that is forgotten.
    pub fn after(&self, revision: Revision) -> Option<impl Iterator<Item = &Change>> {
        let start = self.settled.partition_point(|change| change.revision <= revision);
        (revision >= self.horizon).then(|| self.settled.range(start..))
    }
}
