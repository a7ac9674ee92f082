//! Pages and look-ups over gaps, compared with a model: messages are written, deleted and removed at random, the store is
//! reopened, and each page is what it would be of a plain list.

use std::collections::BTreeMap;
use std::path::Path;

use super::{LIMITS, called, entry_of, open, room, store_all};
use crate::{MessageRetention, Page, Store, StoreLimits, Synchronous};
use ondol_host_model::{MessageId, RoomId, Seq};

/// Pseudo-random numbers (xorshift), the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, max: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % max
    }
}

/// A room as a plain list: its messages' ids by `seq`, and its last `seq`.
#[derive(Default)]
struct Model {
    ids: BTreeMap<u64, u64>,
    last: u64,
}

impl Model {
    fn page(&self, page: Page, limit: usize) -> Vec<u64> {
        let seqs = |range: (u64, u64)| self.ids.range(range.0..range.1).map(|(seq, _)| *seq);
        let mut last: Vec<u64> = match page {
            Page::After(seq) => return seqs((seq.0.saturating_add(1), u64::MAX)).take(limit).collect(),
            Page::Before(seq) => seqs((0, seq.0)).rev().take(limit).collect(),
            Page::Latest => seqs((0, u64::MAX)).rev().take(limit).collect(),
        };
        last.reverse();
        last
    }
}

async fn compare(store: &Store<()>, room: RoomId, model: &Model, chance: &mut Chance) {
    for _ in 0..6 {
        let seq = Seq(chance.below(model.last + 3));
        let page = [Page::After(seq), Page::Before(seq), Page::Latest][chance.below(3) as usize];
        let limit = [1, 2, 7, 50, 1_000][chance.below(5) as usize];
        let found = store.messages(room, page, limit).await.unwrap();
        let found: Vec<_> = found.iter().map(|message| (message.seq.0, message.id.0)).collect();
        let expected: Vec<_> = model.page(page, limit).into_iter().map(|seq| (seq, model.ids[&seq])).collect();
        assert_eq!(found, expected, "{page:?} of {limit}");
    }
    for _ in 0..6 {
        // Ids of the room are three times the `seq`.
        let id = chance.below(3 * model.last + 4);
        let is_there = id.is_multiple_of(3) && model.ids.contains_key(&(id / 3));
        assert_eq!(store.has_message(room, MessageId(id)).await.unwrap(), is_there, "{id}");
    }
    assert_eq!(store.last_seq(room).await.unwrap(), Seq(model.last));
}

/// Removes all but the latest messages of each room, as retention does.
pub(super) fn keep(store: &Store<()>, kept: u64) {
    loop {
        let beyond = |connection: &rusqlite::Connection| {
            crate::sqlite::oldest::Oldest::beyond(connection, &store.sqlite().unindexed, RoomId(0), kept)
        };
        let oldest = store.sqlite().readers.read_blocking(beyond).unwrap();
        if oldest.is_empty() {
            return;
        }
        store.sqlite().database.remove_oldest(&oldest).unwrap();
    }
}

#[tokio::test]
async fn pages_equal_those_of_a_plain_list_whatever_was_deleted() {
    pages_equal_those_of_a_plain_list(0).await;
}

#[tokio::test]
async fn pages_from_memory_do_too() {
    pages_equal_those_of_a_plain_list(1 << 20).await;
}

async fn pages_equal_those_of_a_plain_list(history_cache_bytes_max: usize) {
    let directory = tempfile::tempdir().unwrap();
    let limits = StoreLimits { history_cache_bytes_max, ..LIMITS };
    let open = || Store::open(&directory.path().join("ondol.db"), Synchronous::Full, &limits).unwrap();
    let mut store = open();
    let rooms = [room(&store).await, room(&store).await];
    let (ann, mut chance) = (called("ann", None), Chance(7));
    let mut models = [Model::default(), Model::default()];
    for round in 0..200 {
        let which = (chance.below(3) % 2) as usize;
        let (room, model) = (rooms[which], &mut models[which]);
        match chance.below(8) {
            0..4 => {
                let count = [1, 9, 120, 700][chance.below(4) as usize];
                // A part of them alone in its batch, so that segments of different lengths arise.
                for piece in [count / 2, count - count / 2] {
                    let seqs = model.last + 1..=model.last + piece;
                    let entries = seqs.map(|seq| entry_of(&ann, 3 * seq, room, seq)).collect::<Vec<_>>();
                    model.ids.extend(entries.iter().flat_map(|entry| &entry.message).map(|it| (it.seq.0, it.id.0)));
                    model.last += piece;
                    if !entries.is_empty() {
                        assert!(store_all(&store, entries).failed.is_empty());
                    }
                }
            }
            4 | 5 => {
                let from = chance.below(model.last + 1);
                let width = [1, 3, 600, 2_000][chance.below(4) as usize];
                let step = 1 + chance.below(3) as usize;
                let seqs: Vec<Seq> = (from..from + width).step_by(step).map(Seq).collect();
                let expected: Vec<_> = seqs.iter().filter_map(|seq| Some((seq.0, model.ids.remove(&seq.0)?))).collect();
                let deleted = store.delete(room, seqs).await.unwrap().messages;
                assert_eq!(deleted.iter().map(|it| (it.seq.0, it.id.0)).collect::<Vec<_>>(), expected);
            }
            6 if round % 3 == 0 => {
                let kept = 50 + chance.below(2_000);
                keep(&store, kept);
                for model in &mut models {
                    model.ids.retain(|seq, _| *seq + kept > model.last);
                }
            }
            _ => {
                drop(store);
                store = open();
            }
        }
        compare(&store, rooms[which], &models[which], &mut chance).await;
    }
    let lasts = models.each_ref().map(|model| (model.last, model.ids.len()));
    assert!(lasts.iter().all(|(last, left)| *last > 2_000 && *left > 100), "too little happened: {lasts:?}");
    let path = directory.path().join("ondol.db");
    let verified = crate::verify(&path, &|_, _| {}).unwrap();
    assert_eq!((verified.problems.shown(), verified.messages), ([].as_slice(), (lasts[0].1 + lasts[1].1) as u64));
    for (room, model) in rooms.into_iter().zip(&models) {
        assert_whole(&path, room, model);
    }
}

/// Checks that the view has the room's messages, and that each segment points at one at least.
fn assert_whole(path: &Path, room: RoomId, model: &Model) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut view = connection.prepare("SELECT seq, id FROM room_message WHERE room = ?1 ORDER BY seq").unwrap();
    let read =
        |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs()));
    let found: Vec<_> = view.query_map([room.0.cast_signed()], read).unwrap().map(Result::unwrap).collect();
    assert_eq!(found, model.ids.iter().map(|(seq, id)| (*seq, *id)).collect::<Vec<_>>());
    let empty = "SELECT count(*) FROM run WHERE NOT EXISTS \
         (SELECT 1 FROM json_each(messages) AS place JOIN message ON message.n = place.value)";
    assert_eq!(connection.query_row(empty, [], |row| row.get::<_, i64>(0)).unwrap(), 0, "segments without messages");
}

#[tokio::test]
async fn a_page_costs_the_same_whatever_was_deleted_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (room, ann) = (room(&store).await, called("ann", None));
    let mut last = 0;
    for _ in 0..40 {
        store_all(&store, (last + 1..=last + 500).map(|seq| entry_of(&ann, seq, room, seq)));
        last += 500;
    }
    for from in (101..19_901).step_by(300) {
        store.delete(room, (from..from + 300).map(Seq).collect()).await.unwrap();
    }
    let seqs = async |page| {
        let messages = store.messages(room, page, 3).await.unwrap();
        messages.into_iter().map(|message| message.seq.0).collect::<Vec<_>>()
    };
    assert_eq!(seqs(Page::After(Seq(99))).await, [100, 19_901, 19_902]);
    assert_eq!(seqs(Page::Before(Seq(19_902))).await, [99, 100, 19_901]);
    let left = "SELECT count(*) FROM run";
    assert!(super::count(&store, left).await <= 4, "segments without messages are removed");
}

#[tokio::test]
async fn retention_by_age_removes_the_oldest_of_all_rooms() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ondol.db");
    let store = open(directory.path());
    let (ours, theirs) = (room(&store).await, room(&store).await);
    let (ann, ben) = (called("ann", None), called("Ben", None));
    store_all(&store, (1..=600).map(|seq| entry_of(&ann, seq, ours, seq)));
    store_all(&store, (1..=5).map(|seq| entry_of(&ann, 600 + seq, theirs, seq)));
    store.delete(ours, vec![Seq(7), Seq(595)]).await.unwrap();
    drop(store);
    // All of these are from 1970. What follows is from today.
    let now = rusqlite::Connection::open(&path).unwrap();
    now.execute("UPDATE message SET created_at = unixepoch() * 1000 WHERE room = 1 AND seq > 590", []).unwrap();
    now.execute("UPDATE message SET created_at = unixepoch() * 1000 WHERE room = 2", []).unwrap();
    drop(now);
    let retention = MessageRetention { of_room: 0, age_ms: 3_600_000 };
    let store = Store::<()>::open(&path, Synchronous::Full, &StoreLimits { retention, ..LIMITS }).unwrap();
    let remaining = "SELECT count(*) FROM message";
    super::removal::until(&store, remaining, 14).await;
    assert_eq!(store.messages(ours, Page::After(Seq(0)), 3).await.unwrap()[0].seq, Seq(591));
    assert_eq!(store.messages(theirs, Page::Latest, 10).await.unwrap().len(), 5);
    assert_eq!(store_all(&store, [entry_of(&ben, 700, ours, 601)]).stored.len(), 1, "numbers go on");
    assert_eq!(store.deletions(ours, Seq(600), Seq(600), 10).await.unwrap().len(), 2);
}
