//! The end of a certificate's validity. Nothing else of it is of interest here, so it is read by walking to it.

use jiff::Timestamp;
use jiff::civil::DateTime;

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

/// `notAfter` of a certificate in DER (RFC 5280 §4.1); `None` if it is no certificate.
pub(super) fn end(certificate: &[u8]) -> Option<Timestamp> {
    let (tag, whole, _) = element(certificate)?;
    let (inner, signed, _) = element(expect(tag, SEQUENCE, whole)?)?;
    let mut rest = expect(inner, SEQUENCE, signed)?;
    let (first, _, after) = element(rest)?;
    if first == VERSION {
        rest = after;
    }
    // Serial number, algorithm, issuer.
    for wanted in [INTEGER, SEQUENCE, SEQUENCE] {
        let (tag, _, after) = element(rest)?;
        rest = expect(tag, wanted, after)?;
    }
    let (tag, validity, _) = element(rest)?;
    let (_, _, after) = element(expect(tag, SEQUENCE, validity)?)?;
    let (tag, text, _) = element(after)?;
    moment(tag, std::str::from_utf8(text).ok()?)
}

fn expect(tag: u8, wanted: u8, rest: &[u8]) -> Option<&[u8]> {
    (tag == wanted).then_some(rest)
}

/// Tag, content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = if short < 0x80 {
        (usize::from(short), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        let length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
        (length, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// Both forms in the only spelling that certificates may use: to the second, in UTC.
fn moment(tag: u8, text: &str) -> Option<Timestamp> {
    let text = match tag {
        // Two digits of the year: 1950 to 2049.
        UTC_TIME => format!("{}{text}", if text.get(..2)? < "50" { "20" } else { "19" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let at = DateTime::strptime("%Y%m%d%H%M%SZ", &text).ok()?;
    at.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|at| at.timestamp())
}
