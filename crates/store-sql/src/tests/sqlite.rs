use super::fixture::{body, connect, delete, execute, key, options, put, reopen, sqlite_url};
use super::shared;
use crate::engine::Target;
use crate::{BackupError, OpenError, Options, SqlStore};
use futures::future::join_all;
use proptest::prelude::*;
use sqlx::{Executor, Row};
use std::sync::Arc;
use store::conformance::{Fixture, model};
use store::{MemStore, Store};
use tempfile::TempDir;

async fn make(_test: &str) -> Fixture {
    let directory = TempDir::new().unwrap();
    let store = SqlStore::open(options(&sqlite_url(directory.path()))).await.unwrap();
    Fixture {
        store: Arc::new(store),
        keep: Box::new(directory),
    }
}

store::conformance_tests!(make);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn it_answers_like_the_reference(numbers in prop::collection::vec(any::<u64>(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = make("model").await;
            let reference: Arc<dyn Store> = Arc::new(MemStore::default());
            model::both_answer_alike(&numbers, &reference, &fixture.store).await;
        });
    }
}

async fn open() -> (TempDir, Options, SqlStore) {
    let directory = TempDir::new().unwrap();
    let options = options(&sqlite_url(directory.path()));
    let store = SqlStore::open(options.clone()).await.unwrap();
    (directory, options, store)
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_drop_without_close() {
    let (_directory, options, mut store) = open().await;
    for round in 0..5 {
        let answers = join_all((0..50).map(|i| store.commit(put(format!("{round}-{i}"), "x")))).await;
        assert!(answers.iter().all(Result::is_ok));
        drop(store);
        store = reopen(options.clone()).await;
        assert_eq!(store.revision().await.unwrap().0, (round + 1) * 50);
        for i in 0..50 {
            assert_eq!(body(&store, &format!("{round}-{i}")).await.as_deref(), Some("x"));
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_in_the_files_at_that_moment() {
    let (directory, _, store) = open().await;
    for i in 0..20 {
        store.commit(put(format!("n{i}"), "x")).await.unwrap();
        // As after a crash right now.
        let crashed = TempDir::new().unwrap();
        for file in ["test.db", "test.db-wal"] {
            std::fs::copy(directory.path().join(file), crashed.path().join(file)).unwrap();
        }
        let after = SqlStore::open(options(&sqlite_url(crashed.path()))).await.unwrap();
        assert_eq!(after.revision().await.unwrap().0, i + 1);
        assert_eq!(body(&after, &format!("n{i}")).await.as_deref(), Some("x"));
    }
}

#[tokio::test]
async fn a_commit_whose_caller_is_gone_happens_all_the_same() {
    let (_directory, options, store) = open().await;
    {
        let commit = store.commit(put("a", "x"));
        tokio::pin!(commit);
        assert!(futures::poll!(&mut commit).is_pending());
    }
    store.changed(domain::meta::Revision(0)).await.unwrap();
    assert_eq!(body(&store, "a").await.as_deref(), Some("x"));
    // Also where the whole store is dropped.
    {
        let commit = store.commit(put("b", "x"));
        tokio::pin!(commit);
        assert!(futures::poll!(&mut commit).is_pending());
    }
    drop(store);
    assert_eq!(body(&reopen(options).await, "b").await.as_deref(), Some("x"));
}

#[tokio::test]
async fn only_one_process_may_use_a_database() {
    let (directory, options, store) = open().await;
    let second = SqlStore::open(options.clone()).await.err();
    assert!(
        matches!(&second, Some(OpenError::InUse(path)) if path.ends_with("test.db")),
        "{second:?}"
    );
    assert!(second.unwrap().to_string().contains("in use by another process"));
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(directory.path().join("test.db"), &link).unwrap();
    let by_link = SqlStore::open(super::fixture::options(&format!("sqlite://{}", link.display())))
        .await
        .err();
    assert!(matches!(by_link, Some(OpenError::InUse(_))), "{by_link:?}");
    store.close().await;
    SqlStore::open(options).await.unwrap();
}

#[tokio::test]
async fn closing_leaves_one_complete_file() {
    let (directory, options, store) = open().await;
    store.commit(put("a", "x")).await.unwrap();
    store.close().await;
    let mut left: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["test.db", "test.db.lock"]);
    assert_eq!(body(&SqlStore::open(options).await.unwrap(), "a").await.as_deref(), Some("x"));
}

#[tokio::test]
async fn a_closed_store_finishes_and_then_refuses() {
    let (_directory, options, store) = open().await;
    shared::a_closed_store_finishes_and_then_refuses(store).await;
    let again = SqlStore::open(options).await.unwrap();
    assert_eq!(again.revision().await.unwrap().0, 100);
}

#[tokio::test]
async fn a_backup_is_a_database_of_its_own() {
    let (directory, _, store) = open().await;
    store.commit(put("a", "x")).await.unwrap();
    store.commit(put("gone", "x")).await.unwrap();
    store.commit(delete("gone")).await.unwrap();
    let copies = TempDir::new().unwrap();
    let to = copies.path().join("a copy's name.db");
    // What an interrupted copy left behind is in nobody's way.
    std::fs::write(copies.path().join("a copy's name.db.partial"), "half").unwrap();
    store.backup_to(&to).await.unwrap();
    store.commit(put("later", "x")).await.unwrap();
    let copy = SqlStore::open(options(&format!("sqlite://{}", to.display()))).await.unwrap();
    let all = std::num::NonZeroU32::MAX;
    let zero = domain::meta::Revision(0);
    assert_eq!(body(&copy, "a").await.as_deref(), Some("x"));
    assert_eq!(copy.revision().await.unwrap().0, 3);
    let original = store.changes(zero, all).await.unwrap();
    assert_eq!(copy.changes(zero, all).await.unwrap().changes, original.changes[..2]);
    assert!(matches!(store.backup_to(&to).await, Err(BackupError::Exists(path)) if path == to));
    assert!(matches!(
        store.backup_to(&directory.path().join("no/such/folder.db")).await,
        Err(BackupError::Failed(_))
    ));
}

#[tokio::test]
async fn a_failed_group_changes_nothing() {
    let (directory, _, store) = open().await;
    let fail = "CREATE TRIGGER fail BEFORE INSERT ON object WHEN NEW.body = 'bad' BEGIN SELECT RAISE(ABORT, 'ordered'); END";
    shared::a_failed_group_changes_nothing(&store, &sqlite_url(directory.path()), &[fail], &["DROP TRIGGER fail"]).await;
}

#[tokio::test]
async fn deletions_are_forgotten_in_time() {
    let (_directory, options, store) = open().await;
    store.close().await;
    let store = SqlStore::open(Options {
        kept_deletions: 10,
        ..options
    })
    .await
    .unwrap();
    shared::deletions_are_forgotten_in_time(&store).await;
}

#[tokio::test]
async fn columns_are_text_or_bigint() {
    let (directory, _, _store) = open().await;
    let columns = "SELECT m.name, c.name, c.type FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c \
                   WHERE m.type = 'table' AND m.name <> '_sqlx_migrations'";
    shared::columns_are_text_or_bigint(&sqlite_url(directory.path()), columns).await;
}

#[tokio::test]
async fn every_commit_is_flushed_to_the_disk() {
    let (_directory, options, _store) = open().await;
    let mut writer = Target::of(&options).unwrap().writer().await.unwrap();
    for (setting, expected) in [("PRAGMA synchronous", 2), ("PRAGMA fullfsync", 1)] {
        let row = writer.fetch_one(setting).await.unwrap();
        assert_eq!(row.try_get::<i64, _>(0).unwrap(), expected, "{setting}");
    }
    let row = writer.fetch_one("PRAGMA journal_mode").await.unwrap();
    assert_eq!(row.try_get::<String, _>(0).unwrap(), "wal");
}

#[tokio::test]
async fn many_commits_share_few_transactions() {
    let (directory, _, store) = open().await;
    let url = sqlite_url(directory.path());
    execute(&url, "CREATE TABLE turns (n BIGINT)").await;
    execute(
        &url,
        "CREATE TRIGGER count_turns AFTER UPDATE ON meta BEGIN INSERT INTO turns VALUES (1); END",
    )
    .await;
    let answers = join_all((0..500).map(|i| store.commit(put(format!("n{i}"), "x")))).await;
    let mut revisions: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().revision.0).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=500).collect::<Vec<_>>());
    let row = connect(&url).await.fetch_one("SELECT COUNT(*) FROM turns").await.unwrap();
    let turns: i64 = row.try_get(0).unwrap();
    assert!(turns <= 5, "{turns} transactions for 500 commits");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let (directory, options, store) = open().await;
    store.close().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (999, 'x', 1, x'00', 0)";
    execute(&sqlite_url(directory.path()), newer).await;
    assert!(matches!(SqlStore::open(options).await.err(), Some(OpenError::Newer)));
}

#[tokio::test]
async fn a_url_names_a_file_or_is_refused() {
    let directory = TempDir::new().unwrap();
    let at = directory.path().display();
    for bad in [
        "",
        "sqlite://",
        "sqlite::memory:",
        "sqlite://:memory:",
        "mysql://host/db",
        "/tmp/x.db",
    ] {
        let error = SqlStore::open(options(bad)).await.err();
        assert!(matches!(error, Some(OpenError::Url(_))), "{bad}: {error:?}");
    }
    let error = SqlStore::open(options(&format!("sqlite://{at}/a.db?mode=ro"))).await.err();
    assert!(matches!(error, Some(OpenError::Url(_))), "{error:?}");
    let error = SqlStore::open(options(&format!("sqlite://{at}/no/folder/a.db"))).await.err();
    assert!(matches!(error, Some(OpenError::Unavailable(_))), "{error:?}");
    std::fs::write(
        directory.path().join("text.db"),
        "This is no database, but a text that is long enough to look at. ".repeat(50),
    )
    .unwrap();
    let error = SqlStore::open(options(&format!("sqlite://{at}/text.db"))).await.err();
    assert!(
        matches!(error, Some(OpenError::Unavailable(_) | OpenError::Unsuitable(_))),
        "{error:?}"
    );
    for (written, file) in [("a%20b%3Fc.db", "a b?c.db"), ("ä#1%25.db", "ä#1%.db"), ("plain.db", "plain.db")] {
        let store = SqlStore::open(options(&format!("sqlite://{at}/{written}"))).await.unwrap();
        store.commit(put("a", "x")).await.unwrap();
        assert!(directory.path().join(file).exists(), "{file}");
    }
}

#[tokio::test]
async fn damaged_rows_are_told_from_missing_ones() {
    let (directory, _, store) = open().await;
    store.commit(put("a", "x")).await.unwrap();
    let url = sqlite_url(directory.path());
    execute(&url, "INSERT INTO object VALUES ('martian', 'p', 'a', 1, '')").await;
    let changes = store.changes(domain::meta::Revision(0), std::num::NonZeroU32::MIN).await;
    assert!(matches!(changes, Err(store::StoreError::Corrupt(_))), "{changes:?}");
    execute(&url, "UPDATE object SET revision = -1 WHERE kind = 'node'").await;
    let got = store.get(&key("a")).await;
    assert!(matches!(got, Err(store::StoreError::Corrupt(_))), "{got:?}");
}
