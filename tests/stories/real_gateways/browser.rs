//! Pages behind a gateway, in a real browser.

use ondol_tests::{
    TestResult, TestServer, User,
    browser::{Browser, Tab},
    gateway::token,
};
use serde_json::json;

use super::Case;

/// Opens a socket from the page with these subprotocols, says something, and expects it back with the nickname and the
/// chosen subprotocol.
async fn expect_socket(tab: &mut Tab, protocols: &[&str], nickname: &str, chosen: &str) -> TestResult {
    let script = format!(
        "new Promise((resolve, reject) => {{
            const socket = new WebSocket(`ws://${{location.host}}/ws/chat/1/chat/`, {});
            socket.onopen = () => socket.send('{{\"type\": \"chat.message\", \"message\": \"x\"}}');
            socket.onclose = ({{ code }}) => reject(new Error(`closed with ${{code}}`));
            socket.onmessage = ({{ data }}) => {{
                const event = JSON.parse(data);
                if (event.type === 'chat.message') resolve([event.nickname, socket.protocol]);
            }};
        }})",
        json!(protocols)
    );
    assert_eq!(tab.evaluate(&script).await?, json!([nickname, chosen]));
    Ok(())
}

pub(super) async fn a_page_sends_its_token_in_a_subprotocol(case: &Case) -> TestResult {
    let Some(mut browser) = Browser::start(case.story).await? else { return Ok(()) };
    let setup = TestServer::setup().config(r#"subprotocols = ["chat.v1"]"#);
    let Some((server, gateway)) = case.start(setup).await? else { return Ok(()) };
    server.create_room("lobby").await?;
    let mut tab = browser.open(&format!("http://{}/", gateway.address())).await?;
    let token = token(&User::named("u1").called("민지 &=+"))?;
    expect_socket(&mut tab, &["ondol.token", &token], "민지 &=+", "ondol.token").await?;
    expect_socket(&mut tab, &["chat.v1", "ondol.token", &token], "민지 &=+", "chat.v1").await
}

pub(super) async fn a_page_sends_its_token_in_a_cookie(case: &Case) -> TestResult {
    let Some(mut browser) = Browser::start(case.story).await? else { return Ok(()) };
    let Some((server, gateway)) = case.start(TestServer::setup()).await? else { return Ok(()) };
    server.create_room("lobby").await?;
    let mut tab = browser.open(&format!("http://{}/", gateway.address())).await?;
    let token = token(&User::named("u1").called("준호"))?;
    tab.evaluate(&format!("document.cookie = 'session={token}; path=/; samesite=strict'")).await?;
    expect_socket(&mut tab, &[], "준호", "").await?;
    let post = "fetch('/chat/v1/message/', { method: 'POST', headers: { 'Content-Type': 'application/json' }, \
                body: '{\"room\": 1, \"message\": \"x\"}' }).then((answer) => answer.json())";
    assert_eq!(tab.evaluate(post).await?["nickname"], "준호");
    Ok(())
}

pub(super) async fn the_chat_page_works(case: &Case) -> TestResult {
    let Some(mut browser) = Browser::start(case.story).await? else { return Ok(()) };
    let Some((_server, gateway)) = case.start(TestServer::setup()).await? else { return Ok(()) };
    let mut tab = browser.open(&format!("http://{}/", gateway.address())).await?;
    tab.fill("[name=token]", &token(&User::named("u1").called("민지"))?).await?;
    tab.click("#identity .primary").await?;
    tab.fill("#create-name", "게이트웨이 뒤에서").await?;
    tab.click("#create button").await?;
    tab.until("document.body.dataset.link === 'up'").await?;
    tab.until("!send.disabled").await?;
    tab.fill("#text", "안녕하세요 & 반가워요 = 100%").await?;
    tab.enter().await?;
    tab.until("document.querySelector('#messages .mine .text')?.textContent === '안녕하세요 & 반가워요 = 100%'")
        .await?;
    assert_eq!(tab.texts("#me-name").await?, ["민지"]);
    tab.reload().await?;
    tab.until("document.querySelector('#messages .mine .text')").await?;
    tab.expect_no_complaint()
}
