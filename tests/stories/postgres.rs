//! A server with its database in PostgreSQL: what is special about its start, and what becomes of it when connections end.
//! `postgres_outages.rs` ends PostgreSQL itself.

use std::{process::Command, sync::Arc};

use anyhow::{Context as _, ensure};
use ondol_engines::{Certificate, Database, Settings};
use ondol_tests::command::ondol_with;
use ondol_tests::{Lives, Load, Postgres, Stop, TestResult, TestServer, ondol, until};
use serde_json::json;

const LOAD: Load = Load { windows: &[1, 8], letters: 200, creates_rooms: true, deploys: false };

/// The connections of servers to a database.
const OF_SERVERS: &str = "datname = current_database() AND application_name LIKE 'ondol %'";

/// Why a server does not start with these variables.
async fn start_fails(variables: &[(&str, &str)]) -> TestResult<String> {
    let setup = variables.iter().fold(TestServer::setup(), |setup, (name, value)| setup.env(name, value));
    let error = setup.start().await.err().context("it started")?.to_string();
    Ok(error)
}

#[tokio::test]
async fn rooms_go_on_after_the_server_was_killed() -> TestResult {
    let Some(database) = Postgres::of_tests()? else { return Ok(()) };
    let mut server = TestServer::setup().on_database(&Arc::new(database)).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for number in 1..=3 {
        ann.expect_nothing_before(&format!("message {number}")).await?;
    }
    server.restart().await?;
    let mut ann = server.join(room, "ann").await?;
    assert_eq!(ann.expect_nothing_before("after").await?["seq"], 4);
    let page = server.get(&format!("/chat/v1/room/{room}/messages/?after=0")).await?.expect(200)?;
    let texts: Vec<_> = page.as_array().context("no page")?.iter().map(|message| &message["message"]).collect();
    assert_eq!(texts, ["message 1", "message 2", "message 3", "after"]);
    assert!(!server.database_file().exists());
    Ok(())
}

#[tokio::test]
async fn a_second_server_is_told_which_host_uses_the_database() -> TestResult {
    let Some(database) = Postgres::of_tests()? else { return Ok(()) };
    let database = Arc::new(database);
    let setup = |host: &str| TestServer::setup().config(&format!("host = \"{host}\"")).on_database(&database);
    let first = setup("chat-1").start().await?;
    let error = setup("chat-2").start().await.err().context("it started")?.to_string();
    assert!(error.contains("the host chat-1 uses this database"), "{error}");
    let room = first.create_room("lobby").await?;
    first.join(room, "ann").await?.expect_nothing_before("we go on").await?;
    Ok(())
}

#[tokio::test]
async fn a_password_comes_from_a_file_and_is_never_shown() -> TestResult {
    let Some(database) = Postgres::of_tests_by_password()? else { return Ok(()) };
    let (url, password) = (database.url(), database.password().context("no password")?);
    let server = TestServer::setup().on_database(&Arc::new(database)).start().await?;
    assert!(server.startup().contains(&format!("store={url}")), "{}", server.startup());
    assert!(!server.log().since(0).join("\n").contains(password));

    let file = server.data().with_file_name("another-password");
    std::fs::write(&file, "not this one\n")?;
    let file = file.display().to_string();
    let refused = start_fails(&[("ONDOL_STORE", &url), ("ONDOL_STORE_PASSWORD_FILE", &file)]).await?;
    assert!(refused.contains("password authentication failed"), "{refused}");
    let missing = start_fails(&[("ONDOL_STORE", &url), ("ONDOL_STORE_PASSWORD_FILE", "/nowhere/password")]).await?;
    assert!(missing.contains("store_password_file /nowhere/password: cannot open the file"), "{missing}");
    assert!(!format!("{refused}{missing}").contains("not this one"));

    let in_url = url.replacen('@', ":four55@", 1);
    let refused = start_fails(&[("ONDOL_STORE", &in_url)]).await?;
    assert!(refused.contains("store_password_file") && !refused.contains("four55"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() -> TestResult {
    let Some(database) = Postgres::of_tests()? else { return Ok(()) };
    let url = database.url();
    let (server, _) = url.rsplit_once('/').context("no name")?;
    let error = start_fails(&[("ONDOL_STORE", &format!("{server}/missing_one"))]).await?;
    assert!(error.contains("database \"missing_one\" does not exist"), "{error}");
    let error = start_fails(&[("ONDOL_STORE", "postgres://ondol@127.0.0.1:1/chat")]).await?;
    assert!(error.contains("the database: PostgreSQL"), "{error}");
    Ok(())
}

#[tokio::test]
async fn the_database_is_checked_before_a_start() -> TestResult {
    let Some(database) = Postgres::of_tests()? else { return Ok(()) };
    let url = database.url();
    let check = |url: &str| ondol_with(&["check"], &[("ONDOL_STORE", url), ("ONDOL_HOST", "chat-1")]);
    let fine = format!("fine   database: {url} is created at the first start, in PostgreSQL ");
    check(&url)?.expect_parts(0, &[&fine, "this host is chat-1", &format!("stores its data in {url}")])?;
    assert_eq!(database.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")?, "0");

    let database = Arc::new(database);
    let _server = TestServer::setup().on_database(&database).start().await?;
    check(&url)?.expect_parts(0, &[&format!("fine   database: {url} has schema version ")])?;
    let nowhere = "postgres://ondol@127.0.0.1:1/chat";
    check(nowhere)?.expect_parts(1, &[&format!("wrong  database: {nowhere}: PostgreSQL: ")])?;
    Ok(())
}

#[tokio::test]
async fn a_certificate_is_verified_by_the_authority_of_the_environment() -> TestResult {
    let settings = Settings { tls: Some(Certificate::new()?), ..Settings::default() };
    let Some(postgres) = Postgres::start_with(&settings)? else { return Ok(()) };
    let url = format!("{}?sslmode=verify-full", postgres.database()?.url());
    let check = |authority: &str| ondol_with(&["check"], &[("ONDOL_STORE", &url), ("SSL_CERT_FILE", authority)]);
    let authority = postgres.authority_file().display().to_string();
    check(&authority)?.expect_parts(0, &[&format!("fine   database: {url} is created at the first start")])?;
    check("/etc/ssl/certs/ca-certificates.crt")?.expect_parts(1, &["invalid peer certificate"])
}

#[test]
fn commands_for_a_file_say_what_to_do_about_postgresql() -> TestResult {
    let environment = [("ONDOL_STORE", "postgres://ondol@db-1/chat")];
    for (words, advice) in [
        (["backup", "x.db"].as_slice(), "pg_dump"),
        (&["restore", "x.db"], "pg_restore"),
        (&["export", "x.jsonl"], "room_message"),
        (&["import", "x.jsonl"], "this command writes to a file"),
        (&["replay", "x.wasm"], "this command reads a file"),
    ] {
        let told = "the database is in PostgreSQL (postgres://ondol@db-1/chat)";
        ondol_with(words, &environment)?.expect_parts(2, &[told, advice, "--data"])?;
    }
    Ok(())
}

#[test]
fn a_wrong_address_of_the_store_is_one_line() -> TestResult {
    let output = ondol(&["serve", "--store", "mysql://ann:four55@db-1/chat"])?;
    let told = output.expect(2)?;
    ensure!(told.lines().count() == 1 && told.contains("--store: `store` takes the URL of a PostgreSQL"), "{told}");
    ensure!(!told.contains("four55"), "{told}");
    Ok(())
}

#[tokio::test]
async fn connections_that_are_ended_in_mid_load_lose_and_double_nothing() -> TestResult {
    let Some(database) = Postgres::of_tests()? else { return Ok(()) };
    let database = Arc::new(database);
    let mut lives = Lives::begin(TestServer::setup().on_database(&database), &LOAD).await?;
    lives
        .talk_until_heard(&LOAD, 50, async |server| {
            for number in 0..10 {
                database.sql(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OF_SERVERS}"))?;
                heard_again(server, number).await?;
            }
            server.signal("KILL")
        })
        .await?;
    assert_eq!(lives.begin_again("STORY_LIFE", 1).await?, []);
    lives.go_on().await
}

#[tokio::test]
async fn a_backend_that_is_killed_in_mid_load_loses_and_doubles_nothing() -> TestResult {
    let Some(postgres) = Postgres::start()? else { return Ok(()) };
    let database = Arc::new(postgres.database()?);
    let mut lives = Lives::begin(TestServer::setup().on_database(&database), &LOAD).await?;
    lives
        .talk_until_heard(&LOAD, 50, async |server| {
            for number in 0..3 {
                kill_a_backend(&database).await?;
                heard_again(server, number).await?;
            }
            server.signal("KILL")
        })
        .await?;
    assert_eq!(lives.begin_again("STORY_LIFE", 1).await?, []);
    lives.go_on().await
}

/// Says something in the first room, until it is heard.
async fn heard_again(server: &TestServer, number: usize) -> TestResult {
    let (mut zoe, text) = (server.open_tab(1, "zoe").await?, format!("it goes on {number}"));
    zoe.say(&text).await?;
    while zoe.next_json().await?["message"] != text.as_str() {}
    Ok(())
}

/// SIGKILL of one process that serves a server. PostgreSQL then ends the others, and recovers.
async fn kill_a_backend(database: &Database) -> TestResult {
    let pid = until("a backend of the server", async || {
        let sql = format!("SELECT pid FROM pg_stat_activity WHERE {OF_SERVERS} ORDER BY random() LIMIT 1");
        database.sql(&sql).ok().filter(|pid| !pid.is_empty())
    })
    .await?;
    ensure!(Command::new("sh").args(["-c", &format!("kill -KILL {pid}")]).status()?.success(), "no process {pid}");
    Ok(())
}

#[tokio::test]
async fn while_postgresql_is_stopped_messages_wait_and_history_is_unavailable() -> TestResult {
    let Some(mut postgres) = Postgres::start()? else { return Ok(()) };
    let database = Arc::new(postgres.database()?);
    let setup = TestServer::setup().limit("history_cache_bytes_max", 0).on_database(&database);
    let server = setup.start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.expect_nothing_before("before").await?;
    postgres.stop(Stop::Fast)?;
    ann.say("it waits").await?;
    until("a server that is not ready", async || {
        server.get("/readyz").await.ok().filter(|answer| answer.status == 503).map(drop)
    })
    .await?;
    let page = server.get(&format!("/chat/v1/room/{room}/messages/?after=0")).await?;
    assert_eq!(page.status, 503, "{page}");
    assert_eq!(server.post("/chat/v1/create-room/", &json!({"name": "another"})).await?.status, 503);
    postgres.start_again()?;
    assert_eq!(ann.expect_message("it waits").await?["seq"], 2);
    until("a server that is ready", async || {
        server.get("/readyz").await.ok().filter(|answer| answer.status == 200).map(drop)
    })
    .await?;
    assert_eq!(ann.expect_nothing_before("after").await?["seq"], 3);
    Ok(())
}
