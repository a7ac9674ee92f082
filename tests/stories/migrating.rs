//! `ondol migrate`: a chat in a file that moves into PostgreSQL is the same chat to its clients and to its operator, and what
//! goes wrong changes neither.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};
use ondol_engines::Database;
use ondol_tests::{
    Postgres, TestResult, TestServer, User,
    command::{Output, binary, ondol, ondol_with},
    guest, until,
};
use serde_json::{Value, json};
use tempfile::TempDir;

fn migrate(data: &Path, to: &str, more: &[&str]) -> TestResult<Output> {
    let data = data.display().to_string();
    ondol(&[&["migrate", "--data", &data, "--to", to], more].concat())
}

fn verify(database: &Database) -> TestResult<String> {
    ondol_with(&["verify"], &[("ONDOL_STORE", &database.url())])?.expect(0)
}

/// Whether nothing was written, not even tables.
fn is_empty(database: &Database) -> TestResult<bool> {
    Ok(database.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")? == "0")
}

async fn asked(server: &TestServer, path: &str) -> TestResult<Value> {
    server.admin("GET", path)?.send().await?.expect(200)
}

async fn pages(server: &TestServer, rooms: u64) -> TestResult<Vec<Value>> {
    let mut pages = Vec::new();
    for room in 1..=rooms {
        pages.push(server.get(&format!("/chat/v1/room/{room}/messages/?after=0&limit=50")).await?.expect(200)?);
        pages.push(server.get(&format!("/chat/v1/room/{room}/")).await?.expect(200)?);
        let shown = pages.last_mut().context("no room")?;
        // It names the port.
        shown["chat_url"] = Value::Null;
    }
    Ok(pages)
}

/// A server with replies, ids of clients, deleted messages, a post, an empty room, and a second release.
async fn chat() -> TestResult<TestServer> {
    let server = TestServer::setup().admin().start().await?;
    for (name, post) in [("로비", None), ("글", Some(17)), ("empty", None)] {
        server.post("/chat/v1/create-room/", &json!({"name": name, "post_id": post})).await?.expect(201)?;
    }
    for room in [1, 2] {
        let mut ann = server.join(room, "ann").await?;
        let mut parent = Value::Null;
        for number in 1..=20 {
            let client_id = (number % 2 == 0).then(|| format!("c{number}"));
            let text = format!("\"{number}\" 안녕\n\u{1f600}");
            let frame = json!({"type": "chat.message", "message": text, "client_id": client_id, "parent": parent});
            ann.send(frame.to_string()).await?;
            let event = ann.next_message().await?;
            parent = if number % 5 == 0 { event["id"].clone() } else { Value::Null };
        }
        for seq in [1, 8, 20] {
            server.admin("DELETE", &format!("/v1/rooms/{room}/messages/{seq}"))?.send().await?.expect(200)?;
        }
    }
    server.deploy("events", guest("shouting_events")).await?;
    Ok(server)
}

#[tokio::test]
async fn a_chat_that_moves_is_the_same_chat() -> TestResult {
    let Some(database) = Postgres::of_tests()? else { return Ok(()) };
    let mut server = chat().await?;
    let (before, releases) = (pages(&server, 3).await?, asked(&server, "/v1/releases").await?);
    let epoch = before[1]["epoch"].as_str().context("no epoch")?.to_owned();
    let busy = migrate(&server.data(), &database.url(), &[])?;
    busy.expect_parts(1, &["another server is using it; stop the server first"])?;
    ensure!(is_empty(&database)?, "a running server is not moved");
    server.signal("TERM")?;
    server.exit().await?;

    let url = database.url();
    let moved = migrate(&server.data(), &url, &[])?;
    let held = format!("{url}: moved, 3 rooms, 34 messages, 4 versions, 2 releases; the digests agree; took ");
    moved.expect_parts(0, &[&held, "ondol.db is unchanged", &format!("store = \"{url}\"\n")])?;
    ensure!(verify(&database)?.contains("fine, 3 rooms, 34 messages"), "not fine");
    migrate(&server.data(), &url, &[])?.expect_parts(1, &["is not empty: its table message has rows"])?;

    server.restart_with("ONDOL_STORE", &url).await?;
    assert_eq!(pages(&server, 3).await?, before);
    assert_eq!(asked(&server, "/v1/releases").await?, releases);
    // A client comes back with what it knows, a retry is answered with the first message, and the chat goes on.
    let target = format!("/ws/chat/1/chat/?{}&after=17&epoch={epoch}", User::named("ann").query());
    let mut ann = server.knock(&target, &[]).await?.opened()?;
    let sync = ann.next_json().await?;
    assert_eq!((&sync["recovered"], &sync["seq"], &sync["epoch"]), (&json!(true), &json!(20), &json!(epoch)));
    let missed = [("chat.message", 18), ("chat.message", 19)];
    for (event, seq) in missed.into_iter().chain([1, 8, 20].map(|seq| ("chat.message.deleted", seq))) {
        let told = ann.next_json().await?;
        assert_eq!((&told["type"], &told["seq"]), (&json!(event), &json!(seq)));
    }
    ann.send(json!({"type": "chat.message", "message": "again", "client_id": "c18"}).to_string()).await?;
    assert_eq!(ann.next_message().await?["seq"], 18, "a retry");
    ann.send(json!({"type": "chat.message", "message": "on", "client_id": "c20"}).to_string()).await?;
    let next = ann.next_message().await?;
    assert_eq!((&next["seq"], &next["message"]), (&json!(21), &json!("ON")), "by the handler that was deployed");
    let created = server.post("/chat/v1/create-room/", &json!({"name": "new"})).await?.expect(201)?;
    assert_eq!(created["id"], 4);
    ensure!(verify(&database)?.contains("fine, 4 rooms, 35 messages"), "not fine");
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_is_told_and_changes_nothing() -> TestResult {
    let Some(database) = Postgres::of_tests_by_password()? else { return Ok(()) };
    let mut server = TestServer::start().await?;
    server.create_room("lobby").await?;
    server.signal("TERM")?;
    server.exit().await?;
    let (data, url, directory) = (server.data(), database.url(), TempDir::new()?);
    let password = directory.path().join("password");
    let with_password = ["--password-file", &password.display().to_string()];
    fs::write(&password, "not this one\n")?;
    let wrong = migrate(&data, &url, &with_password)?;
    wrong.expect_parts(1, &["password authentication failed", "nothing was moved"])?;
    ensure!(!wrong.expect(1)?.contains("not this one"), "the password is shown");
    migrate(&data, &url, &["--password-file", "/nowhere/password"])?.expect_parts(1, &["/nowhere/password"])?;
    migrate(&data, "mysql://db-1/chat", &[])?.expect_parts(2, &["--to expects the URL of a PostgreSQL database"])?;
    migrate(&data, &url.replacen('@', ":four55@", 1), &[])?
        .expect_parts(2, &["the password goes into --password-file"])?;
    migrate(directory.path(), &url, &with_password)?.expect_parts(1, &["ondol.db: there is no database here"])?;
    ensure!(is_empty(&database)?, "PostgreSQL is changed");

    fs::write(&password, database.password().context("no password")?)?;
    let moved = migrate(&data, &url, &with_password)?;
    moved
        .expect_parts(0, &[": moved, 1 room, 0 messages", &format!("store_password_file = \"{}\"", password.display())])
}

/// Starts the command on a chat of so many messages.
fn start(directory: &Path, messages: u64, database: &Database) -> TestResult<Child> {
    let mut text = "{\"type\":\"ondol.export\",\"format\":1}\n".to_owned();
    let created_at = "2026-01-31T09:30:00Z";
    writeln!(text, "{}", json!({"type": "room", "id": 1, "name": "lobby", "created_at": created_at}))?;
    let message = json!({"type": "message", "room": 1, "created_at": created_at, "user_id": "u", "nickname": "n",
        "email": "u@example.com", "text": "안녕하세요".repeat(20)});
    text.extend((0..messages).map(|_| format!("{message}\n")));
    let (file, data) = (directory.join("chat.jsonl"), directory.join("data"));
    fs::write(&file, text)?;
    ondol(&["import".as_ref(), file.as_os_str(), "--data".as_ref(), data.as_os_str()])?.expect(0)?;
    let mut command = Command::new(binary());
    command.arg("migrate").arg("--data").arg(data).args(["--to", &database.url()]);
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

#[tokio::test]
async fn a_move_that_is_killed_leaves_nothing_and_can_be_repeated() -> TestResult {
    let Some(database) = Postgres::of_tests()? else { return Ok(()) };
    for signal in ["KILL", "TERM"] {
        let directory = TempDir::new()?;
        let mut moving = start(directory.path(), 60_000, &database)?;
        let copying =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY message %'";
        until("the copy of messages", async || database.sql(copying).ok().filter(|count| count != "0")).await?;
        ensure!(
            Command::new("kill").arg(format!("-{signal}")).arg(moving.id().to_string()).status()?.success(),
            "no kill"
        );
        ensure!(!moving.wait()?.success(), "it had ended");
        ensure!(is_empty(&database)?, "a part is there");
        let moved = migrate(&directory.path().join("data"), &database.url(), &[])?;
        moved.expect_parts(0, &["1 room, 60000 messages"])?;
        database.sql_by_owner("DROP SCHEMA public CASCADE; CREATE SCHEMA public")?;
    }
    Ok(())
}
