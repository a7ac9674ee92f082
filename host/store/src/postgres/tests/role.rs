//! Who may write.

use super::proxy::Proxy;
use super::*;

#[tokio::test]
async fn one_host_at_a_time_uses_a_database() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let first = host(&database.url(), "chat-1").await?;
    for name in ["chat-1", "chat-2"] {
        let error = host(&database.url(), name).await.err().context("two hosts")?;
        assert!(error.to_string().starts_with("the host chat-1 uses this database alone: "), "{error}");
    }
    let room = room(&first).await?;
    store(&first, &[message(&first, &ann(), room, 1)?]).await?;
    first.finish().await;
    assert_eq!(database.sql("SELECT host FROM room")?, "", "it has no home");
    let second = host(&database.url(), "chat-2").await?;
    assert_eq!(database.sql("SELECT name, state FROM host ORDER BY no")?, "chat-1|gone\nchat-2|live");
    assert_eq!(second.epoch(), first.epoch());
    assert_eq!(second.epoch().len(), 16);
    assert_eq!(claim(&second, room).await?, Seq(1));
    store(&second, &[message(&second, &ann(), room, 2)?]).await?;
    assert!(first.failure().is_some());
    Ok(())
}

#[tokio::test]
async fn a_host_that_is_back_after_another_took_over_stores_nothing() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let proxy = Proxy::to(&database.url()).await?;
    let first = host(&proxy.url(&database.url()), "chat-1").await?;
    let room = room(&first).await?;
    let messages = [message(&first, &ann(), room, 1)?, message(&first, &ann(), room, 2)?];
    let [one, two] = messages;
    store(&first, &[one]).await?;
    proxy.cut(true);
    let second = host(&database.url(), "chat-2").await?;
    assert_eq!(claim(&second, room).await?, Seq(1));
    proxy.cut(false);
    let errors = errors(&first, &[two]).await;
    assert!(errors[0].as_ref().is_some_and(|error| error.contains("declared it dead")), "{errors:?}");
    assert!(first.failure().is_some_and(|reason| reason.contains("declared it dead")));
    assert_eq!(room_in_database(&database, room)?, "1|1");
    store(&second, &[message(&second, &ann(), room, 2)?]).await
}

#[tokio::test]
async fn a_killed_host_is_followed_by_the_next_at_once() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let first = host(&database.url(), "chat-1").await?;
    let room = room(&first).await?;
    store(&first, &[message(&first, &ann(), room, 1)?]).await?;
    drop(first);
    let second = host(&database.url(), "chat-1").await?;
    assert_eq!(database.sql("SELECT name, state FROM host ORDER BY no")?, "chat-1|dead\nchat-1|live");
    // Without a claim, as a batch of a room that was forgotten.
    second.claim(new_room(&second, None).await?).await?;
    store(&second, &[message(&second, &ann(), room, 2)?]).await?;
    assert_eq!(database.sql(&format!("SELECT host = 2 FROM room WHERE id = {room}"))?, "t");
    Ok(())
}

#[tokio::test]
async fn a_batch_of_a_host_declared_dead_stores_nothing() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    let room = room(&host).await?;
    let messages = [message(&host, &ann(), room, 1)?];
    database.sql("UPDATE host SET state = 'dead'")?;
    let errors = errors(&host, &messages).await;
    assert!(errors[0].as_ref().is_some_and(|error| error.contains("declared it dead")), "{errors:?}");
    assert_eq!(room_in_database(&database, room)?, "|0");
    assert!(matches!(host.claim(room).await, Err(StoreError::Fenced(_))));
    Ok(())
}

#[tokio::test]
async fn a_beat_learns_that_the_host_was_declared_dead() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    database.sql("UPDATE host SET state = 'dead'")?;
    let since = Instant::now();
    while host.failure().is_none() {
        ensure!(since.elapsed() < DEADLINE, "it does not notice");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_database_that_has_gone_back_gets_a_new_epoch() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    let room = room(&host).await?;
    store(&host, &[message(&host, &ann(), room, 1)?]).await?;
    database.sql("UPDATE room SET last_seq = 0; DELETE FROM message; DELETE FROM client_message")?;
    let errors = errors(&host, &[message(&host, &ann(), room, 2)?]).await;
    assert!(errors[0].as_ref().is_some_and(|error| error.contains("has lost")), "{errors:?}");
    assert_eq!(database.sql(&format!("SELECT epoch <> '{}' FROM cluster", host.epoch()))?, "t");
    Ok(())
}

#[tokio::test]
async fn a_later_schema_is_refused() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    host(&database.url(), "chat-1").await?.finish().await;
    database.sql("UPDATE cluster SET schema = 99")?;
    let error = host(&database.url(), "chat-1").await.err();
    assert!(matches!(error, Some(StoreError::SchemaTooNew { found: 99, .. })), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn two_hosts_that_come_to_an_empty_database_make_one_schema() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let url = database.url();
    let (one, other) = tokio::join!(host(&url, "chat-1"), host(&url, "chat-2"));
    assert_eq!([one.is_ok(), other.is_ok()].iter().filter(|is_ok| **is_ok).count(), 1, "one of them lives");
    assert_eq!(database.sql("SELECT count(*) FROM cluster")?, "1");
    Ok(())
}

#[tokio::test]
async fn an_earlier_schema_is_brought_up_to_date_and_rights_on_its_view_stay() -> Result<()> {
    let first = concat!(
        include_str!("../schema-1.sql"),
        "INSERT INTO cluster (epoch, schema) VALUES ('before', 1); GRANT SELECT ON room_message TO PUBLIC;
         INSERT INTO room (name, created_at) VALUES ('lobby', 1)"
    );
    let Some(database) = ondol_engines::Postgres::of_tests_with(first)? else { return Ok(()) };
    let rows = "SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_index i ON i.indexrelid = c.oid \
                WHERE a.attcollation <> 0 AND a.attcollation <> 950 AND relnamespace = 'public'::regnamespace";
    assert_ne!(database.sql(&format!("{rows} AND relname <> 'release_active'"))?, "0", "the test looks at nothing");
    let host = host(&database.url(), "chat-1").await?;
    assert_eq!(host.epoch(), "before");
    let room = RoomId(1);
    assert_eq!(claim(&host, room).await?, Seq(0));
    store(&host, &[message(&host, &ann(), room, 1)?]).await?;
    assert_eq!(database.sql("SELECT has_table_privilege('public', 'room_message', 'SELECT')")?, "t");
    assert_eq!(database.sql("SELECT user_id, text FROM room_message")?, "ann|말 1");
    assert_eq!(
        database.sql(&format!("{rows} AND relname <> 'release_active'"))?,
        "0",
        "a key follows the database's collation"
    );
    Ok(())
}
