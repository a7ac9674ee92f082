//! The tables that move: their columns in PostgreSQL, and the query of SQLite that has the same ones.

use super::value::Kind::{self, Bytes, Int, Text};

/// A table that moves.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name in PostgreSQL.
    pub(crate) name: &'static str,
    /// Its columns there.
    pub(crate) columns: &'static [(&'static str, Kind)],
    /// The query of SQLite. Columns that its rows lack at the beginning or the end are added by the source.
    pub(crate) query: &'static str,
    /// The column that PostgreSQL numbers, if there is one.
    pub(crate) number: Option<&'static str>,
}

/// Messages. They are compared room by room, so they are not among [`CHECKED_TABLES`].
pub(crate) const MESSAGE: Table = Table {
    name: "message",
    columns: &[
        ("room", Int),
        ("seq", Int),
        ("id", Int),
        ("sender", Int),
        ("created_at", Int),
        ("text", Text),
        ("client_id", Text),
        ("parent", Int),
        ("extra", Text),
    ],
    query: "SELECT room, seq, id, sender, created_at, text, client_id, parent, extra FROM message",
    number: None,
};

/// Rooms. The source adds the id of the last message.
pub(crate) const ROOM: Table = Table {
    name: "room",
    columns: &[
        ("id", Int),
        ("name", Text),
        ("post_id", Int),
        ("owner", Text),
        ("created_at", Int),
        ("last_seq", Int),
        ("first_seq", Int),
        ("last_id", Int),
    ],
    query: "SELECT id, name, post_id, owner, created_at, coalesce(last, 0), coalesce(first, 1) \
            FROM room LEFT JOIN room_seq ON room_seq.room = room.id ORDER BY id",
    number: Some("id"),
};

/// Senders. The source leaves out those that are there twice.
pub(crate) const SENDER: Table = Table {
    name: "sender",
    columns: &[("n", Int), ("usr", Text), ("nickname", Text), ("email", Text), ("profile_url", Text)],
    query: "SELECT n, user, nickname, email, profile_url FROM sender ORDER BY n",
    number: Some("n"),
};

/// The ids that clients gave to messages. What is left of deleted messages stays behind.
pub(crate) const CLIENT_MESSAGE: Table = Table {
    name: "client_message",
    columns: &[("room", Int), ("usr", Text), ("client_id", Text), ("seq", Int)],
    query: "SELECT entry.room, entry.user, entry.client_id, message.seq FROM client_message AS entry \
            CROSS JOIN message ON message.n = entry.n AND message.room = entry.room \
            AND message.client_id = entry.client_id \
            CROSS JOIN sender ON sender.n = message.sender AND sender.user = entry.user",
    number: None,
};

const DELETION: Table = Table {
    name: "deletion",
    columns: &[("n", Int), ("room", Int), ("seq", Int), ("id", Int), ("at_seq", Int), ("deleted_at", Int)],
    query: "SELECT n, room, seq, id, at_seq, deleted_at FROM deletion ORDER BY n",
    number: Some("n"),
};

/// Components. The source joins their pieces: the query names them.
pub(crate) const COMPONENT: Table = Table {
    name: "component",
    columns: &[("sha256", Text), ("wasm", Bytes)],
    query: "SELECT DISTINCT component FROM version",
    number: None,
};

const VERSION: Table = Table {
    name: "version",
    columns: &[
        ("id", Text),
        ("handler", Text),
        ("component", Text),
        ("settings", Text),
        ("cases", Text),
        ("first_seen", Int),
        ("last_active", Int),
    ],
    query: "SELECT id, handler, component, settings, cases, first_seen, last_active FROM version",
    number: None,
};

const RELEASE: Table = Table {
    name: "release",
    columns: &[
        ("id", Int),
        ("rooms", Text),
        ("messages", Text),
        ("events", Text),
        ("who", Text),
        ("how", Text),
        ("why", Text),
        ("back_to", Int),
        ("created_at", Int),
        ("outcome", Text),
        ("detail", Text),
    ],
    query: "SELECT id, rooms, messages, events, who, how, why, back_to, created_at, outcome, detail FROM release",
    number: Some("id"),
};

const RELEASE_EVENT: Table = Table {
    name: "release_event",
    columns: &[("id", Int), ("release", Int), ("what", Text), ("who", Text), ("detail", Text), ("created_at", Int)],
    query: "SELECT id, release, what, who, detail, created_at FROM release_event",
    number: Some("id"),
};

const BAD_VERSION: Table = Table {
    name: "bad_version",
    columns: &[("id", Text), ("evidence", Text), ("marked_at", Int)],
    query: "SELECT id, evidence, marked_at FROM bad_version",
    number: None,
};

/// What the directory and the config held. The source adds the name of the host.
pub(crate) const DIRECTORY: Table = Table {
    name: "directory",
    columns: &[("host", Text), ("handler", Text), ("sha256", Text), ("settings", Text)],
    query: "SELECT handler, sha256, settings FROM directory",
    number: None,
};

/// The tables beside that of messages, each after those that it refers to. Each is compared as a whole.
pub(crate) const CHECKED_TABLES: &[Table] =
    &[SENDER, CLIENT_MESSAGE, DELETION, ROOM, COMPONENT, VERSION, RELEASE, RELEASE_EVENT, BAD_VERSION, DIRECTORY];

impl Table {
    /// The columns, for SQL.
    pub(crate) fn column_names(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}
