//! The crowd and its checker on one host without a bus: what they find elsewhere is the hosts' doing.

use std::time::Instant;

use ondol_tests::{Act, Crowd, Hosts, Stop, TestResult, checker::Rule};

use super::check;

#[tokio::test]
async fn a_host_alone_that_is_killed_and_restarted_loses_and_doubles_nothing() -> TestResult {
    let Some(mut hosts) = Hosts::alone().await? else { return Ok(()) };
    let rooms = [hosts.server(0).create_room("one").await?, hosts.server(0).create_room("two").await?];
    let mut crowd = Crowd::new(&hosts, &rooms, 6);
    let killed = crowd
        .talk(async |talk| {
            talk.go_on(50, 60).await?;
            assert_eq!(hosts.home(rooms[0]).await?, 0);
            let killed = Instant::now();
            hosts.restart(0).await?;
            talk.go_on(50, 60).await?;
            hosts.restart_postgres(Stop::Immediate).await?;
            talk.go_on(50, 60).await?;
            Ok(killed)
        })
        .await?;
    assert!(crowd.history().ended(hosts.name(0), killed) >= 6, "each connection ended");
    check(&hosts, &crowd.history())
}

#[tokio::test]
async fn a_message_that_vanishes_from_the_database_is_found() -> TestResult {
    let Some(hosts) = Hosts::alone().await? else { return Ok(()) };
    let room = hosts.server(0).create_room("one").await?;
    let mut crowd = Crowd::new(&hosts, &[room], 3);
    crowd.talk(async |talk| talk.go_on(150, 60).await).await?;
    check(&hosts, &crowd.history())?;
    let heard = |act: &Act| matches!(act, Act::Heard(message) if message.seq == 20);
    assert!(crowd.history().connections.iter().any(|connection| connection.acts.iter().any(|(_, act)| heard(act))));
    hosts.database().sql(&format!("DELETE FROM message WHERE room = {room} AND seq = 20"))?;
    let rules: Vec<_> = hosts.check(&crowd.history())?.iter().map(|found| found.rule).collect();
    assert_eq!(rules, [Rule::NoHole, Rule::Stored]);
    Ok(())
}
