//! The connection as the program makes it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use poolkeeper_fleet_kube::{Failure, connect};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Puts every request off, and counts them.
async fn put_off(listener: TcpListener, asked: Arc<AtomicUsize>) {
    let body =
        r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"TooManyRequests","code":429,"details":{"retryAfterSeconds":3}}"#;
    let head = "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\nretry-after: 3\r\nconnection: close";
    let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        asked.fetch_add(1, Ordering::SeqCst);
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_server_puts_off_is_told_and_not_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let serving = tokio::spawn(put_off(listener, Arc::clone(&asked)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    let kubeconfig = format!(
        "{{apiVersion: v1, kind: Config, current-context: a, contexts: [{{name: a, context: {{cluster: a, user: a}}}}],
        clusters: [{{name: a, cluster: {{server: 'http://{address}'}}}}], users: [{{name: a, user: {{}}}}]}}"
    );
    std::fs::write(&path, kubeconfig).unwrap();
    let nodes: Api<Node> = Api::all(connect(Some(&path)).await.unwrap());
    let answer = tokio::time::timeout(Duration::from_secs(20), nodes.get("gpu-1")).await.unwrap();
    let failure = answer.map_err(Failure::from).map(drop);
    assert_eq!(failure, Err(Failure::Throttled(Duration::from_secs(3))));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    serving.abort();
}
