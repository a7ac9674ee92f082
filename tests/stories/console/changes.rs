//! Deploys, rollouts and rollbacks by hand.

use std::fs;

use ondol_tests::{TestResult, TestServer, browser::Browser, guest};
use serde_json::json;

use super::{confirm, open, say};
use crate::trials::{active, asked, operated};

/// The first digits of a version, as the page shows them.
fn short(version: &str) -> &str {
    &version[..8]
}

#[tokio::test]
async fn a_bad_version_is_seen_from_its_file_to_its_evidence() -> TestResult {
    let Some(mut browser) = Browser::start("a_bad_version_is_seen_from_its_file_to_its_evidence").await? else {
        return Ok(());
    };
    let server = operated().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let former = active(&server, "events").await?;
    let mut tab = open(&mut browser, &server).await?;

    tab.choose_files("#files", &[&guest("twentieth_events")]).await?;
    assert_eq!(tab.evaluate("document.querySelector('#chosen select').value").await?, "events");
    tab.fill("#reason", "faster names").await?;
    tab.click("#deploy-button").await?;
    tab.until("document.querySelector('#confirm').open").await?;
    let lines = tab.texts("#confirm-lines li").await?;
    let told = confirm(&mut tab, "done").await?;
    assert!(told[0] == "Release 2 is active." && told[1].starts_with("On probation for "), "{told:?}");
    let bad = active(&server, "events").await?;
    let said = format!("events {} replaces {}", short(&bad), short(&former));
    assert_eq!(lines, [&*said, "On probation for 1 min 0 s against release 1"]);

    tab.until(
        "document.querySelector('.rollout.probation h3').textContent === 'Release 2 is on probation against release 1'",
    )
    .await?;
    tab.until("document.querySelector('#handler-events .chip.probation')").await?;
    say(&mut ann, 1..=70, "").await?;
    tab.until("document.querySelector('.release[data-release=\"2\"] .chip').textContent === 'rolled back'").await?;
    tab.until("document.querySelector('.release[data-release=\"3\"] .chip').textContent === 'active'").await?;
    assert_eq!(active(&server, "events").await?, former);
    let second = tab.texts(".release[data-release='2'] .why, .release[data-release='2'] .detail").await?;
    assert!(second[0] == "faster names" && second[1].contains("one of twenty"), "{second:?}");
    assert_eq!(tab.texts(".release[data-release='2'] .provenance b").await?, ["console"]);
    tab.until("!document.querySelector('.rollout')").await?;

    let row = format!("#handler-events [data-row='{}']", short(&bad));
    tab.until(&format!("document.querySelector(\"{row} .chip\")?.textContent === 'blocked'")).await?;
    tab.click(&format!("{row} .fault-button")).await?;
    tab.until("document.querySelector('#evidence').open").await?;
    let evidence = tab.texts("#evidence-body").await?.concat();
    for part in
        ["one of twenty", "a last line before the end", "events.message", "the baseline answered", "\"text\":\"20\""]
    {
        assert!(evidence.contains(part), "{part}: {evidence}");
    }
    tab.click("#forgive").await?;
    tab.until("document.querySelector('#confirm').open").await?;
    confirm(&mut tab, "done").await?;
    assert_eq!(asked(&server, "/v1/status").await?["bad"], json!({}));
    tab.until("[...document.querySelectorAll('.events .what')].some((e) => e.textContent === 'Forgiven')").await?;
    tab.expect_no_complaint()
}

#[tokio::test]
async fn a_dropped_file_becomes_a_canary_and_is_promoted() -> TestResult {
    let Some(mut browser) = Browser::start("a_dropped_file_becomes_a_canary_and_is_promoted").await? else {
        return Ok(());
    };
    let server = operated().await?;
    let mut tab = open(&mut browser, &server).await?;
    tab.drop_file("#drop", &guest("shouting_events")).await?;
    tab.until("document.querySelector('#chosen li')").await?;
    tab.click("#way [value=canary]").await?;
    tab.fill("#percent", "40").await?;
    tab.click("#deploy-button").await?;
    tab.until("document.querySelector('#confirm').open").await?;
    let lines = tab.texts("#confirm-title, #confirm-lines li").await?;
    assert_eq!(lines[0], "Start a canary in 40 % of the rooms?");
    assert_eq!(lines[2], "In 40 % of the rooms; release 1 stays active in the others");
    assert_eq!(confirm(&mut tab, "done").await?, ["The canary answers in 40 % of the rooms."]);

    tab.until("document.querySelector('.rollout.canary h3')?.textContent === 'Canary in 40 % of the rooms'").await?;
    tab.until("document.querySelector('#handler-events .chip.canary')").await?;
    tab.click("#promote-canary").await?;
    tab.until("document.querySelector('#confirm').open").await?;
    let lines = tab.texts("#confirm-lines li").await?;
    assert_eq!(lines[1], "From 40 % of the rooms to all of them, in place of release 1");
    tab.fill("#confirm-reason", "seen enough").await?;
    assert_eq!(confirm(&mut tab, "done").await?[0], "Release 2 is active.");
    tab.until("document.querySelector('.tile-release dd').textContent === '2'").await?;
    let history = asked(&server, "/v1/releases?limit=1").await?;
    assert_eq!((&history[0]["who"], &history[0]["why"]), (&json!("console"), &json!("seen enough")));
    tab.expect_no_complaint()
}

#[tokio::test]
async fn a_canary_is_dropped_by_hand() -> TestResult {
    let Some(mut browser) = Browser::start("a_canary_is_dropped_by_hand").await? else { return Ok(()) };
    let server = operated().await?;
    let component = data_encoding::BASE64.encode(&fs::read(guest("shouting_events"))?);
    let body = json!({"events": {"component": component}, "percent": 10});
    server.admin("POST", "/v1/releases")?.json(body.to_string()).send().await?.expect(200)?;
    let mut tab = open(&mut browser, &server).await?;
    tab.until("document.querySelector('#drop-canary')").await?;
    tab.click("#drop-canary").await?;
    tab.until("document.querySelector('#confirm').open").await?;
    assert_eq!(tab.texts("#confirm-lines li").await?, ["Release 1 answers again in its 10 % of the rooms"]);
    assert_eq!(confirm(&mut tab, "done").await?, ["The canary in 10 % of the rooms has ended."]);
    tab.until("!document.querySelector('.rollout')").await?;
    assert_eq!(asked(&server, "/v1/status").await?["canary"], json!(null));
    tab.expect_no_complaint()
}

#[tokio::test]
async fn a_shadow_shows_its_differences() -> TestResult {
    let Some(mut browser) = Browser::start("a_shadow_shows_its_differences").await? else { return Ok(()) };
    let server = operated().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let mut tab = open(&mut browser, &server).await?;
    tab.choose_files("#files", &[&guest("shouting_events")]).await?;
    tab.click("#way [value=shadow]").await?;
    tab.click("#deploy-button").await?;
    tab.until("document.querySelector('#confirm').open").await?;
    assert_eq!(confirm(&mut tab, "done").await?, ["The shadow is running."]);
    say(&mut ann, 1..=3, " quiet words").await?;
    tab.until("document.querySelector('.rollout.shadow [data-figure=differences]')?.textContent === '3'").await?;
    tab.until("document.querySelectorAll('.rollout.shadow .differences details').length === 3").await?;
    let difference = tab.texts(".differences details:first-child pre").await?.concat();
    assert!(difference.contains("1 quiet words") && difference.contains("1 QUIET WORDS"), "{difference}");
    tab.click("#stop-shadow").await?;
    tab.until("document.querySelector('#confirm').open").await?;
    let told = confirm(&mut tab, "done").await?;
    assert!(
        told[0].starts_with("The shadow has ended: ") && told[0].ends_with(" 3 differences, 0 faults."),
        "{told:?}"
    );
    tab.expect_no_complaint()
}

#[tokio::test]
async fn a_rollback_by_hand_says_what_it_will_change() -> TestResult {
    let Some(mut browser) = Browser::start("a_rollback_by_hand_says_what_it_will_change").await? else { return Ok(()) };
    let server = operated().await?;
    let former = active(&server, "events").await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    let latter = active(&server, "events").await?;
    let mut tab = open(&mut browser, &server).await?;
    tab.until("document.querySelector('[data-back=\"1\"]')").await?;
    tab.click("[data-back='1']").await?;
    tab.until("document.querySelector('#confirm').open").await?;
    let lines = tab.texts("#confirm-title, #confirm-lines li").await?;
    let said = format!("events {} replaces {}", short(&former), short(&latter));
    let expected = [
        "Roll back from release 2 to release 1?",
        &said,
        "At once in all rooms, without a probation",
        "Ends the probation of release 2",
    ];
    assert_eq!(lines, expected);
    // A change of mind changes nothing.
    tab.click("#confirm-no").await?;
    tab.until("!document.querySelector('#confirm').open").await?;
    assert_eq!(active(&server, "events").await?, latter);

    tab.click("[data-back='1']").await?;
    tab.fill("#confirm-reason", "too loud").await?;
    let told = confirm(&mut tab, "done").await?;
    assert_eq!(told, ["Release 3 is active.", "The probation of release 2 has ended."]);
    assert_eq!(active(&server, "events").await?, former);
    tab.until("document.querySelector('.release[data-release=\"3\"] .why')?.textContent === 'too loud'").await?;
    tab.expect_no_complaint()
}

#[tokio::test]
async fn every_reason_of_a_rejection_is_shown() -> TestResult {
    let Some(mut browser) = Browser::start("every_reason_of_a_rejection_is_shown").await? else { return Ok(()) };
    let server = TestServer::setup().admin().start().await?;
    let (broken, other) = (server.root().join("my-events.wasm"), server.root().join("notes.txt"));
    fs::write(&broken, "(component)")?;
    fs::write(&other, "not a component")?;
    let mut tab = open(&mut browser, &server).await?;
    tab.choose_files("#files", &[&other]).await?;
    tab.until("document.querySelector('#deploy-problem').textContent.includes('notes.txt is neither')").await?;
    tab.choose_files("#files", &[&broken]).await?;
    tab.click("#deploy-button").await?;
    tab.until("document.querySelector('#confirm').open").await?;
    let told = confirm(&mut tab, "refused").await?;
    assert_eq!(told[..2], ["Rejected. The active release is unchanged.", "events, at the check “kind”:"]);
    assert!(told[2].contains("text"), "{told:?}");
    tab.until("document.querySelector('.release.refused .chip').textContent === 'rejected'").await?;

    // Another release became active since the dialog was opened.
    tab.click("#chosen button").await?;
    tab.choose_files("#files", &[&guest("shouting_events")]).await?;
    tab.click("#deploy-button").await?;
    tab.until("document.querySelector('#confirm').open").await?;
    server.upload("messages", guest("relaying_messages")).await?.expect(200)?;
    let told = confirm(&mut tab, "refused").await?;
    assert!(told[0].contains("aimed at release 1"), "{told:?}");
    tab.expect_no_complaint()
}
