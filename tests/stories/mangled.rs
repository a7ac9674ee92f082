//! What gateways do to names on the way: refused or accepted with the likely cause, which the operator hears once.

use ondol_tests::{Setup, TestResult, TestServer, User, signing, user::percent};
use signing::{assertion, key_file, now};

const PATH: &str = "/chat/v1/message/";

/// What every warning of this kind begins with.
const ARRIVED: &str = "an identity arrived mangled: ";

async fn lobby(setup: Setup) -> TestResult<TestServer> {
    let server = setup.start().await?;
    server.create_room("lobby").await?;
    Ok(server)
}

/// Ends the server, and returns all of its warnings.
async fn warnings(server: &TestServer) -> TestResult<Vec<String>> {
    server.signal("TERM")?;
    server.log().end().await?;
    Ok(server.log().since(0).into_iter().filter(|line| line.contains(ARRIVED)).collect())
}

/// `text` in UTF-8 as a reader of Latin-1 sees it.
fn latin_1(text: &str) -> String {
    text.bytes().map(char::from).collect()
}

/// Checks that a post with this header is refused for `cause`, and that neither the answer nor the log repeats it.
async fn refused(server: &TestServer, nickname: &[u8], cause: &str) -> TestResult {
    let post = server.request("POST", PATH).json(r#"{"room":1,"message":"hi"}"#);
    let post = post.header("X-User-ID", "u1").header("X-Nickname", nickname).header("X-Email", "u1@example.com");
    let answer = post.send().await?;
    let detail = answer.expect_detail(401, "not_authenticated")?;
    assert!(detail.contains("X-Nickname") && detail.contains(cause), "no {cause:?} in {detail:?}");
    let warning = server.wait_for_log(&format!("{ARRIVED}X-Nickname")).await?;
    let value = String::from_utf8_lossy(nickname).into_owned();
    assert!(!detail.contains(&value) && !warning.contains(&value), "{value:?} is repeated");
    Ok(())
}

#[tokio::test]
async fn a_value_that_cannot_be_what_was_meant_is_refused_with_its_cause() -> TestResult {
    for (values, cause) in [
        ([&b"=?UTF-8?B?66+87KeA?="[..], b"=?ISO-8859-1?Q?Andr=E9?="], "RFC 2047"),
        ([b"Andr\xe9", b"\xb9\xce\xc1\xf6"], "Latin-1"),
        ([b"Andr%E9", b"%B9%CE%C1%F6"], "Latin-1"),
        ([latin_1("민지").as_bytes(), percent(&latin_1("강남")).as_bytes()], "read as Latin-1"),
    ] {
        let server = lobby(TestServer::setup()).await?;
        for value in values {
            refused(&server, value, cause).await?;
        }
        assert_eq!(warnings(&server).await?.len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_handshake_with_a_mangled_query_is_refused_with_its_cause() -> TestResult {
    let server = lobby(TestServer::setup()).await?;
    let controls = percent(&latin_1("민지"));
    for (nickname, cause) in
        [("%3D%3FUTF-8%3FB%3F66%2B87KeA%3F%3D", "RFC 2047"), ("%E9", "Latin-1"), (&controls, "read as Latin-1")]
    {
        let target = format!("/ws/chat/1/chat/?user_id=u1&email=e&nickname={nickname}");
        let detail = server.knock(&target, &[]).await?.refused()?.expect_detail(401, "not_authenticated")?;
        assert!(detail.starts_with("nickname ") && detail.contains(cause), "{detail}");
    }
    assert_eq!(warnings(&server).await?.len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_value_that_is_merely_suspicious_is_accepted_and_reported_once() -> TestResult {
    for (nicknames, cause) in [
        (["??", "??? Kim"], "question marks"),
        (["CafÃ©", "Ä‘"], "read as Latin-1"),
        (["%EB%AF%BC%EC%A7%80", "a%20b"], "encoded twice"),
    ] {
        let server = lobby(TestServer::setup()).await?;
        for nickname in nicknames {
            let user = User::named("u1").called(nickname);
            let mut client = server.join(1, &user).await?;
            let post = server.request("POST", PATH).identity(&user).json(r#"{"room":1,"message":"hi"}"#);
            assert_eq!(post.send().await?.expect(201)?["nickname"], nickname);
            client.expect_message("hi").await?;
            client.leave().await?;
        }
        let warning = server.wait_for_log(ARRIVED).await?;
        assert!(
            warning.contains("nickname") && warning.contains(cause) && !warning.contains(nicknames[0]),
            "{warning}"
        );
        assert_eq!(warnings(&server).await?.len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn names_that_are_as_they_should_be_are_not_reported() -> TestResult {
    let server = lobby(TestServer::setup()).await?;
    for nickname in ["민지", "Café", "뭐??", "100%", "%61dmin", "naïve", "€uro"] {
        let user = User::named("u1").called(nickname).pictured("/a%20b.png??");
        server.join(1, &user).await?.leave().await?;
    }
    // A client that is not the gateway cannot use up the one warning.
    let other = TestServer::setup().flag("--identity").flag("trusted=192.0.2.0/24").start().await?;
    let post = other.request("POST", PATH).json("{}").header("X-Nickname", "=?UTF-8?B?66+87KeA?=");
    post.send().await?.expect_detail(401, "not_authenticated")?;
    assert_eq!((warnings(&server).await?, warnings(&other).await?), (vec![], vec![]));
    Ok(())
}

#[tokio::test]
async fn a_signed_identity_is_judged_as_sent() -> TestResult {
    let keys = format!("keys=k=HS256:{}", key_file("hs256.secret").display());
    let server =
        TestServer::setup().flag("--identity").flag("mode=signed").flag("--identity").flag(&keys).start().await?;
    let create = async |user: &User| {
        let path = "/chat/v1/create-room/";
        let post = server.request("POST", path).json("{}").identity(user);
        post.header("X-Ondol-Assertion", assertion("k", now() + 30, "POST", path, user)?).send().await
    };
    // The signature is over what was sent; what is kept is composed and trimmed.
    let decomposed = User::named("Vie\u{323}\u{302}t").called("\u{3164}\u{202e}민지\u{200b}");
    assert_eq!(create(&decomposed).await?.expect(201)?["owner"], "Việt");
    create(&User::named("u1").called("???")).await?.expect(201)?;
    let refused = create(&User::named("u1").called("=?UTF-8?Q?=EB=AF=BC?=")).await?;
    assert!(refused.expect_detail(401, "not_authenticated")?.contains("RFC 2047"));
    server.wait_for_log("question marks").await?;
    server.wait_for_log("RFC 2047").await?;
    Ok(())
}
