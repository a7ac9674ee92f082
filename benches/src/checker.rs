//! What one member has received, and whether the next message is the right one. Knows no sockets.

use anyhow::{Context as _, ensure};

use crate::message::Message;

/// A room as its members know it.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    /// Its number at the server.
    pub(crate) id: u64,
    /// The `seq` of its last message.
    pub(crate) last_seq: u64,
}

/// Checks the messages of one member, who joined before the first of them was sent.
pub(crate) struct Checker {
    room: Room,
    /// The first of the room's senders; the others follow it.
    first_sender: usize,
    /// The last number of each sender of the room.
    numbers: Vec<u64>,
}

impl Checker {
    pub(crate) fn new(room: Room, first_sender: usize, senders: usize) -> Self {
        Self { room, first_sender, numbers: vec![0; senders] }
    }

    /// Takes the next message. It must follow the last one both by the server's `seq` and by its sender's own count.
    ///
    /// Errors for a gap, a double, a wrong order and a message of another room.
    pub(crate) fn check(&mut self, message: &Message) -> anyhow::Result<()> {
        let Room { id, last_seq } = &mut self.room;
        ensure!(message.room == *id, "room {id} received a message of another room: {message:?}");
        ensure!(message.seq == *last_seq + 1, "room {id}: seq {} came after {last_seq}", message.seq);
        let number = message.sender.checked_sub(self.first_sender).and_then(|index| self.numbers.get_mut(index));
        let number = number.with_context(|| format!("room {id} has no such sender: {message:?}"))?;
        ensure!(message.number == *number + 1, "room {id}: a sender's message {} came after {number}", message.number);
        (*last_seq, *number) = (message.seq, message.number);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of sender 4 or 5, who send in room 9.
    fn message(sender: usize, number: u64, seq: u64) -> Message {
        Message { sender, number, sent_ns: 0, room: 9, seq }
    }

    /// Has received seq 51 and 52.
    fn checker() -> Checker {
        let mut checker = Checker::new(Room { id: 9, last_seq: 50 }, 4, 2);
        assert!(checker.check(&message(4, 1, 51)).is_ok());
        assert!(checker.check(&message(5, 1, 52)).is_ok());
        checker
    }

    #[test]
    fn only_the_next_message_is_right() {
        assert!(checker().check(&message(5, 2, 53)).is_ok());
        for (case, wrong) in [
            ("a gap in seq", message(4, 2, 54)),
            ("a double", message(5, 1, 52)),
            ("a double under a new seq", message(5, 1, 53)),
            ("a message missing in the numbering", message(4, 3, 53)),
            ("another room", Message { room: 8, ..message(4, 2, 53) }),
            ("a sender before those of the room", message(3, 1, 53)),
            ("a sender after those of the room", message(6, 1, 53)),
        ] {
            assert!(checker().check(&wrong).is_err(), "{case}");
        }
    }
}
