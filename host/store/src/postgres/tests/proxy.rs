//! A wire to PostgreSQL that a test cuts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on.
pub(super) struct Proxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    target: String,
    /// What the server says does not arrive.
    is_mute: AtomicBool,
    /// Connections are closed at once.
    is_down: AtomicBool,
    refused: AtomicU32,
    cuts: watch::Sender<u32>,
}

impl Proxy {
    /// A wire to the server of a URL.
    pub(super) async fn to(url: &str) -> Result<Self> {
        let (_, after) = url.split_once('@').context("no host")?;
        let (target, _) = after.split_once('/').context("no database")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (is_mute, is_down, refused) = Default::default();
        let state =
            Arc::new(State { target: target.to_owned(), is_mute, is_down, refused, cuts: watch::Sender::new(0) });
        let proxy = Self { port: listener.local_addr()?.port(), state: Arc::clone(&state) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, Arc::clone(&state)));
            }
        });
        Ok(proxy)
    }

    /// The same URL over the wire.
    pub(super) fn url(&self, url: &str) -> String {
        url.replace(&self.state.target, &format!("127.0.0.1:{}", self.port))
    }

    /// Loses what the server says, or not.
    pub(super) fn mute(&self, is_mute: bool) {
        self.state.is_mute.store(is_mute, Ordering::SeqCst);
    }

    /// Closes all connections, and new ones as long as it is down.
    pub(super) fn cut(&self, is_down: bool) {
        self.state.is_down.store(is_down, Ordering::SeqCst);
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Passes new connections on again.
    pub(super) fn up(&self) {
        self.state.is_down.store(false, Ordering::SeqCst);
    }

    /// How many connections were closed at once.
    pub(super) fn refused(&self) -> u32 {
        self.state.refused.load(Ordering::SeqCst)
    }
}

async fn pass(mut client: TcpStream, state: Arc<State>) -> Result<()> {
    let mut cuts = state.cuts.subscribe();
    if state.is_down.load(Ordering::SeqCst) {
        state.refused.fetch_add(1, Ordering::SeqCst);
        return Ok(());
    }
    let mut server = TcpStream::connect(&state.target).await?;
    let (mut from_client, mut from_server) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            biased;
            _ = cuts.changed() => return Ok(()),
            read = client.read(&mut from_client) => match read? {
                0 => return Ok(()),
                count => server.write_all(from_client.get(..count).context("too much")?).await?,
            },
            read = server.read(&mut from_server) => match read? {
                0 => return Ok(()),
                _ if state.is_mute.load(Ordering::SeqCst) => {}
                count => client.write_all(from_server.get(..count).context("too much")?).await?,
            },
        }
    }
}
