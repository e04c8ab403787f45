//! Clients that do not read what they asked for.

use clock::Clock;
use futures::future::BoxFuture;
use jiff::Timestamp;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection that breaks when the other end takes nothing for too long. What waits to be sent is held in memory, so
/// somebody who never reads must not be able to keep it there.
pub(crate) struct Impatient<T> {
    inner: T,
    clock: Arc<dyn Clock>,
    patience: Duration,
    /// Since a write had to wait.
    stalled: Mutex<Option<BoxFuture<'static, ()>>>,
}

impl<T> Impatient<T> {
    pub fn new(inner: T, clock: Arc<dyn Clock>, patience: Duration) -> Self {
        Self {
            inner,
            clock,
            patience,
            stalled: Mutex::new(None),
        }
    }

    /// Passes a finished operation on, and waits for one that is not with a deadline.
    fn judge<R>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        let stalled = self.stalled.get_mut().unwrap_or_else(PoisonError::into_inner);
        if polled.is_ready() {
            *stalled = None;
            return polled;
        }
        let wait = stalled.get_or_insert_with(|| {
            let deadline = self.clock.now().saturating_add(self.patience).unwrap_or(Timestamp::MAX);
            self.clock.sleep_until(deadline)
        });
        ready!(wait.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Impatient<T> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Impatient<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let own = self.get_mut();
        let polled = Pin::new(&mut own.inner).poll_write(context, bytes);
        own.judge(context, polled)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let own = self.get_mut();
        let polled = Pin::new(&mut own.inner).poll_write_vectored(context, bytes);
        own.judge(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let own = self.get_mut();
        let polled = Pin::new(&mut own.inner).poll_flush(context);
        own.judge(context, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let own = self.get_mut();
        let polled = Pin::new(&mut own.inner).poll_shutdown(context);
        own.judge(context, polled)
    }
}
