//! Reading a signed request: everything that can be said about it before its secret is known, and the comparison itself.

use crate::aksk::canonical::{Parts, canonical_request};
use crate::aksk::{AUTHORIZATION, CONTENT_SHA256, SDK_DATE, SECURITY_TOKEN, Scheme, UNSIGNED_PAYLOAD};
use crate::error::{AuthnError, SignatureProblem, TimeProblem, excerpt};
use crate::request::{HeaderField, RequestView};
use domain::name::AccessKeyId;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// What a signed request claims: that the holder of a secret key has signed it, in time.
#[derive(Debug, Clone)]
pub struct Claim {
    access_key: AccessKeyId,
    scheme: Scheme,
    /// `X-Sdk-Date` as sent.
    date: String,
    signature: [u8; 32],
    /// Hash of the canonical request.
    canonical_sha256: [u8; 32],
    /// A second hash that is as good: with an empty body, clients may sign either of two body lines.
    other_canonical_sha256: Option<[u8; 32]>,
    signs_security_token: bool,
}

impl Claim {
    /// Reads a request. `Ok(None)`: it does not carry a signature of this family.
    ///
    /// Fails if the request cannot be right whatever the secret is: malformed headers, another algorithm, a date more
    /// than `skew` away from now, a declared body hash that is not that of the body.
    pub fn read(request: &RequestView<'_>, skew: Duration) -> Result<Option<Self>, AuthnError> {
        let header = match request.headers.find(AUTHORIZATION) {
            HeaderField::Absent => return Ok(None),
            HeaderField::Repeated => return Err(AuthnError::SignatureInvalid(SignatureProblem::Repeated(AUTHORIZATION))),
            HeaderField::One(header) => header,
        };
        let Some(authorization) = Authorization::parse(header).map_err(AuthnError::SignatureInvalid)? else {
            return Ok(None);
        };
        let date = timely_date(request, skew)?;
        Self::of(request, authorization, date)
            .map(Some)
            .map_err(AuthnError::SignatureInvalid)
    }

    fn of(request: &RequestView<'_>, authorization: Authorization<'_>, date: &str) -> Result<Self, SignatureProblem> {
        let Authorization {
            scheme,
            access_key,
            signed_headers,
            signature,
        } = authorization;
        match &scheme {
            Scheme::SdkHmacSha256 => {}
            // A derived key is meant for one day, so it must not sign another one.
            Scheme::V11HmacSha256 { info } if info.split('/').next() == date.get(..8) => {}
            Scheme::V11HmacSha256 { .. } => return Err(SignatureProblem::CredentialDate),
        }
        let headers = signed_values(request, signed_headers)?;
        let signs = |name: &str| headers.iter().any(|(own, _)| own == name);
        if !signs(SDK_DATE) {
            return Err(SignatureProblem::DateNotSigned);
        }
        let hash_with = |body: &str| -> [u8; 32] {
            let RequestView { method, path, query, .. } = *request;
            let parts = Parts {
                method,
                path,
                query,
                headers: &headers,
                signed_headers,
                body,
            };
            Sha256::digest(canonical_request(&parts)).into()
        };
        let (body, other_body) = body_lines(request)?;
        Ok(Self {
            access_key,
            scheme,
            date: date.to_owned(),
            signature,
            canonical_sha256: hash_with(&body),
            other_canonical_sha256: other_body.map(|body| hash_with(&body)),
            signs_security_token: signs(SECURITY_TOKEN),
        })
    }

    /// Whose key the request claims to be signed with.
    pub fn access_key(&self) -> &AccessKeyId {
        &self.access_key
    }

    /// Whether `X-Security-Token` is among the signed headers.
    pub fn signs_security_token(&self) -> bool {
        self.signs_security_token
    }

    /// SHA-256 of the canonical request in hexadecimal, to compare with what a client prints.
    pub fn canonical_sha256(&self) -> String {
        hex::encode(self.canonical_sha256)
    }

    /// Whether this secret made the signature. Takes the same time for every secret of a length and every signature.
    pub fn is_signed_with(&self, secret: &SecretString) -> bool {
        let matches = |hash: &[u8; 32]| {
            let expected = self.scheme.signature(&self.access_key, secret, &self.date, hash);
            expected.ct_eq(&self.signature)
        };
        let mut is_right = matches(&self.canonical_sha256);
        if let Some(other) = &self.other_canonical_sha256 {
            is_right |= matches(other);
        }
        is_right.into()
    }
}

/// The parts of an `Authorization` header.
struct Authorization<'a> {
    scheme: Scheme,
    access_key: AccessKeyId,
    signed_headers: &'a str,
    signature: [u8; 32],
}

impl<'a> Authorization<'a> {
    /// `Ok(None)`: the header belongs to another family of schemes (`Basic`, `Bearer`, …).
    fn parse(header: &'a [u8]) -> Result<Option<Self>, SignatureProblem> {
        let header = header.trim_ascii();
        let end = header.iter().position(u8::is_ascii_whitespace).unwrap_or(header.len());
        let (algorithm, rest) = header.split_at(end);
        if !algorithm.starts_with(b"SDK-") && !algorithm.starts_with(b"V11-") {
            return Ok(None);
        }
        let is_derived = algorithm == Scheme::V11_NAME.as_bytes();
        if !is_derived && algorithm != Scheme::SDK_NAME.as_bytes() {
            return Err(SignatureProblem::Algorithm(excerpt(algorithm)));
        }
        let rest = str::from_utf8(rest).map_err(|_| SignatureProblem::Malformed("not text"))?;
        let fields = Fields::parse(rest)?;
        let (access_key, scheme) = fields.credential(is_derived)?;
        let signature = fields.signature.and_then(decode_signature);
        Ok(Some(Self {
            scheme,
            access_key: AccessKeyId::parse(access_key).map_err(|_| SignatureProblem::Malformed("no usable access key id"))?,
            signed_headers: fields.signed_headers.ok_or(SignatureProblem::Malformed("no signed headers"))?,
            signature: signature.ok_or(SignatureProblem::Malformed("the signature is not 64 lower-case hexadecimal digits"))?,
        }))
    }
}

/// Lower case only, as clients send it: there is one way to write a signature.
fn decode_signature(text: &str) -> Option<[u8; 32]> {
    let mut signature = [0; 32];
    let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    (is_lower && hex::decode_to_slice(text, &mut signature).is_ok()).then_some(signature)
}

/// The `name=value` pairs behind the algorithm.
#[derive(Default)]
struct Fields<'a> {
    access: Option<&'a str>,
    credential: Option<&'a str>,
    signed_headers: Option<&'a str>,
    signature: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn parse(text: &'a str) -> Result<Self, SignatureProblem> {
        let mut fields = Self::default();
        for field in text.split(',') {
            let (name, value) = field
                .trim()
                .split_once('=')
                .ok_or(SignatureProblem::Malformed("not a list of name=value"))?;
            let place = match name {
                "Access" => &mut fields.access,
                "Credential" => &mut fields.credential,
                "SignedHeaders" => &mut fields.signed_headers,
                "Signature" => &mut fields.signature,
                _ => return Err(SignatureProblem::Malformed("unknown field")),
            };
            if place.replace(value).is_some() {
                return Err(SignatureProblem::Malformed("repeated field"));
            }
        }
        Ok(fields)
    }

    /// The access key id and the scheme. Without derivation the id may stand alone or before the first `/` of the older
    /// form; with derivation the rest of the credential is what the key is derived for.
    fn credential(&self, is_derived: bool) -> Result<(&'a str, Scheme), SignatureProblem> {
        match (self.access, self.credential, is_derived) {
            (Some(access), None, false) => Ok((access, Scheme::SdkHmacSha256)),
            (None, Some(credential), false) => {
                let access = credential.split_once('/').map_or(credential, |(access, _)| access);
                Ok((access, Scheme::SdkHmacSha256))
            }
            (None, Some(credential), true) => {
                let (access, info) = credential.split_once('/').unwrap_or((credential, ""));
                let mut parts = info.split('/');
                let [date, region, service] = [parts.next(), parts.next(), parts.next()].map(Option::unwrap_or_default);
                if date.is_empty() || region.is_empty() || service.is_empty() || parts.next().is_some() {
                    return Err(SignatureProblem::Malformed("the credential is not <id>/<date>/<region>/<service>"));
                }
                Ok((access, Scheme::V11HmacSha256 { info: info.to_owned() }))
            }
            (Some(_), None, true) => Err(SignatureProblem::Malformed("a derived key needs Credential")),
            (Some(_), Some(_), _) => Err(SignatureProblem::Malformed("both Access and Credential")),
            (None, None, _) => Err(SignatureProblem::Malformed("neither Access nor Credential")),
        }
    }
}

/// `X-Sdk-Date`, if it is within `skew` of now on either side.
fn timely_date<'a>(request: &RequestView<'a>, skew: Duration) -> Result<&'a str, AuthnError> {
    let headers = request.headers;
    let text = match headers.find(SDK_DATE) {
        HeaderField::Absent => return Err(AuthnError::RequestTime(TimeProblem::Absent)),
        HeaderField::Repeated => return Err(AuthnError::SignatureInvalid(SignatureProblem::Repeated(SDK_DATE))),
        HeaderField::One(text) => text.trim_ascii(),
    };
    let read = str::from_utf8(text).ok().and_then(|text| Some((text, parse_date(text)?)));
    let (text, date) = read.ok_or(AuthnError::RequestTime(TimeProblem::Malformed))?;
    let ahead = date.duration_since(request.now);
    if ahead.unsigned_abs() > skew {
        let ahead_seconds = ahead.as_secs();
        return Err(AuthnError::RequestTime(TimeProblem::Skewed { ahead_seconds }));
    }
    Ok(text)
}

/// `YYYYMMDDTHHMMSSZ`, and nothing looser.
fn parse_date(text: &str) -> Option<Timestamp> {
    let bytes: &[u8; 16] = text.as_bytes().try_into().ok()?;
    let digits_at = |range: std::ops::Range<usize>| -> Option<i16> {
        bytes[range].iter().try_fold(0_i16, |number, byte| {
            let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
            Some(number * 10 + i16::from(digit))
        })
    };
    let two_at = |start: usize| digits_at(start..start + 2).and_then(|number| i8::try_from(number).ok());
    if (bytes[8], bytes[15]) != (b'T', b'Z') {
        return None;
    }
    let year = digits_at(0..4)?;
    let civil = DateTime::new(year, two_at(4)?, two_at(6)?, two_at(9)?, two_at(11)?, two_at(13)?, 0).ok()?;
    Offset::UTC.to_timestamp(civil).ok()
}

/// Name and value of each signed header, in the order of the list.
fn signed_values<'a>(request: &RequestView<'a>, list: &str) -> Result<Vec<(String, &'a [u8])>, SignatureProblem> {
    let headers = request.headers;
    // Naming a long header many times would make a small request cost a lot of hashing before anybody is known.
    let mut seen = BTreeSet::new();
    let mut values = Vec::new();
    for name in list.split(';').map(str::to_ascii_lowercase) {
        match headers.find(&name) {
            HeaderField::Absent => return Err(SignatureProblem::SignedHeaderAbsent(excerpt(name.as_bytes()))),
            HeaderField::Repeated => return Err(SignatureProblem::SignedHeaderRepeated(excerpt(name.as_bytes()))),
            HeaderField::One(value) => values.push((name.clone(), value)),
        }
        if !seen.insert(name) {
            return Err(SignatureProblem::Malformed("a header is listed twice"));
        }
    }
    Ok(values)
}

/// The last line of the canonical request, and a second one that is accepted as well: with an empty body, some clients
/// sign the empty hash although they send `X-Sdk-Content-Sha256` (clients §1, step 5).
fn body_lines(request: &RequestView<'_>) -> Result<(String, Option<String>), SignatureProblem> {
    let hash = request.body.to_hex();
    let declared = match request.headers.find(CONTENT_SHA256) {
        HeaderField::Absent => return Ok((hash, None)),
        HeaderField::Repeated => return Err(SignatureProblem::Repeated(CONTENT_SHA256)),
        HeaderField::One(declared) => declared.trim_ascii(),
    };
    if declared != UNSIGNED_PAYLOAD.as_bytes() && !declared.eq_ignore_ascii_case(hash.as_bytes()) {
        return Err(SignatureProblem::BodyHash);
    }
    let declared = String::from_utf8_lossy(declared).into_owned();
    let other = (request.body.is_empty() && declared != hash).then_some(hash);
    Ok((declared, other))
}

#[cfg(test)]
mod tests;
