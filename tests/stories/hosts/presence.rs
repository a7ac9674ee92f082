//! Who is in a room, over hosts that come and go: each user is announced once, and only those who are gone as gone.

use ondol_tests::{Client, Hosts, Setup, TestResult, until};

/// Users of a host that is gone are announced soon.
fn hurried(setup: Setup) -> Setup {
    setup.limit("presence_grace_ms", 500)
}

/// Users of a host that is gone have as long as this machine may take.
fn patient(setup: Setup) -> Setup {
    setup.limit("presence_grace_ms", 8_000)
}

/// Brings users in, one after the other, each at a host. The first host is the room's home.
async fn gather(hosts: &Hosts, places: &[(usize, &str)]) -> TestResult<(u64, Vec<Client>)> {
    let room = hosts.server(0).create_room("lobby").await?;
    let mut clients: Vec<Client> = Vec::new();
    for (host, name) in places {
        let client = hosts.server(*host).join(room, *name).await?;
        for earlier in &mut clients {
            earlier.expect_join(name).await?;
        }
        clients.push(client);
    }
    assert_eq!(hosts.home(room).await?, places[0].0);
    Ok((room, clients))
}

/// Opens a tab as soon as the room has a home.
async fn tab(hosts: &Hosts, host: usize, room: u64, user: &str) -> TestResult<Client> {
    until(format!("a tab of {user}"), async || hosts.server(host).open_tab(room, user).await.ok()).await
}

/// Each says something, and hears nothing else than that of the others.
async fn expect_quiet(clients: &mut [&mut Client]) -> TestResult {
    for speaker in 0..clients.len() {
        let text = format!("{} heard nothing more", clients[speaker].name);
        clients[speaker].say(&text).await?;
        for client in &mut *clients {
            let frame = client.next_json().await?;
            assert_eq!(frame["message"], text, "{} heard {frame}", client.name);
        }
    }
    Ok(())
}

#[tokio::test]
async fn users_of_a_killed_home_leave_once_unless_they_come_back() -> TestResult {
    let Some(mut hosts) = Hosts::start_with(3, patient).await? else { return Ok(()) };
    let (room, mut clients) = gather(&hosts, &[(0, "ann"), (0, "dan"), (1, "ben"), (2, "carl")]).await?;
    let (mut carl, mut ben) = (clients.pop().unwrap(), clients.pop().unwrap());
    hosts.kill(0).await?;
    drop(clients);
    let mut ann = tab(&hosts, 1, room, "ann").await?;
    for member in [&mut ann, &mut ben, &mut carl] {
        member.expect_leave("dan").await?;
    }
    expect_quiet(&mut [&mut ann, &mut ben, &mut carl]).await?;
    let _dan = hosts.server(2).join(room, "dan").await?;
    for member in [&mut ann, &mut ben, &mut carl] {
        member.expect_join("dan").await?;
    }
    ann.leave().await?;
    for member in [&mut ben, &mut carl] {
        member.expect_leave("ann").await?;
    }
    Ok(())
}

#[tokio::test]
async fn users_of_a_killed_host_that_is_no_home_leave_once() -> TestResult {
    let Some(mut hosts) = Hosts::start_with(3, hurried).await? else { return Ok(()) };
    let (room, mut clients) = gather(&hosts, &[(0, "ann"), (1, "ben"), (1, "carl"), (2, "dan")]).await?;
    // Ben has another tab at a host that stays.
    let mut tab = hosts.server(2).open_tab(room, "ben").await?;
    tab.expect_nothing_before("from my other tab").await?;
    for client in &mut clients {
        client.expect_message("from my other tab").await?;
    }
    let (mut dan, _, _, mut ann) =
        (clients.pop().unwrap(), clients.pop().unwrap(), clients.pop().unwrap(), clients.pop().unwrap());
    hosts.kill(1).await?;
    for member in [&mut ann, &mut dan, &mut tab] {
        member.expect_leave("carl").await?;
    }
    expect_quiet(&mut [&mut ann, &mut dan, &mut tab]).await?;
    tab.leave().await?;
    for member in [&mut ann, &mut dan] {
        member.expect_leave("ben").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_user_with_tabs_at_a_killed_home_and_elsewhere_stays() -> TestResult {
    let Some(mut hosts) = Hosts::start_with(3, hurried).await? else { return Ok(()) };
    let (room, mut clients) = gather(&hosts, &[(0, "ann"), (0, "dan"), (1, "ben")]).await?;
    let mut ben = clients.pop().unwrap();
    let mut ann = hosts.server(2).open_tab(room, "ann").await?;
    ann.expect_nothing_before("from my other tab").await?;
    ben.expect_message("from my other tab").await?;
    hosts.kill(0).await?;
    for member in [&mut ann, &mut ben] {
        member.expect_leave("dan").await?;
    }
    expect_quiet(&mut [&mut ann, &mut ben]).await?;
    ann.leave().await?;
    ben.expect_leave("ann").await
}

#[tokio::test]
async fn users_of_a_home_that_stops_leave_and_come_back_once() -> TestResult {
    let Some(mut hosts) = Hosts::start_with(3, hurried).await? else { return Ok(()) };
    let (room, mut clients) = gather(&hosts, &[(0, "ann"), (1, "ben"), (2, "carl")]).await?;
    let (mut carl, mut ben) = (clients.pop().unwrap(), clients.pop().unwrap());
    assert_eq!(hosts.stop(0).await?, Some(0));
    for member in [&mut ben, &mut carl] {
        member.expect_leave("ann").await?;
    }
    let mut ann = hosts.server(1).join(room, "ann").await?;
    for member in [&mut ben, &mut carl] {
        member.expect_join("ann").await?;
    }
    expect_quiet(&mut [&mut ann, &mut ben, &mut carl]).await
}

#[tokio::test]
async fn a_home_that_had_no_connection_before_learns_from_another_host_who_is_there() -> TestResult {
    let Some(mut hosts) = Hosts::start_with(3, patient).await? else { return Ok(()) };
    let (room, mut clients) = gather(&hosts, &[(0, "ann"), (1, "ben"), (1, "dan")]).await?;
    let (mut dan, mut ben) = (clients.pop().unwrap(), clients.pop().unwrap());
    // No host judges another one sooner after its start.
    let started = hosts.database().sql("SELECT clock_timestamp()")?;
    let is_due = format!("SELECT clock_timestamp() - '{started}'::timestamptz > interval '4 s'");
    until("a host that may judge", async || (hosts.database().sql(&is_due).ok()? == "t").then_some(())).await?;
    // A host becomes the home before the one that has connections can.
    hosts.freeze(1)?;
    hosts.kill(0).await?;
    let mut zoe = tab(&hosts, 2, room, "zoe").await?;
    hosts.thaw(1)?;
    if hosts.state_of(1)? != "live" {
        eprintln!("this machine is too busy: the host that was frozen counts as dead");
        return Ok(());
    }
    zoe.expect_join("zoe").await?;
    // No one of those who were there comes anew.
    for member in [&mut ben, &mut dan] {
        member.expect_join("zoe").await?;
    }
    for member in [&mut ben, &mut dan, &mut zoe] {
        member.expect_leave("ann").await?;
    }
    expect_quiet(&mut [&mut ben, &mut dan, &mut zoe]).await
}
