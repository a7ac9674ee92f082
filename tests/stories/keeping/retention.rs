//! Retention removes what is too old or too much, while members go on talking.
//!
//! `STORY_REMOVED=1000000` removes so many messages, and then expects that deliveries are hardly slower meanwhile.

use std::{
    cell::Cell,
    env,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use ondol_tests::{Client, Stored, TestResult, TestServer, within};

use super::{seqs, verify};

/// How many messages are removed, unless the environment sets another number.
const REMOVED: u64 = 2_000;
const ROOMS: u64 = 4;
const KEPT: u64 = 100;

/// The interval between the messages of one member, and how many of them are half a minute.
const EVERY: Duration = Duration::from_millis(10);
const HALF_MINUTE: usize = 3_000;

/// How much slower deliveries may be meanwhile, at the 99.9th percentile.
const SLOWER_MAX: f64 = 1.5;

/// Fills the rooms of a server that is killed next, as it would have: messages of one user, a part of them with ids of
/// their own; in a file, in segments of 256.
fn fill(server: &TestServer, of_each_room: u64) -> TestResult {
    let count = ROOMS * of_each_room;
    match server.stored()? {
        Stored::Sqlite(_) => server.meddle(&format!(
            "BEGIN; DELETE FROM message; DELETE FROM run; DELETE FROM room_seq;
             INSERT INTO sender (n, user, nickname, email) VALUES (1001, 'old', 'Old', 'old@example.com');
             WITH RECURSIVE said(n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM said WHERE n + 1 < {count})
             INSERT INTO message (n, room, seq, id, sender, created_at, text, client_id)
             SELECT n + 1, 1 + n % {ROOMS}, 1 + n / {ROOMS}, n + 1, 1001, 1000 + n,
                 'a message of usual length, number ' || n, iif(n % 8 < 4, 'c-' || n, NULL) FROM said;
             INSERT INTO client_message SELECT room, 'old', client_id, n FROM message WHERE client_id IS NOT NULL;
             INSERT INTO run SELECT room << 32 | min(seq), json_group_array(n) FROM message GROUP BY room, (seq - 1) / 256;
             INSERT INTO room_seq (room, last) SELECT room, max(seq) FROM message GROUP BY room;
             UPDATE counter SET next = (SELECT max(n) + 1 FROM message) WHERE name IN ('place', 'id', 'rowid');
             COMMIT"
        )),
        Stored::Postgres(_) => server.meddle(&format!(
            "DELETE FROM message;
             WITH old AS (INSERT INTO sender (usr, nickname, email) VALUES ('old', 'Old', 'old@example.com') RETURNING n)
             INSERT INTO message (room, seq, id, sender, created_at, text, client_id)
             SELECT 1 + k % {ROOMS}, 1 + k / {ROOMS}, k + 1, n, 1000 + k, 'a message of usual length, number ' || k,
                 CASE WHEN k % 8 < 4 THEN 'c-' || k END FROM old, generate_series(0, {count}::bigint - 1) k;
             INSERT INTO client_message SELECT room, 'old', client_id, seq FROM message WHERE client_id IS NOT NULL;
             UPDATE room SET (last_seq, last_id) = (SELECT max(seq), max(message.id) FROM message WHERE room = room.id);
             SELECT setval('message_id', (SELECT max(id) FROM message))"
        )),
    }
}

/// A member says something every [`EVERY`] until `end`. Returns how long each delivery took from the moment when it was
/// due.
async fn talk(mut member: Client, end: impl Fn(usize) -> bool) -> TestResult<Vec<Duration>> {
    let (mut took, mut clock) = (Vec::new(), tokio::time::interval(EVERY));
    while !end(took.len()) {
        let due = clock.tick().await.into_std();
        let text = format!("{} {}", member.name, took.len());
        member.say(&text).await?;
        while member.next_json().await?["message"] != text.as_str() {}
        took.push(due.elapsed());
    }
    Ok(took)
}

/// A member of each room talks until `end`. Returns what each of them saw.
async fn all_talk(server: &TestServer, end: impl Fn(usize) -> bool + Copy) -> TestResult<Vec<Vec<Duration>>> {
    let mut talks = Vec::new();
    for room in 1..=ROOMS {
        talks.push(talk(server.open_tab(room, "new").await?, end));
    }
    try_join_all(talks).await
}

/// What one delivery in 1,000 exceeds in a usual half minute, in milliseconds: the median of all half minutes. Since members
/// talk by the clock, a single pause of the disk delays a hundred deliveries, in whichever half minute it falls.
fn tail_ms(took: &[Vec<Duration>]) -> f64 {
    let count = took.iter().map(Vec::len).min().unwrap_or(0);
    let mut tails: Vec<f64> = (0..count.div_ceil(HALF_MINUTE))
        .map(|index| {
            let of_each = took.iter().flat_map(|took| took.iter().skip(index * HALF_MINUTE).take(HALF_MINUTE));
            let mut all: Vec<Duration> = of_each.copied().collect();
            all.sort();
            let exceeded = (all.len() - all.len() / 1_000).saturating_sub(1);
            all.get(exceeded).map_or(0.0, |took| took.as_secs_f64() * 1_000.0)
        })
        .collect();
    eprintln!("  by half minutes, in ms: {tails:.1?}");
    tails.sort_by(f64::total_cmp);
    tails.get(tails.len() / 2).copied().unwrap_or_default()
}

/// A server whose rooms have so many messages in total. Its retention is off.
async fn filled(total: u64) -> TestResult<TestServer> {
    let mut server = TestServer::setup().without_rate_limits().admin().start().await?;
    for _ in 0..ROOMS {
        server.create_room("lobby").await?;
    }
    fill(&server, total / ROOMS)?;
    server.restart().await?;
    Ok(server)
}

fn count(server: &TestServer, sql: &str) -> TestResult<u64> {
    server.stored()?.number(sql)
}

#[tokio::test]
async fn the_oldest_messages_go_while_members_talk() -> TestResult {
    let asked = env::var("STORY_REMOVED").ok().map(|count| count.parse::<u64>()).transpose()?;
    let removed = asked.unwrap_or(REMOVED);
    let mut server = filled(removed).await?;
    let mut beside = Vec::new();
    if asked.is_some() {
        // The system still writes the filled file to the disk at first.
        all_talk(&server, |said| said >= HALF_MINUTE).await?;
        beside = all_talk(&server, |said| said >= 5 * HALF_MINUTE).await?;
    }

    server.restart_with("ONDOL_MESSAGES_KEPT_MAX", KEPT).await?;
    let (begun, is_done) = (Instant::now(), Cell::new(false));
    let left = match server.stored()? {
        Stored::Sqlite(_) => format!("SELECT count(*) FROM room_seq WHERE first <= {}", removed / ROOMS),
        Stored::Postgres(_) => format!("SELECT count(*) FROM room WHERE first_seq <= {}", removed / ROOMS),
    };
    let wait = async {
        while count(&server, &left)? + count(&server, "SELECT count(*) FROM sender WHERE nickname = 'Old'")? > 0 {
            // Each look takes a query.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        is_done.set(true);
        anyhow::Ok(begun.elapsed())
    };
    let work = futures_util::future::try_join(wait, all_talk(&server, |said| is_done.get() && said >= 150));
    let (time, meanwhile) = if asked.is_some() { work.await? } else { within("the end of the oldest", work).await?? };

    ondol_tests::until("one goes for each that came", async || {
        count(&server, "SELECT count(*) FROM message").ok().filter(|count| *count == ROOMS * KEPT).map(drop)
    })
    .await?;
    for room in 1..=ROOMS {
        let last = count(&server, &format!("SELECT max(seq) FROM message WHERE room = {room}"))?;
        let expected: Vec<u64> = (last - KEPT + 1..=last).collect();
        assert!(last > removed / ROOMS);
        assert_eq!(seqs(&server, room, "?after=0&limit=200").await?, expected);
        assert_eq!(seqs(&server, room, "?limit=200").await?, expected);
    }
    assert_eq!(count(&server, "SELECT count(*) FROM client_message")?, 0);
    if let Stored::Sqlite(_) = server.stored()? {
        assert!(count(&server, "SELECT count(*) FROM run")? <= 2 * ROOMS, "segments of what is gone are left");
    }
    verify(&server)?;

    let [before, after] = [&beside, &meanwhile].map(|took| tail_ms(took));
    let (said, rate) = (meanwhile.concat().len(), removed as f64 / time.as_secs_f64());
    eprintln!("{removed} messages removed in {time:.1?} ({rate:.0}/s), {said} deliveries meanwhile");
    eprintln!("p99.9 of deliveries: {after:.2} ms, beside it {before:.2} ms");
    ensure!(asked.is_none() || after <= before * SLOWER_MAX, "p99.9 rises from {before:.2} to {after:.2} ms");
    Ok(())
}

#[tokio::test]
async fn messages_are_removed_by_their_age() -> TestResult {
    let server = TestServer::setup().without_rate_limits().admin();
    let mut server = server.env("ONDOL_MESSAGES_KEPT_DAYS", 30).start().await?;
    let (room, quiet) = (server.create_room("lobby").await?, server.create_room("quiet").await?);
    let mut ann = server.join(room, "ann").await?;
    for number in 1..=20 {
        ann.expect_nothing_before(&number.to_string()).await?;
    }
    server.join(quiet, "ben").await?.expect_nothing_before("quiet").await?;
    // 29 or 31 days.
    let days = "created_at - CASE WHEN seq > 15 THEN 2505600000 ELSE 2678400000 END";
    server.meddle(&format!("UPDATE message SET created_at = {days} WHERE room = {room}"))?;
    server.restart().await?;
    ondol_tests::until("the end of the oldest", async || {
        (seqs(&server, room, "?after=0").await.ok()? == [16, 17, 18, 19, 20]).then_some(())
    })
    .await?;
    assert_eq!(seqs(&server, quiet, "").await?, [1]);
    let mut ann = server.join(room, "ann").await?;
    assert_eq!(ann.expect_nothing_before("after").await?["seq"], 21);
    server.restart().await?;
    assert_eq!(seqs(&server, room, "?after=0").await?, [16, 17, 18, 19, 20, 21]);
    let kept = server.get("/chat/v1/room/1/").await?.expect(200)?;
    kept["chat_messages"].as_array().context("no messages").map(|kept| assert_eq!(kept.len(), 6))
}
