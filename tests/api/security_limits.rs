//! Limits of callers, of connections, and of patience.

use clock::{Clock, ManualClock};
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use testkit::client::Credential;
use testkit::server::Custom;
use testkit::{Backend, Client, TestServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends the same request until it is refused, and gives the refusal.
async fn until_refused(client: &Client, path: &str, usual: u16) -> testkit::Answer {
    for _ in 0..100 {
        let answer = client.get(path).await;
        if answer.status == 429 {
            return answer;
        }
        assert_eq!(answer.status, usual, "{}", answer.text);
    }
    panic!("{path} was never refused")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_asks_too_often_waits_and_others_do_not() {
    let custom = Custom::config(|config| (config.exposure.rate, config.exposure.burst) = (1, 5));
    let server = TestServer::customized(Backend::Sqlite, custom).await;
    let refused = until_refused(&server.user, &server.pools(), 200).await;
    assert_eq!((refused.code(), refused.message()), ("ModelArts.50004290", "Too many requests."));
    assert_eq!((refused.header("retry-after"), refused.header("x-request-id").len()), ("1", 36));
    server.operator.get(&server.pools()).await.ok();
    // Another credential of the same user is no way around it.
    server.clock.advance(Duration::from_mins(1));
    server.user.get(&server.pools()).await.ok();
    let metrics = server.operator.get("/metrics").await.text;
    assert!(metrics.contains("poolkeeper_http_limited_total{limit=\"principal\"}"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_is_slowed_down_by_address_and_who_is_known_goes_on() {
    let custom = Custom::config(|config| {
        (config.exposure.address_rate, config.exposure.address_burst) = (1, 5);
        config.exposure.proxies = http_api::TrustedProxies::new(vec!["127.0.0.1/32".parse().unwrap()]);
    });
    let server = TestServer::customized(Backend::Sqlite, custom).await;
    let guesser = server.user.with_credential(Credential::Token("guess".to_owned()));
    let refused = until_refused(&guesser, &server.pools(), 401).await;
    assert_eq!(refused.code(), "ModelArts.50004290");
    // Logging in is what guessing passwords means; its refusals have the form of the identity API.
    let login = server.user.post("/v3/auth/tokens", &json!({})).await;
    assert_eq!((login.status, &login.body["error"]["code"]), (429, &json!(429)));
    server.user.get(&server.pools()).await.ok();
    // The proxy in front is believed about who is behind it.
    let elsewhere = guesser.with_header("x-forwarded-for", "6.6.6.6, 192.0.2.7");
    elsewhere.get(&server.pools()).await.refused(401, "ModelArts.50001000");
    for _ in 0..50 {
        assert_eq!(server.user.with_credential(Credential::None).get("/readyz").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_stay_open_are_counted_until_they_end() {
    let custom = Custom::config(|config| config.exposure.open_answers = 1);
    let server = TestServer::customized(Backend::Sqlite, custom).await;
    let target = format!("{}?watch=true", server.pools());
    let mut watch = server.user.watch(&target).await;
    assert_eq!(watch.next().await.unwrap().unwrap().name, "BOOKMARK");
    server.user.get(&target).await.refused(429, "ModelArts.50004290");
    let mut other = server.operator.watch(&target).await;
    assert_eq!(other.next().await.unwrap().unwrap().name, "BOOKMARK");
    drop(watch);
    // The server notices at its next word.
    let mut again = loop {
        server.clock.advance(Duration::from_secs(31));
        if server
            .user
            .get(&format!("{}/none?wait=Running&timeout=0", server.pools()))
            .await
            .status
            != 429
        {
            break server.user.watch(&target).await;
        }
    };
    assert_eq!(again.next().await.unwrap().unwrap().name, "BOOKMARK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_too_many_waits_for_another_to_end() {
    let custom = Custom::config(|config| config.exposure.connections = 2);
    let server = TestServer::customized(Backend::Sqlite, custom).await;
    let mut first = ask(&server, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut second = ask(&server, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(heard(&mut first).await.contains("200 OK") && heard(&mut second).await.contains("200 OK"));
    let mut third = ask(&server, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut buffer = [0; 1];
    // The other two are served, the third one is not.
    for _ in 0..20 {
        first.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert!(heard(&mut first).await.contains("200 OK"));
        assert!(third.try_read(&mut buffer).is_err());
    }
    drop(second);
    assert!(heard(&mut third).await.contains("200 OK"));
}

/// Most clients send all of a body before they read the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_too_much_hears_that_it_is_too_much() {
    const PIECE: usize = 64 * 1024;
    const PIECES: usize = 64;
    let server = TestServer::start(Backend::Sqlite).await;
    let head = format!("POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n", server.pools());
    let announced = format!("{head}Content-Length: {}\r\n", PIECE * PIECES);
    let whole = vec![b'x'; PIECE];
    let chunk = [format!("{PIECE:x}\r\n").as_bytes(), &whole, b"\r\n"].concat();
    for (head, piece, end) in [
        (format!("{announced}\r\n"), whole, ""),
        (format!("{head}Transfer-Encoding: chunked\r\n\r\n"), chunk, "0\r\n\r\n"),
    ] {
        let mut stream = ask(&server, &head).await;
        for _ in 0..PIECES {
            stream.write_all(&piece).await.unwrap();
        }
        stream.write_all(end.as_bytes()).await.unwrap();
        let told = heard(&mut stream).await;
        assert!(told.contains("413 Payload Too Large"), "{told}");
    }
    let mut waiting = ask(&server, &format!("{announced}Expect: 100-continue\r\n\r\n")).await;
    assert!(heard(&mut waiting).await.starts_with("HTTP/1.1 413"));
}

/// A server whose connections live by a clock that only the test moves.
async fn patient() -> (TestServer, ManualClock) {
    let clock = ManualClock::starting_at(Timestamp::UNIX_EPOCH);
    let custom = Custom {
        connection_clock: Some(Arc::new(clock.clone()) as Arc<dyn Clock>),
        ..Custom::default()
    };
    (TestServer::customized(Backend::Sqlite, custom).await, clock)
}

async fn ask(server: &TestServer, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

async fn heard(stream: &mut TcpStream) -> String {
    let mut buffer = [0; 4096];
    let length = stream.read(&mut buffer).await.unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// Moves the clock until the server has closed the connection, and gives what came before that.
async fn until_closed(stream: &mut TcpStream, clock: &ManualClock) -> String {
    let mut told = Vec::new();
    let read = stream.read_to_end(&mut told);
    tokio::pin!(read);
    loop {
        clock.advance(Duration::from_secs(31));
        tokio::select! {
            biased;
            _closed = &mut read => break,
            () = tokio::task::yield_now() => {}
        }
    }
    String::from_utf8_lossy(&told).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_do_not_come_end_the_connection() {
    let (server, clock) = patient().await;
    let mut slow = ask(&server, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
    let told = until_closed(&mut slow, &clock).await;
    assert!(!told.contains("200 OK"), "{told}");
    let mut silent = ask(&server, "").await;
    until_closed(&mut silent, &clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_closed() {
    let (server, clock) = patient().await;
    let mut stream = ask(&server, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(heard(&mut stream).await.contains("200 OK"));
    assert_eq!(until_closed(&mut stream, &clock).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_is_given_up() {
    let (server, clock) = patient().await;
    let token = "the-admin-token-of-the-tests";
    let request = format!("GET /openapi.json HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\n\r\n");
    // More answers than fit into the buffers on the way.
    let stream = ask(&server, &request.repeat(200)).await;
    // On a new connection each time: the clock ends the idle ones.
    let operator = server
        .operator
        .over(reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap());
    let open = async || {
        let metrics = operator.get("/metrics").await.text;
        let line = metrics.lines().find_map(|line| line.strip_prefix("poolkeeper_http_connections "));
        line.unwrap().parse::<u32>().unwrap()
    };
    let mut rounds = 0;
    while open().await > 1 {
        clock.advance(Duration::from_secs(61));
        rounds += 1;
        assert!(rounds < 10_000, "the connection stays");
    }
    drop(stream);
}
