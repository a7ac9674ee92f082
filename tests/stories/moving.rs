//! `ondol export` and `ondol import`: a chat that moves is the same chat, whatever cuts the move off, and a file that is wrong
//! changes nothing.

mod bad_files;
mod cuts;
mod live;
mod size;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use ondol_tests::{TestResult, TestServer, command::Output, ondol};
use serde_json::{Value, json};
use tempfile::TempDir;

// ── the commands ──

fn export(data: &Path, file: &Path) -> TestResult<Output> {
    ondol(&["export".as_ref(), file.as_os_str(), "--data".as_ref(), data.as_os_str()])
}

fn import(file: &Path, data: &Path) -> TestResult<Output> {
    ondol(&["import".as_ref(), file.as_os_str(), "--data".as_ref(), data.as_os_str()])
}

fn dry_run(file: &Path, data: &Path) -> TestResult<Output> {
    ondol(&["import".as_ref(), "--dry-run".as_ref(), file.as_os_str(), "--data".as_ref(), data.as_os_str()])
}

fn verify(data: &Path) -> TestResult<String> {
    ondol(&["verify".as_ref(), "--data".as_ref(), data.as_os_str()])?.expect(0)
}

/// The lines of an export after the first, which has the time.
fn lines(file: &Path) -> TestResult<String> {
    let text = fs::read_to_string(file)?;
    Ok(text.split_once('\n').context("one line")?.1.to_owned())
}

/// The names in a directory.
fn names(directory: &Path) -> TestResult<Vec<String>> {
    let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<TestResult<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Writes a file as another system would: without ids, and with a `client_id` in each third message.
fn foreign_file(directory: &Path, rooms: u64, messages: u64) -> TestResult<PathBuf> {
    let mut text = "{\"type\":\"ondol.export\",\"format\":1}\n".to_owned();
    for room in 1..=rooms {
        let created_at = "2026-01-31T18:30:00+09:00";
        let line = json!({"type": "room", "id": room, "name": format!("방 {room}"), "post_id": null, "owner": "u1", "created_at": created_at});
        writeln!(text, "{line}")?;
        for number in 1..=messages / rooms {
            let user = number % 50;
            let line = json!({
                "type": "message", "room": room, "created_at": created_at, "user_id": format!("u{user}"),
                "nickname": format!("민지 {user}"), "email": format!("u{user}@example.com"),
                "text": format!("안녕하세요 {number}"),
                "client_id": number.is_multiple_of(3).then(|| format!("c{number}")),
            });
            writeln!(text, "{line}")?;
        }
    }
    let file = directory.join("foreign.jsonl");
    fs::write(&file, text)?;
    Ok(file)
}

/// All pages of a room's messages.
async fn history(server: &TestServer, room: u64) -> TestResult<Vec<Value>> {
    let (mut pages, mut after) = (Vec::new(), 0);
    loop {
        let page = server.get(&format!("/chat/v1/room/{room}/messages/?after={after}&limit=7")).await?.expect(200)?;
        let Some(last) = page.as_array().and_then(|page| page.last()) else { return Ok(pages) };
        after = last["seq"].as_u64().context("no seq")?;
        pages.push(page);
    }
}

// ── the round trip ──

/// A server with a chat in which there is everything: replies, ids of clients, deleted messages, an empty room, a post.
async fn chat() -> TestResult<(TestServer, Vec<u64>)> {
    let server = TestServer::setup().admin().start().await?;
    let mut rooms = vec![server.create_room("로비").await?, server.create_room("둘").await?];
    let post = server.post("/chat/v1/create-room/", &json!({"name": "글", "post_id": 17})).await?.expect(201)?;
    rooms.push(post["id"].as_u64().context("no id")?);
    for room in &rooms[..2] {
        let mut ann = server.join(*room, "ann").await?;
        let mut parent = Value::Null;
        for number in 0..20 {
            let text = format!("\"{number}\" 안녕\n\u{1f600}");
            let client_id = (number % 2 == 0).then(|| format!("c{number}"));
            let frame = json!({"type": "chat.message", "message": text, "client_id": client_id, "parent": parent});
            ann.send(frame.to_string()).await?;
            let event = ann.next_message().await?;
            parent = if number % 5 == 0 { event["id"].clone() } else { Value::Null };
        }
        for seq in [1, 7, 20] {
            server.admin("DELETE", &format!("/v1/rooms/{room}/messages/{seq}"))?.send().await?.expect(200)?;
        }
    }
    Ok((server, rooms))
}

#[tokio::test]
async fn a_chat_that_moves_is_the_same_chat() -> TestResult {
    let directory = TempDir::new()?;
    let [first, second] = ["1.jsonl", "2.jsonl"].map(|name| directory.path().join(name));
    let (server, rooms) = chat().await?;
    export(&server.data(), &first)?.expect_parts(0, &["3 rooms, 34 messages, sha256 "])?;
    let mut moved = TestServer::setup()
        .admin()
        .start_after(|home| {
            let found = import(&first, &home.data())?.expect(0)?;
            ensure!(found.contains("3 rooms, 34 messages, 2 replies to messages that are not there"), "{found}");
            ensure!(found.contains("the digests agree"), "{found}");
            verify(&home.data())?;
            Ok(())
        })
        .await?;
    for room in &rooms {
        assert_eq!(history(&server, *room).await?, history(&moved, *room).await?);
        let path = format!("/chat/v1/room/{room}/");
        let [mut old, mut new] = [server.get(&path).await?.expect(200)?, moved.get(&path).await?.expect(200)?];
        for room in [&mut old, &mut new] {
            for own in ["chat_url", "epoch", "seq"] {
                room[own] = Value::Null;
            }
        }
        assert_eq!(old, new);
    }
    // Exported again, it is the same file.
    moved.signal("TERM")?;
    ensure!(moved.exit().await?.code() == Some(0), "no clean stop");
    export(&moved.data(), &second)?.expect(0)?;
    assert_eq!(lines(&first)?, lines(&second)?);
    Ok(())
}

#[tokio::test]
async fn imported_messages_are_like_live_ones() -> TestResult {
    let directory = TempDir::new()?;
    let file = foreign_file(directory.path(), 2, 2_000)?;
    let server =
        TestServer::setup().admin().start_after(|home| import(&file, &home.data())?.expect(0).map(drop)).await?;
    // A retry is answered with the imported message, and the next one follows it.
    let target = "/ws/chat/1/chat/?user_id=u6&nickname=ann&email=ann@example.com";
    let mut ann = server.knock(target, &[]).await?.opened()?;
    ann.send(json!({"type": "chat.message", "message": "again", "client_id": "c6"}).to_string()).await?;
    let first = ann.next_message().await?;
    assert_eq!((&first["seq"], &first["id"], &first["message"]), (&json!(6), &json!(6), &json!("안녕하세요 6")));
    let reply = json!({"type": "chat.message", "message": "re", "parent": 999});
    ann.send(reply.to_string()).await?;
    let next = ann.next_message().await?;
    assert_eq!((&next["seq"], &next["id"], &next["parent"]), (&json!(1_001), &json!(2_001), &json!(999)));
    // What is imported can be deleted, and a client can resume after it.
    server.admin("DELETE", "/v1/rooms/1/messages/500")?.send().await?.expect(200)?;
    let epoch = server.get("/chat/v1/room/1/").await?.expect(200)?["epoch"].as_str().unwrap_or_default().to_owned();
    let target = format!("/ws/chat/1/chat/?user_id=b&nickname=bo&email=b@example.com&after=998&epoch={epoch}");
    let mut bo = server.knock(&target, &[]).await?.opened()?;
    assert_eq!(bo.expect_event("chat.sync").await?["recovered"], true);
    for seq in 999..=1_001 {
        assert_eq!(bo.next_message().await?["seq"], seq);
    }
    assert!(server.post("/chat/v1/create-room/", &json!({"name": "new"})).await?.expect(201)?["id"] == 3);
    verify(&server.data())?;
    Ok(())
}

#[test]
fn the_file_of_the_page_is_one() -> TestResult {
    let page = fs::read_to_string(ondol_tests::handlers::workspace().join("docs/moving.md"))?;
    let shown = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).context("no example")?;
    let directory = TempDir::new()?;
    let file = directory.path().join("page.jsonl");
    fs::write(&file, shown)?;
    let found = dry_run(&file, directory.path())?.expect(1)?;
    // The page shows no digest.
    let sha256 = found.split("sha256: the lines of the file have ").nth(1).and_then(|rest| rest.get(..64));
    fs::write(&file, shown.replace("\"…\"", &format!("{:?}", sha256.with_context(|| found.clone())?)))?;
    dry_run(&file, directory.path())?.expect_parts(0, &["fine, 1 room, 2 messages"])
}

/// Rooms are added to a chat that goes on: its epoch stays, and its own rooms and numbers.
#[tokio::test]
async fn rooms_are_added_to_a_chat_that_goes_on() -> TestResult {
    let directory = TempDir::new()?;
    let text = fs::read_to_string(foreign_file(directory.path(), 1, 100)?)?;
    let file = directory.path().join("seven.jsonl");
    fs::write(&file, text.replace("\"id\":1,", "\"id\":7,").replace("\"room\":1,", "\"room\":7,"))?;
    let (mut server, rooms) = chat().await?;
    let before = server.get(&format!("/chat/v1/room/{}/", rooms[0])).await?.expect(200)?;
    import(&file, &server.data())?.expect_parts(1, &["another server is using it", "stop the server first"])?;
    dry_run(&file, &server.data())?.expect_parts(0, &["fine, 1 room, 100 messages"])?;
    server.signal("TERM")?;
    server.exit().await?;
    import(&file, &server.data())?.expect_parts(0, &["1 room, 100 messages", "the digests agree"])?;
    verify(&server.data())?;
    server.restart_after(|| Ok(())).await?;
    assert_eq!(server.get(&format!("/chat/v1/room/{}/", rooms[0])).await?.expect(200)?["epoch"], before["epoch"]);
    let imported: usize = history(&server, 7).await?.iter().map(|page| page.as_array().map_or(0, Vec::len)).sum();
    assert_eq!(imported, 100);
    let mut ann = server.join(rooms[0], "ann").await?;
    ann.say("on").await?;
    assert_eq!(ann.next_message().await?["seq"], 21);
    // The same rooms a second time, and ids that are in use.
    let again = dry_run(&file, &server.data())?;
    again.expect_parts(1, &["line 2: id: the database has a room 7"])?;
    let ids = directory.path().join("ids.jsonl");
    let message = json!({"type": "message", "room": 9, "id": 2, "created_at": "2026-01-31T09:30:00Z", "user_id": "u",
        "nickname": "n", "email": "e@example.com", "text": "t"});
    let room = json!({"type": "room", "id": 9, "name": "n", "post_id": 17, "created_at": "2026-01-31T09:30:00Z"});
    fs::write(&ids, format!("{{\"type\":\"ondol.export\",\"format\":1}}\n{room}\n{message}\n"))?;
    dry_run(&ids, &server.data())?.expect_parts(
        1,
        &["line 2: post_id: the database has a room of post 17", "line 3: id: the database has message 2 already"],
    )
}
