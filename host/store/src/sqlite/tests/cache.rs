//! How few reads answer many readers, and that what they get is what the database holds.

use std::sync::Arc;

use super::{LIMITS, called, entry, entry_of, room, store_all};
use crate::{Page, Store, StoreLimits, Synchronous};
use ondol_host_model::{RoomId, Seq};

const CACHED: StoreLimits = StoreLimits { history_cache_bytes_max: 1 << 20, ..LIMITS };

fn open(directory: &tempfile::TempDir) -> Arc<Store<()>> {
    Arc::new(Store::open(&directory.path().join("ondol.db"), Synchronous::Full, &CACHED).unwrap())
}

async fn seqs(store: &Store<()>, room: RoomId, page: Page) -> Vec<u64> {
    store.messages(room, page, 50).await.unwrap().iter().map(|message| message.seq.0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_readers_of_a_room_cost_two_reads() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let room = room(&store).await;
    store_all(&store, (1..=100).map(|seq| entry(seq, room, seq)));
    let readers: Vec<_> = (0..2_000)
        .map(|number| {
            let store = Arc::clone(&store);
            let page = if number % 2 == 0 { Page::Latest } else { Page::After(Seq(50)) };
            tokio::spawn(async move {
                store.room(room).await.unwrap().unwrap();
                seqs(&store, room, page).await
            })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), (51..=100).collect::<Vec<_>>());
    }
    assert_eq!(store.reads(), 2);
    // What is committed from now on needs no read, and older messages do.
    store_all(&store, [entry(101, room, 101)]);
    assert_eq!(seqs(&store, room, Page::After(Seq(99))).await, [100, 101]);
    assert_eq!(store.reads(), 2);
}

#[tokio::test]
async fn older_messages_are_read_from_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let room = room(&store).await;
    store_all(&store, (1..=400).map(|seq| entry(seq, room, seq)));
    assert_eq!(seqs(&store, room, Page::Latest).await, (351..=400).collect::<Vec<_>>());
    assert_eq!(seqs(&store, room, Page::After(Seq(0))).await, (1..=50).collect::<Vec<_>>());
    assert_eq!(seqs(&store, room, Page::Before(Seq(60))).await, (10..=59).collect::<Vec<_>>());
    assert_eq!(store.reads(), 3);
}

#[tokio::test]
async fn messages_that_were_not_stored_are_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let room = room(&store).await;
    store_all(&store, [entry(1, room, 1)]);
    assert_eq!(seqs(&store, room, Page::Latest).await, [1]);
    // A repeated client_id fails alone, and a gap does.
    let batch = store_all(&store, [entry(1, room, 2), entry(3, room, 3)]);
    assert_eq!(batch.failed.len(), 2);
    assert_eq!(seqs(&store, room, Page::Latest).await, [1]);
    store_all(&store, [entry_of(&called("앤", None), 4, room, 2)]);
    assert_eq!(seqs(&store, room, Page::Latest).await, [1, 2]);
}

#[tokio::test]
async fn deleted_messages_are_gone_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let room = room(&store).await;
    store_all(&store, (1..=5).map(|seq| entry(seq, room, seq)));
    assert_eq!(seqs(&store, room, Page::Latest).await, [1, 2, 3, 4, 5]);
    store.delete(room, vec![Seq(1), Seq(3)]).await.unwrap();
    let reads = store.reads();
    assert_eq!(seqs(&store, room, Page::Latest).await, [2, 4, 5]);
    assert_eq!(seqs(&store, room, Page::After(Seq(0))).await, [2, 4, 5]);
    assert_eq!(store.reads(), reads + 1, "gaps need no read");
}

#[tokio::test]
async fn what_another_program_deletes_is_gone_after_the_next_check() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let room = room(&store).await;
    store_all(&store, (1..=5).map(|seq| entry(seq, room, seq)));
    store.sqlite().database.check();
    assert_eq!(seqs(&store, room, Page::Latest).await, [1, 2, 3, 4, 5]);
    let other = rusqlite::Connection::open(directory.path().join("ondol.db")).unwrap();
    other.execute("DELETE FROM message WHERE seq = 3", []).unwrap();
    store.sqlite().database.check();
    assert_eq!(seqs(&store, room, Page::Latest).await, [1, 2, 4, 5]);
}

#[tokio::test]
async fn a_room_that_is_not_there_is_found_once_it_is_created() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    assert_eq!(store.room(RoomId(1)).await.unwrap(), None);
    assert_eq!(room(&store).await, RoomId(1));
    assert!(store.room(RoomId(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn readers_see_no_gap_while_messages_are_written_and_rooms_are_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let room = room(&store).await;
    let writing = tokio::task::spawn_blocking({
        let (store, ann) = (Arc::clone(&store), called("ann", None));
        move || {
            for batch in 0..300 {
                let seqs = 20 * batch + 1..=20 * batch + 20;
                store_all(&store, seqs.map(|seq| entry_of(&ann, seq, room, seq)));
            }
        }
    });
    let mut least = 0;
    for turn in 0.. {
        let is_written = writing.is_finished();
        let page = store.messages(room, Page::Latest, 150).await.unwrap();
        let seqs: Vec<u64> = page.iter().map(|message| message.seq.0).collect();
        let last = seqs.last().copied().unwrap_or(0);
        assert!(last >= least, "{last} after {least}");
        assert_eq!(seqs, (last.saturating_sub(149).max(1)..=last).collect::<Vec<_>>());
        least = last;
        if is_written {
            assert_eq!(last, 6_000);
            break;
        }
        if turn % 4 == 0 {
            store.sqlite().cache.forget(room);
        }
        tokio::task::yield_now().await;
    }
    writing.await.unwrap();
}

#[tokio::test]
async fn retention_forgets_no_messages_that_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let room = room(&store).await;
    store_all(&store, (1..=1_000).map(|seq| entry(seq, room, seq)));
    assert_eq!(seqs(&store, room, Page::Latest).await, (951..=1_000).collect::<Vec<_>>());
    for (kept, reads) in [(300, 1), (20, 2)] {
        super::gaps::keep(&store, kept);
        let first = 1_001 - kept;
        assert_eq!(seqs(&store, room, Page::Latest).await, (first.max(951)..=1_000).collect::<Vec<_>>());
        assert_eq!(store.reads(), reads, "{kept}");
    }
}
