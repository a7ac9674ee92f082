//! One HTTP/1.1 connection: what a client's and an admin connection have in common.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::config::Limits;
use crate::http::{Phase, TimedStream};

/// How long a listener pauses after a failed accept, such as without a free descriptor.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves the requests of one connection with `answer`, until it becomes a WebSocket or ends. `name` is its name in the
/// log.
pub(super) async fn serve_connection<A>(
    http: &http1::Builder,
    stream: TimedStream<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>,
    mut phase: watch::Receiver<Phase>,
    answer: impl Fn(Request<Incoming>) -> A,
    name: &str,
) where
    A: Future<Output = Result<Response<Full<Bytes>>, Infallible>>,
{
    let stage = stream.stage();
    let service = service_fn(|request| stage.clone().answering(answer(request)));
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = async { drop(phase.wait_for(|phase| *phase > Phase::NotReady).await) } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    log_end(outcome, name);
}

/// Logs how a connection ended.
pub(super) fn log_end(outcome: hyper::Result<()>, name: &str) {
    if let Err(error) = outcome {
        let error = format!("{:#}", anyhow::Error::new(error));
        tracing::debug!(error, "{name} ended early: {error}");
    }
}

/// hyper's settings for a connection.
pub(super) fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    // `TimedStream` has the timeouts: hyper's would also close an idle connection.
    http.header_read_timeout(None)
        // A client may shut down its sending side after its request, whose own length tells whether it is complete.
        .half_close(true)
        // Twice the limit, so that `check_size` can answer requests slightly over it with the name of the limit.
        .max_buf_size((2 * limits.header_bytes_max).max(8_192));
    http
}
