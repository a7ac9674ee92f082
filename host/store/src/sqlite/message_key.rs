//! The key of a message: its room in the upper half and its `seq` in the lower, so that the messages of a room follow
//! one another in order. The schema calls it `place`.

use ondol_host_model::{RoomId, Seq};

/// The highest `seq`: half a key.
pub(super) const SEQ_MAX: Seq = Seq(u32::MAX as u64);

/// The key of a message. None: room or `seq` exceeds its half.
pub(super) fn message_key(room: RoomId, seq: Seq) -> Option<i64> {
    let (room, seq) = (i32::try_from(room.0).ok()?, u32::try_from(seq.0).ok()?);
    Some(i64::from(room) << 32 | i64::from(seq))
}

/// The first and last key of a room's messages from one `seq` to another. The range is empty if there are none.
pub(super) fn key_range(room: RoomId, from: Seq, to: Seq) -> (i64, i64) {
    match (message_key(room, from), message_key(room, to.min(SEQ_MAX))) {
        (Some(from), Some(to)) => (from, to),
        _ => (0, -1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_the_key_have_none() {
        assert_eq!(message_key(RoomId(1), Seq(1)), Some((1 << 32) + 1));
        assert_eq!(message_key(RoomId(1), SEQ_MAX.next()), None);
        assert_eq!(message_key(RoomId(1 << 31), Seq(1)), None);
        assert_eq!(key_range(RoomId(2), Seq(0), Seq(u64::MAX)), (2 << 32, (3 << 32) - 1));
        for (from, to) in [key_range(RoomId(u64::MAX), Seq(0), SEQ_MAX), key_range(RoomId(1), SEQ_MAX.next(), SEQ_MAX)]
        {
            assert!(from > to, "the range is empty");
        }
    }
}
