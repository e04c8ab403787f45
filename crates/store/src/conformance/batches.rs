//! Expectations, and all or nothing.

use super::{add, body, check, commit, conflict, counts, delete, everything, key, put, revision, writes};
use crate::batch::{Batch, CommitError, Expect};
use crate::port::{Key, Store, StoreError};
use domain::meta::Revision;
use std::sync::Arc;

/// One key that is there at `at` and one that is not, and which expectations fail for each.
async fn guarded(store: &Arc<dyn Store>) -> (Key, Key, Revision, Revision) {
    let (there, gone) = (key("there"), key("gone"));
    let first = commit(store, [put(&there, "0", Expect::Absent)]).await.revision;
    let at = commit(store, [put(&there, "1", Expect::At(first))]).await.revision;
    (there, gone, first, at)
}

pub async fn a_put_is_guarded_by_its_expectation(store: Arc<dyn Store>) {
    let (there, gone, old, at) = guarded(&store).await;
    conflict(&store, [put(&there, "x", Expect::Absent)], &there).await;
    conflict(&store, [put(&there, "x", Expect::At(old))], &there).await;
    conflict(&store, [put(&there, "x", Expect::At(Revision(at.0 + 1)))], &there).await;
    conflict(&store, [put(&gone, "x", Expect::At(at))], &gone).await;
    conflict(&store, [put(&gone, "x", Expect::At(Revision(0)))], &gone).await;
    assert_eq!(revision(&store).await, at);
    assert_eq!(body(&store, &there).await.as_deref(), Some("1"));
    commit(&store, [put(&there, "2", Expect::At(at)), put(&gone, "3", Expect::Absent)]).await;
    commit(&store, [put(&there, "4", Expect::Any), put(&key("new"), "5", Expect::Any)]).await;
    assert_eq!(body(&store, &there).await.as_deref(), Some("4"));
    assert_eq!(body(&store, &gone).await.as_deref(), Some("3"));
    assert_eq!(body(&store, &key("new")).await.as_deref(), Some("5"));
}

pub async fn a_delete_is_guarded_by_its_expectation(store: Arc<dyn Store>) {
    let (there, gone, old, at) = guarded(&store).await;
    conflict(&store, [delete(&there, Expect::At(old))], &there).await;
    conflict(&store, [delete(&there, Expect::Absent)], &there).await;
    conflict(&store, [delete(&gone, Expect::At(at))], &gone).await;
    assert_eq!(body(&store, &there).await.as_deref(), Some("1"));
    commit(&store, [delete(&there, Expect::At(at))]).await;
    assert_eq!(body(&store, &there).await, None);
    // What is not there can be deleted where nothing else is expected.
    commit(&store, [delete(&there, Expect::Any), delete(&gone, Expect::Absent)]).await;
    conflict(&store, [delete(&there, Expect::At(at))], &there).await;
    // A deleted object leaves nothing behind that would stand in the way.
    let again = commit(&store, [put(&there, "2", Expect::Absent)]).await;
    commit(&store, [delete(&there, Expect::At(again.revision))]).await;
    assert!(everything(&store).await.is_empty());
}

pub async fn a_check_is_guarded_by_its_expectation(store: Arc<dyn Store>) {
    let (there, gone, old, at) = guarded(&store).await;
    let new = key("new");
    for (bad, on) in [
        (check(&there, Expect::Absent), &there),
        (check(&there, Expect::At(old)), &there),
        (check(&gone, Expect::At(at)), &gone),
    ] {
        conflict(&store, [put(&new, "x", Expect::Any), bad.clone()], on).await;
        conflict(&store, [bad], on).await;
    }
    assert_eq!(body(&store, &new).await, None);
    let good = [
        check(&there, Expect::At(at)),
        check(&gone, Expect::Absent),
        check(&there, Expect::Any),
        check(&gone, Expect::Any),
    ];
    let committed = commit(&store, good.into_iter().chain([put(&new, "y", Expect::Absent)])).await;
    assert_eq!(committed.revision.0, at.0 + 1);
    // What was only checked keeps its revision.
    assert_eq!(store.get(&there).await.unwrap().unwrap().revision, at);
}

pub async fn a_batch_happens_as_a_whole_or_not_at_all(store: Arc<dyn Store>) {
    let kept = key("kept");
    let at = commit(&store, [put(&kept, "1", Expect::Absent)]).await.revision;
    let before = everything(&store).await;
    let bad = Batch {
        writes: vec![
            put(&key("a"), "x", Expect::Absent),
            delete(&kept, Expect::At(at)),
            put(&key("b"), "x", Expect::At(at)),
            put(&key("c"), "x", Expect::Any),
        ],
        counts: vec![add("c", 1, None)],
        fence: None,
    };
    assert!(matches!(store.commit(bad).await, Err(CommitError::Conflict(on)) if on == key("b")));
    assert_eq!(everything(&store).await, before);
    assert_eq!(revision(&store).await, at);
    assert!(store.counters().await.unwrap().is_empty());
}

pub async fn a_batch_has_one_revision_and_revisions_have_no_gaps(store: Arc<dyn Store>) {
    for round in 1..=5_u64 {
        let keys: Vec<_> = (0..3).map(|i| key(format!("{round}-{i}"))).collect();
        let committed = commit(&store, keys.iter().map(|key| put(key, "x", Expect::Absent))).await;
        assert_eq!(committed.revision, Revision(round));
        for key in &keys {
            assert_eq!(store.get(key).await.unwrap().unwrap().revision, committed.revision);
        }
        conflict(&store, [put(&keys[0], "y", Expect::Absent)], &keys[0]).await;
        assert_eq!(revision(&store).await, committed.revision);
    }
}

pub async fn a_batch_that_writes_nothing_gets_the_current_revision(store: Arc<dyn Store>) {
    let a = key("a");
    assert_eq!(store.commit(Batch::default()).await.unwrap().revision, Revision(0));
    let at = commit(&store, [put(&a, "x", Expect::Absent)]).await.revision;
    for nothing in [
        Batch::default(),
        writes([check(&a, Expect::At(at))]),
        counts([add("c", 0, Some(5))]),
    ] {
        assert_eq!(store.commit(nothing).await.unwrap().revision, at);
        assert_eq!(revision(&store).await, at);
    }
    // Whether a batch writes can be told from the batch alone: this one does, though nothing is left of it.
    let committed = commit(&store, [delete(&key("gone"), Expect::Any)]).await;
    assert_eq!(committed.revision, Revision(at.0 + 1));
    let changes = store.changes(at, super::limit(10)).await.unwrap();
    assert_eq!((changes.changes, changes.up_to), (Vec::new(), committed.revision));
}

pub async fn expectations_are_about_the_state_before_the_batch(store: Arc<dyn Store>) {
    let (a, b) = (key("a"), key("b"));
    let at = commit(&store, [put(&a, "1", Expect::Absent)]).await.revision;
    commit(
        &store,
        [delete(&a, Expect::At(at)), put(&a, "2", Expect::At(at)), check(&a, Expect::At(at))],
    )
    .await;
    assert_eq!(body(&store, &a).await.as_deref(), Some("2"));
    conflict(&store, [delete(&a, Expect::Any), put(&a, "3", Expect::Absent)], &a).await;
    commit(&store, [put(&b, "1", Expect::Absent), put(&b, "2", Expect::Absent)]).await;
    assert_eq!(body(&store, &b).await.as_deref(), Some("2"));
}

pub async fn writes_to_one_key_happen_in_order(store: Arc<dyn Store>) {
    let (a, b) = (key("a"), key("b"));
    let committed = commit(
        &store,
        [
            put(&a, "1", Expect::Any),
            put(&a, "2", Expect::Any),
            put(&b, "1", Expect::Any),
            delete(&b, Expect::Any),
        ],
    )
    .await;
    let record = store.get(&a).await.unwrap().unwrap();
    assert_eq!((&*record.body, record.revision), ("2", committed.revision));
    assert_eq!(store.get(&b).await.unwrap(), None);
    commit(
        &store,
        [
            delete(&a, Expect::Any),
            put(&a, "3", Expect::Any),
            delete(&a, Expect::Any),
            put(&a, "4", Expect::Any),
        ],
    )
    .await;
    assert_eq!(body(&store, &a).await.as_deref(), Some("4"));
}

pub async fn a_large_batch_is_one_batch(store: Arc<dyn Store>) {
    let keys: Vec<_> = (0..2_500).map(|i| key(format!("n{i:05}"))).collect();
    let committed = commit(&store, keys.iter().map(|key| put(key, &key.name, Expect::Absent))).await;
    assert_eq!(committed.revision, Revision(1));
    let all = everything(&store).await;
    assert_eq!(all.len(), keys.len());
    assert!(
        all.iter()
            .zip(&keys)
            .all(|(record, key)| record.key == *key && *record.body == *key.name && record.revision == Revision(1))
    );
    let last = keys.last().unwrap();
    conflict(
        &store,
        keys.iter()
            .map(|key| delete(key, Expect::At(Revision(1))))
            .chain([put(last, "x", Expect::Absent)]),
        last,
    )
    .await;
    commit(&store, keys.iter().map(|key| delete(key, Expect::At(Revision(1))))).await;
    assert!(everything(&store).await.is_empty());
}

pub async fn text_that_cannot_be_kept_is_refused(store: Arc<dyn Store>) {
    let good = store.commit(writes([put(&key("good"), "x", Expect::Absent)]));
    let bad = [
        writes([put(&key("a\0"), "x", Expect::Any)]),
        writes([put(&key("a"), "\0", Expect::Any)]),
        writes([delete(&Key::new(crate::Kind::Pool, "\0", "x"), Expect::Any)]),
        counts([add("\0", 1, None)]),
    ];
    for bad in bad {
        assert!(matches!(store.commit(bad).await, Err(CommitError::Store(StoreError::Corrupt(_)))));
    }
    assert_eq!(good.await.unwrap().revision, Revision(1));
    assert_eq!(everything(&store).await.len(), 1);
}
