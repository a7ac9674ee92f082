//! The server that Ondol is compared with: rooms and broadcast over tokio-tungstenite and nothing else. No check of
//! what is sent, no store, no identity. Written for speed, within what the libraries offer:
//!
//! - a frame is built once and shared by all receivers;
//! - each connection has a bounded outbox, and a connection whose outbox is full is dropped;
//! - the sending half takes all that waits in its outbox and flushes once;
//! - `TCP_NODELAY`, tungstenite's own buffer sizes.
//!
//! It numbers the messages of each room, so that the benchmark can check every delivery.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::certificate::{self, Files};

/// Messages that may wait for one connection.
const OUTBOX_MESSAGES_MAX: usize = 1024;

/// Serves on a free port until it is killed; prints its address.
pub(crate) fn main(tls: &[PathBuf]) -> anyhow::Result<()> {
    let tls = match tls {
        [certificate, key] => {
            let files = Files { certificate: certificate.clone(), key: key.clone() };
            Some(TlsAcceptor::from(certificate::server(&files)?))
        }
        _ => None,
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(tls))
}

async fn serve(tls: Option<TlsAcceptor>) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    println!("listening on {scheme}://{}", listener.local_addr()?);
    let rooms = Arc::new(Rooms::default());
    for id in 0.. {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let (rooms, tls) = (Arc::clone(&rooms), tls.clone());
        tokio::spawn(async move {
            // A broken connection concerns its client alone.
            let _ = match tls {
                Some(tls) => member(tls.accept(socket).await?, id, &rooms).await,
                None => member(socket, id, &rooms).await,
            };
            anyhow::Ok(())
        });
    }
    Ok(())
}

/// One connection, from its handshake to its end.
async fn member(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    id: u64,
    rooms: &Rooms,
) -> tungstenite::Result<()> {
    let mut path = String::new();
    let take_path = |request: &Request, response: Response| {
        request.uri().path().clone_into(&mut path);
        Ok(response)
    };
    let web_socket = tokio_tungstenite::accept_hdr_async(socket, take_path).await?;
    let room = rooms.room(&path);

    let (mut sink, mut stream) = web_socket.split();
    let (outbox, mut inbox) = mpsc::channel(OUTBOX_MESSAGES_MAX);
    lock(&room.state).members.push((id, outbox));
    let sending = tokio::spawn(async move {
        while let Some(message) = inbox.recv().await {
            sink.feed(message).await?;
            while let Ok(message) = inbox.try_recv() {
                sink.feed(message).await?;
            }
            sink.flush().await?;
        }
        sink.close().await
    });
    while let Some(Ok(frame)) = stream.next().await {
        match frame {
            Message::Text(text) => room.publish(&text),
            Message::Close(_) => break,
            _ => {}
        }
    }
    lock(&room.state).members.retain(|(member, _)| *member != id);
    sending.await.unwrap_or(Ok(()))
}

/// The rooms by their number. An empty room stays.
#[derive(Default)]
struct Rooms(Mutex<HashMap<String, Arc<Room>>>);

impl Rooms {
    fn room(&self, path: &str) -> Arc<Room> {
        let room = path.trim_start_matches("/ws/chat/").trim_end_matches("/chat/");
        let new = || Arc::new(Room { id: room.to_owned(), state: Mutex::default() });
        Arc::clone(lock(&self.0).entry(room.to_owned()).or_insert_with(new))
    }
}

struct Room {
    id: String,
    state: Mutex<RoomState>,
}

#[derive(Default)]
struct RoomState {
    seq: u64,
    members: Vec<(u64, mpsc::Sender<Message>)>,
}

impl Room {
    /// Sends a frame to every member, the sender included. The room and the number go in before the closing brace.
    fn publish(&self, frame: &str) {
        let Some(open) = frame.strip_suffix('}') else { return };
        let mut state = lock(&self.state);
        state.seq += 1;
        let message = Message::text(format!(r#"{open},"room":{},"seq":{}}}"#, self.id, state.seq));
        state.members.retain(|(_, outbox)| outbox.try_send(message.clone()).is_ok());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
