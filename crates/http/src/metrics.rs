//! What the server counts, in the form that Prometheus reads.

use crate::tls::TlsObserver;
use axum::http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    limit: &'static str,
}

/// The registry and what is registered in it.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<OperationLabels, Histogram>,
    pools: Family<PhaseLabels, Gauge>,
    nodes: Family<PhaseLabels, Gauge>,
    steps: Family<OutcomeLabels, Counter>,
    queue: Gauge,
    groups: Histogram,
    connections: Gauge,
    full: Counter,
    limited: Family<LimitLabels, Counter>,
    certificate: Family<Vec<(String, String)>, Gauge>,
    reloads: Family<OutcomeLabels, Counter>,
    audit_lost: Counter,
    leads: Gauge,
    epoch: Gauge,
    store_revision: Gauge,
    lag: Gauge,
    silence: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("poolkeeper");
        let requests = Family::default();
        let durations =
            Family::<OperationLabels, Histogram>::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 16)));
        let pools = Family::default();
        let nodes = Family::default();
        let steps = Family::default();
        let queue = Gauge::default();
        let groups = Histogram::new(exponential_buckets(1.0, 2.0, 10));
        registry.register("http_requests", "Requests by operation, method and status", requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time from the first byte to the answer",
            durations.clone(),
        );
        registry.register("pools", "Pools by phase", pools.clone());
        registry.register("nodes", "Nodes by state", nodes.clone());
        registry.register("reconcile_steps", "Reconcile steps by outcome", steps.clone());
        registry.register("reconcile_queue", "Pool trees that wait for a step", queue.clone());
        registry.register(
            "store_group_size",
            "Commits that one transaction of the store carried",
            groups.clone(),
        );
        let (connections, full, limited) = (Gauge::default(), Counter::default(), Family::default());
        registry.register("http_connections", "Connections that are open", connections.clone());
        registry.register(
            "http_connections_full",
            "How often a connection had to wait because there were as many as there may be",
            full.clone(),
        );
        registry.register("http_limited", "Requests that were refused with 429, by limit", limited.clone());
        let (certificate, reloads) = (Family::default(), Family::default());
        registry.register(
            "tls_certificate_expiry_timestamp_seconds",
            "When the certificate in use ends; absent without TLS",
            Family::clone(&certificate),
        );
        registry.register("tls_reloads", "New certificates by outcome", Family::clone(&reloads));
        let audit_lost = Counter::default();
        registry.register(
            "audit_lost",
            "Entries of the audit record that are in the log alone",
            audit_lost.clone(),
        );
        let [leads, epoch, store_revision, lag] = [(); 4].map(|()| Gauge::default());
        let silence = Gauge::default();
        registry.register("leader", "Whether this replica reconciles", leads.clone());
        registry.register("lease_epoch", "Epoch of the lease that this replica has or had last", epoch.clone());
        registry.register(
            "store_revision",
            "Newest revision that the store is known to have",
            store_revision.clone(),
        );
        registry.register(
            "index_lag_revisions",
            "Revisions that the store has and this replica does not show yet",
            lag.clone(),
        );
        registry.register(
            "store_silence_seconds",
            "Time for which the store has not answered",
            silence.clone(),
        );
        Self {
            registry,
            requests,
            durations,
            pools,
            nodes,
            steps,
            queue,
            groups,
            connections,
            full,
            limited,
            certificate,
            reloads,
            audit_lost,
            leads,
            epoch,
            store_revision,
            lag,
            silence,
        }
    }
}

impl TlsObserver for Metrics {
    fn in_use(&self, end: jiff::Timestamp) {
        self.certificate.get_or_create(&Vec::new()).set(end.as_second());
        self.reloads.get_or_create(&OutcomeLabels { outcome: "done" }).inc();
    }

    fn failed(&self) {
        self.reloads.get_or_create(&OutcomeLabels { outcome: "failed" }).inc();
    }
}

/// Clients may send any method: what is not known is one more value, not as many as there are texts.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

impl Metrics {
    pub(crate) fn request(&self, method: &Method, operation: &'static str, status: StatusCode, elapsed: Duration) {
        let labels = RequestLabels {
            operation,
            method: method_name(method),
            status: status.as_u16(),
        };
        self.requests.get_or_create(&labels).inc();
        self.durations
            .get_or_create(&OperationLabels { operation })
            .observe(elapsed.as_secs_f64());
    }

    /// So many connections more.
    pub(crate) fn connections(&self, change: i64) {
        self.connections.inc_by(change);
    }

    /// A connection has to wait for another one to end.
    pub(crate) fn full(&self) {
        self.full.inc();
    }

    /// A request was refused by this limit.
    pub(crate) fn limited(&self, limit: &'static str) {
        self.limited.get_or_create(&LimitLabels { limit }).inc();
    }

    /// So many entries of the audit record could not be kept.
    pub fn audit_lost(&self, entries: usize) {
        self.audit_lost.inc_by(u64::try_from(entries).unwrap_or(u64::MAX));
    }

    /// One step of the reconciler ended.
    pub fn step(&self, outcome: &'static str) {
        self.steps.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// So many pool trees wait for a step.
    pub fn queued(&self, length: usize) {
        self.queue.set(i64::try_from(length).unwrap_or(i64::MAX));
    }

    /// This replica reconciles with an epoch, or does not.
    pub fn leads(&self, epoch: Option<u64>) {
        self.leads.set(i64::from(epoch.is_some()));
        if let Some(epoch) = epoch {
            self.epoch.set(i64::try_from(epoch).unwrap_or(i64::MAX));
        }
    }

    /// The store has come to a revision, and what is shown here to another.
    pub fn followed(&self, store: u64, shown: u64) {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.store_revision.set(number(store));
        self.lag.set(number(store.saturating_sub(shown)));
    }

    /// One transaction of the store carried so many commits.
    pub fn committed(&self, commits: usize) {
        self.groups.observe(commits as f64);
    }

    /// The text of `/metrics`, with pools and nodes counted now.
    pub(crate) fn render(&self, service: &service::Service, silence: Duration) -> String {
        self.silence.set(silence.as_secs_f64());
        let index = service.state().index().read();
        let mut pools: std::collections::BTreeMap<&'static str, i64> =
            domain::pool::PoolPhase::NAMES.into_iter().map(|name| (name, 0)).collect();
        let mut nodes = domain::event::Counters::default();
        for pool in index.all::<domain::pool::Pool>() {
            *pools.entry(pool.status.phase.as_str()).or_default() += 1;
            let counters = pool.status.resources.counters();
            nodes.available += counters.available;
            nodes.abnormal += counters.abnormal;
            nodes.creating += counters.creating;
            nodes.deleting += counters.deleting;
        }
        drop(index);
        for (phase, count) in pools {
            self.pools.get_or_create(&PhaseLabels { phase }).set(count);
        }
        for (phase, count) in [
            ("available", nodes.available),
            ("abnormal", nodes.abnormal),
            ("creating", nodes.creating),
            ("deleting", nodes.deleting),
        ] {
            self.nodes.get_or_create(&PhaseLabels { phase }).set(i64::from(count));
        }
        let mut text = String::new();
        // Writing into a string does not fail.
        let _written = encode(&mut text, &self.registry);
        text
    }
}
