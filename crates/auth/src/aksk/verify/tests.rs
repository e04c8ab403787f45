use super::*;
use crate::aksk::sign::{Payload, PlainRequest, Signer};
use crate::request::BodyDigest;
use crate::tests::{at, key_id};

mod changes;

const SKEW: Duration = Duration::from_mins(15);
const NOW: &str = "2026-11-21T02:31:12Z";
const SECRET: &str = "secret of AK1";

/// A request that can be sent, and changed on its way.
#[derive(Debug, Clone)]
struct Sent {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Sent {
    /// Signed at [`NOW`].
    fn signed(plain: &Plain, signer: &Signer) -> Self {
        let headers: Vec<(&str, &[u8])> = plain
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
            .collect();
        let (method, path, query, body) = (plain.method, plain.path.as_str(), plain.query.as_str(), plain.body.as_slice());
        let added = signer.sign(
            &PlainRequest {
                method,
                path,
                query,
                headers: &headers,
                body,
            },
            at(NOW),
        );
        let added = added.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes()));
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: plain.headers.iter().cloned().chain(added).collect(),
            body: body.to_vec(),
        }
    }

    fn read_at(&self, now: Timestamp) -> Result<Option<Claim>, AuthnError> {
        let request = RequestView {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            body: BodyDigest::of(&self.body),
            now,
        };
        Claim::read(&request, SKEW)
    }

    fn read(&self) -> Result<Option<Claim>, AuthnError> {
        self.read_at(at(NOW))
    }

    fn is_accepted(&self) -> bool {
        matches!(self.read(), Ok(Some(claim)) if claim.is_signed_with(&SecretString::from(SECRET)))
    }

    fn problem(&self) -> SignatureProblem {
        match self.read() {
            Err(AuthnError::SignatureInvalid(problem)) => problem,
            other => panic!("{other:?}"),
        }
    }

    fn value(&mut self, name: &str) -> &mut Vec<u8> {
        &mut self.headers.iter_mut().find(|(own, _)| own == name).unwrap().1
    }

    fn text(&mut self, name: &str) -> String {
        String::from_utf8(self.value(name).clone()).unwrap()
    }

    fn replace(&mut self, name: &str, from: &str, to: &str) {
        let text = self.text(name);
        assert!(text.contains(from), "{text}");
        *self.value(name) = text.replace(from, to).into_bytes();
    }

    fn add(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
    }
}

#[derive(Debug, Clone)]
struct Plain {
    method: &'static str,
    path: String,
    query: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

fn plain() -> Plain {
    Plain {
        method: "PATCH",
        path: "/v2/p/pools/x".to_owned(),
        query: "a=1".to_owned(),
        headers: vec![("content-type".to_owned(), b"application/json".to_vec())],
        body: b"{}".to_vec(),
    }
}

fn signer() -> Signer {
    Signer::new(key_id("AK1"), SecretString::from(SECRET))
}

fn sent() -> Sent {
    Sent::signed(&plain(), &signer())
}

#[test]
fn requests_without_a_signature_are_for_others() {
    let mut request = sent();
    for other in [
        "Basic dTpw",
        "Bearer abc",
        "",
        "sdk-hmac-sha256 Access=AK1",
        "AWS4-HMAC-SHA256 Credential=a/b",
    ] {
        *request.value("authorization") = other.as_bytes().to_vec();
        assert!(matches!(request.read(), Ok(None)), "{other}");
    }
    request.headers.clear();
    assert!(matches!(request.read(), Ok(None)));
}

#[test]
fn other_algorithms_of_the_family_are_refused() {
    for algorithm in [
        "SDK-HMAC-SM3",
        "SDK-ECDSA-P256-SHA256",
        "SDK-SM2-SM3",
        "V11-HMAC-SM3",
        "SDK-HMAC-SHA2567",
        "SDK-",
    ] {
        let mut request = sent();
        request.replace("authorization", "SDK-HMAC-SHA256", algorithm);
        assert_eq!(request.problem(), SignatureProblem::Algorithm(algorithm.to_owned()));
    }
}

#[test]
fn the_older_credential_form_and_any_order_of_fields_are_accepted() {
    let mut request = sent();
    let signature = request.text("authorization").rsplit('=').next().unwrap().to_owned();
    for fields in [
        format!("Credential=AK1/20261121/r/s/sdk_request, SignedHeaders=content-type;x-sdk-date, Signature={signature}"),
        format!("Credential=AK1, SignedHeaders=content-type;x-sdk-date, Signature={signature}"),
        format!("Signature={signature},SignedHeaders=content-type;x-sdk-date,Access=AK1"),
        format!("  Access=AK1 ,  SignedHeaders=content-type;x-sdk-date ,Signature={signature}  "),
    ] {
        *request.value("authorization") = format!("SDK-HMAC-SHA256 {fields}").into_bytes();
        assert!(request.is_accepted(), "{fields}");
    }
}

#[test]
fn malformed_authorizations_are_refused() {
    let hex = "0".repeat(64);
    for fields in [
        String::new(),
        "Access".to_owned(),
        format!("SignedHeaders=x-sdk-date, Signature={hex}"),
        format!("Access=, SignedHeaders=x-sdk-date, Signature={hex}"),
        format!("Access={}, SignedHeaders=x-sdk-date, Signature={hex}", "A".repeat(257)),
        format!("Access=AK1, Signature={hex}"),
        "Access=AK1, SignedHeaders=x-sdk-date".to_owned(),
        format!("Access=AK1, SignedHeaders=x-sdk-date, Signature={}", &hex[1..]),
        format!("Access=AK1, SignedHeaders=x-sdk-date, Signature=z{}", &hex[1..]),
        format!("Access=AK1, SignedHeaders=x-sdk-date, Signature=A{}", &hex[1..]),
        format!("Access=AK1, Access=AK1, SignedHeaders=x-sdk-date, Signature={hex}"),
        format!("Access=AK1, Credential=AK1/x, SignedHeaders=x-sdk-date, Signature={hex}"),
        format!("Access=AK1, SignedHeaders=x-sdk-date;x-sdk-date, Signature={hex}"),
        format!("Access=AK1, SignedHeaders=x-sdk-date;X-Sdk-Date, Signature={hex}"),
        format!("Access=AK1, SignedHeaders=x-sdk-date, Signature={hex}, Extra=1"),
        format!("Access=AK1, SignedHeaders=x-sdk-date, Signature={hex},"),
        format!("Access=AK1; SignedHeaders=x-sdk-date; Signature={hex}"),
    ] {
        let mut request = sent();
        *request.value("authorization") = format!("SDK-HMAC-SHA256 {fields}").into_bytes();
        assert!(matches!(request.problem(), SignatureProblem::Malformed(_)), "{fields}");
    }
}

#[test]
fn a_derived_key_needs_a_complete_scope_of_the_same_day() {
    let sent = Sent::signed(&plain(), &signer().derived_for("eu-de", "modelarts"));
    assert!(sent.is_accepted());
    for scope in [
        "",
        "/20261121",
        "/20261121/eu-de",
        "/20261121//modelarts",
        "//eu-de/modelarts",
        "/20261121/eu-de/modelarts/x",
    ] {
        let mut request = sent.clone();
        request.replace("authorization", "/20261121/eu-de/modelarts", scope);
        assert!(matches!(request.problem(), SignatureProblem::Malformed(_)), "{scope}");
    }
    let mut request = sent.clone();
    request.replace("authorization", "/20261121/", "/20261120/");
    assert_eq!(request.problem(), SignatureProblem::CredentialDate);
    let mut request = sent.clone();
    request.replace("authorization", "eu-de", "eu-nl");
    assert!(!request.is_accepted());
    let mut request = sent;
    request.replace("authorization", "Credential=AK1/20261121/eu-de/modelarts", "Access=AK1");
    assert!(matches!(request.problem(), SignatureProblem::Malformed(_)));
}

#[test]
fn a_signature_of_one_scheme_is_none_of_the_other() {
    let mut request = Sent::signed(&plain(), &signer().derived_for("eu-de", "modelarts"));
    request.replace("authorization", "V11-HMAC-SHA256", "SDK-HMAC-SHA256");
    assert!(matches!(request.read(), Ok(Some(_))) && !request.is_accepted());
    let mut request = sent();
    request.replace(
        "authorization",
        "SDK-HMAC-SHA256 Access=AK1",
        "V11-HMAC-SHA256 Credential=AK1/20261121/r/s",
    );
    assert!(matches!(request.read(), Ok(Some(_))) && !request.is_accepted());
}

#[test]
fn the_date_must_be_there_signed_well_formed_and_close() {
    let mut request = sent();
    request.replace("authorization", "content-type;x-sdk-date", "content-type");
    assert_eq!(request.problem(), SignatureProblem::DateNotSigned);
    for bad in [
        "",
        "20261121",
        "20261121T023112",
        "2026-11-21T02:31:12Z",
        "20261321T023112Z",
        "20260230T023112Z",
        "20261121T023160Z",
        "2026112\u{fc}023112Z",
        "20261121t023112z",
        "+0261121T023112Z",
        "99991231T235959Z",
    ] {
        let mut request = sent();
        *request.value("x-sdk-date") = bad.as_bytes().to_vec();
        assert_eq!(
            request.read().unwrap_err(),
            AuthnError::RequestTime(TimeProblem::Malformed),
            "{bad}"
        );
    }
    let mut request = sent();
    request.headers.retain(|(name, _)| name != "x-sdk-date");
    assert_eq!(request.read().unwrap_err(), AuthnError::RequestTime(TimeProblem::Absent));
}

#[test]
fn the_clock_may_differ_by_the_skew_and_no_second_more() {
    let (request, signed_at) = (sent(), at(NOW));
    let limit = jiff::SignedDuration::from_mins(15);
    for (now, ahead_seconds) in [
        (signed_at + limit, None),
        (signed_at - limit, None),
        (signed_at + limit + Duration::from_millis(1), Some(-900)),
        (signed_at + limit + Duration::from_secs(1), Some(-901)),
        (signed_at - limit - Duration::from_secs(1), Some(901)),
        (Timestamp::MIN, Some(signed_at.as_second() - Timestamp::MIN.as_second())),
        (Timestamp::MAX, Some(signed_at.as_second() - Timestamp::MAX.as_second())),
    ] {
        let refused = request.read_at(now).err();
        let expected = ahead_seconds.map(|ahead_seconds| AuthnError::RequestTime(TimeProblem::Skewed { ahead_seconds }));
        assert_eq!(refused, expected, "{now}");
    }
}

#[test]
fn repeated_or_missing_headers_that_matter_are_refused() {
    for (name, problem) in [
        ("Authorization", SignatureProblem::Repeated("authorization")),
        ("X-Sdk-Date", SignatureProblem::Repeated("x-sdk-date")),
        ("Content-Type", SignatureProblem::SignedHeaderRepeated("content-type".to_owned())),
    ] {
        let mut request = sent();
        request.add(name, "second");
        assert_eq!(request.problem(), problem);
    }
    let mut request = sent();
    request.headers.retain(|(name, _)| name != "content-type");
    assert_eq!(request.problem(), SignatureProblem::SignedHeaderAbsent("content-type".to_owned()));
    let mut request = sent();
    request.replace("authorization", "content-type;", "content-type;;");
    assert_eq!(request.problem(), SignatureProblem::SignedHeaderAbsent(String::new()));
    let mut request = sent();
    request.add("X-Unsigned", "1");
    request.add("X-Unsigned", "2");
    assert!(request.is_accepted());
}

#[test]
fn a_declared_hash_must_be_that_of_the_body() {
    let mut declared = Sent::signed(&plain(), &signer().with_payload(Payload::Declared));
    assert!(declared.is_accepted());
    declared.body = b"{ }".to_vec();
    assert_eq!(declared.problem(), SignatureProblem::BodyHash);

    let mut request = sent();
    request.add("x-sdk-content-sha256", "unsigned-payload");
    assert_eq!(request.problem(), SignatureProblem::BodyHash);
    request.add("x-sdk-content-sha256", "UNSIGNED-PAYLOAD");
    assert_eq!(request.problem(), SignatureProblem::Repeated("x-sdk-content-sha256"));
}

#[test]
fn an_unsigned_payload_cannot_be_slipped_into_a_signed_one() {
    let mut request = sent();
    request.add("x-sdk-content-sha256", "UNSIGNED-PAYLOAD");
    assert!(matches!(request.read(), Ok(Some(_))) && !request.is_accepted());
}

#[test]
fn an_unsigned_payload_may_be_anything() {
    let mut request = Sent::signed(&plain(), &signer().with_payload(Payload::Unsigned));
    request.body = b"something else".to_vec();
    assert!(request.is_accepted());
}

#[test]
fn an_empty_body_may_be_signed_by_its_hash_although_another_line_is_declared() {
    let empty = Plain { body: vec![], ..plain() };
    assert!(Sent::signed(&empty, &signer().with_payload(Payload::Unsigned)).is_accepted());

    let mut request = Sent::signed(&empty, &signer());
    request.add("x-sdk-content-sha256", "UNSIGNED-PAYLOAD");
    assert!(request.is_accepted());

    let mut request = sent();
    request.body = vec![];
    request.add("x-sdk-content-sha256", "UNSIGNED-PAYLOAD");
    assert!(!request.is_accepted(), "the hash that was signed is not that of the empty body");
}

#[test]
fn the_signed_security_token_is_seen() {
    let is_seen = |signer: Signer| Sent::signed(&plain(), &signer).read().unwrap().unwrap().signs_security_token();
    assert!(!is_seen(signer()));
    assert!(is_seen(signer().with_security_token(SecretString::from("t"))));
}

#[test]
fn headers_that_signing_sets_itself_are_not_signed_twice() {
    let mut doubtful = plain();
    doubtful.headers.push(("Authorization".to_owned(), b"old".to_vec()));
    doubtful.headers.push(("X-Sdk-Date".to_owned(), b"old".to_vec()));
    let mut request = Sent::signed(&doubtful, &signer());
    request.headers.retain(|(_, value)| value != b"old");
    assert!(request.is_accepted());
}
