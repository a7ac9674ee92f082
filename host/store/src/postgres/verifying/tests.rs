//! Each kind of damage, done by SQL, is named.
#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

use sha2::{Digest as _, Sha256};

use super::*;
use crate::postgres::testing::Testing;

/// A database of two rooms with 50 messages each, one of them deleted, an empty room, and a release.
async fn database() -> Option<Testing> {
    let testing = Testing::new().await?;
    let seqs: Vec<u64> = (1..=50).filter(|seq| *seq != 7).collect();
    for room in [1, 2] {
        testing.room(room, &seqs, 50, "ann");
    }
    let component: String = Sha256::digest(b"wasm").iter().map(|byte| format!("{byte:02x}")).collect();
    testing.sql(&format!(
        "INSERT INTO deletion (room, seq, id, at_seq, deleted_at) VALUES (1, 7, 21, 50, 0), (2, 7, 21, 50, 0);
         INSERT INTO room (id, name, created_at) OVERRIDING SYSTEM VALUE VALUES (3, 'empty', 1);
         SELECT nextval('message_id');
         INSERT INTO component VALUES ('{component}', 'wasm');
         INSERT INTO version SELECT name, name, '{component}', '{{}}', NULL, 1, 1 FROM unnest(ARRAY['rooms', 'messages', 'events']) name;
         INSERT INTO release (rooms, messages, events, who, how, why, created_at, outcome)
         VALUES ('rooms', 'messages', 'events', 'ann', 'deploy', '', 1, 'active'), ('gone', 'gone', 'gone', 'ann', 'deploy', '', 1, 'replaced')"
    ));
    Some(testing)
}

async fn found(testing: &Testing) -> Verified {
    let client = testing.connector.connect(Purpose::Whole).await.unwrap();
    check(&client, &|done, total| assert!(done <= total)).await.unwrap()
}

#[tokio::test]
async fn a_sound_database_is_fine_and_counted() {
    let Some(testing) = database().await else { return };
    assert_eq!(found(&testing).await, Verified { rooms: 3, messages: 98, ..Verified::default() });
}

#[tokio::test]
async fn each_kind_of_damage_is_named() {
    let Some(testing) = database().await else { return };
    for (sql, named) in [
        ("UPDATE message SET sender = 99 WHERE room = 1 AND seq = 4", "message 12 (room 1, seq 4): it has no sender"),
        ("DELETE FROM room WHERE id = 2", "message 3 (room 2, seq 1): the room does not exist"),
        ("UPDATE message SET id = 3 WHERE room = 1 AND seq = 4", "message 3 (room 1, seq 4): it follows message 9"),
        ("UPDATE message SET seq = 0 WHERE room = 1 AND seq = 1", "message 3 (room 1, seq 0): no room has such a seq"),
        ("DELETE FROM deletion WHERE room = 2", "message 24 (room 2, seq 8): seq 7 before it is missing"),
        ("DELETE FROM message WHERE room = 1 AND seq = 50", "room 1: seq 50 is missing"),
        ("UPDATE room SET last_seq = 49 WHERE id = 1", "room 1: it has seq 50, and 49 is recorded as its last"),
        ("UPDATE room SET last_id = 151 WHERE id = 1", "room 1: its last message is 150, and 151 is recorded"),
        (
            "UPDATE room SET first_seq = 2 WHERE id = 1",
            "message 3 (room 1, seq 1): 2 is recorded as the first of the room",
        ),
        (
            "DELETE FROM client_message WHERE room = 1 AND seq = 4",
            "message 12 (room 1, seq 4): its client_id does not lead to it",
        ),
        (
            "UPDATE client_message SET seq = 5 WHERE room = 1 AND seq = 4",
            "room 1, seq 5: a client_id leads to it that is not its own",
        ),
        (
            "UPDATE client_message SET usr = 'bo' WHERE room = 1 AND seq = 4",
            "room 1, seq 4: a client_id leads to it that is not its own",
        ),
        ("ALTER SEQUENCE message_id RESTART WITH 150", "message 150 exists, and ids from 150 on count as free"),
        ("UPDATE component SET wasm = 'worm'", ": its bytes have another digest"),
        ("DELETE FROM version WHERE id = 'events'", "release 1 is active, and its version of events is missing"),
    ] {
        // Undone by the end of the session.
        let client = testing.connector.connect(Purpose::Whole).await.unwrap();
        client.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
        let mut found = Verified::default();
        let problems = &mut found.problems;
        messages::check(&client, problems, &|_| ()).await.unwrap();
        stray_client_ids(&client, problems).await.unwrap();
        ids(&client, problems).await.unwrap();
        releases(&client, problems).await.unwrap();
        assert!(problems.shown().iter().any(|problem| problem.contains(named)), "{sql}: {:?}", problems.shown());
    }
}

#[tokio::test]
async fn numbers_that_another_database_left_out_are_not_missing() {
    let Some(testing) = database().await else { return };
    testing
        .sql("DELETE FROM deletion; ALTER SEQUENCE message_id START WITH 1000 RESTART; SELECT nextval('message_id')");
    assert_eq!(found(&testing).await.problems.shown(), [""; 0]);
    testing.sql(
        "INSERT INTO message (room, seq, id, sender, created_at, text) SELECT 1, 52, 1000, n, 1, '' FROM sender LIMIT 1;
         UPDATE room SET last_seq = 52, last_id = 1000 WHERE id = 1",
    );
    assert_eq!(found(&testing).await.problems.shown(), ["message 1000 (room 1, seq 52): seq 51 before it is missing"]);
}

#[tokio::test]
async fn a_database_without_tables_is_no_chat() {
    let Some(database) = ondol_engines::Postgres::of_tests().unwrap() else { return };
    let url = database.url();
    let config = PostgresConfig {
        url,
        password: None,
        host: "chat-1".to_owned(),
        version: "0.1.0".to_owned(),
        synchronous: crate::limits::Synchronous::Full,
        readers_max: 2,
        cluster: None,
        proto: 1,
        host_lost: std::time::Duration::from_secs(3),
    };
    let checked = tokio::task::spawn_blocking(move || verify_postgres(&config, &|_, _| {})).await.unwrap();
    assert!(checked.unwrap_err().to_string().contains("no tables of Ondol"));
}
