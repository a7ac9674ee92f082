//! Sockets that the server is given (sd_listen_fds(3)).

use std::{
    fs::{self, File, Permissions},
    net::{TcpListener, UdpSocket},
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, net::UnixListener},
    },
};

use ondol_tests::{Request, Setup, TestResult, TestServer, command::ondol, supervisor::listening_socket};
use tempfile::TempDir;

/// Why a server does not start with this socket under this name.
async fn refusal(setup: Setup, name: &str, socket: impl Into<OwnedFd>) -> String {
    match setup.socket(name, socket).start().await {
        Ok(server) => panic!("it starts: {}", server.startup()),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn the_startup_line_has_the_addresses_of_the_sockets() -> TestResult {
    let ((public, address), (admin, admin_address)) = (listening_socket()?, listening_socket()?);
    let (metrics, metrics_address) = listening_socket()?;
    let setup = TestServer::setup().socket("admin", admin).socket("public", public).socket("metrics", metrics);
    // What is configured is not opened.
    let server = setup.at("127.0.0.1:1").start().await?;
    assert_eq!(server.address(), address);
    assert_eq!(server.admin_address()?, format!("http://{admin_address}"));
    server.get("/readyz").await?.expect(200)?;
    let metrics = Request::new(&metrics_address, "GET", "/metrics").send().await?;
    assert_eq!(metrics.status, 200);
    server.admin("GET", "/v1/status")?.send().await?.expect(200)?;
    let room = server.create_room("lobby").await?;
    server.join(room, "ann").await?;
    Ok(())
}

#[tokio::test]
async fn a_unix_socket_for_the_admin_api_outlives_the_server() -> TestResult {
    let directory = TempDir::new()?;
    let path = directory.path().join("admin.sock");
    let socket = UnixListener::bind(&path)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    let mut server = TestServer::setup().socket("admin", socket.try_clone()?).start().await?;
    let address = format!("unix:{}", path.display());
    assert_eq!(server.admin_address()?, address);
    ondol(&["handlers", "status", "--admin", &address])?.expect(0)?;
    ondol(&["health", &address])?.expect_parts(0, &["ready"])?;
    server.signal("TERM")?;
    assert_eq!(server.exit().await?.code(), Some(0));
    assert!(path.exists(), "the socket is the supervisor's");
    drop(server);

    fs::set_permissions(&path, Permissions::from_mode(0o666))?;
    let error = refusal(TestServer::setup(), "admin", socket.try_clone()?).await;
    assert!(error.contains("every user of this machine can open the admin socket"), "{error}");
    let token = TestServer::setup().env("ONDOL_ADMIN_TOKEN", "secret").socket("admin", socket).start().await?;
    token.get("/healthz").await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn what_is_no_listening_socket_is_refused_by_its_name_and_number() -> TestResult {
    let tcp = || Ok::<_, anyhow::Error>(TcpListener::bind("127.0.0.1:0")?);
    let silent = tokio::net::TcpSocket::new_v4()?;
    let silent: OwnedFd = std::os::fd::AsFd::as_fd(&silent).try_clone_to_owned()?;
    let cases: [(&str, OwnedFd, &str); 5] = [
        (
            "public",
            UdpSocket::bind("127.0.0.1:0")?.into(),
            "the socket public (descriptor 3): is not a TCP stream socket",
        ),
        ("public", File::open("/dev/null")?.into(), "the socket public (descriptor 3): is not a TCP stream socket"),
        ("public", silent, "the socket public (descriptor 3): does not listen"),
        ("ondol.socket", tcp()?.into(), "set FileDescriptorName to public, admin or metrics"),
        ("admin", File::open("/dev/null")?.into(), "the socket admin (descriptor 3): is not a TCP stream socket"),
    ];
    for (name, socket, expected) in cases {
        let error = refusal(TestServer::setup(), name, socket).await;
        assert!(error.contains(expected), "{error}");
    }
    let error = refusal(TestServer::setup().socket("public", tcp()?), "public", tcp()?).await;
    assert!(error.contains("descriptor 4) is the second one of this name"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_socket_that_other_machines_reach_needs_what_such_an_address_needs() -> TestResult {
    let open = || TcpListener::bind("0.0.0.0:0");
    let error = refusal(TestServer::setup(), "public", open()?).await;
    assert!(error.contains("set identity.trusted"), "{error}");
    let error = refusal(TestServer::setup(), "admin", open()?).await;
    assert!(error.contains("has no token: set admin_token_file"), "{error}");
    Ok(())
}

#[tokio::test]
async fn variables_for_another_process_do_not_count() -> TestResult {
    let setup = TestServer::setup().env("LISTEN_PID", 1).env("LISTEN_FDS", 1).env("LISTEN_FDNAMES", "public");
    let server = setup.start().await?;
    server.get("/readyz").await?.expect(200)?;
    Ok(())
}
