//! A bus that loses what hosts say: they notice, and read it from the database. One that also hides it is found.

use std::time::{Duration, Instant};

use ondol_tests::{Crowd, Hosts, Rule, TestResult};

use super::check;

/// In which time every host hears every other.
const HEALED: Duration = Duration::from_secs(10);

/// How much the bus loses, in percent.
const LOST: u64 = 20;

/// Three hosts over a bus that may lose what they say, and four rooms. The seed is always the same.
async fn begin() -> TestResult<Option<(Hosts, Vec<u64>)>> {
    let Some(hosts) = Hosts::start_on_lossy_bus(3, 21).await? else { return Ok(None) };
    let mut rooms = Vec::new();
    for room in 0..4 {
        rooms.push(hosts.server(room % 3).create_room(&format!("room {room}")).await?);
    }
    Ok(Some((hosts, rooms)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_bus_loses_under_load_is_noticed_and_repaired() -> TestResult {
    let Some((hosts, rooms)) = begin().await? else { return Ok(()) };
    let mut crowd = Crowd::new(&hosts, &rooms, 24);
    crowd
        .talk(async |talk| {
            talk.go_on(20, 60).await?;
            hosts.lossy_bus()?.lose(LOST);
            talk.go_on(200, 60).await?;
            hosts.lossy_bus()?.lose(0);
            talk.greet(&hosts.addresses(), &rooms, Instant::now() + HEALED).await;
            talk.go_on(20, 60).await
        })
        .await?;
    let lost = hosts.lossy_bus()?.lost();
    eprintln!("{lost} packets and beats were lost");
    assert!(lost > 100, "{lost} were lost");
    check(&hosts, &crowd.history())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_loses_packets_and_hides_it_is_found() -> TestResult {
    let Some((hosts, rooms)) = begin().await? else { return Ok(()) };
    let mut crowd = Crowd::new(&hosts, &rooms, 12);
    crowd.talk(async |talk| talk.go_on(20, 60).await).await?;
    let shared = crowd.shared();
    shared.greet(&hosts.addresses(), &rooms, Instant::now() + HEALED).await;
    check(&hosts, &crowd.history())?;
    hosts.lossy_bus()?.lose_and_hide(2 * LOST);
    shared.greet(&hosts.addresses(), &rooms, Instant::now() + HEALED).await;
    let found = hosts.check(&crowd.history())?;
    found.iter().for_each(|violation| eprintln!("{violation}"));
    eprintln!("{} packets were lost", hosts.lossy_bus()?.lost());
    assert!(found.iter().any(|violation| violation.rule == Rule::HeardEverywhere), "nothing is missing");
    Ok(())
}
