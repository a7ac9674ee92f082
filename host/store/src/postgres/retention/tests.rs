//! Retention in a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

use super::*;
use crate::postgres::release_history::ReleaseHistory;
use crate::postgres::testing::Testing;

fn remover(testing: &Testing, of_room: u64, age_ms: u64) -> Remover {
    Remover {
        no: 1,
        is_shared: false,
        kept: MessageRetention { of_room, age_ms },
        connector: testing.connector.clone(),
        readers: Arc::clone(&testing.readers),
        writers: Arc::new(ReleaseHistory::writers(&testing.connector).unwrap()),
        cache: Arc::clone(&testing.cache),
    }
}

/// First, last and number of the messages of a room, its first and last number, and how many retries are known.
fn state(testing: &Testing, room: u64) -> String {
    testing.sql(&format!(
        "SELECT min(seq), max(seq), count(*), (SELECT first_seq || ' ' || last_seq FROM room WHERE id = {room}), \
         (SELECT count(*) FROM client_message WHERE room = {room}) FROM message WHERE room = {room}"
    ))
}

/// Waits until nothing is counted.
async fn until(testing: &Testing, count: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while testing.sql(count) != "0" {
        assert!(Instant::now() < deadline, "{count}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_room_keeps_its_latest_messages_by_their_numbers() {
    let Some(testing) = Testing::new().await else { return };
    let seqs: Vec<u64> = (1..=500).filter(|seq| seq % 5 != 0).collect();
    testing.room(3, &seqs, 500, "ann");
    testing.room(4, &[1, 2], 2, "ann");
    testing.sql("INSERT INTO deletion (room, seq, id, at_seq, deleted_at) SELECT 3, n, n * 3, n + 2, 0 FROM generate_series(5, 495, 5) n");
    let mut client = testing.connector.connect(Purpose::Control).await.unwrap();
    assert!(remover(&testing, 10, 0).pass(&mut client).await.unwrap());
    assert_eq!(state(&testing, 3), "491|499|8|491 500|8");
    assert_eq!(state(&testing, 4), "1|2|2|1 2|2");
    assert_eq!(testing.sql("SELECT min(at_seq) FROM deletion"), "492");
    assert!(!remover(&testing, 10, 0).pass(&mut client).await.unwrap());
}

#[tokio::test]
async fn old_messages_are_removed_and_their_numbers_are_not_given_again() {
    let Some(testing) = Testing::new().await else { return };
    testing.room(3, &[1, 2, 4], 5, "ann");
    testing.room(4, &[1, 2, 3], 3, "ann");
    testing.sql("UPDATE message SET created_at = 4000000000000 WHERE room = 4 AND seq > 1");
    let mut client = testing.connector.connect(Purpose::Control).await.unwrap();
    assert!(remover(&testing, 0, 60_000).pass(&mut client).await.unwrap());
    assert_eq!(state(&testing, 3), "||0|5 5|0");
    assert_eq!(state(&testing, 4), "2|3|2|2 3|2");
}

#[tokio::test]
async fn one_host_removes_and_senders_go_with_their_last_message() {
    let Some(testing) = Testing::new().await else { return };
    testing.room(3, &[1, 2, 3], 3, "ann");
    let held = testing.connector.connect(Purpose::Control).await.unwrap();
    assert!(lock(&held).await.unwrap());
    remover(&testing, 0, 1_000).run_on().await.unwrap();
    assert_eq!(state(&testing, 3), "1|3|3|1 3|3");
    drop(held);
    until(
        &testing,
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4 AND objsubid = 2 AND database = \
         (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .await;
    let _stop = start(remover(&testing, 0, 1_000));
    until(&testing, "SELECT count(*) FROM sender").await;
    assert_eq!(state(&testing, 3), "||0|4 3|0");
    assert!(start(remover(&testing, 0, 0)).is_none());
}

#[tokio::test]
async fn a_host_removes_in_rooms_that_have_no_other_home() {
    let Some(testing) = Testing::new().await else { return };
    testing
        .sql("INSERT INTO host (name, state, version) VALUES ('chat-2', 'live', '0.1.0'), ('chat-3', 'dead', '0.1.0')");
    for (room, home) in [(3, "1"), (4, "2"), (5, "3"), (6, "NULL")] {
        testing.room(room, &[1, 2, 3], 3, "ann");
        testing.sql(&format!("UPDATE room SET host = {home} WHERE id = {room}"));
    }
    let mut client = testing.connector.connect(Purpose::Control).await.unwrap();
    // It has found another home since the look.
    assert_eq!(remove_piece(&client, 1, 4, 1, Timestamp(0)).await.unwrap(), (0, false));
    assert!(remover(&testing, 1, 0).pass(&mut client).await.unwrap());
    for (room, expected) in [(3, "3|3|1|3 3|1"), (4, "1|3|3|1 3|3"), (5, "3|3|1|3 3|1"), (6, "3|3|1|3 3|1")] {
        assert_eq!(state(&testing, room), expected, "{room}");
    }
    assert!(Remover { no: 2, ..remover(&testing, 1, 0) }.pass(&mut client).await.unwrap());
    assert_eq!(state(&testing, 4), "3|3|1|3 3|1");
}

#[tokio::test]
async fn two_hosts_remove_at_once_and_one_of_them_looks_for_senders() {
    let Some(testing) = Testing::new().await else { return };
    testing.sql("INSERT INTO host (name, state, version) VALUES ('chat-2', 'live', '0.1.0')");
    let seqs: Vec<u64> = (1..=1_000).collect();
    testing.room(3, &seqs, 1_000, "ann");
    testing.room(4, &seqs, 1_000, "ben");
    testing.sql("UPDATE room SET host = 2 WHERE id = 4");
    let held = testing.connector.connect(Purpose::Control).await.unwrap();
    assert!(lock(&held).await.unwrap());
    let shared = |no| Remover { no, is_shared: true, ..remover(&testing, 0, 1_000) };
    let _stops = [start(shared(1)), start(shared(2)), start(shared(1))];
    until(&testing, "SELECT count(*) FROM message").await;
    assert_eq!((state(&testing, 3), state(&testing, 4)), ("||0|1001 1000|0".into(), "||0|1001 1000|0".into()));
    assert_eq!(testing.sql("SELECT count(*) FROM sender"), "2", "another host looks for them");
    drop(held);
    until(&testing, "SELECT count(*) FROM sender").await;
}
