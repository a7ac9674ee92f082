//! The identity of a caller: from the query or from headers, and never guessed.

use ondol_tests::{TestResult, TestServer, User};
use serde_json::json;

/// A server with one room.
async fn lobby() -> TestResult<TestServer> {
    let server = TestServer::start().await?;
    server.create_room("lobby").await?;
    Ok(server)
}

/// Checks that a socket and a post with this query and these headers are both refused because of `field`, which the
/// reason names, and that `secret` is not repeated.
async fn refused(server: &TestServer, query: &str, headers: &[(&str, &str)], field: &str, secret: &str) -> TestResult {
    let knock = server.knock(&format!("/ws/chat/1/chat/?{query}"), headers).await?.refused()?;
    let request = server.request("POST", &format!("/chat/v1/message/?{query}")).json(r#"{"room":1,"message":"hi"}"#);
    let post = headers.iter().fold(request, |request, (name, value)| request.header(name, value)).send().await?;
    assert_eq!(knock.status, 401, "{knock}");
    for answer in [knock, post] {
        let reason = answer.expect_detail(401, "not_authenticated")?;
        assert!(reason.to_lowercase().contains(&field.to_lowercase()), "no {field:?} in {reason:?}");
        assert!(secret.is_empty() || !answer.text().contains(secret), "{secret:?} is echoed: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn the_query_is_decoded_as_a_form() -> TestResult {
    let server = lobby().await?;
    let query = "user_id=u%2B1&nickname=%EB%AF%BC%EC%A7%80+Kim&email=min%40example.com&profile_url=%2Fm%2Fa+b.png";
    let mut client = server.knock(&format!("/ws/chat/1/chat/?{query}"), &[]).await?.opened()?;
    client.expect_join("민지 Kim").await?;
    client.say("hi").await?;
    let heard = client.expect_message("hi").await?;
    assert_eq!((heard["sender"].as_str(), heard["nickname"].as_str()), (Some("min@example.com"), Some("민지 Kim")));
    assert_eq!(heard["profile_picture_url"], "/m/a b.png");
    Ok(())
}

#[tokio::test]
async fn headers_carry_percent_encoded_korean() -> TestResult {
    let server = lobby().await?;
    let user = User::named("u1").called("민지").pictured("/media/민지.png");
    let headers = user.headers();
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut client = server.knock("/ws/chat/1/chat/", &headers).await?.opened()?;
    client.expect_join("민지").await?;
    client.say("hi").await?;
    assert_eq!(client.expect_message("hi").await?["profile_picture_url"], "/media/민지.png");
    Ok(())
}

#[tokio::test]
async fn headers_carry_raw_utf8() -> TestResult {
    let server = lobby().await?;
    let request = server.request("POST", "/chat/v1/message/").json(r#"{"room":1,"message":"hi"}"#);
    let request = request.header("X-User-ID", "u1").header("x-nickname", "민지").header("X-EMAIL", "min@example.com");
    assert_eq!(request.send().await?.expect(201)?["nickname"], "민지");
    Ok(())
}

#[tokio::test]
async fn a_plus_in_a_header_stays_a_plus() -> TestResult {
    let server = lobby().await?;
    let request = server.request("POST", "/chat/v1/message/").json(r#"{"room":1,"message":"hi"}"#);
    let request = request.header("X-User-ID", "u1").header("X-Nickname", "a+b").header("X-Email", "a+b@example.com");
    assert_eq!(request.send().await?.expect(201)?["sender"], "a+b@example.com");
    Ok(())
}

#[tokio::test]
async fn headers_and_query_may_agree() -> TestResult {
    let server = lobby().await?;
    let user = User::named("ann");
    let request = server.request("POST", &format!("/chat/v1/message/?{}", user.query())).identity(&user);
    request.json(r#"{"room":1,"message":"hi"}"#).send().await?.expect(201)?;
    Ok(())
}

#[tokio::test]
async fn headers_and_query_that_disagree_are_refused() -> TestResult {
    let server = lobby().await?;
    let query = User::named("ann").query();
    refused(&server, &query, &[("X-User-ID", "mallory-the-other")], "user_id", "mallory-the-other").await?;
    let query = User::named("ann").pictured("/ann.png").query();
    let headers = User::named("ann").pictured("/mallory.png").headers();
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    refused(&server, &query, &headers, "profile_url", "mallory").await
}

#[tokio::test]
async fn an_identity_comes_from_one_place_only() -> TestResult {
    let server = lobby().await?;
    refused(&server, "user_id=ann&nickname=ann", &[("X-Email", "ann@example.com")], "", "example.com").await?;
    // The client must not be able to add a picture to a user of whom the gateway sends none.
    let query = User::named("ann").query();
    refused(&server, &query, &[("X-Profile-URL", "/mallory.png")], "", "mallory").await
}

#[tokio::test]
async fn required_fields_must_be_present_and_not_empty() -> TestResult {
    let server = lobby().await?;
    refused(&server, "", &[], "user_id", "").await?;
    refused(&server, "nickname=a&email=a@example.com", &[], "user_id", "").await?;
    refused(&server, "user_id=a&email=a@example.com", &[], "nickname", "").await?;
    refused(&server, "user_id=a&nickname=a", &[], "email", "").await?;
    refused(&server, "user_id=&nickname=a&email=a@example.com", &[], "user_id", "").await?;
    refused(&server, "user_id=a&nickname=&email=a@example.com", &[], "nickname", "").await?;
    refused(&server, "user_id=a&nickname=a&email", &[], "email", "").await
}

#[tokio::test]
async fn a_key_that_is_given_twice_is_refused() -> TestResult {
    let server = lobby().await?;
    let ann = User::named("ann").query();
    refused(&server, &format!("{ann}&user_id=mallory"), &[], "user_id", "mallory").await?;
    refused(&server, &format!("user_id=mallory&{ann}"), &[], "user_id", "mallory").await?;
    refused(&server, &format!("{ann}&user_id=ann"), &[], "user_id", "").await?;
    refused(&server, &format!("{ann}&user%5Fid=mallory"), &[], "user_id", "mallory").await?;
    refused(&server, &format!("{ann}&email=mallory%40example.com"), &[], "email", "mallory").await?;
    refused(&server, &format!("{ann}&profile_url=%2Fa&profile_url=%2Fmallory"), &[], "profile_url", "mallory").await
}

#[tokio::test]
async fn a_header_that_is_given_twice_is_refused() -> TestResult {
    let server = lobby().await?;
    let ann = [("X-User-ID", "ann"), ("X-Nickname", "ann"), ("X-Email", "ann@example.com")];
    for twin in ["X-User-ID", "x-user-id", "X_User_ID", "X-User_ID"] {
        let headers = [&ann[..], &[(twin, "mallory")]].concat();
        refused(&server, "", &headers, "user", "mallory").await?;
    }
    let headers = [&ann[..], &[("X_Email", "mallory@example.com")]].concat();
    refused(&server, "", &headers, "email", "mallory").await
}

#[tokio::test]
async fn a_header_written_with_underscores_alone_is_refused() -> TestResult {
    let server = lobby().await?;
    let headers = [("X_User_ID", "mallory"), ("X-Nickname", "ann"), ("X-Email", "ann@example.com")];
    refused(&server, "", &headers, "user", "mallory").await
}

#[tokio::test]
async fn control_characters_are_refused() -> TestResult {
    let server = lobby().await?;
    refused(&server, "user_id=a%00b&nickname=a&email=a@example.com", &[], "user_id", "\0").await?;
    refused(&server, "user_id=a&nickname=evil%0Aname&email=a@example.com", &[], "nickname", "evil").await?;
    refused(&server, "user_id=a&nickname=a&email=a%7F@example.com", &[], "email", "").await?;
    refused(&server, "user_id=a&nickname=a%C2%85&email=a@example.com", &[], "nickname", "").await?;
    let headers = [("X-User-ID", "a"), ("X-Nickname", "evil%0Dname"), ("X-Email", "a@example.com")];
    refused(&server, "", &headers, "nickname", "evil").await
}

#[tokio::test]
async fn an_identity_that_is_not_utf8_is_refused() -> TestResult {
    let server = lobby().await?;
    refused(&server, "user_id=a&nickname=a%FFb&email=a@example.com", &[], "nickname", "").await?;
    refused(&server, "user_id=a&nickname=%ED%A0%80&email=a@example.com", &[], "nickname", "").await?;
    let request = server.request("POST", "/chat/v1/message/").json(r#"{"room":1,"message":"hi"}"#);
    let request =
        request.header("X-User-ID", "u1").header("X-Nickname", b"\xff\xfe").header("X-Email", "a@example.com");
    request.send().await?.expect_detail(401, "not_authenticated")?;
    Ok(())
}

#[tokio::test]
async fn each_field_has_a_maximum_length() -> TestResult {
    let server = lobby().await?;
    for (field, most) in [("user_id", 128), ("nickname", 64), ("email", 254), ("profile_url", 2_048)] {
        let mut user = User::named("ann").pictured("/a.png");
        for (length, fits) in [(most, true), (most + 1, false)] {
            // A character of three bytes: lengths count characters.
            let value =
                if field == "profile_url" { format!("/{}", "x".repeat(length - 1)) } else { "가".repeat(length) };
            match field {
                "user_id" => user.id = value.clone(),
                "nickname" => user.nickname = value.clone(),
                "email" => user.email = value.clone(),
                _ => user.picture = Some(value.clone()),
            }
            if fits {
                server.knock(&format!("/ws/chat/1/chat/?{}", user.query()), &[]).await?.opened()?;
            } else {
                refused(&server, &user.query(), &[], field, &value).await?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_maximum_lengths_are_limits() -> TestResult {
    let server = TestServer::setup().limit("nickname_chars_max", 3).start().await?;
    let room = server.create_room("lobby").await?;
    server.join(room, "ann").await?;
    assert!(server.open_tab(room, "anna").await.is_err());
    Ok(())
}

#[tokio::test]
async fn identities_and_texts_are_not_logged() -> TestResult {
    let server = TestServer::setup().config(r#"log = "debug""#).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, User::named("u1").called("secret-nickname")).await?;
    ann.say("secret-text").await?;
    ann.expect_message("secret-text").await?;
    ann.send("secret-nonsense").await?;
    ann.expect_error("invalid_json").await?;
    server.get(&format!("/chat/v1/nowhere/?{}", User::named("secret-query").query())).await?;
    let log = server.log().since(0).join("\n");
    for secret in ["secret-text", "secret-nonsense", "u1@example.com", "secret-query"] {
        assert!(!log.contains(secret), "{secret:?} is in the log");
    }
    Ok(())
}

#[tokio::test]
async fn a_message_shows_the_sender_as_its_own_tab_names_them() -> TestResult {
    let server = lobby().await?;
    let user = User::named("ann");
    let mut one = server.join(1, &user).await?;
    let mut other = server.open_tab(1, user.called("Anna").pictured("/a.png")).await?;
    for (text, nickname, picture) in [("a", "ann", None), ("b", "Anna", Some("/a.png"))].repeat(2) {
        let speaker = if nickname == "ann" { &mut one } else { &mut other };
        speaker.say(text).await?;
        for tab in [&mut one, &mut other] {
            let heard = tab.expect_message(text).await?;
            assert_eq!((&heard["nickname"], &heard["profile_picture_url"]), (&json!(nickname), &json!(picture)));
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_picture_is_a_web_address_or_an_absolute_path() -> TestResult {
    let server = lobby().await?;
    for picture in ["/a.png", "https://example.com/a.png", "HTTP://example.com/a"] {
        server.join(1, User::named(&format!("u{}", picture.len())).pictured(picture)).await?;
    }
    for picture in ["javascript:alert(1)", "data:image/png;base64,AA", "a.png", "ftp://example.com/a"] {
        refused(&server, &User::named("ann").pictured(picture).query(), &[], "profile_url", picture).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_plus_in_the_query_of_an_address_or_an_id_stays_a_plus() -> TestResult {
    let server = lobby().await?;
    let query = "user_id=u+1&nickname=min+ji&email=minji+chat@example.com";
    let post = server.request("POST", &format!("/chat/v1/message/?{query}")).json(r#"{"room":1,"message":"hi"}"#);
    let message = post.send().await?.expect(201)?;
    assert_eq!(
        (message["sender"].as_str(), message["nickname"].as_str()),
        (Some("minji+chat@example.com"), Some("min ji"))
    );
    Ok(())
}
