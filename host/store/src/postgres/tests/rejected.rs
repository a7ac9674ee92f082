//! One message that cannot be stored takes no other with it.

use super::*;

/// Fifty messages: one in each of forty rooms, ten in the last of them.
async fn fifty(host: &Postgres) -> Result<Vec<Message>> {
    let (mut messages, ann) = (Vec::new(), ann());
    let mut last = RoomId(0);
    for _ in 0..41 {
        last = room(host).await?;
        messages.push(message(host, &ann, last, 1)?);
    }
    for seq in 2..=10 {
        messages.push(message(host, &ann, last, seq)?);
    }
    Ok(messages)
}

#[tokio::test]
async fn a_nul_fails_its_message_alone() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    let mut messages = fifty(&host).await?;
    messages[3].draft.text.push('\0');
    let errors = errors(&host, &messages).await;
    let failed: Vec<_> =
        errors.iter().enumerate().filter(|(_, error)| error.is_some()).map(|(index, _)| index).collect();
    assert_eq!(failed, [3]);
    assert_eq!(database.sql("SELECT count(*) FROM message")?, "49");
    Ok(())
}

#[tokio::test]
async fn what_the_database_rejects_fails_alone_with_what_follows_it() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    database.sql("ALTER TABLE message ADD CHECK (text <> 'bad')")?;
    let mut messages = fifty(&host).await?;
    messages[2].draft.text = "bad".into();
    messages[45].draft.text = "bad".into();
    let errors = errors(&host, &messages).await;
    let failed: Vec<_> =
        errors.iter().enumerate().filter(|(_, error)| error.is_some()).map(|(index, _)| index).collect();
    assert_eq!(failed, [2, 45, 46, 47, 48, 49]);
    assert!(errors[45].as_ref().is_some_and(|error| error.contains("check constraint")), "{errors:?}");
    assert_eq!(errors[46], some(&StoreError::OutOfTurn));
    assert_eq!(room_in_database(&database, messages[44].room)?, "1 2 3 4 5|5");
    messages[46].seq = Seq(6);
    store(&host, &[messages.remove(46)]).await
}

#[tokio::test]
async fn a_repeated_client_id_fails_its_message_and_what_follows_it() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    let (here, other, ann) = (room(&host).await?, room(&host).await?, ann());
    let first = message(&host, &ann, here, 1)?;
    store(&host, std::slice::from_ref(&first)).await?;
    let mut repeated = message(&host, &ann, here, 2)?;
    repeated.draft.client_id.clone_from(&first.draft.client_id);
    let messages = [repeated, message(&host, &ann, here, 3)?, message(&host, &ann, other, 1)?];
    let expected = [some(&StoreError::Repeated), some(&StoreError::OutOfTurn), None];
    assert_eq!(errors(&host, &messages).await, expected);
    // Twice in one batch.
    let mut twice = [message(&host, &ann, here, 2)?, message(&host, &ann, here, 3)?];
    twice[1].draft.client_id = twice[0].draft.client_id.clone();
    assert_eq!(errors(&host, &twice).await, [None, some(&StoreError::Repeated)]);
    assert_eq!(room_in_database(&database, here)?, "1 2|2");
    Ok(())
}

#[tokio::test]
async fn a_number_that_another_has_taken_is_out_of_turn() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    let (here, other, ann) = (room(&host).await?, room(&host).await?, ann());
    store(&host, &[message(&host, &ann, here, 1)?]).await?;
    database.sql(&format!("UPDATE room SET last_seq = 2 WHERE id = {here}"))?;
    let messages = [message(&host, &ann, here, 2)?, message(&host, &ann, other, 1)?, message(&host, &ann, here, 3)?];
    // The batch is rejected, and its parts are seen in the light of what the database holds.
    assert_eq!(errors(&host, &messages).await, [some(&StoreError::OutOfTurn), None, None]);
    let gap = [message(&host, &ann, here, 5)?, message(&host, &ann, RoomId(999), 1)?];
    assert_eq!(errors(&host, &gap).await, [some(&StoreError::OutOfTurn), some(&StoreError::NoRoom)]);
    Ok(())
}

#[tokio::test]
async fn a_full_room_takes_no_message() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    let room = new_room(&host, None).await?;
    database.sql(&format!("UPDATE room SET last_seq = 4294967294 WHERE id = {room}"))?;
    let last = claim(&host, room).await?.next();
    let messages = [message(&host, &ann(), room, last.0)?, message(&host, &ann(), room, last.0 + 1)?];
    assert_eq!(errors(&host, &messages).await, [None, some(&StoreError::Full)]);
    Ok(())
}

#[tokio::test]
async fn a_retired_sender_gets_another_row() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    let (room, ann) = (room(&host).await?, ann());
    store(&host, &[message(&host, &ann, room, 1)?]).await?;
    database.sql("UPDATE sender SET retired = true")?;
    store(&host, &[message(&host, &ann, room, 2)?]).await?;
    assert_eq!(database.sql("SELECT count(DISTINCT sender) FROM message")?, "2");
    Ok(())
}

#[tokio::test]
async fn a_sender_that_no_index_holds_fails_alone() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    let mut messages = fifty(&host).await?;
    // Text that does not compress.
    let id = (0..20_000u32)
        .map(|n| char::from_u32(0x4e00 + n.wrapping_mul(2_654_435_761) % 20_000).unwrap_or('x'))
        .collect();
    let user = User { id, nickname: "긴".into(), email: "long@example.com".into(), profile_url: None };
    messages[7].sender = Arc::new(Speaker::new(user));
    let errors = errors(&host, &messages).await;
    assert_eq!(errors.iter().position(Option::is_some), Some(7), "{errors:?}");
    assert_eq!(database.sql("SELECT count(*) FROM message")?, "49");
    Ok(())
}

#[tokio::test]
async fn a_message_that_ends_each_connection_fails_alone_with_what_follows_it() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    let host = host(&database.url(), "chat-1").await?;
    let (first, second, third, ann) = (room(&host).await?, room(&host).await?, room(&host).await?, ann());
    // As a backend that takes too much memory for it is ended.
    database.sql(
        "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN IF NEW.text = ''poison'' THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NEW; END'; \
         CREATE TRIGGER poison BEFORE INSERT ON message FOR EACH ROW EXECUTE FUNCTION poison()",
    )?;
    let mut messages = [
        message(&host, &ann, first, 1)?,
        message(&host, &ann, second, 1)?,
        message(&host, &ann, second, 2)?,
        message(&host, &ann, second, 3)?,
        message(&host, &ann, third, 1)?,
    ];
    messages[2].draft.text = "poison".into();
    let errors = errors(&host, &messages).await;
    let failed: Vec<_> = (0..5).filter(|index| errors[*index].is_some()).collect();
    assert_eq!(failed, [2, 3], "{errors:?}");
    assert!(errors[2].as_ref().is_some_and(|error| error.contains("terminating connection")), "{errors:?}");
    assert_eq!(room_in_database(&database, second)?, "1|1");
    store(&host, &[message(&host, &ann, second, 2)?]).await
}
