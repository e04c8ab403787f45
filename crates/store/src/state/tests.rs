use super::*;
use crate::MemStore;
use crate::Resource;
use crate::batch::Committed;
use crate::port::{Changes, HolderId, Lease, Page, Record};
use async_trait::async_trait;
use domain::iam::{Domain, User};
use domain::name::{DomainId, UserId};
use jiff::Timestamp;
use std::sync::Mutex;
use std::time::Duration;

/// A store with an outage to order.
#[derive(Default)]
struct Faulty {
    inner: MemStore,
    outage: Mutex<Option<Outage>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Outage {
    /// The next commit is carried out, but its answer is lost.
    LostReply,
    /// The next commit is carried out, but its future never resolves.
    NoReply,
    Unavailable,
    /// Changes up to this revision are forgotten.
    Compacted(u64),
    /// Only the first page of the whole history can be read.
    SecondPage,
    /// Somebody writes while users are listed, which is after domains are.
    WriteWhileListing,
}

impl Faulty {
    fn order(&self, outage: Option<Outage>) {
        *self.outage.lock().unwrap() = outage;
    }

    fn outage(&self) -> Option<Outage> {
        *self.outage.lock().unwrap()
    }
}

#[async_trait]
impl Store for Faulty {
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.inner.get(key).await
    }

    async fn list(&self, kind: Kind, after: Option<&Key>, limit: NonZeroU32) -> Result<Page, StoreError> {
        if kind == Kind::User && self.outage() == Some(Outage::WriteWhileListing) {
            self.order(None);
            let mut batch = put("late", "x");
            batch.put(domain("late"), Expect::Any);
            batch.delete(domain("gone").key(), Expect::Any);
            self.inner.commit(encode(batch)?.0).await.unwrap();
        }
        self.inner.list(kind, after, limit).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        let outage = self.outage();
        if outage == Some(Outage::Unavailable) {
            return Err(StoreError::Unavailable("ordered".to_owned()).into());
        }
        let committed = self.inner.commit(batch).await;
        match outage {
            Some(Outage::LostReply) => {
                self.order(None);
                Err(StoreError::Ambiguous("ordered".to_owned()).into())
            }
            Some(Outage::NoReply) => {
                self.order(None);
                std::future::pending().await
            }
            Some(Outage::Unavailable | Outage::Compacted(_) | Outage::SecondPage | Outage::WriteWhileListing) | None => committed,
        }
    }

    async fn changes(&self, after: Revision, limit: NonZeroU32) -> Result<Changes, StoreError> {
        match self.outage() {
            Some(Outage::Unavailable) => Err(StoreError::Unavailable("ordered".to_owned())),
            Some(Outage::Compacted(up_to)) if after.0 < up_to => Err(StoreError::Compacted(Revision(up_to))),
            Some(Outage::SecondPage) if after.0 > 0 => Err(StoreError::Unavailable("ordered".to_owned())),
            Some(Outage::LostReply | Outage::NoReply | Outage::Compacted(_) | Outage::SecondPage | Outage::WriteWhileListing) | None => {
                self.inner.changes(after, limit).await
            }
        }
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.inner.revision().await
    }

    async fn changed(&self, after: Revision) -> Result<Revision, StoreError> {
        match self.outage() {
            Some(Outage::Unavailable) => Err(StoreError::Unavailable("ordered".to_owned())),
            Some(Outage::LostReply | Outage::NoReply | Outage::Compacted(_) | Outage::SecondPage | Outage::WriteWhileListing) | None => {
                self.inner.changed(after).await
            }
        }
    }

    async fn counters(&self) -> Result<Vec<(CounterKey, u64)>, StoreError> {
        self.inner.counters().await
    }

    async fn acquire(&self, lease: &str, holder: &HolderId, ttl: Duration, now: Timestamp) -> Result<Option<Lease>, StoreError> {
        self.inner.acquire(lease, holder, ttl, now).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.inner.release(lease).await
    }
}

fn user(id: &str, name: &str) -> User {
    User {
        id: UserId::parse(id).unwrap(),
        name: name.to_owned(),
        domain: DomainId::parse("d").unwrap(),
        password_hash: None,
        roles: BTreeMap::new(),
        workspace_roles: BTreeMap::new(),
        is_enabled: true,
        created_at: Timestamp::UNIX_EPOCH,
    }
}

fn domain(id: &str) -> Domain {
    Domain {
        id: DomainId::parse(id).unwrap(),
        name: "x".to_owned(),
        created_at: Timestamp::UNIX_EPOCH,
    }
}

fn key(id: &str) -> Key {
    Key::new(Kind::User, "", id)
}

fn put(id: &str, name: &str) -> TypedBatch {
    let mut batch = TypedBatch::default();
    batch.put(user(id, name), Expect::Any);
    batch
}

fn delete(id: &str) -> TypedBatch {
    let mut batch = TypedBatch::default();
    batch.delete(key(id), Expect::Any);
    batch
}

fn name(state: &State, id: &str) -> Option<String> {
    state.index().read().get::<User>("", id).map(|user| user.name.clone())
}

/// Two processes with one store: the first over a faulty line.
async fn two() -> (Arc<Faulty>, State, State) {
    let faulty = Arc::new(Faulty::default());
    let direct: Arc<dyn Store> = Arc::new(faulty.inner.clone());
    let (own, other) = (
        State::load(Arc::clone(&faulty) as Arc<dyn Store>).await.unwrap(),
        State::load(direct).await.unwrap(),
    );
    (faulty, own, other)
}

#[tokio::test]
async fn everything_there_is_is_loaded() {
    let store = MemStore::default();
    let before = State::load(Arc::new(store.clone())).await.unwrap();
    for i in 0..30 {
        let mut batch = put(&format!("u{i}"), "x");
        batch.count(Count {
            key: CounterKey::new("users"),
            add: 1,
            at_most: None,
        });
        before.commit(batch).await.unwrap();
    }
    before.commit(delete("u7")).await.unwrap();
    let after = State::load(Arc::new(store)).await.unwrap();
    for state in [&before, &after] {
        assert_eq!(state.index().read().count(Kind::User), 29);
        assert_eq!(state.index().read().counter(&CounterKey::new("users")), 30);
        assert_eq!(state.index().read().complete(), Revision(31));
    }
}

#[tokio::test]
async fn a_commit_is_visible_when_it_returns() {
    let (_, own, _) = two().await;
    let mut batch = put("a", "1");
    batch.count(Count {
        key: CounterKey::new("c"),
        add: 2,
        at_most: Some(2),
    });
    let applied = own.commit(batch).await.unwrap();
    assert_eq!(name(&own, "a").as_deref(), Some("1"));
    assert_eq!(own.index().read().counter(&CounterKey::new("c")), 2);
    assert_eq!(own.index().read().at::<User>(&key("a")).unwrap().revision(), applied.revision);
    own.commit(delete("a")).await.unwrap();
    assert_eq!(name(&own, "a"), None);
}

#[tokio::test]
async fn after_a_lost_reply_the_index_has_what_was_written() {
    let (faulty, own, _) = two().await;
    faulty.order(Some(Outage::LostReply));
    let error = own.commit(put("a", "1")).await.unwrap_err();
    assert!(matches!(error, CommitError::Store(StoreError::Ambiguous(_))));
    assert_eq!(name(&own, "a").as_deref(), Some("1"));
    assert_eq!(own.index().read().complete(), Revision(1));
}

#[tokio::test]
async fn after_a_conflict_the_index_has_what_the_others_wrote() {
    let (_, own, other) = two().await;
    other.commit(put("a", "theirs")).await.unwrap();
    let mut batch = TypedBatch::default();
    batch.put(user("a", "own"), Expect::Absent);
    batch.put(user("b", "own"), Expect::Absent);
    assert!(matches!(own.commit(batch).await, Err(CommitError::Conflict(on)) if on == key("a")));
    assert_eq!((name(&own, "a").as_deref(), name(&own, "b")), (Some("theirs"), None));
}

#[tokio::test]
async fn a_failed_catch_up_is_made_good_later() {
    let (faulty, own, other) = two().await;
    other.commit(put("a", "theirs")).await.unwrap();
    faulty.order(Some(Outage::Unavailable));
    assert!(matches!(
        own.commit(put("b", "own")).await,
        Err(CommitError::Store(StoreError::Unavailable(_)))
    ));
    assert_eq!(name(&own, "a"), None);
    assert!(own.refresh().await.is_err());
    faulty.order(None);
    own.refresh().await.unwrap();
    assert_eq!(name(&own, "a").as_deref(), Some("theirs"));
}

#[tokio::test]
async fn a_batch_that_only_checks_hides_nothing_that_others_wrote() {
    let (_, own, other) = two().await;
    own.commit(put("a", "own")).await.unwrap();
    other.refresh().await.unwrap();
    other.commit(put("b", "theirs")).await.unwrap();
    // Gets the revision of the other's commit, which this index has not seen.
    let mut batch = TypedBatch::default();
    batch.check(key("a"), Expect::At(Revision(1)));
    assert!(batch.is_empty());
    assert_eq!(own.commit(batch).await.unwrap().revision, Revision(2));
    own.refresh().await.unwrap();
    assert_eq!(name(&own, "b").as_deref(), Some("theirs"));
}

#[tokio::test]
async fn a_long_history_is_applied_as_a_whole() {
    let (faulty, own, other) = two().await;
    // More than two pages, in which `early` is written with `late`, which is then written again: the first page alone
    // would show half of the first batch.
    let mut first = put("early", "1");
    first.put(user("late", "1"), Expect::Any);
    other.commit(first).await.unwrap();
    for chunk in 0..11 {
        let mut batch = TypedBatch::default();
        for i in 0..1000 {
            batch.put(user(&format!("{chunk}-{i}"), "x"), Expect::Absent);
        }
        other.commit(batch).await.unwrap();
    }
    other.commit(put("late", "2")).await.unwrap();
    let mut touched = own.index().subscribe();
    let newest = other.index().newest();
    faulty.order(Some(Outage::SecondPage));
    assert!(own.refresh().await.is_err());
    assert_eq!((name(&own, "early"), own.index().read().complete()), (None, Revision(0)));
    faulty.order(None);
    own.refresh().await.unwrap();
    assert_eq!(own.index().read().complete(), newest);
    assert_eq!(own.index().read().count(Kind::User), 11_002);
    assert_eq!(
        (name(&own, "early").as_deref(), name(&own, "late").as_deref()),
        (Some("1"), Some("2"))
    );
    let mut heard = 0;
    while touched.try_recv().is_ok() {
        heard += 1;
    }
    assert_eq!(heard, 11_002);
}

#[tokio::test]
async fn where_history_is_forgotten_everything_is_read_again() {
    let (faulty, own, other) = two().await;
    other.commit(put("gone", "1")).await.unwrap();
    other.commit(put("kept", "1")).await.unwrap();
    own.refresh().await.unwrap();
    other.commit(delete("gone")).await.unwrap();
    other.commit(put("kept", "2")).await.unwrap();
    other.commit(put("new", "1")).await.unwrap();
    faulty.order(Some(Outage::Compacted(4)));
    let mut touched = own.index().subscribe();
    own.refresh().await.unwrap();
    assert_eq!(
        (name(&own, "gone"), name(&own, "kept").as_deref(), name(&own, "new").as_deref()),
        (None, Some("2"), Some("1"))
    );
    assert_eq!(own.index().read().complete(), Revision(5));
    let mut heard = Vec::new();
    while let Ok(touched) = touched.try_recv() {
        heard.push((touched.entry.key.name.to_string(), touched.is_deleted));
    }
    assert_eq!(
        heard,
        [("gone".to_owned(), true), ("kept".to_owned(), false), ("new".to_owned(), false)]
    );
}

#[tokio::test]
async fn what_is_written_while_everything_is_read_is_there_as_a_whole() {
    let (faulty, _, other) = two().await;
    let mut batch = TypedBatch::default();
    batch.put(domain("gone"), Expect::Absent);
    other.commit(batch).await.unwrap();
    faulty.order(Some(Outage::WriteWhileListing));
    let loaded = State::load(faulty).await.unwrap();
    let view = loaded.index().read();
    assert!(view.get::<User>("", "late").is_some() && view.get::<Domain>("", "late").is_some());
    assert!(view.get::<Domain>("", "gone").is_none());
    assert_eq!(view.complete(), Revision(2));
}

#[tokio::test]
async fn following_brings_in_what_others_and_dropped_commits_wrote() {
    let (faulty, own, other) = two().await;
    let follower = tokio::spawn({
        let own = own.clone();
        async move { own.follow().await }
    });
    other.commit(put("a", "theirs")).await.unwrap();
    own.index().completed(Revision(0)).await;
    assert_eq!(name(&own, "a").as_deref(), Some("theirs"));
    faulty.order(Some(Outage::NoReply));
    {
        let commit = own.commit(put("b", "dropped"));
        tokio::pin!(commit);
        assert!(futures::poll!(&mut commit).is_pending());
    }
    own.index().completed(Revision(1)).await;
    assert_eq!(name(&own, "b").as_deref(), Some("dropped"));
    // It ends when the store cannot be asked.
    faulty.order(Some(Outage::Unavailable));
    other.commit(put("c", "x")).await.unwrap();
    assert!(matches!(follower.await.unwrap(), StoreError::Unavailable(_)));
}

#[tokio::test]
async fn machines_are_stored_but_not_indexed() {
    let (_, own, other) = two().await;
    let machine = crate::object::Machine {
        id: "m1".to_owned(),
        state: serde_json::Value::Null,
    };
    let mut batch = TypedBatch::default();
    batch.put(machine, Expect::Absent);
    own.commit(batch).await.unwrap();
    other.refresh().await.unwrap();
    for state in [&own, &other] {
        assert_eq!(state.index().read().count(Kind::Machine), 0);
        assert_eq!(state.index().read().complete(), Revision(1));
    }
    assert!(own.store().get(&Key::new(Kind::Machine, "", "m1")).await.unwrap().is_some());
}

/// What a follower was told: how far, whether that was everything, names with whether they are there; and how far the index
/// was at that moment.
type Told = (Revision, bool, Vec<(String, bool)>, Revision);

struct Recorder {
    index: Arc<Index>,
    told: Mutex<Vec<Told>>,
}

impl Recorder {
    fn note(&self, changes: Vec<Aside>, up_to: Revision, is_whole: bool) {
        let names = changes.iter().map(|change| (change.key.name.to_string(), change.body.is_some()));
        let told = (up_to, is_whole, names.collect(), self.index.complete());
        self.told.lock().unwrap().push(told);
    }

    fn take(&self) -> Vec<Told> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

impl Follower for Recorder {
    fn advance(&self, changes: Vec<Aside>, up_to: Revision) {
        self.note(changes, up_to, false);
    }

    fn reset(&self, all: Vec<Aside>, up_to: Revision) {
        self.note(all, up_to, true);
    }
}

fn machine(id: &str) -> TypedBatch {
    let mut batch = TypedBatch::default();
    let machine = crate::object::Machine {
        id: id.to_owned(),
        state: serde_json::Value::Null,
    };
    batch.put(machine, Expect::Any);
    batch
}

#[tokio::test]
async fn a_follower_is_told_of_machines_before_the_index_shows_their_revision() {
    let (faulty, own, other) = two().await;
    other.commit(machine("early")).await.unwrap();
    let recorder = Arc::new(Recorder {
        index: Arc::clone(&own.index),
        told: Mutex::default(),
    });
    own.follow_with(Arc::clone(&recorder) as Arc<dyn Follower>, Revision(0))
        .await
        .unwrap();
    let told = |names: &[(&str, bool)]| {
        names
            .iter()
            .map(|(name, is_there)| ((*name).to_owned(), *is_there))
            .collect::<Vec<_>>()
    };
    assert_eq!(recorder.take(), [(Revision(1), false, told(&[("early", true)]), Revision(0))]);
    other.commit(machine("late")).await.unwrap();
    let mut batch = delete("user");
    batch.delete(Key::new(Kind::Machine, "", "early"), Expect::Any);
    other.commit(batch).await.unwrap();
    own.refresh().await.unwrap();
    assert_eq!(
        recorder.take(),
        [(Revision(3), false, told(&[("late", true), ("early", false)]), Revision(1))]
    );
    own.commit(machine("own")).await.unwrap();
    assert_eq!(recorder.take(), [(Revision(4), false, told(&[("own", true)]), Revision(3))]);
    other.commit(put("x", "1")).await.unwrap();
    faulty.order(Some(Outage::Compacted(5)));
    own.refresh().await.unwrap();
    assert_eq!(
        recorder.take(),
        [(Revision(5), true, told(&[("late", true), ("own", true)]), Revision(4))]
    );
    assert_eq!(own.index().complete(), Revision(5));
}

#[tokio::test]
async fn a_follower_that_knows_more_than_the_index_hides_nothing_that_others_wrote() {
    let (_, own, other) = two().await;
    other.commit(put("user", "name")).await.unwrap();
    let recorder = Arc::new(Recorder {
        index: Arc::clone(&own.index),
        told: Mutex::default(),
    });
    own.follow_with(recorder, Revision(1)).await.unwrap();
    assert_eq!(own.index().complete(), Revision(1));
    assert_eq!(name(&own, "user").as_deref(), Some("name"));
}
