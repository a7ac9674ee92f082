//! What is written is what docs/metrics.md lists.
#![allow(clippy::unwrap_used, reason = "a test says what it expects")]

use std::collections::BTreeSet;

use super::*;
use crate::chat::ClusterFigures;
use ondol_host_handlers::{ReleaseFigures, VersionFigures};
use ondol_host_rooms::RoomFigures;
use ondol_host_store::StoreFigures;

fn measured() -> Measured {
    let releases = ReleaseFigures {
        versions: vec![(ondol_host_handlers::HandlerKind::Rooms, "3f2a".repeat(16), "active")],
        activations: vec![("deploy", 7), ("rollback", 2), ("probation", 1)],
        ..ReleaseFigures::default()
    };
    let chat = ChatFigures {
        accepted: 3,
        relayed: 1,
        refused: vec![("busy".to_owned(), 2)],
        calls: vec![VersionFigures {
            handler: ondol_host_handlers::HandlerKind::Rooms,
            version: "3f2a".repeat(16),
            calls: 0,
            faults: 4,
            times: Default::default(),
        }],
        releases,
        store: StoreFigures::default(),
        rooms: RoomFigures::default(),
        cluster: Some(ClusterFigures {
            missed: 3,
            echo_age: std::time::Duration::from_millis(250),
            attached: 5,
            ..ClusterFigures::default()
        }),
        ready: true,
    };
    let listener =
        ListenerFigures { open: 1, opened: 2, closed: vec![("client", 1)], answers: Vec::new(), too_fast: Vec::new() };
    let connections = ConnectionFigures { open: 3, accepted: 5, refused: 1, max: 100 };
    Measured { chat, listener, connections, log_dropped: 0, is_stopping: false }
}

/// The name and type of each metric of a text.
fn named(text: &str) -> BTreeSet<(String, String)> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

#[test]
fn the_page_lists_exactly_what_is_written() {
    let page = include_str!("../../../../docs/metrics.md");
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let (name, kind) = (cells.next()?.strip_suffix('`')?, cells.next()?);
        matches!(kind, "counter" | "gauge" | "histogram").then(|| (name.to_owned(), kind.to_owned()))
    });
    assert_eq!(rows.collect::<BTreeSet<_>>(), named(&text(measured(), false).unwrap()));
}

#[test]
fn values_are_written_under_their_names() {
    let written = text(measured(), true).unwrap();
    for line in [
        "ondol_connections{kind=\"websocket\"} 1",
        "ondol_connections{kind=\"http\"} 2",
        "ondol_messages_refused_total{code=\"busy\"} 2",
        "ondol_handler_faults_total{handler=\"rooms\",version=\"3f2a3f2a3f2a\"} 4",
        "ondol_handler_call_seconds_bucket{le=\"+Inf\",handler=\"rooms\",version=\"3f2a3f2a3f2a\"} 0",
        "ondol_rollbacks_total{cause=\"probation\"} 1",
        "ondol_ready 1",
        "ondol_bus_missed_total 3",
        "ondol_bus_echo_age_seconds 0.25",
        "ondol_cluster_rooms{role=\"attached\"} 5",
        "# UNIT ondol_commit_seconds seconds",
    ] {
        assert!(written.lines().any(|own| own == line), "no line {line} in\n{written}");
    }
    assert!(written.ends_with("# EOF\n"));
}

#[test]
fn a_server_without_other_hosts_has_no_metrics_of_them() {
    let mut measured = measured();
    measured.chat.cluster = None;
    let written = text(measured, false).unwrap();
    for part in ["ondol_bus_", "ondol_cluster_", "ondol_room_repairs", "ondol_unsettled_frames"] {
        assert!(!written.contains(part), "{part} in {written}");
    }
}

#[test]
fn a_server_that_stops_is_not_ready() {
    let written = text(Measured { is_stopping: true, ..measured() }, false).unwrap();
    assert!(written.contains("\nondol_ready 0\n"), "{written}");
}
