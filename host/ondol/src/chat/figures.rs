//! What an operator's monitoring asks of the chat: what was said and refused, and the figures of handlers, store and
//! rooms. Never who said it, nor where.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Chat;
use super::cluster::ClusterFigures;
use ondol_host_handlers::{ReleaseFigures, VersionFigures};
use ondol_host_rooms::RoomFigures;
use ondol_host_store::StoreFigures;

/// The codes of the host's own refusals.
const OWN_CODES: [&str; 5] = ["busy", "handler_fault", "not_stored", "parent_not_found", "unknown"];

/// The codes of handlers that are told apart, the first ones that come.
const CODES_MAX: usize = 32;

/// The name of all other codes together.
const OTHER: &str = "other";

/// The longest code that is shown.
const CODE_CHARS_MAX: usize = 40;

static ACCEPTED: AtomicU64 = AtomicU64::new(0);
static RELAYED: AtomicU64 = AtomicU64::new(0);
static REFUSED: Codes = Codes(Mutex::new(BTreeMap::new()));

/// The figures of the chat.
pub struct ChatFigures {
    /// The messages that the messages handler accepted.
    pub accepted: u64,
    /// The payloads that it relayed.
    pub relayed: u64,
    /// The frames and requests that came to nothing, by code.
    pub refused: Vec<(String, u64)>,
    /// The calls of each version.
    pub calls: Vec<VersionFigures>,
    /// What happened to releases.
    pub releases: ReleaseFigures,
    /// What the store counts.
    pub store: StoreFigures,
    /// What all rooms count.
    pub rooms: RoomFigures,
    /// What this host counts of the others. None: it is the only one.
    pub cluster: Option<ClusterFigures>,
    /// Whether messages can be stored and all three handlers answer.
    pub ready: bool,
}

/// Numbers by code. Handlers choose codes, so only so many are told apart, and none that could be more than a code.
struct Codes(Mutex<BTreeMap<String, u64>>);

impl Codes {
    fn add(&self, code: &str) {
        let mut numbers = self.numbers();
        if let Some(number) = numbers.get_mut(code) {
            *number += 1;
            return;
        }
        let is_own = |code: &str| OWN_CODES.contains(&code) || code == OTHER;
        let others = numbers.keys().filter(|code| !is_own(code)).count();
        let code = if is_own(code) || (others < CODES_MAX && is_code(code)) { code } else { OTHER };
        *numbers.entry(code.to_owned()).or_default() += 1;
    }

    /// All numbers. The host's own codes are among them from the start.
    fn read(&self) -> Vec<(String, u64)> {
        let mut numbers = self.numbers().clone();
        for code in OWN_CODES {
            numbers.entry(code.to_owned()).or_default();
        }
        numbers.into_iter().collect()
    }

    fn numbers(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a text is a code as programs write them. An address or a name is none.
fn is_code(text: &str) -> bool {
    text.len() <= CODE_CHARS_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Counts a message that the messages handler accepted.
pub(super) fn accepted() {
    ACCEPTED.fetch_add(1, Ordering::Relaxed);
}

/// Counts a payload that it relayed.
pub(super) fn relayed() {
    RELAYED.fetch_add(1, Ordering::Relaxed);
}

/// Counts something said that came to nothing.
pub(super) fn refused(code: &str) {
    REFUSED.add(code);
}

impl Chat {
    /// What is counted. Reads files and may call handlers, so not for a worker.
    #[must_use]
    pub fn figures(&self) -> ChatFigures {
        ChatFigures {
            accepted: ACCEPTED.load(Ordering::Relaxed),
            relayed: RELAYED.load(Ordering::Relaxed),
            refused: REFUSED.read(),
            calls: self.handlers.call_figures(),
            releases: self.handlers.release_figures(),
            store: self.pipeline.store.figures(),
            rooms: ondol_host_rooms::figures(),
            cluster: self.hosts.as_ref().map(|hosts| hosts.figures(&self.rooms)),
            ready: self.ready().is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_codes_are_bounded_and_none_names_a_user() {
        let codes = Codes(Mutex::default());
        for number in 0..1_000 {
            codes.add(&format!("code_{number}"));
            codes.add("busy");
        }
        for text in ["minji@example.com", "민지", "Minji", "a b", "", &"a".repeat(CODE_CHARS_MAX + 1)] {
            codes.add(text);
        }
        let numbers: BTreeMap<_, _> = codes.read().into_iter().collect();
        assert_eq!(numbers.len(), CODES_MAX + OWN_CODES.len() + 1);
        assert_eq!((numbers["busy"], numbers["code_31"], numbers["other"]), (1_000, 1, 968 + 6));
    }
}
