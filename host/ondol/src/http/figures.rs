//! What an operator's monitoring asks of a listener: open WebSockets, how they end, answers by their class, and what came
//! too fast. Knows nothing of clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a WebSocket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketEnd {
    /// The client closed it.
    Client,
    /// The connection broke, without a close frame.
    Lost,
    /// More than `outbox_bytes_max` waited for it.
    Slow,
    /// It took nothing for `stall_ms_max`.
    Stalled,
    /// It did not answer a ping.
    NoPong,
    /// It sent faster than a rate for too long.
    RateLimited,
    /// A frame broke the protocol or a limit.
    BadFrame,
    /// Its token expired, or was another user's.
    Token,
    /// The server stops.
    Stopping,
    /// The server could not go on with it.
    Error,
    /// It was refused by a close code.
    Refused,
}

impl SocketEnd {
    const ALL: [(Self, &'static str); 11] = [
        (Self::Client, "client"),
        (Self::Lost, "lost"),
        (Self::Slow, "slow"),
        (Self::Stalled, "stalled"),
        (Self::NoPong, "no_pong"),
        (Self::RateLimited, "rate_limited"),
        (Self::BadFrame, "bad_frame"),
        (Self::Token, "token"),
        (Self::Stopping, "stopping"),
        (Self::Error, "error"),
        (Self::Refused, "refused"),
    ];
}

/// The classes of answers, by the first digit of their status.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What one listener counts.
#[derive(Default)]
pub(super) struct Counters {
    open: AtomicU64,
    opened: AtomicU64,
    /// In the order of [`SocketEnd::ALL`].
    closed: [AtomicU64; SocketEnd::ALL.len()],
    answers: [AtomicU64; CLASSES.len()],
}

/// The figures of a listener.
pub struct ListenerFigures {
    /// The WebSockets that are open.
    pub open: u64,
    /// Those that were opened since startup.
    pub opened: u64,
    /// Those that ended since then, by reason.
    pub closed: Vec<(&'static str, u64)>,
    /// The answers to requests, by their class.
    pub answers: Vec<(&'static str, u64)>,
    /// What came too fast, by the name of the rate.
    pub too_fast: Vec<(&'static str, u64)>,
}

/// An open WebSocket, counted until dropped.
pub(super) struct OpenSocket {
    counters: Arc<Counters>,
    /// How it ended, once that is known.
    pub(super) end: SocketEnd,
}

impl Counters {
    /// Counts a WebSocket that opens.
    pub(super) fn socket(self: &Arc<Self>) -> OpenSocket {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.opened.fetch_add(1, Ordering::Relaxed);
        OpenSocket { counters: Arc::clone(self), end: SocketEnd::Lost }
    }

    /// Counts an answer by its status.
    pub(super) fn answer(&self, status: u16) {
        if let Some(answers) = self.answers.get(usize::from(status / 100).wrapping_sub(1)) {
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The figures at this moment, and those of rates.
    pub(super) fn read(&self, too_fast: Vec<(&'static str, u64)>) -> ListenerFigures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let closed = SocketEnd::ALL.iter().zip(&self.closed).map(|((_, name), counter)| (*name, read(counter)));
        ListenerFigures {
            open: read(&self.open),
            opened: read(&self.opened),
            closed: closed.collect(),
            answers: CLASSES.into_iter().zip(self.answers.iter().map(read)).collect(),
            too_fast,
        }
    }
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
        let mut closed = SocketEnd::ALL.iter().zip(&self.counters.closed);
        if let Some((_, counter)) = closed.find(|((end, _), _)| *end == self.end) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_counts_once_while_open_and_once_by_its_end() {
        let counters = Arc::new(Counters::default());
        let (mut slow, lost) = (counters.socket(), counters.socket());
        slow.end = SocketEnd::Slow;
        drop(slow);
        let figures = counters.read(Vec::new());
        assert_eq!((figures.open, figures.opened), (1, 2));
        assert_eq!(figures.closed.iter().filter(|(_, number)| *number > 0).collect::<Vec<_>>(), [&("slow", 1)]);
        drop(lost);
        assert_eq!(counters.read(Vec::new()).closed.iter().map(|(_, number)| number).sum::<u64>(), 2);
    }

    #[test]
    fn an_answer_counts_in_its_class() {
        let counters = Counters::default();
        for status in [101, 200, 204, 429, 503, 0, 999] {
            counters.answer(status);
        }
        let numbers: Vec<u64> = counters.read(Vec::new()).answers.into_iter().map(|(_, number)| number).collect();
        assert_eq!(numbers, [1, 2, 0, 1, 1]);
    }
}
