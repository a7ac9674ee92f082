//! A line to a server that fails once: it slices what it carries, and at one byte it closes, resets or holds everything
//! back. Connections after that one are carried whole. Knows nothing of what it carries.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the server.
    Up,
    /// To the client.
    Down,
}

/// What happens at the byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Both sides are closed.
    Close,
    /// Both sides are reset.
    Reset,
    /// Nothing more is carried this way until [`BadLine::release`].
    Hold,
}

/// How the first connection fails.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Which way the byte goes.
    pub way: Way,
    /// How many bytes are carried this way before.
    pub after: usize,
    /// What happens then.
    pub failure: Failure,
    /// How many bytes are carried at once.
    pub slice: usize,
}

/// The line.
pub struct BadLine {
    address: String,
    state: Arc<State>,
}

struct State {
    /// For the next connection.
    fault: Mutex<Option<Fault>>,
    carried: [AtomicUsize; 2],
    released: Notify,
}

impl BadLine {
    /// A line to the server at this address.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn to(server: &str, fault: Option<Fault>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let state = Arc::new(State { fault: Mutex::new(fault), carried: Default::default(), released: Notify::new() });
        let (server, shared) = (server.to_owned(), Arc::clone(&state));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let fault = shared.fault.lock().ok().and_then(|mut fault| fault.take());
                let (server, shared) = (server.clone(), Arc::clone(&shared));
                tokio::spawn(async move { carry(client, &server, fault, &shared).await });
            }
        });
        Ok(Self { address, state })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The number of bytes that were carried up and down.
    #[must_use]
    pub fn carried(&self) -> [usize; 2] {
        [0, 1].map(|way| self.state.carried[way].load(Ordering::Relaxed))
    }

    /// Carries what was held back.
    pub fn release(&self) {
        self.state.released.notify_one();
    }
}

async fn carry(client: TcpStream, server: &str, fault: Option<Fault>, state: &State) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    for side in [&client, &server] {
        side.set_nodelay(true)?;
        if fault.is_some_and(|fault| fault.failure == Failure::Reset) {
            // Unsent data is discarded, and the peer receives a reset.
            side.set_zero_linger()?;
        }
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // The end of either way is the end of both.
    tokio::select! {
        ended = one_way(from_client, to_server, Way::Up, fault, state) => ended,
        ended = one_way(from_server, to_client, Way::Down, fault, state) => ended,
    }
}

async fn one_way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: Way,
    fault: Option<Fault>,
    state: &State,
) -> io::Result<()> {
    let slice = fault.map_or(usize::MAX, |fault| fault.slice);
    let mut fault = fault.filter(|fault| fault.way == way);
    let mut buffer = vec![0; 16_384];
    let mut carried = 0;
    loop {
        let most = fault.map_or(slice, |fault| slice.min(fault.after - carried)).min(buffer.len());
        if most == 0 {
            match fault.take().map(|fault| fault.failure) {
                Some(Failure::Hold) => state.released.notified().await,
                _ => return Ok(()),
            }
            continue;
        }
        let read = from.read(&mut buffer[..most]).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
        carried += read;
        state.carried[usize::from(way == Way::Down)].fetch_add(read, Ordering::Relaxed);
    }
}
