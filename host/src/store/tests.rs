//! The store over real files.

use std::path::Path;
use std::sync::Arc;

use super::{Batch, Entry, Page, RoomOutcome, Store, StoreError, Turn};
use crate::config::{Limits, Synchronous};
use crate::model::{Draft, Message, MessageId, RoomDraft, RoomId, Seq, Speaker, Standing, Timestamp, User};

fn open(directory: &Path) -> Store<()> {
    Store::open(&directory.join("ondol.db"), Synchronous::Full, &Limits::default()).unwrap()
}

/// Hands messages over, then commits them all.
fn store_all(store: &Store<()>, entries: impl IntoIterator<Item = Entry<()>>) -> Batch<()> {
    let turns: Vec<Turn> = entries.into_iter().map(|entry| store.append(entry).unwrap()).collect();
    assert_eq!(turns.first(), Some(&Turn::Yours));
    assert!(turns.iter().skip(1).all(|turn| *turn == Turn::Theirs), "one leads");
    let mut reported = None;
    assert_eq!(store.commit(|batch| reported = Some(batch)), Turn::Theirs);
    reported.unwrap()
}

fn entry(id: u64, room: RoomId, seq: u64) -> Entry<()> {
    let sender = Speaker::new(User {
        id: "ann".into(),
        nickname: "앤".into(),
        email: "ann@example.com".into(),
        profile_url: None,
    });
    let draft = Draft { text: format!("말 {seq}"), client_id: Some(format!("c{id}")), ..Draft::default() };
    let (id, seq, sender) = (MessageId(id), Seq(seq), Arc::new(sender));
    Entry { message: Some(Message { id, room, seq, sender, draft, created_at: Timestamp(7) }), then: () }
}

async fn create(store: &Store<()>, post_id: Option<u64>) -> RoomOutcome {
    let draft = RoomDraft { name: "방".into(), standing: Standing::Reuse };
    store.create_room(draft, post_id, None).await.unwrap()
}

async fn room(store: &Store<()>) -> RoomId {
    match create(store, None).await {
        RoomOutcome::Created(room) | RoomOutcome::Standing(room) => room.id,
    }
}

#[tokio::test]
async fn a_post_has_one_room() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let RoomOutcome::Created(first) = create(&store, Some(7)).await else { panic!("not created") };
    assert_eq!(create(&store, Some(7)).await, RoomOutcome::Standing(first));
    assert!(matches!(create(&store, None).await, RoomOutcome::Created(_)));
    assert!(matches!(create(&store, None).await, RoomOutcome::Created(_)));
}

#[tokio::test]
async fn what_is_stored_is_there_after_opening_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    let batch = store_all(&store, (1..=5).map(|seq| entry(seq, room, seq)));
    assert_eq!(batch.stored.len(), 5);

    let again = Store::<()>::open(&directory.path().join("ondol.db"), Synchronous::Full, &Limits::default());
    assert!(matches!(again, Err(StoreError::Locked(_))), "one server at a time");
    drop(store);
    let store = open(directory.path());
    assert!(store.first_free_id() >= MessageId(6), "no id is given twice");
    assert_eq!(store.last_seq(room).await.unwrap(), Seq(5));
    let seqs = |messages: Vec<Message>| messages.iter().map(|message| message.seq.0).collect::<Vec<_>>();
    assert_eq!(seqs(store.messages(room, Page::Latest, 2).await.unwrap()), [4, 5]);
    assert_eq!(seqs(store.messages(room, Page::After(Seq(1)), 2).await.unwrap()), [2, 3]);
    assert_eq!(seqs(store.messages(room, Page::Before(Seq(4)), 2).await.unwrap()), [2, 3]);
    let found = store.by_client_id(room, "ann".into(), "c3".into()).await.unwrap().unwrap();
    assert_eq!((found.seq, found.draft.text.as_str()), (Seq(3), "말 3"));
    assert!(store.has_message(room, MessageId(3)).await.unwrap());
    assert!(!store.has_message(RoomId(99), MessageId(3)).await.unwrap());
}

#[tokio::test]
async fn ids_go_on_where_they_ended() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    assert_eq!(store.first_free_id(), MessageId(1));
    store_all(&store, [entry(1, room, 1), entry(2, room, 2), entry(1_500, room, 3)]);
    store.keep_next_id(MessageId(1_501)).unwrap();
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.first_free_id(), MessageId(1_501));
    store_all(&store, [entry(1_501, room, 4)]);
    // As after a crash.
    drop(store);
    assert!(open(directory.path()).first_free_id() > MessageId(1_501));
}

#[tokio::test]
async fn ids_of_a_batch_that_failed_are_taken_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    // Somebody else holds the file for longer than the writer waits.
    let other = rusqlite::Connection::open(directory.path().join("ondol.db")).unwrap();
    store.writer.run(|connection| Ok(connection.busy_timeout(std::time::Duration::ZERO)?)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(store_all(&store, [entry(1, room, 1)]).failed.len(), 1);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store_all(&store, [entry(2, room, 1)]).stored.len(), 1);
    drop((store, other));
    assert!(open(directory.path()).first_free_id() > MessageId(2));
}

#[tokio::test]
async fn a_message_is_found_by_its_id_in_its_room_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (ours, theirs) = (room(&store).await, room(&store).await);
    store_all(&store, (1..=20).map(|seq| entry(3 * seq, ours, seq)));
    store_all(&store, [entry(61, theirs, 1)]);
    for id in 0..70 {
        let is_ours = id % 3 == 0 && (3..=60).contains(&id);
        assert_eq!(store.has_message(ours, MessageId(id)).await.unwrap(), is_ours, "{id}");
        assert_eq!(store.has_message(theirs, MessageId(id)).await.unwrap(), id == 61, "{id}");
    }
}

#[tokio::test]
async fn messages_of_version_one_are_brought_up_with_their_ids_and_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ondol.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("schema.sql")).unwrap();
    old.execute_batch(
        "INSERT INTO room (name, created_at) VALUES ('a', 1), ('b', 1);
         INSERT INTO message (id, room, seq, sender, nickname, email, text, client_id, created_at) VALUES
             (1, 1, 1, 'ann', 'Ann', 'a@b', 'one', 'c1', 1), (2, 2, 1, 'ann', 'Ann', 'a@b', 'two', 'c1', 2),
             (5, 1, 2, 'ann', 'Ann', 'a@b', 'three', NULL, 3);
         PRAGMA user_version = 1",
    )
    .unwrap();
    drop(old);
    let store = open(directory.path());
    let texts = async |room| {
        let messages = store.messages(RoomId(room), Page::Latest, 9).await.unwrap();
        messages.into_iter().map(|found| (found.id.0, found.room.0, found.seq.0, found.draft.text)).collect::<Vec<_>>()
    };
    assert_eq!(texts(1).await, [(1, 1, 1, "one".to_owned()), (5, 1, 2, "three".to_owned())]);
    assert_eq!(texts(2).await, [(2, 2, 1, "two".to_owned())]);
    assert_eq!(store.first_free_id(), MessageId(6));
    assert_eq!(store.last_seq(RoomId(1)).await.unwrap(), Seq(2));
    assert!(store.has_message(RoomId(1), MessageId(5)).await.unwrap());
    let found = store.by_client_id(RoomId(2), "ann".into(), "c1".into()).await.unwrap().unwrap();
    assert_eq!(found.id, MessageId(2));
}

#[tokio::test]
async fn pages_go_over_what_has_its_place_and_what_has_not_yet() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (ours, theirs) = (room(&store).await, room(&store).await);
    for batch in 0..50_u64 {
        let seqs = 50 * batch + 1..=50 * batch + 50;
        store_all(&store, seqs.flat_map(|seq| [entry(2 * seq, ours, seq), entry(2 * seq + 1, theirs, seq)]));
    }
    let placed = |connection: &rusqlite::Connection| {
        connection.query_row("SELECT count(*) FROM message_place", [], |row| row.get::<_, i64>(0))
    };
    assert_eq!(store.readers.read(placed).await.unwrap(), 4_100, "900 are behind");
    for (page, limit, from, to) in [
        (Page::Latest, 2_500, 1, 2_500),
        (Page::Latest, 1, 2_500, 2_500),
        (Page::After(Seq(0)), 2_500, 1, 2_500),
        (Page::After(Seq(2_000)), 100, 2_001, 2_100),
        (Page::After(Seq(2_499)), 50, 2_500, 2_500),
        (Page::After(Seq(2_500)), 50, 1, 0),
        (Page::Before(Seq(2_100)), 200, 1_900, 2_099),
        (Page::Before(Seq(1)), 200, 1, 0),
    ] {
        let messages = store.messages(ours, page, limit).await.unwrap();
        let found: Vec<_> = messages.iter().map(|message| (message.room, message.seq.0, message.id.0)).collect();
        assert_eq!(found, (from..=to).map(|seq| (ours, seq, 2 * seq)).collect::<Vec<_>>(), "{page:?}");
    }
    for id in [1, 2, 3, 4_000, 4_001, 5_000, 5_001, 5_002] {
        let is_ours = id % 2 == 0 && id <= 5_000;
        assert_eq!(store.has_message(ours, MessageId(id)).await.unwrap(), is_ours, "{id}");
    }
    assert_eq!(store.last_seq(theirs).await.unwrap(), Seq(2_500));
}

#[tokio::test]
async fn a_gap_is_never_stored() {
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
async fn a_message_for_a_room_that_is_not_there_fails_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    let batch = store_all(&store, [entry(1, RoomId(99), 1), entry(2, room, 1)]);
    assert_eq!(batch.stored.len(), 1);
    assert!(matches!(batch.failed[0].error, StoreError::NoRoom));
    store.close();
    assert!(matches!(store.append(entry(3, room, 2)).unwrap_err().error, StoreError::Closed));
}

#[tokio::test]
async fn what_is_not_to_be_stored_comes_back_in_its_turn() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    let batch = store_all(&store, [entry(1, room, 1), Entry { message: None, then: () }, entry(2, room, 2)]);
    let order: Vec<bool> = batch.stored.iter().map(|entry| entry.message.is_some()).collect();
    assert_eq!(order, [true, false, true]);
    assert_eq!(store.last_seq(room).await.unwrap(), Seq(2));
}

#[tokio::test]
async fn what_comes_while_one_commits_is_the_next_batch() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    assert_eq!(store.append(entry(1, room, 1)).unwrap(), Turn::Yours);
    let turn = store.commit(|_| assert_eq!(store.append(entry(2, room, 2)).unwrap(), Turn::Theirs));
    assert_eq!(turn, Turn::Yours);
    let mut stored = 0;
    assert_eq!(store.commit(|batch| stored = batch.stored.len()), Turn::Theirs);
    assert_eq!(stored, 1);
}

#[tokio::test]
async fn the_log_stays_small_while_commits_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ondol.db");
    let store: Store<()> = Store::open(&path, Synchronous::Normal, &Limits::default()).unwrap();
    let room = room(&store).await;
    let mut seq = 0;
    for _ in 0..600 {
        store_all(
            &store,
            (0..128).map(|_| {
                seq += 1;
                entry(seq, room, seq)
            }),
        );
    }
    let length = |file: &str| std::fs::metadata(directory.path().join(file)).unwrap().len();
    assert!(length("ondol.db") > 1 << 20, "the log has been copied");
    assert!(length("ondol.db-wal") < 32 << 20, "{}", length("ondol.db-wal"));
    assert_eq!(store.last_seq(room).await.unwrap(), Seq(600 * 128));
}

#[test]
fn a_file_of_a_later_server_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ondol.db");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 9).unwrap();
    let opened = Store::<()>::open(&path, Synchronous::Full, &Limits::default());
    assert!(matches!(opened, Err(StoreError::FromLater(9))));
}
