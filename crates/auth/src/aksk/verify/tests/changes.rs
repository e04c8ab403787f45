//! Properties: what is signed is accepted, what is changed is noticed, and no bytes are too odd to be read.

use super::*;
use crate::aksk::canonical::{canonical_path, canonical_query};
use proptest::prelude::*;
use proptest::sample::Index;

/// A change on the way.
#[derive(Debug, Clone)]
enum Change {
    Method,
    Path(Index, char),
    PathEnd,
    Query(Index, char),
    QueryEnd,
    HeaderValue(Index, u8),
    HeaderEnd(Index),
    HeaderGone(Index),
    HeaderUnlisted,
    Body(Index, u8),
    BodyEnd(u8),
    Date,
    Signature(Index, u8),
    AccessKey,
}

fn any_change() -> impl Strategy<Value = Change> {
    let glyph = || prop_oneof![Just('%'), Just('/'), Just('+'), Just('='), Just('&'), any::<char>()];
    prop_oneof![
        Just(Change::Method),
        (any::<Index>(), glyph()).prop_map(|(at, to)| Change::Path(at, to)),
        Just(Change::PathEnd),
        (any::<Index>(), glyph()).prop_map(|(at, to)| Change::Query(at, to)),
        Just(Change::QueryEnd),
        (any::<Index>(), 1..=255_u8).prop_map(|(at, by)| Change::HeaderValue(at, by)),
        any::<Index>().prop_map(Change::HeaderEnd),
        any::<Index>().prop_map(Change::HeaderGone),
        Just(Change::HeaderUnlisted),
        (any::<Index>(), 1..=255_u8).prop_map(|(at, by)| Change::Body(at, by)),
        any::<u8>().prop_map(Change::BodyEnd),
        Just(Change::Date),
        (any::<Index>(), 1..=255_u8).prop_map(|(at, by)| Change::Signature(at, by)),
        Just(Change::AccessKey),
    ]
}

impl Change {
    /// Makes the change. `false`: it would leave the request as it was in the eyes of the signature.
    fn apply(&self, request: &mut Sent) -> bool {
        let before = request.clone();
        match self {
            Self::Method => request.method = if request.method == "GET" { "POST" } else { "GET" }.to_owned(),
            Self::Path(at, to) => replace_char(&mut request.path, *at, *to),
            Self::PathEnd => request.path.push('x'),
            Self::Query(at, to) => replace_char(&mut request.query, *at, *to),
            Self::QueryEnd => request.query.push_str("&zz=1"),
            Self::HeaderValue(at, by) => {
                // Not in `Authorization`, which stands last: there are changes of their own for its parts.
                let index = at.index(request.headers.len() - 1);
                let value = &mut request.headers[index].1;
                let place = at.index(value.len());
                value[place] ^= by;
            }
            Self::HeaderEnd(at) => {
                let index = at.index(request.headers.len());
                request.headers[index].1.push(b'x');
            }
            Self::HeaderGone(at) => {
                let index = at.index(request.headers.len());
                request.headers.remove(index);
            }
            Self::HeaderUnlisted => {
                let listed = request.headers[0].0.clone() + ";";
                request.replace("authorization", &listed, "");
            }
            Self::Body(at, by) if !request.body.is_empty() => {
                let index = at.index(request.body.len());
                request.body[index] ^= by;
            }
            Self::Body(_, by) | Self::BodyEnd(by) => request.body.push(*by),
            Self::Date => request.replace("x-sdk-date", "023112", "023113"),
            Self::Signature(at, by) => {
                let mut text = request.text("authorization");
                let start = text.rfind('=').unwrap() + 1;
                let mut signature = hex::decode(&text[start..]).unwrap();
                let index = at.index(signature.len());
                signature[index] ^= by;
                text.replace_range(start.., &hex::encode(signature));
                *request.value("authorization") = text.into_bytes();
            }
            Self::AccessKey => request.replace("authorization", "AK1", "AK2"),
        }
        !means_the_same(&before, request)
    }
}

fn replace_char(text: &mut String, at: Index, to: char) {
    let mut chars: Vec<char> = text.chars().collect();
    if chars.is_empty() {
        chars.push(to);
    } else {
        let index = at.index(chars.len());
        chars[index] = to;
    }
    *text = chars.into_iter().collect();
}

fn means_the_same(a: &Sent, b: &Sent) -> bool {
    let trimmed = |sent: &Sent| -> Vec<(String, Vec<u8>)> {
        let headers = sent.headers.iter();
        headers.map(|(name, value)| (name.clone(), value.trim_ascii().to_vec())).collect()
    };
    let is_same_path = canonical_path(&a.path) == canonical_path(&b.path);
    let is_same_query = canonical_query(&a.query) == canonical_query(&b.query);
    a.method == b.method && is_same_path && is_same_query && trimmed(a) == trimmed(b) && a.body == b.body
}

fn any_plain() -> impl Strategy<Value = Plain> {
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE"]);
    let path = "(/(\\PC|%[0-9a-fA-F]{0,2}){0,6}){0,4}";
    let query = "((\\PC|%[0-9a-fA-F]{0,2}|[&=+]){0,12})";
    let value = prop::collection::vec(prop_oneof![0x20..0x7f_u8, 0x80..=0xff_u8], 1..12);
    let headers = prop::collection::btree_map("[a-w][a-z0-9-]{0,8}", value, 1..5);
    let body = prop::collection::vec(any::<u8>(), 0..20);
    (method, path, query, headers, body).prop_map(|(method, path, query, headers, body)| Plain {
        method,
        path,
        query,
        headers: headers.into_iter().collect(),
        body,
    })
}

fn any_signer(payloads: &'static [Payload]) -> impl Strategy<Value = Signer> {
    (prop::sample::select(payloads), any::<bool>(), any::<bool>()).prop_map(|(payload, is_derived, has_token)| {
        let mut signer = signer().with_payload(payload);
        if is_derived {
            signer = signer.derived_for("eu-de", "modelarts");
        }
        if has_token {
            signer = signer.with_security_token(SecretString::from("TOK"));
        }
        signer
    })
}

proptest! {
    #[test]
    fn what_was_signed_is_accepted(plain in any_plain(), signer in any_signer(&[Payload::Hashed, Payload::Declared, Payload::Unsigned])) {
        prop_assert!(Sent::signed(&plain, &signer).is_accepted());
    }

    #[test]
    fn another_secret_is_never_accepted(plain in any_plain(), secret in "\\PC{0,20}") {
        prop_assume!(secret != SECRET);
        let claim = Sent::signed(&plain, &signer()).read().unwrap().unwrap();
        prop_assert!(!claim.is_signed_with(&SecretString::from(secret)));
    }

    #[test]
    fn a_change_of_any_signed_part_is_noticed(
        plain in any_plain(), signer in any_signer(&[Payload::Hashed, Payload::Declared]), change in any_change(),
    ) {
        let mut request = Sent::signed(&plain, &signer);
        prop_assume!(change.apply(&mut request));
        let is_still_derived_for_ak1 = matches!(change, Change::AccessKey) && request.text("authorization").starts_with("SDK");
        if is_still_derived_for_ak1 {
            // The id is no part of a plain signature: another id means another secret.
            let claim = request.read().unwrap().unwrap();
            prop_assert_eq!(claim.access_key(), &key_id("AK2"));
        } else {
            prop_assert!(!request.is_accepted(), "{:?}", request);
        }
    }

    #[test]
    fn a_change_that_means_the_same_is_accepted(plain in any_plain(), change in any_change()) {
        let signed = Sent::signed(&plain, &signer());
        let mut request = signed.clone();
        let is_changed = change.apply(&mut request);
        if !is_changed && signed.headers == request.headers {
            prop_assert!(request.is_accepted());
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(
        authorization in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            "(SDK-HMAC-SHA256|V11-HMAC-SHA256|SDK-\\PC{0,4}) ?((Access|Credential|SignedHeaders|Signature)=[\\PC/;0-9a-f]{0,66},? ?){0,4}"
                .prop_map(String::into_bytes),
            "SDK-HMAC-SHA256 Access=AK1, SignedHeaders=x-sdk-date(;[ab\u{e9}]){0,3}, Signature=[0-9a-f]{64}".prop_map(String::into_bytes),
        ],
        date in prop_oneof![
            Just(b"20261121T023112Z".to_vec()),
            prop::collection::vec(any::<u8>(), 0..20),
            "[0-9]{8}T[0-9]{6}Z".prop_map(String::into_bytes),
        ],
        headers in prop::collection::vec(("[ab]|x-sdk-content-sha256|\u{e9}", prop::collection::vec(any::<u8>(), 0..10)), 0..4),
        (path, query) in ("\\PC{0,12}", "(\\PC|%[0-9a-f]?){0,12}"),
    ) {
        let mut headers = headers;
        headers.push(("authorization".to_owned(), authorization));
        headers.push(("x-sdk-date".to_owned(), date));
        let request = Sent { method: "GET".to_owned(), path, query, headers, body: vec![] };
        prop_assert!(!request.is_accepted());
    }

    #[test]
    fn a_date_is_read_back(second in 0..253_402_207_200_i64) {
        let instant = Timestamp::from_second(second).unwrap();
        let text = instant.strftime("%Y%m%dT%H%M%SZ").to_string();
        prop_assert_eq!(parse_date(&text), Some(instant));
    }
}
