//! Versions and releases in a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails should say where")]

use std::time::Instant;

use tokio::runtime::Runtime;

use super::*;
use crate::postgres::testing::Testing;

const RETENTION: Retention = Retention { versions_max: 3, releases_max: 5 };

struct Tested {
    runtime: Runtime,
    testing: Testing,
}

impl Tested {
    fn new() -> Option<Self> {
        let runtime = Runtime::new().unwrap();
        let testing = runtime.block_on(Testing::new())?;
        Some(Self { runtime, testing })
    }

    /// The history as this host has it.
    fn of(&self, no: i32, host: &str) -> ReleaseHistory {
        let _runtime = self.runtime.enter();
        let writers = Arc::new(ReleaseHistory::writers(&self.testing.connector).unwrap());
        ReleaseHistory::new(Arc::clone(&self.testing.readers), writers, no, host)
    }

    fn open(&self) -> ReleaseHistory {
        self.of(1, "chat-1")
    }
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

fn save(store: &ReleaseHistory, handler: &str, id: &str) {
    store.save_version(&StoredVersion { about: about(handler, id), wasm: id.as_bytes().to_vec() }).unwrap();
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
fn record(store: &ReleaseHistory, release: ReleaseRecord) -> Result<u64, StoreError> {
    let over = store.active()?.map(|active| active.number);
    store.record(&[], &ReleaseRecord { over, ..release }, RETENTION)
}

#[test]
fn the_last_release_is_active_after_reopening() {
    let Some(tested) = Tested::new() else { return };
    let store = tested.open();
    for id in ["a", "b"] {
        save(&store, "events", id);
        record(&store, release(id)).unwrap();
    }
    store.record_rejected(&release("c"), "it is text", RETENTION).unwrap();
    drop(store);

    let store = tested.open();
    let active = store.active().unwrap().unwrap();
    assert_eq!((active.number, active.versions[2].as_str()), (2, "b"));
    let outcomes: Vec<_> = store.list(None, 10).unwrap().into_iter().map(|release| release.outcome).collect();
    assert_eq!(outcomes, ["refused", "active", "replaced"]);
    assert_eq!(store.version("a").unwrap().unwrap().wasm, b"a");
    assert_eq!(store.versions("b").unwrap()[0].bytes, 1);
}

#[test]
fn the_last_versions_and_the_active_ones_are_kept() {
    let Some(tested) = Tested::new() else { return };
    let store = tested.open();
    for id in ["r", "r2"] {
        save(&store, "rooms", id);
    }
    for number in 0..6 {
        let id = format!("e{number}");
        save(&store, "events", &id);
        record(&store, release(&id)).unwrap();
    }
    let mut kept: Vec<_> = store.versions("").unwrap().into_iter().map(|version| version.id).collect();
    kept.sort();
    assert_eq!(kept, ["e3", "e4", "e5", "r", "r2"]);
    assert_eq!(store.version("e0").unwrap(), None);
    assert_eq!(store.list(None, 10).unwrap().len(), RETENTION.releases_max);
}

#[test]
fn a_deploy_repairs_a_damaged_component() {
    let Some(tested) = Tested::new() else { return };
    let store = tested.open();
    save(&store, "events", "a");
    tested.testing.sql("UPDATE component SET wasm = '\\x00'");
    assert_eq!(store.version("a").unwrap().unwrap().wasm, [0]);
    save(&store, "events", "a");
    assert_eq!(store.version("a").unwrap().unwrap().wasm, b"a");
}

#[test]
fn blocked_versions_and_directory_snapshots_are_stored() {
    let Some(tested) = Tested::new() else { return };
    let store = tested.open();
    store.set_blocked("a", Some("it trapped")).unwrap();
    store.set_blocked("b", Some("so did it")).unwrap();
    store.set_blocked("b", None).unwrap();
    assert_eq!(store.blocked_versions().unwrap(), [("a".into(), "it trapped".into())]);
    let snapshot = DirectorySnapshot { handler: "rooms".into(), sha256: "x".into(), settings: "{}".into() };
    store.save_directory_snapshot(&snapshot).unwrap();
    assert_eq!(store.directory_snapshots().unwrap(), std::slice::from_ref(&snapshot));
    assert_eq!(store.snapshots_of_others().unwrap(), []);
    let other = tested.of(1, "chat-2");
    assert_eq!((other.directory_snapshots().unwrap(), other.snapshots_of_others().unwrap()), (vec![], vec![snapshot]));
}

#[test]
fn rejected_releases_displace_no_admitted_ones() {
    let Some(tested) = Tested::new() else { return };
    let store = tested.open();
    for number in 0..8 {
        record(&store, release(&format!("e{number}"))).unwrap();
    }
    for number in 0..20 {
        store.record_rejected(&release(&format!("bad{number}")), "it is text", RETENTION).unwrap();
    }
    let numbers = |releases: Vec<StoredRelease>| releases.iter().map(|release| release.number).collect::<Vec<_>>();
    assert_eq!(numbers(store.list(None, 100).unwrap()), [28, 27, 26, 25, 24, 8, 7, 6, 5, 4]);
    assert_eq!(numbers(store.list_admitted(Some(8), 3).unwrap()), [7, 6, 5]);
    assert_eq!(numbers(store.list_admitted(None, 3).unwrap()), [8, 7, 6]);
}

#[test]
fn repeated_rejections_of_a_handlers_file_are_one_release() {
    let Some(tested) = Tested::new() else { return };
    let store = tested.open();
    let reject = |release: ReleaseRecord, reason: &str| store.record_rejected(&release, reason, RETENTION).unwrap();
    let of_file = |events: &str| ReleaseRecord { trigger: "directory".into(), ..release(events) };
    record(&store, release("a")).unwrap();
    reject(of_file("half"), "it ends in the middle");
    reject(of_file("text"), "it is text");
    let last = || store.list(None, 1).unwrap().remove(0);
    assert_eq!((last().number, last().versions[2].as_str(), last().detail.as_deref()), (2, "text", Some("it is text")));
    // Another handler's file and an operator's deploy are releases of their own.
    reject(ReleaseRecord { versions: ["r".into(), "text".into(), "a".into()], ..of_file("a") }, "it is text");
    reject(release("half"), "it ends in the middle");
    reject(of_file("half"), "it ends in the middle");
    assert_eq!(last().number, 5);
}

#[test]
fn a_component_of_32_mib_is_stored() {
    let Some(tested) = Tested::new() else { return };
    let store = tested.open();
    let large = StoredVersion { about: about("events", "large"), wasm: vec![7; 32 << 20] };
    store.save_version(&large).unwrap();
    let found = store.version("large").unwrap().unwrap();
    assert_eq!((found.about.bytes, found.wasm == large.wasm), (32 << 20, true));
}

#[test]
fn a_host_that_lost_its_role_records_nothing() {
    let Some(tested) = Tested::new() else { return };
    let store = tested.open();
    tested.testing.sql("UPDATE host SET state = 'dead'");
    assert!(matches!(record(&store, release("a")), Err(StoreError::Fenced(_))));
    assert_eq!(store.list(None, 10).unwrap(), []);
}

#[test]
fn a_release_is_recorded_over_the_active_one_only() {
    let Some(tested) = Tested::new() else { return };
    let store = tested.open();
    let over = |over: Option<u64>, events: &str| match store.record(
        &[],
        &ReleaseRecord { over, ..release(events) },
        RETENTION,
    ) {
        Err(StoreError::Overtaken { active }) => Err(active),
        recorded => Ok(recorded.unwrap()),
    };
    assert_eq!([over(Some(1), "a"), over(None, "a")], [Err(0), Ok(1)]);
    assert_eq!([over(None, "b"), over(Some(1), "b"), over(Some(1), "c")], [Err(1), Ok(2), Err(2)]);
    let outcomes: Vec<_> = store.list(None, 10).unwrap().into_iter().map(|release| release.outcome).collect();
    assert_eq!(outcomes, ["active", "replaced"]);
}

#[test]
fn of_two_hosts_that_record_over_one_release_at_once_one_wins() {
    let Some(tested) = Tested::new() else { return };
    tested.testing.sql("INSERT INTO host (name, state, version) VALUES ('chat-2', 'live', '0.1.0')");
    let hosts = [tested.open(), tested.of(2, "chat-2")];
    let mut active = record(&hosts[0], release("a")).unwrap();
    for round in 0..20 {
        let over = |host: usize| {
            let over = Some(active);
            let release = ReleaseRecord { over, actor: format!("chat-{host}"), ..release(&format!("{host}-{round}")) };
            hosts[host].record(&[], &release, RETENTION)
        };
        let both = std::thread::scope(|scope| {
            let other = scope.spawn(|| over(1));
            [over(0), other.join().unwrap()]
        });
        let [won, lost] = if both[0].is_ok() { [0, 1] } else { [1, 0] };
        let number = both[won].clone().unwrap();
        assert!(matches!(both[lost], Err(StoreError::Overtaken { active }) if active == number), "{both:?}");
        let stored = hosts[lost].active().unwrap().unwrap();
        assert_eq!((stored.number, stored.actor), (number, format!("chat-{won}")));
        active = number;
    }
}

#[test]
fn events_are_kept_in_their_order() {
    let Some(tested) = Tested::new() else { return };
    let store = tested.open();
    for (release, what) in [(1, "canary_started"), (2, "shadow_started"), (1, "canary_ended")] {
        let (actor, detail) = ("ann".into(), String::new());
        store
            .record_event(&StoredEvent { release, what: what.into(), actor, detail, created_at: Timestamp(0) })
            .unwrap();
    }
    let what: Vec<_> = store.events(1, 1).unwrap().into_iter().map(|event| event.what).collect();
    assert_eq!(what, ["canary_started", "canary_ended"]);
}

#[test]
fn a_release_whose_connection_is_lost_is_recorded_once() {
    let Some(tested) = Tested::new() else { return };
    let store = tested.open();
    record(&store, release("a")).unwrap();
    let held = tested.testing.database.hold("LOCK TABLE release").unwrap();
    let waiting = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    std::thread::scope(|scope| {
        let recording = scope.spawn(|| record(&store, release("b")));
        let deadline = Instant::now() + Duration::from_secs(60);
        while tested.testing.sql(&format!("SELECT count(*) {waiting}")) == "0" {
            assert!(Instant::now() < deadline, "the release waits for no lock");
        }
        tested.testing.sql(&format!("SELECT pg_terminate_backend(pid) {waiting}"));
        drop(held);
        recording.join().unwrap().unwrap();
    });
    let outcomes: Vec<_> = store.list(None, 10).unwrap().into_iter().map(|release| release.outcome).collect();
    assert_eq!(outcomes, ["active", "replaced"]);
    assert_eq!(tested.testing.sql("SELECT count(*) FROM release"), "2");
}
