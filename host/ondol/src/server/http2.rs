//! One HTTP/2 connection (RFC 9113), which exists over TLS only. WebSockets stay on HTTP/1.1: extended CONNECT (RFC 8441)
//! is not offered.
//!
//! One connection carries many requests, so the stages of [`TimedStream`] end with the first one. From then on the times
//! are those of the requests (`Streams`), and writing keeps its timeout in the stream below.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::connection::log_end;
use super::lingering::Lingering;
use super::streams::Streams;
use crate::config::Limits;
use crate::http::{Phase, TimedStream};

/// The windows of a stream and of a connection: what a client may send before the server has read it. A body is small.
const STREAM_WINDOW_BYTES: u32 = 65_535;
const CONNECTION_WINDOW_BYTES: u32 = 262_144;
/// What of one answer may wait in the connection.
const SEND_BYTES_MAX: usize = 65_536;
/// Streams that were reset before the server looked at them; more end the connection (CVE-2023-44487).
const RESETS_UNSEEN_MAX: usize = 20;
/// Streams that the server has reset for a client's errors; more end the connection.
const RESETS_FOR_ERRORS_MAX: usize = 64;

/// The times of a connection.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) idle_ms_max: u64,
    pub(super) answer_ms_max: u64,
    /// How long the client may take to close, once it was asked to.
    pub(super) close_ms_max: u64,
}

/// hyper's settings for a connection.
pub(super) fn http2(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.max_concurrent_streams(u32::try_from(limits.http2_streams_max).unwrap_or(u32::MAX))
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_UNSEEN_MAX)
        .max_local_error_reset_streams(RESETS_FOR_ERRORS_MAX);
    http
}

/// Serves the requests of one connection with `answer`, until it ends. `name` is its name in the log.
pub(super) async fn serve_streams<A>(
    http: &http2::Builder<TokioExecutor>,
    times: Times,
    stream: TimedStream<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>,
    mut phase: watch::Receiver<Phase>,
    answer: impl Fn(Request<Incoming>) -> A,
    name: &str,
) where
    A: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
{
    let stage = stream.stage();
    let streams = Arc::new(Streams::default());
    let service = service_fn(|request: Request<Incoming>| {
        stage.leave();
        let method = request.method().clone();
        Arc::clone(&streams).answering(method, answer(request))
    });
    let connection = http.serve_connection(TokioIo::new(Lingering::new(stream, times.close_ms_max)), service);
    let mut connection = std::pin::pin!(connection);
    // One that is opened to ask whether the server is ready still gets its answer.
    let opened = (*phase.borrow()).min(Phase::NotReady);
    tokio::select! {
        outcome = connection.as_mut() => return log_end(outcome, name),
        _ = phase.wait_for(|phase| *phase > opened) => {}
        why = streams.ended(times.idle_ms_max, times.answer_ms_max) => tracing::debug!("{name} is closed: {why}"),
    }
    // The client learns which requests were read (GOAWAY), and those are answered. A client that does not close then, or
    // does not read, is dropped.
    connection.as_mut().graceful_shutdown();
    streams.begin_anew();
    tokio::select! {
        // The goodbye is sent even if there is no time to wait for the client's.
        biased;
        outcome = connection => log_end(outcome, name),
        _ = streams.ended(times.close_ms_max, times.answer_ms_max) => {}
    }
}
