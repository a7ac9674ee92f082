//! The store over real files.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails should say where")]

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use super::{Batch, Entry, Page, RoomOutcome, Store, StoreError};
use crate::config::{Limits, Synchronous};
use crate::model::{Draft, Message, MessageId, RoomDraft, RoomId, Seq, Standing, Timestamp, User};

fn open(directory: &Path) -> (Store<()>, Receiver<Batch<()>>) {
    let (sender, receiver) = channel();
    let done = move |batch| sender.send(batch).unwrap_or_default();
    (Store::open(&directory.join("ondol.db"), Synchronous::Full, &Limits::default(), done).unwrap(), receiver)
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
    let (store, _done) = open(directory.path());
    let RoomOutcome::Created(first) = create(&store, Some(7)).await else { panic!("not created") };
    assert_eq!(create(&store, Some(7)).await, RoomOutcome::Standing(first));
    assert!(matches!(create(&store, None).await, RoomOutcome::Created(_)));
    assert!(matches!(create(&store, None).await, RoomOutcome::Created(_)));
}

#[tokio::test]
async fn what_is_stored_is_there_after_opening_again() {
    let directory = tempfile::tempdir().unwrap();
    let (store, done) = open(directory.path());
    let room = room(&store).await;
    for seq in 1..=5 {
        store.append(entry(seq, room, seq)).unwrap();
    }
    store.close();
    assert_eq!(done.iter().map(|batch| batch.stored.len()).sum::<usize>(), 5);

    let (store, _done) = open(directory.path());
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
    let (store, done) = open(directory.path());
    let room = room(&store).await;
    for (id, seq) in [(1, 1), (2, 3), (3, 2)] {
        store.append(entry(id, room, seq)).unwrap();
    }
    store.close();
    let batches: Vec<_> = done.iter().collect();
    let stored: Vec<u64> = batches
        .iter()
        .flat_map(|batch| &batch.stored)
        .flat_map(|entry| &entry.message)
        .map(|message| message.seq.0)
        .collect();
    let failed: Vec<_> = batches.iter().flat_map(|batch| &batch.failed).collect();
    assert_eq!(stored, [1, 2]);
    assert_eq!(failed.len(), 1);
    assert!(matches!(failed[0].error, StoreError::OutOfTurn));
}

#[tokio::test]
async fn a_message_for_a_room_that_is_not_there_fails_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (store, done) = open(directory.path());
    let room = room(&store).await;
    store.append(entry(1, RoomId(99), 1)).unwrap();
    store.append(entry(2, room, 1)).unwrap();
    store.close();
    let batches: Vec<_> = done.iter().collect();
    assert_eq!(batches.iter().map(|batch| batch.stored.len()).sum::<usize>(), 1);
    assert_eq!(batches.iter().map(|batch| batch.failed.len()).sum::<usize>(), 1);
    assert!(matches!(store.append(entry(3, room, 2)).unwrap_err().error, StoreError::Closed));
}

#[tokio::test]
async fn what_is_not_to_be_stored_comes_back_in_its_turn() {
    let directory = tempfile::tempdir().unwrap();
    let (store, done) = open(directory.path());
    let room = room(&store).await;
    store.append(entry(1, room, 1)).unwrap();
    store.append(Entry { message: None, then: () }).unwrap();
    store.append(entry(2, room, 2)).unwrap();
    store.close();
    let order: Vec<bool> = done.iter().flat_map(|batch| batch.stored).map(|entry| entry.message.is_some()).collect();
    assert_eq!(order, [true, false, true]);
    let (store, _done) = open(directory.path());
    assert_eq!(store.last_seq(room).await.unwrap(), Seq(2));
}

#[test]
fn a_file_of_a_later_server_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ondol.db");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 9).unwrap();
    let opened = Store::<()>::open(&path, Synchronous::Full, &Limits::default(), |_| {});
    assert!(matches!(opened, Err(StoreError::FromLater(9))));
}
