//! Everything that a use case can answer instead of success. The HTTP layer maps each to a status and a code, in one place.

use domain::field::{FieldErrors, FieldPath, Reason};
use domain::name::{NodeName, PoolName};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ServiceError {
    #[error("{0}")]
    Invalid(FieldErrors),
    /// The object's state does not allow it.
    #[error("{0}")]
    Refused(String),
    #[error("unknown workspace")]
    UnknownWorkspace,
    #[error("workspace {0} is not in status NORMAL")]
    WorkspaceNotNormal(String),
    /// An unknown workspace id in a URL.
    #[error("no workspace {0}")]
    NoSuchWorkspace(String),
    #[error("the default workspace cannot be changed")]
    DefaultWorkspace,
    #[error("the {0:?} quota is used up")]
    QuotaExceeded(QuotaKind),
    #[error("not signed in: {0}")]
    Unauthenticated(String),
    #[error("the project is not one of the caller's")]
    WrongProject,
    #[error("the role does not allow {action}")]
    ActionDenied { action: String },
    #[error("no access to the workspace for {action} of {resource}")]
    WorkspaceDenied { action: String, resource: String },
    #[error("not found: {0:?}")]
    NotFound(Missing),
    #[error("exists already: {0:?}")]
    AlreadyExists(ExistsKind),
    #[error("the network is in use")]
    NetworkInUse,
    #[error("the object is no longer what If-Match names")]
    Stale,
    #[error("the idempotency key was used with another request")]
    KeyReused,
    #[error("the object kept changing at the same time")]
    Conflict,
    #[error("the store or the fleet does not answer: {0}")]
    Unavailable(String),
    #[error("internal: {0}")]
    Internal(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuotaKind {
    Pool,
    Network,
}

/// What was looked for in vain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Missing {
    /// The pool of a pool or node endpoint.
    Pool,
    /// The pool of an event, workload or order endpoint.
    NamedPool(String),
    Network,
    /// Any other named object: its kind as the API spells it.
    Named {
        kind: String,
        name: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExistsKind {
    Pool,
    Network,
    Named { kind: String, name: String },
}

impl ServiceError {
    /// One field is wrong.
    pub fn field(path: FieldPath, reason: Reason, message: impl Into<String>) -> Self {
        Self::Invalid(FieldErrors::one(path, reason, message))
    }

    pub fn named(kind: &str, name: impl AsRef<str>) -> Self {
        Self::NotFound(Missing::Named {
            kind: kind.to_owned(),
            name: name.as_ref().to_owned(),
        })
    }

    pub fn node(name: &NodeName) -> Self {
        Self::named("Node", name)
    }

    pub fn restricted(pool: &PoolName, reason: &str) -> Self {
        Self::Refused(format!("pool {pool} is restricted: {reason}"))
    }

    /// Whether the same request may succeed if it is sent again.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Conflict | Self::Unavailable(_) => true,
            Self::Invalid(_)
            | Self::Refused(_)
            | Self::UnknownWorkspace
            | Self::WorkspaceNotNormal(_)
            | Self::NoSuchWorkspace(_)
            | Self::DefaultWorkspace
            | Self::QuotaExceeded(_)
            | Self::Unauthenticated(_)
            | Self::WrongProject
            | Self::ActionDenied { .. }
            | Self::WorkspaceDenied { .. }
            | Self::NotFound(_)
            | Self::AlreadyExists(_)
            | Self::NetworkInUse
            | Self::Stale
            | Self::KeyReused
            | Self::Internal(_) => false,
        }
    }

    /// Whether it is certain that nothing was changed.
    pub fn had_no_effect(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Internal(_) => false,
            Self::Invalid(_)
            | Self::Refused(_)
            | Self::UnknownWorkspace
            | Self::WorkspaceNotNormal(_)
            | Self::NoSuchWorkspace(_)
            | Self::DefaultWorkspace
            | Self::QuotaExceeded(_)
            | Self::Unauthenticated(_)
            | Self::WrongProject
            | Self::ActionDenied { .. }
            | Self::WorkspaceDenied { .. }
            | Self::NotFound(_)
            | Self::AlreadyExists(_)
            | Self::NetworkInUse
            | Self::Stale
            | Self::KeyReused
            | Self::Conflict => true,
        }
    }
}

impl From<FieldErrors> for ServiceError {
    fn from(errors: FieldErrors) -> Self {
        Self::Invalid(errors)
    }
}
