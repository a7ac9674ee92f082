//! A commit whose answer is lost is stored once.

use super::proxy::Proxy;
use super::*;
use ondol_engines::Stop;

/// The batch that waits for a lock.
const WAITING: &str = "FROM pg_stat_activity WHERE query LIKE 'SELECT ondol_commit%' AND wait_event_type = 'Lock' \
                       AND datname = current_database()";

/// Begins to store a message, without waiting.
fn begin(host: &Arc<Postgres>, message: Message) -> tokio::task::JoinHandle<Result<()>> {
    let host = Arc::clone(host);
    tokio::spawn(async move { store(&host, &[message]).await })
}

#[tokio::test]
async fn a_batch_is_sent_again_if_its_connection_was_ended_before_it_was_stored() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = Arc::new(host(&database.url(), "chat-1").await?);
    let room = room(&host).await?;
    store(&host, &[message(&host, &ann(), room, 1)?]).await?;
    let held = database.hold("LOCK TABLE room")?;
    let storing = begin(&host, message(&host, &ann(), room, 2)?);
    until(&database, &format!("SELECT count(*) {WAITING}"), "1").await?;
    database.sql(&format!("SELECT pg_terminate_backend(pid) {WAITING}"))?;
    drop(held);
    storing.await??;
    assert_eq!(room_in_database(&database, room)?, "1 2|2");
    assert_eq!(database.sql("SELECT session, batch FROM host")?, "3|2");
    Ok(())
}

#[tokio::test]
async fn a_batch_that_was_stored_before_its_connection_was_lost_is_not_sent_again() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let proxy = Proxy::to(&database.url()).await?;
    let host = Arc::new(host(&proxy.url(&database.url()), "chat-1").await?);
    let (room, ann) = (room(&host).await?, ann());
    store(&host, &[message(&host, &ann, room, 1)?]).await?;
    proxy.mute(true);
    let storing = begin(&host, message(&host, &ann, room, 2)?);
    until(&database, &format!("SELECT last_seq FROM room WHERE id = {room}"), "2").await?;
    // First, since the answer may be on its way only now.
    proxy.cut(false);
    proxy.mute(false);
    storing.await??;
    assert_eq!(room_in_database(&database, room)?, "1 2|2");
    assert_eq!(database.sql("SELECT session > 2, batch FROM host")?, "t|2");
    store(&host, &[message(&host, &ann, room, 3)?]).await
}

#[tokio::test]
async fn a_batch_that_still_waits_on_the_server_when_its_connection_is_lost_is_stored_once() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let proxy = Proxy::to(&database.url()).await?;
    let host = Arc::new(host(&proxy.url(&database.url()), "chat-1").await?);
    let room = room(&host).await?;
    let held = database.hold("LOCK TABLE host")?;
    let storing = begin(&host, message(&host, &ann(), room, 1)?);
    until(&database, &format!("SELECT count(*) {WAITING}"), "1").await?;
    proxy.cut(false);
    // The next session waits for the same lock.
    let settling = "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'UPDATE host SET session%' \
                    AND wait_event_type = 'Lock' AND datname = current_database()";
    until(&database, settling, "t").await?;
    drop(held);
    storing.await??;
    assert_eq!(room_in_database(&database, room)?, "1|1");
    Ok(())
}

#[tokio::test]
async fn a_deletion_whose_answer_is_lost_is_told_as_it_was() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let proxy = Proxy::to(&database.url()).await?;
    let host = Arc::new(host(&proxy.url(&database.url()), "chat-1").await?);
    let room = room(&host).await?;
    store(&host, &[message(&host, &ann(), room, 1)?]).await?;
    let held = database.hold("LOCK TABLE deletion")?;
    let deleting = tokio::spawn({
        let host = Arc::clone(&host);
        async move { host.delete(room, &[Seq(1)]).await }
    });
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT ondol_delete%' \
                   AND wait_event_type = 'Lock' AND datname = current_database()";
    until(&database, waiting, "1").await?;
    proxy.mute(true);
    drop(held);
    until(&database, "SELECT count(*) FROM deletion", "1").await?;
    // First, since the answer may be on its way only now.
    proxy.cut(false);
    proxy.mute(false);
    assert_eq!(deleting.await??.messages.len(), 1);
    assert_eq!(database.sql("SELECT count(*) FROM deletion")?, "1");
    Ok(())
}

#[tokio::test]
async fn a_restart_of_the_server_is_waited_for() -> Result<()> {
    let Some(mut server) = ondol_engines::Postgres::start()? else { return Ok(()) };
    let database = server.database()?;
    let host = Arc::new(host(&database.url(), "chat-1").await?);
    let room = room(&host).await?;
    for (seq, how) in [(1, Stop::Fast), (2, Stop::Immediate), (3, Stop::Kill)] {
        let next = message(&host, &ann(), room, seq)?;
        server.stop(how)?;
        let storing = begin(&host, next);
        server.start_again()?;
        storing.await??;
    }
    assert_eq!(room_in_database(&database, room)?, "1 2 3|3");
    assert_eq!(host.failure(), None);
    // The lock is back as well.
    let locks =
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 'host'::regclass AND objid::int < 0";
    until(&database, locks, "1").await
}

#[tokio::test]
async fn a_frozen_server_is_a_failure_until_it_goes_on() -> Result<()> {
    let Some(server) = ondol_engines::Postgres::start()? else { return Ok(()) };
    let database = server.database()?;
    let host = Arc::new(host(&database.url(), "chat-1").await?);
    let room = room(&host).await?;
    let next = message(&host, &ann(), room, 1)?;
    server.freeze()?;
    let storing = begin(&host, next);
    let since = Instant::now();
    while host.failure().is_none() {
        ensure!(since.elapsed() < DEADLINE, "it does not notice");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(host.failure().is_some_and(|reason| reason.starts_with("PostgreSQL has not answered for")));
    server.thaw()?;
    storing.await??;
    assert_eq!(room_in_database(&database, room)?, "1|1");
    assert_eq!(host.failure(), None);
    Ok(())
}

#[tokio::test]
async fn a_store_that_was_closed_gives_a_server_up_that_stays_away() -> Result<()> {
    let Some(mut server) = ondol_engines::Postgres::start()? else { return Ok(()) };
    let database = server.database()?;
    let host = host(&database.url(), "chat-1").await?;
    let room = room(&host).await?;
    let next = message(&host, &ann(), room, 1)?;
    server.stop(Stop::Fast)?;
    host.close();
    let errors = errors(&host, &[next]).await;
    assert!([some(&StoreError::Closed), some(&StoreError::InDoubt)].contains(&errors[0]), "{errors:?}");
    Ok(())
}
