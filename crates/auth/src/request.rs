//! A request as authentication sees it: nothing decoded, nothing normalised.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// What a credential is checked against. The check is a pure function of this and of the credential.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    pub method: &'a str,
    /// The path as received, escapes and all, without the query.
    pub path: &'a str,
    /// The query as received, without the `?`; empty if there is none.
    pub query: &'a str,
    pub headers: &'a dyn Headers,
    pub body: BodyDigest,
    pub now: Timestamp,
}

/// Read access to the headers of a request, whatever type the HTTP library keeps them in.
pub trait Headers {
    /// The header called `name`, which callers give in lower case.
    fn find(&self, name: &str) -> HeaderField<'_>;
}

/// What stands under one header name. A header that decides about access must be unambiguous, so repeated ones are
/// told apart from single ones instead of choosing one of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderField<'a> {
    Absent,
    One(&'a [u8]),
    Repeated,
}

impl<'a> HeaderField<'a> {
    /// From all values under one name.
    pub fn of(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut values = values.into_iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => Self::One(value),
            (Some(_), Some(_)) => Self::Repeated,
        }
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for [(N, V)] {
    fn find(&self, name: &str) -> HeaderField<'_> {
        let same_name = self.iter().filter(|(own, _)| own.as_ref().eq_ignore_ascii_case(name));
        HeaderField::of(same_name.map(|(_, value)| value.as_ref()))
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for Vec<(N, V)> {
    fn find(&self, name: &str) -> HeaderField<'_> {
        self.as_slice().find(name)
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>, const COUNT: usize> Headers for [(N, V); COUNT] {
    fn find(&self, name: &str) -> HeaderField<'_> {
        self.as_slice().find(name)
    }
}

/// SHA-256 of the raw body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyDigest([u8; 32]);

impl BodyDigest {
    /// The digest of no bytes at all.
    pub const EMPTY: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
        0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]);

    pub fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }

    /// From a hash that was computed while the body arrived.
    pub fn from_sha256(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    pub fn is_empty(self) -> bool {
        self == Self::EMPTY
    }

    /// Lower-case hexadecimal.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_body_without_bytes_is_empty() {
        assert_eq!(BodyDigest::of(b""), BodyDigest::EMPTY);
        assert!(BodyDigest::of(b"").is_empty());
        assert!(!BodyDigest::of(b" ").is_empty());
        assert_eq!(
            BodyDigest::EMPTY.to_hex(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn headers_are_found_by_name_in_any_case_and_repetition_is_seen() {
        let headers = [("Host", "a"), ("X-Two", "1"), ("x-two", "2")];
        assert_eq!(headers.find("host"), HeaderField::One(b"a"));
        assert_eq!(headers.find("x-two"), HeaderField::Repeated);
        assert_eq!(headers.find("x-none"), HeaderField::Absent);
    }
}
