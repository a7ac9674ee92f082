//! What hosts say of themselves in the database, and which hosts may not live beside each other because of it.

use super::*;
use crate::postgres::examine::examine;

/// The row of a host: its release, rooms and connections.
fn said(host: &Postgres) -> String {
    format!("SELECT concat_ws(' ', release, rooms, connections) FROM host WHERE no = {}", host.host_no())
}

fn config_of(proto: i32, database: &Database, name: &str) -> PostgresConfig {
    PostgresConfig { cluster: Some("test".to_owned()), proto, ..config(&database.url(), name) }
}

#[tokio::test]
async fn a_host_says_what_it_has_and_the_others_see_it() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (one, other) = two_hosts(&database).await?;
    assert_eq!(database.sql(&said(&one))?, "0", "nothing is said yet");
    room(&one).await?;
    room(&one).await?;
    one.report(7, 12);
    until(&database, &said(&one), "7 2 12").await?;
    assert_eq!(database.sql(&said(&other))?, "0");
    let mut hosts = other.hosts().context("alone")?;
    let is_seen = |hosts: &crate::hosts::Hosts| hosts.get(&one.host_no()).is_some_and(|row| row.release == 7);
    tokio::time::timeout(DEADLINE, hosts.wait_for(is_seen)).await??;
    let row = hosts.borrow_and_update().get(&one.host_no()).cloned().context("no row")?;
    assert_eq!((row.proto, row.rooms, row.connections), (1, Some(2), Some(12)));
    // Figures alone are no change.
    one.report(7, 13);
    until(&database, &said(&one), "7 2 13").await?;
    other.neighbours.as_ref().context("alone")?.neighbours.look().await?;
    assert!(!hosts.has_changed()?);
    assert_eq!(hosts.borrow().get(&one.host_no()).and_then(|row| row.connections), Some(13));
    Ok(())
}

#[tokio::test]
async fn a_host_whose_batches_beat_says_what_it_has_all_the_same() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (one, _other) = two_hosts(&database).await?;
    let room = room(&one).await?;
    one.report(3, 4);
    let (since, mut seq) = (Instant::now(), 0);
    while database.sql(&said(&one))? != "3 1 4" {
        ensure!(since.elapsed() < DEADLINE, "{} after {seq} messages", database.sql(&said(&one))?);
        seq += 1;
        store(&one, &[message(&one, &ann(), room, seq)?]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn hosts_that_speak_differently_do_not_live_beside_each_other() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let one = Postgres::connect_or(&config_of(1, &database, "chat-1"), &LIMITS, || {}).await?;
    let other = config_of(2, &database, "chat-2");
    let refused = Postgres::connect_or(&other, &LIMITS, || {}).await.err().context("it joined")?.to_string();
    assert!(refused.starts_with("the host chat-1 (ondol 0.1.0) speaks version 1 of"), "{refused}");
    assert!(refused.contains("this one version 2"), "{refused}");
    let asked = other.clone();
    let examined = tokio::task::spawn_blocking(move || examine(&asked)).await?;
    assert_eq!(examined.err().map(|error| error.to_string()), Some(refused));
    one.finish().await;
    Postgres::connect_or(&other, &LIMITS, || {}).await?;
    let proto = "SELECT proto FROM host WHERE state = 'live'";
    assert_eq!(database.sql(proto)?, "2");
    Ok(())
}

#[tokio::test]
async fn the_home_of_a_room_is_found_without_a_claim() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (one, other) = two_hosts(&database).await?;
    let room = new_room(&one, None).await?;
    assert_eq!(other.home_of(room).await?, None);
    assert_eq!(database.sql(&format!("SELECT host IS NULL FROM room WHERE id = {room}"))?, "t");
    claim(&one, room).await?;
    assert_eq!(other.home_of(room).await?, Some((one.host_no(), "chat-1".to_owned())));
    one.finish().await;
    assert_eq!(other.home_of(room).await?, None);
    assert!(matches!(other.home_of(RoomId(room.0 + 1)).await, Err(StoreError::NoRoom)));
    Ok(())
}

#[tokio::test]
async fn hosts_of_one_chat_know_its_name_and_those_of_another_have_another() -> Result<()> {
    let (Some(database), Some(elsewhere)) = (database()?, database()?) else { return Ok(()) };
    let (one, other) = two_hosts(&database).await?;
    assert_eq!(one.chat_id(), other.chat_id());
    assert_eq!(one.chat_id().len(), 36, "{}", one.chat_id());
    assert_ne!(host_of("test", &elsewhere.url(), "chat-1").await?.chat_id(), one.chat_id());
    Ok(())
}
