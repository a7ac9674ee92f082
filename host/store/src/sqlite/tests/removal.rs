//! Deleted messages, and those that are kept no longer: what goes with them, and what stays.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{LIMITS, called, count, entry, entry_of, open, room, store_all};
use crate::{Deleted, MessageRetention, Page, Store, StoreLimits, Synchronous};
use ondol_host_model::{MessageId, RoomId, Seq};

/// Waits until a query gives this number.
pub(super) async fn until(store: &Store<()>, sql: &'static str, expected: i64) {
    let begun = Instant::now();
    loop {
        let found = count(store, sql).await;
        if found == expected {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{sql}: {found}, not {expected}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn deleted(seq: u64, id: u64) -> Deleted {
    Deleted { seq: Seq(seq), id: MessageId(id) }
}

#[tokio::test]
async fn a_deleted_message_leaves_nothing_but_its_numbers() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (ours, theirs) = (room(&store).await, room(&store).await);
    let ben = called("Ben", None);
    store_all(&store, (1..=300).map(|seq| entry(seq, ours, seq)));
    store_all(&store, [entry_of(&ben, 301, ours, 301), entry(302, ours, 302), entry(303, theirs, 1)]);

    // The first is in a segment, the second is not, the third is in another room.
    let gone = store.delete(ours, vec![Seq(301), Seq(5), Seq(5), Seq(999)]).await.unwrap();
    assert_eq!(gone.messages, [deleted(5, 5), deleted(301, 301)]);
    assert_eq!(store.delete(ours, vec![Seq(5)]).await.unwrap().messages, []);
    store.remove_unused_senders(gone.senders).await.unwrap();
    assert_eq!(count(&store, "SELECT count(*) FROM sender WHERE nickname = 'Ben'").await, 0);
    assert_eq!(count(&store, "SELECT count(*) FROM sender").await, 1, "who said something else stays");
    assert_eq!(count(&store, "SELECT count(*) FROM client_message").await, 301);
    for (id, is_there) in [(4, true), (5, false), (300, true), (301, false), (302, true)] {
        assert_eq!(store.has_message(ours, MessageId(id)).await.unwrap(), is_there, "{id}");
    }
    assert!(store.by_client_id(ours, "ann".into(), "c5".into()).await.unwrap().is_none());
    let mut again = entry(304, ours, 303);
    Arc::make_mut(again.message.as_mut().unwrap()).draft.client_id = Some("c5".into());
    assert_eq!(store_all(&store, [again, entry_of(&ben, 305, ours, 304)]).stored.len(), 2, "the client_id is free");
    let last = store.messages(ours, Page::Latest, 1).await.unwrap();
    assert_eq!(last[0].sender.nickname, "Ben", "a sender who returns has a row again");
}

#[tokio::test]
async fn the_last_messages_are_deleted_and_their_numbers_stay_used() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let room = room(&store).await;
    let mut last = 0;
    for deleted in [1, 270, 300, 2, 9] {
        store_all(&store, (last + 1..=last + 300).map(|seq| entry(seq, room, seq)));
        last += 300;
        store.delete(room, (last + 1 - deleted..=last).map(Seq).collect()).await.unwrap();
        let rowids = "SELECT next FROM counter WHERE name = 'rowid'";
        assert_eq!(count(&store, rowids).await, last.cast_signed() + 1);
        drop(store);
        store = open(directory.path());
        assert_eq!(store.last_seq(room).await.unwrap(), Seq(last));
    }
    store_all(&store, [entry(last + 1, room, last + 1)]);
    assert_eq!(count(&store, "SELECT max(n) FROM message").await, last.cast_signed() + 1, "no rowid is used twice");
    assert_eq!(store.messages(room, Page::After(Seq(0)), 5_000).await.unwrap().len(), 5 * 300 - 582 + 1);
}

#[tokio::test]
async fn a_client_that_comes_back_is_told_of_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    store_all(&store, (1..=10).map(|seq| entry(seq, room, seq)));
    store.delete(room, vec![Seq(3), Seq(9)]).await.unwrap();
    store_all(&store, (11..=12).map(|seq| entry(seq, room, seq)));
    store.delete(room, vec![Seq(4)]).await.unwrap();
    drop(store);
    let store = open(directory.path());
    for (after, limit, expected) in [
        (2, 9, vec![]),
        (3, 9, vec![deleted(3, 3)]),
        (10, 9, vec![deleted(3, 3), deleted(9, 9), deleted(4, 4)]),
        (10, 2, vec![deleted(9, 9), deleted(4, 4)]),
        // It heard of the first two while it was there.
        (11, 9, vec![deleted(4, 4)]),
        (13, 9, vec![]),
    ] {
        assert_eq!(store.deletions(room, Seq(after), Seq(after), limit).await.unwrap(), expected, "{after}");
    }
    let replayed = store.deletions(room, Seq(3), Seq(9), 9).await.unwrap();
    assert_eq!(replayed, [deleted(3, 3), deleted(9, 9), deleted(4, 4)], "of what it got since as well");
    assert_eq!(store.deletions(RoomId(9), Seq(10), Seq(10), 9).await.unwrap(), []);
}

#[tokio::test]
async fn a_user_is_found_in_all_rooms() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (ours, theirs) = (room(&store).await, room(&store).await);
    let (ann, anna) = (called("ann", None), called("Anna", None));
    for batch in [1..=2_500, 2_501..=5_000] {
        store_all(&store, batch.map(|seq| entry_of(&ann, seq, ours, seq)));
    }
    store_all(&store, [entry_of(&anna, 5_001, theirs, 1), entry_of(&ann, 5_002, theirs, 2)]);
    let find = async |user: &str, room| {
        let (mut search, mut found) = (store.search_user(user.to_owned(), room).await.unwrap(), Vec::new());
        while let Some(more) = store.found_next(&mut search).await.unwrap() {
            found.extend(more);
        }
        (found, search.into_senders())
    };
    let (found, senders) = find("ann", None).await;
    assert_eq!((found.len(), found[0], found[5_001]), (5_002, (ours, Seq(1)), (theirs, Seq(2))));
    assert_eq!(find("ann", Some(theirs)).await.0, [(theirs, Seq(1)), (theirs, Seq(2))]);
    assert_eq!(find("ben", None).await.0, []);
    store.delete(theirs, vec![Seq(1)]).await.unwrap();
    store.remove_unused_senders(senders).await.unwrap();
    assert_eq!(count(&store, "SELECT count(*) FROM sender").await, 1, "Anna is gone, ann is not");
}

#[tokio::test]
async fn retention_by_number_keeps_the_latest_of_each_room() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ondol.db");
    let store = open(directory.path());
    let rooms = [room(&store).await, room(&store).await, room(&store).await];
    let (ann, ben) = (called("ann", None), called("Ben", None));
    store_all(&store, (1..=40).map(|seq| entry_of(&ben, seq, rooms[0], seq)));
    for (room, count) in rooms.into_iter().zip([960, 700, 20]) {
        let last = store.last_seq(room).await.unwrap().0;
        for batch in 0..count / 20 {
            let seqs = last + 20 * batch + 1..=last + 20 * batch + 20;
            store_all(&store, seqs.map(|seq| entry(10_000 * room.0 + seq, room, seq)));
        }
    }
    drop(store);
    let retention = MessageRetention { of_room: 100, age_ms: 0 };
    let store = Store::<()>::open(&path, Synchronous::Full, &StoreLimits { retention, ..LIMITS }).unwrap();
    until(&store, "SELECT count(*) FROM message", 220).await;
    until(&store, "SELECT count(*) FROM sender", 1).await;
    assert_eq!(count(&store, "SELECT count(*) FROM client_message").await, 220);
    assert!(count(&store, "SELECT count(*) FROM run").await <= 4, "segments that point at nothing are removed");
    for (room, first, last) in [(rooms[0], 901, 1_000), (rooms[1], 601, 700), (rooms[2], 1, 20)] {
        let seqs = async |page| {
            let page = store.messages(room, page, 1_000).await.unwrap();
            page.into_iter().map(|message| message.seq.0).collect::<Vec<_>>()
        };
        let expected: Vec<u64> = (first..=last).collect();
        assert_eq!(seqs(Page::After(Seq(0))).await, expected);
        assert_eq!(seqs(Page::Latest).await, expected);
        assert_eq!(seqs(Page::Before(Seq(first))).await, [0; 0]);
        assert!(!store.has_message(room, MessageId(10_000 * room.0 + first - 1)).await.unwrap());
        assert!(store.has_message(room, MessageId(10_000 * room.0 + first)).await.unwrap());
    }
    // It goes on: one comes, one goes.
    assert_eq!(store_all(&store, [entry_of(&ann, 99_999, rooms[0], 1_001)]).stored.len(), 1);
    until(&store, "SELECT min(seq) FROM message WHERE room = 1", 902).await;
    assert!(store.by_client_id(rooms[0], "ann".into(), "c10901".into()).await.unwrap().is_none());
}
