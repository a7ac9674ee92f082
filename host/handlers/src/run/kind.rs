//! The three handlers by name, and the ids of their versions. Knows nothing of wasm.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use sha2::{Digest as _, Sha256};

/// What an operator has set for one handler.
pub type SettingsMap = BTreeMap<String, String>;

/// One of the three handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandlerKind {
    /// Decides what room is created.
    Rooms,
    /// Reads what clients send.
    Messages,
    /// Writes what clients receive.
    Events,
}

impl HandlerKind {
    /// All three, in the order in which they are named everywhere.
    pub const ALL: [Self; 3] = [Self::Rooms, Self::Messages, Self::Events];

    /// Its name, which is also that of the interface that it exports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rooms => "rooms",
            Self::Messages => "messages",
            Self::Events => "events",
        }
    }

    /// The world that it fits, as in `wit/worlds.wit`.
    #[must_use]
    pub fn world(self) -> &'static str {
        match self {
            Self::Rooms => "room-handler",
            Self::Messages => "message-handler",
            Self::Events => "event-handler",
        }
    }

    /// The file that it is loaded from.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Rooms => "rooms.wasm",
            Self::Messages => "messages.wasm",
            Self::Events => "events.wasm",
        }
    }

    /// The file of cases beside it.
    #[must_use]
    pub fn cases_file_name(self) -> &'static str {
        match self {
            Self::Rooms => "rooms.cases.toml",
            Self::Messages => "messages.cases.toml",
            Self::Events => "events.cases.toml",
        }
    }
}

impl fmt::Display for HandlerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HandlerKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| format!("there is no handler {name:?}: the handlers are rooms, messages and events"))
    }
}

/// One value for each handler, in the order of [`HandlerKind::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Each<T>(pub(crate) [T; 3]);

impl<T> Each<T> {
    pub(crate) fn of(&self, handler: HandlerKind) -> &T {
        let [rooms, messages, events] = &self.0;
        match handler {
            HandlerKind::Rooms => rooms,
            HandlerKind::Messages => messages,
            HandlerKind::Events => events,
        }
    }
}

/// The id of a version that does not exist, as text.
const NONE: &str = "none";

/// The digits of an id that are shown to people.
const SHORT_DIGITS: usize = 12;

/// The id of a version: the SHA-256 of its component and its settings.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VersionId([u8; 32]);

impl VersionId {
    /// The id where a handler has no version: see [`Candidate::go_without`](crate::Candidate::go_without). No hash has
    /// this value.
    pub const NONE: Self = Self([0; 32]);

    /// The id of these bytes under these settings.
    #[must_use]
    pub fn of(component: &[u8], settings: &SettingsMap) -> Self {
        let mut hash = Sha256::new();
        hash.update((component.len() as u64).to_le_bytes());
        hash.update(component);
        for (key, value) in settings {
            for text in [key, value] {
                hash.update((text.len() as u64).to_le_bytes());
                hash.update(text);
            }
        }
        Self(hash.finalize().into())
    }

    /// Reads what [`VersionId::whole`] writes.
    #[must_use]
    pub fn read(digits: &str) -> Option<Self> {
        if digits == NONE {
            return Some(Self::NONE);
        }
        HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?.try_into().ok().map(Self)
    }

    /// A number that differs from version to version.
    pub(crate) fn seed(&self) -> u64 {
        self.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// All 64 hexadecimal digits, or `none`.
    #[must_use]
    pub fn whole(&self) -> String {
        if *self == Self::NONE {
            return NONE.to_owned();
        }
        HEXLOWER.encode(&self.0)
    }
}

/// The first hexadecimal digits.
impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.whole();
        f.write_str(whole.get(..SHORT_DIGITS).unwrap_or(&whole))
    }
}

impl fmt::Debug for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written_and_so_is_none() {
        for version in [VersionId::of(b"a component", &SettingsMap::new()), VersionId::NONE] {
            assert_eq!(VersionId::read(&version.whole()), Some(version));
        }
        assert_eq!(VersionId::NONE.to_string(), "none");
        for other in ["non", "", "3f2a", &"é".repeat(32)] {
            assert_eq!(VersionId::read(other), None, "{other}");
        }
    }
}
