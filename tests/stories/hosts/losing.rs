//! Hosts that are lost: killed, frozen and stopped under load. What was acknowledged stays, the rooms go on through others.

use std::time::Instant;

use anyhow::Context as _;
use ondol_tests::{Crowd, Hosts, TestResult, until};

use super::check;

/// In how many seconds rooms whose home is lost go on.
const SECONDS: u64 = 10;

/// Three hosts, two rooms, and a crowd.
async fn begin() -> TestResult<Option<(Hosts, [u64; 2], Crowd)>> {
    let Some(hosts) = Hosts::start(3).await? else { return Ok(None) };
    let rooms = [hosts.server(0).create_room("one").await?, hosts.server(1).create_room("two").await?];
    let crowd = Crowd::new(&hosts, &rooms, 12);
    Ok(Some((hosts, rooms, crowd)))
}

#[tokio::test]
async fn a_killed_home_loses_and_doubles_nothing_and_its_rooms_go_on() -> TestResult {
    let Some((mut hosts, rooms, mut crowd)) = begin().await? else { return Ok(()) };
    let room = rooms[0];
    let (home, killed) = crowd
        .talk(async |talk| {
            talk.go_on(50, 60).await?;
            let (home, killed) = (hosts.home(room).await?, Instant::now());
            hosts.kill(home).await?;
            let waited = talk.go_on(150, SECONDS).await?;
            eprintln!("after the kill of {}, each heard 150 messages more within {waited:?}", hosts.name(home));
            assert_ne!(hosts.home(room).await?, home, "a dead host is no home");
            // It comes back under its name, and is one of them.
            hosts.restart(home).await?;
            talk.go_on(50, 60).await?;
            Ok((home, killed))
        })
        .await?;
    let pause = crowd.history().pause(room, hosts.name(home), killed).context("no one was at another host")?;
    eprintln!("the longest pause of clients at other hosts: {pause:?}");
    assert!(pause.as_secs() < SECONDS, "{pause:?}");
    check(&hosts, &crowd.history())
}

#[tokio::test]
async fn homes_that_are_killed_one_after_the_other_lose_and_double_nothing() -> TestResult {
    let Some((mut hosts, rooms, mut crowd)) = begin().await? else { return Ok(()) };
    crowd
        .talk(async |talk| {
            for room in rooms.iter().cycle().take(4) {
                talk.go_on(20, 60).await?;
                let home = hosts.home(*room).await?;
                hosts.kill(home).await?;
                talk.go_on(60, SECONDS).await?;
                hosts.restart(home).await?;
            }
            talk.go_on(20, 60).await
        })
        .await?;
    check(&hosts, &crowd.history())
}

#[tokio::test]
async fn a_frozen_home_is_replaced_and_steps_down_when_it_wakes() -> TestResult {
    let Some((mut hosts, rooms, mut crowd)) = begin().await? else { return Ok(()) };
    let room = rooms[0];
    let (home, frozen) = crowd
        .talk(async |talk| {
            talk.go_on(50, 60).await?;
            let (home, frozen) = (hosts.home(room).await?, Instant::now());
            let elsewhere: Vec<_> = (0..12).filter(|person| person % 3 != home && person % 5 != 0).collect();
            hosts.freeze(home)?;
            let waited = talk.those_go_on(&elsewhere, 150, SECONDS).await?;
            eprintln!("after {} froze, those at others heard 150 messages more within {waited:?}", hosts.name(home));
            assert_ne!(hosts.home(room).await?, home, "a frozen host is no home");
            let is_dead = async || hosts.state_of(home).is_ok_and(|state| state == "dead").then_some(());
            until("a frozen host that counts as dead", is_dead).await?;
            hosts.thaw(home)?;
            // Its clients are closed, and come back elsewhere.
            talk.go_on(50, 60).await?;
            Ok((home, frozen))
        })
        .await?;
    assert!(crowd.history().ended(hosts.name(home), frozen) > 0, "the host that woke kept its clients");
    let pause = crowd.history().pause(room, hosts.name(home), frozen).context("no one was at another host")?;
    eprintln!("the longest pause of clients at other hosts: {pause:?}");
    assert!(pause.as_secs() < SECONDS, "{pause:?}");
    // Whether the process ends or begins anew, it is a host again.
    hosts.restart(home).await?;
    crowd.talk(async |talk| talk.go_on(20, 60).await).await?;
    check(&hosts, &crowd.history())
}

#[tokio::test]
async fn a_killed_host_that_is_no_home_holds_up_no_room() -> TestResult {
    let Some((mut hosts, rooms, mut crowd)) = begin().await? else { return Ok(()) };
    let killed = crowd
        .talk(async |talk| {
            talk.go_on(50, 60).await?;
            let mut homes = Vec::new();
            for room in rooms {
                homes.push(hosts.home(room).await?);
            }
            let other = (0..3).find(|host| !homes.contains(host)).context("each is a home")?;
            hosts.kill(other).await?;
            talk.go_on(150, SECONDS).await?;
            for (room, home) in rooms.into_iter().zip(homes) {
                assert_eq!(hosts.home(room).await?, home, "the home of room {room}");
            }
            Ok(other)
        })
        .await?;
    assert!(killed < 3);
    check(&hosts, &crowd.history())
}

#[tokio::test]
async fn a_home_that_is_stopped_hands_its_rooms_over_and_closes_no_other_hosts_clients() -> TestResult {
    let Some((mut hosts, rooms, mut crowd)) = begin().await? else { return Ok(()) };
    let room = rooms[0];
    let (home, stopped) = crowd
        .talk(async |talk| {
            talk.go_on(50, 60).await?;
            let (home, stopped) = (hosts.home(room).await?, Instant::now());
            assert_eq!(hosts.stop(home).await?, Some(0));
            let waited = talk.go_on(150, SECONDS).await?;
            eprintln!("after {} stopped, each heard 150 messages more within {waited:?}", hosts.name(home));
            assert_eq!(hosts.state_of(home)?, "gone");
            Ok((home, stopped))
        })
        .await?;
    let history = crowd.history();
    for host in (0..3).filter(|host| *host != home) {
        assert_eq!(history.ended(hosts.name(host), stopped), 0, "clients of {} were closed", hosts.name(host));
    }
    let pause = history.pause(room, hosts.name(home), stopped).context("no one was at another host")?;
    eprintln!("the longest pause of clients at other hosts: {pause:?}");
    check(&hosts, &history)
}

#[tokio::test]
async fn a_host_that_comes_later_is_one_of_them() -> TestResult {
    let Some((mut hosts, rooms, mut crowd)) = begin().await? else { return Ok(()) };
    crowd
        .talk(async |talk| {
            talk.go_on(20, 60).await?;
            let host = hosts.add().await?;
            let mut zoe = hosts.server(host).open_tab(rooms[0], "zoe").await?;
            zoe.next_message().await?;
            zoe.say("I came later").await?;
            while zoe.next_message().await?["message"] != "I came later" {}
            Ok(())
        })
        .await?;
    check(&hosts, &crowd.history())
}
