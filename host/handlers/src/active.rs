//! Which release is active in which rooms. Knows nothing of how that changes.

use std::sync::Arc;

use ondol_host_model::RoomId;

use crate::release::Release;
use crate::rollout::canary::{Canary, Share};
use crate::rollout::probation::Probation;

/// The active release, and the one that is active in some rooms instead.
#[derive(Clone)]
pub(crate) struct Active {
    pub(crate) release: Arc<Release>,
    canary: Option<(Arc<Canary>, Arc<Release>)>,
}

impl Active {
    /// A release that is active in all rooms.
    pub(crate) fn everywhere(release: Release) -> Self {
        Self { release: Arc::new(release), canary: None }
    }

    /// The same canary beside another release.
    pub(crate) fn with_release(&self, release: Release) -> Self {
        Self { release: Arc::new(release), canary: self.canary.clone() }
    }

    /// The same release with a canary in some rooms.
    pub(crate) fn with_canary(&self, canary: Canary, release: Release) -> Self {
        Self { release: Arc::clone(&self.release), canary: Some((Arc::new(canary), Arc::new(release))) }
    }

    /// The same release in all rooms.
    pub(crate) fn without_canary(&self) -> Self {
        Self { release: Arc::clone(&self.release), canary: None }
    }

    pub(crate) fn canary(&self) -> Option<&Arc<Canary>> {
        self.canary.as_ref().map(|(canary, _)| canary)
    }

    /// Whether the active release has this probation.
    pub(crate) fn is_on(&self, probation: &Arc<Probation>) -> bool {
        self.release.probations().contains(probation)
    }

    /// Whether the canary has this probation.
    pub(crate) fn canary_is_on(&self, probation: &Arc<Probation>) -> bool {
        self.canary().is_some_and(|canary| Arc::ptr_eq(&canary.probation, probation))
    }

    /// The release in a room.
    pub(crate) fn for_room(&self, room: RoomId) -> &Arc<Release> {
        self.in_share(|share| share.has_room(room))
    }

    /// The release that creates a room, which may be for a post.
    pub(crate) fn for_post(&self, post: Option<u64>) -> &Arc<Release> {
        self.in_share(|share| share.has_post(post))
    }

    fn in_share(&self, is_in: impl FnOnce(Share) -> bool) -> &Arc<Release> {
        match &self.canary {
            Some((canary, release)) if is_in(canary.share) => release,
            _ => &self.release,
        }
    }
}
