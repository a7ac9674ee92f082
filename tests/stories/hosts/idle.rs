//! Rooms that are not used have no home, so that the next host that needs one becomes it. No client notices.

use ondol_tests::{Hosts, Setup, TestResult, until};
use serde_json::json;

use super::post;

/// Waits until a room has no home.
async fn until_given_up(hosts: &Hosts, room: u64) -> TestResult {
    until(format!("room {room} without a home"), async || hosts.home_of(room).ok()?.is_none().then_some(())).await
}

#[tokio::test]
async fn a_room_that_was_left_has_its_next_home_where_it_is_needed() -> TestResult {
    let furnish = |setup: Setup| setup.limit("room_idle_ms", 200);
    let Some(hosts) = Hosts::start_with(3, furnish).await? else { return Ok(()) };
    let room = hosts.server(0).create_room("lobby").await?;
    for (host, name) in [(0, "ann"), (1, "ben"), (2, "carl"), (0, "dan")] {
        let mut member = hosts.server(host).join(room, name).await?;
        assert_eq!(hosts.home(room).await?, host);
        member.expect_nothing_before(&format!("{name} was here")).await?;
        member.leave().await?;
        until_given_up(&hosts, room).await?;
    }
    let page = hosts.server(0).get(&format!("/chat/v1/room/{room}/messages/?after=0")).await?.expect(200)?;
    let texts: Vec<_> = page.as_array().unwrap().iter().map(|message| message["message"].as_str().unwrap()).collect();
    assert_eq!(texts, ["ann was here", "ben was here", "carl was here", "dan was here"]);
    Ok(())
}

#[tokio::test]
async fn a_room_with_a_member_at_another_host_keeps_its_home() -> TestResult {
    let furnish = |setup: Setup| setup.limit("room_idle_ms", 50);
    let Some(hosts) = Hosts::start_with(2, furnish).await? else { return Ok(()) };
    let (room, other) = (hosts.server(0).create_room("lobby").await?, hosts.server(0).create_room("other").await?);
    let ann = hosts.server(0).join(room, "ann").await?;
    let mut ben = hosts.server(1).join(room, "ben").await?;
    ann.leave().await?;
    ben.expect_leave("ann").await?;
    // As long as it takes to give up a room that is left after this one.
    hosts.server(0).join(other, "ann").await?.leave().await?;
    until_given_up(&hosts, other).await?;
    assert_eq!(hosts.home(room).await?, 0);
    ben.expect_nothing_before("it is still my room").await?;
    Ok(())
}

#[tokio::test]
async fn clients_do_not_notice_that_rooms_are_given_up_all_the_time() -> TestResult {
    const ROUNDS: usize = 100;
    let furnish = |setup: Setup| setup.limit("room_idle_ms", 1);
    let Some(hosts) = Hosts::start_with(3, furnish).await? else { return Ok(()) };
    let room = hosts.server(0).create_room("lobby").await?;
    let speaking = async |host: usize| {
        for round in 0..ROUNDS {
            let mut member = hosts.server(host).open_tab(room, format!("speaker{host}").as_str()).await?;
            let text = format!("speaker{host} says {round}");
            member.say(&text).await?;
            while member.next_message().await?["message"] != text.as_str() {}
            member.leave().await?;
        }
        anyhow::Ok(())
    };
    let posting = async |host: usize| {
        for round in 0..ROUNDS {
            let text = format!("poster{host} says {round}");
            post(hosts.server(host), "poster", json!({"message": text, "room": room})).await?.expect(201)?;
        }
        anyhow::Ok(())
    };
    // One after the other, so that the room is left between them; and then all at once.
    speaking(0).await?;
    posting(1).await?;
    speaking(2).await?;
    tokio::try_join!(speaking(1), posting(0), posting(2))?;
    until_given_up(&hosts, room).await?;
    let numbers: Vec<_> = hosts.stored()?.into_iter().map(|message| message.seq).collect();
    assert_eq!(numbers, (1..=6 * ROUNDS as u64).collect::<Vec<_>>());
    Ok(())
}
