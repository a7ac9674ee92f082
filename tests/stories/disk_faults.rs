//! A disk that fails, and then loses its power. Messages that were reported as stored are there, messages that were
//! reported as not stored are not, and the server continues or exits with status 1.

use std::fs;

use ondol_tests::{
    Client, Heard, Ledger, TestResult, TestServer,
    disk::{CUT_STATUS, Chance, Kind, Place, Plan, Rule, VARIABLE},
    until,
};
use serde_json::{Value, json};

use crate::power::on_test_disk;

/// The number of messages before the disk fails, and of those while it does.
const SAID: usize = 20;

/// A server with a member, on a disk that fails as `faults` say once the file `fault` exists, and loses its power at
/// the next operation once the file `cut` exists.
async fn talking(seed: u64, faults: Vec<Rule>) -> TestResult<(TestServer, Client, Ledger)> {
    let mut plan = Plan::seeded(seed).rule(Rule::new(Kind::Cut).after("cut"));
    plan.rules.extend(faults.into_iter().map(|fault| fault.after("fault")));
    eprintln!("{plan}");
    let server = on_test_disk(&plan).without_rate_limits().start().await?;
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

/// Sends `text`, so many letters longer, until it is stored, with another `client_id` each time, or until the
/// connection ends. Returns whether it was stored.
async fn say_until_stored(ann: &mut Client, ledger: &mut Ledger, text: &str, letters: usize) -> TestResult<bool> {
    let mut times = 0;
    let stored = until(format!("{text} to be stored"), async || {
        let said = format!("{text} {times} {}", "x".repeat(letters)).trim_end().to_owned();
        times += 1;
        match say(ann, &said).await {
            Ok(Some(event)) if event["type"] == "chat.message" => Some(ledger.message(&event).map(|()| true)),
            Ok(Some(event)) if event["code"] == "not_stored" => {
                ledger.not_stored(&said);
                None
            }
            // Refused while the store is reopened.
            Ok(Some(_)) => None,
            Ok(None) => Some(Ok(false)),
            Err(error) => Some(Err(error)),
        }
    });
    stored.await?
}

/// Sends a message and returns the answer. None: the connection ended first.
async fn say(ann: &mut Client, text: &str) -> TestResult<Option<Value>> {
    let client_id = text.trim_end_matches('x').trim_end().replace(' ', "-");
    let frame = json!({"type": "chat.message", "message": text, "client_id": client_id});
    if ann.send(frame.to_string()).await.is_err() {
        return Ok(None);
    }
    loop {
        match ann.next().await? {
            Heard::Text(heard) => {
                let event: Value = serde_json::from_str(&heard)?;
                // An error may come without the client's id; no other message of this sender is in flight.
                if event["type"] == "error" || event["client_id"] == frame["client_id"] {
                    return Ok(Some(event));
                }
            }
            Heard::Close(..) | Heard::Gone => return Ok(None),
            _ => {}
        }
    }
}

/// Lets the disk fail, sends messages, cuts the power, and compares the database with the answers. Returns whether the
/// server noticed the fault.
async fn answers_hold(seed: u64, faults: Vec<Rule>, letters: usize) -> TestResult<bool> {
    let (mut server, mut ann, mut ledger) = talking(seed, faults).await?;
    fs::write(server.root().join("fault"), "")?;
    let mut alive = true;
    // Large messages fill the log, and a little more.
    for number in 0..SAID.max(10_000_000 * usize::from(letters > 0) / (letters + 1)) {
        alive = alive && say_until_stored(&mut ann, &mut ledger, &format!("amid {number}"), letters).await?;
    }
    // A message that reached the disk in spite of a failed sync is stored: then only the log shows the fault.
    let reopened = server.log().since(0).iter().any(|line| line.contains("the database was reopened"));
    let noticed = ledger.refusals() > 0 || reopened || !alive;
    if alive {
        if letters > 0 {
            server.wait_for_log("checkpoint").await?;
        }
        fs::write(server.root().join("cut"), "")?;
        assert_eq!(say(&mut ann, "in the cut").await?, None);
    }
    let status = server.exit().await?.code();
    assert_eq!(status, Some(if alive { CUT_STATUS } else { 1 }));

    server.restart_with(VARIABLE, "").await?;
    assert_eq!(ledger.differences(&server.stored()?)?, []);
    let mut ann = server.join(1, "ann").await?;
    assert!(say_until_stored(&mut ann, &mut ledger, "after", 0).await?, "no more messages are stored");
    assert_eq!(ledger.differences(&server.stored()?)?, []);
    Ok(noticed)
}

/// The same with several seeds, which decide what remains of an unsynced write.
async fn answers_hold_often(faults: &[Rule]) -> TestResult {
    for seed in 0..6 {
        assert!(answers_hold(seed, faults.to_vec(), 0).await?, "no fault was met");
    }
    Ok(())
}

#[tokio::test]
async fn writes_fail() -> TestResult {
    answers_hold_often(&[Rule::new(Kind::FailWrite).at(3).times(10)]).await
}

#[tokio::test]
async fn writes_are_short() -> TestResult {
    answers_hold_often(&[Rule::new(Kind::ShortWrite).at(3).times(10)]).await
}

#[tokio::test]
async fn the_disk_is_full() -> TestResult {
    answers_hold_often(&[Rule::new(Kind::Full).at(3).times(10)]).await
}

#[tokio::test]
async fn a_sync_of_the_log_fails_once() -> TestResult {
    answers_hold_often(&[Rule::new(Kind::FailSync).on(Place::Wal)]).await
}

#[tokio::test]
async fn syncs_of_the_log_fail_for_a_while() -> TestResult {
    answers_hold_often(&[Rule::new(Kind::FailSync).on(Place::Wal).at(2).times(5)]).await
}

#[tokio::test]
async fn syncs_and_writes_fail_in_turn() -> TestResult {
    let mut chance = Chance::new(10);
    for seed in 0..15 {
        let mut rule = |kinds: &[Kind]| {
            let kind = kinds[usize::try_from(chance.below(kinds.len() as u64)).unwrap()];
            Rule::new(kind).at(1 + chance.below(20)).times(1 + chance.below(8))
        };
        let faults = vec![rule(&[Kind::FailSync]), rule(&[Kind::FailWrite, Kind::ShortWrite, Kind::Full])];
        answers_hold(seed, faults, 0).await?;
    }
    Ok(())
}

#[tokio::test]
async fn writes_and_syncs_of_a_checkpoint_fail() -> TestResult {
    let fault = |kind| Rule::new(kind).on(Place::Db).times(3);
    answers_hold(1, vec![fault(Kind::FailSync), fault(Kind::FailWrite).at(50)], 50_000).await?;
    Ok(())
}

#[tokio::test]
async fn lasting_sync_failures_store_only_what_is_on_the_disk() -> TestResult {
    for seed in 0..6 {
        let (mut server, mut ann, mut ledger) = talking(seed, vec![Rule::new(Kind::FailSync).always()]).await?;
        fs::write(server.root().join("fault"), "")?;
        let mut was_ready = true;
        for number in 0..SAID {
            let text = format!("amid {number}");
            match say(&mut ann, &text).await? {
                // The server looked on the disk, which has it although the sync failed.
                Some(event) if event["type"] == "chat.message" => ledger.message(&event)?,
                Some(event) if event["code"] == "not_stored" => {
                    ledger.not_stored(&text);
                    // Until the server has looked at the disk once more, and may have been lucky.
                    was_ready &= server.get("/readyz").await.is_ok_and(|answer| answer.status == 200);
                }
                Some(_) => {}
                None => break,
            }
        }
        assert!(ledger.refusals() > 0, "seed {seed}: no sync failed");
        assert!(!was_ready, "seed {seed}: it was ready all the time");
        // The power is cut, unless the server has exited before.
        fs::write(server.root().join("cut"), "")?;
        let _ = say(&mut ann, "in the cut").await?;
        let ended = server.exit().await?.code();
        assert!(ended == Some(CUT_STATUS) || ended == Some(1), "{ended:?}");
        server.restart_with(VARIABLE, "").await?;
        assert_eq!(ledger.differences(&server.stored()?)?, [], "seed {seed}");
    }
    Ok(())
}

/// A room, unlike a message, has no number by which the server could look for it on the disk.
#[tokio::test]
async fn a_room_whose_sync_fails_gets_no_answer() -> TestResult {
    let (mut server, _ann, ledger) = talking(3, vec![Rule::new(Kind::FailSync).on(Place::Wal)]).await?;
    fs::write(server.root().join("fault"), "")?;
    assert!(server.create_room("unknown").await.is_err());
    assert_eq!(server.exit().await?.code(), Some(1));
    server.wait_for_log("a sync failed").await?;
    server.restart_with(VARIABLE, "").await?;
    assert_eq!(ledger.differences(&server.stored()?)?, []);
    server.create_room("known").await?;
    Ok(())
}
