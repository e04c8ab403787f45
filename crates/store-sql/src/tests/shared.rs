//! What both engines are tested for in the same words.

use super::fixture::{body, connect, delete, key, put};
use crate::SqlStore;
use futures::future::join_all;
use sqlx::{AssertSqlSafe, Executor, Row};
use std::num::NonZeroU32;
use store::{Batch, Change, CommitError, Count, CounterKey, Store, StoreError};

const MANY: NonZeroU32 = NonZeroU32::new(1000).unwrap();

/// A group that fails leaves nothing behind, and the next one goes on. `fail` and `mend` are statements.
pub async fn a_failed_group_changes_nothing(store: &SqlStore, url: &str, fail: &[&str], mend: &[&str]) {
    store.commit(put("a", "1")).await.unwrap();
    let mut operator = connect(url).await;
    for statement in fail {
        operator.execute(AssertSqlSafe((*statement).to_owned())).await.unwrap();
    }
    let counted = Batch {
        counts: vec![Count {
            key: CounterKey::new("c"),
            add: 1,
            at_most: None,
        }],
        ..put("b", "1")
    };
    let answers = join_all([store.commit(counted), store.commit(put("bad", "bad")), store.commit(delete("a"))]).await;
    for answer in answers {
        assert!(matches!(answer, Err(CommitError::Store(StoreError::Unavailable(_)))), "{answer:?}");
    }
    for statement in mend {
        operator.execute(AssertSqlSafe((*statement).to_owned())).await.unwrap();
    }
    assert_eq!(store.revision().await.unwrap().0, 1);
    assert_eq!((body(store, "a").await.as_deref(), body(store, "b").await), (Some("1"), None));
    assert!(store.counters().await.unwrap().is_empty());
    assert_eq!(store.commit(put("bad", "good again")).await.unwrap().revision.0, 2);
}

pub async fn deletions_are_forgotten_in_time(store: &SqlStore) {
    // Opened with 10 kept.
    for i in 0..5 {
        store.commit(put(format!("n{i}"), "x")).await.unwrap();
    }
    for i in 0..4 {
        store.commit(delete(format!("n{i}"))).await.unwrap();
    }
    let after = |revision| store.changes(domain::meta::Revision(revision), MANY);
    assert_eq!(after(0).await.unwrap().changes.len(), 5);
    for _ in 0..8 {
        store.commit(put("other", "x")).await.unwrap();
    }
    // Revision 17: what was deleted at 6 and 7 is forgotten, what was deleted at 8 and 9 is not.
    for old in 0..7 {
        assert!(
            matches!(after(old).await, Err(StoreError::Compacted(up_to)) if up_to.0 == 7),
            "{old}"
        );
    }
    let kept = after(7).await.unwrap();
    let deleted: Vec<_> = kept
        .changes
        .iter()
        .filter_map(|change| {
            if let Change::Deleted { key, .. } = change {
                Some(key)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(deleted, [&key("n2"), &key("n3")]);
    assert_eq!(kept.up_to.0, 17);
}

/// `columns` gives a table, a column and its type in each row.
pub async fn columns_are_text_or_bigint(url: &str, columns: &'static str) {
    let rows = connect(url).await.fetch_all(columns).await.unwrap();
    let mut tables = std::collections::BTreeSet::new();
    for row in &rows {
        let [table, column, kind] = [0, 1, 2].map(|i| row.try_get::<String, _>(i).unwrap());
        assert!(
            ["text", "bigint"].contains(&kind.to_lowercase().as_str()),
            "{table}.{column} is {kind}"
        );
        tables.insert(table);
    }
    assert_eq!(
        tables.into_iter().collect::<Vec<_>>(),
        ["counter", "lease", "meta", "object", "tombstone"]
    );
}

pub async fn a_closed_store_finishes_and_then_refuses(store: SqlStore) {
    let store = &store;
    let waiting = store.changed(domain::meta::Revision(1_000_000));
    let commits = join_all((0..100).map(|i| store.commit(put(format!("n{i}"), "x"))));
    let close = async {
        // After the commits were handed over.
        tokio::task::yield_now().await;
        store.close().await;
    };
    let (answers, (), waiting) = tokio::join!(commits, close, waiting);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(matches!(waiting, Err(StoreError::Unavailable(_))));
    let late = store.commit(put("late", "x")).await;
    assert!(matches!(late, Err(CommitError::Store(StoreError::Unavailable(_)))), "{late:?}");
    assert!(matches!(store.get(&key("n1")).await, Err(StoreError::Unavailable(_))));
    store.close().await;
}
