//! PostgreSQL that answers and stores nothing: what readiness is told, and that the host goes on by itself.

use super::*;

const OF_THE_HOST: &str =
    "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'ondol chat-1'";

/// Begins to store a message, without waiting.
fn begin(host: &Arc<Postgres>, message: Message) -> tokio::task::JoinHandle<Result<()>> {
    let host = Arc::clone(host);
    tokio::spawn(async move { store(&host, &[message]).await })
}

/// Waits until the host says that nothing can be stored, or that it can, and returns its reason.
async fn until_failing(host: &Postgres, is_failing: bool) -> Result<String> {
    let since = Instant::now();
    loop {
        let failure = host.failure();
        if failure.is_some() == is_failing {
            return Ok(failure.unwrap_or_default());
        }
        ensure!(since.elapsed() < DEADLINE, "{failure:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for a later beat.
async fn until_beat(database: &Database) -> Result<()> {
    let beat = database.sql("SELECT beat FROM host")?;
    until(database, &format!("SELECT beat > '{beat}' FROM host"), "t").await
}

#[tokio::test]
async fn a_host_that_cannot_open_its_writing_connection_beats_and_says_why() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = Arc::new(host(&database.url(), "chat-1").await?);
    let room = room(&host).await?;
    let next = message(&host, &ann(), room, 1)?;
    database.sql("ALTER FUNCTION ondol_delete RENAME TO hidden")?;
    database.sql(&format!("SELECT pg_terminate_backend(pid) {OF_THE_HOST}"))?;
    let storing = begin(&host, next);
    let reason = until_failing(&host, true).await?;
    assert!(reason.starts_with("messages have waited for PostgreSQL for 3 s: "), "{reason}");
    assert!(reason.contains("ondol_delete"), "{reason}");
    until_beat(&database).await?;
    assert!(host.is_waited_for());
    database.sql("ALTER FUNCTION hidden RENAME TO ondol_delete")?;
    storing.await??;
    assert!(!host.is_waited_for());
    assert_eq!(host.failure(), None);
    Ok(())
}

#[tokio::test]
async fn a_server_without_free_connections_is_named() -> Result<()> {
    let Some(server) = ondol_engines::Postgres::start()? else { return Ok(()) };
    let database = server.database()?;
    let host = Arc::new(host(&database.url(), "chat-1").await?);
    let room = room(&host).await?;
    let next = message(&host, &ann(), room, 1)?;
    database.sql(&format!("ALTER DATABASE {} CONNECTION LIMIT 0", database.name()))?;
    database.sql(&format!("SELECT pg_terminate_backend(pid) {OF_THE_HOST}"))?;
    let storing = begin(&host, next);
    let reason = until_failing(&host, true).await?;
    assert!(reason.contains("too many connections"), "{reason}");
    database.sql(&format!("ALTER DATABASE {} CONNECTION LIMIT -1", database.name()))?;
    storing.await??;
    assert_eq!(room_in_database(&database, room)?, "1|1");
    Ok(())
}

#[tokio::test]
async fn a_full_disk_is_a_failure_until_a_message_fits_again() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    let room = room(&host).await?;
    database.sql(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN RAISE EXCEPTION ''could not extend file: No space left on device'' USING ERRCODE = ''53100''; END'; \
         CREATE TRIGGER full_disk BEFORE INSERT ON message FOR EACH ROW EXECUTE FUNCTION full_disk()",
    )?;
    let next = message(&host, &ann(), room, 1)?;
    let errors = errors(&host, std::slice::from_ref(&next)).await;
    assert!(errors[0].as_ref().is_some_and(|error| error.contains("No space left")), "{errors:?}");
    // A beat fits. It says nothing about messages.
    for _ in 0..8 {
        until_beat(&database).await?;
        assert!(host.failure().is_some_and(|reason| reason.contains("No space left")), "{:?}", host.failure());
    }
    database.sql("DROP TRIGGER full_disk ON message")?;
    until_failing(&host, false).await?;
    assert_eq!(room_in_database(&database, room)?, "|0");
    store(&host, &[next]).await
}

#[tokio::test]
async fn a_host_whose_session_a_call_of_its_own_has_ended_takes_another() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    let room = room(&host).await?;
    store(&host, &[message(&host, &ann(), room, 1)?]).await?;
    // As the statement of a connection that was given up does, if the server comes to it later.
    database.sql("UPDATE host SET session = session + 1")?;
    store(&host, &[message(&host, &ann(), room, 2)?]).await?;
    assert_eq!(host.failure(), None);
    assert_eq!(room_in_database(&database, room)?, "1 2|2");
    Ok(())
}

#[tokio::test]
async fn connections_that_are_given_up_do_not_pile_up_on_the_server() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = Arc::new(host(&database.url(), "chat-1").await?);
    let room = room(&host).await?;
    host.writer.lock().await.writer.answer_max = Duration::from_millis(200);
    let held = database.hold("LOCK TABLE host")?;
    let storing = begin(&host, message(&host, &ann(), room, 1)?);
    // Each attempt is another backend.
    let settling = format!("{OF_THE_HOST} AND query LIKE 'UPDATE host SET session%'");
    let mut seen = std::collections::BTreeSet::new();
    let since = Instant::now();
    while seen.len() < 25 {
        ensure!(since.elapsed() < DEADLINE, "{seen:?}");
        let pids = database.sql(&format!("SELECT pid {settling}"))?;
        seen.extend(pids.lines().map(str::to_owned));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The server looks once a second whether its client is still there.
    let now: usize = database.sql(&format!("SELECT count(*) {settling}"))?.parse()?;
    ensure!(now < 15, "{now} of {} are still there", seen.len());
    drop(held);
    storing.await??;
    assert_eq!(room_in_database(&database, room)?, "1|1");
    Ok(())
}

#[tokio::test]
async fn an_idle_host_notices_that_the_database_has_gone_back() -> Result<()> {
    for (lost, is_shared) in
        [("UPDATE host SET batch = 0", false), ("DELETE FROM host", false), ("DELETE FROM host", true)]
    {
        let Some(database) = database()? else { return Ok(()) };
        let url = database.url();
        let host = if is_shared { host_of("test", &url, "chat-1").await? } else { host(&url, "chat-1").await? };
        let room = room(&host).await?;
        store(&host, &[message(&host, &ann(), room, 1)?]).await?;
        database.sql(lost)?;
        assert_eq!(until_failing(&host, true).await?, "the database has lost what it had stored", "{lost}");
        assert_eq!(database.sql(&format!("SELECT epoch <> '{}' FROM cluster", host.epoch()))?, "t");
    }
    Ok(())
}
