use super::*;
use crate::testing::{any_json, assert_documented, check_errors, members, near, wrong_values};
use proptest::prelude::*;
use serde_json::json;

/// Contract README §6.1, with a domain for the project too.
fn password_body() -> Value {
    json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {"name": "u", "password": "p", "domain": {"name": "d"}}}},
        "scope": {"project": {"name": "proj", "domain": {"name": "d"}}}
    }})
}

fn login(body: &Value) -> LoginBody {
    decode_login(body).unwrap()
}

fn name(text: &str) -> Reference {
    Reference::Name(text.to_owned())
}

fn id(text: &str) -> Reference {
    Reference::Id(text.to_owned())
}

#[test]
fn the_published_login_is_read() {
    let body = json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {"name": "u", "password": "p", "domain": {"name": "d"}}}},
        "scope": {"project": {"name": "proj"}}
    }});
    let LoginBody { proof, scope } = login(&body);
    let ProofBody::Password { user, domain, password } = proof else {
        unreachable!("a password was sent")
    };
    assert_eq!((user, domain, password.as_str()), (name("u"), Some(name("d")), "p"));
    assert_eq!(
        scope,
        ScopeBody::Project {
            project: name("proj"),
            domain: None
        }
    );
}

#[test]
fn an_existing_token_is_a_proof() {
    let body = json!({"auth": {"identity": {"methods": ["token"], "token": {"id": "t"}}, "scope": {"domain": {"name": "d"}}}});
    let LoginBody { proof, scope } = login(&body);
    assert!(matches!(proof, ProofBody::Token(token) if token == "t"));
    assert_eq!(scope, ScopeBody::Domain(name("d")));
}

#[test]
fn a_scope_is_a_project_a_domain_or_nothing() {
    for (scope, wanted) in [
        (json!(null), ScopeBody::Unscoped),
        (json!({}), ScopeBody::Unscoped),
        (json!("unscoped"), ScopeBody::Unscoped),
        (json!({"domain": {"id": "d"}}), ScopeBody::Domain(id("d"))),
        (
            json!({"project": {"id": "p", "name": "ignored"}}),
            ScopeBody::Project {
                project: id("p"),
                domain: None,
            },
        ),
        (
            json!({"project": {"name": "p", "domain": {"name": "d"}}}),
            ScopeBody::Project {
                project: name("p"),
                domain: Some(name("d")),
            },
        ),
    ] {
        let mut body = password_body();
        body["auth"]["scope"] = scope;
        assert_eq!(login(&body).scope, wanted);
    }
}

#[test]
fn every_member_of_a_login_tells_what_it_accepts() {
    insta::assert_snapshot!("wrong_values", wrong_values(&password_body(), decode_login));
}

#[test]
fn a_proof_is_not_printed() {
    let printed = format!("{:?}", login(&password_body()));
    assert!(printed.contains("\"u\"") && !printed.contains("\"p\""), "{printed}");
}

#[test]
fn a_token_is_shown_under_the_names_that_clients_read() {
    let named = |id: &str| Named {
        id: id.to_owned(),
        name: format!("{id}-name"),
    };
    let at = "2024-10-24T12:42:43Z".parse().unwrap();
    let body = TokenBody {
        token: TokenDetails {
            expires_at: keystone_time(at),
            issued_at: keystone_time(at),
            methods: vec!["password".to_owned()],
            user: UserDetails {
                id: "u".to_owned(),
                name: "u-name".to_owned(),
                domain: named("d"),
            },
            project: Some(ScopedProject {
                id: "p".to_owned(),
                name: "p-name".to_owned(),
                domain: named("d"),
            }),
            domain: Some(named("d")),
            roles: vec![named("r")],
            catalog: vec![CatalogEntry {
                id: "c".to_owned(),
                name: "modelarts".to_owned(),
                kind: "modelarts".to_owned(),
                endpoints: vec![Endpoint {
                    id: "e".to_owned(),
                    interface: "public".to_owned(),
                    region: "R".to_owned(),
                    region_id: "R".to_owned(),
                    url: "https://host".to_owned(),
                }],
            }],
        },
    };
    let shown = serde_json::to_value(body).unwrap();
    let documented: &[(&str, &[&str])] = &[
        ("token", &["expires_at", "issued_at", "methods"]),
        ("token.user", &["id", "name", "domain.id", "domain.name"]),
        ("token.project", &["id", "name", "domain.id", "domain.name"]),
        ("token.domain", &["id", "name"]),
        ("token.roles[]", &["id", "name"]),
        ("token.catalog[]", &["id", "name", "type"]),
        ("token.catalog[].endpoints[]", &["id", "interface", "region", "region_id", "url"]),
    ];
    assert_documented(&members([&shown]), documented, &[]);
    assert_eq!(shown["token"]["expires_at"], "2024-10-24T12:42:43.000000Z");
}

#[test]
fn a_refusal_has_the_form_of_keystone() {
    let body = KeystoneErrorBody::new(401, "token is invalid", "Unauthorized");
    assert_eq!(
        serde_json::to_value(body).unwrap(),
        json!({"error": {"code": 401, "message": "token is invalid", "title": "Unauthorized"}})
    );
}

proptest! {
    #[test]
    fn any_json_is_a_login_or_told_why_not(body in prop_oneof![any_json(), near(password_body())]) {
        check_errors(&body, &decode_login(&body));
    }
}
