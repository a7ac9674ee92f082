//! How long a connection may take: for the head of a request, between two requests, and to read an answer. Wraps the stream
//! below hyper, and knows nothing of what passes through it.
//!
//! hyper's own header timeout also ends a connection that is idle, and hyper has no limit for writing. Here the stream is
//! told by the service when a request has come and when it is answered; the rest follows from what hyper reads and writes.

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

/// The limits of a connection.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    header_ms_max: u64,
    idle_ms_max: u64,
    answer_ms_max: u64,
}

impl Times {
    pub(crate) fn of(limits: &Limits) -> Self {
        let Limits { header_ms_max, idle_ms_max, answer_ms_max, .. } = *limits;
        Self { header_ms_max, idle_ms_max, answer_ms_max }
    }
}

/// What a connection is doing. Shared between its stream and its service.
#[derive(Clone)]
pub(crate) struct Stage(Arc<AtomicU8>);

impl Stage {
    /// The head of a request is on its way.
    const HEAD: u8 = 0;
    /// A request is being answered. Its body has a limit of its own.
    const BUSY: u8 = 1;
    /// The answer is there, and has yet to be written.
    const ANSWERED: u8 = 2;
    /// Between two requests.
    const IDLE: u8 = 3;

    /// Answers a request with `answer`.
    pub(crate) async fn answering<T>(self, answer: impl Future<Output = T>) -> T {
        self.set(Self::BUSY);
        let answer = answer.await;
        self.set(Self::ANSWERED);
        answer
    }

    // The stream and the service belong to one task, so the order of accesses needs no care.
    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, stage: u8) {
        self.0.store(stage, Ordering::Relaxed);
    }
}

/// A stream that fails when one of its limits passes.
///
/// One case is not told apart: a part of a head that was sent together with the request before it has been read by then, so
/// `header_ms_max` counts from the next byte, and `idle_ms_max` up to it.
pub(crate) struct Paced<S> {
    stream: S,
    times: Times,
    stage: Stage,
    /// Rings when a head is late, or the next request.
    reading: Pin<Box<Sleep>>,
    /// Rings when an answer is late. There while one waits for the socket.
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> Paced<S> {
    /// A connection that was just accepted.
    pub(crate) fn new(stream: S, times: Times) -> Self {
        let reading = Box::pin(tokio::time::sleep(Duration::from_millis(times.header_ms_max)));
        Self { stream, times, stage: Stage(Arc::new(AtomicU8::new(Stage::HEAD))), reading, writing: None }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage.clone()
    }

    /// The stream itself, for what comes after HTTP.
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    fn enter(&mut self, stage: u8, ms_max: u64) {
        self.stage.set(stage);
        self.reading.as_mut().reset(Instant::now() + Duration::from_millis(ms_max));
    }

    /// What a write comes to. The time runs from the first one that has to wait until the flush of the whole answer, however
    /// much is written in between.
    fn written<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() && self.writing.is_none() {
            return outcome;
        }
        let ms_max = self.times.answer_ms_max;
        let writing = self.writing.get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_millis(ms_max))));
        if writing.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(late(format!("an answer was not read within answer_ms_max = {ms_max}"))));
        }
        outcome
    }
}

fn late(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, why)
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.stream).poll_read(context, buffer);
        let stage = this.stage.get();
        if stage == Stage::IDLE && buffer.filled().len() > before {
            this.enter(Stage::HEAD, this.times.header_ms_max);
        }
        // hyper reads on until there is nothing more, so a head is judged when its reader begins to wait.
        if outcome.is_pending() && this.reading.as_mut().poll(context).is_ready() {
            match stage {
                Stage::HEAD => {
                    let ms_max = this.times.header_ms_max;
                    return Poll::Ready(Err(late(format!(
                        "no whole head of a request within header_ms_max = {ms_max}"
                    ))));
                }
                // The end of the stream: hyper closes it in good order.
                Stage::IDLE => return Poll::Ready(Ok(())),
                _ => {}
            }
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
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

    /// hyper flushes once all that it had to write is written, and whenever it had nothing to write.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_flush(context);
        if outcome.is_pending() {
            return this.written(context, outcome);
        }
        this.writing = None;
        if this.stage.get() == Stage::ANSWERED {
            this.enter(Stage::IDLE, this.times.idle_ms_max);
            // hyper may have found nothing to read before, and would not look again by itself.
            let _ = this.reading.as_mut().poll(context);
        }
        outcome
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
