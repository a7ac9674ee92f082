//! Which version of `events` wrote an event: each version is given a number, which it writes into the event of every
//! message in the place of a key's first word. Knows components as bytes, and no servers.
//!
//! One sender speaks in each room, so its messages are handled one after the other, and a room never hears from a version
//! that has been replaced.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, bail, ensure};
use memchr::memmem;

use crate::echo::Echo;

/// The key that the default handler writes once into every message's event.
const KEY: &[u8] = b"profile_picture_url";
/// What follows the number in its place.
const AFTER: &[u8] = b"_picture_url\":";
const DIGITS: usize = 6;

/// The default `events` handler, as a version of its own: other bytes, and another key in what it writes.
///
/// Errors when the component does not hold the key once.
pub(crate) fn stamped(events: &[u8], number: u32) -> anyhow::Result<Vec<u8>> {
    let mut places = memmem::find_iter(events, KEY);
    let (Some(at), None) = (places.next(), places.next()) else { bail!("events.wasm is not the default handler") };
    // As long as the word that it replaces: no offset in the component changes.
    let stamp = format!("v{number:0DIGITS$}");
    ensure!(KEY.get(stamp.len()) == Some(&b'_'), "{number} has too many digits");
    let mut events = events.to_vec();
    events.splice(at..at + stamp.len(), stamp.into_bytes());
    Ok(events)
}

/// The number in an event.
fn read(event: &[u8]) -> Option<u32> {
    let end = memmem::rfind(event, AFTER)?;
    let digits = event.get(end.checked_sub(DIGITS)?..end)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Which version wrote each message of each room, as its members heard it.
#[derive(Default)]
pub(crate) struct Stamps {
    rooms: HashMap<u64, Vec<u32>>,
}

impl Stamps {
    /// Takes a delivery that its ear has found in order.
    ///
    /// Errors when another member heard the same message from another version, or the room one from a later version before.
    pub(crate) fn hear(&mut self, event: &[u8], echo: &Echo) -> anyhow::Result<()> {
        let stamp = read(event).context("an event without the number of its version")?;
        let (room, seq) = echo.room.zip(echo.seq).context("an event without its room and seq")?;
        let written = self.rooms.entry(room).or_default();
        let index = usize::try_from(seq)?.checked_sub(1).context("there is no message 0")?;
        if let Some(first) = written.get(index) {
            ensure!(*first == stamp, "room {room} heard message {seq} from versions {first} and {stamp}");
            return Ok(());
        }
        let last = written.last().copied().unwrap_or_default();
        ensure!(index == written.len() && stamp >= last, "room {room}: version {stamp} wrote after version {last}");
        written.push(stamp);
        Ok(())
    }

    /// How many versions have written something.
    pub(crate) fn versions(&self) -> usize {
        self.rooms.values().flatten().collect::<HashSet<_>>().len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use super::*;

    fn event(stamp: u32) -> Vec<u8> {
        stamped(br#"{"type":"chat.message","profile_picture_url":null}"#, stamp).unwrap()
    }

    fn echo(seq: u64) -> Echo {
        Echo { sender: 0, n: seq, sent_ns: 0, room: Some(1), seq: Some(seq) }
    }

    #[test]
    fn a_version_is_known_by_what_it_writes() {
        assert_eq!(read(&event(42)), Some(42));
        assert_eq!(event(42).len(), event(43).len());
        assert!(stamped(b"no such key", 1).is_err());
        assert!(stamped(KEY, 1_000_000).is_err());
    }

    #[test]
    fn a_mixture_and_a_step_back_are_errors() {
        let mut stamps = Stamps::default();
        assert!(stamps.hear(&event(1), &echo(1)).is_ok());
        assert!(stamps.hear(&event(1), &echo(1)).is_ok());
        assert!(stamps.hear(&event(2), &echo(1)).is_err(), "two versions of one message");
        assert!(stamps.hear(&event(2), &echo(2)).is_ok());
        assert!(stamps.hear(&event(1), &echo(3)).is_err(), "a version that was replaced");
        assert!(stamps.hear(b"{}", &echo(3)).is_err(), "nobody's");
        assert_eq!(stamps.versions(), 2);
    }
}
