//! How the console looks: both languages, a phone, dark.

use ondol_tests::{TestResult, browser::Browser, guest};
use serde_json::json;

use super::{open, page, say};
use crate::trials::operated;

#[tokio::test]
async fn the_console_speaks_korean_and_english() -> TestResult {
    let Some(mut browser) = Browser::start("the_console_speaks_korean_and_english").await? else { return Ok(()) };
    let server = operated().await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    let mut tab = browser.open_in("ko-KR,ko,en", &page(&server)?).await?;
    tab.until("document.querySelector('.rollout.probation')").await?;
    assert_eq!(tab.evaluate("[document.documentElement.lang, document.title]").await?, json!(["ko", "온돌 콘솔"]));
    let shown = "[...document.querySelectorAll('[data-text]')].filter((e) => e.getClientRects().length).map((e) => e.textContent)";
    // A key without words would be an error; words in the other language stand out.
    let korean = format!("{shown}.filter((text) => !/[가-힣]/.test(text) && /[A-Za-z]{{4}}/.test(text))");
    assert_eq!(tab.evaluate(&korean).await?, json!([]));
    tab.click("#top [data-language=en]").await?;
    tab.until("document.documentElement.lang === 'en'").await?;
    assert_eq!(tab.evaluate(&format!("{shown}.filter((text) => /[가-힣]/.test(text))")).await?, json!([]));
    tab.until("document.querySelector('.rollout h3').textContent === 'Release 2 is on probation against release 1'")
        .await?;
    tab.reload().await?;
    tab.until("document.documentElement.lang === 'en'").await?;
    tab.expect_no_complaint()
}

#[tokio::test]
async fn a_phone_scrolls_the_console_in_one_direction() -> TestResult {
    let Some(mut browser) = Browser::start("a_phone_scrolls_the_console_in_one_direction").await? else {
        return Ok(());
    };
    let server = operated().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let reason = "아주긴이유".repeat(60);
    let target = format!("/v1/handlers/events?reason={}", ondol_tests::user::percent(&reason));
    let bytes = std::fs::read(guest("twentieth_events"))?;
    server.admin("POST", &target)?.body("application/wasm", bytes).send().await?.expect(200)?;
    let shadow = json!({"messages": {"settings": {"text_length_max": 20}}});
    server.admin("POST", "/v1/shadow")?.json(shadow.to_string()).send().await?.expect(200)?;
    say(&mut ann, 1..=70, &"긴말".repeat(200)).await?;
    let mut tab = open(&mut browser, &server).await?;
    tab.resize(390, 844).await?;
    for scheme in ["light", "dark"] {
        tab.prefer(scheme).await?;
        tab.until("document.querySelector('.release.rolled_back') && document.querySelector('.differences summary') && document.documentElement.scrollWidth <= 390").await?;
    }
    let ground = "getComputedStyle(document.body).backgroundColor";
    assert_eq!(tab.evaluate(ground).await?, "rgb(28, 22, 19)");
    tab.click("#handler-events .fault-button").await?;
    tab.until("document.querySelector('#evidence').open && document.querySelector('#evidence').scrollWidth <= 390")
        .await?;
    tab.click("#evidence-close").await?;
    tab.click("[data-back='2']").await?;
    tab.until("document.querySelector('#confirm').open").await?;
    tab.until("document.querySelector('#confirm').getBoundingClientRect().right <= 390").await?;
    tab.expect_no_complaint()
}
