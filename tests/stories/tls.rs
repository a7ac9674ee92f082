//! TLS: REST and WebSockets over it, its certificate and its limits.

use std::{os::unix::fs::symlink, path::Path};

use ondol_tests::{
    Client, Flood, NEVER_MS, RawSocket, Request, Setup, TestResult, TestServer, User,
    client::Knock,
    ondol, tls,
    tls::{Authority, Issued},
    until,
};
use serde_json::json;

async fn started(setup: Setup) -> TestResult<(TestServer, Authority)> {
    let authority = Authority::new()?;
    let server = setup.tls().start_after(|home| tls::furnish(home, &authority)).await?;
    Ok((server, authority))
}

async fn create_room(address: &str) -> TestResult<u64> {
    let answer = Request::new(address, "POST", "/chat/v1/create-room/").json(r#"{"name":"lobby"}"#).send().await?;
    Ok(answer.expect(201)?["id"].as_u64().unwrap())
}

async fn join(address: &str, room: u64, name: &str) -> TestResult<Client> {
    let mut member = Client::open(address, room, &User::named(name)).await?;
    member.expect_join(name).await?;
    Ok(member)
}

#[tokio::test]
async fn rest_and_the_page_are_served_over_both_versions_of_tls() -> TestResult {
    let (server, authority) = started(TestServer::setup()).await?;
    assert!(server.startup().contains(&format!("listening on https://{} ", server.address())), "{}", server.startup());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let address = authority.tunnel_with(server.address(), &[version]).await?;
        create_room(&address).await?;
        let page = Request::new(&address, "GET", "/").send().await?;
        assert_eq!(page.status, 200, "{page}");
    }
    Ok(())
}

#[tokio::test]
async fn members_talk_over_tls() -> TestResult {
    let (server, authority) = started(TestServer::setup()).await?;
    let address = authority.tunnel(server.address()).await?;
    let room = create_room(&address).await?;
    let mut ann = join(&address, room, "ann").await?;
    let mut ben = join(&address, room, "ben").await?;
    ann.expect_join("ben").await?;
    ann.say("안녕").await?;
    ann.expect_message("안녕").await?;
    ben.expect_message("안녕").await?;
    ben.leave().await?;
    ann.expect_leave("ben").await?;
    ann.leave().await
}

/// Reads `count` messages, in order.
async fn hears(member: &mut Client, count: u64) -> TestResult {
    for seq in 1..=count {
        assert_eq!(member.next_message().await?["seq"], seq);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_socket_loses_nothing_over_tls() -> TestResult {
    const ENOUGH: u64 = 67_108_864;
    let setup = ["stall_ms_max", "ping_interval_ms"]
        .into_iter()
        .fold(TestServer::setup().without_rate_limits(), |setup, name| setup.limit(name, NEVER_MS));
    // The others go on while one does not read.
    let (server, authority) =
        started(setup.limit("outbox_bytes_max", ENOUGH).limit("speaker_bytes_max", ENOUGH)).await?;
    let address = authority.tunnel(server.address()).await?;
    let room = create_room(&address).await?;
    let mut slow = RawSocket::connect_narrow(&address, 4_096).await?;
    slow.upgrade(room, "slow").await?;
    let mut listener = join(&address, room, "listener").await?;
    let mut flood = Flood::start(&address, room, "speaker", 8_000, &"x".repeat(2_000)).await?;
    flood.beside(hears(&mut listener, 8_000)).await?;
    for seq in 1..=8_000 {
        slow.expect_text(&format!(r#""seq":{seq},"#)).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_stalls_over_tls_is_closed_with_a_reason() -> TestResult {
    let setup = TestServer::setup().without_rate_limits().limit("stall_ms_max", 5_000).limit("close_ms_max", NEVER_MS);
    let (server, authority) = started(setup).await?;
    let address = authority.tunnel(server.address()).await?;
    let room = create_room(&address).await?;
    let mut idle = RawSocket::connect_narrow(&address, 4_096).await?;
    idle.upgrade(room, "idle").await?;
    idle.expect_text("chat.user.join").await?;
    let mut listener = join(&address, room, "listener").await?;
    let mut flood = Flood::start(&address, room, "speaker", 8_000, &"x".repeat(2_000)).await?;
    flood.beside(hears(&mut listener, 8_000)).await?;
    let reason = idle.expect_close(1008).await?;
    assert!(reason.contains("stall_ms_max"), "{reason}");
    Ok(())
}

/// Waits until new handshakes show this certificate.
async fn shows(server: &TestServer, authority: &Authority, issued: &Issued) -> TestResult {
    until("the new certificate", async || {
        let stream = authority.connect(server.address(), "http/1.1").await.ok()?;
        (stream.get_ref().1.peer_certificates()?.first()? == &issued.der).then_some(())
    })
    .await
}

#[tokio::test]
async fn a_new_certificate_is_shown_while_sockets_stay_open() -> TestResult {
    let (server, authority) = started(TestServer::setup()).await?;
    let address = authority.tunnel(server.address()).await?;
    let room = create_room(&address).await?;
    let mut ann = join(&address, room, "ann").await?;
    let renewed = authority.issue()?;
    renewed.place(server.root(), "server")?;
    shows(&server, &authority, &renewed).await?;
    ann.say("still here").await?;
    ann.expect_message("still here").await?;
    join(&address, room, "ben").await?;
    Ok(())
}

/// Lets the link `current` lead to another directory, as Kubernetes and certbot do.
fn turn(root: &Path, to: &str) -> TestResult {
    let new = root.join("new");
    symlink(to, &new)?;
    Ok(std::fs::rename(new, root.join("current"))?)
}

#[tokio::test]
async fn a_link_that_leads_to_another_certificate_is_noticed() -> TestResult {
    let authority = Authority::new()?;
    let [first, second] = [authority.issue()?, authority.issue()?];
    let setup = ["--tls-certificate", "current/tls.pem", "--tls-key", "current/tls.key"].into_iter();
    let setup = setup.fold(TestServer::setup(), |setup, word| setup.flag(word));
    let server = setup.start_after(|home| {
        for (name, issued) in [("1", &first), ("2", &second)] {
            std::fs::create_dir(home.root().join(name))?;
            issued.place(&home.root().join(name), "tls")?;
        }
        turn(home.root(), "1")
    });
    let server = server.await?;
    shows(&server, &authority, &first).await?;
    turn(server.root(), "2")?;
    shows(&server, &authority, &second).await
}

#[tokio::test]
async fn a_file_that_cannot_be_read_leaves_the_certificate_from_before() -> TestResult {
    let (server, authority) = started(TestServer::setup()).await?;
    tls::replace(&server.root().join("server.pem"), "no certificate")?;
    until("the line of the log", async || {
        // A handshake is when the files are looked at.
        authority.connect(server.address(), "http/1.1").await.expect("the certificate from before");
        let lines = server.log().since(0);
        lines.iter().find(|line| line.contains("from before stay") && line.contains("server.pem")).map(drop)
    })
    .await?;
    let renewed = authority.issue()?;
    renewed.place(server.root(), "server")?;
    shows(&server, &authority, &renewed).await
}

/// The head of a record, of which nothing follows.
const HALF_A_HANDSHAKE: [u8; 7] = [22, 3, 1, 1, 0, 1, 0];

#[tokio::test]
async fn half_a_handshake_holds_up_nobody() -> TestResult {
    let (server, authority) = started(TestServer::setup().limit("header_ms_max", NEVER_MS)).await?;
    let _silent = server.raw().await?;
    let mut half = server.raw().await?;
    half.send(HALF_A_HANDSHAKE).await?;
    authority.connect(server.address(), "http/1.1").await?;
    Ok(())
}

#[tokio::test]
async fn half_a_handshake_is_given_up() -> TestResult {
    let (server, _) = started(TestServer::setup().limit("header_ms_max", 300)).await?;
    let mut silent = server.raw().await?;
    let mut half = server.raw().await?;
    let _ = half.send(HALF_A_HANDSHAKE).await;
    assert_eq!(silent.expect_end().await?, b"");
    half.expect_end().await?;
    Ok(())
}

#[tokio::test]
async fn a_request_without_tls_is_told_and_does_not_fill_the_log() -> TestResult {
    let (server, authority) = started(TestServer::setup()).await?;
    let mark = server.log().mark();
    for _ in 0..20 {
        server.get("/chat/v1/rooms/").await?.expect_detail(400, "tls_required")?;
        let mut noise = server.raw().await?;
        noise.send([22; 64]).await?;
        noise.expect_end().await?;
    }
    authority.connect(server.address(), "http/1.1").await?;
    assert_eq!(server.log().since(mark), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn the_servers_own_origin_is_https() -> TestResult {
    let (server, authority) = started(TestServer::setup()).await?;
    let address = authority.tunnel(server.address()).await?;
    let create = async |headers: &[(&str, &str)]| {
        let request = Request::new(&address, "POST", "/chat/v1/create-room/").json("{}");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        request.send().await.map(|answer| answer.status)
    };
    let (http, https) = (format!("http://{address}"), format!("https://{address}"));
    assert_eq!(create(&[("Origin", &https)]).await?, 201);
    assert_eq!(create(&[("Origin", &http)]).await?, 403);
    // A trusted gateway knows better.
    assert_eq!(create(&[("Origin", &http), ("X-Forwarded-Proto", "http")]).await?, 201);
    assert_eq!(create(&[("Origin", &https), ("X-Forwarded-Proto", "http")]).await?, 403);
    let target = format!("/ws/chat/1/chat/?{}", User::named("ann").query());
    for (origin, lets_in) in [(&https, true), (&http, false)] {
        let knock = Client::knock(&address, &target, "ann", &[("Origin", origin)]).await?;
        assert_eq!(matches!(knock, Knock::In(_)), lets_in, "{origin}");
    }
    Ok(())
}

#[tokio::test]
async fn files_that_do_not_fit_keep_the_server_from_starting() -> TestResult {
    let authority = Authority::new()?;
    let [one, other] = [authority.issue()?, authority.issue()?];
    let mixed = Issued { key: other.key, ..one };
    let failed = TestServer::setup().tls().start_after(|home| mixed.place(home.root(), "server")).await;
    let why = format!("{:#}", failed.expect_err("it started"));
    assert!(why.contains("server.key is not the key of the certificate in server.pem"), "{why}");
    assert!(!why.contains("PRIVATE KEY"), "{why}");
    let failed = TestServer::setup().tls().start().await;
    let why = format!("{:#}", failed.expect_err("it started"));
    assert!(why.contains("server.pem: cannot open the file"), "{why}");
    let failed = TestServer::setup().flag("--tls-key").flag("server.key").start().await;
    let why = format!("{:#}", failed.expect_err("it started"));
    assert!(why.contains("`tls_key` is set without `tls_certificate`"), "{why}");
    Ok(())
}

#[test]
fn check_reads_the_files() -> TestResult {
    let directory = tempfile::tempdir()?;
    let authority = Authority::new()?;
    authority.issue()?.place(directory.path(), "server")?;
    std::fs::write(directory.path().join("empty.pem"), "")?;
    let check = |certificate: &str| {
        let path = |name: &str| directory.path().join(name).display().to_string();
        ondol(&["check", "--tls-certificate", &path(certificate), "--tls-key", &path("server.key")])
    };
    check("server.pem")?.expect_parts(0, &["fine   tls: ", "server.pem with its key"])?;
    check("empty.pem")?.expect_parts(1, &["wrong  tls: ", "empty.pem: no certificate in PEM"])?;
    check("server.key")?.expect_parts(1, &["wrong  tls: ", "no certificate in PEM"])?;
    Ok(())
}

#[tokio::test]
async fn the_command_line_reaches_an_admin_api_with_tls() -> TestResult {
    let authority = Authority::new()?;
    let setup = TestServer::setup().admin().config("admin_token = \"a token\"");
    let setup = setup.config("admin_tls_certificate = \"server.pem\"\nadmin_tls_key = \"server.key\"");
    let server = setup.start_after(|home| tls::furnish(home, &authority)).await?;
    let address = server.admin_address()?;
    assert!(address.starts_with("https://127.0.0.1:"), "{address}");
    let token = server.root().join("token");
    std::fs::write(&token, "a token")?;
    let (token, ca) = (token.display().to_string(), server.root().join("ca.pem").display().to_string());
    let status = ["handlers", "status", "--admin", address, "--token-file", &token];
    ondol(&[&status[..], &["--admin-ca", &ca]].concat())?.expect_parts(0, &["ready"])?;
    ondol(&status)?.expect_parts(1, &["no trusted connection to https://127.0.0.1", "--admin-ca"])?;
    // The configuration of the server is enough as well.
    let config = server.root().join("ondol.toml");
    let port = address.rsplit(':').next().unwrap_or_default();
    let text = format!("admin = \"127.0.0.1:{port}\"\nadmin_ca = \"{ca}\"\n") + &std::fs::read_to_string(&config)?;
    std::fs::write(&config, text)?;
    let config = config.display().to_string();
    ondol(&["handlers", "status", "--config", &config])?.expect_parts(0, &["ready"])?;
    // A request without TLS is told.
    let answer = Request::new(address.trim_start_matches("https://"), "GET", "/v1/status").send().await?;
    answer.expect_detail(400, "tls_required")?;
    Ok(())
}

#[tokio::test]
async fn an_admin_api_with_an_https_address_needs_a_certificate() -> TestResult {
    let failed = TestServer::setup().flag("--admin").flag("https://127.0.0.1:0").start().await;
    let why = format!("{:#}", failed.expect_err("it started"));
    assert!(why.contains("admin_tls_certificate"), "{why}");
    let authority = Authority::new()?;
    let setup = TestServer::setup().config("admin = \"unix:admin.sock\"");
    let setup = setup.config("admin_tls_certificate = \"server.pem\"\nadmin_tls_key = \"server.key\"");
    let failed = setup.start_after(|home| tls::furnish(home, &authority)).await;
    let why = format!("{:#}", failed.expect_err("it started"));
    assert!(why.contains("Unix socket"), "{why}");
    Ok(())
}

#[tokio::test]
async fn a_room_over_tls_names_its_own_host() -> TestResult {
    let (server, authority) = started(TestServer::setup()).await?;
    let address = authority.tunnel(server.address()).await?;
    let room = create_room(&address).await?;
    let answer = Request::new(&address, "GET", &format!("/chat/v1/room/{room}/")).send().await?;
    assert_eq!(answer.expect(200)?["chat_url"], json!(format!("{address}/ws/chat/{room}/chat/")));
    Ok(())
}
