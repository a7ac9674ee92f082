//! Hosts that are cut off from engines over wires of the tests' own, and that have other troubles, while a crowd talks. The
//! whole list of troubles is in [`super::network`].

use std::time::Duration;

use ondol_tests::{
    Cut, Hosts, TestResult, Trouble,
    troubles::{Trial, crowd},
};

use super::check;

/// Rooms that are made at the hosts in turn.
pub(super) async fn rooms(hosts: &Hosts, count: usize) -> TestResult<Vec<u64>> {
    let mut rooms = Vec::new();
    for room in 0..count {
        rooms.push(hosts.server(room % hosts.count()).create_room(&format!("room {room}")).await?);
    }
    Ok(rooms)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_are_cut_off_for_some_seconds_lose_and_double_nothing() -> TestResult {
    let Some(mut hosts) = Hosts::start_on_wires(3).await? else { return Ok(()) };
    let rooms = rooms(&hosts, 12).await?;
    let mut crowd = crowd(&hosts, &rooms, 36);
    let trials = [
        // Longer than a host may be silent.
        (vec![(Trouble::Cut(Cut::Store), 0)], 5),
        (vec![(Trouble::Cut(Cut::Bus), 1)], 3),
        (vec![(Trouble::Cut(Cut::Outgoing), 2), (Trouble::Namesake, 0)], 5),
        (vec![(Trouble::Cut(Cut::Incoming), 0), (Trouble::SlowStore, 0)], 5),
        (vec![(Trouble::Frozen, 1)], 4),
    ];
    crowd
        .talk(async |talk| {
            for (troubles, seconds) in trials {
                eprintln!("{troubles:?}");
                // Other stories run at the same time.
                let (time, healed) = (Duration::from_secs(seconds), Duration::from_secs(15));
                Trial { troubles, time, healed }.endure(&mut hosts, talk, &rooms).await?;
            }
            Ok(())
        })
        .await?;
    check(&hosts, &crowd.history())
}
