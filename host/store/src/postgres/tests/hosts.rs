//! Several hosts on one database.

use super::proxy::Proxy;
use super::*;
use crate::page::Page;

/// The names of the hosts that a host sees.
fn names(host: &Postgres) -> Vec<String> {
    host.hosts()
        .into_iter()
        .flat_map(|hosts| hosts.borrow().values().map(|row| row.name.clone()).collect::<Vec<_>>())
        .collect()
}

/// Waits until a host sees these others and itself.
async fn until_seen(host: &Postgres, expected: &[&str]) -> Result<()> {
    let mut hosts = host.hosts().context("alone")?;
    let seen = hosts.wait_for(|hosts| hosts.values().map(|row| row.name.as_str()).eq(expected.iter().copied()));
    tokio::time::timeout(DEADLINE, seen).await.with_context(|| format!("{:?}", names(host)))??;
    Ok(())
}

async fn seqs(host: &Postgres, room: RoomId) -> Result<Vec<u64>> {
    Ok(host.messages(room, Page::Latest, 50).await?.iter().map(|message| message.seq.0).collect())
}

#[tokio::test]
async fn a_room_has_one_home_and_only_there_it_is_written_to() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (one, other) = two_hosts(&database).await?;
    let room = room(&one).await?;
    store(&one, &[message(&one, &ann(), room, 1)?]).await?;
    assert_eq!(other.claim(room).await?, Claimed::There { host: one.host_no() });
    claim(&other, new_room(&other, None).await?).await?;
    let elsewhere = some(&StoreError::HomeElsewhere);
    assert_eq!(errors(&other, &[message(&other, &ann(), room, 2)?]).await, [elsewhere]);
    assert!(matches!(other.delete(room, &[Seq(1)]).await, Err(StoreError::HomeElsewhere)));
    assert_eq!(room_in_database(&database, room)?, "1|1");
    assert_eq!(claim(&one, room).await?, Seq(1));
    assert_eq!(one.delete(room, &[Seq(1)]).await?.messages.len(), 1);
    Ok(())
}

#[tokio::test]
async fn of_two_claims_at_once_one_wins() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (one, other) = two_hosts(&database).await?;
    for _ in 0..50 {
        let room = new_room(&one, None).await?;
        let claims = tokio::join!(one.claim(room), other.claim(room));
        let home: i32 = database.sql(&format!("SELECT host FROM room WHERE id = {room}"))?.parse()?;
        let (here, there) = (Claimed::Here { last: Seq(0) }, Claimed::There { host: home });
        let expected = if home == one.host_no() { (here, there) } else { (there, here) };
        assert_eq!((claims.0?, claims.1?), expected);
    }
    Ok(())
}

#[tokio::test]
async fn a_room_that_has_no_home_is_written_to_after_a_claim_only() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (one, other) = two_hosts(&database).await?;
    let lower = room(&other).await?;
    let room = room(&one).await?;
    store(&one, &[message(&one, &ann(), room, 1)?]).await?;
    one.finish().await;
    // Its id is below the one of the first message.
    let early = message(&other, &ann(), room, 2)?;
    assert_eq!(errors(&other, &[early]).await, [some(&StoreError::HomeElsewhere)]);
    assert_eq!(claim(&other, room).await?, Seq(1));
    store(&other, &[message(&other, &ann(), room, 2)?, message(&other, &ann(), lower, 1)?]).await?;
    assert_eq!(room_in_database(&database, room)?, "1 2|2", "by their ids");
    Ok(())
}

#[tokio::test]
async fn a_room_that_is_given_up_has_its_next_home_where_it_is_claimed() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (one, other) = two_hosts(&database).await?;
    let (elsewhere, room, kept) = (room(&other).await?, room(&one).await?, room(&one).await?);
    store(&one, &[message(&one, &ann(), room, 1)?]).await?;
    assert_eq!(seqs(&one, room).await?, [1]);
    one.release(&[room, elsewhere]).await?;
    let homes = format!("SELECT coalesce(host, 0) FROM room WHERE id IN ({room}, {kept}, {elsewhere}) ORDER BY id");
    assert_eq!(database.sql(&homes)?, format!("{}\n0\n{}", other.host_no(), one.host_no()), "its own, and no other");
    assert_eq!(errors(&one, &[message(&one, &ann(), room, 2)?]).await, [some(&StoreError::HomeElsewhere)]);
    assert_eq!(claim(&other, room).await?, Seq(1));
    store(&other, &[message(&other, &ann(), room, 2)?]).await?;
    assert_eq!(seqs(&one, room).await?, [1, 2], "what the first home remembered does not count");
    Ok(())
}

#[tokio::test]
async fn hosts_see_who_comes_and_goes() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (one, other) = two_hosts(&database).await?;
    assert_eq!(names(&other), ["chat-1", "chat-2"], "from its start");
    until_seen(&one, &["chat-1", "chat-2"]).await?;
    let row = one.hosts().context("alone")?.borrow().get(&other.host_no()).cloned().context("no row")?;
    assert_eq!((row.state, row.version.as_str(), row.release), (HostState::Live, "0.1.0", 0));
    other.drain().await?;
    let mut hosts = one.hosts().context("alone")?;
    let is_draining =
        |hosts: &crate::hosts::Hosts| hosts.get(&row.no).is_some_and(|row| row.state == HostState::Draining);
    tokio::time::timeout(DEADLINE, hosts.wait_for(is_draining)).await??;
    let room = room(&other).await?;
    assert_eq!(one.claim(room).await?, Claimed::There { host: other.host_no() }, "until it is gone");
    other.finish().await;
    assert_eq!(claim(&one, room).await?, Seq(0));
    until_seen(&one, &["chat-1"]).await?;
    assert_eq!(database.sql("SELECT state FROM host ORDER BY no")?, "live\ngone");
    Ok(())
}

#[tokio::test]
async fn beats_wake_no_one_who_waits_for_changes() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (one, other) = two_hosts(&database).await?;
    until_seen(&one, &["chat-1", "chat-2"]).await?;
    let mut hosts = one.hosts().context("alone")?;
    hosts.borrow_and_update();
    let beat = || database.sql(&format!("SELECT beat FROM host WHERE no = {}", other.host_no()));
    let before = beat()?;
    until(&database, &format!("SELECT beat > '{before}' FROM host WHERE no = {}", other.host_no()), "t").await?;
    if let Some(watched) = &one.neighbours {
        watched.neighbours.look().await?;
    }
    assert!(!hosts.has_changed()?);
    Ok(())
}

#[tokio::test]
async fn a_host_lives_beside_others_of_its_cluster_under_a_name_of_its_own() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let url = database.url();
    let first = host_of("blue", &url, "chat-1").await?;
    let refused = |error: Option<StoreError>| error.map(|error| error.to_string()).unwrap_or_default();
    let namesake = refused(host_of("blue", &url, "chat-1").await.err());
    assert_eq!(
        namesake,
        "the host chat-1 uses this database as part of the cluster blue: stop it first, or give this one another `host`"
    );
    let both = "the host chat-1 uses this database as part of the cluster blue: stop it first; \
                several hosts on one database need the same `cluster` and a `bus`";
    assert_eq!(refused(host_of("red", &url, "chat-2").await.err()), both);
    assert_eq!(refused(host(&url, "chat-2").await.err()), both);
    let second = host_of("blue", &url, "chat-2").await?;
    first.finish().await;
    second.finish().await;
    let _alone = host(&url, "chat-3").await?;
    let error = refused(host_of("blue", &url, "chat-1").await.err());
    assert!(error.starts_with("the host chat-3 uses this database alone: "), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_killed_host_is_followed_by_one_of_its_name_at_once() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (one, other) = two_hosts(&database).await?;
    let room = room(&one).await?;
    let first = one.host_no();
    drop(one);
    let one = host_of("test", &database.url(), "chat-1").await?;
    assert_eq!(database.sql(&format!("SELECT state FROM host WHERE no = {first}"))?, "dead");
    assert_eq!(claim(&one, room).await?, Seq(0));
    assert_eq!(other.claim(room).await?, Claimed::There { host: one.host_no() });
    Ok(())
}

#[tokio::test]
async fn forwarded_frames_are_found_by_their_host() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (one, other) = two_hosts(&database).await?;
    let room = room(&one).await?;
    let origin = |host: i32, counter: i64| (i64::from(host) << 40) | counter;
    let (mut messages, hosts) =
        (Vec::new(), [other.host_no(), other.host_no() + 1, other.host_no(), 0, other.host_no()]);
    for (seq, host) in (1..).zip(hosts) {
        let origin = (host != 0).then(|| origin(host, seq));
        messages.push(Message { origin, ..message(&one, &ann(), room, seq.unsigned_abs())? });
    }
    store(&one, &messages).await?;
    let own = |counter: i64| (origin(other.host_no(), counter), Seq(counter.unsigned_abs()));
    assert_eq!(other.stored_origins(room, Seq(0), other.host_no()).await?, [own(1), own(3), own(5)]);
    assert_eq!(other.stored_origins(room, Seq(3), other.host_no()).await?, [own(5)]);
    assert_eq!(other.stored_origins(room, Seq(0), one.host_no()).await?, []);
    assert!(one.messages(room, Page::Latest, 9).await?.iter().all(|message| message.origin.is_none()));
    Ok(())
}

#[tokio::test]
async fn messages_are_remembered_at_their_home_only() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let limits = StoreLimits { history_cache_bytes_max: 1 << 20, ..LIMITS };
    let remembering = async |name: &str| {
        let config = PostgresConfig { cluster: Some("test".to_owned()), ..config(&database.url(), name) };
        Postgres::connect_or(&config, &limits, || {}).await
    };
    let (one, other) = (remembering("chat-1").await?, remembering("chat-2").await?);
    let room = room(&one).await?;
    for seq in 1..=3 {
        store_and_remember(&one, &[message(&one, &ann(), room, seq)?]).await?;
        let all: Vec<u64> = (1..=seq).collect();
        assert_eq!((seqs(&one, room).await?, seqs(&other, room).await?), (all.clone(), all));
        assert_eq!((one.reads(), other.reads()), (1, seq));
    }
    one.finish().await;
    assert_eq!(claim(&other, room).await?, Seq(3));
    store_and_remember(&other, &[message(&other, &ann(), room, 4)?]).await?;
    assert_eq!(seqs(&other, room).await?, [1, 2, 3, 4]);
    assert_eq!(seqs(&other, room).await?, [1, 2, 3, 4]);
    assert_eq!(other.reads(), 4, "one more, for memory");
    Ok(())
}

/// Stores a batch as a commit does.
async fn store_and_remember(host: &Postgres, messages: &[Message]) -> Result<()> {
    let entry = |message: &Message| crate::Entry { message: Some(Arc::new(message.clone())), context: () };
    let (batch, _) = host.commit(messages.iter().map(entry).collect()).await;
    ensure!(batch.failed.is_empty(), "not stored");
    Ok(())
}

#[tokio::test]
async fn a_room_is_found_as_soon_as_another_host_has_created_it() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let (one, other) = two_hosts(&database).await?;
    let next = RoomId(new_room(&one, None).await?.0 + 1);
    assert_eq!(other.room(next).await?, None);
    assert_eq!(new_room(&one, None).await?, next);
    assert!(other.room(next).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn a_host_that_is_cut_off_steps_down_when_it_is_back() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let proxy = Proxy::to(&database.url()).await?;
    let one = host_of("test", &proxy.url(&database.url()), "chat-1").await?;
    let other = host_of("test", &database.url(), "chat-2").await?;
    let room = room(&one).await?;
    let [first, second] = [message(&one, &ann(), room, 1)?, message(&one, &ann(), room, 2)?];
    store(&one, &[first]).await?;
    until_seen(&one, &["chat-1", "chat-2"]).await?;
    assert_eq!(other.claim(room).await?, Claimed::There { host: one.host_no() });
    proxy.cut(true);
    assert_eq!(until_claimed(&other, room).await?, Seq(1));
    until_seen(&other, &["chat-2"]).await?;
    proxy.cut(false);
    let errors = errors(&one, &[second]).await;
    assert!(errors[0].as_ref().is_some_and(|error| error.contains("declared it dead")), "{errors:?}");
    assert!(matches!(one.claim(room).await, Err(StoreError::Fenced(_))));
    assert_eq!(names(&one), ["chat-1", "chat-2"], "as it was");
    store(&other, &[message(&other, &ann(), room, 2)?]).await?;
    assert_eq!(room_in_database(&database, room)?, "1 2|2");
    Ok(())
}
