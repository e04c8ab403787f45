//! Connections: accepted until told to stop, finished before it returns.

use crate::app::App;
use crate::router::router;
use axum::Router;
use clock::Clock;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// How long the headers of a request may take to arrive.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of the request line and the headers: more than any client sends, and enough for the 64 KiB that are allowed.
const HEADER_BUFFER: usize = 128 * 1024;
/// Requests in flight get so long to finish after the order to stop.
const DRAIN: Duration = Duration::from_secs(20);

/// Serves the API until `shutdown` resolves, then lets the requests in flight finish.
pub async fn serve(listener: TcpListener, app: App, shutdown: impl Future<Output = ()> + Send) {
    let clock = Arc::clone(&app.parts.clock);
    serve_router(listener, router(app), clock.as_ref(), shutdown).await;
}

/// As [`serve`], for any routes: what the API is measured against is served in the same way.
pub async fn serve_router(listener: TcpListener, routes: Router, clock: &dyn Clock, shutdown: impl Future<Output = ()> + Send) {
    let service = TowerToHyperService::new(routes);
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BUFFER);
    let graceful = GracefulShutdown::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "TCP_NODELAY was refused");
                    }
                    let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service.clone()).into_owned());
                    tokio::spawn(async move {
                        if let Err(error) = connection.await {
                            tracing::debug!(%error, "a connection broke");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    clock.sleep_until(clock.now().saturating_add(Duration::from_millis(50)).unwrap_or(jiff::Timestamp::MAX)).await;
                }
            }
        }
    }
    drop(listener);
    let over = clock.sleep_until(clock.now().saturating_add(DRAIN).unwrap_or(jiff::Timestamp::MAX));
    tokio::select! {
        () = graceful.shutdown() => {}
        () = over => tracing::warn!("requests were still in flight when the time to finish them was over"),
    }
}
