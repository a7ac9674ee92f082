//! Versions and releases over a real file.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails should say where")]

use std::path::Path;

use super::*;
use crate::sqlite::tests::LIMITS;
use crate::{Store, Synchronous};

const RETENTION: Retention = Retention { versions_max: 3, releases_max: 5 };

fn open(directory: &Path) -> Store<()> {
    Store::open(&directory.join("ondol.db"), Synchronous::Full, &LIMITS).unwrap()
}

fn about(handler: &str, id: &str) -> AboutVersion {
    AboutVersion {
        id: id.into(),
        handler: handler.into(),
        component: format!("sha of {id}"),
        settings: "{}".into(),
        cases: None,
        bytes: 0,
        first_seen: Timestamp(0),
        last_active: Timestamp(0),
    }
}

fn save(store: &Store<()>, handler: &str, id: &str) {
    store.releases().save_version(&StoredVersion { about: about(handler, id), wasm: id.as_bytes().to_vec() }).unwrap();
}

fn release(events: &str) -> ReleaseRecord {
    ReleaseRecord {
        versions: ["r".into(), "m".into(), events.into()],
        actor: "ann".into(),
        trigger: "deploy".into(),
        reason: String::new(),
        back_to: None,
        over: None,
        previous_outcome: "replaced".into(),
        previous_detail: None,
    }
}

/// Records a release over the active one.
fn record(store: &Store<()>, release: ReleaseRecord) -> Result<u64, StoreError> {
    let over = store.releases().active()?.map(|active| active.number);
    store.releases().record(&[], ReleaseRecord { over, ..release }, RETENTION)
}

#[test]
fn the_last_release_is_active_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for id in ["a", "b"] {
        save(&store, "events", id);
        record(&store, release(id)).unwrap();
    }
    store.releases().record_rejected(release("c"), "it is text".into(), RETENTION).unwrap();
    drop(store);

    let store = open(directory.path());
    let active = store.releases().active().unwrap().unwrap();
    assert_eq!((active.number, active.versions[2].as_str()), (2, "b"));
    let outcomes: Vec<_> =
        store.releases().list(None, 10).unwrap().into_iter().map(|release| release.outcome).collect();
    assert_eq!(outcomes, ["refused", "active", "replaced"]);
    assert_eq!(store.releases().version("a").unwrap().unwrap().wasm, b"a");
    assert_eq!(store.releases().versions("b").unwrap()[0].bytes, 1);
}

#[test]
fn the_last_versions_and_the_active_ones_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for id in ["r", "r2"] {
        save(&store, "rooms", id);
    }
    for number in 0..6 {
        let id = format!("e{number}");
        save(&store, "events", &id);
        record(&store, release(&id)).unwrap();
    }
    let mut kept: Vec<_> = store.releases().versions("").unwrap().into_iter().map(|version| version.id).collect();
    kept.sort();
    assert_eq!(kept, ["e3", "e4", "e5", "r", "r2"]);
    assert_eq!(store.releases().version("e0").unwrap(), None);
    assert_eq!(store.releases().list(None, 10).unwrap().len(), RETENTION.releases_max);
}

#[test]
fn a_deploy_repairs_a_damaged_component() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    save(&store, "events", "a");
    let path = directory.path().join("ondol.db");
    rusqlite::Connection::open(path).unwrap().execute("UPDATE component SET wasm = x'00'", []).unwrap();
    assert_eq!(store.releases().version("a").unwrap().unwrap().wasm, [0]);
    save(&store, "events", "a");
    assert_eq!(store.releases().version("a").unwrap().unwrap().wasm, b"a");
}

#[test]
fn a_large_component_is_stored_in_pieces_and_goes_with_its_version() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let connection = rusqlite::Connection::open(directory.path().join("ondol.db")).unwrap();
    let rows = || connection.query_row("SELECT count(*) FROM component", [], |row| row.get::<_, i64>(0)).unwrap();
    let wasm: Vec<u8> = (0..1_300_000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let large = StoredVersion { about: about("events", "large"), wasm };

    store.releases().save_version(&large).unwrap();
    assert_eq!(rows(), 3);
    let found = store.releases().version("large").unwrap().unwrap();
    assert_eq!((found.about.bytes, &found.wasm), (1_300_000, &large.wasm));

    // A piece is missing, and two are left over.
    connection.execute("UPDATE component SET sha256 = 'sha of large/000009' WHERE sha256 LIKE '%/000001'", []).unwrap();
    connection.execute("INSERT INTO component VALUES ('sha of large/000010', x'00')", []).unwrap();
    store.releases().save_version(&large).unwrap();
    assert_eq!(store.releases().version("large").unwrap().unwrap().wasm, large.wasm);

    for number in 0..=RETENTION.versions_max {
        let id = format!("e{number}");
        save(&store, "events", &id);
        record(&store, release(&id)).unwrap();
    }
    assert_eq!(store.releases().version("large").unwrap(), None);
    assert_eq!(rows(), i64::try_from(RETENTION.versions_max).unwrap());
}

#[test]
fn blocked_versions_and_directory_snapshots_are_stored() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.releases().set_blocked("a".into(), Some("it trapped".into())).unwrap();
    store.releases().set_blocked("b".into(), Some("so did it".into())).unwrap();
    store.releases().set_blocked("b".into(), None).unwrap();
    assert_eq!(store.releases().blocked_versions().unwrap(), [("a".into(), "it trapped".into())]);
    let snapshot = DirectorySnapshot { handler: "rooms".into(), sha256: "x".into(), settings: "{}".into() };
    store.releases().save_directory_snapshot(snapshot.clone()).unwrap();
    assert_eq!(store.releases().directory_snapshots().unwrap(), [snapshot]);
}

#[test]
fn a_database_of_schema_1_is_migrated_with_its_rooms() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ondol.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../schema.sql")).unwrap();
    old.execute_batch("INSERT INTO room (name, created_at) VALUES ('lobby', 1); PRAGMA user_version = 1").unwrap();
    drop(old);
    let store = open(directory.path());
    assert_eq!(store.releases().active().unwrap(), None);
    save(&store, "events", "a");
    assert_eq!(record(&store, release("a")).unwrap(), 1);
    let rooms: i64 = rusqlite::Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(*) FROM room", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rooms, 1);
}

#[test]
fn rejected_releases_displace_no_admitted_ones() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for number in 0..8 {
        record(&store, release(&format!("e{number}"))).unwrap();
    }
    for number in 0..20 {
        store.releases().record_rejected(release(&format!("bad{number}")), "it is text".into(), RETENTION).unwrap();
    }
    let numbers = |releases: Vec<StoredRelease>| releases.iter().map(|release| release.number).collect::<Vec<_>>();
    assert_eq!(numbers(store.releases().list(None, 100).unwrap()), [28, 27, 26, 25, 24, 8, 7, 6, 5, 4]);
    assert_eq!(numbers(store.releases().list_admitted(Some(8), 3).unwrap()), [7, 6, 5]);
    assert_eq!(numbers(store.releases().list_admitted(None, 3).unwrap()), [8, 7, 6]);
}

#[test]
fn repeated_rejections_of_a_handlers_file_are_one_release() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let reject = |release: ReleaseRecord, reason: &str| {
        store.releases().record_rejected(release, reason.into(), RETENTION).unwrap()
    };
    let of_file = |events: &str| ReleaseRecord { trigger: "directory".into(), ..release(events) };
    record(&store, release("a")).unwrap();
    reject(of_file("half"), "it ends in the middle");
    reject(of_file("text"), "it is text");
    let last = || store.releases().list(None, 1).unwrap().remove(0);
    assert_eq!((last().number, last().versions[2].as_str(), last().detail.as_deref()), (2, "text", Some("it is text")));
    // Another handler's file and an operator's deploy are releases of their own.
    reject(ReleaseRecord { versions: ["r".into(), "text".into(), "a".into()], ..of_file("a") }, "it is text");
    reject(release("half"), "it ends in the middle");
    reject(of_file("half"), "it ends in the middle");
    assert_eq!(last().number, 5);
}

#[test]
fn a_release_is_recorded_over_the_active_one_only() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let over = |over: Option<u64>| match store.releases().record(&[], ReleaseRecord { over, ..release("a") }, RETENTION)
    {
        Err(StoreError::Overtaken { active }) => Err(active),
        recorded => Ok(recorded.unwrap()),
    };
    assert_eq!([over(Some(1)), over(None), over(None), over(Some(1))], [Err(0), Ok(1), Err(1), Ok(2)]);
    assert_eq!(store.releases().list(None, 10).unwrap().len(), 2);
}
