//! Databases of earlier servers, and of later ones.

mod dumps;

use std::sync::Arc;

use super::*;
use crate::Synchronous;
use crate::sqlite::setup;
use crate::sqlite::tests::LIMITS;
use crate::sqlite::tests::{count, entry, open as open_store, store_all};
use crate::{ImportLock, Importer, Page, Store};
use ondol_host_model::{MessageId, RoomId, Seq, Timestamp};

#[tokio::test]
async fn messages_of_schema_1_are_migrated_with_their_ids_and_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ondol.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../schema.sql")).unwrap();
    old.execute_batch(
        "INSERT INTO room (name, created_at) VALUES ('a', 1), ('b', 1);
         INSERT INTO message (id, room, seq, sender, nickname, email, text, client_id, created_at) VALUES
             (1, 1, 1, 'ann', 'Ann', 'a@b', 'one', 'c1', 1), (2, 2, 1, 'ann', 'Ann', 'a@b', 'two', 'c1', 2),
             (5, 1, 2, 'ann', 'Ann', 'a@b', 'three', NULL, 3);
         PRAGMA user_version = 1",
    )
    .unwrap();
    drop(old);
    let store = open_store(directory.path());
    let texts = async |room| {
        let messages = store.messages(RoomId(room), Page::Latest, 9).await.unwrap();
        messages.into_iter().map(|found| (found.id.0, found.room.0, found.seq.0, found.draft.text)).collect::<Vec<_>>()
    };
    assert_eq!(texts(1).await, [(1, 1, 1, "one".to_owned()), (5, 1, 2, "three".to_owned())]);
    assert_eq!(texts(2).await, [(2, 2, 1, "two".to_owned())]);
    assert_eq!(store.next_id().unwrap(), MessageId(6));
    assert_eq!(store.last_seq(RoomId(1)).await.unwrap(), Seq(2));
    assert!(store.has_message(RoomId(1), MessageId(5)).await.unwrap());
    let found = store.by_client_id(RoomId(2), "ann".into(), "c1".into()).await.unwrap().unwrap();
    assert_eq!(found.id, MessageId(2));
}

#[tokio::test]
async fn messages_of_schema_3_are_migrated_with_their_senders_and_index() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ondol.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    for step in [include_str!("../schema.sql"), include_str!("../schema-2.sql"), include_str!("../schema-3.sql")] {
        old.execute_batch(step).unwrap();
    }
    old.execute_batch(
        "INSERT INTO room (name, created_at) VALUES ('a', 1), ('b', 1);
         WITH RECURSIVE said(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM said WHERE n < 401)
         INSERT INTO message (n, room, seq, id, sender, nickname, email, profile_url, text, client_id, parent, created_at)
         SELECT n, 1 + n % 2, (n + 1) / 2, n + 1000, 'ann', iif(n < 100, 'Ann', 'Anna'), 'a@b', nullif(n % 3, 0),
             'text ' || n, iif(n = 7, 'c7', NULL), iif(n = 9, 1007, NULL), n FROM said;
         INSERT INTO message_place SELECT room << 32 | seq, n FROM message WHERE n <= 300 ORDER BY room, seq;
         UPDATE counter SET next = 301 WHERE name = 'place';
         UPDATE counter SET next = 2000 WHERE name = 'id';
         PRAGMA user_version = 3",
    )
    .unwrap();
    drop(old);
    let store = open_store(directory.path());
    assert_eq!(store.next_id().unwrap(), MessageId(2000));
    assert_eq!(count(&store, "SELECT count(*) FROM sender").await, 6, "two names, three pictures");
    let messages = store.messages(RoomId(2), Page::After(Seq(0)), 500).await.unwrap();
    assert_eq!(messages.len(), 201);
    for (seq, message) in (1..).zip(&messages) {
        let n = 2 * seq - 1;
        assert_eq!((message.seq, message.id, message.created_at), (Seq(seq), MessageId(n + 1000), Timestamp(n)));
        assert_eq!(message.draft.text, format!("text {n}"));
        assert_eq!(message.sender.nickname, if n < 100 { "Ann" } else { "Anna" });
        assert_eq!(message.sender.profile_url, (n % 3 > 0).then(|| (n % 3).to_string()));
        assert_eq!(message.draft.parent, (n == 9).then_some(MessageId(1007)));
    }
    let found = store.by_client_id(RoomId(2), "ann".into(), "c7".into()).await.unwrap().unwrap();
    assert_eq!(found.id, MessageId(1007));
    assert!(store.has_message(RoomId(2), MessageId(1401)).await.unwrap());
    let mut again = entry(2000, RoomId(2), 202);
    Arc::make_mut(again.message.as_mut().unwrap()).draft.client_id = Some("c7".into());
    assert_eq!(store_all(&store, [again]).failed.len(), 1, "a client_id is used once");
    assert_eq!(store_all(&store, [entry(2001, RoomId(2), 202), entry(2002, RoomId(1), 201)]).stored.len(), 2);
}

#[test]
fn a_database_of_a_later_server_is_left_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ondol.db");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 9).unwrap();
    let opened = Store::<()>::open(&path, Synchronous::Full, &LIMITS);
    assert!(matches!(opened, Err(StoreError::SchemaTooNew { found: 9, .. })));
}

#[test]
fn a_writer_that_waits_for_a_lock_hands_its_worker_off() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ondol.db");
    let writer = setup::open(&path, Synchronous::Full).unwrap();
    let holder = rusqlite::Connection::open(&path).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let waiting = runtime.spawn(async move {
        // The next task of this worker.
        tokio::spawn(async move { holder.execute_batch("ROLLBACK").unwrap() });
        writer.execute_batch("BEGIN IMMEDIATE; ROLLBACK")
    });
    runtime.block_on(waiting).unwrap().expect("the other task ran");
}

#[test]
fn a_lock_that_is_given_up_soon_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ondol.db");
    let first = lock(&path).unwrap();
    let waiting = std::thread::spawn(move || lock(&path).map(drop));
    drop(first);
    assert!(waiting.join().unwrap().is_ok());
}

/// A server of today says why it refuses; one of before sees a later schema.
#[test]
fn a_half_imported_database_stays_one_until_the_import_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ondol.db");
    drop(setup::open(&path, Synchronous::Full).unwrap());
    let importer = || Importer::open(ImportLock::take(&path).unwrap()).unwrap();
    let user_version = || setup::user_version(&rusqlite::Connection::open(&path).unwrap()).unwrap();
    importer().begin("chat.jsonl", "digest", 1).unwrap();
    for _ in 0..2 {
        let opened = Store::<()>::open(&path, Synchronous::Full, &LIMITS);
        assert!(matches!(opened, Err(StoreError::HalfImported(_))));
        assert!(user_version() > SCHEMA_VERSION, "an earlier server would start");
    }
    assert_eq!(importer().progress().map(|progress| progress.digest.as_str()), Some("digest"));
    importer().finish(MessageId(7)).unwrap();
    assert_eq!(user_version(), SCHEMA_VERSION);
    assert!(Store::<()>::open(&path, Synchronous::Full, &LIMITS).is_ok());
}
