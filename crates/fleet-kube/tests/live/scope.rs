//! What a controller of a test sees of the server.
//!
//! There is one Poolkeeper to a cluster: whoever holds the lease goes on with every action on every Node, and with every pool that is being
//! removed. Here many stand side by side, each a cluster of its own, so that each is shown its own Nodes and pools only.

use http::{Request, Uri};
use kube::client::Body;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// Selectors that are put into lists and watches.
#[derive(Clone)]
pub struct Scope {
    nodes: String,
    pools: String,
}

/// How the adapter asks for what belongs to pools.
const OF_POOLS: &str = "labelSelector=poolkeeper.io%2Froot";

impl Scope {
    /// Nodes with a label, and pools by their uids.
    pub fn new(label: &str, value: &str, pools: &[String]) -> Self {
        Self {
            nodes: format!("labelSelector={}%3D{value}", label.replace('/', "%2F")),
            pools: format!("{OF_POOLS}%20in%20%28{}%29", pools.join("%2C")),
        }
    }

    fn narrowed(&self, uri: &Uri) -> Option<Uri> {
        let query = uri.query().unwrap_or_default();
        let text = if uri.path() == "/api/v1/nodes" && !query.contains("labelSelector=") {
            format!("{}?{query}&{}", uri.path(), self.nodes)
        } else if query.split('&').any(|part| part == OF_POOLS) {
            format!("{}?{}", uri.path(), query.replacen(OF_POOLS, &self.pools, 1))
        } else {
            return None;
        };
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(text.parse().unwrap());
        Some(Uri::from_parts(parts).unwrap())
    }
}

impl<S> Layer<S> for Scope {
    type Service = Scoped<S>;

    fn layer(&self, inner: S) -> Scoped<S> {
        Scoped {
            inner,
            scope: self.clone(),
        }
    }
}

pub struct Scoped<S> {
    inner: S,
    scope: Scope,
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for Scoped<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(uri) = self.scope.narrowed(request.uri()) {
            *request.uri_mut() = uri;
        }
        self.inner.call(request)
    }
}
