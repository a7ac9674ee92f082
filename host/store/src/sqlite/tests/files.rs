//! The store's files: rows that an operator deleted, a clean end, and a database that is reopened after a failed sync.

use std::path::Path;
use std::sync::Arc;

use super::{LIMITS, entry, open, room, store_all};
use crate::sqlite::recovery::Acknowledged;
use crate::{Page, Store, StoreError, Synchronous};
use ondol_host_model::{MessageId, RoomId, Seq};

/// Runs an operator's SQL while no server is running.
fn by_hand(directory: &Path, sql: &str) {
    rusqlite::Connection::open(directory.join("ondol.db")).unwrap().execute_batch(sql).unwrap();
}

#[tokio::test]
async fn a_seq_is_never_used_twice_even_if_messages_are_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (ours, theirs) = (room(&store).await, room(&store).await);
    store_all(&store, (1..=300).map(|seq| entry(seq, ours, seq)));
    store_all(&store, (301..=310).map(|seq| entry(seq, ours, seq)));
    drop(store);
    by_hand(directory.path(), "DELETE FROM message WHERE seq IN (305, 309, 310) OR seq BETWEEN 100 AND 120");
    let store = open(directory.path());
    assert_eq!(store.last_seq(ours).await.unwrap(), Seq(310));
    assert_eq!(store_all(&store, [entry(400, ours, 309)]).failed.len(), 1);
    // SQLite gives the rowids of the deleted rows to another room.
    assert_eq!(store_all(&store, [entry(401, theirs, 1), entry(402, theirs, 2)]).stored.len(), 2);
    assert_eq!(store_all(&store, [entry(403, ours, 311)]).stored.len(), 1);
    let seqs = async |room, page| {
        let messages = store.messages(room, page, 8).await.unwrap();
        messages.into_iter().map(|message| message.seq.0).collect::<Vec<_>>()
    };
    assert_eq!(seqs(ours, Page::Latest).await, [301, 302, 303, 304, 306, 307, 308, 311]);
    assert_eq!(seqs(ours, Page::After(Seq(97))).await, [98, 99, 121, 122, 123, 124, 125, 126]);
    assert_eq!(seqs(ours, Page::Before(Seq(124))).await, [95, 96, 97, 98, 99, 121, 122, 123]);
    assert_eq!(seqs(theirs, Page::Latest).await, [1, 2]);
    for (id, is_there) in [(99, true), (100, false), (110, false), (121, true), (305, false), (308, true), (403, true)]
    {
        assert_eq!(store.has_message(ours, MessageId(id)).await.unwrap(), is_there, "{id}");
    }
}

#[tokio::test]
async fn a_message_is_stored_although_all_unindexed_ones_were_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    store_all(&store, (1..=300).map(|seq| entry(seq, room, seq)));
    store_all(&store, (301..=310).map(|seq| entry(seq, room, seq)));
    drop(store);
    by_hand(directory.path(), "DELETE FROM message WHERE seq > 300");
    let store = open(directory.path());
    assert_eq!(store_all(&store, [entry(400, room, 311)]).stored.len(), 1);
}

#[tokio::test]
async fn a_client_id_is_free_again_after_its_message_was_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let with_id = |id, room, seq| {
        let mut entry = entry(id, room, seq);
        Arc::make_mut(entry.message.as_mut().unwrap()).draft.client_id = Some("c".into());
        entry
    };
    let store = open(directory.path());
    let room = room(&store).await;
    assert_eq!(store_all(&store, [with_id(1, room, 1)]).stored.len(), 1);
    let again = store_all(&store, [with_id(2, room, 2)]);
    assert!(matches!(again.failed[0].error, StoreError::Repeated));
    drop(store);
    by_hand(directory.path(), "DELETE FROM message");
    let store = open(directory.path());
    let found = async || store.by_client_id(room, "ann".into(), "c".into()).await.unwrap().map(|found| found.id.0);
    assert_eq!(found().await, None);
    assert_eq!(store_all(&store, [with_id(3, room, 2)]).stored.len(), 1);
    assert_eq!(found().await, Some(3));
}

#[tokio::test]
async fn a_closed_store_is_a_single_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    store_all(&store, (1..=50).map(|seq| entry(seq, room, seq)));
    assert_eq!(store.messages(room, Page::Latest, 50).await.unwrap().len(), 50, "a reader has the file open");
    store.close();
    store.finish();
    assert!(matches!(store.room(room).await, Err(StoreError::Closed)));
    let mut left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["ondol.db", "ondol.lock", "ondol.mark"]);
    // While this process still says goodbye to its clients.
    drop(open(directory.path()));
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(directory.path().join("ondol.db"), copy.path().join("ondol.db")).unwrap();
    assert_eq!(open(copy.path()).last_seq(room).await.unwrap(), Seq(50));
}

#[tokio::test]
async fn a_reopened_store_continues_with_what_the_disk_holds() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    store_all(&store, (1..=270).map(|seq| entry(seq, room, seq)));
    store.messages(room, Page::Latest, 9).await.unwrap();
    store.sqlite().database.checkpoint_sync_failed("a test");
    assert_eq!(store.failure().as_deref(), Some("a checkpoint's sync failed: a test"));
    assert_eq!(store_all(&store, [entry(271, room, 271)]).stored.len(), 1);
    assert_eq!(store.failure(), None, "the database is writable again");
    assert_eq!(store.messages(room, Page::After(Seq(0)), 500).await.unwrap().len(), 271);
}

#[tokio::test]
async fn recovery_names_what_the_disk_lost() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (room, path) = (room(&store).await, directory.path().join("ondol.db"));
    store_all(&store, [entry(1, room, 1)]);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let acknowledged =
        |messages, rooms, release| Acknowledged { messages, room: Some(rooms), release, ..Acknowledged::default() };
    let missing = |acknowledged: Acknowledged| acknowledged.missing(&connection).unwrap();
    assert_eq!(missing(acknowledged(vec![(room, Seq(1))], room, None)), None);
    assert_eq!(missing(acknowledged(vec![(room, Seq(2))], room, None)).as_deref(), Some("message 2 of room 1"));
    assert_eq!(missing(acknowledged(vec![], RoomId(2), None)).as_deref(), Some("room 2"));
    assert_eq!(missing(acknowledged(vec![], room, Some(1))).as_deref(), Some("release 1"));
    let deleted = |number| Acknowledged { deletion: Some(number), ..Acknowledged::default() };
    assert_eq!(missing(deleted(1)).as_deref(), Some("the last deletion of messages"));
    store.delete(room, vec![Seq(1)]).await.unwrap();
    assert_eq!(missing(deleted(1)), None);
}

/// The epoch that a start finds, after which the store is closed.
fn epoch_of(directory: &Path, synchronous: Synchronous) -> String {
    Store::<()>::open(&directory.join("ondol.db"), synchronous, &LIMITS).unwrap().epoch().to_owned()
}

#[test]
fn the_epoch_changes_when_an_older_copy_is_put_back() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let first = epoch_of(directory.path(), Synchronous::Full);
    std::fs::copy(file("ondol.db"), file("copy")).unwrap();
    assert_eq!(epoch_of(directory.path(), Synchronous::Full), first, "a restart changes nothing");
    std::fs::copy(file("copy"), file("ondol.db")).unwrap();
    let second = epoch_of(directory.path(), Synchronous::Full);
    assert_ne!(second, first);
    assert_eq!(epoch_of(directory.path(), Synchronous::Full), second, "it stays from then on");
    std::fs::remove_file(file("ondol.mark")).unwrap();
    assert_ne!(epoch_of(directory.path(), Synchronous::Full), second, "a database without a mark may be a copy");
}

#[test]
fn a_copy_made_while_the_server_ran_is_an_older_one_after_a_clean_stop() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let store = open(directory.path());
    let first = store.epoch().to_owned();
    by_hand(
        directory.path(),
        "VACUUM INTO 'DIR/copy'".replace("DIR", &directory.path().display().to_string()).as_str(),
    );
    drop(store);
    std::fs::copy(file("copy"), file("ondol.db")).unwrap();
    assert_ne!(epoch_of(directory.path(), Synchronous::Full), first);
}

#[test]
fn a_kill_changes_the_epoch_only_if_the_machine_went_down_with_unsynced_commits() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    for (synchronous, boot, changes) in [
        (Synchronous::Full, "another", false),
        (Synchronous::Normal, "the same", false),
        (Synchronous::Normal, "another", true),
    ] {
        let store = Store::<()>::open(&file("ondol.db"), synchronous, &LIMITS).unwrap();
        let before = store.epoch().to_owned();
        for name in ["ondol.db", "ondol.db-wal", "ondol.mark"] {
            std::fs::copy(file(name), file(&format!("killed-{name}"))).unwrap();
        }
        drop(store);
        for name in ["ondol.db", "ondol.db-wal", "ondol.mark"] {
            std::fs::rename(file(&format!("killed-{name}")), file(name)).unwrap();
        }
        if boot == "another" {
            let mark = std::fs::read_to_string(file("ondol.mark")).unwrap();
            let this = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
            std::fs::write(file("ondol.mark"), mark.replace(this.trim(), "another-boot")).unwrap();
        }
        assert_eq!(epoch_of(directory.path(), synchronous) != before, changes, "{synchronous:?}, {boot} boot");
    }
}
