//! Callers whose gateway vouches for them: by its address, or by a signature.

use ondol_tests::{Setup, TestResult, TestServer, User, ondol, signing};
use signing::{assertion, key_file, now};

fn with(identity: &[&str]) -> Setup {
    identity.iter().fold(TestServer::setup(), |setup, value| setup.flag("--identity").flag(*value))
}

/// A server that takes signed identities.
async fn signed() -> TestResult<TestServer> {
    let secret = key_file("hs256.secret");
    let keys = format!("keys=old=HS256:{0},new=HS256:{0}", secret.display());
    let server = with(&["mode=signed", "leeway_s=5", &keys]).start().await?;
    let (path, ann) = ("/chat/v1/create-room/", User::named("ann"));
    let request = server.request("POST", path).json("{}").identity(&ann);
    request.header("X-Ondol-Assertion", assertion("new", now() + 30, "POST", path, &ann)?).send().await?.expect(201)?;
    Ok(server)
}

#[tokio::test]
async fn an_identity_is_believed_from_trusted_networks_alone() -> TestResult {
    let server = with(&["trusted=192.0.2.0/24,2001:db8::/32"]).start().await?;
    let post = server.request("POST", "/chat/v1/create-room/").json("{}");
    let refused = post.identity("mallory").send().await?;
    let detail = refused.expect_detail(401, "not_authenticated")?;
    assert!(detail.contains("identity.trusted") && !detail.contains("mallory"), "{detail}");
    server.knock(&format!("/ws/chat/1/chat/?{}", User::named("ann").query()), &[]).await?.refused()?;
    server.post("/chat/v1/create-room/", &serde_json::json!({})).await?.expect(201)?;
    let server = with(&["trusted=127.0.0.0/8"]).start().await?;
    let post = server.request("POST", "/chat/v1/create-room/").json("{}").identity("ann");
    post.send().await?.expect(201)?;
    Ok(())
}

#[test]
fn a_server_that_anyone_can_reach_needs_to_know_its_gateway() -> TestResult {
    for listen in ["0.0.0.0:8000", "[::]:8000", "192.0.2.1:8000"] {
        let refused = ondol(&["check", "--listen", listen])?.expect(1)?;
        assert!(refused.contains("identity.trusted") && refused.contains("identity.mode"), "{refused}");
        ondol(&["check", "--listen", listen, "--identity", "trusted=10.0.0.0/8"])?.expect(0)?;
    }
    let serve = ondol(&["serve", "--listen", "0.0.0.0:0"])?;
    assert!(serve.status != 0 && serve.stderr.contains("identity.trusted"), "{}", serve.stderr);
    Ok(())
}

#[test]
fn check_names_what_is_wrong_with_the_keys() -> TestResult {
    let directory = tempfile::tempdir()?;
    let short = directory.path().join("short");
    std::fs::write(&short, "too short")?;
    let (short, pem) = (short.display().to_string(), key_file("es256.pem").display().to_string());
    for (identity, part) in [
        (vec!["mode=jwt".to_owned()], "needs a key"),
        (vec!["mode=signed".to_owned()], "needs a key"),
        (vec!["mode=signed".to_owned(), format!("keys=k=RS256:{pem}")], "HS256 alone"),
        (vec!["mode=jwt".to_owned(), format!("keys=k=HS256:{short}")], "needs 32"),
        (vec!["mode=jwt".to_owned(), format!("keys=k=RS256:{pem}")], "no RSA public key"),
        (vec!["mode=jwt".to_owned(), "keys=k=HS256:/does/not/exist".to_owned()], "/does/not/exist"),
        (vec!["mode=jwt".to_owned(), format!("keys=k=ES256:{pem},k=ES256:{pem}")], "two keys"),
        (vec!["mode=jwt".to_owned(), format!("jwks={pem}")], "JSON Web Key Set"),
        (vec!["mode=jwt".to_owned(), format!("keys=k=HS512:{short}")], "HS256"),
        (vec!["leeway_s=301".to_owned()], "from 0 to 300"),
        (vec!["trusted=10.0.0.0/99".to_owned()], "networks"),
        (vec!["claims.user_ids=sub".to_owned()], "identity.claims.user_id"),
    ] {
        let words = identity.iter().flat_map(|value| ["--identity", value]);
        let words: Vec<&str> = ["check"].into_iter().chain(words).collect();
        let output = ondol(&words)?.expect(1)?;
        assert!(output.contains(part), "{identity:?}: no {part:?} in {output}");
        let words: Vec<&str> = ["serve"].into_iter().chain(words.into_iter().skip(1)).collect();
        let served = ondol(&words)?;
        assert!(served.status != 0 && served.stderr.contains(part) && served.stdout.is_empty(), "{served:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_signed_identity_holds_for_its_request_alone() -> TestResult {
    let server = signed().await?;
    let (path, socket) = ("/chat/v1/message/", "/ws/chat/1/chat/");
    let ann = User::named("ann").called("민지 & = # +").pictured("/a b.png");
    let good = assertion("old", now() + 30, "POST", path, &ann)?;
    let post = |user: &User, assertion: &str| {
        let request = server.request("POST", path).json(r#"{"room":1,"message":"hi"}"#).identity(user);
        request.header("X-Ondol-Assertion", assertion)
    };
    assert_eq!(post(&ann, &good).send().await?.expect(201)?["nickname"], ann.nickname.as_str());
    let target = format!("{socket}?{}", ann.query());
    let opening = assertion("new", now() + 30, "GET", socket, &ann)?;
    server.knock(&target, &[("X-Ondol-Assertion", &opening)]).await?.opened()?;

    let forged = User::named("ann").called("mallory").pictured("/a b.png");
    for (user, assertion, part) in [
        (&forged, good.clone(), "does not match"),
        (&User::named("ann"), good.clone(), "does not match"),
        (&ann, opening, "does not match"),
        (&ann, assertion("old", now() + 30, "GET", path, &ann)?, "does not match"),
        (&ann, assertion("old", now() - 6, "POST", path, &ann)?, "expired"),
        (&ann, assertion("old", now() + 100, "POST", path, &ann)?, "60 seconds"),
        (&ann, assertion("other", now() + 30, "POST", path, &ann)?, "key"),
        (&ann, format!("{good}x"), "does not match"),
        (&ann, good.replace("v1.", "v2."), "v1.KEY.EXPIRY.SIGNATURE"),
        (&ann, good.replacen("old", "old.", 1), "v1.KEY.EXPIRY.SIGNATURE"),
        (&ann, format!("v1.old.+{}.x", now() + 30), "number of seconds"),
    ] {
        let refused = post(user, &assertion).send().await?;
        let detail = refused.expect_detail(401, "not_authenticated")?;
        assert!(detail.contains(part) && !detail.contains("mallory"), "no {part:?} in {detail:?}");
    }
    let twice = post(&ann, &good).header("X-Ondol-Assertion", &good).send().await?;
    assert!(twice.expect_detail(401, "not_authenticated")?.contains("more than once"));
    Ok(())
}

#[tokio::test]
async fn an_identity_without_a_signature_is_refused_and_so_is_its_lack() -> TestResult {
    let server = signed().await?;
    let refused = server.request("GET", "/chat/v1/rooms/").identity("ann").send().await?;
    assert!(refused.expect_detail(401, "not_authenticated")?.contains("not signed"));
    server.get("/chat/v1/rooms/").await?.expect_detail(401, "not_authenticated")?;
    let empty = assertion("old", now() + 30, "GET", "/chat/v1/rooms/", &User::named(""))?;
    let request = server.request("GET", "/chat/v1/rooms/").header("X-Ondol-Assertion", empty);
    request.send().await?.expect_detail(401, "not_authenticated")?;
    Ok(())
}
