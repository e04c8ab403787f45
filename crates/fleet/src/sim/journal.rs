//! Where the fleet keeps what it must not forget.

use async_trait::async_trait;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Takes a document with its id.
pub type ReadDocument<'a> = dyn FnMut(String, Value) -> Result<(), JournalError> + Send + 'a;

/// Durable memory of the fleet: documents by id.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Gives every document to `read`, one after the other, since all of them at once may be much. Ends with its first error.
    async fn load(&self, read: &mut ReadDocument<'_>) -> Result<(), JournalError>;
    /// Puts or removes documents, all of them or none; on disk when it returns.
    async fn save(&self, changes: Vec<(String, Option<Value>)>) -> Result<(), JournalError>;
}

#[derive(Debug, Clone, thiserror::Error)]
#[error("the fleet's journal failed: {0}")]
pub struct JournalError(pub String);

/// A journal that lives as long as the process. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal(Arc<Mutex<BTreeMap<String, Value>>>);

#[async_trait]
impl Journal for MemoryJournal {
    async fn load(&self, read: &mut ReadDocument<'_>) -> Result<(), JournalError> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().try_for_each(|(id, value)| read(id.clone(), value.clone()))
    }

    async fn save(&self, changes: Vec<(String, Option<Value>)>) -> Result<(), JournalError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, change) in changes {
            match change {
                Some(value) => kept.insert(id, value),
                None => kept.remove(&id),
            };
        }
        Ok(())
    }
}
