//! The requests of one HTTP/2 connection: how long it is idle, how long its answers wait, and how many requests were
//! reset. Knows neither connections nor what a request means.
//!
//! A client that does not open its window leaves its answers here, and one that resets its requests leaves them undone.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Response};
use tokio::sync::Notify;
use tokio::time::Instant;

/// What of an answer is handed to the connection at once; the next piece waits for the client's window.
const PIECE_BYTES: usize = 16_384;

/// Requests of one connection that its client may reset before it has its answer; more end the connection. A page that is
/// left resets a few.
const RESETS_MAX: usize = 100;

/// The requests of one connection.
pub(super) struct Streams {
    state: Mutex<State>,
    too_many_resets: Notify,
}

struct State {
    /// Requests that have no answer yet.
    handled: usize,
    /// Answers that are not handed over yet, and since when they wait. The first one is the oldest.
    answers: BTreeMap<u64, Instant>,
    next: u64,
    /// When the last request or answer ended. None: the first one is still to come, which has a time of its own.
    idle_since: Option<Instant>,
    resets: usize,
}

impl Default for Streams {
    fn default() -> Self {
        let state = State { handled: 0, answers: BTreeMap::new(), next: 0, idle_since: None, resets: 0 };
        Self { state: Mutex::new(state), too_many_resets: Notify::new() }
    }
}

impl Streams {
    /// Runs the handling of a request, and makes its answer one that is watched.
    pub(super) async fn answering(
        self: Arc<Self>,
        method: Method,
        answer: impl Future<Output = Result<Response<Full<Bytes>>, Infallible>>,
    ) -> Result<Response<Answer>, Infallible> {
        self.lock().handled += 1;
        let mut handling = Handling { streams: self, answered: false };
        let (mut head, mut body) = answer.await?.into_parts();
        if method == Method::HEAD {
            // hyper leaves this to the service in HTTP/2.
            let length = body.size_hint().exact().unwrap_or_default();
            head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
            body = Full::default();
        }
        let waiting = handling.answered();
        Ok(Response::from_parts(head, Answer { body, piece: Bytes::new(), waiting }))
    }

    /// Resolves when the connection should end, and says why: nothing was asked for `idle_ms_max`, or an answer
    /// waited longer than `answer_ms_max` (which is noticed within twice that time), or too many requests were reset.
    pub(super) async fn ended(&self, idle_ms_max: u64, answer_ms_max: u64) -> &'static str {
        let (idle, answer) = (Duration::from_millis(idle_ms_max), Duration::from_millis(answer_ms_max));
        loop {
            let look = match self.look(idle, answer) {
                Ok(look) => look,
                Err(why) => return why,
            };
            tokio::select! {
                () = tokio::time::sleep_until(look) => {}
                () = self.too_many_resets.notified() => return "too many requests were reset",
            }
        }
    }

    /// When to look again, or why the connection should end.
    fn look(&self, idle: Duration, answer: Duration) -> Result<Instant, &'static str> {
        let (state, now) = (self.lock(), Instant::now());
        match state.answers.values().next() {
            Some(since) if *since + answer <= now => Err("an answer was not read within answer_ms_max"),
            Some(since) => Ok(*since + answer),
            None => match state.idle_since.filter(|_| state.handled == 0) {
                Some(since) if since + idle <= now => Err("it was idle"),
                Some(since) => Ok((since + idle).min(now + answer)),
                None => Ok(now + idle.min(answer)),
            },
        }
    }

    /// Counts the time without requests from now on.
    pub(super) fn begin_anew(&self) {
        self.lock().idle_since = Some(Instant::now());
    }

    fn count_reset(&self) {
        let mut state = self.lock();
        state.resets += 1;
        if state.resets > RESETS_MAX {
            self.too_many_resets.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being handled. Dropped without an answer, its client has reset it.
struct Handling {
    streams: Arc<Streams>,
    answered: bool,
}

impl Handling {
    fn answered(&mut self) -> Waiting {
        self.answered = true;
        let mut state = self.streams.lock();
        let id = state.next;
        state.next += 1;
        state.answers.insert(id, Instant::now());
        Waiting { streams: Arc::clone(&self.streams), id }
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        let mut state = self.streams.lock();
        state.handled -= 1;
        state.idle_since = Some(Instant::now());
        drop(state);
        if !self.answered {
            self.streams.count_reset();
        }
    }
}

/// An answer that waits for its client.
struct Waiting {
    streams: Arc<Streams>,
    id: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.streams.lock();
        state.answers.remove(&self.id);
        state.idle_since = Some(Instant::now());
    }
}

/// The body of an answer, in pieces. Waits until the last one is handed over.
pub(super) struct Answer {
    body: Full<Bytes>,
    piece: Bytes,
    waiting: Waiting,
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.is_end_stream() {
            self.waiting.streams.count_reset();
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.piece.is_empty()
            && let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut this.body).poll_frame(context)
        {
            this.piece = frame.into_data().unwrap_or_default();
        }
        let piece = this.piece.split_to(this.piece.len().min(PIECE_BYTES));
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.size_hint().exact().unwrap_or_default();
        SizeHint::with_exact(self.piece.len() as u64 + rest)
    }
}
