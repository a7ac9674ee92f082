//! What works.

use super::*;
use crate::outcomes::Deleted;

#[tokio::test]
async fn batches_are_stored_in_their_order() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    let (first, second, ann) = (room(&host).await?, room(&host).await?, ann());
    let messages = [message(&host, &ann, first, 1)?, message(&host, &ann, second, 1)?, message(&host, &ann, first, 2)?];
    store(&host, &messages).await?;
    store(&host, &[message(&host, &ann, first, 3)?]).await?;
    assert_eq!(room_in_database(&database, first)?, "1 2 3|3");
    assert_eq!(room_in_database(&database, second)?, "1|1");
    let row =
        "SELECT room, user_id, nickname, email, profile_url IS NULL, text, created_at FROM room_message WHERE id = ";
    let found = database.sql(&format!("{row}{}", messages[0].id.0))?;
    assert_eq!(found, format!("{first}|ann|앤|ann@example.com|t|말 1|1970-01-01T00:00:00.007Z"));
    assert_eq!(database.sql("SELECT count(*) FROM sender")?, "1", "one row for one sender");
    assert_eq!(database.sql("SELECT count(*), count(DISTINCT client_id) FROM client_message")?, "4|4");
    assert_eq!(claim(&host, first).await?, Seq(3));
    assert!(matches!(host.claim(RoomId(99)).await, Err(StoreError::NoRoom)));
    assert_eq!(host.failure(), None);
    host.ask().await?;
    Ok(())
}

#[tokio::test]
async fn ten_thousand_messages_are_dense_and_their_ids_rise() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    let mut rooms = Vec::new();
    for _ in 0..20 {
        rooms.push(room(&host).await?);
    }
    let (mut batch, speakers) = (Vec::new(), [ann(), ann(), ann()]);
    for number in 0..10_000 {
        let (room, seq) = (rooms[number % rooms.len()], (number / rooms.len()) as u64 + 1);
        batch.push(message(&host, &speakers[number % speakers.len()], room, seq)?);
        if batch.len() == 700 || number == 9_999 {
            store(&host, &std::mem::take(&mut batch)).await?;
        }
    }
    let wrong = "SELECT count(*) FROM (SELECT seq, id, row_number() OVER (PARTITION BY room ORDER BY id) place FROM message) m \
                 WHERE seq <> place";
    assert_eq!(database.sql(wrong)?, "0");
    assert_eq!(database.sql("SELECT count(*), count(DISTINCT id) FROM message")?, "10000|10000");
    assert_eq!(database.sql("SELECT min(last_seq), max(last_seq) FROM room")?, "500|500");
    // A connection reports at its end what it has scanned.
    drop(host);
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'ondol chat-1'";
    until(&database, connections, "0").await?;
    let scans = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'room_by_host'";
    assert_eq!(database.sql(scans)?, "0", "a batch goes through all rooms of the host");
    Ok(())
}

#[tokio::test]
async fn ids_go_on_over_the_end_of_a_block() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    assert_eq!(host.next_id(), None, "no room is claimed");
    room(&host).await?;
    let mut last = 0;
    for _ in 0..200_000 {
        let since = Instant::now();
        let id = loop {
            match host.next_id() {
                Some(id) => break id.0,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
            ensure!(since.elapsed() < DEADLINE, "no more ids");
        };
        ensure!(id > last, "{id} after {last}");
        last = id;
    }
    Ok(())
}

#[tokio::test]
async fn a_room_with_later_ids_gets_still_later_ones() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    let (first, second) = (room(&host).await?, new_room(&host, None).await?);
    database.sql("SELECT nextval('message_id')")?;
    let last = database.sql("SELECT nextval('message_id') + 500")?;
    database.sql(&format!("UPDATE room SET last_seq = 7, last_id = {last} WHERE id = {second}"))?;
    assert!(next_id(&host)?.0 < last.parse()?);
    assert_eq!(claim(&host, second).await?, Seq(7));
    store(&host, &[message(&host, &ann(), second, 8)?, message(&host, &ann(), first, 1)?]).await?;
    assert_eq!(database.sql(&format!("SELECT min(id) > {last} FROM message"))?, "t");
    Ok(())
}

#[tokio::test]
async fn a_post_has_one_room() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    let first = new_room(&host, Some(7)).await?;
    assert_eq!(new_room(&host, Some(7)).await?, first);
    let (one, other) = tokio::join!(new_room(&host, Some(8)), new_room(&host, Some(8)));
    assert_eq!(one?, other?, "at the same time");
    assert_ne!(new_room(&host, None).await?, new_room(&host, None).await?);
    host.close();
    assert!(new_room(&host, None).await.is_err(), "the store is closed");
    Ok(())
}

#[tokio::test]
async fn deleted_messages_are_recorded_and_their_client_ids_are_free() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    let (room, ann) = (room(&host).await?, ann());
    let messages = [message(&host, &ann, room, 1)?, message(&host, &ann, room, 2)?, message(&host, &ann, room, 3)?];
    store(&host, &messages).await?;
    let deletion = host.delete(room, &[3, 1, 3, 9].map(Seq)).await?;
    let deleted = |index: usize| Deleted { seq: messages[index].seq, id: messages[index].id };
    assert_eq!(deletion.messages, [deleted(0), deleted(2)]);
    assert_eq!(deletion.senders.len(), 1);
    assert_eq!(room_in_database(&database, room)?, "2|3", "numbers are not given again");
    assert_eq!(database.sql("SELECT string_agg(seq || '@' || at_seq, ' ' ORDER BY n) FROM deletion")?, "1@3 3@3");
    assert_eq!(host.delete(room, &[Seq(1)]).await?, crate::Deletion::default());
    let mut again = message(&host, &ann, room, 4)?;
    again.draft.client_id.clone_from(&messages[0].draft.client_id);
    store(&host, &[again]).await
}

#[tokio::test]
async fn what_is_forgotten_is_looked_up_again_and_refuses_no_message() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    let rooms = [room(&host).await?, room(&host).await?, room(&host).await?];
    let speaker = |id: &str| {
        let profile_url = None;
        Arc::new(Speaker::new(User {
            id: id.into(),
            nickname: "앤".into(),
            email: "ann@example.com".into(),
            profile_url,
        }))
    };
    let [ann, ben, cat] = ["ann", "ben", "cat"].map(speaker);
    {
        let mut writer = host.writer.lock().await;
        (writer.senders.0.max, writer.heads.heads().max) = (2, 2);
    }
    for round in 1..=3 {
        store(&host, &[message(&host, &ann, rooms[0], round * 2 - 1)?, message(&host, &ben, rooms[1], round * 2 - 1)?])
            .await?;
        host.heads.forget([rooms[2]]);
        let one_more = message(&host, &cat, rooms[2], round)?;
        let known = [message(&host, &ann, rooms[0], round * 2)?, message(&host, &ben, rooms[1], round * 2)?];
        let [first, second] = known;
        store(&host, &[first, second, one_more]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_table_that_gets_a_column_is_read_on() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    let room = room(&host).await?;
    store(&host, &[message(&host, &ann(), room, 1)?]).await?;
    for column in ["one", "another"] {
        assert_eq!(host.rooms(RoomId(0), 10).await?.len(), 1, "{column}");
        database.sql(&format!("ALTER TABLE room ADD COLUMN {column} int"))?;
    }
    assert_eq!(host.rooms(RoomId(0), 10).await?.len(), 1);
    store(&host, &[message(&host, &ann(), room, 2)?]).await
}
