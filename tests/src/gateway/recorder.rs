//! A server that answers every request with 200 and keeps its head: what a gateway really sends. Reads no bodies.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// One that runs until it is dropped, with its connections.
#[derive(Debug)]
pub struct Recorder {
    address: String,
    heads: Arc<Mutex<Vec<(usize, String)>>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Starts it at an address.
    ///
    /// # Errors
    /// When that is taken.
    pub async fn start(address: &str) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?.to_string();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        let task = tokio::spawn(async move {
            let (mut connection, mut connections) = (0, JoinSet::new());
            while let Ok((stream, _)) = listener.accept().await {
                connection += 1;
                connections.spawn(serve(stream, connection, Arc::clone(&kept)));
            }
        });
        Ok(Self { address, heads, task })
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The heads so far, each with the number of its connection.
    #[must_use]
    pub fn heads(&self) -> Vec<(usize, String)> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, connection: usize, heads: Arc<Mutex<Vec<(usize, String)>>>) {
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
        while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = bytes.drain(..end + 4).collect::<Vec<_>>();
            let head = String::from_utf8_lossy(&head).into_owned();
            heads.lock().unwrap_or_else(PoisonError::into_inner).push((connection, head));
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                return;
            }
        }
    }
}
