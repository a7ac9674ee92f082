//! Timeouts of an HTTP connection: for a request head, for the pause between requests, and for the peer to read a
//! response. Wraps the stream below hyper.
//!
//! hyper's own header timeout would also close an idle connection, and hyper has no write timeout. The service
//! reports when a request has arrived and when it is answered; the rest follows from hyper's reads and writes.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::config::Limits;

/// The timeouts of a connection.
#[derive(Clone, Copy)]
pub(crate) struct Timeouts {
    header_ms_max: u64,
    idle_ms_max: u64,
    answer_ms_max: u64,
}

impl Timeouts {
    pub(crate) fn of(limits: &Limits) -> Self {
        let Limits { header_ms_max, idle_ms_max, answer_ms_max, .. } = *limits;
        Self { header_ms_max, idle_ms_max, answer_ms_max }
    }
}

/// The stage of a connection. Shared between its stream and its service.
#[derive(Clone)]
pub(crate) struct Stage(Arc<AtomicU8>);

impl Stage {
    /// The head of a request is arriving.
    const HEAD: u8 = 0;
    /// A request is being handled. Its body has a timeout of its own.
    const BUSY: u8 = 1;
    /// The response is ready and has to be written.
    const ANSWERED: u8 = 2;
    /// Between two requests.
    const IDLE: u8 = 3;

    /// Runs the handling of a request.
    pub(crate) async fn answering<T>(self, answer: impl Future<Output = T>) -> T {
        self.set(Self::BUSY);
        let answer = answer.await;
        self.set(Self::ANSWERED);
        answer
    }

    /// Ends the stages: a connection that carries many requests at once has other timeouts than those between them.
    pub(crate) fn leave(&self) {
        self.set(Self::BUSY);
    }

    // The stream and the service run in one task, so relaxed ordering is enough.
    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, stage: u8) {
        self.0.store(stage, Ordering::Relaxed);
    }
}

/// A stream that fails when a timeout passes.
///
/// One case is imprecise: the start of a head that arrives together with the previous request is read early, so
/// `header_ms_max` counts from the next byte, and `idle_ms_max` up to it.
pub(crate) struct TimedStream<S> {
    stream: S,
    timeouts: Timeouts,
    stage: Stage,
    /// Fires when a request head, or the next request, is late.
    reading: Pin<Box<Sleep>>,
    /// Fires when a response is late. Present while one waits for the socket.
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> TimedStream<S> {
    /// Wraps a connection that was just accepted.
    pub(crate) fn new(stream: S, timeouts: Timeouts) -> Self {
        let reading = Box::pin(tokio::time::sleep(Duration::from_millis(timeouts.header_ms_max)));
        Self { stream, timeouts, stage: Stage(Arc::new(AtomicU8::new(Stage::HEAD))), reading, writing: None }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage.clone()
    }

    /// The stream itself, for the protocol after HTTP.
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    fn enter(&mut self, stage: u8, ms_max: u64) {
        self.stage.set(stage);
        self.reading.as_mut().reset(Instant::now() + Duration::from_millis(ms_max));
    }

    /// Checks the write timeout. It runs from the first write that has to wait to the flush of the whole response,
    /// whatever is written in between.
    fn written<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() && self.writing.is_none() {
            return outcome;
        }
        let ms_max = self.timeouts.answer_ms_max;
        let writing = self.writing.get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_millis(ms_max))));
        if writing.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(late(format!(
                "the client did not read a response within answer_ms_max = {ms_max} ms"
            ))));
        }
        outcome
    }
}

fn late(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, why)
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.stream).poll_read(context, buffer);
        let stage = this.stage.get();
        if stage == Stage::IDLE && buffer.filled().len() > before {
            this.enter(Stage::HEAD, this.timeouts.header_ms_max);
        }
        // hyper reads until nothing is left, so the timeout is checked when the read has to wait.
        if outcome.is_pending() && this.reading.as_mut().poll(context).is_ready() {
            match stage {
                Stage::HEAD => {
                    let ms_max = this.timeouts.header_ms_max;
                    return Poll::Ready(Err(late(format!(
                        "no complete request head within header_ms_max = {ms_max} ms"
                    ))));
                }
                // Reports the end of the stream, which hyper closes cleanly.
                Stage::IDLE => return Poll::Ready(Ok(())),
                _ => {}
            }
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.written(context, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(context, bytes);
        this.written(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when it has written everything, and whenever it had nothing to write.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_flush(context);
        if outcome.is_pending() {
            return this.written(context, outcome);
        }
        this.writing = None;
        if this.stage.get() == Stage::ANSWERED {
            this.enter(Stage::IDLE, this.timeouts.idle_ms_max);
            // hyper may already wait for a read and would not poll again by itself: this registers its waker.
            let _ = this.reading.as_mut().poll(context);
        }
        outcome
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_shutdown(context);
        // TLS has a last word to write.
        if outcome.is_pending() { this.written(context, outcome) } else { outcome }
    }
}
