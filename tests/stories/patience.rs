//! Slow lines, messages that never end, and a process that is paused: when the server waits, and for how long.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use ondol_tests::{Frame, RawSocket, Setup, TestResult, TestServer, until};

/// A server that pings often, and a raw member of its room.
async fn member(setup: Setup) -> TestResult<(TestServer, RawSocket)> {
    let server = setup.limit("ping_interval_ms", 50).limit("pong_ms_max", 1_500).start().await?;
    let room = server.create_room("lobby").await?;
    let mut socket = server.raw().await?;
    socket.upgrade(room, "raw").await?;
    socket.expect_text("chat.user.join").await?;
    Ok((server, socket))
}

#[tokio::test]
async fn a_slow_line_keeps_its_connection_while_bytes_arrive() -> TestResult {
    let (_server, mut socket) = member(TestServer::setup()).await?;
    // A piece for each ping, which cannot be answered within a frame: in all this takes longer than pong_ms_max.
    let bytes = Frame::saying("slow but whole").bytes();
    let (end, pieces) = (bytes.len() - 1, bytes.len() / 3);
    for piece in bytes[..end].chunks(pieces) {
        socket.send(piece).await?;
        let ping = socket.read_frame().await?.expect("the connection ended");
        assert_eq!(ping.opcode, Frame::PING, "{}", String::from_utf8_lossy(&ping.payload));
    }
    socket.send(&bytes[end..]).await?;
    socket.expect_text("slow but whole").await?;
    Ok(())
}

#[tokio::test]
async fn a_message_that_takes_too_long_closes_the_connection() -> TestResult {
    let (_server, mut socket) = member(TestServer::setup().limit("frame_ms_max", 500)).await?;
    let bytes = Frame::new(Frame::TEXT, vec![b' '; 60_000]).bytes();
    for byte in &bytes {
        socket.send([*byte]).await?;
        let frame = socket.read_frame().await?.expect("the connection ended");
        if frame.opcode == Frame::CLOSE {
            let reason = String::from_utf8_lossy(&frame.payload[2..]).into_owned();
            assert_eq!(frame.payload[..2], 1008_u16.to_be_bytes());
            assert!(reason.contains("frame_ms_max"), "{reason}");
            return Ok(());
        }
        assert_eq!(frame.opcode, Frame::PING);
    }
    panic!("the whole message was read");
}

#[tokio::test]
async fn endless_empty_fragments_close_the_connection() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let mut endless = server.raw().await?;
    endless.upgrade(room, "endless").await?;
    ann.expect_join("endless").await?;
    endless.send_frame(&Frame { fin: false, ..Frame::new(Frame::TEXT, "") }).await?;
    let empty = Frame { fin: false, ..Frame::new(Frame::CONTINUATION, "") };
    endless.send(empty.bytes().repeat(4_096)).await?;
    let reason = endless.expect_close(1008).await?;
    assert!(reason.contains("fragments_max"), "{reason}");
    ann.expect_leave("endless").await
}

#[tokio::test]
async fn a_message_can_have_the_maximum_of_fragments() -> TestResult {
    let (_server, mut socket) = member(TestServer::setup().limit("fragments_max", 100)).await?;
    let whole = Frame::saying("pieces").payload;
    let mut packet = Frame { fin: false, ..Frame::new(Frame::TEXT, "") }.bytes();
    for _ in 0..98 {
        packet.extend(Frame { fin: false, ..Frame::new(Frame::CONTINUATION, "") }.bytes());
    }
    packet.extend(Frame::new(Frame::CONTINUATION, whole).bytes());
    for _ in 0..3 {
        socket.send(&packet).await?;
        socket.expect_text("pieces").await?;
    }
    Ok(())
}

/// The size of a story, larger in `make durability`.
fn number_of(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[tokio::test]
async fn a_pause_of_the_process_closes_no_client_that_answers() -> TestResult {
    let (count, pause_ms) = (number_of("STORY_SOCKETS", 60), number_of("STORY_PAUSE_MS", 3_000));
    // Pings and the time for their answers pass within a pause.
    let setup = TestServer::setup().limit("ping_interval_ms", pause_ms / 4).limit("pong_ms_max", pause_ms / 2);
    let server = setup.start().await?;
    let mut sockets = Vec::new();
    for numbers in (0..count).collect::<Vec<_>>().chunks(50) {
        let opening = numbers.iter().map(async |number| {
            let room = server.create_room("lobby").await?;
            let mut socket = server.raw().await?;
            socket.upgrade(room, &*format!("u{number}")).await?;
            TestResult::Ok(socket)
        });
        sockets.extend(try_join_all(opening).await?);
    }
    for round in 0..2 {
        server.signal("STOP")?;
        for socket in &mut sockets {
            socket.send_frame(&Frame::new(Frame::PONG, "")).await?;
        }
        let end = Instant::now() + Duration::from_millis(pause_ms);
        // In pieces: no wait is longer than the deadline of a story.
        while Instant::now() < end {
            let piece = end.min(Instant::now() + Duration::from_secs(5));
            until("the end of the pause", async || (Instant::now() >= piece).then_some(())).await?;
        }
        server.signal("CONT")?;
        for socket in &mut sockets {
            socket.send_frame(&Frame::saying(&format!("round {round}"))).await?;
        }
        for socket in &mut sockets {
            socket.expect_text(&format!("round {round}")).await?;
        }
    }
    Ok(())
}
