//! What clients read: rooms and their messages. Each is one statement, which sees one state of the database and takes the
//! same time however much is stored.

use std::sync::Arc;

use super::pages::{self, Read};
use super::pool::Lent;
use super::readers::Readers;
use super::rooms::read_room;
use super::rows::{message_columns, number, read_message, to_sql};
use crate::cache::{Asked, Cache, MESSAGES_MAX, Ring};
use crate::error::StoreError;
use crate::hosts::origins_of;
use crate::outcomes::Deleted;
use crate::page::Page;
use ondol_host_model::{Message, MessageId, Room, RoomId, Seq};

/// Reads for clients.
pub(super) struct Reading {
    pub(super) readers: Arc<Readers>,
    cache: Arc<Cache>,
    page_bytes_max: usize,
}

impl Reading {
    /// Commits and deletions tell the cache.
    pub(super) fn new(readers: Arc<Readers>, cache: Arc<Cache>, page_bytes_max: usize) -> Self {
        Self { readers, cache, page_bytes_max }
    }

    pub(super) async fn room(&self, id: RoomId) -> Result<Option<Room>, StoreError> {
        let number = to_sql(id.0);
        let read = || {
            self.readers.read(move |client: Lent| async move {
                let statement = client.prepare_cached("SELECT * FROM room WHERE id = $1").await?;
                client.query_opt(&statement, &[&number]).await?.as_ref().map(read_room).transpose()
            })
        };
        self.cache.rooms.find(id, read).await
    }

    pub(super) async fn rooms(&self, after: RoomId, limit: usize) -> Result<Vec<Room>, StoreError> {
        let (after, limit) = (to_sql(after.0), to_sql(limit as u64));
        let read = move |client: Lent| async move {
            let statement = client.prepare_cached("SELECT * FROM room WHERE id > $1 ORDER BY id LIMIT $2").await?;
            client.query(&statement, &[&after, &limit]).await?.iter().map(read_room).collect()
        };
        self.readers.read(read).await
    }

    pub(super) async fn messages(&self, room: RoomId, page: Page, limit: usize) -> Result<Vec<Message>, StoreError> {
        let bytes_max = self.page_bytes_max;
        let asked = Asked { room, page, limit, bytes_max };
        if self.cache.may_remember(room)
            && let Some(messages) = self.cache.latest.page(asked, || self.latest(room)).await?
        {
            return Ok(messages);
        }
        let read = move |client: Lent| async move { pages::read(&client, room, page, limit, bytes_max).await };
        Ok(self.readers.read(read).await?.messages)
    }

    /// The latest messages of a room for memory.
    async fn latest(&self, room: RoomId) -> Result<Ring, StoreError> {
        let bytes_max = self.cache.latest.room_bytes_max();
        let read =
            move |client: Lent| async move { pages::read(&client, room, Page::Latest, MESSAGES_MAX, bytes_max).await };
        let Read { messages, is_full, last } = self.readers.read(read).await?;
        let first = messages.first().filter(|_| is_full).map_or(Seq(1), |oldest| oldest.seq);
        Ok(Ring::new(first, last, messages))
    }

    pub(super) async fn last_seq(&self, room: RoomId) -> Result<Seq, StoreError> {
        let room = to_sql(room.0);
        let read = move |client: Lent| async move {
            let statement = client.prepare_cached("SELECT last_seq FROM room WHERE id = $1").await?;
            let row = client.query_opt(&statement, &[&room]).await?;
            Ok(Seq(row.map(|row| number(&row, "last_seq")).transpose()?.unwrap_or(0)))
        };
        self.readers.read(read).await
    }

    pub(super) async fn by_client_id(
        &self,
        room: RoomId,
        sender: String,
        client_id: String,
    ) -> Result<Option<Message>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            message_columns!(),
            " FROM client_message known JOIN message ON message.room = known.room AND message.seq = known.seq \
             AND message.client_id = known.client_id JOIN sender ON sender.n = message.sender \
             WHERE known.room = $1 AND known.usr = $2 AND known.client_id = $3"
        );
        let (room, sender, client_id) = (to_sql(room.0), &sender, &client_id);
        let read = move |client: Lent| async move {
            let statement = client.prepare_cached(SQL).await?;
            client.query_opt(&statement, &[&room, sender, client_id]).await?.as_ref().map(read_message).transpose()
        };
        self.readers.read(read).await
    }

    /// Messages have no index by id, but within a room ids rise with `seq`, which allows a binary search. Where a message
    /// was deleted, the next existing one decides.
    pub(super) async fn has_message(&self, room: RoomId, id: MessageId) -> Result<bool, StoreError> {
        const SQL: &str = "
            WITH RECURSIVE search (low, high, found) AS (
                SELECT first_seq, last_seq, 0::bigint FROM room WHERE id = $1
                UNION ALL
                SELECT
                    CASE WHEN next.id < $2 THEN next.seq + 1 ELSE search.low END,
                    CASE WHEN next.id < $2 THEN search.high ELSE (search.low + search.high) / 2 - 1 END,
                    coalesce(next.id, 0)
                FROM search LEFT JOIN LATERAL (
                    SELECT message.seq, message.id FROM message
                    WHERE message.room = $1 AND message.seq >= (search.low + search.high) / 2
                    ORDER BY message.seq LIMIT 1
                ) next ON true
                WHERE search.low <= search.high AND search.found <> $2
            )
            SELECT coalesce(bool_or(found = $2), false) FROM search";
        if id.0 == 0 {
            return Ok(false);
        }
        let (room, id) = (to_sql(room.0), to_sql(id.0));
        let read = move |client: Lent| async move {
            let statement = client.prepare_cached(SQL).await?;
            client.query_one(&statement, &[&room, &id]).await?.try_get(0)
        };
        self.readers.read(read).await
    }

    /// Deletions of messages up to `known`, made when the room had none after `since`, or later. The latest ones, if there
    /// are more than `limit`.
    pub(super) async fn deletions(
        &self,
        room: RoomId,
        since: Seq,
        known: Seq,
        limit: usize,
    ) -> Result<Vec<Deleted>, StoreError> {
        const SQL: &str = "SELECT seq, id FROM deletion WHERE room = $1 AND at_seq >= $2 AND seq <= $3 \
                           ORDER BY at_seq DESC, n DESC LIMIT $4";
        let [room, since, known, limit] = [room.0, since.0, known.0, limit as u64].map(to_sql);
        let read = move |client: Lent| async move {
            let statement = client.prepare_cached(SQL).await?;
            let rows = client.query(&statement, &[&room, &since, &known, &limit]).await?;
            let deleted = |row| Ok(Deleted { seq: Seq(number(row, "seq")?), id: MessageId(number(row, "id")?) });
            rows.iter().rev().map(deleted).collect()
        };
        self.readers.read(read).await
    }

    /// The frames of a host whose messages are stored after `after`.
    pub(super) async fn stored_origins(
        &self,
        room: RoomId,
        after: Seq,
        host: i32,
    ) -> Result<Vec<(i64, Seq)>, StoreError> {
        const SQL: &str = "SELECT origin, seq FROM message WHERE room = $1 AND seq > $2 AND origin >= $3 AND origin < $4 \
                           ORDER BY seq";
        let ([room, after], (first, end)) = ([room.0, after.0].map(to_sql), origins_of(host));
        let read = move |client: Lent| async move {
            let statement = client.prepare_cached(SQL).await?;
            let rows = client.query(&statement, &[&room, &after, &first, &end]).await?;
            rows.iter().map(|row| Ok((row.try_get("origin")?, Seq(number(row, "seq")?)))).collect()
        };
        self.readers.read_aside(read).await
    }

    pub(super) fn reads(&self) -> u64 {
        self.readers.count()
    }
}

#[cfg(test)]
mod tests;
