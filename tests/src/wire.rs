//! A wire to a server that is cut while connections stay open, as when a cable is pulled: what either side says waits, and
//! arrives when the wire is whole again. A connection can also be stranded: the client sees that it is lost, and what it
//! had sent arrives later. Knows nothing of what is said.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

use crate::deadline::until;

/// The wire.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// Host and port.
    server: String,
    open: watch::Sender<Open>,
    lines: Mutex<Vec<Arc<Line>>>,
}

/// Which ways are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// To the server.
    pub up: bool,
    /// To the client.
    pub down: bool,
}

/// One connection.
#[derive(Debug)]
struct Line {
    /// What the client has sent and the server has not.
    held: Mutex<Vec<u8>>,
    stage: watch::Sender<Stage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Whole,
    /// The client sees that it is lost.
    Stranded,
    /// What it had sent arrives.
    Arriving,
}

/// What was sent on a connection that is lost.
#[derive(Debug)]
pub struct Stranded(Arc<Line>);

impl Wire {
    /// A wire to the server at this address.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn to(server: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let open = watch::Sender::new(Open { up: true, down: true });
        let state = Arc::new(State { server: server.to_owned(), open, lines: Mutex::default() });
        let wire = Self { port: listener.local_addr()?.port(), state: Arc::clone(&state) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                tokio::spawn(async move { carry(client, &state).await });
            }
        });
        Ok(wire)
    }

    /// A URL of the server, over the wire.
    #[must_use]
    pub fn url(&self, url: &str) -> String {
        url.replace(&self.state.server, &format!("127.0.0.1:{}", self.port))
    }

    /// Opens and closes the ways, for the connections there are and for new ones.
    pub fn set(&self, open: Open) {
        self.state.open.send_replace(open);
    }

    /// Waits until a client has sent this, and the server has not got it because the way up is closed.
    ///
    /// # Errors
    /// When no client does.
    pub async fn holds(&self, part: &[u8]) -> Result<()> {
        self.holding(part).await.map(drop)
    }

    /// Waits until a client sends this, and strands its connection before the server gets it.
    ///
    /// # Errors
    /// When no client does.
    pub async fn strand(&self, part: &[u8]) -> Result<Stranded> {
        self.set(Open { up: false, down: true });
        let line = self.holding(part).await?;
        line.stage.send_replace(Stage::Stranded);
        self.set(Open { up: true, down: true });
        Ok(Stranded(line))
    }

    async fn holding(&self, part: &[u8]) -> Result<Arc<Line>> {
        let has = |line: &&Arc<Line>| lock(&line.held).windows(part.len()).any(|held| held == part);
        let what = format!("{:?} on the wire", String::from_utf8_lossy(part));
        until(what, async || lock(&self.state.lines).iter().find(has).cloned()).await
    }
}

impl Stranded {
    /// Lets the server have it. The server sees the connection as open.
    pub fn arrive(&self) {
        self.0.stage.send_replace(Stage::Arriving);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn carry(client: TcpStream, state: &State) -> Result<()> {
    state.open.subscribe().wait_for(|open| open.up && open.down).await?;
    let server = TcpStream::connect(&state.server).await.context("no server")?;
    for side in [&client, &server] {
        side.set_nodelay(true)?;
    }
    let line = Arc::new(Line { held: Mutex::default(), stage: watch::Sender::new(Stage::Whole) });
    lock(&state.lines).push(Arc::clone(&line));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // The end of either way is the end of both.
    let ended = tokio::select! {
        ended = up(from_client, to_server, &line, state) => ended,
        ended = down(from_server, to_client, &line, state) => ended,
    };
    lock(&state.lines).retain(|known| !Arc::ptr_eq(known, &line));
    Ok(ended?)
}

async fn up(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, line: &Line, state: &State) -> io::Result<()> {
    let (mut open, mut stage) = (state.open.subscribe(), line.stage.subscribe());
    let mut buffer = vec![0; 65_536];
    loop {
        let read = from.read(&mut buffer).await?;
        let said = &buffer[..read];
        *lock(&line.held) = said.to_vec();
        let _ = open.wait_for(|open| open.up).await;
        if *stage.borrow() != Stage::Whole {
            drop(from);
            let _ = stage.wait_for(|stage| *stage == Stage::Arriving).await;
            to.write_all(said).await?;
            // Until the server ends it.
            return std::future::pending().await;
        }
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(said).await?;
        lock(&line.held).clear();
    }
}

async fn down(mut from: OwnedReadHalf, to: OwnedWriteHalf, line: &Line, state: &State) -> io::Result<()> {
    let (mut open, mut stage) = (state.open.subscribe(), line.stage.subscribe());
    let mut buffer = vec![0; 65_536];
    let mut to = Some(to);
    loop {
        let stranded = async { stage.wait_for(|stage| *stage != Stage::Whole).await.map(drop) };
        let read = tokio::select! {
            read = from.read(&mut buffer) => read?,
            _ = stranded, if to.is_some() => {
                to = None;
                continue;
            }
        };
        let _ = open.wait_for(|open| open.down).await;
        match &mut to {
            Some(to) if read == 0 => return to.shutdown().await,
            Some(to) => to.write_all(&buffer[..read]).await?,
            None if read == 0 => return Ok(()),
            None => {}
        }
    }
}
