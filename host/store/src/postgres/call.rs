//! The calls that store: their parameters, column by column.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::{Client, Error, Statement};

use super::rows::to_sql;
use ondol_host_model::{Message, RoomId, Seq, Timestamp};

/// The release that wrote the messages. 0: not known.
const RELEASE: i64 = 0;

/// The statements, prepared in a session.
pub(super) struct Prepared {
    commit: Statement,
    delete: Statement,
}

/// A call that stores, or does nothing. It may be sent again under another number.
pub(super) enum Call<'a> {
    /// Stores messages.
    Commit(Box<Columns<'a>>),
    /// Deletes messages of a room.
    Delete {
        /// The room.
        room: RoomId,
        /// The messages.
        seqs: Vec<i64>,
        /// When.
        now: Timestamp,
    },
}

/// Messages, column by column.
#[derive(Default)]
pub(super) struct Columns<'a> {
    rooms: Vec<i64>,
    firsts: Vec<i64>,
    lasts: Vec<i64>,
    last_ids: Vec<i64>,
    room: Vec<i64>,
    seq: Vec<i64>,
    id: Vec<i64>,
    sender: Vec<i64>,
    created_at: Vec<i64>,
    text: Vec<&'a str>,
    client_id: Vec<Option<&'a str>>,
    parent: Vec<Option<i64>>,
    extra: Vec<Option<&'a str>>,
    origin: Vec<Option<i64>>,
    client_room: Vec<i64>,
    client_user: Vec<&'a str>,
    client_ids: Vec<&'a str>,
    client_seq: Vec<i64>,
    senders: Vec<i64>,
}

impl Call<'_> {
    /// About how many bytes the server is sent.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Commit(of) => {
                let extras = of.extra.iter().flatten().map(|extra| extra.len());
                of.text.iter().map(|text| text.len()).chain(extras).sum()
            }
            Self::Delete { seqs, .. } => size_of_val(seqs.as_slice()),
        }
    }

    /// Whether it can be sent in parts.
    pub(super) fn is_divisible(&self) -> bool {
        matches!(self, Self::Commit(of) if of.room.len() > 1)
    }
}

impl<'a> Columns<'a> {
    /// Messages with the rows of their senders. Those of a room follow one another.
    pub(super) fn of(messages: &[(&'a Message, i64)]) -> Self {
        let mut columns = Self::default();
        // Rooms and senders in order, so that batches of several hosts take their rows in the same one.
        let (mut rooms, mut senders) = (BTreeMap::<i64, (i64, i64, i64)>::new(), BTreeSet::new());
        for (message, sender) in messages {
            let [room, seq, id] = [message.room.0, message.seq.0, message.id.0].map(to_sql);
            let (_, last, last_id) = rooms.entry(room).or_insert((seq, seq, id));
            (*last, *last_id) = (seq, id);
            senders.insert(*sender);
            columns.push(message, *sender);
        }
        for (room, (first, last, last_id)) in rooms {
            columns.rooms.push(room);
            columns.firsts.push(first);
            columns.lasts.push(last);
            columns.last_ids.push(last_id);
        }
        columns.senders = senders.into_iter().collect();
        columns
    }

    /// The last `seq` of each room.
    pub(super) fn heads(&self) -> impl Iterator<Item = (RoomId, Seq)> {
        self.rooms.iter().zip(&self.lasts).map(|(room, last)| (RoomId(room.unsigned_abs()), Seq(last.unsigned_abs())))
    }

    fn push(&mut self, message: &'a Message, sender: i64) {
        let (draft, [room, seq, id]) = (&message.draft, [message.room.0, message.seq.0, message.id.0].map(to_sql));
        self.room.push(room);
        self.seq.push(seq);
        self.id.push(id);
        self.sender.push(sender);
        self.created_at.push(to_sql(message.created_at.0));
        self.text.push(&draft.text);
        self.client_id.push(draft.client_id.as_deref());
        self.parent.push(draft.parent.map(|parent| to_sql(parent.0)));
        self.extra.push(draft.extra.as_deref());
        self.origin.push(message.origin);
        if let Some(client_id) = &draft.client_id {
            self.client_room.push(room);
            self.client_user.push(&message.sender.id);
            self.client_ids.push(client_id);
            self.client_seq.push(seq);
        }
    }
}

impl Prepared {
    /// Prepares the statements.
    pub(super) async fn new(client: &Client) -> Result<Self, Error> {
        const COMMIT: &str = "SELECT ondol_commit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, \
            $18, $19, $20, $21, $22, $23)";
        let commit = client.prepare(COMMIT).await?;
        Ok(Self { commit, delete: client.prepare("SELECT ondol_delete($1, $2, $3, $4, $5, $6)").await? })
    }

    /// Sends a call as this batch of a session of this host.
    pub(super) async fn send(
        &self,
        client: &Client,
        [no, session]: [i32; 2],
        batch: i64,
        call: &Call<'_>,
    ) -> Result<(), Error> {
        match call {
            Call::Commit(of) => {
                let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 23] = [
                    &no,
                    &session,
                    &batch,
                    &RELEASE,
                    &of.rooms,
                    &of.firsts,
                    &of.lasts,
                    &of.last_ids,
                    &of.room,
                    &of.seq,
                    &of.id,
                    &of.sender,
                    &of.created_at,
                    &of.text,
                    &of.client_id,
                    &of.parent,
                    &of.extra,
                    &of.origin,
                    &of.client_room,
                    &of.client_user,
                    &of.client_ids,
                    &of.client_seq,
                    &of.senders,
                ];
                client.execute(&self.commit, &parameters).await?;
            }
            Call::Delete { room, seqs, now } => {
                let (room, now) = (to_sql(room.0), to_sql(now.0));
                client.execute(&self.delete, &[&no, &session, &batch, &room, seqs, &now]).await?;
            }
        }
        Ok(())
    }
}
