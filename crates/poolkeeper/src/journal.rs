//! The simulated fleet's memory, kept in the same store as everything else; and the fleets of other replicas, which read it there.

use async_trait::async_trait;
use domain::meta::{Fence, Revision};
use fleet::sim::{Journal, JournalError, ReadDocument, SaveError, SimFleet, Stretch, TURN, Written};
use serde_json::Value;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use store::object::Machine;
use store::{Aside, Batch, Change, CommitError, Expect, Follower, Key, Kind, Object, Record, State, Store, StoreError, Write};

const PAGE: NonZeroU32 = NonZeroU32::new(5_000).unwrap();

/// Positions of the journal are the store's revisions.
pub struct StoreJournal {
    store: Arc<dyn Store>,
    state: OnceLock<State>,
}

impl StoreJournal {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            state: OnceLock::new(),
        }
    }

    /// Lets a fleet, opened on this journal, follow what the state learns of others' writes; and the state know of its own.
    pub async fn attach(&self, state: &State, fleet: &SimFleet) -> Result<(), StoreError> {
        // A second one would be the same.
        let _attached = self.state.set(state.clone());
        let follower = Arc::new(FleetFollower(fleet.clone()));
        state.follow_with(follower, Revision(fleet.position())).await
    }

    async fn changes(&self, after: u64) -> Result<Stretch, StoreError> {
        let (mut documents, mut up_to) = (Vec::new(), Revision(after));
        loop {
            let page = self.store.changes(up_to, PAGE).await?;
            let is_last = page.changes.len() < PAGE.get() as usize;
            up_to = page.up_to;
            for change in page.changes {
                match change {
                    Change::Put(record) if record.key.kind == Kind::Machine => documents.push(written(&record)?),
                    Change::Deleted { key, revision } if key.kind == Kind::Machine => documents.push(Written {
                        position: revision.0,
                        id: key.name.to_string(),
                        document: None,
                    }),
                    Change::Put(_) | Change::Deleted { .. } | Change::Counter { .. } => {}
                }
            }
            if is_last {
                return Ok(Stretch {
                    documents,
                    up_to: up_to.0,
                    is_whole: false,
                });
            }
        }
    }
}

fn failed(error: StoreError) -> JournalError {
    JournalError(error.to_string())
}

fn written(record: &Record) -> Result<Written, StoreError> {
    let machine = match Object::decode(record)? {
        Object::Machine(machine) => Arc::unwrap_or_clone(machine),
        other => return Err(StoreError::Corrupt(format!("{} is no machine", other.key()))),
    };
    Ok(Written {
        position: record.revision.0,
        id: machine.id,
        document: Some(machine.state),
    })
}

fn key(id: &str) -> Key {
    Key::new(Kind::Machine, "", id)
}

#[async_trait]
impl Journal for StoreJournal {
    async fn load(&self, read: &mut ReadDocument<'_>) -> Result<u64, JournalError> {
        let begin = self.store.revision().await.map_err(failed)?;
        let mut after: Option<Key> = None;
        loop {
            let page = self.store.list(Kind::Machine, after.as_ref(), PAGE).await.map_err(failed)?;
            after = page.records.last().map(|record| record.key.clone());
            for record in &page.records {
                read(written(record).map_err(failed)?)?;
            }
            if !page.has_more {
                break;
            }
        }
        // Of what others wrote meanwhile, the list may have one half.
        let later = self.changes(begin.0).await.map_err(failed)?;
        later.documents.into_iter().try_for_each(read)?;
        Ok(later.up_to)
    }

    async fn since(&self, position: u64) -> Result<Stretch, JournalError> {
        match self.changes(position).await {
            Err(StoreError::Compacted(_)) => {}
            other => return other.map_err(failed),
        }
        let mut documents = Vec::new();
        let up_to = self
            .load(&mut |written| {
                documents.push(written);
                Ok(())
            })
            .await?;
        Ok(Stretch {
            documents,
            up_to,
            is_whole: true,
        })
    }

    async fn save(&self, changes: Vec<(String, Option<Value>)>, turn: u64, fence: Option<&Fence>) -> Result<u64, SaveError> {
        let mut batch = Batch {
            fence: fence.cloned(),
            ..Batch::default()
        };
        for (id, change) in changes {
            let key = key(&id);
            let expect = match turn {
                _ if id != TURN => Expect::Any,
                0 => Expect::Absent,
                _ => Expect::At(Revision(turn)),
            };
            batch.writes.push(match change {
                Some(state) => {
                    let body = Object::from(Machine { id, state }).encode().map_err(failed)?;
                    Write::Put { key, body, expect }
                }
                None => Write::Delete { key, expect },
            });
        }
        match self.store.commit(batch).await {
            Ok(committed) => Ok(committed.revision.0),
            Err(CommitError::Conflict(_)) => Err(SaveError::Behind),
            Err(CommitError::Fenced) => Err(SaveError::Fenced),
            Err(error @ (CommitError::Limit(_) | CommitError::Store(_))) => Err(JournalError(error.to_string()).into()),
        }
    }

    fn told(&self, position: u64) {
        if let Some(state) = self.state.get() {
            // Nothing of it is in the index; but those who wait for the revision need not wait for it to be read.
            state.index().apply(Revision(position), Vec::new());
        }
    }
}

/// Tells a fleet what others write to its journal.
struct FleetFollower(SimFleet);

impl FleetFollower {
    fn take_in(&self, changes: Vec<Aside>, up_to: Revision, is_whole: bool) {
        let documents = changes.into_iter().map(|change| match change.body {
            Some(body) => written(&Record {
                key: change.key,
                revision: change.revision,
                body,
            }),
            None => Ok(Written {
                position: change.revision.0,
                id: change.key.name.to_string(),
                document: None,
            }),
        });
        let taken = documents.collect::<Result<Vec<_>, _>>().map_err(failed).and_then(|documents| {
            self.0.take_in(Stretch {
                documents,
                up_to: up_to.0,
                is_whole,
            })
        });
        if let Err(error) = taken {
            tracing::error!(%error, "what another replica has written of the simulated fleet cannot be read");
        }
    }
}

impl Follower for FleetFollower {
    fn advance(&self, changes: Vec<Aside>, up_to: Revision) {
        self.take_in(changes, up_to, false);
    }

    fn reset(&self, all: Vec<Aside>, up_to: Revision) {
        self.take_in(all, up_to, true);
    }
}

#[cfg(test)]
mod tests;
