//! The last lines that handlers printed, and their faults, for an author who follows them without a shell on the server.
//! Knows nothing of which version is active.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ondol_host_model::{Timestamp, trace};
use serde::Serialize;
use tokio::sync::watch;

use super::fault::Fault;
use super::kind::{HandlerKind, VersionId};
use super::text::shorten;

/// The lines that are kept.
const KEPT_MAX: usize = 1_000;

/// How much is kept of a line, in characters.
const LINE_CHARS_MAX: usize = 1_024;

/// The lines of all handlers, in the order in which their calls ended.
#[derive(Debug)]
pub struct HandlerLog {
    lines: Mutex<VecDeque<LogLine>>,
    /// The number of the last line.
    last: watch::Sender<u64>,
}

/// A line, as an operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct LogLine {
    /// Its number, from 1 at each start of the server.
    pub number: u64,
    /// When its call ended.
    pub at: String,
    /// The handler.
    pub handler: &'static str,
    /// The version.
    pub version: String,
    /// The function that was called.
    pub function: &'static str,
    /// Whether it tells of a fault. Otherwise the handler printed it.
    pub fault: bool,
    /// The trace of the request or the WebSocket that led to the call.
    pub trace_id: Option<String>,
    /// The line.
    pub text: String,
}

impl Default for HandlerLog {
    fn default() -> Self {
        Self { lines: Mutex::default(), last: watch::Sender::new(0) }
    }
}

impl HandlerLog {
    /// Keeps a line that a call printed.
    pub(crate) fn printed(&self, line: &str, handler: HandlerKind, version: VersionId, function: &'static str) {
        self.add(line, handler, version, function, false);
    }

    /// Keeps what a call printed before its fault, and the fault with its functions.
    pub(crate) fn fault(&self, fault: &Fault, outcome: &str) {
        let Fault { handler, version, function, cause, printed, .. } = fault;
        for line in printed.iter().flat_map(|printed| printed.lines()) {
            self.add(line, *handler, *version, function, false);
        }
        self.add(&format!("failed, {outcome}: {cause}"), *handler, *version, function, true);
        for called in cause.backtrace() {
            self.add(&format!("  in {called}"), *handler, *version, function, true);
        }
    }

    fn add(&self, line: &str, handler: HandlerKind, version: VersionId, function: &'static str, fault: bool) {
        let text = shorten(line, LINE_CHARS_MAX);
        let mut lines = self.lines();
        let number = *self.last.borrow() + 1;
        if lines.len() == KEPT_MAX {
            lines.pop_front();
        }
        let (at, handler, version) = (Timestamp::now().to_string(), handler.name(), version.to_string());
        let trace_id = trace::current_id().map(|id| id.to_string());
        lines.push_back(LogLine { number, at, handler, version, function, fault, trace_id, text });
        self.last.send_replace(number);
    }

    /// The lines after the one with this number; without a number, the last `count`.
    #[must_use]
    pub fn lines_after(&self, number: Option<u64>, count: usize) -> Vec<LogLine> {
        let lines = self.lines();
        let skipped = match number {
            Some(number) => lines.iter().take_while(|line| line.number <= number).count(),
            None => lines.len().saturating_sub(count),
        };
        lines.iter().skip(skipped).cloned().collect()
    }

    /// The number of the last line. 0: there is none.
    #[must_use]
    pub fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// Waits for a line after the one with this number. A number that has not come yet is of an earlier start: it waits
    /// for nothing.
    pub async fn wait_for_line_after(&self, number: u64) {
        // The sender lives as long as this.
        let _ = self.last.subscribe().wait_for(|last| *last != number).await;
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<LogLine>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_bounded() {
        let log = HandlerLog::default();
        for number in 1..=KEPT_MAX + 5 {
            log.printed(&format!("line {number}"), HandlerKind::Rooms, VersionId::NONE, "rooms.create");
        }
        let all = log.lines_after(Some(0), 1);
        assert_eq!((all.len(), all.first().map(|line| line.number)), (KEPT_MAX, Some(6)));
        let last: Vec<String> = log.lines_after(None, 2).into_iter().map(|line| line.text).collect();
        assert_eq!(last, ["line 1004", "line 1005"]);
        assert!(log.lines_after(Some(1_005), 9).is_empty());
    }
}
