//! What the supervisor hears (sd_notify(3)).

use ondol_tests::{NEVER_MS, Supervisor, TestResult, TestServer, supervisor::listening_socket, system, until};

use crate::{admin, compiling::sums};

#[tokio::test]
async fn ready_is_said_once_connections_are_accepted() -> TestResult {
    for supervisor in [Supervisor::start()?, Supervisor::start_abstract()?] {
        let server = supervisor.of(TestServer::setup()).start().await?;
        let message = supervisor.hear().await?;
        assert_eq!(message, format!("READY=1\nSTATUS=accepting connections on {}", server.address()));
        server.get("/readyz").await?.expect(200)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_hang_up_is_a_reload() -> TestResult {
    let supervisor = Supervisor::start()?;
    let server = supervisor.of(TestServer::setup()).start().await?;
    supervisor.expect("READY=1").await?;
    server.signal("HUP")?;
    let message = supervisor.hear().await?;
    let usec = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|rest| rest.split('\n').next());
    let uptime = std::fs::read_to_string("/proc/uptime")?;
    let now: f64 = uptime.split(' ').next().unwrap().parse()?;
    let seconds = usec.unwrap().parse::<f64>()? / 1e6;
    assert!((now - 60.0..=now + 1.0).contains(&seconds), "{message} at {uptime}");
    assert!(supervisor.hear().await?.starts_with("READY=1\n"));
    Ok(())
}

#[tokio::test]
async fn a_stop_is_announced() -> TestResult {
    for signal in ["TERM", "INT"] {
        let supervisor = Supervisor::start()?;
        let mut server = supervisor.of(TestServer::setup()).start().await?;
        server.signal(signal)?;
        supervisor.expect("STOPPING=1").await?;
        assert_eq!(server.exit().await?.code(), Some(0));
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_stops_does_not_reload() -> TestResult {
    let supervisor = Supervisor::start()?;
    let setup = TestServer::setup().admin().limit("drain_ms", NEVER_MS).env("WATCHDOG_USEC", 100_000);
    let server = supervisor.of(setup).start().await?;
    server.signal("TERM")?;
    supervisor.expect("STOPPING=1").await?;
    server.signal("HUP")?;
    server.wait_for_log("nothing is changed: the server is stopping").await?;
    let asked = server.admin("POST", "/v1/reload")?.send().await?;
    assert_eq!(asked.expect_detail(422, "configuration")?, "the server is stopping");
    // Messages arrive in order.
    for _ in 0..5 {
        assert_eq!(supervisor.hear().await?, "WATCHDOG=1");
    }
    Ok(())
}

#[tokio::test]
async fn a_supervisor_that_is_gone_stops_nothing() -> TestResult {
    let server = TestServer::setup().env("NOTIFY_SOCKET", "/run/no-supervisor-here").start().await?;
    server.wait_for_log("the supervisor at NOTIFY_SOCKET does not hear").await?;
    server.get("/readyz").await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn compilers_inherit_neither_variables_nor_sockets() -> TestResult {
    let supervisor = Supervisor::start()?;
    let (socket, _) = listening_socket()?;
    let setup = supervisor.of(TestServer::setup()).admin().socket("public", socket).env("WATCHDOG_USEC", 60_000_000);
    let server = setup.limit("handler_compile_ms_max", NEVER_MS).start().await?;
    let slow = server.admin("POST", "/v1/handlers/events")?.body("application/wasm", sums(1_200, 1_000));
    let asked = tokio::spawn(slow.send());
    let child = until("a compiler", async || {
        // Between fork and exec it has the command line of the server.
        system::children(server.pid()).ok()?.into_iter().find(|pid| system::command_line(*pid).contains("\0compile\0"))
    });
    let child = child.await?;
    let environment = std::fs::read_to_string(format!("/proc/{child}/environ"))?;
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
        assert!(!environment.contains(name), "{name} is in {environment}");
    }
    for open in std::fs::read_dir(format!("/proc/{child}/fd"))?.flatten() {
        let file = std::fs::read_link(open.path()).unwrap_or_default();
        // Its pipes may be sockets, below 3.
        let number: u32 = open.file_name().to_string_lossy().parse()?;
        assert!(number < 3 || !file.to_string_lossy().starts_with("socket:"), "{number} is {}", file.display());
    }
    system::signal(child, "KILL")?;
    admin::refused(&asked.await??, "events", "compile")?;
    Ok(())
}
