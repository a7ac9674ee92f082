//! A release whose answer is lost is recorded once.

use super::proxy::Proxy;
use super::*;
use crate::postgres::connect::Connector;
use crate::postgres::release_history::ReleaseHistory;
use crate::postgres::testing::Testing;
use crate::records::{ReleaseRecord, Retention};

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_was_stored_before_its_connection_was_lost_is_not_recorded_again() -> Result<()> {
    recorded_once(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_was_stored_before_the_server_went_away_is_told_when_it_is_back() -> Result<()> {
    recorded_once(3).await
}

/// Records a release whose answer is lost, while so many connections are refused.
async fn recorded_once(refused_min: u32) -> Result<()> {
    let Some(testing) = Testing::new().await else { return Ok(()) };
    let (database, url) = (&testing.database, testing.database.url());
    // A commit of a release waits for the holder of the lock.
    database.sql(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NULL; END'; \
         CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON release DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()",
    )?;
    let proxy = Proxy::to(&url).await?;
    let connector = Connector::new(&config(&proxy.url(&url), "chat-1"))?;
    let writers = Arc::new(ReleaseHistory::writers(&connector)?);
    let history = ReleaseHistory::new(Arc::clone(&testing.readers), writers, 1, "chat-1");
    let held = database.hold("SELECT pg_advisory_xact_lock(42)")?;
    let recording = tokio::task::spawn_blocking(move || {
        let release = ReleaseRecord {
            versions: ["r".into(), "m".into(), "e".into()],
            actor: "ann".into(),
            trigger: "deploy".into(),
            reason: String::new(),
            back_to: None,
            over: None,
            previous_outcome: "replaced".into(),
            previous_detail: None,
        };
        history.record(&[], &release, Retention { versions_max: 3, releases_max: 5 })
    });
    until(database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted", "1")
        .await?;
    proxy.mute(true);
    drop(held);
    until(database, "SELECT count(*) FROM release", "1").await?;
    proxy.mute(false);
    proxy.cut(true);
    let since = Instant::now();
    while proxy.refused() < refused_min {
        ensure!(since.elapsed() < DEADLINE, "it asks no more");
        ensure!(!recording.is_finished(), "{:?}", recording.await?);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    proxy.up();
    assert_eq!(recording.await??, 1);
    assert_eq!(database.sql("SELECT string_agg(id || ' ' || outcome, ', ') FROM release")?, "1 active");
    Ok(())
}
