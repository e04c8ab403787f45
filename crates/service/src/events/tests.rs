use super::*;
use domain::event::EventReason;
use domain::meta::{Revision, Uid};
use store::index::{Index, IndexChange};

const POOL: &str = "01a1";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// One event for each letter, told in the second of its sequence; capital letters warn.
fn index(letters: &str) -> Index {
    let index = Index::default();
    for (sequence, letter) in (1..).zip(letters.chars()) {
        let at = at(i64::try_from(sequence).unwrap());
        let event = Event {
            pool: Uid::from_text(POOL),
            sequence,
            is_warning: letter.is_uppercase(),
            reason: EventReason::PoolStatusChange,
            message: letter.to_string(),
            first_at: at,
            last_at: at,
            count: 1,
        };
        index.apply(Revision(sequence), vec![IndexChange::Put(event.into())]);
    }
    index
}

fn history(letters: &str, oldest: i64) -> History {
    History::of(&mut index(letters).read().entries(Facet::EventsOfPool, POOL), at(oldest))
}

fn filter(is_ascending: bool, begin: Begin, limit: usize) -> EventFilter {
    EventFilter {
        pool: String::new(),
        is_warning: None,
        since: None,
        until: None,
        is_ascending,
        begin,
        limit,
    }
}

/// Letters with their counts, the number of all, and whether it was the last page.
fn page(letters: &str, filter: &EventFilter) -> (String, usize, bool) {
    let page = filter.page(Arc::new(history(letters, 0)));
    let shown = page
        .items()
        .map(|event| format!("{}{}", event.told.first.message, event.told.count));
    (shown.collect(), page.total, page.is_last)
}

#[test]
fn pages_follow_each_other_in_both_orders() {
    let offset = Begin::Offset;
    assert_eq!(page("abbC", &filter(false, offset(0), 9)), ("C1b2a1".to_owned(), 3, true));
    assert_eq!(page("abbC", &filter(true, offset(1), 1)), ("b2".to_owned(), 3, false));
    assert_eq!(page("abbC", &filter(false, offset(2), 1)), ("a1".to_owned(), 3, true));
    assert_eq!(page("abbC", &filter(false, offset(7), 1)), (String::new(), 3, true));
    // The sequence numbers of what is shown are 1, 2 and 4.
    assert_eq!(page("abbC", &filter(false, Begin::After(4), 1)), ("b2".to_owned(), 3, false));
    assert_eq!(page("abbC", &filter(false, Begin::After(2), 9)), ("a1".to_owned(), 3, true));
    assert_eq!(page("abbC", &filter(true, Begin::After(1), 1)), ("b2".to_owned(), 3, false));
    assert_eq!(page("abbC", &filter(true, Begin::After(2), 9)), ("C1".to_owned(), 3, true));
}

#[test]
fn pages_are_cut_from_what_is_picked_out() {
    let warnings = |is_ascending, begin, limit| EventFilter {
        is_warning: Some(true),
        ..filter(is_ascending, begin, limit)
    };
    assert_eq!(page("aBcDE", &warnings(false, Begin::Offset(1), 1)), ("D1".to_owned(), 3, false));
    assert_eq!(page("aBcDE", &warnings(false, Begin::After(4), 9)), ("B1".to_owned(), 3, true));
    // The event of the token need not be among them.
    assert_eq!(page("aBcDE", &warnings(true, Begin::After(3), 1)), ("D1".to_owned(), 3, false));
    let span = EventFilter {
        since: Some(at(2)),
        until: Some(at(3)),
        ..filter(true, Begin::Offset(0), 9)
    };
    assert_eq!(page("abbC", &span), ("b2".to_owned(), 1, true));
}

#[test]
fn what_becomes_too_old_is_not_shown_any_more() {
    let all = history("abbC", 1);
    assert!(all.is_valid(at(0)) && all.is_valid(at(1)));
    assert!(!all.is_valid(at(2)));
    let part = history("abbC", 3);
    // Of the two that were told in a row, one is left.
    assert_eq!(part.told.iter().map(|event| event.told.count).collect::<Vec<_>>(), [1, 1]);
    assert!(part.is_valid(at(3)));
    assert!(!part.is_valid(at(2)) && !part.is_valid(at(4)));
}
