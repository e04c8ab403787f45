//! Many at once.

use super::{add, body, commit, counts, delete, everything, key, limit, put, revision};
use crate::batch::{Batch, CommitError, Expect};
use crate::object::Kind;
use crate::port::{HolderId, Key, Store};
use domain::meta::Revision;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Runs a task per number on the runtime's threads and gives their results in order.
async fn at_once<F, T>(tasks: u64, make: impl Fn(u64, Arc<dyn Store>) -> F, store: &Arc<dyn Store>) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let running: Vec<_> = (0..tasks).map(|i| tokio::spawn(make(i, Arc::clone(store)))).collect();
    let mut results = Vec::new();
    for task in running {
        results.push(task.await.unwrap());
    }
    results
}

pub async fn of_concurrent_creations_one_wins(store: Arc<dyn Store>) {
    let create = |i: u64, store: Arc<dyn Store>| async move {
        let mut won = Vec::new();
        for name in 0..20 {
            match store
                .commit(super::writes([put(&key(format!("n{name}")), &i.to_string(), Expect::Absent)]))
                .await
            {
                Ok(_) => won.push(name),
                Err(CommitError::Conflict(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
            tokio::task::yield_now().await;
        }
        won
    };
    let won = at_once(16, create, &store).await;
    let mut names: Vec<_> = won.concat();
    names.sort_unstable();
    assert_eq!(names, (0..20).collect::<Vec<_>>(), "every key has exactly one creator");
    for (i, names) in won.iter().enumerate() {
        for name in names {
            assert_eq!(
                body(&store, &key(format!("n{name}"))).await,
                Some(i.to_string()),
                "the winner's text is there"
            );
        }
    }
    assert_eq!(revision(&store).await, Revision(20));
}

pub async fn of_concurrent_updates_none_is_lost(store: Arc<dyn Store>) {
    let shared = key("shared");
    commit(&store, [put(&shared, "0", Expect::Absent)]).await;
    let increment = |_, store: Arc<dyn Store>| async move {
        let shared = key("shared");
        for _ in 0..10 {
            loop {
                let record = store.get(&shared).await.unwrap().unwrap();
                let next = record.body.parse::<u64>().unwrap() + 1;
                match store
                    .commit(super::writes([put(&shared, &next.to_string(), Expect::At(record.revision))]))
                    .await
                {
                    Ok(_) => break,
                    Err(CommitError::Conflict(_)) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
    };
    at_once(8, increment, &store).await;
    assert_eq!(body(&store, &shared).await.as_deref(), Some("80"));
    assert_eq!(revision(&store).await, Revision(81));
}

pub async fn revisions_are_used_once_and_without_gaps(store: Arc<dyn Store>) {
    commit(&store, [put(&key("taken"), "x", Expect::Absent)]).await;
    let write = |i: u64, store: Arc<dyn Store>| async move {
        let mut got = Vec::new();
        for round in 0..15 {
            let own = key(format!("{i}-{round}"));
            got.push(
                commit(
                    &store,
                    [put(&own, "x", Expect::Absent), put(&key(format!("own-{i}")), "y", Expect::Any)],
                )
                .await
                .revision,
            );
            let refused = store.commit(super::writes([put(&key("taken"), "y", Expect::Absent)])).await;
            assert!(matches!(refused, Err(CommitError::Conflict(_))), "{refused:?}");
            let read = store
                .commit(super::writes([super::check(&own, Expect::At(got[round]))]))
                .await
                .unwrap();
            assert!(read.revision >= got[round]);
        }
        assert!(got.is_sorted(), "later commits of one task have higher revisions");
        got
    };
    let mut got = at_once(12, write, &store).await.concat();
    got.sort_unstable();
    assert_eq!(got, (2..=181).map(Revision).collect::<Vec<_>>());
    assert_eq!(revision(&store).await, Revision(181));
    let all = store.changes(Revision(0), limit(10_000)).await.unwrap();
    assert_eq!(all.changes.len(), 1 + 180 + 12);
}

pub async fn concurrent_counts_never_pass_the_bound(store: Arc<dyn Store>) {
    let count = |_, store: Arc<dyn Store>| async move {
        let mut sum = 0_i64;
        for round in 0..20_i64 {
            // Nobody takes away more than it added, so nothing is lost at zero and the sums can be compared.
            let step = if round % 3 == 2 && sum > 0 { -1 } else { 1 };
            match store.commit(counts([add("c", step, Some(40)), add("all", 1, None)])).await {
                Ok(committed) => {
                    assert!(committed.counters[0] <= 40);
                    sum += step;
                }
                Err(CommitError::Limit(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        sum
    };
    let sums: i64 = at_once(10, count, &store).await.into_iter().sum();
    let values = store.counters().await.unwrap();
    let value = |name: &str| values.iter().find(|(key, _)| key.0 == name).map_or(0, |(_, value)| *value);
    assert_eq!(value("c"), u64::try_from(sums).unwrap());
    assert!(value("c") <= 40);
}

pub async fn of_concurrent_claims_one_gets_the_lease(store: Arc<dyn Store>) {
    for round in 0..5_i64 {
        let claim = move |i: u64, store: Arc<dyn Store>| async move {
            let now = Timestamp::from_second(round * 100).unwrap();
            let holder = HolderId(format!("{round}-{i}"));
            store.acquire("fleet", &holder, Duration::from_secs(10), now).await.unwrap()
        };
        let got: Vec<_> = at_once(10, claim, &store).await.into_iter().flatten().collect();
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].epoch, u64::try_from(round + 1).unwrap());
    }
}

pub async fn a_reader_never_sees_half_a_batch(store: Arc<dyn Store>) {
    let (a, b) = (key("a"), Key::new(Kind::Node, "p2", "b"));
    let both = |text: &str| Batch {
        writes: vec![
            put(&a, text, Expect::Any),
            put(&b, text, Expect::Any),
            put(&key("x"), text, Expect::Any),
            delete(&key("x"), Expect::Any),
        ],
        counts: vec![add("c", 1, None)],
        fence: None,
    };
    store.commit(both("0")).await.unwrap();
    let reader = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut seen = BTreeSet::new();
            while !seen.contains("100") {
                let page = store.list(Kind::Node, None, limit(10)).await.unwrap();
                assert_eq!(page.records.len(), 2);
                assert_eq!(page.records[0].revision, page.records[1].revision);
                assert_eq!(page.records[0].body, page.records[1].body);
                let changes = store.changes(Revision(0), limit(10)).await.unwrap();
                assert_eq!(changes.changes.len(), 4);
                assert!(
                    changes.changes.iter().all(|change| change.revision() == changes.up_to),
                    "{changes:?}"
                );
                seen.insert(page.records[0].body.to_string());
            }
        })
    };
    for text in 1..=100 {
        store.commit(both(&text.to_string())).await.unwrap();
    }
    reader.await.unwrap();
    assert_eq!(everything(&store).await.len(), 2);
}
