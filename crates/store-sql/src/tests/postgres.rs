use super::fixture::{Place, body, connect, execute, options, put};
use super::shared;
use crate::{BackupError, OpenError, Options, SqlStore};
use async_trait::async_trait;
use clock::ManualClock;
use domain::meta::Revision;
use futures::future::join_all;
use jiff::Timestamp;
use proptest::prelude::*;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use store::conformance::{Fixture, model};
use store::{Batch, Changes, CommitError, Committed, CounterKey, HolderId, Key, Kind, Lease, MemStore, Page, Record, Store, StoreError};

async fn make(test: &str) -> Option<Fixture> {
    let place = Place::new(test).await?;
    let store = SqlStore::open(options(&place.url)).await.unwrap();
    Some(Fixture {
        store: Arc::new(store),
        keep: Box::new(place),
    })
}

store::conformance_tests!(make);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(15))]
    #[test]
    fn it_answers_like_the_reference(numbers in prop::collection::vec(any::<u64>(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            if let Some(fixture) = make("model").await {
                let reference: Arc<dyn Store> = Arc::new(MemStore::default());
                model::both_answer_alike(&numbers, &reference, &fixture.store).await;
            }
        });
    }
}

/// Two replicas that are used in turns must look like one store.
struct InTurns {
    replicas: [SqlStore; 2],
    next: AtomicUsize,
}

impl InTurns {
    fn one(&self) -> &SqlStore {
        &self.replicas[self.next.fetch_add(1, Ordering::Relaxed) % 2]
    }
}

#[async_trait]
impl Store for InTurns {
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.one().get(key).await
    }

    async fn list(&self, kind: Kind, after: Option<&Key>, limit: NonZeroU32) -> Result<Page, StoreError> {
        self.one().list(kind, after, limit).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        self.one().commit(batch).await
    }

    async fn changes(&self, after: Revision, limit: NonZeroU32) -> Result<Changes, StoreError> {
        self.one().changes(after, limit).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.one().revision().await
    }

    async fn changed(&self, after: Revision) -> Result<Revision, StoreError> {
        self.one().changed(after).await
    }

    async fn counters(&self) -> Result<Vec<(CounterKey, u64)>, StoreError> {
        self.one().counters().await
    }

    async fn acquire(&self, lease: &str, holder: &HolderId, ttl: Duration, now: Timestamp) -> Result<Option<Lease>, StoreError> {
        self.one().acquire(lease, holder, ttl, now).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.one().release(lease).await
    }
}

mod replicas {
    use super::{AtomicUsize, Fixture, InTurns, Place, SqlStore, options};
    use std::sync::Arc;

    async fn make(test: &str) -> Option<Fixture> {
        let place = Place::new(&format!("two_{test}")).await?;
        // Both at once: neither finds the tables made.
        let (one, two) = tokio::join!(SqlStore::open(options(&place.url)), SqlStore::open(options(&place.url)));
        let store = InTurns {
            replicas: [one.unwrap(), two.unwrap()],
            next: AtomicUsize::new(0),
        };
        Some(Fixture {
            store: Arc::new(store),
            keep: Box::new(place),
        })
    }

    store::conformance_tests!(make);
}

/// A database, and options whose clock stands still until it is moved.
async fn still(test: &str) -> Option<(Place, ManualClock, Options)> {
    let place = Place::alone(test).await?;
    let clock = ManualClock::starting_at(Timestamp::UNIX_EPOCH);
    let options = Options::new(&place.url, Arc::new(clock.clone()));
    Some((place, clock, options))
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_drop_without_close() {
    let Some(place) = Place::new("drop").await else { return };
    let store = SqlStore::open(options(&place.url)).await.unwrap();
    let answers = join_all((0..50).map(|i| store.commit(put(format!("{i}"), "x")))).await;
    assert!(answers.iter().all(Result::is_ok));
    drop(store);
    let store = SqlStore::open(options(&place.url)).await.unwrap();
    assert_eq!(store.revision().await.unwrap().0, 50);
    assert_eq!(body(&store, "49").await.as_deref(), Some("x"));
}

#[tokio::test]
async fn a_notification_tells_of_another_replicas_commit() {
    let Some((_place, _clock, options)) = still("notification").await else {
        return;
    };
    let (one, two) = (
        SqlStore::open(options.clone()).await.unwrap(),
        SqlStore::open(options).await.unwrap(),
    );
    // The listener may not be there yet for the first ones, and nothing is polled while the clock stands still.
    let heard = two.changed(Revision(0));
    tokio::pin!(heard);
    let mut last = Revision(0);
    let heard = loop {
        last = one.commit(put("a", &last.to_string())).await.unwrap().revision;
        tokio::select! {
            biased;
            heard = &mut heard => break heard.unwrap(),
            () = tokio::task::yield_now() => {}
        }
    };
    assert!(heard > Revision(0) && heard <= last);
}

#[tokio::test]
async fn polling_finds_what_no_notification_tells_of() {
    let Some((place, clock, options)) = still("polling").await else {
        return;
    };
    let store = SqlStore::open(options).await.unwrap();
    execute(&place.url, "UPDATE meta SET revision = 7").await;
    let found = store.changed(Revision(0));
    tokio::pin!(found);
    assert!(futures::poll!(&mut found).is_pending());
    // The poller may begin to wait only now.
    let found = loop {
        clock.advance(Duration::from_millis(500));
        tokio::select! {
            biased;
            found = &mut found => break found.unwrap(),
            // Its question takes about as long as this one, and is not to look as if it took for ever.
            () = execute(&place.url, "SELECT 1") => {}
        }
    };
    assert_eq!(found, Revision(7));
}

#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let Some(place) = Place::new("lost").await else { return };
    let store = SqlStore::open(options(&place.url)).await.unwrap();
    for round in 0..5_u64 {
        assert_eq!(store.commit(put("a", &round.to_string())).await.unwrap().revision.0, round + 1);
        place.disconnect_all().await;
    }
    assert_eq!(body(&store, "a").await.as_deref(), Some("4"));
}

#[tokio::test]
async fn a_connection_that_breaks_at_the_commit_leaves_the_outcome_open() {
    let Some((place, _clock, options)) = still("at_commit").await else {
        return;
    };
    let store = SqlStore::open(options).await.unwrap();
    store.commit(put("a", "1")).await.unwrap();
    let mut operator = connect(&place.url).await;
    for statement in [
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$",
        "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON object DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()",
    ] {
        sqlx::Executor::execute(&mut operator, statement).await.unwrap();
    }
    let answers = join_all([store.commit(put("b", "1")), store.commit(put("c", "1"))]).await;
    for answer in answers {
        assert!(
            matches!(&answer, Err(CommitError::Store(error)) if error.is_ambiguous()),
            "{answer:?}"
        );
    }
    sqlx::Executor::execute(&mut operator, "DROP TRIGGER at_commit ON object")
        .await
        .unwrap();
    // Here it had not happened, and the writer goes on without a gap.
    assert_eq!(body(&store, "b").await, None);
    assert_eq!(store.commit(put("b", "2")).await.unwrap().revision.0, 2);
}

#[tokio::test]
async fn a_commit_that_happened_without_an_answer_wakes_who_waits() {
    let Some((place, _clock, options)) = still("no_answer").await else {
        return;
    };
    let store = SqlStore::open(options).await.unwrap();
    // The outcome is unknown to the caller, but somebody else moved the revision: the writer looks again, and no
    // polling helps while the clock stands still.
    for statement in [
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$",
        "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON object DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()",
        "UPDATE meta SET revision = 5",
    ] {
        execute(&place.url, statement).await;
    }
    let (answer, newest) = tokio::join!(store.commit(put("b", "1")), store.changed(Revision(0)));
    assert!(
        matches!(&answer, Err(CommitError::Store(error)) if error.is_ambiguous()),
        "{answer:?}"
    );
    assert_eq!(newest.unwrap(), Revision(5));
}

#[tokio::test]
async fn a_writer_that_waits_too_long_gives_up_and_goes_on() {
    let Some((place, clock, options)) = still("patience").await else {
        return;
    };
    let store = SqlStore::open(options).await.unwrap();
    // Somebody holds the turn.
    let mut holder = connect(&place.url).await;
    let turn = sqlx::Connection::begin(&mut holder).await.unwrap();
    let mut turn = turn;
    sqlx::Executor::execute(&mut *turn, "UPDATE meta SET revision = revision WHERE id = 1")
        .await
        .unwrap();
    let commit = store.commit(put("a", "1"));
    tokio::pin!(commit);
    // Twice, since the first failure may be that of an old connection.
    let answer = loop {
        clock.advance(Duration::from_secs(31));
        tokio::select! {
            biased;
            answer = &mut commit => break answer,
            () = tokio::task::yield_now() => {}
        }
    };
    assert!(matches!(answer, Err(CommitError::Store(StoreError::Unavailable(_)))), "{answer:?}");
    turn.rollback().await.unwrap();
    assert_eq!(store.commit(put("a", "2")).await.unwrap().revision.0, 1);
}

#[tokio::test]
async fn a_failed_group_changes_nothing() {
    let Some(place) = Place::new("failed_group").await else { return };
    let store = SqlStore::open(options(&place.url)).await.unwrap();
    let fail = [
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'ordered'; END $$",
        "CREATE TRIGGER fail BEFORE INSERT ON object FOR EACH ROW WHEN (NEW.body = 'bad') EXECUTE FUNCTION fail()",
    ];
    shared::a_failed_group_changes_nothing(&store, &place.url, &fail, &["DROP TRIGGER fail ON object"]).await;
}

#[tokio::test]
async fn deletions_are_forgotten_in_time() {
    let Some(place) = Place::new("forgotten").await else { return };
    let store = SqlStore::open(Options {
        kept_deletions: 10,
        ..options(&place.url)
    })
    .await
    .unwrap();
    shared::deletions_are_forgotten_in_time(&store).await;
}

#[tokio::test]
async fn columns_are_text_or_bigint() {
    let Some(place) = Place::new("columns").await else { return };
    let _store = SqlStore::open(options(&place.url)).await.unwrap();
    let columns = "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT), CAST(data_type AS TEXT) FROM information_schema.columns \
                   WHERE table_schema = current_schema() AND table_name <> '_sqlx_migrations'";
    shared::columns_are_text_or_bigint(&place.url, columns).await;
}

#[tokio::test]
async fn a_closed_store_finishes_and_then_refuses() {
    let Some(place) = Place::new("closed").await else { return };
    let store = SqlStore::open(options(&place.url)).await.unwrap();
    shared::a_closed_store_finishes_and_then_refuses(store).await;
    let again = SqlStore::open(options(&place.url)).await.unwrap();
    assert_eq!(again.revision().await.unwrap().0, 100);
    assert!(matches!(again.backup_to("/nowhere".as_ref()).await, Err(BackupError::Unsupported)));
}

#[tokio::test]
async fn commits_are_on_disk_even_where_the_server_is_set_up_otherwise() {
    let Some(place) = Place::new("durable").await else { return };
    let lax = place.url.replace("options=", "options=-csynchronous_commit%3Doff%20");
    let store = SqlStore::open(options(&lax)).await.unwrap();
    // Written down by the writer's own session.
    for statement in [
        "CREATE TABLE seen (setting TEXT)",
        "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$",
        "CREATE TRIGGER see AFTER INSERT ON object FOR EACH ROW EXECUTE FUNCTION see()",
    ] {
        execute(&place.url, statement).await;
    }
    store.commit(put("a", "x")).await.unwrap();
    let row = sqlx::Executor::fetch_one(&mut connect(&place.url).await, "SELECT setting FROM seen")
        .await
        .unwrap();
    assert_eq!(sqlx::Row::try_get::<String, _>(&row, 0).unwrap(), "on");
}

/// Needs no server.
#[tokio::test]
async fn no_message_shows_the_password() {
    let urls = [
        "postgres://user:s3cret@127.0.0.1:1/db",
        "postgres://user:s3cret@127.0.0.1:port/db",
        "postgres://user:s3cret@[bad/db",
        "postgres://user:s3cret@127.0.0.1:1/db?sslmode=s3cret",
        "postgres://user:s3cret@127.0.0.1:1/db?sslmode=require",
        "mysql://user:s3cret@127.0.0.1:1/db",
    ];
    for url in urls {
        let options = options(url);
        assert!(!format!("{options:?}").contains("s3cret"));
        let error = SqlStore::open(options).await.err().unwrap();
        assert!(matches!(error, OpenError::Url(_) | OpenError::Unavailable(_)), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
}
