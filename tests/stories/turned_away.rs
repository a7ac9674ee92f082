//! Sockets that are refused: on a full server, from a foreign origin; and refusals by a close code, `refusal =
//! "close"`.

use ondol_tests::{TestResult, TestServer, User, until};

fn door(room: u64, name: &str) -> String {
    format!("/ws/chat/{room}/chat/?{}", User::named(name).query())
}

#[tokio::test]
async fn any_origin_is_allowed_where_the_operator_says_so() -> TestResult {
    let server = TestServer::setup().config(r#"origins = ["*"]"#).start().await?;
    let room = server.create_room("lobby").await?;
    server.knock(&door(room, "ann"), &[("Origin", "https://anywhere.example")]).await?.opened()?;
    Ok(())
}

#[tokio::test]
async fn a_foreign_origin_is_rejected() -> TestResult {
    let server = TestServer::setup().config(r#"origins = ["https://chat.example.com"]"#).start().await?;
    let room = server.create_room("lobby").await?;
    for origin in ["https://evil.example", "http://chat.example.com", "https://chat.example.com.evil.example", "null"] {
        let answer = server.knock(&door(room, "ann"), &[("Origin", origin)]).await?.refused()?;
        answer.expect_detail(403, "origin_not_allowed")?;
    }
    server.knock(&door(room, "ann"), &[("Origin", "https://chat.example.com")]).await?.opened()?;
    Ok(())
}

#[tokio::test]
async fn a_client_without_an_origin_is_allowed() -> TestResult {
    let server = TestServer::setup().config(r#"origins = ["https://chat.example.com"]"#).start().await?;
    let room = server.create_room("lobby").await?;
    server.join(room, "ann").await?;
    Ok(())
}

#[tokio::test]
async fn a_full_server_asks_to_retry_later() -> TestResult {
    let server = TestServer::setup().limit("connections_max", 2).start().await?;
    let room = server.create_room("lobby").await?;
    // The request that created the room may still be closing its connection.
    let mut ann = until("the first connection", async || server.join(room, "ann").await.ok()).await?;
    let _ben = until("the second connection", async || server.join(room, "ben").await.ok()).await?;

    let answer = server.knock(&door(room, "cho"), &[]).await?.refused()?;
    answer.expect_detail(503, "unavailable")?;
    assert!(answer.header("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()), "{answer}");

    ann.expect_join("ben").await?;
    ann.leave().await?;
    until("a free place", async || server.join(room, "cho").await.ok()).await?;
    Ok(())
}

#[tokio::test]
async fn the_connections_of_a_user_are_limited() -> TestResult {
    let setup = TestServer::setup().limit("probe_ms_max", 0);
    let server = setup.limit("connections_per_user_max", 2).start().await?;
    let (here, there) = (server.create_room("here").await?, server.create_room("there").await?);
    let _one = server.join(here, "ann").await?;
    let two = server.join(there, "ann").await?;

    let answer = server.knock(&door(here, "ann"), &[]).await?.refused()?;
    answer.expect_detail(503, "unavailable")?;
    assert!(answer.header("retry-after").is_some(), "{answer}");
    server.join(here, "ben").await?;

    two.leave().await?;
    until("a free place", async || server.open_tab(here, "ann").await.ok()).await?;
    Ok(())
}

#[tokio::test]
async fn behind_a_gateway_a_refusal_is_a_close_code() -> TestResult {
    let setup = TestServer::setup().config(r#"refusal = "close""#).limit("probe_ms_max", 0);
    let server = setup.limit("connections_per_user_max", 1).start().await?;
    let room = server.create_room("lobby").await?;
    let _ann = server.join(room, "ann").await?;
    for (target, code) in [
        ("/ws/chat/1/chat/".to_owned(), 4001),
        ("/ws/chat/1/chat/?user_id=ann&user_id=ben&nickname=a&email=a".to_owned(), 4001),
        (door(2, "ben"), 4003),
        ("/ws/chat/abc/chat/?".to_owned() + &User::named("ben").query(), 4003),
        (door(room, "ann"), 4008),
    ] {
        let mut kept_out = server.knock(&target, &[]).await?.opened()?;
        let reason = kept_out.expect_close(code).await?;
        assert!(!reason.is_empty(), "{target}: no reason");
    }
    Ok(())
}

#[tokio::test]
async fn behind_a_gateway_a_full_server_closes_with_4008() -> TestResult {
    let server = TestServer::setup().config(r#"refusal = "close""#).limit("connections_max", 1).start().await?;
    let room = server.create_room("lobby").await?;
    let _ann = until("the only connection", async || server.join(room, "ann").await.ok()).await?;
    let mut kept_out = server.knock(&door(room, "ben"), &[]).await?.opened()?;
    kept_out.expect_close(4008).await?;
    Ok(())
}

#[tokio::test]
async fn a_foreign_origin_is_rejected_before_any_upgrade() -> TestResult {
    let server = TestServer::setup()
        .config(r#"refusal = "close""#)
        .config(r#"origins = ["https://chat.example.com"]"#)
        .start()
        .await?;
    let room = server.create_room("lobby").await?;
    let answer = server.knock(&door(room, "ann"), &[("Origin", "https://evil.example")]).await?.refused()?;
    assert_eq!(answer.status, 403, "{answer}");
    Ok(())
}
