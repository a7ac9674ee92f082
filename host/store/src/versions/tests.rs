//! Versions and releases over a real file.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails should say where")]

use std::path::Path;

use super::*;
use crate::Synchronous;
use crate::tests::LIMITS;

const KEPT: Kept = Kept { versions_max: 3, releases_max: 5 };

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

fn keep(store: &Store<()>, handler: &str, id: &str) {
    store.keep_version(StoredVersion { about: about(handler, id), wasm: id.as_bytes().to_vec() }).unwrap();
}

fn release(events: &str) -> NewRelease {
    NewRelease {
        versions: ["r".into(), "m".into(), events.into()],
        who: "ann".into(),
        how: "deploy".into(),
        why: String::new(),
        back_to: None,
        left: "replaced".into(),
        left_detail: None,
    }
}

#[test]
fn the_last_release_is_the_active_one_after_opening_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for id in ["a", "b"] {
        keep(&store, "events", id);
        store.record_release(vec![], release(id), KEPT).unwrap();
    }
    store.record_refused(release("c"), "it is text".into(), KEPT).unwrap();
    drop(store);

    let store = open(directory.path());
    let active = store.active_release().unwrap().unwrap();
    assert_eq!((active.number, active.versions[2].as_str()), (2, "b"));
    let outcomes: Vec<_> = store.releases(None, 10).unwrap().into_iter().map(|release| release.outcome).collect();
    assert_eq!(outcomes, ["refused", "active", "replaced"]);
    assert_eq!(store.version("a".into()).unwrap().unwrap().wasm, b"a");
    assert_eq!(store.versions("b".into()).unwrap()[0].bytes, 1);
}

#[test]
fn the_last_versions_are_kept_and_the_active_ones_whatever_happens() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for id in ["r", "r2"] {
        keep(&store, "rooms", id);
    }
    for number in 0..6 {
        let id = format!("e{number}");
        keep(&store, "events", &id);
        store.record_release(vec![], release(&id), KEPT).unwrap();
    }
    let mut kept: Vec<_> = store.versions(String::new()).unwrap().into_iter().map(|version| version.id).collect();
    kept.sort();
    assert_eq!(kept, ["e3", "e4", "e5", "r", "r2"]);
    assert_eq!(store.version("e0".into()).unwrap(), None);
    assert_eq!(store.releases(None, 10).unwrap().len(), KEPT.releases_max);
}

#[test]
fn bytes_that_were_broken_are_mended_by_the_next_deploy() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    keep(&store, "events", "a");
    let path = directory.path().join("ondol.db");
    rusqlite::Connection::open(path).unwrap().execute("UPDATE component SET wasm = x'00'", []).unwrap();
    assert_eq!(store.version("a".into()).unwrap().unwrap().wasm, [0]);
    keep(&store, "events", "a");
    assert_eq!(store.version("a".into()).unwrap().unwrap().wasm, b"a");
}

#[test]
fn marks_and_what_was_seen_are_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.mark_version("a".into(), Some("it trapped".into())).unwrap();
    store.mark_version("b".into(), Some("so did it".into())).unwrap();
    store.mark_version("b".into(), None).unwrap();
    assert_eq!(store.bad_versions().unwrap(), [("a".into(), "it trapped".into())]);
    let seen = Seen { handler: "rooms".into(), sha256: "x".into(), settings: "{}".into() };
    store.remember_seen(seen.clone()).unwrap();
    assert_eq!(store.seen().unwrap(), [seen]);
}

#[test]
fn a_file_of_version_one_is_brought_up_with_its_rooms() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ondol.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../schema.sql")).unwrap();
    old.execute_batch("INSERT INTO room (name, created_at) VALUES ('lobby', 1); PRAGMA user_version = 1").unwrap();
    drop(old);
    let store = open(directory.path());
    assert_eq!(store.active_release().unwrap(), None);
    keep(&store, "events", "a");
    assert_eq!(store.record_release(vec![], release("a"), KEPT).unwrap(), 1);
    let rooms: i64 = rusqlite::Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(*) FROM room", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rooms, 1);
}

#[test]
fn refused_releases_push_out_none_that_ran() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for number in 0..8 {
        store.record_release(vec![], release(&format!("e{number}")), KEPT).unwrap();
    }
    for number in 0..20 {
        store.record_refused(release(&format!("bad{number}")), "it is text".into(), KEPT).unwrap();
    }
    let numbers = |releases: Vec<StoredRelease>| releases.iter().map(|release| release.number).collect::<Vec<_>>();
    assert_eq!(numbers(store.releases(None, 100).unwrap()), [28, 27, 26, 25, 24, 8, 7, 6, 5, 4]);
    assert_eq!(numbers(store.releases_that_ran(Some(8), 3).unwrap()), [7, 6, 5]);
    assert_eq!(numbers(store.releases_that_ran(None, 3).unwrap()), [8, 7, 6]);
}

#[test]
fn a_handlers_file_that_is_refused_again_and_again_is_one_release() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let refuse = |release: NewRelease, reason: &str| store.record_refused(release, reason.into(), KEPT).unwrap();
    let of_file = |events: &str| NewRelease { how: "directory".into(), ..release(events) };
    store.record_release(vec![], release("a"), KEPT).unwrap();
    refuse(of_file("half"), "it ends in the middle");
    refuse(of_file("text"), "it is text");
    let last = || store.releases(None, 1).unwrap().remove(0);
    assert_eq!((last().number, last().versions[2].as_str(), last().detail.as_deref()), (2, "text", Some("it is text")));
    // Neither another handler's file nor an operator's deploy is the same again.
    refuse(NewRelease { versions: ["r".into(), "text".into(), "a".into()], ..of_file("a") }, "it is text");
    refuse(release("half"), "it ends in the middle");
    refuse(of_file("half"), "it ends in the middle");
    assert_eq!(last().number, 5);
}
