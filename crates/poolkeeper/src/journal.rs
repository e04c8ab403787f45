//! The simulated fleet's memory, kept in the same store as everything else.

use async_trait::async_trait;
use fleet::sim::{Journal, JournalError, ReadDocument};
use serde_json::Value;
use std::num::NonZeroU32;
use std::sync::Arc;
use store::object::Machine;
use store::{Batch, Expect, Key, Kind, Object, Store, Write};

const PAGE: NonZeroU32 = NonZeroU32::new(5_000).unwrap();

pub struct StoreJournal(pub Arc<dyn Store>);

#[async_trait]
impl Journal for StoreJournal {
    async fn load(&self, read: &mut ReadDocument<'_>) -> Result<(), JournalError> {
        let failed = |error: store::StoreError| JournalError(error.to_string());
        let mut after: Option<Key> = None;
        loop {
            let page = self.0.list(Kind::Machine, after.as_ref(), PAGE).await.map_err(failed)?;
            after = page.records.last().map(|record| record.key.clone());
            for record in &page.records {
                if let Object::Machine(machine) = Object::decode(record).map_err(failed)?
                    && let Some(machine) = Arc::into_inner(machine)
                {
                    read(machine.id, machine.state)?;
                }
            }
            if !page.has_more {
                return Ok(());
            }
        }
    }

    async fn save(&self, changes: Vec<(String, Option<Value>)>) -> Result<(), JournalError> {
        let mut batch = Batch::default();
        for (id, change) in changes {
            let key = Key::new(Kind::Machine, "", &id);
            batch.writes.push(match change {
                Some(state) => {
                    let body = Object::from(Machine { id, state })
                        .encode()
                        .map_err(|error| JournalError(error.to_string()))?;
                    Write::Put {
                        key,
                        body,
                        expect: Expect::Any,
                    }
                }
                None => Write::Delete { key, expect: Expect::Any },
            });
        }
        self.0
            .commit(batch)
            .await
            .map(|_| ())
            .map_err(|error| JournalError(error.to_string()))
    }
}
