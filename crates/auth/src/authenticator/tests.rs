use super::*;
use crate::aksk::sign::{PlainRequest, Signer};
use crate::credential::StoredToken;
use crate::request::BodyDigest;
use crate::source::{MemoryCredentials, SourceError};
use crate::tests::{access_key, at, key_id, knowing, project, someone, temporary_key};
use domain::principal::Role;

const NOW: &str = "2026-11-21T02:31:12Z";
const TOKEN: &str = "token-text-that-must-not-be-logged";
const SECRET: &str = "secret-text-that-must-not-be-logged";

type Header = (String, String);

/// A request for project 1 with these headers, at [`NOW`].
fn identify(known: &Arc<MemoryCredentials>, headers: &[Header]) -> Result<Principal, AuthnError> {
    let source: Arc<dyn CredentialSource> = Arc::clone(known) as Arc<dyn CredentialSource>;
    let request = RequestView {
        method: "GET",
        path: "/v2/p/pools",
        query: "",
        headers: &headers.to_vec(),
        body: BodyDigest::EMPTY,
        now: at(NOW),
    };
    Chain::standard(source, DEFAULT_SKEW).identify(&request)
}

fn refusal(known: &Arc<MemoryCredentials>, headers: &[Header]) -> AuthnError {
    identify(known, headers).unwrap_err()
}

fn signed_by(signer: &Signer) -> Vec<Header> {
    let plain = PlainRequest {
        method: "GET",
        path: "/v2/p/pools",
        query: "",
        headers: &[],
        body: b"",
    };
    signer
        .sign(&plain, at(NOW))
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn signer() -> Signer {
    Signer::new(key_id("AK1"), SecretString::from(SECRET))
}

fn header(name: &str, value: &str) -> Header {
    (name.to_owned(), value.to_owned())
}

fn token(principal: Principal, expires_at: Option<&str>) -> StoredToken {
    StoredToken {
        principal,
        expires_at: expires_at.map(at),
    }
}

/// Knows [`TOKEN`] and the key `AK1`.
fn known() -> Arc<MemoryCredentials> {
    let known = knowing([access_key("AK1", SECRET)]);
    let owner = someone(Role::User, Scope::Project(project(1)));
    known.put_token(TokenHash::of(TOKEN.as_bytes()), token(owner, Some("2026-11-21T02:31:13Z")));
    Arc::new(known)
}

fn having(key: AccessKey) -> Arc<MemoryCredentials> {
    Arc::new(knowing([key]))
}

#[test]
fn a_token_names_its_owner() {
    let who = identify(&known(), &[header("X-Auth-Token", TOKEN)]).unwrap();
    assert_eq!(who.scope, Scope::Project(project(1)));
}

#[test]
fn a_token_may_come_as_a_bearer_token() {
    for text in [format!("Bearer {TOKEN}"), format!("bearer  {TOKEN} ")] {
        assert!(identify(&known(), &[header("Authorization", &text)]).is_ok(), "{text}");
        assert!(identify(&known(), &[header("X-Auth-Token", ""), header("Authorization", &text)]).is_ok());
    }
    let other = format!("Bearer {TOKEN}");
    let both = [header("X-Auth-Token", "wrong"), header("Authorization", &other)];
    assert_eq!(refusal(&known(), &both).to_string(), "token is invalid");
    assert_eq!(
        refusal(&known(), &[header("Authorization", "Bearer wrong")]).to_string(),
        "token is invalid"
    );
    assert_eq!(
        refusal(&known(), &[header("Authorization", "Bearer ")]).to_string(),
        "token is missing"
    );
}

#[test]
fn a_signature_names_the_owner_of_the_key() {
    assert_eq!(identify(&known(), &signed_by(&signer())).unwrap().credential, "AK1");
}

#[test]
fn a_request_without_any_credential_is_told_so() {
    for headers in [
        vec![],
        vec![header("X-Auth-Token", " ")],
        vec![header("Authorization", "Basic dTpw")],
    ] {
        let error = refusal(&known(), &headers);
        assert_eq!(
            (&error, error.to_string().as_str()),
            (&AuthnError::TokenMissing, "token is missing")
        );
    }
}

#[test]
fn the_token_decides_where_both_are_there() {
    let mut both = signed_by(&signer());
    both.push(header("X-Auth-Token", TOKEN));
    assert_eq!(identify(&known(), &both).unwrap().credential, "credential-1");
    both.pop();
    both.push(header("X-Auth-Token", "wrong"));
    assert_eq!(refusal(&known(), &both).to_string(), "token is invalid");
    let good_token_bad_signature = [header("X-Auth-Token", TOKEN), header("Authorization", "SDK-HMAC-SHA256 x")];
    assert!(identify(&known(), &good_token_bad_signature).is_ok());
}

#[test]
fn unknown_revoked_and_repeated_tokens_are_invalid() {
    let known = known();
    for headers in [
        vec![header("X-Auth-Token", "wrong")],
        vec![header("X-Auth-Token", &TOKEN[1..])],
        vec![header("X-Auth-Token", TOKEN), header("x-auth-token", TOKEN)],
        // The stored form is of no use as a token.
        vec![header("X-Auth-Token", &TokenHash::of(TOKEN.as_bytes()).to_string())],
    ] {
        assert_eq!(refusal(&known, &headers).to_string(), "token is invalid");
    }
    known.remove_token(&TokenHash::of(TOKEN.as_bytes()));
    assert_eq!(refusal(&known, &[header("X-Auth-Token", TOKEN)]).to_string(), "token is invalid");
}

#[test]
fn a_token_ends_at_its_end_and_not_before() {
    let known = known();
    for (end, is_good) in [
        (Some("2026-11-21T02:31:11Z"), false),
        (Some(NOW), false),
        (Some("2026-11-21T02:31:12.001Z"), true),
        (None, true),
    ] {
        let owner = someone(Role::Operator, Scope::AllProjects);
        known.put_token(TokenHash::of(TOKEN.as_bytes()), token(owner, end));
        let answer = identify(&known, &[header("X-Auth-Token", TOKEN)]);
        assert_eq!(answer.is_ok(), is_good, "{end:?}");
        if let Err(error) = answer {
            assert_eq!(error.to_string(), "token has expired");
        }
    }
}

#[test]
fn unknown_keys_and_wrong_secrets_are_told_apart_in_the_log_only() {
    let unknown = refusal(&known(), &signed_by(&Signer::new(key_id("AK2"), SecretString::from(SECRET))));
    let wrong = refusal(&known(), &signed_by(&Signer::new(key_id("AK1"), SecretString::from("x"))));
    assert_eq!(unknown.to_string(), "signature is invalid");
    assert_eq!(wrong.to_string(), "signature is invalid");
    assert!(unknown.log_reason().contains("unknown"), "{}", unknown.log_reason());
    assert!(wrong.log_reason().contains("does not match"), "{}", wrong.log_reason());
}

#[test]
fn an_unknown_key_cannot_be_used_with_the_stand_in_secret() {
    let stand_in = AkSkAuthenticator::new(known(), DEFAULT_SKEW).dummy;
    let error = refusal(&known(), &signed_by(&Signer::new(key_id("AK2"), stand_in)));
    assert_eq!(error, AuthnError::SignatureInvalid(SignatureProblem::KeyUnknown(key_id("AK2"))));
}

#[test]
fn only_the_holder_of_the_secret_learns_that_a_key_is_off_or_over() {
    let off = AccessKey {
        enabled: false,
        ..access_key("AK1", SECRET)
    };
    let over = AccessKey {
        expires_at: Some(at(NOW)),
        ..access_key("AK1", SECRET)
    };
    let lasting = AccessKey {
        expires_at: Some(at("2026-11-21T02:31:13Z")),
        ..access_key("AK1", SECRET)
    };
    let stranger = signed_by(&Signer::new(key_id("AK1"), SecretString::from("x")));
    for (key, told) in [(off, "token is invalid"), (over, "token has expired")] {
        let known = having(key);
        assert_eq!(refusal(&known, &signed_by(&signer())).to_string(), told);
        assert_eq!(refusal(&known, &stranger).to_string(), "signature is invalid");
    }
    assert!(identify(&having(lasting), &signed_by(&signer())).is_ok());
}

#[test]
fn a_temporary_key_needs_its_security_token_signed_or_not() {
    let known = having(temporary_key("AK1", SECRET, "TOK"));
    let with = |value: &str| [signed_by(&signer()), vec![header("X-Security-Token", value)]].concat();
    assert!(identify(&known, &signed_by(&signer().with_security_token(SecretString::from("TOK")))).is_ok());
    assert!(identify(&known, &with("TOK")).is_ok());

    let signed_wrong = signed_by(&signer().with_security_token(SecretString::from("TOM")));
    let twice = [with("TOK"), vec![header("X-Security-Token", "TOK")]].concat();
    for headers in [signed_by(&signer()), with("TOM"), with(""), signed_wrong, twice] {
        assert_eq!(refusal(&known, &headers).to_string(), "token is invalid");
    }
}

#[test]
fn with_a_permanent_key_a_security_token_counts_only_if_it_was_signed() {
    let added_later = [signed_by(&signer()), vec![header("X-Security-Token", "any")]].concat();
    assert!(identify(&known(), &added_later).is_ok());
    let signed = signed_by(&signer().with_security_token(SecretString::from("any")));
    assert_eq!(
        refusal(&known(), &signed),
        AuthnError::TokenInvalid(TokenProblem::SecurityTokenWrong(key_id("AK1")))
    );
}

#[test]
fn a_source_that_cannot_answer_is_not_the_callers_fault() {
    let known = known();
    known.set_unavailable(true);
    for headers in [signed_by(&signer()), vec![header("X-Auth-Token", TOKEN)]] {
        let error = refusal(&known, &headers);
        assert!(matches!(error, AuthnError::Unavailable(SourceError::Unavailable(_))), "{error:?}");
    }
}

#[test]
fn a_late_request_is_told_so_and_the_range_is_configurable() {
    let mut headers = signed_by(&signer());
    headers[0].1 = "20261121T021611Z".to_owned();
    let error = refusal(&known(), &headers);
    assert_eq!(error.to_string(), "request time is not within the allowed range");
    assert_eq!(error.log_reason(), "x-sdk-date is -901 s ahead of the clock (negative: behind)");

    let headers = signed_by(&signer());
    let late = RequestView {
        method: "GET",
        path: "/v2/p/pools",
        query: "",
        headers: &headers,
        body: BodyDigest::EMPTY,
        now: at("2026-11-21T03:31:12Z"),
    };
    assert!(AkSkAuthenticator::new(known(), Duration::from_hours(1)).authenticate(&late).is_ok());
    assert!(
        AkSkAuthenticator::new(known(), Duration::from_secs(3599))
            .authenticate(&late)
            .is_err()
    );
}

#[test]
fn only_credentials_for_projects_are_good_for_projects() {
    for (scope, is_good) in [
        (Scope::AllProjects, true),
        (Scope::Project(project(1)), true),
        (Scope::Domain, false),
        (Scope::None, false),
    ] {
        let answer = require_project_scope(&someone(Role::User, scope));
        assert_eq!(answer.is_ok(), is_good);
        if let Err(error) = answer {
            assert_eq!(error.to_string(), "token is invalid");
        }
    }
}

#[test]
fn no_refusal_shows_a_secret() {
    let off = AccessKey {
        enabled: false,
        ..access_key("AK1", SECRET)
    };
    let temporary = having(temporary_key("AK1", SECRET, TOKEN));
    let wrong_signature = signed_by(&Signer::new(key_id("AK1"), SecretString::from("x")));
    let signature = wrong_signature.last().unwrap().1.rsplit('=').next().unwrap().to_owned();
    let mut late = signed_by(&signer());
    late[0].1 = "20201121T023112Z".to_owned();
    let refusals = [
        refusal(&Arc::default(), &[header("X-Auth-Token", TOKEN)]),
        refusal(&Arc::default(), &signed_by(&signer())),
        refusal(&known(), &wrong_signature),
        refusal(&known(), &late),
        refusal(&having(off), &signed_by(&signer())),
        refusal(&temporary, &signed_by(&signer())),
        refusal(
            &temporary,
            &[signed_by(&signer()), vec![header("X-Security-Token", &format!("{TOKEN}x"))]].concat(),
        ),
        refusal(
            &known(),
            &[header("Authorization", &format!("SDK-HMAC-SHA256 Access=AK1, Secret={SECRET}"))],
        ),
        refusal(&known(), &[header("Authorization", &format!("SDK-HMAC-SHA256 {TOKEN}"))]),
    ];
    for error in refusals {
        let shown = format!("{error} {error:?} {}", error.log_reason());
        for secret in [TOKEN, SECRET, signature.as_str()] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    let shown = format!("{:?} {:?} {:?}", known(), signer(), access_key("AK1", SECRET));
    assert!(!shown.contains(SECRET) && !shown.contains(TOKEN), "{shown}");
}
