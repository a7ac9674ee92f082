//! What an author sees of live handlers: the lines that they print, as they come, and calls to make cases of.

use std::time::Duration;

use hyper::Request;
use serde_json::json;

use super::{AdminApi, number, ok, query};
use crate::chat::{HandlerKind, SHUTTING_DOWN};
use crate::http::answer::{Answer, HttpError};
use crate::http::body::Body;
use crate::http::state::Phase;

/// The lines that are answered where none is named.
const LINES: u64 = 100;

/// The longest that an answer waits for something to come.
const WAIT_MS_MAX: u64 = 60_000;

/// The most calls of one recording.
const CALLS_MAX: u64 = 1_000;

impl AdminApi {
    /// Lines of handlers: those after the number `after`, and if there is none yet, the first to come within `wait_ms`.
    pub(super) async fn logs(&self, request: &Request<Body>) -> Result<Answer, HttpError> {
        let after = number(request, "after")?;
        let lines = number(request, "lines")?.unwrap_or(LINES);
        let wait = within(request, "wait_ms", 0, 0, WAIT_MS_MAX)?;
        let handlers = self.chat.operator();
        let read = || handlers.log().lines_after(after, usize::try_from(lines).unwrap_or(usize::MAX));
        let mut kept = read();
        if let (Some(after), true) = (after, kept.is_empty()) {
            let come = handlers.log().wait_for_line_after(after);
            self.until_shutdown(tokio::time::timeout(Duration::from_millis(wait), come)).await;
            kept = read();
        }
        ok(&json!({ "lines": kept, "last": handlers.log().last() }))
    }

    /// Records calls of one handler until there are `calls`, or for `wait_ms`.
    pub(super) async fn record(&self, request: &Request<Body>) -> Result<Answer, HttpError> {
        let handler = query(request, "handler").unwrap_or_else(|| HandlerKind::Messages.to_string());
        let handler = handler.parse::<HandlerKind>();
        let handler = handler.map_err(|error| HttpError::field("handler", "invalid", format!("handler: {error}.")))?;
        let calls = within(request, "calls", 50, 1, CALLS_MAX)?;
        let wait = Duration::from_millis(within(request, "wait_ms", WAIT_MS_MAX, 1, WAIT_MS_MAX)?);
        let record = self.chat.operator().record(handler, usize::try_from(calls).unwrap_or(usize::MAX), wait);
        match self.until_shutdown(record).await {
            Some(recorded) => ok(&recorded?),
            None => Err(HttpError::NotReady(SHUTTING_DOWN.to_owned())),
        }
    }

    /// What comes of `wait`, unless a shutdown begins before.
    async fn until_shutdown<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        let mut phase = self.phase.clone();
        tokio::select! {
            done = wait => Some(done),
            _ = phase.wait_for(|phase| *phase > Phase::NotReady) => None,
        }
    }
}

/// A number of the query within bounds.
fn within(request: &Request<Body>, name: &'static str, default: u64, least: u64, most: u64) -> Result<u64, HttpError> {
    let given = number(request, name)?.unwrap_or(default);
    if (least..=most).contains(&given) {
        return Ok(given);
    }
    Err(HttpError::field(name, "invalid", format!("{name}: expected {least} to {most}.")))
}
