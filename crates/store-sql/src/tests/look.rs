use super::fixture::{body, options, put, reopen, sqlite_url};
use crate::{BackupError, Look, OpenError, RestoreError, SqlStore, restore};
use std::time::Duration;
use store::{HolderId, Store};
use tempfile::TempDir;

#[tokio::test]
async fn a_database_in_use_can_be_looked_at_and_copied_but_not_written() {
    let folder = TempDir::new().unwrap();
    let options = options(&sqlite_url(folder.path()));
    let store = SqlStore::open(options.clone()).await.unwrap();
    store.commit(put("a", "x")).await.unwrap();
    let holder = HolderId("me".to_owned());
    let lease = store
        .acquire("fleet", &holder, Duration::from_secs(9), options.clock.now())
        .await
        .unwrap();
    let look = Look::open(&options).await.unwrap();
    assert_eq!(body(&look, "a").await.as_deref(), Some("x"));
    assert_eq!(look.leases().await.unwrap(), Vec::from_iter(lease));
    let schema = look.schema().await.unwrap();
    assert_eq!((schema.version, schema.known), (1, 1));
    assert!(look.commit(put("b", "x")).await.is_err());
    let copy = folder.path().join("copy.db");
    look.backup_to(&copy).await.unwrap();
    assert!(matches!(look.backup_to(&copy).await, Err(BackupError::Exists(_))));
    store.commit(put("a", "later")).await.unwrap();
    assert_eq!(body(&look, "a").await.as_deref(), Some("later"));
}

#[tokio::test]
async fn looking_makes_no_database() {
    let folder = TempDir::new().unwrap();
    let options = options(&sqlite_url(folder.path()));
    assert!(matches!(Look::open(&options).await, Err(OpenError::Unavailable(_))));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_copy_is_put_back_only_where_nobody_uses_the_database() {
    let folder = TempDir::new().unwrap();
    let options = options(&sqlite_url(folder.path()));
    let store = SqlStore::open(options.clone()).await.unwrap();
    store.commit(put("a", "kept")).await.unwrap();
    let copy = folder.path().join("copy.db");
    store.backup_to(&copy).await.unwrap();
    store.commit(put("a", "lost")).await.unwrap();
    assert!(matches!(restore(&options, &copy, false).await, Err(RestoreError::Exists(_))));
    assert!(matches!(
        restore(&options, &copy, true).await,
        Err(RestoreError::Database(OpenError::InUse(_)))
    ));
    store.close().await;
    drop(store);
    drop(reopen(options.clone()).await);
    loop {
        match restore(&options, &copy, true).await {
            Err(RestoreError::Database(OpenError::InUse(_))) => tokio::task::yield_now().await,
            restored => break restored.unwrap(),
        }
    }
    let again = reopen(options).await;
    assert_eq!(body(&again, "a").await.as_deref(), Some("kept"));
}

#[tokio::test]
async fn a_file_that_is_no_copy_is_not_put_back() {
    let folder = TempDir::new().unwrap();
    let options = options(&sqlite_url(folder.path()));
    let file = folder.path().join("copy.db");
    for text in ["", "something else altogether"] {
        std::fs::write(&file, text).unwrap();
        assert!(matches!(restore(&options, &file, false).await, Err(RestoreError::Copy(_))));
        assert!(!folder.path().join("test.db").exists() && !folder.path().join("test.db.partial").exists());
    }
}
