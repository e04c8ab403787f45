//! The client's side: which headers make a request a signed one.

use crate::aksk::canonical::{Parts, canonical_request};
use crate::aksk::{AUTHORIZATION, CONTENT_SHA256, SDK_DATE, SECURITY_TOKEN, Scheme, UNSIGNED_PAYLOAD};
use crate::request::BodyDigest;
use domain::name::AccessKeyId;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A request that is about to be sent.
#[derive(Debug, Clone, Copy)]
pub struct PlainRequest<'a> {
    pub method: &'a str,
    /// As it will be sent, escapes and all, without the query.
    pub path: &'a str,
    /// As it will be sent, without the `?`.
    pub query: &'a str,
    /// The headers to be signed besides those that signing adds, each once. Headers that are not to be signed, such as
    /// those which the HTTP library adds, are left out. Those that signing sets itself are ignored here.
    pub headers: &'a [(&'a str, &'a [u8])],
    pub body: &'a [u8],
}

/// What a signature says about the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Payload {
    /// Its hash is signed.
    #[default]
    Hashed,
    /// Its hash is signed and sent in `X-Sdk-Content-Sha256`.
    Declared,
    /// Nothing: `UNSIGNED-PAYLOAD` is sent and signed in place of the hash.
    Unsigned,
}

/// Signs with one access key.
#[derive(Debug, Clone)]
pub struct Signer {
    access_key: AccessKeyId,
    secret: SecretString,
    security_token: Option<SecretString>,
    /// Region and service, for `V11-HMAC-SHA256`.
    derived_for: Option<(String, String)>,
    payload: Payload,
}

impl Signer {
    /// `SDK-HMAC-SHA256` with a hashed body.
    pub fn new(access_key: AccessKeyId, secret: SecretString) -> Self {
        Self {
            access_key,
            secret,
            security_token: None,
            derived_for: None,
            payload: Payload::default(),
        }
    }

    /// The token of a temporary key, sent and signed.
    pub fn with_security_token(self, token: SecretString) -> Self {
        Self {
            security_token: Some(token),
            ..self
        }
    }

    /// `V11-HMAC-SHA256`. Neither name may be empty or hold a `/`.
    pub fn derived_for(self, region: &str, service: &str) -> Self {
        Self {
            derived_for: Some((region.to_owned(), service.to_owned())),
            ..self
        }
    }

    pub fn with_payload(self, payload: Payload) -> Self {
        Self { payload, ..self }
    }

    /// The headers to add to the request: `X-Sdk-Date`, `Authorization`, and by need `X-Security-Token` and
    /// `X-Sdk-Content-Sha256`.
    pub fn sign(&self, request: &PlainRequest<'_>, now: Timestamp) -> Vec<(&'static str, String)> {
        let date = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let body_hash = BodyDigest::of(request.body).to_hex();
        let mut added = vec![(SDK_DATE, date.clone())];
        if let Some(token) = &self.security_token {
            added.push((SECURITY_TOKEN, token.expose_secret().to_owned()));
        }
        let body = match self.payload {
            Payload::Hashed => body_hash,
            Payload::Declared => {
                added.push((CONTENT_SHA256, body_hash.clone()));
                body_hash
            }
            Payload::Unsigned => {
                added.push((CONTENT_SHA256, UNSIGNED_PAYLOAD.to_owned()));
                UNSIGNED_PAYLOAD.to_owned()
            }
        };
        let headers = signed_values(request, &added);
        let signed_headers = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
        let canonical = canonical_request(&Parts {
            method: request.method,
            path: request.path,
            query: request.query,
            headers: &headers,
            signed_headers: &signed_headers,
            body: &body,
        });
        let authorization = self.authorization(&date, &signed_headers, &Sha256::digest(canonical).into());
        added.push((AUTHORIZATION, authorization));
        added
    }

    fn authorization(&self, date: &str, signed_headers: &str, canonical_sha256: &[u8; 32]) -> String {
        let access_key = &self.access_key;
        let (scheme, credential) = match &self.derived_for {
            None => (Scheme::SdkHmacSha256, format!("Access={access_key}")),
            Some((region, service)) => {
                let info = format!("{}/{region}/{service}", date.get(..8).unwrap_or_default());
                let credential = format!("Credential={access_key}/{info}");
                (Scheme::V11HmacSha256 { info }, credential)
            }
        };
        let signature = hex::encode(scheme.signature(access_key, &self.secret, date, canonical_sha256));
        format!(
            "{} {credential}, SignedHeaders={signed_headers}, Signature={signature}",
            scheme.name()
        )
    }
}

/// Names in lower case and values, sorted by name.
fn signed_values<'a>(request: &PlainRequest<'a>, added: &'a [(&'static str, String)]) -> Vec<(String, &'a [u8])> {
    let is_ours = |name: &str| [SDK_DATE, SECURITY_TOKEN, CONTENT_SHA256, AUTHORIZATION].contains(&name);
    let given = request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), *value));
    let ours = added.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes()));
    let sorted: BTreeMap<String, &[u8]> = given.filter(|(name, _)| !is_ours(name)).chain(ours).collect();
    sorted.into_iter().collect()
}
