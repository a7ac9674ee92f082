//! The page in Korean and in English.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use ondol_tests::{
    TestResult, TestServer, User,
    browser::{Browser, Tab},
    handlers::workspace,
};
use serde_json::{Value, json};

use super::{expect_events, expect_said, page, say, sign_in};

const HANGUL: &str = "[가-힣]";
const LATIN: &str = "[A-Za-z]{2}";

#[tokio::test]
async fn a_korean_browser_shows_a_korean_page() -> TestResult {
    let Some(mut browser) = Browser::start("a_korean_browser_shows_a_korean_page").await? else { return Ok(()) };
    let server = TestServer::start().await?;
    let made = server.post("/chat/v1/create-room/", &json!({"name": "모임", "post_id": 7})).await?;
    let room = &made.expect(201)?["id"];

    let mut minji = browser.open_in("ko-KR,ko,en-US,en", &page(&server, &format!("#room-{room}"))).await?;
    assert_eq!(minji.evaluate("[document.documentElement.lang, document.title]").await?, json!(["ko", "온돌"]));
    assert_eq!(minji.evaluate(&format!("/{HANGUL}/.test(identity.nickname.value)")).await?, true);
    sign_in(&mut minji, &User::named("민지")).await?;
    say(&mut minji, "안녕하세요").await?;
    expect_said(&mut minji, &["안녕하세요"]).await?;

    expect_events(&mut minji, &["민지 님이 들어왔어요"]).await?;
    let dates = "['.day', '.clock'].map((kind) => document.querySelector(kind).textContent.replace(/\\d+/g, '0'))";
    let dates: [String; 2] = serde_json::from_value(minji.evaluate(dates).await?)?;
    assert!(dates[0].starts_with("0년 0월 0일 ") && dates[0].ends_with("요일"), "{dates:?}");
    assert!(["오전 0:0", "오후 0:0"].contains(&&*dates[1]), "{dates:?}");
    assert_eq!(minji.evaluate("document.title").await?, "모임 · 온돌");
    assert_eq!(shown(&mut minji, LATIN).await?, ["English", "https://…", "English", "민지@example.com"]);
    minji.expect_no_complaint()
}

#[tokio::test]
async fn any_other_browser_shows_an_english_page() -> TestResult {
    let Some(mut browser) = Browser::start("any_other_browser_shows_an_english_page").await? else { return Ok(()) };
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;

    for languages in ["en-GB,en,ko", "ja-JP,ja,fr", "kok-IN"] {
        let mut ann = browser.open_in(languages, &page(&server, &format!("#room-{room}"))).await?;
        sign_in(&mut ann, &User::named(languages)).await?;
        ann.until("document.title === 'lobby · Ondol'").await?;
        assert_eq!(ann.evaluate("document.documentElement.lang").await?, "en", "{languages}");
        assert_eq!(shown(&mut ann, HANGUL).await?, ["한국어", "한국어"], "{languages}");
        ann.expect_no_complaint()?;
    }
    let korean_second = browser.open_in("fr-FR,ko,en", &page(&server, "")).await?.evaluate("document.title").await?;
    assert_eq!(korean_second, "온돌");
    Ok(())
}

#[tokio::test]
async fn the_switch_changes_everything_at_once() -> TestResult {
    let Some(mut browser) = Browser::start("the_switch_changes_everything_at_once").await? else { return Ok(()) };
    let server = TestServer::start().await?;
    let room = server.create_room("101").await?;
    let mut minji = browser.open(&page(&server, &format!("#room-{room}"))).await?;
    sign_in(&mut minji, &User::named("1")).await?;
    let mut junho = server.join(room, "2").await?;
    junho.say("3").await?;
    say(&mut minji, &"4".repeat(2_001)).await?;
    minji.until("document.querySelector('#pending .failed') && document.querySelector('.clock')").await?;
    minji.fill("#create-name", &"5".repeat(1_001)).await?;
    minji.enter().await?;
    minji.until("!document.querySelector('#create-problem').hidden").await?;
    minji.fill("#text", "6").await?;
    minji.offline(true).await?;
    minji.until("document.body.dataset.link === 'down'").await?;
    assert_eq!(shown(&mut minji, HANGUL).await?, ["한국어", "한국어"]);

    minji.click("#rooms [data-language=ko]").await?;

    assert_eq!(shown(&mut minji, LATIN).await?, ["English", "https://…", "English", "1@example.com"]);
    expect_events(&mut minji, &["1 님이 들어왔어요", "2 님이 들어왔어요"]).await?;
    assert_eq!(minji.texts("#rooms [aria-pressed=true]").await?, ["한국어"]);
    assert_eq!(minji.evaluate("[document.documentElement.lang, text.value]").await?, json!(["ko", "6"]));

    minji.offline(false).await?;
    minji.reload().await?;
    minji.until("document.body.dataset.link === 'up'").await?;
    assert_eq!(minji.evaluate("document.title").await?, "101 · 온돌");
    minji.click("#rooms [data-language=en]").await?;
    assert_eq!(shown(&mut minji, HANGUL).await?, ["한국어", "한국어"]);
    minji.expect_no_complaint()
}

#[tokio::test]
async fn a_suggested_nickname_follows_the_switch_and_a_written_one_stays() -> TestResult {
    let story = "a_suggested_nickname_follows_the_switch_and_a_written_one_stays";
    let Some(mut browser) = Browser::start(story).await? else { return Ok(()) };
    let server = TestServer::start().await?;
    let mut tab = browser.open(&page(&server, "")).await?;

    tab.click("#sign-in [data-language=ko]").await?;
    tab.until(&format!("/{HANGUL}/.test(identity.nickname.value)")).await?;
    tab.click("#sign-in [data-language=en]").await?;
    tab.until(&format!("/{LATIN}/.test(identity.nickname.value)")).await?;
    tab.fill("#identity [name=nickname]", "Ann").await?;
    tab.click("#sign-in [data-language=ko]").await?;

    assert_eq!(tab.evaluate("[document.title, identity.nickname.value]").await?, json!(["온돌", "Ann"]));
    tab.expect_no_complaint()
}

#[tokio::test]
async fn the_switch_works_where_storage_is_blocked() -> TestResult {
    let Some(mut browser) = Browser::start("the_switch_works_where_storage_is_blocked").await? else { return Ok(()) };
    let server = TestServer::start().await?;
    let mut tab = browser.open(&page(&server, "")).await?;
    let blocked = "for (const name of ['localStorage', 'sessionStorage']) \
                   Object.defineProperty(window, name, { get() { throw new DOMException('no', 'SecurityError'); } });";
    tab.before_each_page(blocked).await?;
    tab.reload().await?;

    tab.click("#sign-in [data-language=ko]").await?;
    sign_in(&mut tab, &User::named("민지")).await?;

    tab.until("document.querySelector('#rooms-note').textContent.startsWith('아직 방이 없어요')").await?;
    tab.expect_no_complaint()
}

#[tokio::test]
async fn an_error_is_told_in_the_pages_language() -> TestResult {
    let Some(mut browser) = Browser::start("an_error_is_told_in_the_pages_language").await? else { return Ok(()) };
    let server = TestServer::setup().setting("messages", "text_length_max", 5).start().await?;
    let room = server.create_room("로비").await?;
    let mut minji = browser.open_in("ko", &page(&server, &format!("#room-{room}"))).await?;
    minji.fill("#identity [name=email]", " ").await?;
    minji.enter().await?;
    assert_eq!(minji.texts("#identity-problem").await?, ["프로필 사진 말고는 모두 입력해 주세요."]);
    sign_in(&mut minji, &User::named("민지")).await?;

    say(&mut minji, "여섯 글자요").await?;
    expect(&mut minji, "#pending .state", "메시지가 너무 길어요. 5자까지 쓸 수 있어요.").await?;
    minji.fill("#create-name", " ").await?;
    minji.enter().await?;
    expect(&mut minji, "#create-problem", "방 이름을 입력해 주세요.").await?;
    minji.go(&page(&server, "#room-999")).await?;
    expect(&mut minji, "#status", "없는 방이에요.").await?;

    minji.click("#rooms [data-language=en]").await?;
    expect(&mut minji, "#create-problem", "The name must not be blank.").await?;
    expect(&mut minji, "#status", "There is no such room.").await?;
    minji.expect_no_complaint()
}

#[tokio::test]
async fn a_refusal_that_the_page_does_not_know_keeps_the_servers_words() -> TestResult {
    let story = "a_refusal_that_the_page_does_not_know_keeps_the_servers_words";
    let Some(mut browser) = Browser::start(story).await? else { return Ok(()) };
    let server = TestServer::start().await?;
    let mut tab = browser.open(&page(&server, "")).await?;
    let sentence = "Please be kind.";
    let refusals = [
        json!({"code": "rude", "message": sentence}),
        json!({"code": "blank", "field": "topic", "message": sentence}),
        json!({"code": "too_long", "field": "message", "message": sentence}), // tells no limit
        json!({"code": "constructor", "message": sentence}),
        json!({"message": sentence}),
    ];

    let told = tab
        .evaluate(&format!("import('/page/texts.js').then(({{ refusal }}) => {}.map(refusal))", json!(refusals)))
        .await?;

    assert_eq!(told, json!([sentence, sentence, sentence, sentence, sentence]));
    Ok(())
}

#[tokio::test]
async fn every_text_is_there_in_both_languages_and_in_use() -> TestResult {
    let story = "every_text_is_there_in_both_languages_and_in_use";
    let Some(mut browser) = Browser::start(story).await? else { return Ok(()) };
    let server = TestServer::start().await?;
    let mut tab = browser.open(&page(&server, "")).await?;

    let texts = tab.evaluate("import('/page/texts.js').then(({ TEXTS }) => TEXTS)").await?;
    let texts: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_value(texts)?;
    for (key, text) in &texts {
        let (english, korean) = (&text["en"], &text["ko"]);
        assert_eq!(text.len(), 2, "{key}");
        assert!(!english.trim().is_empty() && !english.contains(hangul), "{key}: {english}");
        assert!(korean.contains(hangul), "{key}: {korean}");
        assert_eq!(values(english), values(korean), "{key}");
    }

    let used = tab
        .evaluate(
            "(async () => { \
               const loaded = performance.getEntriesByType('resource').map(({ name }) => name); \
               const files = loaded.filter((name) => name.endsWith('.js') && !name.endsWith('/texts.js')); \
               const sources = await Promise.all(['/', ...files].map(async (file) => (await fetch(file)).text())); \
               const keys = sources.join().matchAll(/(?:\\bkey: |data-(?:text|label|placeholder)=)\"([^\"]+)\"/g); \
               return [...new Set([...keys].map(([, key]) => key))]; })()",
        )
        .await?;
    let used: BTreeSet<String> = serde_json::from_value(used)?;
    let there: BTreeSet<String> = texts.into_keys().collect();
    assert_eq!(used.difference(&there).collect::<Vec<_>>(), [""; 0], "texts that are missing");
    let unused = there.difference(&used).filter(|key| !key.starts_with("guest_") && !key.starts_with("error."));
    assert_eq!(unused.collect::<Vec<_>>(), [""; 0], "texts that nothing uses");

    let server = sources(&["host", "handlers"])?;
    let codes = there.iter().filter_map(|key| key.strip_prefix("error.")?.rsplit('.').next());
    let unknown: Vec<&str> = codes.filter(|code| !server.contains(&format!("\"{code}\""))).collect();
    assert_eq!(unknown, [""; 0], "codes that the server never sends");
    Ok(())
}

/// The texts, labels, placeholders and titles of the whole page, shown or hidden, in which a pattern is found.
async fn shown(tab: &mut Tab, pattern: &str) -> TestResult<Vec<String>> {
    let all = "[...document.querySelectorAll('title, body *:not(noscript)')].flatMap((e) => \
               [e.ariaLabel, e.placeholder, e.title, \
                ...[...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data)])";
    let found = tab.evaluate(&format!("{all}.filter((text) => text && /{pattern}/.test(text))")).await?;
    Ok(serde_json::from_value(found)?)
}

async fn expect(tab: &mut Tab, selector: &str, text: &str) -> TestResult {
    let selector = Value::from(selector);
    tab.until(&format!("document.querySelector({selector})?.textContent === {}", json!(text))).await
}

fn hangul(letter: char) -> bool {
    ('가'..='힣').contains(&letter)
}

/// The names in braces.
fn values(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect()
}

/// All Rust below directories of the workspace.
fn sources(directories: &[&str]) -> TestResult<String> {
    fn collect(directory: &Path, all: &mut String) -> TestResult {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                collect(&path, all)?;
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                all.push_str(&fs::read_to_string(path)?);
            }
        }
        Ok(())
    }
    let mut all = String::new();
    for directory in directories {
        collect(&workspace().join(directory), &mut all)?;
    }
    Ok(all)
}
