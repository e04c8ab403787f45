//! The API over HTTP: reads requests, finds out who calls, calls the use cases, renders what they answer.
//!
//! Owns routes, headers, statuses and error codes. Must not know SQL, pools' rules or how anything becomes reality.

pub mod app;
pub mod audit;
pub mod call;
pub mod error;
mod freshness;
mod handlers;
pub mod limits;
pub mod metrics;
pub mod openapi;
pub mod peer;
mod pipeline;
mod render;
pub mod router;
pub mod serve;
mod stall;
mod timer;
pub mod tls;

pub use app::{App, AppParts, Readiness};
pub use freshness::Freshness;
pub use limits::{LimitSettings, Limits, Rate};
pub use peer::TrustedProxies;
pub use serve::{Listening, serve};
pub use tls::{Tls, TlsFiles};
