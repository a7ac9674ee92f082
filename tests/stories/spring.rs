//! Ondol behind the Spring gateway of `deploy/gateways/spring`. Needs Java and the jar, and is skipped by name where one
//! is missing, but not in CI.

use ondol_tests::{Client, Request, TestResult, TestServer, User, client::Knock, signing, spring::Spring};
use serde_json::json;

#[tokio::test]
async fn a_user_with_a_token_talks_through_spring() -> TestResult {
    let server = TestServer::setup().config(r#"refusal = "close""#).start().await?;
    let story = "a_user_with_a_token_talks_through_spring";
    let Some(spring) = Spring::start(story, server.address(), &[]).await? else { return Ok(()) };
    let room = server.create_room("동네").await?;
    let minji = User::named("u1").called("민지").pictured("/media/민지.png");
    let token = signing::token("ES256", &signing::claims(&minji))?;
    let bearer = format!("Bearer {token}");

    let target = format!("/ws/chat/{room}/chat/?user_id=mallory");
    let opened = Client::knock(spring.address(), &target, "민지", &[("Authorization", &bearer)]).await?;
    let Knock::In(mut socket) = opened else { anyhow::bail!("refused") };
    socket.expect_join("민지").await?;
    let body = json!({"room": room, "message": "안녕하세요!"}).to_string();
    let post = Request::new(spring.address(), "POST", "/chat/v1/message/?nickname=mallory").json(body);
    let posted = post.header("Authorization", bearer).header("X_Email", "mallory").send().await?;
    let message = posted.expect(201)?;
    assert_eq!((&message["nickname"], &message["sender"]), (&json!("민지"), &json!("u1@example.com")));
    assert_eq!(socket.expect_message("안녕하세요!").await?["profile_picture_url"], "/media/민지.png");
    assert!(!spring.log().since(0).iter().any(|line| line.contains(&token)), "the log has a token");
    Ok(())
}
