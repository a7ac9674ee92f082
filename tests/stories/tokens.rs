//! Callers who prove who they are by a JSON Web Token.

use jsonwebtoken::{Algorithm, Header};
use ondol_tests::{Client, Setup, TestResult, TestServer, User, deadline::until, signing};
use serde_json::{Value, json};
use signing::{claims, key_file, now, token};

/// A server that takes tokens of the tests' four keys.
fn setup() -> Setup {
    let key = |algorithm: &str, file: &str| format!("{algorithm}={algorithm}:{}", key_file(file).display());
    let keys =
        [key("HS256", "hs256.secret"), key("RS256", "rs256.pem"), key("ES256", "es256.pem"), key("EdDSA", "eddsa.pem")];
    with(TestServer::setup(), &["mode=jwt", "leeway_s=0", "cookie=session", &format!("keys={}", keys.join(","))])
}

fn with(setup: Setup, identity: &[&str]) -> Setup {
    identity.iter().fold(setup, |setup, value| setup.flag("--identity").flag(*value))
}

/// A server with one room, which ann has created.
async fn lobby(setup: Setup) -> TestResult<TestServer> {
    let server = setup.start().await?;
    let request = server.request("POST", "/chat/v1/create-room/").json(r#"{"name":"lobby"}"#);
    request.header("Authorization", bearer(&claims(&User::named("ann")))?).send().await?.expect(201)?;
    Ok(server)
}

fn bearer(claims: &Value) -> TestResult<String> {
    Ok(format!("Bearer {}", token("HS256", claims)?))
}

/// Joins the room with these claims.
async fn join(server: &TestServer, claims: &Value) -> TestResult<Client> {
    let bearer = bearer(claims)?;
    server.knock("/ws/chat/1/chat/", &[("Authorization", &bearer)]).await?.opened()
}

#[tokio::test]
async fn a_token_of_each_algorithm_names_its_user_over_rest_and_on_a_socket() -> TestResult {
    let server = lobby(setup()).await?;
    let mut inside = Vec::new();
    for algorithm in ["HS256", "RS256", "ES256", "EdDSA"] {
        let user = User::named(algorithm).called(&format!("민지 & 'co' = #1 + {algorithm}")).pictured("/민지.png");
        let bearer = format!("bearer {}", token(algorithm, &claims(&user))?);
        let mut client = server.knock("/ws/chat/1/chat/", &[("Authorization", &bearer)]).await?.opened()?;
        client.expect_join(&user.nickname).await?;
        let request = server.request("POST", "/chat/v1/message/").json(r#"{"room":1,"message":"hi"}"#);
        let message = request.header("Authorization", &bearer).send().await?.expect(201)?;
        assert_eq!((&message["sender"], &message["nickname"]), (&json!(user.email), &json!(user.nickname)));
        assert_eq!(message["profile_picture_url"], "/민지.png");
        client.expect_message("hi").await?;
        inside.push(client);
    }
    Ok(())
}

#[tokio::test]
async fn a_browser_sends_its_token_as_a_subprotocol_or_a_cookie() -> TestResult {
    let server = lobby(setup().config(r#"subprotocols = ["chat.v1"]"#)).await?;
    let token = token("ES256", &claims(&User::named("u1")))?;
    for (name, value, chosen) in [
        ("Sec-WebSocket-Protocol", format!("ondol.token, {token}"), Some("ondol.token")),
        ("Sec-WebSocket-Protocol", format!("ondol.token,{token},chat.v1"), Some("chat.v1")),
        ("Cookie", format!("other=1; session={token}; session2=x"), None),
    ] {
        let mut raw = server.raw().await?;
        let request = format!(
            "GET /ws/chat/1/chat/ HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{name}: {value}\r\n\r\n",
            server.address()
        );
        raw.send(request.as_bytes()).await?;
        let answer = raw.read_answer("GET").await?;
        assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, chosen), "{name}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_bad_token_is_refused_with_a_reason_and_never_repeated() -> TestResult {
    let server = lobby(with(setup(), &["issuer=https://id.example.com", "audience=chat"])).await;
    assert!(server.is_err(), "a token without issuer and audience makes no room");
    let server = with(setup(), &["issuer=https://id.example.com", "audience=chat"]).start().await?;
    let good = |changes: Value| {
        let mut claims = claims(&User::named("mallory-the-third"));
        claims["iss"] = json!("https://id.example.com");
        claims["aud"] = json!(["chat", "mail"]);
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    };
    let hs256 = |changes| token("HS256", &good(changes));
    let public_key = std::fs::read(key_file("rs256.pem"))?;
    let mut critical = Header::new(Algorithm::HS256);
    critical.crit = Some(vec!["exp".to_owned()]);
    let mut unknown = Header::new(Algorithm::HS256);
    unknown.kid = Some("another".to_owned());
    let unsigned = {
        let encode = |value: Value| data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        format!("{}.{}.", encode(json!({"alg": "none"})), encode(good(json!({}))))
    };
    let mut tampered = hs256(json!({}))?;
    tampered.truncate(tampered.len() - 4);
    for (token, reason) in [
        (hs256(json!({ "exp": now() - 1 }))?, "expired"),
        (hs256(json!({ "exp": null }))?, "exp"),
        (hs256(json!({ "nbf": now() + 600 }))?, "not valid yet"),
        (hs256(json!({ "iss": "https://evil.example" }))?, "issuer"),
        (hs256(json!({ "aud": "mail" }))?, "audience"),
        (hs256(json!({ "aud": null }))?, "aud"),
        (hs256(json!({ "sub": null }))?, "user_id"),
        (hs256(json!({ "sub": ["a"] }))?, "a claim of the wrong type"),
        (hs256(json!({ "nickname": ["a"] }))?, "nickname"),
        (hs256(json!({ "nickname": "a\u{7}" }))?, "nickname"),
        (signing::token_of_secret(b"some other secret, also of 32 bytes", &good(json!({})))?, "signature"),
        (signing::token_of_secret(&public_key, &good(json!({})))?, "signature"),
        (signing::token_with(&critical, &good(json!({})))?, "critical"),
        (signing::token_with(&unknown, &good(json!({})))?, "key"),
        (unsigned, "not a JSON Web Token"),
        (tampered, "token"),
        ("garbage".to_owned(), "not a JSON Web Token"),
    ] {
        let bearer = format!("Bearer {token}");
        let knock = server.knock("/ws/chat/1/chat/", &[("Authorization", &bearer)]).await?.refused()?;
        let request = server.request("POST", "/chat/v1/create-room/").json("{}").header("Authorization", &bearer);
        for answer in [knock, request.send().await?] {
            let detail = answer.expect_detail(401, "not_authenticated")?;
            assert!(detail.contains(reason), "no {reason:?} in {detail:?}");
            assert!(!answer.text().contains("mallory"), "{answer}");
            assert!(answer.header("www-authenticate").is_some(), "{answer}");
        }
    }
    for good in [json!({}), json!({ "sub": 7 }), json!({ "aud": "chat" })] {
        let bearer = format!("Bearer {}", hs256(good)?);
        let request = server.request("POST", "/chat/v1/create-room/").json("{}").header("Authorization", bearer);
        request.send().await?.expect(201)?;
    }
    Ok(())
}

#[tokio::test]
async fn with_tokens_an_identity_in_the_query_or_the_headers_is_refused() -> TestResult {
    let server = lobby(setup()).await?;
    let bearer = bearer(&claims(&User::named("ann")))?;
    let query = format!("/chat/v1/message/?{}", User::named("ann").query());
    let post = |target: &str| {
        server.request("POST", target).json(r#"{"room":1,"message":"hi"}"#).header("Authorization", &bearer)
    };
    post(&query).send().await?.expect_detail(401, "not_authenticated")?;
    let plain = post("/chat/v1/message/").header("X-User-ID", "ann");
    plain.send().await?.expect_detail(401, "not_authenticated")?;
    post("/chat/v1/message/").send().await?.expect(201)?;
    Ok(())
}

#[tokio::test]
async fn reading_needs_a_token_unless_anonymous_reads_is_set() -> TestResult {
    let paths = ["/chat/v1/rooms/", "/chat/v1/room/1/", "/api/chat/room/1/messages/"];
    let server = lobby(setup()).await?;
    let bearer = bearer(&claims(&User::named("ann")))?;
    for path in paths {
        server.get(path).await?.expect_detail(401, "not_authenticated")?;
        server.request("GET", path).header("Authorization", &bearer).send().await?.expect(200)?;
    }
    let server = lobby(with(setup(), &["anonymous_reads=true"])).await?;
    for path in paths {
        server.get(path).await?.expect(200)?;
        // A token that does not hold is an error even where none is needed.
        let request = server.request("GET", path).header("Authorization", "Bearer garbage");
        request.send().await?.expect_detail(401, "not_authenticated")?;
    }
    server.post("/chat/v1/create-room/", &json!({})).await?.expect_detail(401, "not_authenticated")?;
    Ok(())
}

#[tokio::test]
async fn a_socket_closes_when_its_token_expires_after_a_notice() -> TestResult {
    let server = lobby(setup()).await?;
    let mut ending = claims(&User::named("ann"));
    ending["exp"] = json!(now() + 10);
    let mut client = join(&server, &ending).await?;
    client.expect_join("ann").await?;
    let notice = client.expect_event("chat.token.expires").await?;
    assert!(notice["expires_in_ms"].as_u64().is_some_and(|left| left <= 10_000), "{notice}");
    assert!(client.expect_close(4001).await?.contains("expired"));
    Ok(())
}

#[tokio::test]
async fn a_fresh_token_keeps_a_socket_open() -> TestResult {
    let server = lobby(setup()).await?;
    let mut ending = claims(&User::named("ann"));
    ending["exp"] = json!(now() + 16);
    let mut client = join(&server, &ending).await?;
    client.expect_join("ann").await?;
    client.send(json!({ "type": "chat.token", "token": "garbage" }).to_string()).await?;
    client.expect_error("not_authenticated").await?;
    client.send(json!({ "type": "chat.token" }).to_string()).await?;
    client.expect_error("invalid").await?;
    let fresh = token("RS256", &claims(&User::named("ann")))?;
    client.send(json!({ "type": "chat.token", "token": fresh }).to_string()).await?;
    let left = client.expect_event("chat.token").await?["expires_in_ms"].as_u64().unwrap();
    assert!(left > 3_000_000, "{left}");
    // The first token has ended by now.
    until("the first token to end", async || (now() > ending["exp"].as_u64()?).then_some(())).await?;
    client.say("still here").await?;
    client.expect_message("still here").await?;
    let other = token("RS256", &claims(&User::named("bob")))?;
    client.send(json!({ "type": "chat.token", "token": other }).to_string()).await?;
    client.expect_close(4001).await?;
    Ok(())
}

#[tokio::test]
async fn keys_are_read_again_when_their_file_changes() -> TestResult {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("secret");
    let (old, new) = (b"the old secret, of 32 bytes or more", b"the new secret, of 32 bytes or more");
    std::fs::write(&file, old)?;
    let server = with(TestServer::setup(), &["mode=jwt", &format!("keys=k=HS256:{}", file.display())]).start().await?;
    let claims = claims(&User::named("ann"));
    let status = async |secret: &[u8]| {
        let token = signing::token_of_secret(secret, &claims).ok()?;
        let request = server.request("GET", "/chat/v1/rooms/").header("Authorization", format!("Bearer {token}"));
        Some(request.send().await.ok()?.status)
    };
    assert_eq!((status(old).await, status(new).await), (Some(200), Some(401)));
    std::fs::write(&file, "too short")?;
    let noticed = async || {
        status(old).await;
        server.log().since(0).iter().any(|line| line.contains("the keys from before stay")).then_some(())
    };
    until("the log to tell of the bad key", noticed).await?;
    assert_eq!(status(old).await, Some(200));
    std::fs::write(&file, new)?;
    until("the new key", async || (status(new).await == Some(200)).then_some(())).await?;
    assert_eq!(status(old).await, Some(401));
    Ok(())
}

#[tokio::test]
async fn the_keys_of_a_set_are_found_by_their_ids() -> TestResult {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("jwks.json");
    let x = data_encoding::BASE64URL_NOPAD.encode(&ed25519_public_key()?);
    let set = json!({ "keys": [
        { "kty": "unheard-of", "kid": "a" },
        { "kty": "OKP", "crv": "Ed25519", "kid": "signs", "x": x },
        { "kty": "OKP", "crv": "Ed25519", "kid": "encrypts", "use": "enc", "x": x },
    ]});
    std::fs::write(&file, set.to_string())?;
    let server = with(TestServer::setup(), &["mode=jwt", &format!("jwks={}", file.display())]).start().await?;
    for (kid, status) in [(Some("signs"), 200), (None, 200), (Some("encrypts"), 401), (Some("a"), 401)] {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = kid.map(str::to_owned);
        let token = signing::token_with(&header, &claims(&User::named("ann")))?;
        let request = server.request("GET", "/chat/v1/rooms/").header("Authorization", format!("Bearer {token}"));
        assert_eq!(request.send().await?.status, status, "{kid:?}");
    }
    Ok(())
}

/// The last 32 bytes of a SubjectPublicKeyInfo (RFC 8410) are the key itself.
fn ed25519_public_key() -> TestResult<Vec<u8>> {
    let pem = std::fs::read_to_string(key_file("eddsa.pem"))?;
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = data_encoding::BASE64.decode(base64.as_bytes())?;
    Ok(der[der.len() - 32..].to_vec())
}
