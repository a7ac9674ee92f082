//! The settings of the handlers.

use std::collections::BTreeMap;

/// The operator's settings for each handler: text by key. Which keys exist is the handler's decision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// For the `rooms` handler.
    pub rooms: BTreeMap<String, String>,
    /// For the `messages` handler.
    pub messages: BTreeMap<String, String>,
    /// For the `events` handler.
    pub events: BTreeMap<String, String>,
}

impl Settings {
    /// The handlers that can have settings.
    pub(crate) const HANDLERS: [&str; 3] = ["rooms", "messages", "events"];

    pub(super) fn of(&self, handler: &str) -> Option<&BTreeMap<String, String>> {
        match handler {
            "rooms" => Some(&self.rooms),
            "messages" => Some(&self.messages),
            "events" => Some(&self.events),
            _ => None,
        }
    }

    /// Takes over those of one handler.
    pub(crate) fn take(&mut self, handler: &str, other: &Self) {
        if let (Some(own), Some(other)) = (self.of_mut(handler), other.of(handler)) {
            own.clone_from(other);
        }
    }

    pub(super) fn of_mut(&mut self, handler: &str) -> Option<&mut BTreeMap<String, String>> {
        match handler {
            "rooms" => Some(&mut self.rooms),
            "messages" => Some(&mut self.messages),
            "events" => Some(&mut self.events),
            _ => None,
        }
    }
}
