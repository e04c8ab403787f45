//! Asking others over HTTP, with bounds on how long and how much.

use reqwest::header::HeaderMap;
use reqwest::{Certificate, Client, Method, Response, StatusCode};
use serde_json::Value;
use std::time::Duration;

/// A whole answer may take so long.
const PATIENCE: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(2);
/// Bytes of an answer.
const LARGEST: usize = 1024 * 1024;

/// Why somebody else could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    #[error("{0:?} is no URL to ask: it must begin with https://, or with http:// on this machine")]
    Url(String),
    #[error("a client cannot be made")]
    Client(#[source] reqwest::Error),
    #[error("no answer")]
    NoAnswer(#[source] reqwest::Error),
    #[error("an answer that is too long")]
    TooLong,
    #[error("an answer that is not JSON")]
    NotJson,
    #[error("the answer was {0}")]
    Status(StatusCode),
    /// It answered, and not as it should.
    #[error("{0}")]
    Wrong(&'static str),
}

/// An HTTP client that follows nobody elsewhere.
#[derive(Debug, Clone)]
pub struct Outside(Client);

/// What came back.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// `Null` where there is none.
    pub body: Value,
}

impl Outside {
    /// `root`: certificates in PEM that are trusted besides those of the system.
    pub fn new(root: Option<&[u8]>) -> Result<Self, OutsideError> {
        let mut builder = Client::builder()
            .timeout(PATIENCE)
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(root) = root {
            builder = builder.tls_certs_merge(Certificate::from_pem_bundle(root).map_err(OutsideError::Client)?);
        }
        builder.build().map(Self).map_err(OutsideError::Client)
    }

    pub(crate) async fn ask(&self, method: Method, url: &str, headers: HeaderMap, body: Option<&Value>) -> Result<Answer, OutsideError> {
        let mut request = self.0.request(method, url).headers(headers);
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(OutsideError::NoAnswer)?;
        let bytes = read(&mut response).await?;
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap_or(Value::Null)
        };
        Ok(Answer {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body,
        })
    }

    /// A document that has to be there.
    pub(crate) async fn get(&self, url: &str) -> Result<Value, OutsideError> {
        let answer = self.ask(Method::GET, url, HeaderMap::new(), None).await?;
        if answer.status != StatusCode::OK {
            return Err(OutsideError::Status(answer.status));
        }
        if answer.body.is_null() {
            return Err(OutsideError::NotJson);
        }
        Ok(answer.body)
    }
}

async fn read(response: &mut Response) -> Result<Vec<u8>, OutsideError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(OutsideError::NoAnswer)? {
        if bytes.len() + chunk.len() > LARGEST {
            return Err(OutsideError::TooLong);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Refuses to send secrets, or to take keys, in the clear over a network. Without a `/` at its end.
pub(crate) fn checked(url: &str) -> Result<String, OutsideError> {
    let wrong = || OutsideError::Url(url.to_owned());
    let parsed = reqwest::Url::parse(url).map_err(|_| wrong())?;
    let is_here = matches!(parsed.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if parsed.scheme() == "https" || parsed.scheme() == "http" && is_here {
        Ok(url.trim_end_matches('/').to_owned())
    } else {
        Err(wrong())
    }
}

/// An error with what caused it, for a log.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_in_the_clear_over_a_network() {
        for url in [
            "https://iam.example/v3/",
            "http://localhost:1",
            "http://127.0.0.1/x",
            "http://[::1]:5000",
        ] {
            assert_eq!(checked(url).unwrap(), url.trim_end_matches('/'));
        }
        for url in [
            "http://iam.example",
            "http://127.0.0.1.example",
            "ftp://localhost",
            "iam.example",
            "",
        ] {
            assert!(checked(url).is_err(), "{url}");
        }
    }
}
