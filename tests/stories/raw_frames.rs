//! The socket, byte by byte: frames that no library would send, and the close codes they lead to (RFC 6455, section 5).

use ondol_tests::{Frame, RawSocket, TestResult, TestServer};

/// A server with one room, and a raw member of it that has received its own join.
async fn member() -> TestResult<(TestServer, RawSocket)> {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut socket = server.raw().await?;
    socket.upgrade(room, "raw").await?;
    socket.expect_text("chat.user.join").await?;
    Ok((server, socket))
}

/// Sends `frame`, checks the close code, and that the room continues without the socket.
async fn ends(frame: Frame, code: u16) -> TestResult<String> {
    let (server, mut socket) = member().await?;
    let mut ann = server.join(1, "ann").await?;
    socket.send_frame(&frame).await?;
    let reason = socket.expect_close(code).await?;
    socket.expect_end().await?;
    ann.expect_leave("raw").await?;
    ann.expect_nothing_before("still here").await?;
    Ok(reason)
}

fn chat(text: &str) -> Frame {
    Frame::saying(text)
}

#[tokio::test]
async fn an_unmasked_frame_is_a_protocol_error() -> TestResult {
    ends(Frame { masked: false, ..chat("hi") }, 1002).await?;
    Ok(())
}

#[tokio::test]
async fn an_unknown_opcode_is_a_protocol_error() -> TestResult {
    for opcode in [3, 7, 11, 15] {
        ends(Frame { opcode, ..chat("hi") }, 1002).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_reserved_bit_is_a_protocol_error() -> TestResult {
    for reserved in [1, 2, 4, 7] {
        ends(Frame { reserved, ..chat("hi") }, 1002).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_continuation_of_nothing_is_a_protocol_error() -> TestResult {
    ends(Frame { opcode: Frame::CONTINUATION, ..chat("hi") }, 1002).await?;
    Ok(())
}

#[tokio::test]
async fn a_fragmented_or_long_ping_is_a_protocol_error() -> TestResult {
    ends(Frame { fin: false, ..Frame::new(Frame::PING, "x") }, 1002).await?;
    ends(Frame::new(Frame::PING, vec![b'x'; 126]), 1002).await?;
    Ok(())
}

#[tokio::test]
async fn a_new_message_within_another_is_a_protocol_error() -> TestResult {
    let (_server, mut socket) = member().await?;
    socket.send_frame(&Frame { fin: false, ..chat("first") }).await?;
    socket.send_frame(&chat("second")).await?;
    socket.expect_close(1002).await?;
    Ok(())
}

#[tokio::test]
async fn a_message_in_fragments_is_one_message() -> TestResult {
    let (_server, mut socket) = member().await?;
    let whole = chat("조각난 말").payload;
    // Each byte is a fragment: characters are cut in two.
    for (at, byte) in whole.iter().enumerate() {
        let opcode = if at == 0 { Frame::TEXT } else { Frame::CONTINUATION };
        socket.send_frame(&Frame { fin: at + 1 == whole.len(), ..Frame::new(opcode, [*byte]) }).await?;
    }
    socket.expect_text(r#""message":"조각난 말""#).await?;
    Ok(())
}

#[tokio::test]
async fn a_ping_between_fragments_is_answered_at_once() -> TestResult {
    let (_server, mut socket) = member().await?;
    let whole = chat("halves").payload;
    let (one, other) = whole.split_at(9);
    socket.send_frame(&Frame { fin: false, ..Frame::new(Frame::TEXT, one) }).await?;
    socket.send_frame(&Frame::new(Frame::PING, "now")).await?;
    let pong = socket.read_frame().await?.expect("the connection ended");
    assert_eq!((pong.opcode, pong.payload.as_slice()), (Frame::PONG, &b"now"[..]));
    socket.send_frame(&Frame::new(Frame::CONTINUATION, other)).await?;
    socket.expect_text(r#""message":"halves""#).await?;
    Ok(())
}

/// A frame of exactly `length` bytes with valid JSON.
fn padded(length: usize) -> Vec<u8> {
    let message = br#"{"type":"chat.message","message":"padded"}"#;
    let mut frame = vec![b' '; length - message.len()];
    frame.extend(message);
    frame
}

#[tokio::test]
async fn a_frame_of_64_kib_fits_and_a_longer_one_does_not() -> TestResult {
    let (_server, mut socket) = member().await?;
    socket.send_frame(&Frame::new(Frame::TEXT, padded(65_536))).await?;
    socket.expect_text(r#""message":"padded""#).await?;
    socket.send_frame(&Frame::new(Frame::TEXT, padded(65_537))).await?;
    socket.expect_close(1009).await?;
    Ok(())
}

#[tokio::test]
async fn fragments_that_add_up_to_too_much_close_the_socket() -> TestResult {
    let (_server, mut socket) = member().await?;
    let whole = padded(65_537);
    let (one, other) = whole.split_at(40_000);
    socket.send_frame(&Frame { fin: false, ..Frame::new(Frame::TEXT, one) }).await?;
    socket.send_frame(&Frame::new(Frame::CONTINUATION, other)).await?;
    socket.expect_close(1009).await?;
    Ok(())
}

#[tokio::test]
async fn a_frame_that_announces_a_huge_length_closes_the_socket() -> TestResult {
    let (_server, mut socket) = member().await?;
    let mut head = vec![0x81, 0xff];
    head.extend((1_u64 << 40).to_be_bytes());
    head.extend([0; 4]);
    socket.send(head).await?;
    socket.expect_close(1009).await?;
    Ok(())
}

#[tokio::test]
async fn a_length_with_its_highest_bit_set_closes_the_socket() -> TestResult {
    let (server, mut socket) = member().await?;
    let mut head = vec![0x81, 0xff];
    head.extend(u64::MAX.to_be_bytes());
    head.extend([0; 4]);
    socket.send(head).await?;
    while let Some(frame) = socket.read_frame().await? {
        if frame.opcode == Frame::CLOSE {
            let code = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
            assert!(matches!(code, 1002 | 1009), "{code}");
        }
    }
    server.join(1, "ann").await?;
    Ok(())
}

#[tokio::test]
async fn text_that_is_not_utf8_closes_the_socket() -> TestResult {
    for bytes in [&b"\xff"[..], b"\xc0\x80", b"\xed\xa0\x80", b"{\"type\":\"\xf4\x90\x80\x80\"}", b"cut \xea\xb0"] {
        ends(Frame::new(Frame::TEXT, bytes), 1007).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_close_reason_names_the_limit() -> TestResult {
    let reason = ends(Frame::new(Frame::TEXT, padded(65_537)), 1009).await?;
    assert!(reason.contains("65536") || reason.contains("frame_bytes_max"), "{reason:?}");
    Ok(())
}

#[tokio::test]
async fn a_close_is_answered_with_a_close() -> TestResult {
    let (_server, mut socket) = member().await?;
    let mut payload = 1000_u16.to_be_bytes().to_vec();
    payload.extend(b"bye");
    socket.send_frame(&Frame::new(Frame::CLOSE, payload)).await?;
    socket.expect_close(1000).await?;
    socket.expect_end().await?;
    Ok(())
}

#[tokio::test]
async fn a_close_without_a_code_is_answered() -> TestResult {
    let (_server, mut socket) = member().await?;
    socket.send_frame(&Frame::new(Frame::CLOSE, [])).await?;
    while let Some(frame) = socket.read_frame().await? {
        assert_ne!(frame.opcode, Frame::TEXT);
    }
    Ok(())
}

#[tokio::test]
async fn a_close_with_an_invalid_code_is_a_protocol_error() -> TestResult {
    ends(Frame::new(Frame::CLOSE, [3]), 1002).await?;
    for code in [0_u16, 999, 1005, 1006, 1015, 2999] {
        ends(Frame::new(Frame::CLOSE, code.to_be_bytes()), 1002).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_cut_connection_is_announced_as_a_leave() -> TestResult {
    let (server, mut socket) = member().await?;
    let mut ann = server.join(1, "ann").await?;
    socket.send(&chat("never whole").bytes()[..9]).await?;
    drop(socket);
    ann.expect_leave("raw").await
}

#[tokio::test]
async fn many_frames_in_one_packet_are_read_in_order() -> TestResult {
    let (_server, mut socket) = member().await?;
    let packet: Vec<u8> = (0..100).flat_map(|number| chat(&format!("n{number}.")).bytes()).collect();
    socket.send(packet).await?;
    for number in 0..100 {
        let text = socket.expect_text("chat.message").await?;
        assert!(
            text.contains(&format!("\"n{number}.\"")) && text.contains(&format!("\"seq\":{},", number + 1)),
            "{text}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_server_sends_whole_frames_without_reserved_bits() -> TestResult {
    let (_server, mut socket) = member().await?;
    for length in [1, 125, 126, 2_000] {
        socket.send_frame(&chat(&"가".repeat(length))).await?;
        let frame = socket.read_frame().await?.expect("the connection ended");
        assert_eq!((frame.fin, frame.reserved, frame.opcode), (true, 0, Frame::TEXT));
    }
    Ok(())
}
