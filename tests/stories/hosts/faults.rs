//! Engines that fail under several hosts: the bus and PostgreSQL, restarted and frozen under load.

use std::time::Duration;

use ondol_tests::{Crowd, Hosts, Stop, TestResult, pause};

use super::check;

/// How long the bus is frozen.
const FROZEN: Duration = Duration::from_secs(5);

/// Two rooms, made at two hosts.
async fn rooms(hosts: &Hosts) -> TestResult<[u64; 2]> {
    Ok([hosts.server(0).create_room("one").await?, hosts.server(1).create_room("two").await?])
}

#[tokio::test]
async fn a_bus_that_is_restarted_under_load_loses_and_doubles_nothing() -> TestResult {
    let Some(mut hosts) = Hosts::start(3).await? else { return Ok(()) };
    let mut crowd = Crowd::new(&hosts, &rooms(&hosts).await?, 12);
    crowd
        .talk(async |talk| {
            for _ in 0..3 {
                talk.go_on(50, 60).await?;
                hosts.restart_bus().await?;
            }
            talk.go_on(150, 60).await
        })
        .await?;
    check(&hosts, &crowd.history())
}

#[tokio::test]
async fn a_bus_that_is_frozen_under_load_loses_and_doubles_nothing() -> TestResult {
    let Some(mut hosts) = Hosts::start(3).await? else { return Ok(()) };
    let mut crowd = Crowd::new(&hosts, &rooms(&hosts).await?, 12);
    crowd
        .talk(async |talk| {
            talk.go_on(50, 60).await?;
            hosts.bus()?.freeze()?;
            // The fault itself takes this long.
            pause(FROZEN).await;
            hosts.bus()?.thaw()?;
            talk.go_on(150, 60).await
        })
        .await?;
    check(&hosts, &crowd.history())
}

#[tokio::test]
async fn a_postgresql_that_is_restarted_under_load_loses_and_doubles_nothing() -> TestResult {
    let Some(mut hosts) = Hosts::start_on_own_postgres(3).await? else { return Ok(()) };
    let mut crowd = Crowd::new(&hosts, &rooms(&hosts).await?, 12);
    crowd
        .talk(async |talk| {
            for how in [Stop::Fast, Stop::Immediate, Stop::Kill] {
                talk.go_on(50, 60).await?;
                hosts.restart_postgres(how).await?;
            }
            talk.go_on(150, 60).await
        })
        .await?;
    for host in 0..3 {
        assert_eq!(hosts.state_of(host)?, "live", "{} was given up", hosts.name(host));
    }
    check(&hosts, &crowd.history())
}
