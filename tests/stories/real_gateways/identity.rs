//! Whom the server sees.

use ondol_tests::{
    TestResult, TestServer, User,
    gateway::{Gateway, bearer, socket, token},
};
use serde_json::json;

use super::Case;

/// Users whose values are full of what encoders and decoders trip over.
fn awkward() -> [User; 2] {
    let user = |value: &dyn Fn(&str) -> String| User {
        id: value("id"),
        nickname: value("100%"),
        email: value("a+b@c"),
        picture: Some(value("/media")),
    };
    let every = |name: &str| format!("{name} 민지 &=#+%41%2B?/\\\"'`<😀>;,{{}}");
    // Whole, it looks as if it had been encoded.
    let encoded = |name: &str| format!("{}%20%EB%AF%BC%EC%A7%80%2B%26%2541", name.replace('%', ""));
    [user(&every), user(&encoded)]
}

pub(super) async fn every_value_arrives_as_it_is(case: &Case) -> TestResult {
    let Some((_server, gateway)) = case.start(TestServer::setup()).await? else { return Ok(()) };
    for user in awkward() {
        expect_unchanged(&gateway, &user).await?;
    }
    Ok(())
}

async fn expect_unchanged(gateway: &Gateway, user: &User) -> TestResult {
    let create = gateway.request_of(user, "POST", "/chat/v1/create-room/")?.json(r#"{"name": "온돌방"}"#);
    let room = create.send().await?.expect(201)?;
    assert_eq!(room["owner"], user.id.as_str());
    let room = room["id"].as_u64().expect("an id");

    let mut client = gateway.open(room, user).await?;
    client.expect_join(&user.nickname).await?;
    client.say("안녕하세요").await?;
    let event = client.expect_message("안녕하세요").await?;
    let body = json!({"message": "반가워요", "room": room}).to_string();
    let post = gateway.request_of(user, "POST", "/chat/v1/message/")?.json(body).send().await?.expect(201)?;
    for message in [&event, &post] {
        assert_eq!(message["nickname"], user.nickname.as_str());
        assert_eq!(message["sender"], user.email.as_str());
        assert_eq!(message["profile_picture_url"].as_str(), user.picture.as_deref());
    }
    Ok(())
}

pub(super) async fn the_server_receives_the_identity_and_no_token(case: &Case) -> TestResult {
    let Some((recorder, gateway)) = case.start_recorder().await? else { return Ok(()) };
    let (ann, host) = (User::named("ann").called("앤 +"), gateway.address());
    let token = token(&ann)?;
    let request = gateway.request_of(&ann, "GET", "/chat/v1/room/1/messages/?after=3&user_id=mallory&limit=%32");
    let request = request?.header("Cookie", format!("other=1; session={token}"));
    let request = request.header("Sec-WebSocket-Protocol", format!("chat.v1, ondol.token, {token}, chat.v2"));
    let request = request.header("X-Forwarded-For", "192.0.2.1").header("X-Forwarded-Host", "mallory.example");
    let request =
        request.header("X-Forwarded-Proto", "https").header("Forwarded", "for=192.0.2.1;host=mallory.example");
    assert_eq!(request.header("X-Ondol-Assertion", "v1.k.1.x").send().await?.status, 200);

    let (_, head) = recorder.heads().into_iter().next().expect("no request arrived");
    let lower = head.to_lowercase();
    let lines: Vec<_> = lower.split("\r\n").collect();
    assert!(head.starts_with("GET /chat/v1/room/1/messages/?after=3&limit=%32 HTTP/1.1\r\n"), "{head}");
    for line in [
        "x-user-id: ann".to_owned(),
        "x-nickname: %ec%95%a4%20%2b".to_owned(),
        "x-email: ann%40example.com".to_owned(),
        format!("host: {host}"),
        "x-forwarded-for: 127.0.0.1".to_owned(),
        format!("x-forwarded-host: {host}"),
        "x-forwarded-proto: http".to_owned(),
        "sec-websocket-protocol: chat.v1, ondol.token, chat.v2".to_owned(),
    ] {
        assert!(lines.contains(&line.as_str()), "no {line:?} in {head}");
    }
    for part in [&token.to_lowercase(), "mallory", "192.0.2.1", "x-ondol-assertion", "authorization", "session="] {
        assert!(!lower.contains(part), "{part:?} in {head}");
    }
    Ok(())
}

pub(super) async fn reading_needs_no_token_and_the_rest_does(case: &Case) -> TestResult {
    let Some((server, gateway)) = case.start(TestServer::setup()).await? else { return Ok(()) };
    let room = server.create_room("lobby").await?;
    for target in ["/", "/healthz", "/chat/v1/rooms/", "/chat/v1/room/1/messages/"] {
        assert_eq!(gateway.request("GET", target).send().await?.status, 200, "{target}");
    }
    for (target, body) in
        [("/chat/v1/create-room/", json!({})), ("/chat/v1/message/", json!({"room": room, "message": "x"}))]
    {
        let answer = gateway.request("POST", target).json(body.to_string()).send().await?;
        answer.expect_detail(401, "not_authenticated")?;
        let request = gateway.request("POST", target).header("Authorization", bearer(&User::named("ann"))?);
        request.json(body.to_string()).send().await?.expect(201)?;
    }
    let refused = gateway.knock(&socket(room), &[]).await?.refused()?;
    refused.expect_detail(401, "not_authenticated")?;
    assert!(refused.header("WWW-Authenticate").is_some_and(|value| value.starts_with("Bearer ")), "{refused}");
    Ok(())
}
