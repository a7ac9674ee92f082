//! Pages of other sites in a real browser: what their scripts try, and what their members' browsers load.

use anyhow::Context as _;
use ondol_tests::{
    TestResult, TestServer, User,
    browser::{Browser, Tab},
};
use serde_json::{Value, json};

/// What a script tries against an address, and what came of it: one word for each attempt.
const ATTEMPTS: &str = r"async (chat, admin, user) => {
    const attempt = (promise) => promise.then((answer) => answer.type === 'opaque' ? 'opaque' : answer.status, () => 'blocked');
    const socket = (url, protocols) => new Promise((done) => {
        const socket = new WebSocket(url, protocols);
        socket.onopen = () => done('open');
        socket.onerror = () => done('refused');
    });
    const form = (action, name) => new Promise((done) => {
        const [frame, form, field] = ['iframe', 'form', 'input'].map((kind) => document.createElement(kind));
        frame.name = name;
        Object.assign(form, { method: 'post', enctype: 'text/plain', action, target: name });
        Object.assign(field, { name: '{\x22name\x22:\x22form\x22,\x22x\x22:\x22', value: '\x22}' });
        form.append(field);
        document.body.append(frame, form);
        frame.onload = () => done('sent');
        form.submit();
    });
    const post = (mode, type) => ({ method: 'POST', mode, headers: { 'content-type': type }, body: '{}' });
    const create = `${chat}/chat/v1/create-room/?${user}`;
    return {
        socket: await socket(`${chat.replace('http', 'ws')}/ws/chat/1/chat/?${user}`),
        simple: await attempt(fetch(create, post('no-cors', 'text/plain'))),
        empty: await attempt(fetch(create, { method: 'POST', mode: 'no-cors' })),
        json: await attempt(fetch(create, post('cors', 'application/json'))),
        form: await form(create, 'chat'),
        read: await attempt(fetch(`${chat}/chat/v1/rooms/`)),
        status: await attempt(fetch(`${admin}/v1/status`)),
        rollback: await attempt(fetch(`${admin}/v1/rollback`, post('no-cors', 'text/plain'))),
        settings: await attempt(fetch(`${admin}/v1/handlers/messages/settings`, { method: 'PUT', body: '{}' })),
        adminForm: await form(`${admin}/v1/rollback`, 'admin'),
    };
}";

async fn attempts(tab: &mut Tab, chat: &str, admin: &str) -> TestResult<Value> {
    let user = User::named("eve").query();
    tab.evaluate(&format!("({ATTEMPTS})({}, {}, {})", json!(chat), json!(admin), json!(user))).await
}

/// The server as it is before and after: its rooms, the members of the first one, and its releases.
async fn state(server: &TestServer) -> TestResult<Value> {
    let rooms = server.get("/chat/v1/rooms/").await?.expect(200)?;
    let history = server.admin("GET", "/v1/releases")?.send().await?.expect(200)?;
    Ok(json!([rooms, history]))
}

fn port(address: &str) -> TestResult<&str> {
    Ok(address.rsplit_once(':').context("no port")?.1)
}

#[tokio::test]
async fn a_page_of_another_site_gets_nowhere() -> TestResult {
    let Some(mut browser) = Browser::start("a_page_of_another_site_gets_nowhere").await? else { return Ok(()) };
    let server = TestServer::setup().admin().start().await?;
    let other = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut minji = server.join(room, "민지").await?;
    let before = state(&server).await?;
    let (chat, admin) = (format!("http://{}", server.address()), server.admin_address()?.to_owned());

    // Another site, and the same host on another port. `/healthz` has no content security policy.
    let port = port(other.address())?;
    for page in [format!("http://evil.example:{port}/healthz"), format!("http://127.0.0.1:{port}/healthz")] {
        let mut tab = browser.open(&page).await?;
        let came = attempts(&mut tab, &chat, &admin).await?;
        let expected = json!({
            "socket": "refused", "simple": "opaque", "empty": "opaque", "json": "blocked", "form": "sent",
            "read": "blocked", "status": "blocked", "rollback": "opaque", "settings": "blocked", "adminForm": "sent",
        });
        assert_eq!(came, expected, "{page}");
    }
    // A page without an origin, such as one from disk.
    let mut tab = browser.open("data:text/html,<body></body>").await?;
    let came = attempts(&mut tab, &chat, &admin).await?;
    assert_eq!((&came["socket"], &came["read"]), (&json!("refused"), &json!("blocked")), "{came}");

    assert_eq!(state(&server).await?, before);
    minji.say("alone").await?;
    minji.expect_nothing_before("alone").await?;

    // A server that lets every origin in shows that the attempts are real.
    let open = TestServer::setup().config(r#"origins = ["*"]"#).start().await?;
    open.create_room("lobby").await?;
    let mut tab = browser.open(&format!("http://evil.example:{port}/healthz")).await?;
    let came = attempts(&mut tab, &format!("http://{}", open.address()), &admin).await?;
    assert_eq!(came["socket"], "open", "{came}");
    Ok(())
}

/// A page whose name leads to this machine by now: to the browser, the server is of the page's own origin.
#[tokio::test]
async fn a_rebound_name_reaches_neither_the_admin_api_nor_a_server_that_knows_its_address() -> TestResult {
    let story = "a_rebound_name_reaches_neither_the_admin_api_nor_a_server_that_knows_its_address";
    let Some(mut browser) = Browser::start(story).await? else { return Ok(()) };
    let server = TestServer::setup().admin().config(r#"public_url = "https://chat.example.com""#).start().await?;
    server.create_room("lobby").await?;
    let before = state(&server).await?;
    let chat = format!("http://evil.example:{}", port(server.address())?);
    let admin = format!("http://evil.example:{}", port(server.admin_address()?)?);

    let mut tab = browser.open(&format!("{chat}/healthz")).await?;
    let came = attempts(&mut tab, &chat, &admin).await?;
    for (attempt, outcome) in [("socket", json!("refused")), ("simple", json!(403)), ("json", json!(403))] {
        assert_eq!(came[attempt], outcome, "{came}");
    }
    let mut tab = browser.open(&format!("{admin}/healthz")).await?;
    let came = attempts(&mut tab, &chat, &admin).await?;
    for attempt in ["status", "rollback", "settings"] {
        assert_eq!(came[attempt], 403, "{came}");
    }

    assert_eq!(state(&server).await?, before);
    Ok(())
}

#[tokio::test]
async fn the_page_loads_pictures_from_the_listed_sources_alone() -> TestResult {
    let story = "the_page_loads_pictures_from_the_listed_sources_alone";
    let Some(mut browser) = Browser::start(story).await? else { return Ok(()) };
    let policy = async |server: &TestServer| -> TestResult<String> {
        let page = server.get("/").await?;
        Ok(page.header("content-security-policy").context("no policy")?.to_owned())
    };
    assert!(policy(&TestServer::start().await?).await?.contains("img-src * data:;"));
    let server = TestServer::setup().config(r#"img_src = ["self", "https://pictures.example.com"]"#).start().await?;
    assert!(policy(&server).await?.contains("img-src 'self' https://pictures.example.com;"));

    let mut tab = browser.open(&format!("http://{}/", server.address())).await?;
    let load = |address: &str| {
        format!(
            "new Promise((done) => {{
                addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective), {{ once: true }});
                const picture = new Image();
                picture.onload = picture.onerror = () => setTimeout(() => done('asked'));
                picture.src = {};
            }})",
            json!(address)
        )
    };
    assert_eq!(tab.evaluate(&load("http://192.0.2.1/x.gif")).await?, "img-src");
    assert_eq!(tab.evaluate(&load("/no-such-picture.png")).await?, "asked");
    Ok(())
}
