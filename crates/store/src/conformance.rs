//! What every [`Store`] must do, as checks that each implementation's tests run by name.
//!
//! [`crate::conformance_tests!`] makes one test of each check. The checks panic where a store breaks its promise, so
//! this module is for tests only. [`model`] compares a store with [`crate::MemStore`] step by step.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed check of a test suite is a panic")]

pub mod batches;
pub mod changes;
pub mod concurrency;
pub mod counters;
pub mod leases;
pub mod model;
pub mod records;

use crate::batch::{Batch, CommitError, Committed, Count, CounterKey, Expect, Write};
use crate::object::Kind;
use crate::port::{Key, Record, Store};
use domain::meta::Revision;
use std::any::Any;
use std::num::NonZeroU32;
use std::sync::Arc;

/// An empty store, and what must live as long as the test that uses it, such as its directory.
pub struct Fixture {
    pub store: Arc<dyn Store>,
    pub keep: Box<dyn Any + Send>,
}

/// Makes a test of every check. `$make` is an async function from the name of a test to a [`conformance::Fixture`] with
/// a store of its own, or to an `Option` of one: nothing is tested where it gives none.
///
/// [`conformance::Fixture`]: crate::conformance::Fixture
#[macro_export]
macro_rules! conformance_tests {
    ($make:path) => {
        $crate::conformance_tests! { @each $make;
            records {
                what_was_never_put_is_not_there,
                what_was_put_is_read_back,
                every_text_survives,
                a_list_has_one_kind_in_key_order,
                a_list_is_read_in_pages,
                a_list_starts_after_any_key,
            }
            batches {
                a_put_is_guarded_by_its_expectation,
                a_delete_is_guarded_by_its_expectation,
                a_check_is_guarded_by_its_expectation,
                a_batch_happens_as_a_whole_or_not_at_all,
                a_batch_has_one_revision_and_revisions_have_no_gaps,
                a_batch_that_writes_nothing_gets_the_current_revision,
                expectations_are_about_the_state_before_the_batch,
                writes_to_one_key_happen_in_order,
                a_large_batch_is_one_batch,
                text_that_cannot_be_kept_is_refused,
            }
            counters {
                counters_add_up,
                a_counter_keeps_its_bound,
                taking_away_is_always_allowed_and_stops_at_zero,
                several_counts_of_one_batch_add_up,
                counts_do_not_conflict_with_each_other,
                a_refused_count_undoes_the_batch,
                a_count_of_zero_only_checks,
                counters_hold_any_number,
            }
            leases {
                only_one_holder_has_a_lease,
                a_renewal_keeps_the_epoch,
                a_takeover_after_expiry_raises_the_epoch,
                a_released_lease_goes_to_the_next_with_a_higher_epoch,
                only_the_holder_can_release,
                leases_do_not_touch_the_revision,
                a_fence_lets_only_the_current_epoch_write,
                a_lease_comes_back_as_it_was_taken,
            }
            changes {
                changes_give_the_last_state_once,
                changes_include_deletions_and_counters,
                changes_come_in_order_of_revision,
                what_came_back_is_not_reported_as_deleted,
                a_limit_never_splits_a_revision,
                nothing_new_is_no_change,
                changed_returns_at_once_for_what_is_there,
                changed_wakes_when_something_is_committed,
            }
            concurrency {
                of_concurrent_creations_one_wins,
                of_concurrent_updates_none_is_lost,
                revisions_are_used_once_and_without_gaps,
                concurrent_counts_never_pass_the_bound,
                of_concurrent_claims_one_gets_the_lease,
                a_reader_never_sees_half_a_batch,
            }
        }
    };
    (@each $make:path; $($module:ident { $($check:ident),* $(,)? })*) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let fixture: Option<$crate::conformance::Fixture> = $make(stringify!($check)).await.into();
                if let Some(fixture) = fixture {
                    $crate::conformance::$module::$check(std::sync::Arc::clone(&fixture.store)).await;
                }
            }
        )*)*
    };
}

fn key(name: impl AsRef<str>) -> Key {
    Key::new(Kind::Node, "p1", name)
}

fn put(key: &Key, body: &str, expect: Expect) -> Write {
    Write::Put {
        key: key.clone(),
        body: Arc::from(body),
        expect,
    }
}

fn delete(key: &Key, expect: Expect) -> Write {
    Write::Delete { key: key.clone(), expect }
}

fn check(key: &Key, expect: Expect) -> Write {
    Write::Check { key: key.clone(), expect }
}

fn writes(writes: impl IntoIterator<Item = Write>) -> Batch {
    Batch {
        writes: writes.into_iter().collect(),
        ..Batch::default()
    }
}

fn counts(counts: impl IntoIterator<Item = Count>) -> Batch {
    Batch {
        counts: counts.into_iter().collect(),
        ..Batch::default()
    }
}

fn add(name: &str, add: i64, at_most: Option<u64>) -> Count {
    Count {
        key: CounterKey::new(name),
        add,
        at_most,
    }
}

fn limit(limit: u32) -> NonZeroU32 {
    NonZeroU32::new(limit).unwrap()
}

/// Commits writes that must succeed.
async fn commit(store: &Arc<dyn Store>, all: impl IntoIterator<Item = Write>) -> Committed {
    store.commit(writes(all)).await.unwrap()
}

/// Commits writes that must be refused because of this key.
async fn conflict(store: &Arc<dyn Store>, all: impl IntoIterator<Item = Write>, on: &Key) {
    match store.commit(writes(all)).await {
        Err(CommitError::Conflict(key)) => assert_eq!(key, *on),
        other => panic!("expected a conflict on {on}, got {other:?}"),
    }
}

async fn body(store: &Arc<dyn Store>, key: &Key) -> Option<String> {
    store.get(key).await.unwrap().map(|record| record.body.to_string())
}

async fn revision(store: &Arc<dyn Store>) -> Revision {
    store.revision().await.unwrap()
}

async fn everything(store: &Arc<dyn Store>) -> Vec<Record> {
    let mut all = Vec::new();
    for kind in Kind::ALL {
        let page = store.list(*kind, None, limit(u32::MAX)).await.unwrap();
        assert!(!page.has_more);
        all.extend(page.records);
    }
    all
}
