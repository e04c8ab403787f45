//! A client that sends exactly what it is told, signed with an access key or with a token.

use crate::events::Events;
use anyhow::Context;
use auth::{PlainRequest, Signer};
use clock::Clock;
use domain::name::AccessKeyId;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde_json::Value;
use std::sync::Arc;

/// How requests prove who sends them.
#[derive(Clone)]
pub enum Credential {
    AccessKey { id: AccessKeyId, secret: SecretString },
    Token(String),
    None,
}

#[derive(Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
    credential: Credential,
    clock: Arc<dyn Clock>,
    headers: Vec<(String, String)>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// `Null` where the body is not JSON.
    pub body: Value,
}

impl Answer {
    pub fn code(&self) -> &str {
        self.body["error_code"].as_str().unwrap_or_default()
    }

    pub fn message(&self) -> &str {
        self.body["error_msg"].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body of an answer that must be a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.body
    }

    /// Asserts a refusal with this status and code.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        self
    }

    /// Asserts a refusal whose message holds a text.
    #[track_caller]
    pub fn refused_saying(self, status: u16, code: &str, text: &str) -> Self {
        let answer = self.refused(status, code);
        assert!(answer.message().contains(text), "{:?} does not say {text:?}", answer.message());
        answer
    }
}

impl Client {
    pub fn new(base: impl Into<String>, credential: Credential, clock: Arc<dyn Clock>) -> Self {
        poolkeeper::install_cryptography();
        Self {
            base: base.into(),
            http: reqwest::Client::new(),
            credential,
            clock,
            headers: Vec::new(),
        }
    }

    /// The same client with one more header on every request.
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// The same client on connections of its own, made by another HTTP client.
    pub fn over(&self, http: reqwest::Client) -> Self {
        Self { http, ..self.clone() }
    }

    pub fn with_credential(&self, credential: Credential) -> Self {
        Self {
            credential,
            ..self.clone()
        }
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.send(Method::GET, target, "application/json", Vec::new()).await
    }

    pub async fn post(&self, target: &str, body: &Value) -> Answer {
        self.send(Method::POST, target, "application/json", body.to_string().into_bytes())
            .await
    }

    pub async fn put(&self, target: &str, body: &Value) -> Answer {
        self.send(Method::PUT, target, "application/json", body.to_string().into_bytes())
            .await
    }

    pub async fn patch(&self, target: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, target, "application/merge-patch+json", body.to_string().into_bytes())
            .await
    }

    pub async fn delete(&self, target: &str) -> Answer {
        self.send(Method::DELETE, target, "application/json", Vec::new()).await
    }

    /// Sends a request; `target` is path and query as they go over the wire.
    pub async fn send(&self, method: Method, target: &str, content_type: &str, body: Vec<u8>) -> Answer {
        self.try_send(method, target, content_type, body).await.expect("the server answers")
    }

    /// As [`Client::send`], for servers that may be gone.
    pub async fn try_send(&self, method: Method, target: &str, content_type: &str, body: Vec<u8>) -> anyhow::Result<Answer> {
        let headers = self.sign(&method, target, content_type, &body)?;
        let request = self
            .http
            .request(method, format!("{}{target}", self.base))
            .headers(headers)
            .body(body);
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer {
            status,
            headers,
            text,
            body,
        })
    }

    /// Begins to read what a target tells.
    ///
    /// # Panics
    ///
    /// If it tells nothing.
    pub async fn watch(&self, target: &str) -> Events {
        let headers = self.sign(&Method::GET, target, "", &[]).expect("a request that can be signed");
        let request = self.http.get(format!("{}{target}", self.base)).headers(headers);
        let response = request.send().await.expect("the server answers");
        Events::new(response).expect("events")
    }

    fn sign(&self, method: &Method, target: &str, content_type: &str, body: &[u8]) -> anyhow::Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert("content-type", HeaderValue::from_str(content_type)?);
        }
        for (name, value) in &self.headers {
            headers.insert(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
        }
        match &self.credential {
            Credential::None => {}
            Credential::Token(token) => {
                headers.insert("x-auth-token", HeaderValue::from_str(token)?);
            }
            Credential::AccessKey { id, secret } => {
                let (path, query) = target.split_once('?').unwrap_or((target, ""));
                let signed: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
                let plain = PlainRequest {
                    method: method.as_str(),
                    path,
                    query,
                    headers: &signed,
                    body,
                };
                let added = Signer::new(id.clone(), secret.clone()).sign(&plain, self.clock.now());
                for (name, value) in added {
                    headers.insert(
                        HeaderName::from_bytes(name.as_bytes()).context("a header name")?,
                        HeaderValue::from_str(&value)?,
                    );
                }
            }
        }
        Ok(headers)
    }
}
