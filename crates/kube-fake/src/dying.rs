//! A process that ends at any of its writes.

use futures::future::BoxFuture;
use http::{Method, Request};
use kube::client::Body;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};
use tower::{BoxError, Layer, Service};

/// How many writes a process has left to make: a layer for a client of this or of any other server.
#[derive(Debug, Clone)]
pub struct Life {
    left: Arc<AtomicI64>,
}

impl Life {
    /// It ends instead of making a write more than these. Events, which nobody waits for, are not counted.
    pub fn of(writes: u32) -> Self {
        Self::counting(writes.into())
    }

    fn counting(writes: i64) -> Self {
        Self {
            left: Arc::new(AtomicI64::new(writes)),
        }
    }

    /// It never ends.
    pub fn endless() -> Self {
        Self::counting(i64::MAX)
    }

    /// It would have made one write more.
    pub fn is_over(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }
}

impl<S> Layer<S> for Life {
    type Service = Dying<S>;

    fn layer(&self, inner: S) -> Dying<S> {
        Dying { inner, life: self.clone() }
    }
}

/// Lets nothing through once the life is over.
#[derive(Debug, Clone)]
pub struct Dying<S> {
    inner: S,
    life: Life,
}

impl<S> Service<Request<Body>> for Dying<S>
where
    S: Service<Request<Body>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_write = request.method() != Method::GET && !request.uri().path().ends_with("/events");
        if is_write {
            self.life.left.fetch_sub(1, Ordering::SeqCst);
        }
        if self.life.is_over() {
            return Box::pin(async { Err(BoxError::from("the process is gone")) });
        }
        Box::pin(self.inner.call(request))
    }
}
