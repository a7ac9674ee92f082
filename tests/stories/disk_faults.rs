//! A disk that fails while the power stays on, and then loses it too. What was reported as stored is there, what was
//! reported as not stored is not, and the server goes on or ends with status 1.

use std::fs;

use ondol_tests::{
    Client, Heard, Ledger, TestResult, TestServer,
    disk::{CUT_STATUS, Kind, Place, Plan, Rule, VARIABLE},
    until,
};
use serde_json::{Value, json};

use crate::power::on_test_disk;

/// How many messages a story says while the disk fails.
const SAID: usize = 20;

/// A server with two people, on a disk that does what `fault` says once the file `fault` is there, and loses its power at
/// the next operation once the file `cut` is.
async fn talking(fault: Rule) -> TestResult<(TestServer, Client, Ledger)> {
    let cut = Rule::new(Kind::Cut).after("cut");
    let plan = Plan::seeded(8).rule(cut).rule(fault.after("fault"));
    let server = on_test_disk(&plan).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ledger = Ledger::default();
    ledger.room(room);
    let mut ann = server.join(room, "ann").await?;
    for number in 0..SAID {
        ann.say(&format!("before {number}")).await?;
        ledger.message(&ann.next_message().await?)?;
    }
    Ok((server, ann, ledger))
}

/// Says `text` until it is stored, each time under another name, or the connection ends. Gives whether it was stored.
async fn say_until_stored(ann: &mut Client, ledger: &mut Ledger, text: &str) -> TestResult<bool> {
    let mut times = 0;
    let stored = until(format!("{text} to be stored"), async || {
        let said = format!("{text} {times}");
        times += 1;
        match say(ann, &said).await {
            Ok(Some(event)) if event["type"] == "chat.message" => Some(ledger.message(&event).map(|()| true)),
            Ok(Some(event)) if event["code"] == "not_stored" => {
                ledger.not_stored(&said);
                None
            }
            // Not taken while the store is being opened again.
            Ok(Some(_)) => None,
            Ok(None) => Some(Ok(false)),
            Err(error) => Some(Err(error)),
        }
    });
    stored.await?
}

/// Says something and gives what its sender is told; None when the connection ends first.
async fn say(ann: &mut Client, text: &str) -> TestResult<Option<Value>> {
    let frame = json!({"type": "chat.message", "message": text, "client_id": text.replace(' ', "-")});
    if ann.send(frame.to_string()).await.is_err() {
        return Ok(None);
    }
    loop {
        match ann.next().await? {
            Heard::Text(heard) => {
                let event: Value = serde_json::from_str(&heard)?;
                // An error may come without the client's id; nothing else of its sender's is under way.
                if event["type"] == "error" || event["client_id"] == frame["client_id"] {
                    return Ok(Some(event));
                }
            }
            Heard::Close(..) | Heard::Gone => return Ok(None),
            _ => {}
        }
    }
}

/// Lets the disk fail as it will, says what there is to say, cuts the power, and holds what is left against what was told.
async fn told_and_kept(fault: Rule) -> TestResult {
    let (mut server, mut ann, mut ledger) = talking(fault).await?;
    fs::write(server.root().join("fault"), "")?;
    let mut alive = true;
    for number in 0..SAID {
        alive = alive && say_until_stored(&mut ann, &mut ledger, &format!("amid {number}")).await?;
    }
    if alive {
        fs::write(server.root().join("cut"), "")?;
        assert_eq!(say(&mut ann, "in the cut").await?, None);
    }
    let status = server.exit().await?.code();
    assert_eq!(status, Some(if alive { CUT_STATUS } else { 1 }));

    server.restart_with(VARIABLE, "").await?;
    assert_eq!(ledger.differences(&server.database()?)?, []);
    let mut ann = server.join(1, "ann").await?;
    assert!(say_until_stored(&mut ann, &mut ledger, "after").await?, "it takes nothing more");
    assert_eq!(ledger.differences(&server.database()?)?, []);
    Ok(())
}

#[tokio::test]
async fn writes_that_fail() -> TestResult {
    told_and_kept(Rule::new(Kind::FailWrite).at(3).times(10)).await
}

#[tokio::test]
async fn writes_that_are_short() -> TestResult {
    told_and_kept(Rule::new(Kind::ShortWrite).at(3).times(10)).await
}

#[tokio::test]
async fn a_disk_without_room() -> TestResult {
    told_and_kept(Rule::new(Kind::Full).at(3).times(10)).await
}

#[tokio::test]
async fn a_sync_of_the_log_that_fails_once() -> TestResult {
    told_and_kept(Rule::new(Kind::FailSync).on(Place::Wal)).await
}

#[tokio::test]
async fn syncs_of_the_log_that_fail_for_a_while() -> TestResult {
    told_and_kept(Rule::new(Kind::FailSync).on(Place::Wal).at(2).times(5)).await
}

#[tokio::test]
async fn syncs_that_fail_from_now_on_store_nothing() -> TestResult {
    let (mut server, mut ann, mut ledger) = talking(Rule::new(Kind::FailSync).always()).await?;
    fs::write(server.root().join("fault"), "")?;
    for number in 0..SAID {
        let text = format!("amid {number}");
        match say(&mut ann, &text).await? {
            Some(event) if event["type"] == "chat.message" => panic!("stored: {event}"),
            Some(event) if event["code"] == "not_stored" => ledger.not_stored(&text),
            Some(_) => {}
            None => break,
        }
    }
    // The power goes, or the server has ended by itself.
    fs::write(server.root().join("cut"), "")?;
    let _ = say(&mut ann, "in the cut").await?;
    let ended = server.exit().await?.code();
    assert!(ended == Some(CUT_STATUS) || ended == Some(1), "{ended:?}");
    server.restart_with(VARIABLE, "").await?;
    assert_eq!(ledger.differences(&server.database()?)?, []);
    Ok(())
}
