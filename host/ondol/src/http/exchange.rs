//! One request and what became of it: its trace, and one line in the log if it went wrong. Neither names a value of the path,
//! the query or a user; a room has its number.

use std::sync::Arc;
use std::time::Instant;

use hyper::header::HeaderMap;
use hyper::{Method, Request, StatusCode, Uri};
use ondol_host_model::RequestId;
use ondol_host_model::trace::{Outcome, SpanSink, SpanValue, Trace, TraceParent, by_chance};

use super::answer::Answer;

/// Why a request was refused or failed, beside its response: for this server's log alone.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    /// The status that it has, or would have had.
    pub(super) status: StatusCode,
    /// For programs.
    pub(super) code: String,
    /// The operator should know.
    pub(super) is_serious: bool,
    /// What the client is not told.
    pub(super) cause: Option<String>,
    /// The close code of a WebSocket that was opened only to be refused.
    pub(super) close_code: Option<u16>,
}

/// Which requests leave spans, and where those go.
#[derive(Clone, Debug)]
pub struct Sampling {
    /// Where they go.
    pub sink: Arc<dyn SpanSink>,
    /// How many of a hundred requests whose callers do not say whether they export the trace.
    pub percent: u8,
}

/// A request on its way to an answer.
pub(super) struct Exchange {
    method: Method,
    uri: Uri,
    id: RequestId,
    begun: Instant,
    trace: Option<Arc<Trace>>,
}

impl Exchange {
    /// Begins with a request.
    pub(super) fn begin<B>(request: &Request<B>, sampling: Option<&Sampling>) -> Self {
        let headers = request.headers();
        let given = headers.get("x-request-id").and_then(|given| given.to_str().ok());
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            id: RequestId::of_request(given),
            begun: Instant::now(),
            trace: trace(headers, sampling),
        }
    }

    /// The request's id.
    pub(super) fn id(&self) -> &RequestId {
        &self.id
    }

    /// The request's trace, if it has one.
    pub(super) fn trace(&self) -> Option<Arc<Trace>> {
        self.trace.clone()
    }

    /// The path that was requested.
    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    /// Ends with an answer. `route` is the pattern of the path, and the number of the room in it.
    pub(super) fn end(&self, answer: &Answer, route: impl FnOnce() -> (Option<String>, Option<u64>)) {
        let failed = answer.extensions().get::<Failed>();
        if failed.is_none() && self.trace.is_none() {
            return;
        }
        let (route, room) = route();
        if let Some(failed) = failed {
            self.log(failed, route.as_deref().unwrap_or("unknown"), room);
        }
        if let Some(trace) = &self.trace {
            trace.finish(|| self.outcome(answer, failed, route, room));
        }
    }

    fn log(&self, failed: &Failed, route: &str, room: Option<u64>) {
        let Failed { status, code, cause, close_code, is_serious } = failed;
        let (method, id, cause) = (self.method(), &self.id, cause.as_deref());
        let (status, duration_ms) = (status.as_u16(), self.begun.elapsed().as_millis());
        let duration_ms = u64::try_from(duration_ms).unwrap_or(u64::MAX);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    method, route, room, status, code, close_code, request_id = %id, duration_ms, error = cause,
                    "request {id} failed: {method} {route} {status} {code}"
                )
            };
        }
        if *is_serious { line!(warn) } else { line!(debug) }
    }

    fn outcome(&self, answer: &Answer, failed: Option<&Failed>, route: Option<String>, room: Option<u64>) -> Outcome {
        let (method, status) = (self.method(), answer.status().as_u16());
        let name = route.as_ref().map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
        let mut fields: Vec<(&'static str, SpanValue)> = vec![
            ("http.request.method", method.into()),
            ("http.response.status_code", u64::from(status).into()),
            ("ondol.request_id", self.id.to_string().into()),
        ];
        fields.extend(route.map(|route| ("http.route", route.into())));
        fields.extend(room.map(|room| ("ondol.room", room.into())));
        fields.extend(failed.map(|failed| ("error.type", failed.code.as_str().into())));
        let error = failed.filter(|failed| failed.status.is_server_error()).map(|failed| failed.code.clone());
        Outcome { name, fields, error }
    }

    /// The method, if it is one that the standard names: a client may send any word.
    fn method(&self) -> &str {
        const KNOWN: [Method; 9] = [
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
            Method::PATCH,
            Method::TRACE,
            Method::CONNECT,
        ];
        if KNOWN.contains(&self.method) { self.method.as_str() } else { "_OTHER" }
    }
}

/// The trace that a caller hands over, or a new one for some of the others.
fn trace(headers: &HeaderMap, sampling: Option<&Sampling>) -> Option<Arc<Trace>> {
    let mut given = headers.get_all("traceparent").iter();
    let parent = match (given.next(), given.next()) {
        (Some(parent), None) => TraceParent::parse(parent.as_bytes()),
        _ => None,
    };
    let is_sampled =
        |sampling: &&Sampling| parent.map_or_else(|| by_chance(sampling.percent), |parent| parent.is_sampled);
    match (sampling.filter(is_sampled), parent) {
        (Some(sampling), _) => Some(Trace::recorded(parent.as_ref(), Arc::clone(&sampling.sink))),
        (None, Some(parent)) => Some(Trace::named(parent.trace)),
        (None, None) => None,
    }
}
