//! The page reads history in either form.

use ondol_tests::{
    TestResult, TestServer,
    browser::{Browser, Tab},
};

use super::{enter, expect_said};

/// All that was said, oldest first, once all older pages were asked for.
async fn all(tab: &mut Tab) -> TestResult<Vec<String>> {
    while tab.evaluate("!older.hidden").await? == true {
        let before = tab.texts("#messages .text").await?.len();
        tab.click("#older").await?;
        tab.until(&format!("document.querySelectorAll('#messages .text').length > {before}")).await?;
        tab.until("!older.disabled").await?;
    }
    tab.texts("#messages .text").await
}

/// A server with this form and short pages, where 40 messages were said, 25 of them while a tab was offline.
async fn reads(browser: &mut Browser, form: &str) -> TestResult {
    let setup = TestServer::setup().config(&format!("history = {form:?}")).limit("page_bytes_max", 2_000);
    let server = setup.start().await?;
    let room = server.create_room("lobby").await?;
    let mut junho = server.join(room, "준호").await?;
    let texts: Vec<String> = (1..=40).map(|number| number.to_string()).collect();
    let (missed, early) = (&texts[15..], &texts[..15]);
    for text in early {
        junho.say(text).await?;
        junho.expect_message(text).await?;
    }
    let mut minji = enter(browser, &server, room, "민지").await?;
    assert_eq!(all(&mut minji).await?, early);

    minji.offline(true).await?;
    minji.until("document.body.dataset.link === 'down'").await?;
    for text in missed {
        junho.say(text).await?;
        junho.expect_message(text).await?;
    }
    minji.offline(false).await?;
    minji.until("document.body.dataset.link === 'up'").await?;
    minji.until("[...document.querySelectorAll('#messages .text')].at(-1)?.textContent === '40'").await?;
    assert_eq!(all(&mut minji).await?, texts);
    minji.expect_no_complaint()
}

#[tokio::test]
async fn history_is_read_in_the_words_of_the_handler() -> TestResult {
    let Some(mut browser) = Browser::start("history_is_read_in_the_words_of_the_handler").await? else {
        return Ok(());
    };
    reads(&mut browser, "events").await
}

#[tokio::test]
async fn history_is_read_in_the_form_of_the_host() -> TestResult {
    let Some(mut browser) = Browser::start("history_is_read_in_the_form_of_the_host").await? else { return Ok(()) };
    reads(&mut browser, "host").await
}

#[tokio::test]
async fn a_room_is_shown_anew_when_the_database_went_back() -> TestResult {
    let story = "a_room_is_shown_anew_when_the_database_went_back";
    let Some(mut browser) = Browser::start(story).await? else { return Ok(()) };
    let mut server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut junho = server.join(room, "준호").await?;
    junho.say("하나").await?;
    junho.expect_message("하나").await?;
    let (file, copy) = (server.database_file(), server.data().join("copy"));
    server.database()?.execute("VACUUM INTO ?1", [copy.to_str()])?;
    let mut minji = enter(&mut browser, &server, room, "민지").await?;
    junho.say("사라질 말").await?;
    expect_said(&mut minji, &["하나", "사라질 말"]).await?;

    server.signal("TERM")?;
    server.exit().await?;
    std::fs::rename(&copy, &file)?;
    // On the same port, which the page knows.
    server.restart().await?;
    let mut junho = server.join(room, "준호").await?;
    junho.say("새 말").await?;
    // It has the number of the one that is gone.
    assert_eq!(junho.expect_message("새 말").await?["seq"], 2);
    expect_said(&mut minji, &["하나", "새 말"]).await?;
    minji.expect_no_complaint()
}
