//! Reading single records and listings.

use super::{body, commit, key, limit, put};
use crate::batch::Expect;
use crate::object::Kind;
use crate::port::{Key, Record, Store};
use std::sync::Arc;

pub async fn what_was_never_put_is_not_there(store: Arc<dyn Store>) {
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    assert_eq!(store.revision().await.unwrap().0, 0);
    let page = store.list(Kind::Node, None, limit(10)).await.unwrap();
    assert!(page.records.is_empty() && !page.has_more);
    assert!(store.counters().await.unwrap().is_empty());
}

pub async fn what_was_put_is_read_back(store: Arc<dyn Store>) {
    let committed = commit(&store, [put(&key("a"), "one", Expect::Absent), put(&key("b"), "two", Expect::Any)]).await;
    let record = store.get(&key("a")).await.unwrap();
    assert_eq!(
        record,
        Some(Record {
            key: key("a"),
            revision: committed.revision,
            body: Arc::from("one")
        })
    );
    // The three parts of a key are all part of it.
    for other in [
        Key::new(Kind::Pool, "p1", "a"),
        Key::new(Kind::Node, "p2", "a"),
        Key::new(Kind::Node, "", "a"),
        key("A"),
    ] {
        assert_eq!(store.get(&other).await.unwrap(), None, "{other}");
    }
    let again = commit(&store, [put(&key("a"), "three", Expect::At(committed.revision))]).await;
    assert_eq!(body(&store, &key("a")).await.as_deref(), Some("three"));
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().revision, again.revision);
    assert_eq!(body(&store, &key("b")).await.as_deref(), Some("two"));
}

pub async fn every_text_survives(store: Arc<dyn Store>) {
    let long = "0123456789abcdef".repeat(65_536);
    let texts = [
        "",
        " ",
        "'",
        "\"",
        "''; DROP TABLE object; --",
        "%",
        "_",
        "\\",
        "\\u0000",
        "$1",
        "?",
        ":name",
        "{\"a\": \"b\"}",
        "\n\r\t",
        "ä",
        "ß",
        "日本語",
        "🦀",
        "\u{7f}\u{1}",
        "e\u{301}",
        "\u{feff}",
        "\u{10ffff}",
        &long,
    ];
    for (i, text) in texts.iter().enumerate() {
        let name = if text.len() > 1000 { "long" } else { text };
        let key = Key::new(Kind::Workspace, text.get(..4).unwrap_or(name), name);
        commit(&store, [put(&key, text, Expect::Absent)]).await;
        assert_eq!(body(&store, &key).await.as_deref(), Some(*text), "text {i}");
    }
    let page = store.list(Kind::Workspace, None, limit(100)).await.unwrap();
    assert_eq!(page.records.len(), texts.len());
    assert!(page.records.is_sorted_by(|a, b| a.key < b.key), "not in the order of bytes");
}

pub async fn a_list_has_one_kind_in_key_order(store: Arc<dyn Store>) {
    // The order of bytes, which is not that of any language.
    let names = [
        "a", "B", "b", "A", "a-", "a-1", "a.", "a0", "aa", "_", "ä", "Z", "~", "-", "10", "9",
    ];
    let mut expected = Vec::new();
    for name in names {
        for project in ["p2", "p1", ""] {
            let key = Key::new(Kind::Order, project, name);
            commit(
                &store,
                [
                    put(&key, name, Expect::Absent),
                    put(&Key::new(Kind::Pool, project, name), "x", Expect::Absent),
                ],
            )
            .await;
            expected.push(key);
        }
    }
    expected.sort();
    let page = store.list(Kind::Order, None, limit(1000)).await.unwrap();
    let keys: Vec<_> = page.records.iter().map(|record| record.key.clone()).collect();
    assert_eq!(keys, expected);
    assert!(page.records.iter().all(|record| *record.body == *record.key.name));
    assert!(!page.has_more);
}

pub async fn a_list_is_read_in_pages(store: Arc<dyn Store>) {
    let keys: Vec<_> = (0..7).map(|i| key(format!("n{i}"))).collect();
    commit(&store, keys.iter().map(|key| put(key, "x", Expect::Absent))).await;
    for size in 1..=8 {
        let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = store.list(Kind::Node, after.as_ref(), limit(size)).await.unwrap();
            pages += 1;
            assert!(page.records.len() <= size as usize);
            found.extend(page.records.iter().map(|record| record.key.clone()));
            after = found.last().cloned();
            if !page.has_more {
                break;
            }
        }
        assert_eq!(found, keys, "pages of {size}");
        assert_eq!(pages, 7_u32.div_ceil(size), "pages of {size}");
    }
}

pub async fn a_list_starts_after_any_key(store: Arc<dyn Store>) {
    let keys = [Key::new(Kind::Node, "", ""), key("b"), Key::new(Kind::Node, "p2", "a")];
    commit(&store, keys.iter().map(|key| put(key, "x", Expect::Absent))).await;
    for (after, expected) in [
        (Key::new(Kind::Node, "", ""), &keys[1..]),
        (key("a"), &keys[1..]),
        (key("b"), &keys[2..]),
        (key("c"), &keys[2..]),
        (Key::new(Kind::Node, "p2", "b"), &keys[3..]),
        // Kinds have an order too: all nodes come after a pool and before an order.
        (Key::new(Kind::Pool, "p9", "z"), &keys[..]),
        (Key::new(Kind::Order, "", ""), &keys[3..]),
    ] {
        let page = store.list(Kind::Node, Some(&after), limit(10)).await.unwrap();
        let found: Vec<_> = page.records.into_iter().map(|record| record.key).collect();
        assert_eq!(found, expected, "after {after}");
    }
}
