//! The SQL of docs/data.md.

use std::fs;

use ondol_tests::{TestResult, TestServer, handlers::workspace};
use rusqlite::Connection;

use super::{delete, say_all};

/// The queries of the document.
fn queries() -> TestResult<Vec<String>> {
    let page = fs::read_to_string(workspace().join("docs/data.md"))?;
    let blocks = page.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    Ok(blocks
        .flat_map(|block| block.split(';'))
        .map(|sql| sql.trim().to_owned())
        .filter(|sql| !sql.is_empty())
        .collect())
}

/// How SQLite would run a query, line by line.
fn plan(database: &Connection, sql: &str) -> TestResult<Vec<String>> {
    let mut statement = database.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    Ok(statement.query_map([], |row| row.get(3))?.collect::<Result<_, _>>()?)
}

#[tokio::test]
async fn the_queries_of_the_documents_find_a_rooms_messages_by_the_index() -> TestResult {
    let server = TestServer::setup().without_rate_limits().admin().start().await?;
    let (room, other) = (server.create_room("lobby").await?, server.create_room("other").await?);
    let mut ann = server.join(room, "ann").await?;
    let mut ben = server.join(other, "ben").await?;
    // More than a segment of the index.
    say_all(&mut ann, (1..=300).map(|number| number.to_string())).await?;
    say_all(&mut ben, (1..=3).map(|number| number.to_string())).await?;
    delete(&server, room, 299).await?.expect(200)?;

    let database = server.database()?;
    let queries = queries()?;
    assert!(!queries.is_empty(), "there is no SQL");
    for sql in &queries {
        let rows = database.prepare(sql)?.query([])?.next()?.is_some();
        assert!(rows, "no rows: {sql}");
        if sql.contains("room = 1") {
            let plan = plan(&database, sql)?;
            assert!(!plan.iter().any(|step| step.starts_with("SCAN message")), "{sql}: {plan:#?}");
        }
    }
    let mut all = database.prepare(
        "SELECT seq, text, user_id, nickname, email, length(created_at) FROM room_message WHERE room = 1 ORDER BY seq",
    )?;
    let rows = all.query_map([], |row| {
        let name: [String; 3] = [row.get(2)?, row.get(3)?, row.get(4)?];
        assert_eq!((name, row.get::<_, i64>(5)?), (["ann", "ann", "ann@example.com"].map(str::to_owned), 24));
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
    })?;
    let expected = (1..=300).filter(|seq| *seq != 299).map(|seq| (seq, seq.to_string())).collect::<Vec<_>>();
    assert_eq!(rows.collect::<Result<Vec<_>, _>>()?, expected);
    let page = server.get("/chat/v1/room/1/messages/?limit=1").await?.expect(200)?;
    let created_at: String =
        database.query_row("SELECT created_at FROM room_message WHERE room = 1 AND seq = 300", [], |row| row.get(0))?;
    assert_eq!(page[0]["created_at"], created_at);
    Ok(())
}
