//! Bounded counters.

use super::{add, conflict, counts, everything, key, put, revision};
use crate::batch::{Batch, CommitError, CounterKey, Expect};
use crate::port::Store;
use domain::meta::Revision;
use std::sync::Arc;

async fn values(store: &Arc<dyn Store>) -> Vec<(CounterKey, u64)> {
    store.counters().await.unwrap()
}

async fn refused(store: &Arc<dyn Store>, batch: Batch, on: &str) {
    let before = (values(store).await, revision(store).await);
    let error = store.commit(batch).await.unwrap_err();
    assert!(
        matches!(&error, CommitError::Limit(key) if *key == CounterKey::new(on)),
        "{error:?}"
    );
    assert_eq!((values(store).await, revision(store).await), before);
}

pub async fn counters_add_up(store: Arc<dyn Store>) {
    let first = store.commit(counts([add("pools", 3, None), add("nodes", 10, None)])).await.unwrap();
    assert_eq!((first.revision, first.counters), (Revision(1), vec![3, 10]));
    let second = store.commit(counts([add("nodes", -4, None), add("pools", 1, None)])).await.unwrap();
    assert_eq!((second.revision, second.counters), (Revision(2), vec![6, 4]));
    assert_eq!(values(&store).await, [(CounterKey::new("nodes"), 6), (CounterKey::new("pools"), 4)]);
}

pub async fn a_counter_keeps_its_bound(store: Arc<dyn Store>) {
    refused(&store, counts([add("c", 6, Some(5))]), "c").await;
    store.commit(counts([add("c", 4, Some(5))])).await.unwrap();
    refused(&store, counts([add("c", 2, Some(5))]), "c").await;
    store.commit(counts([add("c", 1, Some(5))])).await.unwrap();
    refused(&store, counts([add("c", 1, Some(5))]), "c").await;
    // The bound belongs to the request, not to the counter.
    assert_eq!(store.commit(counts([add("c", 1, Some(6))])).await.unwrap().counters, [6]);
    assert_eq!(store.commit(counts([add("c", 1, None)])).await.unwrap().counters, [7]);
}

pub async fn taking_away_is_always_allowed_and_stops_at_zero(store: Arc<dyn Store>) {
    store.commit(counts([add("c", 5, None)])).await.unwrap();
    assert_eq!(store.commit(counts([add("c", -1, Some(2))])).await.unwrap().counters, [4]);
    assert_eq!(store.commit(counts([add("c", -9, Some(2))])).await.unwrap().counters, [0]);
    assert_eq!(store.commit(counts([add("d", -1, None)])).await.unwrap().counters, [0]);
    assert_eq!(store.commit(counts([add("c", 1, Some(2))])).await.unwrap().counters, [1]);
    assert_eq!(values(&store).await, [(CounterKey::new("c"), 1), (CounterKey::new("d"), 0)]);
}

pub async fn several_counts_of_one_batch_add_up(store: Arc<dyn Store>) {
    let committed = store
        .commit(counts([
            add("c", 3, None),
            add("d", 1, None),
            add("c", -1, None),
            add("c", 2, Some(4)),
        ]))
        .await
        .unwrap();
    assert_eq!(committed.counters, [3, 1, 2, 4]);
    assert_eq!(values(&store).await, [(CounterKey::new("c"), 4), (CounterKey::new("d"), 1)]);
    refused(&store, counts([add("c", 1, Some(5)), add("c", 1, Some(5))]), "c").await;
    // The end alone would be within the bound, but each step is checked.
    refused(&store, counts([add("c", 5, Some(5)), add("c", -5, Some(5))]), "c").await;
}

pub async fn counts_do_not_conflict_with_each_other(store: Arc<dyn Store>) {
    let all = (0..40).map(|i| {
        let store = Arc::clone(&store);
        async move {
            let batch = Batch {
                writes: vec![put(&key(format!("n{i}")), "x", Expect::Absent)],
                counts: vec![add("c", 2, None)],
                fence: None,
            };
            store.commit(batch).await.unwrap().counters
        }
    });
    let mut seen: Vec<_> = futures::future::join_all(all).await.concat();
    seen.sort_unstable();
    assert_eq!(seen, (1..=40).map(|i| 2 * i).collect::<Vec<_>>());
}

pub async fn a_refused_count_undoes_the_batch(store: Arc<dyn Store>) {
    let batch = |expect| Batch {
        writes: vec![put(&key("a"), "x", expect)],
        counts: vec![add("good", 1, None), add("full", 1, Some(0))],
        fence: None,
    };
    refused(&store, batch(Expect::Absent), "full").await;
    assert!(everything(&store).await.is_empty());
    // Expectations are looked at before counters.
    let error = store.commit(batch(Expect::At(Revision(9)))).await.unwrap_err();
    assert!(matches!(error, CommitError::Conflict(_)), "{error:?}");
    // And a conflict undoes the counts.
    store.commit(counts([add("good", 1, None)])).await.unwrap();
    conflict(&store, [put(&key("a"), "x", Expect::At(Revision(9)))], &key("a")).await;
    assert_eq!(values(&store).await, [(CounterKey::new("good"), 1)]);
}

pub async fn a_count_of_zero_only_checks(store: Arc<dyn Store>) {
    assert_eq!(store.commit(counts([add("c", 0, Some(0))])).await.unwrap().counters, [0]);
    assert_eq!(values(&store).await, []);
    store.commit(counts([add("c", 5, None)])).await.unwrap();
    refused(&store, counts([add("c", 0, Some(4)), add("d", 1, None)]), "c").await;
    let committed = store.commit(counts([add("c", 0, Some(5)), add("d", 1, None)])).await.unwrap();
    assert_eq!(committed.counters, [5, 1]);
    let changes = store.changes(Revision(1), super::limit(10)).await.unwrap();
    assert_eq!(
        changes.changes.len(),
        1,
        "a counter that was only checked has not changed: {changes:?}"
    );
}

pub async fn counters_hold_any_number(store: Arc<dyn Store>) {
    assert_eq!(
        store.commit(counts([add("c", i64::MAX, None)])).await.unwrap().counters,
        [i64::MAX as u64]
    );
    let most = store
        .commit(counts([add("c", i64::MAX, None), add("c", i64::MAX, None)]))
        .await
        .unwrap();
    assert_eq!(most.counters, [u64::MAX - 1, u64::MAX]);
    assert_eq!(values(&store).await, [(CounterKey::new("c"), u64::MAX)]);
    assert_eq!(
        store.commit(counts([add("c", i64::MIN, None)])).await.unwrap().counters,
        [i64::MAX as u64]
    );
    assert_eq!(store.commit(counts([add("c", i64::MIN, Some(0))])).await.unwrap().counters, [0]);
}
