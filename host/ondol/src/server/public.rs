//! One client's connection: TLS if the listener has it, then the HTTP that the client speaks.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::{http1, http2};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioExecutor;
use rustls::ServerConfig;
use tokio::net::TcpStream;

use super::connection::{http, serve_connection};
use super::http2::{Times, http2, serve_streams};
use super::tls::{self, Opened};
use super::unanswered::FirstAnswer;
use crate::config::Limits;
use crate::http::{ConnContext, PublicApi, TimedStream, Timeouts, tls_required};

/// The name of a connection in the log.
const NAME: &str = "a client connection";

/// What the connections of the public listener share.
pub(super) struct Public {
    api: Arc<PublicApi>,
    limits: Limits,
    timeouts: Timeouts,
    http: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    tls: Option<Arc<ServerConfig>>,
}

impl Public {
    pub(super) fn new(api: Arc<PublicApi>, limits: &Limits, tls: Option<Arc<ServerConfig>>) -> Self {
        let (timeouts, http, http2) = (Timeouts::of(limits), http(limits), http2(limits));
        Self { api, limits: limits.clone(), timeouts, http, http2, tls }
    }

    /// The same with other limits, for connections from then on.
    pub(super) fn reloaded(&self, limits: &Limits) -> Self {
        Self::new(Arc::clone(&self.api), limits, self.tls.clone())
    }

    /// Serves a connection until it becomes a WebSocket or ends.
    pub(super) async fn serve(&self, tcp: TcpStream, context: ConnContext, first: FirstAnswer) {
        match &self.tls {
            None => {
                let answer = |request| counted(self.api.answer(request, context.clone()), &first);
                let stream = TimedStream::new(tcp, self.timeouts);
                serve_connection(&self.http, stream, self.api.phase(), answer, NAME).await;
            }
            // In a box, so that a connection without TLS takes no memory for it.
            Some(tls) => Box::pin(self.serve_tls(tcp, tls, context, first)).await,
        }
    }

    async fn serve_tls(&self, tcp: TcpStream, tls: &Arc<ServerConfig>, context: ConnContext, first: FirstAnswer) {
        let phase = self.api.phase();
        let opened = tls::open(tcp, tls, self.limits.header_ms_max, phase.clone(), NAME).await;
        match opened {
            None => {}
            Some(Opened::Http1(stream)) => {
                let answer = |request| counted(self.api.answer(request, context.clone()), &first);
                serve_connection(&self.http, TimedStream::new(stream, self.timeouts), phase, answer, NAME).await;
            }
            Some(Opened::Http2(stream)) => {
                let Limits { idle_ms_max, answer_ms_max, close_ms_max, .. } = self.limits;
                let mut times = Times { idle_ms_max, answer_ms_max, close_ms_max };
                if context.refused_at.is_some() {
                    // A connection over the limit has to go.
                    times.idle_ms_max = close_ms_max;
                }
                let answer = |request| {
                    let (api, context, first) = (Arc::clone(&self.api), context.clone(), first.clone());
                    async move { counted(api.answer(request, context), &first).await }
                };
                let stream = TimedStream::new(stream, self.timeouts);
                serve_streams(&self.http2, times, stream, phase, answer, NAME).await;
            }
            Some(Opened::Plain(tcp)) => {
                let answer = |_| std::future::ready(Ok::<_, Infallible>(tls_required()));
                serve_connection(&self.http, TimedStream::new(tcp, self.timeouts), phase, answer, NAME).await;
            }
        }
    }
}

/// Answers, and notes that the connection has its first answer. One that becomes a WebSocket has it when it is one.
async fn counted(
    answer: impl Future<Output = Result<Response<Full<Bytes>>, Infallible>>,
    first: &FirstAnswer,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let answer = answer.await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        first.given();
    }
    Ok(answer)
}
