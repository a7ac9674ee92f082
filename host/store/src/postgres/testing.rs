//! A real PostgreSQL for the tests of what reads.
#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

use std::sync::Arc;
use std::time::Duration;

use ondol_engines::Database;

use super::connect::{Connector, PostgresConfig, Purpose};
use super::readers::Readers;
use super::reading::Reading;
use super::schema;
use crate::cache::Cache;
use crate::limits::Synchronous;
use ondol_host_model::{Draft, Message, MessageId, RoomId, Seq, Speaker, Timestamp, User};

impl PostgresConfig {
    /// That of a host on a database of the tests, without a bus.
    pub(crate) fn of_tests(url: &str, host: &str) -> Self {
        Self {
            url: url.to_owned(),
            password: None,
            host: host.to_owned(),
            version: "0.1.0".to_owned(),
            synchronous: Synchronous::Full,
            readers_max: 4,
            cluster: None,
            proto: 1,
            host_lost: Duration::from_secs(3),
        }
    }
}

/// A database of one test with the schema, and connections to it.
pub(super) struct Testing {
    pub(super) connector: Connector,
    pub(super) readers: Arc<Readers>,
    pub(super) cache: Arc<Cache>,
    pub(super) database: Database,
}

impl Testing {
    /// None: PostgreSQL is not installed.
    pub(super) async fn new() -> Option<Self> {
        let database = ondol_engines::Postgres::of_tests().unwrap()?;
        let config = PostgresConfig { readers_max: 2, ..PostgresConfig::of_tests(&database.url(), "chat-1") };
        let connector = Connector::new(&config).unwrap();
        schema::settle(&mut connector.connect(Purpose::Control).await.unwrap()).await.unwrap();
        database.sql("INSERT INTO host (name, state, version) VALUES ('chat-1', 'live', '0.1.0')").unwrap();
        // The block of the ids of the rooms below.
        database.sql("SELECT nextval('message_id')").unwrap();
        let readers = Arc::new(Readers::new(&connector, 2).unwrap());
        Some(Self { connector, readers, cache: Arc::new(Cache::new(1 << 20)), database })
    }

    /// Without what it remembers.
    pub(super) fn reading(&self, page_bytes_max: usize) -> Reading {
        Reading::new(Arc::clone(&self.readers), Arc::new(Cache::new(0)), page_bytes_max)
    }

    pub(super) fn sql(&self, sql: &str) -> String {
        self.database.sql(sql).unwrap()
    }

    /// Creates a room with these messages of a sender, their id three times their `seq` and their time ten times.
    pub(super) fn room(&self, room: u64, seqs: &[u64], last: u64, sender: &str) {
        let values = seqs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        self.sql(&format!(
            "INSERT INTO room (id, name, created_at, last_seq, last_id) OVERRIDING SYSTEM VALUE
             VALUES ({room}, 'lobby', 1, {last}, {last} * 3);
             INSERT INTO sender (usr, nickname, email) VALUES ('{sender}', 'Ann', 'ann@example.com') ON CONFLICT DO NOTHING;
             INSERT INTO message (room, seq, id, sender, created_at, text, client_id)
             SELECT {room}, seq, seq * 3, sender.n, seq * 10, repeat('x', (seq % 7 * 100)::int), 'c' || seq
             FROM unnest(ARRAY[{values}]::bigint[]) seq, sender WHERE usr = '{sender}' AND NOT retired;
             INSERT INTO client_message SELECT room, '{sender}', client_id, seq FROM message WHERE room = {room}"
        ));
    }
}

/// The message that [`Testing::room`] makes.
pub(super) fn message(room: u64, seq: u64, sender: &str) -> Message {
    let (nickname, email) = ("Ann".into(), "ann@example.com".into());
    let text = "x".repeat(usize::try_from(seq % 7 * 100).unwrap());
    Message {
        id: MessageId(seq * 3),
        room: RoomId(room),
        seq: Seq(seq),
        sender: Arc::new(Speaker::new(User { id: sender.into(), nickname, email, profile_url: None })),
        draft: Draft { text, client_id: Some(format!("c{seq}")), ..Draft::default() },
        created_at: Timestamp(seq * 10),
        origin: None,
    }
}
