//! The store over real files.

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{Batch, Entry, Page, RoomOutcome, StoreError};
use crate::{Leader, MessageRetention, Store, StoreLimits, Synchronous};
use ondol_host_model::{Draft, Message, MessageId, OnExistingRoom, RoomDraft, RoomId, Seq, Speaker, Timestamp, User};

/// Limits that no test comes near.
pub(crate) const LIMITS: StoreLimits = StoreLimits {
    commit_queue_max: 16_384,
    commit_batch_max: 4_096,
    page_bytes_max: usize::MAX,
    // Tests of the cache set it.
    history_cache_bytes_max: 0,
    retention: MessageRetention { of_room: 0, age_ms: 0 },
};

/// A store without a limit on pages.
pub(crate) fn open(directory: &Path) -> Store<()> {
    Store::open(&directory.join("ondol.db"), Synchronous::Full, &LIMITS).unwrap()
}

/// Commits what has gathered.
pub(super) fn commit<T>(leader: &mut Leader<T>) -> Batch<T> {
    match std::pin::pin!(leader.commit()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(batch) => batch,
        Poll::Pending => panic!("a commit is ready at once"),
    }
}

/// Appends messages, then commits them all.
pub(crate) fn store_all(store: &Store<()>, entries: impl IntoIterator<Item = Entry<()>>) -> Batch<()> {
    let mut leaders = entries.into_iter().map(|entry| store.append(entry).unwrap());
    let mut leader = leaders.next().flatten().expect("the first entry has a leader");
    assert!(leaders.all(|leader| leader.is_none()), "there is one leader");
    let batch = commit(&mut leader);
    assert!(leader.step_down().is_none(), "all is committed");
    batch
}

pub(crate) fn entry(id: u64, room: RoomId, seq: u64) -> Entry<()> {
    let sender = Speaker::new(User {
        id: "ann".into(),
        nickname: "앤".into(),
        email: "ann@example.com".into(),
        profile_url: None,
    });
    let draft = Draft { text: format!("말 {seq}"), client_id: Some(format!("c{id}")), ..Draft::default() };
    let (id, seq, sender) = (MessageId(id), Seq(seq), Arc::new(sender));
    Entry {
        message: Some(Arc::new(Message { id, room, seq, sender, draft, created_at: Timestamp(7), origin: None })),
        context: (),
    }
}

/// A message of no store.
pub(crate) fn message(seq: u64, text: &str) -> Message {
    let draft = Draft { text: text.to_owned(), ..Draft::default() };
    let (id, room) = (MessageId(seq), RoomId(1));
    Message { id, room, seq: Seq(seq), sender: called("앤", None), draft, created_at: Timestamp(7), origin: None }
}

/// The same by another speaker, and without a `client_id`.
fn entry_of(speaker: &Arc<Speaker>, id: u64, room: RoomId, seq: u64) -> Entry<()> {
    let (sender, draft) = (Arc::clone(speaker), Draft { text: format!("말 {seq}"), ..Draft::default() });
    let (id, seq) = (MessageId(id), Seq(seq));
    Entry {
        message: Some(Arc::new(Message { id, room, seq, sender, draft, created_at: Timestamp(7), origin: None })),
        context: (),
    }
}

fn called(nickname: &str, profile_url: Option<&str>) -> Arc<Speaker> {
    let (nickname, profile_url) = (nickname.to_owned(), profile_url.map(str::to_owned));
    Arc::new(Speaker::new(User { id: "ann".into(), nickname, email: "ann@example.com".into(), profile_url }))
}

pub(super) async fn count(store: &Store<()>, sql: &'static str) -> i64 {
    store.sqlite().readers.read(move |connection| connection.query_row(sql, [], |row| row.get(0))).await.unwrap()
}

pub(crate) async fn create(store: &Store<()>, post_id: Option<u64>) -> RoomOutcome {
    let draft = RoomDraft { name: "방".into(), on_existing: OnExistingRoom::Reuse };
    store.create_room(draft, post_id, None).await.unwrap()
}

async fn room(store: &Store<()>) -> RoomId {
    match create(store, None).await {
        RoomOutcome::Created(room) | RoomOutcome::Existing(room) => room.id,
    }
}

#[tokio::test]
async fn a_post_has_one_room() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let RoomOutcome::Created(first) = create(&store, Some(7)).await else { panic!("not created") };
    assert_eq!(create(&store, Some(7)).await, RoomOutcome::Existing(first));
    assert!(matches!(create(&store, None).await, RoomOutcome::Created(_)));
    assert!(matches!(create(&store, None).await, RoomOutcome::Created(_)));
}

#[tokio::test]
async fn stored_messages_are_found_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    let batch = store_all(&store, (1..=5).map(|seq| entry(seq, room, seq)));
    assert_eq!(batch.stored.len(), 5);

    let again = Store::<()>::open(&directory.path().join("ondol.db"), Synchronous::Full, &LIMITS);
    assert!(matches!(again, Err(StoreError::Locked(_))), "one server at a time");
    drop(store);
    let store = open(directory.path());
    assert!(store.next_id().unwrap() >= MessageId(6), "no id is used twice");
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
async fn ids_continue_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    assert_eq!(store.next_id().unwrap(), MessageId(1));
    store_all(&store, [entry(1, room, 1), entry(2, room, 2), entry(1_500, room, 3)]);
    store.sqlite().database.save_next_id(MessageId(1_501)).unwrap();
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.next_id().unwrap(), MessageId(1_501));
    store_all(&store, [entry(1_501, room, 4)]);
    // Without it, as after a crash.
    drop(store);
    assert!(open(directory.path()).next_id().unwrap() > MessageId(1_501));
}

#[tokio::test]
async fn ids_of_a_failed_batch_are_reserved_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    // Another process holds the lock for longer than the writer waits.
    let other = rusqlite::Connection::open(directory.path().join("ondol.db")).unwrap();
    store.sqlite().database.write(|connection| Ok(connection.busy_timeout(Duration::ZERO)?)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(store_all(&store, [entry(1, room, 1)]).failed.len(), 1);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store_all(&store, [entry(2, room, 1)]).stored.len(), 1);
    drop((store, other));
    assert!(open(directory.path()).next_id().unwrap() > MessageId(2));
}

#[tokio::test]
async fn a_message_id_is_found_in_its_own_room_only() {
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
async fn a_page_spans_indexed_and_unindexed_messages() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (ours, theirs) = (room(&store).await, room(&store).await);
    for batch in 0..50_u64 {
        let seqs = 50 * batch + 1..=50 * batch + 50;
        store_all(&store, seqs.flat_map(|seq| [entry(2 * seq, ours, seq), entry(2 * seq + 1, theirs, seq)]));
    }
    let indexed = "SELECT sum(json_array_length(messages)) FROM run WHERE place >> 32 = 1";
    assert_eq!(count(&store, indexed).await, 2_400, "all but the last two batches");
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
async fn unindexed_messages_are_found_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let rooms = {
        let store = open(directory.path());
        [room(&store).await, room(&store).await]
    };
    let (ann, mut id) = (called("ann", None), 0);
    for round in 0..40 {
        // A new store each time, with nothing in memory.
        let store = open(directory.path());
        for room in rooms {
            let said = store.last_seq(room).await.unwrap();
            let more = if room == rooms[0] { 7 } else { 30 };
            assert_eq!(said, Seq(round * more));
            let entries = (1..=more).map(|more| {
                id += 1;
                entry_of(&ann, id, room, said.0 + more)
            });
            assert_eq!(store_all(&store, entries).stored.len(), more as usize);
            let page = store.messages(room, Page::Latest, 100).await.unwrap();
            let to = said.0 + more;
            let seqs: Vec<u64> = page.iter().map(|message| message.seq.0).collect();
            assert_eq!(seqs, (to.saturating_sub(99).max(1)..=to).collect::<Vec<_>>());
        }
        assert_eq!(count(&store, "SELECT count(*) FROM sender").await, 1, "a sender who returns has one row");
    }
    let store = open(directory.path());
    assert_eq!(count(&store, "SELECT count(*) FROM run WHERE place >> 32 = 2").await, 4, "270 in each");
}

#[tokio::test]
async fn a_quiet_room_is_indexed_eventually() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (silent, loud) = ([room(&store).await, room(&store).await, room(&store).await], room(&store).await);
    let ann = called("ann", None);
    let of_silent = "SELECT count(*) FROM run WHERE place >> 32 < 4";
    let mut said = 0;
    let mut say = |room, count| {
        let seqs = said + 1..=said + count;
        said += count;
        store_all(&store, seqs.map(|seq| entry_of(&ann, seq, room, seq)));
    };
    say(loud, 4_096);
    store_all(&store, silent.map(|room| entry_of(&ann, room.0, room, 1)));
    for _ in 0..16 {
        say(loud, 4_096);
        assert_eq!(count(&store, of_silent).await, 0);
    }
    for written in 1..=3 {
        say(loud, 1);
        assert_eq!(count(&store, of_silent).await, written, "one room per new message");
    }
    let first_unindexed = "SELECT next FROM counter WHERE name = 'place'";
    assert!(count(&store, first_unindexed).await > 65_536, "a start scans only the latest messages");
    for room in silent {
        assert_eq!(store.messages(room, Page::Latest, 9).await.unwrap().len(), 1);
        assert_eq!(store_all(&store, [entry_of(&ann, 1_000_000 + room.0, room, 2)]).stored.len(), 1);
        assert_eq!(store.messages(room, Page::Latest, 9).await.unwrap().len(), 2);
    }
    drop(store);
    let store = open(directory.path());
    for room in silent {
        assert_eq!(store.last_seq(room).await.unwrap(), Seq(2));
    }
    assert_eq!(store.last_seq(loud).await.unwrap(), Seq(17 * 4_096 + 3));
}

#[tokio::test]
async fn messages_keep_the_name_and_picture_of_their_time() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    let names = [("ann", None), ("Anna", None), ("ann", Some("")), ("ann", None), ("Anna", Some("/a.png"))];
    for (seq, (nickname, picture)) in (1..).zip(names) {
        store_all(&store, [entry_of(&called(nickname, picture), seq, room, seq)]);
    }
    assert_eq!(count(&store, "SELECT count(*) FROM sender").await, 4);
    let messages = store.messages(room, Page::Latest, 9).await.unwrap();
    let shown: Vec<_> = messages
        .iter()
        .map(|message| (message.sender.nickname.as_str(), message.sender.profile_url.as_deref()))
        .collect();
    assert_eq!(shown, names);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_no_gap_while_messages_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()));
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
    while least < 6_000 {
        assert!(least > 0 || !writing.is_finished() || store.last_seq(room).await.unwrap() == Seq(6_000));
        let page = store.messages(room, Page::Latest, 150).await.unwrap();
        let seqs: Vec<u64> = page.iter().map(|message| message.seq.0).collect();
        let last = seqs.last().copied().unwrap_or(0);
        assert!(last >= least, "{last} after {least}");
        assert_eq!(seqs, (last.saturating_sub(149).max(1)..=last).collect::<Vec<_>>());
        least = last;
    }
    writing.await.unwrap();
}

mod cache;
mod commits;
mod files;
mod gaps;
mod removal;
