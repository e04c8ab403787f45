//! The way between a client and the server. What is on it arrives though the client may be gone by then.

use crate::cluster::FakeCluster;
use crate::server::{AnswerBody, FakeServer};
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::client::Body;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::{BoxError, Service};

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// It may change something.
    pub is_write: bool,
    /// Path and query.
    pub target: String,
}

/// What happens on the way. An error: it does not arrive, and the client sees the connection break.
pub trait Way: Send + Sync + 'static {
    /// To the server. Of a write this goes on where nobody waits for the answer any more.
    fn there(&self, sent: &Sent) -> BoxFuture<'static, Result<(), BoxError>>;
    /// Back to the client.
    fn back(&self, sent: &Sent) -> BoxFuture<'static, Result<(), BoxError>>;
}

#[derive(Clone)]
struct Distant {
    server: FakeServer,
    way: Arc<dyn Way>,
}

impl Service<Request<Body>> for Distant {
    type Response = Response<AnswerBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Request<Body>>::poll_ready(&mut self.server, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let sent = Sent {
            is_write: request.method() != Method::GET,
            target: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
        };
        let (there, back) = (self.way.there(&sent), Arc::clone(&self.way));
        let mut server = self.server.clone();
        let arrives = async move {
            there.await?;
            server.call(request).await
        };
        Box::pin(async move {
            let answer = if sent.is_write {
                tokio::spawn(arrives).await.map_err(BoxError::from)?
            } else {
                arrives.await
            };
            back.back(&sent).await?;
            answer
        })
    }
}

impl FakeCluster {
    /// A client as the controller's own service account, at the other end of a way. To be called inside a runtime.
    pub fn client_over(&self, way: Arc<dyn Way>) -> kube::Client {
        let server = self.server_as(crate::admission::OWN_USER);
        kube::Client::new(Distant { server, way }, "default")
    }
}
