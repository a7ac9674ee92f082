//! Queries for a room's messages, which the writer, the readers and the [archive](super::archive) share.

use rusqlite::{Connection, OptionalExtension as _};

use super::message_key::SEQ_MAX;
use super::rows::{first_seq, last_seq, messages, number, read_message, to_sql};
use super::segments::{self, last_indexed_seq};
use super::stretch::{Stretch, json_array};
use super::unindexed::Unindexed;
use crate::cache::Ring;
use crate::page::{Cut, Page};
use ondol_host_model::{Message, MessageId, RoomId, Seq};

/// How many messages are looked for at once where some that the index names are missing.
const BATCH: usize = 512;

/// The last `seq` of a room at the moment when its unindexed messages were copied.
pub(super) fn last_seq_with(connection: &Connection, unindexed: &Unindexed, room: RoomId) -> rusqlite::Result<Seq> {
    unindexed.last().map_or_else(|| last_seq(connection, room), Ok)
}

/// The messages of one room, as the index and its unindexed tail have them.
pub(super) struct RoomMessages<'a> {
    pub(super) connection: &'a Connection,
    /// Copied before the first query: whatever has left it by then is in a segment.
    pub(super) unindexed: &'a Unindexed,
    pub(super) room: RoomId,
}

impl RoomMessages<'_> {
    /// The stretch that reaches `seq`, or the first one after it.
    pub(super) fn stretch_from(&self, seq: Seq) -> rusqlite::Result<Option<Stretch<'_>>> {
        let seq = seq.min(SEQ_MAX);
        let tail = self.unindexed.stretch();
        if tail.as_ref().is_some_and(|tail| tail.first() <= seq) {
            return Ok(tail.filter(|tail| seq < tail.end()));
        }
        let reaching = segments::at_or_before(self.connection, self.room, seq)?.filter(|segment| seq < segment.end());
        let found = match reaching {
            Some(segment) => Some(segment),
            None => segments::after(self.connection, self.room, seq)?,
        };
        Ok(found.or(tail))
    }

    /// The last stretch that begins at `seq` or before.
    fn stretch_to(&self, seq: Seq) -> rusqlite::Result<Option<Stretch<'_>>> {
        match self.unindexed.stretch() {
            Some(tail) if tail.first() <= seq => Ok(Some(tail)),
            _ => segments::at_or_before(self.connection, self.room, seq),
        }
    }

    /// Fills a page, stretch by stretch: deleted messages leave gaps.
    fn fill(&self, page: Page, filling: &mut Filling) -> rusqlite::Result<()> {
        let first = first_seq(self.connection, self.room)?;
        let mut next = match page {
            Page::After(seq) => Some(Seq(seq.0.saturating_add(1)).max(first)),
            Page::Before(seq) => seq.0.checked_sub(1).map(Seq),
            Page::Latest => Some(SEQ_MAX),
        };
        while let Some(seq) = next.filter(|seq| *seq >= first && !filling.is_full) {
            if filling.is_forward {
                let Some(stretch) = self.stretch_from(seq)? else { return Ok(()) };
                let rowids: Vec<i64> = stretch.between(seq, SEQ_MAX).map(|(_, rowid)| rowid).collect();
                self.read(&rowids, filling)?;
                next = Some(stretch.end());
            } else {
                let Some(stretch) = self.stretch_to(seq)? else { return Ok(()) };
                let rowids: Vec<i64> = stretch.between(first, seq).rev().map(|(_, rowid)| rowid).collect();
                self.read(&rowids, filling)?;
                next = stretch.first().0.checked_sub(1).map(Seq);
            }
        }
        Ok(())
    }

    /// Reads the messages with these rowids until the page is full. An operator's SQL may have deleted some of them.
    fn read(&self, mut rowids: &[i64], filling: &mut Filling) -> rusqlite::Result<()> {
        // SQLite may have given the rowid of such a row to a message of another room.
        macro_rules! messages_of {
            ($order:literal) => {
                concat!(
                    messages!(),
                    " WHERE message.n IN (SELECT value FROM json_each(?1)) AND message.room = ?2 ORDER BY message.n",
                    $order
                )
            };
        }
        let sql = if filling.is_forward { messages_of!("") } else { messages_of!(" DESC") };
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut size = filling.limit.saturating_sub(filling.messages.len());
        while !rowids.is_empty() && !filling.is_full {
            let (batch, rest) = rowids.split_at(size.min(rowids.len()));
            for message in statement.query_map((json_array(batch), to_sql(self.room.0)), read_message)? {
                filling.put(message?);
                if filling.is_full {
                    break;
                }
            }
            (rowids, size) = (rest, BATCH);
        }
        Ok(())
    }

    /// The `seq` and id of the first message from `seq` on. `known` is where the last search ended.
    fn first_from<'a>(
        &'a self,
        mut seq: Seq,
        known: &mut Option<Stretch<'a>>,
    ) -> rusqlite::Result<Option<(Seq, MessageId)>> {
        let sql = "SELECT id FROM message WHERE n = ?1 AND room = ?2 AND seq = ?3";
        let mut id_of = self.connection.prepare_cached(sql)?;
        loop {
            if !known.as_ref().is_some_and(|known| known.contains(seq)) {
                *known = self.stretch_from(seq)?;
            }
            let Some(stretch) = known else { return Ok(None) };
            for (seq, rowid) in stretch.between(seq, SEQ_MAX) {
                let key = (rowid, to_sql(self.room.0), to_sql(seq.0));
                if let Some(id) = id_of.query_row(key, |row| number(row, 0)).optional()? {
                    return Ok(Some((seq, MessageId(id))));
                }
            }
            seq = stretch.end();
        }
    }
}

/// A page on its way.
struct Filling {
    messages: Vec<Message>,
    limit: usize,
    cut: Cut,
    is_forward: bool,
    is_full: bool,
}

impl Filling {
    fn new(is_forward: bool, limit: usize, bytes_max: usize) -> Self {
        Self { messages: Vec::new(), limit, cut: Cut::new(bytes_max), is_forward, is_full: limit == 0 }
    }

    fn put(&mut self, message: Message) {
        // A reused rowid could lead to the same message twice.
        let follows = |last: &Message| if self.is_forward { last.seq < message.seq } else { last.seq > message.seq };
        if !self.messages.last().is_none_or(follows) {
            return;
        }
        let fits = self.cut.takes(&message);
        if fits {
            self.messages.push(message);
        }
        self.is_full = !fits || self.messages.len() >= self.limit;
    }
}

/// A page of a room's messages, oldest first. It ends before it exceeds `bytes_max` bytes as JSON, but holds at least
/// one message: [`Page::After`] keeps the first ones, the others keep the last ones. Rows beyond are not read, and a page
/// is shorter than `limit` only where that many bytes are full or the room ends.
pub(super) fn page(
    connection: &Connection,
    unindexed: &Unindexed,
    room: RoomId,
    page: Page,
    limit: usize,
    bytes_max: usize,
) -> rusqlite::Result<Vec<Message>> {
    // One state of the database, however many queries the page takes.
    let _snapshot = connection.unchecked_transaction()?;
    let mut filling = Filling::new(matches!(page, Page::After(_)), limit, bytes_max);
    RoomMessages { connection, unindexed, room }.fill(page, &mut filling)?;
    if !filling.is_forward {
        filling.messages.reverse();
    }
    Ok(filling.messages)
}

/// The latest messages of a room for memory: up to `limit`, and about `bytes_max`.
pub(super) fn latest(
    connection: &Connection,
    unindexed: &Unindexed,
    room: RoomId,
    limit: usize,
    bytes_max: usize,
) -> rusqlite::Result<Ring> {
    let _snapshot = connection.unchecked_transaction()?;
    // Not the number in `room_seq`: a message may be committed that neither the copy nor the index has. It is reported later.
    let last = unindexed.last().map_or_else(|| last_indexed_seq(connection, room), Ok)?;
    let mut filling = Filling::new(false, limit, bytes_max);
    RoomMessages { connection, unindexed, room }.fill(Page::Latest, &mut filling)?;
    let mut messages = filling.messages;
    messages.reverse();
    messages.retain(|message| message.seq <= last);
    let first = messages.first().filter(|_| filling.is_full).map_or(Seq(1), |oldest| oldest.seq);
    Ok(Ring::new(first, last, messages))
}

/// Whether a room has a message with this id. Messages have no index by id, but within a room ids rise with `seq`,
/// which allows a binary search. Where a message was deleted, the next existing one decides.
pub(super) fn has_message(
    connection: &Connection,
    unindexed: &Unindexed,
    room: RoomId,
    id: MessageId,
) -> rusqlite::Result<bool> {
    let (messages, mut known) = (RoomMessages { connection, unindexed, room }, None);
    let _snapshot = connection.unchecked_transaction()?;
    let (mut from, mut to) = (first_seq(connection, room)?.0, last_seq_with(connection, unindexed, room)?.0);
    while from <= to {
        let middle = from + (to - from) / 2;
        match messages.first_from(Seq(middle), &mut known)? {
            Some((_, found)) if found == id => return Ok(true),
            Some((seq, found)) if found < id => from = seq.0 + 1,
            Some(_) | None => to = middle.saturating_sub(1),
        }
    }
    Ok(false)
}
