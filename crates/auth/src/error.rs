//! Why a caller was not recognised: a text for the caller, and more for the log.

use crate::source::SourceError;
use domain::name::AccessKeyId;

/// Why authentication failed. `Display` is the `error_msg` of the answer (contract README §9, row 401); what went
/// wrong in detail is for the log only, see [`AuthnError::log_reason`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthnError {
    /// No credential that anybody here understands.
    #[error("token is missing")]
    TokenMissing,
    #[error("token is invalid")]
    TokenInvalid(TokenProblem),
    #[error("token has expired")]
    TokenExpired { credential: String },
    #[error("signature is invalid")]
    SignatureInvalid(SignatureProblem),
    #[error("request time is not within the allowed range")]
    RequestTime(TimeProblem),
    /// Not the caller's fault: 503, not 401.
    #[error("credentials cannot be checked at the moment")]
    Unavailable(#[source] SourceError),
}

/// What is wrong with a token, or with a key whose signature is right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenProblem {
    #[error("there are several x-auth-token headers")]
    Repeated,
    #[error("token {credential} is unknown or revoked")]
    Unknown { credential: String },
    /// By the judgement of whoever made it. The reason names no secrets.
    #[error("token {credential} of another issuer: {reason}")]
    Foreign { credential: String, reason: String },
    #[error("token {credential} is not bound to a project")]
    NotForProjects { credential: String },
    #[error("access key {0:?} is switched off")]
    KeyDisabled(AccessKeyId),
    #[error("temporary access key {0:?} came without its security token")]
    SecurityTokenMissing(AccessKeyId),
    #[error("the security token is not that of access key {0:?}")]
    SecurityTokenWrong(AccessKeyId),
}

/// What is wrong with a signature or with the headers around it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureProblem {
    #[error("there are several {0} headers")]
    Repeated(&'static str),
    #[error("authorization header: {0}")]
    Malformed(&'static str),
    #[error("algorithm {0:?} is not supported")]
    Algorithm(String),
    #[error("x-sdk-date is not among the signed headers")]
    DateNotSigned,
    #[error("signed header {0:?} is absent")]
    SignedHeaderAbsent(String),
    #[error("signed header {0:?} is there several times")]
    SignedHeaderRepeated(String),
    #[error("x-sdk-content-sha256 is not the hash of the body")]
    BodyHash,
    #[error("the date of the credential is not that of x-sdk-date")]
    CredentialDate,
    #[error("access key {0:?} is unknown")]
    KeyUnknown(AccessKeyId),
    #[error("the signature of access key {access_key:?} does not match; sha-256 of the canonical request: {canonical_sha256}")]
    Mismatch {
        access_key: AccessKeyId,
        /// In hexadecimal. Signers print it too, so the two can be compared.
        canonical_sha256: String,
    },
}

/// What is wrong with `X-Sdk-Date`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeProblem {
    #[error("x-sdk-date is absent")]
    Absent,
    #[error("x-sdk-date does not have the form YYYYMMDDTHHMMSSZ")]
    Malformed,
    #[error("x-sdk-date is {ahead_seconds} s ahead of the clock (negative: behind)")]
    Skewed { ahead_seconds: i64 },
}

impl AuthnError {
    /// The detail for the log. Names public halves of credentials at most, never a secret, token or signature, and is
    /// bounded in length.
    pub fn log_reason(&self) -> String {
        match self {
            Self::TokenMissing => "no usable credential in the request".to_owned(),
            Self::TokenInvalid(problem) => problem.to_string(),
            Self::TokenExpired { credential } => format!("credential {credential:?} has expired"),
            Self::SignatureInvalid(problem) => problem.to_string(),
            Self::RequestTime(problem) => problem.to_string(),
            Self::Unavailable(source) => source.to_string(),
        }
    }
}

/// The beginning of something that the caller sent, for a reason that is logged.
pub(crate) fn excerpt(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(64)]);
    text.into_owned()
}
