//! The writing half against a real PostgreSQL.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use ondol_engines::Database;

use super::{Postgres, PostgresConfig};
use crate::error::StoreError;
use crate::hosts::{Claimed, HostState};
use crate::limits::{MessageRetention, StoreLimits};
use crate::outcomes::RoomOutcome;
use ondol_host_model::{Draft, Message, MessageId, OnExistingRoom, RoomDraft, RoomId, Seq, Speaker, Timestamp, User};

mod doubt;
mod encrypted;
mod hosts;
mod interleavings;
mod judging;
mod ordinary;
mod proxy;
mod rejected;
mod releases;
mod reporting;
mod role;
mod schemas;
mod troubles;

const LIMITS: StoreLimits = StoreLimits {
    commit_queue_max: 16_384,
    commit_batch_max: 4_096,
    page_bytes_max: usize::MAX,
    history_cache_bytes_max: 0,
    retention: MessageRetention { of_room: 0, age_ms: 0 },
};

/// A host that shows no life for so long is dead.
const LOST: Duration = Duration::from_secs(3);

/// The longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(60);

/// A database of one's own, in the server that tests share.
fn database() -> Result<Option<Database>> {
    ondol_engines::Postgres::of_tests()
}

fn config(url: &str, host: &str) -> PostgresConfig {
    PostgresConfig::of_tests(url, host)
}

/// A host that steps down in silence.
async fn host(url: &str, name: &str) -> Result<Postgres, StoreError> {
    Postgres::connect_or(&config(url, name), &LIMITS, || {}).await
}

/// The same as part of a cluster.
async fn host_of(cluster: &str, url: &str, name: &str) -> Result<Postgres, StoreError> {
    let config = PostgresConfig { cluster: Some(cluster.to_owned()), ..config(url, name) };
    Postgres::connect_or(&config, &LIMITS, || {}).await
}

/// Two hosts of one cluster.
async fn two_hosts(database: &Database) -> Result<(Postgres, Postgres)> {
    let url = database.url();
    Ok((host_of("test", &url, "chat-1").await?, host_of("test", &url, "chat-2").await?))
}

/// Claims a room that no other host has. Returns its last `seq`.
async fn claim(host: &Postgres, room: RoomId) -> Result<Seq> {
    match host.claim(room).await? {
        Claimed::Here { last } => Ok(last),
        Claimed::There { host } => bail!("the home of the room is host {host}"),
    }
}

async fn new_room(host: &Postgres, post_id: Option<u64>) -> Result<RoomId> {
    let draft = RoomDraft { name: "방".into(), on_existing: OnExistingRoom::Reuse };
    let (RoomOutcome::Created(room) | RoomOutcome::Existing(room)) = host.create_room(&draft, post_id, None).await?;
    Ok(room.id)
}

/// A new room that is claimed.
async fn room(host: &Postgres) -> Result<RoomId> {
    let room = new_room(host, None).await?;
    claim(host, room).await?;
    Ok(room)
}

fn ann() -> Arc<Speaker> {
    let (nickname, email) = ("앤".into(), "ann@example.com".into());
    Arc::new(Speaker::new(User { id: "ann".into(), nickname, email, profile_url: None }))
}

fn message(host: &Postgres, sender: &Arc<Speaker>, room: RoomId, seq: u64) -> Result<Message> {
    let id = next_id(host)?;
    let draft = Draft { text: format!("말 {seq}"), client_id: Some(format!("c{}", id.0)), ..Draft::default() };
    Ok(Message { id, room, seq: Seq(seq), sender: Arc::clone(sender), draft, created_at: Timestamp(7), origin: None })
}

fn next_id(host: &Postgres) -> Result<MessageId> {
    host.next_id().context("no id")
}

/// Stores messages, which are expected to be stored all.
async fn store(host: &Postgres, messages: &[Message]) -> Result<()> {
    let errors = host.store(&messages.iter().collect::<Vec<_>>()).await;
    ensure!(errors.is_empty(), "{errors:?}");
    Ok(())
}

/// Stores messages, and returns their errors in order.
async fn errors(host: &Postgres, messages: &[Message]) -> Vec<Option<String>> {
    let mut errors = host.store(&messages.iter().collect::<Vec<_>>()).await;
    (0..messages.len()).map(|index| errors.remove(&index).map(|error| error.to_string())).collect()
}

fn some(error: &StoreError) -> Option<String> {
    Some(error.to_string())
}

/// Waits until SQL answers so.
async fn until(database: &Database, sql: &str, expected: &str) -> Result<()> {
    let since = Instant::now();
    loop {
        let found = database.sql(sql)?;
        if found == expected {
            return Ok(());
        }
        ensure!(since.elapsed() < DEADLINE, "{sql}: {found}, not {expected}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a host is the home of a room. Returns its last `seq`.
async fn until_claimed(host: &Postgres, room: RoomId) -> Result<Seq> {
    let since = Instant::now();
    loop {
        if let Claimed::Here { last } = host.claim(room).await? {
            return Ok(last);
        }
        ensure!(since.elapsed() < DEADLINE, "the home of the room stays elsewhere");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The numbers of a room's messages and its head.
fn room_in_database(database: &Database, room: RoomId) -> Result<String> {
    let sql = "SELECT coalesce(string_agg(seq::text, ' ' ORDER BY id), ''), \
               (SELECT last_seq FROM room WHERE id = 0) FROM message WHERE room = 0";
    database.sql(&sql.replace("= 0", &format!("= {room}")))
}
