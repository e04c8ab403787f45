//! One script on two stores: every answer must be equal.
//!
//! A script is made from plain numbers, so that a property test can draw and shrink it without knowing its steps.

use super::limit;
use crate::batch::{Batch, CommitError, Committed, Count, CounterKey, Expect, Write};
use crate::object::Kind;
use crate::port::{HolderId, Key, Lease, Store};
use domain::meta::{Fence, Revision};
use futures::future::join_all;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What is done to both stores.
#[derive(Debug, Clone)]
enum Step {
    /// Batches that are handed over at the same time, in this order. A store may write them together.
    Commit(Vec<Batch>),
    Acquire {
        lease: String,
        holder: HolderId,
        ttl: Duration,
    },
    Release(Lease),
    List {
        kind: Kind,
        after: Option<Key>,
        most: u32,
    },
    Changes {
        after: Revision,
        most: u32,
    },
}

/// Draws small numbers from a large one.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        let drawn = self.0 % bound;
        self.0 /= bound;
        // A step needs more than one number holds: go on with a mixture of what was there.
        if self.0 == 0 {
            self.0 = drawn.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        drawn
    }

    fn key(&mut self) -> Key {
        let kind = [Kind::Pool, Kind::Node, Kind::Event][self.below(3) as usize];
        Key::new(
            kind,
            ["", "p1", "P2"][self.below(3) as usize],
            ["a", "b", "ä", "B"][self.below(4) as usize],
        )
    }

    fn expect(&mut self, world: &World, key: &Key) -> Expect {
        match self.below(8) {
            0 => Expect::Absent,
            1 => Expect::Any,
            // The revision that an earlier batch of the same step may get.
            2 => Expect::At(Revision(world.revision.0 + self.below(4))),
            3 => Expect::At(Revision(world.revision.0.saturating_sub(1))),
            _ => world.records.get(key).map_or(Expect::Absent, |revision| Expect::At(*revision)),
        }
    }

    fn write(&mut self, world: &World) -> Write {
        let key = self.key();
        let expect = self.expect(world, &key);
        match self.below(6) {
            0 | 1 => Write::Delete { key, expect },
            2 => Write::Check { key, expect },
            _ => Write::Put {
                body: Arc::from(format!("{{\"n\":{}}}", self.below(1000))),
                key,
                expect,
            },
        }
    }

    fn count(&mut self) -> Count {
        let key = CounterKey::new(["x", "y", "Z"][self.below(3) as usize]);
        let add = self.below(9) as i64 - 3;
        let at_most = (self.below(2) == 0).then(|| self.below(12));
        Count { key, add, at_most }
    }

    fn batch(&mut self, world: &World) -> Batch {
        let writes = (0..self.below(4)).map(|_| self.write(world)).collect();
        let counts = (0..self.below(6).saturating_sub(3)).map(|_| self.count()).collect();
        let fence = (self.below(5) == 0).then(|| Fence {
            lease: self.lease(),
            epoch: 1 + self.below(3),
        });
        Batch { writes, counts, fence }
    }

    fn lease(&mut self) -> String {
        ["l", "m"][self.below(2) as usize].to_owned()
    }

    fn holder(&mut self) -> HolderId {
        HolderId(["h1", "h2"][self.below(2) as usize].to_owned())
    }

    fn step(&mut self, world: &World) -> Step {
        match self.below(10) {
            0 => Step::Acquire {
                lease: self.lease(),
                holder: self.holder(),
                ttl: Duration::from_millis(self.below(4) * 700),
            },
            1 => {
                let epoch = 1 + self.below(3);
                Step::Release(Lease {
                    name: self.lease(),
                    holder: self.holder(),
                    epoch,
                    expires_at: Timestamp::UNIX_EPOCH,
                })
            }
            2 => {
                let after = (self.below(2) == 0).then(|| self.key());
                Step::List {
                    kind: self.key().kind,
                    after,
                    most: 1 + self.below(5) as u32,
                }
            }
            3 => Step::Changes {
                after: Revision(self.below(world.revision.0 + 2)),
                most: 1 + self.below(8) as u32,
            },
            _ => Step::Commit((0..=self.below(6)).map(|_| self.batch(world)).collect()),
        }
    }
}

/// What the script knows of the state, so that its expectations are often right.
#[derive(Debug, Default)]
struct World {
    revision: Revision,
    records: BTreeMap<Key, Revision>,
}

/// Runs the script that `numbers` stand for on both stores, which must be empty, and panics at the first difference.
pub async fn both_answer_alike(numbers: &[u64], reference: &Arc<dyn Store>, store: &Arc<dyn Store>) {
    let mut done: Vec<Step> = Vec::new();
    for (i, number) in numbers.iter().enumerate() {
        let world = world(reference).await;
        let step = Draw(*number).step(&world);
        done.push(step.clone());
        // One second per step, with a fraction that only exact storage keeps.
        let now = Timestamp::from_nanosecond(i as i128 * 1_000_000_001).unwrap();
        let (expected, found) = (answer(reference, &step, now).await, answer(store, &step, now).await);
        assert_eq!(found, expected, "step {i} answers differently: {step:#?}\nafter {done:#?}");
        let (expected, found) = (state(reference).await, state(store).await);
        assert_eq!(found, expected, "step {i} leads to another state: {step:#?}\nafter {done:#?}");
    }
}

async fn world(store: &Arc<dyn Store>) -> World {
    let records = super::everything(store)
        .await
        .into_iter()
        .map(|record| (record.key, record.revision))
        .collect();
    World {
        revision: super::revision(store).await,
        records,
    }
}

/// The answer as text, since errors cannot be compared.
async fn answer(store: &Arc<dyn Store>, step: &Step, now: Timestamp) -> String {
    match step {
        Step::Commit(batches) => {
            let answers: Vec<Result<Committed, CommitError>> = join_all(batches.iter().map(|batch| store.commit(batch.clone()))).await;
            format!("{answers:#?}")
        }
        Step::Acquire { lease, holder, ttl } => format!("{:#?}", store.acquire(lease, holder, *ttl, now).await),
        Step::Release(lease) => format!("{:#?}", store.release(lease).await),
        Step::List { kind, after, most } => format!("{:#?}", store.list(*kind, after.as_ref(), limit(*most)).await),
        Step::Changes { after, most } => format!("{:#?}", store.changes(*after, limit(*most)).await),
    }
}

async fn state(store: &Arc<dyn Store>) -> String {
    let all = super::everything(store).await;
    let changes = store.changes(Revision(0), limit(u32::MAX)).await.unwrap();
    let counters = store.counters().await.unwrap();
    for record in &all {
        assert_eq!(store.get(&record.key).await.unwrap().as_ref(), Some(record));
    }
    format!("{:?}\n{all:#?}\n{changes:#?}\n{counters:#?}", super::revision(store).await)
}
