//! Where the fleet keeps what it must not forget.

use async_trait::async_trait;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Durable memory of the fleet: documents by id.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    async fn load(&self) -> Result<Vec<(String, Value)>, JournalError>;
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
    async fn load(&self) -> Result<Vec<(String, Value)>, JournalError> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(kept.iter().map(|(id, value)| (id.clone(), value.clone())).collect())
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
