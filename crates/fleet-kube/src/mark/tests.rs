use super::*;
use proptest::prelude::*;

fn is_label_value(text: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_alphanumeric();
    text.len() <= 63
        && text.chars().all(|c| is_edge(c) || "-_.".contains(c))
        && (text.is_empty() || (text.starts_with(is_edge) && text.ends_with(is_edge)))
}

#[test]
fn short_names_are_their_own_slugs_and_long_ones_are_cut() {
    assert_eq!(own_slug("os-node-created-zlncn"), "os-node-created-zlncn");
    let long = format!("pool-{}", "a".repeat(92));
    let cut = slug(&long, "0193");
    assert_eq!(cut.len(), 63);
    assert!(cut.starts_with("pool-aaaa"));
    assert_ne!(cut, slug(&long, "0194"));
}

#[test]
fn objects_of_a_pool_are_named_by_its_uid() {
    let name = |uid: &str| object_name(&Uid::from_text(uid), "-train");
    let (one, other) = (name("0193a1b2c3d4e5f60193a1b2c3d4e5f6"), name("0193a1b2c3d4e5f60193a1b2c3d4e5f7"));
    assert!(one.starts_with("pk-") && one.ends_with("-train") && one.len() == 21);
    assert_ne!(one, other, "though both were made in one millisecond");
}

#[test]
fn annotations_are_read_as_they_were_written() {
    let action = Action {
        is_heard: true,
        id: 3,
        kind: ActionKind::Reboot,
        step: Step::Empty,
        since: Timestamp::UNIX_EPOCH,
        before: Some("b".to_owned()),
        image: None,
        runtime: None,
        to: None,
    };
    let annotations = BTreeMap::from([(ACTION.to_owned(), write(&action)), (EPOCH.to_owned(), "42".to_owned())]);
    assert_eq!(read::<Action>(Some(&annotations), ACTION), Some(action));
    assert_eq!((epoch(Some(&annotations)), epoch(None)), (42, 0));
    assert_eq!(read::<Restore>(Some(&annotations), RESTORE), None);
}

proptest! {
    #[test]
    fn every_slug_is_the_value_of_a_label(name in ".{1,100}") {
        let slug = own_slug(&name);
        prop_assert!(!slug.is_empty() && is_label_value(&slug), "{}", slug);
    }
}
