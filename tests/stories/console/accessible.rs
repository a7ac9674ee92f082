//! axe-core on both pages, light and dark. `.ci/run` installs it in `target/tools`.

use std::{env, path::PathBuf};

use anyhow::ensure;
use ondol_tests::{
    TestResult, User,
    browser::{Browser, Tab},
    guest,
    handlers::target,
};

use super::{guarded, logged_in, open, page, say};
use crate::trials::operated;

/// The script of axe-core. None where it is missing: then `story` is named as skipped, except under CI, where that is an error.
fn axe(story: &str) -> TestResult<Option<PathBuf>> {
    let file = target().join("tools/node_modules/axe-core/axe.min.js");
    if file.exists() {
        return Ok(Some(file));
    }
    ensure!(env::var_os("CI").is_none(), "{story}: no axe-core, and CI is set");
    eprintln!("skipped: {story}: no axe-core in target/tools");
    Ok(None)
}

async fn expect_accessible(tab: &mut Tab, axe: &std::path::Path) -> TestResult {
    for scheme in ["light", "dark"] {
        tab.prefer(scheme).await?;
        // A transition of colours has to be over.
        tab.until("document.getAnimations().every((one) => one.playState !== 'running' || !one.transitionProperty)")
            .await?;
        assert_eq!(tab.accessibility_faults(axe).await?, [""; 0], "{scheme}");
    }
    Ok(())
}

#[tokio::test]
async fn the_console_is_accessible() -> TestResult {
    let story = "the_console_is_accessible";
    let (Some(axe), Some(mut browser)) = (axe(story)?, Browser::start(story).await?) else { return Ok(()) };
    let server = operated().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    server.upload("events", guest("twentieth_events")).await?.expect(200)?;
    say(&mut ann, 1..=70, "").await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    let component = data_encoding::BASE64.encode(&std::fs::read(guest("relaying_messages"))?);
    for (target, more) in [("/v1/shadow", ""), ("/v1/releases", ",\"percent\":20")] {
        let body = format!("{{\"messages\":{{\"component\":\"{component}\"}}{more}}}");
        server.admin("POST", target)?.json(body).send().await?.expect(200)?;
    }
    let mut tab = open(&mut browser, &server).await?;
    tab.choose_files("#files", &[&guest("twentieth_events")]).await?;
    tab.until("document.querySelector('.rollout.canary') && document.querySelector('.rollout.shadow')").await?;
    tab.until("document.querySelector('.release.rolled_back') && document.querySelector('#chosen li')").await?;
    expect_accessible(&mut tab, &axe).await?;
    tab.click("#deploy-button").await?;
    tab.until("document.querySelector('#confirm').open").await?;
    expect_accessible(&mut tab, &axe).await?;
    tab.click("#confirm-no").await?;
    tab.click(".fault-button").await?;
    tab.until("document.querySelector('#evidence').open").await?;
    expect_accessible(&mut tab, &axe).await
}

#[tokio::test]
async fn the_login_is_accessible() -> TestResult {
    let story = "the_login_is_accessible";
    let (Some(axe), Some(mut browser)) = (axe(story)?, Browser::start(story).await?) else { return Ok(()) };
    let server = guarded().await?;
    let mut tab = browser.open(&page(&server)?).await?;
    tab.until("document.body.dataset.view === 'sign-in'").await?;
    tab.enter().await?;
    expect_accessible(&mut tab, &axe).await?;
    logged_in(&mut browser, &server).await.map(drop)
}

#[tokio::test]
async fn the_chat_page_is_accessible() -> TestResult {
    let story = "the_chat_page_is_accessible";
    let (Some(axe), Some(mut browser)) = (axe(story)?, Browser::start(story).await?) else { return Ok(()) };
    let server = operated().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    say(&mut ann, 1..=3, " of them").await?;
    let mut tab = browser.open(&format!("http://{}/#room-{room}", server.address())).await?;
    expect_accessible(&mut tab, &axe).await?;
    let user = User::named("minji");
    for (field, value) in [("user_id", &user.id), ("nickname", &user.nickname), ("email", &user.email)] {
        tab.fill(&format!("#identity [name={field}]"), value).await?;
    }
    tab.enter().await?;
    tab.until("document.body.dataset.link === 'up' && document.querySelector('#messages .text')").await?;
    expect_accessible(&mut tab, &axe).await
}
