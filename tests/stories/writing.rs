//! Text as people write it: composed or decomposed, with invisible characters, in two directions.

use ondol_tests::{Setup, TestResult, TestServer, User, signing};
use serde_json::json;
use signing::{claims, key_file, token};

/// "강민지" and "Việt" as macOS writes them, and a Devanagari letter that NFC takes apart.
const KOREAN: (&str, &str) = ("강민지", "\u{1100}\u{1161}\u{11bc}\u{1106}\u{1175}\u{11ab}\u{110c}\u{1175}");
const VIETNAMESE: (&str, &str) = ("Việt", "Vie\u{323}\u{302}t");
const DEVANAGARI: (&str, &str) = ("\u{915}\u{93c}लम", "\u{958}लम");

async fn lobby(setup: Setup) -> TestResult<TestServer> {
    let server = setup.start().await?;
    server.create_room("lobby").await?;
    Ok(server)
}

#[tokio::test]
async fn a_message_of_nothing_visible_is_blank() -> TestResult {
    let server = lobby(TestServer::setup()).await?;
    let mut client = server.join(1, "ann").await?;
    for blank in ["\u{3164}", " \u{2060}\u{200b}\n", "\u{2800}", "\u{115f}\u{1160}", "\u{feff}\u{fe0f}"] {
        client.say(blank).await?;
        client.expect_error("blank").await?;
        let body = json!({ "room": 1, "message": blank }).to_string();
        let post = server.request("POST", "/chat/v1/message/").identity("ann").json(body).send().await?;
        assert_eq!(post.expect_field("message")?, "blank");
    }
    for visible in ["👩\u{200d}👩\u{200d}👧", "❤\u{fe0f}", "می\u{200c}خواهم", "\u{3164}민\u{200b}지\u{3164}"]
    {
        client.say(visible).await?;
        client.expect_message(visible).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_identity_of_nothing_visible_is_missing() -> TestResult {
    let server = lobby(TestServer::setup()).await?;
    for invisible in ["%E3%85%A4", "%E2%81%A0+", "%E2%A0%80", "%EF%BB%BF"] {
        for (field, query) in [
            ("nickname", format!("user_id=u1&nickname={invisible}&email=e")),
            ("user_id", format!("user_id={}&nickname=a&email=e", invisible.replace('+', "%20"))),
            ("email", format!("user_id=u1&nickname=a&email={}", invisible.replace('+', "%20"))),
        ] {
            let knock = server.knock(&format!("/ws/chat/1/chat/?{query}"), &[]).await?.refused()?;
            assert!(knock.expect_detail(401, "not_authenticated")?.contains(&format!("{field} is missing")));
            let post = server.request("POST", &format!("/chat/v1/message/?{query}"));
            post.json(r#"{"room":1,"message":"hi"}"#).send().await?.expect_detail(401, "not_authenticated")?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn names_are_trimmed_of_what_is_invisible() -> TestResult {
    let server = lobby(TestServer::setup()).await?;
    for (number, (given, kept)) in [
        ("\u{3164} 민지\u{200b}", "민지"),
        ("\u{feff}민\u{200b}지\u{2060}\u{2800}", "민\u{200b}지"),
        ("👩\u{200d}👧\u{200d}", "👩\u{200d}👧"),
        ("민지 ❤\u{fe0f}", "민지 ❤\u{fe0f}"),
    ]
    .into_iter()
    .enumerate()
    {
        let user = User::named(&format!("u{number}")).called(given);
        let mut client = server.open_tab(1, &user).await?;
        client.expect_join(kept).await?;
        let post = server.request("POST", "/chat/v1/message/").identity(&user).json(r#"{"room":1,"message":"hi"}"#);
        assert_eq!(post.send().await?.expect(201)?["nickname"], kept);
        assert_eq!(client.expect_message("hi").await?["nickname"], kept);
        let room = server.post("/chat/v1/create-room/", &json!({ "name": given })).await?.expect(201)?;
        assert_eq!(room["name"], kept);
    }
    let blank = server.post("/chat/v1/create-room/", &json!({ "name": "\u{3164}\u{2060}" })).await?;
    assert_eq!(blank.expect_field("name")?, "blank");
    // An id is never changed in what it shows: these are two users.
    let mut plain = server.join(1, "u").await?;
    let _other = server.open_tab(1, User::named("u\u{200b}").called("other")).await?;
    plain.expect_join("other").await
}

#[tokio::test]
async fn directions_that_a_name_opens_are_closed() -> TestResult {
    let server = lobby(TestServer::setup()).await?;
    for (number, (given, kept)) in [
        ("\u{202e}민지", "\u{202e}민지\u{202c}"),
        ("a\u{2067}b\u{202b}c ", "a\u{2067}b\u{202b}c\u{202c}\u{2069}"),
        ("\u{2068}민지\u{2069}", "\u{2068}민지\u{2069}"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = server.open_tab(1, User::named(&format!("u{number}")).called(given)).await?;
        client.expect_join(kept).await?;
        client.say("hi").await?;
        assert_eq!(client.expect_message("hi").await?["nickname"], kept);
        client.leave().await?;
        server.post("/chat/v1/create-room/", &json!({ "name": given })).await?.expect(201)?;
        let rooms = server.get("/chat/v1/rooms/").await?.expect(200)?;
        assert_eq!(rooms.as_array().and_then(|rooms| rooms.last()).unwrap()["name"], kept);
    }
    Ok(())
}

#[tokio::test]
async fn lengths_count_composed_characters_and_texts_stay_as_sent() -> TestResult {
    let setup = TestServer::setup().limit("nickname_chars_max", 30).limit("user_id_chars_max", 30);
    let server =
        lobby(setup.setting("messages", "text_length_max", 22).setting("rooms", "name_length_max", 22)).await?;
    let syllable = "\u{1112}\u{1161}\u{11ab}";
    for text in [syllable.repeat(22), "e\u{302}\u{323}".repeat(22)] {
        let mut client = server.join(1, User::named("u1").called(&text)).await?;
        client.say(&text).await?;
        assert_eq!(client.expect_message(&text).await?["nickname"], text);
        let body = json!({ "room": 1, "message": text }).to_string();
        let post = server.request("POST", "/chat/v1/message/").identity(User::named(&text)).json(body).send().await?;
        assert_eq!(post.expect(201)?["message"], text);
        let room = server.post("/chat/v1/create-room/", &json!({ "name": text })).await?.expect(201)?;
        assert_eq!(room["name"], text);
        let longer = format!("{text}나");
        client.expect_message(&text).await?;
        client.say(&longer).await?;
        client.expect_error("too_long").await?;
        let long = server.post("/chat/v1/create-room/", &json!({ "name": longer })).await?;
        assert_eq!(long.expect_field("name")?, "too_long");
        client.leave().await?;
    }
    let long = User::named("u1").called(&syllable.repeat(31));
    let refused = server.knock(&format!("/ws/chat/1/chat/?{}", long.query()), &[]).await?.refused()?;
    assert!(refused.expect_detail(401, "not_authenticated")?.contains("nickname_chars_max = 30"));
    Ok(())
}

#[tokio::test]
async fn a_room_has_a_name_of_a_hundred_composed_characters() -> TestResult {
    let server = TestServer::start().await?;
    let name = "\u{1112}\u{1161}\u{11ab}".repeat(100);
    let create = async |name: &str| server.post("/chat/v1/create-room/", &json!({ "name": name })).await;
    assert_eq!(create(&name).await?.expect(201)?["name"], name);
    assert_eq!(create(&format!("{name}나")).await?.expect_field("name")?, "too_long");
    Ok(())
}

#[tokio::test]
async fn query_and_header_of_one_name_agree_however_it_is_composed() -> TestResult {
    let server = lobby(TestServer::setup()).await?;
    for (composed, decomposed) in [KOREAN, VIETNAMESE, DEVANAGARI] {
        let (query, headers) = (User::named("ann").called(composed), User::named("ann").called(decomposed));
        let post = server.request("POST", &format!("/chat/v1/message/?{}", query.query())).identity(&headers);
        let message = post.json(r#"{"room":1,"message":"hi"}"#).send().await?.expect(201)?;
        assert_eq!(message["nickname"], composed);
        let pairs = headers.headers();
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
        server.knock(&format!("/ws/chat/1/chat/?{}", query.query()), &pairs).await?.opened()?;
    }
    Ok(())
}

#[tokio::test]
async fn an_id_is_one_user_however_it_is_composed() -> TestResult {
    let server = lobby(TestServer::setup()).await?;
    let mut ann = server.join(1, "ann").await?;
    for (composed, decomposed) in [KOREAN, VIETNAMESE, DEVANAGARI] {
        let one = server.join(1, User::named(composed).called("one")).await?;
        ann.expect_join("one").await?;
        let other = server.open_tab(1, User::named(decomposed).called("other")).await?;
        one.leave().await?;
        ann.expect_nothing_before("no join and no leave").await?;
        other.leave().await?;
        ann.expect_leave("other").await?;
        let post = async |id: &str| {
            let body = json!({ "room": 1, "message": "hi", "client_id": "c1" }).to_string();
            let post = server.request("POST", "/chat/v1/message/").identity(User::named(id)).json(body);
            post.send().await?.expect(201)
        };
        assert_eq!(post(decomposed).await?["id"], post(composed).await?["id"]);
        ann.expect_message("hi").await?;
        let create = server.request("POST", "/chat/v1/create-room/").identity(User::named(decomposed)).json("{}");
        assert_eq!(create.send().await?.expect(201)?["owner"], composed);
    }
    Ok(())
}

#[tokio::test]
async fn tokens_name_one_user_however_the_id_is_composed() -> TestResult {
    let keys = format!("keys=k=HS256:{}", key_file("hs256.secret").display());
    let setup = ["mode=jwt", "leeway_s=0", &keys];
    let server = setup.into_iter().fold(TestServer::setup(), |setup, flag| setup.flag("--identity").flag(flag));
    let server = server.start().await?;
    let bearer = |user: &User| Ok::<_, anyhow::Error>(format!("Bearer {}", token("HS256", &claims(user))?));
    let composed = User::named(KOREAN.0).called("\u{3164}\u{202e}민지\u{200b}");
    let create = server.request("POST", "/chat/v1/create-room/").json("{}").header("Authorization", bearer(&composed)?);
    create.send().await?.expect(201)?;
    let mut client = server.knock("/ws/chat/1/chat/", &[("Authorization", &bearer(&composed)?)]).await?.opened()?;
    client.expect_join("\u{202e}민지\u{202c}").await?;
    let fresh = token("HS256", &claims(&User::named(KOREAN.1)))?;
    client.send(json!({ "type": "chat.token", "token": fresh }).to_string()).await?;
    client.expect_event("chat.token").await?;
    let blank = User::named("u1").called("\u{3164}");
    let refused = server.knock("/ws/chat/1/chat/", &[("Authorization", &bearer(&blank)?)]).await?.refused()?;
    assert!(refused.expect_detail(401, "not_authenticated")?.contains("nickname"));
    Ok(())
}
