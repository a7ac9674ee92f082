//! The console, in a real browser: what an operator sees and does there.

mod accessible;
mod attacks;
mod changes;
mod look;

use ondol_tests::{
    Client, TestResult, TestServer, User,
    browser::{Browser, Tab},
    guest, handlers,
};
use serde_json::json;

use crate::trials::{asked, operated};

const TOKEN: &str = "a token of 30 characters or so";

/// A server with an admin token.
async fn guarded() -> TestResult<TestServer> {
    TestServer::setup().admin().env("ONDOL_ADMIN_TOKEN", TOKEN).start().await
}

/// Host and port of the admin listener.
fn host(server: &TestServer) -> TestResult<String> {
    Ok(server.admin_address()?.trim_start_matches("http://").to_owned())
}

fn page(server: &TestServer) -> TestResult<String> {
    Ok(format!("http://{}/console/", host(server)?))
}

/// A tab with the console of a server without a token.
async fn open(browser: &mut Browser, server: &TestServer) -> TestResult<Tab> {
    let mut tab = browser.open(&page(server)?).await?;
    tab.until("document.body.dataset.view === 'console'").await?;
    Ok(tab)
}

/// A tab with the console, after the login.
async fn logged_in(browser: &mut Browser, server: &TestServer) -> TestResult<Tab> {
    let mut tab = browser.open(&page(server)?).await?;
    tab.until("document.body.dataset.view === 'sign-in'").await?;
    tab.fill("#token", TOKEN).await?;
    tab.enter().await?;
    tab.until("document.body.dataset.view === 'console'").await?;
    Ok(tab)
}

/// Sends messages, each with its number, and waits for the last.
async fn say(client: &mut Client, numbers: std::ops::RangeInclusive<u32>, more: &str) -> TestResult {
    for number in numbers {
        let text = format!("{number}{more}");
        client.say(&text).await?;
        client.expect_message(&text).await?;
    }
    Ok(())
}

/// Says yes in the open dialog, and awaits what comes of it.
async fn confirm(tab: &mut Tab, outcome: &str) -> TestResult<Vec<String>> {
    tab.click("#confirm-yes").await?;
    tab.until("!['none', undefined].includes(document.querySelector('#confirm').dataset.outcome)").await?;
    let told = tab.texts("#outcome p, #outcome li").await?;
    assert_eq!(tab.evaluate("document.querySelector('#confirm').dataset.outcome").await?, outcome, "{told:?}");
    tab.click("#confirm-no").await?;
    tab.until("!document.querySelector('#confirm').open").await?;
    Ok(told)
}

#[tokio::test]
async fn an_operator_logs_in_and_sees_figures_under_load() -> TestResult {
    let Some(mut browser) = Browser::start("an_operator_logs_in_and_sees_figures_under_load").await? else {
        return Ok(());
    };
    let server = guarded().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let _ben = server.join(room, User::named("ben")).await?;

    let mut tab = browser.open(&format!("http://{}/", host(&server)?)).await?;
    tab.until("location.pathname === '/console/' && document.body.dataset.view === 'sign-in'").await?;
    tab.fill("#token", "another token").await?;
    tab.enter().await?;
    tab.until("document.querySelector('#login-problem').textContent === 'This is not the admin token.'").await?;
    tab.fill("#token", TOKEN).await?;
    tab.enter().await?;
    tab.until("document.body.dataset.view === 'console'").await?;

    say(&mut ann, 1..=40, "").await?;
    tab.until("document.querySelector('.tile-connections dd').textContent === '2'").await?;
    tab.until("document.querySelector('.tile-rooms dd').textContent === '1'").await?;
    tab.until("Number(document.querySelector('.tile-message_rate dd').textContent) > 0").await?;
    tab.until("/^[\\d.]+ (µs|ms|s)$/.test(document.querySelector('.tile-commit_time dd').textContent)").await?;
    tab.until("document.querySelector('#handler-messages tbody td:nth-child(3)').textContent === '40'").await?;
    tab.until("/[µm]?s$/.test(document.querySelector('#handler-messages tbody td:nth-child(6)').textContent)").await?;
    assert_eq!(tab.texts("#state-text").await?, ["Ready"]);
    assert_eq!(tab.texts(".tile-release dd:first-of-type").await?, ["1"]);

    let cookies = tab.cookies().await?;
    let cookie = cookies.iter().find(|cookie| cookie["name"] == "ondol_console").unwrap();
    assert_eq!((&cookie["httpOnly"], &cookie["sameSite"]), (&json!(true), &json!("Strict")), "{cookie}");
    let kept = tab
        .evaluate("JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }, location.href])")
        .await?;
    assert!(!format!("{kept} {cookies:?}").contains(TOKEN), "{kept}");

    tab.reload().await?;
    tab.until("document.body.dataset.view === 'console'").await?;
    tab.click("#log-out").await?;
    tab.until("document.body.dataset.view === 'sign-in'").await?;
    assert_eq!(tab.evaluate("fetch('/v1/status').then((answer) => answer.status)").await?, 401);
    tab.expect_no_complaint()
}

#[tokio::test]
async fn the_last_hour_is_asked_for_by_number() -> TestResult {
    let server = operated().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    say(&mut ann, 1..=5, "").await?;
    let activity = asked(&server, "/v1/activity").await?;
    assert_eq!((&activity["interval_ms"], &activity["samples_max"]), (&json!(10_000), &json!(360)), "{activity}");
    let all = [activity["samples"].as_array().unwrap().clone(), vec![activity["current"].clone()]].concat();
    let calls = |handler: &str| -> u64 {
        let rows = all.iter().flat_map(|sample| sample["calls"].as_array().unwrap());
        rows.filter(|row| row["handler"] == handler).map(|row| row["calls"].as_u64().unwrap()).sum()
    };
    assert_eq!((calls("rooms"), calls("messages")), (1, 5), "{activity}");
    assert_eq!(all.iter().map(|sample| sample["stored"].as_u64().unwrap()).sum::<u64>(), 5, "{activity}");
    assert_eq!(all.last().unwrap()["connections"], 1);
    let number = activity["current"]["number"].as_u64().unwrap();
    let later = asked(&server, &format!("/v1/activity?since={number}")).await?;
    assert!(later["samples"].as_array().unwrap().len() <= 1, "{later}");
    server.admin("GET", "/v1/activity?since=x")?.send().await?.expect_field("since")?;
    Ok(())
}

#[tokio::test]
async fn the_console_is_all_there_and_keeps_strangers_out() -> TestResult {
    let server = guarded().await?;
    let folder = handlers::workspace().join("host/ondol/src/http/console");
    let files = std::fs::read_dir(folder)?.map(|file| Ok(file?.file_name().to_string_lossy().into_owned()));
    let files = files.collect::<TestResult<Vec<_>>>()?;
    assert!(files.len() > 12, "{files:?}");
    let names =
        files.iter().map(|file| if file == "index.html" { "" } else { file }).chain(["page.css", "language.js"]);
    for name in names {
        let answer = server.admin("GET", &format!("/console/{name}"))?.send().await?;
        assert_eq!(answer.status, 200, "{name}");
        for (header, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(header), Some(value), "{name}");
        }
        let policy = answer.header("content-security-policy").unwrap_or_default();
        let strict = ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"];
        assert!(strict.iter().all(|rule| policy.contains(rule)) && !policy.contains("unsafe"), "{name}: {policy}");
    }
    let redirect = server.admin("GET", "/")?.send().await?;
    assert_eq!((redirect.status, redirect.header("location")), (302, Some("/console/")));
    server.admin("GET", "/console/none.js")?.send().await?.expect_detail(404, "not_found")?;
    server.admin("POST", "/console/")?.send().await?.expect_detail(405, "method_not_allowed")?;
    server.admin("GET", "/console/login")?.send().await?.expect_detail(405, "method_not_allowed")?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_restarts_is_found_again() -> TestResult {
    let Some(mut browser) = Browser::start("a_server_that_restarts_is_found_again").await? else { return Ok(()) };
    let mut server = TestServer::setup().admin_on_one_port().start().await?;
    let mut tab = open(&mut browser, &server).await?;
    server.restart().await?;
    tab.until(
        "document.body.dataset.state === 'ready' && document.querySelector('.tile-release dd').textContent === '1'",
    )
    .await?;
    // The form token is a new one.
    tab.choose_files("#files", &[&guest("shouting_events")]).await?;
    tab.click("#deploy-button").await?;
    tab.until("document.querySelector('#confirm').open").await?;
    let told = confirm(&mut tab, "done").await?;
    assert_eq!(told[0], "Release 2 is active.");
    tab.expect_no_complaint()
}
