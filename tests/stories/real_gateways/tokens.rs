//! Which tokens count, and where a request may carry one.

use data_encoding::BASE64URL_NOPAD as BASE64;
use ondol_tests::{
    TestResult, TestServer, User,
    gateway::{claims, socket, token},
    signing::{self, now},
};
use serde_json::{Value, json};

use super::Case;

const MESSAGE: &str = r#"{"room": 1, "message": "x"}"#;

pub(super) async fn a_token_of_each_algorithm_counts(case: &Case) -> TestResult {
    let Some((server, gateway)) = case.start(TestServer::setup()).await? else { return Ok(()) };
    server.create_room("lobby").await?;
    for algorithm in case.kind.algorithms() {
        // Signatures of ES256 differ each time, and so does their form inside.
        for _ in 0..20 {
            let bearer = format!("Bearer {}", signing::token(algorithm, &claims(&User::named("ann")))?);
            let post = gateway.request("POST", "/chat/v1/message/").header("Authorization", bearer);
            post.json(MESSAGE).send().await?.expect(201)?;
        }
    }
    let mut numbered = claims(&User::named("ann"));
    numbered["sub"] = json!(7);
    numbered["aud"] = json!(["other", "chat"]);
    numbered["nbf"] = json!(now() - 5);
    let bearer = format!("Bearer {}", signing::token("HS256", &numbered)?);
    let create = gateway.request("POST", "/chat/v1/create-room/").header("Authorization", bearer).json("{}");
    assert_eq!(create.send().await?.expect(201)?["owner"], "7");
    Ok(())
}

/// Tokens that are no proof, each with what is wrong.
fn bad_tokens() -> TestResult<Vec<(&'static str, String)>> {
    let good = claims(&User::named("victim"));
    let with = |key: &str, value: Value| {
        let mut claims = good.clone();
        claims[key] = value;
        signing::token("HS256", &claims)
    };
    let without = |key: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().expect("an object").remove(key);
        signing::token("HS256", &claims)
    };
    let valid = signing::token("HS256", &good)?;
    let [header, payload, signature] = valid.split('.').collect::<Vec<_>>()[..] else { unreachable!("three parts") };
    let none = BASE64.encode(br#"{"alg":"none"}"#);
    let other = BASE64.encode(claims(&User::named("mallory")).to_string().as_bytes());
    let rs256 = BASE64.encode(br#"{"alg":"RS256"}"#);
    Ok(vec![
        ("expired", with("exp", json!(now() - 3_600))?),
        ("an exp in text", with("exp", json!("4000000000"))?),
        ("no exp", without("exp")?),
        ("not valid yet", with("nbf", json!(now() + 3_600))?),
        ("another issuer", with("iss", json!("https://mallory.example"))?),
        ("no issuer", without("iss")?),
        ("another audience", with("aud", json!("mail"))?),
        ("no audience", without("aud")?),
        ("no user", without("sub")?),
        ("an empty nickname", with("nickname", json!(""))?),
        ("a nickname that is no text", with("nickname", json!({"x": 1}))?),
        ("unsigned", format!("{none}.{payload}.")),
        ("unsigned, with a signature", format!("{none}.{payload}.{signature}")),
        ("no signature", format!("{header}.{payload}.")),
        ("another payload", format!("{header}.{other}.{signature}")),
        ("another algorithm", format!("{rs256}.{payload}.{signature}")),
        ("a shorter signature", format!("{header}.{payload}.{}", &signature[..20])),
        ("another secret", signing::token_of_secret(b"another secret, which is 32 bytes or longer", &good)?),
        ("a public key as a secret", signing::token_of_secret(&std::fs::read(signing::key_file("rs256.pem"))?, &good)?),
        ("two parts", format!("{header}.{payload}")),
        ("no token", "victim".to_owned()),
    ])
}

pub(super) async fn a_token_that_does_not_hold_is_refused(case: &Case) -> TestResult {
    let Some((server, gateway)) = case.start(TestServer::setup()).await? else { return Ok(()) };
    server.create_room("lobby").await?;
    for (what, token) in bad_tokens()? {
        let bearer = format!("Bearer {token}");
        let of = |method, target| gateway.request(method, target).header("Authorization", &bearer);
        let read = of("GET", "/chat/v1/rooms/").send().await?;
        let post = of("POST", "/chat/v1/message/").json(MESSAGE).send().await?;
        let socket = gateway.knock(&socket(1), &[("Authorization", &bearer)]).await?.refused()?;
        for answer in [read, post, socket] {
            let detail = answer.expect_detail(401, "not_authenticated").map_err(|why| why.context(what))?;
            assert!(!detail.contains("victim") && !detail.contains(&token), "{what}: {detail}");
        }
    }
    let (one, other) = (token(&User::named("ann"))?, token(&User::named("mallory"))?);
    let request = gateway.request("GET", "/chat/v1/rooms/").header("Authorization", format!("Bearer {one}"));
    let answer = request.header("Cookie", format!("session={other}")).send().await?;
    answer.expect_detail(401, "not_authenticated")?;
    Ok(())
}

pub(super) async fn a_token_may_come_in_three_places(case: &Case) -> TestResult {
    let Some((server, gateway)) = case.start(TestServer::setup().config(r#"subprotocols = ["chat.v1"]"#)).await? else {
        return Ok(());
    };
    let room = server.create_room("lobby").await?;
    let token = token(&User::named("ann"))?;
    let places = [
        ("Authorization", format!("Bearer {token}")),
        ("Authorization", format!("bearer {token}")),
        ("Cookie", format!("a=1; session={token}; b=2")),
        ("Sec-WebSocket-Protocol", format!("ondol.token, {token}")),
        ("Sec-WebSocket-Protocol", format!("ondol.token, {token}, chat.v1")),
    ];
    for (name, value) in &places {
        let mut client = gateway.knock(&socket(room), &[(*name, value)]).await?.opened()?;
        client.say("x").await?;
        assert_eq!(client.expect_message("x").await?["nickname"], "ann");
        client.leave().await?;
    }
    for (name, value) in &places[..3] {
        let post = gateway.request("POST", "/chat/v1/message/").header(name, value).json(MESSAGE).send().await?;
        assert_eq!(post.expect(201)?["nickname"], "ann");
    }
    Ok(())
}

pub(super) async fn no_token_is_logged(case: &Case) -> TestResult {
    let setup = TestServer::setup().flag("--log").flag("trace");
    let Some((server, gateway)) = case.start(setup).await? else { return Ok(()) };
    server.create_room("lobby").await?;
    let (ann, mut expired) = (User::named("ann-the-secret"), claims(&User::named("ann-the-secret")));
    expired["exp"] = json!(now() - 3_600);
    for token in [token(&ann)?, signing::token("HS256", &expired)?] {
        for (name, value) in [
            ("Authorization", format!("Bearer {token}")),
            ("Cookie", format!("session={token}")),
            ("Sec-WebSocket-Protocol", format!("ondol.token, {token}")),
        ] {
            let request = gateway.request("GET", "/chat/v1/rooms/?nickname=secret-name").header(name, &value);
            request.send().await?;
            drop(gateway.knock(&socket(1), &[(name, &value)]).await?);
        }
    }
    let mark = gateway.log().mark();
    gateway.request("GET", "/healthz").send().await?;
    gateway.log().line_since(mark, &["/healthz"]).await?;
    for line in gateway.log().since(0).into_iter().chain(server.log().since(0)) {
        assert!(!line.contains("eyJ") && !line.contains("secret-name"), "{line}");
    }
    Ok(())
}
