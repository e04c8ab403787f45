//! TLS of the listener.

use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use testkit::server::Custom;
use testkit::tls::{Authority, Pair};
use testkit::{Backend, TestServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Files(tempfile::TempDir);

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, pair: &Pair) {
        std::fs::write(self.path("tls.crt"), &pair.certificate).unwrap();
        std::fs::write(self.path("tls.key"), &pair.key).unwrap();
    }
}

async fn server(files: &Files) -> TestServer {
    let (certificate, key) = (files.path("tls.crt"), files.path("tls.key"));
    let custom = Custom::config(move |config| {
        config.exposure.tls = Some(http_api::TlsFiles { certificate, key });
    });
    TestServer::customized(Backend::Sqlite, custom).await
}

/// The certificate that a new client is shown: one that has been here before resumes its session, and sees none.
async fn certificate(authority: &Authority, server: &TestServer) -> Vec<u8> {
    shown(&authority.client(|builder| builder), server).await
}

async fn shown(http: &reqwest::Client, server: &TestServer) -> Vec<u8> {
    let answer = http.get(format!("{}/healthz", server.url())).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let info = answer.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
    info.peer_certificate().unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_said_over_tls_and_a_renewed_certificate_is_shown_without_a_restart() {
    let (authority, files) = (Authority::new(), Files(tempfile::tempdir().unwrap()));
    files.write(&authority.issue(2040));
    let server = server(&files).await;
    assert!(server.url().starts_with("https://"));
    let http = authority.client(|builder| builder);
    let first = certificate(&authority, &server).await;
    let user = server.user.over(http.clone());
    user.get(&server.pools()).await.ok();
    // Who logs in is told to come back the same way.
    let login = json!({"auth": {"identity": {"methods": ["password"], "password": {"user":
        {"name": "demo", "password": "password", "domain": {"name": "demo"}}}}, "scope": {"project": {"id": server.project}}}});
    let answer = user.post("/v3/auth/tokens", &login).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let url = &answer.body["token"]["catalog"][0]["endpoints"][0]["url"];
    assert_eq!(url, &json!(server.url()));
    // A broken file changes nothing, a new one is taken.
    std::fs::write(files.path("tls.crt"), "broken").unwrap();
    server.look_at_certificate();
    assert_eq!(certificate(&authority, &server).await, first);
    files.write(&authority.issue(2041));
    server.look_at_certificate();
    assert!(certificate(&authority, &server).await != first);
    let metrics = server.operator.over(http).get("/metrics").await.text;
    let expiry = "poolkeeper_tls_certificate_expiry_timestamp_seconds{} 2240611200";
    assert!(metrics.lines().any(|line| line == expiry), "{metrics}");
    assert!(metrics.contains("poolkeeper_tls_reloads_total{outcome=\"failed\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_is_looked_at_by_itself() {
    let (authority, files) = (Authority::new(), Files(tempfile::tempdir().unwrap()));
    files.write(&authority.issue(2040));
    let server = server(&files).await;
    let first = certificate(&authority, &server).await;
    files.write(&authority.issue(2041));
    while certificate(&authority, &server).await == first {
        server.clock.advance(http_api::tls::LOOK);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_clients_may_come_with_tls_1_2_and_strangers_to_the_root_are_not_served() {
    let (authority, files) = (Authority::new(), Files(tempfile::tempdir().unwrap()));
    files.write(&authority.issue(2040));
    let server = server(&files).await;
    shown(
        &authority.client(|builder| builder.tls_version_max(reqwest::tls::Version::TLS_1_2)),
        &server,
    )
    .await;
    shown(
        &authority.client(|builder| builder.tls_version_min(reqwest::tls::Version::TLS_1_3)),
        &server,
    )
    .await;
    let other = Authority::new().client(|builder| builder);
    assert!(other.get(format!("{}/healthz", server.url())).send().await.is_err());
    // Nothing is said in the clear.
    let mut plain = TcpStream::connect(server.address()).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _broken = plain.read_to_end(&mut answer).await;
    assert!(!answer.windows(4).any(|bytes| bytes == b"HTTP"), "{answer:?}");
}

#[tokio::test]
async fn without_a_usable_certificate_there_is_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let config = poolkeeper::config::Config {
        listen: ([127, 0, 0, 1], 0).into(),
        data: folder.path().to_owned(),
        exposure: poolkeeper::config::Exposure {
            tls: Some(http_api::TlsFiles {
                certificate: Path::new("/nowhere/tls.crt").to_owned(),
                key: Path::new("/nowhere/tls.key").to_owned(),
            }),
            ..Default::default()
        },
        ..Default::default()
    };
    let started = poolkeeper::server::Server::start(&config, poolkeeper::server::Overrides::default()).await;
    let error = format!("{:#}", started.err().unwrap());
    assert!(error.contains("/nowhere/tls.crt cannot be read"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_reached_through_tls_and_only_the_right_server_is_trusted() {
    let authority = Authority::new();
    let (postgres, root) = {
        let started = tokio::task::spawn_blocking(move || testkit::postgres::Postgres::start_with_tls(&authority));
        let Some(started) = started.await.unwrap().unwrap() else { return };
        started
    };
    let wrong = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(wrong.path(), Authority::new().root()).unwrap();
    let url = |mode: &str, root: &Path| format!("{}?sslmode={mode}&sslrootcert={}", postgres.url(), root.display());
    let open = async |url: String| {
        let clock: Arc<dyn clock::Clock> = Arc::new(clock::SystemClock);
        match store_sql::SqlStore::open(store_sql::Options::new(url, clock)).await {
            Ok(store) => {
                store.close().await;
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    };
    assert_eq!(open(url("verify-full", &root)).await, Ok(()));
    assert_eq!(open(url("require", &root)).await, Ok(()));
    assert!(open(url("verify-full", wrong.path())).await.is_err());
    assert!(open(url("disable", &root)).await.is_err());
    // The whole server, its listener for other replicas included.
    let url = url("verify-full", &root);
    let custom = Custom::config(move |config| config.database = Some(url));
    let server = TestServer::customized(Backend::Sqlite, custom).await;
    server.user.get(&server.pools()).await.ok();
}
