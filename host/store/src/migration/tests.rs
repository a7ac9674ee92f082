//! A chat of a file, in a real PostgreSQL afterwards.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails should say where")]

use std::path::PathBuf;
use std::sync::Arc;

use ondol_engines::Database;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::sqlite::tests::{LIMITS, create, entry, open, store_all};
use crate::{
    AboutVersion, Claimed, DirectorySnapshot, Entry, Page, ReleaseRecord, Retention, Store, StoreError, StoredEvent,
    StoredVersion, verify_postgres,
};
use ondol_host_model::{Draft, Message, MessageId, Room, RoomId, Seq, Speaker, Timestamp, User};

mod refused;

const RETENTION: Retention = Retention { versions_max: 3, releases_max: 5 };

/// A chat in a file, whose server has stopped, and an empty database.
struct Chat {
    directory: TempDir,
    database: Database,
    runtime: Runtime,
}

/// What clients and operators see of a chat.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    epoch: String,
    rooms: Vec<Room>,
    /// Of each room, as text.
    messages: Vec<String>,
    last_seqs: Vec<Seq>,
    deletions: Vec<crate::Deleted>,
    releases: Vec<crate::StoredRelease>,
    /// Each with its component's digest.
    versions: Vec<(AboutVersion, String)>,
    events: Vec<StoredEvent>,
    blocked: Vec<(String, String)>,
    snapshots: Vec<DirectorySnapshot>,
}

fn said(room: RoomId, seq: u64, sender: &str, draft: Draft) -> Entry<()> {
    let profile_url = seq.is_multiple_of(2).then(|| "/face.png".to_owned());
    let (nickname, email) = (format!("{sender} 앤"), format!("{sender}@example.com"));
    let sender = Arc::new(Speaker::new(User { id: sender.into(), nickname, email, profile_url }));
    let (id, seq, created_at) = (MessageId(10_000 + seq * 10 + room.0), Seq(seq), Timestamp(seq));
    Entry { message: Some(Arc::new(Message { id, room, seq, sender, draft, created_at, origin: None })), context: () }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Versions of handlers, each with a component in several pieces.
fn save_versions(store: &Store<()>) -> [String; 3] {
    ["rooms", "messages", "events"].map(|handler| {
        let wasm = handler.repeat(200_000).into_bytes();
        let component = sha256(&wasm);
        let about = AboutVersion {
            id: format!("version of {handler}"),
            handler: handler.to_owned(),
            component,
            settings: "{\"a\":\"b\"}".to_owned(),
            cases: (handler == "events").then(|| "# cases".to_owned()),
            bytes: wasm.len() as u64,
            first_seen: Timestamp(1),
            last_active: Timestamp(1),
        };
        let id = about.id.clone();
        store.releases().save_version(&StoredVersion { about, wasm }).unwrap();
        id
    })
}

fn fill_history(store: &Store<()>) {
    let versions = save_versions(store);
    let release = |over: Option<u64>, reason: &str| ReleaseRecord {
        versions: versions.clone(),
        actor: "ann".into(),
        trigger: "deploy".into(),
        reason: reason.into(),
        back_to: None,
        over,
        previous_outcome: "replaced".into(),
        previous_detail: Some("by ann".into()),
    };
    let releases = store.releases();
    releases.record(&[], release(None, "one"), RETENTION).unwrap();
    releases.record(&[], release(Some(1), "two"), RETENTION).unwrap();
    releases.record_rejected(release(Some(2), "three"), "no".into(), RETENTION).unwrap();
    let (what, actor, detail) = ("canary_started".into(), "ann".into(), "10 %".into());
    releases.record_event(StoredEvent { release: 2, what, actor, detail, created_at: Timestamp(0) }).unwrap();
    releases.set_blocked("bad".into(), Some("it trapped".into())).unwrap();
    let (handler, sha256, settings) = ("events".into(), "00".into(), "{}".into());
    releases.save_directory_snapshot(DirectorySnapshot { handler, sha256, settings }).unwrap();
}

impl Chat {
    /// None: PostgreSQL is not installed.
    fn new() -> Option<Self> {
        let database = ondol_engines::Postgres::of_tests().unwrap()?;
        let (directory, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
        let store = open(directory.path());
        runtime.block_on(async {
            for post in [None, Some(17), None] {
                create(&store, post).await;
            }
            // The first ones of both rooms are in segments of the index.
            for room in [1, 2].map(RoomId) {
                store_all(&store, (1..=300).map(|seq| entry(seq * 10 + room.0, room, seq)));
            }
            store_all(
                &store,
                (301..=340_u64).flat_map(|seq| {
                    let draft = |room: u64| Draft {
                        text: format!("말 {seq} \u{1f600} \" \\ \n\t"),
                        client_id: seq.is_multiple_of(3).then(|| format!("c\\{seq}")),
                        parent: seq.is_multiple_of(5).then_some(MessageId(10 + room)),
                        extra: seq.is_multiple_of(7).then(|| "{\"a\":1}".to_owned()),
                    };
                    [1, 2].map(|room| said(RoomId(room), seq, ["bo", "cy"][seq as usize % 2], draft(room)))
                }),
            );
            store.delete(RoomId(1), [2, 77, 340].map(Seq).to_vec()).await.unwrap();
            store.delete(RoomId(2), (1..=50).map(Seq).collect()).await.unwrap();
        });
        fill_history(&store);
        // Ids that are higher than those of all messages of the tests.
        while store.next_id().unwrap() < MessageId(50_000) {}
        store.finish();
        Some(Self { directory, database, runtime })
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("ondol.db")
    }

    fn config(&self) -> PostgresConfig {
        PostgresConfig::of_tests(&self.database.url(), "chat-1")
    }

    fn migrate(&self) -> Result<Migrated, MigrateError> {
        migrate(&self.file(), &self.config(), &AtomicBool::new(false), &mut |_, done, total| assert!(done <= total))
    }

    fn in_file<R>(&self, read: impl FnOnce(&Store<()>) -> R) -> R {
        let store = open(self.directory.path());
        let read = read(&store);
        store.finish();
        read
    }

    fn in_postgres<R>(&self, read: impl FnOnce(&Store<()>) -> R) -> R {
        let _runtime = self.runtime.enter();
        let store = Store::connect(&self.config(), &LIMITS).unwrap();
        let read = read(&store);
        store.finish();
        read
    }

    fn content(&self, store: &Store<()>) -> Content {
        let _runtime = self.runtime.enter();
        let wait = &self.runtime;
        let rooms = wait.block_on(store.rooms(RoomId(0), 99)).unwrap();
        let all = Page::After(Seq(0));
        let of = |room: &Room| -> String {
            let messages = wait.block_on(store.messages(room.id, all, 999)).unwrap();
            messages
                .iter()
                .map(|message| {
                    format!("{:?}\n", (message.id, message.seq, &**message.sender, &message.draft, message.created_at))
                })
                .collect()
        };
        let history = store.releases();
        let versions = history.versions("").unwrap();
        let whole = |about: &AboutVersion| history.version(&about.id).unwrap().unwrap();
        let mut versions: Vec<_> =
            versions.iter().map(whole).map(|version| (version.about, sha256(&version.wasm))).collect();
        versions.sort_by(|(one, _), (other, _)| one.id.cmp(&other.id));
        Content {
            epoch: store.epoch().to_owned(),
            messages: rooms.iter().map(of).collect(),
            last_seqs: rooms.iter().map(|room| wait.block_on(store.last_seq(room.id)).unwrap()).collect(),
            deletions: wait.block_on(store.deletions(RoomId(1), Seq(0), Seq(999), 99)).unwrap(),
            releases: history.list(None, 99).unwrap(),
            versions,
            events: history.events(0, 99).unwrap(),
            blocked: history.blocked_versions().unwrap(),
            snapshots: history.directory_snapshots().unwrap(),
            rooms,
        }
    }

    /// Nothing was written, not even the tables.
    fn assert_untouched(&self) {
        assert_eq!(self.database.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").unwrap(), "0");
    }

    fn sqlite(&self, sql: &str) {
        rusqlite::Connection::open(self.file()).unwrap().execute_batch(sql).unwrap();
    }
}

#[test]
fn a_chat_that_moves_is_the_same_chat() {
    let Some(chat) = Chat::new() else { return };
    let before = chat.in_file(|store| chat.content(store));
    let bytes = std::fs::read(chat.file()).unwrap();
    let moved = Migrated { rooms: 3, messages: 627, versions: 3, releases: 3, ..Migrated::default() };
    assert_eq!(chat.migrate().unwrap(), moved);
    assert_eq!(std::fs::read(chat.file()).unwrap(), bytes, "the file is as it was");
    assert_eq!(chat.in_postgres(|store| chat.content(store)), before);
    let checked = verify_postgres(&chat.config(), &|_, _| {}).unwrap();
    assert_eq!((checked.problems.shown(), checked.rooms, checked.messages), ([].as_slice(), 3, 627));
    assert_eq!(chat.in_file(|store| chat.content(store)), before, "and can still be used");
}

#[test]
fn a_chat_goes_on_where_it_was() {
    let Some(chat) = Chat::new() else { return };
    let used = chat.in_file(|store| store.next_id().unwrap());
    chat.migrate().unwrap();
    chat.in_postgres(|store| {
        chat.runtime.block_on(async {
            let known = store.by_client_id(RoomId(2), "ann".into(), "c602".into()).await.unwrap();
            assert_eq!(known.map(|message| message.seq), Some(Seq(60)));
            let deleted = store.by_client_id(RoomId(2), "ann".into(), "c12".into()).await.unwrap();
            assert!(deleted.is_none(), "the id of a deleted message is free");
            assert_eq!(store.claim(RoomId(1)).await.unwrap(), Claimed::Here { last: Seq(340) });
            assert!(store.next_id().unwrap() >= used, "no id is used twice");
            assert!(matches!(create(store, None).await, crate::RoomOutcome::Created(room) if room.id == RoomId(4)));
            assert!(
                matches!(create(store, Some(17)).await, crate::RoomOutcome::Existing(room) if room.id == RoomId(2))
            );
            let mut next = said(RoomId(1), 341, "cy", Draft::default()).message.unwrap();
            Arc::get_mut(&mut next).unwrap().id = store.next_id().unwrap();
            let mut leader = store.append(Entry { message: Some(next), context: () }).unwrap().unwrap();
            assert_eq!(leader.commit().await.stored.len(), 1);
        });
    });
    assert_eq!(verify_postgres(&chat.config(), &|_, _| {}).unwrap().problems.shown(), [""; 0]);
    // A sender that is known gets no second row.
    assert_eq!(chat.database.sql("SELECT count(*), count(DISTINCT (usr, digest)) FROM sender").unwrap(), "3|3");
}

#[test]
fn numbers_of_what_was_removed_are_not_given_again() {
    let Some(chat) = Chat::new() else { return };
    chat.sqlite("DELETE FROM room WHERE id = 3; UPDATE counter SET next = 90000 WHERE name = 'id'; DELETE FROM release WHERE id = 3");
    chat.migrate().unwrap();
    let next =
        "SELECT nextval('message_id'), nextval('room_id_seq'), nextval('release_id_seq'), nextval('deletion_n_seq')";
    assert_eq!(chat.database.sql(next).unwrap(), "90000|4|4|54");
}

#[test]
fn characters_that_postgresql_cannot_hold_are_replaced_and_counted() {
    let Some(chat) = Chat::new() else { return };
    chat.sqlite(
        "UPDATE message SET text = 'a' || char(0) || 'b' || char(0), extra = char(0) WHERE room = 1 AND seq = 5;
         INSERT INTO sender SELECT n + 100, user, char(0), email, profile_url FROM sender WHERE user = 'ann';
         INSERT INTO sender SELECT n + 100, user, char(65533), email, profile_url FROM sender WHERE n > 100;
         UPDATE message SET sender = 201 WHERE room = 2 AND seq = 60",
    );
    assert_eq!(chat.migrate().unwrap().replaced, 4);
    chat.in_postgres(|store| {
        let first = |room, seq: u64| {
            let page = store.messages(RoomId(room), Page::After(Seq(seq - 1)), 1);
            chat.runtime.block_on(page).unwrap().remove(0)
        };
        let message = first(1, 5);
        assert_eq!(
            (message.draft.text.as_str(), message.draft.extra.as_deref()),
            ("a\u{fffd}b\u{fffd}", Some("\u{fffd}"))
        );
        assert_eq!(first(2, 60).sender.nickname, "\u{fffd}", "by the row of the first of two that are one now");
    });
}

#[test]
fn a_database_that_may_have_gone_back_gets_a_new_epoch() {
    let Some(chat) = Chat::new() else { return };
    let before = chat.in_file(|store| store.epoch().to_owned());
    std::fs::remove_file(chat.file().with_extension("mark")).unwrap();
    assert!(chat.migrate().unwrap().has_new_epoch);
    assert_ne!(chat.in_postgres(|store| store.epoch().to_owned()), before);
}
