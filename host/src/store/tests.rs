//! The store over real files.

use std::path::Path;
use std::sync::Arc;

use super::{Batch, Entry, Page, RoomOutcome, Store, StoreError, Turn};
use crate::config::{Limits, Synchronous};
use crate::model::{Draft, Message, MessageId, RoomDraft, RoomId, Seq, Standing, Timestamp, User};

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
    let sender = User { id: "ann".into(), nickname: "앤".into(), email: "ann@example.com".into(), profile_url: None };
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
    assert_eq!(store.first_free_id(), MessageId(6));
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

#[test]
fn a_file_of_a_later_server_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ondol.db");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 9).unwrap();
    let opened = Store::<()>::open(&path, Synchronous::Full, &Limits::default());
    assert!(matches!(opened, Err(StoreError::FromLater(9))));
}
