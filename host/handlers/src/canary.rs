//! The share of rooms that hears a new release before all do. Knows rooms by their numbers.

use super::Why;
use super::candidate::Candidate;
use super::kind::HandlerKind;
use super::release::Release;
use ondol_host_model::{RoomId, Timestamp};
use std::sync::Arc;

/// A release that answers in some rooms.
pub(super) struct Canary {
    pub(super) release: Arc<Release>,
    /// What it is made of, for when it is to answer everywhere.
    pub(super) candidate: Candidate,
    pub(super) share: Share,
    pub(super) why: Why,
    pub(super) since: Timestamp,
}

/// A share of all rooms: the same ones for as long as the versions are the same, and more of them when it grows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    percent: u64,
    salt: u64,
}

impl Share {
    /// So many in a hundred rooms, drawn anew for other versions.
    pub(super) fn new(percent: u8, release: &Release) -> Self {
        let salt =
            HandlerKind::ALL.into_iter().fold(0, |salt: u64, handler| mix(salt ^ release.version(handler).seed()));
        Self { percent: percent.into(), salt }
    }

    /// In a hundred rooms.
    pub(super) fn percent(self) -> u64 {
        self.percent
    }

    /// Whether a room is one of them.
    pub(super) fn takes(self, room: RoomId) -> bool {
        self.has(room.0)
    }

    /// Whether a room that is yet to be made is: it has no number, so its post stands for it.
    pub(super) fn takes_post(self, post: Option<u64>) -> bool {
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
        (1..=10_000).filter(|room| share.takes(RoomId(*room))).collect()
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
