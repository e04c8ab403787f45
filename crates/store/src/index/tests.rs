use super::*;
use crate::object::Kind;
use domain::iam::User;
use domain::meta::Uid;
use domain::name::{DisplayName, DomainId, OrderName, PoolName, ProjectId, UserId, WorkspaceId};
use domain::order::{Operation, Order, OrderPhase};
use domain::pool::{BillingMode, Waiting};
use domain::workspace::Workspace;
use jiff::Timestamp;
use std::collections::BTreeMap as Map;

fn project(letter: &str) -> ProjectId {
    ProjectId::parse(&letter.repeat(32)).unwrap()
}

fn workspace(letter: &str, id: &str, second: i64) -> Workspace {
    let owner = UserId::parse("owner").unwrap();
    let created_at = Timestamp::from_second(second).unwrap();
    Workspace {
        id: WorkspaceId::parse(id).unwrap(),
        ..Workspace::default_of(&project(letter), &owner, created_at)
    }
}

fn user(id: &str, name: &str) -> User {
    User {
        id: UserId::parse(id).unwrap(),
        name: name.to_owned(),
        domain: DomainId::parse("d").unwrap(),
        password_hash: None,
        roles: Map::new(),
        workspace_roles: Map::new(),
        is_enabled: true,
        created_at: Timestamp::UNIX_EPOCH,
    }
}

fn put(object: impl Into<Object>) -> IndexChange {
    IndexChange::Put(object.into())
}

fn delete(id: &str) -> IndexChange {
    IndexChange::Delete(Key::new(Kind::User, "", id))
}

fn name(index: &Index, id: &str) -> Option<String> {
    index.read().get::<User>("", id).map(|user| user.name.clone())
}

fn at(revision: u64) -> Revision {
    Revision(revision)
}

#[test]
fn a_batch_is_visible_as_a_whole() {
    let index = Arc::new(Index::default());
    index.apply(at(1), vec![put(user("a", "0")), put(user("b", "0"))]);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = String::new();
            while last != "200" {
                let view = index.read();
                let both = ["a", "b"].map(|id| view.get::<User>("", id).unwrap().name.clone());
                assert_eq!(both[0], both[1]);
                assert_eq!(view.counter(&CounterKey::new("c")).to_string(), both[0]);
                last.clone_from(&both[0]);
            }
        });
        for i in 1..=200_u64 {
            let name = i.to_string();
            let changes = vec![
                put(user("a", &name)),
                IndexChange::Counter(CounterKey::new("c"), i),
                put(user("b", &name)),
            ];
            // Both ways in: own commits, and the history of others.
            if i % 2 == 0 {
                index.apply(at(i + 1), changes);
            } else {
                index.advance(changes.into_iter().map(|change| (at(i + 1), change)).collect(), at(i + 1));
            }
        }
        reader.join().unwrap();
    });
}

#[test]
fn objects_under_a_facet_come_newest_first_and_then_by_name() {
    let index = Index::default();
    let all = [("c", 10), ("a", 20), ("d", 20), ("b", 20), ("e", 5)];
    for (revision, (id, second)) in (1..).zip(all) {
        index.apply(at(revision), vec![put(workspace("a", id, second)), put(workspace("b", id, second))]);
    }
    let ids = |project: &ProjectId| -> Vec<String> {
        let view = index.read();
        view.under::<Workspace>(Facet::WorkspacesOfProject, project)
            .iter()
            .map(|found| found.id.to_string())
            .collect()
    };
    assert_eq!(ids(&project("a")), ["a", "b", "d", "c", "e"]);
    index.apply(at(6), vec![IndexChange::Delete(workspace("a", "d", 0).key())]);
    assert_eq!(ids(&project("a")), ["a", "b", "c", "e"]);
    assert_eq!(ids(&project("b")), ["a", "b", "d", "c", "e"]);
    assert_eq!(ids(&project("c")), [""; 0]);
    assert_eq!(index.read().count(Kind::Workspace), 9);
}

#[test]
fn a_part_of_a_list_goes_on_after_a_place_that_may_be_gone() {
    let index = Index::default();
    let all = [("a", 3), ("b", 2), ("c", 2), ("d", 1)].map(|(id, second)| put(workspace("a", id, second)));
    index.apply(at(1), all.into());
    let owner = "a".repeat(32);
    let after = |second, name: &str| -> Vec<String> {
        let place = Place::created(second, name, &owner);
        let view = index.read();
        let rest = view.entries_after(Facet::WorkspacesOfProject, &owner, Some(&place));
        rest.map(|entry| entry.key.name.to_string()).collect()
    };
    assert_eq!(after(4, ""), ["a", "b", "c", "d"]);
    assert_eq!(after(2, "b"), ["c", "d"]);
    assert_eq!(after(2, "bb"), ["c", "d"]);
    assert_eq!(after(1, "d"), Vec::<String>::new());
    assert_eq!(index.read().filed(Facet::WorkspacesOfProject, &owner), 4);
    let gone = ["a", "b", "c", "d"].map(|id| IndexChange::Delete(Key::new(Kind::Workspace, &owner, id)));
    index.apply(at(2), gone.into());
    assert_eq!(index.read().filed(Facet::WorkspacesOfProject, &owner), 0);
}

fn order(letter: &str) -> Order {
    let display = DisplayName::parse("pool").unwrap();
    Order {
        name: OrderName::parse("order.pool-12345").unwrap(),
        id: "CS1".to_owned(),
        project: project(letter),
        pool: PoolName::of(&display, &project(letter)),
        pool_uid: Uid::from_text("1"),
        pool_display: display,
        workspace: WorkspaceId::default_workspace(),
        created_at: Timestamp::UNIX_EPOCH,
        began_at: None,
        operation: Operation::Apply,
        before: Vec::new(),
        wanted: Vec::new(),
        phase: OrderPhase::Pending(Waiting::Approval),
        billing_mode: BillingMode::PayPerUse,
        period_type: None,
        period_num: None,
        items: Vec::new(),
    }
}

#[test]
fn objects_of_one_name_and_time_in_two_projects_do_not_displace_each_other() {
    let index = Index::default();
    let pending = || -> Vec<String> {
        let view = index.read();
        view.under::<Order>(Facet::OrdersPending, "")
            .iter()
            .map(|order| order.project.to_string())
            .collect()
    };
    index.apply(at(1), vec![put(order("b")), put(order("a"))]);
    assert_eq!(pending(), [project("a").to_string(), project("b").to_string()]);
    let processing = Order {
        phase: OrderPhase::Processing,
        ..order("b")
    };
    index.apply(at(2), vec![put(processing)]);
    assert_eq!(pending(), [project("a").to_string()]);
}

#[test]
fn a_changed_object_is_filed_under_its_new_values_only() {
    let index = Index::default();
    let by_name = |name: &str| {
        index
            .read()
            .under::<User>(Facet::UserByName, format!("d/{name}"))
            .first()
            .map(|user| user.id.to_string())
    };
    index.apply(at(1), vec![put(user("1", "ann"))]);
    assert_eq!(by_name("ann").as_deref(), Some("1"));
    index.apply(at(2), vec![put(user("1", "bea"))]);
    assert_eq!((by_name("ann"), by_name("bea").as_deref()), (None, Some("1")));
    index.apply(at(3), vec![delete("1")]);
    assert_eq!(by_name("bea"), None);
}

#[test]
fn commits_may_be_applied_in_any_order() {
    // Revision 1 creates x, 2 changes it, 3 deletes it, 4 creates it again, 5 writes something else.
    let change = |revision| match revision {
        1 => put(user("x", "one")),
        2 => put(user("x", "two")),
        3 => delete("x"),
        4 => put(user("x", "four")),
        _ => put(user("y", "five")),
    };
    let mut orders: Vec<Vec<u64>> = vec![vec![]];
    for revision in 1..=5 {
        orders = orders
            .iter()
            .flat_map(|order| {
                (0..=order.len()).map(move |i| {
                    let mut order = order.clone();
                    order.insert(i, revision);
                    order
                })
            })
            .collect();
    }
    assert_eq!(orders.len(), 120);
    for order in orders {
        let index = Index::default();
        for (done, revision) in order.iter().enumerate() {
            index.apply(at(*revision), vec![change(*revision)]);
            let newest = order[..=done].iter().filter(|revision| **revision < 5).max();
            let expected = match newest {
                Some(1) => Some("one"),
                Some(2) => Some("two"),
                Some(4) => Some("four"),
                _ => None,
            };
            assert_eq!(name(&index, "x").as_deref(), expected, "after {:?}", &order[..=done]);
            let complete = (1..=5).take_while(|revision| order[..=done].contains(revision)).last().unwrap_or(0);
            assert_eq!(index.read().complete(), at(complete), "after {:?}", &order[..=done]);
        }
    }
}

#[test]
fn what_was_deleted_stays_deleted() {
    let index = Index::default();
    index.apply(at(2), vec![delete("x")]);
    index.apply(at(1), vec![put(user("x", "late"))]);
    assert_eq!(name(&index, "x"), None);
    // Two deletions, the older of which comes last; then the creation between them.
    index.apply(at(6), vec![delete("y")]);
    index.apply(at(4), vec![delete("y")]);
    index.apply(at(5), vec![put(user("y", "between"))]);
    assert_eq!(name(&index, "y"), None);
    // A repetition that comes after everything up to it is known, when no deletion is remembered any more.
    index.advance(Vec::new(), at(9));
    index.apply(at(1), vec![put(user("x", "late"))]);
    index.advance(vec![(at(5), put(user("y", "between")))], at(5));
    assert_eq!((name(&index, "x"), name(&index, "y")), (None, None));
    assert_eq!(index.read().complete(), at(9));
}

#[test]
fn an_old_counter_does_not_replace_a_newer_one() {
    let index = Index::default();
    let key = CounterKey::new("c");
    index.apply(at(2), vec![IndexChange::Counter(key.clone(), 7)]);
    index.apply(at(1), vec![IndexChange::Counter(key.clone(), 5)]);
    assert_eq!(index.read().counter(&key), 7);
    index.apply(
        at(3),
        vec![IndexChange::Counter(key.clone(), 8), IndexChange::Counter(key.clone(), 6)],
    );
    assert_eq!(index.read().counters().collect::<Vec<_>>(), [(&key, 6)]);
}

#[test]
fn an_object_is_rendered_once_per_revision() {
    let index = Index::default();
    index.apply(at(1), vec![put(user("a", "one"))]);
    let times = std::cell::Cell::new(0);
    let render = || {
        let entry = index.read().get::<User>("", "a").unwrap().entry;
        entry
            .rendered(|object| {
                times.set(times.get() + 1);
                let user = User::of(object).unwrap();
                Bytes::from(user.name.clone())
            })
            .clone()
    };
    assert_eq!((render(), render()), (Bytes::from("one"), Bytes::from("one")));
    assert_eq!(times.get(), 1);
    index.apply(at(2), vec![put(user("a", "two"))]);
    assert_eq!((render(), render()), (Bytes::from("two"), Bytes::from("two")));
    assert_eq!(times.get(), 2);
    // The same commit from the change feed is no reason to render again.
    index.apply(at(2), vec![put(user("a", "two"))]);
    assert_eq!((render(), times.get()), (Bytes::from("two"), 2));
}

#[test]
fn a_digest_is_made_again_when_something_under_its_value_has_changed_or_it_is_not_valid() {
    let index = Index::default();
    let ids = |is_valid: bool| {
        let join = |entries: &mut dyn Iterator<Item = &Arc<Entry>>| entries.map(|entry| entry.key.name.to_string()).collect::<String>();
        let project = project("a");
        index
            .read()
            .digest(Facet::WorkspacesOfProject, project.as_str(), |_: &String| is_valid, join)
    };
    assert_eq!(*ids(true), "");
    index.apply(at(1), vec![put(workspace("a", "1", 10))]);
    let one = ids(true);
    assert_eq!(*one, "1");
    index.apply(at(2), vec![put(workspace("b", "5", 10))]);
    assert!(Arc::ptr_eq(&one, &ids(true)));
    index.apply(at(3), vec![put(workspace("a", "2", 20))]);
    let two = ids(true);
    assert_eq!(*two, "21");
    let again = ids(false);
    assert!(!Arc::ptr_eq(&two, &again));
    assert_eq!(*again, "21");
    let key = workspace("a", "2", 20).key();
    index.apply(at(4), vec![IndexChange::Delete(key)]);
    assert_eq!(*ids(true), "1");
}

#[test]
fn a_reset_takes_over_the_whole_state_but_keeps_newer_commits() {
    let index = Index::default();
    index.apply(
        at(1),
        vec![put(user("same", "1")), put(user("changed", "1")), put(user("gone", "1"))],
    );
    // Own commits, newer than what is about to be read.
    index.apply(at(12), vec![put(user("own", "12")), put(user("both", "12")), delete("same")]);
    index.apply(at(13), vec![IndexChange::Counter(CounterKey::new("own"), 13)]);
    let objects = vec![
        (at(1), user("same", "1").into()),
        (at(7), user("changed", "7").into()),
        (at(8), user("both", "8").into()),
        (at(9), user("new", "9").into()),
    ];
    let counters = vec![(at(10), CounterKey::new("own"), 1), (at(10), CounterKey::new("new"), 2)];
    index.reset(at(10), objects, counters);
    let names = ["same", "changed", "gone", "own", "both", "new"].map(|id| name(&index, id));
    let names = names.each_ref().map(Option::as_deref);
    assert_eq!(names, [None, Some("7"), None, Some("12"), Some("12"), Some("9")]);
    assert_eq!(index.read().counter(&CounterKey::new("own")), 13);
    assert_eq!(index.read().counter(&CounterKey::new("new")), 2);
    assert_eq!(index.read().complete(), at(10));
    // What is older than the index changes nothing.
    index.reset(at(9), Vec::new(), Vec::new());
    assert_eq!(index.read().count(Kind::User), 4);
}

#[tokio::test]
async fn subscribers_hear_of_every_touched_object() {
    let index = Index::default();
    let mut touched = index.subscribe();
    index.apply(at(1), vec![put(user("a", "1")), put(user("b", "1"))]);
    index.apply(at(2), vec![delete("a"), delete("never")]);
    index.apply(at(1), vec![put(user("a", "1"))]);
    drop(index);
    let mut heard = Vec::new();
    while let Some(touched) = touched.recv().await {
        heard.push((touched.entry.key.name.to_string(), touched.entry.revision.0, touched.is_deleted));
    }
    assert_eq!(
        heard,
        [("a".to_owned(), 1, false), ("b".to_owned(), 1, false), ("a".to_owned(), 1, true)]
    );
}

#[tokio::test]
async fn waiting_ends_with_whatever_is_applied_next_though_its_revision_is_an_old_one() {
    let index = Arc::new(Index::default());
    assert_eq!(index.newest(), at(0));
    for revision in [3, 2] {
        let waiter = tokio::spawn({
            let (index, age) = (Arc::clone(&index), index.age());
            async move { index.changed(age).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        index.apply(at(revision), Vec::new());
        waiter.await.unwrap();
        assert_eq!(index.newest(), at(3));
    }
}

fn event(message: &str) -> domain::event::Event {
    domain::event::Event {
        pool: Uid::from_text("1"),
        sequence: 1,
        is_warning: false,
        reason: domain::event::EventReason::PoolStatusChange,
        message: message.to_owned(),
        first_at: Timestamp::UNIX_EPOCH,
        last_at: Timestamp::UNIX_EPOCH,
        count: 1,
    }
}

/// The revision of a change, and the message before and after it.
type Told = (u64, Option<String>, Option<String>);

/// What is remembered after a revision.
fn changes(index: &Index, after: u64) -> Option<Vec<Told>> {
    let message = |entry: &Option<Arc<Entry>>| {
        entry
            .as_ref()
            .map(|entry| entry.get::<domain::event::Event>().unwrap().message.clone())
    };
    let view = index.read();
    let all = view.changes_after(at(after))?;
    Some(
        all.map(|change| (change.revision.0, message(&change.before), message(&change.after)))
            .collect(),
    )
}

#[test]
fn changes_are_remembered_in_the_order_of_commits_and_only_once_nothing_can_come_before_them() {
    let index = Index::default();
    let text = |text: &str| Some(text.to_owned());
    index.apply(at(1), vec![put(event("a")), put(user("x", "is not watched"))]);
    index.apply(at(3), vec![put(event("c"))]);
    assert_eq!(changes(&index, 0).unwrap(), [(1, None, text("a"))]);
    index.apply(at(2), vec![IndexChange::Delete(Key::new(Kind::User, "", "x"))]);
    assert_eq!(changes(&index, 1).unwrap(), [(3, text("a"), text("c"))]);
    index.apply(at(4), vec![IndexChange::Delete(event("c").key())]);
    assert_eq!(changes(&index, 3).unwrap(), [(4, text("c"), None)]);
    assert!(changes(&index, 4).unwrap().is_empty());
}

#[test]
fn what_led_up_to_a_state_that_was_taken_over_is_not_known() {
    let index = Index::default();
    index.apply(at(1), vec![put(event("a"))]);
    index.reset(at(7), vec![(at(6), event("f").into())], Vec::new());
    assert!(changes(&index, 6).is_none());
    assert!(changes(&index, 7).unwrap().is_empty());
}

#[test]
fn only_so_many_changes_are_remembered() {
    let index = Index::default();
    for revision in 1..=20_010 {
        index.apply(at(revision), vec![put(event(&revision.to_string()))]);
    }
    assert!(changes(&index, 9).is_none());
    assert_eq!(changes(&index, 10).unwrap().len(), 20_000);
}
