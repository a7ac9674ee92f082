//! Group commit over real files: batches, leaders, rejected entries, and the log that restarts under commits.

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{LIMITS, commit, entry, open, room, store_all};
use crate::{Entry, Store, StoreError, Synchronous};
use ondol_host_model::{RoomId, Seq};

#[tokio::test]
async fn a_message_that_would_leave_a_gap_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    let batch = store_all(&store, [(1, 1), (2, 3), (3, 2)].map(|(id, seq)| entry(id, room, seq)));
    let stored: Vec<u64> = batch.stored.iter().flat_map(|entry| &entry.message).map(|message| message.seq.0).collect();
    assert_eq!(stored, [1, 2]);
    assert_eq!(batch.failed.len(), 1);
    assert!(matches!(batch.failed[0].error, StoreError::OutOfTurn));
}

#[tokio::test]
async fn a_message_for_a_missing_room_fails_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    let batch = store_all(&store, [entry(1, RoomId(99), 1), entry(2, room, 1)]);
    assert_eq!(batch.stored.len(), 1);
    assert!(matches!(batch.failed[0].error, StoreError::NoRoom));
    store.close();
    assert!(matches!(store.append(entry(3, room, 2)).err().unwrap().error, StoreError::Closed));
}

#[tokio::test]
async fn an_entry_without_a_message_keeps_its_turn() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    let batch = store_all(&store, [entry(1, room, 1), Entry { message: None, context: () }, entry(2, room, 2)]);
    let order: Vec<bool> = batch.stored.iter().map(|entry| entry.message.is_some()).collect();
    assert_eq!(order, [true, false, true]);
    assert_eq!(store.last_seq(room).await.unwrap(), Seq(2));
}

#[tokio::test]
async fn entries_appended_during_a_commit_are_the_next_batch() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    let mut leader = store.append(entry(1, room, 1)).unwrap().unwrap();
    assert_eq!(commit(&mut leader).stored.len(), 1);
    assert!(store.append(entry(2, room, 2)).unwrap().is_none(), "the leader has not stepped down");
    let mut leader = leader.step_down().unwrap();
    assert_eq!(commit(&mut leader).stored.len(), 1);
    assert!(leader.step_down().is_none());
    assert!(store.append(entry(3, room, 3)).unwrap().is_some(), "a new leader");
}

#[tokio::test]
async fn another_leader_takes_over_after_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    let leader = store.append(entry(1, room, 1)).unwrap().unwrap();
    assert!(store.take_over().is_none(), "there is one leader");
    drop(leader);
    let mut leader = store.take_over().unwrap();
    assert!(store.append(entry(2, room, 2)).unwrap().is_none());
    assert_eq!(commit(&mut leader).stored.len(), 2);
    assert!(leader.step_down().is_none() && store.take_over().is_none());
}

/// The salts in a log's header, which change when it restarts.
fn salts(log: &Path) -> [u8; 8] {
    let mut header = [0; 24];
    std::fs::File::open(log).unwrap().read_exact(&mut header).unwrap();
    header[16..].try_into().unwrap()
}

#[tokio::test]
async fn the_log_restarts_again_and_again_under_commits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ondol.db");
    let store: Store<()> = Store::open(&path, Synchronous::Normal, &LIMITS).unwrap();
    let (room, log) = (room(&store).await, directory.path().join("ondol.db-wal"));
    let mut seq = 0;
    for round in 0..3 {
        let (before, begun) = (salts(&log), Instant::now());
        let mut batches = 0;
        while salts(&log) == before {
            // After 300 batches a checkpoint is due, which another thread makes; the next commit restarts the log.
            let count = if batches < 300 { 128 } else { 1 };
            store_all(&store, (seq + 1..=seq + count).map(|seq| entry(seq, room, seq)));
            (batches, seq) = (batches + 1, seq + count);
            if count == 1 {
                assert!(begun.elapsed() < Duration::from_secs(60), "round {round}: no checkpoint");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
    assert!(std::fs::metadata(path).unwrap().len() > 1 << 20, "the log has been copied");
    assert_eq!(store.last_seq(room).await.unwrap(), Seq(seq));
}
