//! A restart with sockets that stay open: clients connect all the time, and none is refused.

use std::cell::Cell;

use anyhow::{Context as _, bail};
use futures_util::future::try_join_all;
use ondol_tests::{Client, Heard, Supervisor, TestResult, TestServer, User, supervisor::listening_socket, until};
use tokio::net::TcpStream;

const CLIENTS: usize = 500;

/// How many sockets have to be opened before, between and after the restarts.
const OPENED_MIN: usize = 1_000;

struct Story {
    address: String,
    room: u64,
    /// How many sockets were opened.
    opened: Cell<usize>,
    /// How many a server that stopped has closed.
    closed: Cell<usize>,
}

impl Story {
    /// Opens one socket after another. Each has to be let in, and is closed by this client or by a server that stops.
    async fn connect_again_and_again(&self, number: usize) -> TestResult {
        let user = User::named(&format!("u{number}"));
        loop {
            let mut client = Client::open(&self.address, self.room, &user).await.context("it was not let in")?;
            self.opened.set(self.opened.get() + 1);
            if number.is_multiple_of(2) {
                // Its close may meet that of the server.
                let _ = client.leave().await;
                continue;
            }
            loop {
                match client.next().await? {
                    Heard::Close(1001, reason) if reason.contains("retry_after_ms=") => break,
                    Heard::Ping => {}
                    other => bail!("u{number} got {other:?}"),
                }
            }
            self.closed.set(self.closed.get() + 1);
        }
    }

    async fn let_clients_in(&self) -> TestResult {
        let enough = self.opened.get() + OPENED_MIN;
        until("clients to be let in", async || (self.opened.get() >= enough).then_some(())).await
    }
}

#[tokio::test]
async fn a_restart_refuses_none_of_500_clients_that_connect() -> TestResult {
    let (socket, address) = listening_socket()?;
    let supervisor = Supervisor::start()?;
    // Clients that a busy machine keeps waiting are waited for: for a quarter of this.
    let setup = supervisor.of(TestServer::setup()).without_rate_limits().limit("drain_ms", 10_000);
    let mut server = setup.setting("events", "announce", "nothing").socket("public", socket).start().await?;
    let room = server.create_room("lobby").await?;
    let (opened, closed) = Default::default();
    let story = Story { address, room, opened, closed };
    let clients = try_join_all((0..CLIENTS).map(|number| story.connect_again_and_again(number)));
    let restarts = async {
        story.let_clients_in().await?;
        for _ in 0..2 {
            supervisor.expect("READY=1").await?;
            server.signal("TERM")?;
            supervisor.expect("STOPPING=1").await?;
            assert_eq!(server.exit().await?.code(), Some(0));
            // systemd starts the next server after the end of the former. Meanwhile connections wait.
            server.restart().await?;
            story.let_clients_in().await?;
        }
        TestResult::Ok(())
    };
    tokio::select! {
        lives = clients => drop(lives?),
        restarted = restarts => restarted?,
    }
    println!("{} sockets were opened, of which servers that stopped closed {}", story.opened.get(), story.closed.get());
    assert!(story.closed.get() >= CLIENTS, "a restart closes the sockets of those who stay");
    Ok(())
}

#[tokio::test]
async fn a_client_that_connected_at_the_last_moment_is_let_in() -> TestResult {
    // It may ask for a quarter of this, after half of it.
    let server = TestServer::setup().limit("drain_ms", 8_000).start().await?;
    let room = server.create_room("lobby").await?;
    let (mut socket, mut request) = (server.raw().await?, server.raw().await?);
    server.signal("TERM")?;
    until("a closed port", async || TcpStream::connect(server.address()).await.err()).await?;
    socket.upgrade(room, "late").await?;
    request.send(server.request("GET", "/chat/v1/rooms/").bytes()).await?;
    assert_eq!(request.read_answer("GET").await?.status, 200);
    socket.expect_close(1001).await?;
    Ok(())
}
