//! What each handler failed at since the start: how often, and the last few times whole, for an operator who asks. Knows
//! nothing of which version is active, nor of what was asked: what people said is not kept here.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::call::Each;
use super::fault::Fault;
use super::kind::HandlerKind;
use super::output::one_line;
use ondol_host_model::{RequestId, RoomId, Timestamp};

/// How many faults of a handler are kept, the last ones.
const KEPT_MAX: usize = 8;

/// The lines that are kept of what was printed, the last ones.
const LINES_MAX: usize = 12;

/// How much is kept of a cause, and of a line or a function's name, in characters. What a handler prints may have a limit
/// of its own; eight times that for each handler is not for this to hold.
const CAUSE_CHARS_MAX: usize = 1_024;
const LINE_CHARS_MAX: usize = 256;

/// What the handlers failed at.
#[derive(Debug, Default)]
pub(super) struct Faults(Each<Mutex<Kept>>);

/// What one of them failed at.
#[derive(Debug, Default)]
struct Kept {
    count: u64,
    /// The last one in front.
    last: VecDeque<FaultRow>,
}

/// What a handler failed at, as an operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct FaultsRow {
    /// How often, since the start.
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
    /// What went wrong; of a panic, its own words.
    pub cause: String,
    /// The functions that it was in, innermost first, where the component names them.
    pub backtrace: Vec<String>,
    /// The last lines that the call had printed, less a panic's own words.
    pub printed: Vec<String>,
    /// The room that it was about.
    pub room: Option<u64>,
    /// The name of what was asked, as whoever asked has heard it and the log has it.
    pub request_id: Option<String>,
    /// What it meant for whom.
    pub outcome: String,
}

impl Faults {
    /// Keeps a fault.
    pub(super) fn add(&self, fault: &Fault, room: Option<RoomId>, request: Option<&RequestId>, outcome: &str) {
        let lines: Vec<&str> = fault.printed.iter().flat_map(|printed| printed.lines()).collect();
        let lines = lines.get(lines.len().saturating_sub(LINES_MAX)..).unwrap_or_default();
        let row = FaultRow {
            at: Timestamp::now().to_string(),
            version: fault.version.whole(),
            function: fault.function,
            cause: cut(&fault.cause.to_string(), CAUSE_CHARS_MAX),
            backtrace: fault.cause.backtrace().iter().map(|name| cut(name, LINE_CHARS_MAX)).collect(),
            printed: lines.iter().map(|line| cut(line, LINE_CHARS_MAX)).collect(),
            room: room.map(|room| room.0),
            request_id: request.map(ToString::to_string),
            outcome: outcome.to_owned(),
        };
        let mut kept = self.of(fault.handler);
        kept.count += 1;
        kept.last.truncate(KEPT_MAX - 1);
        kept.last.push_front(row);
    }

    /// What a handler failed at.
    pub(super) fn row(&self, handler: HandlerKind) -> FaultsRow {
        let kept = self.of(handler);
        FaultsRow { count: kept.count, last: kept.last.iter().cloned().collect() }
    }

    fn of(&self, handler: HandlerKind) -> MutexGuard<'_, Kept> {
        self.0.of(handler).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The beginning of a handler's text, in one line.
fn cut(text: &str, chars_max: usize) -> String {
    let line = one_line(text);
    match line.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{} …", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::fault::Cause;
    use super::super::kind::VersionId;
    use super::*;

    fn fault(book: &Arc<Faults>, what: &str, printed: &str) -> Fault {
        Fault {
            handler: HandlerKind::Events,
            version: VersionId::NONE,
            function: "events.message",
            cause: Cause::Trap { what: what.to_owned(), backtrace: vec!["f".repeat(10_000); 12] },
            printed: Some(printed.to_owned()),
            took: std::time::Duration::ZERO,
            book: Arc::clone(book),
        }
    }

    #[test]
    fn all_are_counted_and_the_last_ones_kept() {
        let book = Arc::new(Faults::default());
        for number in 1..=20 {
            fault(&book, &format!("trap {number}"), "").log(Some(RoomId(number)), None, "nobody hears of it");
        }
        let row = book.row(HandlerKind::Events);
        let causes: Vec<_> = row.last.iter().map(|row| (row.cause.as_str(), row.room)).collect();
        assert_eq!((row.count, causes.len()), (20, KEPT_MAX));
        assert_eq!((causes[0], causes[7]), (("trap 20", Some(20)), ("trap 13", Some(13))));
        assert_eq!(book.row(HandlerKind::Rooms).count, 0);
    }

    #[test]
    fn a_fault_takes_no_more_room_than_it_may_whatever_a_handler_says() {
        let book = Arc::new(Faults::default());
        fault(&book, &"\u{1b}".repeat(100_000), &"방\n\u{7}".repeat(100_000)).log(None, None, "nobody hears of it");
        let row = book.row(HandlerKind::Events).last.remove(0);
        assert_eq!(row.cause.chars().count(), CAUSE_CHARS_MAX + 2);
        assert_eq!((row.printed.len(), row.printed.last().map(String::as_str)), (LINES_MAX, Some("\\u{7}")));
        assert!(row.backtrace.iter().all(|name| name.len() == LINE_CHARS_MAX + " …".len()), "{:?}", row.backtrace);
    }
}
