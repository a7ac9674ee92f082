//! What each handler failed at since startup: how often, and the last few faults in full, for an operator who asks.
//! Knows nothing of which version is active, nor of what was asked: the text of messages is not kept here.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ondol_host_model::{RequestId, RoomId, Timestamp, trace};
use serde::Serialize;

use super::fault::Fault;
use super::kind::{Each, HandlerKind};
use super::text::shorten;

/// The last faults of a handler that are kept.
const KEPT_MAX: usize = 8;

/// The last lines of a call's output that are kept.
const LINES_MAX: usize = 12;

/// How much is kept of a cause, and of a line or a function's name, in characters.
const CAUSE_CHARS_MAX: usize = 1_024;
const LINE_CHARS_MAX: usize = 256;

/// The faults of all handlers.
#[derive(Debug, Default)]
pub(crate) struct FaultHistory(Each<Mutex<Faults>>);

/// The faults of one handler.
#[derive(Debug, Default)]
struct Faults {
    count: u64,
    /// The latest first.
    last: VecDeque<FaultRow>,
}

/// What a handler failed at, as an operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct FaultsRow {
    /// How many since startup.
    pub count: u64,
    /// The last few, the latest first.
    pub last: Vec<FaultRow>,
}

/// One fault, as an operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct FaultRow {
    /// When.
    pub at: String,
    /// The version that failed.
    pub version: String,
    /// The function that was called.
    pub function: &'static str,
    /// What went wrong; of a panic, its message.
    pub cause: String,
    /// The functions that it was in, innermost first, where the component names them.
    pub backtrace: Vec<String>,
    /// The last lines of the call's output, without a panic's message.
    pub printed: Vec<String>,
    /// The room that it was about.
    pub room: Option<u64>,
    /// The id of the request, which the caller received and the log has too.
    pub request_id: Option<String>,
    /// The trace of that request, or of the WebSocket that the frame came on.
    pub trace_id: Option<String>,
    /// What it led to.
    pub outcome: String,
}

impl FaultHistory {
    /// Keeps a fault.
    pub(crate) fn add(&self, fault: &Fault, room: Option<RoomId>, request: Option<&RequestId>, outcome: &str) {
        let lines: Vec<&str> = fault.printed.iter().flat_map(|printed| printed.lines()).collect();
        let lines = lines.get(lines.len().saturating_sub(LINES_MAX)..).unwrap_or_default();
        let row = FaultRow {
            at: Timestamp::now().to_string(),
            version: fault.version.whole(),
            function: fault.function,
            cause: shorten(&fault.cause.to_string(), CAUSE_CHARS_MAX),
            backtrace: fault.cause.backtrace().iter().map(|name| shorten(name, LINE_CHARS_MAX)).collect(),
            printed: lines.iter().map(|line| shorten(line, LINE_CHARS_MAX)).collect(),
            room: room.map(|room| room.0),
            request_id: request.map(ToString::to_string),
            trace_id: trace::current_id().map(|id| id.to_string()),
            outcome: outcome.to_owned(),
        };
        let mut kept = self.of(fault.handler);
        kept.count += 1;
        kept.last.truncate(KEPT_MAX - 1);
        kept.last.push_front(row);
    }

    /// What a handler failed at.
    pub(crate) fn row(&self, handler: HandlerKind) -> FaultsRow {
        let kept = self.of(handler);
        FaultsRow { count: kept.count, last: kept.last.iter().cloned().collect() }
    }

    fn of(&self, handler: HandlerKind) -> MutexGuard<'_, Faults> {
        self.0.of(handler).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fault::Cause;
    use super::super::kind::VersionId;
    use super::*;

    fn fault(what: &str, printed: &str) -> Fault {
        Fault {
            handler: HandlerKind::Events,
            version: VersionId::NONE,
            function: "events.message",
            cause: Cause::Trap { what: what.to_owned(), backtrace: vec!["f".repeat(10_000); 12] },
            printed: Some(printed.to_owned()),
            costly: false,
        }
    }

    #[test]
    fn all_are_counted_and_the_last_ones_kept() {
        let history = FaultHistory::default();
        for number in 1..=20 {
            history.add(&fault(&format!("trap {number}"), ""), Some(RoomId(number)), None, "nothing");
        }
        let row = history.row(HandlerKind::Events);
        let causes: Vec<_> = row.last.iter().map(|row| (row.cause.as_str(), row.room)).collect();
        assert_eq!((row.count, causes.len()), (20, KEPT_MAX));
        assert_eq!((causes[0], causes[7]), (("trap 20", Some(20)), ("trap 13", Some(13))));
        assert_eq!(history.row(HandlerKind::Rooms).count, 0);
    }

    #[test]
    fn a_fault_is_bounded_whatever_a_handler_says() {
        let history = FaultHistory::default();
        history.add(&fault(&"\u{1b}".repeat(100_000), &"방\n\u{7}".repeat(100_000)), None, None, "nothing");
        let row = history.row(HandlerKind::Events).last.remove(0);
        assert_eq!(row.cause.chars().count(), CAUSE_CHARS_MAX + 2);
        assert_eq!((row.printed.len(), row.printed.last().map(String::as_str)), (LINES_MAX, Some("\\u{7}")));
        assert!(row.backtrace.iter().all(|name| name.len() == LINE_CHARS_MAX + " …".len()), "{:?}", row.backtrace);
    }
}
