//! Machines that a service of the site starts, installs or cleans, asked over HTTP.

use crate::config::Hook;
use crate::failure::explained;
use async_trait::async_trait;
use reqwest::{Client, StatusCode};
use serde::Serialize;
use std::time::Duration;

/// A whole answer may take so long.
const PATIENCE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(3);
/// Characters of an answer that are told.
const TOLD: usize = 200;

/// What is asked for, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Order {
    /// The same for each repetition: what is known is not done again.
    pub id: String,
    /// `reboot`, `reset` or `clean`.
    pub action: &'static str,
    /// The node of the API, and its Node.
    pub node: String,
    pub host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It is known, and being done: 202.
    Accepted,
    /// It is done, or nobody has to ask again: any other 2xx.
    Done,
    /// It will never be done: 4xx, but for those that are about this moment.
    Refused(String),
}

/// Asks a service of the site. `Err` says why there was no answer that counts; it is to be asked again.
#[async_trait]
pub trait Caller: Send + Sync + 'static {
    async fn call(&self, hook: &Hook, order: &Order) -> Result<Reply, String>;
}

/// By HTTP.
pub struct Http(Client);

impl Http {
    pub fn new() -> Result<Self, reqwest::Error> {
        let builder = Client::builder().timeout(PATIENCE).connect_timeout(CONNECT);
        builder.redirect(reqwest::redirect::Policy::none()).build().map(Self)
    }
}

#[async_trait]
impl Caller for Http {
    async fn call(&self, hook: &Hook, order: &Order) -> Result<Reply, String> {
        let mut request = self.0.post(&hook.url).header("idempotency-key", &order.id).json(order);
        if let Some(path) = &hook.secret_file {
            // Read anew each time: secrets are exchanged while we run.
            let secret = tokio::fs::read_to_string(path).await;
            let secret = secret.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            request = request.bearer_auth(secret.trim());
        }
        let response = request.send().await.map_err(|error| explained(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(if status == StatusCode::ACCEPTED {
                Reply::Accepted
            } else {
                Reply::Done
            });
        }
        let text: String = response.text().await.unwrap_or_default().chars().take(TOLD).collect();
        let reason = format!("the webhook answered {status} {text}").trim_end().to_owned();
        let is_for_now = matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::CONFLICT
                | StatusCode::LOCKED
                | StatusCode::TOO_EARLY
                | StatusCode::TOO_MANY_REQUESTS
        );
        if status.is_client_error() && !is_for_now {
            Ok(Reply::Refused(reason))
        } else {
            Err(reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    /// Answers once, and gives what it was asked.
    fn answer(status: &'static str) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/machines", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            let mut chunk = [0; 4096];
            while !asked.ends_with(b"}") {
                let length = stream.read(&mut chunk).unwrap();
                asked.extend_from_slice(&chunk[..length]);
            }
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 4\r\nconnection: close\r\n\r\nso..").unwrap();
            String::from_utf8(asked).unwrap()
        });
        (url, served)
    }

    fn order() -> Order {
        Order {
            id: "0123".to_owned(),
            action: "reboot",
            node: "os-node-created-zlncn".to_owned(),
            host: "gpu-1".to_owned(),
            image: None,
            runtime: None,
        }
    }

    async fn call(status: &'static str) -> Result<Reply, String> {
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        let (url, served) = answer(status);
        let hook = Hook { url, secret_file: None };
        let reply = Http::new().unwrap().call(&hook, &order()).await;
        served.join().unwrap();
        reply
    }

    #[tokio::test]
    async fn an_answer_says_whether_it_is_to_be_asked_again() {
        assert_eq!(call("200 OK").await, Ok(Reply::Done));
        assert_eq!(call("202 Accepted").await, Ok(Reply::Accepted));
        let refused = call("422 Unprocessable Entity").await;
        assert_eq!(
            refused,
            Ok(Reply::Refused("the webhook answered 422 Unprocessable Entity so..".to_owned()))
        );
        for status in [
            "401 Unauthorized",
            "409 Conflict",
            "429 Too Many Requests",
            "503 Service Unavailable",
            "302 Found",
        ] {
            assert!(call(status).await.is_err(), "{status}");
        }
    }

    #[tokio::test]
    async fn the_secret_is_read_anew_and_sent_with_the_order() {
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        let path = std::env::temp_dir().join(format!("poolkeeper-hook-{}", std::process::id()));
        for secret in ["one", "two"] {
            std::fs::write(&path, format!("{secret}\n")).unwrap();
            let (url, served) = answer("200 OK");
            let secret_file = Some(path.clone());
            Http::new().unwrap().call(&Hook { url, secret_file }, &order()).await.unwrap();
            let asked = served.join().unwrap();
            assert!(asked.starts_with("POST /machines HTTP/1.1\r\n"), "{asked}");
            assert!(asked.contains(&format!("authorization: Bearer {secret}\r\n")), "{asked}");
            assert!(asked.contains("idempotency-key: 0123\r\n"), "{asked}");
            assert!(
                asked.ends_with(r#"{"id":"0123","action":"reboot","node":"os-node-created-zlncn","host":"gpu-1"}"#),
                "{asked}"
            );
        }
        std::fs::remove_file(&path).unwrap();
        let hook = Hook {
            url: "http://127.0.0.1:9/".to_owned(),
            secret_file: Some(path),
        };
        let unreadable = Http::new().unwrap().call(&hook, &order()).await;
        assert!(unreadable.unwrap_err().contains("cannot be read"), "nothing is sent without it");
    }
}
