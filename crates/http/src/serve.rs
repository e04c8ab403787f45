//! Connections: accepted until told to stop, finished before it returns.

use crate::app::App;
use crate::metrics::Metrics;
use crate::peer::Peer;
use crate::router::router;
use crate::stall::Impatient;
use crate::timer::ClockTimer;
use crate::tls::Tls;
use axum::Router;
use clock::Clock;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long the headers of a request may take to arrive, and how long a connection may be idle between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take nothing of what is sent to it.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
/// Bytes of the request line and the headers: more than any client sends, and enough for the 64 KiB that are allowed.
const HEADER_BUFFER: usize = 128 * 1024;
/// Requests in flight get so long to finish after the order to stop.
const DRAIN: Duration = Duration::from_secs(20);

/// Where connections come from, and what holds for each of them.
pub struct Listening {
    pub listener: TcpListener,
    /// Absent: plain HTTP.
    pub tls: Option<Arc<Tls>>,
    /// Connections at the same time; those that come then wait to be accepted. Absent: as many as the system allows.
    pub most: Option<NonZeroUsize>,
    /// Of time-outs.
    pub clock: Arc<dyn Clock>,
    /// Where connections are counted.
    pub metrics: Option<Arc<Metrics>>,
}

impl Listening {
    /// Plain HTTP without bounds.
    pub fn plain(listener: TcpListener, clock: Arc<dyn Clock>) -> Self {
        Self {
            listener,
            tls: None,
            most: None,
            clock,
            metrics: None,
        }
    }
}

/// Serves the API until `shutdown` resolves, then lets the requests in flight finish.
pub async fn serve(listening: Listening, app: App, shutdown: impl Future<Output = ()> + Send) {
    serve_router(listening, router(app), shutdown).await;
}

/// What all connections share.
struct Terms {
    builder: Builder<TokioExecutor>,
    routes: TowerToHyperService<Router>,
    tls: Option<Arc<Tls>>,
    clock: Arc<dyn Clock>,
    metrics: Option<Arc<Metrics>>,
}

/// As [`serve`], for any routes: what the API is measured against is served in the same way.
pub async fn serve_router(listening: Listening, routes: Router, shutdown: impl Future<Output = ()> + Send) {
    let Listening {
        listener,
        tls,
        most,
        clock,
        metrics,
    } = listening;
    // Left to find the version out by itself, it would wait for the first byte without end.
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(ClockTimer::new(Arc::clone(&clock)))
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BUFFER);
    let places = Arc::new(Semaphore::new(
        most.map_or(Semaphore::MAX_PERMITS, |most| most.get().min(Semaphore::MAX_PERMITS)),
    ));
    let terms = Arc::new(Terms {
        builder,
        routes: TowerToHyperService::new(routes),
        tls,
        clock: Arc::clone(&clock),
        metrics,
    });
    let graceful = GracefulShutdown::new();
    tokio::pin!(shutdown);
    loop {
        let (stream, address, place) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            next = next(&listener, &places, &terms) => match next {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    clock.sleep_until(after(clock.as_ref(), Duration::from_millis(50))).await;
                    continue;
                }
            }
        };
        tokio::spawn(connection(stream, address, place, Arc::clone(&terms), graceful.watcher()));
    }
    drop(listener);
    let over = clock.sleep_until(after(clock.as_ref(), DRAIN));
    tokio::select! {
        () = graceful.shutdown() => {}
        () = over => tracing::warn!("requests were still in flight when the time to finish them was over"),
    }
}

fn after(clock: &dyn Clock, duration: Duration) -> Timestamp {
    clock.now().saturating_add(duration).unwrap_or(Timestamp::MAX)
}

/// The next connection, once there is a place for it: until then it waits in the system's queue.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    terms: &Terms,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    if places.available_permits() == 0
        && let Some(metrics) = &terms.metrics
    {
        metrics.full();
    }
    let place = Arc::clone(places).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    Ok((stream, address, place))
}

/// One more connection, as long as this is there.
struct Counted(Option<Arc<Metrics>>);

impl Counted {
    fn new(metrics: Option<Arc<Metrics>>) -> Self {
        if let Some(metrics) = &metrics {
            metrics.connections(1);
        }
        Self(metrics)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(metrics) = &self.0 {
            metrics.connections(-1);
        }
    }
}

async fn connection(stream: TcpStream, address: SocketAddr, place: OwnedSemaphorePermit, terms: Arc<Terms>, watcher: Watcher) {
    let _counted = Counted::new(terms.metrics.clone());
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let peer = Peer {
        address: address.ip(),
        is_tls: terms.tls.is_some(),
    };
    let stream = Impatient::new(stream, Arc::clone(&terms.clock), WRITE_TIMEOUT);
    match &terms.tls {
        None => talk(stream, peer, &terms, watcher).await,
        Some(tls) => {
            let late = terms.clock.sleep_until(after(terms.clock.as_ref(), HANDSHAKE_TIMEOUT));
            tokio::select! {
                biased;
                accepted = tls.acceptor().accept(stream) => match accepted {
                    Ok(stream) => talk(stream, peer, &terms, watcher).await,
                    Err(error) => tracing::debug!(%error, address = %peer.address, "a TLS handshake failed"),
                },
                () = late => tracing::debug!(address = %peer.address, "a TLS handshake took too long"),
            }
        }
    }
    drop(place);
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer, terms: &Terms, watcher: Watcher) {
    let routes = terms.routes.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        routes.call(request)
    });
    let connection = terms.builder.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection broke");
    }
}
