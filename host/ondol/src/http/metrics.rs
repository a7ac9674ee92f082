//! `/metrics` for Prometheus: on the admin listener, behind its token, and on a listener of its own, which answers nothing
//! else. Knows nothing of what is measured.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header;
use hyper::{HeaderMap, Request, StatusCode};
use tokio::sync::watch;

use super::admin::refuse_pages;
use super::answer::{self, Answer, HttpError, refuse};
use super::routes::read_only;
use super::state::Phase;
use ondol_host_model::RequestId;

/// The media type of the `OpenMetrics` text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// That of the older text format of Prometheus, which people and tools read as well.
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes all metrics as text: in the `OpenMetrics` format if true, else in the older one.
pub type WriteMetrics = Arc<dyn Fn(bool) -> String + Send + Sync>;

/// The API of the listener that serves metrics alone.
pub struct MetricsApi {
    write: WriteMetrics,
    phase: watch::Receiver<Phase>,
}

impl MetricsApi {
    /// The API of a listener.
    #[must_use]
    pub fn new(write: WriteMetrics, phase: watch::Receiver<Phase>) -> Self {
        Self { write, phase }
    }

    /// How far a shutdown has come.
    #[must_use]
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    /// Answers one request. An error becomes a response.
    ///
    /// # Errors
    ///
    /// None.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Infallible> {
        Ok(self.route(&request).await.unwrap_or_else(|error| refuse(&error, &RequestId::of_request(None))))
    }

    async fn route(&self, request: &Request<Incoming>) -> Result<Answer, HttpError> {
        refuse_pages(request, true)?;
        if request.uri().path() != "/metrics" {
            return Err(HttpError::NotFound);
        }
        let found = read_only(request.method(), || Ok(Answer::default()))?;
        // The answer to OPTIONS is there already.
        if found.headers().contains_key(header::ALLOW) {
            Ok(found)
        } else {
            metrics(&self.write, request.headers()).await
        }
    }
}

/// The metrics, in the format that a request accepts.
pub(super) async fn metrics(write: &WriteMetrics, headers: &HeaderMap) -> Result<Answer, HttpError> {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let is_open = accepts.flat_map(|accept| accept.split(',')).any(|format| format.contains("openmetrics-text"));
    let write = Arc::clone(write);
    // It reads files and may call handlers.
    let text = tokio::task::spawn_blocking(move || write(is_open)).await;
    let text = text.map_err(|_| HttpError::NotReady("the metrics cannot be written".to_owned()))?;
    let format = if is_open { OPEN_METRICS } else { PLAIN };
    Ok(answer::bytes(StatusCode::OK, format, Bytes::from(text)))
}
