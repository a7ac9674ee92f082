//! Queries for a room's messages, which the writer, the readers and the [archive](super::archive) share.

use std::cmp::Ordering;

use rusqlite::{Connection, OptionalExtension as _};

use super::cache::Ring;
use super::message_key::{key_range, message_key};
use super::rows::{last_seq, messages, number, read_message, to_sql};
use super::segments::{indexed_rowid, last_indexed_seq, rowids_between};
use super::unindexed::Unindexed;
use ondol_host_model::{Message, MessageId, RoomId, Seq};

/// Which messages of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The last ones.
    Latest,
    /// The first ones after this.
    After(Seq),
    /// The last ones before this.
    Before(Seq),
}

/// The last `seq` of a room at the moment when its unindexed messages were copied.
pub(super) fn last_seq_with(connection: &Connection, unindexed: &Unindexed, room: RoomId) -> rusqlite::Result<Seq> {
    unindexed.last().map_or_else(|| last_seq(connection, room), Ok)
}

/// A page of a room's messages, oldest first. It ends before it exceeds `bytes_max` bytes as JSON, but holds at least
/// one message: [`Page::After`] keeps the first ones, the others keep the last ones. Rows beyond are not read.
pub(super) fn page(
    connection: &Connection,
    unindexed: &Unindexed,
    room: RoomId,
    page: Page,
    limit: usize,
    bytes_max: usize,
) -> rusqlite::Result<Vec<Message>> {
    let last = last_seq_with(connection, unindexed, room)?;
    let Some(ends) = range(page, limit, last) else { return Ok(Vec::new()) };
    let mut cut = Cut::new(bytes_max);
    between(connection, unindexed, room, ends, matches!(page, Page::After(_)), &mut cut)
}

/// The latest messages of a room for memory: up to `limit`, and about `bytes_max`.
pub(super) fn latest(
    connection: &Connection,
    unindexed: &Unindexed,
    room: RoomId,
    limit: usize,
    bytes_max: usize,
) -> rusqlite::Result<Ring> {
    // Not the number in `room_seq`: a message may be committed that neither the copy nor the index has. It is reported later.
    let last = unindexed.last().map_or_else(|| last_indexed_seq(connection, room), Ok)?;
    let Some(ends) = range(Page::Latest, limit, last) else { return Ok(Ring::new(last.next(), last, Vec::new())) };
    let mut cut = Cut::new(bytes_max);
    let messages = between(connection, unindexed, room, ends, false, &mut cut)?;
    let first = messages.first().map_or(ends.0, |oldest| if cut.is_over() { oldest.seq } else { ends.0 });
    Ok(Ring::new(first, last, messages))
}

/// The first and the last number of a page. None: it is empty. A room's numbers have no gaps, so both are known beforehand.
pub(super) fn range(page: Page, limit: usize, last: Seq) -> Option<(Seq, Seq)> {
    let (most, last) = (limit as u64, last.0);
    let (from, to) = match page {
        Page::After(seq) => (seq.0.saturating_add(1), seq.0.saturating_add(most)),
        Page::Before(seq) => {
            let to = last.min(seq.0.saturating_sub(1));
            ((to + 1).saturating_sub(most), to)
        }
        Page::Latest => ((last + 1).saturating_sub(most), last),
    };
    let (from, to) = (Seq(from.max(1)), Seq(to.min(last)));
    (from <= to).then_some((from, to))
}

/// The end of a page that grows too large as JSON. It holds one message at least.
pub(super) struct Cut {
    bytes: usize,
    bytes_max: usize,
    is_over: bool,
}

impl Cut {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes: 0, bytes_max, is_over: false }
    }

    /// Whether the next message is still on the page.
    pub(super) fn takes(&mut self, message: &Message) -> bool {
        let is_first = self.bytes == 0;
        self.bytes = self.bytes.saturating_add(json_bytes(message));
        self.is_over = self.bytes > self.bytes_max && !is_first;
        !self.is_over
    }

    /// Whether a message was left out.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }
}

/// The messages from one number to another, both included, as far as `cut` takes them; backwards, it takes the last ones.
fn between(
    connection: &Connection,
    unindexed: &Unindexed,
    room: RoomId,
    (from, to): (Seq, Seq),
    forward: bool,
    cut: &mut Cut,
) -> rusqlite::Result<Vec<Message>> {
    // SQLite may have given the rowid of a deleted row to a message of another room.
    macro_rules! messages_between {
        ($order:literal) => {
            concat!(
                messages!(),
                " WHERE message.n IN (",
                rowids_between!(),
                ") AND message.room = ?4 AND message.seq BETWEEN ?5 AND ?6 ORDER BY message.n",
                $order
            )
        };
    }
    let sql = if forward { messages_between!("") } else { messages_between!(" DESC") };
    let (first, end) = key_range(room, from, to);
    let mut statement = connection.prepare_cached(sql)?;
    let mut messages = Vec::new();
    let between = (first, end, unindexed.between(from, to), to_sql(room.0), to_sql(from.0), to_sql(to.0));
    for message in statement.query_map(between, read_message)? {
        let message = message?;
        if !cut.takes(&message) {
            break;
        }
        messages.push(message);
    }
    if !forward {
        messages.reverse();
    }
    Ok(messages)
}

/// An upper bound of a message's size as JSON: its strings as they are escaped, and the rest.
fn json_bytes(message: &Message) -> usize {
    /// Keys with their punctuation, four numbers of up to 20 digits, and a time.
    const FIXED: usize = 300;
    let escaped = |text: &str| -> usize {
        let bytes = |byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
            0..b' ' => 6,
            _ => 1,
        };
        text.bytes().map(bytes).sum()
    };
    let (draft, sender) = (&message.draft, &message.sender);
    let optional = [sender.profile_url.as_deref(), draft.client_id.as_deref(), draft.extra.as_deref()];
    let texts = [draft.text.as_str(), &sender.id, &sender.email, &sender.nickname];
    FIXED + texts.into_iter().chain(optional.into_iter().flatten()).map(escaped).sum::<usize>()
}

/// Whether a room has a message with this id. Messages have no index by id, but within a room ids rise with `seq`,
/// which allows a binary search. Where a message was deleted, the next existing one decides.
pub(super) fn has_message(
    connection: &Connection,
    unindexed: &Unindexed,
    room: RoomId,
    id: MessageId,
) -> rusqlite::Result<bool> {
    let mut id_of = connection.prepare_cached("SELECT id FROM message WHERE n = ?1 AND room = ?2 AND seq = ?3")?;
    let mut id_at = |seq: u64| {
        let rowid = match (unindexed.at(Seq(seq)), message_key(room, Seq(seq))) {
            (None, Some(key)) => indexed_rowid(connection, key)?,
            (rowid, _) => rowid,
        };
        id_of.query_row((rowid, to_sql(room.0), to_sql(seq)), |row| number(row, 0)).optional()
    };
    let (mut from, mut to) = (1, last_seq_with(connection, unindexed, room)?.0);
    while from <= to {
        let middle = from + (to - from) / 2;
        let mut seq = middle;
        let mut found = id_at(seq)?;
        while found.is_none() && seq < to {
            seq += 1;
            found = id_at(seq)?;
        }
        match found.map(|found| found.cmp(&id.0)) {
            Some(Ordering::Equal) => return Ok(true),
            Some(Ordering::Less) => from = seq + 1,
            Some(Ordering::Greater) | None => to = middle - 1,
        }
    }
    Ok(false)
}
