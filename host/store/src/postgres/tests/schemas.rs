//! Databases of earlier servers, and several schemas of one database.

use super::*;

#[tokio::test]
async fn a_database_of_version_1_is_brought_up_to_date() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    database.sql_by_owner(include_str!("../schema-1.sql"))?;
    database.sql_by_owner(
        "INSERT INTO cluster (epoch, schema) VALUES ('0123456789abcdef', 1); SELECT nextval('message_id'); \
         INSERT INTO host (name, state, version) VALUES ('chat-1', 'live', '0.1.0'); \
         INSERT INTO room (name, created_at, host, last_seq, last_id) VALUES ('lobby', 1, 1, 1, 9); \
         INSERT INTO sender (usr, nickname, email) VALUES ('ann', 'Ann', 'ann@example.com'); \
         INSERT INTO message (room, seq, id, sender, created_at, text) VALUES (1, 1, 9, 1, 1, 'hi')",
    )?;
    let host = host_of("test", &database.url(), "chat-1").await?;
    assert_eq!(host.epoch(), "0123456789abcdef");
    assert_eq!(database.sql("SELECT schema FROM cluster")?, "2");
    assert_eq!(database.sql("SELECT no, state, cluster FROM host ORDER BY no")?, "1|dead|\n2|live|test");
    assert_eq!(claim(&host, RoomId(1)).await?, Seq(1));
    store(&host, &[message(&host, &ann(), RoomId(1), 2)?]).await?;
    assert_eq!(room_in_database(&database, RoomId(1))?, "1 2|2");
    Ok(())
}

#[tokio::test]
async fn two_chats_live_in_two_schemas_of_one_database() -> Result<()> {
    let Some(database) = database()? else { return Ok(()) };
    database.sql_by_owner("CREATE SCHEMA other")?;
    let url = format!("{}?options=-csearch_path%3Dother", database.url());
    let one = host(&database.url(), "chat-1").await?;
    let other = tokio::time::timeout(DEADLINE, host(&url, "chat-1")).await.context("it waits for the first one")??;
    assert_eq!((one.host_no(), other.host_no()), (1, 1));
    for chat in [&one, &other] {
        let room = room(chat).await?;
        store(chat, &[message(chat, &ann(), room, 1)?]).await?;
    }
    let messages = "SELECT (SELECT count(*) FROM public.message), (SELECT count(*) FROM other.message)";
    assert_eq!(database.sql(messages)?, "1|1");
    Ok(())
}
