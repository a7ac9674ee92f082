//! The share of rooms in which a release is active before it is in all. Knows rooms by their numbers.

use std::sync::Arc;

use ondol_host_model::{RoomId, Timestamp};
use serde::{Deserialize, Serialize};

use super::ledger::{Provenance, Trigger};
use super::probation::Probation;
use super::slowness::SlownessOverride;
use crate::admit::candidate::Candidate;
use crate::run::kind::HandlerKind;
use crate::run::version_set::VersionSet;

/// A release that is active in some rooms.
pub(crate) struct Canary {
    pub(crate) versions: VersionSet,
    /// What it is made of, for when it is promoted.
    pub(crate) candidate: Candidate,
    pub(crate) share: Share,
    pub(crate) provenance: Provenance,
    pub(crate) since: Timestamp,
    pub(crate) probation: Arc<Probation>,
}

/// A canary as hosts tell each other of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryTerms {
    /// The release beside which it began.
    pub over: u64,
    /// Its versions: rooms, messages, events.
    pub versions: [String; 3],
    /// The percentage of rooms in which it is active.
    pub percent: u8,
    /// Who wanted it.
    pub actor: String,
    /// Why, in their words.
    pub reason: String,
    /// Blocked versions were admitted and unblocked.
    pub forced: bool,
    /// How slow is too slow.
    pub slowness: SlownessOverride,
    /// When it began, in milliseconds since 1970.
    pub since: u64,
}

impl Canary {
    /// What other hosts are told.
    pub(crate) fn terms(&self) -> CanaryTerms {
        let Provenance { actor, reason, forced, slowness, .. } = self.provenance.clone();
        CanaryTerms {
            over: self.probation.baseline().number,
            versions: self.versions.ids().map(|version| version.whole()),
            percent: u8::try_from(self.share.percent()).unwrap_or(u8::MAX),
            actor,
            reason,
            forced,
            slowness,
            since: self.since.0,
        }
    }
}

impl CanaryTerms {
    /// Who wanted it, and why.
    pub(crate) fn provenance(&self) -> Provenance {
        let Self { actor, reason, forced, slowness, .. } = self.clone();
        Provenance { forced, slowness, ..Provenance::new(actor, Trigger::Deploy, reason) }
    }
}

/// A share of all rooms: the same ones for as long as the versions are the same, and more of them when it grows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    percent: u64,
    salt: u64,
}

impl Share {
    /// A percentage of the rooms, other ones for other versions.
    pub(crate) fn new(percent: u8, versions: &VersionSet) -> Self {
        let salt = HandlerKind::ALL.into_iter().fold(0, |salt: u64, handler| mix(salt ^ versions.id(handler).seed()));
        Self { percent: percent.into(), salt }
    }

    /// The percentage of rooms.
    pub(crate) fn percent(self) -> u64 {
        self.percent
    }

    /// Whether a room is one of them.
    pub(crate) fn has_room(self, room: RoomId) -> bool {
        self.has(room.0)
    }

    /// Whether a room that does not exist yet will be one of them: its post decides.
    pub(crate) fn has_post(self, post: Option<u64>) -> bool {
        post.is_some_and(|post| self.has(!post))
    }

    fn has(self, number: u64) -> bool {
        mix(self.salt ^ mix(number)) % 100 < self.percent
    }
}

/// Steele, Lea and Flood's SplitMix64, of which every bit depends on every bit of what goes in.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(share: Share) -> Vec<u64> {
        (1..=10_000).filter(|room| share.has_room(RoomId(*room))).collect()
    }

    #[test]
    fn a_share_is_as_large_as_it_says() {
        for percent in [0, 1, 10, 50, 100] {
            let count = rooms(Share { percent, salt: 7 }).len() as u64;
            let expected = percent * 100;
            // Four standard deviations of so many draws.
            let spread = 4 * (percent * (100 - percent)).isqrt();
            assert!(count.abs_diff(expected) <= spread, "{percent} %: {count}");
        }
    }

    #[test]
    fn rooms_stay_in_a_share_that_grows() {
        let (few, many) = (rooms(Share { percent: 10, salt: 7 }), rooms(Share { percent: 20, salt: 7 }));
        assert!(few.iter().all(|room| many.contains(room)));
    }

    #[test]
    fn other_versions_draw_other_rooms() {
        let (one, other) = (rooms(Share { percent: 10, salt: 7 }), rooms(Share { percent: 10, salt: 8 }));
        let both = one.iter().filter(|room| other.contains(room)).count();
        assert!(both < one.len() / 4, "{both} of {}", one.len());
    }
}
