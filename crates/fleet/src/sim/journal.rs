//! Where the fleet keeps what it must not forget, and what others on the same journal learn of it.

use async_trait::async_trait;
use domain::meta::Fence;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The document that every write writes: whoever has seen the last one of it has seen everything.
pub const TURN: &str = "#turn";

/// Deletions that a journal in memory remembers.
const KEPT_DELETIONS: usize = 10_000;

/// Takes what became of a document. What it is given last of one counts.
pub type ReadDocument<'a> = dyn FnMut(Written) -> Result<(), JournalError> + Send + 'a;

/// What became of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    pub position: u64,
    pub id: String,
    /// `None`: it is gone.
    pub document: Option<Value>,
}

/// The last state of every document that was written after a position.
#[derive(Debug, Clone, PartialEq)]
pub struct Stretch {
    pub documents: Vec<Written>,
    /// Everything up to here is in it, or was there before.
    pub up_to: u64,
    /// It is everything there is: what is not in it is gone.
    pub is_whole: bool,
}

/// Durable memory of a fleet: documents by id, in the order of positions. Several processes may have a fleet on one journal;
/// each decides on what it has seen, and its write is refused if another one came first.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Gives every document to `read`, one after the other, since all of them at once may be much. Ends with its first error.
    /// Answers with the position of what was read: nothing up to there is missing.
    async fn load(&self, read: &mut ReadDocument<'_>) -> Result<u64, JournalError>;

    /// What was written after a position.
    async fn since(&self, position: u64) -> Result<Stretch, JournalError>;

    /// Puts or removes documents, all of them or none; on disk when it returns the position of the write. `turn` is the position
    /// of the last write that the writer has seen (0: none). With a fence, only as long as its holder has the lease.
    async fn save(&self, changes: Vec<(String, Option<Value>)>, turn: u64, fence: Option<&Fence>) -> Result<u64, SaveError>;

    /// The fleet has made true what it wrote at a position.
    fn told(&self, _position: u64) {}
}

#[derive(Debug, Clone, thiserror::Error)]
#[error("the fleet's journal failed: {0}")]
pub struct JournalError(pub String);

/// Why a write was not made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SaveError {
    #[error("somebody else has written since")]
    Behind,
    #[error("another holder has the lease")]
    Fenced,
    /// It may have been made all the same.
    #[error(transparent)]
    Failed(#[from] JournalError),
}

/// A journal that lives as long as the process, and knows no leases. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    position: u64,
    documents: BTreeMap<String, (u64, Value)>,
    deleted: VecDeque<(u64, String)>,
    /// Deletions up to here are forgotten.
    horizon: u64,
}

impl MemoryJournal {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn load(&self, read: &mut ReadDocument<'_>) -> Result<u64, JournalError> {
        let kept = self.kept();
        for (id, (position, value)) in &kept.documents {
            read(Written {
                position: *position,
                id: id.clone(),
                document: Some(value.clone()),
            })?;
        }
        Ok(kept.position)
    }

    async fn since(&self, position: u64) -> Result<Stretch, JournalError> {
        let kept = self.kept();
        let is_whole = position < kept.horizon;
        let known = |at: u64| !is_whole && at <= position;
        let present = kept.documents.iter().filter(|(_, (at, _))| !known(*at));
        let present = present.map(|(id, (at, value))| Written {
            position: *at,
            id: id.clone(),
            document: Some(value.clone()),
        });
        let gone = |id: &String| !is_whole && !kept.documents.contains_key(id);
        let deleted = kept.deleted.iter().filter(|(at, id)| !known(*at) && gone(id));
        let deleted = deleted.map(|(at, id)| Written {
            position: *at,
            id: id.clone(),
            document: None,
        });
        Ok(Stretch {
            documents: present.chain(deleted).collect(),
            up_to: kept.position,
            is_whole,
        })
    }

    async fn save(&self, changes: Vec<(String, Option<Value>)>, turn: u64, _fence: Option<&Fence>) -> Result<u64, SaveError> {
        let mut kept = self.kept();
        if kept.documents.get(TURN).map_or(0, |(at, _)| *at) != turn {
            return Err(SaveError::Behind);
        }
        kept.position += 1;
        let position = kept.position;
        for (id, change) in changes {
            match change {
                Some(value) => drop(kept.documents.insert(id, (position, value))),
                None if kept.documents.remove(&id).is_some() => kept.deleted.push_back((position, id)),
                None => {}
            }
        }
        while kept.deleted.len() > KEPT_DELETIONS
            && let Some((at, _)) = kept.deleted.pop_front()
        {
            kept.horizon = at;
        }
        Ok(position)
    }
}
