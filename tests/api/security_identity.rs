//! Callers by the word of others: an OIDC issuer, and a Keystone service.

use crate::bodies::{CPU, pool, resources};
use clock::Clock;
use domain::principal::Role;
use poolkeeper::config::{GroupRoleConfig, KeystoneConfig, OidcConfig};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::client::Credential;
use testkit::outside::{Asked, OutsideServer, Reply, TokenSigner};
use testkit::server::Custom;
use testkit::{Answer, Backend, Client, TestServer};

const PROJECT: &str = "6f5da086876d4cd084d36f8bd3346036";

struct Issuer {
    outside: OutsideServer,
    keys: Arc<Mutex<Vec<Value>>>,
}

impl Issuer {
    async fn start(signer: &TokenSigner) -> Self {
        let keys = Arc::new(Mutex::new(vec![signer.public()]));
        let outside = OutsideServer::start(|_| Reply::new(500, Value::Null)).await;
        let issuer = Self { outside, keys };
        issuer.work();
        issuer
    }

    fn work(&self) {
        let (url, keys) = (self.outside.url.clone(), Arc::clone(&self.keys));
        self.outside.answer(move |asked| match asked.path.as_str() {
            "/.well-known/openid-configuration" => Reply::new(200, json!({"issuer": url, "jwks_uri": format!("{url}/keys")})),
            "/keys" => Reply::new(200, json!({"keys": *keys.lock().unwrap()})),
            _ => Reply::new(404, Value::Null),
        });
    }

    async fn server(&self) -> TestServer {
        let issuer = self.outside.url.clone();
        let rule = |group: &str, role| GroupRoleConfig {
            group: group.to_owned(),
            project: domain::name::ProjectId::parse(PROJECT).unwrap(),
            workspace: None,
            role,
        };
        let oidc = OidcConfig {
            issuer,
            audience: "poolkeeper".to_owned(),
            domain: domain::name::DomainId::parse("their-domain").unwrap(),
            name_claim: "preferred_username".to_owned(),
            groups_claim: "groups".to_owned(),
            skew_seconds: 60,
            ca_file: None,
            roles: vec![
                rule("watchers", Role::Viewer),
                rule("makers", Role::User),
                rule("keepers", Role::Operator),
            ],
        };
        TestServer::customized(Backend::Sqlite, Custom::config(move |config| config.oidc = Some(oidc))).await
    }

    /// Claims that hold.
    fn claims(&self, server: &TestServer, groups: &[&str]) -> Value {
        let now = server.clock.now().as_second();
        json!({"iss": self.outside.url, "aud": "poolkeeper", "sub": "s-1", "preferred_username": "ada",
            "exp": now + 600, "iat": now, "groups": groups})
    }
}

fn bearer(server: &TestServer, token: &str) -> Client {
    server
        .user
        .with_credential(Credential::None)
        .with_header("authorization", &format!("Bearer {token}"))
}

fn by_token(server: &TestServer, token: &str) -> Client {
    server.user.with_credential(Credential::Token(token.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_the_issuer_are_good_for_what_their_groups_may_do() {
    let signer = TokenSigner::new("k1");
    let issuer = Issuer::start(&signer).await;
    let server = issuer.server().await;
    let token = |groups: &[&str]| signer.sign(&issuer.claims(&server, groups));
    let body = pool(&server, "pool-one", resources(CPU, 1));
    let viewer = bearer(&server, &token(&["watchers", "others"]));
    viewer.get(&server.pools()).await.ok();
    viewer.post(&server.pools(), &body).await.refused(403, "ModelArts.0108");
    // The strongest role counts, and the other header is as good.
    let user = by_token(&server, &token(&["watchers", "makers"]));
    user.post(&server.pools(), &body).await.ok();
    user.get("/admin/v1/users").await.refused(403, "ModelArts.0108");
    bearer(&server, &token(&["keepers"])).get("/admin/v1/users").await.ok();
    bearer(&server, &token(&[]))
        .get(&server.pools())
        .await
        .refused(403, "ModelArts.0210");
    // Our own users go on as before.
    server.user.get(&server.pools()).await.ok();
    server.operator.get(&server.pools()).await.ok();
    by_token(&server, "nobody's")
        .get(&server.pools())
        .await
        .refused(401, "ModelArts.50001000");
    assert_eq!(issuer.outside.count(), 2, "its description and its keys, once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_do_not_hold_are_refused() {
    let (signer, stranger) = (TokenSigner::new("k1"), TokenSigner::new("k1"));
    let issuer = Issuer::start(&signer).await;
    let server = issuer.server().await;
    let good = issuer.claims(&server, &["makers"]);
    let now = server.clock.now().as_second();
    let refused = async |token: &str, message: &str| {
        let answer: Answer = bearer(&server, token).get(&server.pools()).await;
        assert_eq!(answer.refused(401, "ModelArts.50001000").message(), message);
    };
    refused(&stranger.sign(&good), "token is invalid").await;
    for (name, value, message) in [
        ("aud", json!("others"), "token is invalid"),
        ("exp", json!(now - 61), "token has expired"),
        ("exp", Value::Null, "token is invalid"),
        ("nbf", json!(now + 120), "token is invalid"),
        ("iss", json!("https://else.example"), "token is invalid"),
        ("sub", Value::Null, "token is invalid"),
    ] {
        let mut claims = good.clone();
        claims[name] = value;
        refused(&signer.sign(&claims), message).await;
    }
    // Clocks may differ a little.
    let mut claims = good.clone();
    claims["exp"] = json!(now - 30);
    bearer(&server, &signer.sign(&claims)).get(&server.pools()).await.ok();
    let token = signer.sign(&good);
    bearer(&server, &token).get(&server.pools()).await.ok();
    server.clock.advance(Duration::from_secs(700));
    refused(&token, "token has expired").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_keys_are_found_and_nobody_can_make_us_ask_for_them_all_the_time() {
    let (first, second) = (TokenSigner::new("k1"), TokenSigner::new("k2"));
    let issuer = Issuer::start(&first).await;
    let server = issuer.server().await;
    let claims = || issuer.claims(&server, &["makers"]);
    bearer(&server, &first.sign(&claims())).get(&server.pools()).await.ok();
    issuer.keys.lock().unwrap().push(second.public());
    // Half a minute has to pass between questions, however many tokens name unknown keys.
    for _ in 0..20 {
        bearer(&server, &second.sign(&claims()))
            .get(&server.pools())
            .await
            .refused(401, "ModelArts.50001000");
    }
    assert_eq!(issuer.outside.count(), 2);
    server.clock.advance(Duration::from_secs(31));
    bearer(&server, &second.sign(&claims())).get(&server.pools()).await.ok();
    assert_eq!(issuer.outside.count(), 4);
    // A key that is taken away is of no use an hour later.
    *issuer.keys.lock().unwrap() = vec![second.public()];
    server.clock.advance(Duration::from_hours(1));
    bearer(&server, &first.sign(&claims()))
        .get(&server.pools())
        .await
        .refused(401, "ModelArts.50001000");
    bearer(&server, &second.sign(&claims())).get(&server.pools()).await.ok();
    // Where the issuer is away, what is known holds for a day.
    issuer.outside.fail();
    server.clock.advance(Duration::from_hours(2));
    bearer(&server, &second.sign(&claims())).get(&server.pools()).await.ok();
    server.clock.advance(Duration::from_hours(23));
    let answer = bearer(&server, &second.sign(&claims())).get(&server.pools()).await;
    assert_eq!(answer.refused(503, "ModelArts.50005030").header("retry-after"), "1");
    server.user.get(&server.pools()).await.ok();
    issuer.work();
    server.clock.advance(Duration::from_secs(31));
    bearer(&server, &second.sign(&claims())).get(&server.pools()).await.ok();
}

/// What the service says of the only token that it knows, and whether its client's own token is still good.
#[derive(Clone)]
struct Service {
    token: Arc<Mutex<Value>>,
    own: Arc<Mutex<String>>,
}

impl Service {
    fn reply(&self, asked: &Asked) -> Reply {
        let own = self.own.lock().unwrap().clone();
        match asked.method.as_str() {
            "POST" => {
                let user = &asked.body["auth"]["identity"]["password"]["user"];
                assert_eq!((&user["name"], &user["password"]), (&json!("poolkeeper"), &json!("their password")));
                let mut reply = Reply::new(201, json!({"token": {}}));
                reply.headers.push(("x-subject-token", own));
                reply
            }
            _ if asked.header("x-auth-token") != own => Reply::new(401, json!({})),
            _ if asked.header("x-subject-token") == "known-token" => Reply::new(200, json!({"token": *self.token.lock().unwrap()})),
            _ => Reply::new(404, json!({})),
        }
    }
}

async fn keystone(role: &str) -> (OutsideServer, Service, TestServer) {
    let service = Service {
        token: Arc::default(),
        own: Arc::new(Mutex::new("own-1".to_owned())),
    };
    let answering = service.clone();
    let outside = OutsideServer::start(move |asked| answering.reply(asked)).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "their password\n").unwrap();
    let config = KeystoneConfig {
        url: format!("{}/v3", outside.url),
        user: "poolkeeper".to_owned(),
        user_domain: "Default".to_owned(),
        password_file: file.path().to_owned(),
        project: "service".to_owned(),
        remember_seconds: 300,
        grace_seconds: 3600,
        ca_file: None,
        roles: [("member".to_owned(), Role::User), ("reader".to_owned(), Role::Viewer)].into(),
    };
    let server = TestServer::customized(Backend::Sqlite, Custom::config(move |settings| settings.keystone = Some(config))).await;
    let expires_at = server.clock.now().saturating_add(Duration::from_hours(24)).unwrap();
    *service.token.lock().unwrap() = json!({"expires_at": expires_at.to_string(), "user": {"id": "u-1", "name": "ada",
        "domain": {"id": "d-1", "name": "North"}}, "project": {"id": PROJECT, "name": "p"}, "roles": [{"name": role}, {"name": "odd"}]});
    (outside, service, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_the_service_are_asked_about_once_and_then_remembered() {
    let (outside, service, server) = keystone("member").await;
    let user = by_token(&server, "known-token");
    for _ in 0..5 {
        user.get(&server.pools()).await.ok();
    }
    assert_eq!(outside.count(), 2, "a log-in and a question");
    user.post(&server.pools(), &pool(&server, "pool-one", resources(CPU, 1))).await.ok();
    user.get("/admin/v1/users").await.refused(403, "ModelArts.0108");
    for _ in 0..5 {
        by_token(&server, "other-token")
            .get(&server.pools())
            .await
            .refused(401, "ModelArts.50001000");
    }
    assert_eq!(outside.count(), 3, "an unknown token is remembered too");
    // Our own token there has run out meanwhile: another log-in, once.
    "own-2".clone_into(&mut service.own.lock().unwrap());
    server.clock.advance(Duration::from_secs(301));
    user.get(&server.pools()).await.ok();
    assert_eq!(outside.count(), 6, "a refused question, a log-in, and the question again");
    // A token that is revoked there is good for five minutes at most.
    outside.answer({
        let own = Reply::new(404, json!({}));
        move |_| own.clone()
    });
    user.get(&server.pools()).await.ok();
    server.clock.advance(Duration::from_secs(301));
    user.get(&server.pools()).await.refused(401, "ModelArts.50001000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_service_is_away_known_tokens_go_on_and_others_wait() {
    let (outside, service, server) = keystone("reader").await;
    let user = by_token(&server, "known-token");
    user.get(&server.pools()).await.ok();
    user.post(&server.pools(), &json!({})).await.refused(403, "ModelArts.0108");
    outside.fail();
    server.clock.advance(Duration::from_secs(301));
    user.get(&server.pools()).await.ok();
    let other = by_token(&server, "other-token").get(&server.pools()).await;
    assert_eq!(other.refused(503, "ModelArts.50005030").header("retry-after"), "1");
    server.operator.get(&server.pools()).await.ok();
    // For an hour, not for ever.
    server.clock.advance(Duration::from_hours(1));
    user.get(&server.pools()).await.refused(503, "ModelArts.50005030");
    outside.answer(move |asked| service.reply(asked));
    user.get(&server.pools()).await.ok();
    // And never beyond its end.
    server.clock.advance(Duration::from_hours(24));
    user.get(&server.pools()).await.refused(401, "ModelArts.50001000");
}
