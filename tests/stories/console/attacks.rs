//! What others try by way of an operator's browser: pages of other origins, stolen forms, names that lead here, markup.

use anyhow::Context as _;
use ondol_tests::{Answer, TestResult, TestServer, browser::Browser, guest, user::percent};
use serde_json::{Value, json};

use super::{TOKEN, confirm, guarded, host, logged_in, open, page, say};
use crate::trials::{active, asked, operated};

const RELEASES: &str = "/v1/releases";

/// A request as the console's page sends it, with more headers.
async fn sent(
    server: &TestServer,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> TestResult<Answer> {
    let mut request = server.admin(method, target)?;
    let has = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    if !has("sec-fetch-site") {
        request = request.header("Sec-Fetch-Site", "same-origin");
    }
    if !has("origin") && method != "GET" {
        request = request.header("Origin", format!("http://{}", host(server)?));
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.json(body).send().await
}

/// A login: the cookie and the form token.
async fn login(server: &TestServer) -> TestResult<(String, String)> {
    let answer = sent(server, "POST", "/console/login", &[], &json!({"token": TOKEN}).to_string()).await?;
    answer.expect(200)?;
    let cookie = answer.header("set-cookie").context("no cookie")?;
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    let session = sent(server, "GET", "/console/session", &[("Cookie", &cookie)], "").await?.expect(200)?;
    Ok((cookie, session["form"].as_str().context("no form token")?.to_owned()))
}

/// The releases, asked for with the token.
async fn releases(server: &TestServer) -> TestResult<Value> {
    let bearer = format!("Bearer {TOKEN}");
    server.admin("GET", RELEASES)?.header("Authorization", bearer).send().await?.expect(200)
}

/// What a script of another page tries against the admin listener, with the cookies that the browser has for it.
const ATTEMPTS: &str = r"async (admin) => {
    const attempt = (path, more) => fetch(admin + path, { credentials: 'include', ...more })
        .then((answer) => answer.type === 'opaque' ? 'opaque' : answer.status, () => 'blocked');
    const post = (type, mode) => ({ method: 'POST', mode, headers: { 'content-type': type }, body: '{}' });
    const loads = (kind, path) => new Promise((done) => {
        const element = document.createElement(kind);
        element.onload = () => done('loaded');
        element.onerror = () => done('error');
        element.src = admin + path;
        document.body.append(element);
    });
    const form = (path, enctype) => new Promise((done) => {
        const [frame, form, field] = ['iframe', 'form', 'input'].map((kind) => document.createElement(kind));
        frame.name = path;
        Object.assign(form, { method: 'post', enctype, action: admin + path, target: path });
        Object.assign(field, { name: '{\x22token\x22:\x22a token\x22,\x22x\x22:\x22', value: '\x22}' });
        form.append(field);
        document.body.append(frame, form);
        frame.onload = () => done('sent');
        form.submit();
    });
    const socket = new Promise((done) => {
        const socket = new WebSocket(admin.replace('http', 'ws') + '/console/');
        socket.onopen = () => done('open');
        socket.onerror = () => done('refused');
    });
    const frame = document.createElement('iframe');
    const framed = new Promise((done) => { frame.onload = () => done('loaded'); });
    frame.src = admin + '/console/';
    document.body.append(frame);
    await framed;
    let inside = 'hidden';
    try { inside = frame.contentDocument === null ? 'hidden' : 'readable'; } catch { /* of another origin */ }
    return {
        status: await attempt('/v1/status'), session: await attempt('/console/session'),
        blind: await attempt('/v1/rollback', post('text/plain', 'no-cors')),
        json: await attempt('/v1/rollback', post('application/json', 'cors')),
        withForm: await attempt('/v1/rollback', { method: 'POST', headers: { 'x-ondol-form': '0' }, body: '{}' }),
        logout: await attempt('/console/logout', post('text/plain', 'no-cors')),
        form: await form('/v1/rollback', 'text/plain'), login: await form('/console/login', 'text/plain'),
        image: await loads('img', '/v1/status'), script: await loads('script', '/console/console.js'),
        socket: await socket, inside,
    };
}";

#[tokio::test]
async fn another_origins_page_gets_nowhere_beside_an_open_console() -> TestResult {
    let story = "another_origins_page_gets_nowhere_beside_an_open_console";
    let Some(mut browser) = Browser::start(story).await? else { return Ok(()) };
    let (server, other) = (guarded().await?, TestServer::start().await?);
    let bearer = format!("Bearer {TOKEN}");
    let bytes = std::fs::read(guest("shouting_events"))?;
    let deploy = server.admin("POST", "/v1/handlers/events")?.header("Authorization", bearer);
    deploy.body("application/wasm", bytes).send().await?.expect(200)?;
    let mut console = logged_in(&mut browser, &server).await?;
    let before = releases(&server).await?;

    // A page of the same host is of the same site: its requests carry the cookie.
    let port = other.address().rsplit_once(':').context("no port")?.1;
    for page in [format!("http://127.0.0.1:{port}/healthz"), format!("http://evil.example:{port}/healthz")] {
        let mut tab = browser.open(&page).await?;
        let came = tab.evaluate(&format!("({ATTEMPTS})({})", json!(format!("http://{}", host(&server)?)))).await?;
        let expected = json!({
            "status": "blocked", "session": "blocked", "blind": "opaque", "json": "blocked", "withForm": "blocked",
            "logout": "opaque", "form": "sent", "login": "sent", "image": "error", "script": "error",
            "socket": "refused", "inside": "hidden",
        });
        assert_eq!(came, expected, "{page}");
    }
    assert_eq!(releases(&server).await?, before);
    // The session goes on.
    console.reload().await?;
    console.until("document.body.dataset.view === 'console'").await?;
    console.expect_no_complaint()
}

#[tokio::test]
async fn a_name_that_leads_here_shows_no_console() -> TestResult {
    let Some(mut browser) = Browser::start("a_name_that_leads_here_shows_no_console").await? else { return Ok(()) };
    let server = operated().await?;
    let port = host(&server)?.rsplit_once(':').context("no port")?.1.to_owned();
    let mut tab = browser.open(&format!("http://evil.example:{port}/healthz")).await?;
    for (method, path) in
        [("GET", "/console/"), ("GET", "/console/session"), ("GET", "/v1/status"), ("POST", "/v1/rollback")]
    {
        let ask = format!("fetch('{path}', {{ method: '{method}' }}).then((answer) => answer.status)");
        assert_eq!(tab.evaluate(&ask).await?, 403, "{path}");
    }
    // With a token the page may have any name, and a login counts for the one that it was made at.
    let guarded = guarded().await?;
    let (cookie, form) = login(&guarded).await?;
    let headers = [("Cookie", &*cookie), ("X-Ondol-Form", &*form)];
    sent(&guarded, "GET", "/v1/status", &headers, "").await?.expect(200)?;
    let port = host(&guarded)?.rsplit_once(':').context("no port")?.1.to_owned();
    let mut tab = browser.open(&format!("http://evil.example:{port}/healthz")).await?;
    let steal = "fetch('/v1/status', { headers: { 'x-ondol-form': '0' } }).then((answer) => answer.status)";
    assert_eq!(tab.evaluate(steal).await?, 401);
    Ok(())
}

#[tokio::test]
async fn a_change_needs_the_form_token_of_its_own_session() -> TestResult {
    let server = guarded().await?;
    let ((cookie, form), (_, another)) = (login(&server).await?, login(&server).await?);
    let before = releases(&server).await?;
    let settings = json!({"text_length_max": 7}).to_string();
    let put = async |headers: &[(&str, &str)]| {
        sent(&server, "PUT", "/v1/handlers/messages/settings", headers, &settings).await
    };
    let cookie = ("Cookie", &*cookie);
    for headers in [
        &[cookie][..],
        &[cookie, ("X-Ondol-Form", "")],
        &[cookie, ("X-Ondol-Form", &another)],
        &[cookie, ("X-Ondol-Form", &form), ("X-Ondol-Form", &form)],
        &[cookie, ("X-Ondol-Form", &form), ("Origin", "http://evil.example")],
        &[cookie, ("X-Ondol-Form", &form), ("Origin", "null")],
        &[cookie, ("X-Ondol-Form", &form), ("Sec-Fetch-Site", "same-site")],
        &[cookie, ("X-Ondol-Form", &form), ("Sec-Fetch-Site", "none")],
    ] {
        put(headers).await?.expect_detail(403, "browser")?;
    }
    for headers in [&[("X-Ondol-Form", &*form)][..], &[("Cookie", "ondol_console=0"), ("X-Ondol-Form", &form)]] {
        put(headers).await?.expect_detail(401, "not_authenticated")?;
    }
    // A cookie alone is a browser's, and does not take the place of the token.
    server.admin("GET", "/v1/status")?.header(cookie.0, cookie.1).send().await?.expect_detail(403, "browser")?;
    assert_eq!(releases(&server).await?, before);
    put(&[cookie, ("X-Ondol-Form", &form), ("X-Ondol-Actor", "root")]).await?.expect(200)?;
    assert_eq!(releases(&server).await?[0]["who"], "console");

    sent(&server, "POST", "/console/logout", &[cookie], "").await?.expect_detail(403, "browser")?;
    sent(&server, "POST", "/console/logout", &[cookie, ("X-Ondol-Form", &form)], "").await?.expect(200)?;
    put(&[cookie, ("X-Ondol-Form", &form)]).await?.expect_detail(401, "not_authenticated")?;
    Ok(())
}

#[tokio::test]
async fn a_login_comes_from_the_page_alone_and_not_too_often() -> TestResult {
    let server = guarded().await?;
    let body = json!({"token": TOKEN}).to_string();
    for headers in [
        [("Sec-Fetch-Site", "cross-site"), ("X-Other", "")],
        [("Sec-Fetch-Site", "same-site"), ("X-Other", "")],
        [("Origin", "http://evil.example"), ("X-Other", "")],
        [("Sec-Fetch-Site", "none"), ("X-Other", "")],
    ] {
        let answer = sent(&server, "POST", "/console/login", &headers, &body).await?;
        answer.expect_detail(403, "browser")?;
        assert_eq!(answer.header("set-cookie"), None);
    }
    let form = server.admin("POST", "/console/login")?.header("Sec-Fetch-Site", "same-origin");
    let form = form.body("application/x-www-form-urlencoded", format!("token={TOKEN}")).send().await?;
    form.expect_detail(415, "unsupported_media_type")?;

    let secret = sent(&server, "POST", "/console/login", &[], &body).await?;
    let cookie = secret.header("set-cookie").context("no cookie")?;
    let id = cookie.strip_prefix("ondol_console=").and_then(|rest| rest.split(';').next()).unwrap_or_default();
    assert!(id.len() == 64 && !cookie.contains(TOKEN), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"), "{cookie}");
    let secure = [("Origin", &*format!("https://{}", host(&server)?))];
    let answer = sent(&server, "POST", "/console/login", &secure, &body).await?;
    assert!(answer.header("set-cookie").is_some_and(|cookie| cookie.ends_with("; Secure")), "behind TLS");

    assert!(!server.log().since(0).join("").contains(TOKEN));
    Ok(())
}

#[tokio::test]
async fn a_flood_of_wrong_logins_keeps_no_operator_out() -> TestResult {
    let server = guarded().await?;
    let wrong = json!({"token": "wrong"}).to_string();
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(sent(&server, "POST", "/console/login", &[], &wrong).await?);
    }
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert!(statuses.starts_with(&[401; 10]) && statuses.contains(&429), "{statuses:?}");
    assert!(answers.iter().all(|answer| answer.status == 401 || answer.header("retry-after").is_some()));
    assert!(answers.iter().all(|answer| answer.header("set-cookie").is_none()));
    login(&server).await?;
    releases(&server).await.map(drop)
}

#[tokio::test]
async fn markup_stays_text_in_the_console() -> TestResult {
    let Some(mut browser) = Browser::start("markup_stays_text_in_the_console").await? else { return Ok(()) };
    let server = operated().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let evil = "<img src=x onerror='window.hit=1'>";
    let bytes = std::fs::read(guest("trapping_events"))?;
    let target = format!("/v1/handlers/events?reason={}", percent(evil));
    let deploy = server.admin("POST", &target)?.header("X-Ondol-Actor", "<b>eve</b>");
    deploy.body("application/wasm", bytes).send().await?.expect(200)?;
    let mut tab = open(&mut browser, &server).await?;
    tab.until("document.querySelector('.release .why')").await?;
    assert_eq!(tab.texts(".release[data-release='2'] .why").await?, [evil]);
    assert_eq!(tab.texts(".release[data-release='2'] .provenance b").await?, ["<b>eve</b> (local)"]);

    // The panic's text is the message's.
    say(&mut ann, 1..=3, &format!(" trap {evil}")).await?;
    tab.until("document.querySelector('.release.rolled_back .detail')?.textContent.includes('onerror')").await?;
    tab.until("document.querySelector('#handler-events .fault-button')").await?;
    tab.click("#handler-events .fault-button").await?;
    tab.until("document.querySelector('#evidence').open").await?;
    let causes = tab.texts("#evidence .cause").await?;
    assert!(causes.iter().any(|cause| cause.contains(evil)), "{causes:?}");
    tab.click("#evidence-close").await?;
    tab.click("#log-title").await?;
    tab.until("document.querySelector('#log .fault code')?.textContent.includes('onerror')").await?;
    // A file's name as well.
    let named = server.root().join("<img src=x onerror=window.hit=1>events.wasm");
    std::fs::copy(guest("shouting_events"), &named)?;
    tab.choose_files("#files", &[&named]).await?;
    tab.until("document.querySelector('#chosen b').textContent.startsWith('<img')").await?;
    tab.fill("#reason", evil).await?;
    tab.click("#deploy-button").await?;
    tab.until("document.querySelector('#confirm').open").await?;
    confirm(&mut tab, "done").await?;
    assert_eq!(asked(&server, "/v1/releases?limit=1").await?[0]["why"], evil);
    assert_eq!(tab.evaluate("document.querySelectorAll('img, main b b').length").await?, 0);
    assert_eq!(tab.evaluate("typeof window.hit").await?, "undefined");
    tab.expect_no_complaint()
}

#[tokio::test]
async fn a_file_is_fetched_by_the_user_alone() -> TestResult {
    let server = operated().await?;
    let get =
        async |headers: &[(&str, &str)]| TestResult::Ok(sent(&server, "GET", "/console/", headers, "").await?.status);
    assert_eq!(get(&[("Sec-Fetch-Site", "none")]).await?, 200);
    assert_eq!(get(&[("Sec-Fetch-Site", "same-origin")]).await?, 200);
    assert_eq!(get(&[("Sec-Fetch-Site", "cross-site")]).await?, 403);
    assert_eq!(get(&[("Sec-Fetch-Site", "same-site")]).await?, 403);
    assert_eq!(server.admin("GET", "/console/")?.send().await?.status, 200, "{}", page(&server)?);
    assert_eq!(active(&server, "events").await?.len(), 64);
    Ok(())
}
