//! The one form of a request that client and server both sign. Pure and total: any bytes give some canonical form.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use std::borrow::Cow;

/// Everything but `A–Z a–z 0–9 - _ . ~` is escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What a canonical request is made of.
pub struct Parts<'a> {
    pub method: &'a str,
    /// Raw, without the query.
    pub path: &'a str,
    /// Raw, without the `?`.
    pub query: &'a str,
    /// Name in lower case and raw value of every signed header, in the order of `signed_headers`.
    pub headers: &'a [(String, &'a [u8])],
    /// The list of names as it stands in the `Authorization` header.
    pub signed_headers: &'a str,
    /// Hash of the body in hexadecimal, or what stands in its place.
    pub body: &'a str,
}

/// The canonical request, whose hash is signed.
pub fn canonical_request(parts: &Parts<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for line in [
        &parts.method.to_ascii_uppercase(),
        &canonical_path(parts.path),
        &canonical_query(parts.query),
    ] {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    for (name, value) in parts.headers {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        out.extend_from_slice(value.trim_ascii());
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(parts.signed_headers.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(parts.body.as_bytes());
    out
}

/// The path decoded as a whole, then escaped segment by segment, with a slash at its end. An escaped slash thus counts
/// as a separator here (clients §1, step 2), although it does not for routing.
pub fn canonical_path(raw: &str) -> String {
    let decoded: Vec<u8> = percent_decode(raw.as_bytes()).collect();
    let mut out = String::with_capacity(raw.len() + 1);
    for (index, segment) in decoded.split(|byte| *byte == b'/').enumerate() {
        if index > 0 {
            out.push('/');
        }
        out.extend(percent_encode(segment, ESCAPED));
    }
    if !out.ends_with('/') {
        out.push('/');
    }
    out
}

/// The pairs of the query, sorted by decoded name and value. Empty pairs do not count; a name alone has an empty value.
pub fn canonical_query(raw: &str) -> String {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = raw.split('&').filter(|pair| !pair.is_empty()).map(decode_pair).collect();
    pairs.sort_unstable();
    let mut out = String::with_capacity(raw.len());
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push('&');
        }
        out.extend(percent_encode(name, ESCAPED));
        out.push('=');
        out.extend(percent_encode(value, ESCAPED));
    }
    out
}

fn decode_pair(pair: &str) -> (Vec<u8>, Vec<u8>) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (decode_form(name), decode_form(value))
}

/// `%XX` and `+` for a space; an escape that is none stays as it is.
fn decode_form(text: &str) -> Vec<u8> {
    let spaced: Cow<'_, str> = if text.contains('+') {
        text.replace('+', " ").into()
    } else {
        text.into()
    };
    percent_decode(spaced.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_decoded_whole_and_end_in_a_slash() {
        for (raw, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("/v2/p/pools", "/v2/p/pools/"),
            ("/v2/p/pools/", "/v2/p/pools/"),
            ("/pools/a%2Fb%20c", "/pools/a/b%20c/"),
            ("/pools/a%2fb", "/pools/a/b/"),
            ("/%7Bproject_id%7D/pools", "/%7Bproject_id%7D/pools/"),
            ("/a//b", "/a//b/"),
            ("/ä/%c3%a4", "/%C3%A4/%C3%A4/"),
            ("/a+b:c@d", "/a%2Bb%3Ac%40d/"),
            ("/-_.~", "/-_.~/"),
            ("/100%/%zz/%f", "/100%25/%25zz/%25f/"),
            ("/%ff", "/%FF/"),
            ("/%2525", "/%2525/"),
            ("/a%3Fb", "/a%3Fb/"),
        ] {
            assert_eq!(canonical_path(raw), canonical, "{raw}");
        }
    }

    #[test]
    fn queries_are_sorted_by_their_decoded_text() {
        for (raw, canonical) in [
            ("", ""),
            ("&", ""),
            ("&a=b", "a=b"),
            ("b=2&a=1&&", "a=1&b=2"),
            ("a=2&a=1&a", "a=&a=1&a=2"),
            (
                "limit=500&labelSelector=os.modelarts/name=x",
                "labelSelector=os.modelarts%2Fname%3Dx&limit=500",
            ),
            ("q=a+b", "q=a%20b"),
            ("q=a%2Bb", "q=a%2Bb"),
            // Escaped, `a~` would sort behind `a%7F`; the order is that of the decoded bytes.
            ("a%7F=2&a~=1", "a~=1&a%7F=2"),
            ("=v", "=v"),
            ("q=%zz%4&q=%", "q=%25&q=%25zz%254"),
        ] {
            assert_eq!(canonical_query(raw), canonical, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn canonical_forms_are_their_own_canonical_form(text in "(\\PC|%[0-9a-fA-F]{0,2}|[/&=+]){0,24}") {
            let path = canonical_path(&text);
            prop_assert_eq!(canonical_path(&path), path.as_str());
            prop_assert!(path.is_ascii());
            let query = canonical_query(&text);
            prop_assert_eq!(canonical_query(&query), query.as_str());
            prop_assert!(query.is_ascii());
        }

        #[test]
        fn the_order_of_pairs_does_not_matter(pairs in prop::collection::vec("[a-c%+=]{0,4}", 0..6)) {
            let forwards = pairs.join("&");
            let backwards = pairs.iter().rev().cloned().collect::<Vec<_>>().join("&");
            prop_assert_eq!(canonical_query(&forwards), canonical_query(&backwards));
        }
    }
}
