//! Leases and the fence.

use super::{key, put, revision, writes};
use crate::batch::{Batch, CommitError, Expect};
use crate::port::{HolderId, Lease, Store};
use domain::meta::Fence;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

const TTL: Duration = Duration::from_secs(10);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000_000 + second).unwrap()
}

async fn acquire(store: &Arc<dyn Store>, holder: &str, second: i64) -> Option<Lease> {
    store.acquire("fleet", &HolderId(holder.to_owned()), TTL, at(second)).await.unwrap()
}

pub async fn only_one_holder_has_a_lease(store: Arc<dyn Store>) {
    let lease = acquire(&store, "a", 0).await.unwrap();
    assert_eq!(
        lease,
        Lease {
            name: "fleet".to_owned(),
            holder: HolderId("a".to_owned()),
            epoch: 1,
            expires_at: at(10)
        }
    );
    assert_eq!(acquire(&store, "b", 0).await, None);
    assert_eq!(acquire(&store, "b", 9).await, None);
    let other = store
        .acquire("other", &HolderId("b".to_owned()), TTL, at(0))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(other.epoch, 1);
}

pub async fn a_renewal_keeps_the_epoch(store: Arc<dyn Store>) {
    acquire(&store, "a", 0).await.unwrap();
    let renewed = acquire(&store, "a", 8).await.unwrap();
    assert_eq!((renewed.epoch, renewed.expires_at), (1, at(18)));
    assert_eq!(acquire(&store, "b", 17).await, None);
    // Late, but nobody else came.
    let late = acquire(&store, "a", 100).await.unwrap();
    assert_eq!((late.epoch, late.expires_at), (1, at(110)));
}

pub async fn a_takeover_after_expiry_raises_the_epoch(store: Arc<dyn Store>) {
    acquire(&store, "a", 0).await.unwrap();
    let taken = acquire(&store, "b", 10).await.unwrap();
    assert_eq!((taken.epoch, taken.holder.0.as_str(), taken.expires_at), (2, "b", at(20)));
    assert_eq!(acquire(&store, "a", 11).await, None);
    assert_eq!(acquire(&store, "a", 20).await.unwrap().epoch, 3);
}

pub async fn a_released_lease_goes_to_the_next_with_a_higher_epoch(store: Arc<dyn Store>) {
    let lease = acquire(&store, "a", 0).await.unwrap();
    store.release(&lease).await.unwrap();
    let next = acquire(&store, "b", 1).await.unwrap();
    assert_eq!((next.epoch, next.expires_at), (2, at(11)));
    store.release(&next).await.unwrap();
    assert_eq!(
        acquire(&store, "b", 2).await.unwrap().epoch,
        3,
        "whoever gives a lease back comes back as a new holder"
    );
}

pub async fn only_the_holder_can_release(store: Arc<dyn Store>) {
    let old = acquire(&store, "a", 0).await.unwrap();
    store
        .release(&Lease {
            name: "unknown".to_owned(),
            ..old.clone()
        })
        .await
        .unwrap();
    let new = acquire(&store, "b", 10).await.unwrap();
    store.release(&old).await.unwrap();
    store
        .release(&Lease {
            epoch: new.epoch,
            ..old.clone()
        })
        .await
        .unwrap();
    store
        .release(&Lease {
            epoch: old.epoch,
            ..new.clone()
        })
        .await
        .unwrap();
    assert_eq!(acquire(&store, "a", 11).await, None);
    assert_eq!(acquire(&store, "b", 12).await.unwrap().epoch, 2);
}

pub async fn leases_do_not_touch_the_revision(store: Arc<dyn Store>) {
    super::commit(&store, [put(&key("a"), "x", Expect::Absent)]).await;
    let before = revision(&store).await;
    let lease = acquire(&store, "a", 0).await.unwrap();
    store.release(&lease).await.unwrap();
    assert_eq!(revision(&store).await, before);
}

pub async fn a_fence_lets_only_the_current_epoch_write(store: Arc<dyn Store>) {
    let write = |fence: Fence| {
        let store = Arc::clone(&store);
        async move {
            let batch = Batch {
                fence: Some(fence),
                ..writes([put(&key("a"), "x", Expect::Any)])
            };
            store.commit(batch).await.map(|committed| committed.revision)
        }
    };
    let fence = |epoch| Fence {
        lease: "fleet".to_owned(),
        epoch,
    };
    assert!(matches!(write(fence(0)).await, Err(CommitError::Fenced)));
    assert!(matches!(write(fence(1)).await, Err(CommitError::Fenced)));
    let first = acquire(&store, "a", 0).await.unwrap();
    write(first.fence()).await.unwrap();
    assert!(matches!(write(fence(0)).await, Err(CommitError::Fenced)));
    assert!(matches!(write(fence(2)).await, Err(CommitError::Fenced)));
    assert!(matches!(
        write(Fence {
            lease: "other".to_owned(),
            epoch: 1
        })
        .await,
        Err(CommitError::Fenced)
    ));
    // Time alone does not end an epoch, only the next holder does.
    let second = acquire(&store, "b", 50).await.unwrap();
    assert!(matches!(write(first.fence()).await, Err(CommitError::Fenced)));
    let last = write(second.fence()).await.unwrap();
    assert_eq!(revision(&store).await, last);
    // The fence is looked at before anything else.
    let batch = Batch {
        fence: Some(first.fence()),
        ..writes([put(&key("a"), "x", Expect::Absent)])
    };
    assert!(matches!(store.commit(batch).await, Err(CommitError::Fenced)));
}

pub async fn a_lease_comes_back_as_it_was_taken(store: Arc<dyn Store>) {
    let holder = HolderId("host-1/4711 \"ä\"".to_owned());
    for (ttl, now) in [
        (
            Duration::from_nanos(123_456_789),
            Timestamp::from_nanosecond(1_700_000_000_123_456_789).unwrap(),
        ),
        (Duration::ZERO, Timestamp::UNIX_EPOCH),
        (Duration::MAX, at(0)),
    ] {
        let name = format!("lease {ttl:?}");
        let taken = store.acquire(&name, &holder, ttl, now).await.unwrap().unwrap();
        assert_eq!(taken.expires_at, now.saturating_add(ttl).unwrap_or(Timestamp::MAX));
        // A stranger must wait to the very nanosecond.
        let stranger = HolderId("b".to_owned());
        if let Ok(before) = taken.expires_at.checked_sub(jiff::SignedDuration::from_nanos(1))
            && before >= now
        {
            assert_eq!(store.acquire(&name, &stranger, TTL, before).await.unwrap(), None);
        }
        assert_eq!(
            store.acquire(&name, &stranger, TTL, taken.expires_at).await.unwrap().unwrap().epoch,
            2
        );
    }
}
