//! What must hold of everything that reads what strangers send, whatever the bytes. Each function takes arbitrary bytes and
//! panics where a property is broken; the fuzzer looks for such bytes, and the tests run those that it has found.
#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a broken property panics")]

use auth::{BodyDigest, Claim, RequestView};
use domain::field::FieldErrors;
use domain::label::Selector;
use domain::pool::Pool;
use domain::pool::validate::{apply_edit, check_create};
use jiff::Timestamp;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;
use wire::query::Query;

/// A property by name.
pub type Property = fn(&[u8]);

pub const PROPERTIES: [(&str, Property); 4] = [("signature", signature), ("selector", selector), ("pool", pool), ("query", query)];

/// Method, path, query, body and headers, one a line. Reading a signature ends in a claim or an error, and no claim is good
/// for two secrets.
pub fn signature(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut text = || lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let (Some(method), Some(path), Some(query), Some(body)) = (text(), text(), text(), text()) else {
        return;
    };
    let headers: Vec<(String, Vec<u8>)> = lines
        .filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b':')?;
            let name = std::str::from_utf8(&line[..at]).ok()?;
            Some((name.trim().to_lowercase(), line[at + 1..].trim_ascii().to_vec()))
        })
        .collect();
    let request = RequestView {
        method,
        path,
        query,
        headers: &headers,
        body: BodyDigest::of(body.as_bytes()),
        now: Timestamp::from_second(1_800_000_000).expect("a time"),
    };
    if let Ok(Some(claim)) = Claim::read(&request, Duration::from_hours(1_000_000)) {
        let [one, other] = ["one secret", "another secret"].map(|secret| claim.is_signed_with(&SecretString::from(secret)));
        assert!(!(one && other), "a signature is good for two secrets");
        assert_eq!(claim.canonical_sha256().len(), 64);
    }
}

/// A selector is refused, or means the same when it is written out and read again.
pub fn selector(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let labels = [("a", "b"), ("os.modelarts/name", "pool"), ("empty", "")];
    let labels: BTreeMap<String, String> = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    match Selector::parse(text) {
        Ok(selector) => {
            let written = selector.to_string();
            let again = Selector::parse(&written).expect("what is written can be read");
            assert_eq!(selector, again, "{written}");
            assert_eq!(selector.matches_map(&labels), again.matches_map(&labels));
        }
        Err(error) => assert!((1..=text.chars().count() + 1).contains(&error.at), "{error}"),
    }
}

static POOL: LazyLock<Pool> = LazyLock::new(|| serde_json::from_str(include_str!("pool.json")).expect("a pool"));

/// A body is refused with a path, or is a request that can be checked. As a patch of a pool it leads to a pool that the
/// same patch leaves as it is, unless it names an increment.
pub fn pool(bytes: &[u8]) {
    let Ok(body) = wire::json::parse(bytes) else { return };
    match wire::pool::decode_create(&body) {
        Ok(draft) => drop(check_create(&draft)),
        Err(errors) => assert_told(&errors),
    }
    let edit = match wire::pool::decode_patch(&POOL, &body) {
        Ok(edit) => edit,
        Err(errors) => return assert_told(&errors),
    };
    let change = match apply_edit(&POOL, &edit) {
        Ok(change) => change,
        Err(errors) => return assert_told(&errors),
    };
    let shown = serde_json::to_value(wire::pool::Pool::from(&change.next)).expect("a pool can be shown");
    assert!(shown.is_object());
    let again = wire::pool::decode_patch(&change.next, &body).expect("a patch is good twice");
    let second = match apply_edit(&change.next, &again) {
        Ok(second) => second,
        // On a scale-out, zones that add up to the difference are an increment (contract pools §3.2).
        Err(errors) => return assert!(errors.to_string().contains("azs"), "the second time is refused: {errors}"),
    };
    assert_eq!(second.next.spec, change.next.spec, "the second time changes the spec");
    assert_eq!(second.next.labels, change.next.labels);
    assert_eq!(second.next.annotations, change.next.annotations);
}

fn assert_told(errors: &FieldErrors) {
    assert!(!errors.is_empty(), "refused without a reason");
    assert!(!errors.to_string().is_empty());
}

/// A query is refused, or gives page sizes, times and texts within their bounds.
pub fn query(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(query) = Query::parse(text) else { return };
    let mut errors = FieldErrors::new();
    for name in ["limit", "offset", "startTime", "endTime", "start_time", "end_time", "since", "a"] {
        if let Some(limit) = query.limit(name, 500, &mut errors) {
            assert!((1..=500).contains(&limit), "{limit}");
        }
        if let Some(at) = query.timestamp(name, &mut errors) {
            assert!(at >= Timestamp::UNIX_EPOCH, "{at}");
        }
        let _boolean = query.boolean(name, &mut errors);
    }
    if let Some(selector) = query.get("labelSelector") {
        self::selector(selector.as_bytes());
    }
}
