//! An export while members talk.

use std::cell::Cell;

use futures_util::future::try_join_all;

use super::*;

/// Says things and hears them, until it is done. Returns how many were stored.
async fn chatter(server: &TestServer, room: u64, said: &Cell<u64>, done: &Cell<bool>) -> TestResult {
    let mut tab = server.open_tab(room, "ann").await?;
    while !done.get() {
        for number in 0..20 {
            tab.say(&format!("{number} {}", "x".repeat(100))).await?;
        }
        for _ in 0..20 {
            tab.next_message().await?;
        }
        said.set(said.get() + 20);
    }
    Ok(())
}

#[tokio::test]
async fn an_export_beside_members_holds_all_up_to_its_beginning_once() -> TestResult {
    let server = TestServer::setup().without_rate_limits().start().await?;
    let directory = TempDir::new()?;
    let mut rooms = Vec::new();
    for number in 0..4 {
        rooms.push(server.create_room(&format!("room {number}")).await?);
    }
    let (done, said) = (Cell::new(false), vec![Cell::new(0_u64); rooms.len()]);
    let exports = async {
        for number in 0..5 {
            ondol_tests::until("more messages", async || {
                said.iter().all(|said| said.get() >= 200 * (number + 1)).then_some(())
            })
            .await?;
            let before: Vec<u64> = said.iter().map(Cell::get).collect();
            let file = directory.path().join(format!("{number}.jsonl"));
            let (data, to) = (server.data(), file.clone());
            tokio::task::spawn_blocking(move || export(&data, &to)).await??.expect(0)?;
            holds(&file, &rooms, &before)?;
            dry_run(&file, &directory.path().join("data"))?.expect_parts(0, &["fine, 4 rooms"])?;
        }
        done.set(true);
        TestResult::Ok(())
    };
    let chatters = rooms.iter().zip(&said).map(|(room, said)| chatter(&server, *room, said, &done));
    let (exported, chatted) = tokio::join!(exports, try_join_all(chatters));
    exported?;
    chatted?;
    Ok(())
}

/// Each room has its messages from the first on without gaps, and at least as many as were heard before; none is above the
/// last id.
fn holds(file: &Path, rooms: &[u64], before: &[u64]) -> TestResult {
    let text = fs::read_to_string(file)?;
    let lines = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let last_id = lines[0]["last_id"].as_u64().context("no last id")?;
    for (room, before) in rooms.iter().zip(before) {
        let of_room = lines.iter().filter(|line| line["type"] == "message" && line["room"] == *room);
        let mut count = 0;
        for message in of_room {
            count += 1;
            ensure!(message["seq"] == count, "room {room}: {message} is not {count}");
            ensure!(message["id"].as_u64().is_some_and(|id| id <= last_id), "{message} is above {last_id}");
        }
        ensure!(count >= *before, "room {room}: {count} of {before}");
    }
    Ok(())
}
