//! Identities that clients claim. They never count, and an honest token next to them still does.

use ondol_tests::{
    TestResult, TestServer, User,
    gateway::{Gateway, bearer, socket},
};
use serde_json::{Value, json};

use super::Case;

/// What arrives of a message that `ann` sends with this query and these headers.
async fn sent(gateway: &Gateway, query: &str, headers: &[(&str, &str)]) -> TestResult<Value> {
    let ann = User::named("ann");
    let request = gateway.request_of(&ann, "POST", &format!("/chat/v1/message/?{query}"))?;
    let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    request.json(json!({"room": 1, "message": "x"}).to_string()).send().await?.expect(201)
}

/// The event of a message on a socket that `ann` opens with this query and these headers.
async fn said(gateway: &Gateway, query: &str, headers: &[(&str, &str)]) -> TestResult<Value> {
    let bearer = bearer(&User::named("ann"))?;
    let headers: Vec<_> = headers.iter().copied().chain([("Authorization", &*bearer)]).collect();
    let mut client = gateway.knock(&format!("{}?{query}", socket(1)), &headers).await?.opened()?;
    client.say("x").await?;
    let event = client.expect_message("x").await?;
    client.leave().await?;
    Ok(event)
}

/// Holds that these claims change nothing: with a token they are ignored, and without one they prove nothing.
async fn expect_ignored(gateway: &Gateway, query: &str, headers: &[(&str, &str)]) -> TestResult {
    for message in [sent(gateway, query, headers).await?, said(gateway, query, headers).await?] {
        let shown = format!("{query} {headers:?}: {message}");
        assert_eq!(message["nickname"], "ann", "{shown}");
        assert_eq!(message["sender"], "ann@example.com", "{shown}");
        assert_eq!(message["profile_picture_url"], Value::Null, "{shown}");
    }
    let create = gateway.request_of(&User::named("ann"), "POST", &format!("/chat/v1/create-room/?{query}"))?;
    let create = headers.iter().fold(create, |request, (name, value)| request.header(name, value));
    assert_eq!(create.json("{}").send().await?.expect(201)?["owner"], "ann", "{query} {headers:?}");

    let alone = gateway.request("POST", &format!("/chat/v1/message/?{query}"));
    let alone = headers.iter().fold(alone, |request, (name, value)| request.header(name, value));
    let body = json!({"room": 1, "message": "x"}).to_string();
    alone.json(body).send().await?.expect_detail(401, "not_authenticated")?;
    let refused = gateway.knock(&format!("{}?{query}", socket(1)), headers).await?.refused()?;
    refused.expect_detail(401, "not_authenticated")?;

    // Reading needs no identity, so a wrong one is no reason to refuse it.
    let read = gateway.request("GET", &format!("/chat/v1/room/1/messages/?limit=1&{query}"));
    let read = headers.iter().fold(read, |request, (name, value)| request.header(name, value));
    assert_eq!(read.send().await?.expect(200)?.as_array().map(Vec::len), Some(1), "{query} {headers:?}");
    Ok(())
}

pub(super) async fn an_identity_in_the_query_never_counts(case: &Case) -> TestResult {
    let Some((server, gateway)) = case.start(TestServer::setup()).await? else { return Ok(()) };
    server.create_room("lobby").await?;
    for query in [
        "user_id=mallory&nickname=mallory&email=mallory%40example.com&profile_url=/m.png",
        "user_id=mallory",
        "nickname=mallory&x=1",
        "x=1&&email=mallory",
        "profile_url=/m.png",
        "user%5Fid=mallory&user%5fid=eve",
        "%75ser_id=mallory",
        "%6E%69%63%6B%6E%61%6D%65=mallory",
        "user_id=a&user_id=b&user_id=ann",
        "user_id",
        "nickname=%FF",
    ] {
        expect_ignored(&gateway, query, &[]).await?;
    }
    Ok(())
}

pub(super) async fn an_identity_in_headers_never_counts(case: &Case) -> TestResult {
    let Some((server, gateway)) = case.start(TestServer::setup()).await? else { return Ok(()) };
    server.create_room("lobby").await?;
    let all: &[(&str, &str)] = &[
        ("X-User-ID", "mallory"),
        ("X-Nickname", "mallory"),
        ("X-Email", "mallory@example.com"),
        ("X-Profile-URL", "/m.png"),
    ];
    for headers in [
        all,
        &[("x-user-id", "mallory")],
        &[("X-User-ID", "mallory"), ("X-User-ID", "eve")],
        &[("X_User_ID", "mallory")],
        &[("X-User_ID", "mallory"), ("X_User-ID", "mallory")],
        &[("X_NICKNAME", "mallory"), ("X_Email", "mallory"), ("X_Profile_URL", "/m.png")],
        &[("X-Profile-URL", "/m.png")],
        &[("X-Nickname", "%FF"), ("X-Ondol-Assertion", "v1.k.1800000000.x")],
    ] {
        expect_ignored(&gateway, "", headers).await?;
    }
    Ok(())
}
