//! What handlers work with.

use crate::audit::AuditSink;
use crate::freshness::Freshness;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::peer::TrustedProxies;
use crate::pipeline::RequestIds;
use auth::{Authenticator, RemoteAuthenticator};
use bytes::Bytes;
use clock::{Clock, Entropy};
use service::Service;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// Everything the router needs. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub(crate) parts: Arc<AppParts>,
    pub(crate) openapi: Arc<Bytes>,
    pub(crate) request_ids: Arc<RequestIds>,
}

pub struct AppParts {
    pub service: Service,
    pub authenticator: Arc<dyn Authenticator>,
    /// Who is asked about tokens that `authenticator` does not know.
    pub remote: Vec<Box<dyn RemoteAuthenticator>>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub metrics: Arc<Metrics>,
    pub readiness: Readiness,
    pub limits: Limits,
    /// Whose word counts for where a request comes from.
    pub proxies: TrustedProxies,
    /// Where the record of who did what is kept.
    pub audit: Arc<dyn AuditSink>,
    pub freshness: Freshness,
    /// `true`: answers that have no end of their own are to end now.
    pub closing: watch::Receiver<bool>,
    /// Region shown in the catalogue of tokens.
    pub region: String,
}

impl App {
    pub fn new(parts: AppParts) -> Self {
        let openapi = Arc::new(Bytes::from(crate::openapi::document().to_string()));
        Self {
            parts: Arc::new(parts),
            openapi,
            request_ids: Arc::default(),
        }
    }

    pub fn service(&self) -> &Service {
        &self.parts.service
    }
}

/// Whether requests should be sent here. Clones share the answer.
#[derive(Clone, Default)]
pub struct Readiness(Arc<ReadinessState>);

#[derive(Default)]
struct ReadinessState {
    is_ready: AtomicBool,
    remark: OnceLock<Remark>,
}

type Remark = Box<dyn Fn() -> Option<&'static str> + Send + Sync>;

impl Readiness {
    pub fn set(&self, is_ready: bool) {
        self.0.is_ready.store(is_ready, Ordering::Release);
    }

    pub fn get(&self) -> bool {
        self.0.is_ready.load(Ordering::Acquire)
    }

    /// From now on it is said beside the answer what does not work, though requests are answered. The first of several
    /// counts.
    pub fn remark_with(&self, remark: impl Fn() -> Option<&'static str> + Send + Sync + 'static) {
        let _first = self.0.remark.set(Box::new(remark));
    }

    /// What does not work, though requests are answered. Everybody may read it.
    pub fn remark(&self) -> Option<&'static str> {
        self.0.remark.get().and_then(|remark| remark())
    }
}
