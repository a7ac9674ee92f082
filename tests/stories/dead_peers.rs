//! A user's clients that vanished without a word, and the newcomer who finds no place for them: they are asked first.

use futures_util::future::try_join_all;
use ondol_tests::{Client, Frame, Heard, NEVER_MS, RawSocket, Setup, TestResult, TestServer, User, client::Knock};

const ANN_MAX: u64 = 4;

fn setup() -> Setup {
    TestServer::setup().limit("connections_per_user_max", ANN_MAX).limit("pong_ms_max", NEVER_MS)
}

/// Sockets of ann that answer nothing, as those of a process that is stopped.
async fn vanished(server: &TestServer, room: u64, count: u64) -> TestResult<Vec<RawSocket>> {
    let opening = (0..count).map(async |_| {
        let mut socket = server.raw().await?;
        socket.upgrade(room, "ann").await?;
        TestResult::Ok(socket)
    });
    try_join_all(opening).await
}

/// Reads, which answers pings, until the server closes.
async fn answer_pings(client: &mut Client) -> TestResult {
    while !matches!(client.next().await?, Heard::Close(..) | Heard::Gone) {}
    anyhow::bail!("a living client was closed")
}

/// Does `work` while so many clients of ann answer every ping. None of them may be closed.
async fn amid_living<T>(
    server: &TestServer,
    room: u64,
    count: u64,
    work: impl Future<Output = TestResult<T>>,
) -> TestResult<T> {
    let mut clients = try_join_all((0..count).map(|_| server.open_tab(room, "ann"))).await?;
    let done = tokio::select! {
        done = work => done?,
        closed = try_join_all(clients.iter_mut().map(answer_pings)) => return Err(closed.expect_err("it only fails")),
    };
    for client in &mut clients {
        client.say("still here").await?;
        while client.next_message().await?["message"] != "still here" {}
    }
    Ok(done)
}

fn door(room: u64) -> String {
    format!("/ws/chat/{room}/chat/?{}", User::named("ann").query())
}

#[tokio::test]
async fn dead_sockets_of_a_user_make_room() -> TestResult {
    let server = setup().limit("probe_ms_max", 200).start().await?;
    let room = server.create_room("lobby").await?;
    let mut dead = vanished(&server, room, ANN_MAX).await?;

    let mut newcomer = server.open_tab(room, "ann").await?;

    newcomer.say("made it").await?;
    while newcomer.next_message().await?["message"] != "made it" {}
    for socket in &mut dead {
        let reason = socket.expect_close(1008).await?;
        assert!(reason.contains("probe_ms_max"), "{reason}");
    }
    Ok(())
}

#[tokio::test]
async fn living_sockets_of_a_user_keep_their_places() -> TestResult {
    let server = setup().limit("probe_ms_max", NEVER_MS).start().await?;
    let room = server.create_room("lobby").await?;
    amid_living(&server, room, ANN_MAX, async {
        // At once: the answers come long before their time is over.
        server.knock(&door(room), &[]).await?.refused()?.expect_detail(503, "unavailable").map(drop)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn one_dead_socket_among_living_ones_makes_room_for_one() -> TestResult {
    let server = setup().limit("probe_ms_max", 3_000).start().await?;
    let room = server.create_room("lobby").await?;
    let mut dead = vanished(&server, room, 1).await?;
    let newcomers = amid_living(&server, room, ANN_MAX - 1, async {
        let knocking = try_join_all((0..6).map(async |_| server.knock(&door(room), &[]).await)).await?;
        let (opened, refused): (Vec<_>, Vec<_>) = knocking.into_iter().partition(|knock| matches!(knock, Knock::In(_)));
        assert_eq!((opened.len(), refused.len()), (1, 5));
        Ok(opened)
    })
    .await?;
    assert_eq!(newcomers.len(), 1);
    dead[0].expect_close(1008).await.map(drop)
}

#[tokio::test]
async fn a_flood_of_newcomers_asks_each_socket_once() -> TestResult {
    let server = setup().limit("probe_ms_max", 200).limit("ping_interval_ms", NEVER_MS).start().await?;
    let room = server.create_room("lobby").await?;
    let mut silent = vanished(&server, room, ANN_MAX).await?;
    let flood = try_join_all((0..60).map(async |_| server.knock(&door(room), &[]).await)).await?;
    let opened = flood.iter().filter(|knock| matches!(knock, Knock::In(_))).count();
    assert_eq!(opened, usize::try_from(ANN_MAX)?);
    for socket in &mut silent {
        let mut pings = 0;
        while let Some(frame) = socket.read_frame().await? {
            pings += usize::from(frame.opcode == Frame::PING);
        }
        assert_eq!(pings, 1);
    }
    Ok(())
}

#[tokio::test]
async fn without_a_probe_a_newcomer_is_refused_at_once() -> TestResult {
    let server = setup().limit("probe_ms_max", 0).start().await?;
    let room = server.create_room("lobby").await?;
    let _dead = vanished(&server, room, ANN_MAX).await?;
    server.knock(&door(room), &[]).await?.refused()?.expect_detail(503, "unavailable").map(drop)
}
