//! What one member has heard, and whether what comes next is what must come next. Knows no sockets.

use anyhow::{Context as _, ensure};

use crate::echo::Echo;

/// A room as its members know it.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    /// Its number at the server.
    pub(crate) id: u64,
    /// The first of the senders that speak in it; the others follow.
    pub(crate) first_sender: usize,
    /// The `seq` of the last message before anybody here listened.
    pub(crate) last_seq: u64,
}

/// One member's ear: it was there before the first message was sent.
pub(crate) struct Ear {
    room: Room,
    seq: u64,
    /// The last number heard from each sender of the room.
    heard: Vec<u64>,
}

impl Ear {
    pub(crate) fn new(room: Room, senders: usize) -> Self {
        Self { room, seq: room.last_seq, heard: vec![0; senders] }
    }

    /// Takes the next message. By the server's `seq` where it gives one, and by the sender's own numbers always, it must
    /// be the one after the last.
    ///
    /// Errors for a gap, a double, a wrong order and a message of another room.
    pub(crate) fn hear(&mut self, echo: &Echo) -> anyhow::Result<()> {
        let Room { id, first_sender, .. } = self.room;
        ensure!(echo.room.is_none_or(|room| room == id), "room {id} received a message of another one: {echo:?}");
        if let Some(seq) = echo.seq {
            ensure!(seq == self.seq + 1, "room {id}: seq {seq} came after {}", self.seq);
            self.seq = seq;
        }
        let place = echo.sender.checked_sub(first_sender);
        let heard = place.and_then(|place| self.heard.get_mut(place));
        let heard = heard.with_context(|| format!("room {id} received a message of another one: {echo:?}"))?;
        ensure!(echo.n == *heard + 1, "room {id}: message {} of a sender came after its message {heard}", echo.n);
        *heard = echo.n;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of sender 4 or 5, who speak in room 9.
    fn echo(sender: usize, n: u64, seq: u64) -> Echo {
        Echo { sender, n, sent_ns: 0, room: Some(9), seq: Some(seq) }
    }

    fn ear() -> Ear {
        let mut ear = Ear::new(Room { id: 9, first_sender: 4, last_seq: 0 }, 2);
        assert!(ear.hear(&echo(4, 1, 1)).is_ok());
        assert!(ear.hear(&echo(5, 1, 2)).is_ok());
        ear
    }

    #[test]
    fn what_comes_next_is_taken() {
        assert!(ear().hear(&echo(5, 2, 3)).is_ok());
    }

    #[test]
    fn a_gap_a_double_and_a_wrong_order_are_errors() {
        for (case, wrong) in [
            ("a gap in seq", echo(4, 2, 4)),
            ("a double", echo(5, 1, 2)),
            ("a double under a new seq", echo(5, 1, 3)),
            ("a message left out of the numbering", echo(4, 3, 3)),
        ] {
            assert!(ear().hear(&wrong).is_err(), "{case}");
        }
    }

    #[test]
    fn numbers_alone_tell_where_the_server_gives_no_seq() {
        let bare = |n| Echo { room: None, seq: None, ..echo(4, n, 0) };
        assert!(ear().hear(&bare(2)).is_ok());
        assert!(ear().hear(&bare(1)).is_err());
        assert!(ear().hear(&bare(3)).is_err());
    }

    #[test]
    fn who_comes_late_hears_what_follows() {
        let late = || Ear::new(Room { id: 9, first_sender: 4, last_seq: 50 }, 2);
        assert!(late().hear(&echo(4, 1, 51)).is_ok());
        assert!(late().hear(&echo(4, 1, 1)).is_err());
        assert!(late().hear(&echo(4, 1, 52)).is_err());
    }

    #[test]
    fn a_message_of_another_room_is_an_error() {
        assert!(ear().hear(&Echo { room: Some(8), ..echo(4, 2, 3) }).is_err());
        assert!(ear().hear(&echo(6, 1, 3)).is_err());
        assert!(ear().hear(&echo(3, 1, 3)).is_err());
    }
}
