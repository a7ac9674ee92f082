//! Each kind of damage, done by SQL, is named.

use std::path::{Path, PathBuf};

use super::*;
use crate::sqlite::tests::{create, entry, open as open_store, store_all};
use crate::{Page, RoomOutcome};
use ondol_host_model::{RoomId, Seq};

/// A database of two rooms with 1,000 messages each, all but the last ones in segments, and an empty room.
async fn database(directory: &Path) -> PathBuf {
    let store = open_store(directory);
    for _ in 0..3 {
        assert!(matches!(create(&store, None).await, RoomOutcome::Created(_)));
    }
    for first in (0..1_000).step_by(200) {
        let seqs = first + 1..=first + 200;
        let pairs = seqs.flat_map(|seq| [entry(2 * seq - 1, RoomId(1), seq), entry(2 * seq, RoomId(2), seq)]);
        store_all(&store, pairs);
    }
    store_all(&store, [entry(2_001, RoomId(1), 1_001)]);
    directory.join("ondol.db")
}

fn problems_after(path: &Path, sql: &str) -> Problems {
    let by_hand = Connection::open(path).unwrap();
    by_hand.pragma_update(None, "ignore_check_constraints", true).unwrap();
    by_hand.execute_batch(sql).unwrap();
    drop(by_hand);
    verify(path, &|_, _| {}).unwrap().problems
}

#[tokio::test]
async fn a_database_in_use_is_fine_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = database(directory.path()).await;
    let fine = Verified { rooms: 3, messages: 2_001, segments: 4, ..Verified::default() };
    assert_eq!(verify(&path, &|_, _| {}).unwrap(), fine);
    let store = open_store(directory.path());
    store_all(&store, [entry(2_002, RoomId(2), 1_001)]);
    assert_eq!(verify(&path, &|_, _| {}).unwrap(), Verified { messages: 2_002, ..fine }, "while a server has it open");
}

#[tokio::test]
async fn each_kind_of_damage_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let sound = database(directory.path()).await;
    for (sql, named) in [
        ("UPDATE message SET sender = 99 WHERE n = 7", "message 7 (room 1, seq 4, row 7): it has no sender"),
        ("DELETE FROM room WHERE id = 2", "message 2 (room 2, seq 1, row 2): the room does not exist"),
        ("UPDATE message SET seq = 3 WHERE n = 7", "message 7 (room 1, seq 3, row 7): it follows seq 3"),
        ("UPDATE message SET seq = 0 WHERE n = 1", "message 1 (room 1, seq 0, row 1): no room has such a seq"),
        ("UPDATE message SET id = 3 WHERE n = 7", "message 3 (room 1, seq 4, row 7): it follows message 5"),
        ("UPDATE room_seq SET last = 900 WHERE room = 1", "room 1: it has seq 1001, and 900 is recorded as its last"),
        ("UPDATE room_seq SET first = 2 WHERE room = 1", "room 1: it has seq 1, and 2 is recorded as its first"),
        ("DELETE FROM counter WHERE name = 'rowid'", "the counter of rows is missing"),
        ("DELETE FROM room_seq WHERE room = 2", "room 2: its last seq, 1000, is not recorded"),
        ("UPDATE counter SET next = 2001 WHERE name = 'id'", "message 2001 exists, and ids from 2001 on count as free"),
        ("DELETE FROM history", "the epoch of the database is missing"),
        ("DELETE FROM counter WHERE name = 'id'", "the counter of message ids is missing"),
        ("DELETE FROM counter WHERE name = 'place'", "the counter of indexed messages is missing"),
        (
            "UPDATE run SET messages = '[1, x' WHERE place = 4294967297",
            "room 1 from seq 1 on: it is not a list of rows",
        ),
        (
            "UPDATE run SET messages = json_set(messages, '$[3]', 8) WHERE place = 4294967297",
            "message 7 (room 1, seq 4, row 7): the index does not lead to it",
        ),
        ("DELETE FROM run WHERE place = 4294967297", "message 1 (room 1, seq 1, row 1): the index does not lead to it"),
        (
            "UPDATE run SET messages = json_insert(messages, '$[#]', 900) WHERE place = 4294967297",
            "room 1 from seq 401 on: the one before reaches into it",
        ),
        (
            "UPDATE counter SET next = 9000 WHERE name = 'place'",
            "message 1601 (room 1, seq 801, row 1601): the index does not lead to it",
        ),
        (
            "UPDATE client_message SET n = 9 WHERE client_id = 'c7'",
            "message 7 (room 1, seq 4): its client_id does not lead to it",
        ),
        (
            "DELETE FROM client_message WHERE client_id = 'c7'",
            "message 7 (room 1, seq 4): its client_id does not lead to it",
        ),
        (
            "INSERT INTO client_message VALUES (1, 'ben', 'c7', 7)",
            "message 7 (room 1, seq 4): another user's client_id leads to it",
        ),
    ] {
        let copy = directory.path().join("copy.db");
        std::fs::copy(&sound, &copy).unwrap();
        let problems = problems_after(&copy, sql);
        assert!(problems.shown().iter().any(|shown| shown.contains(named)), "{sql}: {problems:?}");
    }
}

#[tokio::test]
async fn messages_that_were_deleted_are_no_problem() {
    let directory = tempfile::tempdir().unwrap();
    let path = database(directory.path()).await;
    let delete = "DELETE FROM message WHERE seq IN (1, 77, 999, 1000, 1001) OR seq BETWEEN 100 AND 420";
    assert_eq!(problems_after(&path, delete).shown(), [""; 0]);
    // SQLite gives some of the rows to other messages.
    let store = open_store(directory.path());
    let (id, last) = (store.next_id().unwrap().0, store.last_seq(RoomId(2)).await.unwrap().0);
    store_all(&store, (0..700).map(|more| entry(id + more, RoomId(2), last + 1 + more)));
    assert_eq!(store.messages(RoomId(2), Page::After(Seq(last)), 9).await.unwrap().len(), 9);
    drop(store);
    assert_eq!(verify(&path, &|_, _| {}).unwrap().problems.shown(), [""; 0]);
}

#[tokio::test]
async fn the_first_20_problems_are_shown_and_all_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = database(directory.path()).await;
    let problems = problems_after(&path, "UPDATE message SET sender = 99");
    assert_eq!((problems.shown().len(), problems.count() >= 2_001), (20, true));
}

#[tokio::test]
async fn a_damaged_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = database(directory.path()).await;
    let whole = std::fs::read(&path).unwrap();
    for kept in [whole.len() / 2, 5_000] {
        std::fs::write(&path, &whole[..kept]).unwrap();
        let problems = verify(&path, &|_, _| {}).unwrap().problems;
        assert!(problems.to_string().starts_with("integrity: "), "{kept}: {problems}");
    }
}

#[test]
fn a_file_that_is_no_database_of_ondol_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.db");
    assert!(matches!(verify(&path, &|_, _| {}), Err(ArchiveError::Missing)));
    std::fs::write(&path, "a text, and a long one, so that it may be the header of a database, but is not").unwrap();
    assert!(matches!(verify(&path, &|_, _| {}), Err(ArchiveError::Foreign)));
    std::fs::write(&path, "").unwrap();
    assert!(matches!(verify(&path, &|_, _| {}), Err(ArchiveError::Foreign)));
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE note (text); PRAGMA user_version = 3").unwrap();
    assert!(matches!(verify(&path, &|_, _| {}), Err(ArchiveError::Foreign)));
    other.pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
    assert!(matches!(verify(&path, &|_, _| {}), Err(ArchiveError::Store(StoreError::SchemaTooNew { .. }))));
}
