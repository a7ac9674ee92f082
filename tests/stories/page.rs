//! The chat page, in a real browser.

mod deletion;
mod history;
mod languages;

use ondol_tests::{
    TestResult, TestServer, User,
    browser::{Browser, Tab},
    signing,
};
use serde_json::{Value, json};

#[tokio::test]
async fn two_users_talk_in_two_tabs() -> TestResult {
    let Some(mut browser) = Browser::start("two_users_talk_in_two_tabs").await? else { return Ok(()) };
    let server = TestServer::start().await?;

    let mut minji = come_in(&mut browser, &server, "", &User::named("민지")).await?;
    minji.fill("#create-name", "동네 이야기").await?;
    minji.click("#create button").await?;
    minji.until("document.body.dataset.link === 'up'").await?;

    let mut junho = come_in(&mut browser, &server, "", &User::named("준호").pictured("/no-such-picture.png")).await?;
    junho.until("document.querySelector('#room-list a')").await?;
    junho.click("#room-list a").await?;
    expect_events(&mut minji, &["민지 came in", "준호 came in"]).await?;
    junho.until("document.querySelector('#room-title').textContent === '동네 이야기'").await?;

    say(&mut minji, "안녕하세요! 방이 참 따뜻하네요.").await?;
    expect_said(&mut junho, &["안녕하세요! 방이 참 따뜻하네요."]).await?;
    say(&mut junho, "반가워요 👋🏽").await?;
    expect_said(&mut minji, &["안녕하세요! 방이 참 따뜻하네요.", "반가워요 👋🏽"]).await?;
    assert_eq!(minji.texts("#messages .mine .text").await?, ["안녕하세요! 방이 참 따뜻하네요."]);
    assert_eq!(minji.texts("#messages .said:not(.mine) .by").await?, ["준호"]);

    junho.go("about:blank").await?;
    expect_events(&mut minji, &["민지 came in", "준호 came in", "준호 left"]).await?;

    minji.reload().await?;
    expect_said(&mut minji, &["안녕하세요! 방이 참 따뜻하네요.", "반가워요 👋🏽"]).await?;
    assert_eq!(minji.texts("#me-name").await?, ["민지"]);
    minji.expect_no_complaint()
}

#[tokio::test]
async fn a_user_comes_in_with_a_token() -> TestResult {
    let Some(mut browser) = Browser::start("a_user_comes_in_with_a_token").await? else { return Ok(()) };
    let key = format!("keys=k=ES256:{}", signing::key_file("es256.pem").display());
    let setup =
        ["mode=jwt", &key].iter().fold(TestServer::setup(), |setup, value| setup.flag("--identity").flag(*value));
    let server = setup.start().await?;
    let mut tab = browser.open(&page(&server, "")).await?;
    tab.fill("[name=token]", "no token").await?;
    tab.click("#identity .primary").await?;
    tab.until("!document.querySelector('#identity-problem').hidden").await?;
    let token = signing::token("ES256", &signing::claims(&User::named("u1").called("민지")))?;
    tab.fill("[name=token]", &token).await?;
    tab.click("#identity .primary").await?;
    tab.fill("#create-name", "토큰").await?;
    tab.click("#create button").await?;
    tab.until("document.body.dataset.link === 'up'").await?;
    assert_eq!(tab.texts("#me-name").await?, ["민지"]);
    say(&mut tab, "안녕하세요").await?;
    expect_said(&mut tab, &["안녕하세요"]).await?;
    tab.reload().await?;
    expect_said(&mut tab, &["안녕하세요"]).await?;
    tab.expect_no_complaint()
}

#[tokio::test]
async fn markup_stays_text() -> TestResult {
    let Some(mut browser) = Browser::start("markup_stays_text").await? else { return Ok(()) };
    let server = TestServer::start().await?;
    let evil = "<img src=x onerror='window.hit=1'><b>굵게</b>";
    let room = server.create_room(evil).await?;
    let mut eve = server.join(room, User::named("eve").called("<i>eve</i>")).await?;
    let mut minji = enter(&mut browser, &server, room, "민지").await?;

    eve.say(evil).await?;

    expect_said(&mut minji, &[evil]).await?;
    eve.leave().await?;
    expect_events(&mut minji, &["민지 came in", "<i>eve</i> left"]).await?;
    assert_eq!(minji.texts("#room-title").await?, [evil]);
    assert_eq!(minji.texts("#messages .by").await?, ["<i>eve</i>"]);
    assert_eq!(minji.evaluate("document.querySelectorAll('#talk b, #talk i, #house img').length").await?, 0);
    assert_eq!(minji.evaluate("typeof window.hit").await?, "undefined");
    minji.expect_no_complaint()
}

#[tokio::test]
async fn an_unfinished_syllable_is_not_sent() -> TestResult {
    let Some(mut browser) = Browser::start("an_unfinished_syllable_is_not_sent").await? else { return Ok(()) };
    let server = TestServer::start().await?;
    let room = server.create_room("한글").await?;
    let mut junho = server.join(room, "준호").await?;
    let mut minji = enter(&mut browser, &server, room, "민지").await?;

    minji.fill("#text", "한").await?;
    minji.compose("그").await?;
    minji.enter_for_the_input_method().await?;
    minji.compose("글").await?;
    minji.enter_for_the_input_method().await?;
    minji.finish_composing("글").await?;
    minji.until("document.querySelector('#text').value === '한글'").await?;
    minji.enter().await?;

    junho.expect_message("한글").await?;
    expect_said(&mut minji, &["한글"]).await?;
    minji.until("document.querySelector('#text').value === ''").await?;
    minji.expect_no_complaint()
}

#[tokio::test]
async fn a_phone_scrolls_nothing_sideways() -> TestResult {
    let Some(mut browser) = Browser::start("a_phone_scrolls_nothing_sideways").await? else { return Ok(()) };
    let server = TestServer::start().await?;
    let room = server.create_room(&"아주긴이름".repeat(20)).await?;
    let mut junho = server.join(room, User::named("준호").called(&"긴".repeat(64))).await?;
    junho.say(&format!("{} {}", "https://example.com/".repeat(40), "띄어쓰기없는말".repeat(40))).await?;
    let mut minji = browser.open(&page(&server, "")).await?;
    minji.resize(360, 740).await?;
    expect_no_sideways(&mut minji).await?;

    sign_in(&mut minji, &User::named("민지")).await?;
    minji.until("document.querySelector('#room-list a')").await?;
    expect_no_sideways(&mut minji).await?;
    minji.click("#room-list a").await?;
    minji.until("document.querySelector('#messages .text')").await?;
    expect_no_sideways(&mut minji).await?;

    say(&mut minji, &"가나다라".repeat(300)).await?;
    minji.until("document.querySelector('#messages .mine .text')").await?;
    expect_no_sideways(&mut minji).await?;
    minji.click("#back").await?;
    minji.until("document.body.dataset.view === 'rooms'").await?;
    minji.until("document.querySelector('#rooms').offsetWidth === 360").await?;
    minji.expect_no_complaint()
}

#[tokio::test]
async fn what_was_missed_is_made_up_for() -> TestResult {
    let Some(mut browser) = Browser::start("what_was_missed_is_made_up_for").await? else { return Ok(()) };
    let mut server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut minji = enter(&mut browser, &server, room, "민지").await?;
    say(&mut minji, "하나").await?;
    expect_said(&mut minji, &["하나"]).await?;

    minji.offline(true).await?;
    minji.until("document.body.dataset.link === 'down'").await?;
    minji.fill("#text", "넷").await?;
    minji.enter().await?;
    assert_eq!(minji.evaluate("[text.value, send.disabled, text.disabled]").await?, json!(["넷", true, false]));
    assert!(minji.texts("#status").await?.concat().contains("Trying again"));
    server.restart().await?;
    let mut junho = server.join(room, "준호").await?;
    for text in ["둘", "셋"] {
        junho.say(text).await?;
        junho.expect_message(text).await?;
    }
    minji.offline(false).await?;

    expect_said(&mut minji, &["하나", "둘", "셋"]).await?;
    minji.until("document.body.dataset.link === 'up'").await?;
    minji.enter().await?;
    junho.expect_message("넷").await?;
    expect_said(&mut minji, &["하나", "둘", "셋", "넷"]).await?;

    // This one asks the page to come back.
    server.signal("TERM")?;
    server.hand_over().await?;
    let mut junho = server.join(room, "준호").await?;
    junho.say("다섯").await?;
    expect_said(&mut minji, &["하나", "둘", "셋", "넷", "다섯"]).await?;
    minji.expect_no_complaint()
}

#[tokio::test]
async fn a_refused_message_is_shown_with_its_reason() -> TestResult {
    let Some(mut browser) = Browser::start("a_refused_message_is_shown_with_its_reason").await? else { return Ok(()) };
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut minji = enter(&mut browser, &server, room, "민지").await?;
    let mut junho = server.join(room, "준호").await?;
    let too_long = "가".repeat(2_001);
    junho.say(&too_long).await?;
    let reason = junho.expect_error("too_long").await?["message"].clone();

    say(&mut minji, &too_long).await?;
    say(&mut minji, "짧은 말").await?;

    minji.until(&format!("document.querySelector('#pending .failed .state')?.textContent === {reason}")).await?;
    expect_said(&mut minji, &["짧은 말"]).await?;
    minji.click("#pending .actions button").await?;
    minji.until("text.value.length === 2001 && !document.querySelector('#pending li')").await?;
    minji.expect_no_complaint()
}

#[tokio::test]
async fn history_and_live_messages_meet_without_a_gap() -> TestResult {
    let Some(mut browser) = Browser::start("history_and_live_messages_meet_without_a_gap").await? else {
        return Ok(());
    };
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut junho = server.join(room, "준호").await?;
    for number in 1..=60 {
        junho.say(&number.to_string()).await?;
        junho.expect_message(&number.to_string()).await?;
    }
    let talking = tokio::spawn(async move {
        for number in 61..=400 {
            junho.say(&number.to_string()).await?;
            junho.expect_message(&number.to_string()).await?;
        }
        anyhow::Ok(junho)
    });

    let mut minji = enter(&mut browser, &server, room, "민지").await?;
    let _junho = talking.await??;

    minji.until("[...document.querySelectorAll('#messages .text')].at(-1)?.textContent === '400'").await?;
    while minji.evaluate("!older.hidden").await? == true {
        let before = minji.texts("#messages .text").await?.len();
        minji.click("#older").await?;
        minji.until(&format!("document.querySelectorAll('#messages .text').length > {before}")).await?;
        minji.until("!older.disabled").await?;
    }
    let all: Vec<String> = (1..=400).map(|number| number.to_string()).collect();
    assert_eq!(minji.texts("#messages .text").await?, all);
    minji.expect_no_complaint()
}

#[tokio::test]
async fn rooms_come_page_by_page() -> TestResult {
    let Some(mut browser) = Browser::start("rooms_come_page_by_page").await? else { return Ok(()) };
    let server = TestServer::start().await?;
    for number in 1..=101 {
        server.create_room(&format!("room {number}")).await?;
    }

    let mut minji = come_in(&mut browser, &server, "", &User::named("민지")).await?;

    minji.until("document.querySelectorAll('#room-list a').length === 100").await?;
    minji.click("#rooms-more").await?;
    minji.until("document.querySelectorAll('#room-list a').length === 101").await?;
    minji.until("document.querySelector('#rooms-more').hidden").await?;
    minji.go(&page(&server, "#room-999")).await?;
    minji.until("document.querySelector('#status').textContent === 'There is no such room.'").await?;
    minji.expect_no_complaint()
}

#[tokio::test]
async fn the_page_is_all_there_and_keeps_strangers_out() -> TestResult {
    let server = TestServer::start().await?;
    let scripts = ["identity", "language", "log", "room", "rooms", "server", "session", "texts"];
    let scripts = scripts.map(|name| format!("/page/{name}.js"));
    let paths = ["/", "/page.css", "/page.js"].into_iter().chain(scripts.iter().map(String::as_str));
    for path in paths {
        let answer = server.get(path).await?;
        assert_eq!(answer.status, 200, "{path}");
        let kind = match path {
            "/" => "text/html",
            "/page.css" => "text/css",
            _ => "text/javascript",
        };
        assert!(answer.header("content-type").is_some_and(|value| value.starts_with(kind)), "{path}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
    }
    Ok(())
}

fn page(server: &TestServer, place: &str) -> String {
    format!("http://{}/{place}", server.address())
}

/// A tab in which `user` is in `room`, and connected.
async fn enter(browser: &mut Browser, server: &TestServer, room: u64, name: &str) -> TestResult<Tab> {
    let mut tab = come_in(browser, server, &format!("#room-{room}"), &User::named(name)).await?;
    tab.until("document.body.dataset.link === 'up'").await?;
    Ok(tab)
}

/// A tab in which `user` has come in.
async fn come_in(browser: &mut Browser, server: &TestServer, place: &str, user: &User) -> TestResult<Tab> {
    let mut tab = browser.open(&page(server, place)).await?;
    sign_in(&mut tab, user).await?;
    Ok(tab)
}

async fn sign_in(tab: &mut Tab, user: &User) -> TestResult {
    let picture = user.picture.as_deref().unwrap_or_default();
    let fields =
        [("user_id", &*user.id), ("nickname", &*user.nickname), ("email", &*user.email), ("profile_url", picture)];
    for (field, value) in fields {
        tab.fill(&format!("#identity [name={field}]"), value).await?;
    }
    tab.enter().await?;
    tab.until("document.body.dataset.view !== 'sign-in'").await
}

async fn say(tab: &mut Tab, text: &str) -> TestResult {
    tab.until("!send.disabled").await?;
    tab.fill("#text", text).await?;
    tab.enter().await
}

async fn expect_said(tab: &mut Tab, texts: &[&str]) -> TestResult {
    expect_texts(tab, "#messages .text", texts).await
}

async fn expect_events(tab: &mut Tab, texts: &[&str]) -> TestResult {
    expect_texts(tab, "#messages .event > .what", texts).await
}

async fn expect_texts(tab: &mut Tab, selector: &str, texts: &[&str]) -> TestResult {
    let wanted = Value::from(json!(texts).to_string());
    let selector = Value::from(selector);
    tab.until(&format!(
        "JSON.stringify([...document.querySelectorAll({selector})].map((e) => e.textContent)) === {wanted}"
    ))
    .await
}

async fn expect_no_sideways(tab: &mut Tab) -> TestResult {
    tab.until(
        "document.documentElement.scrollWidth <= 360 && \
         [...document.querySelectorAll('body *')].every((e) => e.getBoundingClientRect().right <= 360.5) && \
         [...document.querySelectorAll('.scroll, .text')].every((e) => e.scrollWidth <= e.clientWidth)",
    )
    .await
}
