//! PostgreSQL that stops, is killed or freezes under a server: what a client was told is stored, once, and the rooms go on.

use std::sync::Arc;

use ondol_tests::{Lives, Load, Postgres, Stop, Supervisor, TestResult, TestServer, until};

const LOAD: Load = Load { windows: &[1, 8], letters: 200, creates_rooms: false, deploys: false };

#[tokio::test]
async fn what_was_told_is_stored_when_postgresql_ends_under_load() -> TestResult {
    let Some(mut postgres) = Postgres::start()? else { return Ok(()) };
    let database = Arc::new(postgres.database()?);
    let mut lives = Lives::begin(TestServer::setup().on_database(&database), &LOAD).await?;
    for (life, how) in [Stop::Fast, Stop::Immediate, Stop::Kill].into_iter().enumerate() {
        let heard = lives.heard() + 100;
        let outage = async |server: &TestServer| {
            postgres.stop(how)?;
            postgres.start_again()?;
            let (mut zoe, text) = (server.open_tab(1, "zoe").await?, format!("it goes on {life}"));
            zoe.say(&text).await?;
            while zoe.next_json().await?["message"] != text.as_str() {}
            server.signal("KILL")
        };
        lives.talk_until_heard(&LOAD, heard, outage).await?;
        assert_eq!(lives.begin_again("STORY_LIFE", life).await?, [], "{how:?}");
        lives.go_on().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_room_waits_for_postgresql_that_does_not_answer() -> TestResult {
    let Some(postgres) = Postgres::start()? else { return Ok(()) };
    let database = Arc::new(postgres.database()?);
    let server = TestServer::setup().on_database(&database).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.expect_nothing_before("before").await?;
    postgres.freeze()?;
    until("a server that is not ready", async || {
        server.get("/readyz").await.ok().filter(|answer| answer.status == 503).map(drop)
    })
    .await?;
    postgres.thaw()?;
    until("a server that is ready", async || {
        server.get("/readyz").await.ok().filter(|answer| answer.status == 200).map(drop)
    })
    .await?;
    let message = ann.expect_nothing_before("after").await?;
    assert_eq!(message["seq"], 2);
    Ok(())
}

#[tokio::test]
async fn an_outage_that_is_longer_than_the_watchdog_waits_ends_no_server() -> TestResult {
    let Some(mut postgres) = Postgres::start()? else { return Ok(()) };
    let database = Arc::new(postgres.database()?);
    let supervisor = Supervisor::start()?;
    let setup = supervisor.of(TestServer::setup().on_database(&database));
    let server = setup.env("WATCHDOG_USEC", 400_000).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.expect_nothing_before("before").await?;
    postgres.stop(Stop::Fast)?;
    ann.say("it waits").await?;
    // That takes 3 s.
    until("a server that is not ready", async || {
        server.get("/readyz").await.ok().filter(|answer| answer.status == 503).map(drop)
    })
    .await?;
    supervisor.expect("WATCHDOG=1").await?;
    let log = server.log().since(0).join("\n");
    assert!(!log.contains("no sign of life for the watchdog"), "{log}");
    assert!(log.contains("no writing connection to PostgreSQL"), "{log}");
    postgres.start_again()?;
    assert_eq!(ann.expect_message("it waits").await?["seq"], 2);
    Ok(())
}
