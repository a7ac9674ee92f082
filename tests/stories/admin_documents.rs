//! The documents of the admin API: docs/openapi-admin.yaml says what the server does, and the admin listener shows it with the
//! others at `/docs`.

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Output},
};

use anyhow::ensure;
use ondol_tests::{TestResult, TestServer, browser::Browser, guest, handlers::workspace, until};
use serde_json::{Value, json};

use crate::api_documents::tool;

async fn document(server: &TestServer, name: &str) -> TestResult<Value> {
    server.admin("GET", &format!("/docs/{name}.json"))?.send().await?.expect(200)
}

/// Each method of each path of a document.
fn calls(document: &Value) -> BTreeSet<(String, String)> {
    let methods = |item: &Value| item.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let paths = document["paths"].as_object().unwrap();
    let calls = paths.iter().flat_map(|(path, item)| methods(item).into_iter().map(move |it| (it, path.clone())));
    calls.filter(|(method, _)| method != "parameters").map(|(method, path)| (method.to_uppercase(), path)).collect()
}

/// The table of calls in the source. This reads it as `layers` does, since a route that no document names is not found from
/// outside.
fn table() -> TestResult<BTreeSet<(String, String)>> {
    let source = fs::read_to_string(workspace().join("host/ondol/src/http/admin/calls.rs"))?;
    let rows = source.lines().filter_map(|line| line.trim().strip_prefix('(')?.split_once(", \"/"));
    let rows = rows.filter_map(|(method, rest)| Some((method, format!("/{}", rest.split_once("\", Call::")?.0))));
    let rows = rows.map(|(method, path)| (if method == "READ" { "GET" } else { method }.to_owned(), path));
    let health = ["/healthz", "/readyz"].map(|path| ("GET".to_owned(), path.to_owned()));
    Ok(rows.chain(health).collect())
}

#[tokio::test]
async fn each_call_of_the_admin_api_is_documented_and_each_documented_call_is_one() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    let (table, documented) = (table()?, calls(&document(&server, "openapi-admin").await?));
    assert!(table.len() > 15, "the table is read: {table:?}");
    assert_eq!(table, documented);
    for (method, path) in documented {
        let path =
            path.replace("{handler}", "events").replace("{room}", "1").replace("{seq}", "1").replace("{host}", "a");
        let allowed = server.admin("OPTIONS", &path.replace("{user_id}", "u1"))?.send().await?;
        let allow = allowed.header("allow").unwrap_or_default().to_owned();
        assert!(allowed.status == 204 && allow.split(", ").any(|it| it == method), "{method} {path}: {allowed}");
    }
    Ok(())
}

#[tokio::test]
async fn a_body_is_an_object_and_no_array_of_its_members() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    for (target, body) in
        [("rollback", "[null, null]"), ("forgive", "[\"3f2a\"]"), ("releases", "{\"events\": [null, {}, null]}")]
    {
        let answer = server.admin("POST", &format!("/v1/{target}"))?.json(body).send().await?;
        answer.expect_detail(400, "parse_error")?;
    }
    Ok(())
}

/// Runs Schemathesis on a server with this file as its document.
async fn schemathesis(program: std::path::PathBuf, server: &TestServer, words: &[&str]) -> TestResult<Output> {
    let home = tempfile::tempdir()?;
    let mut command = Command::new(program);
    command.arg("--config-file").arg(workspace().join("tests/schemathesis-admin.toml"));
    command.arg("run").arg(workspace().join("docs/openapi-admin.yaml"));
    command.args(["--url", server.admin_address()?]).args(words).current_dir(home.path());
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

#[tokio::test]
async fn schemathesis_finds_no_difference_between_the_admin_api_and_its_document() -> TestResult {
    let story = "schemathesis_finds_no_difference_between_the_admin_api_and_its_document";
    let Some(program) = tool(story, "bin/schemathesis")? else { return Ok(()) };
    let server = TestServer::setup().admin().limit("probation_ms", 0).start().await?;
    // Something to show: a message, a fault of a version that is gone, a rollback.
    let room = server.create_room("lobby").await?;
    server.upload("events", guest("trapping_events")).await?.expect(200)?;
    let mut ann = server.join(room, "ann").await?;
    ann.say("print and trap").await?;
    ann.expect_error("handler_fault").await?;
    server.admin("POST", "/v1/rollback")?.send().await?.expect(200)?;
    let output = schemathesis(program, &server, &[]).await?;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && told.contains("No issues found"), "{told}");
    ensure!(told.contains("Operations:       27 selected / 27 total"), "{told}");
    Ok(())
}

#[tokio::test]
async fn the_documents_are_served_to_everyone_and_nothing_else_is() -> TestResult {
    let server = TestServer::setup().admin().env("ONDOL_ADMIN_TOKEN", "secret").start().await?;
    let browser = |method: &str, path: &str| {
        let request = server.admin(method, path)?.header("Sec-Fetch-Site", "cross-site");
        TestResult::Ok(request.header("Origin", "https://elsewhere.example"))
    };
    for name in ["openapi", "openapi-admin", "asyncapi"] {
        let answer = browser("GET", &format!("/docs/{name}.yaml"))?.send().await?;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.text(), fs::read_to_string(workspace().join(format!("docs/{name}.yaml")))?);
        assert!(document(&server, name).await?["info"]["title"].is_string());
    }
    let page = browser("GET", "/docs")?.send().await?;
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(page.status == 200 && policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{page}");
    browser("POST", "/docs")?.send().await?.expect(405)?;
    browser("GET", "/docs/nothing")?.send().await?.expect(403)?;
    browser("GET", "/v1/status")?.send().await?.expect(403)?;
    server.get("/docs").await?.expect(404)?;
    Ok(())
}

#[tokio::test]
async fn the_page_shows_every_operation_of_every_document() -> TestResult {
    let Some(mut browser) = Browser::start("the_page_shows_every_operation_of_every_document").await? else {
        return Ok(());
    };
    let server = TestServer::setup().admin().start().await?;
    let address = server.admin_address()?.trim_end_matches('/').to_owned();
    let mut tab = browser.open(&format!("{address}/docs")).await?;
    for name in ["openapi-admin", "openapi", "asyncapi"] {
        let document = document(&server, name).await?;
        let wanted: BTreeSet<String> = match document.get("paths") {
            Some(paths) => paths
                .as_object()
                .unwrap()
                .values()
                .flat_map(|item| item.as_object().unwrap().values())
                .filter_map(|call| Some(format!("{name}/{}", call.get("operationId")?.as_str()?)))
                .collect(),
            None => document["operations"]
                .as_object()
                .unwrap()
                .iter()
                .flat_map(|(id, operation)| {
                    let messages = operation["messages"].as_array().unwrap().iter();
                    messages.map(move |it| {
                        format!("{name}/{id}-{}", it["$ref"].as_str().unwrap().rsplit('/').next().unwrap())
                    })
                })
                .collect(),
        };
        assert!(wanted.len() > 6, "{wanted:?}");
        tab.evaluate(&format!("void (location.hash = '{name}')")).await?;
        let shown = until(format!("the operations of {name}"), async || {
            let ids = tab
                .evaluate("JSON.stringify([...document.querySelectorAll('article')].map(it => it.id))")
                .await
                .ok()?;
            let ids: BTreeSet<String> = serde_json::from_str(ids.as_str()?).ok()?;
            (ids == wanted).then_some(ids)
        });
        shown.await?;
        let links = tab.evaluate("document.querySelectorAll('#list a').length").await?;
        assert_eq!(links, json!(wanted.len()), "each is listed at the side");
        let empty = tab.evaluate(
            "[...document.querySelectorAll('article')].filter(it => !it.querySelector('.members, details')).length",
        );
        assert_eq!(empty.await?, json!(0), "each says more than its name");
    }
    let found = "(() => { const filter = document.getElementById('filter'); filter.value = 'say'; \
                 filter.dispatchEvent(new Event('input')); \
                 return [...document.querySelectorAll('#list li')].filter(it => !it.hidden).length; })()";
    assert_eq!(tab.evaluate(found).await?, json!(1));
    tab.expect_no_complaint()
}
