//! One version of each handler, which answer together. Knows nothing of which ones are active.

use std::sync::Arc;

use super::kind::{Each, HandlerKind, SettingsMap, VersionId};
use super::versions::{EventsVersion, MessagesVersion, RoomsVersion};

/// One version of each handler.
#[derive(Clone)]
pub struct VersionSet {
    pub(crate) rooms: Arc<RoomsVersion>,
    pub(crate) messages: Arc<MessagesVersion>,
    pub(crate) events: Arc<EventsVersion>,
}

impl VersionSet {
    /// The id of a handler's version.
    #[must_use]
    pub fn id(&self, handler: HandlerKind) -> VersionId {
        match handler {
            HandlerKind::Rooms => self.rooms.0.id,
            HandlerKind::Messages => self.messages.0.id,
            HandlerKind::Events => self.events.0.id,
        }
    }

    /// The ids of all three, in the order of [`HandlerKind::ALL`].
    #[must_use]
    pub fn ids(&self) -> [VersionId; 3] {
        HandlerKind::ALL.map(|handler| self.id(handler))
    }

    /// Whether a handler has no version.
    #[must_use]
    pub fn lacks(&self, handler: HandlerKind) -> bool {
        self.id(handler) == VersionId::NONE
    }

    /// What the operator has set for a handler.
    #[must_use]
    pub fn settings(&self, handler: HandlerKind) -> &Arc<SettingsMap> {
        match handler {
            HandlerKind::Rooms => &self.rooms.0.settings,
            HandlerKind::Messages => &self.messages.0.settings,
            HandlerKind::Events => &self.events.0.settings,
        }
    }

    /// The versions that another set does not have.
    pub(crate) fn changes_from(&self, other: &Self) -> Vec<(HandlerKind, VersionId)> {
        let versions = HandlerKind::ALL.into_iter().zip(self.ids());
        versions.filter(|(handler, version)| other.id(*handler) != *version).collect()
    }

    /// Whether the version of each handler differs from that of another set.
    pub(crate) fn differs_from(&self, other: &Self) -> Each<bool> {
        Each(HandlerKind::ALL.map(|handler| self.id(handler) != other.id(handler)))
    }
}
