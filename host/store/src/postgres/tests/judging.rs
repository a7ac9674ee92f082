//! Who is declared dead, and by whom.

use super::proxy::Proxy;
use super::*;
use crate::postgres::connect::{Connector, Purpose};
use crate::postgres::neighbours::judge as declare_dead;

/// A host that another one sees, over a wire that can be cut.
async fn seen(database: &Database) -> Result<(Proxy, Postgres, Postgres)> {
    let proxy = Proxy::to(&database.url()).await?;
    let silent = host_of("test", &proxy.url(&database.url()), "chat-1").await?;
    Ok((proxy, silent, host_of("test", &database.url(), "chat-2").await?))
}

fn state(database: &Database, host: &Postgres) -> Result<String> {
    database.sql(&format!("SELECT state FROM host WHERE no = {}", host.host_no()))
}

async fn look(host: &Postgres) -> Result<bool> {
    Ok(host.neighbours.as_ref().context("alone")?.neighbours.look().await?.has_judged)
}

/// Makes the last beat of a host look older.
fn age(database: &Database, host: &Postgres, seconds: u32) -> Result<()> {
    let no = host.host_no();
    database.sql(&format!("UPDATE host SET beat = beat - interval '{seconds} s' WHERE no = {no}")).map(drop)
}

/// How many connections hold the lock of a host.
fn lock_of(no: i32) -> String {
    format!(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 'host'::regclass AND objid::int = -{no} \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
}

async fn until_it_may_judge(host: &Postgres) -> Result<()> {
    let since = Instant::now();
    while !host.host.has_beaten_for(LOST) {
        ensure!(since.elapsed() < DEADLINE, "it has breaks all the time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

async fn until_dead(database: &Database, host: &Postgres) -> Result<()> {
    until(database, &format!("SELECT state FROM host WHERE no = {}", host.host_no()), "dead").await
}

#[tokio::test]
async fn a_host_that_has_just_come_back_judges_no_other() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (proxy, silent, judge) = seen(&database).await?;
    until_it_may_judge(&judge).await?;
    judge.host.interrupted();
    proxy.cut(true);
    age(&database, &silent, 60)?;
    let has_judged = look(&judge).await?;
    // Otherwise this machine was too slow to tell.
    if !judge.host.has_beaten_for(LOST) {
        assert!(!has_judged);
        assert_eq!(state(&database, &silent)?, "live");
    }
    until_dead(&database, &silent).await
}

#[tokio::test]
async fn a_host_with_a_connection_has_longer() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (proxy, silent, judge) = seen(&database).await?;
    let no = silent.host_no();
    judge.host.interrupted();
    proxy.cut(true);
    until(&database, &lock_of(no), "0").await?;
    // As if the connection were there.
    let connection = database.hold(&format!("SELECT pg_advisory_xact_lock('host'::regclass::oid::int, -{no})"))?;
    let silent_for_2_s = format!("UPDATE host SET beat = clock_timestamp() - interval '2 s' WHERE no = {no}");
    let since = Instant::now();
    while !judge.host.has_beaten_for(LOST) {
        database.sql(&silent_for_2_s)?;
        ensure!(since.elapsed() < DEADLINE, "it has breaks all the time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    database.sql(&silent_for_2_s)?;
    assert!(!look(&judge).await?);
    assert_eq!(state(&database, &silent)?, "live");
    drop(connection);
    while state(&database, &silent)? != "dead" {
        database.sql(&silent_for_2_s)?;
        ensure!(since.elapsed() < DEADLINE, "it lives on without a connection");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_host_that_nothing_is_heard_of_has_less_time_once_its_connection_is_gone() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (proxy, silent, judge) = seen(&database).await?;
    let no = silent.host_no();
    let suspect = |hosts: &[i32]| -> Result<()> {
        judge.neighbours.as_ref().context("alone")?.neighbours.suspect(hosts.iter().copied().collect());
        Ok(())
    };
    let silent_for_a_while = format!("UPDATE host SET beat = clock_timestamp() - interval '0.6 s' WHERE no = {no}");
    until_it_may_judge(&judge).await?;
    // It has its connection: it is busy.
    suspect(&[no])?;
    database.sql(&silent_for_a_while)?;
    assert!(!look(&judge).await?);
    suspect(&[])?;
    judge.host.interrupted();
    proxy.cut(true);
    until(&database, &lock_of(no), "0").await?;
    // Without a connection, and heard of elsewhere.
    let since = Instant::now();
    while !judge.host.has_beaten_for(LOST) {
        database.sql(&silent_for_a_while)?;
        ensure!(since.elapsed() < DEADLINE, "it has breaks all the time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    database.sql(&silent_for_a_while)?;
    assert!(!look(&judge).await?);
    assert_eq!(state(&database, &silent)?, "live");
    suspect(&[no])?;
    while state(&database, &silent)? != "dead" {
        database.sql(&silent_for_a_while)?;
        ensure!(since.elapsed() < DEADLINE, "it lives on without a connection");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_host_whose_batch_is_being_stored_is_not_judged() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (proxy, silent, judge) = seen(&database).await?;
    let no = silent.host_no();
    judge.host.interrupted();
    proxy.cut(true);
    let batch = database.hold(&format!("SELECT FROM host WHERE no = {no} FOR UPDATE"))?;
    until(&database, &format!("SELECT clock_timestamp() - beat > interval '4 s' FROM host WHERE no = {no}"), "t")
        .await?;
    until_it_may_judge(&judge).await?;
    assert!(!look(&judge).await?);
    assert_eq!(state(&database, &silent)?, "live");
    drop(batch);
    until_dead(&database, &silent).await
}

#[tokio::test]
async fn a_look_that_is_old_condemns_no_one() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (proxy, silent, judge) = seen(&database).await?;
    judge.host.interrupted();
    proxy.cut(true);
    age(&database, &silent, 60)?;
    let client = judge.control.open_client().context("no connection")?;
    let now: f64 = database.sql("SELECT extract(epoch FROM clock_timestamp())")?.parse()?;
    let no = silent.host_no();
    assert!(!declare_dead(&client, no, false, now - 1.0, LOST).await?);
    judge.host.interrupted();
    assert!(declare_dead(&client, no, false, now + 60.0, LOST).await?);
    assert!(!declare_dead(&client, no, false, now + 60.0, LOST).await?, "once");
    assert!(!declare_dead(&client, judge.host_no(), true, now + 60.0, LOST).await?, "it beats");
    Ok(())
}

#[tokio::test]
async fn hosts_survive_the_loss_of_their_connections() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (proxy, one, other) = seen(&database).await?;
    let room = room(&one).await?;
    for seq in 1..=5 {
        until_it_may_judge(&other).await?;
        proxy.cut(false);
        store(&one, &[message(&one, &ann(), room, seq)?]).await?;
    }
    assert_eq!(database.sql("SELECT string_agg(state, ' ') FROM host")?, "live live");
    assert_eq!(one.failure(), None);
    Ok(())
}

#[tokio::test]
async fn a_pause_of_the_database_kills_no_host() -> Result<()> {
    let Some(server) = ondol_engines::Postgres::start()? else { return Ok(()) };
    let database = server.database()?;
    let (one, other) = two_hosts(&database).await?;
    until_it_may_judge(&one).await?;
    until_it_may_judge(&other).await?;
    server.freeze()?;
    let since = Instant::now();
    // Longer than a host may be silent.
    while one.failure().is_none() || other.failure().is_none() || since.elapsed() < LOST + Duration::from_secs(1) {
        ensure!(since.elapsed() < DEADLINE, "no failure");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.thaw()?;
    until_it_may_judge(&one).await?;
    until_it_may_judge(&other).await?;
    assert_eq!(database.sql("SELECT string_agg(state, ' ') FROM host")?, "live live");
    Ok(())
}

#[tokio::test]
async fn ids_rise_in_a_room_that_changes_hands() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (proxy, one, other) = seen(&database).await?;
    // The other host takes its ids first: they are below those of the room's first home.
    let own = room(&other).await?;
    let room = room(&one).await?;
    store(&one, &[message(&one, &ann(), room, 1)?, message(&one, &ann(), room, 2)?]).await?;
    let last: u64 = database.sql(&format!("SELECT last_id FROM room WHERE id = {room}"))?.parse()?;
    assert!(next_id(&other)?.0 < last);
    proxy.cut(true);
    assert_eq!(until_claimed(&other, room).await?, Seq(2));
    assert!(next_id(&other)?.0 > last);
    store(&other, &[message(&other, &ann(), room, 3)?, message(&other, &ann(), own, 1)?]).await?;
    assert_eq!(room_in_database(&database, room)?, "1 2 3|3", "by their ids");
    Ok(())
}

#[tokio::test]
async fn a_batch_that_waits_behind_its_judgement_stores_nothing() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (one, other) = two_hosts(&database).await?;
    let room = room(&one).await?;
    let next = message(&one, &ann(), room, 1)?;
    let no = one.host_no();
    // The judgement is made, and not committed yet.
    let judge = Connector::new(&config(&database.url(), "chat-3"))?.connect(Purpose::Control).await?;
    judge.batch_execute(&format!("BEGIN; UPDATE host SET state = 'dead' WHERE no = {no}")).await?;
    let one = Arc::new(one);
    let storing = tokio::spawn({
        let one = Arc::clone(&one);
        async move { errors(&one, &[next]).await }
    });
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT ondol_commit%' \
                   AND wait_event_type = 'Lock' AND datname = current_database()";
    until(&database, waiting, "1").await?;
    assert_eq!(other.claim(room).await?, Claimed::There { host: no });
    judge.batch_execute("COMMIT").await?;
    let errors = storing.await?;
    assert!(errors[0].as_ref().is_some_and(|error| error.contains("declared it dead")), "{errors:?}");
    assert_eq!(claim(&other, room).await?, Seq(0), "at once");
    assert_eq!(room_in_database(&database, room)?, "|0");
    Ok(())
}
