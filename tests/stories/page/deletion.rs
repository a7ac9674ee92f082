//! The page takes deleted messages away.

use ondol_tests::{TestResult, TestServer, browser::Browser};

use super::{enter, expect_said};
use crate::keeping::delete;

#[tokio::test]
async fn a_deleted_message_vanishes_from_the_page() -> TestResult {
    let Some(mut browser) = Browser::start("a_deleted_message_vanishes_from_the_page").await? else { return Ok(()) };
    let server = TestServer::setup().admin().start().await?;
    let room = server.create_room("lobby").await?;
    let mut junho = server.join(room, "준호").await?;
    for number in 1..=60 {
        junho.say(&number.to_string()).await?;
        junho.expect_message(&number.to_string()).await?;
    }
    for seq in 1..=9 {
        delete(&server, room, seq).await?.expect(200)?;
    }
    let mut minji = enter(&mut browser, &server, room, "민지").await?;
    let shown = |missing: &[u64]| -> Vec<String> {
        (10..=60).filter(|seq| !missing.contains(seq)).map(|seq| seq.to_string()).collect()
    };
    let expect = async |tab: &mut _, texts: Vec<String>| {
        expect_said(tab, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await
    };
    minji.click("#older").await?;
    expect(&mut minji, shown(&[])).await?;
    // The first messages are gone, so there is nothing older, which the next page shows.
    if minji.evaluate("!older.hidden").await? == true {
        minji.click("#older").await?;
    }
    minji.until("older.hidden").await?;

    for seq in [60, 30, 10] {
        delete(&server, room, seq).await?.expect(200)?;
    }
    expect(&mut minji, shown(&[10, 30, 60])).await?;
    minji.reload().await?;
    minji.until("document.body.dataset.link === 'up'").await?;
    junho.say("after").await?;
    minji.until("[...document.querySelectorAll('#messages .text')].at(-1)?.textContent === 'after'").await?;
    minji.expect_no_complaint()
}
