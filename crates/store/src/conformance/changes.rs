//! The change feed.

use super::{add, commit, counts, delete, key, limit, put, revision};
use crate::batch::{CounterKey, Expect};
use crate::port::{Change, Changes, Key, Record, Store};
use domain::meta::Revision;
use std::sync::Arc;
use std::time::Duration;

async fn changes(store: &Arc<dyn Store>, after: u64, most: u32) -> Changes {
    store.changes(Revision(after), limit(most)).await.unwrap()
}

fn is_put(change: &Change, at: u64, key: &Key, body: &str) -> bool {
    *change
        == Change::Put(Record {
            key: key.clone(),
            revision: Revision(at),
            body: Arc::from(body),
        })
}

pub async fn changes_give_the_last_state_once(store: Arc<dyn Store>) {
    let (a, b) = (key("a"), key("b"));
    commit(&store, [put(&a, "1", Expect::Absent), put(&b, "2", Expect::Absent)]).await;
    commit(&store, [put(&a, "3", Expect::Any)]).await;
    commit(&store, [put(&a, "4", Expect::Any)]).await;
    let all = changes(&store, 0, 10).await;
    assert_eq!((all.changes.len(), all.up_to), (2, Revision(3)));
    assert!(
        is_put(&all.changes[0], 1, &b, "2") && is_put(&all.changes[1], 3, &a, "4"),
        "{all:?}"
    );
    let newer = changes(&store, 1, 10).await;
    assert_eq!((newer.changes.len(), newer.up_to), (1, Revision(3)));
    assert!(is_put(&newer.changes[0], 3, &a, "4"), "{newer:?}");
}

pub async fn changes_include_deletions_and_counters(store: Arc<dyn Store>) {
    let (a, b) = (key("a"), key("b"));
    commit(&store, [put(&a, "1", Expect::Absent), put(&b, "2", Expect::Absent)]).await;
    commit(&store, [delete(&a, Expect::Any)]).await;
    store.commit(counts([add("c", 5, None)])).await.unwrap();
    store.commit(counts([add("c", -2, None), add("d", 1, None)])).await.unwrap();
    // Within a revision: objects in key order, then counters.
    let expected = [
        Change::Put(Record {
            key: b.clone(),
            revision: Revision(1),
            body: Arc::from("2"),
        }),
        Change::Deleted {
            key: a.clone(),
            revision: Revision(2),
        },
        Change::Counter {
            key: CounterKey::new("c"),
            value: 3,
            revision: Revision(4),
        },
        Change::Counter {
            key: CounterKey::new("d"),
            value: 1,
            revision: Revision(4),
        },
    ];
    assert_eq!(
        changes(&store, 0, 10).await,
        Changes {
            changes: expected.to_vec(),
            up_to: Revision(4)
        }
    );
    assert_eq!(changes(&store, 1, 10).await.changes, expected[1..]);
    assert_eq!(changes(&store, 2, 10).await.changes, expected[2..]);
    // What is created and deleted in one batch is reported as deleted: somebody may have seen it before.
    commit(&store, [put(&a, "3", Expect::Absent), delete(&a, Expect::Absent)]).await;
    assert_eq!(
        changes(&store, 4, 10).await.changes,
        [Change::Deleted {
            key: a,
            revision: Revision(5)
        }]
    );
}

pub async fn changes_come_in_order_of_revision(store: Arc<dyn Store>) {
    for i in 0..30_u32 {
        let name = key(format!("n{:02}", (i * 17) % 30));
        commit(
            &store,
            [
                put(&name, "x", Expect::Absent),
                put(&Key::new(crate::Kind::Event, "p", &name.name), "y", Expect::Absent),
            ],
        )
        .await;
        if i % 3 == 0 {
            commit(&store, [delete(&name, Expect::Any)]).await;
        }
        if i % 4 == 0 {
            store.commit(counts([add(&format!("c{i}"), 1, None)])).await.unwrap();
        }
    }
    let all = changes(&store, 0, 1000).await;
    assert!(all.changes.is_sorted_by_key(Change::revision), "{all:?}");
    assert_eq!(all.changes.len(), 30 + 30 + 8);
    assert_eq!(all.up_to, revision(&store).await);
}

pub async fn what_came_back_is_not_reported_as_deleted(store: Arc<dyn Store>) {
    let a = key("a");
    commit(&store, [put(&a, "1", Expect::Absent)]).await;
    commit(&store, [delete(&a, Expect::Any)]).await;
    commit(&store, [put(&a, "2", Expect::Absent)]).await;
    let all = changes(&store, 0, 10).await;
    assert!(all.changes.len() == 1 && is_put(&all.changes[0], 3, &a, "2"), "{all:?}");
    commit(&store, [delete(&a, Expect::Any)]).await;
    for after in 0..4 {
        assert_eq!(
            changes(&store, after, 10).await.changes,
            [Change::Deleted {
                key: a.clone(),
                revision: Revision(4)
            }]
        );
    }
    // Also where the page ends before it comes back.
    commit(&store, [put(&key("b"), "x", Expect::Absent)]).await;
    commit(&store, [put(&a, "3", Expect::Absent)]).await;
    let first = changes(&store, 0, 1).await;
    assert!(
        first.changes.len() == 1 && is_put(&first.changes[0], 5, &key("b"), "x"),
        "{first:?}"
    );
    commit(&store, [delete(&a, Expect::Any), put(&a, "4", Expect::Any)]).await;
    let last = changes(&store, 5, 10).await;
    assert!(last.changes.len() == 1 && is_put(&last.changes[0], 7, &a, "4"), "{last:?}");
}

pub async fn a_limit_never_splits_a_revision(store: Arc<dyn Store>) {
    // Changes per revision: 3, 1, 4, 2. In the third, one object, two deletions and a counter.
    let gone = [key("gone-1"), key("gone-2")];
    commit(
        &store,
        gone.iter()
            .map(|key| put(key, "x", Expect::Absent))
            .chain((1..=3).map(|i| put(&key(format!("a{i}")), "x", Expect::Absent))),
    )
    .await;
    commit(&store, [put(&key("b"), "x", Expect::Absent)]).await;
    let mut third = super::writes(
        gone.iter()
            .map(|key| delete(key, Expect::Any))
            .chain([put(&key("c"), "x", Expect::Absent)]),
    );
    third.counts = vec![add("c", 1, None)];
    store.commit(third).await.unwrap();
    commit(&store, [put(&key("d1"), "x", Expect::Absent), put(&key("d2"), "x", Expect::Absent)]).await;
    for (after, most, expected, up_to) in [
        (0, 1, 3, 1),
        (0, 2, 3, 1),
        (0, 3, 3, 1),
        (0, 4, 4, 2),
        (0, 5, 8, 3),
        (0, 8, 8, 3),
        (0, 9, 10, 4),
        (0, 10, 10, 4),
        (0, 100, 10, 4),
        (1, 1, 1, 2),
        (2, 1, 4, 3),
        (3, 1, 2, 4),
        (3, 2, 2, 4),
    ] {
        let page = changes(&store, after, most).await;
        assert_eq!(
            (page.changes.len(), page.up_to),
            (expected, Revision(up_to)),
            "after {after}, at most {most}"
        );
    }
    // All of it in small steps is the same as all of it at once.
    let (mut after, mut steps) = (0, Vec::new());
    while after < 4 {
        let page = changes(&store, after, 1).await;
        assert!(page.up_to > Revision(after));
        after = page.up_to.0;
        steps.extend(page.changes);
    }
    assert_eq!(steps, changes(&store, 0, 100).await.changes);
}

pub async fn nothing_new_is_no_change(store: Arc<dyn Store>) {
    assert_eq!(
        changes(&store, 0, 1).await,
        Changes {
            changes: Vec::new(),
            up_to: Revision(0)
        }
    );
    commit(&store, [put(&key("a"), "x", Expect::Absent)]).await;
    commit(&store, [put(&key("b"), "x", Expect::Absent)]).await;
    assert_eq!(
        changes(&store, 2, 1).await,
        Changes {
            changes: Vec::new(),
            up_to: Revision(2)
        }
    );
    // The newest is complete even where the limit is just reached.
    assert_eq!(changes(&store, 1, 1).await.up_to, Revision(2));
    commit(&store, [delete(&key("never"), Expect::Any)]).await;
    assert_eq!(changes(&store, 1, 1).await.up_to, Revision(3));
}

pub async fn changed_returns_at_once_for_what_is_there(store: Arc<dyn Store>) {
    commit(&store, [put(&key("a"), "x", Expect::Absent)]).await;
    let newest = commit(&store, [put(&key("a"), "y", Expect::Any)]).await.revision;
    for after in [0, 1] {
        let found = store.changed(Revision(after)).await.unwrap();
        assert!(found > Revision(after) && found <= newest, "{found} after {after}");
    }
}

pub async fn changed_wakes_when_something_is_committed(store: Arc<dyn Store>) {
    for round in 1..=20 {
        let seen = revision(&store).await;
        let waiters = [(); 3].map(|()| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut newest = seen;
                while newest <= seen {
                    newest = store.changed(seen).await.unwrap();
                }
                newest
            })
        });
        // A batch that writes nothing is no reason to wake, one that does is.
        store.commit(crate::Batch::default()).await.unwrap();
        let written = commit(&store, [put(&key("a"), &round.to_string(), Expect::Any)]).await.revision;
        for waiter in waiters {
            let woken = tokio::time::timeout(Duration::from_secs(30), waiter).await;
            assert_eq!(woken.map(Result::unwrap).ok(), Some(written), "nobody was woken");
        }
    }
}
