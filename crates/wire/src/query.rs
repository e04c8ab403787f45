//! Query strings (contract README §5 and §7, clients §6).

use domain::field::{FieldErrors, FieldPath, Reason};
use jiff::Timestamp;

/// Names and values in the order in which they were sent.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Empty pairs are dropped, each pair is split at its first `=`, `%XX` and `+` are decoded.
    pub fn parse(raw: &str) -> Result<Self, FieldErrors> {
        let mut pairs = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decode(name), decode(value)) {
                (Some(name), Some(value)) => pairs.push((name, value)),
                _ => return Err(FieldErrors::one(FieldPath::root(), Reason::Invalid, "the query is not UTF-8")),
            }
        }
        Ok(Self(pairs))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    fn sent(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|text| !text.is_empty())
    }

    pub fn integer(&self, name: &str, min: i64, max: i64, errors: &mut FieldErrors) -> Option<i64> {
        let text = self.sent(name)?;
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            let bound = if max == i64::MAX {
                format!("must be an integer of at least {min}")
            } else {
                format!("must be an integer from {min} to {max}")
            };
            errors.push(FieldPath::of(name), Reason::Invalid, bound);
        }
        number
    }

    /// A page size: 0 and everything above the maximum mean the maximum.
    pub fn limit(&self, name: &str, maximum: usize, errors: &mut FieldErrors) -> Option<usize> {
        let text = self.sent(name)?;
        if text.parse::<i64>().is_err() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            // An integer, even if it is larger than the type.
            return Some(maximum);
        }
        let limit = self.integer(name, 0, i64::MAX, errors)?;
        Some(
            usize::try_from(limit)
                .ok()
                .filter(|limit| *limit > 0)
                .map_or(maximum, |limit| limit.min(maximum)),
        )
    }

    pub fn boolean(&self, name: &str, errors: &mut FieldErrors) -> Option<bool> {
        match self.sent(name)? {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                errors.push(FieldPath::of(name), Reason::Invalid, "must be true or false");
                None
            }
        }
    }

    /// Seconds below 100 000 000 000, milliseconds from there on.
    pub fn timestamp(&self, name: &str, errors: &mut FieldErrors) -> Option<Timestamp> {
        let number = self.integer(name, 0, i64::MAX, errors)?;
        let at = if number < 100_000_000_000 {
            Timestamp::from_second(number)
        } else {
            Timestamp::from_millisecond(number)
        };
        if at.is_err() {
            errors.push(FieldPath::of(name), Reason::Invalid, "is not a time");
        }
        at.ok()
    }
}

fn decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'+' => plain.push(b' '),
            b'%' => match bytes.get(at + 1..at + 3).and_then(hex_byte) {
                Some(byte) => {
                    plain.push(byte);
                    at += 2;
                }
                None => plain.push(b'%'),
            },
            byte => plain.push(byte),
        }
        at += 1;
    }
    String::from_utf8(plain).ok()
}

/// Two hexadecimal digits.
fn hex_byte(digits: &[u8]) -> Option<u8> {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    match digits {
        [high, low] => Some(value(*high)? * 16 + value(*low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
