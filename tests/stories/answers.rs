//! Every frame is answered: before a close, beside another frame with the same `client_id`, and after the rules have
//! changed.

use ondol_tests::{Client, Frame, Heard, TestResult, TestServer};
use serde_json::json;

#[tokio::test]
async fn a_message_is_answered_before_the_close_in_the_same_packet() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    for number in 0..20 {
        let mut socket = server.raw().await?;
        socket.upgrade(room, "brief").await?;
        let text = format!("goodbye {number}");
        let close = Frame::new(Frame::CLOSE, 1000_u16.to_be_bytes());
        socket.send([Frame::saying(&text).bytes(), close.bytes()].concat()).await?;
        socket.expect_text(&format!("\"message\":\"{text}\"")).await?;
        socket.expect_close(1000).await?;
        socket.expect_end().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_message_is_answered_before_the_broken_frame_in_the_same_packet() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut socket = server.raw().await?;
    socket.upgrade(room, "rude").await?;
    let broken = Frame { reserved: 7, ..Frame::saying("never") };
    socket.send([Frame::saying("hi").bytes(), broken.bytes()].concat()).await?;
    socket.expect_text("\"message\":\"hi\"").await?;
    socket.expect_close(1002).await?;
    Ok(())
}

#[tokio::test]
async fn a_client_that_shuts_its_sending_side_receives_its_message_and_a_close() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut socket = server.raw().await?;
    socket.upgrade(room, "brief").await?;
    socket.send_frame(&Frame::saying("goodbye")).await?;
    socket.finish_sending().await?;
    socket.expect_text("\"message\":\"goodbye\"").await?;
    socket.expect_close(1000).await?;
    socket.expect_end().await?;

    let mut cut = server.raw().await?;
    cut.upgrade(room, "cut").await?;
    cut.send(&Frame::saying("never whole").bytes()[..9]).await?;
    cut.finish_sending().await?;
    cut.expect_close(1002).await?;
    Ok(())
}

#[tokio::test]
async fn a_close_waits_for_the_disk_no_longer_than_close_ms_max() -> TestResult {
    let server = TestServer::setup().limit("close_ms_max", 100).start().await?;
    let room = server.create_room("lobby").await?;
    let mut socket = server.raw().await?;
    socket.upgrade(room, "brief").await?;
    let busy = server.hold_commits()?;
    let close = Frame::new(Frame::CLOSE, 1000_u16.to_be_bytes());
    socket.send([Frame::saying("goodbye").bytes(), close.bytes()].concat()).await?;
    socket.expect_close(1000).await?;
    drop(busy);
    Ok(())
}

fn named(client_id: &str, text: &str) -> String {
    json!({"type": "chat.message", "message": text, "client_id": client_id}).to_string()
}

/// Sends a frame and waits until the server has read it.
async fn sends(member: &mut Client, frame: &str) -> TestResult {
    member.send(frame).await?;
    member.ping(b"read?").await?;
    while member.next().await? != Heard::Pong(b"read?".to_vec()) {}
    Ok(())
}

#[tokio::test]
async fn a_retry_on_a_second_socket_fails_with_the_first_attempt() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut first = server.join(room, "ann").await?;
    let mut second = server.open_tab(room, "ann").await?;
    let busy = server.hold_commits()?;
    sends(&mut first, &named("c-1", "hi")).await?;
    sends(&mut second, &named("c-1", "hi")).await?;
    let body = json!({"room": room, "message": "hi", "client_id": "c-1"}).to_string();
    let posting = server.request("POST", "/chat/v1/message/").identity("ann").json(body).send();
    server.fill_disk(true)?;
    drop(busy);

    let (first_heard, second_heard, posted) =
        tokio::join!(first.expect_error("not_stored"), second.expect_error("not_stored"), posting);
    assert_eq!((&first_heard?["client_id"], &second_heard?["client_id"]), (&json!("c-1"), &json!("c-1")));
    let posted = posted?.expect(503)?;
    assert_eq!((&posted["code"], &posted["client_id"]), (&json!("not_stored"), &json!("c-1")));

    server.fill_disk(false)?;
    second.send(named("c-1", "hi")).await?;
    assert_eq!(second.next_message().await?["seq"], 1);
    assert_eq!(first.next_message().await?["seq"], 1);
    Ok(())
}

#[tokio::test]
async fn a_retry_during_the_first_attempt_is_answered_with_the_same_message() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut first = server.join(room, "ann").await?;
    let mut second = server.open_tab(room, "ann").await?;
    let busy = server.hold_commits()?;
    sends(&mut first, &named("c-1", "hi")).await?;
    sends(&mut second, &named("c-1", "hi")).await?;
    let body = json!({"room": room, "message": "hi", "client_id": "c-1"}).to_string();
    let posting = server.request("POST", "/chat/v1/message/").identity("ann").json(body).send();
    let release = async {
        first.ping(b"still read?").await?;
        while first.next().await? != Heard::Pong(b"still read?".to_vec()) {}
        drop(busy);
        TestResult::Ok(())
    };
    let (posted, released) = tokio::join!(posting, release);
    released?;
    assert_eq!(posted?.expect(201)?["seq"], 1);
    // Each receives it once.
    first.expect_nothing_before_but("hi", "from the first").await?;
    assert_eq!(second.expect_event("chat.message").await?["message"], "hi");
    second.expect_nothing_before_but("from the first", "from the second").await?;
    Ok(())
}

#[tokio::test]
async fn an_error_carries_the_client_id_of_its_message() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.send(named("c-1", " ")).await?;
    assert_eq!(ann.expect_error("blank").await?["client_id"], "c-1");
    let orphan = json!({"type": "chat.message", "message": "a", "client_id": "c-2", "parent": 99}).to_string();
    ann.send(orphan).await?;
    assert_eq!(ann.expect_error("parent_not_found").await?["client_id"], "c-2");
    ann.say(" ").await?;
    assert_eq!(ann.expect_error("blank").await?.get("client_id"), None);

    let body = json!({"room": room, "message": " ", "client_id": "c-3"}).to_string();
    let posted = server.request("POST", "/chat/v1/message/").identity("ann").json(body).send().await?;
    assert_eq!(posted.expect(400)?["client_id"], "c-3");
    Ok(())
}

#[tokio::test]
async fn a_retry_under_stricter_rules_is_answered_with_the_stored_message() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.send(named("c-1", "a long message")).await?;
    let first = ann.next_text().await?;
    let stricter = server.admin("PUT", "/v1/handlers/messages/settings")?.json(r#"{"text_length_max": 5}"#);
    stricter.send().await?.expect(200)?;

    ann.send(named("c-1", "a long message")).await?;
    ann.expect_exactly(&first).await?;
    ann.send(named("c-2", "a long message")).await?;
    assert_eq!(ann.expect_error("too_long").await?["client_id"], "c-2");
    let body = json!({"room": room, "message": "a long message", "client_id": "c-1"}).to_string();
    let posted = server.request("POST", "/chat/v1/message/").identity("ann").json(body).send().await?;
    assert_eq!(posted.expect(201)?["seq"], 1);
    Ok(())
}
